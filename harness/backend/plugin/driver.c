/*
 * driver.c — a shared library as a backend (backend/plugin.h is what its author sees).
 *
 * Options    timeout=SECONDS: how long one request may take, 600 unless set; all others are the
 *            plugin's own.
 * Order      a plugin's poll may end several jobs; they are kept and delivered after it returned,
 *            so that a caller's done, which may submit again, never runs inside the plugin.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/plugin/plugin_impl.h"
#include "base/time.h"

_Static_assert((int)ASSAY_CAN_CHAT == (int)BE_CAN_CHAT && (int)ASSAY_CAN_SEED == (int)BE_CAN_SEED &&
                   (int)ASSAY_CAN_SCORE == (int)BE_CAN_SCORE &&
                   (int)ASSAY_CAN_THINK == (int)BE_CAN_THINK &&
                   (int)ASSAY_CAN_NO_CACHE == (int)BE_CAN_NO_CACHE,
               "capabilities have the same numbers in both headers");
_Static_assert((int)ASSAY_THINK_ON == (int)AS_THINK_ON && (int)ASSAY_SCORE == (int)AS_ASK_SCORE,
               "requests");

static unsigned plugin_caps(const be_backend *base)
{
    const plugin_backend *be = (const plugin_backend *)base;
    unsigned can =
        be->told.can & (ASSAY_CAN_CHAT | ASSAY_CAN_TEXT | ASSAY_CAN_COUNT | ASSAY_CAN_SEED |
                        ASSAY_CAN_IDS | ASSAY_CAN_LOGPROBS | ASSAY_CAN_SCORE | ASSAY_CAN_IMAGE |
                        ASSAY_CAN_AUDIO | ASSAY_CAN_THINK | ASSAY_CAN_TOKENIZE | ASSAY_CAN_RENDER |
                        ASSAY_CAN_LORA | ASSAY_CAN_NO_CACHE);
    can &= be->api.count != NULL ? ~0u : ~(unsigned)BE_CAN_COUNT;
    can &= be->api.tokenize != NULL ? ~0u : ~(unsigned)BE_CAN_TOKENIZE;
    return can & (be->api.render != NULL ? ~0u : ~(unsigned)BE_CAN_RENDER);
}

static const be_info *plugin_info(const be_backend *base)
{
    return &((const plugin_backend *)base)->info;
}

/* ---- a request in the plugin's form ---------------------------------------------------------------- */

static as_code copy_messages(assay_request *out, const as_request *rq, bool with_media,
                             as_arena *scratch, as_err *err)
{
    assay_message *m = as_new(scratch, assay_message, (size_t)rq->n_messages + 1);
    if (m == NULL)
        return as_nomem(err);
    for (int i = 0; i < rq->n_messages; i++) {
        const as_message *from = &rq->messages[i];
        m[i] = (assay_message){.role = plugin_text(from->role), .text = plugin_text(from->text)};
        if (!with_media || from->n_media == 0)
            continue;
        assay_media *media = as_new(scratch, assay_media, (size_t)from->n_media);
        if (media == NULL)
            return as_nomem(err);
        for (int k = 0; k < from->n_media; k++)
            media[k] = (assay_media){.is_audio = from->media[k].is_audio,
                                     .mime = plugin_text(from->media[k].mime),
                                     .bytes = plugin_text(from->media[k].bytes)};
        m[i].media = media;
        m[i].n_media = (size_t)from->n_media;
    }
    out->messages = m;
    out->n_messages = (size_t)rq->n_messages;
    return AS_OK;
}

/* Prefix and prompt are one text to a plugin. */
static as_code copy_prompt(assay_request *out, const as_request *rq, as_arena *scratch, as_err *err)
{
    if (rq->prefix.n == 0) {
        out->text = plugin_text(rq->prompt.p != NULL ? rq->prompt : AS_STR(""));
        return AS_OK;
    }
    const size_t n = rq->prefix.n + rq->prompt.n;
    char *text = as_new(scratch, char, n);
    if (text == NULL)
        return as_nomem(err);
    memcpy(text, rq->prefix.p, rq->prefix.n);
    if (rq->prompt.n != 0)
        memcpy(text + rq->prefix.n, rq->prompt.p, rq->prompt.n);
    out->text = (assay_text){text, n};
    return AS_OK;
}

