/*
 * format.c — numbers as texts and back: format specifications, the % operator, str.format,
 * int(text), float(text).
 */
#include "engine/template/impl.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PRECISION = 400 };

/* ---- texts to numbers ------------------------------------------------------------------------ */

static as_str strip_blanks(as_str s)
{
    size_t len = 0;
    while (s.n > 0 && tp_is_space(tp_decode(s, &len)))
        s = (as_str){s.p + len, s.n - len};
    for (;;) {
        size_t at = s.n;
        while (at > 0 && at-- > 0 && ((unsigned char)s.p[at] & 0xC0) == 0x80)
            ;
        if (s.n == 0 || !tp_is_space(tp_decode((as_str){s.p + at, s.n - at}, &len)))
            return s;
        s.n = at;
    }
}

/* Without underscores between digits; false when one stands elsewhere or the text is too long. */
static bool drop_underscores(as_str s, char z[512], size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < s.n; i++) {
        const bool is_sep = s.p[i] == '_';
        const bool is_between = i > 0 && i + 1 < s.n && s.p[i - 1] != '_' && s.p[i + 1] != '_' &&
                                s.p[i - 1] != '+' && s.p[i - 1] != '-';
        if ((is_sep && !is_between) || *n + 1 == 512)
            return false;
        if (!is_sep)
            z[(*n)++] = s.p[i];
    }
    z[*n] = '\0';
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'z' ? low - 'a' + 10 : 99;
}

bool tp_to_int(tp_run *r, as_str s, int base, int64_t *out, bool *ok)
{
    char z[512];
    size_t n = 0, i = 0;
    *ok = false;
    if (!drop_underscores(strip_blanks(s), z, &n) || n == 0)
        return true;
    const bool is_negative = z[0] == '-';
    i += is_negative || z[0] == '+';
    const int prefix = z[i] == '0' && n > i + 1 ? (z[i + 1] | 0x20) : 0;
    const int of_prefix = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (of_prefix != 0 && (base == of_prefix || base == 0)) {
        base = of_prefix;
        i += 2;
    }
    base = base == 0 ? 10 : base;
    if (i == n)
        return true;
    uint64_t v = 0;
    bool is_over = false;
    for (; i < n; i++) {
        if (digit_of(z[i]) >= base)
            return true;
        is_over = is_over || v > (UINT64_MAX >> 1) / (uint64_t)base;
        v = v * (uint64_t)base + (uint64_t)digit_of(z[i]);
        is_over = is_over || v > (uint64_t)INT64_MAX + is_negative;
    }
    if (is_over)
        return tp_raise(r, "OverflowError", "an integer has more than 64 bits");
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    *ok = true;
    return true;
}

static bool is_word(const char *z, const char *word)
{
    for (; *z != '\0' && (*z | 0x20) == *word; z++, word++)
        ;
    return *z == '\0' && *word == '\0';
}

bool tp_to_float(as_str s, double *out)
{
    char z[512];
    size_t n = 0;
    if (!drop_underscores(strip_blanks(s), z, &n) || n == 0)
        return false;
    const char *body = z + (z[0] == '-' || z[0] == '+');
    if (is_word(body, "inf") || is_word(body, "infinity") || is_word(body, "nan")) {
        const double v = is_word(body, "nan") ? (double)NAN : HUGE_VAL;
        *out = z[0] == '-' ? -v : v;
        return true;
    }
    bool has_digit = false;
    for (const char *c = body; *c != '\0'; c++) {
        if (strchr("0123456789.eE+-", *c) == NULL)
            return false;
        has_digit = has_digit || (*c >= '0' && *c <= '9');
        if ((*c == 'e' || *c == 'E') && !has_digit)
            return false;
    }
    char *end = NULL;
    *out = strtod(z, &end);
    return has_digit && *end == '\0' && *body != '+' && *body != '-';
}

/* ---- format specifications ------------------------------------------------------------------- */

