/*
 * filters_list.c — filters over sequences and dicts.
 */
#include "engine/template/impl.h"
#include "engine/template/pick.h"

/* ---- attributes by path ---------------------------------------------------------------------- */

static bool add_part(tp_run *r, tp_path *p, as_str word, size_t at)
{
    bool is_number = word.n > 0 && word.n < 10;
    for (size_t i = 0; i < word.n; i++)
        is_number = is_number && word.p[i] >= '0' && word.p[i] <= '9';
    int64_t i = 0;
    if (!is_number)
        return tp_text_wrap(r, word, false, &p->parts[at]);
    (void)as_parse_i64(word, 0, INT32_MAX, &i);
    p->parts[at] = tp_int(i);
    return true;
}

bool tp_path_of(tp_run *r, tp_value attribute, tp_path *out)
{
    *out = (tp_path){.otherwise = tp_none};
    if (attribute.kind == TP_MISSING || attribute.kind == TP_NONE)
        return true;
    const bool is_text = attribute.kind == TP_TEXT;
    as_str rest = is_text ? tp_str(attribute) : AS_STR("");
    out->n = 1;
    for (size_t i = 0; i < rest.n; i++)
        out->n += rest.p[i] == '.';
    out->parts = tp_alloc(r, out->n, sizeof *out->parts);
    if (out->parts == NULL)
        return false;
    out->parts[0] = attribute;
    for (size_t i = 0; is_text && i < out->n; i++) {
        as_str word;
        (void)as_str_cut(rest, '.', &word, &rest);
        if (!add_part(r, out, word, i))
            return false;
    }
    return true;
}

bool tp_path_get(tp_run *r, const tp_path *path, tp_value v, tp_value *out)
{
    for (size_t i = 0; i < path->n; i++) {
        if (!tp_getitem(r, v, path->parts[i], &v))
            return false;
        if (v.kind == TP_UNDEFINED && path->otherwise.kind != TP_NONE)
            v = path->otherwise;
    }
    *out = v;
    return true;
}

static bool fold_case(tp_run *r, tp_value *v)
{
    return v->kind != TP_TEXT || tp_change_case(r, *v, TP_TO_LOWER, v);
}

static bool flag_arg(tp_run *r, tp_value v, bool *out)
{
    *out = false;
    return v.kind == TP_MISSING || tp_truth(r, v, out);
}

/* ---- sorting --------------------------------------------------------------------------------- */

typedef struct keyed {
    tp_value key, item;
} keyed;

/* Merge sort, stable in both directions. tmp has room for n. */
static bool sort_keyed(tp_run *r, keyed *v, keyed *tmp, size_t n, bool is_reversed)
{
    if (n < 2)
        return true;
    const size_t half = n / 2;
    if (!sort_keyed(r, v, tmp, half, is_reversed) ||
        !sort_keyed(r, v + half, tmp, n - half, is_reversed))
        return false;
    memcpy(tmp, v, half * sizeof *v);
    size_t i = 0, k = half, to = 0;
    while (i < half && k < n) {
        bool is_later = false;
        if (!tp_step(r, 1) ||
            !(is_reversed ? tp_less(r, tmp[i].key, v[k].key, "<", false, &is_later)
                          : tp_less(r, v[k].key, tmp[i].key, "<", false, &is_later)))
            return false;
        v[to++] = is_later ? v[k++] : tmp[i++];
    }
    while (i < half)
        v[to++] = tmp[i++];
    return true;
}

typedef bool key_fn(tp_run *r, const void *state, tp_value item, tp_value *key);

static bool sorted(tp_run *r, tp_value v, key_fn *key, const void *state, bool is_reversed,
                   keyed **out, size_t *n)
{
    tp_value list;
    if (!tp_to_list(r, v, TP_LIST, &list))
        return false;
    *n = list.u.list->n;
    keyed *k = tp_alloc(r, *n + 1, sizeof *k), *tmp = tp_alloc(r, *n + 1, sizeof *tmp);
    if (k == NULL || tmp == NULL)
        return false;
    for (size_t i = 0; i < *n; i++) {
        k[i].item = list.u.list->v[i];
        if (!tp_step(r, 1) || !key(r, state, k[i].item, &k[i].key))
            return false;
    }
    *out = k;
    return sort_keyed(r, k, tmp, *n, is_reversed);
}

