/*
 * ops.c — operators, with Python's types, signs and errors; integers of 64 bits.
 */
#include "engine/template/impl.h"

#include <math.h>

static const char *sign_of(tp_op op)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    return signs[op - TP_ADD];
}

static bool fail_types(tp_run *r, tp_op op, tp_value a, tp_value b)
{
    if (a.kind == TP_UNDEFINED || b.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, a.kind == TP_UNDEFINED ? a : b);
    if (op == TP_ADD && (a.kind == TP_TEXT || a.kind == TP_LIST || a.kind == TP_TUPLE))
        return tp_raise(r, "TypeError", "can only concatenate %s (not \"%s\") to %s",
                        tp_type_name(a), tp_type_name(b), tp_type_name(a));
    return tp_raise(r, "TypeError", "unsupported operand type(s) for %s: '%s' and '%s'",
                    sign_of(op), tp_type_name(a), tp_type_name(b));
}

static bool overflow(tp_run *r)
{
    return tp_raise(r, "OverflowError", "an integer has more than 64 bits");
}

/* ---- numbers --------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    const int64_t q = a / b;
    return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    const int64_t m = a % b;
    return m != 0 && ((m < 0) != (b < 0)) ? m + b : m;
}

static bool int_pow(tp_run *r, int64_t a, int64_t b, tp_value *out)
{
    int64_t result = 1;
    if (b < 0) {
        if (a == 0)
            return tp_raise(r, "ZeroDivisionError", "0.0 cannot be raised to a negative power");
        *out = tp_float(pow((double)a, (double)b));
        return true;
    }
    if (a == 0 || a == 1 || a == -1) {
        *out = tp_int(b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
        return true;
    }
    for (int64_t i = 0; i < b; i++)
        if (__builtin_mul_overflow(result, a, &result))
            return overflow(r);
    *out = tp_int(result);
    return true;
}

static bool int_op(tp_run *r, tp_op op, int64_t a, int64_t b, tp_value *out)
{
    int64_t v = 0;
    bool is_over = false;
    switch (op) {
    case TP_ADD:
        is_over = __builtin_add_overflow(a, b, &v);
        break;
    case TP_SUB:
        is_over = __builtin_sub_overflow(a, b, &v);
        break;
    case TP_MUL:
        is_over = __builtin_mul_overflow(a, b, &v);
        break;
    case TP_POW:
        return int_pow(r, a, b, out);
    default:
        if (b == 0)
            return tp_raise(r, "ZeroDivisionError", "division by zero");
        if (op == TP_DIV) {
            *out = tp_float((double)a / (double)b);
            return true;
        }
        is_over = a == INT64_MIN && b == -1;
        if (!is_over)
            v = op == TP_FLOORDIV ? floor_div(a, b) : floor_mod(a, b);
        else if (op == TP_MOD)
            is_over = false; /* and v is 0 */
    }
    *out = tp_int(v);
    return !is_over || overflow(r);
}

static double float_mod(double a, double b)
{
    const double m = fmod(a, b);
    if (m == 0)
        return copysign(0.0, b);
    return (m < 0) != (b < 0) ? m + b : m;
}

static double float_floor_div(double a, double b)
{
    const double m = fmod(a, b);
    double q = (a - m) / b;
    if (m != 0 && (m < 0) != (b < 0))
        q -= 1.0;
    if (q == 0)
        return copysign(0.0, a / b);
    const double f = floor(q);
    return q - f > 0.5 ? f + 1.0 : f;
}

static bool float_op(tp_run *r, tp_op op, double a, double b, tp_value *out)
{
    if (b == 0 && (op == TP_DIV || op == TP_FLOORDIV || op == TP_MOD))
        return tp_raise(r, "ZeroDivisionError", "float division by zero");
    double v = 0;
    switch (op) {
    case TP_ADD:
        v = a + b;
        break;
    case TP_SUB:
        v = a - b;
        break;
    case TP_MUL:
        v = a * b;
        break;
    case TP_DIV:
        v = a / b;
        break;
    case TP_FLOORDIV:
        v = float_floor_div(a, b);
        break;
    case TP_MOD:
        v = float_mod(a, b);
        break;
    default:
        if (a == 0 && b < 0)
            return tp_raise(r, "ZeroDivisionError", "0.0 cannot be raised to a negative power");
        if (a < 0 && b != floor(b))
            return tp_raise(r, "TypeError", "complex numbers are not supported");
        v = pow(a, b);
        if (isinf(v) && !isinf(a) && !isinf(b))
            return tp_raise(r, "OverflowError", "numerical result out of range");
    }
    *out = tp_float(v);
    return true;
}

/* ---- sequences ------------------------------------------------------------------------------- */

static const char *html_entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&#34;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

bool tp_escape_text(tp_run *r, tp_value v, tp_value *out)
{
    *out = v;
    if (v.kind == TP_TEXT && v.u.text->is_safe)
        return true;
    if (!tp_to_text(r, v, &v))
        return false;
    as_buf b;
    tp_buf_start(r, &b);
    const as_str s = tp_str(v);
    for (size_t i = 0; i < s.n && !b.is_full; i++) {
        const char *entity = html_entity(s.p[i]);
        if (entity != NULL)
            (void)as_buf_add_z(&b, entity);
        else
            (void)as_buf_add_byte(&b, s.p[i]);
    }
    return tp_buf_end(r, &b, true, out);
}

