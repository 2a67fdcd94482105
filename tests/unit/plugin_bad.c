/*
 * plugin_bad.c — a plugin for tests: NAME chooses what it does wrong.
 *
 * Built several times: AS_TEST_ABI and AS_TEST_SIZE make one of another version or with a table cut
 * short, AS_TEST_NO_SYMBOL a library without the symbol that makes it a plugin.
 */
#ifdef AS_TEST_NO_SYMBOL
#define assay_plugin assay_no_plugin
#endif
#include "backend/plugin.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifndef AS_TEST_ABI
#define AS_TEST_ABI ASSAY_PLUGIN_ABI
#endif
#ifndef AS_TEST_SIZE
#define AS_TEST_SIZE sizeof(assay_plugin_api)
#endif

enum { MAX_JOBS = 16 };

typedef struct bad {
    const assay_host *host;
    char mode[32];
    assay_info info;
    struct {
        uint64_t id;
        int is_used, n_places;
        char prompt[64];
        size_t n;
    } jobs[MAX_JOBS];
    uint64_t last;
    int32_t ids[64];
} bad;

static int is(const bad *b, const char *mode)
{
    return strcmp(b->mode, mode) == 0;
}

static assay_text t(const char *z)
{
    return (assay_text){z, strlen(z)};
}

static int bad_open(void **out, const assay_config *c, const assay_host *host, assay_text *why)
{
    if (c->name.n == 9 && memcmp(c->name.p, "open-fail", 9) == 0) {
        *why = t("the weights are missing, fetch them");
        return 1;
    }
    if (c->name.n == 11 && memcmp(c->name.p, "open-silent", 11) == 0)
        return 1;
    if (c->name.n == 9 && memcmp(c->name.p, "open-null", 9) == 0)
        return 0;
    bad *b = calloc(1, sizeof *b);
    if (b == NULL)
        return 1;
    b->host = host;
    memcpy(b->mode, c->name.p, c->name.n < 31 ? c->name.n : 31);
    b->info.size = sizeof b->info;
    b->info.can = is(b, "plain") ? ASSAY_CAN_TEXT
                                 : ASSAY_CAN_CHAT | ASSAY_CAN_TEXT | ASSAY_CAN_SCORE |
                                       ASSAY_CAN_IDS | ASSAY_CAN_TOKENIZE | ASSAY_CAN_LOGPROBS;
    b->info.json = is(b, "bad-json") ? t("[1]") : t("{\"a\":1}");
    if (is(b, "bad-sha"))
        b->info.sha256 = t("123");
    for (size_t i = 0; i < c->n_options; i++)
        if (c->options[i].key.n == 5 && memcmp(c->options[i].key.p, "title", 5) == 0)
            b->info.license = t("option seen");
    *out = b;
    return 0;
}

static void bad_close(void *p)
{
    free(p);
}

static const assay_info *bad_info(void *p)
{
    bad *b = p;
    return is(b, "no-info") ? NULL : &b->info;
}

static void say(bad *b, uint64_t id, const char *text)
{
    const assay_reply r = {.size = sizeof r, .finish = ASSAY_FINISH_STOP, .text = t(text)};
    b->host->done(b->host->user, id, &r);
}

static int bad_submit(void *p, const assay_request *rq, assay_text *why)
{
    bad *b = p;
    if (is(b, "refuse")) {
        *why = t("not today");
        return ASSAY_ERROR_REQUEST;
    }
    if (is(b, "refuse-odd"))
        return 4711;
    for (int i = 0; i < MAX_JOBS; i++) {
        if (b->jobs[i].is_used)
            continue;
        b->jobs[i].is_used = 1;
        b->jobs[i].id = rq->job;
        b->jobs[i].n_places = (int)rq->n_continuation_ids;
        b->jobs[i].n = rq->text.n < 64 ? rq->text.n : 64;
        if (b->jobs[i].n != 0)
            memcpy(b->jobs[i].prompt, rq->text.p, b->jobs[i].n);
        if (is(b, "in-submit"))
            say(b, rq->job, "too early");
        return 0;
    }
    return ASSAY_ERROR_RATE;
}

static void score(bad *b, uint64_t id, int n)
{
    assay_token_place places[8];
    const int wanted = is(b, "score-short") ? n - 1 : n;
    for (int i = 0; i < wanted && i < 8; i++) {
        places[i] = (assay_token_place){.token = {.id = i, .logprob = -0.5 - i, .text = {"x", 1}},
                                        .is_greedy = 1};
        if (is(b, "score-nan"))
            places[i].token.logprob = (double)NAN;
        if (is(b, "score-above"))
            places[i].token.logprob = 0.5;
        if (is(b, "score-top"))
            places[i].n_top = 5; /* and no address */
    }
    const assay_reply r = {.size = sizeof r,
                           .finish = ASSAY_FINISH_STOP,
                           .places = places,
                           .n_places = (size_t)wanted};
    b->host->done(b->host->user, id, &r);
}