static bool items_of(tp_run *r, const keyed *k, size_t n, tp_value *out)
{
    tp_list *l = NULL;
    if (!tp_list_new(r, TP_LIST, n, &l, out))
        return false;
    for (size_t i = 0; i < n; i++)
        l->v[i] = k[i].item;
    return true;
}

typedef struct sort_key {
    tp_path *paths;
    size_t n_paths;
    bool case_sensitive;
} sort_key;

static bool key_of_paths(tp_run *r, const void *state, tp_value item, tp_value *key)
{
    const sort_key *s = state;
    tp_list *l = NULL;
    if (!tp_list_new(r, TP_LIST, s->n_paths, &l, key))
        return false;
    for (size_t i = 0; i < s->n_paths; i++)
        if (!tp_path_get(r, &s->paths[i], item, &l->v[i]) ||
            (!s->case_sensitive && !fold_case(r, &l->v[i])))
            return false;
    return true;
}

static bool f_sort(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    sort_key key = {.n_paths = 1};
    bool is_reversed = false;
    if (!flag_arg(r, a[0], &is_reversed) || !flag_arg(r, a[1], &key.case_sensitive))
        return false;
    as_str rest = a[2].kind == TP_TEXT ? tp_str(a[2]) : AS_STR("");
    for (size_t i = 0; i < rest.n; i++)
        key.n_paths += rest.p[i] == ',';
    key.paths = tp_alloc(r, key.n_paths, sizeof *key.paths);
    if (key.paths == NULL)
        return false;
    for (size_t i = 0; i < key.n_paths; i++) {
        tp_value attribute = a[2];
        as_str word;
        (void)as_str_cut(rest, ',', &word, &rest);
        if ((a[2].kind == TP_TEXT && !tp_text_wrap(r, word, false, &attribute)) ||
            !tp_path_of(r, attribute, &key.paths[i]))
            return false;
    }
    keyed *k = NULL;
    size_t n = 0;
    return sorted(r, v, key_of_paths, &key, is_reversed, &k, &n) && items_of(r, k, n, out);
}

typedef struct pair_key {
    size_t part;
    bool case_sensitive;
} pair_key;

static bool key_of_pair(tp_run *r, const void *state, tp_value item, tp_value *key)
{
    const pair_key *p = state;
    *key = item.u.list->v[p->part];
    return p->case_sensitive || fold_case(r, key);
}

static bool items_view(tp_run *r, tp_value v, tp_value *out)
{
    tp_view *view = tp_alloc(r, 1, sizeof *view);
    if (view == NULL)
        return false;
    *view = (tp_view){v.u.dict, TP_ITEMS};
    *out = (tp_value){.kind = TP_VIEW, .u.view = view};
    return true;
}

static bool f_dictsort(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    pair_key key = {0};
    bool is_reversed = false;
    if (!flag_arg(r, a[0], &key.case_sensitive) || !flag_arg(r, a[2], &is_reversed))
        return false;
    if (a[1].kind != TP_MISSING) {
        const bool is_text = a[1].kind == TP_TEXT;
        key.part = is_text && as_str_eq_z(tp_str(a[1]), "value");
        if (!is_text || (key.part == 0 && !as_str_eq_z(tp_str(a[1]), "key")))
            return tp_raise(r, "FilterArgumentError",
                            "You can only sort by either \"key\" or \"value\"");
    }
    if (v.kind == TP_UNDEFINED)
        return tp_raise_undefined(r, v);
    if (v.kind != TP_DICT)
        return tp_raise(r, "AttributeError", "'%s' object has no attribute 'items'",
                        tp_type_name(v));
    keyed *k = NULL;
    size_t n = 0;
    return items_view(r, v, &v) && sorted(r, v, key_of_pair, &key, is_reversed, &k, &n) &&
           items_of(r, k, n, out);
}

