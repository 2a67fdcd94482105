/*
 * filters_value.c — filters of single values, the tests, and the look-up of both.
 */
#include "engine/template/impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool f_default(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    bool by_truth = false, is_true = true;
    if (a[1].kind != TP_MISSING && !tp_truth(r, a[1], &by_truth))
        return false;
    if (by_truth && !tp_truth(r, v, &is_true))
        return false;
    *out = v;
    if (v.kind != TP_UNDEFINED && is_true)
        return true;
    *out = a[0];
    return a[0].kind != TP_MISSING || tp_text_wrap(r, AS_STR(""), false, out);
}

static bool float_to_int(tp_run *r, double f, tp_value *out)
{
    if (fabs(f) >= 9.2233720368547e18)
        return tp_raise(r, "OverflowError", "cannot convert the float to a 64-bit integer");
    *out = tp_int((int64_t)f);
    return true;
}

static bool text_to_int(tp_run *r, tp_value v, tp_value base_arg, tp_value otherwise, tp_value *out)
{
    int64_t base = 10, i = 0;
    bool is_ok = false;
    double f = 0;
    if (base_arg.kind != TP_MISSING && !tp_need_int(r, base_arg, "int", &base))
        return false;
    if (base >= 0 && base <= 36 && base != 1 && !tp_to_int(r, tp_str(v), (int)base, &i, &is_ok))
        return false;
    *out = is_ok ? tp_int(i) : otherwise;
    if (is_ok || !tp_to_float(tp_str(v), &f) || !isfinite(f))
        return true;
    return float_to_int(r, f, out);
}

static bool f_int(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    const tp_value otherwise = a[0].kind == TP_MISSING ? tp_int(0) : a[0];
    int64_t i = 0;
    if (v.kind == TP_TEXT)
        return text_to_int(r, v, a[1], otherwise, out);
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    *out = tp_as_int(v, &i) ? tp_int(i) : otherwise;
    if (v.kind != TP_FLOAT || isnan(v.u.f))
        return true;
    return float_to_int(r, v.u.f, out);
}

static bool f_float(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    double f = 0;
    *out = a[0].kind == TP_MISSING ? tp_float(0) : a[0];
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    if (tp_is_number(v))
        *out = tp_float(tp_as_float(v));
    else if (v.kind == TP_TEXT && tp_to_float(tp_str(v), &f))
        *out = tp_float(f);
    return true;
}

static bool f_abs(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    int64_t i = 0;
    if (v.kind == TP_FLOAT) {
        *out = tp_float(fabs(v.u.f));
        return true;
    }
    if (!tp_as_int(v, &i))
        return tp_raise(r, "TypeError", "bad operand type for abs(): '%s'", tp_type_name(v));
    *out = tp_int(i);
    return i >= 0 || tp_unary(r, TP_NEG, v, out);
}

/* Half to even on the exact binary value, as Python's round. */
static double round_float(double f, int64_t digits)
{
    char z[1400];
    if (!isfinite(f) || digits > 350)
        return f;
    if (digits >= 0) {
        (void)snprintf(z, sizeof z, "%.*f", (int)digits, f);
        return strtod(z, NULL);
    }
    if (digits < -308)
        return copysign(0.0, f);
    const double unit = pow(10, (double)-digits);
    return nearbyint(f / unit) * unit;
}

static bool round_int(tp_run *r, int64_t i, int64_t digits, tp_value *out)
{
    int64_t unit = 1;
    *out = tp_int(i);
    if (digits >= 0)
        return true;
    for (int64_t k = digits; k < 0; k++) {
        if (__builtin_mul_overflow(unit, 10, &unit)) {
            *out = tp_int(0);
            return true;
        }
    }
    int64_t rest = i % unit;
    rest = rest < 0 ? rest + unit : rest;
    int64_t down = i - rest;
    const bool is_odd = (down / unit) % 2 != 0;
    const bool is_up = rest > unit - rest || (rest == unit - rest && is_odd);
    return tp_binary(r, TP_ADD, tp_int(down), tp_int(is_up ? unit : 0), out);
}

static bool f_round(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    int64_t digits = 0, i = 0;
    tp_value method = a[1], scale;
    if ((a[0].kind != TP_MISSING && !tp_need_int(r, a[0], "round", &digits)) ||
        (method.kind == TP_MISSING && !tp_text_wrap(r, AS_STR("common"), false, &method)))
        return false;
    const bool is_text = method.kind == TP_TEXT;
    const bool is_ceil = is_text && as_str_eq_z(tp_str(method), "ceil");
    const bool is_floor = is_text && as_str_eq_z(tp_str(method), "floor");
    if (!is_ceil && !is_floor && !(is_text && as_str_eq_z(tp_str(method), "common")))
        return tp_raise(r, "FilterArgumentError", "method must be common, ceil or floor");
    if (v.kind == TP_UNDEFINED || !tp_is_number(v))
        return tp_raise(r, "TypeError", "type %s doesn't define __round__ method", tp_type_name(v));
    if (!is_ceil && !is_floor) {
        if (tp_as_int(v, &i))
            return round_int(r, i, digits, out);
        *out = tp_float(round_float(v.u.f, digits));
        return true;
    }
    if (!tp_binary(r, TP_POW, tp_int(10), tp_int(digits), &scale) ||
        !tp_binary(r, TP_MUL, v, scale, &v))
        return false;
    if (v.kind == TP_FLOAT) {
        if (!isfinite(v.u.f))
            return tp_raise(r, "OverflowError", "cannot convert the float to an integer");
        if (!float_to_int(r, is_ceil ? ceil(v.u.f) : floor(v.u.f), &v))
            return false;
    }
    return tp_binary(r, TP_DIV, v, scale, out);
}

static bool f_attr(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    tp_value name;
    return tp_to_text(r, a[0], &name) && tp_getattr_only(r, v, name, out);
}

const tp_function tp_filters_value[] = {
    {"abs", "", 0, f_abs, NULL},
    {"attr", "name", 1, f_attr, NULL},
    {"d", "default_value boolean", 0, f_default, NULL},
    {"default", "default_value boolean", 0, f_default, NULL},
    {"float", "default", 0, f_float, NULL},
    {"int", "default base", 0, f_int, NULL},
    {"round", "precision method", 0, f_round, NULL},
    {NULL, NULL, 0, NULL, NULL},
};

const tp_function *tp_filter(as_str name)
{
    const tp_function *const tables[] = {tp_filters_text, tp_filters_list, tp_filters_pick,
                                         tp_filters_value};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const tp_function *f = tp_find_function(tables[i], name);
        if (f != NULL)
            return f;
    }
    return NULL;
}
