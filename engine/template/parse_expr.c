/*
 * parse_expr.c — expressions, one function per level of precedence, from the loosest:
 *
 *     a if b else c · or · and · not · < > == in · + - · ~ · * / // % · ** · sign · . [] () · | is
 *
 * Two rules that surprise: a filter binds looser than a sign (-1|abs is 1), and ** leans left.
 */
#include "engine/template/parse_impl.h"

#include "base/utf8.h"

#include <stdlib.h>

static tp_node *parse_primary(tp_parser *p, bool with_namespace);
static tp_node *parse_postfix(tp_parser *p, tp_node *node);
static bool parse_arguments(tp_parser *p, tp_sub *sub);

static tp_node *const_node(tp_parser *p, int line, tp_value v)
{
    tp_node *n = tp_node_new(p, TP_CONST, line);
    if (n != NULL)
        n->value = v;
    return n;
}

static tp_node *text_node(tp_parser *p, int line, as_str bytes)
{
    tp_text *t = as_new(p->arena, tp_text, 1);
    if (t == NULL)
        return tp_syntax(p, line, "the template needs too much memory");
    *t = (tp_text){bytes.p, bytes.n, tp_chars(bytes), false};
    return const_node(p, line, tp_const_text(t));
}

static tp_node *binary(tp_parser *p, tp_op op, tp_node *a, tp_node *b, int line)
{
    tp_node *n = tp_node_new(p, op, line);
    if (n == NULL || a == NULL || b == NULL)
        return NULL;
    n->a = a;
    n->b = b;
    return n;
}

/* ---- string literals ------------------------------------------------------------------------- */

/* \xhh \uhhhh \Uhhhhhhhh: digits of the escape at s[i], or 0. */
static size_t hex_digits(char kind)
{
    return kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
}

static bool read_hex(as_str s, size_t at, size_t n, uint32_t *code)
{
    uint64_t v = 0;
    if (s.n - at < n || !as_parse_hex(as_str_sub(s, at, at + n), &v))
        return false;
    *code = (uint32_t)v;
    return *code <= 0x10FFFF;
}

/* The escape behind the backslash at s[*i - 1]; moves *i behind it. */
static bool read_escape(tp_parser *p, as_str s, size_t *i, char *out, size_t *n)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    const char c = s.p[*i];
    for (size_t k = 0; plain[k] != '\0'; k += 2) {
        if (plain[k] == c) {
            out[(*n)++] = plain[k + 1];
            (*i)++;
            return true;
        }
    }
    if (c == '\n') {
        (*i)++;
        return true;
    }
    uint32_t code = 0;
    if (c >= '0' && c <= '7') {
        for (int k = 0; k < 3 && *i < s.n && s.p[*i] >= '0' && s.p[*i] <= '7'; k++)
            code = code * 8 + (uint32_t)(s.p[(*i)++] - '0');
        *n += as_utf8_encode(code, out + *n);
        return true;
    }
    const size_t digits = hex_digits(c);
    if (digits == 0 && c != 'N') {
        out[(*n)++] = '\\'; /* not an escape: both characters stay */
        return true;
    }
    if (digits == 0 || !read_hex(s, *i + 1, digits, &code)) {
        tp_syntax(p, p->t->line, "a string holds an escape \\%c that cannot be read", c);
        return false;
    }
    if (code >= 0xD800 && code <= 0xDFFF)
        code = 0xFFFD;
    *n += as_utf8_encode(code, out + *n);
    *i += 1 + digits;
    return true;
}

/* Neighbouring literals are one string. */
static tp_node *parse_string(tp_parser *p)
{
    const int line = p->t->line;
    size_t room = 1;
    for (const tp_token *t = p->t; t->kind == TP_T_STRING; t++)
        room += t->text.n;
    char *out = as_arena_alloc(p->arena, room, 1);
    if (out == NULL)
        return tp_syntax(p, line, "the template needs too much memory");
    size_t n = 0;
    for (; p->t->kind == TP_T_STRING; p->t++) {
        const as_str s = p->t->text;
        for (size_t i = 0; i < s.n;) {
            const char c = s.p[i++];
            if (c != '\\' || i == s.n)
                out[n++] = c;
            else if (!read_escape(p, s, &i, out, &n))
                return NULL;
        }
    }
    return text_node(p, line, (as_str){out, n});
}

