#include "store/store_impl.h"

#include <stdlib.h>

#include "base/json.h"

/* A page: [[question, [choice, …]], …] of up to DB_PAGE_ITEMS samples; choices null if the suite
 * gave none. Pages are packed and found by content, so a second run of the same questions stores
 * nothing but their keys. */

static void page_text(as_buf *out, const as_sample *samples, size_t n)
{
    as_jw w;
    as_buf_reset(out);
    as_jw_init(&w, out);
    as_jw_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        as_jw_begin_array(&w);
        as_jw_str(&w, samples[i].question);
        if (samples[i].choices != NULL) {
            as_jw_begin_array(&w);
            for (int k = 0; k < samples[i].n_choices; k++)
                as_jw_str(&w, samples[i].choices[k]);
            as_jw_end_array(&w);
        } else {
            as_jw_null(&w);
        }
        as_jw_end_array(&w);
    }
    as_jw_end_array(&w);
}

static size_t page_size(const db_task_spec *spec, size_t page)
{
    const size_t left = spec->n_samples - page * DB_PAGE_ITEMS;
    return left < DB_PAGE_ITEMS ? left : DB_PAGE_ITEMS;
}

static size_t count_pages(const db_task_spec *spec)
{
    return (spec->n_samples + DB_PAGE_ITEMS - 1) / DB_PAGE_ITEMS;
}

static as_code write_pages(db_writer *w, int64_t task_id, const db_task_spec *spec, as_err *err)
{
    as_buf text;
    as_buf_init(&text, (size_t)1 << 30);
    as_code c = AS_OK;
    for (size_t page = 0; c == AS_OK && page < count_pages(spec); page++) {
        as_sha256 key;
        page_text(&text, spec->samples + page * DB_PAGE_ITEMS, page_size(spec, page));
        c = as_buf_ok(&text, err);
        if (c == AS_OK)
            c = db_blob_put(&w->conn, &w->packer, as_buf_str(&text), &key, err);
        db_args a = {0};
        if (c == AS_OK)
            c = db_prepare(&w->conn, "INSERT INTO item_page(task_id, page, texts) VALUES(?,?,?)",
                           &a, err);
        if (c != AS_OK)
            break;
        db_i64(&a, task_id);
        db_i64(&a, (int64_t)page);
        db_sha(&a, &key);
        c = db_run_args(&a, err);
    }
    as_buf_release(&text);
    return c;
}

as_code db_items_write(db_writer *w, int64_t task_id, const db_task_spec *spec, as_err *err)
{
    for (size_t i = 0; i < spec->n_samples; i++) {
        const as_sample *s = &spec->samples[i];
        db_args a;
        AS_TRY(db_prepare(&w->conn,
                          "INSERT INTO item(task_id, position, item, grp, n_choices, target,"
                          " origin) VALUES(?,?,?,?,?,?,?)",
                          &a, err));
        db_i64(&a, task_id);
        db_i64(&a, (int64_t)i);
        db_str(&a, s->id);
        db_str(&a, s->group);
        db_i64(&a, s->n_choices);
        db_str(&a, s->target);
        db_str(&a, s->origin);
        AS_TRY(db_run_args(&a, err));
    }
    return write_pages(w, task_id, spec, err);
}

as_code db_items_hash(const db_task_spec *spec, as_sha256 *out, as_err *err)
{
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < spec->n_samples; i++) {
        const as_sample *s = &spec->samples[i];
        as_sha256_add_field(h, s->id);
        as_sha256_add_field(h, s->group);
        as_sha256_add_field(h, s->target);
        as_sha256_add_field(h, s->question);
        for (int k = 0; s->choices != NULL && k < s->n_choices; k++)
            as_sha256_add_field(h, s->choices[k]);
    }
    *out = as_sha256_end(h);
    return AS_OK;
}

as_code db_page_load(db_conn *c, int64_t task_id, size_t page, as_json **out, as_err *err)
{
    *out = NULL;
    db_args a;
    AS_TRY(db_prepare(c, "SELECT texts FROM item_page WHERE task_id = ? AND page = ?", &a, err));
    db_i64(&a, task_id);
    db_i64(&a, (int64_t)page);
    bool has_row = false;
    as_sha256 key;
    as_code code = db_step(&a, &has_row, err);
    if (code == AS_OK && !(has_row && db_col_sha(&a, 0, &key)))
        code = as_fail(err, AS_INTEGRITY, "%s: task %lld has no questions from position %zu on",
                       c->path, (long long)task_id, page * DB_PAGE_ITEMS);
    db_finish(&a);
    if (code != AS_OK)
        return code;
    as_buf text;
    as_buf_init(&text, (size_t)1 << 30);
    code = db_blob_get(c, &key, &text, err);
    if (code == AS_OK)
        code = as_json_parse(out, as_buf_str(&text), err);
    as_buf_release(&text);
    return code;
}

as_code db_page_sample(const as_json *page, size_t position, as_sample *out, as_arena *keep,
                       as_err *err)
{
    const as_json *entry = as_json_first(page);
    for (size_t i = position % DB_PAGE_ITEMS; i > 0 && entry != NULL; i--)
        entry = as_json_next(entry);
    const as_json *question = as_json_first(entry);
    if (!as_json_str(question, &out->question))
        return as_fail(err, AS_INTEGRITY, "the question at position %zu is missing", position);
    const as_json *choices = as_json_next(question);
    const size_t n = as_json_count(choices);
    if (as_json_type(choices) != AS_JSON_ARRAY || n == 0)
        return AS_OK;
    as_str *list = as_new(keep, as_str, n);
    if (list == NULL)
        return as_nomem(err);
    size_t i = 0;
    for (const as_json *k = as_json_first(choices); k != NULL; k = as_json_next(k))
        (void)as_json_str(k, &list[i++]);
    out->choices = list;
    out->n_choices = (int)n;
    return AS_OK;
}
