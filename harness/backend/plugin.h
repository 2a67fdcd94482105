#ifndef ASSAY_PLUGIN_H
#define ASSAY_PLUGIN_H
/*
 * plugin.h — how a shared library answers for a model: assay run -m plugin:FILE.so:NAME
 *
 * This header is all that a plugin needs; it includes nothing else of assay, and C++ takes it too.
 *
 * How it works
 *   The program loads FILE.so, calls assay_plugin(), looks for NAME among the names there and calls
 *   open. Then it submits requests and calls poll again and again; within poll the plugin does its
 *   work, or collects what its own threads did, and hands each answer to host->done.
 *
 * Threads    the program calls a plugin from one thread. A plugin may have threads of its own;
 *            host->done and host->delta are called inside poll, on poll's thread, and nowhere else.
 *            host->log may be called from any thread at any time between open and close.
 * Ownership  what a call passes is valid during that call only, in both directions: a plugin copies
 *            what it needs of a request before submit returns, the program copies a reply before
 *            done returns. What a plugin *returns* (info, *why, tokens, a prompt) stays valid until
 *            the program's next call into the same instance. host itself lives until close.
 * Jobs       each accepted job is answered once. After cancel the program has forgotten the job: it
 *            need not be answered, and an answer is ignored. A job that is not answered in time
 *            (-M timeout=SECONDS, 600 unless set) is cancelled and counted as a timeout.
 * Versions   ASSAY_PLUGIN_ABI changes when old and new cannot work together. Within a version,
 *            structs that begin with `size` may grow at their end: each side sets size to its own
 *            sizeof, reads only what lies within the other's size (ASSAY_HAS), and takes what is
 *            beyond as zero. Zero means "unknown" or "not wanted" in every field. Structs without
 *            a size never change. Numbers of an enum are never given a second meaning.
 * Texts      bytes with a length, UTF-8, not necessarily ended by NUL. {NULL, 0} is "no text",
 *            an empty text has a pointer: {"", 0}.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASSAY_PLUGIN_ABI 1u

/* Is the field within the struct that the other side gave? */
#define ASSAY_HAS(s, field)                                                                        \
    ((s)->size >= (size_t)((const char *)(&(s)->field + 1) - (const char *)(s)))

typedef struct assay_text {
    const char *p;
    size_t n;
} assay_text;

typedef struct assay_option { /* -M key=value */
    assay_text key, value;
} assay_option;

/* ---- what a plugin tells of itself ------------------------------------------------------------ */

enum {
    ASSAY_CAN_CHAT = 1 << 0,
    ASSAY_CAN_TEXT = 1 << 1,      /* plain completion of a text */
    ASSAY_CAN_COUNT = 1 << 2,     /* the function count works */
    ASSAY_CAN_SEED = 1 << 3,      /* same seed, same answer */
    ASSAY_CAN_IDS = 1 << 5,       /* a prompt of exact token ids */
    ASSAY_CAN_LOGPROBS = 1 << 6,  /* of the tokens it makes */
    ASSAY_CAN_SCORE = 1 << 7,     /* exact log-probabilities of any continuation */
    ASSAY_CAN_IMAGE = 1 << 9,     /* images in messages */
    ASSAY_CAN_AUDIO = 1 << 10,    /* sound in messages */
    ASSAY_CAN_THINK = 1 << 11,    /* thinking can be switched */
    ASSAY_CAN_TOKENIZE = 1 << 12, /* the function tokenize works */
    ASSAY_CAN_RENDER = 1 << 13,   /* the function render works */
    ASSAY_CAN_LORA = 1 << 15,     /* an adapter by name, per request */
    ASSAY_CAN_NO_CACHE = 1 << 16, /* computes a prompt anew when asked */
};

typedef struct assay_info {
    size_t size;
    uint32_t can;             /* ASSAY_CAN_… */
    uint32_t max_concurrency; /* jobs it takes at once; 0: no limit of its own */
    assay_text model_name;    /* wanted; NAME stands in for it */
    assay_text architecture, quantization, license;
    assay_text sha256;          /* of the model, 64 hex digits, or none */
    assay_text template_sha256; /* of the chat template, likewise */
    assay_text json;            /* a JSON object with whatever else belongs to a run's record */
    int64_t n_params, n_params_active, file_bytes; /* 0 unknown */
    uint32_t n_ctx; /* tokens of prompt and answer together; 0 unknown */
} assay_info;

/* ---- what it is asked --------------------------------------------------------------------------- */

