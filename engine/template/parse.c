/*
 * parse.c — statements, and the entry point tp_parse.
 *
 * A body is a TP_BLOCK node; its flag tells whether it has a scope of its own. Bodies of if have
 * none: what they set stays visible behind them.
 */
#include "engine/template/parse_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_SOURCE_BYTES = 1 << 20, PARSE_MEMORY_BYTES = 256 << 20 };

/* ---- shared with parse_expr.c ---------------------------------------------------------------- */

tp_node *tp_syntax(tp_parser *p, int line, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)as_fail(p->err, AS_PARSE, "line %d: %s", line, text);
    return NULL;
}

static const char *token_name(const tp_token *t)
{
    static const char *const names[] = {"text", "{{", "}}", "{%", "%}"};
    return t->kind <= TP_T_BLOCK_END ? names[t->kind]
           : t->kind == TP_T_END     ? "the end of the template"
                                     : NULL;
}

tp_node *tp_unexpected(tp_parser *p, const char *wanted)
{
    const char *name = token_name(p->t);
    if (name != NULL)
        return tp_syntax(p, p->t->line, "expected %s, found %s", wanted, name);
    return tp_syntax(p, p->t->line, "expected %s, found \"%.*s\"", wanted, AS_ARG(p->t->text));
}

tp_node *tp_node_new(tp_parser *p, tp_op op, int line)
{
    tp_node *n = as_new(p->arena, tp_node, 1);
    if (n == NULL)
        return tp_syntax(p, line, "the template needs too much memory");
    n->op = op;
    n->line = line;
    return n;
}

static bool grow_interned(tp_parser *p)
{
    const size_t cap = p->interned_cap == 0 ? 64 : p->interned_cap * 2;
    as_str *v = as_new(p->arena, as_str, cap);
    if (v == NULL)
        return tp_syntax(p, p->t->line, "the template needs too much memory") != NULL;
    for (size_t i = 0; i < p->interned_cap; i++) {
        if (p->interned[i].p == NULL)
            continue;
        size_t at = 5381;
        for (size_t k = 0; k < p->interned[i].n; k++)
            at = at * 33 + (unsigned char)p->interned[i].p[k];
        while (v[at & (cap - 1)].p != NULL)
            at++;
        v[at & (cap - 1)] = p->interned[i];
    }
    p->interned = v;
    p->interned_cap = cap;
    return true;
}

bool tp_intern(tp_parser *p, as_str name, as_str *out)
{
    if (p->n_interned * 2 >= p->interned_cap && !grow_interned(p))
        return false;
    size_t at = 5381;
    for (size_t k = 0; k < name.n; k++)
        at = at * 33 + (unsigned char)name.p[k];
    for (;; at++) {
        as_str *slot = &p->interned[at & (p->interned_cap - 1)];
        if (slot->p == NULL) {
            *slot = name;
            p->n_interned++;
        }
        if (as_str_eq(*slot, name)) {
            *out = *slot;
            return true;
        }
    }
}

bool tp_nodes_add(tp_parser *p, tp_nodes *list, tp_node *node)
{
    if (node == NULL)
        return false;
    if ((list->n & (list->n - 1)) == 0) { /* grows at powers of two */
        tp_node **v = as_new(p->arena, tp_node *, list->n == 0 ? 1 : list->n * 2);
        if (v == NULL)
            return tp_syntax(p, node->line, "the template needs too much memory") != NULL;
        if (list->n > 0)
            memcpy(v, list->v, list->n * sizeof *v);
        list->v = v;
    }
    list->v[list->n++] = node;
    return true;
}

bool tp_at_op(const tp_parser *p, const char *op)
{
    return p->t->kind == TP_T_OP && as_str_eq_z(p->t->text, op);
}

bool tp_at_name(const tp_parser *p, const char *name)
{
    return p->t->kind == TP_T_NAME && as_str_eq_z(p->t->text, name);
}

bool tp_skip_op(tp_parser *p, const char *op)
{
    const bool is_there = tp_at_op(p, op);
    p->t += is_there;
    return is_there;
}

