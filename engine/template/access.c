/*
 * access.c — attributes, items, slices.
 *
 * v.name looks for a method or attribute of the object first, then for the key; v["name"] the
 * other way round. What is in neither place is undefined, not an error. The sandbox hides names
 * that begin with an underscore, and methods that would change lists and dicts.
 */
#include "engine/template/impl.h"

static bool loop_length(tp_run *r, tp_loop *loop, int64_t *out)
{
    if (loop->length < 0 && loop->source.kind != TP_ITER && loop->source.kind != TP_LOOP) {
        size_t n = 0;
        if (!tp_length(r, loop->source, &n))
            return false;
        loop->length = (int64_t)n;
    }
    if (loop->length < 0) { /* what is left is read ahead */
        tp_value left;
        if (!tp_collect(r, loop->iter, TP_LIST, &left) || !tp_iter_of(r, left, &loop->iter))
            return false;
        loop->length =
            loop->index0 + 1 + (int64_t)left.u.list->n + (loop->after.kind != TP_MISSING);
    }
    *out = loop->length;
    return true;
}

bool tp_loop_peek(tp_run *r, tp_loop *loop)
{
    if (loop->after.kind != TP_MISSING)
        return true;
    tp_value item;
    bool has = false;
    if (!tp_next(r, loop->iter, &item, &has))
        return false;
    loop->after = has ? item : tp_missing;
    return true;
}

bool tp_loop_attr(tp_run *r, tp_loop *loop, as_str name, tp_value *out, bool *found)
{
    static const struct {
        const char *name;
        int add, what; /* 0: position, 1: from the end, 2: depth */
    } numbers[] = {{"index0", 0, 0},   {"index", 1, 0},  {"revindex0", -1, 1},
                   {"revindex", 0, 1}, {"depth0", 0, 2}, {"depth", 1, 2}};
    *found = true;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (!as_str_eq_z(name, numbers[i].name))
            continue;
        int64_t n = numbers[i].what == 0 ? loop->index0 : loop->depth0;
        if (numbers[i].what == 1) {
            if (!loop_length(r, loop, &n))
                return false;
            n -= loop->index0;
        }
        *out = tp_int(n + numbers[i].add);
        return true;
    }
    if (as_str_eq_z(name, "length")) {
        int64_t n = 0;
        const bool is_ok = loop_length(r, loop, &n);
        *out = tp_int(n);
        return is_ok;
    }
    if (as_str_eq_z(name, "first")) {
        *out = tp_bool(loop->index0 == 0);
        return true;
    }
    if (as_str_eq_z(name, "previtem")) {
        *out = loop->before;
        return loop->index0 > 0 || tp_undefined_hint(r, "there is no previous item", out);
    }
    const bool is_last = as_str_eq_z(name, "last");
    if (is_last || as_str_eq_z(name, "nextitem")) {
        if (!tp_loop_peek(r, loop))
            return false;
        const bool is_end = loop->after.kind == TP_MISSING;
        *out = is_last ? tp_bool(is_end) : loop->after;
        return is_last || !is_end || tp_undefined_hint(r, "there is no next item", out);
    }
    const tp_function *f = tp_find_function(tp_loop_methods, name);
    *found = f != NULL;
    return f == NULL || tp_bind_method(r, f, (tp_value){.kind = TP_LOOP, .u.loop = loop}, out);
}

tp_value tp_function_value(const tp_function *f)
{
    return (tp_value){.kind = TP_FUNCTION, .u.function = f};
}

bool tp_bind_method(tp_run *r, const tp_function *f, tp_value self, tp_value *out)
{
    tp_method *m = tp_alloc(r, 1, sizeof *m);
    if (m == NULL)
        return false;
    *m = (tp_method){.function = f, .self = self};
    *out = (tp_value){.kind = TP_METHOD, .u.method = m};
    return true;
}

/* ---- attributes ------------------------------------------------------------------------------ */

static bool macro_attr(tp_run *r, const tp_macro *m, as_str name, tp_value *out, bool *found)
{
    *found = true;
    if (as_str_eq_z(name, "name")) {
        *out = tp_none;
        return m->name.p == NULL || tp_text_wrap(r, m->name, false, out);
    }
    if (as_str_eq_z(name, "arguments")) {
        tp_list *l = NULL;
        if (!tp_list_new(r, TP_TUPLE, m->sub->pos.n, &l, out))
            return false;
        for (size_t i = 0; i < l->n; i++)
            if (!tp_text_wrap(r, m->sub->pos.v[i]->name, false, &l->v[i]))
                return false;
        return true;
    }
    static const char *const flags[] = {"catch_kwargs", "catch_varargs", "caller"};
    const bool values[] = {m->sub->uses_kwargs, m->sub->uses_varargs, m->sub->uses_caller};
    for (int i = 0; i < 3; i++) {
        if (as_str_eq_z(name, flags[i])) {
            *out = tp_bool(values[i]);
            return true;
        }
    }
    *found = false;
    return true;
}