/* ---- numbers --------------------------------------------------------------------------------- */

static tp_node *parse_number(tp_parser *p)
{
    char z[64];
    size_t n = 0;
    const as_str s = p->t->text;
    const int line = p->t->line;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_')
            continue;
        if (n + 1 == sizeof z)
            return tp_syntax(p, line, "a number has too many digits");
        z[n++] = s.p[i];
    }
    z[n] = '\0';
    if (p->t->kind == TP_T_FLOAT) {
        double f = 0;
        if (!as_parse_f64((as_str){z, n}, &f) && !tp_to_float((as_str){z, n}, &f))
            return tp_syntax(p, line, "the number %s cannot be read", z);
        p->t++;
        return const_node(p, line, tp_float(f));
    }
    const int base = n > 1 && z[0] == '0' ? z[1] == 'x' || z[1] == 'X'   ? 16
                                            : z[1] == 'o' || z[1] == 'O' ? 8
                                            : z[1] == 'b' || z[1] == 'B' ? 2
                                                                         : 10
                                          : 10;
    uint64_t v = 0;
    for (size_t i = base == 10 ? 0 : 2; i < n; i++) {
        if (v > ((uint64_t)INT64_MAX - 15) / (uint64_t)base && (base != 10 || v > UINT64_MAX / 16))
            return tp_syntax(p, line, "the integer %s has more than 64 bits", z);
        v = v * (uint64_t)base + (uint64_t)as_hex_digit(z[i]);
    }
    if (v > INT64_MAX)
        return tp_syntax(p, line, "the integer %s has more than 64 bits", z);
    p->t++;
    return const_node(p, line, tp_int((int64_t)v));
}

/* ---- primaries ------------------------------------------------------------------------------- */

static tp_node *parse_list(tp_parser *p)
{
    tp_node *n = tp_node_new(p, TP_LIST_LIT, p->t->line);
    p->t++;
    while (n != NULL && !tp_at_op(p, "]")) {
        if (n->list.n > 0 && !tp_expect_op(p, ","))
            return NULL;
        if (tp_at_op(p, "]"))
            break;
        if (!tp_nodes_add(p, &n->list, tp_parse_expression(p, true)))
            return NULL;
    }
    return n != NULL && tp_expect_op(p, "]") ? n : NULL;
}

static tp_node *parse_dict(tp_parser *p)
{
    tp_node *n = tp_node_new(p, TP_DICT_LIT, p->t->line);
    p->t++;
    while (n != NULL && !tp_at_op(p, "}")) {
        if (n->list.n > 0 && !tp_expect_op(p, ","))
            return NULL;
        if (tp_at_op(p, "}"))
            break;
        if (!tp_nodes_add(p, &n->list, tp_parse_expression(p, true)) || !tp_expect_op(p, ":") ||
            !tp_nodes_add(p, &n->list, tp_parse_expression(p, true)))
            return NULL;
    }
    return n != NULL && tp_expect_op(p, "}") ? n : NULL;
}

static void note_special_name(tp_parser *p, as_str name)
{
    for (int i = 0; i < p->n_macros; i++) {
        tp_sub *m = p->macros[i];
        if (as_str_eq_z(name, "caller")) {
            m->uses_caller = true;
            m->caller_name = name.p;
        } else if (as_str_eq_z(name, "varargs")) {
            m->uses_varargs = true;
            m->varargs_name = name.p;
        } else if (as_str_eq_z(name, "kwargs")) {
            m->uses_kwargs = true;
            m->kwargs_name = name.p;
        }
    }
}

