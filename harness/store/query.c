#include "store/store_impl.h"

#include <string.h>

/* ---- results -----------------------------------------------------------------------------------
 */

/* Both tables are walked in key order. Where an attempt has scores of several versions, they come
 * one behind the other and the highest wins. ?2 is the version wanted, 0 for any. */
static const char select_results[] =
    "SELECT a.position, a.repeat, i.item, i.grp, a.n_choices, a.finish, a.error, a.prompt_tokens,"
    " a.completion_tokens, a.total_ns, s.verdict, s.value, s.prediction,"
    " s.target, s.rule, s.note, s.scorer_version"
    " FROM attempt a JOIN item i ON i.task_id = a.task_id AND i.position = a.position"
    " LEFT JOIN score s ON s.task_id = a.task_id AND s.position = a.position"
    "  AND s.repeat = a.repeat AND s.scorer = (SELECT scorer FROM task WHERE id = ?1)"
    "  AND (?2 = 0 OR s.scorer_version = ?2)"
    " WHERE a.task_id = ?1 AND a.counts = 1"
    " ORDER BY a.position, a.repeat";

static as_code count_attempts(db_store *db, int64_t task_id, size_t *n, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&db->read, "SELECT count(*) FROM attempt WHERE task_id = ? AND counts = 1",
                      &a, err));
    db_i64(&a, task_id);
    int64_t count = 0;
    AS_TRY(db_one_i64(&a, 0, &count, err));
    *n = (size_t)count;
    return AS_OK;
}

static as_code unknown_name(const db_store *db, const char *what, as_str name, as_err *err)
{
    return as_fail(err, AS_INTEGRITY, "%s: unknown %s \"%.*s\"", db->path, what, AS_ARG(name));
}

static as_code read_outcome(db_store *db, const db_args *a, int finish_column, as_finish *finish,
                            as_error_kind *error, as_err *err)
{
    const as_str finish_name = db_col_str(a, finish_column);
    const as_str error_name = db_col_str(a, finish_column + 1);
    if (!as_finish_parse(finish, finish_name))
        return unknown_name(db, "finish", finish_name, err);
    if (!as_error_kind_parse(error, error_name))
        return unknown_name(db, "error", error_name, err);
    return AS_OK;
}

/* Rows one behind the other have much in common (item, group, target, a verdict's reason): what the
 * row before says too is kept once. */
static as_code keep_shared(const db_args *a, int column, as_str before, as_str *out, as_arena *keep,
                           as_err *err)
{
    const as_str text = db_col_str(a, column);
    if (!as_str_is_set(text) || !as_str_is_set(before) || !as_str_eq(before, text))
        return db_col_keep(a, column, out, keep, err);
    *out = before;
    return AS_OK;
}

static as_code read_score(db_store *db, const db_args *a, const as_score *before, as_score *out,
                          as_arena *keep, as_err *err)
{
    const as_str verdict = db_col_str(a, 10);
    *out = (as_score){.verdict = AS_UNGRADED, .note = AS_STR("not scored by this version")};
    if (!as_str_is_set(verdict))
        return AS_OK;
    if (!as_verdict_parse(&out->verdict, verdict))
        return unknown_name(db, "verdict", verdict, err);
    out->value = db_col_f64(a, 11);
    AS_TRY(keep_shared(a, 12, before->prediction, &out->prediction, keep, err));
    AS_TRY(keep_shared(a, 13, before->target, &out->target, keep, err));
    out->rule = (int)db_col_i64(a, 14, 0);
    return keep_shared(a, 15, before->note, &out->note, keep, err);
}

static int32_t token_count(const db_args *a, int column)
{
    const int64_t n = db_col_i64(a, column, -1);
    return n < INT32_MAX ? (int32_t)n : INT32_MAX;
}

static as_code read_result(db_store *db, const db_args *a, const as_result *before, as_result *out,
                           as_arena *keep, as_err *err)
{
    as_result r = {.repeat = (int)db_col_i64(a, 1, 0),
                   .n_choices = (int)db_col_i64(a, 4, 0),
                   .prompt_tokens = token_count(a, 7),
                   .completion_tokens = token_count(a, 8)};
    const int64_t total_ns = db_col_i64(a, 9, -1);
    r.seconds = total_ns < 0 ? -1 : (double)total_ns / 1e9;
    AS_TRY(keep_shared(a, 2, before->item, &r.item, keep, err));
    AS_TRY(keep_shared(a, 3, before->group, &r.group, keep, err));
    AS_TRY(read_outcome(db, a, 5, &r.finish, &r.error, err));
    AS_TRY(read_score(db, a, &before->score, &r.score, keep, err));
    *out = r;
    return AS_OK;
}

