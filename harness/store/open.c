#include "store/store_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/time.h"
#include "store/schema.h"
#include "store/testing.h"

as_code db_need_writer(const db_store *db, as_err *err)
{
    if (db->queue.is_running)
        return AS_OK;
    return as_fail(err, AS_UNSUPPORTED, "%s: opened for reading only", db->path);
}

static as_code pragma_i64(db_conn *c, const char *sql, int64_t *out, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare_once(c, sql, &a, err));
    return db_one_i64(&a, 0, out, err);
}

/* What stands in the file's way before SQLite sees it. */
static as_code check_path(const char *path, db_mode mode, as_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno != ENOENT)
            return as_fail_sys(err, "%s", path);
        if (mode != DB_CREATE)
            return as_fail(err, AS_RANGE, "%s: no such file; \"assay run\" makes one", path);
        const char *slash = strrchr(path, '/');
        if (slash == NULL || slash == path)
            return AS_OK;
        char *dir = strndup(path, (size_t)(slash - path));
        if (dir == NULL)
            return as_nomem(err);
        const as_code c = as_make_dirs(dir, err);
        free(dir);
        return c;
    }
    if (S_ISDIR(st.st_mode))
        return as_fail(err, AS_RANGE, "%s: is a folder, want a database file", path);
    return AS_OK;
}

static as_code refuse_foreign(db_conn *c, int64_t version, as_err *err)
{
    int64_t id = 0;
    int64_t n_tables = 0;
    AS_TRY(pragma_i64(c, "PRAGMA application_id", &id, err));
    AS_TRY(pragma_i64(c, "SELECT count(*) FROM sqlite_schema", &n_tables, err));
    if (id != DB_APPLICATION_ID && (id != 0 || n_tables != 0))
        return as_fail(err, AS_RANGE, "%s: a database, but not one of assay's; nothing was changed",
                       c->path);
    if (version > db_schema_version())
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: written by a newer assay (schema %lld, this one knows %d); use that "
                       "one, or another file",
                       c->path, (long long)version, db_schema_version());
    return AS_OK;
}

/* One row per migration: which text was applied, and when. */
static as_code note_migration(db_conn *c, const db_migration *m, as_err *err)
{
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    for (const char *const *s = m->statements; *s != NULL; s++)
        as_sha256_add_field(h, as_str_of(*s));
    const as_sha256 sum = as_sha256_end(h);
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &sum);
    char key[32];
    (void)snprintf(key, sizeof key, "migration.%d", m->version);
    char now[AS_ISO_TIME];
    as_iso_time(now, as_wall_ns());
    db_args a;
    AS_TRY(db_prepare_once(c, "INSERT INTO meta(key, value, created) VALUES(?,?,?)", &a, err));
    db_str(&a, as_str_of(key));
    db_str(&a, as_str_of(hex));
    db_str(&a, as_str_of(now));
    return db_run_args(&a, err);
}

static as_code apply(db_conn *c, const db_migration *m, as_err *err)
{
    for (const char *const *s = m->statements; *s != NULL; s++)
        AS_TRY(db_exec(c, *s, err));
    char sql[96];
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                   DB_APPLICATION_ID, m->version);
    AS_TRY(db_exec(c, sql, err));
    return note_migration(c, m, err);
}

/* Every missing migration in one transaction, so that a file has all of them or is as it was; the
 * version is read inside, because another process may have been faster. */
static as_code apply_missing(db_conn *c, as_err *err)
{
    int64_t version = 0;
    AS_TRY(pragma_i64(c, "PRAGMA user_version", &version, err));
    for (int i = 0; i < db_n_migrations; i++)
        if (version < db_migrations[i].version)
            AS_TRY(apply(c, &db_migrations[i], err));
    return AS_OK;
}