static tp_node *parse_name(tp_parser *p, bool with_namespace)
{
    static const struct {
        const char *name;
        tp_kind kind;
        bool b;
    } words[] = {{"true", TP_BOOL, true},   {"True", TP_BOOL, true}, {"false", TP_BOOL, false},
                 {"False", TP_BOOL, false}, {"none", TP_NONE, 0},    {"None", TP_NONE, 0}};
    const tp_token *t = p->t++;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (as_str_eq_z(t->text, words[i].name))
            return const_node(p, t->line, words[i].kind == TP_NONE ? tp_none : tp_bool(words[i].b));
    tp_node *n = tp_node_new(p, TP_NAME, t->line);
    if (n == NULL || !tp_intern(p, t->text, &n->name))
        return NULL;
    if (!with_namespace || !tp_at_op(p, ".")) {
        note_special_name(p, n->name);
        return n;
    }
    p->t++;
    if (p->t->kind != TP_T_NAME)
        return tp_unexpected(p, "the name of a namespace's attribute");
    tp_node *attr = text_node(p, t->line, p->t->text);
    if (attr == NULL)
        return NULL;
    p->t++;
    n->op = TP_NS_REF;
    n->value = attr->value;
    return n;
}

static tp_node *parse_tuple_of(tp_parser *p, tp_node *(*one)(tp_parser *, bool), bool flag,
                               const char *end, bool may_be_empty)
{
    tp_node *n = tp_node_new(p, TP_TUPLE_LIT, p->t->line);
    bool is_tuple = false;
    while (n != NULL) {
        if (n->list.n > 0 && !tp_expect_op(p, ","))
            return NULL;
        if (p->t->kind == TP_T_VAR_END || p->t->kind == TP_T_BLOCK_END || tp_at_op(p, ")") ||
            (end != NULL && tp_at_name(p, end)))
            break;
        if (!tp_nodes_add(p, &n->list, one(p, flag)))
            return NULL;
        if (!tp_at_op(p, ","))
            break;
        is_tuple = true;
    }
    if (n == NULL || is_tuple)
        return n;
    if (n->list.n > 0)
        return n->list.v[0];
    return may_be_empty ? n : tp_unexpected(p, "an expression");
}

static tp_node *parse_parentheses(tp_parser *p)
{
    p->t++;
    tp_node *n = parse_tuple_of(p, tp_parse_expression, true, NULL, true);
    return n != NULL && tp_expect_op(p, ")") ? n : NULL;
}

static tp_node *parse_primary(tp_parser *p, bool with_namespace)
{
    if (p->t->kind == TP_T_NAME)
        return parse_name(p, with_namespace);
    if (p->t->kind == TP_T_STRING)
        return parse_string(p);
    if (p->t->kind == TP_T_INT || p->t->kind == TP_T_FLOAT)
        return parse_number(p);
    if (!tp_nest(p))
        return NULL;
    tp_node *n = tp_at_op(p, "(")   ? parse_parentheses(p)
                 : tp_at_op(p, "[") ? parse_list(p)
                 : tp_at_op(p, "{") ? parse_dict(p)
                                    : tp_unexpected(p, "a value");
    p->depth--;
    return n;
}

/* ---- what follows a value -------------------------------------------------------------------- */

/* One index, or a slice (then is_slice is set and the parts are in n->b, c, d). */
static tp_node *parse_index(tp_parser *p)
{
    tp_node *n = tp_node_new(p, TP_SLICE, p->t->line);
    if (n == NULL)
        return NULL;
    tp_node **part[3] = {&n->b, &n->c, &n->d};
    int i = 0;
    for (;;) {
        if (!tp_at_op(p, ":") && !tp_at_op(p, "]") && !tp_at_op(p, ",")) {
            *part[i] = tp_parse_expression(p, true);
            if (*part[i] == NULL)
                return NULL;
        }
        if (i == 2 || !tp_skip_op(p, ":"))
            break;
        i++;
    }
    if (i > 0)
        return n;
    return n->b != NULL ? n->b : tp_unexpected(p, "an index");
}

