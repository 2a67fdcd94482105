#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H
/*
 * backend.h — the interface of whatever answers: engine, recorded answers, scripts, servers.
 *
 * How it works
 *   be_submit takes a request and returns at once; be_poll does the work that can be done now (or
 *   waits up to a deadline) and calls `done` for each request that has ended, exactly once each,
 *   also after an error or a cancel, and never from inside submit. A driver that has threads of its
 *   own hides them behind poll.
 *
 * Errors     a request that fails is a response with an error kind, not an error of be_poll;
 *            be_poll fails only when the backend as a whole can do nothing more.
 * Ownership  requests are borrowed until done; responses are valid inside done only.
 * Threads    a backend object is used from one thread.
 * Adding one copy backend_null.c, list it in harness/cli/registry.c; see README.md.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "types/request.h"
#include "types/response.h"

enum {
    BE_CAN_CHAT = 1 << 0,
    BE_CAN_TEXT = 1 << 1,        /* plain completion of a text */
    BE_CAN_COUNT = 1 << 2,       /* count_tokens works */
    BE_CAN_SEED = 1 << 3,        /* same seed, same answer */
    BE_HAS_ANSWERS = 1 << 4,     /* recorded: prompts are not needed; items() lists what is there */
    BE_CAN_IDS = 1 << 5,         /* a prompt of exact token ids */
    BE_CAN_LOGPROBS = 1 << 6,    /* of the tokens it makes */
    BE_CAN_SCORE = 1 << 7,       /* exact log-probabilities of any continuation */
    BE_CAN_SCORE_FIRST = 1 << 8, /* of one token, if it is among the likeliest */
    BE_CAN_IMAGE = 1 << 9,
    BE_CAN_AUDIO = 1 << 10,
    BE_CAN_THINK = 1 << 11, /* thinking can be switched */
    BE_CAN_TOKENIZE = 1 << 12,
    BE_CAN_RENDER = 1 << 13, /* shows the prompt its template makes */
    BE_CAN_METRICS = 1 << 14,
    BE_CAN_LORA = 1 << 15,
    BE_CAN_NO_CACHE = 1 << 16,
};

typedef struct be_info {
    as_str model_name;
    as_str architecture, quantization, license;
    as_str sha256;                                 /* hex; empty: unknown */
    as_str template_sha256;                        /* hex; empty: no chat template */
    int64_t n_params, n_params_active, file_bytes; /* -1 unknown */
    int n_ctx;           /* tokens of prompt and answer together; 0 unknown */
    int max_concurrency; /* what it can serve at once; 0: no limit of its own */
    as_str json;         /* details for provenance: kernels, threads, precision, server … */
    int64_t weights_bytes, kv_bytes, scratch_bytes; /* -1 unknown */
    as_str disagreement; /* what several servers of one model say differently; empty: nothing */
    as_str memory;       /* the same as a sentence, once prepared; empty: unknown */
} be_info;
/* What nobody told yet, for an initialiser. */
#define BE_INFO_UNKNOWN                                                                            \
    .n_params = -1, .n_params_active = -1, .file_bytes = -1, .weights_bytes = -1, .kv_bytes = -1,  \
    .scratch_bytes = -1

/* A recorded item, in the recording's order. repeat counts its occurrences from 0. */
typedef struct be_item {
    as_str item;
    int repeat;
} be_item;

typedef struct be_option {
    as_str key, value;
} be_option;

typedef struct be_config {
    as_str name;             /* what stands behind "scheme:" */
    as_str cache_dir;        /* may be used for hashes of large files; empty: none */
    const as_str *base_urls; /* --base-url, in order; servers only */
    int n_base_urls;
    const be_option *options; /* -M key=value */
    int n_options;
    int n_threads; /* 0: one per core */
    /* An environment variable's value, or NULL: where servers' keys are. NULL: there are none. */
    const char *(*env)(const char *name);
    const as_log *log;
} be_config;

typedef void (*be_done)(void *user, const as_request *request, const as_response *response);

typedef struct be_backend be_backend;

/* What a server tells of itself as a whole; NAN: not told. Counters run from its start. */
typedef struct be_metrics {
    double running, waiting;
    double prompt_tokens, generated_tokens, cached_tokens; /* counters */
    double prompt_seconds, generation_seconds;             /* counters */
    double kv_used;                                        /* share, 0 … 1 */
    double first_token_seconds, first_token_count;         /* sum and number */
    double drafted, accepted;                              /* speculative tokens */
    double model_bytes, gpu_bytes, resident_bytes;
} be_metrics;

typedef struct be_driver {
    const char *scheme; /* "engine", "replay", "null" */
    const char *title;
    bool is_in_process; /* answers with this process's own CPU: no client overhead to tell apart */
    as_code (*open)(be_backend **out, const be_config *config, as_err *err);
    void (*close)(be_backend *be);
    unsigned (*caps)(const be_backend *be);
    const be_info *(*info)(const be_backend *be);
    as_code (*submit)(be_backend *be, const as_request *request, as_err *err);
    /* Returns when at least one request ended, or after wait_ms. */
    as_code (*poll)(be_backend *be, int wait_ms, be_done done, void *user, as_err *err);
    /* Everything in flight ends as AS_FINISH_CANCELLED at the next poll. */
    void (*cancel)(be_backend *be);
    /* Optional (NULL): */
    /* Once, when the plan is known and before the first submit: the longest prompt plus answer in
     * tokens (0 unknown) and how many requests will be in flight at once. */
    as_code (*prepare)(be_backend *be, int max_total_tokens, int concurrency, as_err *err);
    as_code (*count_tokens)(be_backend *be, const as_request *request, int *n, as_err *err);
    as_code (*items)(be_backend *be, const be_item **items, size_t *n, as_err *err);
    /* One request in flight ends as AS_FINISH_CANCELLED at the next poll; an unknown or ended job
     * is no error. */
    void (*cancel_one)(be_backend *be, uint64_t job);
    /* Text to token ids by the backend's own tokenizer, waiting for it; with the tokens that its
     * prompts begin with (BOS) if is_prompt. *ids lies in keep. */
    as_code (*tokenize)(be_backend *be, as_str text, bool is_prompt, int32_t **ids, int *n,
                        as_arena *keep, as_err *err);
    /* The text of tokens, in keep; it is UTF-8 only if they spell it. An id outside the vocabulary
     * is AS_RANGE. */
    as_code (*detokenize)(be_backend *be, const int32_t *ids, int n, as_str *text, as_arena *keep,
                          as_err *err);
    /* The prompt that a chat request becomes, waiting for it. */
    as_code (*render)(be_backend *be, const as_request *request, as_str *prompt, as_arena *keep,
                      as_err *err);
    /* A snapshot of the server's counters, waiting for it. */
    as_code (*metrics)(be_backend *be, be_metrics *out, as_err *err);
} be_driver;

/* Every driver's object begins with this. */
struct be_backend {
    const be_driver *driver;
};

/* The value of -M key, or {NULL, 0}. */
as_str be_option_get(const be_config *config, const char *key);
/* Fails, naming the key and the known ones, if an option is not in the NULL-terminated list. */
as_code be_options_check(const be_config *config, const char *const *known, as_err *err);

#endif
