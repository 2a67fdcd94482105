#ifndef STORE_STORE_H
#define STORE_STORE_H
/*
 * store.h — every answer, its score and its circumstances in one SQLite file; the writing side.
 *
 * How it works
 *   A run is identified by the hash of its resolved configuration: beginning a run whose hash is
 *   there and unfinished continues it, and db_done tells what need not be asked again. All ids are
 *   functions of the plan (item positions, repeats, tries), never of the order in which answers
 *   arrive, so a run that was killed and continued ends with the same rows as one that was not, but
 *   for times. One attempt is one transaction's work: it is there with its score or not at all.
 *   Where judging takes long, that score is "ungraded" until db_put_score brings the verdict, and
 *   db_ungraded tells a resumed run what to judge without asking.
 *   One writer thread owns the write connection. db_put copies its record into a bounded queue and
 *   returns; the thread commits in batches (at most DB_BATCH_ROWS rows or DB_BATCH_MS).
 *
 * Execs      a score's as_exec rows go with it: table exec, their circumstances in box.
 * Texts      long texts lie compressed in `blob`, once per content (SHA-256).
 * Errors     an error of the writer thread (full disk …) is kept and returned by the next call; the
 *            file stays a valid database with everything committed before.
 * Threads    db_put may be called from several threads; the rest from the thread that opened.
 * Schema     schema.h; migrations are numbered, applied in one transaction, refused downwards.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "types/request.h"
#include "types/response.h"
#include "types/result.h"
#include "types/sample.h"
#include "types/score.h"

enum { DB_BATCH_ROWS = 512, DB_BATCH_MS = 200, DB_QUEUE_ROWS = 1024 };

typedef struct db_store db_store;

typedef enum db_mode {
    DB_CREATE, /* read and write; made, with its folder's file, when missing; migrated */
    DB_WRITE,  /* read and write; must be there */
    DB_READ,   /* must be there */
} db_mode;

as_code db_open(db_store **out, const char *path, db_mode mode, const as_log *log, as_err *err);
/* Waits for everything queued and returns the first error since the last call. Then close frees. */
as_code db_flush(db_store *db, as_err *err);
void db_close(db_store *db);

/* ---- beginning --------------------------------------------------------------------------------
 */

typedef struct db_model_spec {
    as_str spec;   /* as the user named it, e.g. "engine:FILE" without the folder */
    as_str name;   /* the model's own name */
    as_str scheme; /* "engine", "replay", "null", … */
    as_str architecture, quantization, license;
    as_str sha256;          /* hex of the weights or recording; empty if it cannot be known */
    as_str template_sha256; /* hex of the chat template; empty: none */
    int64_t n_params, n_params_active, file_bytes; /* -1 unknown */
    as_str json;                                   /* everything else that identifies it */
} db_model_spec;

typedef struct db_run_spec {
    as_str config_json; /* resolved configuration: identity and provenance of the run */
    db_model_spec model;
    as_str backend_json; /* kind, address without secrets, server build, kernels, threads */
    as_str host_json;    /* cpu, cores, memory, os */
    as_str build_json;   /* version, compiler, flags */
    as_str argv;         /* the command as typed, secrets removed */
    int concurrency;     /* requests in flight, 0 unknown; not part of the identity */
} db_run_spec;

typedef struct db_run {
    int64_t id;
    bool is_resumed;  /* it was there already */
    bool is_complete; /* and has all its answers */
} db_run;

/* Finds the newest run with the same configuration and model, or makes one. fresh: always makes
 * one. AS_TIMEOUT if another process that is alive works on it, with its number. */
as_code db_run_begin(db_store *db, const db_run_spec *spec, bool fresh, db_run *out, as_err *err);

typedef struct db_task_spec {
    as_str suite, protocol, protocol_json;
    as_str scorer;
    int scorer_version;
    as_str dataset, dataset_revision, dataset_licence, dataset_sha256;
    const as_sample *samples; /* in plan order: position = index */
    size_t n_samples;
    int repeats;
} db_task_spec;

