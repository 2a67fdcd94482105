#ifndef ENGINE_TEMPLATE_IMPL_H
#define ENGINE_TEMPLATE_IMPL_H
/*
 * impl.h — what the files of this folder share: values, nodes, a rendering in progress.
 *
 * Convention  functions that can fail return bool; false means tp_raise has told why, and every
 *             caller returns at once. Values are copied freely: what they point to is immutable
 *             (but for namespaces, iterators and loops) and lives as long as the rendering's arena.
 */
#include "engine/template/template.h"

/* ---- values ---------------------------------------------------------------------------------- */

typedef enum tp_kind {
    TP_MISSING, /* an argument not given, a parameter not yet bound; never seen by templates */
    TP_UNDEFINED,
    TP_NONE,
    TP_BOOL,
    TP_INT,
    TP_FLOAT,
    TP_TEXT,
    TP_LIST,
    TP_TUPLE,
    TP_DICT,
    TP_VIEW, /* keys, values or items of a dict */
    TP_RANGE,
    TP_ITER, /* what map, select, … give: can be walked once */
    TP_NAMESPACE,
    TP_MACRO,
    TP_LOOP,
    TP_METHOD, /* a method with its object */
    TP_FUNCTION,
    TP_CYCLER,
    TP_JOINER,
} tp_kind;

typedef struct tp_value tp_value;

typedef struct tp_text {
    const char *p; /* valid UTF-8 */
    size_t n;
    size_t n_chars; /* code points */
    bool is_safe;   /* went through |safe or |escape: joining it with + escapes the other side */
} tp_text;

typedef struct tp_list {
    tp_value *v;
    size_t n;
    bool is_group; /* a tuple of groupby: .grouper and .list */
} tp_list;

typedef struct tp_dict {
    tp_value *keys, *values;
    uint64_t *hashes;
    uint32_t *index; /* open addressing, 0 free, else entry + 1; NULL while small */
    size_t n, cap, index_cap;
} tp_dict;

typedef struct tp_undefined {
    const char *of;   /* type of the object that lacks it, or NULL for a variable */
    const char *hint; /* or a whole message */
    const tp_value *name;
    bool is_unsafe; /* the sandbox hides it: use raises SecurityError */
} tp_undefined;

enum { TP_KEYS, TP_VALUES, TP_ITEMS };

typedef struct tp_view {
    const tp_dict *dict;
    int what;
} tp_view;

typedef struct tp_range {
    int64_t start, stop, step;
    int64_t n;
} tp_range;

typedef struct tp_iter tp_iter;
typedef struct tp_macro tp_macro;
typedef struct tp_loop tp_loop;
typedef struct tp_method tp_method;
typedef struct tp_function tp_function;
typedef struct tp_cycler tp_cycler;

struct tp_value {
    tp_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        const tp_text *text;
        const tp_list *list; /* LIST, TUPLE */
        const tp_dict *dict;
        tp_dict *space; /* NAMESPACE */
        const tp_undefined *undefined;
        const tp_view *view;
        const tp_range *range;
        tp_iter *iter;
        const tp_macro *macro;
        tp_loop *loop;
        const tp_method *method;
        const tp_function *function;
        tp_cycler *cycler; /* CYCLER, JOINER */
    } u;
};

struct tp_cycler {
    const tp_list *items; /* joiner: one item, the separator */
    size_t pos;
};

/* ---- nodes ----------------------------------------------------------------------------------- */