/* Which kinds of media are in the request, as capabilities. */
static unsigned media_of(const as_request *rq)
{
    unsigned kinds = 0;
    for (int i = 0; i < rq->n_messages; i++)
        for (int k = 0; k < rq->messages[i].n_media; k++)
            kinds |= rq->messages[i].media[k].is_audio ? BE_CAN_AUDIO : BE_CAN_IMAGE;
    return kinds;
}

static as_code copy_request(assay_request *out, const as_request *rq, unsigned caps,
                            as_arena *scratch, as_err *err)
{
    assay_text *stop = as_new(scratch, assay_text, (size_t)rq->n_stop + 1);
    if (stop == NULL)
        return as_nomem(err);
    for (int i = 0; i < rq->n_stop; i++)
        stop[i] = plugin_text(rq->stop[i]);
    const bool can_tell = rq->ask == AS_ASK_SCORE || (caps & BE_CAN_LOGPROBS) != 0;
    *out = (assay_request){
        .size = sizeof *out,
        .ask = rq->ask,
        .is_chat = rq->is_chat,
        .ids = rq->ids,
        .n_ids = (size_t)rq->n_ids,
        .max_tokens = rq->max_tokens > 0 ? (uint32_t)rq->max_tokens : 1,
        .think = (caps & BE_CAN_THINK) != 0 ? rq->think : ASSAY_THINK_AUTO,
        .seed = rq->seed,
        .temperature = rq->sampling.temperature,
        .top_p = rq->sampling.top_p,
        .min_p = rq->sampling.min_p,
        .top_k = rq->sampling.top_k,
        .reasoning_tokens = (caps & BE_CAN_THINK) != 0 ? (uint32_t)rq->reasoning_tokens : 0,
        .stop = stop,
        .n_stop = (size_t)rq->n_stop,
        .continuation = plugin_text(rq->continuation),
        .continuation_ids = rq->continuation_ids,
        .n_continuation_ids = (size_t)rq->n_continuation_ids,
        .top_logprobs = can_tell && rq->top_logprobs > 0 ? (uint32_t)rq->top_logprobs : 0,
        .wants_deltas = rq->on_delta != NULL,
        .ignore_eos = rq->ignore_eos,
        .no_cache = rq->no_cache && (caps & BE_CAN_NO_CACHE) != 0,
        .lora = plugin_text(rq->lora),
        .suite = plugin_text(rq->suite),
        .item = plugin_text(rq->item),
        .repeat = (uint32_t)rq->repeat,
        .n_try = (uint32_t)rq->try_no,
    };
    if (rq->is_chat)
        return copy_messages(out, rq, (media_of(rq) & ~caps) == 0, scratch, err);
    return copy_prompt(out, rq, scratch, err);
}

static unsigned dropped_of(const as_request *rq, unsigned caps)
{
    unsigned dropped = 0;
    if ((caps & BE_CAN_SEED) == 0 && !(rq->sampling.temperature <= 0))
        dropped |= AS_DROPPED_SEED;
    if ((caps & BE_CAN_LOGPROBS) == 0 && rq->top_logprobs > 0 && rq->ask == AS_ASK_GENERATE)
        dropped |= AS_DROPPED_LOGPROBS;
    if ((caps & BE_CAN_NO_CACHE) == 0 && rq->no_cache)
        dropped |= AS_DROPPED_NO_CACHE;
    if ((caps & BE_CAN_THINK) == 0 && rq->think != AS_THINK_AUTO)
        dropped |= AS_DROPPED_THINK;
    if ((caps & BE_CAN_THINK) == 0 && rq->reasoning_tokens > 0)
        dropped |= AS_DROPPED_THINK_BUDGET;
    if ((media_of(rq) & ~caps) != 0)
        dropped |= AS_DROPPED_MEDIA;
    return dropped;
}

