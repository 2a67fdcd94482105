/*
 * call.c — calling things: built-in functions bound by the names of their parameters, macros,
 * recursive loops.
 */
#include "engine/template/impl.h"

const tp_function *tp_find_function(const tp_function *table, as_str name)
{
    for (; table->name != NULL; table++)
        if (as_str_eq_z(name, table->name))
            return table;
    return NULL;
}

typedef struct params {
    as_str names[TP_MAX_PARAMS];
    int n, n_positional_only;
} params;

static params read_params(const char *z)
{
    params p = {.n = 0};
    as_str rest = as_str_of(z);
    while (rest.n > 0) {
        as_str word;
        (void)as_str_cut(rest, ' ', &word, &rest);
        if (as_str_eq_z(word, "/"))
            p.n_positional_only = p.n;
        else if (word.n > 0 && p.n < TP_MAX_PARAMS)
            p.names[p.n++] = word;
    }
    return p;
}

static bool bind_keyword(tp_run *r, const tp_function *f, const params *p, as_str name,
                         tp_value value, tp_value *a)
{
    for (int i = p->n_positional_only; i < p->n; i++) {
        if (!as_str_eq(p->names[i], name))
            continue;
        if (a[i].kind != TP_MISSING)
            return tp_raise(r, "TypeError", "%s() got multiple values for argument '%.*s'", f->name,
                            AS_ARG(name));
        a[i] = value;
        return true;
    }
    return tp_raise(r, "TypeError", "%s() got an unexpected keyword argument '%.*s'", f->name,
                    AS_ARG(name));
}

bool tp_call_function(tp_run *r, const tp_function *f, tp_value self, const tp_args *args,
                      tp_value *out)
{
    if (f->raw != NULL)
        return f->raw(r, self, args, out);
    const params p = read_params(f->params);
    tp_value a[TP_MAX_PARAMS];
    for (int i = 0; i < TP_MAX_PARAMS; i++)
        a[i] = tp_missing;
    if (args->n_pos > (size_t)p.n)
        return tp_raise(r, "TypeError", "%s() takes at most %d arguments (%zu given)", f->name, p.n,
                        args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++)
        a[i] = args->pos[i];
    for (size_t i = 0; i < args->n_kw; i++)
        if (!bind_keyword(r, f, &p, args->names[i], args->kw[i], a))
            return false;
    for (int i = 0; i < f->n_need; i++)
        if (a[i].kind == TP_MISSING)
            return tp_raise(r, "TypeError", "%s() misses the argument '%.*s'", f->name,
                            AS_ARG(p.names[i]));
    return f->call(r, self, a, out);
}

static bool call_joiner(tp_run *r, tp_cycler *joiner, tp_value *out)
{
    if (joiner->pos > 0) {
        *out = joiner->items->v[0];
        return true;
    }
    joiner->pos = 1;
    return tp_text_wrap(r, AS_STR(""), false, out);
}

bool tp_call(tp_run *r, tp_value f, const tp_args *args, tp_value *out)
{
    bool is_ok = false;
    if (!tp_step(r, 1) || !tp_enter(r))
        return false;
    switch (f.kind) {
    case TP_METHOD:
        is_ok = tp_call_function(r, f.u.method->function, f.u.method->self, args, out);
        break;
    case TP_FUNCTION:
        is_ok = tp_call_function(r, f.u.function, tp_none, args, out);
        break;
    case TP_MACRO:
        is_ok = tp_call_macro(r, f.u.macro, args, out);
        break;
    case TP_LOOP:
        is_ok = tp_loop_call(r, f.u.loop, args, out);
        break;
    case TP_JOINER:
        is_ok = call_joiner(r, f.u.cycler, out);
        break;
    case TP_UNDEFINED:
        is_ok = tp_raise_undefined(r, f);
        break;
    default:
        is_ok = tp_raise(r, "TypeError", "'%s' object is not callable", tp_type_name(f));
    }
    tp_leave(r);
    return is_ok;
}

/* ---- macros ---------------------------------------------------------------------------------- */

/* The value of a keyword, which is then taken (its name set to nothing). */
static tp_value take_keyword(as_str *names, const tp_args *args, as_str name)
{
    for (size_t i = 0; i < args->n_kw; i++) {
        if (names[i].p != NULL && as_str_eq(names[i], name)) {
            names[i] = (as_str){NULL, 0};
            return args->kw[i];
        }
    }
    return tp_missing;
}