enum { ASSAY_GENERATE = 0, ASSAY_SCORE = 1 };
enum { ASSAY_THINK_AUTO = 0, ASSAY_THINK_OFF = 1, ASSAY_THINK_ON = 2 };

typedef struct assay_media { /* a PNG, JPEG or WebP; a WAV, MP3 or FLAC: the file as it is */
    uint32_t is_audio;
    assay_text mime, bytes;
} assay_media;

/* A last message of the assistant is the beginning of the reply: go on from there, and answer with
 * what was added. Media stand before the text. */
typedef struct assay_message {
    assay_text role; /* "system", "user", "assistant" */
    assay_text text;
    const assay_media *media; /* [n_media] */
    size_t n_media;
} assay_message;

/* The program sends nothing that info.can does not have. The prompt is one of messages, ids, text. */
typedef struct assay_request {
    size_t size;
    uint64_t job;
    uint32_t ask;                  /* ASSAY_GENERATE or ASSAY_SCORE */
    uint32_t is_chat;              /* messages hold the prompt, even if there is none */
    const assay_message *messages; /* [n_messages] */
    size_t n_messages;
    const int32_t *ids; /* [n_ids] the exact prompt, no start token is to be added */
    size_t n_ids;
    assay_text text;
    uint32_t max_tokens; /* > 0 */
    uint32_t think;      /* ASSAY_THINK_… */
    uint64_t seed;
    double temperature, top_p, min_p; /* NAN: the model's default; temperature 0: greedy */
    int32_t top_k;                    /* negative: the model's default; 0: all */
    uint32_t reasoning_tokens;        /* budget of thinking; 0: none set */
    const assay_text *stop;           /* [n_stop] the reply ends before the first of them */
    size_t n_stop;
    assay_text continuation;         /* SCORE after a text … */
    const int32_t *continuation_ids; /* … or after ids */
    size_t n_continuation_ids;
    uint32_t top_logprobs; /* how many of the likeliest tokens to tell in each place; 0: GENERATE
                              none at all, SCORE the best alone */
    uint32_t wants_deltas; /* host->delta is of use */
    uint32_t ignore_eos;   /* go on past end tokens */
    uint32_t no_cache;
    assay_text lora;        /* the adapter's name, or none */
    assay_text suite, item; /* whose question this is: for recordings, never to answer by */
    uint32_t repeat, n_try; /* from 0 */
} assay_request;

/* ---- what it answers ----------------------------------------------------------------------------- */

enum {
    ASSAY_FINISH_UNKNOWN = 0,
    ASSAY_FINISH_STOP = 1,      /* the model ended its turn */
    ASSAY_FINISH_STOP_TEXT = 2, /* one of the stop texts */
    ASSAY_FINISH_LENGTH = 3,    /* max_tokens, or the context is full */
    ASSAY_FINISH_BLOCKED = 4,   /* refused by a filter */
    ASSAY_FINISH_ERROR = 5,     /* error and message say what */
};

enum {
    ASSAY_ERROR_NONE = 0,
    ASSAY_ERROR_TRANSPORT = 1, /* what it talks to is not there; tried again */
    ASSAY_ERROR_TIMEOUT = 2,   /* tried again */
    ASSAY_ERROR_RATE = 3,      /* too many at once; tried again */
    ASSAY_ERROR_SERVER = 4,    /* failed for no reason that lies in the request; tried again */
    ASSAY_ERROR_REQUEST = 5,   /* the request is not acceptable */
    ASSAY_ERROR_CONTEXT = 6,   /* the prompt is longer than the context */
    ASSAY_ERROR_PROTOCOL = 7,  /* what it talks to cannot be understood; tried again */
    ASSAY_ERROR_MISSING = 8,   /* a recording without this item */
    ASSAY_ERROR_QUOTA = 9,
    ASSAY_ERROR_AUTH = 10,
    ASSAY_ERROR_NOT_FOUND = 11,
    ASSAY_ERROR_UNSUPPORTED = 12,
};

enum { /* what a request asked for and was not done */
       ASSAY_DROPPED_SEED = 1 << 0,
       ASSAY_DROPPED_TOP_K = 1 << 1,
       ASSAY_DROPPED_MIN_P = 1 << 2,
       ASSAY_DROPPED_STOP = 1 << 3,
       ASSAY_DROPPED_THINK = 1 << 4,
       ASSAY_DROPPED_THINK_BUDGET = 1 << 5,
       ASSAY_DROPPED_LOGPROBS = 1 << 6,
       ASSAY_DROPPED_NO_CACHE = 1 << 7,
       ASSAY_DROPPED_MEDIA = 1 << 8,
       ASSAY_DROPPED_LORA = 1 << 9,
       ASSAY_DROPPED_IGNORE_EOS = 1 << 10,
       ASSAY_DROPPED_TOP_P = 1 << 11,
       ASSAY_DROPPED_TEMPERATURE = 1 << 12,
};

