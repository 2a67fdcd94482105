#include "store/store_impl.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static as_code code_of(int rc)
{
    switch (rc & 0xFF) {
    case SQLITE_NOMEM:
        return AS_NOMEM;
    case SQLITE_CORRUPT:
    case SQLITE_CONSTRAINT:
        return AS_INTEGRITY;
    case SQLITE_NOTADB:
        return AS_RANGE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return AS_TIMEOUT;
    case SQLITE_MISUSE:
        return AS_BUG;
    default:
        return AS_IO;
    }
}

as_code db_sql_fail(const db_conn *c, int rc, as_err *err)
{
    const char *path = c->path;
    const as_code code = code_of(rc);
    switch (rc & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return as_fail(
            err, code,
            "%s: another assay process writes to it; wait for it to end, or find it with "
            "\"fuser %s\", or give this run a file of its own with --db",
            path, path);
    case SQLITE_FULL:
        (void)as_fail(err, code,
                      "%s: the disk is full; what was stored before is safe: make room and run the "
                      "same command again",
                      path);
        if (err != NULL)
            err->sys = ENOSPC;
        return code;
    case SQLITE_CORRUPT:
        return as_fail(err, code,
                       "%s: the file is damaged (%s); \"assay db check\" says where, a copy of it "
                       "is the remedy",
                       path, sqlite3_errmsg(c->h));
    case SQLITE_NOTADB:
        return as_fail(err, code, "%s: not a database", path);
    case SQLITE_READONLY:
        return as_fail(err, code, "%s: the file or its folder cannot be written", path);
    case SQLITE_CANTOPEN:
        errno = c->h != NULL ? sqlite3_system_errno(c->h) : 0;
        return errno != 0 ? as_fail_sys(
                                err, "%s: cannot be opened (are it and its folder writable?)", path)
                          : as_fail(err, code, "%s: cannot be opened", path);
    default:
        return as_fail(err, code, "%s: %s", path,
                       c->h != NULL ? sqlite3_errmsg(c->h) : sqlite3_errstr(rc));
    }
}

as_code db_exec(db_conn *c, const char *sql, as_err *err)
{
    const int rc = sqlite3_exec(c->h, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? AS_OK : db_sql_fail(c, rc, err);
}

as_code db_prepare(db_conn *c, const char *sql, db_args *out, as_err *err)
{
    *out = (db_args){.conn = c, .is_cached = true};
    for (int i = 0; i < c->n_cached; i++)
        if (c->cached[i].sql == sql) {
            out->st = c->cached[i].st;
            return AS_OK;
        }
    if (c->n_cached == DB_MAX_STATEMENTS)
        return as_fail(err, AS_BUG, "store: more than %d prepared statements", DB_MAX_STATEMENTS);
    const int rc = sqlite3_prepare_v3(c->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &out->st, NULL);
    if (rc != SQLITE_OK)
        return db_sql_fail(c, rc, err);
    c->cached[c->n_cached].sql = sql;
    c->cached[c->n_cached++].st = out->st;
    return AS_OK;
}

as_code db_prepare_once(db_conn *c, const char *sql, db_args *out, as_err *err)
{
    *out = (db_args){.conn = c};
    const int rc = sqlite3_prepare_v2(c->h, sql, -1, &out->st, NULL);
    return rc == SQLITE_OK ? AS_OK : db_sql_fail(c, rc, err);
}

static void note_rc(db_args *a, int rc)
{
    if (a->rc == SQLITE_OK)
        a->rc = rc;
}

void db_i64(db_args *a, int64_t v)
{
    note_rc(a, sqlite3_bind_int64(a->st, ++a->i, v));
}

void db_i64_known(db_args *a, int64_t v)
{
    if (v < 0)
        note_rc(a, sqlite3_bind_null(a->st, ++a->i));
    else
        db_i64(a, v);
}

void db_f64(db_args *a, double v)
{
    note_rc(a, isnan(v) ? sqlite3_bind_null(a->st, ++a->i) : sqlite3_bind_double(a->st, ++a->i, v));
}

void db_str(db_args *a, as_str s)
{
    note_rc(a, sqlite3_bind_text64(a->st, ++a->i, s.p != NULL ? s.p : "", s.n, SQLITE_STATIC,
                                   SQLITE_UTF8));
}

void db_str_set(db_args *a, as_str s)
{
    if (as_str_is_set(s))
        db_str(a, s);
    else
        note_rc(a, sqlite3_bind_null(a->st, ++a->i));
}

void db_bytes(db_args *a, const void *p, size_t n)
{
    note_rc(a, sqlite3_bind_blob64(a->st, ++a->i, n != 0 ? p : "", n, SQLITE_STATIC));
}

void db_sha(db_args *a, const as_sha256 *h)
{
    if (h == NULL)
        note_rc(a, sqlite3_bind_null(a->st, ++a->i));
    else
        db_bytes(a, h->b, sizeof h->b);
}

void db_finish(db_args *a)
{
    if (a->st == NULL)
        return;
    if (a->is_cached) {
        (void)sqlite3_reset(a->st);
        (void)sqlite3_clear_bindings(a->st);
    } else {
        (void)sqlite3_finalize(a->st);
    }
    a->st = NULL;
}

as_code db_step(db_args *a, bool *has_row, as_err *err)
{
    *has_row = false;
    int rc = a->rc;
    if (rc == SQLITE_OK)
        rc = sqlite3_step(a->st);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        *has_row = rc == SQLITE_ROW;
        return AS_OK;
    }
    return db_sql_fail(a->conn, rc, err);
}

