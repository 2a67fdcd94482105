#define _GNU_SOURCE
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/*
 * cJSON keeps strings as C strings, so \u0000 would cut them short. Where a text holds that escape,
 * it is parsed with a Unicode noncharacter in its place (one that the text does not use), and put
 * back afterwards. Each string node keeps its length in valueint, which cJSON leaves unused there.
 */
enum { NONCHAR_FIRST = 0xFDD0, NONCHAR_LAST = 0xFDEF };

static bool find_nul_escape(as_str text, size_t from, size_t *at)
{
    for (size_t i = from; i + 1 < text.n;) {
        const char *hit = memchr(text.p + i, '\\', text.n - i);
        if (hit == NULL)
            return false;
        i = (size_t)(hit - text.p);
        if (text.n - i >= 6 && memcmp(hit, "\\u0000", 6) == 0) {
            *at = i;
            return true;
        }
        i += 2; /* the escaped character cannot start another escape */
    }
    return false;
}

static void noncharacter(unsigned code, char utf8[4], char hex[8])
{
    utf8[0] = (char)(0xE0 | (code >> 12));
    utf8[1] = (char)(0x80 | ((code >> 6) & 0x3F));
    utf8[2] = (char)(0x80 | (code & 0x3F));
    utf8[3] = '\0';
    (void)snprintf(hex, 8, "%04X", code);
}

/* A copy of text with \u0000 replaced; mark[] gets the UTF-8 form of the stand-in. */
static char *with_stand_in(as_str text, char mark[4])
{
    for (unsigned code = NONCHAR_FIRST; code <= NONCHAR_LAST; code++) {
        char hex[8];
        noncharacter(code, mark, hex);
        char lower[8];
        for (int i = 0; i < 8; i++)
            lower[i] = (char)(hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] + 32 : hex[i]);
        if (as_str_find(text, as_str_of(mark)) != SIZE_MAX ||
            as_str_find(text, as_str_of(hex)) != SIZE_MAX ||
            as_str_find(text, as_str_of(lower)) != SIZE_MAX)
            continue;
        char *copy = malloc(text.n);
        if (copy == NULL)
            return NULL;
        memcpy(copy, text.p, text.n);
        size_t at = 0;
        for (size_t from = 0; find_nul_escape(text, from, &at); from = at + 6)
            memcpy(copy + at + 2, hex, 4);
        return copy;
    }
    return NULL;
}

static int put_nul_back(char *s, size_t n, const char *mark)
{
    size_t to = 0;
    for (size_t i = 0; i < n;) {
        if (mark != NULL && n - i >= 3 && memcmp(s + i, mark, 3) == 0) {
            s[to++] = '\0';
            i += 3;
        } else {
            s[to++] = s[i++];
        }
    }
    s[to] = '\0';
    return (int)to;
}

/* cJSON refuses nesting beyond CJSON_NESTING_LIMIT (1000), so the recursion is bounded. */
static void set_lengths(cJSON *node, const char *mark)
{
    for (; node != NULL; node = node->next) {
        if (node->valuestring != NULL) {
            const size_t n = strlen(node->valuestring);
            node->valueint = mark != NULL ? put_nul_back(node->valuestring, n, mark) : (int)n;
        }
        if (node->child != NULL)
            set_lengths(node->child, mark);
    }
}

static bool is_too_deep(as_str text)
{
    enum { MAX_DEPTH = 500 };
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        const char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH)
                return true;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return false;
}

static as_code parse_failure(as_str text, const char *end, const char *base, as_err *err)
{
    const size_t at = end != NULL && end >= base ? (size_t)(end - base) : 0;
    if (as_str_trim(text).n == 0)
        return as_fail(err, AS_PARSE, "not JSON: the text is empty");
    /* cJSON points at the last byte when it ran out of text. */
    if (at + 1 >= text.n)
        return as_fail(err, AS_PARSE, "not JSON: ends too early or wrongly, at byte %zu", text.n);
    const as_str here = as_utf8_cut(as_str_sub(text, at, text.n), 24);
    char shown[32];
    size_t n = 0;
    for (size_t i = 0; i < here.n && n + 1 < sizeof shown; i++)
        shown[n++] = (unsigned char)here.p[i] < 0x20 ? ' ' : here.p[i];
    shown[n] = '\0';
    return as_fail(err, AS_PARSE, "not JSON: unexpected text at byte %zu: %s", at + 1, shown);
}