bool tp_skip_name(tp_parser *p, const char *name)
{
    const bool is_there = tp_at_name(p, name);
    p->t += is_there;
    return is_there;
}

bool tp_expect_op(tp_parser *p, const char *op)
{
    if (tp_skip_op(p, op))
        return true;
    char wanted[16];
    (void)snprintf(wanted, sizeof wanted, "\"%s\"", op);
    return tp_unexpected(p, wanted) != NULL;
}

bool tp_nest(tp_parser *p)
{
    if (p->depth == TP_MAX_NESTING)
        return tp_syntax(p, p->t->line, "nested more than %d levels deep", TP_MAX_NESTING) != NULL;
    p->depth++;
    return true;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static tp_node *parse_statement(tp_parser *p);

static bool expect_block_end(tp_parser *p)
{
    if (p->t->kind != TP_T_BLOCK_END)
        return tp_unexpected(p, "%}") != NULL;
    p->t++;
    return true;
}

static bool at_any(const tp_parser *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++)
        if (tp_at_name(p, *ends))
            return true;
    return false;
}

static tp_node *parse_output(tp_parser *p)
{
    tp_node *n = tp_node_new(p, TP_OUTPUT, p->t->line);
    p->t++;
    if (n == NULL || !tp_nodes_add(p, &n->list, tp_parse_tuple(p, true, NULL)))
        return NULL;
    if (p->t->kind != TP_T_VAR_END)
        return tp_unexpected(p, "}}");
    p->t++;
    return n;
}

static tp_node *parse_data(tp_parser *p)
{
    tp_node *n = tp_node_new(p, TP_DATA, p->t->line);
    tp_text *text = as_new(p->arena, tp_text, 1);
    if (n == NULL || text == NULL)
        return tp_syntax(p, p->t->line, "the template needs too much memory");
    *text = (tp_text){.p = p->t->text.p, .n = p->t->text.n};
    n->value = tp_const_text(text);
    p->t++;
    return n;
}

static tp_node *fail_at_end(tp_parser *p, const char *const *ends)
{
    if (ends == NULL)
        return tp_unexpected(p, "text");
    return tp_syntax(p, p->t->line, "the template ends where {%% %s %%} is missing",
                     ends[1] != NULL && ends[2] != NULL ? ends[2] : ends[0]);
}

/* Up to one of the end words, which stays the current token; without ends to the end. */
static tp_node *tp_parse_body(tp_parser *p, const char *const *ends)
{
    tp_node *body = tp_node_new(p, TP_BLOCK, p->t->line);
    if (body == NULL || !tp_nest(p))
        return NULL;
    while (p->t->kind != TP_T_END) {
        tp_node *n;
        if (p->t->kind == TP_T_DATA) {
            n = parse_data(p);
        } else if (p->t->kind == TP_T_VAR_BEGIN) {
            n = parse_output(p);
        } else {
            p->t++;
            if (at_any(p, ends)) {
                p->depth--;
                return body;
            }
            n = parse_statement(p);
            if (n != NULL && !expect_block_end(p))
                return NULL;
        }
        if (!tp_nodes_add(p, &body->list, n))
            return NULL;
        if (p->n_unknown > 0)
            return tp_syntax(p, p->unknown_line, "there is no %s named \"%.*s\"", p->unknown_what,
                             AS_ARG(p->unknown_name));
    }
    p->depth--;
    return ends == NULL ? body : fail_at_end(p, ends);
}

/* %} body, with the end word left as current token. */
static tp_node *parse_until(tp_parser *p, const char *const *ends)
{
    tp_skip_op(p, ":");
    return expect_block_end(p) ? tp_parse_body(p, ends) : NULL;
}

/* The same with a scope of its own, in which unknown filters fail at once again; eats the end. */
static tp_node *parse_scoped(tp_parser *p, const char *end)
{
    const char *const ends[] = {end, NULL};
    const bool was_soft = p->is_soft;
    p->is_soft = false;
    tp_node *body = parse_until(p, ends);
    p->is_soft = was_soft;
    if (body == NULL)
        return NULL;
    body->flag = true;
    p->t++;
    return body;
}

