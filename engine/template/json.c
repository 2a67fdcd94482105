/*
 * json.c — JSON to values, as Python's json reads it, and tojson, as json.dumps writes it.
 *
 * Unlike base/json.h the reader keeps 1 and 1.0 apart.
 */
#include "engine/template/impl.h"

#include "base/utf8.h"

#include <math.h>

typedef struct reader {
    tp_run *r;
    as_str s;
    size_t at;
} reader;

static bool read_value(reader *j, tp_value *out);

static bool bad(reader *j, const char *what)
{
    return tp_raise(j->r, "ValueError", "bad JSON at byte %zu: %s", j->at, what);
}

static void skip_blanks(reader *j)
{
    while (j->at < j->s.n && as_is_one_of(j->s.p[j->at], " \t\n\r"))
        j->at++;
}

static bool skip_char(reader *j, char c)
{
    skip_blanks(j);
    const bool is_there = j->at < j->s.n && j->s.p[j->at] == c;
    j->at += is_there;
    return is_there;
}

static bool read_hex4(reader *j, uint32_t *code)
{
    *code = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        const int d = j->at < j->s.n ? as_hex_digit(j->s.p[j->at]) : -1;
        if (d < 0)
            return bad(j, "want four hex digits");
        *code = *code << 4 | (uint32_t)d;
    }
    return true;
}

/* Behind \u: one code point; halves that have no partner become U+FFFD. */
static bool read_unicode(reader *j, uint32_t *code)
{
    uint32_t low = 0;
    if (!read_hex4(j, code))
        return false;
    if (*code < 0xD800 || *code > 0xDFFF)
        return true;
    const size_t back = j->at;
    const bool may_pair =
        *code < 0xDC00 && j->s.n - j->at >= 6 && j->s.p[j->at] == '\\' && j->s.p[j->at + 1] == 'u';
    if (may_pair) {
        j->at += 2;
        if (!read_hex4(j, &low))
            return false;
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
            return true;
        }
        j->at = back;
    }
    *code = 0xFFFD;
    return true;
}

