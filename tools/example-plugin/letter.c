/*
 * letter.c — the smallest plugin that is of use: two models without any weights.
 *
 *   letter   answers every question with "The answer is (X).", X drawn from the seed and the prompt
 *   echo     gives back the last 200 bytes of the prompt
 *
 * A real plugin puts its model where answer() is; all else may stay.
 */
#include <assay/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JOBS = 8, MAX_TEXT = 256 };

typedef struct job {
    uint64_t id; /* as the program has it */
    int is_used, wants_deltas;
    char text[MAX_TEXT];
    size_t n;
} job;

typedef struct model {
    const assay_host *host;
    assay_info info;
    int is_echo;
    job jobs[MAX_JOBS];
} model;

static assay_text text_of(const char *z)
{
    return (assay_text){z, strlen(z)};
}

/* The last message of a chat, or the text to be completed. */
static assay_text question(const assay_request *rq)
{
    return rq->is_chat && rq->n_messages > 0 ? rq->messages[rq->n_messages - 1].text : rq->text;
}

static void answer(const model *m, const assay_request *rq, job *j)
{
    const assay_text q = question(rq);
    uint64_t h = 14695981039346656037u ^ rq->seed; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < q.n; i++)
        h = (h ^ (unsigned char)q.p[i]) * 1099511628211u;
    if (m->is_echo) {
        j->n = q.n < 200 ? q.n : 200;
        memcpy(j->text, q.p + (q.n - j->n), j->n);
    } else {
        j->n =
            (size_t)snprintf(j->text, MAX_TEXT, "The answer is (%c).", (int)('A' + (h >> 32) % 4));
    }
}

static int letter_open(void **out, const assay_config *config, const assay_host *host,
                       assay_text *why)
{
    if (config->n_options != 0) {
        *why = text_of("this plugin takes no -M options");
        return 1;
    }
    model *m = calloc(1, sizeof *m);
    if (m == NULL) {
        *why = text_of("out of memory");
        return 1;
    }
    m->host = host;
    m->is_echo = config->name.n == 4 && memcmp(config->name.p, "echo", 4) == 0;
    m->info.size = sizeof m->info;
    m->info.can = ASSAY_CAN_CHAT | ASSAY_CAN_TEXT | ASSAY_CAN_SEED;
    m->info.max_concurrency = MAX_JOBS;
    m->info.model_name = text_of(m->is_echo ? "example echo" : "example letter");
    *out = m;
    return 0;
}

static void letter_close(void *instance)
{
    free(instance);
}

static const assay_info *letter_info(void *instance)
{
    return &((model *)instance)->info;
}

/* The request is gone when this returns, so the work is done here; a slow model would copy the
 * prompt and work in poll, or in threads of its own. */
static int letter_submit(void *instance, const assay_request *rq, assay_text *why)
{
    model *m = instance;
    for (int i = 0; i < MAX_JOBS; i++) {
        job *j = &m->jobs[i];
        if (j->is_used)
            continue;
        *j = (job){.id = rq->job, .is_used = 1, .wants_deltas = rq->wants_deltas != 0};
        answer(m, rq, j);
        return 0;
    }
    *why = text_of("all places are taken");
    return ASSAY_ERROR_RATE;
}

static int letter_poll(void *instance, int wait_ms, assay_text *why)
{
    model *m = instance;
    (void)wait_ms; /* nothing here takes time */
    (void)why;
    for (int i = 0; i < MAX_JOBS; i++) {
        job *j = &m->jobs[i];
        if (!j->is_used)
            continue;
        const assay_text text = {j->text, j->n};
        const assay_reply reply = {.size = sizeof reply, .finish = ASSAY_FINISH_STOP, .text = text};
        if (j->wants_deltas)
            m->host->delta(m->host->user, j->id, text, (assay_text){NULL, 0});
        j->is_used = 0;
        m->host->done(m->host->user, j->id, &reply);
    }
    return 0;
}

static void letter_cancel(void *instance, uint64_t id)
{
    model *m = instance;
    for (int i = 0; i < MAX_JOBS; i++)
        if (m->jobs[i].is_used && m->jobs[i].id == id)
            m->jobs[i].is_used = 0;
}

const assay_plugin_api *assay_plugin(void)
{
    static const char *const names[] = {"letter", "echo"};
    static const assay_plugin_api api = {
        .abi = ASSAY_PLUGIN_ABI,
        .size = sizeof api,
        .title = "models without weights, to begin from",
        .names = names,
        .n_names = 2,
        .open = letter_open,
        .close = letter_close,
        .info = letter_info,
        .submit = letter_submit,
        .poll = letter_poll,
        .cancel = letter_cancel,
    };
    return &api;
}
