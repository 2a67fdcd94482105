#include "store/store_impl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/time.h"

/* ---- is somebody else at it? ------------------------------------------------------------------
 */

/* When a process of this machine began, ns since 1970; 0 if there is none (or no /proc). Field 22
 * of /proc/PID/stat counts clock ticks since boot; the name in field 2 may hold anything but ends
 * in the last ")". */
static int64_t process_started_ns(int64_t pid)
{
    enum { FIELDS_BEHIND_NAME = 20 };
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    as_buf b;
    as_buf_init(&b, 1 << 16);
    int64_t ticks = -1;
    if (as_read_file(&b, path, NULL) == AS_OK) {
        as_str rest = as_buf_str(&b);
        rest = as_str_sub(rest, as_str_rfind(rest, AS_STR(")")), rest.n);
        as_str field = {0};
        for (int i = 0; i < FIELDS_BEHIND_NAME; i++)
            (void)as_str_cut(rest, ' ', &field, &rest);
        (void)as_str_cut(rest, ' ', &field, &rest);
        if (!as_parse_i64(field, 0, INT64_MAX / 1000000000, &ticks))
            ticks = -1;
    }
    as_buf_release(&b);
    struct timespec up;
    const int64_t hz = sysconf(_SC_CLK_TCK);
    if (ticks < 0 || hz <= 0 || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return 0;
    const int64_t booted_ns = as_wall_ns() - ((int64_t)up.tv_sec * 1000000000 + up.tv_nsec);
    return booted_ns + ticks / hz * 1000000000;
}

/* A session that never ended and whose process is alive: the process has the number and began
 * before the session did. A killed one leaves no such process, so nothing must be unlocked. */
as_code db_session_check(db_writer *w, int64_t run_id, int64_t host_id, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "SELECT pid, started_ns, host_id, status FROM session WHERE run_id = ?"
                      " ORDER BY session DESC LIMIT 1",
                      &a, err));
    db_i64(&a, run_id);
    bool has_row = false;
    as_code c = db_step(&a, &has_row, err);
    if (c == AS_OK && has_row && as_str_eq_z(db_col_str(&a, 3), "running") &&
        db_col_i64(&a, 2, 0) == host_id && db_col_i64(&a, 0, 0) != getpid()) {
        const int64_t pid = db_col_i64(&a, 0, 0);
        const int64_t began_ns = process_started_ns(pid);
        if (began_ns != 0 && began_ns <= db_col_i64(&a, 1, 0))
            c = as_fail(err, AS_TIMEOUT,
                        "%s: another assay process writes to run %lld: process %lld; wait for it, "
                        "end it, or start a run of its own with --new-run",
                        w->conn.path, (long long)run_id, (long long)pid);
    }
    db_finish(&a);
    return c;
}

/* ---- beginning and ending ---------------------------------------------------------------------
 */

as_code db_session_begin(db_writer *w, const db_session *s, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn, "SELECT max(session) + 1 FROM session WHERE run_id = ?", &a, err));
    db_i64(&a, s->run_id);
    AS_TRY(db_one_i64(&a, 0, &w->session, err));
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO session(run_id, session, host_id, build_id, backend_id, argv,"
                      " pid, started_ns, seen_ns, concurrency, status)"
                      " VALUES(?,?,?,?,?,?,?,?,?,?,'running')",
                      &a, err));
    const int64_t now = as_wall_ns();
    db_i64(&a, s->run_id);
    db_i64(&a, w->session);
    db_i64(&a, s->host_id);
    db_i64(&a, s->build_id);
    db_i64(&a, s->backend_id);
    db_str(&a, s->argv);
    db_i64(&a, getpid());
    db_i64(&a, now);
    db_i64(&a, now);
    db_i64_known(&a, s->concurrency > 0 ? s->concurrency : -1);
    w->run_id = s->run_id;
    return db_run_args(&a, err);
}

