#ifndef STORE_STORE_IMPL_H
#define STORE_STORE_IMPL_H
/*
 * store_impl.h — what the files of this folder share. Nobody else includes it.
 *
 * A db_conn is a connection with its prepared statements. The store has two: `write` belongs to the
 * writer thread once that runs, `read` to the thread that opened the store.
 */
#include <pthread.h>
#include <sqlite3.h>
#define ZLIB_CONST /* input is const */
#include <zlib.h>

#include "base/json.h"
#include "store/query.h"
#include "store/store.h"

/* ---- sql.c: connections, statements, errors ---------------------------------------------------
 */

enum { DB_BUSY_MS = 5000, DB_MAX_STATEMENTS = 64 };

typedef struct db_conn {
    sqlite3 *h;
    const char *path; /* for messages */
    /* Prepared statements, found by the address of their text: only literals may be cached. */
    struct {
        const char *sql;
        sqlite3_stmt *st;
    } cached[DB_MAX_STATEMENTS];
    int n_cached;
} db_conn;

/* Arguments of a statement, bound in order; rc keeps the first failure. */
typedef struct db_args {
    db_conn *conn;
    sqlite3_stmt *st;
    int i;
    int rc;
    bool is_cached;
} db_args;

/* Turns SQLite's state into a sentence. */
as_code db_sql_fail(const db_conn *c, int rc, as_err *err);
as_code db_exec(db_conn *c, const char *sql, as_err *err);
/* sql must live as long as the connection. db_finish or db_run ends the statement's use. */
as_code db_prepare(db_conn *c, const char *sql, db_args *out, as_err *err);
/* The same for any text; not kept. */
as_code db_prepare_once(db_conn *c, const char *sql, db_args *out, as_err *err);
void db_i64(db_args *a, int64_t v);
void db_i64_known(db_args *a, int64_t v);    /* negative: NULL */
void db_f64(db_args *a, double v);           /* NAN: NULL */
void db_str(db_args *a, as_str s);           /* unset: '' */
void db_str_set(db_args *a, as_str s);       /* unset: NULL */
void db_sha(db_args *a, const as_sha256 *h); /* NULL: NULL */
void db_bytes(db_args *a, const void *p, size_t n);
/* Steps; *has_row false at the end. */
as_code db_step(db_args *a, bool *has_row, as_err *err);
void db_finish(db_args *a);
/* Steps a statement without rows to its end and finishes it. */
as_code db_run_args(db_args *a, as_err *err);
/* One row with one integer: its value; `none` when there is no row or it is NULL. Finishes. */
as_code db_one_i64(db_args *a, int64_t none, int64_t *out, as_err *err);
void db_conn_close(db_conn *c);

/* Column i of the current row. */
int64_t db_col_i64(const db_args *a, int i, int64_t when_null);
double db_col_f64(const db_args *a, int i); /* NULL: NAN */
as_str db_col_str(const db_args *a, int i); /* borrowed until the next step; NULL: unset */
/* Copies the text (NULL stays unset); AS_NOMEM. */
as_code db_col_keep(const db_args *a, int i, as_str *out, as_arena *keep, as_err *err);
/* False if the column is NULL or not 32 bytes. */
bool db_col_sha(const db_args *a, int i, as_sha256 *out);

/* ---- blob.c -----------------------------------------------------------------------------------
 */

enum { DB_BLOB_RAW_BYTES = 1024 }; /* shorter texts are not compressed */

typedef struct db_packer {
    z_stream deflate;
    bool is_ready;
    as_buf out;
    /* the prefix stored last: many requests of a task share it */
    as_buf last;
    as_sha256 last_sha;
    bool has_last;
} db_packer;

void db_packer_init(db_packer *p);
void db_packer_release(db_packer *p);
/* A text as it is stored; data borrows from the text or the packer. */
typedef struct db_packed {
    as_sha256 key;
    int codec;
    size_t raw_bytes;
    as_str data;
} db_packed;

as_code db_pack(db_packer *p, as_str text, db_packed *out, as_err *err);
/* Nothing happens if it is there. */
as_code db_blob_insert(db_conn *c, const db_packed *packed, as_err *err);
as_code db_blob_has(db_conn *c, const as_sha256 *key, bool *has, as_err *err);
/* For texts that are hardly ever there already (answers): packs without looking. */
as_code db_blob_put_new(db_conn *c, db_packer *p, as_str text, as_sha256 *key, as_err *err);
/* For texts that come again and again (prefixes): looks first, and remembers the last one. */
as_code db_blob_put_shared(db_conn *c, db_packer *p, as_str text, as_sha256 *key, as_err *err);
/* Appends the text of a row (codec, raw_bytes, data). AS_INTEGRITY if it does not unpack. */
as_code db_blob_unpack(int codec, int64_t raw_bytes, as_str data, as_buf *out, as_err *err);
as_code db_blob_get(db_conn *c, const as_sha256 *key, as_buf *out, as_err *err);

/* ---- gaps.c: how long between the pieces of an answer ------------------------------------------
 *
 * Buckets as in a floating-point number: exact below 32 ns, then 32 per power of two, so a bucket
 * is at most 1/32 of its value wide and its middle at most 1.6 % off.
 */