typedef struct path_key {
    tp_path path;
    bool case_sensitive;
} path_key;

static bool key_of_path(tp_run *r, const void *state, tp_value item, tp_value *key)
{
    const path_key *p = state;
    return tp_path_get(r, &p->path, item, key) && (p->case_sensitive || fold_case(r, key));
}

static bool group(tp_run *r, const path_key *key, const keyed *k, size_t n, tp_value *out)
{
    tp_list *l = NULL;
    tp_value items, name;
    if (!items_of(r, k, n, &items) || !tp_path_get(r, &key->path, k[0].item, &name) ||
        !tp_list_new(r, TP_TUPLE, 2, &l, out))
        return false;
    l->v[0] = name; /* as it is written in the first item */
    l->v[1] = items;
    l->is_group = true;
    return true;
}

static bool f_groupby(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    path_key key;
    keyed *k = NULL;
    size_t n = 0, n_groups = 0;
    if (!flag_arg(r, a[2], &key.case_sensitive) || !tp_path_of(r, a[0], &key.path))
        return false;
    if (a[1].kind != TP_MISSING)
        key.path.otherwise = a[1];
    tp_list *l = NULL;
    if (!sorted(r, v, key_of_path, &key, false, &k, &n) || !tp_list_new(r, TP_LIST, n, &l, out))
        return false;
    for (size_t from = 0, to; from < n; from = to) {
        bool is_same = true;
        for (to = from + 1; to < n; to++) {
            if (!tp_step(r, 1) || !tp_equal(r, k[from].key, k[to].key, &is_same))
                return false;
            if (!is_same)
                break;
        }
        if (!group(r, &key, k + from, to - from, &l->v[n_groups++]))
            return false;
    }
    l->n = n_groups;
    return true;
}

static bool extreme(tp_run *r, tp_value v, const tp_value *a, bool want_max, tp_value *out)
{
    path_key key;
    tp_iter *it = NULL;
    tp_value item, best_key = tp_missing, item_key;
    if (!flag_arg(r, a[0], &key.case_sensitive) || !tp_path_of(r, a[1], &key.path) ||
        !tp_iter_of(r, v, &it))
        return false;
    for (bool has = true;;) {
        bool is_better = best_key.kind == TP_MISSING;
        if (!tp_next(r, it, &item, &has))
            return false;
        if (!has)
            break;
        if (!key_of_path(r, &key, item, &item_key))
            return false;
        if (!is_better && !(want_max ? tp_less(r, best_key, item_key, ">", false, &is_better)
                                     : tp_less(r, item_key, best_key, "<", false, &is_better)))
            return false;
        if (is_better) {
            best_key = item_key;
            *out = item;
        }
    }
    return best_key.kind != TP_MISSING ||
           tp_undefined_hint(r, "No aggregated item, sequence was empty.", out);
}

static bool f_min(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return extreme(r, v, a, false, out);
}

static bool f_max(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return extreme(r, v, a, true, out);
}

/* ---- taking and joining ---------------------------------------------------------------------- */

static bool f_join(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    tp_path path;
    tp_iter *it = NULL;
    tp_value sep = a[0], item;
    if ((sep.kind == TP_MISSING ? !tp_text_wrap(r, AS_STR(""), false, &sep)
                                : !tp_to_text(r, sep, &sep)) ||
        !tp_path_of(r, a[1], &path) || !tp_iter_of(r, v, &it))
        return false;
    as_buf b;
    tp_buf_start(r, &b);
    for (size_t n = 0;; n++) {
        bool has = false;
        if (!tp_next(r, it, &item, &has))
            return tp_buf_drop(&b);
        if (!has)
            return tp_buf_end(r, &b, false, out);
        if (n > 0)
            (void)as_buf_add(&b, tp_str(sep));
        if (!tp_path_get(r, &path, item, &item) || !tp_print(r, item, &b))
            return tp_buf_drop(&b);
    }
}

static bool f_list(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_list(r, v, TP_LIST, out);
}