static bool join_two(tp_run *r, as_str a, as_str b, bool is_safe, tp_value *out)
{
    if (a.n + b.n > r->limits.max_out_bytes)
        return tp_raise(r, "LimitError", "a string grows beyond %zu bytes",
                        r->limits.max_out_bytes);
    char *p = tp_alloc(r, a.n + b.n + 1, 1);
    if (p == NULL)
        return false;
    if (a.n > 0)
        memcpy(p, a.p, a.n);
    if (b.n > 0)
        memcpy(p + a.n, b.p, b.n);
    return tp_text_wrap(r, (as_str){p, a.n + b.n}, is_safe, out);
}

static bool add_texts(tp_run *r, tp_value a, tp_value b, tp_value *out)
{
    const bool is_safe = a.u.text->is_safe || b.u.text->is_safe;
    if (is_safe && (!tp_escape_text(r, a, &a) || !tp_escape_text(r, b, &b)))
        return false;
    return join_two(r, tp_str(a), tp_str(b), is_safe, out);
}

static bool add_lists(tp_run *r, tp_value a, tp_value b, tp_value *out)
{
    tp_list *l = NULL;
    const size_t n = a.u.list->n;
    if (!tp_list_new(r, a.kind, n + b.u.list->n, &l, out))
        return false;
    if (n > 0)
        memcpy(l->v, a.u.list->v, n * sizeof *l->v);
    if (b.u.list->n > 0)
        memcpy(l->v + n, b.u.list->v, b.u.list->n * sizeof *l->v);
    return true;
}

static bool repeat(tp_run *r, tp_value v, int64_t times, tp_value *out)
{
    const size_t unit = v.kind == TP_TEXT ? v.u.text->n : v.u.list->n;
    const size_t n = times <= 0 || unit == 0 ? 0 : (size_t)times;
    size_t total = 0;
    if (!as_mul_size(unit, n, &total) || total > r->limits.max_out_bytes)
        return tp_raise(r, "LimitError", "a repetition grows beyond %zu elements",
                        r->limits.max_out_bytes);
    if (v.kind == TP_TEXT) {
        char *p = tp_alloc(r, total + 1, 1);
        if (p == NULL)
            return false;
        for (size_t i = 0; i < n; i++)
            memcpy(p + i * unit, v.u.text->p, unit);
        return tp_text_wrap(r, (as_str){p, total}, v.u.text->is_safe, out);
    }
    tp_list *l = NULL;
    if (!tp_list_new(r, v.kind, total, &l, out))
        return false;
    for (size_t i = 0; i < n; i++)
        memcpy(l->v + i * unit, v.u.list->v, unit * sizeof *l->v);
    return true;
}

static bool is_sequence(tp_value v)
{
    return v.kind == TP_TEXT || v.kind == TP_LIST || v.kind == TP_TUPLE;
}

bool tp_binary(tp_run *r, tp_op op, tp_value a, tp_value b, tp_value *out)
{
    int64_t x = 0, y = 0;
    if (tp_as_int(a, &x) && tp_as_int(b, &y))
        return int_op(r, op, x, y, out);
    if (tp_is_number(a) && tp_is_number(b))
        return float_op(r, op, tp_as_float(a), tp_as_float(b), out);
    if (op == TP_MOD && a.kind == TP_TEXT)
        return tp_percent(r, a, b, out);
    if (op == TP_ADD && a.kind == b.kind && is_sequence(a))
        return a.kind == TP_TEXT ? add_texts(r, a, b, out) : add_lists(r, a, b, out);
    if (op == TP_MUL && is_sequence(a) && tp_as_int(b, &y))
        return repeat(r, a, y, out);
    if (op == TP_MUL && is_sequence(b) && tp_as_int(a, &x))
        return repeat(r, b, x, out);
    return fail_types(r, op, a, b);
}

bool tp_unary(tp_run *r, tp_op op, tp_value a, tp_value *out)
{
    int64_t i = 0;
    if (a.kind == TP_FLOAT) {
        *out = tp_float(op == TP_NEG ? -a.u.f : a.u.f);
        return true;
    }
    if (tp_as_int(a, &i)) {
        if (op == TP_NEG && i == INT64_MIN)
            return overflow(r);
        *out = tp_int(op == TP_NEG ? -i : i);
        return true;
    }
    if (a.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, a);
    return tp_raise(r, "TypeError", "bad operand type for unary %s: '%s'", op == TP_NEG ? "-" : "+",
                    tp_type_name(a));
}

bool tp_compare(tp_run *r, tp_cmp op, tp_value a, tp_value b, bool *out)
{
    switch (op) {
    case TP_EQ:
    case TP_NE:
        if (!tp_equal(r, a, b, out))
            return false;
        *out = *out == (op == TP_EQ);
        return true;
    case TP_LT:
    case TP_LE:
        return tp_less(r, a, b, op == TP_LT ? "<" : "<=", op == TP_LE, out);
    case TP_GT:
    case TP_GE:
        return tp_less(r, b, a, op == TP_GT ? ">" : ">=", op == TP_GE, out);
    default:
        if (!tp_contains(r, a, b, out))
            return false;
        *out = *out == (op == TP_IN);
        return true;
    }
}

bool tp_concat(tp_run *r, const tp_value *v, size_t n, tp_value *out)
{
    as_buf b;
    tp_buf_start(r, &b);
    for (size_t i = 0; i < n; i++)
        if (!tp_print(r, v[i], &b))
            return tp_buf_drop(&b);
    return tp_buf_end(r, &b, false, out);
}
