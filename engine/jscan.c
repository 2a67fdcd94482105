#include "engine/jscan.h"

#include <string.h>

#include "base/utf8.h"
#include "engine/show.h"

void g4_jscan_init(g4_jscan *s, const char *name, as_str text, as_arena *keep)
{
    *s = (g4_jscan){.name = name, .text = text, .keep = keep};
    if (as_str_starts(text, AS_STR("\xEF\xBB\xBF")))
        s->at = 3;
}

as_code g4_jscan_fail(const g4_jscan *s, const char *what, as_err *err)
{
    return as_fail(err, AS_PARSE, "%s: byte %s: %s", s->name, g4_show_count(s->at).z, what);
}

static void skip_blanks(g4_jscan *s)
{
    while (s->at < s->text.n && as_is_one_of(s->text.p[s->at], " \t\n\r"))
        s->at++;
}

static bool take(g4_jscan *s, char c)
{
    if (s->at >= s->text.n || s->text.p[s->at] != c)
        return false;
    s->at++;
    return true;
}

char g4_jscan_peek(g4_jscan *s)
{
    skip_blanks(s);
    if (s->at >= s->text.n)
        return 0;
    const char c = s->text.p[s->at];
    if (c == '-' || (c >= '0' && c <= '9'))
        return '0';
    return as_is_one_of(c, "{[\"tfn") ? c : 0;
}

as_code g4_jscan_begin(g4_jscan *s, char open, as_err *err)
{
    if (g4_jscan_peek(s) != open)
        return g4_jscan_fail(s, open == '{' ? "want an object" : "want an array", err);
    if (s->depth == G4_JSCAN_DEPTH)
        return g4_jscan_fail(s, "nested too deeply", err);
    s->at++;
    s->closers[s->depth++] = open == '{' ? '}' : ']';
    s->is_first = true;
    return AS_OK;
}

as_code g4_jscan_more(g4_jscan *s, bool *more, as_err *err)
{
    *more = false;
    skip_blanks(s);
    const char closer = s->closers[s->depth - 1];
    if (take(s, closer)) {
        s->depth--;
        s->is_first = false;
        return AS_OK;
    }
    if (!s->is_first && !take(s, ','))
        return g4_jscan_fail(s, closer == '}' ? "want \",\" or \"}\"" : "want \",\" or \"]\"", err);
    s->is_first = false;
    *more = true;
    return AS_OK;
}

as_code g4_jscan_key(g4_jscan *s, as_str *out, as_err *err)
{
    if (g4_jscan_str(s, out, err) != AS_OK)
        return AS_PARSE;
    skip_blanks(s);
    return take(s, ':') ? AS_OK : g4_jscan_fail(s, "want \":\" behind a key", err);
}

/* ---- strings --------------------------------------------------------------------------------- */

/* The four digits behind \u at p; -1 if they are not. */
static int32_t hex4(const char *p, const char *end)
{
    uint64_t v = 0;
    return end - p >= 4 && as_parse_hex((as_str){p, 4}, &v) ? (int32_t)v : -1;
}

/* \uXXXX at *p (behind the u), the second half of a pair included; a lone half is U+FFFD. */
static bool take_unicode(const char **p, const char *end, uint32_t *code)
{
    const int32_t first = hex4(*p, end);
    if (first < 0)
        return false;
    *p += 4;
    *code = (uint32_t)first;
    if (first < 0xD800 || first > 0xDFFF)
        return true;
    *code = 0xFFFD;
    if (first < 0xDC00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        const int32_t second = hex4(*p + 2, end);
        if (second >= 0xDC00 && second <= 0xDFFF) {
            *code = 0x10000 + ((uint32_t)(first - 0xD800) << 10) + (uint32_t)(second - 0xDC00);
            *p += 6;
        }
    }
    return true;
}

/* raw: between the quotes, with escapes. An escape never grows, so raw.n bytes are enough. */
static bool unescape(char *to, as_str raw, size_t *n)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *end = raw.p + raw.n;
    *n = 0;
    for (const char *p = raw.p; p < end;) {
        if (*p != '\\') {
            to[(*n)++] = *p++;
            continue;
        }
        p++; /* something follows: the quote that ends the string is not escaped */
        const char name = *p++;
        if (name == 'u') {
            uint32_t code = 0;
            if (!take_unicode(&p, end, &code))
                return false;
            *n += as_utf8_encode(code, to + *n);
            continue;
        }
        const char *hit = memchr(names, name, sizeof names - 1);
        if (hit == NULL)
            return false;
        to[(*n)++] = values[hit - names];
    }
    return true;
}