static bool read_escape(reader *j, char *out, size_t *n)
{
    static const char pairs[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    const char c = j->at < j->s.n ? j->s.p[j->at++] : '\0';
    uint32_t code = 0;
    if (c == 'u') {
        if (!read_unicode(j, &code))
            return false;
        *n += as_utf8_encode(code, out + *n);
        return true;
    }
    for (size_t i = 0; c != '\0' && pairs[i] != '\0'; i += 2) {
        if (pairs[i] == c) {
            out[(*n)++] = pairs[i + 1];
            return true;
        }
    }
    return bad(j, "unknown escape");
}

static bool read_text(reader *j, tp_value *out)
{
    const size_t from = ++j->at;
    size_t end = from;
    while (end < j->s.n && j->s.p[end] != '"')
        end += j->s.p[end] == '\\' ? 2 : 1;
    if (end >= j->s.n)
        return bad(j, "a string has no end");
    char *p = tp_alloc(j->r, end - from + 1, 3); /* each bad byte may take three */
    size_t n = 0;
    if (p == NULL)
        return false;
    while (j->at < end) {
        const size_t len = as_utf8_len((as_str){j->s.p + j->at, end - j->at});
        const char c = j->s.p[j->at];
        if (len == 0) {
            n += as_utf8_encode(0xFFFD, p + n);
            j->at++;
        } else if (c == '\\') {
            j->at++;
            if (!read_escape(j, p, &n))
                return false;
        } else if ((unsigned char)c < 0x20) {
            return bad(j, "a control character stands in a string");
        } else {
            memcpy(p + n, j->s.p + j->at, len);
            n += len;
            j->at += len;
        }
    }
    j->at = end + 1;
    return tp_text_wrap(j->r, (as_str){p, n}, false, out);
}

static bool read_list(reader *j, tp_value *out)
{
    tp_value *v = NULL;
    size_t n = 0, cap = 0;
    j->at++;
    while (!skip_char(j, ']')) {
        if (n > 0 && !skip_char(j, ','))
            return bad(j, "want , or ]");
        if (n == cap) {
            cap = cap == 0 ? 4 : cap * 2;
            tp_value *bigger = tp_alloc(j->r, cap, sizeof *v);
            if (bigger == NULL)
                return false;
            if (n > 0)
                memcpy(bigger, v, n * sizeof *v);
            v = bigger;
        }
        if (!read_value(j, &v[n++]))
            return false;
    }
    tp_list *l = tp_alloc(j->r, 1, sizeof *l);
    if (l == NULL)
        return false;
    *l = (tp_list){.v = v, .n = n};
    *out = (tp_value){.kind = TP_LIST, .u.list = l};
    return true;
}

static bool read_dict(reader *j, tp_value *out)
{
    tp_dict *d = NULL;
    bool is_first = true;
    j->at++;
    if (!tp_dict_new(j->r, &d, out))
        return false;
    while (!skip_char(j, '}')) {
        tp_value key, value;
        if (!is_first && !skip_char(j, ','))
            return bad(j, "want , or }");
        is_first = false;
        skip_blanks(j);
        if (j->at >= j->s.n || j->s.p[j->at] != '"')
            return bad(j, "want the name of a member");
        if (!read_text(j, &key))
            return false;
        if (!skip_char(j, ':'))
            return bad(j, "want :");
        if (!read_value(j, &value) || !tp_dict_set(j->r, d, key, value))
            return false;
    }
    return true;
}

static bool read_word(reader *j, tp_value *out)
{
    const struct {
        as_str word;
        tp_value v;
    } words[] = {{AS_STR("true"), tp_bool(true)},
                 {AS_STR("false"), tp_bool(false)},
                 {AS_STR("null"), tp_none},
                 {AS_STR("NaN"), tp_float((double)NAN)},
                 {AS_STR("Infinity"), tp_float(HUGE_VAL)},
                 {AS_STR("-Infinity"), tp_float(-HUGE_VAL)}};
    const as_str rest = {j->s.p + j->at, j->s.n - j->at};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (as_str_starts(rest, words[i].word)) {
            *out = words[i].v;
            j->at += words[i].word.n;
            return true;
        }
    }
    return bad(j, "want a value");
}

static bool read_number(reader *j, tp_value *out)
{
    const size_t from = j->at;
    bool is_float = false;
    if (j->s.p[j->at] == '-')
        j->at++;
    if (j->at >= j->s.n || j->s.p[j->at] < '0' || j->s.p[j->at] > '9') {
        j->at = from;
        return read_word(j, out);
    }
    for (; j->at < j->s.n; j->at++) {
        const char c = j->s.p[j->at];
        if (c == '.' || c == 'e' || c == 'E')
            is_float = true;
        else if ((c < '0' || c > '9') && !(is_float && (c == '-' || c == '+')))
            break;
    }
    const as_str digits = {j->s.p + from, j->at - from};
    if (!is_float) {
        *out = tp_int(0);
        return as_parse_i64(digits, INT64_MIN, INT64_MAX, &out->u.i) ||
               bad(j, "the integer has more than 64 bits");
    }
    *out = tp_float(0);
    return tp_to_float(digits, &out->u.f) || bad(j, "the number cannot be read");
}

static bool read_value(reader *j, tp_value *out)
{
    skip_blanks(j);
    if (!tp_step(j->r, 1) || !tp_enter(j->r))
        return false;
    const char c = j->at < j->s.n ? j->s.p[j->at] : '\0';
    const bool is_ok = c == '"'                             ? read_text(j, out)
                       : c == '['                           ? read_list(j, out)
                       : c == '{'                           ? read_dict(j, out)
                       : c == '-' || (c >= '0' && c <= '9') ? read_number(j, out)
                                                            : read_word(j, out);
    tp_leave(j->r);
    return is_ok;
}