as_code db_run_args(db_args *a, as_err *err)
{
    bool has_row = false;
    const as_code c = db_step(a, &has_row, err);
    db_finish(a);
    return c;
}

as_code db_one_i64(db_args *a, int64_t none, int64_t *out, as_err *err)
{
    bool has_row = false;
    const as_code c = db_step(a, &has_row, err);
    if (c == AS_OK)
        *out = has_row ? db_col_i64(a, 0, none) : none;
    db_finish(a);
    return c;
}

void db_conn_close(db_conn *c)
{
    for (int i = 0; i < c->n_cached; i++)
        (void)sqlite3_finalize(c->cached[i].st);
    c->n_cached = 0;
    (void)sqlite3_close(c->h);
    c->h = NULL;
}

int64_t db_col_i64(const db_args *a, int i, int64_t when_null)
{
    return sqlite3_column_type(a->st, i) == SQLITE_NULL ? when_null
                                                        : sqlite3_column_int64(a->st, i);
}

double db_col_f64(const db_args *a, int i)
{
    return sqlite3_column_type(a->st, i) == SQLITE_NULL ? (double)NAN
                                                        : sqlite3_column_double(a->st, i);
}

as_str db_col_str(const db_args *a, int i)
{
    if (sqlite3_column_type(a->st, i) == SQLITE_NULL)
        return (as_str){0};
    const void *p = sqlite3_column_blob(a->st, i); /* the bytes as they are, also for text */
    const int n = sqlite3_column_bytes(a->st, i);
    return (as_str){p != NULL ? p : "", p != NULL ? (size_t)n : 0};
}

as_code db_col_keep(const db_args *a, int i, as_str *out, as_arena *keep, as_err *err)
{
    const as_str s = db_col_str(a, i);
    *out = (as_str){0};
    if (!as_str_is_set(s))
        return AS_OK;
    *out = as_arena_str(keep, s);
    return as_str_is_set(*out) ? AS_OK : as_nomem(err);
}

bool db_col_sha(const db_args *a, int i, as_sha256 *out)
{
    const as_str s = db_col_str(a, i);
    if (s.n != sizeof out->b)
        return false;
    memcpy(out->b, s.p, s.n);
    return true;
}