typedef enum tp_op {
    /* statements */
    TP_DATA,         /* value: text */
    TP_OUTPUT,       /* list: expressions */
    TP_IF,           /* list: test, body, test, body, …; c: else body or NULL */
    TP_FOR,          /* a target, b iterable, c condition, d body, e else; flag: recursive */
    TP_SET,          /* a target, b value */
    TP_SET_BLOCK,    /* a target, b filter chain over TP_CAPTURED or NULL, d body */
    TP_MACRO_DEF,    /* name, sub: signature, d body */
    TP_CALL_BLOCK,   /* a call, sub: signature, d body */
    TP_FILTER_BLOCK, /* b filter chain over TP_CAPTURED, d body */
    TP_WITH,         /* list: target, value, …; d body */
    TP_BLOCK,        /* list: statements in a scope of their own when flag is set */
    TP_BREAK,
    TP_CONTINUE,
    /* expressions */
    TP_CONST,
    TP_CAPTURED, /* the text a block has just made */
    TP_NAME,
    TP_NS_REF, /* target only: name.value */
    TP_TUPLE_LIT,
    TP_LIST_LIT,
    TP_DICT_LIT, /* list: key, value, … */
    TP_COND,     /* a if b else c (c may be NULL) */
    TP_OR,
    TP_AND,
    TP_NOT,
    TP_COMPARE, /* a, then list with codes in ops */
    TP_CONCAT,  /* list */
    TP_ADD,
    TP_SUB,
    TP_MUL,
    TP_DIV,
    TP_FLOORDIV,
    TP_MOD,
    TP_POW,
    TP_NEG,
    TP_POS,
    TP_ATTR,   /* a . value */
    TP_ITEM,   /* a [ b ] */
    TP_SLICE,  /* a [ b : c : d ] */
    TP_CALL,   /* a ( sub ) */
    TP_FILTER, /* a | name ( sub ) */
    TP_TEST,   /* a is name ( sub ) */
} tp_op;

typedef enum tp_cmp { TP_EQ, TP_NE, TP_LT, TP_LE, TP_GT, TP_GE, TP_IN, TP_NOT_IN } tp_cmp;

typedef struct tp_node tp_node;

typedef struct tp_nodes {
    tp_node **v;
    size_t n;
} tp_nodes;

/* Arguments of a call (values), or parameters of a macro (names with defaults). */
typedef struct tp_sub {
    tp_nodes pos;
    as_str *names; /* of kw, or of the parameters */
    tp_nodes kw;   /* keyword values, or defaults (NULL where there is none) */
    tp_node *star, *star2;
    bool uses_varargs, uses_kwargs, uses_caller;          /* macro bodies */
    const char *varargs_name, *kwargs_name, *caller_name; /* interned, where used */
    bool has_caller_param;
} tp_sub;

struct tp_node {
    tp_op op;
    int line;
    bool flag;
    as_str name; /* interned: equal names have equal pointers */
    tp_value value;
    const void *builtin; /* filter or test by table, NULL when unknown */
    tp_node *a, *b, *c, *d, *e;
    tp_nodes list;
    tp_cmp *ops;
    tp_sub *sub;
    as_str *hidden; /* of bodies: names that begin unset here although an outer variable exists */
    size_t n_hidden;
    const char *loop_name; /* of TP_FOR: "loop" interned, NULL when the body never says it */
};

struct tp_template {
    as_arena arena;
    tp_node *root;
};

/* ---- a rendering ----------------------------------------------------------------------------- */

typedef struct tp_var {
    const char *name; /* interned */
    tp_value value;
} tp_var;

typedef struct tp_scope {
    struct tp_scope *parent;
    tp_var *vars;
    size_t n, cap;
} tp_scope;

typedef struct tp_run {
    as_arena *arena;
    as_buf out; /* the text so far, and behind it what blocks under capture wrote */
    tp_limits limits;
    int64_t now_ns;
    as_str bos_token, eos_token; /* variables of a request unless its vars have them */
    const tp_dict *context;
    tp_scope *root;
    uint64_t steps;
    int depth;
    int line;
    unsigned n_closures; /* macros made so far: scopes seen by one are not used again */
    tp_value captured;
    bool has_failed;
    tp_failure failure;
    as_code code;
} tp_run;

struct tp_macro {
    as_str name; /* p NULL for callers */
    const tp_sub *sub;
    const tp_node *body;
    tp_scope *scope;
};

typedef struct tp_args {
    const tp_value *pos;
    size_t n_pos;
    const as_str *names;
    const tp_value *kw;
    size_t n_kw;
} tp_args;