/* A body that is a function of its own: loops around it cannot be left from inside. */
static tp_node *parse_macro_body(tp_parser *p, tp_sub *sub, const char *end)
{
    if (p->n_macros == TP_MAX_NESTING)
        return tp_syntax(p, p->t->line, "macros are nested too deeply");
    const int n_loops = p->n_loops;
    p->n_loops = 0;
    p->macros[p->n_macros++] = sub;
    tp_node *body = parse_scoped(p, end);
    p->n_macros--;
    p->n_loops = n_loops;
    return body;
}

/* ---- statements ------------------------------------------------------------------------------ */

static tp_node *parse_if(tp_parser *p, tp_node *n)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    const bool was_soft = p->is_soft;
    p->is_soft = true;
    n->op = TP_IF;
    do {
        if (!tp_nodes_add(p, &n->list, tp_parse_tuple(p, false, NULL)) ||
            !tp_nodes_add(p, &n->list, parse_until(p, ends)))
            return NULL;
    } while (tp_skip_name(p, "elif"));
    if (tp_skip_name(p, "else")) {
        n->c = parse_until(p, last);
        if (n->c == NULL)
            return NULL;
    }
    p->t++;
    p->is_soft = was_soft;
    return n;
}

static bool parse_for_head(tp_parser *p, tp_node *n)
{
    n->a = tp_parse_target(p, "in", false);
    if (n->a == NULL)
        return false;
    if (!tp_skip_name(p, "in"))
        return tp_unexpected(p, "\"in\"") != NULL;
    n->b = tp_parse_tuple(p, false, "recursive");
    if (n->b == NULL)
        return false;
    if (tp_skip_name(p, "if")) {
        n->c = tp_parse_expression(p, true);
        if (n->c == NULL)
            return false;
    }
    n->flag = tp_skip_name(p, "recursive");
    return true;
}

static tp_node *parse_for(tp_parser *p, tp_node *n)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    static const char *const last[] = {"endfor", NULL};
    const int n_targets_loop = p->n_targets_loop;
    const bool was_soft = p->is_soft;
    n->op = TP_FOR;
    if (!parse_for_head(p, n))
        return NULL;
    p->is_soft = false;
    p->n_loops++;
    n->d = parse_until(p, ends);
    p->n_loops--;
    if (n->d == NULL)
        return NULL;
    n->d->flag = true;
    if (tp_skip_name(p, "else")) {
        n->e = parse_until(p, last);
        if (n->e == NULL)
            return NULL;
        n->e->flag = true;
    }
    p->t++;
    p->is_soft = was_soft;
    as_str loop;
    if (!tp_intern(p, AS_STR("loop"), &loop))
        return NULL;
    n->loop_name = loop.p;
    if (p->n_targets_loop != n_targets_loop)
        return tp_syntax(p, n->line, "\"loop\" cannot be assigned to inside a loop");
    return n;
}

static tp_node *captured_node(tp_parser *p)
{
    return tp_node_new(p, TP_CAPTURED, p->t->line);
}

static tp_node *parse_set(tp_parser *p, tp_node *n)
{
    n->op = TP_SET;
    n->a = tp_parse_target(p, NULL, true);
    if (n->a == NULL)
        return NULL;
    if (tp_skip_op(p, "=")) {
        n->b = tp_parse_tuple(p, true, NULL);
        return n->b != NULL ? n : NULL;
    }
    n->op = TP_SET_BLOCK;
    n->b = captured_node(p);
    n->b = n->b != NULL ? tp_parse_filters(p, n->b, false) : NULL;
    if (n->b == NULL)
        return NULL;
    n->d = parse_scoped(p, "endset");
    return n->d != NULL ? n : NULL;
}

