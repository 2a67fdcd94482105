/*
 * value.c — making values, and what Python says of their truth, length, equality and order.
 */
#include "engine/template/impl.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>

const tp_value tp_missing = {.kind = TP_MISSING};
const tp_value tp_none = {.kind = TP_NONE};

tp_value tp_bool(bool b)
{
    return (tp_value){.kind = TP_BOOL, .u.b = b};
}

tp_value tp_int(int64_t i)
{
    return (tp_value){.kind = TP_INT, .u.i = i};
}

tp_value tp_float(double f)
{
    return (tp_value){.kind = TP_FLOAT, .u.f = f};
}

tp_value tp_const_text(const tp_text *t)
{
    return (tp_value){.kind = TP_TEXT, .u.text = t};
}

bool tp_text_wrap(tp_run *r, as_str bytes, bool is_safe, tp_value *out)
{
    if (bytes.n > r->limits.max_out_bytes)
        return tp_raise(r, "LimitError", "a string grows beyond %zu bytes",
                        r->limits.max_out_bytes);
    tp_text *t = tp_alloc(r, 1, sizeof *t);
    if (t == NULL || !tp_step(r, bytes.n / 64))
        return false;
    *t = (tp_text){bytes.p, bytes.n, tp_chars(bytes), is_safe};
    *out = tp_const_text(t);
    return true;
}

bool tp_text_of(tp_run *r, as_str bytes, tp_value *out)
{
    const as_str copy = as_arena_str(r->arena, bytes);
    if (copy.p == NULL)
        return tp_raise_nomem(r);
    return tp_text_wrap(r, copy, false, out);
}

as_str tp_str(tp_value text)
{
    return (as_str){text.u.text->p, text.u.text->n};
}

bool tp_list_new(tp_run *r, tp_kind kind, size_t n, tp_list **out, tp_value *value)
{
    tp_list *l = tp_alloc(r, 1, sizeof *l);
    if (l == NULL || !tp_step(r, n / 4))
        return false;
    l->v = n > 0 ? tp_alloc(r, n, sizeof *l->v) : NULL;
    if (n > 0 && l->v == NULL)
        return false;
    l->n = n;
    *out = l;
    *value = (tp_value){.kind = kind, .u.list = l};
    return true;
}

bool tp_pair(tp_run *r, tp_value a, tp_value b, tp_value *out)
{
    tp_list *l = NULL;
    if (!tp_list_new(r, TP_TUPLE, 2, &l, out))
        return false;
    l->v[0] = a;
    l->v[1] = b;
    return true;
}

/* ---- undefined ------------------------------------------------------------------------------- */

static bool undefined_new(tp_run *r, tp_undefined u, tp_value *out)
{
    tp_undefined *p = tp_alloc(r, 1, sizeof *p);
    if (p == NULL)
        return false;
    *p = u;
    *out = (tp_value){.kind = TP_UNDEFINED, .u.undefined = p};
    return true;
}

bool tp_undefined_item(tp_run *r, const char *of, tp_value key, tp_value *out)
{
    tp_value *name = tp_alloc(r, 1, sizeof *name);
    if (name == NULL)
        return false;
    *name = key;
    return undefined_new(r, (tp_undefined){.of = of, .name = name}, out);
}

bool tp_undefined_new(tp_run *r, const char *of, as_str name, tp_value *out)
{
    tp_value key;
    return tp_text_wrap(r, name, false, &key) && tp_undefined_item(r, of, key, out);
}

bool tp_undefined_hint(tp_run *r, const char *hint, tp_value *out)
{
    return undefined_new(r, (tp_undefined){.hint = hint}, out);
}

bool tp_raise_undefined(tp_run *r, tp_value v)
{
    const tp_undefined *u = v.u.undefined;
    if (u->hint != NULL)
        return tp_raise(r, "UndefinedError", "%s", u->hint);
    as_buf name;
    tp_buf_start(r, &name);
    const bool is_text = tp_is_text(*u->name);
    if (!(u->of == NULL ? tp_print(r, *u->name, &name) : tp_repr(r, *u->name, &name)))
        return tp_buf_drop(&name);
    const as_str s = as_utf8_cut(as_buf_str(&name), 200);
    if (u->is_unsafe)
        (void)tp_raise(r, "SecurityError", "access to attribute %.*s of '%s' object is unsafe.",
                       AS_ARG(s), u->of);
    else if (u->of == NULL)
        (void)tp_raise(r, "UndefinedError", "'%.*s' is undefined", AS_ARG(s));
    else
        (void)tp_raise(r, "UndefinedError", "'%s object' has no %s %.*s", u->of,
                       is_text ? "attribute" : "element", AS_ARG(s));
    return tp_buf_drop(&name);
}

/* ---- kinds ----------------------------------------------------------------------------------- */