static bool f_length(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    size_t n = 0;
    const bool is_ok = tp_length(r, v, &n);
    *out = tp_int((int64_t)n);
    return is_ok;
}

static bool f_first(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    tp_iter *it = NULL;
    bool has = false;
    return tp_iter_of(r, v, &it) && tp_next(r, it, out, &has) &&
           (has || tp_undefined_hint(r, "No first item, sequence was empty.", out));
}

static bool is_reversible(tp_value v)
{
    return v.kind != TP_ITER && v.kind != TP_LOOP;
}

static bool f_last(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    tp_value list;
    if (!is_reversible(v))
        return tp_raise(r, "TypeError", "'%s' object is not reversible", tp_type_name(v));
    if (!tp_to_list(r, v, TP_LIST, &list))
        return false;
    if (list.u.list->n == 0)
        return tp_undefined_hint(r, "No last item, sequence was empty.", out);
    *out = list.u.list->v[list.u.list->n - 1];
    return true;
}

static bool f_reverse(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    tp_value list;
    tp_list *l = NULL;
    if (v.kind == TP_TEXT) {
        const tp_value part[3] = {tp_missing, tp_missing, tp_int(-1)};
        return tp_slice(r, v, part, out);
    }
    if (!tp_to_list(r, v, TP_LIST, &list) || !tp_list_new(r, TP_LIST, list.u.list->n, &l, out))
        return false;
    for (size_t i = 0; i < l->n; i++)
        l->v[i] = list.u.list->v[l->n - 1 - i];
    if (!is_reversible(v))
        return true;
    tp_iter *it = NULL;
    if (!tp_iter_of(r, *out, &it))
        return false;
    it->name = "list_reverseiterator";
    *out = (tp_value){.kind = TP_ITER, .u.iter = it};
    return true;
}

static bool f_sum(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    tp_path path;
    tp_iter *it = NULL;
    tp_value item, sum = a[1].kind == TP_MISSING ? tp_int(0) : a[1];
    if (sum.kind == TP_TEXT)
        return tp_raise(r, "TypeError", "sum() can't sum strings [use ''.join(seq) instead]");
    if (!tp_path_of(r, a[0], &path) || !tp_iter_of(r, v, &it))
        return false;
    for (bool has = true;;) {
        if (!tp_next(r, it, &item, &has))
            return false;
        if (!has)
            break;
        if (!tp_path_get(r, &path, item, &item) || !tp_binary(r, TP_ADD, sum, item, &sum))
            return false;
    }
    *out = sum;
    return true;
}

/* A filter that Python writes as a generator: nothing happens, and nothing fails, before somebody
 * asks for the first item. */
typedef struct lazy {
    tp_call_fn *make; /* gives what is to be walked */
    tp_value v, a[2];
} lazy;

static bool lazy_next(tp_run *r, tp_iter *it, tp_value *out, bool *has)
{
    const lazy *l = it->state;
    if (it->src == NULL) {
        tp_value list;
        if (!l->make(r, l->v, l->a, &list) || !tp_iter_of(r, list, &it->src))
            return false;
    }
    return tp_next(r, it->src, out, has);
}

static bool generator(tp_run *r, tp_call_fn *make, tp_value v, const tp_value *a, tp_value *out)
{
    tp_iter *it = NULL;
    lazy *l = tp_alloc(r, 1, sizeof *l);
    if (l == NULL || !tp_iter_new(r, lazy_next, l, NULL, "generator", &it))
        return false;
    *l = (lazy){.make = make, .v = v, .a = {a[0], a[1]}};
    *out = (tp_value){.kind = TP_ITER, .u.iter = it};
    return true;
}

static bool make_items(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    if (v.kind == TP_DICT)
        return items_view(r, v, out);
    *out = v; /* undefined has no items */
    return v.kind == TP_UNDEFINED ||
           tp_raise(r, "TypeError", "Can only get item pairs from a mapping.");
}

static bool f_items(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return generator(r, make_items, v, a, out);
}

/* ---- cutting into pieces --------------------------------------------------------------------- */

