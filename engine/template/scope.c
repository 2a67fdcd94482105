/*
 * scope.c — which names a scope hides from its first line on.
 *
 * Jinja compiles a template to Python, where a variable that a function assigns is local from the
 * function's start. So a scope whose first mention of a name is an assignment (outside of any if)
 * hides a variable of the rendering with that name, also from the loops and macros inside that are
 * reached before the assignment: there the name is undefined. A scope inside which the name is
 * known from an outer scope takes the outer value instead.
 *
 * Scopes are looked at from the outside in, because inner ones ask what all of the outer one
 * mentions.
 */
#include "engine/template/parse_impl.h"

enum { MAX_EXPRESSION_DEPTH = 1000 };

typedef struct frame {
    struct frame *parent;
    const tp_node *params; /* target of a loop, or NULL */
    const tp_sub *sub;     /* parameters of a macro, or NULL */
    const tp_node *with;   /* a with statement, or NULL */
    const tp_node *chain;  /* filters of a filter block, or NULL */
    tp_node *body;
    const char **seen; /* interned names, open addressing */
    size_t n_seen, cap;
    struct frame *next; /* still to be looked at */
} frame;

typedef struct walk {
    tp_parser *p;
    frame *now;
    frame *last; /* end of the queue */
    int n_ifs;   /* around the current node */
} walk;

static bool nomem(walk *w)
{
    return tp_syntax(w->p, 0, "the template needs too much memory") != NULL;
}

static size_t slot_of(const frame *f, const char *name)
{
    size_t at = (size_t)(uintptr_t)name * 0x9E3779B97F4A7C15u;
    for (at ^= at >> 29;; at++)
        if (f->seen[at & (f->cap - 1)] == NULL || f->seen[at & (f->cap - 1)] == name)
            return at & (f->cap - 1);
}

static bool is_seen(const frame *f, const char *name)
{
    return f->cap > 0 && f->seen[slot_of(f, name)] == name;
}

static bool grow(walk *w, frame *f)
{
    const frame old = *f;
    f->cap = old.cap == 0 ? 16 : old.cap * 2;
    f->seen = as_new(w->p->arena, const char *, f->cap);
    if (f->seen == NULL)
        return nomem(w);
    for (size_t i = 0; i < old.cap; i++)
        if (old.seen[i] != NULL)
            f->seen[slot_of(f, old.seen[i])] = old.seen[i];
    return true;
}

static bool hide(walk *w, as_str name)
{
    tp_node *body = w->now->body;
    if ((body->n_hidden & (body->n_hidden - 1)) == 0) { /* grows at powers of two */
        as_str *v = as_new(w->p->arena, as_str, body->n_hidden == 0 ? 1 : body->n_hidden * 2);
        if (v == NULL)
            return nomem(w);
        if (body->n_hidden > 0)
            memcpy(v, body->hidden, body->n_hidden * sizeof *v);
        body->hidden = v;
    }
    body->hidden[body->n_hidden++] = name;
    return true;
}

typedef enum mention { LOADED, STORED, GIVEN } mention;

static bool mention_name(walk *w, as_str name, mention how)
{
    frame *f = w->now;
    if (is_seen(f, name.p))
        return true;
    if (f->n_seen * 2 >= f->cap && !grow(w, f))
        return false;
    f->seen[slot_of(f, name.p)] = name.p;
    f->n_seen++;
    if (how != STORED || w->n_ifs > 0)
        return true;
    for (const frame *outer = f->parent; outer != NULL; outer = outer->parent)
        if (is_seen(outer, name.p))
            return true;
    return hide(w, name);
}

static bool add_frame(walk *w, frame f)
{
    frame *copy = as_new(w->p->arena, frame, 1);
    if (copy == NULL)
        return nomem(w);
    f.parent = w->now;
    *copy = f;
    w->last->next = copy;
    w->last = copy;
    return true;
}

/* ---- expressions ----------------------------------------------------------------------------- */

static bool see(walk *w, const tp_node *e, int depth);

static bool see_all(walk *w, const tp_nodes *list, int depth)
{
    for (size_t i = 0; i < list->n; i++)
        if (!see(w, list->v[i], depth))
            return false;
    return true;
}

