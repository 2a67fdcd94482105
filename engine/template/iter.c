/*
 * iter.c — walking over values: one step at a time, as Python's iterators do.
 */
#include "engine/template/impl.h"

static bool next_list(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    (void)r;
    const tp_list *l = it->over.u.list;
    *has = it->pos < l->n;
    if (*has)
        *out = l->v[it->pos++];
    return true;
}

static bool next_dict(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    const bool is_view = it->over.kind == TP_VIEW;
    const tp_dict *d = is_view ? it->over.u.view->dict : it->over.u.dict;
    const int what = is_view ? it->over.u.view->what : TP_KEYS;
    *has = it->pos < d->n;
    if (!*has)
        return true;
    const size_t i = it->pos++;
    if (what == TP_ITEMS)
        return tp_pair(r, d->keys[i], d->values[i], out);
    *out = what == TP_KEYS ? d->keys[i] : d->values[i];
    return true;
}

static bool next_char(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    const as_str s = tp_str(it->over);
    *has = it->pos < s.n;
    if (!*has)
        return true;
    size_t len = 0;
    (void)tp_decode((as_str){s.p + it->pos, s.n - it->pos}, &len);
    it->pos += len;
    return tp_text_wrap(r, (as_str){s.p + it->pos - len, len}, false, out);
}

static bool next_range(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    (void)r;
    const tp_range *range = it->over.u.range;
    *has = (int64_t)it->pos < range->n;
    if (*has)
        *out = tp_int(range->start + (int64_t)it->pos++ * range->step);
    return true;
}

static bool next_none(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    (void)r, (void)it, (void)out;
    *has = false;
    return true;
}

static bool next_loop(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    tp_loop *loop = it->over.u.loop;
    *has = loop->after.kind != TP_MISSING;
    tp_value item = loop->after;
    loop->after = tp_missing;
    if (!*has && !tp_next(r, loop->iter, &item, has))
        return false;
    if (!*has)
        return true;
    loop->index0++;
    loop->before = loop->current;
    loop->current = item;
    return tp_pair(r, item, it->over, out);
}

bool tp_iter_new(tp_run *r, tp_next_fn *next, void *state, tp_iter *src, const char *name,
                 tp_iter **out)
{
    tp_iter *it = tp_alloc(r, 1, sizeof *it);
    if (it == NULL)
        return false;
    *it = (tp_iter){.next = next, .state = state, .src = src, .name = name};
    *out = it;
    return true;
}

bool tp_iter_of(tp_run *r, tp_value v, tp_iter **out)
{
    tp_next_fn *next = NULL;
    switch (v.kind) {
    case TP_ITER:
        *out = v.u.iter;
        return true;
    case TP_LIST:
    case TP_TUPLE:
        next = next_list;
        break;
    case TP_DICT:
    case TP_VIEW:
        next = next_dict;
        break;
    case TP_TEXT:
        next = next_char;
        break;
    case TP_RANGE:
        next = next_range;
        break;
    case TP_LOOP:
        next = next_loop;
        break;
    case TP_UNDEFINED:
        next = next_none;
        break;
    default:
        return tp_raise(r, "TypeError", "'%s' object is not iterable", tp_type_name(v));
    }
    if (!tp_iter_new(r, next, NULL, NULL, "iterator", out))
        return false;
    (*out)->over = v;
    return true;
}

bool tp_next(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    *has = false;
    if (it->is_busy)
        return tp_raise(r, "ValueError", "generator already executing");
    if (!tp_step(r, 1) || !tp_enter(r))
        return false;
    it->is_busy = true;
    const bool is_ok = it->next(r, it, out, has);
    it->is_busy = false;
    tp_leave(r);
    return is_ok;
}

bool tp_collect(tp_run *r, tp_iter *it, tp_kind kind, tp_value *out)
{
    tp_value *v = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        tp_value item;
        bool has = false;
        if (!tp_next(r, it, &item, &has))
            return false;
        if (!has)
            break;
        if (n == cap) {
            cap = cap == 0 ? 8 : cap * 2;
            tp_value *bigger = tp_alloc(r, cap, sizeof *v);
            if (bigger == NULL)
                return false;
            if (n > 0)
                memcpy(bigger, v, n * sizeof *v);
            v = bigger;
        }
        v[n++] = item;
    }
    tp_list *l = tp_alloc(r, 1, sizeof *l);
    if (l == NULL)
        return false;
    *l = (tp_list){.v = v, .n = n};
    *out = (tp_value){.kind = kind, .u.list = l};
    return true;
}

bool tp_to_list(tp_run *r, tp_value v, tp_kind kind, tp_value *out)
{
    if (v.kind == TP_LIST || v.kind == TP_TUPLE) { /* immutable, so shared */
        *out = (tp_value){.kind = kind, .u.list = v.u.list};
        return true;
    }
    tp_iter *it = NULL;
    return tp_iter_of(r, v, &it) && tp_collect(r, it, kind, out);
}
