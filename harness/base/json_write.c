#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

void as_jw_init(as_jw *w, as_buf *out)
{
    *w = (as_jw){.out = out};
}

static void before_value(as_jw *w)
{
    if (w->need_comma)
        (void)as_buf_add_byte(w->out, ',');
    w->need_comma = true;
}

void as_jw_begin_object(as_jw *w)
{
    before_value(w);
    (void)as_buf_add_byte(w->out, '{');
    w->need_comma = false;
}

void as_jw_end_object(as_jw *w)
{
    (void)as_buf_add_byte(w->out, '}');
    w->need_comma = true;
}

void as_jw_begin_array(as_jw *w)
{
    before_value(w);
    (void)as_buf_add_byte(w->out, '[');
    w->need_comma = false;
}

void as_jw_end_array(as_jw *w)
{
    (void)as_buf_add_byte(w->out, ']');
    w->need_comma = true;
}

/* U+0085, U+2028 and U+2029 end lines for some readers of JSON Lines: they are escaped. */
static const char *line_end_escape(as_str at, size_t step)
{
    if (step == 2 && memcmp(at.p, "\xC2\x85", 2) == 0)
        return "\\u0085";
    if (step == 3 && memcmp(at.p, "\xE2\x80\xA8", 3) == 0)
        return "\\u2028";
    if (step == 3 && memcmp(at.p, "\xE2\x80\xA9", 3) == 0)
        return "\\u2029";
    return NULL;
}

static void put_text(as_buf *b, as_str s)
{
    (void)as_buf_add_byte(b, '"');
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < s.n;) {
        const unsigned char c = (unsigned char)s.p[i];
        const size_t step = c < 0x80 ? 1 : as_utf8_len(as_str_sub(s, i, s.n));
        const char *line_end = step > 1 ? line_end_escape(as_str_sub(s, i, s.n), step) : NULL;
        if (step != 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7F && line_end == NULL) {
            i += step;
            continue;
        }
        (void)as_buf_add(b, as_str_sub(s, plain, i));
        if (line_end != NULL) {
            (void)as_buf_add_z(b, line_end);
            i += step;
            plain = i;
            continue;
        }
        if (step == 0)
            (void)as_buf_add_z(b, "\xEF\xBF\xBD");
        else if (c == '"' || c == '\\')
            (void)as_buf_printf(b, "\\%c", c);
        else if (c == '\n')
            (void)as_buf_add_z(b, "\\n");
        else if (c == '\t')
            (void)as_buf_add_z(b, "\\t");
        else if (c == '\r')
            (void)as_buf_add_z(b, "\\r");
        else
            (void)as_buf_printf(b, "\\u%04x", c);
        i++;
        plain = i;
    }
    (void)as_buf_add(b, as_str_sub(s, plain, s.n));
    (void)as_buf_add_byte(b, '"');
}

void as_jw_key_str(as_jw *w, as_str key)
{
    before_value(w);
    put_text(w->out, key);
    (void)as_buf_add_byte(w->out, ':');
    w->need_comma = false;
}

void as_jw_key(as_jw *w, const char *key)
{
    as_jw_key_str(w, as_str_of(key));
}

void as_jw_str(as_jw *w, as_str text)
{
    before_value(w);
    put_text(w->out, text);
}

void as_jw_z(as_jw *w, const char *text)
{
    if (text != NULL)
        as_jw_str(w, as_str_of(text));
    else
        as_jw_null(w);
}

void as_jw_i64(as_jw *w, int64_t v)
{
    before_value(w);
    (void)as_buf_printf(w->out, "%lld", (long long)v);
}

void as_f64_text(char z[32], double v)
{
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(z, 32, "%.*g", digits, v);
        double back = 0;
        if (as_parse_f64(as_str_of(z), &back) && back == v)
            return;
    }
}

void as_jw_f64(as_jw *w, double v)
{
    if (!isfinite(v)) {
        as_jw_null(w);
        return;
    }
    before_value(w);
    char z[32];
    as_f64_text(z, v);
    (void)as_buf_add_z(w->out, z);
}

void as_jw_bool(as_jw *w, bool v)
{
    before_value(w);
    (void)as_buf_add_z(w->out, v ? "true" : "false");
}

void as_jw_null(as_jw *w)
{
    before_value(w);
    (void)as_buf_add_z(w->out, "null");
}

void as_jw_put_str(as_jw *w, const char *key, as_str text)
{
    as_jw_key(w, key);
    as_jw_str(w, text);
}

void as_jw_put_z(as_jw *w, const char *key, const char *text)
{
    as_jw_key(w, key);
    as_jw_z(w, text);
}

void as_jw_put_i64(as_jw *w, const char *key, int64_t v)
{
    as_jw_key(w, key);
    as_jw_i64(w, v);
}

void as_jw_put_f64(as_jw *w, const char *key, double v)
{
    as_jw_key(w, key);
    as_jw_f64(w, v);
}

void as_jw_put_bool(as_jw *w, const char *key, bool v)
{
    as_jw_key(w, key);
    as_jw_bool(w, v);
}

void as_jw_put_ids(as_jw *w, const char *key, const int32_t *ids, int n)
{
    as_jw_key(w, key);
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++)
        as_jw_i64(w, ids[i]);
    as_jw_end_array(w);
}

void as_jw_raw(as_jw *w, as_str json)
{
    before_value(w);
    (void)as_buf_add(w->out, json);
}

void as_jw_node(as_jw *w, const as_json *node)
{
    as_str s = {0};
    double v = 0;
    bool b = false;
    switch (as_json_type(node)) {
    case AS_JSON_NONE:
    case AS_JSON_NULL:
        as_jw_null(w);
        break;
    case AS_JSON_BOOL:
        (void)as_json_bool(node, &b);
        as_jw_bool(w, b);
        break;
    case AS_JSON_NUMBER:
        (void)as_json_f64(node, &v);
        as_jw_f64(w, v);
        break;
    case AS_JSON_STRING:
        (void)as_json_str(node, &s);
        as_jw_str(w, s);
        break;
    case AS_JSON_ARRAY:
        as_jw_begin_array(w);
        for (const as_json *c = as_json_first(node); c != NULL; c = as_json_next(c))
            as_jw_node(w, c);
        as_jw_end_array(w);
        break;
    case AS_JSON_OBJECT:
        as_jw_begin_object(w);
        for (const as_json *c = as_json_first(node); c != NULL; c = as_json_next(c)) {
            as_jw_key_str(w, as_json_key(c));
            as_jw_node(w, c);
        }
        as_jw_end_object(w);
        break;
    }
}
