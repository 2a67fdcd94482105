/*
 * methods_text.c — the methods of strings.
 */
#include "engine/template/impl.h"

static bool text_arg(tp_run *r, tp_value v, as_str *out)
{
    if (!tp_need_text(r, v, "the method"))
        return false;
    *out = tp_str(v);
    return true;
}

/* An optional integer; None counts as not given. */
static bool int_arg(tp_run *r, tp_value v, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    return v.kind == TP_MISSING || v.kind == TP_NONE || tp_need_int(r, v, "the method", out);
}

static bool m_lower(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_change_case(r, self, TP_TO_LOWER, out);
}

static bool m_upper(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_change_case(r, self, TP_TO_UPPER, out);
}

static bool m_casefold(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_change_case(r, self, TP_TO_FOLD, out);
}

static bool m_title(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_title(r, self, out);
}

static bool m_swapcase(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_swap_case(r, self, out);
}

static bool m_capitalize(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_capitalize(r, self, out);
}

static bool m_strip(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return tp_strip(r, self, a[0], true, true, out);
}

static bool m_lstrip(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return tp_strip(r, self, a[0], true, false, out);
}

static bool m_rstrip(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return tp_strip(r, self, a[0], false, true, out);
}

/* ---- splitting ------------------------------------------------------------------------------- */

typedef struct parts {
    as_str *v;
    size_t n, cap;
} parts;

static bool add_part(tp_run *r, parts *p, as_str s)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap == 0 ? 8 : p->cap * 2;
        as_str *v = tp_alloc(r, cap, sizeof *v);
        if (v == NULL)
            return false;
        if (p->n > 0)
            memcpy(v, p->v, p->n * sizeof *v);
        p->v = v;
        p->cap = cap;
    }
    p->v[p->n++] = s;
    return true;
}

static bool parts_to_list(tp_run *r, tp_value like, const parts *p, bool is_reversed, tp_value *out)
{
    tp_list *l = NULL;
    if (!tp_list_new(r, TP_LIST, p->n, &l, out))
        return false;
    for (size_t i = 0; i < p->n; i++)
        if (!tp_text_like(r, like, p->v[is_reversed ? p->n - 1 - i : i], &l->v[i]))
            return false;
    return true;
}

static as_str trim_side(as_str s, bool right)
{
    while (s.n > 0) {
        size_t at = right ? s.n - 1 : 0, len = 0;
        while (at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80)
            at--;
        if (!tp_is_space(tp_decode((as_str){s.p + at, s.n - at}, &len)))
            break;
        s = right ? (as_str){s.p, at} : (as_str){s.p + len, s.n - len};
    }
    return s;
}

/* The word at the left (right) end of s, which begins (ends) with it. */
static size_t word_length(as_str s, bool right)
{
    size_t n = 0;
    while (n < s.n) {
        size_t at = right ? s.n - n - 1 : n, len = 0;
        while (right && at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80)
            at--;
        if (tp_is_space(tp_decode((as_str){s.p + at, s.n - at}, &len)))
            break;
        n = right ? s.n - at : n + len;
    }
    return n;
}

static bool split_words(tp_run *r, as_str s, int64_t max, bool right, parts *p)
{
    for (;;) {
        s = trim_side(s, right);
        if (s.n == 0)
            return true;
        if (max-- == 0)
            return add_part(r, p, s);
        const size_t n = word_length(s, right);
        if (!add_part(r, p, right ? (as_str){s.p + s.n - n, n} : (as_str){s.p, n}))
            return false;
        s = right ? (as_str){s.p, s.n - n} : (as_str){s.p + n, s.n - n};
    }
}

static bool split_at(tp_run *r, as_str s, as_str sep, int64_t max, bool right, parts *p)
{
    while (max-- != 0) {
        const size_t hit = right ? as_str_rfind(s, sep) : as_str_find(s, sep);
        if (hit == SIZE_MAX)
            break;
        const as_str before = {s.p, hit}, after = {s.p + hit + sep.n, s.n - hit - sep.n};
        if (!add_part(r, p, right ? after : before))
            return false;
        s = right ? before : after;
    }
    return add_part(r, p, s);
}

