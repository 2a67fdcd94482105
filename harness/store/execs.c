/* execs.c — how programs ran: written beside a score, read for people. */
#include "store/store_impl.h"

static as_sha256 box_key(const as_exec *e)
{
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return (as_sha256){{0}};
    as_sha256_add_field(h, e->sandbox);
    as_sha256_add_field(h, e->toolchain);
    as_sha256_add_field(h, e->tool_sha256);
    as_sha256_add_field(h, e->limits);
    return as_sha256_end(h);
}

static as_code put_box(db_writer *w, const as_exec *e, const as_sha256 *key, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT OR IGNORE INTO box(sha256, sandbox, toolchain, tool_sha256, limits)"
                      " VALUES(?,?,?,?,?)",
                      &a, err));
    db_sha(&a, key);
    db_str(&a, e->sandbox);
    db_str(&a, e->toolchain);
    db_str(&a, e->tool_sha256);
    db_str(&a, e->limits.n != 0 ? e->limits : AS_STR("{}"));
    return db_run_args(&a, err);
}

static int64_t ns_of(int64_t us)
{
    return us < 0 ? -1 : us * 1000;
}

static as_code put_exec(db_writer *w, const db_record *r, int no, as_err *err)
{
    const as_exec *e = &r->score.execs[no];
    const as_sha256 key = box_key(e);
    AS_TRY(put_box(w, e, &key, err));
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO exec(task_id, position, repeat, scorer, scorer_version, no,"
                      " kind, first_test, n_tests, codes, verdict, detail, exit_code, signal,"
                      " cpu_ns, wall_ns, peak_bytes, output_bytes, n_runs, errors, box)"
                      " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                      &a, err));
    db_i64(&a, r->task_id);
    db_i64(&a, (int64_t)r->position);
    db_i64(&a, r->repeat);
    db_str(&a, r->scorer);
    db_i64(&a, r->scorer_version);
    db_i64(&a, no);
    db_str(&a, e->is_compiler ? AS_STR("compile") : AS_STR("run"));
    db_i64(&a, e->first_test);
    db_i64(&a, e->n_tests);
    db_str(&a, e->codes.n != 0 ? e->codes : AS_STR("[]"));
    db_str(&a, e->verdict);
    db_str(&a, e->detail);
    db_i64_known(&a, e->exit_code);
    db_i64_known(&a, e->term_signal > 0 ? e->term_signal : -1);
    db_i64_known(&a, ns_of(e->cpu_us));
    db_i64_known(&a, ns_of(e->wall_us));
    db_i64_known(&a, e->peak_bytes);
    db_i64_known(&a, e->output_bytes);
    db_i64(&a, e->n_runs);
    db_str(&a, e->errors);
    db_sha(&a, &key);
    return db_run_args(&a, err);
}

as_code db_write_execs(db_writer *w, const db_record *record, as_err *err)
{
    for (int i = 0; i < record->score.n_execs; i++)
        AS_TRY(put_exec(w, record, i, err));
    return AS_OK;
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* The newest score of the task's own scorer is the one that is shown. */
#define OF_ANSWER                                                                                  \
    " FROM exec e JOIN box b ON b.sha256 = e.box JOIN task t ON t.id = e.task_id"                  \
    " JOIN item i ON i.task_id = e.task_id AND i.position = e.position"                            \
    " WHERE e.task_id = ?1 AND i.item = ?2 AND e.repeat = ?3 AND e.scorer = t.scorer"              \
    " AND e.scorer_version = (SELECT max(s.scorer_version) FROM score s WHERE s.task_id = ?1"      \
    "  AND s.position = e.position AND s.repeat = ?3 AND s.scorer = t.scorer)"

static as_code bind_answer(db_store *db, const char *sql, int64_t task_id, as_str item, int repeat,
                           db_args *a, as_err *err)
{
    AS_TRY(db_prepare(&db->read, sql, a, err));
    db_i64(a, task_id);
    db_str(a, item);
    db_i64(a, repeat);
    return AS_OK;
}

static int64_t us_of(int64_t ns)
{
    return ns < 0 ? -1 : ns / 1000;
}

static as_code read_exec(const db_args *a, as_exec *out, as_arena *keep, as_err *err)
{
    as_exec e = {
        .is_compiler = as_str_eq_z(db_col_str(a, 0), "compile"),
        .first_test = (int)db_col_i64(a, 1, 0),
        .n_tests = (int)db_col_i64(a, 2, 0),
        .exit_code = (int)db_col_i64(a, 3, -1),
        .term_signal = (int)db_col_i64(a, 4, 0),
        .cpu_us = us_of(db_col_i64(a, 5, -1)),
        .wall_us = us_of(db_col_i64(a, 6, -1)),
        .peak_bytes = db_col_i64(a, 7, -1),
        .output_bytes = db_col_i64(a, 8, -1),
        .n_runs = (int)db_col_i64(a, 9, 1),
    };
    as_str *const texts[] = {&e.codes,  &e.verdict, &e.detail,    &e.errors,
                             &e.limits, &e.sandbox, &e.toolchain, &e.tool_sha256};
    for (int i = 0; i < 8; i++)
        AS_TRY(db_col_keep(a, 10 + i, texts[i], keep, err));
    *out = e;
    return AS_OK;
}

as_code db_execs(db_store *db, int64_t task_id, as_str item, int repeat, as_exec **out, int *n,
                 as_arena *keep, as_err *err)
{
    *out = NULL;
    *n = 0;
    db_settle(db);
    db_args a;
    int64_t cap = 0;
    AS_TRY(bind_answer(db, "SELECT count(*)" OF_ANSWER, task_id, item, repeat, &a, err));
    AS_TRY(db_one_i64(&a, 0, &cap, err));
    as_exec *rows = as_new(keep, as_exec, cap);
    if (rows == NULL)
        return as_nomem(err);
    AS_TRY(
        bind_answer(db,
                    "SELECT e.kind, e.first_test, e.n_tests, e.exit_code, e.signal, e.cpu_ns,"
                    " e.wall_ns, e.peak_bytes, e.output_bytes, e.n_runs, e.codes, e.verdict,"
                    " e.detail, e.errors, b.limits, b.sandbox, b.toolchain, b.tool_sha256" OF_ANSWER
                    " ORDER BY e.no",
                    task_id, item, repeat, &a, err));
    int count = 0;
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row && count < cap)
        if ((c = read_exec(&a, &rows[count++], keep, err)) != AS_OK)
            break;
    db_finish(&a);
    if (c != AS_OK)
        return c;
    *out = rows;
    *n = count;
    return AS_OK;
}

as_code db_sandbox_of(db_store *db, int64_t task_id, as_str *out, as_arena *keep, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&db->read,
                      "SELECT group_concat(sandbox, ', ') FROM (SELECT DISTINCT sandbox FROM box"
                      " WHERE sha256 IN (SELECT box FROM exec WHERE task_id = ?) ORDER BY sandbox)",
                      &a, err));
    db_i64(&a, task_id);
    bool has_row = false;
    as_code c = db_step(&a, &has_row, err);
    if (c == AS_OK && has_row)
        c = db_col_keep(&a, 0, out, keep, err);
    db_finish(&a);
    return c;
}
