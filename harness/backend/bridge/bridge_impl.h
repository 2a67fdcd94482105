#ifndef BACKEND_BRIDGE_BRIDGE_IMPL_H
#define BACKEND_BRIDGE_BRIDGE_IMPL_H
/*
 * bridge_impl.h — what the files of this folder share: the child, its state, the jobs.
 *
 * One job is with the child at a time, the others wait here. The child is started at open; one that
 * dies fails the job it had and is started again once, and once more after each answer that came.
 */
#include "backend/backend.h"
#include "backend/bridge/child.h"
#include "base/hash.h"
#include "base/json.h"

enum {
    BRIDGE_READY_MS = 30000,
    BRIDGE_LOAD_MS = 900000, /* of the model's weights */
    BRIDGE_CALL_MS = 60000,  /* of tokenize and render */
    BRIDGE_TIMEOUT_S = 600,  /* of a job, unless -M timeout says otherwise */
    BRIDGE_MAX_TOKENS = 1 << 20,
    BRIDGE_MAX_TOP = 1 << 12,
    BRIDGE_MAX_TEXT = 64 << 20,
};

typedef struct bridge_job {
    struct bridge_job *next;
    const as_request *rq;
    int64_t id; /* of the line protocol; 0: not sent */
    int64_t submitted_ns, sent_ns, first_token_ns, first_answer_ns, last_token_ns;
    as_buf new_text, new_reasoning; /* pieces that on_delta has not had yet */
    as_arena keep;                  /* of reply */
    as_token_logprob *logprobs;     /* [n_logprobs], heap */
    int64_t *gaps_ns;               /* [n_gaps], heap */
    int n_logprobs, n_gaps;
    size_t cap_logprobs, cap_gaps;
    unsigned dropped;
    bool is_done;
    as_response reply;
    char message[300];
} bridge_job;

typedef struct bridge_backend {
    be_backend base;
    be_info info;
    const as_log *log;
    as_arena keep;
    const char *node, *script, *models_dir, *model, *dtype, *device;
    char sha[AS_SHA256_HEX], template_sha[AS_SHA256_HEX];
    unsigned caps;
    int64_t timeout_ns;
    child *child;           /* NULL: none */
    bool is_ready, is_open; /* it has said so; it has loaded the model */
    bool has_info;
    bool may_restart;
    int64_t deadline_ns; /* of being ready, then of loading */
    int64_t last_id, open_id;
    int64_t busy_id, busy_deadline_ns; /* what the child works on; 0: nothing */
    int64_t call_id;                   /* tokenize or render that is waited for */
    as_json *call_reply;
    bridge_job *first; /* in order of submission */
    char broken[400];  /* why the last child ended */
    char refused[300]; /* why the model could not be loaded */
} bridge_backend;

/* wire.c: requests as lines, lines as what they say of a job. */
as_code wire_open(bridge_backend *be, as_err *err);
as_code wire_job(bridge_backend *be, bridge_job *j, as_err *err);
as_code wire_call(bridge_backend *be, const char *op, const as_request *rq, as_str text,
                  bool is_prompt, as_err *err);
as_code wire_cancel(bridge_backend *be, int64_t id, as_err *err);
void wire_event(bridge_job *j, const as_json *line);
void wire_score(bridge_job *j, const as_json *line);
void wire_error(bridge_job *j, const as_json *error);
as_code wire_info(bridge_backend *be, const as_json *info, as_err *err);

/* job.c */
bridge_job *bridge_job_new(const as_request *rq);
void bridge_job_free(bridge_job *j);
void bridge_job_fail(bridge_job *j, as_error_kind kind, const char *fmt, ...) AS_PRINTF(3, 4);
void bridge_job_deliver(bridge_job *j, be_done done, void *user, as_str model);
void bridge_job_flush(bridge_job *j); /* on_delta gets what has come */
/* Room for one more; false, with the job failed, when memory or the limit is reached. */
as_token_logprob *bridge_job_place(bridge_job *j);
void bridge_job_note_piece(bridge_job *j, bool is_answer);

/* identity.c: one hash over the model's texts and the graphs that dtype selects. */
as_code bridge_identity(bridge_backend *be, as_str cache_dir, as_err *err);

#endif