/* Same run, same suite and protocol: the same task. AS_INTEGRITY if it is there with other items.
 */
as_code db_task_begin(db_store *db, int64_t run_id, const db_task_spec *spec, int64_t *task_id,
                      as_err *err);
/* done[position * repeats + repeat] = true for attempts that need not be asked again: all that are
 * stored, except those whose last try failed (they are asked again and replaced). */
as_code db_done(db_store *db, int64_t task_id, int repeats, bool *done, size_t n_done, as_err *err);
/* The same for answers that are stored and whose verdict of the task's scorer is "ungraded". */
as_code db_ungraded(db_store *db, int64_t task_id, int repeats, bool *ungraded, size_t n,
                    as_err *err);

/* ---- writing ----------------------------------------------------------------------------------
 */

/* One try that failed before the one that counts. */
typedef struct db_try {
    as_error_kind error;
    as_str message;
    int http_status;
    int64_t started_wall_ns, total_ns;
    as_str endpoint; /* which of several failed; may be unset */
} db_try;

typedef struct db_record {
    int64_t task_id;
    size_t position; /* of the item in the task's plan */
    int repeat;
    const db_try *failed; /* earlier tries, in order */
    int n_failed;
    /* What was asked; texts may be empty (recorded answers). For chat, prompt is the messages as
     * JSON. */
    as_str prefix, prompt;
    bool is_chat;
    uint64_t seed;
    as_response response;
    as_score score;
    as_str scorer;
    int scorer_version;
    int n_choices; /* after as_recorded */
} db_record;

/* response.gaps_ns become median, 95th percentile and maximum, and part of the run's distribution.
 */
as_code db_put(db_store *db, const db_record *record, as_err *err);

/* The score of a stored attempt, by its scorer, another or another version; in place of an earlier
 * one of the same. */
as_code db_put_score(db_store *db, int64_t task_id, size_t position, int repeat,
                     const as_score *score, as_str scorer, int scorer_version, as_err *err);

/* The suite's summary of a task: rows of `metric`, replacing earlier ones of the same scorer
 * version. */
as_code db_put_summary(db_store *db, int64_t task_id, const as_summary *summary, as_str scorer,
                       int scorer_version, as_err *err);

/* Something worth knowing about the run: a warning, a resume, a preflight finding. Stored with its
 * time, not part of what resumed runs are compared by. */
as_code db_put_event(db_store *db, int64_t run_id, as_str level, as_str kind, as_str text,
                     as_err *err);

/* A server's counters at one moment; NAN: not told. Meanings: be_metrics in backend.h. */
typedef struct db_server_sample {
    double running, waiting;
    double prompt_tokens, generated_tokens, cached_tokens;
    double prompt_seconds, generation_seconds;
    double kv_used;
    double first_token_seconds, first_token_count;
    double drafted, accepted;
    double model_bytes, gpu_bytes, resident_bytes;
} db_server_sample;

/* Of the run begun last on this store. sample: 0 before the first request, 1 after the last. */
as_code db_put_server(db_store *db, int64_t run_id, int sample, const db_server_sample *s,
                      as_err *err);

typedef struct db_run_end {
    bool is_complete;       /* every planned attempt is stored, none failed, all have a verdict */
    as_str status;          /* "complete", "incomplete", "interrupted", "failed" */
    int64_t peak_rss_bytes; /* of the process */
    int64_t weights_bytes, kv_bytes, scratch_bytes; /* engine; -1 unknown */
    int64_t wall_ns, client_cpu_ns; /* of this process; the store adds continuations up */
    int64_t work_wall_ns; /* first request to last answer, as client_cpu_ns; 0 or -1 unknown */
    int concurrency;      /* in flight at the end, 0: as begun */
} db_run_end;

as_code db_run_finish(db_store *db, int64_t run_id, const db_run_end *end, as_err *err);
/* Calls a run complete that has become it by scoring: every answer is stored, none failed, all have a
 * verdict. Others stay as they are. */
as_code db_run_restate(db_store *db, int64_t run_id, as_err *err);

#endif
