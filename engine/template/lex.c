/*
 * lex.c — cuts a template into text and tags, and tags into tokens.
 *
 * White space. A tag may carry a sign at either end: `-` eats all white space on that side, `+`
 * keeps it. Without a sign, a statement or comment that stands alone behind blanks at the start of
 * its line loses these blanks (lstrip_blocks) and eats one newline behind it (trim_blocks);
 * expressions keep both. The one newline at the end of the source is dropped; \r\n and \r are \n.
 */
#include "engine/template/parse_impl.h"

#include "base/utf8.h"

struct tp_lexer {
    as_arena *arena;
    as_err *err;
    as_str src;
    size_t at;
    int line;
    bool at_line_start; /* the last tag ate a newline */
    tp_token *v;
    size_t n, cap;
};

static as_code fail_at(tp_lexer *x, const char *text)
{
    return as_fail(x->err, AS_PARSE, "line %d: %s", x->line, text);
}

static as_code add(tp_lexer *x, tp_token_kind kind, as_str text)
{
    if (x->n == x->cap) {
        const size_t cap = x->cap == 0 ? 64 : x->cap * 2;
        tp_token *v = as_new(x->arena, tp_token, cap);
        if (v == NULL)
            return as_nomem(x->err);
        if (x->n > 0)
            memcpy(v, x->v, x->n * sizeof *v);
        x->v = v;
        x->cap = cap;
    }
    x->v[x->n++] = (tp_token){kind, text, x->line};
    return AS_OK;
}

static as_str rest(const tp_lexer *x)
{
    return (as_str){x->src.p + x->at, x->src.n - x->at};
}

static bool starts(const tp_lexer *x, size_t at, const char *z)
{
    const size_t n = strlen(z);
    return x->src.n - at >= n && memcmp(x->src.p + at, z, n) == 0;
}

static void advance(tp_lexer *x, size_t to)
{
    for (; x->at < to; x->at++)
        x->line += x->src.p[x->at] == '\n';
}

static size_t skip_space(const tp_lexer *x, size_t at)
{
    while (at < x->src.n) {
        size_t len = 0;
        if (!tp_is_space(tp_decode((as_str){x->src.p + at, x->src.n - at}, &len)))
            break;
        at += len;
    }
    return at;
}

static as_str trim_right(as_str s)
{
    while (s.n > 0) {
        size_t at = s.n - 1;
        while (at > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80)
            at--;
        size_t len = 0;
        if (!tp_is_space(tp_decode((as_str){s.p + at, s.n - at}, &len)))
            break;
        s.n = at;
    }
    return s;
}

/* Text in front of a statement or comment without a sign: without the blanks that begin its line. */
static as_str trim_line_start(const tp_lexer *x, as_str text)
{
    size_t from = text.n;
    while (from > 0 && text.p[from - 1] != '\n')
        from--;
    if (from == 0 && !x->at_line_start)
        return text;
    const as_str blank = {text.p + from, text.n - from};
    return trim_right(blank).n == 0 ? (as_str){text.p, from} : text;
}

static as_code add_data(tp_lexer *x, size_t to, char sign, bool is_variable)
{
    as_str text = {x->src.p + x->at, to - x->at};
    if (sign == '-')
        text = trim_right(text);
    else if (sign != '+' && !is_variable)
        text = trim_line_start(x, text);
    const as_code c = text.n > 0 ? add(x, TP_T_DATA, text) : AS_OK;
    advance(x, to);
    return c;
}

static char sign_at(const tp_lexer *x, size_t at)
{
    return at < x->src.n && (x->src.p[at] == '-' || x->src.p[at] == '+') ? x->src.p[at] : '\0';
}

/* Where the text goes on behind a closing mark of two bytes at `at`, whose sign stands before it. */
static size_t after_end(const tp_lexer *x, size_t at, char sign)
{
    at += 2;
    if (sign == '-')
        return skip_space(x, at);
    return sign != '+' && at < x->src.n && x->src.p[at] == '\n' ? at + 1 : at;
}

static void leave_tag(tp_lexer *x, size_t to)
{
    advance(x, to);
    x->at_line_start = to > 0 && x->src.p[to - 1] == '\n';
}

/* ---- comments and raw blocks ----------------------------------------------------------------- */

static as_code lex_comment(tp_lexer *x, size_t body)
{
    const as_str tail = {x->src.p + body, x->src.n - body};
    const size_t hit = as_str_find(tail, AS_STR("#}"));
    if (hit == SIZE_MAX)
        return fail_at(x, "a comment has no end");
    leave_tag(x, after_end(x, body + hit, hit > 0 ? sign_at(x, body + hit - 1) : '\0'));
    return AS_OK;
}

/* `{%` sign blanks word blanks: the offset behind it, or 0. */
static size_t match_word(const tp_lexer *x, size_t at, const char *word)
{
    at += 2;
    at += sign_at(x, at) != '\0';
    at = skip_space(x, at);
    return starts(x, at, word) ? skip_space(x, at + strlen(word)) : 0;
}