enum { TP_MAX_PARAMS = 6 };

typedef bool tp_call_fn(tp_run *r, tp_value self, const tp_value *a, tp_value *out);
typedef bool tp_raw_fn(tp_run *r, tp_value self, const tp_args *args, tp_value *out);

/* A filter, test, method or global function. params: names separated by blanks; those in front of
 * "/" only by position; n_need of them must be there. raw: takes the arguments as they come. */
struct tp_function {
    const char *name;
    const char *params;
    int n_need;
    tp_call_fn *call;
    tp_raw_fn *raw;
};

struct tp_method {
    const tp_function *function;
    tp_value self;
};

struct tp_loop {
    tp_iter *iter;
    tp_value source;
    const tp_node *node; /* recursive loops only */
    tp_scope *scope;     /* where the loop stands */
    int64_t index0, length;
    int depth0;
    tp_value before, current, after; /* MISSING where there is none */
    tp_value changed;                /* MISSING, or the tuple seen last */
};

typedef enum tp_flow { TP_FLOW_FAIL, TP_FLOW_ON, TP_FLOW_BREAK, TP_FLOW_CONTINUE } tp_flow;

/* run.c: errors, limits, memory */
bool tp_raise(tp_run *r, const char *kind, const char *fmt, ...) AS_PRINTF(3, 4);
#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: here it learns that this is never true. */
#define tp_raise(...) ((void)(tp_raise)(__VA_ARGS__), false)
#endif
bool tp_raise_nomem(tp_run *r);
bool tp_step(tp_run *r, size_t n);
void *tp_alloc(tp_run *r, size_t n, size_t size); /* NULL after raising */
bool tp_emit(tp_run *r, as_str text);
bool tp_enter(tp_run *r);
void tp_leave(tp_run *r);

/* value.c */
extern const tp_value tp_missing, tp_none;
tp_value tp_bool(bool b);
tp_value tp_int(int64_t i);
tp_value tp_float(double f);
bool tp_text_of(tp_run *r, as_str bytes, tp_value *out);                 /* copies */
bool tp_text_wrap(tp_run *r, as_str bytes, bool is_safe, tp_value *out); /* borrows */
as_str tp_str(tp_value text);
tp_value tp_const_text(const tp_text *t);
bool tp_list_new(tp_run *r, tp_kind kind, size_t n, tp_list **out, tp_value *value);
bool tp_pair(tp_run *r, tp_value a, tp_value b, tp_value *out);
bool tp_undefined_new(tp_run *r, const char *of, as_str name, tp_value *out);
bool tp_undefined_item(tp_run *r, const char *of, tp_value key, tp_value *out);
bool tp_undefined_hint(tp_run *r, const char *hint, tp_value *out);
bool tp_raise_undefined(tp_run *r, tp_value v);
const char *tp_type_name(tp_value v);
bool tp_is_text(tp_value v);
bool tp_is_number(tp_value v);            /* bool, int, float */
bool tp_as_int(tp_value v, int64_t *out); /* int or bool */
double tp_as_float(tp_value v);           /* of a number */
bool tp_truth(tp_run *r, tp_value v, bool *out);
bool tp_length(tp_run *r, tp_value v, size_t *out);
bool tp_equal(tp_run *r, tp_value a, tp_value b, bool *out);
bool tp_less(tp_run *r, tp_value a, tp_value b, const char *op, bool or_equal, bool *out);
bool tp_contains(tp_run *r, tp_value item, tp_value box, bool *out);

/* dict.c */
bool tp_hash(tp_run *r, tp_value v, uint64_t *out); /* raises for lists and dicts */
bool tp_dict_set(tp_run *r, tp_dict *d, tp_value key, tp_value value);
bool tp_dict_get(tp_run *r, const tp_dict *d, tp_value key, tp_value *out); /* MISSING if absent */
tp_value tp_dict_find(const tp_dict *d, as_str key); /* MISSING if absent; cannot fail */
bool tp_dict_new(tp_run *r, tp_dict **out, tp_value *value);
bool tp_dict_merge(tp_run *r, tp_dict *d, tp_value from);