static void end_badly(bad *b, uint64_t id, assay_text prompt)
{
    assay_reply r = {.size = sizeof r, .finish = ASSAY_FINISH_STOP, .text = t("fine")};
    if (is(b, "twice")) {
        say(b, id, "one");
        say(b, id, "two");
        return;
    }
    if (is(b, "unknown-job")) {
        say(b, 0, "x");
        say(b, id + 1000, "x");
    }
    if (is(b, "late") && b->last != 0)
        say(b, b->last, "again");
    if (is(b, "no-text"))
        r.text = (assay_text){NULL, 0};
    if (is(b, "no-address"))
        r.text = (assay_text){NULL, 5};
    if (is(b, "too-long"))
        r.text.n = (size_t)1 << 40;
    if (is(b, "odd-finish"))
        r.finish = 99;
    if (is(b, "odd-error")) {
        r.finish = ASSAY_FINISH_ERROR;
        r.error = 99;
        r.message = t("odd");
    }
    if (is(b, "error")) {
        r.finish = ASSAY_FINISH_ERROR;
        r.error = ASSAY_ERROR_CONTEXT;
        r.message = t("prompt too long");
    }
    if (is(b, "echo") || is(b, "plain")) {
        const size_t half = prompt.n / 2;
        b->host->delta(b->host->user, id, (assay_text){prompt.p, half}, t("hm"));
        b->host->delta(b->host->user, id, (assay_text){prompt.p + half, prompt.n - half},
                       (assay_text){NULL, 0});
        r.text = prompt;
    }
    if (is(b, "old-reply")) { /* of an author whose reply ended before places */
        r.size = offsetof(assay_reply, places);
        r.places = (const assay_token_place *)8;
        r.n_places = 3;
    }
    if (is(b, "no-size"))
        r.size = 0;
    b->last = id;
    b->host->done(b->host->user, id, is(b, "no-reply") ? NULL : &r);
}

static void *say_from_elsewhere(void *p)
{
    bad *b = p;
    b->host->log(b->host->user, ASSAY_LOG_DEBUG, t("from a thread"));
    say(b, b->jobs[0].id, "from a thread");
    return NULL;
}

static int bad_poll(void *p, int wait_ms, assay_text *why)
{
    bad *b = p;
    (void)wait_ms;
    if (is(b, "poll-fail")) {
        *why = t("the machine is on fire");
        return 1;
    }
    pthread_t thread;
    if (is(b, "thread"))
        return pthread_create(&thread, NULL, say_from_elsewhere, b) != 0 ||
               pthread_join(thread, NULL) != 0;
    if (is(b, "never") || is(b, "in-submit"))
        return 0;
    for (int i = 0; i < MAX_JOBS; i++) {
        if (!b->jobs[i].is_used)
            continue;
        b->jobs[i].is_used = 0;
        if (b->jobs[i].n_places > 0)
            score(b, b->jobs[i].id, b->jobs[i].n_places);
        else
            end_badly(b, b->jobs[i].id, (assay_text){b->jobs[i].prompt, b->jobs[i].n});
    }
    return 0;
}

static void bad_cancel(void *p, uint64_t id)
{
    bad *b = p;
    for (int i = 0; i < MAX_JOBS; i++)
        if (b->jobs[i].id == id)
            b->jobs[i].is_used = 0;
}

static int bad_tokenize(void *p, assay_text text, int is_prompt, const int32_t **ids, size_t *n,
                        assay_text *why)
{
    bad *b = p;
    if (text.n > 60) {
        *why = t("too long a text");
        return 1;
    }
    *n = 0;
    if (is_prompt)
        b->ids[(*n)++] = 2;
    for (size_t i = 0; i < text.n; i++)
        b->ids[(*n)++] = (unsigned char)text.p[i];
    *ids = b->ids;
    return 0;
}

const assay_plugin_api *assay_plugin(void)
{
    static const char *const names[] = {
        "echo",        "plain",       "open-fail", "open-silent", "open-null", "no-info",
        "bad-json",    "bad-sha",     "refuse",    "refuse-odd",  "in-submit", "twice",
        "unknown-job", "late",        "no-text",   "no-address",  "too-long",  "odd-finish",
        "odd-error",   "error",       "old-reply", "no-size",     "no-reply",  "never",
        "poll-fail",   "score-short", "score-nan", "score-above", "score-top", "thread",
    };
    static const assay_plugin_api api = {
        .abi = AS_TEST_ABI,
        .size = AS_TEST_SIZE,
        .title = "for tests",
        .names = names,
        .n_names = sizeof names / sizeof names[0],
        .open = bad_open,
        .close = bad_close,
        .info = bad_info,
        .submit = bad_submit,
        .poll = bad_poll,
        .cancel = bad_cancel,
        .tokenize = bad_tokenize,
    };
    return &api;
}