/* Steps behind the closing quote; raw is what stands between the quotes. */
static as_code take_raw_str(g4_jscan *s, as_str *raw, bool *is_escaped, as_err *err)
{
    if (g4_jscan_peek(s) != '"')
        return g4_jscan_fail(s, "want a string", err);
    const size_t start = s->at + 1;
    *is_escaped = false;
    for (size_t i = start; i < s->text.n; i++) {
        if (s->text.p[i] == '"') {
            *raw = (as_str){s->text.p + start, i - start};
            s->at = i + 1;
            return AS_OK;
        }
        if (s->text.p[i] == '\\') {
            *is_escaped = true;
            i++;
        }
    }
    return g4_jscan_fail(s, "a string without an end", err);
}

as_code g4_jscan_str(g4_jscan *s, as_str *out, as_err *err)
{
    as_str raw = {0};
    bool is_escaped = false;
    AS_TRY(take_raw_str(s, &raw, &is_escaped, err));
    *out = raw;
    if (!is_escaped)
        return AS_OK;
    char *copy = as_arena_alloc(s->keep, raw.n, 1);
    if (copy == NULL)
        return as_fail(err, AS_NOMEM, "%s: not enough memory for its texts", s->name);
    size_t n = 0;
    if (!unescape(copy, raw, &n))
        return g4_jscan_fail(s, "a wrong escape in the string before", err);
    *out = (as_str){copy, n};
    return AS_OK;
}

/* ---- other values ---------------------------------------------------------------------------- */

/* The text of a number or word. */
static as_str take_word(g4_jscan *s)
{
    const size_t start = s->at;
    while (s->at < s->text.n && !as_is_one_of(s->text.p[s->at], " \t\n\r,]}"))
        s->at++;
    return as_str_sub(s->text, start, s->at);
}

as_code g4_jscan_u64(g4_jscan *s, uint64_t *out, as_err *err)
{
    if (g4_jscan_peek(s) != '0' || !as_parse_u64(take_word(s), out))
        return g4_jscan_fail(s, "want a whole number", err);
    return AS_OK;
}

as_code g4_jscan_bool(g4_jscan *s, bool *out, as_err *err)
{
    const char c = g4_jscan_peek(s);
    const as_str word = c == 't' || c == 'f' ? take_word(s) : (as_str){0};
    *out = as_str_eq_z(word, "true");
    if (!*out && !as_str_eq_z(word, "false"))
        return g4_jscan_fail(s, "want true or false", err);
    return AS_OK;
}

static as_code skip_scalar(g4_jscan *s, as_err *err)
{
    const char c = g4_jscan_peek(s);
    if (c == '"') {
        as_str raw;
        bool is_escaped;
        return take_raw_str(s, &raw, &is_escaped, err);
    }
    if (c == 0)
        return g4_jscan_fail(s, "want a value", err);
    const as_str word = take_word(s);
    double number = 0;
    if (as_str_eq_z(word, "true") || as_str_eq_z(word, "false") || as_str_eq_z(word, "null") ||
        as_parse_f64(word, &number))
        return AS_OK;
    return g4_jscan_fail(s, "want a value before this", err);
}

as_code g4_jscan_skip(g4_jscan *s, as_str *out, as_err *err)
{
    char c = g4_jscan_peek(s);
    const size_t start = s->at;
    const int depth = s->depth;
    if (c == '{' || c == '[')
        AS_TRY(g4_jscan_begin(s, c, err));
    else
        AS_TRY(skip_scalar(s, err));
    while (s->depth > depth) {
        bool more = false;
        AS_TRY(g4_jscan_more(s, &more, err));
        if (!more)
            continue;
        if (s->closers[s->depth - 1] == '}') {
            as_str raw;
            bool is_escaped;
            AS_TRY(take_raw_str(s, &raw, &is_escaped, err));
            skip_blanks(s);
            if (!take(s, ':'))
                return g4_jscan_fail(s, "want \":\" behind a key", err);
        }
        c = g4_jscan_peek(s);
        if (c == '{' || c == '[')
            AS_TRY(g4_jscan_begin(s, c, err));
        else
            AS_TRY(skip_scalar(s, err));
    }
    if (out != NULL)
        *out = as_str_sub(s->text, start, s->at);
    return AS_OK;
}

as_code g4_jscan_end(g4_jscan *s, as_err *err)
{
    skip_blanks(s);
    return s->at == s->text.n ? AS_OK : g4_jscan_fail(s, "text behind the end", err);
}
