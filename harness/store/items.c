#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

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

/* Packing the pages takes as long as storing the items, so it has a thread of its own meanwhile;
 * the writer then takes the pages in order. */
typedef struct page_maker {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    db_packed *pages;
    char **blocks; /* the bytes that pages[i].data borrows; free()d by the writer */
    size_t n_ready;
    as_err err; /* code other than AS_OK: no more pages will come */
    const db_task_spec *spec;
} page_maker;

static as_code make_page(page_maker *m, size_t page, db_packer *packer, as_buf *text,
                         db_packed *out, as_err *err)
{
    const db_task_spec *spec = m->spec;
    page_text(text, spec->samples + page * DB_PAGE_ITEMS, page_size(spec, page));
    AS_TRY(as_buf_ok(text, err));
    AS_TRY(db_pack(packer, as_buf_str(text), out, err));
    char *copy = malloc(out->data.n + 1);
    if (copy == NULL)
        return as_nomem(err);
    memcpy(copy, out->data.p, out->data.n);
    out->data.p = copy;
    m->blocks[page] = copy;
    return AS_OK;
}

static void *make_pages(void *arg)
{
    page_maker *m = arg;
    db_packer packer;
    as_buf text;
    db_packer_init(&packer);
    as_buf_init(&text, (size_t)1 << 30);
    as_err err = {0};
    for (size_t page = 0; page < count_pages(m->spec) && err.code == AS_OK; page++) {
        db_packed made = {0};
        (void)make_page(m, page, &packer, &text, &made, &err);
        (void)pthread_mutex_lock(&m->lock);
        m->err = err;
        m->pages[page] = made;
        m->n_ready += err.code == AS_OK ? 1 : 0;
        (void)pthread_cond_signal(&m->changed);
        (void)pthread_mutex_unlock(&m->lock);
    }
    as_buf_release(&text);
    db_packer_release(&packer);
    return NULL;
}

static as_code take_page(page_maker *m, size_t page, db_packed *out, as_err *err)
{
    (void)pthread_mutex_lock(&m->lock);
    while (m->n_ready <= page && m->err.code == AS_OK)
        (void)pthread_cond_wait(&m->changed, &m->lock);
    const bool is_there = m->n_ready > page;
    if (is_there)
        *out = m->pages[page];
    else if (err != NULL)
        *err = m->err;
    const as_code c = is_there ? AS_OK : m->err.code;
    (void)pthread_mutex_unlock(&m->lock);
    return c;
}

static as_code write_pages(db_writer *w, int64_t task_id, page_maker *m, as_err *err)
{
    for (size_t page = 0; page < count_pages(m->spec); page++) {
        db_packed packed;
        AS_TRY(take_page(m, page, &packed, err));
        AS_TRY(db_blob_insert(&w->conn, &packed, err));
        db_args a;
        AS_TRY(db_prepare(&w->conn, "INSERT INTO item_page(task_id, page, texts) VALUES(?,?,?)", &a,
                          err));
        db_i64(&a, task_id);
        db_i64(&a, (int64_t)page);
        db_sha(&a, &packed.key);
        AS_TRY(db_run_args(&a, err));
    }
    return AS_OK;
}

static as_code write_items(db_writer *w, int64_t task_id, const db_task_spec *spec, as_err *err)
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
    return AS_OK;
}

as_code db_items_write(db_writer *w, int64_t task_id, const db_task_spec *spec, as_err *err)
{
    page_maker m = {.spec = spec};
    m.pages = calloc(count_pages(spec) + 1, sizeof *m.pages);
    m.blocks = calloc(count_pages(spec) + 1, sizeof *m.blocks);
    if (m.pages == NULL || m.blocks == NULL) {
        free(m.pages);
        free(m.blocks);
        return as_nomem(err);
    }
    (void)pthread_mutex_init(&m.lock, NULL);
    (void)pthread_cond_init(&m.changed, NULL);
    pthread_t maker;
    as_code c = AS_OK;
    if (pthread_create(&maker, NULL, make_pages, &m) == 0) {
        c = write_items(w, task_id, spec, err);
        if (c == AS_OK)
            c = write_pages(w, task_id, &m, err);
        (void)pthread_join(maker, NULL);
    } else {
        c = as_fail(err, AS_IO, "store: cannot start a thread");
    }
    for (size_t i = 0; i < count_pages(spec); i++)
        free(m.blocks[i]);
    free(m.blocks);
    free(m.pages);
    (void)pthread_cond_destroy(&m.changed);
    (void)pthread_mutex_destroy(&m.lock);
    return c;
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
