/*
 * exec.c — statements.
 *
 * Text goes to one buffer. A block whose text is wanted as a value (a macro, a set block) writes
 * there too; what it wrote is cut off behind its mark and becomes the value.
 */
#include "engine/template/impl.h"

/* ---- assignment ------------------------------------------------------------------------------ */

static bool set_attribute(tp_run *r, tp_scope *s, const tp_node *target, tp_value v)
{
    tp_value space;
    if (!tp_lookup(r, s, target->name, &space))
        return false;
    if (space.kind != TP_NAMESPACE)
        return tp_raise(r, "TemplateRuntimeError",
                        "cannot assign attribute on non-namespace object");
    if (as_str_starts(tp_str(target->value), AS_STR("_")))
        return tp_raise(r, "SecurityError",
                        "an attribute of a namespace may not begin with an underscore: '%.*s'",
                        AS_ARG(tp_str(target->value)));
    return tp_dict_set(r, space.u.space, target->value, v);
}

static bool assign(tp_run *r, tp_scope *s, const tp_node *target, tp_value v);

static bool unpack(tp_run *r, tp_scope *s, const tp_node *target, tp_value v)
{
    const size_t want = target->list.n;
    tp_value list;
    if (v.kind != TP_UNDEFINED && (v.kind < TP_TEXT || v.kind > TP_ITER))
        return tp_raise(r, "TypeError", "cannot unpack non-iterable %s object", tp_type_name(v));
    if (!tp_to_list(r, v, TP_LIST, &list))
        return false;
    const size_t got = list.u.list->n;
    if (got < want)
        return tp_raise(r, "ValueError", "not enough values to unpack (expected %zu, got %zu)",
                        want, got);
    if (got > want)
        return tp_raise(r, "ValueError", "too many values to unpack (expected %zu)", want);
    for (size_t i = 0; i < want; i++)
        if (!assign(r, s, target->list.v[i], list.u.list->v[i]))
            return false;
    return true;
}

