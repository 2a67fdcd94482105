/*
 * filters_pick.c — map, select, reject, selectattr, rejectattr, unique: generators, which do
 * their work (and fail) only when somebody asks for an item.
 */
#include "engine/template/pick.h"

typedef enum pick_kind { PICK_MAP, PICK_SELECT, PICK_UNIQUE } pick_kind;

typedef struct pick {
    pick_kind kind;
    bool by_attribute, is_negated, is_ready, is_empty, fold_case;
    tp_value value;
    tp_args args;
    const tp_function *function; /* NULL: the truth of the item */
    tp_path path;
    tp_dict *seen;
} pick;

static bool find_function(tp_run *r, pick *p, size_t at)
{
    if (at >= p->args.n_pos) {
        if (p->kind == PICK_MAP)
            return tp_raise(r, "FilterArgumentError", "map requires a filter argument");
        return true;
    }
    const tp_value name = p->args.pos[at];
    if (!tp_need_text(r, name, "the name of a filter or test"))
        return false;
    p->function = p->kind == PICK_MAP ? tp_filter(tp_str(name)) : tp_test(tp_str(name));
    if (p->function == NULL)
        return tp_raise(r, "TemplateRuntimeError", "No %s named '%.*s'.",
                        p->kind == PICK_MAP ? "filter" : "test", AS_ARG(tp_str(name)));
    p->args.pos += at + 1;
    p->args.n_pos -= at + 1;
    return true;
}

static bool keyword(const tp_args *args, const char *name, tp_value *out)
{
    for (size_t i = 0; i < args->n_kw; i++) {
        if (as_str_eq_z(args->names[i], name)) {
            *out = args->kw[i];
            return true;
        }
    }
    return false;
}

static bool prepare_map(tp_run *r, pick *p)
{
    tp_value attribute, otherwise = tp_none;
    if (p->args.n_pos > 0 || !keyword(&p->args, "attribute", &attribute))
        return find_function(r, p, 0);
    const bool has_default = keyword(&p->args, "default", &otherwise);
    if (p->args.n_kw > 1 + (size_t)has_default)
        return tp_raise(r, "FilterArgumentError", "map() got an unexpected keyword argument");
    if (!tp_path_of(r, attribute, &p->path))
        return false;
    p->path.otherwise = otherwise;
    p->by_attribute = true;
    return true;
}

static bool prepare_select(tp_run *r, pick *p)
{
    if (!p->by_attribute)
        return find_function(r, p, 0);
    if (p->args.n_pos == 0)
        return tp_raise(r, "FilterArgumentError", "Missing parameter for attribute name");
    return tp_path_of(r, p->args.pos[0], &p->path) && find_function(r, p, 1);
}

static bool prepare(tp_run *r, pick *p, tp_iter *it)
{
    bool is_there = true;
    p->is_ready = true;
    if (p->kind != PICK_UNIQUE && !tp_truth(r, p->value, &is_there))
        return false;
    p->is_empty = !is_there;
    if (p->is_empty)
        return true;
    if ((p->kind == PICK_MAP && !prepare_map(r, p)) ||
        (p->kind == PICK_SELECT && !prepare_select(r, p)))
        return false;
    return tp_iter_of(r, p->value, &it->src);
}

static bool is_wanted(tp_run *r, pick *p, tp_value item, bool *out)
{
    tp_value v = item;
    if (!tp_path_get(r, &p->path, item, &v))
        return false;
    if (p->kind == PICK_UNIQUE) {
        tp_value before;
        if ((p->fold_case && v.kind == TP_TEXT && !tp_change_case(r, v, TP_TO_LOWER, &v)) ||
            !tp_dict_get(r, p->seen, v, &before) || !tp_dict_set(r, p->seen, v, tp_none))
            return false;
        *out = before.kind == TP_MISSING;
        return true;
    }
    if (p->function != NULL && !tp_call_function(r, p->function, v, &p->args, &v))
        return false;
    if (!tp_truth(r, v, out))
        return false;
    *out = *out != p->is_negated;
    return true;
}

static bool pick_next(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    pick *p = it->state;
    *has = false;
    if (!p->is_ready && !prepare(r, p, it))
        return false;
    if (p->is_empty)
        return true;
    for (;;) {
        bool is_taken = true;
        if (!tp_next(r, it->src, out, has))
            return false;
        if (!*has)
            return true;
        if (p->kind == PICK_MAP)
            return p->by_attribute ? tp_path_get(r, &p->path, *out, out)
                                   : tp_call_function(r, p->function, *out, &p->args, out);
        if (!is_wanted(r, p, *out, &is_taken))
            return false;
        if (is_taken)
            return true;
    }
}

static bool generator(tp_run *r, pick p, tp_value *out)
{
    pick *state = tp_alloc(r, 1, sizeof *state);
    tp_iter *it = NULL;
    if (state == NULL || !tp_iter_new(r, pick_next, state, NULL, "generator", &it))
        return false;
    *state = p;
    *out = (tp_value){.kind = TP_ITER, .u.iter = it};
    return true;
}

static bool f_map(tp_run *r, tp_value v, const tp_args *args, tp_value *out)
{
    return generator(r, (pick){.kind = PICK_MAP, .value = v, .args = *args}, out);
}

static bool f_select(tp_run *r, tp_value v, const tp_args *args, tp_value *out)
{
    return generator(r, (pick){.kind = PICK_SELECT, .value = v, .args = *args}, out);
}

static bool f_reject(tp_run *r, tp_value v, const tp_args *args, tp_value *out)
{
    return generator(r, (pick){.kind = PICK_SELECT, .value = v, .args = *args, .is_negated = true},
                     out);
}

static bool f_selectattr(tp_run *r, tp_value v, const tp_args *args, tp_value *out)
{
    return generator(
        r, (pick){.kind = PICK_SELECT, .value = v, .args = *args, .by_attribute = true}, out);
}

static bool f_rejectattr(tp_run *r, tp_value v, const tp_args *args, tp_value *out)
{
    return generator(r,
                     (pick){.kind = PICK_SELECT,
                            .value = v,
                            .args = *args,
                            .by_attribute = true,
                            .is_negated = true},
                     out);
}

static bool f_unique(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    pick p = {.kind = PICK_UNIQUE, .value = v, .fold_case = true};
    bool case_sensitive = false;
    tp_value seen;
    if ((a[0].kind != TP_MISSING && !tp_truth(r, a[0], &case_sensitive)) ||
        !tp_path_of(r, a[1], &p.path) || !tp_dict_new(r, &p.seen, &seen))
        return false;
    p.fold_case = !case_sensitive;
    return generator(r, p, out);
}

const tp_function tp_filters_pick[] = {
    {"map", NULL, 0, NULL, f_map},
    {"reject", NULL, 0, NULL, f_reject},
    {"rejectattr", NULL, 0, NULL, f_rejectattr},
    {"select", NULL, 0, NULL, f_select},
    {"selectattr", NULL, 0, NULL, f_selectattr},
    {"unique", "case_sensitive attribute", 0, f_unique, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
