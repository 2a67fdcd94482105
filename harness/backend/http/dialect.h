#ifndef BACKEND_HTTP_DIALECT_H
#define BACKEND_HTTP_DIALECT_H
/*
 * dialect.h — what one kind of server adds to the common driver (driver.c).
 *
 * How it works
 *   A request becomes a job. A job makes one call after another: `build` writes the body of the call
 *   for job->step, `read` takes a whole reply or `read_event` each event of a stream, and they
 *   either end the job (ht_job_end, ht_job_fail) or set job->step for another call. What a reply
 *   says is put together by the ht_job_add_… functions. The driver does the rest: endpoints, limits,
 *   times, errors, cancellation.
 *
 * Adding one a file dialect_NAME.c with an ht_dialect and a be_driver, a row in backend/drivers.h and
 *            harness/cli/registry.c, a line in README.md, tests in tests/unit/test_client_….c.
 * Ownership  texts handed to ht_job_add_… are copied.
 * Threads    as backend.h: one thread.
 */
#include "backend/backend.h"
#include "backend/http/endpoints.h"
#include "backend/http/errors.h"
#include "backend/http/limiter.h"
#include "backend/http/loop.h"
#include "backend/http/markup.h"
#include "backend/http/sse.h"
#include "base/json.h"

enum {
    HT_MAX_REQUEST = 256 << 20,
    HT_MAX_TEXT = 64 << 20,
    HT_MAX_LOGPROBS = 1 << 20,
    HT_MAX_LORAS = 64
};

typedef struct ht_driver ht_driver;
typedef struct ht_job ht_job;

/* A key that is sent and nothing else: it prints as "***". */
typedef struct ht_secret {
    as_str hidden;
} ht_secret;

typedef enum ht_think_style {
    HT_THINK_NONE,             /* cannot be switched */
    HT_THINK_EFFORT,           /* "reasoning_effort": "none" | "medium" */
    HT_THINK_TEMPLATE,         /* "chat_template_kwargs": {"enable_thinking": …} */
    HT_THINK_TEMPLATE_SHORT,   /* "chat_template_kwargs": {"thinking": …} */
    HT_THINK_REASONING_OBJECT, /* "reasoning": {"effort": …} */
    HT_THINK_FIELD,            /* "think": … */
    HT_THINK_SYSTEM_TOKEN,     /* <|think|> in front of the system text: Gemma 4's own switch */
} ht_think_style;

typedef enum ht_no_cache {
    HT_NO_CACHE_NONE,
    HT_NO_CACHE_FIELD, /* "cache_prompt": false */
    HT_NO_CACHE_SALT,  /* "cache_salt": something new each time */
} ht_no_cache;

/* What an OpenAI-like server may be sent. -M profile=NAME chooses one of profiles.c. */
typedef struct ht_profile {
    const char *name;
    const char *max_tokens;   /* the field's name */
    const char *think_budget; /* the field's name, or NULL */
    bool has_seed, has_top_k, has_min_p, has_stream_usage, has_logprobs;
    bool has_images, has_audio, has_ignore_eos;
    bool has_echo;        /* log-probabilities of a prompt by "echo" are worth a probe */
    bool continues;       /* a begun reply wants continue_final_message */
    bool repeats_prefill; /* … and comes back in front of the rest */
    int max_stop, max_top_logprobs;
    ht_think_style think;
    ht_no_cache no_cache;
} ht_profile;
const ht_profile *ht_profile_find(as_str name);
as_code ht_profile_unknown(as_str name, as_err *err);
bool ht_think_style_parse(ht_think_style *out, as_str name);