static bool assign(tp_run *r, tp_scope *s, const tp_node *target, tp_value v)
{
    if (target->op == TP_NAME)
        return tp_scope_set(r, s, target->name.p, v);
    return target->op == TP_NS_REF ? set_attribute(r, s, target, v) : unpack(r, s, target, v);
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static bool begin_hidden(tp_run *r, tp_scope *s, const tp_node *body)
{
    for (size_t i = 0; i < body->n_hidden; i++)
        if (!tp_scope_set(r, s, body->hidden[i].p, tp_missing))
            return false;
    return true;
}

static tp_flow exec_list(tp_run *r, tp_scope *s, const tp_node *body)
{
    if (!tp_enter(r))
        return TP_FLOW_FAIL;
    for (size_t i = 0; i < body->list.n; i++) {
        const tp_flow flow = tp_exec(r, s, body->list.v[i]);
        if (flow == TP_FLOW_ON)
            continue;
        tp_leave(r);
        return flow;
    }
    tp_leave(r);
    return TP_FLOW_ON;
}

static tp_flow exec_body(tp_run *r, tp_scope *s, const tp_node *body)
{
    return begin_hidden(r, s, body) ? exec_list(r, s, body) : TP_FLOW_FAIL;
}

bool tp_exec_captured(tp_run *r, tp_scope *s, const tp_node *body, tp_value *out)
{
    const size_t mark = r->out.n;
    if (exec_body(r, s, body) == TP_FLOW_FAIL)
        return false;
    if (!tp_text_of(r, (as_str){r->out.p != NULL ? r->out.p + mark : "", r->out.n - mark}, out))
        return false;
    r->out.n = mark;
    return true;
}

static bool capture_block(tp_run *r, tp_scope *s, const tp_node *body, tp_value *out)
{
    tp_scope *inner = tp_scope_new(r, s);
    return inner != NULL && tp_exec_captured(r, inner, body, out);
}

/* The value of a chain of filters over text. */
static bool eval_captured(tp_run *r, tp_scope *s, const tp_node *chain, tp_value text,
                          tp_value *out)
{
    const tp_value before = r->captured;
    r->captured = text;
    const bool is_ok = tp_eval(r, s, chain, out);
    r->captured = before;
    return is_ok;
}

/* ---- loops ----------------------------------------------------------------------------------- */

typedef struct loop_filter {
    const tp_node *node;
    tp_scope *scope;
} loop_filter;

/* The items of src for which the loop's condition holds, decided as they are asked for. */
static bool next_if(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    const loop_filter *f = it->state;
    for (;;) {
        bool is_true = false;
        tp_value v;
        tp_scope *s = tp_scope_new(r, f->scope);
        if (s == NULL || !tp_next(r, it->src, out, has))
            return false;
        if (!*has)
            return true;
        if (!assign(r, s, f->node->a, *out) || !tp_eval(r, s, f->node->c, &v) ||
            !tp_truth(r, v, &is_true))
            return false;
        if (is_true)
            return true;
    }
}

static bool loop_new(tp_run *r, const tp_node *n, tp_scope *s, tp_value over, int depth0,
                     tp_loop **out)
{
    tp_loop *loop = tp_alloc(r, 1, sizeof *loop);
    if (loop == NULL)
        return false;
    *loop = (tp_loop){.source = over, .scope = s, .index0 = -1, .length = -1, .depth0 = depth0};
    loop->node = n->flag ? n : NULL;
    if (!tp_iter_of(r, over, &loop->iter))
        return false;
    if (n->c != NULL) {
        loop_filter *f = tp_alloc(r, 1, sizeof *f);
        if (f == NULL)
            return false;
        *f = (loop_filter){n, s};
        if (!tp_iter_new(r, next_if, f, loop->iter, "generator", &loop->iter))
            return false;
        loop->source = (tp_value){.kind = TP_ITER, .u.iter = loop->iter};
    }
    *out = loop;
    return true;
}

static bool loop_next(tp_run *r, tp_loop *loop, bool *has)
{
    if (!tp_loop_peek(r, loop))
        return false;
    *has = loop->after.kind != TP_MISSING;
    if (!*has)
        return true;
    loop->index0++;
    loop->before = loop->current;
    loop->current = loop->after;
    loop->after = tp_missing;
    return true;
}

bool tp_run_loop(tp_run *r, const tp_node *n, tp_scope *outer, tp_value over, int depth0,
                 tp_flow *flow)
{
    tp_loop *loop = NULL;
    tp_scope *s = NULL;
    bool has_finished_one = false;
    unsigned n_closures = r->n_closures;
    if (!tp_enter(r) || !loop_new(r, n, outer, over, depth0, &loop))
        return false;
    *flow = TP_FLOW_ON;
    while (*flow != TP_FLOW_BREAK) {
        bool has = false;
        if (!loop_next(r, loop, &has))
            return false;
        if (!has)
            break;
        if (s == NULL || n_closures != r->n_closures)
            s = tp_scope_new(r, outer);
        n_closures = r->n_closures;
        if (s == NULL)
            return false;
        s->n = 0;
        if (n->loop_name != NULL &&
            !tp_scope_set(r, s, n->loop_name, (tp_value){.kind = TP_LOOP, .u.loop = loop}))
            return false;
        if (!assign(r, s, n->a, loop->current))
            return false;
        *flow = exec_body(r, s, n->d);
        if (*flow == TP_FLOW_FAIL)
            return false;
        has_finished_one = has_finished_one || *flow == TP_FLOW_ON;
    }
    *flow = TP_FLOW_ON;
    /* as Jinja compiles it, an item that ends with break or continue does not count */
    if (n->e != NULL && !has_finished_one) {
        tp_scope *inner = tp_scope_new(r, outer);
        *flow = inner != NULL ? exec_body(r, inner, n->e) : TP_FLOW_FAIL;
    }
    tp_leave(r);
    return *flow != TP_FLOW_FAIL;
}

static tp_flow exec_for(tp_run *r, tp_scope *s, const tp_node *n)
{
    tp_value over;
    tp_flow flow = TP_FLOW_FAIL;
    if (!tp_eval(r, s, n->b, &over) || !tp_run_loop(r, n, s, over, 0, &flow))
        return TP_FLOW_FAIL;
    return flow;
}

/* ---- the others ------------------------------------------------------------------------------ */

static tp_flow done(bool is_ok)
{
    return is_ok ? TP_FLOW_ON : TP_FLOW_FAIL;
}

static tp_flow exec_output(tp_run *r, tp_scope *s, const tp_node *n)
{
    for (size_t i = 0; i < n->list.n; i++) {
        tp_value v;
        if (!tp_eval(r, s, n->list.v[i], &v) || !tp_print(r, v, &r->out))
            return TP_FLOW_FAIL;
    }
    return TP_FLOW_ON;
}

static tp_flow exec_if(tp_run *r, tp_scope *s, const tp_node *n)
{
    for (size_t i = 0; i < n->list.n; i += 2) {
        tp_value v;
        bool is_true = false;
        if (!tp_eval(r, s, n->list.v[i], &v) || !tp_truth(r, v, &is_true))
            return TP_FLOW_FAIL;
        if (is_true)
            return exec_list(r, s, n->list.v[i + 1]);
    }
    return n->c != NULL ? exec_list(r, s, n->c) : TP_FLOW_ON;
}

static bool macro_new(tp_run *r, tp_scope *s, const tp_node *n, tp_value *out)
{
    tp_macro *m = tp_alloc(r, 1, sizeof *m);
    if (m == NULL)
        return false;
    *m = (tp_macro){.name = n->name, .sub = n->sub, .body = n->d, .scope = s};
    r->n_closures++;
    *out = (tp_value){.kind = TP_MACRO, .u.macro = m};
    return true;
}

static tp_flow exec_macro(tp_run *r, tp_scope *s, const tp_node *n)
{
    tp_value m;
    return done(macro_new(r, s, n, &m) && tp_scope_set(r, s, n->name.p, m));
}

static tp_flow exec_call_block(tp_run *r, tp_scope *s, const tp_node *n)
{
    tp_value caller, v;
    return done(macro_new(r, s, n, &caller) && tp_eval_call(r, s, n->a, caller, &v) &&
                tp_print(r, v, &r->out));
}

static tp_flow exec_set(tp_run *r, tp_scope *s, const tp_node *n)
{
    tp_value v;
    if (n->op == TP_SET)
        return done(tp_eval(r, s, n->b, &v) && assign(r, s, n->a, v));
    return done(capture_block(r, s, n->d, &v) && eval_captured(r, s, n->b, v, &v) &&
                assign(r, s, n->a, v));
}

static tp_flow exec_filter_block(tp_run *r, tp_scope *s, const tp_node *n)
{
    tp_value v;
    return done(capture_block(r, s, n->d, &v) && eval_captured(r, s, n->b, v, &v) &&
                tp_print(r, v, &r->out));
}

static tp_flow exec_with(tp_run *r, tp_scope *s, const tp_node *n)
{
    tp_scope *inner = tp_scope_new(r, s);
    if (inner == NULL || !begin_hidden(r, inner, n->d))
        return TP_FLOW_FAIL;
    for (size_t i = 0; i < n->list.n; i += 2) {
        tp_value v;
        if (!tp_eval(r, s, n->list.v[i + 1], &v) || !assign(r, inner, n->list.v[i], v))
            return TP_FLOW_FAIL;
    }
    return exec_list(r, inner, n->d);
}

static tp_flow exec_block(tp_run *r, tp_scope *s, const tp_node *n)
{
    if (!n->flag)
        return exec_body(r, s, n);
    tp_scope *inner = tp_scope_new(r, s);
    return inner != NULL ? exec_body(r, inner, n) : TP_FLOW_FAIL;
}

tp_flow tp_exec(tp_run *r, tp_scope *s, const tp_node *n)
{
    r->line = n->line;
    if (!tp_step(r, 1))
        return TP_FLOW_FAIL;
    switch (n->op) {
    case TP_DATA:
        return done(tp_emit(r, tp_str(n->value)));
    case TP_OUTPUT:
        return exec_output(r, s, n);
    case TP_IF:
        return exec_if(r, s, n);
    case TP_FOR:
        return exec_for(r, s, n);
    case TP_SET:
    case TP_SET_BLOCK:
        return exec_set(r, s, n);
    case TP_MACRO_DEF:
        return exec_macro(r, s, n);
    case TP_CALL_BLOCK:
        return exec_call_block(r, s, n);
    case TP_FILTER_BLOCK:
        return exec_filter_block(r, s, n);
    case TP_WITH:
        return exec_with(r, s, n);
    case TP_BLOCK:
        return exec_block(r, s, n);
    case TP_BREAK:
        return TP_FLOW_BREAK;
    default:
        return TP_FLOW_CONTINUE;
    }
}