static bool parse_signature(tp_parser *p, tp_sub *sub)
{
    if (!tp_expect_op(p, "("))
        return false;
    while (!tp_at_op(p, ")")) {
        if (sub->pos.n > 0 && !tp_expect_op(p, ","))
            return false;
        if (p->t->kind != TP_T_NAME)
            return tp_unexpected(p, "the name of a parameter") != NULL;
        tp_node *param = tp_node_new(p, TP_NAME, p->t->line);
        if (param == NULL || !tp_intern(p, p->t->text, &param->name))
            return false;
        p->t++;
        if (!tp_nodes_add(p, &sub->pos, param))
            return false;
        sub->has_caller_param = sub->has_caller_param || as_str_eq_z(param->name, "caller");
        if (tp_skip_op(p, "=")) {
            param->b = tp_parse_expression(p, true);
            if (param->b == NULL)
                return false;
        } else if (sub->pos.n > 1 && sub->pos.v[sub->pos.n - 2]->b != NULL) {
            return tp_syntax(p, param->line,
                             "a parameter without default stands behind one with "
                             "default") != NULL;
        }
    }
    return tp_expect_op(p, ")");
}

static tp_sub *sub_new(tp_parser *p)
{
    tp_sub *sub = as_new(p->arena, tp_sub, 1);
    if (sub == NULL)
        (void)tp_syntax(p, p->t->line, "the template needs too much memory");
    return sub;
}

static tp_node *parse_macro(tp_parser *p, tp_node *n)
{
    n->op = TP_MACRO_DEF;
    n->sub = sub_new(p);
    if (p->t->kind != TP_T_NAME)
        return tp_unexpected(p, "the name of a macro");
    if (n->sub == NULL || !tp_intern(p, p->t->text, &n->name))
        return NULL;
    p->t++;
    if (!parse_signature(p, n->sub))
        return NULL;
    n->d = parse_macro_body(p, n->sub, "endmacro");
    return n->d != NULL ? n : NULL;
}

static tp_node *parse_call_block(tp_parser *p, tp_node *n)
{
    n->op = TP_CALL_BLOCK;
    n->sub = sub_new(p);
    if (n->sub == NULL || (tp_at_op(p, "(") && !parse_signature(p, n->sub)))
        return NULL;
    n->a = tp_parse_expression(p, true);
    if (n->a == NULL)
        return NULL;
    if (n->a->op != TP_CALL)
        return tp_syntax(p, n->line, "a call block must call something");
    n->d = parse_macro_body(p, n->sub, "endcall");
    return n->d != NULL ? n : NULL;
}

static tp_node *parse_filter_block(tp_parser *p, tp_node *n)
{
    n->op = TP_FILTER_BLOCK;
    n->b = captured_node(p);
    n->b = n->b != NULL ? tp_parse_filters(p, n->b, true) : NULL;
    if (n->b == NULL)
        return NULL;
    n->d = parse_scoped(p, "endfilter");
    return n->d != NULL ? n : NULL;
}

static tp_node *parse_with(tp_parser *p, tp_node *n)
{
    n->op = TP_WITH;
    while (p->t->kind != TP_T_BLOCK_END) {
        if (n->list.n > 0 && !tp_expect_op(p, ","))
            return NULL;
        if (!tp_nodes_add(p, &n->list, tp_parse_target(p, NULL, false)) || !tp_expect_op(p, "=") ||
            !tp_nodes_add(p, &n->list, tp_parse_expression(p, true)))
            return NULL;
    }
    n->d = parse_scoped(p, "endwith");
    return n->d != NULL ? n : NULL;
}

static tp_node *parse_print(tp_parser *p, tp_node *n)
{
    n->op = TP_OUTPUT;
    while (p->t->kind != TP_T_BLOCK_END) {
        if (n->list.n > 0 && !tp_expect_op(p, ","))
            return NULL;
        if (!tp_nodes_add(p, &n->list, tp_parse_expression(p, true)))
            return NULL;
    }
    return n;
}