typedef struct ht_dialect {
    const be_driver *driver;
    const char *default_url;
    const char *other_url;     /* tried after it when no address is given, or NULL */
    const char *key_env;       /* where the key is, if there is one; NULL: nowhere */
    const char *other_key_env; /* looked at after it, or NULL */
    const char *key_header;    /* "Authorization: Bearer " */
    const char *health_path;
    const char *profile;
    bool is_json_lines;         /* streams are JSON lines, not events */
    bool needs_model;           /* a request without a model's name is refused */
    bool needs_key;             /* at its default address nothing is answered without one */
    bool is_hosted;             /* over the internet: shorter times, a longer one to connect */
    const char *const *options; /* -M keys besides the common ones, ended by NULL; or NULL */
    /* Optional: reads these, before the server is looked for; d->own is the dialect's to set. */
    as_code (*take_options)(ht_driver *d, const be_config *config, as_err *err);
    /* Identity and capabilities, once at open: fills d->caps, d->info and the members of
     * d->identity by ht_ask. */
    as_code (*probe)(ht_driver *d, as_err *err);
    /* Writes the body (an object is open) and sets job->path, job->is_stream; a failure ends the
     * job as AS_ERROR_REQUEST, or as AS_ERROR_UNSUPPORTED for AS_UNSUPPORTED. */
    as_code (*build)(ht_driver *d, ht_job *job, as_jw *w, as_err *err);
    void (*read)(ht_driver *d, ht_job *job, const as_json *reply);
    void (*read_event)(ht_driver *d, ht_job *job, as_str name, const as_json *event);
    /* Optional: a refusal this dialect has another way for: sets job->step and returns true. */
    bool (*refused)(ht_driver *d, ht_job *job, const ht_error *e);
    /* Optional: a stream ended before it said so; true: the job has been given its end. */
    bool (*broke_off)(ht_driver *d, ht_job *job);
    /* Optional: the longest prompt and answer in tokens, before the first request. */
    void (*prepare)(ht_driver *d, int max_total_tokens);
    as_code (*tokenize)(ht_driver *d, as_str text, bool is_prompt, int32_t **ids, int *n,
                        as_arena *keep, as_err *err);
    as_code (*render)(ht_driver *d, const as_request *rq, as_str *prompt, as_arena *keep,
                      as_err *err);
    as_code (*metrics)(ht_driver *d, be_metrics *out, as_err *err);
} ht_dialect;

/* What scoring needs between its calls; the recipes are the dialects'. */
typedef struct ht_score {
    int32_t *ids; /* [n_context + n] in the job's arena */
    int n_context, n;
    int32_t *context_ids; /* tokens of the context alone */
    int n_context_ids;
    as_str context; /* the context's text */
    int at, until;  /* the part of the continuation that the call under way scores */
    bool is_biased; /* forced by a bias, not by a grammar */
} ht_score;

struct ht_job {
    ht_job *next, *prev; /* prev: among the flying only */
    const as_request *rq;
    ht_endpoint *endpoint;
    ht_driver *driver;
    ht_call *call;
    int step;
    const char *path;
    bool is_stream;
    bool is_plain; /* a stream was asked for, one JSON value comes */
    bool has_type; /* is_plain is known */
    bool is_ended;
    bool is_cancelled;
    bool has_finish, has_done;
    int64_t submitted_ns, sent_ns, event_ns, last_piece_ns, cpu_ns;
    double estimate; /* tokens taken from the limiter */
    as_buf body;
    as_buf plain; /* is_plain: what has come */
    as_str url;
    ht_sse sse;
    ht_markup markup;
    as_buf text, reasoning, message, finish_raw, model, fingerprint;
    size_t told_text, told_reasoning; /* given to on_delta */
    int told_logprobs;
    as_arena arena; /* of this job: log-probabilities, ids */
    as_token_logprob *logprobs;
    int n_logprobs, cap_logprobs;
    int64_t *gaps;
    int n_gaps, cap_gaps;
    ht_score score;
    as_response r;
};