bool tp_from_json(tp_run *r, as_str text, tp_value *out)
{
    reader j = {r, text, 0};
    if (!read_value(&j, out))
        return false;
    skip_blanks(&j);
    return j.at == text.n || bad(&j, "text follows the value");
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    tp_run *r;
    as_buf out;
    as_str indent; /* of one level; p NULL: all on one line */
    as_str item_sep, key_sep;
    bool is_ascii, sort_keys;
    int level;
} writer;

static bool write_value(writer *w, tp_value v);

static void write_escaped(writer *w, uint32_t code)
{
    if (code >= 0x10000) {
        write_escaped(w, 0xD800 + ((code - 0x10000) >> 10));
        write_escaped(w, 0xDC00 + ((code - 0x10000) & 0x3FF));
        return;
    }
    (void)as_buf_printf(&w->out, "\\u%04x", code);
}

static void write_text(writer *w, as_str s)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    (void)as_buf_add_byte(&w->out, '"');
    for (size_t i = 0; i < s.n && !w->out.is_full;) {
        size_t len = 0;
        const uint32_t code = tp_decode((as_str){s.p + i, s.n - i}, &len);
        const char *pair = NULL;
        for (size_t k = 0; shorts[k] != '\0' && pair == NULL; k += 2)
            if (code == (uint32_t)(unsigned char)shorts[k])
                pair = shorts + k;
        if (pair != NULL)
            (void)as_buf_printf(&w->out, "\\%c", pair[1]);
        else if (code < 0x20 || (w->is_ascii && code > 0x7E))
            write_escaped(w, code);
        else
            (void)as_buf_add(&w->out, (as_str){s.p + i, len});
        i += len;
    }
    (void)as_buf_add_byte(&w->out, '"');
}

static void write_float(writer *w, double f)
{
    char z[40];
    tp_float_repr(z, f);
    (void)as_buf_add_z(&w->out, isnan(f)    ? "NaN"
                                : !isinf(f) ? z
                                : f > 0     ? "Infinity"
                                            : "-Infinity");
}

static void write_break(writer *w)
{
    if (w->indent.p == NULL)
        return;
    (void)as_buf_add_byte(&w->out, '\n');
    for (int i = 0; i < w->level && !w->out.is_full; i++)
        (void)as_buf_add(&w->out, w->indent);
}

static bool write_list(writer *w, const tp_list *l)
{
    (void)as_buf_add_byte(&w->out, '[');
    w->level++;
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0)
            (void)as_buf_add(&w->out, w->item_sep);
        write_break(w);
        if (!write_value(w, l->v[i]))
            return false;
    }
    w->level--;
    if (l->n > 0)
        write_break(w);
    (void)as_buf_add_byte(&w->out, ']');
    return true;
}

static bool write_key(writer *w, tp_value key)
{
    tp_value text = key;
    if (key.kind == TP_NONE || key.kind == TP_BOOL)
        text.kind = TP_MISSING;
    else if (key.kind != TP_INT && key.kind != TP_FLOAT && key.kind != TP_TEXT)
        return tp_raise(w->r, "TypeError", "keys must be str, int, float, bool or None, not %s",
                        tp_type_name(key));
    if (text.kind == TP_MISSING)
        write_text(w, key.kind == TP_NONE ? AS_STR("null")
                      : key.u.b           ? AS_STR("true")
                                          : AS_STR("false"));
    else if (!tp_to_text(w->r, key, &text))
        return false;
    else
        write_text(w, tp_str(text));
    return true;
}

