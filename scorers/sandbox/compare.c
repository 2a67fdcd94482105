#include "scorers/sandbox/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

enum { MAX_DEPTH = 100, SHOWN_BYTES = 200 };

/* ---- white space ---------------------------------------------------------------------------- */

/* Bytes of the white-space character at the start of s (Python's str.isspace), or 0. */
static size_t space_len(as_str s)
{
    if (s.n == 0)
        return 0;
    const unsigned char c = (unsigned char)s.p[0];
    if (c < 0x80)
        return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) ? 1 : 0;
    uint32_t code = 0;
    const size_t n = as_utf8_decode(s, &code);
    if (n == 0)
        return 0;
    const bool is_space = code == 0x85 || code == 0xA0 || code == 0x1680 ||
                          (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
                          code == 0x202F || code == 0x205F || code == 0x3000;
    return is_space ? n : 0;
}

static as_str strip(as_str s)
{
    for (size_t n; (n = space_len(s)) != 0;)
        s = as_str_sub(s, n, s.n);
    while (s.n != 0) {
        size_t n = 0;
        for (size_t k = 1; k <= 3 && k <= s.n && n == 0; k++)
            n = space_len(as_str_sub(s, s.n - k, s.n)) == k ? k : 0;
        if (n == 0)
            break;
        s.n -= n;
    }
    return s;
}

/* The next token of *rest; false at the end. */
static bool next_token(as_str *rest, as_str *token)
{
    for (size_t n; (n = space_len(*rest)) != 0;)
        *rest = as_str_sub(*rest, n, rest->n);
    size_t at = 0;
    while (at < rest->n && space_len(as_str_sub(*rest, at, rest->n)) == 0)
        at++;
    *token = as_str_sub(*rest, 0, at);
    *rest = as_str_sub(*rest, at, rest->n);
    return at != 0;
}

/* ---- decimals ------------------------------------------------------------------------------- */

/* The value of a decimal digit of any script, as Unicode 14 (Python 3.11) has them, in rows of ten;
 * -1 if it is none. */
static int digit_value(as_str s, size_t *n)
{
    *n = 1;
    if (s.n == 0)
        return -1;
    if (s.p[0] >= '0' && s.p[0] <= '9')
        return s.p[0] - '0';
    if ((unsigned char)s.p[0] < 0x80)
        return -1;
    static const uint32_t zeros[] = {
        0x0660,  0x06F0,  0x07C0,  0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,  0x0BE6,  0x0C66,
        0x0CE6,  0x0D66,  0x0DE6,  0x0E50,  0x0ED0,  0x0F20,  0x1040,  0x1090,  0x17E0,  0x1810,
        0x1946,  0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,  0x1C50,  0xA620,  0xA8D0,
        0xA900,  0xA9D0,  0xA9F0,  0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0,
        0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950,
        0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
        0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
    };
    uint32_t code = 0;
    *n = as_utf8_decode(s, &code);
    if (*n == 0)
        return -1;
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++)
        if (code >= zeros[i] && code < zeros[i] + 10)
            return (int)(code - zeros[i]);
    return -1;
}

typedef struct decimal {
    bool is_number, is_infinite, is_nan, is_negative;
    as_str digits;       /* of the text, with dots and underscores in it */
    int64_t exponent;    /* of the last digit */
    size_t lead, n_kept; /* digits to skip in front, and how many stand from there */
} decimal;

/* The next digit of *rest, over dots and underscores; -1 at the end. */
static int next_digit(as_str *rest)
{
    while (rest->n != 0) {
        size_t n = 0;
        const int d = digit_value(*rest, &n);
        *rest = as_str_sub(*rest, n == 0 ? 1 : n, rest->n);
        if (d >= 0)
            return d;
    }
    return -1;
}