/* iter.c */
typedef bool tp_next_fn(tp_run *r, tp_iter *it, tp_value *out, bool *has);
struct tp_iter {
    tp_next_fn *next;
    tp_value over; /* what is walked */
    size_t pos;
    tp_iter *src;
    void *state;
    const char *name; /* for messages: "generator", "list_iterator", … */
    bool is_busy;     /* being advanced: a generator cannot reach itself */
};
bool tp_iter_of(tp_run *r, tp_value v, tp_iter **out);
bool tp_iter_new(tp_run *r, tp_next_fn *next, void *state, tp_iter *src, const char *name,
                 tp_iter **out);
bool tp_next(tp_run *r, tp_iter *it, tp_value *out, bool *has);
bool tp_collect(tp_run *r, tp_iter *it, tp_kind kind, tp_value *out);
bool tp_to_list(tp_run *r, tp_value v, tp_kind kind, tp_value *out);

/* print.c: str(), repr(), numbers */
bool tp_print(tp_run *r, tp_value v, as_buf *out);
bool tp_repr(tp_run *r, tp_value v, as_buf *out);
bool tp_to_text(tp_run *r, tp_value v, tp_value *out); /* str(v); texts as they are */
void tp_float_repr(char z[40], double f);
void tp_buf_start(tp_run *r, as_buf *b);
bool tp_buf_end(tp_run *r, as_buf *b, bool is_safe, tp_value *out); /* releases b */
bool tp_buf_drop(as_buf *b);                                        /* releases b; false */

/* unicode.c */
typedef enum tp_class {
    TP_C_ALPHA = 1,
    TP_C_DECIMAL = 2,
    TP_C_DIGIT = 4,
    TP_C_NUMERIC = 8,
    TP_C_LOWER = 16,
    TP_C_UPPER = 32,
    TP_C_TITLE = 64,
    TP_C_SPACE = 128,
    TP_C_PRINT = 256,
    TP_C_CASED = 512,
    TP_C_IGNORABLE = 1024,
    TP_C_ID_START = 2048,
    TP_C_ID_CONTINUE = 4096,
} tp_class;
unsigned tp_classes(uint32_t code);
enum { TP_TO_LOWER, TP_TO_UPPER, TP_TO_TITLE, TP_TO_FOLD };
int tp_map_case(uint32_t code, int how, uint32_t out[3]); /* number of code points, 1..3 */
bool tp_is_space(uint32_t code);
size_t tp_chars(as_str s);
size_t tp_char_offset(as_str s, size_t n_chars, size_t index); /* byte offset of a code point */
uint32_t tp_decode(as_str s, size_t *len);                     /* s valid and not empty */

/* ops.c */
bool tp_binary(tp_run *r, tp_op op, tp_value a, tp_value b, tp_value *out);
bool tp_unary(tp_run *r, tp_op op, tp_value a, tp_value *out);
bool tp_compare(tp_run *r, tp_cmp op, tp_value a, tp_value b, bool *out);
bool tp_concat(tp_run *r, const tp_value *v, size_t n, tp_value *out);
bool tp_escape_text(tp_run *r, tp_value v, tp_value *out); /* markup-safe text of v */

/* access.c: attributes, items, slices */
bool tp_getattr(tp_run *r, tp_value v, tp_value name, tp_value *out);
/* Without the key of the same name. */
bool tp_getattr_only(tp_run *r, tp_value v, tp_value name, tp_value *out);
bool tp_getitem(tp_run *r, tp_value v, tp_value key, tp_value *out);
bool tp_slice(tp_run *r, tp_value v, const tp_value part[3], tp_value *out);
bool tp_loop_attr(tp_run *r, tp_loop *loop, as_str name, tp_value *out, bool *found);
bool tp_loop_peek(tp_run *r, tp_loop *loop);
extern const tp_function tp_loop_methods[]; /* cycle, changed; ends in {0} */
tp_value tp_function_value(const tp_function *f);
bool tp_bind_method(tp_run *r, const tp_function *f, tp_value self, tp_value *out);