/* What the plugin cannot do at all, or NULL. */
static const char *unsupported(const as_request *rq, unsigned caps)
{
    const bool has_ids = rq->n_ids > 0 || rq->n_continuation_ids > 0;
    return rq->ask == AS_ASK_SCORE && (caps & BE_CAN_SCORE) == 0   ? "score continuations"
           : rq->is_chat && (caps & BE_CAN_CHAT) == 0              ? "take chat messages"
           : has_ids && (caps & BE_CAN_IDS) == 0                   ? "take token ids"
           : !rq->is_chat && !has_ids && (caps & BE_CAN_TEXT) == 0 ? "complete a text"
           : rq->lora.n != 0 && (caps & BE_CAN_LORA) == 0 ? "take an adapter for one request"
                                                          : NULL;
}

/* ---- jobs -------------------------------------------------------------------------------------------- */

static void job_free(plugin_job *j)
{
    as_arena_release(&j->keep);
    free(j);
}

static as_code plugin_submit(be_backend *base, const as_request *rq, as_err *err)
{
    plugin_backend *be = (plugin_backend *)base;
    const unsigned caps = plugin_caps(base);
    plugin_job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return as_nomem(err);
    as_arena_init(&j->keep, 0);
    *j = (plugin_job){.rq = rq,
                      .ticket = ++be->last_ticket,
                      .submitted_ns = as_now_ns(),
                      .dropped = dropped_of(rq, caps),
                      .keep = j->keep};
    as_response_init(&j->reply);
    plugin_job **end = &be->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = j;
    const char *cannot = unsupported(rq, caps);
    if (cannot != NULL) {
        plugin_job_fail(j, AS_ERROR_UNSUPPORTED, "this plugin cannot %s", cannot);
        return AS_OK;
    }
    assay_request given;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = copy_request(&given, rq, caps, &scratch, err);
    if (c == AS_OK) {
        given.job = j->ticket;
        assay_text why = {0};
        const int refused = be->api.submit(be->instance, &given, &why);
        const as_str said = plugin_str(why);
        if (refused != 0)
            plugin_job_fail(
                j,
                refused > 0 && refused <= ASSAY_ERROR_UNSUPPORTED ? (as_error_kind)refused
                                                                  : AS_ERROR_SERVER,
                "%.*s", AS_ARG(said.n != 0 ? said : AS_STR("the plugin refused without a reason")));
    } else {
        *end = NULL;
        job_free(j);
    }
    as_arena_release(&scratch);
    return c;
}

static int64_t since(const plugin_job *j, int64_t at_ns)
{
    return at_ns != 0 ? at_ns - j->submitted_ns : -1;
}

static void deliver(plugin_backend *be, plugin_job *j, be_done done, void *user)
{
    as_response *r = &j->reply;
    r->total_ns = since(j, as_now_ns());
    r->started_wall_ns = as_wall_ns() - r->total_ns;
    r->first_byte_ns = r->first_token_ns = since(j, j->first_token_ns);
    r->first_answer_ns = since(j, j->first_answer_ns);
    r->last_token_ns = since(j, j->last_token_ns);
    r->model = be->info.model_name;
    r->dropped |= j->dropped;
    done(user, j->rq, r);
    job_free(j);
}

/* Returns whether any job ended. Takes them off the list first: done may submit. */
static bool deliver_all(plugin_backend *be, be_done done, void *user)
{
    plugin_job *ended = NULL, **end = &ended;
    for (plugin_job **link = &be->first; *link != NULL;) {
        plugin_job *j = *link;
        if (!j->is_done) {
            link = &j->next;
            continue;
        }
        *link = j->next;
        *end = j;
        end = &j->next;
        *end = NULL;
    }
    const bool is_any = ended != NULL;
    while (ended != NULL) {
        plugin_job *next = ended->next;
        deliver(be, ended, done, user);
        ended = next;
    }
    return is_any;
}