const char *tp_type_name(tp_value v)
{
    static const char *const names[] = {
        [TP_MISSING] = "missing", [TP_UNDEFINED] = "Undefined",
        [TP_NONE] = "NoneType",   [TP_BOOL] = "bool",
        [TP_INT] = "int",         [TP_FLOAT] = "float",
        [TP_TEXT] = "str",        [TP_LIST] = "list",
        [TP_TUPLE] = "tuple",     [TP_DICT] = "dict",
        [TP_VIEW] = "dict_items", [TP_RANGE] = "range",
        [TP_ITER] = "generator",  [TP_NAMESPACE] = "TemplateNamespace",
        [TP_MACRO] = "Macro",     [TP_LOOP] = "LoopContext",
        [TP_METHOD] = "method",   [TP_FUNCTION] = "function",
        [TP_CYCLER] = "Cycler",   [TP_JOINER] = "Joiner",
    };
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    if (v.kind == TP_VIEW)
        return views[v.u.view->what];
    if (v.kind == TP_TEXT && v.u.text->is_safe)
        return "Markup";
    if (v.kind == TP_ITER)
        return v.u.iter->name;
    return names[v.kind];
}

bool tp_is_text(tp_value v)
{
    return v.kind == TP_TEXT;
}

bool tp_is_number(tp_value v)
{
    return v.kind == TP_BOOL || v.kind == TP_INT || v.kind == TP_FLOAT;
}

bool tp_as_int(tp_value v, int64_t *out)
{
    if (v.kind != TP_INT && v.kind != TP_BOOL)
        return false;
    *out = v.kind == TP_INT ? v.u.i : (int64_t)v.u.b;
    return true;
}

double tp_as_float(tp_value v)
{
    return v.kind == TP_FLOAT ? v.u.f : v.kind == TP_INT ? (double)v.u.i : (double)v.u.b;
}

/* len(v) for the kinds that have one. */
static bool size_of(tp_run *r, tp_value v, size_t *n, bool *has)
{
    *has = true;
    switch (v.kind) {
    case TP_TEXT:
        *n = v.u.text->n_chars;
        return true;
    case TP_LIST:
    case TP_TUPLE:
        *n = v.u.list->n;
        return true;
    case TP_DICT:
        *n = v.u.dict->n;
        return true;
    case TP_VIEW:
        *n = v.u.view->dict->n;
        return true;
    case TP_RANGE:
        *n = (size_t)v.u.range->n;
        return true;
    case TP_UNDEFINED:
        *n = 0;
        return true;
    case TP_LOOP: {
        tp_value length = tp_int(0);
        if (!tp_loop_attr(r, v.u.loop, AS_STR("length"), &length, has))
            return false;
        *n = (size_t)length.u.i;
        return true;
    }
    default:
        *has = false;
        return true;
    }
}

bool tp_truth(tp_run *r, tp_value v, bool *out)
{
    if (v.kind == TP_BOOL || v.kind == TP_INT || v.kind == TP_FLOAT) {
        *out = v.kind == TP_FLOAT ? v.u.f != 0 : v.kind == TP_INT ? v.u.i != 0 : v.u.b;
        return true;
    }
    if (v.kind == TP_NONE || v.kind == TP_UNDEFINED) {
        *out = false;
        return true;
    }
    size_t n = 0;
    bool has = false;
    if (!size_of(r, v, &n, &has))
        return false;
    *out = !has || n > 0;
    return true;
}

bool tp_length(tp_run *r, tp_value v, size_t *out)
{
    bool has = false;
    if (!size_of(r, v, out, &has))
        return false;
    return has || tp_raise(r, "TypeError", "object of type '%s' has no len()", tp_type_name(v));
}

/* ---- equality -------------------------------------------------------------------------------- */

static bool equal_lists(tp_run *r, const tp_list *a, const tp_list *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        if (!tp_step(r, 1) || !tp_equal(r, a->v[i], b->v[i], out))
            return false;
    return true;
}

static bool equal_dicts(tp_run *r, const tp_dict *a, const tp_dict *b, bool *out)
{
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        tp_value other;
        if (!tp_step(r, 1) || !tp_dict_get(r, b, a->keys[i], &other))
            return false;
        *out = other.kind != TP_MISSING;
        if (*out && !tp_equal(r, a->values[i], other, out))
            return false;
    }
    return true;
}

static bool equal_numbers(tp_value a, tp_value b)
{
    int64_t x = 0, y = 0;
    if (tp_as_int(a, &x) && tp_as_int(b, &y))
        return x == y;
    const double f = tp_as_float(a), g = tp_as_float(b);
    if (f != g)
        return false;
    /* equal as doubles: an integer beyond 2^53 must also be the same integer */
    if (tp_as_int(a, &x))
        return fabs(g) < 9.2e18 && (int64_t)g == x;
    return !tp_as_int(b, &y) || (fabs(f) < 9.2e18 && (int64_t)f == y);
}