static bool split(tp_run *r, tp_value self, const tp_value *a, bool right, tp_value *out)
{
    int64_t max = -1;
    parts p = {0};
    if (!tp_step(r, self.u.text->n / 16) || !int_arg(r, a[1], -1, &max))
        return false;
    if (max < 0)
        max = -1;
    if (a[0].kind == TP_MISSING || a[0].kind == TP_NONE)
        return split_words(r, tp_str(self), max, right, &p) &&
               parts_to_list(r, self, &p, right, out);
    as_str sep;
    if (!text_arg(r, a[0], &sep))
        return false;
    if (sep.n == 0)
        return tp_raise(r, "ValueError", "empty separator");
    return split_at(r, tp_str(self), sep, max, right, &p) && parts_to_list(r, self, &p, right, out);
}

static bool m_split(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return split(r, self, a, false, out);
}

static bool m_rsplit(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return split(r, self, a, true, out);
}

static bool partition(tp_run *r, tp_value self, const tp_value *a, bool right, tp_value *out)
{
    as_str sep;
    const as_str s = tp_str(self);
    if (!text_arg(r, a[0], &sep))
        return false;
    if (sep.n == 0)
        return tp_raise(r, "ValueError", "empty separator");
    const size_t hit = right ? as_str_rfind(s, sep) : as_str_find(s, sep);
    as_str part[3] = {s, {"", 0}, {"", 0}};
    if (hit != SIZE_MAX) {
        part[0] = (as_str){s.p, hit};
        part[1] = sep;
        part[2] = (as_str){s.p + hit + sep.n, s.n - hit - sep.n};
    } else if (right) {
        part[0] = part[1];
        part[2] = s;
    }
    tp_list *l = NULL;
    if (!tp_list_new(r, TP_TUPLE, 3, &l, out))
        return false;
    for (int i = 0; i < 3; i++)
        if (!tp_text_like(r, self, part[i], &l->v[i]))
            return false;
    return true;
}

static bool m_partition(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return partition(r, self, a, false, out);
}

static bool m_rpartition(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return partition(r, self, a, true, out);
}

static bool m_splitlines(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    bool keep = false;
    if (a[0].kind != TP_MISSING && !tp_truth(r, a[0], &keep))
        return false;
    return tp_split_lines(r, self, keep, out);
}

/* ---- looking --------------------------------------------------------------------------------- */

/* self[start:end] as bytes, and the offset in characters where it begins; false in *is_in when the
 * start lies behind the end of the text. */
static bool window(tp_run *r, tp_value self, const tp_value *a, as_str *out, int64_t *start,
                   bool *is_in)
{
    const int64_t n = (int64_t)self.u.text->n_chars;
    int64_t end = n;
    if (!int_arg(r, a[0], 0, start) || !int_arg(r, a[1], n, &end))
        return false;
    if (*start < 0)
        *start = *start + n < 0 ? 0 : *start + n;
    if (end < 0)
        end = end + n < 0 ? 0 : end + n;
    end = end > n ? n : end;
    *is_in = *start <= n && *start <= end;
    const as_str s = tp_str(self);
    if (*is_in) {
        const size_t from = tp_char_offset(s, (size_t)n, (size_t)*start);
        const size_t to = tp_char_offset(s, (size_t)n, (size_t)end);
        *out = (as_str){s.p + from, to - from};
    }
    return tp_step(r, s.n / 16);
}

static bool find(tp_run *r, tp_value self, const tp_value *a, bool right, bool must, tp_value *out)
{
    as_str needle, s = {"", 0};
    int64_t start = 0;
    bool is_in = false;
    if (!text_arg(r, a[0], &needle) || !window(r, self, a + 1, &s, &start, &is_in))
        return false;
    const size_t hit = !is_in ? SIZE_MAX : right ? as_str_rfind(s, needle) : as_str_find(s, needle);
    if (hit == SIZE_MAX && must)
        return tp_raise(r, "ValueError", "substring not found");
    *out = tp_int(hit == SIZE_MAX ? -1 : start + (int64_t)tp_chars((as_str){s.p, hit}));
    return true;
}

static bool m_find(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return find(r, self, a, false, false, out);
}

static bool m_rfind(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return find(r, self, a, true, false, out);
}

static bool m_index(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return find(r, self, a, false, true, out);
}

static bool m_rindex(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return find(r, self, a, true, true, out);
}