/* The offset behind `{% raw %}` at `at`, or 0 when another tag stands there. */
static size_t match_raw(const tp_lexer *x, size_t at)
{
    const size_t end = match_word(x, at, "raw");
    if (end == 0)
        return 0;
    if (starts(x, end, "-%}"))
        return skip_space(x, end + 3);
    return starts(x, end, "%}") ? end + 2 : 0;
}

static size_t match_endraw(const tp_lexer *x, size_t at)
{
    const size_t end = match_word(x, at, "endraw");
    if (end == 0)
        return 0;
    const char sign = sign_at(x, end);
    return starts(x, end + (sign != '\0'), "%}") ? after_end(x, end + (sign != '\0'), sign) : 0;
}

static as_code lex_raw(tp_lexer *x, size_t body)
{
    leave_tag(x, body);
    for (size_t at = body; at + 2 <= x->src.n; at++) {
        if (!starts(x, at, "{%"))
            continue;
        const size_t end = match_endraw(x, at);
        if (end == 0)
            continue;
        AS_TRY(add_data(x, at, sign_at(x, at + 2), false));
        leave_tag(x, end);
        return AS_OK;
    }
    return fail_at(x, "a raw block has no end");
}

/* ---- inside tags ----------------------------------------------------------------------------- */

static bool is_digit(const tp_lexer *x, size_t at)
{
    return at < x->src.n && x->src.p[at] >= '0' && x->src.p[at] <= '9';
}

/* Digits with single underscores between: the offset behind them, or `at`. */
static size_t skip_digits(const tp_lexer *x, size_t at, const char *digits)
{
    size_t end = at;
    while (end < x->src.n) {
        const size_t next = end > at && x->src.p[end] == '_' ? end + 1 : end;
        if (next >= x->src.n || x->src.p[next] == '\0' || strchr(digits, x->src.p[next]) == NULL)
            break;
        end = next + 1;
    }
    return end;
}

static size_t match_float(const tp_lexer *x)
{
    static const char dec[] = "0123456789";
    if (x->at > 0 && x->src.p[x->at - 1] == '.')
        return 0;
    const size_t whole = skip_digits(x, x->at, dec);
    size_t end = whole;
    if (starts(x, end, ".") && is_digit(x, end + 1))
        end = skip_digits(x, end + 1, dec);
    if (end < x->src.n && (x->src.p[end] == 'e' || x->src.p[end] == 'E')) {
        const size_t digits = end + 1 + (sign_at(x, end + 1) != '\0');
        if (is_digit(x, digits))
            return skip_digits(x, digits, dec);
    }
    return end > whole ? end : 0;
}

static size_t match_int(const tp_lexer *x)
{
    static const struct {
        const char *prefix, *upper, *digits;
    } bases[] = {
        {"0b", "0B", "01"}, {"0o", "0O", "01234567"}, {"0x", "0X", "0123456789abcdefABCDEF"}};
    for (size_t i = 0; i < sizeof bases / sizeof bases[0]; i++) {
        if (!starts(x, x->at, bases[i].prefix) && !starts(x, x->at, bases[i].upper))
            continue;
        const size_t from = x->at + 2 + starts(x, x->at + 2, "_");
        const size_t end = skip_digits(x, from, bases[i].digits);
        if (end > from)
            return end;
    }
    return skip_digits(x, x->at, x->src.p[x->at] == '0' ? "0" : "0123456789");
}

static size_t match_name(const tp_lexer *x)
{
    size_t at = x->at;
    while (at < x->src.n) {
        size_t len = 0;
        const uint32_t code = tp_decode((as_str){x->src.p + at, x->src.n - at}, &len);
        if ((tp_classes(code) & (at == x->at ? TP_C_ID_START : TP_C_ID_CONTINUE)) == 0)
            break;
        at += len;
    }
    return at;
}

static as_code lex_string(tp_lexer *x)
{
    const char quote = x->src.p[x->at];
    for (size_t at = x->at + 1; at < x->src.n; at++) {
        if (x->src.p[at] == '\\') {
            at++;
        } else if (x->src.p[at] == quote) {
            AS_TRY(add(x, TP_T_STRING, (as_str){x->src.p + x->at + 1, at - x->at - 1}));
            advance(x, at + 1);
            return AS_OK;
        }
    }
    return fail_at(x, "a string has no closing quote");
}

static as_code lex_operator(tp_lexer *x, char *open, int *n_open)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    const char c = x->src.p[x->at];
    size_t n = 1;
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++)
        if (starts(x, x->at, two[i]))
            n = 2;
    if (n == 1 && (c == '\0' || strchr("+-/*%~[](){}><=.:|,;", c) == NULL)) {
        const as_str shown = as_utf8_cut(rest(x), as_utf8_len(rest(x)));
        return as_fail(x->err, AS_PARSE, "line %d: unexpected character \"%.*s\"", x->line,
                       AS_ARG(shown));
    }
    if (strchr("([{", c) != NULL) {
        if (*n_open == TP_MAX_NESTING)
            return fail_at(x, "brackets are nested too deeply");
        open[(*n_open)++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c) != NULL) {
        if (*n_open == 0 || open[*n_open - 1] != c)
            return as_fail(x->err, AS_PARSE, "line %d: unexpected \"%c\"", x->line, c);
        (*n_open)--;
    }
    const as_code code = add(x, TP_T_OP, (as_str){x->src.p + x->at, n});
    advance(x, x->at + n);
    return code;
}

