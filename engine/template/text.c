/*
 * text.c — work on strings that methods and filters share.
 */
#include "engine/template/impl.h"

#include "base/utf8.h"

bool tp_need_text(tp_run *r, tp_value v, const char *who)
{
    if (v.kind == TP_TEXT)
        return true;
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    return tp_raise(r, "TypeError", "%s needs a string, not %s", who, tp_type_name(v));
}

bool tp_need_int(tp_run *r, tp_value v, const char *who, int64_t *out)
{
    if (tp_as_int(v, out))
        return true;
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    return tp_raise(r, "TypeError", "%s needs an integer, not %s", who, tp_type_name(v));
}

bool tp_text_like(tp_run *r, tp_value like, as_str bytes, tp_value *out)
{
    return tp_text_wrap(r, bytes, like.u.text->is_safe, out);
}

/* ---- strip ----------------------------------------------------------------------------------- */

static bool is_stripped(as_str one, const as_str *chars)
{
    if (chars != NULL)
        return as_str_find(*chars, one) != SIZE_MAX;
    size_t len = 0;
    return tp_is_space(tp_decode(one, &len));
}

bool tp_strip(tp_run *r, tp_value v, tp_value chars, bool left, bool right, tp_value *out)
{
    as_str s = tp_str(v), set = AS_STR("");
    const bool has_set = chars.kind != TP_MISSING && chars.kind != TP_NONE;
    if (has_set && !tp_need_text(r, chars, "strip"))
        return false;
    if (has_set)
        set = tp_str(chars);
    if (!tp_step(r, s.n / 16 + (set.n > 64 ? s.n / 16 * (set.n / 64) : 0)))
        return false;
    while (left && s.n > 0) {
        size_t len = 0;
        (void)tp_decode(s, &len);
        if (!is_stripped((as_str){s.p, len}, has_set ? &set : NULL))
            break;
        s = (as_str){s.p + len, s.n - len};
    }
    while (right && s.n > 0) {
        size_t at = s.n - 1;
        while (at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80)
            at--;
        if (!is_stripped((as_str){s.p + at, s.n - at}, has_set ? &set : NULL))
            break;
        s.n = at;
    }
    return tp_text_like(r, v, s, out);
}

/* ---- case ------------------------------------------------------------------------------------ */

static void add_code(as_buf *b, uint32_t code)
{
    char z[4];
    (void)as_buf_add(b, (as_str){z, as_utf8_encode(code, z)});
}

/* Is there a cased letter in front of (behind) the offset, leaving out what does not count? */
static bool has_cased(as_str s, size_t at, bool behind)
{
    for (int looked = 0; looked < 64; looked++) {
        size_t len = 0;
        if (behind ? at >= s.n : at == 0)
            return false;
        if (!behind)
            do
                at--;
            while (at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80);
        const uint32_t code = tp_decode((as_str){s.p + at, s.n - at}, &len);
        if (behind)
            at += len;
        const unsigned classes = tp_classes(code);
        if ((classes & TP_C_IGNORABLE) == 0)
            return (classes & TP_C_CASED) != 0;
    }
    return false;
}

static void map_one(as_buf *b, as_str s, size_t at, size_t len, uint32_t code, int how)
{
    uint32_t to[3];
    if (code == 0x3A3 && how == TP_TO_LOWER) { /* capital sigma, at the end of a word or not */
        const bool is_final = has_cased(s, at, false) && !has_cased(s, at + len, true);
        add_code(b, is_final ? 0x3C2 : 0x3C3);
        return;
    }
    const int n = tp_map_case(code, how, to);
    for (int i = 0; i < n; i++)
        add_code(b, to[i]);
}

typedef enum casing { CASE_ALL, CASE_CAPITALIZE, CASE_TITLE, CASE_SWAP } casing;

static bool change(tp_run *r, tp_value v, casing kind, int how, tp_value *out)
{
    const as_str s = tp_str(v);
    as_buf b;
    tp_buf_start(r, &b);
    if (!tp_step(r, s.n / 8))
        return tp_buf_drop(&b);
    bool was_cased = false;
    for (size_t i = 0; i < s.n && !b.is_full;) {
        size_t len = 0;
        const uint32_t code = tp_decode((as_str){s.p + i, s.n - i}, &len);
        int to = how;
        if (kind == CASE_CAPITALIZE)
            to = i == 0 ? TP_TO_TITLE : TP_TO_LOWER;
        else if (kind == CASE_TITLE)
            to = was_cased ? TP_TO_LOWER : TP_TO_TITLE;
        else if (kind == CASE_SWAP)
            to = (tp_classes(code) & TP_C_UPPER) != 0 ? TP_TO_LOWER : TP_TO_UPPER;
        if (kind == CASE_TITLE)
            was_cased = (tp_classes(code) & TP_C_CASED) != 0;
        map_one(&b, s, i, len, code, to);
        i += len;
    }
    return tp_buf_end(r, &b, v.u.text->is_safe, out);
}