as_code as_json_parse(as_json **out, as_str text, as_err *err)
{
    *out = NULL;
    enum { MAX_BYTES = 1 << 30 };
    if (text.n > MAX_BYTES)
        return as_fail(err, AS_RANGE, "JSON text of %zu bytes, at most %d are read", text.n,
                       MAX_BYTES);
    if (text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
        text = as_str_sub(text, 3, text.n);
    if (is_too_deep(text))
        return as_fail(err, AS_PARSE, "JSON nested more than 500 levels deep");
    char *copy = NULL;
    char mark[4];
    size_t at = 0;
    if (find_nul_escape(text, 0, &at)) {
        copy = with_stand_in(text, mark);
        if (copy == NULL)
            return as_fail(err, AS_PARSE, "JSON text with \\u0000 that cannot be represented");
    }
    const char *base = copy != NULL ? copy : text.p;
    const char *end = NULL;
    cJSON *tree = text.n != 0 ? cJSON_ParseWithLengthOpts(base, text.n, &end, 0) : NULL;
    as_code c = AS_OK;
    if (tree == NULL) {
        c = parse_failure(text, end, base, err);
    } else {
        const size_t used = (size_t)(end - base);
        const as_str rest = as_str_trim(as_str_sub(text, used, text.n));
        if (rest.n != 0) {
            c = parse_failure(text, base + (rest.p - text.p), base, err);
            cJSON_Delete(tree);
        } else {
            set_lengths(tree, copy != NULL ? mark : NULL);
            *out = tree;
        }
    }
    free(copy);
    return c;
}

void as_json_free(as_json *tree)
{
    cJSON_Delete(tree);
}

as_json_kind as_json_type(const as_json *node)
{
    if (node == NULL)
        return AS_JSON_NONE;
    switch (node->type & 0xFF) {
    case cJSON_False:
    case cJSON_True:
        return AS_JSON_BOOL;
    case cJSON_NULL:
        return AS_JSON_NULL;
    case cJSON_Number:
        return AS_JSON_NUMBER;
    case cJSON_String:
        return AS_JSON_STRING;
    case cJSON_Array:
        return AS_JSON_ARRAY;
    case cJSON_Object:
        return AS_JSON_OBJECT;
    default:
        return AS_JSON_NONE;
    }
}

const char *as_json_kind_name(as_json_kind kind)
{
    static const char *const names[] = {"nothing",  "null",     "true or false", "a number",
                                        "a string", "an array", "an object"};
    return (size_t)kind < sizeof names / sizeof names[0] ? names[kind] : "nothing";
}

const as_json *as_json_get(const as_json *object, const char *key)
{
    if (as_json_type(object) != AS_JSON_OBJECT)
        return NULL;
    for (const cJSON *c = object->child; c != NULL; c = c->next)
        if (c->string != NULL && strcmp(c->string, key) == 0)
            return c;
    return NULL;
}

const as_json *as_json_first(const as_json *container)
{
    return container != NULL ? container->child : NULL;
}

const as_json *as_json_next(const as_json *child)
{
    return child != NULL ? child->next : NULL;
}

size_t as_json_count(const as_json *container)
{
    size_t n = 0;
    for (const cJSON *c = as_json_first(container); c != NULL; c = c->next)
        n++;
    return n;
}

as_str as_json_key(const as_json *child)
{
    return as_str_of(child != NULL ? child->string : NULL);
}

bool as_json_str(const as_json *node, as_str *out)
{
    if (as_json_type(node) != AS_JSON_STRING)
        return false;
    *out = (as_str){node->valuestring, (size_t)node->valueint};
    return true;
}

bool as_json_f64(const as_json *node, double *out)
{
    if (as_json_type(node) != AS_JSON_NUMBER)
        return false;
    *out = node->valuedouble;
    return true;
}

bool as_json_i64(const as_json *node, int64_t *out)
{
    static const double largest = 9007199254740992.0; /* 2^53 */
    double v = 0;
    if (!as_json_f64(node, &v) || v != floor(v) || fabs(v) > largest)
        return false;
    *out = (int64_t)v;
    return true;
}

bool as_json_bool(const as_json *node, bool *out)
{
    if (as_json_type(node) != AS_JSON_BOOL)
        return false;
    *out = (node->type & 0xFF) == cJSON_True;
    return true;
}

static as_code wrong_kind(const as_json *node, const char *key, const char *want, as_err *err)
{
    if (node == NULL)
        return as_fail(err, AS_PARSE, "\"%s\" is missing, want %s", key, want);
    return as_fail(err, AS_PARSE, "\"%s\": want %s, found %s", key, want,
                   as_json_kind_name(as_json_type(node)));
}

as_code as_json_need_str(const as_json *object, const char *key, as_str *out, as_err *err)
{
    const as_json *node = as_json_get(object, key);
    return as_json_str(node, out) ? AS_OK : wrong_kind(node, key, "a string", err);
}

as_code as_json_need_i64(const as_json *object, const char *key, int64_t min, int64_t max,
                         int64_t *out, as_err *err)
{
    const as_json *node = as_json_get(object, key);
    int64_t v = 0;
    if (!as_json_i64(node, &v))
        return wrong_kind(node, key, "an integer", err);
    if (v < min || v > max)
        return as_fail(err, AS_RANGE, "\"%s\" is %lld, want %lld to %lld", key, (long long)v,
                       (long long)min, (long long)max);
    *out = v;
    return AS_OK;
}

as_code as_json_need_array(const as_json *object, const char *key, const as_json **out, as_err *err)
{
    const as_json *node = as_json_get(object, key);
    if (as_json_type(node) != AS_JSON_ARRAY)
        return wrong_kind(node, key, "an array", err);
    *out = node;
    return AS_OK;
}

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