static bool bind_params(tp_run *r, const tp_macro *m, const tp_args *args, as_str *names,
                        tp_scope *s, bool *found_caller)
{
    const size_t n = m->sub->pos.n;
    tp_value *given = tp_alloc(r, n + 1, sizeof *given);
    if (given == NULL)
        return false;
    *found_caller = args->n_pos >= n && m->sub->has_caller_param;
    for (size_t i = 0; i < n; i++) {
        const as_str name = m->sub->pos.v[i]->name;
        *found_caller = *found_caller || (i >= args->n_pos && as_str_eq_z(name, "caller"));
        given[i] = i < args->n_pos ? args->pos[i] : take_keyword(names, args, name);
        if (!tp_scope_set(r, s, name.p, given[i]))
            return false;
    }
    for (size_t i = 0; i < n; i++) {
        const tp_node *param = m->sub->pos.v[i];
        if (given[i].kind != TP_MISSING)
            continue;
        if (param->b != NULL
                ? !tp_eval(r, s, param->b, &given[i])
                : !tp_undefined_hint(r, "a parameter of a macro was not provided", &given[i]))
            return false;
        if (!tp_scope_set(r, s, param->name.p, given[i]))
            return false;
    }
    return true;
}

static bool rest_keywords(tp_run *r, const tp_macro *m, const tp_args *args, const as_str *names,
                          tp_value *out)
{
    tp_dict *d = NULL;
    if (!tp_dict_new(r, &d, out))
        return false;
    for (size_t i = 0; i < args->n_kw; i++) {
        if (names[i].p == NULL)
            continue;
        if (!m->sub->uses_kwargs)
            return tp_raise(r, "TypeError", "macro '%.*s' takes no keyword argument '%.*s'",
                            AS_ARG(m->name), AS_ARG(names[i]));
        tp_value key;
        if (!tp_text_wrap(r, names[i], false, &key) || !tp_dict_set(r, d, key, args->kw[i]))
            return false;
    }
    return true;
}

static bool rest_positions(tp_run *r, const tp_macro *m, const tp_args *args, tp_value *out)
{
    const size_t n = m->sub->pos.n;
    tp_list *l = NULL;
    if (args->n_pos > n && !m->sub->uses_varargs)
        return tp_raise(r, "TypeError", "macro '%.*s' takes not more than %zu argument(s)",
                        AS_ARG(m->name), n);
    if (!tp_list_new(r, TP_TUPLE, args->n_pos > n ? args->n_pos - n : 0, &l, out))
        return false;
    for (size_t i = 0; i < l->n; i++)
        l->v[i] = args->pos[n + i];
    return true;
}

bool tp_call_macro(tp_run *r, const tp_macro *m, const tp_args *args, tp_value *out)
{
    tp_scope *s = tp_scope_new(r, m->scope);
    as_str *names = tp_alloc(r, args->n_kw + 1, sizeof *names);
    if (s == NULL || names == NULL)
        return false;
    if (args->n_kw > 0)
        memcpy(names, args->names, args->n_kw * sizeof *names);
    bool found_caller = false;
    tp_value caller = tp_missing, kwargs, varargs;
    if (!bind_params(r, m, args, names, s, &found_caller))
        return false;
    const bool want_caller = m->sub->uses_caller && !found_caller;
    if (want_caller) {
        caller = take_keyword(names, args, AS_STR("caller"));
        if (caller.kind == TP_MISSING && !tp_undefined_hint(r, "No caller defined", &caller))
            return false;
    }
    if (!rest_keywords(r, m, args, names, &kwargs) || !rest_positions(r, m, args, &varargs))
        return false;
    if ((want_caller && !tp_scope_set(r, s, m->sub->caller_name, caller)) ||
        (m->sub->uses_kwargs && !tp_scope_set(r, s, m->sub->kwargs_name, kwargs)) ||
        (m->sub->uses_varargs && !tp_scope_set(r, s, m->sub->varargs_name, varargs)))
        return false;
    return tp_exec_captured(r, s, m->body, out);
}

bool tp_loop_call(tp_run *r, tp_loop *loop, const tp_args *args, tp_value *out)
{
    if (loop->node == NULL)
        return tp_raise(r, "TypeError",
                        "The loop must have the 'recursive' marker to be called recursively.");
    if (args->n_pos != 1 || args->n_kw != 0)
        return tp_raise(r, "TypeError", "loop() takes one argument");
    const size_t mark = r->out.n;
    tp_flow flow = TP_FLOW_ON;
    if (!tp_run_loop(r, loop->node, loop->scope, args->pos[0], loop->depth0 + 1, &flow) ||
        !tp_text_of(r, (as_str){r->out.p + mark, r->out.n - mark}, out))
        return false;
    r->out.n = mark;
    return true;
}
