#include "suites/prompt.h"

void su_prompt_options(as_buf *b, const as_str *choices, int n)
{
    for (int i = 0; i < n; i++) {
        const char label[] = {(char)('A' + i), '.', ' ', '\0'};
        su_prompt_add(b, label, choices[i], "\n");
    }
}

/* Failures stay in the buffer's is_full until su_prompt_keep. */
void su_prompt_add(as_buf *b, const char *before, as_str text, const char *behind)
{
    (void)as_buf_add_z(b, before);
    (void)as_buf_add(b, text);
    (void)as_buf_add_z(b, behind);
}

void su_prompt_replace(as_buf *b, as_str text, as_str from, as_str to)
{
    for (size_t at; (at = as_str_find(text, from)) != SIZE_MAX;) {
        (void)as_buf_add(b, as_str_sub(text, 0, at));
        (void)as_buf_add(b, to);
        text = as_str_sub(text, at + from.n, text.n);
    }
    (void)as_buf_add(b, text);
}

as_code su_prompt_keep(as_str *out, as_buf *b, as_arena *arena, as_err *err)
{
    as_code c = as_buf_ok(b, err);
    if (c == AS_OK) {
        const as_str s = as_arena_str(arena, as_buf_str(b));
        if (s.p != NULL)
            *out = s;
        else
            c = as_nomem(err);
    }
    as_buf_release(b);
    return c;
}

as_code su_prompt_user(as_request *out, as_str text, as_arena *arena, as_err *err)
{
    as_message *m = as_new(arena, as_message, 1);
    if (m == NULL)
        return as_nomem(err);
    *m = (as_message){.role = AS_STR("user"), .text = text};
    out->messages = m;
    out->n_messages = 1;
    return AS_OK;
}

as_code su_row_str(as_str *out, const as_json *row, const char *key, as_arena *keep, as_err *err)
{
    as_str s;
    AS_TRY(as_json_need_str(row, key, &s, err));
    *out = as_arena_str(keep, s);
    return out->p != NULL ? AS_OK : as_nomem(err);
}

as_code su_row_strs(const as_str **out, int *n, const as_json *row, const char *key, as_arena *keep,
                    as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(as_json_need_array(row, key, &list, err));
    as_str *all = as_new(keep, as_str, as_json_count(list));
    if (all == NULL)
        return as_nomem(err);
    int count = 0;
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        as_str s;
        if (!as_json_str(v, &s))
            return as_fail(err, AS_PARSE, "\"%s\": want strings", key);
        all[count] = as_arena_str(keep, s);
        if (all[count++].p == NULL)
            return as_nomem(err);
    }
    *out = all;
    *n = count;
    return AS_OK;
}

as_code su_only_splits(ds_info *info, const char *const *names, as_arena *keep, as_err *err)
{
    ds_split *splits = as_new(keep, ds_split, info->n_splits);
    if (splits == NULL)
        return as_nomem(err);
    int n = 0;
    for (int i = 0; i < info->n_splits; i++)
        for (const char *const *name = names; *name != NULL; name++)
            if (as_str_eq_z(info->splits[i].name, *name))
                splits[n++] = info->splits[i];
    info->splits = splits;
    info->n_splits = n;
    return ds_sha256(&info->sha256, splits, n, err);
}