typedef struct finish_call {
    int64_t run_id;
    const db_run_end *end;
} finish_call;

static as_code finish_session(db_writer *w, const finish_call *f, as_err *err)
{
    if (w->run_id != f->run_id)
        return AS_OK; /* finished by somebody who did not begin it here */
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "UPDATE session SET status = ?, wall_ns = ?, client_cpu_ns = ?, seen_ns = ?,"
                      " work_wall_ns = ?, concurrency = coalesce(?, concurrency) WHERE run_id = ? "
                      "AND session = ?",
                      &a, err));
    db_str(&a, f->end->status);
    db_i64_known(&a, f->end->wall_ns);
    db_i64_known(&a, f->end->client_cpu_ns);
    db_i64(&a, as_wall_ns());
    db_i64_known(&a, f->end->work_wall_ns > 0 ? f->end->work_wall_ns : -1);
    db_i64_known(&a, f->end->concurrency > 0 ? f->end->concurrency : -1);
    db_i64(&a, f->run_id);
    db_i64(&a, w->session);
    AS_TRY(db_run_args(&a, err));
    AS_TRY(db_prepare(&w->conn,
                      "INSERT OR REPLACE INTO mem(run_id, session, sample, at_ns, peak_rss_bytes,"
                      " weights_bytes, kv_bytes, scratch_bytes) VALUES(?,?,0,?,?,?,?,?)",
                      &a, err));
    db_i64(&a, f->run_id);
    db_i64(&a, w->session);
    db_i64(&a, as_wall_ns());
    db_i64_known(&a, f->end->peak_rss_bytes);
    db_i64_known(&a, f->end->weights_bytes);
    db_i64_known(&a, f->end->kv_bytes);
    db_i64_known(&a, f->end->scratch_bytes);
    return db_run_args(&a, err);
}

static as_code run_finish(db_writer *w, void *user, as_err *err)
{
    const finish_call *f = user;
    char now[AS_ISO_TIME];
    as_iso_time(now, as_wall_ns());
    db_args a;
    AS_TRY(db_prepare(&w->conn, "UPDATE run SET status = ?, finished = ? WHERE id = ?", &a, err));
    db_str(&a, f->end->status);
    db_str(&a, as_str_of(now));
    db_i64(&a, f->run_id);
    AS_TRY(db_run_args(&a, err));
    if (sqlite3_changes(w->conn.h) != 1)
        return as_fail(err, AS_RANGE, "%s: there is no run %lld", w->conn.path,
                       (long long)f->run_id);
    return finish_session(w, f, err);
}

as_code db_run_finish(db_store *db, int64_t run_id, const db_run_end *end, as_err *err)
{
    if (end->status.n == 0 || as_str_eq_z(end->status, "complete") != end->is_complete)
        return as_fail(err, AS_BUG, "store: a run that ends \"%.*s\" is%s said to be complete",
                       AS_ARG(end->status), end->is_complete ? "" : " not");
    finish_call call = {run_id, end};
    return db_call(db, run_finish, &call, err);
}

static as_code run_restate(db_writer *w, void *user, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "UPDATE run SET status = 'complete' WHERE id = ?1"
                      " AND status IN ('incomplete', 'interrupted') AND NOT EXISTS"
                      " (SELECT 1 FROM task t WHERE t.run_id = ?1 AND t.n_items * t.repeats <>"
                      "  (SELECT count(*) FROM attempt a JOIN score s USING(task_id, position,"
                      "   repeat, try) WHERE a.task_id = t.id AND a.counts = 1"
                      "   AND a.error = 'none' AND s.scorer = t.scorer"
                      "   AND s.scorer_version = t.scorer_version AND s.verdict <> 'ungraded'))",
                      &a, err));
    db_i64(&a, *(const int64_t *)user);
    return db_run_args(&a, err);
}

as_code db_run_restate(db_store *db, int64_t run_id, as_err *err)
{
    return db_call(db, run_restate, &run_id, err);
}