static bool m_count(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    as_str needle, s = {"", 0};
    int64_t start = 0, n = 0;
    bool is_in = false;
    if (!text_arg(r, a[0], &needle) || !window(r, self, a + 1, &s, &start, &is_in))
        return false;
    if (is_in && needle.n == 0)
        n = (int64_t)tp_chars(s) + 1;
    while (is_in && needle.n > 0) {
        const size_t hit = as_str_find(s, needle);
        if (hit == SIZE_MAX)
            break;
        n++;
        s = (as_str){s.p + hit + needle.n, s.n - hit - needle.n};
    }
    *out = tp_int(n);
    return true;
}

static bool affix(tp_run *r, tp_value self, const tp_value *a, bool at_end, tp_value *out)
{
    as_str s = {"", 0};
    int64_t start = 0;
    bool is_in = false;
    const bool is_tuple = a[0].kind == TP_TUPLE;
    if (!is_tuple && a[0].kind != TP_TEXT && a[0].kind != TP_UNDEFINED)
        return tp_raise(r, "TypeError", "%s first arg must be str or a tuple of str, not %s",
                        at_end ? "endswith" : "startswith", tp_type_name(a[0]));
    if (!window(r, self, a + 1, &s, &start, &is_in))
        return false;
    const size_t n = is_tuple ? a[0].u.list->n : 1;
    *out = tp_bool(false);
    for (size_t i = 0; i < n && !out->u.b; i++) {
        as_str part;
        if (!text_arg(r, is_tuple ? a[0].u.list->v[i] : a[0], &part))
            return false;
        out->u.b = is_in && (at_end ? as_str_ends(s, part) : as_str_starts(s, part));
    }
    return true;
}

static bool m_startswith(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return affix(r, self, a, false, out);
}

static bool m_endswith(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return affix(r, self, a, true, out);
}

static bool m_removeprefix(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    as_str part, s = tp_str(self);
    if (!text_arg(r, a[0], &part))
        return false;
    if (as_str_starts(s, part))
        s = (as_str){s.p + part.n, s.n - part.n};
    return tp_text_like(r, self, s, out);
}

static bool m_removesuffix(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    as_str part, s = tp_str(self);
    if (!text_arg(r, a[0], &part))
        return false;
    if (as_str_ends(s, part))
        s.n -= part.n;
    return tp_text_like(r, self, s, out);
}

/* ---- classes --------------------------------------------------------------------------------- */

/* True when every character has one of the classes, and there is one. */
static bool all_of(tp_run *r, tp_value self, unsigned classes, tp_value *out)
{
    const as_str s = tp_str(self);
    *out = tp_bool(s.n > 0);
    for (size_t i = 0; i < s.n && out->u.b;) {
        size_t len = 0;
        out->u.b = (tp_classes(tp_decode((as_str){s.p + i, s.n - i}, &len)) & classes) != 0;
        i += len;
    }
    return tp_step(r, s.n / 8);
}

/* One cased letter at least, and none of the other case. */
static bool all_cased(tp_run *r, tp_value self, unsigned wanted, unsigned other, tp_value *out)
{
    const as_str s = tp_str(self);
    bool found = false;
    *out = tp_bool(false);
    for (size_t i = 0; i < s.n;) {
        size_t len = 0;
        const unsigned c = tp_classes(tp_decode((as_str){s.p + i, s.n - i}, &len));
        if ((c & (other | TP_C_TITLE)) != 0)
            return true;
        found = found || (c & wanted) != 0;
        i += len;
    }
    *out = tp_bool(found);
    return tp_step(r, s.n / 8);
}

static bool m_isalpha(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_of(r, self, TP_C_ALPHA, out);
}

static bool m_isalnum(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_of(r, self, TP_C_ALPHA | TP_C_DECIMAL | TP_C_DIGIT | TP_C_NUMERIC, out);
}

static bool m_isdecimal(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_of(r, self, TP_C_DECIMAL, out);
}

static bool m_isdigit(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_of(r, self, TP_C_DIGIT, out);
}

static bool m_isnumeric(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_of(r, self, TP_C_NUMERIC, out);
}

static bool m_isspace(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_of(r, self, TP_C_SPACE, out);
}

static bool m_isprintable(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    if (!all_of(r, self, TP_C_PRINT, out))
        return false;
    out->u.b = out->u.b || self.u.text->n == 0;
    return true;
}

static bool m_isascii(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    *out = tp_bool(self.u.text->n == self.u.text->n_chars);
    return true;
}

