#ifndef STORE_QUERY_H
#define STORE_QUERY_H
/*
 * query.h — the reading side of the store: runs, tasks, results, texts; checks and exports.
 *
 * Use        any db_store; readers never block the writer (WAL). Results come in plan order.
 * Ownership  everything returned lives in the arena passed in.
 * Threads    the thread that opened the store.
 */
#include "base/buf.h"
#include "store/store.h"

typedef struct db_task_row {
    int64_t id;
    as_str suite, protocol, scorer;
    int scorer_version;
    as_str dataset, dataset_revision, dataset_sha256;
    int64_t n_planned; /* items × repeats */
    int64_t n_done;
    int repeats;
    /* the stored summary; has_summary false until the run has finished once */
    bool has_summary;
    as_summary summary;
    as_str protocol_json;
    as_str sandbox; /* db_run_find only: what programs ran in, see as_exec; unset: there are none */
} db_task_row;

/* Something said of a run; equal ones of several sessions once, with the first one's time. */
typedef struct db_event {
    int64_t at_ns; /* since 1970 */
    as_str level, kind, text;
    int64_t n; /* how often */
} db_event;

typedef struct db_quantiles {
    double p50, p95, p99; /* seconds; NAN: nothing to tell from */
} db_quantiles;

/* How fast answers came. Only calls whose first try succeeded; quantiles by interpolation (type 7),
 * those of gaps from the stored distribution, at most 1.6 % off. Unknown numbers are NAN.
 *   ttft   first piece of text or reasoning - request sent
 *   answer the same for the first piece behind the reasoning
 *   tpot   (last piece - first piece) / (completion tokens - 1)
 *   itl    between two pieces of one answer; a piece may hold several tokens
 *   total  end of the reply - request sent
 * "Sent" is when our own queue let it go. */
typedef struct db_latency {
    int64_t n_calls;             /* that are measured */
    int64_t n_errors, n_retries; /* answers that failed; tries that failed before another one */
    int64_t n_gaps;
    db_quantiles ttft, answer, tpot, itl, total;
    double requests_per_s;       /* all answers ÷ time at work */
    double client_tokens_per_s;  /* all completion tokens ÷ time at work */
    double request_tokens_per_s; /* median over calls: (tokens - 1) ÷ (last - first piece) */
    double server_tokens_per_s;  /* the server's word: tokens ÷ its generation time, one call's */
    double server_prompt_tokens_per_s; /* tokens not cached ÷ its prompt time */
    double client_cpu_share;           /* our CPU per call ÷ its latency */
    double queue_share;                /* waiting inside us ÷ latency */
    double busy_share;                 /* our CPU ÷ time at work: near 1, answers wait for us */
} db_latency;

typedef struct db_run_row {
    int64_t id;
    as_str uuid, status, created, finished; /* ISO times; finished empty while running */
    as_str model_spec, model_name, scheme, architecture, quantization, model_sha256,
        template_sha256;
    int64_t n_params, n_params_active;
    as_str config_json, config_sha256, backend_json, host_json, build_json, argv;
    int64_t peak_rss_bytes, wall_ns, client_cpu_ns; /* -1 unknown */
    int64_t prompt_tokens, completion_tokens;       /* sums over attempts; -1 unknown */
    const db_task_row *tasks;
    int n_tasks;
    int concurrency; /* of the last session; -1 unknown */
    /* db_run_find only: */
    const db_event *events; /* in order of time */
    int n_events;
    bool has_latency; /* the run was answered by a server */
    db_latency latency;
} db_run_row;

/* All runs, newest first, without their tasks' groups. */
as_code db_runs(db_store *db, db_run_row **out, int *n, as_arena *keep, as_err *err);
/* which: a run's number, the start of its uuid, or "last". AS_RANGE with what there is. */
as_code db_run_find(db_store *db, as_str which, db_run_row *out, as_arena *keep, as_err *err);
/* Counting attempts of a task in plan order, with the newest score of the given scorer version
 * (version 0: the newest of the task's scorer). */
as_code db_results(db_store *db, int64_t task_id, int scorer_version, as_result **out, size_t *n,
                   as_arena *keep, as_err *err);

/* Whom the answers of a run came from, by endpoint (empty where there is one): the newest words. */
typedef struct db_answerer {
    as_str endpoint, model, fingerprint;
} db_answerer;

as_code db_answerers(db_store *db, int64_t run_id, db_answerer *out, int max, int *n,
                     as_arena *keep, as_err *err);

/* What was asked and answered. */
typedef struct db_texts {
    as_str prefix, prompt, reasoning, answer, message;
    bool is_chat;
} db_texts;

as_code db_attempt_texts(db_store *db, int64_t task_id, as_str item, int repeat, db_texts *out,
                         as_arena *keep, as_err *err);

/* The processes that judged an answer, in order; n 0: none. */
as_code db_execs(db_store *db, int64_t task_id, as_str item, int repeat, as_exec **out, int *n,
                 as_arena *keep, as_err *err);
/* A stored answer, as db_each_attempt hands it out. It must be committed already (db_flush): nothing is
 * waited for. AS_RANGE: not there. */
as_code db_answer(db_store *db, int64_t task_id, size_t position, int repeat, as_response *out,
                  as_arena *keep, as_err *err);

/* Everything needed to score a stored attempt again, one by one in plan order; stops when fn
 * fails. */
typedef as_code (*db_attempt_fn)(void *user, size_t position, int repeat, const as_sample *sample,
                                 const as_response *response, as_err *err);
as_code db_each_attempt(db_store *db, int64_t task_id, db_attempt_fn fn, void *user, as_err *err);

/* PRAGMA integrity_check, foreign keys, and our own invariants (every attempt has a score, every
 * referenced blob is there and hashes to its key, counts agree). AS_INTEGRITY names the first
 * finding; *report gets one line per check. */
as_code db_check(db_store *db, as_buf *report, as_err *err);
/* One JSON object a line: {"table": …, column: value …}, in primary-key order, blobs as text;
 * times and command lines left out when without_times, so that two stores can be compared. */
as_code db_export(db_store *db, bool without_times,
                  as_code (*write)(void *user, as_str line, as_err *err), void *user, as_err *err);

#endif