static void expire(plugin_backend *be)
{
    const int64_t now = as_now_ns();
    for (plugin_job *j = be->first; j != NULL; j = j->next)
        if (!j->is_done && now - j->submitted_ns > be->timeout_ns) {
            be->api.cancel(be->instance, j->ticket);
            plugin_job_fail(j, AS_ERROR_TIMEOUT,
                            "the plugin did not answer within %lld s (-M timeout)",
                            (long long)(be->timeout_ns / 1000000000));
        }
}

static as_code plugin_poll(be_backend *base, int wait_ms, be_done done, void *user, as_err *err)
{
    plugin_backend *be = (plugin_backend *)base;
    const int64_t started_ns = as_now_ns();
    if (deliver_all(be, done, user))
        return AS_OK;
    if (be->first == NULL) {
        as_sleep_ns((int64_t)wait_ms * 1000000);
        return AS_OK;
    }
    assay_text why = {0};
    be->is_polling = true;
    const int failed = be->api.poll(be->instance, wait_ms, &why);
    be->is_polling = false;
    expire(be);
    const bool is_any = deliver_all(be, done, user);
    if (failed != 0) {
        const as_str said = plugin_str(why);
        return as_fail(err, AS_TIMEOUT, "plugin %.*s: %.*s", AS_ARG(be->info.model_name),
                       AS_ARG(said.n != 0 ? said : AS_STR("it failed without a reason")));
    }
    /* A poll that neither waits nor works must not make a busy loop of its caller. */
    if (!is_any && wait_ms > 0 && as_now_ns() - started_ns < 1000000)
        as_sleep_ns(1000000);
    return AS_OK;
}

static void cancel_job(plugin_backend *be, plugin_job *j)
{
    if (j->is_done)
        return;
    be->api.cancel(be->instance, j->ticket);
    as_response_init(&j->reply);
    j->reply.finish = AS_FINISH_CANCELLED;
    j->is_done = true;
}

static void plugin_cancel(be_backend *base)
{
    plugin_backend *be = (plugin_backend *)base;
    for (plugin_job *j = be->first; j != NULL; j = j->next)
        cancel_job(be, j);
}

static void plugin_cancel_one(be_backend *base, uint64_t id)
{
    plugin_backend *be = (plugin_backend *)base;
    for (plugin_job *j = be->first; j != NULL; j = j->next)
        if (j->rq->job == id)
            cancel_job(be, j);
}

/* ---- calls that wait ------------------------------------------------------------------------------- */

static as_code refused(const plugin_backend *be, assay_text why, const char *what, as_err *err)
{
    const as_str said = plugin_str(why);
    return as_fail(err, AS_UNSUPPORTED, "plugin %.*s: %s: %.*s", AS_ARG(be->info.model_name), what,
                   AS_ARG(said.n != 0 ? said : AS_STR("it failed without a reason")));
}

static as_code plugin_tokenize(be_backend *base, as_str text, bool is_prompt, int32_t **ids, int *n,
                               as_arena *keep, as_err *err)
{
    plugin_backend *be = (plugin_backend *)base;
    assay_text why = {0};
    const int32_t *told = NULL;
    size_t n_told = 0;
    if (be->api.tokenize == NULL)
        return refused(be, (assay_text){"it has no tokenizer", 19}, "tokenize", err);
    if (be->api.tokenize(be->instance, plugin_text(text), is_prompt, &told, &n_told, &why) != 0)
        return refused(be, why, "tokenize", err);
    if (n_told > PLUGIN_MAX_IDS || (told == NULL && n_told != 0))
        return as_fail(err, AS_PARSE, "plugin %.*s: tokenize: %zu ids%s",
                       AS_ARG(be->info.model_name), n_told,
                       told == NULL ? " at no address" : " are too many");
    *ids = as_new(keep, int32_t, n_told + 1);
    if (*ids == NULL)
        return as_nomem(err);
    if (n_told != 0)
        memcpy(*ids, told, n_told * sizeof **ids);
    *n = (int)n_told;
    return AS_OK;
}