typedef struct spec {
    as_str fill; /* one character */
    char align;  /* < > ^ =, or NUL */
    char sign;   /* + - blank */
    bool is_alternate, is_zero;
    int64_t width;
    char group;    /* , _ or NUL */
    int precision; /* -1: none */
    char type;     /* or NUL */
} spec;

static bool read_int(as_str *s, int64_t *out)
{
    *out = 0;
    const bool has = s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9';
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
        *out = *out < 1000000000 ? *out * 10 + (s->p[0] - '0') : *out;
        *s = (as_str){s->p + 1, s->n - 1};
    }
    return has;
}

static char take(as_str *s, const char *set)
{
    if (s->n == 0 || s->p[0] == '\0' || strchr(set, s->p[0]) == NULL)
        return '\0';
    const char c = s->p[0];
    *s = (as_str){s->p + 1, s->n - 1};
    return c;
}

static bool read_spec(tp_run *r, as_str s, spec *f)
{
    *f = (spec){.fill = AS_STR(" "), .sign = '-', .precision = -1};
    const size_t len = as_utf8_len(s);
    int64_t n = 0;
    if (len > 0 && len < s.n && strchr("<>^=", s.p[len]) != NULL && s.p[len] != '\0') {
        f->fill = (as_str){s.p, len};
        s = (as_str){s.p + len, s.n - len};
    }
    f->align = take(&s, "<>^=");
    const char sign = take(&s, "+- ");
    f->sign = sign != '\0' ? sign : '-';
    (void)take(&s, "z");
    f->is_alternate = take(&s, "#") != '\0';
    f->is_zero = take(&s, "0") != '\0';
    (void)read_int(&s, &f->width);
    f->group = take(&s, ",_");
    if (take(&s, ".") != '\0') {
        if (!read_int(&s, &n))
            return tp_raise(r, "ValueError", "Format specifier missing precision");
        f->precision = n > INT32_MAX ? INT32_MAX : (int)n;
    }
    f->type = take(&s, "bcdeEfFgGnosxX%");
    if (s.n > 0)
        return tp_raise(r, "ValueError", "Invalid format specifier");
    if (f->is_zero && f->align == '\0') {
        f->fill = AS_STR("0");
        f->align = '=';
    }
    return true;
}

/* sign and digits, filled up to the width. */
static bool put_padded(tp_run *r, const spec *f, as_str sign, as_str body, char align, as_buf *out)
{
    const int64_t n = (int64_t)(tp_chars(sign) + tp_chars(body));
    const int64_t pad = f->width > n ? f->width - n : 0;
    if (pad > (int64_t)r->limits.max_out_bytes || !tp_step(r, (size_t)pad / 16))
        return tp_raise(r, "LimitError", "a string grows beyond %zu bytes",
                        r->limits.max_out_bytes);
    const int64_t left = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
    if (align == '=')
        (void)as_buf_add(out, sign);
    for (int64_t i = 0; i < left; i++)
        (void)as_buf_add(out, f->fill);
    if (align != '=')
        (void)as_buf_add(out, sign);
    (void)as_buf_add(out, body);
    for (int64_t i = left; i < pad; i++)
        (void)as_buf_add(out, f->fill);
    return !out->is_full ||
           tp_raise(r, "LimitError", "a string grows beyond %zu bytes", r->limits.max_out_bytes);
}

/* Separators between groups of the digits in front of the point. */
static as_str group_digits(const spec *f, as_str digits, int size, char z[1024])
{
    size_t whole = 0, n = 0;
    while (whole < digits.n && digit_of(digits.p[whole]) < 16 &&
           (size == 4 || digit_of(digits.p[whole]) < 10))
        whole++;
    if (f->group == '\0' || whole > 600)
        return digits;
    for (size_t i = 0; i < digits.n; i++) {
        if (i > 0 && i < whole && (whole - i) % (size_t)size == 0)
            z[n++] = f->group;
        z[n++] = digits.p[i];
        if (n > 1000)
            break;
    }
    return (as_str){z, n};
}