static bool is_word(as_str s, const char *word)
{
    const size_t n = strlen(word);
    if (s.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((s.p[i] | 0x20) != word[i])
            return false;
    return true;
}

static bool read_exponent(as_str s, int64_t *out)
{
    bool is_negative = false;
    if (s.n != 0 && (s.p[0] == '+' || s.p[0] == '-')) {
        is_negative = s.p[0] == '-';
        s = as_str_sub(s, 1, s.n);
    }
    int64_t v = 0;
    bool has_digit = false;
    while (s.n != 0) {
        size_t n = 1;
        const int d = s.p[0] == '_' ? -2 : digit_value(s, &n);
        if (d == -1)
            return false;
        if (d >= 0) {
            has_digit = true;
            v = v * 10 + d;
            if (v > INT64_C(999999999999999999))
                return false; /* Decimal refuses it too */
        }
        s = as_str_sub(s, n, s.n);
    }
    *out = is_negative ? -v : v;
    return has_digit;
}

static bool is_nan_word(as_str s)
{
    if (s.n != 0 && (s.p[0] | 0x20) == 's')
        s = as_str_sub(s, 1, s.n);
    return s.n >= 3 && is_word(as_str_sub(s, 0, 3), "nan");
}

/* Digits, at most one dot, underscores anywhere (Decimal drops them before it looks). */
static bool scan_digits(as_str s, decimal *d, size_t *used)
{
    size_t at = 0, n_digits = 0, n_fraction = 0, n_zeros_behind = 0;
    bool has_dot = false, has_lead = false;
    for (size_t n; at < s.n; at += n) {
        const as_str rest = as_str_sub(s, at, s.n);
        n = 1;
        if (rest.p[0] == '.' && !has_dot) {
            has_dot = true;
            continue;
        }
        if (rest.p[0] == '_')
            continue;
        const int v = digit_value(rest, &n);
        if (v < 0)
            break;
        n_digits++;
        n_fraction += has_dot;
        if (v != 0)
            has_lead = true;
        d->lead += !has_lead;
        n_zeros_behind = v == 0 ? n_zeros_behind + 1 : 0;
    }
    d->digits = as_str_sub(s, 0, at);
    d->n_kept = has_lead ? n_digits - d->lead - n_zeros_behind : 0;
    d->exponent = (int64_t)n_zeros_behind - (int64_t)n_fraction;
    *used = at;
    return n_digits != 0;
}

static decimal read_decimal(as_str s)
{
    decimal d = {0};
    while (s.n != 0 && s.p[0] == '_')
        s = as_str_sub(s, 1, s.n);
    if (s.n != 0 && (s.p[0] == '+' || s.p[0] == '-')) {
        d.is_negative = s.p[0] == '-';
        s = as_str_sub(s, 1, s.n);
    }
    if (is_word(s, "inf") || is_word(s, "infinity")) {
        d.is_number = d.is_infinite = true;
        return d;
    }
    if (is_nan_word(s)) {
        d.is_number = d.is_nan = true;
        return d;
    }
    size_t used = 0;
    if (!scan_digits(s, &d, &used))
        return d;
    s = as_str_sub(s, used, s.n);
    int64_t exponent = 0;
    if (s.n != 0) {
        if ((s.p[0] | 0x20) != 'e' || !read_exponent(as_str_sub(s, 1, s.n), &exponent))
            return d;
    }
    d.exponent += exponent;
    d.is_number = true;
    return d;
}

bool sb_same_decimal(as_str text_a, as_str text_b)
{
    const decimal a = read_decimal(text_a), b = read_decimal(text_b);
    if (!a.is_number || !b.is_number || a.is_nan || b.is_nan)
        return false;
    if (a.is_infinite || b.is_infinite)
        return a.is_infinite && b.is_infinite && a.is_negative == b.is_negative;
    if (a.n_kept == 0 || b.n_kept == 0)
        return a.n_kept == b.n_kept; /* zero has no sign here */
    if (a.is_negative != b.is_negative || a.n_kept != b.n_kept || a.exponent != b.exponent)
        return false;
    as_str x = a.digits, y = b.digits;
    for (size_t i = 0; i < a.lead; i++)
        (void)next_digit(&x);
    for (size_t i = 0; i < b.lead; i++)
        (void)next_digit(&y);
    for (size_t i = 0; i < a.n_kept; i++)
        if (next_digit(&x) != next_digit(&y))
            return false;
    return true;
}

/* ---- lines, tokens, floats ------------------------------------------------------------------ */

static bool same_line(as_str a, as_str b)
{
    if (as_str_eq(a, b))
        return true;
    as_str x, y;
    for (;;) {
        const bool has_x = next_token(&a, &x), has_y = next_token(&b, &y);
        if (has_x != has_y)
            return false;
        if (!has_x)
            return true;
        if (!sb_same_decimal(x, y))
            return false;
    }
}

static bool same_lines(as_str a, as_str b)
{
    a = strip(a);
    b = strip(b);
    for (;;) {
        as_str x, y;
        const bool more_a = as_str_cut(a, '\n', &x, &a), more_b = as_str_cut(b, '\n', &y, &b);
        if (more_a != more_b || !same_line(strip(x), strip(y)))
            return false;
        if (!more_a)
            return true;
    }
}

/* inf and nan count as numbers; hexadecimal does not. */
static bool read_float(as_str s, double *out)
{
    if (as_parse_f64(s, out))
        return true;
    const decimal d = read_decimal(s);
    if (!d.is_number || (!d.is_infinite && !d.is_nan)) {
        char text[400];
        if (!d.is_number || s.n >= sizeof text || memchr(s.p, '_', s.n) != NULL)
            return false;
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        char *end = NULL;
        *out = strtod(text, &end); /* beyond the range: infinity or 0 */
        return end == text + s.n;
    }
    *out = d.is_nan ? (double)NAN : d.is_negative ? -(double)INFINITY : (double)INFINITY;
    return true;
}

static bool same_number(double x, double y, double tolerance)
{
    if (isnan(x) || isnan(y))
        return false;
    if (isinf(x) || isinf(y))
        return isinf(x) && isinf(y) && (x > 0) == (y > 0);
    const double d = fabs(x - y);
    return d <= tolerance || d <= tolerance * fabs(y);
}

static bool same_tokens(as_str a, as_str b, bool want_floats, double tolerance)
{
    as_str x, y;
    for (;;) {
        const bool has_x = next_token(&a, &x), has_y = next_token(&b, &y);
        if (has_x != has_y)
            return false;
        if (!has_x)
            return true;
        double u = 0, v = 0;
        const bool is_number = want_floats && read_float(x, &u) && read_float(y, &v);
        if (is_number ? !same_number(u, v, tolerance) : !as_str_eq(x, y))
            return false;
    }
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static bool same_nodes(const as_json *a, const as_json *b, double tolerance, int depth);

static bool same_children(const as_json *a, const as_json *b, double tolerance, int depth)
{
    if (as_json_count(a) != as_json_count(b))
        return false;
    const as_json *y = as_json_first(b);
    for (const as_json *x = as_json_first(a); x != NULL; x = as_json_next(x), y = as_json_next(y))
        if (!same_nodes(x, y, tolerance, depth + 1))
            return false;
    return true;
}

static bool same_members(const as_json *a, const as_json *b, double tolerance, int depth)
{
    if (as_json_count(a) != as_json_count(b))
        return false;
    for (const as_json *x = as_json_first(a); x != NULL; x = as_json_next(x)) {
        const as_str key = as_json_key(x);
        const as_json *y = key.p != NULL ? as_json_get(b, key.p) : NULL;
        if (y == NULL || !same_nodes(x, y, tolerance, depth + 1))
            return false;
    }
    return true;
}

static bool same_nodes(const as_json *a, const as_json *b, double tolerance, int depth)
{
    const as_json_kind kind = as_json_type(a);
    if (depth > MAX_DEPTH || kind != as_json_type(b))
        return false;
    as_str s, t;
    double x = 0, y = 0;
    bool p = false, q = false;
    switch (kind) {
    case AS_JSON_NONE:
    case AS_JSON_NULL:
        return true;
    case AS_JSON_BOOL:
        return as_json_bool(a, &p) && as_json_bool(b, &q) && p == q;
    case AS_JSON_NUMBER:
        return as_json_f64(a, &x) && as_json_f64(b, &y) &&
               (tolerance > 0 ? same_number(x, y, tolerance) : !(x < y) && !(x > y));
    case AS_JSON_STRING:
        return as_json_str(a, &s) && as_json_str(b, &t) && as_str_eq(s, t);
    case AS_JSON_ARRAY:
        return same_children(a, b, tolerance, depth);
    case AS_JSON_OBJECT:
        return same_members(a, b, tolerance, depth);
    }
    return false;
}

/* The next number of a JSON text that is known to be valid; false at its end. */
static bool next_number(as_str *rest, as_str *number)
{
    bool in_text = false;
    for (size_t i = 0; i < rest->n; i++) {
        const char c = rest->p[i];
        if (c == '"')
            in_text = !in_text;
        else if (in_text && c == '\\')
            i++;
        else if (!in_text && (c == '-' || (c >= '0' && c <= '9'))) {
            size_t end = i + 1;
            while (end < rest->n && strchr("0123456789+-.eE", rest->p[end]) != NULL &&
                   rest->p[end] != '\0')
                end++;
            *number = as_str_sub(*rest, i, end);
            *rest = as_str_sub(*rest, end, rest->n);
            return true;
        }
    }
    return false;
}

static bool is_integer(as_str s)
{
    return as_str_find(s, AS_STR(".")) == SIZE_MAX && as_str_find(s, AS_STR("e")) == SIZE_MAX &&
           as_str_find(s, AS_STR("E")) == SIZE_MAX;
}

/* The tree keeps numbers as doubles; integers beyond 2^53 are compared by their digits. Values that
 * hold objects (whose members may stand in another order) are compared as doubles only. */
static bool same_integers(as_str a, as_str b)
{
    if (as_str_find(a, AS_STR("{")) != SIZE_MAX)
        return true;
    as_str x, y;
    while (next_number(&a, &x) && next_number(&b, &y))
        if (is_integer(x) && is_integer(y) && !sb_same_decimal(x, y))
            return false;
    return true;
}

static bool same_json(as_str output, as_str expected, double tolerance)
{
    /* Equal texts are equal values; that also holds for integers beyond a double's. */
    const as_str x = strip(output), y = strip(expected);
    as_json *a = NULL, *b = NULL;
    bool is_same = as_json_parse(&a, x, NULL) == AS_OK;
    if (is_same && !as_str_eq(x, y))
        is_same = as_json_parse(&b, y, NULL) == AS_OK && same_nodes(a, b, tolerance, 0) &&
                  (tolerance > 0 || same_integers(x, y));
    as_json_free(a);
    as_json_free(b);
    return is_same;
}

bool sb_same(sb_rule rule, double tolerance, as_str output, as_str expected)
{
    switch (rule) {
    case SB_LINES:
        return same_lines(output, expected);
    case SB_TOKENS:
        return same_tokens(output, expected, false, 0);
    case SB_FLOAT:
        return same_tokens(output, expected, true, tolerance > 0 ? tolerance : 1e-6);
    case SB_EXACT:
        return as_str_eq(output, expected);
    case SB_JSON:
        return same_json(output, expected, tolerance);
    case SB_CHECKER:
    case SB_CALLBACK:
    case SB_N_RULES:
        break;
    }
    return false;
}

void sb_first_difference(as_buf *out, as_str output, as_str expected)
{
    output = strip(output);
    expected = strip(expected);
    for (size_t line = 1;; line++) {
        as_str x, y;
        const bool more_a = as_str_cut(output, '\n', &x, &output);
        const bool more_b = as_str_cut(expected, '\n', &y, &expected);
        x = strip(x);
        y = strip(y);
        if (more_a == more_b && more_a && same_line(x, y))
            continue;
        x = as_utf8_cut(x, SHOWN_BYTES);
        y = as_utf8_cut(y, SHOWN_BYTES);
        (void)as_buf_printf(out, "line %zu: \"%.*s\", want \"%.*s\"", line, AS_ARG(x), AS_ARG(y));
        if (same_line(x, y) && more_a != more_b)
            (void)as_buf_add_z(out, more_a ? ", and no more lines" : ", and more lines");
        return;
    }
}