static bool m_islower(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_cased(r, self, TP_C_LOWER, TP_C_UPPER, out);
}

static bool m_isupper(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return all_cased(r, self, TP_C_UPPER, TP_C_LOWER, out);
}

static bool m_istitle(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    const as_str s = tp_str(self);
    bool was_cased = false, found = false;
    *out = tp_bool(false);
    for (size_t i = 0; i < s.n;) {
        size_t len = 0;
        const unsigned c = tp_classes(tp_decode((as_str){s.p + i, s.n - i}, &len));
        const bool is_upper = (c & (TP_C_UPPER | TP_C_TITLE)) != 0;
        const bool is_lower = (c & TP_C_LOWER) != 0;
        if ((is_upper && was_cased) || (is_lower && !was_cased))
            return true;
        was_cased = is_upper || is_lower;
        found = found || was_cased;
        i += len;
    }
    *out = tp_bool(found);
    return tp_step(r, s.n / 8);
}

static bool m_isidentifier(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    const as_str s = tp_str(self);
    *out = tp_bool(s.n > 0);
    for (size_t i = 0; i < s.n && out->u.b;) {
        size_t len = 0;
        const unsigned c = tp_classes(tp_decode((as_str){s.p + i, s.n - i}, &len));
        out->u.b = (c & (i == 0 ? TP_C_ID_START : TP_C_ID_CONTINUE)) != 0;
        i += len;
    }
    return tp_step(r, s.n / 8);
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool m_replace(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    as_str from, to;
    int64_t count = -1;
    return text_arg(r, a[0], &from) && text_arg(r, a[1], &to) && int_arg(r, a[2], -1, &count) &&
           tp_replace(r, tp_str(self), from, to, count, self.u.text->is_safe, out);
}

static bool m_join(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    tp_value list;
    as_buf b;
    if (!tp_to_list(r, a[0], TP_LIST, &list))
        return false;
    tp_buf_start(r, &b);
    for (size_t i = 0; i < list.u.list->n; i++) {
        tp_value item = list.u.list->v[i];
        if (item.kind != TP_TEXT) {
            (void)tp_raise(r, "TypeError", "sequence item %zu: expected str instance, %s found", i,
                           tp_type_name(item));
            return tp_buf_drop(&b);
        }
        if (self.u.text->is_safe && !tp_escape_text(r, item, &item))
            return tp_buf_drop(&b);
        if (i > 0)
            (void)as_buf_add(&b, tp_str(self));
        if (!tp_print(r, item, &b))
            return tp_buf_drop(&b);
    }
    return tp_buf_end(r, &b, self.u.text->is_safe, out);
}

static bool pad(tp_run *r, tp_value self, const tp_value *a, int left_share, tp_value *out)
{
    int64_t width = 0;
    as_str fill = AS_STR(" ");
    if (!int_arg(r, a[0], 0, &width) || (a[1].kind != TP_MISSING && !text_arg(r, a[1], &fill)))
        return false;
    if (tp_chars(fill) != 1)
        return tp_raise(r, "TypeError", "the fill character must be exactly one character long");
    return tp_pad(r, self, width, fill, left_share, out);
}

static bool m_ljust(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return pad(r, self, a, 0, out);
}

static bool m_rjust(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return pad(r, self, a, 1, out);
}

static bool m_center(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return pad(r, self, a, 2, out);
}

static bool m_zfill(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    int64_t width = 0;
    const as_str s = tp_str(self);
    if (!int_arg(r, a[0], 0, &width))
        return false;
    const bool has_sign = s.n > 0 && (s.p[0] == '+' || s.p[0] == '-');
    tp_value digits, sign;
    if (!has_sign)
        return tp_pad(r, self, width, AS_STR("0"), 1, out);
    return tp_text_like(r, self, (as_str){s.p, 1}, &sign) &&
           tp_text_like(r, self, (as_str){s.p + 1, s.n - 1}, &digits) &&
           tp_pad(r, digits, width - 1, AS_STR("0"), 1, &digits) &&
           tp_binary(r, TP_ADD, sign, digits, out);
}

static bool m_expandtabs(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    int64_t size = 8, column = 0;
    const as_str s = tp_str(self);
    as_buf b;
    if (!int_arg(r, a[0], 8, &size))
        return false;
    tp_buf_start(r, &b);
    for (size_t i = 0; i < s.n && !b.is_full; i++) {
        const char c = s.p[i];
        if (c != '\t') {
            (void)as_buf_add_byte(&b, c);
            column = c == '\n' || c == '\r' ? 0 : column + (((unsigned char)c & 0xC0) != 0x80);
            continue;
        }
        for (int64_t n = size > 0 ? size - column % size : 0; n > 0 && !b.is_full; n--, column++)
            (void)as_buf_add_byte(&b, ' ');
    }
    return tp_step(r, b.n / 16) ? tp_buf_end(r, &b, self.u.text->is_safe, out) : tp_buf_drop(&b);
}

static bool m_format(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    return tp_format(r, self, args, out);
}

static bool m_format_map(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    if (args->n_pos != 1 || args->n_kw != 0 || args->pos[0].kind != TP_DICT)
        return tp_raise(r, "TypeError", "format_map() takes exactly one mapping");
    const tp_dict *d = args->pos[0].u.dict;
    as_str *names = tp_alloc(r, d->n + 1, sizeof *names);
    if (names == NULL)
        return false;
    for (size_t i = 0; i < d->n; i++)
        if (d->keys[i].kind == TP_TEXT)
            names[i] = tp_str(d->keys[i]);
    return tp_format(r, self, &(tp_args){NULL, 0, names, d->values, d->n}, out);
}

static const tp_function methods[] = {
    {"capitalize", "", 0, m_capitalize, NULL},
    {"casefold", "", 0, m_casefold, NULL},
    {"center", "width fillchar /", 1, m_center, NULL},
    {"count", "sub start end /", 1, m_count, NULL},
    {"endswith", "suffix start end /", 1, m_endswith, NULL},
    {"expandtabs", "tabsize", 0, m_expandtabs, NULL},
    {"find", "sub start end /", 1, m_find, NULL},
    {"format", NULL, 0, NULL, m_format},
    {"format_map", NULL, 0, NULL, m_format_map},
    {"index", "sub start end /", 1, m_index, NULL},
    {"isalnum", "", 0, m_isalnum, NULL},
    {"isalpha", "", 0, m_isalpha, NULL},
    {"isascii", "", 0, m_isascii, NULL},
    {"isdecimal", "", 0, m_isdecimal, NULL},
    {"isdigit", "", 0, m_isdigit, NULL},
    {"isidentifier", "", 0, m_isidentifier, NULL},
    {"islower", "", 0, m_islower, NULL},
    {"isnumeric", "", 0, m_isnumeric, NULL},
    {"isprintable", "", 0, m_isprintable, NULL},
    {"isspace", "", 0, m_isspace, NULL},
    {"istitle", "", 0, m_istitle, NULL},
    {"isupper", "", 0, m_isupper, NULL},
    {"join", "iterable /", 1, m_join, NULL},
    {"ljust", "width fillchar /", 1, m_ljust, NULL},
    {"lower", "", 0, m_lower, NULL},
    {"lstrip", "chars /", 0, m_lstrip, NULL},
    {"partition", "sep /", 1, m_partition, NULL},
    {"removeprefix", "prefix /", 1, m_removeprefix, NULL},
    {"removesuffix", "suffix /", 1, m_removesuffix, NULL},
    {"replace", "old new count /", 2, m_replace, NULL},
    {"rfind", "sub start end /", 1, m_rfind, NULL},
    {"rindex", "sub start end /", 1, m_rindex, NULL},
    {"rjust", "width fillchar /", 1, m_rjust, NULL},
    {"rpartition", "sep /", 1, m_rpartition, NULL},
    {"rsplit", "sep maxsplit", 0, m_rsplit, NULL},
    {"rstrip", "chars /", 0, m_rstrip, NULL},
    {"split", "sep maxsplit", 0, m_split, NULL},
    {"splitlines", "keepends", 0, m_splitlines, NULL},
    {"startswith", "prefix start end /", 1, m_startswith, NULL},
    {"strip", "chars /", 0, m_strip, NULL},
    {"swapcase", "", 0, m_swapcase, NULL},
    {"title", "", 0, m_title, NULL},
    {"upper", "", 0, m_upper, NULL},
    {"zfill", "width /", 1, m_zfill, NULL},
    {NULL, NULL, 0, NULL, NULL},
};

const tp_function *tp_text_method(as_str name)
{
    return tp_find_function(methods, name);
}
