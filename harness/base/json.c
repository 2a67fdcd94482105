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

bool as_json_id(const as_json *node, int32_t *out)
{
    int64_t v = 0;
    if (!as_json_i64(node, &v) || v < 0 || v > INT32_MAX)
        return false;
    *out = (int32_t)v;
    return true;
}

as_code as_json_ids(const as_json *array, int32_t **ids, int *n, as_arena *keep, as_err *err)
{
    if (as_json_type(array) != AS_JSON_ARRAY)
        return as_fail(err, AS_PARSE, "want a list of token ids, found %s",
                       as_json_kind_name(as_json_type(array)));
    const size_t count = as_json_count(array);
    int32_t *out = count < INT32_MAX ? as_new(keep, int32_t, count) : NULL;
    if (out == NULL)
        return as_nomem(err);
    int i = 0;
    for (const as_json *x = as_json_first(array); x != NULL; x = as_json_next(x), i++)
        if (!as_json_id(x, &out[i]))
            return as_fail(err, AS_PARSE, "entry %d is no token id", i + 1);
    *ids = out;
    *n = i;
    return AS_OK;
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