struct ht_driver {
    be_backend base;
    const ht_dialect *dialect;
    ht_profile profile;
    be_info info;
    unsigned caps;
    as_arena keep; /* as long as the driver */
    const as_log *log;
    as_str model; /* sent as "model" */
    void *own;    /* the dialect's, in keep */
    ht_secret key;
    ht_headers *headers, *get_headers;
    ht_endpoints endpoints;
    ht_loop *loop;
    ht_limiter limiter;
    bool has_limits;
    int max_each;      /* requests at once to one endpoint */
    bool has_max_each; /* the user's word */
    int connect_ms, first_ms, idle_ms, total_ms, patience_ms;
    bool lists_models, is_listed;   /* GET /v1/models had a list; d->model was in it */
    bool never_streams, is_probing; /* is_probing: calls that make a token are allowed */
    bool is_reading;                /* inside libcurl: calls must not be touched */
    bool has_marked;                /* a job that is to be cancelled afterwards */
    ht_job *first, *last;           /* waiting */
    ht_job *flying;                 /* sent; unordered */
    ht_job *ended, *ended_last;     /* not yet reported */
    ht_job *pool;
    as_buf identity; /* members of info.json */
    as_str health_urls[HT_MAX_ENDPOINTS];
    uint64_t salt;
    char template_sha[65], last_failure[256];
    int n_vocab, bos;           /* -1 unknown */
    as_str loras[HT_MAX_LORAS]; /* [n_loras] names, and the server's numbers for them */
    int lora_ids[HT_MAX_LORAS];
    int n_loras;
};

/* ---- for dialects: what a reply says -----------------------------------------------------------
 */

/* A piece of the reply that carries text; answer may still hold thinking in marks. */
void ht_job_add_text(ht_job *job, as_str answer, as_str reasoning);
/* One token; top is copied. */
void ht_job_add_logprob(ht_job *job, const as_token_logprob *lp);
void ht_job_finish_raw(ht_job *job, as_str word);
void ht_job_keep(as_buf *to, as_str text); /* model, fingerprint: the first one counts */
void ht_job_end(ht_job *job);
void ht_job_fail(ht_job *job, as_error_kind kind, const char *fmt, ...) AS_PRINTF(3, 4);
void ht_job_fail_with(ht_job *job, const ht_error *e);

/* ---- for dialects: asking outside of jobs -------------------------------------------------------
 */

typedef struct ht_answer {
    int status;    /* 0: no reply */
    as_str body;   /* in keep */
    as_json *json; /* NULL: not JSON; as_json_free */
    ht_error error;
} ht_answer;

/* One call, waiting for it, to the endpoint of that number; body empty: GET. Fails only when nothing
 * came back at all (AS_TIMEOUT). */
as_code ht_ask(ht_driver *d, int endpoint, const char *path, as_str body, ht_answer *out,
               as_arena *keep, as_err *err);
/* Puts "key": json into info.json. */
void ht_identity_add(ht_driver *d, const char *key, const as_json *json);
/* GET /v1/models: the model's name where none was given, its window, identity. */
as_code ht_models_ask(ht_driver *d, as_err *err);
int ht_first_endpoint(const ht_driver *d); /* the first one that is not out */
void ht_identity_text(ht_driver *d, const char *key, as_str text);
as_code ht_set_template(ht_driver *d, as_str text);

/* ---- for drivers' tables ------------------------------------------------------------------------
 */

as_code ht_open(be_backend **out, const ht_dialect *dialect, const be_config *config, as_err *err);
void ht_close(be_backend *be);
unsigned ht_caps(const be_backend *be);
const be_info *ht_info(const be_backend *be);
as_code ht_submit(be_backend *be, const as_request *rq, as_err *err);
as_code ht_poll(be_backend *be, int wait_ms, be_done done, void *user, as_err *err);
void ht_cancel(be_backend *be);
void ht_cancel_one(be_backend *be, uint64_t id);
as_code ht_prepare(be_backend *be, int max_total_tokens, int concurrency, as_err *err);
as_code ht_tokenize(be_backend *be, as_str text, bool is_prompt, int32_t **ids, int *n,
                    as_arena *keep, as_err *err);
as_code ht_render(be_backend *be, const as_request *rq, as_str *prompt, as_arena *keep,
                  as_err *err);
as_code ht_metrics(be_backend *be, be_metrics *out, as_err *err);

/* The members of a be_driver that all servers share. */
#define HT_DRIVER_FUNCTIONS                                                                        \
    .close = ht_close, .caps = ht_caps, .info = ht_info, .submit = ht_submit, .poll = ht_poll,     \
    .cancel = ht_cancel, .cancel_one = ht_cancel_one, .prepare = ht_prepare,                       \
    .tokenize = ht_tokenize, .render = ht_render, .metrics = ht_metrics

#endif