enum { DB_MAX_GAPS = 1 << 20, DB_GAP_BUCKETS = 60 * 32 };

typedef struct db_gaps {
    int64_t n[DB_GAP_BUCKETS];
} db_gaps;

int db_gap_bucket(int64_t ns);
/* The middle of a bucket. */
double db_gap_ns(int bucket);
/* Nearest rank; NAN when there are none. */
double db_gaps_quantile(const db_gaps *g, double q);

/* ---- queue.c: the writer thread ---------------------------------------------------------------
 */

typedef struct db_writer {
    db_conn conn;
    db_packer packer;
    int64_t run_id, session; /* of the run begun last; 0: none. Writer thread only */
    db_gaps gaps;            /* of this batch, not yet in the table */
    bool has_gaps;
} db_writer;

/* Work on the writer thread, inside a transaction of its own; the caller waits, so nothing is
 * copied. */
typedef as_code (*db_call_fn)(db_writer *w, void *user, as_err *err);

typedef struct db_job db_job; /* record.c */

typedef struct db_queue {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    pthread_cond_t has_room;
    db_job *head, *tail;
    int n_jobs, n_calls;
    int64_t oldest_ns; /* when the head came */
    bool is_stopping, is_writing;
    bool has_failed;
    as_err failure;
    pthread_t thread;
    bool is_running;
} db_queue;

struct db_store {
    char *path;
    db_mode mode;
    const as_log *log;
    db_conn read;
    db_writer writer;
    db_queue queue;
    pthread_mutex_t helper_lock; /* guards helper: callers of db_put pack with it (queue.c) */
    db_packer helper;
};

as_code db_queue_start(db_store *db, as_err *err);
void db_queue_stop(db_store *db);
/* fn NULL: only waits. Returns fn's error or the kept one of the writer thread. */
as_code db_call(db_store *db, db_call_fn fn, void *user, as_err *err);
/* Waits until all that was queued is committed, leaves a kept error where it is. */
void db_settle(db_store *db);

/* ---- record.c: jobs ---------------------------------------------------------------------------
 */

typedef enum db_job_kind { DB_JOB_RECORD, DB_JOB_SCORE, DB_JOB_CALL } db_job_kind;

struct db_job {
    db_job *next;
    db_job_kind kind;
    db_record record; /* RECORD, SCORE (identity and score); texts lie behind the job */
    /* RECORD: the answer, if the caller of db_put has packed it; record.response.text is void */
    bool has_answer;
    db_packed answer;
    /* CALL: lives on the stack of the waiting caller */
    db_call_fn fn;
    void *user;
    as_code code;
    as_err *err;
    bool is_done;
};

/* answer: NULL, or the answer in packed form, which is copied instead. The copy's gaps are sorted.
 * One block of memory for the record and all its texts; free() frees all. NULL: out of memory. */
db_job *db_job_copy(const db_record *record, db_job_kind kind, const db_packed *answer);

/* ---- write.c: inside a transaction, on the writer thread ---------------------------------------
 */
as_code db_write_record(db_writer *w, const db_job *job, as_err *err);
as_code db_write_score(db_writer *w, const db_record *record, as_err *err);
as_code db_write_seen(db_writer *w, as_err *err);
/* The gaps of this batch's answers, added to the run's; forgets them. */
as_code db_write_gaps(db_writer *w, as_err *err);

/* ---- execs.c: the processes that judged an answer; inside a transaction, on the writer thread ----
 */
as_code db_write_execs(db_writer *w, const db_record *record, as_err *err);
/* What the programs of a task ran in: "namespaces+cgroup1"; several with commas; unset: no programs. */
as_code db_sandbox_of(db_store *db, int64_t task_id, as_str *out, as_arena *keep, as_err *err);

/* ---- session.c: one start of the program on a run ----------------------------------------------
 */

typedef struct db_session {
    int64_t run_id, host_id, build_id, backend_id;
    as_str argv;
    int concurrency;
} db_session;

/* AS_TIMEOUT if a living process of this machine works on the run. */
as_code db_session_check(db_writer *w, int64_t run_id, int64_t host_id, as_err *err);
as_code db_session_begin(db_writer *w, const db_session *s, as_err *err);

/* ---- open.c -----------------------------------------------------------------------------------
 */
as_code db_need_writer(const db_store *db, as_err *err);

/* ---- latency.c --------------------------------------------------------------------------------
 */
/* *has false: nothing but the built-in kinds of backend answered. */
as_code db_latency_read(db_store *db, int64_t run_id, bool *has, db_latency *out, as_err *err);

/* ---- items.c: pages of questions -------------------------------------------------------------
 */
enum { DB_PAGE_ITEMS = 64 };

/* Of all that makes the questions: ids, groups, targets, texts, in order. */
as_code db_items_hash(const db_task_spec *spec, as_sha256 *out, as_err *err);
as_code db_items_write(db_writer *w, int64_t task_id, const db_task_spec *spec, as_err *err);
/* The page's tree belongs to the caller. */
as_code db_page_load(db_conn *c, int64_t task_id, size_t page, as_json **out, as_err *err);
/* Question and choices of the sample at `position`; texts borrow from the page. */
as_code db_page_sample(const as_json *page, size_t position, as_sample *out, as_arena *keep,
                       as_err *err);

#endif
