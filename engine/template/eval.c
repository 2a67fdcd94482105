/*
 * eval.c — expressions, and the variables they name.
 *
 * A name is looked up in the scopes from the inside out, then among the variables of the
 * rendering, then among the global functions.
 */
#include "engine/template/impl.h"

#include <stdio.h>

tp_scope *tp_scope_new(tp_run *r, tp_scope *parent)
{
    tp_scope *s = tp_alloc(r, 1, sizeof *s);
    if (s != NULL)
        s->parent = parent;
    return s;
}

bool tp_scope_set(tp_run *r, tp_scope *s, const char *name, tp_value v)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->vars[i].name == name) {
            s->vars[i].value = v;
            return true;
        }
    }
    if (!tp_step(r, s->n / 16))
        return false;
    if (s->n == s->cap) {
        const size_t cap = s->cap == 0 ? 4 : s->cap * 2;
        tp_var *vars = tp_alloc(r, cap, sizeof *vars);
        if (vars == NULL)
            return false;
        if (s->n > 0)
            memcpy(vars, s->vars, s->n * sizeof *vars);
        s->vars = vars;
        s->cap = cap;
    }
    s->vars[s->n++] = (tp_var){name, v};
    return true;
}

bool tp_lookup(tp_run *r, tp_scope *s, as_str name, tp_value *out)
{
    for (; s != NULL; s = s->parent) {
        for (size_t i = 0; i < s->n; i++) {
            if (s->vars[i].name != name.p)
                continue;
            *out = s->vars[i].value;
            return out->kind != TP_MISSING || tp_undefined_new(r, NULL, name, out);
        }
        if (!tp_step(r, s->n / 16))
            return false;
    }
    *out = tp_dict_find(r->context, name);
    if (out->kind != TP_MISSING)
        return true;
    const tp_function *f = tp_global(name);
    if (f == NULL)
        return tp_undefined_new(r, NULL, name, out);
    *out = tp_function_value(f);
    return true;
}

/* ---- literals -------------------------------------------------------------------------------- */

static bool eval_list(tp_run *r, tp_scope *s, const tp_node *e, tp_kind kind, tp_value *out)
{
    tp_list *l = NULL;
    tp_value v;
    if (!tp_list_new(r, kind, e->list.n, &l, &v))
        return false;
    for (size_t i = 0; i < l->n; i++)
        if (!tp_eval(r, s, e->list.v[i], &l->v[i]))
            return false;
    *out = v;
    return true;
}

static bool eval_dict(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_dict *d = NULL;
    tp_value v, key, value;
    if (!tp_dict_new(r, &d, &v))
        return false;
    for (size_t i = 0; i < e->list.n; i += 2)
        if (!tp_eval(r, s, e->list.v[i], &key) || !tp_eval(r, s, e->list.v[i + 1], &value) ||
            !tp_dict_set(r, d, key, value))
            return false;
    *out = v;
    return true;
}

/* ---- operators ------------------------------------------------------------------------------- */

static bool eval_condition(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    bool is_true = false;
    if (!tp_eval(r, s, e->b, out) || !tp_truth(r, *out, &is_true))
        return false;
    if (is_true)
        return tp_eval(r, s, e->a, out);
    if (e->c != NULL)
        return tp_eval(r, s, e->c, out);
    return tp_undefined_hint(r, "an inline if evaluated to false, and no else section was defined",
                             out);
}

static bool eval_logic(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    bool is_true = false;
    if (!tp_eval(r, s, e->a, out) || !tp_truth(r, *out, &is_true))
        return false;
    if (e->op == TP_NOT) {
        *out = tp_bool(!is_true);
        return true;
    }
    return is_true == (e->op == TP_OR) || tp_eval(r, s, e->b, out);
}

static bool eval_comparison(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_value left, right;
    bool is_true = true;
    if (!tp_eval(r, s, e->a, &left))
        return false;
    for (size_t i = 0; is_true && i < e->list.n; i++) {
        if (!tp_eval(r, s, e->list.v[i], &right) ||
            !tp_compare(r, e->ops[i], left, right, &is_true))
            return false;
        left = right;
    }
    *out = tp_bool(is_true);
    return true;
}

static bool eval_concat(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_value list;
    return eval_list(r, s, e, TP_LIST, &list) && tp_concat(r, list.u.list->v, list.u.list->n, out);
}