/* call.c */
bool tp_call(tp_run *r, tp_value f, const tp_args *args, tp_value *out);
bool tp_call_function(tp_run *r, const tp_function *f, tp_value self, const tp_args *args,
                      tp_value *out);
const tp_function *tp_find_function(const tp_function *table, as_str name);

/* eval.c, exec.c */
bool tp_eval(tp_run *r, tp_scope *s, const tp_node *e, tp_value *out);
/* A call node; caller is passed as one more keyword unless it is MISSING. */
bool tp_eval_call(tp_run *r, tp_scope *s, const tp_node *e, tp_value caller, tp_value *out);
tp_flow tp_exec(tp_run *r, tp_scope *s, const tp_node *n);
bool tp_exec_captured(tp_run *r, tp_scope *s, const tp_node *n, tp_value *out);
bool tp_run_loop(tp_run *r, const tp_node *n, tp_scope *s, tp_value over, int depth0,
                 tp_flow *flow);
bool tp_call_macro(tp_run *r, const tp_macro *m, const tp_args *args, tp_value *out);
tp_scope *tp_scope_new(tp_run *r, tp_scope *parent);
bool tp_scope_set(tp_run *r, tp_scope *s, const char *name, tp_value v);
bool tp_lookup(tp_run *r, tp_scope *s, as_str name, tp_value *out);

/* methods, filters, tests, globals */
const tp_function *tp_text_method(as_str name);
const tp_function *tp_box_method(tp_value v, as_str name);
bool tp_is_mutator(tp_value v, as_str name);
const tp_function *tp_filter(as_str name);
const tp_function *tp_test(as_str name);
const tp_function *tp_global(as_str name);
extern const tp_function tp_filters_text[], tp_filters_list[], tp_filters_pick[],
    tp_filters_value[];
bool tp_loop_call(tp_run *r, tp_loop *loop, const tp_args *args, tp_value *out);
bool tp_f_tojson(tp_run *r, tp_value v, const tp_value *a, tp_value *out);

/* text.c: shared by methods and filters */
bool tp_strip(tp_run *r, tp_value v, tp_value chars, bool left, bool right, tp_value *out);
bool tp_change_case(tp_run *r, tp_value v, int how, tp_value *out); /* TP_TO_… */
bool tp_capitalize(tp_run *r, tp_value v, tp_value *out);
bool tp_title(tp_run *r, tp_value v, tp_value *out);
bool tp_swap_case(tp_run *r, tp_value v, tp_value *out);
bool tp_replace(tp_run *r, as_str s, as_str from, as_str to, int64_t count, bool is_safe,
                tp_value *out);
bool tp_split_lines(tp_run *r, tp_value v, bool keep_ends, tp_value *out);
bool tp_pad(tp_run *r, tp_value v, int64_t width, as_str fill, int left_share, tp_value *out);
bool tp_text_like(tp_run *r, tp_value like, as_str bytes, tp_value *out); /* borrows; keeps safe */
bool tp_need_text(tp_run *r, tp_value v, const char *who);
bool tp_need_int(tp_run *r, tp_value v, const char *who, int64_t *out);

/* format.c: % and str.format */
bool tp_percent(tp_run *r, tp_value format, tp_value args, tp_value *out);
bool tp_format(tp_run *r, tp_value format, const tp_args *args, tp_value *out);

/* json.c */
bool tp_from_json(tp_run *r, as_str text, tp_value *out);
bool tp_to_int(tp_run *r, as_str digits, int base, int64_t *out, bool *ok);
bool tp_to_float(as_str s, double *out); /* Python's float(str) */

/* parse.c and its helpers */
typedef struct tp_token tp_token;
typedef struct tp_lexer tp_lexer;

#endif
