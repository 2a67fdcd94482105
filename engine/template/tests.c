/*
 * tests.c — what may stand behind "is", and be named in select and selectattr.
 */
#include "engine/template/impl.h"

static bool yes(tp_value *out, bool b)
{
    *out = tp_bool(b);
    return true;
}

static bool t_defined(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind != TP_UNDEFINED);
}

static bool t_undefined(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_UNDEFINED);
}

static bool t_none(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_NONE);
}

static bool t_boolean(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_BOOL);
}

static bool t_true(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_BOOL && v.u.b);
}

static bool t_false(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_BOOL && !v.u.b);
}

static bool t_integer(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_INT);
}

static bool t_float(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_FLOAT);
}

static bool t_number(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, tp_is_number(v));
}

static bool t_string(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_TEXT);
}

static bool t_mapping(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_DICT);
}

static bool t_sequence(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_TEXT || v.kind == TP_LIST || v.kind == TP_TUPLE ||
                        v.kind == TP_DICT || v.kind == TP_RANGE || v.kind == TP_UNDEFINED);
}

static bool t_iterable(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, (v.kind >= TP_TEXT && v.kind <= TP_ITER) || v.kind == TP_UNDEFINED ||
                        v.kind == TP_LOOP);
}

static bool t_callable(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_METHOD || v.kind == TP_FUNCTION || v.kind == TP_MACRO ||
                        v.kind == TP_LOOP || v.kind == TP_JOINER || v.kind == TP_UNDEFINED);
}

static bool t_escaped(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_TEXT && v.u.text->is_safe);
}

static bool t_lower(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return tp_to_text(r, v, &v) && tp_text_method(AS_STR("islower"))->call(r, v, a, out);
}

static bool t_upper(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return tp_to_text(r, v, &v) && tp_text_method(AS_STR("isupper"))->call(r, v, a, out);
}

static bool rest_is(tp_run *r, tp_value v, tp_value by, int64_t want, tp_value *out)
{
    tp_value rest;
    bool is_equal = false;
    if (!tp_binary(r, TP_MOD, v, by, &rest) || !tp_equal(r, rest, tp_int(want), &is_equal))
        return false;
    return yes(out, is_equal);
}

static bool t_odd(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return rest_is(r, v, tp_int(2), 1, out);
}

static bool t_even(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return rest_is(r, v, tp_int(2), 0, out);
}

static bool t_divisibleby(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return rest_is(r, v, a[0], 0, out);
}

/* The same object: for what cannot change, the same value will do. */
static bool t_sameas(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    bool is_same = v.kind == a[0].kind;
    if (is_same && (tp_is_number(v) || v.kind == TP_TEXT))
        return tp_equal(r, v, a[0], &is_same) && yes(out, is_same);
    return yes(out, is_same && (v.kind == TP_NONE || v.u.list == a[0].u.list));
}

static bool compare(tp_run *r, tp_cmp op, tp_value v, tp_value other, tp_value *out)
{
    bool is_true = false;
    return tp_compare(r, op, v, other, &is_true) && yes(out, is_true);
}

static bool t_eq(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_EQ, v, a[0], out);
}

static bool t_ne(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_NE, v, a[0], out);
}

static bool t_lt(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_LT, v, a[0], out);
}

static bool t_le(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_LE, v, a[0], out);
}

static bool t_gt(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_GT, v, a[0], out);
}

static bool t_ge(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_GE, v, a[0], out);
}

static bool t_in(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return compare(r, TP_IN, v, a[0], out);
}

static bool t_filter(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_TEXT && tp_filter(tp_str(v)) != NULL);
}

static bool t_test(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    return yes(out, v.kind == TP_TEXT && tp_test(tp_str(v)) != NULL);
}

static const tp_function tests[] = {
    {"defined", "", 0, t_defined, NULL},
    {"undefined", "", 0, t_undefined, NULL},
    {"none", "", 0, t_none, NULL},
    {"boolean", "", 0, t_boolean, NULL},
    {"true", "", 0, t_true, NULL},
    {"false", "", 0, t_false, NULL},
    {"integer", "", 0, t_integer, NULL},
    {"float", "", 0, t_float, NULL},
    {"number", "", 0, t_number, NULL},
    {"string", "", 0, t_string, NULL},
    {"mapping", "", 0, t_mapping, NULL},
    {"sequence", "", 0, t_sequence, NULL},
    {"iterable", "", 0, t_iterable, NULL},
    {"callable", "", 0, t_callable, NULL},
    {"escaped", "", 0, t_escaped, NULL},
    {"lower", "", 0, t_lower, NULL},
    {"upper", "", 0, t_upper, NULL},
    {"odd", "", 0, t_odd, NULL},
    {"even", "", 0, t_even, NULL},
    {"divisibleby", "num", 1, t_divisibleby, NULL},
    {"sameas", "other", 1, t_sameas, NULL},
    {"filter", "", 0, t_filter, NULL},
    {"test", "", 0, t_test, NULL},
    {"in", "seq", 1, t_in, NULL},
    {"eq", "other /", 1, t_eq, NULL},
    {"==", "other /", 1, t_eq, NULL},
    {"equalto", "other /", 1, t_eq, NULL},
    {"ne", "other /", 1, t_ne, NULL},
    {"!=", "other /", 1, t_ne, NULL},
    {"lt", "other /", 1, t_lt, NULL},
    {"<", "other /", 1, t_lt, NULL},
    {"lessthan", "other /", 1, t_lt, NULL},
    {"le", "other /", 1, t_le, NULL},
    {"<=", "other /", 1, t_le, NULL},
    {"gt", "other /", 1, t_gt, NULL},
    {">", "other /", 1, t_gt, NULL},
    {"greaterthan", "other /", 1, t_gt, NULL},
    {"ge", "other /", 1, t_ge, NULL},
    {">=", "other /", 1, t_ge, NULL},
    {NULL, NULL, 0, NULL, NULL},
};

const tp_function *tp_test(as_str name)
{
    return tp_find_function(tests, name);
}