static bool piece(tp_run *r, const tp_list *from, size_t at, size_t n, size_t n_fill, tp_value fill,
                  tp_value *out)
{
    tp_list *l = NULL;
    if (!tp_list_new(r, TP_LIST, n + n_fill, &l, out))
        return false;
    for (size_t i = 0; i < n + n_fill; i++)
        l->v[i] = i < n ? from->v[at + i] : fill;
    return true;
}

static bool make_batch(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    int64_t size = 0;
    tp_value list, pieces;
    tp_list *l = NULL;
    if (!tp_need_int(r, a[0], "batch", &size) || !tp_to_list(r, v, TP_LIST, &list))
        return false;
    const size_t n = list.u.list->n;
    const size_t each = size > 0 && (uint64_t)size < n ? (size_t)size : n;
    const size_t n_empty = size == 0 && n > 0; /* a size of 0 gives an empty piece, then the rest */
    const size_t n_pieces = n == 0 ? 0 : (n - 1) / each + 1 + n_empty;
    if (!tp_list_new(r, TP_LIST, n_pieces, &l, &pieces))
        return false;
    const bool want_fill = a[1].kind != TP_MISSING && a[1].kind != TP_NONE;
    for (size_t i = 0, at = 0; i < n_pieces; i++) {
        const size_t left = n - at;
        const size_t take = i < n_empty ? 0 : left < each ? left : each;
        const size_t fill =
            want_fill && size > 0 && (uint64_t)size > take ? (size_t)size - take : 0;
        if (!piece(r, list.u.list, at, take, fill, a[1], &l->v[i]))
            return false;
        at += take;
    }
    *out = pieces;
    return true;
}

static bool make_slice(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    int64_t n_pieces = 0;
    tp_value list, pieces;
    tp_list *l = NULL;
    if (!tp_need_int(r, a[0], "slice", &n_pieces) || !tp_to_list(r, v, TP_LIST, &list))
        return false;
    if (n_pieces == 0)
        return tp_raise(r, "ZeroDivisionError", "integer division or modulo by zero");
    if (n_pieces < 0)
        n_pieces = 0;
    if (!tp_list_new(r, TP_LIST, (size_t)n_pieces, &l, &pieces))
        return false;
    const size_t n = list.u.list->n;
    const size_t each = l->n > 0 ? n / l->n : 0, n_longer = l->n > 0 ? n % l->n : 0;
    const bool want_fill = a[1].kind != TP_MISSING && a[1].kind != TP_NONE;
    for (size_t i = 0, at = 0; i < l->n; i++) {
        const size_t take = each + (i < n_longer);
        if (!tp_step(r, 1) ||
            !piece(r, list.u.list, at, take, want_fill && i >= n_longer, a[1], &l->v[i]))
            return false;
        at += take;
    }
    *out = pieces;
    return true;
}

static bool f_batch(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return generator(r, make_batch, v, a, out);
}

static bool f_slice(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return generator(r, make_slice, v, a, out);
}

const tp_function tp_filters_list[] = {
    {"batch", "linecount fill_with", 1, f_batch, NULL},
    {"count", "", 0, f_length, NULL},
    {"dictsort", "case_sensitive by reverse", 0, f_dictsort, NULL},
    {"first", "", 0, f_first, NULL},
    {"groupby", "attribute default case_sensitive", 1, f_groupby, NULL},
    {"items", "", 0, f_items, NULL},
    {"join", "d attribute", 0, f_join, NULL},
    {"last", "", 0, f_last, NULL},
    {"length", "", 0, f_length, NULL},
    {"list", "", 0, f_list, NULL},
    {"max", "case_sensitive attribute", 0, f_max, NULL},
    {"min", "case_sensitive attribute", 0, f_min, NULL},
    {"reverse", "", 0, f_reverse, NULL},
    {"slice", "slices fill_with", 1, f_slice, NULL},
    {"sort", "reverse case_sensitive attribute", 0, f_sort, NULL},
    {"sum", "attribute start", 0, f_sum, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