static bool tuple_attr(tp_run *r, tp_value v, as_str name, tp_value *out, bool *found)
{
    if (v.u.list->is_group && (as_str_eq_z(name, "grouper") || as_str_eq_z(name, "list"))) {
        *out = v.u.list->v[name.p[0] == 'l'];
        *found = true;
        return true;
    }
    const tp_function *f = tp_box_method(v, name);
    *found = f != NULL;
    return f == NULL || tp_bind_method(r, f, v, out);
}

/* An attribute of the object itself, as Python's getattr finds it. */
static bool own_attr(tp_run *r, tp_value v, as_str name, tp_value *out, bool *found)
{
    const tp_function *f = NULL;
    *found = false;
    switch (v.kind) {
    case TP_TEXT:
        f = tp_text_method(name);
        break;
    case TP_LOOP:
        return tp_loop_attr(r, v.u.loop, name, out, found);
    case TP_MACRO:
        return macro_attr(r, v.u.macro, name, out, found);
    case TP_CYCLER:
        if (as_str_eq_z(name, "current")) {
            *out = v.u.cycler->items->v[v.u.cycler->pos];
            *found = true;
            return true;
        }
        f = tp_box_method(v, name);
        break;
    case TP_NAMESPACE:
        *out = tp_dict_find(v.u.space, name);
        *found = out->kind != TP_MISSING;
        return true;
    case TP_TUPLE:
        return tuple_attr(r, v, name, out, found);
    default:
        f = tp_box_method(v, name);
    }
    *found = f != NULL;
    return f == NULL || tp_bind_method(r, f, v, out);
}

/* Names Python has on every object, or that change it: found, but not to be used. */
static bool is_hidden(tp_value v, as_str name)
{
    static const char *const common[] = {"__class__", "__doc__",  "__init__", "__dict__",
                                         "__repr__",  "__str__",  "__eq__",   "__hash__",
                                         "__len__",   "__iter__", "__add__",  "__getitem__"};
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (as_str_eq_z(name, common[i]))
            return true;
    return tp_is_mutator(v, name);
}

static bool unsafe_undefined(tp_run *r, tp_value v, tp_value name, tp_value *out)
{
    if (!tp_undefined_item(r, tp_type_name(v), name, out))
        return false;
    tp_undefined *u = tp_alloc(r, 1, sizeof *u);
    if (u == NULL)
        return false;
    *u = *out->u.undefined;
    u->is_unsafe = true;
    out->u.undefined = u;
    return true;
}

static bool attr_or_missing(tp_run *r, tp_value v, tp_value name, tp_value *out)
{
    bool found = false;
    *out = tp_missing;
    if (is_hidden(v, tp_str(name)))
        return unsafe_undefined(r, v, name, out);
    if (!own_attr(r, v, tp_str(name), out, &found))
        return false;
    if (!found)
        *out = tp_missing;
    return true;
}

/* ---- items ----------------------------------------------------------------------------------- */

static bool text_item(tp_run *r, tp_value v, size_t i, tp_value *out)
{
    const as_str s = tp_str(v);
    const size_t from = tp_char_offset(s, v.u.text->n_chars, i);
    const size_t to =
        from + 1 < s.n
            ? tp_char_offset((as_str){s.p + from, s.n - from}, v.u.text->n_chars - i, 1) + from
            : s.n;
    return tp_step(r, v.u.text->n_chars == s.n ? 0 : from / 64) &&
           tp_text_wrap(r, (as_str){s.p + from, to - from}, v.u.text->is_safe, out);
}

/* v[key] as Python has it; MISSING for what would raise LookupError or TypeError. */
static bool item_or_missing(tp_run *r, tp_value v, tp_value key, tp_value *out)
{
    *out = tp_missing;
    if (v.kind == TP_DICT) {
        if (key.kind == TP_LIST || key.kind == TP_DICT) /* unhashable */
            return true;
        return tp_dict_get(r, v.u.dict, key, out);
    }
    int64_t i = 0;
    if (!tp_as_int(key, &i))
        return true;
    if (v.kind != TP_TEXT && v.kind != TP_LIST && v.kind != TP_TUPLE && v.kind != TP_RANGE)
        return true;
    size_t n = 0;
    if (!tp_length(r, v, &n))
        return false;
    if (i < 0)
        i += (int64_t)n;
    if (i < 0 || i >= (int64_t)n)
        return true;
    if (v.kind == TP_TEXT)
        return text_item(r, v, (size_t)i, out);
    *out = v.kind == TP_RANGE ? tp_int(v.u.range->start + i * v.u.range->step) : v.u.list->v[i];
    return true;
}

static const char *owner_name(tp_value v)
{
    return v.kind == TP_NONE ? "None" : tp_type_name(v);
}

bool tp_getattr(tp_run *r, tp_value v, tp_value name, tp_value *out)
{
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    if (!attr_or_missing(r, v, name, out))
        return false;
    if (out->kind == TP_MISSING && !item_or_missing(r, v, name, out))
        return false;
    return out->kind != TP_MISSING || tp_undefined_item(r, owner_name(v), name, out);
}

bool tp_getattr_only(tp_run *r, tp_value v, tp_value name, tp_value *out)
{
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    if (!attr_or_missing(r, v, name, out))
        return false;
    return out->kind != TP_MISSING || tp_undefined_item(r, owner_name(v), name, out);
}