static as_code lex_number_or_name(tp_lexer *x, bool *done)
{
    tp_token_kind kind = TP_T_NAME;
    size_t end;
    if (is_digit(x, x->at)) {
        end = match_float(x);
        kind = end > 0 ? TP_T_FLOAT : TP_T_INT;
        if (end == 0)
            end = match_int(x);
    } else {
        end = match_name(x);
    }
    *done = end > x->at;
    if (*done)
        AS_TRY(add(x, kind, (as_str){x->src.p + x->at, end - x->at}));
    advance(x, end);
    return AS_OK;
}

/* From behind `{{` or `{%` to behind its end. */
static as_code lex_tag(tp_lexer *x, bool is_variable)
{
    const char *end = is_variable ? "}}" : "%}";
    char open[TP_MAX_NESTING];
    int n_open = 0;
    for (;;) {
        const size_t next = skip_space(x, x->at);
        const char sign = n_open == 0 ? sign_at(x, x->at) : '\0';
        const size_t mark = x->at + (sign == '-' || (sign == '+' && !is_variable));
        if (n_open == 0 && starts(x, mark, end)) {
            AS_TRY(add(x, is_variable ? TP_T_VAR_END : TP_T_BLOCK_END, AS_STR("")));
            const bool is_plain = is_variable && sign != '-';
            leave_tag(x, is_plain ? mark + 2 : after_end(x, mark, sign));
            return AS_OK;
        }
        if (next > x->at) {
            advance(x, next);
            continue;
        }
        if (x->at >= x->src.n)
            return fail_at(x, "the template ends inside a tag");
        bool done = false;
        if (x->src.p[x->at] == '\'' || x->src.p[x->at] == '"') {
            AS_TRY(lex_string(x));
            continue;
        }
        AS_TRY(lex_number_or_name(x, &done));
        if (!done)
            AS_TRY(lex_operator(x, open, &n_open));
    }
}

static size_t find_tag(const tp_lexer *x)
{
    for (size_t at = x->at; at + 1 < x->src.n; at++)
        if (x->src.p[at] == '{' && as_is_one_of(x->src.p[at + 1], "%{#"))
            return at;
    return SIZE_MAX;
}

static as_code lex_next(tp_lexer *x)
{
    const size_t hit = find_tag(x);
    if (hit == SIZE_MAX) {
        const as_code c = add(x, TP_T_DATA, rest(x));
        advance(x, x->src.n);
        return c;
    }
    const char kind = x->src.p[hit + 1];
    const char sign = sign_at(x, hit + 2);
    AS_TRY(add_data(x, hit, sign, kind == '{'));
    x->at_line_start = false;
    const size_t body = hit + 2 + (sign != '\0');
    if (kind == '#')
        return lex_comment(x, body);
    const size_t raw = kind == '%' ? match_raw(x, hit) : 0;
    if (raw != 0)
        return lex_raw(x, raw);
    AS_TRY(add(x, kind == '{' ? TP_T_VAR_BEGIN : TP_T_BLOCK_BEGIN, AS_STR("")));
    advance(x, body);
    return lex_tag(x, kind == '{');
}

/* A copy with \n for every kind of newline, without the last one, and valid UTF-8. */
static as_code clean_source(tp_lexer *x, as_str source)
{
    char *p = as_arena_alloc_n(x->arena, source.n + 1, 3, 1);
    if (p == NULL)
        return as_nomem(x->err);
    const as_str replacement = AS_STR("\xEF\xBF\xBD");
    size_t n = 0;
    for (size_t i = 0; i < source.n;) {
        const size_t len = as_utf8_len((as_str){source.p + i, source.n - i});
        if (len == 0) {
            memcpy(p + n, replacement.p, replacement.n);
            n += replacement.n;
            i++;
            continue;
        }
        memcpy(p + n, source.p + i, len);
        if (source.p[i] == '\r') {
            p[n] = '\n';
            i += i + 1 < source.n && source.p[i + 1] == '\n';
        }
        n += len;
        i += len;
    }
    if (n > 0 && p[n - 1] == '\n')
        n--;
    x->src = (as_str){p, n};
    return AS_OK;
}

as_code tp_lex(tp_tokens *out, as_str source, as_arena *arena, as_err *err)
{
    tp_lexer x = {.arena = arena, .err = err, .line = 1, .at_line_start = true};
    AS_TRY(clean_source(&x, source));
    while (x.at < x.src.n)
        AS_TRY(lex_next(&x));
    AS_TRY(add(&x, TP_T_END, AS_STR("")));
    *out = (tp_tokens){x.v, x.n};
    return AS_OK;
}
