#include "scorers/code/pyvalue.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jspan.h"

typedef enum py_kind {
    PY_NULL,
    PY_INT,
    PY_FLOAT,
    PY_TEXT,
    PY_LIST,
    PY_TUPLE,
    PY_DICT,
    PY_OTHER
} py_kind;

typedef struct py_value {
    py_kind kind;
    as_str text; /* of a text; digits of a whole number, without sign and leading zeros */
    bool is_negative;
    double number;
    struct py_value *items; /* of lists, tuples, and dicts: their values */
    as_str *names;          /* of dicts */
    size_t n;
} py_value;

typedef struct parser {
    const char *what; /* "returned", "expected" */
    as_str text;
    size_t at;
    bool is_typed; /* tuples and ? are allowed */
    as_arena *keep;
    as_err *err;
} parser;

static as_code bad(const parser *p, const char *why)
{
    return as_fail(p->err, AS_PARSE, "the %s value: %s at byte %zu", p->what, why, p->at);
}

static void skip_blanks(parser *p)
{
    while (p->at < p->text.n && strchr(" \t\r\n", p->text.p[p->at]) != NULL &&
           p->text.p[p->at] != '\0')
        p->at++;
}

static bool eat(parser *p, const char *word)
{
    const size_t n = strlen(word);
    if (!as_str_starts(as_str_sub(p->text, p->at, p->text.n), (as_str){word, n}))
        return false;
    p->at += n;
    return true;
}