static bool equal_boxes(tp_run *r, tp_value a, tp_value b, bool *out)
{
    switch (a.kind) {
    case TP_LIST:
    case TP_TUPLE:
        return equal_lists(r, a.u.list, b.u.list, out);
    case TP_DICT:
        return equal_dicts(r, a.u.dict, b.u.dict, out);
    case TP_VIEW:
        *out = a.u.view->what == b.u.view->what && a.u.view->what != TP_VALUES;
        return !*out || (a.u.view->what == TP_ITEMS
                             ? equal_dicts(r, a.u.view->dict, b.u.view->dict, out)
                             : tp_raise(r, "TypeError", "comparing dict_keys is not supported"));
    case TP_RANGE: {
        const tp_range *x = a.u.range, *y = b.u.range;
        *out =
            x->n == y->n && (x->n == 0 || x->start == y->start) && (x->n < 2 || x->step == y->step);
        return true;
    }
    default:
        *out = a.u.list == b.u.list; /* the same object */
        return true;
    }
}

bool tp_equal(tp_run *r, tp_value a, tp_value b, bool *out)
{
    if (tp_is_number(a) && tp_is_number(b)) {
        *out = equal_numbers(a, b);
        return true;
    }
    *out = a.kind == b.kind;
    if (!*out || a.kind == TP_NONE || a.kind == TP_UNDEFINED)
        return true;
    if (a.kind == TP_TEXT) {
        *out = a.u.text == b.u.text || as_str_eq(tp_str(a), tp_str(b));
        return tp_step(r, *out ? a.u.text->n / 64 : 0);
    }
    if (!tp_enter(r) || !equal_boxes(r, a, b, out))
        return false;
    tp_leave(r);
    return true;
}

/* ---- order ----------------------------------------------------------------------------------- */

static bool less_numbers(tp_value a, tp_value b, bool or_equal)
{
    int64_t x = 0, y = 0;
    if (tp_as_int(a, &x) && tp_as_int(b, &y))
        return or_equal ? x <= y : x < y;
    const double f = tp_as_float(a), g = tp_as_float(b);
    return or_equal ? f <= g : f < g;
}

static bool less_lists(tp_run *r, const tp_list *a, const tp_list *b, const char *op, bool or_equal,
                       bool *out)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool is_equal = false;
        if (!tp_step(r, 1) || !tp_equal(r, a->v[i], b->v[i], &is_equal))
            return false;
        if (!is_equal)
            return tp_less(r, a->v[i], b->v[i], op, or_equal, out);
    }
    *out = or_equal ? a->n <= b->n : a->n < b->n;
    return true;
}

/* a < b, or a <= b; op is the sign for the message, with its own order of operands kept by the
 * caller. */
bool tp_less(tp_run *r, tp_value a, tp_value b, const char *op, bool or_equal, bool *out)
{
    if (tp_is_number(a) && tp_is_number(b)) {
        *out = less_numbers(a, b, or_equal);
        return true;
    }
    if (a.kind == TP_TEXT && b.kind == TP_TEXT) {
        const int c = as_str_cmp(tp_str(a), tp_str(b)); /* bytes of UTF-8 sort as code points */
        *out = or_equal ? c <= 0 : c < 0;
        return true;
    }
    if (a.kind == TP_UNDEFINED || b.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, a.kind == TP_UNDEFINED ? a : b);
    if (a.kind == b.kind && (a.kind == TP_LIST || a.kind == TP_TUPLE)) {
        if (!tp_enter(r) || !less_lists(r, a.u.list, b.u.list, op, or_equal, out))
            return false;
        tp_leave(r);
        return true;
    }
    const bool is_swapped = op[0] == '>';
    return tp_raise(r, "TypeError", "'%s' not supported between instances of '%s' and '%s'", op,
                    tp_type_name(is_swapped ? b : a), tp_type_name(is_swapped ? a : b));
}

/* ---- membership ------------------------------------------------------------------------------ */

static bool contains_by_walk(tp_run *r, tp_value item, tp_value box, bool *out)
{
    tp_iter *it = NULL;
    if (!tp_iter_of(r, box, &it))
        return false;
    for (;;) {
        tp_value other;
        bool has = false;
        if (!tp_next(r, it, &other, &has))
            return false;
        if (!has)
            return true;
        if (!tp_equal(r, other, item, out))
            return false;
        if (*out)
            return true;
    }
}

bool tp_contains(tp_run *r, tp_value item, tp_value box, bool *out)
{
    tp_value found;
    *out = false;
    switch (box.kind) {
    case TP_TEXT:
        if (item.kind != TP_TEXT)
            return tp_raise(r, "TypeError", "'in <string>' requires string as left operand, not %s",
                            tp_type_name(item));
        *out = as_str_find(tp_str(box), tp_str(item)) != SIZE_MAX;
        return tp_step(r, box.u.text->n / 16);
    case TP_DICT:
        if (!tp_dict_get(r, box.u.dict, item, &found))
            return false;
        *out = found.kind != TP_MISSING;
        return true;
    case TP_LIST:
    case TP_TUPLE:
    case TP_VIEW:
    case TP_RANGE:
    case TP_ITER:
    case TP_LOOP:
    case TP_UNDEFINED:
        return contains_by_walk(r, item, box, out);
    default:
        return tp_raise(r, "TypeError", "argument of type '%s' is not iterable", tp_type_name(box));
    }
}