static as_code plugin_render(be_backend *base, const as_request *rq, as_str *prompt, as_arena *keep,
                             as_err *err)
{
    plugin_backend *be = (plugin_backend *)base;
    assay_text why = {0}, told = {0};
    assay_request given;
    if (be->api.render == NULL)
        return refused(be, (assay_text){"it shows no prompts", 19}, "render", err);
    AS_TRY(copy_request(&given, rq, plugin_caps(base), keep, err));
    if (be->api.render(be->instance, &given, &told, &why) != 0)
        return refused(be, why, "render", err);
    if (told.p == NULL || told.n > PLUGIN_MAX_TEXT)
        return as_fail(err, AS_PARSE, "plugin %.*s: render: no prompt, or one over 64 MiB",
                       AS_ARG(be->info.model_name));
    *prompt = as_arena_str(keep, plugin_str(told));
    return as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
}

static as_code plugin_count(be_backend *base, const as_request *rq, int *n, as_err *err)
{
    plugin_backend *be = (plugin_backend *)base;
    assay_text why = {0};
    uint64_t told = 0;
    assay_request given;
    if (be->api.count == NULL)
        return refused(be, (assay_text){"it counts no tokens", 19}, "count", err);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = copy_request(&given, rq, plugin_caps(base), &scratch, err);
    if (c == AS_OK && be->api.count(be->instance, &given, &told, &why) != 0)
        c = refused(be, why, "count", err);
    *n = told < INT32_MAX ? (int)told : INT32_MAX;
    as_arena_release(&scratch);
    return c;
}

/* ---- birth and death ---------------------------------------------------------------------------------- */

static void on_log(void *user, int level, assay_text line)
{
    const plugin_backend *be = user;
    const as_log_level l =
        level >= ASSAY_LOG_ERROR && level <= ASSAY_LOG_DEBUG ? (as_log_level)level : AS_LOG_INFO;
    as_log_line(be->log, l, "plugin: %.*s", AS_ARG(plugin_str(line)));
}

static void plugin_close(be_backend *base)
{
    plugin_backend *be = (plugin_backend *)base;
    if (be == NULL)
        return;
    if (be->instance != NULL)
        be->api.close(be->instance);
    while (be->first != NULL) {
        plugin_job *next = be->first->next;
        job_free(be->first);
        be->first = next;
    }
    if (be->library != NULL)
        (void)dlclose(be->library);
    as_arena_release(&be->keep);
    free(be);
}

static as_code plugin_open(be_backend **out, const be_config *config, as_err *err)
{
    *out = NULL;
    plugin_backend *be = calloc(1, sizeof *be);
    if (be == NULL)
        return as_nomem(err);
    be->base.driver = &be_plugin;
    be->log = config->log;
    be->owner = pthread_self();
    be->host = (assay_host){.size = sizeof be->host,
                            .user = be,
                            .done = plugin_on_done,
                            .delta = plugin_on_delta,
                            .log = on_log};
    as_arena_init(&be->keep, 0);
    const as_code c = plugin_load(be, config, err);
    if (c != AS_OK) {
        plugin_close(&be->base);
        return c;
    }
    *out = &be->base;
    return AS_OK;
}

const be_driver be_plugin = {
    .scheme = "plugin",
    .title = "a shared library: plugin:FILE.so:NAME (assay/plugin.h)",
    .is_in_process = true,
    .keeps_cores_busy = true,
    .open = plugin_open,
    .close = plugin_close,
    .caps = plugin_caps,
    .info = plugin_info,
    .submit = plugin_submit,
    .poll = plugin_poll,
    .cancel = plugin_cancel,
    .count_tokens = plugin_count,
    .cancel_one = plugin_cancel_one,
    .tokenize = plugin_tokenize,
    .render = plugin_render,
};