/* Text between generation tags is a caller's body to transformers: a function of its own. */
static tp_node *parse_generation(tp_parser *p, tp_node *n)
{
    (void)n;
    tp_sub *sub = sub_new(p);
    return sub != NULL ? parse_macro_body(p, sub, "endgeneration") : NULL;
}

static tp_node *parse_break(tp_parser *p, tp_node *n)
{
    n->op = TP_BREAK;
    return p->n_loops > 0 ? n : tp_syntax(p, n->line, "break stands outside of a loop");
}

static tp_node *parse_continue(tp_parser *p, tp_node *n)
{
    n->op = TP_CONTINUE;
    return p->n_loops > 0 ? n : tp_syntax(p, n->line, "continue stands outside of a loop");
}

/* A block of a template that nothing extends: its text in place. */
static tp_node *parse_block(tp_parser *p, tp_node *n)
{
    tp_sub *sub = sub_new(p);
    if (p->t->kind != TP_T_NAME)
        return tp_unexpected(p, "the name of a block");
    p->t++;
    (void)tp_skip_name(p, "scoped");
    (void)tp_skip_name(p, "required");
    tp_node *body = sub != NULL ? parse_macro_body(p, sub, "endblock") : NULL;
    if (body == NULL)
        return NULL;
    if (p->t->kind == TP_T_NAME)
        p->t++;
    (void)n;
    return body;
}

static tp_node *parse_statement(tp_parser *p)
{
    static const struct {
        const char *name;
        tp_node *(*parse)(tp_parser *p, tp_node *n);
    } statements[] = {
        {"if", parse_if},       {"for", parse_for},           {"set", parse_set},
        {"macro", parse_macro}, {"call", parse_call_block},   {"filter", parse_filter_block},
        {"with", parse_with},   {"print", parse_print},       {"generation", parse_generation},
        {"break", parse_break}, {"continue", parse_continue}, {"block", parse_block},
    };
    static const char *const refused[] = {"include", "import", "from", "extends", "autoescape"};
    if (p->t->kind != TP_T_NAME)
        return tp_unexpected(p, "the name of a tag");
    const tp_token *t = p->t++;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (!as_str_eq_z(t->text, statements[i].name))
            continue;
        tp_node *n = tp_node_new(p, TP_BLOCK, t->line);
        return n != NULL ? statements[i].parse(p, n) : NULL;
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (as_str_eq_z(t->text, refused[i]))
            return tp_syntax(p, t->line, "{%% %s %%} is not allowed in a chat template",
                             refused[i]);
    return tp_syntax(p, t->line, "unknown tag \"%.*s\"", AS_ARG(t->text));
}

/* ---- entry ----------------------------------------------------------------------------------- */

static as_code parse_into(tp_template *t, as_str source, as_err *err)
{
    if (source.n > MAX_SOURCE_BYTES)
        return as_fail(err, AS_PARSE, "the template has %zu bytes, at most %d are taken", source.n,
                       MAX_SOURCE_BYTES);
    as_err own = {.code = AS_OK};
    if (err == NULL)
        err = &own;
    tp_tokens tokens = {0};
    AS_TRY(tp_lex(&tokens, source, &t->arena, err));
    tp_parser *p = as_new(&t->arena, tp_parser, 1);
    if (p == NULL)
        return as_nomem(err);
    p->arena = &t->arena;
    p->err = err;
    p->t = tokens.v;
    t->root = tp_parse_body(p, NULL);
    if (t->root == NULL || !tp_find_hidden(p, t->root))
        return AS_PARSE;
    return AS_OK;
}

as_code tp_parse(tp_template **out, as_str source, as_err *err)
{
    *out = NULL;
    tp_template *t = calloc(1, sizeof *t);
    if (t == NULL)
        return as_nomem(err);
    as_arena_init(&t->arena, PARSE_MEMORY_BYTES);
    const as_code c = parse_into(t, source, err);
    if (c != AS_OK) {
        tp_free(t);
        return c;
    }
    *out = t;
    return AS_OK;
}

void tp_free(tp_template *t)
{
    if (t == NULL)
        return;
    as_arena_release(&t->arena);
    free(t);
}