static tp_node *parse_subscript(tp_parser *p, tp_node *node)
{
    const int line = p->t->line;
    p->t++;
    tp_node *key = tp_node_new(p, TP_TUPLE_LIT, line);
    bool is_slice = false;
    while (key != NULL && !tp_at_op(p, "]")) {
        if (key->list.n > 0 && !tp_expect_op(p, ","))
            return NULL;
        tp_node *part = parse_index(p);
        if (!tp_nodes_add(p, &key->list, part))
            return NULL;
        is_slice = is_slice || part->op == TP_SLICE;
    }
    if (key == NULL || !tp_expect_op(p, "]"))
        return NULL;
    if (is_slice && key->list.n > 1)
        return tp_syntax(p, line, "a slice cannot stand beside other indices");
    if (!is_slice)
        return binary(p, TP_ITEM, node, key->list.n == 1 ? key->list.v[0] : key, line);
    key->list.v[0]->a = node;
    return key->list.v[0];
}

static tp_node *parse_dot(tp_parser *p, tp_node *node)
{
    const int line = p->t->line;
    p->t++;
    if (p->t->kind == TP_T_INT)
        return binary(p, TP_ITEM, node, parse_number(p), line);
    if (p->t->kind != TP_T_NAME)
        return tp_unexpected(p, "a name or a number behind the dot");
    tp_node *n = tp_node_new(p, TP_ATTR, line);
    tp_node *name = text_node(p, line, p->t->text);
    if (n == NULL || name == NULL)
        return NULL;
    p->t++;
    n->a = node;
    n->value = name->value;
    return n;
}

static tp_node *parse_call(tp_parser *p, tp_node *node)
{
    tp_node *n = tp_node_new(p, TP_CALL, p->t->line);
    if (n == NULL)
        return NULL;
    n->a = node;
    n->sub = as_new(p->arena, tp_sub, 1);
    if (n->sub == NULL)
        return tp_syntax(p, n->line, "the template needs too much memory");
    return parse_arguments(p, n->sub) ? n : NULL;
}