typedef struct result_cursor {
    int64_t position, repeat, version;
} result_cursor;

as_code db_results(db_store *db, int64_t task_id, int scorer_version, as_result **out, size_t *n,
                   as_arena *keep, as_err *err)
{
    *out = NULL;
    *n = 0;
    db_settle(db);
    size_t cap = 0;
    AS_TRY(count_attempts(db, task_id, &cap, err));
    as_result *rows = as_new(keep, as_result, cap);
    if (rows == NULL)
        return as_nomem(err);
    db_args a;
    AS_TRY(db_prepare(&db->read, select_results, &a, err));
    db_i64(&a, task_id);
    db_i64(&a, scorer_version);
    result_cursor last = {-1, -1, -1};
    const as_result none = {0};
    size_t count = 0;
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row) {
        const result_cursor at = {db_col_i64(&a, 0, 0), db_col_i64(&a, 1, 0),
                                  db_col_i64(&a, 16, -1)};
        const bool is_same = at.position == last.position && at.repeat == last.repeat;
        if (is_same && at.version < last.version)
            continue;
        if (!is_same && count == cap)
            break; /* written by another process since we counted */
        as_result *to = is_same ? &rows[count - 1] : &rows[count];
        c = read_result(db, &a, count > 0 ? &rows[count - 1] : &none, to, keep, err);
        if (c != AS_OK)
            break;
        count += is_same ? 0 : 1;
        last = at;
    }
    db_finish(&a);
    if (c != AS_OK)
        return c;
    *out = rows;
    *n = count;
    return AS_OK;
}

/* ---- texts -------------------------------------------------------------------------------------
 */

static as_code keep_blob(db_store *db, const db_args *a, int column, as_str *out, as_arena *keep,
                         as_err *err)
{
    as_sha256 key;
    *out = AS_STR("");
    if (!db_col_sha(a, column, &key))
        return AS_OK;
    as_buf text;
    as_buf_init(&text, (size_t)1 << 30);
    as_code c = db_blob_get(&db->read, &key, &text, err);
    if (c == AS_OK) {
        *out = as_arena_str(keep, as_buf_str(&text));
        if (!as_str_is_set(*out))
            c = as_nomem(err);
    }
    as_buf_release(&text);
    return c;
}

as_code db_attempt_texts(db_store *db, int64_t task_id, as_str item, int repeat, db_texts *out,
                         as_arena *keep, as_err *err)
{
    *out = (db_texts){0};
    db_settle(db);
    db_args a;
    AS_TRY(db_prepare(&db->read,
                      "SELECT a.prefix, a.prompt, a.reasoning, a.answer, a.message, a.is_chat"
                      " FROM item i CROSS JOIN attempt a ON a.task_id = i.task_id"
                      " AND a.position = i.position WHERE i.task_id = ? AND i.item = ?"
                      " AND a.repeat = ? AND a.counts = 1",
                      &a, err));
    db_i64(&a, task_id);
    db_str(&a, item);
    db_i64(&a, repeat);
    bool has_row = false;
    as_code c = db_step(&a, &has_row, err);
    if (c == AS_OK && !has_row)
        c = as_fail(err, AS_RANGE, "%s: task %lld has no answer to item \"%.*s\", repeat %d",
                    db->path, (long long)task_id, AS_ARG(item), repeat);
    db_texts t = {0};
    as_str *const texts[] = {&t.prefix, &t.prompt, &t.reasoning, &t.answer};
    for (int i = 0; c == AS_OK && i < 4; i++)
        c = keep_blob(db, &a, i, texts[i], keep, err);
    if (c == AS_OK)
        c = db_col_keep(&a, 4, &t.message, keep, err);
    if (c == AS_OK) {
        t.is_chat = db_col_i64(&a, 5, 0) != 0;
        *out = t;
    }
    db_finish(&a);
    return c;
}