static bool see(walk *w, const tp_node *e, int depth)
{
    if (e == NULL)
        return true;
    if (depth > MAX_EXPRESSION_DEPTH)
        return tp_syntax(w->p, e->line, "an expression is nested too deeply") != NULL;
    if (e->op == TP_NAME || e->op == TP_NS_REF)
        return mention_name(w, e->name, LOADED);
    if (!see(w, e->a, depth + 1) || !see(w, e->b, depth + 1) || !see(w, e->c, depth + 1) ||
        !see(w, e->d, depth + 1) || !see_all(w, &e->list, depth + 1))
        return false;
    const tp_sub *sub = e->sub;
    return sub == NULL || (see_all(w, &sub->pos, depth + 1) && see_all(w, &sub->kw, depth + 1) &&
                           see(w, sub->star, depth + 1) && see(w, sub->star2, depth + 1));
}

static bool see_target(walk *w, const tp_node *target, mention how, int depth)
{
    if (depth > MAX_EXPRESSION_DEPTH)
        return tp_syntax(w->p, target->line, "a target is nested too deeply") != NULL;
    if (target->op != TP_TUPLE_LIT)
        return mention_name(w, target->name, target->op == TP_NAME ? how : LOADED);
    for (size_t i = 0; i < target->list.n; i++)
        if (!see_target(w, target->list.v[i], how, depth + 1))
            return false;
    return true;
}

/* ---- statements ------------------------------------------------------------------------------ */

static bool see_body(walk *w, tp_node *body);

static bool see_if(walk *w, tp_node *n)
{
    for (size_t i = 0; i < n->list.n; i += 2) {
        w->n_ifs += i > 0; /* an elif is an if inside the else */
        const bool is_ok = see(w, n->list.v[i], 0);
        w->n_ifs -= i > 0;
        if (!is_ok)
            return false;
        w->n_ifs++;
        if (!see_body(w, n->list.v[i + 1]))
            return false;
        w->n_ifs--;
    }
    w->n_ifs++;
    if (n->c != NULL && !see_body(w, n->c))
        return false;
    w->n_ifs--;
    return true;
}

static bool see_for(walk *w, tp_node *n)
{
    return see(w, n->b, 0) && add_frame(w, (frame){.params = n->a, .chain = n->c, .body = n->d}) &&
           (n->e == NULL || add_frame(w, (frame){.body = n->e}));
}

static bool see_with(walk *w, tp_node *n)
{
    for (size_t i = 1; i < n->list.n; i += 2)
        if (!see(w, n->list.v[i], 0))
            return false;
    return add_frame(w, (frame){.with = n, .body = n->d});
}

static bool see_statement(walk *w, tp_node *n)
{
    switch (n->op) {
    case TP_OUTPUT:
        return see_all(w, &n->list, 0);
    case TP_IF:
        return see_if(w, n);
    case TP_FOR:
        return see_for(w, n);
    case TP_SET:
        return see(w, n->b, 0) && see_target(w, n->a, STORED, 0);
    case TP_SET_BLOCK:
        return see_target(w, n->a, STORED, 0) && add_frame(w, (frame){.body = n->d});
    case TP_MACRO_DEF:
        return mention_name(w, n->name, STORED) &&
               add_frame(w, (frame){.sub = n->sub, .body = n->d});
    case TP_CALL_BLOCK:
        return see(w, n->a, 0) && add_frame(w, (frame){.sub = n->sub, .body = n->d});
    case TP_FILTER_BLOCK:
        return see(w, n->b, 0) && add_frame(w, (frame){.chain = n->b, .body = n->d});
    case TP_WITH:
        return see_with(w, n);
    case TP_BLOCK:
        return add_frame(w, (frame){.body = n});
    default:
        return true;
    }
}

static bool see_body(walk *w, tp_node *body)
{
    for (size_t i = 0; i < body->list.n; i++)
        if (!see_statement(w, body->list.v[i]))
            return false;
    return true;
}

static bool see_frame(walk *w)
{
    const frame *f = w->now;
    if (f->params != NULL && !see_target(w, f->params, GIVEN, 0))
        return false;
    for (size_t i = 0; f->sub != NULL && i < f->sub->pos.n; i++)
        if (!mention_name(w, f->sub->pos.v[i]->name, GIVEN) || !see(w, f->sub->pos.v[i]->b, 0))
            return false;
    for (size_t i = 0; f->with != NULL && i < f->with->list.n; i += 2)
        if (!see_target(w, f->with->list.v[i], GIVEN, 0))
            return false;
    return see(w, f->chain, 0) && see_body(w, f->body);
}

bool tp_find_hidden(tp_parser *p, tp_node *root)
{
    frame *first = as_new(p->arena, frame, 1);
    walk w = {.p = p, .now = first, .last = first};
    if (first == NULL)
        return nomem(&w);
    first->body = root;
    for (; w.now != NULL; w.now = w.now->next)
        if (!see_frame(&w))
            return false;
    return true;
}