typedef struct assay_token {
    int32_t id;     /* -1 unknown */
    double logprob; /* natural; -INFINITY: no probability at all */
    assay_text text;
} assay_token;

typedef struct assay_token_place {
    assay_token token;      /* that was made, or scored */
    const assay_token *top; /* [n_top] the likeliest ones there, best first */
    size_t n_top;
    uint32_t is_greedy; /* token was the likeliest */
} assay_token_place;

/* Begin with {0}, then set size. A generated reply needs a text (maybe an empty one), a score needs
 * places: one for each token of the continuation. */
typedef struct assay_reply {
    size_t size;
    uint32_t finish; /* ASSAY_FINISH_… */
    uint32_t error;  /* ASSAY_ERROR_…, with ASSAY_FINISH_ERROR */
    assay_text message;
    assay_text text;                 /* the answer, without thinking */
    assay_text reasoning;            /* the thinking, or none */
    const assay_token_place *places; /* [n_places] */
    size_t n_places;
    uint32_t dropped;    /* ASSAY_DROPPED_… */
    uint32_t has_counts; /* the next four are known */
    int64_t prompt_tokens, completion_tokens, reasoning_tokens, cached_tokens;
    int64_t prompt_ns, generation_ns; /* of its own clock; 0 unknown */
    int64_t retry_after_ms;           /* after an error: 0 nothing asked for */
} assay_reply;

/* ---- the two sides ------------------------------------------------------------------------------- */

enum { ASSAY_LOG_ERROR = 0, ASSAY_LOG_WARN = 1, ASSAY_LOG_INFO = 2, ASSAY_LOG_DEBUG = 3 };

typedef struct assay_host {
    size_t size;
    void *user; /* passed back in each call */
    /* Ends a job. */
    void (*done)(void *user, uint64_t job, const assay_reply *reply);
    /* The next piece of the answer or of the thinking; either may be {NULL, 0}. */
    void (*delta)(void *user, uint64_t job, assay_text text, assay_text reasoning);
    void (*log)(void *user, int level, assay_text line);
} assay_host;

typedef struct assay_config {
    size_t size;
    assay_text name;             /* NAME of plugin:FILE.so:NAME */
    const assay_option *options; /* [n_options] -M, without timeout */
    size_t n_options;
    uint32_t n_threads; /* wished for; 0: one per core */
} assay_config;

/* Functions that return int return 0, or not 0 with the reason in *why: one sentence. */
typedef struct assay_plugin_api {
    uint32_t abi; /* ASSAY_PLUGIN_ABI; these two fields stay here in every version */
    uint32_t size;
    const char *title;        /* one line for a list; NUL-terminated */
    const char *const *names; /* [n_names] NUL-terminated: what may stand for NAME */
    size_t n_names;
    int (*open)(void **instance, const assay_config *config, const assay_host *host,
                assay_text *why);  /* *why: static, or valid until the next open */
    void (*close)(void *instance); /* its threads have ended when this returns */
    const assay_info *(*info)(void *instance);
    /* 0, or an ASSAY_ERROR_…: the job then ends with that error and is not to be answered. Returns
     * at once and calls nothing of host but log. */
    int (*submit)(void *instance, const assay_request *request, assay_text *why);
    /* Works or waits for wait_ms at the most, less if a job ended. Not 0: the instance as a whole
     * can do nothing more. */
    int (*poll)(void *instance, int wait_ms, assay_text *why);
    void (*cancel)(void *instance, uint64_t job); /* an unknown job is no mistake */
    /* Optional: NULL. */
    /* With the tokens that prompts begin with (a start token) if is_prompt. */
    int (*tokenize)(void *instance, assay_text text, int is_prompt, const int32_t **ids,
                    size_t *n_ids, assay_text *why);
    /* The prompt that a chat request becomes. */
    int (*render)(void *instance, const assay_request *request, assay_text *prompt,
                  assay_text *why);
    /* The tokens of a request's prompt. */
    int (*count)(void *instance, const assay_request *request, uint64_t *n, assay_text *why);
} assay_plugin_api;

/* The one symbol a plugin exports. The result is static. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const assay_plugin_api *
assay_plugin(void);

#ifdef __cplusplus
}
#endif
#endif