/* ---- everything, one by one --------------------------------------------------------------------
 */

static const char select_attempts[] =
    "SELECT a.position, a.repeat, i.item, i.grp, i.n_choices, i.target, i.origin, a.finish,"
    " a.error, a.message, a.n_choices, a.recorded_target, a.http_status, a.prompt_tokens,"
    " a.completion_tokens, a.reasoning_tokens, a.cached_tokens, a.started_wall_ns, a.queue_ns,"
    " a.connect_ns, a.first_token_ns, a.total_ns, a.client_cpu_ns, a.reasoning, a.answer"
    " FROM attempt a JOIN item i ON i.task_id = a.task_id AND i.position = a.position"
    " WHERE a.task_id = ? AND a.counts = 1 ORDER BY a.position, a.repeat";

static as_code read_response(db_store *db, const db_args *a, as_response *out, as_arena *keep,
                             as_err *err)
{
    as_response r;
    as_response_init(&r);
    AS_TRY(read_outcome(db, a, 7, &r.finish, &r.error, err));
    AS_TRY(db_col_keep(a, 9, &r.message, keep, err));
    const int n_choices = (int)db_col_i64(a, 10, 0);
    if (n_choices != (int)db_col_i64(a, 4, 0))
        r.recorded.n_choices = n_choices;
    AS_TRY(db_col_keep(a, 11, &r.recorded.target, keep, err));
    r.http_status = (int)db_col_i64(a, 12, 0);
    int64_t *const known[] = {&r.prompt_tokens, &r.completion_tokens, &r.reasoning_tokens,
                              &r.cached_tokens, &r.started_wall_ns,   &r.queue_ns,
                              &r.connect_ns,    &r.first_token_ns,    &r.total_ns,
                              &r.client_cpu_ns};
    for (int i = 0; i < 10; i++)
        *known[i] = db_col_i64(a, 13 + i, -1);
    AS_TRY(keep_blob(db, a, 23, &r.reasoning, keep, err));
    AS_TRY(keep_blob(db, a, 24, &r.text, keep, err));
    *out = r;
    return AS_OK;
}

typedef struct page_cache {
    as_json *tree;
    size_t page;
} page_cache;

static as_code read_sample(db_store *db, int64_t task_id, const db_args *a, page_cache *cache,
                           as_sample *out, as_arena *keep, as_err *err)
{
    const size_t position = (size_t)db_col_i64(a, 0, 0);
    const size_t page = position / DB_PAGE_ITEMS;
    if (cache->tree == NULL || cache->page != page) {
        as_json_free(cache->tree);
        cache->page = page;
        AS_TRY(db_page_load(&db->read, task_id, page, &cache->tree, err));
    }
    as_sample s = {.n_choices = (int)db_col_i64(a, 4, 0)};
    AS_TRY(db_col_keep(a, 2, &s.id, keep, err));
    AS_TRY(db_col_keep(a, 3, &s.group, keep, err));
    AS_TRY(db_col_keep(a, 5, &s.target, keep, err));
    AS_TRY(db_col_keep(a, 6, &s.origin, keep, err));
    AS_TRY(db_page_sample(cache->tree, position, &s, keep, err));
    *out = s;
    return AS_OK;
}

as_code db_each_attempt(db_store *db, int64_t task_id, db_attempt_fn fn, void *user, as_err *err)
{
    db_settle(db);
    db_args a;
    AS_TRY(db_prepare_once(&db->read, select_attempts, &a, err));
    db_i64(&a, task_id);
    as_arena arena;
    as_arena_init(&arena, 0);
    page_cache cache = {0};
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row) {
        const size_t mark = as_arena_mark(&arena);
        as_sample sample;
        as_response response;
        c = read_sample(db, task_id, &a, &cache, &sample, &arena, err);
        if (c == AS_OK)
            c = read_response(db, &a, &response, &arena, err);
        if (c == AS_OK)
            c = fn(user, (size_t)db_col_i64(&a, 0, 0), (int)db_col_i64(&a, 1, 0), &sample,
                   &response, err);
        if (c != AS_OK)
            break;
        as_arena_rewind(&arena, mark);
    }
    as_json_free(cache.tree);
    as_arena_release(&arena);
    db_finish(&a);
    return c;
}