static bool write_dict(writer *w, const tp_dict *d)
{
    size_t *order = tp_alloc(w->r, d->n + 1, sizeof *order);
    if (order == NULL)
        return false;
    for (size_t i = 0; i < d->n; i++) {
        size_t k = i;
        bool is_less = w->sort_keys;
        while (k > 0 && is_less) { /* insertion; keys are few */
            if (!tp_step(w->r, 1) ||
                !tp_less(w->r, d->keys[i], d->keys[order[k - 1]], "<", false, &is_less))
                return false;
            if (is_less) {
                order[k] = order[k - 1];
                k--;
            }
        }
        order[k] = i;
    }
    (void)as_buf_add_byte(&w->out, '{');
    w->level++;
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            (void)as_buf_add(&w->out, w->item_sep);
        write_break(w);
        if (!write_key(w, d->keys[order[i]]))
            return false;
        (void)as_buf_add(&w->out, w->key_sep);
        if (!write_value(w, d->values[order[i]]))
            return false;
    }
    w->level--;
    if (d->n > 0)
        write_break(w);
    (void)as_buf_add_byte(&w->out, '}');
    return true;
}

static bool write_value(writer *w, tp_value v)
{
    if (!tp_step(w->r, 1) || !tp_enter(w->r))
        return false;
    switch (v.kind) {
    case TP_NONE:
        (void)as_buf_add_z(&w->out, "null");
        break;
    case TP_BOOL:
        (void)as_buf_add_z(&w->out, v.u.b ? "true" : "false");
        break;
    case TP_INT:
        (void)as_buf_printf(&w->out, "%lld", (long long)v.u.i);
        break;
    case TP_FLOAT:
        write_float(w, v.u.f);
        break;
    case TP_TEXT:
        write_text(w, tp_str(v));
        break;
    case TP_LIST:
    case TP_TUPLE:
        if (!write_list(w, v.u.list))
            return false;
        break;
    case TP_DICT:
        if (!write_dict(w, v.u.dict))
            return false;
        break;
    default:
        return tp_raise(w->r, "TypeError", "Object of type %s is not JSON serializable",
                        tp_type_name(v));
    }
    tp_leave(w->r);
    return !w->out.is_full ||
           tp_raise(w->r, "LimitError", "a string grows beyond %zu bytes", w->out.max_bytes);
}

static bool read_indent(tp_run *r, tp_value v, as_str *out)
{
    int64_t n = 0;
    tp_value spaces, one;
    if (v.kind == TP_MISSING || v.kind == TP_NONE)
        return true;
    if (v.kind == TP_TEXT) {
        *out = tp_str(v);
        return true;
    }
    if (!tp_need_int(r, v, "tojson(indent)", &n) || !tp_text_wrap(r, AS_STR(" "), false, &one) ||
        !tp_binary(r, TP_MUL, one, tp_int(n), &spaces))
        return false;
    *out = tp_str(spaces);
    return true;
}

static bool read_separators(tp_run *r, tp_value v, writer *w)
{
    if (v.kind == TP_MISSING || v.kind == TP_NONE) {
        if (w->indent.p != NULL)
            w->item_sep = AS_STR(",");
        return true;
    }
    tp_value pair;
    if (!tp_to_list(r, v, TP_LIST, &pair))
        return false;
    if (pair.u.list->n != 2)
        return tp_raise(r, "ValueError", "separators must be two strings");
    if (!tp_need_text(r, pair.u.list->v[0], "separators") ||
        !tp_need_text(r, pair.u.list->v[1], "separators"))
        return false;
    w->item_sep = tp_str(pair.u.list->v[0]);
    w->key_sep = tp_str(pair.u.list->v[1]);
    return true;
}

/* tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False) */
bool tp_f_tojson(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    writer w = {.r = r, .item_sep = AS_STR(", "), .key_sep = AS_STR(": ")};
    if ((a[0].kind != TP_MISSING && !tp_truth(r, a[0], &w.is_ascii)) ||
        !read_indent(r, a[1], &w.indent) || !read_separators(r, a[2], &w) ||
        (a[3].kind != TP_MISSING && !tp_truth(r, a[3], &w.sort_keys)))
        return false;
    tp_buf_start(r, &w.out);
    return write_value(&w, v) ? tp_buf_end(r, &w.out, false, out) : tp_buf_drop(&w.out);
}