bool tp_change_case(tp_run *r, tp_value v, int how, tp_value *out)
{
    return change(r, v, CASE_ALL, how, out);
}

bool tp_capitalize(tp_run *r, tp_value v, tp_value *out)
{
    return change(r, v, CASE_CAPITALIZE, 0, out);
}

bool tp_title(tp_run *r, tp_value v, tp_value *out)
{
    return change(r, v, CASE_TITLE, 0, out);
}

bool tp_swap_case(tp_run *r, tp_value v, tp_value *out)
{
    return change(r, v, CASE_SWAP, 0, out);
}

/* ---- replace --------------------------------------------------------------------------------- */

static bool insert_everywhere(tp_run *r, as_str s, as_str to, int64_t count, bool is_safe,
                              tp_value *out)
{
    as_buf b;
    tp_buf_start(r, &b);
    for (size_t i = 0; i <= s.n && !b.is_full;) {
        size_t len = 0;
        if (count != 0)
            (void)as_buf_add(&b, to);
        count -= count > 0;
        if (i == s.n)
            break;
        (void)tp_decode((as_str){s.p + i, s.n - i}, &len);
        (void)as_buf_add(&b, (as_str){s.p + i, len});
        i += len;
    }
    return tp_step(r, b.n / 16) ? tp_buf_end(r, &b, is_safe, out) : tp_buf_drop(&b);
}

bool tp_replace(tp_run *r, as_str s, as_str from, as_str to, int64_t count, bool is_safe,
                tp_value *out)
{
    if (from.n == 0)
        return insert_everywhere(r, s, to, count, is_safe, out);
    as_buf b;
    tp_buf_start(r, &b);
    if (!tp_step(r, s.n / 16))
        return tp_buf_drop(&b);
    while (count != 0 && !b.is_full) {
        const size_t hit = as_str_find(s, from);
        if (hit == SIZE_MAX)
            break;
        (void)as_buf_add(&b, (as_str){s.p, hit});
        (void)as_buf_add(&b, to);
        s = (as_str){s.p + hit + from.n, s.n - hit - from.n};
        count -= count > 0;
    }
    (void)as_buf_add(&b, s);
    return tp_step(r, b.n / 32) ? tp_buf_end(r, &b, is_safe, out) : tp_buf_drop(&b);
}

/* ---- lines and padding ----------------------------------------------------------------------- */

static bool is_line_end(uint32_t code)
{
    return (code >= 10 && code <= 13) || (code >= 0x1C && code <= 0x1E) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

/* The length of the first line of s, and of what ends it. */
static void first_line(as_str s, size_t *line, size_t *end)
{
    *end = 0;
    for (*line = 0; *line < s.n;) {
        size_t len = 0;
        const uint32_t code = tp_decode((as_str){s.p + *line, s.n - *line}, &len);
        if (is_line_end(code)) {
            *end = len + (code == '\r' && *line + 1 < s.n && s.p[*line + 1] == '\n');
            return;
        }
        *line += len;
    }
}

bool tp_split_lines(tp_run *r, tp_value v, bool keep_ends, tp_value *out)
{
    size_t n = 0, line = 0, end = 0;
    for (as_str s = tp_str(v); s.n > 0; n++) {
        first_line(s, &line, &end);
        s = (as_str){s.p + line + end, s.n - line - end};
    }
    tp_list *l = NULL;
    if (!tp_step(r, v.u.text->n / 8) || !tp_list_new(r, TP_LIST, n, &l, out))
        return false;
    as_str s = tp_str(v);
    for (size_t i = 0; i < n; i++) {
        first_line(s, &line, &end);
        if (!tp_text_like(r, v, (as_str){s.p, line + (keep_ends ? end : 0)}, &l->v[i]))
            return false;
        s = (as_str){s.p + line + end, s.n - line - end};
    }
    return true;
}

/* left_share: 0 pads on the right, 1 on the left, 2 on both sides as str.center does. */
bool tp_pad(tp_run *r, tp_value v, int64_t width, as_str fill, int left_share, tp_value *out)
{
    const int64_t n = (int64_t)v.u.text->n_chars;
    *out = v;
    if (width <= n)
        return true;
    const int64_t pad = width - n;
    int64_t left = left_share == 0 ? 0 : pad;
    if (left_share == 2)
        left = pad / 2 + (pad & width & 1);
    if ((size_t)width > r->limits.max_out_bytes || !tp_step(r, (size_t)width / 16))
        return tp_raise(r, "LimitError", "a string grows beyond %zu bytes",
                        r->limits.max_out_bytes);
    as_buf b;
    tp_buf_start(r, &b);
    for (int64_t i = 0; i < left; i++)
        (void)as_buf_add(&b, fill);
    (void)as_buf_add(&b, tp_str(v));
    for (int64_t i = left; i < pad; i++)
        (void)as_buf_add(&b, fill);
    return tp_buf_end(r, &b, v.u.text->is_safe, out);
}