static as_code read_text(parser *p, as_str *out)
{
    const size_t from = p->at++;
    while (p->at < p->text.n && p->text.p[p->at] != '"')
        p->at += p->text.p[p->at] == '\\' ? 2 : 1;
    if (p->at >= p->text.n)
        return bad(p, "a text does not end");
    p->at++;
    as_buf b;
    as_buf_init(&b, p->text.n + 64);
    as_code c = as_jspan_text(&b, as_str_sub(p->text, from, p->at), p->err);
    if (c == AS_OK) {
        *out = as_arena_str(p->keep, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(p->err);
    }
    as_buf_release(&b);
    return c;
}

static as_code read_number(parser *p, py_value *v)
{
    const size_t from = p->at;
    while (p->at < p->text.n && p->text.p[p->at] != '\0' &&
           strchr("+-.0123456789eE", p->text.p[p->at]) != NULL)
        p->at++;
    const as_str token = as_str_sub(p->text, from, p->at);
    v->is_negative = token.n != 0 && token.p[0] == '-';
    as_str digits = as_str_sub(token, v->is_negative ? 1 : 0, token.n);
    bool is_whole = digits.n != 0;
    for (size_t i = 0; i < digits.n; i++)
        is_whole = is_whole && digits.p[i] >= '0' && digits.p[i] <= '9';
    if (is_whole) {
        while (digits.n > 1 && digits.p[0] == '0')
            digits = as_str_sub(digits, 1, digits.n);
        v->kind = PY_INT;
        v->text = digits;
        v->is_negative = v->is_negative && !as_str_eq_z(digits, "0");
        return AS_OK;
    }
    /* strtod, not as_parse_f64: 1e999 is infinity in Python too */
    const as_str copy = as_arena_str(p->keep, token);
    char *end = NULL;
    if (!as_str_is_set(copy))
        return as_nomem(p->err);
    v->kind = PY_FLOAT;
    v->number = strtod(copy.p, &end);
    return token.n != 0 && end == copy.p + copy.n ? AS_OK : bad(p, "not a value");
}

static as_code read_value(parser *p, py_value *v, int depth);

/* One more element; arrays grow by doubling, old ones stay in the arena. */
static as_code grow(parser *p, py_value *v, size_t *cap, bool has_names)
{
    if (v->n < *cap)
        return AS_OK;
    const size_t more = *cap != 0 ? *cap * 2 : 4;
    py_value *items = as_new(p->keep, py_value, more);
    as_str *names = has_names ? as_new(p->keep, as_str, more) : NULL;
    if (items == NULL || (has_names && names == NULL))
        return as_nomem(p->err);
    if (v->n != 0) {
        memcpy(items, v->items, v->n * sizeof *items);
        if (has_names)
            memcpy(names, v->names, v->n * sizeof *names);
    }
    v->items = items;
    v->names = names;
    *cap = more;
    return AS_OK;
}

static as_code read_items(parser *p, py_value *v, const char *close, int depth)
{
    size_t cap = 0;
    const bool has_names = v->kind == PY_DICT;
    skip_blanks(p);
    if (eat(p, close))
        return AS_OK;
    for (;;) {
        AS_TRY(grow(p, v, &cap, has_names));
        skip_blanks(p);
        if (has_names) {
            if (p->at == p->text.n || p->text.p[p->at] != '"')
                return bad(p, "want a name");
            AS_TRY(read_text(p, &v->names[v->n]));
            skip_blanks(p);
            if (!eat(p, ":"))
                return bad(p, "want a colon");
        }
        AS_TRY(read_value(p, &v->items[v->n], depth + 1));
        v->n++;
        skip_blanks(p);
        if (eat(p, close))
            return AS_OK;
        if (!eat(p, ","))
            return bad(p, "want a comma");
    }
}

static as_code read_value(parser *p, py_value *v, int depth)
{
    *v = (py_value){.kind = PY_OTHER};
    if (depth > SC_PY_MAX_DEPTH)
        return bad(p, "nested too deep");
    skip_blanks(p);
    if (p->at == p->text.n)
        return bad(p, "the end is missing");
    if (p->text.p[p->at] == '"') {
        v->kind = PY_TEXT;
        return read_text(p, &v->text);
    }
    static const struct {
        const char *word;
        py_value value;
    } words[] = {
        {"null", {.kind = PY_NULL}},
        {"true", {.kind = PY_INT, .text = AS_STR_INIT("1")}},
        {"false", {.kind = PY_INT, .text = AS_STR_INIT("0")}},
        {"NaN", {.kind = PY_FLOAT, .number = (double)NAN}},
        {"nan", {.kind = PY_FLOAT, .number = (double)NAN}},
        {"Infinity", {.kind = PY_FLOAT, .number = (double)INFINITY}},
        {"-Infinity", {.kind = PY_FLOAT, .number = -(double)INFINITY}},
        {"inf", {.kind = PY_FLOAT, .number = (double)INFINITY}},
        {"-inf", {.kind = PY_FLOAT, .number = -(double)INFINITY}},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (eat(p, words[i].word)) {
            *v = words[i].value;
            return AS_OK;
        }
    if (p->is_typed && eat(p, "?"))
        return AS_OK;
    const bool is_list = eat(p, "[");
    if (is_list || eat(p, "{")) {
        v->kind = is_list ? PY_LIST : PY_DICT;
        return read_items(p, v, is_list ? "]" : "}", depth);
    }
    if (p->is_typed && eat(p, "(")) {
        v->kind = PY_TUPLE;
        return read_items(p, v, ")", depth);
    }
    return read_number(p, v);
}

static as_code parse(py_value *out, const char *what, as_str text, bool is_typed, as_arena *keep,
                     as_err *err)
{
    parser p = {what, text, 0, is_typed, keep, err};
    AS_TRY(read_value(&p, out, 0));
    skip_blanks(&p);
    return p.at == text.n ? AS_OK : bad(&p, "something follows it");
}

/* ---- equality ------------------------------------------------------------------------------ */

static bool int_is_float(const py_value *whole, double x)
{
    char z[512]; /* the largest double has 309 digits */
    if (!isfinite(x) || x != floor(x) || (x < 0) != whole->is_negative)
        return false;
    (void)snprintf(z, sizeof z, "%.0f", fabs(x));
    return as_str_eq_z(whole->text, z);
}

/* The last entry of that name, which is the one that counts. Answers are small: no index. */
static const py_value *find(const py_value *dict, as_str name)
{
    for (size_t i = dict->n; i-- > 0;)
        if (as_str_eq(dict->names[i], name))
            return &dict->items[i];
    return NULL;
}

static bool equal(const py_value *a, const py_value *b);

static bool equal_dicts(const py_value *a, const py_value *b)
{
    for (size_t i = 0; i < a->n; i++) {
        const py_value *y = find(b, a->names[i]); /* first: b's size bounds the work */
        if (y == NULL || !equal(find(a, a->names[i]), y))
            return false;
    }
    for (size_t i = 0; i < b->n; i++)
        if (find(a, b->names[i]) == NULL)
            return false;
    return true;
}

static bool equal(const py_value *a, const py_value *b)
{
    if (a->kind == PY_OTHER || b->kind == PY_OTHER)
        return false;
    if (a->kind == PY_INT && b->kind == PY_FLOAT)
        return int_is_float(a, b->number);
    if (a->kind == PY_FLOAT && b->kind == PY_INT)
        return int_is_float(b, a->number);
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case PY_NULL:
        return true;
    case PY_INT:
        return a->is_negative == b->is_negative && as_str_eq(a->text, b->text);
    case PY_FLOAT:
        return a->number == b->number;
    case PY_TEXT:
        return as_str_eq(a->text, b->text);
    case PY_DICT:
        return equal_dicts(a, b);
    case PY_LIST:
    case PY_TUPLE:
        if (a->n != b->n)
            return false;
        for (size_t i = 0; i < a->n; i++)
            if (!equal(&a->items[i], &b->items[i]))
                return false;
        return true;
    case PY_OTHER:
        break;
    }
    return false;
}

as_code sc_py_equal(bool *out, as_str returned, as_str expected, as_arena *scratch, as_err *err)
{
    py_value a, b;
    *out = false;
    const as_code c = parse(&b, "expected", expected, false, scratch, err);
    if (c != AS_OK) {
        if (err != NULL && c == AS_PARSE)
            err->code = AS_RANGE;
        return c == AS_PARSE ? AS_RANGE : c;
    }
    AS_TRY(parse(&a, "returned", returned, true, scratch, err));
    *out = equal(&a, &b);
    return AS_OK;
}
