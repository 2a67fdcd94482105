#include "base/jspan.h"

#include "base/utf8.h"

enum { MAX_DEPTH = 500 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(as_jspan *s)
{
    while (s->at < s->text.n && is_blank(s->text.p[s->at]))
        s->at++;
}

static as_code bad(const as_jspan *s, const char *what, as_err *err)
{
    return as_fail(err, AS_PARSE, "JSON: %s at byte %zu", what, s->at);
}

static as_code skip_text(as_jspan *s, as_err *err)
{
    for (s->at++; s->at < s->text.n; s->at++) {
        const char c = s->text.p[s->at];
        if (c == '\\')
            s->at++;
        else if (c == '"') {
            s->at++;
            return AS_OK;
        } else if ((unsigned char)c < 0x20)
            return bad(s, "a control character in a text", err);
    }
    return bad(s, "a text does not end", err);
}

static as_code skip_value(as_jspan *s, as_str *value, as_err *err)
{
    const size_t from = s->at;
    int depth = 0;
    do {
        if (s->at >= s->text.n)
            return bad(s, "the end is missing", err);
        const char c = s->text.p[s->at];
        if (c == '"') {
            AS_TRY(skip_text(s, err));
            continue;
        }
        if (depth == 0 && c != '[' && c != '{') {
            while (s->at < s->text.n && !is_blank(s->text.p[s->at]) && s->text.p[s->at] != ',' &&
                   s->text.p[s->at] != ']' && s->text.p[s->at] != '}')
                s->at++;
            if (s->at == from)
                return bad(s, "a value is missing", err);
            break;
        }
        depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
        if (depth > MAX_DEPTH)
            return bad(s, "nested too deep", err);
        s->at++;
    } while (depth > 0);
    *value = as_str_sub(s->text, from, s->at);
    return AS_OK;
}

as_code as_jspan_begin(as_jspan *out, as_str text, as_err *err)
{
    *out = (as_jspan){.text = text, .is_first = true};
    skip_blanks(out);
    if (out->at == text.n || (text.p[out->at] != '[' && text.p[out->at] != '{'))
        return bad(out, "want an array or an object", err);
    out->is_object = text.p[out->at++] == '{';
    return AS_OK;
}

as_code as_jspan_next(as_jspan *s, as_str *name, as_str *value, bool *is_end, as_err *err)
{
    *name = *value = (as_str){0};
    *is_end = false;
    skip_blanks(s);
    if (s->at == s->text.n)
        return bad(s, "the end is missing", err);
    if (s->text.p[s->at] == (s->is_object ? '}' : ']')) {
        s->at++;
        skip_blanks(s);
        *is_end = true;
        return s->at == s->text.n ? AS_OK : bad(s, "something follows the value", err);
    }
    if (!s->is_first) {
        if (s->text.p[s->at] != ',')
            return bad(s, "want a comma", err);
        s->at++;
        skip_blanks(s);
    }
    s->is_first = false;
    if (s->is_object) {
        const size_t from = s->at + 1;
        if (s->at == s->text.n || s->text.p[s->at] != '"')
            return bad(s, "want a name", err);
        AS_TRY(skip_text(s, err));
        *name = as_str_sub(s->text, from, s->at - 1);
        skip_blanks(s);
        if (s->at == s->text.n || s->text.p[s->at] != ':')
            return bad(s, "want a colon", err);
        s->at++;
        skip_blanks(s);
    }
    return skip_value(s, value, err);
}

bool as_jspan_is_text(as_str value)
{
    return value.n >= 2 && value.p[0] == '"';
}

static bool hex4(as_str s, size_t at, uint32_t *out)
{
    uint64_t v = 0;
    if (at + 4 > s.n || !as_parse_hex(as_str_sub(s, at, at + 4), &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

/* Behind "\u"; *used gets 4, or 10 for a pair. */
static bool add_escape(as_buf *out, as_str s, size_t at, size_t *used)
{
    uint32_t high = 0;
    uint32_t low = 0;
    char utf8[4];
    if (!hex4(s, at, &high))
        return false;
    *used = 4;
    if (high >= 0xD800 && high < 0xDC00 && at + 6 <= s.n && s.p[at + 4] == '\\' &&
        s.p[at + 5] == 'u' && hex4(s, at + 6, &low) && low >= 0xDC00 && low < 0xE000) {
        high = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        *used = 10;
    }
    (void)as_buf_add(out, (as_str){utf8, as_utf8_encode(high, utf8)});
    return true;
}

as_code as_jspan_text(as_buf *out, as_str value, as_err *err)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    if (!as_jspan_is_text(value))
        return as_fail(err, AS_PARSE, "JSON: want a text");
    const as_str s = as_str_sub(value, 1, value.n - 1);
    for (size_t i = 0; i < s.n;) {
        const char *slash = memchr(s.p + i, '\\', s.n - i);
        const size_t end = slash != NULL ? (size_t)(slash - s.p) : s.n;
        (void)as_buf_add(out, as_str_sub(s, i, end));
        i = end;
        if (i == s.n)
            break;
        const char *simple = i + 1 < s.n && s.p[i + 1] != '\0' ? strchr(from, s.p[i + 1]) : NULL;
        size_t used = 0;
        if (simple != NULL) {
            (void)as_buf_add_byte(out, to[simple - from]);
            i += 2;
        } else if (i + 1 < s.n && s.p[i + 1] == 'u' && add_escape(out, s, i + 2, &used)) {
            i += 2 + used;
        } else {
            return as_fail(err, AS_PARSE, "JSON: unknown escape in a text");
        }
    }
    return as_buf_ok(out, err);
}