static as_code migrate(db_conn *c, as_err *err)
{
    AS_TRY(db_exec(c, "BEGIN IMMEDIATE", err));
    as_code code = apply_missing(c, err);
    if (code == AS_OK)
        code = db_exec(c, "COMMIT", err);
    if (code != AS_OK)
        (void)sqlite3_exec(c->h, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

static as_code check_version(db_conn *c, bool may_write, as_err *err)
{
    int64_t version = 0;
    AS_TRY(pragma_i64(c, "PRAGMA user_version", &version, err));
    AS_TRY(refuse_foreign(c, version, err));
    if (version == db_schema_version())
        return AS_OK;
    if (may_write)
        return migrate(c, err);
    if (version == 0)
        return as_fail(err, AS_RANGE, "%s: an empty file, not a store", c->path);
    return as_fail(err, AS_UNSUPPORTED,
                   "%s: schema %lld is older than this program's %d; \"assay db check\" brings it "
                   "up to date",
                   c->path, (long long)version, db_schema_version());
}

static as_code open_conn(db_conn *c, const char *path, int flags, as_err *err)
{
    c->path = path;
    const int rc = sqlite3_open_v2(path, &c->h, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return db_sql_fail(c, rc, err);
    (void)sqlite3_extended_result_codes(c->h, 1);
    (void)sqlite3_busy_timeout(c->h, DB_BUSY_MS);
    return AS_OK;
}

static as_code open_writer(db_store *db, as_err *err)
{
    db_conn *c = &db->writer.conn;
    AS_TRY(open_conn(c, db->path,
                     SQLITE_OPEN_READWRITE | (db->mode == DB_CREATE ? SQLITE_OPEN_CREATE : 0),
                     err));
    int64_t version = 0;
    AS_TRY(pragma_i64(c, "PRAGMA user_version", &version, err));
    AS_TRY(refuse_foreign(c, version, err)); /* before anything is changed */
    AS_TRY(db_exec(c,
                   "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
                   "PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY;"
                   "PRAGMA wal_autocheckpoint=4096; PRAGMA journal_size_limit=67108864",
                   err));
    return check_version(c, true, err);
}

/* A file in a folder that cannot be written has no place for WAL's index; without a log beside it
 * it cannot change either, so it may be read as it is. */
static as_code open_immutable(db_conn *c, const char *path, as_err *err)
{
    db_conn_close(c);
    as_buf uri;
    as_buf_init(&uri, 0);
    (void)as_buf_add_z(&uri, "file:");
    for (const char *p = path; *p != '\0'; p++)
        (void)(strchr("%?#", *p) != NULL ? as_buf_printf(&uri, "%%%02X", (unsigned char)*p)
                                         : as_buf_add_byte(&uri, *p));
    (void)as_buf_add_z(&uri, "?immutable=1");
    as_code code = as_buf_ok(&uri, err);
    if (code == AS_OK)
        code = open_conn(c, uri.p, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, err);
    c->path = path;
    as_buf_release(&uri);
    return code;
}

static as_code open_reader(db_store *db, as_err *err)
{
    db_conn *c = &db->read;
    /* Not READONLY: such a connection cannot take WAL's files away when it is the last to close.
     * query_only below keeps it from writing; SQLite itself falls back where the file is protected. */
    AS_TRY(open_conn(c, db->path, SQLITE_OPEN_READWRITE, err));
    as_err first = {0};
    int64_t version = 0;
    if (pragma_i64(c, "PRAGMA user_version", &version, &first) != AS_OK) {
        if (first.code != AS_IO || db->mode != DB_READ) {
            if (err != NULL)
                *err = first;
            return first.code;
        }
        AS_TRY(open_immutable(c, db->path, err));
    }
    AS_TRY(
        db_exec(c, "PRAGMA cache_size=-2048; PRAGMA temp_store=MEMORY; PRAGMA query_only=ON", err));
    return check_version(c, false, err);
}

as_code db_open(db_store **out, const char *path, db_mode mode, const as_log *log, as_err *err)
{
    *out = NULL;
    AS_TRY(check_path(path, mode, err));
    db_store *db = calloc(1, sizeof *db);
    if (db == NULL)
        return as_nomem(err);
    db->mode = mode;
    db->log = log;
    db->path = strdup(path);
    db_packer_init(&db->writer.packer);
    db_packer_init(&db->helper);
    (void)pthread_mutex_init(&db->helper_lock, NULL);
    as_code c = db->path != NULL ? AS_OK : as_nomem(err);
    if (c == AS_OK && mode != DB_READ)
        c = open_writer(db, err);
    if (c == AS_OK)
        c = open_reader(db, err);
    if (c == AS_OK && mode != DB_READ)
        c = db_queue_start(db, err);
    if (c != AS_OK) {
        db_close(db);
        return c;
    }
    *out = db;
    return AS_OK;
}

void db_close(db_store *db)
{
    if (db == NULL)
        return;
    db_queue_stop(db);
    if (db->queue.has_failed)
        as_log_line(db->log, AS_LOG_ERROR, "store: %s", db->queue.failure.text);
    db_conn_close(&db->read);
    db_conn_close(&db->writer.conn); /* last: the one that can empty the log */
    db_packer_release(&db->writer.packer);
    db_packer_release(&db->helper);
    (void)pthread_mutex_destroy(&db->helper_lock);
    free(db->path);
    free(db);
}

static as_code pragma_on_writer(db_writer *w, void *user, as_err *err)
{
    return db_exec(&w->conn, user, err);
}

as_code db_testing_max_pages(db_store *db, int max_pages, as_err *err)
{
    char sql[64];
    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count=%d", max_pages);
    return db_call(db, pragma_on_writer, sql, err);
}

static as_code set_busy(db_writer *w, void *user, as_err *err)
{
    (void)err;
    const int *ms = user;
    (void)sqlite3_busy_timeout(w->conn.h, *ms);
    return AS_OK;
}

as_code db_testing_busy_ms(db_store *db, int busy_ms, as_err *err)
{
    return db_call(db, set_busy, &busy_ms, err);
}