static as_str int_digits(uint64_t v, unsigned base, bool upper, char z[72])
{
    size_t at = 72;
    do {
        z[--at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
        v /= base;
    } while (v != 0);
    return (as_str){z + at, 72 - at};
}

static bool put_int(tp_run *r, const spec *f, int64_t v, as_buf *out)
{
    char digits[72], grouped[1024], sign[4] = "";
    if (f->type == 'c') {
        char z[4];
        if (v < 0 || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
            return tp_raise(r, "OverflowError", "%%c arg not in range(0x110000)");
        const as_str c = {z, as_utf8_encode((uint32_t)v, z)};
        return put_padded(r, f, AS_STR(""), c, f->align == '\0' ? '<' : f->align, out);
    }
    if (f->precision >= 0)
        return tp_raise(r, "ValueError", "Precision not allowed in integer format specifier");
    const char low = f->type == 'X' ? 'x' : f->type;
    const unsigned base = low == 'x' ? 16 : low == 'o' ? 8 : low == 'b' ? 2 : 10;
    size_t n = 0;
    if (v < 0 || f->sign != '-')
        sign[n++] = v < 0 ? '-' : f->sign;
    if (f->is_alternate && base != 10) {
        sign[n++] = '0';
        sign[n++] = f->type;
    }
    const uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    const as_str body = group_digits(f, int_digits(magnitude, base, f->type == 'X', digits),
                                     base == 10 ? 3 : 4, grouped);
    return put_padded(r, f, (as_str){sign, n}, body, f->align == '\0' ? '>' : f->align, out);
}

/* Digits of |v| in one of the forms e f g, or repr's. */
static as_str float_digits(const spec *f, double v, char z[1024])
{
    const int precision = f->precision < 0 ? 6 : f->precision;
    int n = 0;
    v = fabs(v);
    if (isnan(v) || isinf(v)) {
        const bool upper = f->type == 'E' || f->type == 'F' || f->type == 'G';
        n = snprintf(z, 1024, "%s", isnan(v) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf"));
    } else if (f->type == '\0' && f->precision < 0) {
        char repr[40];
        tp_float_repr(repr, v);
        n = snprintf(z, 1024, "%s", repr);
    } else if (f->type == 'e' || f->type == 'E') {
        n = snprintf(z, 1024, f->type == 'e' ? "%.*e" : "%.*E", precision, v);
    } else if (f->type == 'f' || f->type == 'F' || f->type == '%') {
        n = snprintf(z, 1024, "%.*f", precision, f->type == '%' ? v * 100 : v);
    } else {
        const int digits = precision == 0 ? 1 : precision;
        const bool is_plain = f->type == '\0'; /* like g, but with a point */
        n = snprintf(z, 1024,
                     f->type == 'G'    ? "%.*G"
                     : f->is_alternate ? "%#.*g"
                                       : "%.*g",
                     digits, v);
        if (is_plain && strpbrk(z, ".e") == NULL)
            n += snprintf(z + n, 1024 - (size_t)n, ".0");
    }
    if (f->type == '%' && n < 1020) {
        z[n++] = '%';
        z[n] = '\0';
    }
    return (as_str){z, (size_t)n < 1024 ? (size_t)n : 1023};
}

static bool put_float(tp_run *r, const spec *f, double v, as_buf *out)
{
    char digits[1024], grouped[1024], sign[2] = "";
    size_t n = 0;
    if (f->precision > MAX_PRECISION)
        return tp_raise(r, "ValueError", "more than %d digits of a float are not supported",
                        MAX_PRECISION);
    if (signbit(v) != 0 || f->sign != '-')
        sign[n++] = signbit(v) != 0 ? '-' : f->sign;
    const as_str body = group_digits(f, float_digits(f, v, digits), 3, grouped);
    return put_padded(r, f, (as_str){sign, n}, body, f->align == '\0' ? '>' : f->align, out);
}

static bool put_text(tp_run *r, const spec *f, tp_value v, as_buf *out)
{
    as_str s = tp_str(v);
    if (f->precision >= 0)
        s.n = tp_char_offset(s, v.u.text->n_chars, (size_t)f->precision);
    const char align = f->align == '\0' || (f->align == '=' && f->is_zero) ? '<' : f->align;
    return put_padded(r, f, AS_STR(""), s, align, out);
}

static bool tp_format_spec(tp_run *r, tp_value v, as_str text, as_buf *out)
{
    spec f;
    int64_t i = 0;
    if (text.n == 0)
        return tp_print(r, v, out);
    if (!read_spec(r, text, &f))
        return false;
    const bool is_float_type = f.type != '\0' && strchr("eEfFgG%", f.type) != NULL;
    if (v.kind == TP_FLOAT && (is_float_type || f.type == '\0'))
        return put_float(r, &f, v.u.f, out);
    if (tp_as_int(v, &i) && is_float_type)
        return put_float(r, &f, (double)i, out);
    if (tp_as_int(v, &i) && (v.kind == TP_INT || f.type != '\0') && f.type != 's')
        return put_int(r, &f, i, out);
    if (v.kind == TP_TEXT && (f.type == 's' || f.type == '\0') && f.align != '=' && f.sign == '-' &&
        f.group == '\0')
        return put_text(r, &f, v, out);
    if (v.kind == TP_TEXT && f.is_zero && f.align == '=' && (f.type == 's' || f.type == '\0'))
        return put_text(r, &f, v, out);
    if (v.kind == TP_TEXT || tp_is_number(v))
        return tp_raise(r, "ValueError", "Unknown format code '%c' for object of type '%s'",
                        f.type == '\0' ? '?' : f.type, tp_type_name(v));
    return tp_raise(r, "TypeError", "unsupported format string passed to %s.__format__",
                    tp_type_name(v));
}

/* ---- the % operator -------------------------------------------------------------------------- */

typedef struct percent {
    tp_run *r;
    as_str s;
    tp_value args;
    size_t used;
    as_buf out;
    bool is_safe;
} percent;

static bool next_arg(percent *p, tp_value *out)
{
    if (p->args.kind == TP_TUPLE) {
        if (p->used >= p->args.u.list->n)
            return tp_raise(p->r, "TypeError", "not enough arguments for format string");
        *out = p->args.u.list->v[p->used++];
        return true;
    }
    if (p->used++ > 0)
        return tp_raise(p->r, "TypeError", "not enough arguments for format string");
    *out = p->args;
    return true;
}

static bool key_arg(percent *p, tp_value *out)
{
    size_t end = 1;
    int depth = 1;
    for (; end < p->s.n && depth > 0; end++)
        depth += p->s.p[end] == '(' ? 1 : p->s.p[end] == ')' ? -1 : 0;
    if (depth > 0)
        return tp_raise(p->r, "ValueError", "incomplete format key");
    if (p->args.kind != TP_DICT)
        return tp_raise(p->r, "TypeError", "format requires a mapping");
    *out = tp_dict_find(p->args.u.dict, (as_str){p->s.p + 1, end - 2});
    if (out->kind == TP_MISSING)
        return tp_raise(p->r, "KeyError", "'%.*s'", (int)(end - 2), p->s.p + 1);
    p->s = (as_str){p->s.p + end, p->s.n - end};
    p->used = 1;
    return true;
}

static bool star_or_int(percent *p, int64_t *out, bool *has)
{
    *has = true;
    if (take(&p->s, "*") == '\0') {
        *has = read_int(&p->s, out);
        return true;
    }
    tp_value v;
    return next_arg(p, &v) && (tp_as_int(v, out) || tp_raise(p->r, "TypeError", "* wants int"));
}

static bool put_percent_text(percent *p, spec *f, tp_value v)
{
    tp_value text;
    if (f->type == 's') {
        if (!tp_to_text(p->r, v, &text))
            return false;
    } else {
        as_buf b;
        tp_buf_start(p->r, &b);
        if (!tp_repr(p->r, v, &b))
            return tp_buf_drop(&b);
        if (!tp_buf_end(p->r, &b, false, &text))
            return false;
    }
    if (p->is_safe && !tp_escape_text(p->r, text, &text))
        return false;
    f->align = f->align == '<' ? '<' : '>';
    f->fill = AS_STR(" ");
    return put_text(p->r, f, text, &p->out);
}

static bool put_percent_int(percent *p, spec *f, tp_value v)
{
    int64_t i = 0;
    const int precision = f->precision;
    if (v.kind == TP_FLOAT && f->type == 'd') {
        if (!isfinite(v.u.f) || fabs(v.u.f) >= 9.2e18)
            return tp_raise(p->r, "OverflowError", "cannot convert float to a 64-bit integer");
        i = (int64_t)v.u.f;
    } else if (!tp_as_int(v, &i)) {
        return tp_raise(p->r, "TypeError", "%%%c format: a %s is required, not %s", f->type,
                        f->type == 'd' ? "real number" : "integer", tp_type_name(v));
    }
    f->precision = -1;
    if (precision < 0)
        return put_int(p->r, f, i, &p->out);
    /* precision: at least so many digits */
    spec inner = {.fill = AS_STR("0"),
                  .align = '=',
                  .sign = f->sign,
                  .precision = -1,
                  .type = f->type,
                  .is_alternate = f->is_alternate};
    inner.width = (int64_t)precision + (i < 0 || f->sign != '-') + (f->is_alternate ? 2 : 0);
    as_buf b;
    tp_value text;
    tp_buf_start(p->r, &b);
    if (!put_int(p->r, &inner, i, &b))
        return tp_buf_drop(&b);
    if (!tp_buf_end(p->r, &b, false, &text))
        return false;
    f->align = f->align == '<' ? '<' : '>';
    f->fill = AS_STR(" ");
    return put_text(p->r, f, text, &p->out);
}

static bool put_percent_char(percent *p, spec *f, tp_value v)
{
    f->precision = -1;
    f->align = f->align == '<' ? '<' : '>';
    f->fill = AS_STR(" ");
    if (v.kind == TP_INT) {
        f->type = 'c';
        return put_int(p->r, f, v.u.i, &p->out);
    }
    if (v.kind != TP_TEXT || v.u.text->n_chars != 1)
        return tp_raise(p->r, "TypeError", "%%c requires int or char");
    return put_text(p->r, f, v, &p->out);
}

static bool put_percent(percent *p, spec *f, tp_value v)
{
    switch (f->type) {
    case 's':
    case 'r':
    case 'a':
        return put_percent_text(p, f, v);
    case 'c':
        return put_percent_char(p, f, v);
    case 'd':
    case 'i':
    case 'u':
        f->type = 'd';
        return put_percent_int(p, f, v);
    case 'x':
    case 'X':
    case 'o':
        return put_percent_int(p, f, v);
    default:
        if (!tp_is_number(v))
            return tp_raise(p->r, "TypeError", "must be real number, not %s", tp_type_name(v));
        if (f->precision < 0)
            f->precision = 6;
        return put_float(p->r, f, tp_as_float(v), &p->out);
    }
}

/* Behind a %: flags, width, precision, type. */
static bool one_percent(percent *p)
{
    spec f = {.fill = AS_STR(" "), .sign = '-', .precision = -1};
    tp_value v = tp_missing;
    bool has = false;
    int64_t n = 0;
    if (p->s.n > 0 && p->s.p[0] == '(' && !key_arg(p, &v))
        return false;
    for (char c = take(&p->s, "-+ #0"); c != '\0'; c = take(&p->s, "-+ #0")) {
        f.align = c == '-' ? '<' : f.align;
        f.sign = c == '+' || (c == ' ' && f.sign != '+') ? c : f.sign;
        f.is_alternate = f.is_alternate || c == '#';
        f.is_zero = f.is_zero || c == '0';
    }
    if (!star_or_int(p, &f.width, &has))
        return false;
    if (f.width < 0) {
        f.align = '<';
        f.width = -f.width;
    }
    if (take(&p->s, ".") != '\0') {
        if (!star_or_int(p, &n, &has))
            return false;
        f.precision = n < 0 || !has ? 0 : n > INT32_MAX ? INT32_MAX : (int)n;
    }
    (void)take(&p->s, "hlL");
    if (p->s.n == 0)
        return tp_raise(p->r, "ValueError", "incomplete format");
    f.type = take(&p->s, "diouxXeEfFgGcrsa%");
    if (f.type == '\0')
        return tp_raise(p->r, "ValueError", "unsupported format character");
    if (f.type == '%')
        return as_buf_add_byte(&p->out, '%') == AS_OK || tp_raise_nomem(p->r);
    if (f.is_zero && f.align == '\0') {
        f.fill = AS_STR("0");
        f.align = '=';
    }
    return (v.kind != TP_MISSING || next_arg(p, &v)) && put_percent(p, &f, v);
}

static bool run_percent(percent *p)
{
    while (p->s.n > 0) {
        const char *hit = memchr(p->s.p, '%', p->s.n);
        const size_t n = hit != NULL ? (size_t)(hit - p->s.p) : p->s.n;
        (void)as_buf_add(&p->out, (as_str){p->s.p, n});
        p->s = (as_str){p->s.p + n, p->s.n - n};
        if (hit == NULL)
            break;
        p->s = (as_str){p->s.p + 1, p->s.n - 1};
        if (!tp_step(p->r, 1) || !one_percent(p))
            return false;
    }
    const bool may_be_left =
        p->args.kind == TP_DICT || p->args.kind == TP_LIST ||
        (p->args.kind == TP_TUPLE ? p->used >= p->args.u.list->n : p->used > 0) ||
        p->args.kind == TP_RANGE || p->args.kind == TP_UNDEFINED;
    return may_be_left ||
           tp_raise(p->r, "TypeError", "not all arguments converted during string formatting");
}

bool tp_percent(tp_run *r, tp_value format, tp_value args, tp_value *out)
{
    percent p = {.r = r, .s = tp_str(format), .args = args};
    p.is_safe = format.u.text->is_safe;
    tp_buf_start(r, &p.out);
    return run_percent(&p) ? tp_buf_end(r, &p.out, p.is_safe, out) : tp_buf_drop(&p.out);
}

/* ---- str.format ------------------------------------------------------------------------------ */

typedef struct formatter {
    tp_run *r;
    const tp_args *args;
    size_t next;
    bool is_auto, is_numbered;
} formatter;

static bool first_field(formatter *f, as_str name, tp_value *out)
{
    int64_t i = 0;
    const bool is_number = as_parse_i64(name, 0, INT32_MAX, &i);
    if (name.n == 0 || is_number) {
        if ((name.n == 0 && f->is_numbered) || (is_number && f->is_auto))
            return tp_raise(f->r, "ValueError", "cannot mix automatic and manual field numbering");
        f->is_auto = f->is_auto || name.n == 0;
        f->is_numbered = f->is_numbered || is_number;
        const size_t at = is_number ? (size_t)i : f->next++;
        if (at >= f->args->n_pos)
            return tp_raise(f->r, "IndexError",
                            "Replacement index %zu out of range for positional args tuple", at);
        *out = f->args->pos[at];
        return true;
    }
    for (size_t k = 0; k < f->args->n_kw; k++) {
        if (f->args->names[k].p != NULL && as_str_eq(f->args->names[k], name)) {
            *out = f->args->kw[k];
            return true;
        }
    }
    return tp_raise(f->r, "KeyError", "'%.*s'", AS_ARG(name));
}

/* name, then .attribute and [item] parts. */
static bool field_value(formatter *f, as_str field, tp_value *out)
{
    size_t n = 0;
    while (n < field.n && field.p[n] != '.' && field.p[n] != '[')
        n++;
    if (!first_field(f, (as_str){field.p, n}, out))
        return false;
    while (n < field.n) {
        const bool is_attr = field.p[n] == '.';
        size_t end = ++n;
        while (end < field.n &&
               (is_attr ? field.p[end] != '.' && field.p[end] != '[' : field.p[end] != ']'))
            end++;
        const as_str part = {field.p + n, end - n};
        if (part.n == 0 || (!is_attr && end == field.n))
            return tp_raise(f->r, "ValueError", "Empty attribute in format string");
        tp_value key;
        int64_t i = 0;
        if (!tp_text_wrap(f->r, part, false, &key))
            return false;
        if (!is_attr && as_parse_i64(part, 0, INT32_MAX, &i))
            key = tp_int(i);
        if (!(is_attr ? tp_getattr(f->r, *out, key, out) : tp_getitem(f->r, *out, key, out)))
            return false;
        n = end + !is_attr;
    }
    return true;
}

static bool run_format(formatter *f, as_str s, int depth, as_buf *out);

/* What stands between { and }: field !conversion :spec */
static bool replace_field(formatter *f, as_str body, int depth, as_buf *out)
{
    tp_value v;
    size_t n = 0;
    while (n < body.n && body.p[n] != ':' && body.p[n] != '!')
        n += body.p[n] == '[' && memchr(body.p + n, ']', body.n - n) != NULL
                 ? (size_t)((const char *)memchr(body.p + n, ']', body.n - n) - (body.p + n))
                 : 1;
    const as_str field = {body.p, n};
    char conversion = '\0';
    if (n < body.n && body.p[n] == '!') {
        if (n + 1 >= body.n || (n + 2 < body.n && body.p[n + 2] != ':'))
            return tp_raise(f->r, "ValueError", "bad conversion in a format string");
        conversion = body.p[n + 1];
        n += 2;
    }
    if (!field_value(f, field, &v))
        return false;
    as_buf b;
    tp_buf_start(f->r, &b);
    if (conversion == 'r' || conversion == 'a') {
        if (!tp_repr(f->r, v, &b) || !tp_text_of(f->r, as_buf_str(&b), &v))
            return tp_buf_drop(&b);
    } else if (conversion == 's') {
        if (!tp_to_text(f->r, v, &v))
            return tp_buf_drop(&b);
    } else if (conversion != '\0') {
        (void)tp_raise(f->r, "ValueError", "Unknown conversion specifier %c", conversion);
        return tp_buf_drop(&b);
    }
    as_buf_reset(&b);
    if (n < body.n && !run_format(f, (as_str){body.p + n + 1, body.n - n - 1}, depth + 1, &b))
        return tp_buf_drop(&b);
    const bool is_ok = tp_format_spec(f->r, v, as_buf_str(&b), out);
    as_buf_release(&b);
    return is_ok;
}

static bool run_format(formatter *f, as_str s, int depth, as_buf *out)
{
    if (depth > 2)
        return tp_raise(f->r, "ValueError", "Max string recursion exceeded");
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (c != '{' && c != '}') {
            (void)as_buf_add_byte(out, c);
            continue;
        }
        if (i + 1 < s.n && s.p[i + 1] == c) {
            (void)as_buf_add_byte(out, c);
            i++;
            continue;
        }
        if (c == '}')
            return tp_raise(f->r, "ValueError", "Single '}' encountered in format string");
        size_t end = i + 1;
        for (int level = 1; end < s.n; end++) {
            level += s.p[end] == '{' ? 1 : s.p[end] == '}' ? -1 : 0;
            if (level == 0)
                break;
        }
        if (end >= s.n)
            return tp_raise(f->r, "ValueError", "expected '}' before end of string");
        if (!tp_step(f->r, 1 + s.n / 64) ||
            !replace_field(f, (as_str){s.p + i + 1, end - i - 1}, depth, out))
            return false;
        i = end;
    }
    return true;
}

bool tp_format(tp_run *r, tp_value format, const tp_args *args, tp_value *out)
{
    formatter f = {.r = r, .args = args};
    as_buf b;
    tp_buf_start(r, &b);
    return run_format(&f, tp_str(format), 1, &b) ? tp_buf_end(r, &b, format.u.text->is_safe, out)
                                                 : tp_buf_drop(&b);
}
