#ifndef BACKEND_PLUGIN_PLUGIN_IMPL_H
#define BACKEND_PLUGIN_PLUGIN_IMPL_H
/*
 * plugin_impl.h — what the files of this folder share: the loaded library, the jobs in flight.
 *
 * A plugin never sees our requests nor our job numbers: it gets a copy in its own form under a
 * ticket of ours, so that whatever it says of a ticket can be checked against the list.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "backend/backend.h"
#include "backend/plugin.h"
#include "base/hash.h"

enum {
    PLUGIN_MAX_TEXT = 64 << 20,  /* bytes of a reply's texts, each */
    PLUGIN_MAX_PLACES = 1 << 20, /* tokens of a reply with log-probabilities */
    PLUGIN_MAX_TOP = 1 << 12,    /* likeliest tokens told in one place */
    PLUGIN_MAX_NAMES = 256,
    PLUGIN_MAX_IDS = 1 << 26,
    PLUGIN_TIMEOUT_S = 600, /* of a job, unless -M timeout says otherwise */
};

typedef struct plugin_job {
    struct plugin_job *next;
    const as_request *rq;
    uint64_t ticket;
    int64_t submitted_ns, first_token_ns, first_answer_ns, last_token_ns;
    unsigned dropped; /* by us, before the plugin saw the request */
    bool is_done;     /* reply is to be delivered */
    as_response reply;
    as_arena keep; /* what reply points to */
    char message[256];
} plugin_job;

typedef struct plugin_backend {
    be_backend base;
    void *library;
    assay_plugin_api api; /* what lies within both sizes, the rest zero */
    void *instance;
    assay_host host;
    assay_info told; /* what the plugin says of itself, likewise */
    be_info info;
    as_arena keep; /* of info */
    const as_log *log;
    int64_t timeout_ns;
    uint64_t last_ticket;
    plugin_job *first; /* in order of submission */
    pthread_t owner;   /* the thread that calls us; whatever comes from another is refused */
    atomic_bool is_warned_thread;
    bool is_polling, is_warned_unknown, is_warned_late;
    char sha[AS_SHA256_HEX], model_sha[AS_SHA256_HEX], template_sha[AS_SHA256_HEX];
} plugin_backend;

/* A text of the plugin's: {NULL, 0} stays so; a length without bytes counts as no text. */
static inline as_str plugin_str(assay_text t)
{
    return t.p != NULL ? (as_str){t.p, t.n} : (as_str){0};
}

static inline assay_text plugin_text(as_str s)
{
    return (assay_text){s.p, s.n};
}

/* load.c: from FILE.so:NAME to a plugin that has been opened, and its info; on failure the caller
 * closes. */
as_code plugin_load(plugin_backend *be, const be_config *config, as_err *err);

/* reply.c: what the plugin calls, and what becomes of it. */
void plugin_on_done(void *user, uint64_t ticket, const assay_reply *reply);
void plugin_on_delta(void *user, uint64_t ticket, assay_text text, assay_text reasoning);
/* Ends the job with an error of ours; an answer it had is forgotten. */
void plugin_job_fail(plugin_job *j, as_error_kind kind, const char *fmt, ...) AS_PRINTF(3, 4);

#endif
