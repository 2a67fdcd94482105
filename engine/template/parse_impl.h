#ifndef ENGINE_TEMPLATE_PARSE_IMPL_H
#define ENGINE_TEMPLATE_PARSE_IMPL_H
/*
 * parse_impl.h — tokens, and the state that the two halves of the parser share.
 *
 * Functions that make nodes return NULL after tp_syntax has filled the error.
 */
#include "engine/template/impl.h"

typedef enum tp_token_kind {
    TP_T_DATA,
    TP_T_VAR_BEGIN,
    TP_T_VAR_END,
    TP_T_BLOCK_BEGIN,
    TP_T_BLOCK_END,
    TP_T_NAME,
    TP_T_STRING, /* text without its quotes, escapes not yet read */
    TP_T_INT,
    TP_T_FLOAT,
    TP_T_OP,
    TP_T_END,
} tp_token_kind;

struct tp_token {
    tp_token_kind kind;
    as_str text;
    int line;
};

typedef struct tp_tokens {
    tp_token *v;
    size_t n;
} tp_tokens;

/* Cuts the source, whose bytes are copied into the arena first. */
as_code tp_lex(tp_tokens *out, as_str source, as_arena *arena, as_err *err);

enum { TP_MAX_NESTING = 100 };

typedef struct tp_parser {
    as_arena *arena;
    as_err *err;
    const tp_token *t; /* the current token; the last one is TP_T_END */
    int depth;
    bool is_soft;  /* inside an if: an unknown filter is an error only when it is reached */
    int n_unknown; /* unknown filters and tests met in what is not soft */
    const char *unknown_what;
    as_str unknown_name;
    int unknown_line;
    int n_loops;        /* loops around, within this macro: break and continue need one */
    int n_targets_loop; /* names "loop" stored so far */
    tp_sub *macros[TP_MAX_NESTING]; /* macro bodies around the current token */
    int n_macros;
    as_str *interned; /* open addressing */
    size_t n_interned, interned_cap;
} tp_parser;

tp_node *tp_syntax(tp_parser *p, int line, const char *fmt, ...) AS_PRINTF(3, 4);
tp_node *tp_unexpected(tp_parser *p, const char *wanted);
tp_node *tp_node_new(tp_parser *p, tp_op op, int line);
bool tp_intern(tp_parser *p, as_str name, as_str *out);
bool tp_nodes_add(tp_parser *p, tp_nodes *list, tp_node *node);
bool tp_at_op(const tp_parser *p, const char *op);
bool tp_at_name(const tp_parser *p, const char *name);
bool tp_skip_op(tp_parser *p, const char *op);
bool tp_skip_name(tp_parser *p, const char *name);
bool tp_expect_op(tp_parser *p, const char *op);
/* Deeper by one, or a syntax error. */
bool tp_nest(tp_parser *p);

tp_node *tp_parse_expression(tp_parser *p, bool with_cond);
/* One expression, or several with commas as a tuple; end: a name that ends it, or NULL. */
tp_node *tp_parse_tuple(tp_parser *p, bool with_cond, const char *end);
tp_node *tp_parse_target(tp_parser *p, const char *end, bool with_namespace);
/* filter | filter … over what node gives; the first without its bar when is_inline. */
tp_node *tp_parse_filters(tp_parser *p, tp_node *node, bool is_inline);

/* scope.c: fills `hidden` of every body, when the tree is complete. */
bool tp_find_hidden(tp_parser *p, tp_node *root);

#endif