bool tp_getitem(tp_run *r, tp_value v, tp_value key, tp_value *out)
{
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    if (!item_or_missing(r, v, key, out))
        return false;
    if (out->kind == TP_MISSING && key.kind == TP_TEXT && !attr_or_missing(r, v, key, out))
        return false;
    return out->kind != TP_MISSING || tp_undefined_item(r, owner_name(v), key, out);
}

/* ---- slices ---------------------------------------------------------------------------------- */

static bool slice_part(tp_run *r, tp_value v, int64_t otherwise, int64_t *out)
{
    *out = otherwise;
    if (v.kind == TP_MISSING || v.kind == TP_NONE || tp_as_int(v, out))
        return true;
    return tp_raise(r, "TypeError", "slice indices must be integers or None");
}

/* Start, step and count of the elements taken. */
static bool slice_bounds(tp_run *r, const tp_value part[3], int64_t n, int64_t *start,
                         int64_t *step, int64_t *count)
{
    int64_t stop = 0;
    if (!slice_part(r, part[2], 1, step))
        return false;
    if (*step < -n - 1)
        *step = -n - 1; /* beyond the end all steps are alike */
    if (*step > n + 1)
        *step = n + 1;
    if (*step == 0)
        return tp_raise(r, "ValueError", "slice step cannot be zero");
    const bool is_back = *step < 0;
    const int64_t low = is_back ? -1 : 0, high = is_back ? n - 1 : n;
    if (!slice_part(r, part[0], is_back ? INT64_MAX : 0, start) ||
        !slice_part(r, part[1], is_back ? INT64_MIN : INT64_MAX, &stop))
        return false;
    const bool has_stop = part[1].kind != TP_MISSING && part[1].kind != TP_NONE;
    if (*start < 0)
        *start = *start < -n ? low : *start + n;
    if (has_stop && stop < 0)
        stop = stop < -n ? low : stop + n;
    *start = *start > high ? high : *start < low ? low : *start;
    stop = stop > high ? high : stop < low ? low : stop;
    const int64_t span = is_back ? *start - stop : stop - *start;
    const int64_t width = is_back ? -*step : *step;
    *count = span <= 0 ? 0 : (span - 1) / width + 1;
    return true;
}

static bool slice_text(tp_run *r, tp_value v, int64_t start, int64_t step, int64_t count,
                       tp_value *out)
{
    const as_str s = tp_str(v);
    const size_t n_chars = v.u.text->n_chars;
    if (step == 1) {
        const size_t from = tp_char_offset(s, n_chars, (size_t)start);
        const as_str tail = {s.p + from, s.n - from};
        const size_t n = tp_char_offset(tail, n_chars - (size_t)start, (size_t)count);
        return tp_step(r, s.n / 64) &&
               tp_text_wrap(r, (as_str){tail.p, count > 0 ? n : 0}, v.u.text->is_safe, out);
    }
    as_buf b;
    tp_buf_start(r, &b);
    size_t *at = tp_alloc(r, n_chars + 1, sizeof *at);
    if (at == NULL || !tp_step(r, n_chars / 16))
        return tp_buf_drop(&b);
    size_t k = 0;
    for (size_t i = 0; i < s.n; i++)
        if (((unsigned char)s.p[i] & 0xC0) != 0x80)
            at[k++] = i;
    at[k] = s.n;
    for (int64_t i = 0; i < count; i++) {
        const size_t c = (size_t)(start + i * step);
        (void)as_buf_add(&b, (as_str){s.p + at[c], at[c + 1] - at[c]});
    }
    return tp_buf_end(r, &b, v.u.text->is_safe, out);
}

bool tp_slice(tp_run *r, tp_value v, const tp_value part[3], tp_value *out)
{
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    const bool is_range = v.kind == TP_RANGE;
    if (!is_range && v.kind != TP_TEXT && v.kind != TP_LIST && v.kind != TP_TUPLE)
        return tp_raise(r, "TypeError", "'%s' object is not subscriptable by a slice",
                        tp_type_name(v));
    size_t n = 0;
    int64_t start = 0, step = 0, count = 0;
    if (!tp_length(r, v, &n) || !slice_bounds(r, part, (int64_t)n, &start, &step, &count))
        return false;
    if (v.kind == TP_TEXT)
        return slice_text(r, v, start, step, count, out);
    if (is_range) {
        tp_range *range = tp_alloc(r, 1, sizeof *range);
        if (range == NULL)
            return false;
        const tp_range *from = v.u.range;
        *range =
            (tp_range){from->start + start * from->step,
                       from->start + (start + count * step) * from->step, from->step * step, count};
        *out = (tp_value){.kind = TP_RANGE, .u.range = range};
        return true;
    }
    tp_list *l = NULL;
    if (!tp_list_new(r, v.kind, (size_t)count, &l, out))
        return false;
    for (int64_t i = 0; i < count; i++)
        l->v[i] = v.u.list->v[start + i * step];
    return tp_step(r, (size_t)count / 4);
}