static bool eval_slice(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_value v, part[3] = {tp_missing, tp_missing, tp_missing};
    const tp_node *const nodes[3] = {e->b, e->c, e->d};
    if (!tp_eval(r, s, e->a, &v))
        return false;
    for (int i = 0; i < 3; i++)
        if (nodes[i] != NULL && !tp_eval(r, s, nodes[i], &part[i]))
            return false;
    return tp_slice(r, v, part, out);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static bool add_star(tp_run *r, tp_scope *s, const tp_node *star, tp_value **pos, size_t *n)
{
    tp_value v;
    if (!tp_eval(r, s, star, &v) || !tp_to_list(r, v, TP_LIST, &v))
        return false;
    tp_value *all = tp_alloc(r, *n + v.u.list->n + 1, sizeof *all);
    if (all == NULL)
        return false;
    if (*n > 0)
        memcpy(all, *pos, *n * sizeof *all);
    if (v.u.list->n > 0)
        memcpy(all + *n, v.u.list->v, v.u.list->n * sizeof *all);
    *pos = all;
    *n += v.u.list->n;
    return true;
}

static bool add_star2(tp_run *r, tp_scope *s, const tp_node *star, as_str **names, tp_value **kw,
                      size_t *n)
{
    tp_value v;
    if (!tp_eval(r, s, star, &v))
        return false;
    if (v.kind != TP_DICT)
        return tp_raise(r, "TypeError", "argument after ** must be a mapping, not %s",
                        tp_type_name(v));
    const tp_dict *d = v.u.dict;
    as_str *all_names = tp_alloc(r, *n + d->n + 1, sizeof *all_names);
    tp_value *all = tp_alloc(r, *n + d->n + 1, sizeof *all);
    if (all_names == NULL || all == NULL)
        return false;
    for (size_t i = 0; i < *n; i++) {
        all_names[i] = (*names)[i];
        all[i] = (*kw)[i];
    }
    for (size_t i = 0; i < d->n; i++) {
        if (d->keys[i].kind != TP_TEXT)
            return tp_raise(r, "TypeError", "keywords must be strings");
        for (size_t k = 0; k < *n; k++)
            if (as_str_eq(all_names[k], tp_str(d->keys[i])))
                return tp_raise(r, "TypeError", "multiple values for keyword argument '%.*s'",
                                AS_ARG(all_names[k]));
        all_names[*n + i] = tp_str(d->keys[i]);
        all[*n + i] = d->values[i];
    }
    *names = all_names;
    *kw = all;
    *n += d->n;
    return true;
}

/* extra: a caller, passed as one more keyword; MISSING for none. */
static bool eval_args(tp_run *r, tp_scope *s, const tp_sub *sub, tp_value extra, tp_args *out)
{
    size_t n_pos = sub->pos.n, n_kw = sub->kw.n;
    tp_value *pos = tp_alloc(r, n_pos + 1, sizeof *pos);
    tp_value *kw = tp_alloc(r, n_kw + 1, sizeof *kw);
    as_str *names = tp_alloc(r, n_kw + 1, sizeof *names);
    if (pos == NULL || kw == NULL || names == NULL)
        return false;
    for (size_t i = 0; i < n_pos; i++)
        if (!tp_eval(r, s, sub->pos.v[i], &pos[i]))
            return false;
    for (size_t i = 0; i < n_kw; i++) {
        names[i] = sub->names[i];
        if (!tp_eval(r, s, sub->kw.v[i], &kw[i]))
            return false;
    }
    if (extra.kind != TP_MISSING) {
        names[n_kw] = AS_STR("caller");
        kw[n_kw++] = extra;
    }
    if ((sub->star != NULL && !add_star(r, s, sub->star, &pos, &n_pos)) ||
        (sub->star2 != NULL && !add_star2(r, s, sub->star2, &names, &kw, &n_kw)))
        return false;
    *out = (tp_args){pos, n_pos, names, kw, n_kw};
    return true;
}

bool tp_eval_call(tp_run *r, tp_scope *s, const tp_node *e, tp_value caller, tp_value *out)
{
    tp_value f;
    tp_args args;
    if (!tp_eval(r, s, e->a, &f) || !eval_args(r, s, e->sub, caller, &args))
        return false;
    r->line = e->line;
    return tp_call(r, f, &args, out);
}

static bool eval_filter_or_test(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_value v;
    tp_args args;
    const tp_function *f = e->builtin;
    if (!tp_eval(r, s, e->a, &v) || !eval_args(r, s, e->sub, tp_missing, &args))
        return false;
    if (f == NULL)
        return tp_raise(r, "TemplateRuntimeError", "No %s named '%.*s' found.",
                        e->op == TP_FILTER ? "filter" : "test", AS_ARG(e->name));
    r->line = e->line;
    if (!tp_call_function(r, f, v, &args, out))
        return false;
    if (e->op == TP_FILTER)
        return true;
    bool is_true = false;
    if (!tp_truth(r, *out, &is_true))
        return false;
    *out = tp_bool(is_true != e->flag);
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool eval_pair(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_value a, b;
    if (!tp_eval(r, s, e->a, &a) || !tp_eval(r, s, e->b, &b))
        return false;
    return e->op == TP_ITEM ? tp_getitem(r, a, b, out) : tp_binary(r, e->op, a, b, out);
}

static bool eval_node(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    tp_value v;
    switch (e->op) {
    case TP_TUPLE_LIT:
        return eval_list(r, s, e, TP_TUPLE, out);
    case TP_LIST_LIT:
        return eval_list(r, s, e, TP_LIST, out);
    case TP_DICT_LIT:
        return eval_dict(r, s, e, out);
    case TP_COND:
        return eval_condition(r, s, e, out);
    case TP_OR:
    case TP_AND:
    case TP_NOT:
        return eval_logic(r, s, e, out);
    case TP_COMPARE:
        return eval_comparison(r, s, e, out);
    case TP_CONCAT:
        return eval_concat(r, s, e, out);
    case TP_NEG:
    case TP_POS:
        return tp_eval(r, s, e->a, &v) && tp_unary(r, e->op, v, out);
    case TP_ATTR:
        return tp_eval(r, s, e->a, &v) && tp_getattr(r, v, e->value, out);
    case TP_SLICE:
        return eval_slice(r, s, e, out);
    case TP_CALL:
        return tp_eval_call(r, s, e, tp_missing, out);
    case TP_FILTER:
    case TP_TEST:
        return eval_filter_or_test(r, s, e, out);
    default:
        return eval_pair(r, s, e, out);
    }
}

bool tp_eval(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out)
{
    r->line = e->line;
    if (e->op == TP_CONST || e->op == TP_CAPTURED) {
        *out = e->op == TP_CONST ? e->value : r->captured;
        return true;
    }
    if (!tp_step(r, 1))
        return false;
    if (e->op == TP_NAME)
        return tp_lookup(r, s, e->name, out);
    if (!tp_enter(r) || !eval_node(r, s, e, out))
        return false;
    tp_leave(r);
    return true;
}
