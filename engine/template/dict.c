/*
 * dict.c — dicts in order of insertion, and the hash that makes 1, 1.0 and True one key.
 *
 * Up to eight entries are searched in order; beyond that an index of twice the size is kept.
 */
#include "engine/template/impl.h"

#include "base/hash.h"

#include <math.h>

enum { INDEX_FROM = 8 };

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 33;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

static bool hash_tuple(tp_run *r, const tp_list *l, uint64_t *out)
{
    uint64_t h = 0x345678;
    if (!tp_enter(r))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        uint64_t item = 0;
        if (!tp_hash(r, l->v[i], &item))
            return false;
        h = mix(h ^ item);
    }
    tp_leave(r);
    *out = h;
    return true;
}

bool tp_hash(tp_run *r, tp_value v, uint64_t *out)
{
    switch (v.kind) {
    case TP_TEXT:
        *out = as_fnv1a((as_str){v.u.text->p, v.u.text->n});
        return true;
    case TP_BOOL:
    case TP_INT:
        *out = mix(v.kind == TP_BOOL ? (uint64_t)v.u.b : (uint64_t)v.u.i);
        return true;
    case TP_FLOAT:
        if (v.u.f == floor(v.u.f) && fabs(v.u.f) < 9e18)
            *out = mix((uint64_t)(int64_t)v.u.f);
        else
            memcpy(out, &v.u.f, sizeof *out);
        return true;
    case TP_TUPLE:
        return hash_tuple(r, v.u.list, out);
    case TP_LIST:
    case TP_DICT:
    case TP_VIEW:
        if (v.kind != TP_VIEW || v.u.view->what != TP_VALUES)
            return tp_raise(r, "TypeError", "unhashable type: '%s'", tp_type_name(v));
        *out = mix((uint64_t)(uintptr_t)v.u.view);
        return true;
    case TP_NONE:
    case TP_UNDEFINED:
        *out = mix((uint64_t)v.kind);
        return true;
    default:
        *out = mix((uint64_t)(uintptr_t)v.u.list);
        return true;
    }
}

/* The entry of a key, or n. cost is what the search looked at. */
static bool find(tp_run *r, const tp_dict *d, tp_value key, uint64_t hash, size_t *entry)
{
    const size_t mask = d->index_cap - 1;
    const bool has_index = d->index != NULL;
    const size_t end = has_index ? d->index_cap : d->n;
    for (size_t i = 0; i < end; i++) {
        const size_t e = has_index ? d->index[(hash + i) & mask] : i + 1;
        if (e == 0)
            break;
        if (d->hashes[e - 1] != hash)
            continue;
        bool is_equal = false;
        if (!tp_step(r, 1) || !tp_equal(r, d->keys[e - 1], key, &is_equal))
            return false;
        if (is_equal) {
            *entry = e - 1;
            return true;
        }
    }
    *entry = d->n;
    return true;
}

static void index_entry(tp_dict *d, size_t e)
{
    size_t at = d->hashes[e];
    while (d->index[at & (d->index_cap - 1)] != 0)
        at++;
    d->index[at & (d->index_cap - 1)] = (uint32_t)(e + 1);
}

static bool grow(tp_run *r, tp_dict *d)
{
    const size_t cap = d->cap == 0 ? 4 : d->cap * 2;
    tp_value *keys = tp_alloc(r, cap, sizeof *keys);
    tp_value *values = tp_alloc(r, cap, sizeof *values);
    uint64_t *hashes = tp_alloc(r, cap, sizeof *hashes);
    if (keys == NULL || values == NULL || hashes == NULL)
        return false;
    if (d->n > 0) {
        memcpy(keys, d->keys, d->n * sizeof *keys);
        memcpy(values, d->values, d->n * sizeof *values);
        memcpy(hashes, d->hashes, d->n * sizeof *hashes);
    }
    d->keys = keys;
    d->values = values;
    d->hashes = hashes;
    d->cap = cap;
    if (cap <= INDEX_FROM)
        return true;
    d->index_cap = cap * 2;
    d->index = tp_alloc(r, d->index_cap, sizeof *d->index);
    if (d->index == NULL)
        return false;
    for (size_t i = 0; i < d->n; i++)
        index_entry(d, i);
    return true;
}

bool tp_dict_set(tp_run *r, tp_dict *d, tp_value key, tp_value value)
{
    uint64_t hash = 0;
    size_t entry = 0;
    if (!tp_hash(r, key, &hash) || !find(r, d, key, hash, &entry))
        return false;
    if (entry < d->n) {
        d->values[entry] = value;
        return true;
    }
    if (d->n == d->cap && !grow(r, d))
        return false;
    d->keys[d->n] = key;
    d->values[d->n] = value;
    d->hashes[d->n] = hash;
    if (d->index != NULL)
        index_entry(d, d->n);
    d->n++;
    return true;
}

bool tp_dict_get(tp_run *r, const tp_dict *d, tp_value key, tp_value *out)
{
    uint64_t hash = 0;
    size_t entry = 0;
    if (!tp_hash(r, key, &hash) || !find(r, d, key, hash, &entry))
        return false;
    *out = entry < d->n ? d->values[entry] : tp_missing;
    return true;
}

tp_value tp_dict_find(const tp_dict *d, as_str key)
{
    const uint64_t hash = as_fnv1a(key);
    const size_t mask = d->index_cap - 1;
    const size_t end = d->index != NULL ? d->index_cap : d->n;
    for (size_t i = 0; i < end; i++) {
        const size_t e = d->index != NULL ? d->index[(hash + i) & mask] : i + 1;
        if (e == 0)
            break;
        if (d->hashes[e - 1] == hash && d->keys[e - 1].kind == TP_TEXT &&
            as_str_eq(tp_str(d->keys[e - 1]), key))
            return d->values[e - 1];
    }
    return tp_missing;
}

bool tp_dict_new(tp_run *r, tp_dict **out, tp_value *value)
{
    tp_dict *d = tp_alloc(r, 1, sizeof *d);
    if (d == NULL)
        return false;
    *out = d;
    *value = (tp_value){.kind = TP_DICT, .u.dict = d};
    return true;
}

static bool merge_pair(tp_run *r, tp_dict *d, tp_value pair, size_t at)
{
    tp_value list;
    if (!tp_to_list(r, pair, TP_LIST, &list))
        return false;
    if (list.u.list->n != 2)
        return tp_raise(r, "ValueError",
                        "dictionary update sequence element #%zu has length %zu; 2 is required", at,
                        list.u.list->n);
    return tp_dict_set(r, d, list.u.list->v[0], list.u.list->v[1]);
}

/* dict(from): a mapping, or pairs. */
bool tp_dict_merge(tp_run *r, tp_dict *d, tp_value from)
{
    if (from.kind == TP_DICT) {
        for (size_t i = 0; i < from.u.dict->n; i++)
            if (!tp_step(r, 1) || !tp_dict_set(r, d, from.u.dict->keys[i], from.u.dict->values[i]))
                return false;
        return true;
    }
    tp_iter *it = NULL;
    bool has = false;
    tp_value pair;
    if (!tp_iter_of(r, from, &it))
        return false;
    for (size_t at = 0;; at++) {
        if (!tp_next(r, it, &pair, &has))
            return false;
        if (!has)
            return true;
        if (!merge_pair(r, d, pair, at))
            return false;
    }
}
