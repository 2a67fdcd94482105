#ifndef BACKEND_ENGINE_ENGINE_IMPL_H
#define BACKEND_ENGINE_ENGINE_IMPL_H
/*
 * engine_impl.h — what the files of the engine backend share; nobody else includes it.
 *
 * How it works
 *   Each request is a job with a sequence of its own. Every step of poll makes one batch: one row
 *   for each job that generates, then as many prompt rows as fit, oldest job first. What prompts
 *   share (few-shot examples, the context of several continuations) is computed once, in a sequence
 *   that nobody generates in, and forked for each job; two such prefixes are kept. The engine's
 *   results do not depend on the batch, so neither do the answers.
 *
 *   driver.c    options, identity, the driver's table
 *   jobs.c      a request becomes token ids
 *   prefixes.c  what prompts share
 *   batch.c     which rows go into the next call of the engine
 *   reply.c     a row of logits becomes a token, a piece of text, a score; the response
 *
 * Threads    one: the caller's. The engine's compute team hides behind g4_decode.
 */
#include "backend/backend.h"
#include "backend/file_hash.h"
#include "base/hash.h"
#include "engine/engine.h"

enum {
    N_PREFIXES = 2,
    MIN_PREFIX_TOKENS = 32, /* sharing less is not worth a sequence */
    N_BATCH = 256,
    N_LOGIT_ROWS = 64, /* of one batch: a row of logits is a megabyte, and one is enough a job */
    DEFAULT_CTX = 8192,
    MAX_SEQS = N_LOGIT_ROWS,
    MAX_ADAPTERS = 16,
    MAX_TOP = 128, /* alternatives told of one token */
};

/* An adapter that requests may name. */
typedef struct adapter {
    g4_adapter *g4;
    double scale;
    char sha[AS_SHA256_HEX];
} adapter;

typedef struct prefix {
    int32_t *ids; /* [n] */
    int n;
    int n_fed; /* rows computed so far */
    int seq;   /* -1: slot unused */
    const adapter *adapter;
    int n_users;
    uint64_t last_used;
} prefix;

typedef struct job {
    struct job *next; /* oldest first */
    const as_request *rq;
    int32_t *ids; /* [n_ids] the prompt; behind it, what is to be scored */
    int n_ids;
    int n_prompt;   /* of those */
    int n_fed;      /* rows in the sequence, out of n_rows */
    int n_rows;     /* the prompt's, and for a score all but the last of the continuation's */
    int n_cached;   /* of those, shared from a prefix */
    int seq;        /* -1: not started */
    prefix *shared; /* waiting for or forked from; NULL: none */
    const adapter *adapter; /* NULL: none */
    g4_sampler *sampler;
    int32_t token; /* next row when generating */
    bool is_generating;
    bool is_done;
    as_finish finish;
    as_error_kind error;
    char message[sizeof((as_err *)0)->text];
    as_buf text;
    int n_sampled;
    int n_reasoning; /* of those, inside a thinking channel */
    bool is_thinking, has_marks;
    size_t n_sent_text, n_sent_reasoning; /* bytes given to on_delta */
    int n_sent_logprobs;
    unsigned dropped;
    as_arena keep; /* texts of the tokens below */
    as_token_logprob *logprobs;
    int n_logprobs;
    size_t cap_logprobs;
    int64_t *gaps_ns;
    int n_gaps;
    size_t cap_gaps;
    int64_t submitted_ns, started_ns, first_token_ns, first_answer_ns, last_token_ns;
} job;

typedef struct engine_backend {
    be_backend base;
    be_info info;
    g4_model *model;
    adapter adapters[MAX_ADAPTERS];
    int n_adapters;
    bool has_default_adapter; /* the first one, for every request that names none */
    g4_session *session;      /* NULL until prepared */
    g4_session_options options;
    job *first, *last;
    int n_active; /* jobs with a sequence */
    int max_active;
    prefix prefixes[N_PREFIXES];
    uint64_t clock; /* for last_used */
    g4_row *rows;   /* [N_BATCH] */
    job **row_job;  /* [N_BATCH] who wants the row's logits; NULL: nobody */
    bool is_cancelled;
    as_buf json, path, name, memory;
    char sha[AS_SHA256_HEX];
    char model_sha[AS_SHA256_HEX]; /* without the adapter that sha has in it */
    char template_sha[AS_SHA256_HEX];
} engine_backend;

/* jobs.c */
/* *out may be a job that has failed already; the error is out of memory only. */
as_code job_new(engine_backend *be, const as_request *rq, job **out, as_err *err);
void job_free(job *j); /* NULL is fine */
void job_fail(job *j, as_error_kind kind, const char *why);
void job_finish(job *j, as_finish how);
/* The prompt's text as the model gets it. */
as_code job_render(const engine_backend *be, const as_request *rq, as_buf *out, as_err *err);
/* *ids is malloc'ed. */
as_code job_tokenize(const engine_backend *be, const as_request *rq, int32_t **ids, size_t *n,
                     as_err *err);

/* prefixes.c */
/* Sets j->shared if the job has something to share. */
as_code prefix_take(engine_backend *be, job *j, as_err *err);
void prefix_release(job *j);
as_code sequence_new(engine_backend *be, const adapter *a, int *seq, as_err *err);

/* batch.c */
as_code batch_step(engine_backend *be, as_err *err);

/* reply.c */
/* The row's logits: [n_vocab] after the last prompt row, or after one that predicts a token to
 * score. */
as_code reply_take(engine_backend *be, job *j, const float *logits, as_err *err);
/* Takes finished jobs out of the list and reports them; true if there was one. */
bool reply_deliver(engine_backend *be, be_done done, void *user);

#endif