static tp_node *parse_postfix(tp_parser *p, tp_node *node)
{
    while (node != NULL) {
        if (tp_at_op(p, "."))
            node = parse_dot(p, node);
        else if (tp_at_op(p, "["))
            node = parse_subscript(p, node);
        else if (tp_at_op(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

static bool add_keyword(tp_parser *p, tp_sub *sub, as_str name, tp_node *value)
{
    const size_t n = sub->kw.n;
    for (size_t i = 0; i < n; i++)
        if (as_str_eq(sub->names[i], name))
            return tp_syntax(p, p->t->line, "the argument %.*s is given twice", AS_ARG(name)) !=
                   NULL;
    if (!tp_nodes_add(p, &sub->kw, value))
        return false;
    if ((n & (n - 1)) == 0) { /* grows at powers of two */
        as_str *names = as_new(p->arena, as_str, n == 0 ? 1 : n * 2);
        if (names == NULL)
            return tp_syntax(p, p->t->line, "the template needs too much memory") != NULL;
        if (n > 0)
            memcpy(names, sub->names, n * sizeof *names);
        sub->names = names;
    }
    sub->names[n] = name;
    return true;
}

static bool parse_argument(tp_parser *p, tp_sub *sub)
{
    const int line = p->t->line;
    if (tp_skip_op(p, "**")) {
        if (sub->star2 != NULL)
            return tp_syntax(p, line, "** is given twice") != NULL;
        return (sub->star2 = tp_parse_expression(p, true)) != NULL;
    }
    if (sub->star2 != NULL)
        return tp_syntax(p, line, "an argument stands behind **") != NULL;
    if (tp_skip_op(p, "*")) {
        if (sub->star != NULL)
            return tp_syntax(p, line, "* is given twice") != NULL;
        return (sub->star = tp_parse_expression(p, true)) != NULL;
    }
    if (p->t->kind == TP_T_NAME && p->t[1].kind == TP_T_OP && as_str_eq_z(p->t[1].text, "=")) {
        const as_str name = p->t->text;
        p->t += 2;
        return add_keyword(p, sub, name, tp_parse_expression(p, true));
    }
    if (sub->kw.n > 0 || sub->star != NULL)
        return tp_syntax(p, line, "a positional argument stands behind a named one") != NULL;
    return tp_nodes_add(p, &sub->pos, tp_parse_expression(p, true));
}

static bool parse_arguments(tp_parser *p, tp_sub *sub)
{
    if (!tp_nest(p) || !tp_expect_op(p, "("))
        return false;
    bool need_comma = false;
    while (!tp_at_op(p, ")")) {
        if (need_comma) {
            if (!tp_expect_op(p, ","))
                return false;
            if (tp_at_op(p, ")"))
                break;
        }
        if (!parse_argument(p, sub))
            return false;
        need_comma = true;
    }
    p->depth--;
    return tp_expect_op(p, ")");
}

/* ---- filters and tests ----------------------------------------------------------------------- */

/* name, name.name, …: one text. */
static bool parse_dotted_name(tp_parser *p, as_str *out)
{
    if (p->t->kind != TP_T_NAME)
        return tp_unexpected(p, "the name of a filter or test") != NULL;
    *out = p->t->text;
    p->t++;
    while (tp_at_op(p, ".") && p->t[1].kind == TP_T_NAME) {
        *out = as_arena_printf(p->arena, "%.*s.%.*s", AS_ARG(*out), AS_ARG(p->t[1].text));
        if (out->p == NULL)
            return tp_syntax(p, p->t->line, "the template needs too much memory") != NULL;
        p->t += 2;
    }
    return true;
}

static void note_unknown(tp_parser *p, const char *what, const tp_node *n)
{
    if (n->builtin != NULL || p->is_soft)
        return;
    if (p->n_unknown++ == 0) {
        p->unknown_what = what;
        p->unknown_name = n->name;
        p->unknown_line = n->line;
    }
}

static tp_node *parse_filter(tp_parser *p, tp_node *node)
{
    tp_node *n = tp_node_new(p, TP_FILTER, p->t->line);
    if (n == NULL || !parse_dotted_name(p, &n->name))
        return NULL;
    n->a = node;
    n->builtin = tp_filter(n->name);
    n->sub = as_new(p->arena, tp_sub, 1);
    if (n->sub == NULL)
        return tp_syntax(p, n->line, "the template needs too much memory");
    note_unknown(p, "filter", n);
    return !tp_at_op(p, "(") || parse_arguments(p, n->sub) ? n : NULL;
}

tp_node *tp_parse_filters(tp_parser *p, tp_node *node, bool is_inline)
{
    while (is_inline || tp_skip_op(p, "|")) {
        is_inline = false;
        node = parse_filter(p, node);
        if (node == NULL)
            return NULL;
    }
    return node;
}

static bool starts_argument(const tp_parser *p)
{
    switch (p->t->kind) {
    case TP_T_STRING:
    case TP_T_INT:
    case TP_T_FLOAT:
        return true;
    case TP_T_NAME:
        return !tp_at_name(p, "else") && !tp_at_name(p, "or") && !tp_at_name(p, "and");
    default:
        return tp_at_op(p, "[") || tp_at_op(p, "{");
    }
}

static tp_node *parse_test(tp_parser *p, tp_node *node)
{
    const int line = p->t->line;
    const bool is_negated = tp_skip_name(p, "not");
    tp_node *n = tp_node_new(p, TP_TEST, line);
    if (n == NULL || !parse_dotted_name(p, &n->name))
        return NULL;
    n->a = node;
    n->flag = is_negated;
    n->builtin = tp_test(n->name);
    n->sub = as_new(p->arena, tp_sub, 1);
    if (n->sub == NULL)
        return tp_syntax(p, line, "the template needs too much memory");
    note_unknown(p, "test", n);
    if (tp_at_op(p, "("))
        return parse_arguments(p, n->sub) ? n : NULL;
    if (!starts_argument(p))
        return n;
    if (tp_at_name(p, "is"))
        return tp_syntax(p, line, "tests cannot be chained with \"is\"");
    return tp_nodes_add(p, &n->sub->pos, parse_postfix(p, parse_primary(p, false))) ? n : NULL;
}

static tp_node *parse_filters_and_tests(tp_parser *p, tp_node *node)
{
    while (node != NULL) {
        if (tp_skip_op(p, "|"))
            node = parse_filter(p, node);
        else if (tp_skip_name(p, "is"))
            node = parse_test(p, node);
        else if (tp_at_op(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* ---- operators ------------------------------------------------------------------------------- */

static tp_node *tp_parse_unary(tp_parser *p, bool with_filter)
{
    const int line = p->t->line;
    tp_node *node;
    if (tp_at_op(p, "-") || tp_at_op(p, "+")) {
        node = tp_node_new(p, tp_at_op(p, "-") ? TP_NEG : TP_POS, line);
        p->t++;
        if (node == NULL || !tp_nest(p))
            return NULL;
        node->a = tp_parse_unary(p, false);
        p->depth--;
        if (node->a == NULL)
            return NULL;
    } else {
        node = parse_primary(p, false);
    }
    node = parse_postfix(p, node);
    return with_filter ? parse_filters_and_tests(p, node) : node;
}

typedef struct level {
    const char *op;
    tp_op node;
} level;

static const level powers[] = {{"**", TP_POW}, {NULL, 0}};
static const level products[] = {
    {"*", TP_MUL}, {"/", TP_DIV}, {"//", TP_FLOORDIV}, {"%", TP_MOD}, {NULL, 0}};
static const level sums[] = {{"+", TP_ADD}, {"-", TP_SUB}, {NULL, 0}};

static tp_node *parse_level(tp_parser *p, const level *ops, tp_node *(*next)(tp_parser *))
{
    tp_node *left = next(p);
    while (left != NULL && p->t->kind == TP_T_OP) {
        const level *l = ops;
        while (l->op != NULL && !tp_at_op(p, l->op))
            l++;
        if (l->op == NULL)
            break;
        const int line = p->t->line;
        p->t++;
        left = binary(p, l->node, left, next(p), line);
    }
    return left;
}

static tp_node *parse_signed(tp_parser *p)
{
    return tp_parse_unary(p, true);
}

static tp_node *parse_power(tp_parser *p)
{
    return parse_level(p, powers, parse_signed);
}

static tp_node *parse_product(tp_parser *p)
{
    return parse_level(p, products, parse_power);
}

static tp_node *parse_concat(tp_parser *p)
{
    tp_node *first = parse_product(p);
    if (first == NULL || !tp_at_op(p, "~"))
        return first;
    tp_node *n = tp_node_new(p, TP_CONCAT, p->t->line);
    if (n == NULL || !tp_nodes_add(p, &n->list, first))
        return NULL;
    while (tp_skip_op(p, "~"))
        if (!tp_nodes_add(p, &n->list, parse_product(p)))
            return NULL;
    return n;
}

static tp_node *parse_sum(tp_parser *p)
{
    return parse_level(p, sums, parse_concat);
}

static bool read_comparison(tp_parser *p, tp_cmp *op)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int i = 0; i < 6; i++) {
        if (tp_skip_op(p, ops[i])) {
            *op = (tp_cmp)i;
            return true;
        }
    }
    *op = TP_IN;
    if (tp_skip_name(p, "in"))
        return true;
    if (!tp_at_name(p, "not") || p->t[1].kind != TP_T_NAME || !as_str_eq_z(p->t[1].text, "in"))
        return false;
    p->t += 2;
    *op = TP_NOT_IN;
    return true;
}

static tp_node *parse_comparison(tp_parser *p)
{
    const int line = p->t->line;
    tp_node *first = parse_sum(p);
    tp_node *n = NULL;
    size_t cap = 0;
    for (tp_cmp op; first != NULL && read_comparison(p, &op);) {
        if (n == NULL) {
            n = tp_node_new(p, TP_COMPARE, line);
            if (n == NULL)
                return NULL;
            n->a = first;
        }
        if (n->list.n == cap) {
            cap = cap == 0 ? 1 : cap * 2;
            tp_cmp *ops = as_new(p->arena, tp_cmp, cap);
            if (ops == NULL)
                return tp_syntax(p, line, "the template needs too much memory");
            if (n->list.n > 0)
                memcpy(ops, n->ops, n->list.n * sizeof *ops);
            n->ops = ops;
        }
        n->ops[n->list.n] = op;
        if (!tp_nodes_add(p, &n->list, parse_sum(p)))
            return NULL;
    }
    return n != NULL ? n : first;
}

static tp_node *parse_not(tp_parser *p)
{
    if (!tp_at_name(p, "not"))
        return parse_comparison(p);
    tp_node *n = tp_node_new(p, TP_NOT, p->t->line);
    p->t++;
    if (n == NULL || !tp_nest(p))
        return NULL;
    n->a = parse_not(p);
    p->depth--;
    return n->a != NULL ? n : NULL;
}

static tp_node *parse_and(tp_parser *p)
{
    tp_node *left = parse_not(p);
    for (int line = p->t->line; left != NULL && tp_skip_name(p, "and"); line = p->t->line)
        left = binary(p, TP_AND, left, parse_not(p), line);
    return left;
}

static tp_node *parse_or(tp_parser *p)
{
    tp_node *left = parse_and(p);
    for (int line = p->t->line; left != NULL && tp_skip_name(p, "or"); line = p->t->line)
        left = binary(p, TP_OR, left, parse_and(p), line);
    return left;
}

static tp_node *parse_conditional(tp_parser *p)
{
    const int n_unknown = p->n_unknown;
    tp_node *value = parse_or(p);
    const bool was_soft = p->is_soft;
    for (int line = p->t->line; value != NULL && tp_skip_name(p, "if"); line = p->t->line) {
        p->n_unknown = n_unknown;
        p->is_soft = true;
        tp_node *n = binary(p, TP_COND, value, parse_or(p), line);
        if (n != NULL && tp_skip_name(p, "else")) {
            n->c = tp_parse_expression(p, true);
            if (n->c == NULL)
                n = NULL;
        }
        value = n;
    }
    p->is_soft = was_soft;
    return value;
}

tp_node *tp_parse_expression(tp_parser *p, bool with_cond)
{
    if (!tp_nest(p))
        return NULL;
    tp_node *n = with_cond ? parse_conditional(p) : parse_or(p);
    p->depth--;
    return n;
}

tp_node *tp_parse_tuple(tp_parser *p, bool with_cond, const char *end)
{
    return parse_tuple_of(p, tp_parse_expression, with_cond, end, false);
}

/* ---- targets --------------------------------------------------------------------------------- */

static bool check_target(tp_parser *p, const tp_node *n)
{
    if (n->op == TP_NAME) {
        p->n_targets_loop += as_str_eq_z(n->name, "loop");
        return true;
    }
    if (n->op == TP_NS_REF)
        return true;
    if (n->op != TP_TUPLE_LIT)
        return tp_syntax(p, n->line, "this cannot be assigned to") != NULL;
    for (size_t i = 0; i < n->list.n; i++)
        if (!check_target(p, n->list.v[i]))
            return false;
    return true;
}

tp_node *tp_parse_target(tp_parser *p, const char *end, bool with_namespace)
{
    tp_node *n = parse_tuple_of(p, parse_primary, with_namespace, end, false);
    return n != NULL && check_target(p, n) ? n : NULL;
}
