#include "backend/http/chat.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"

enum { SEED_MASK = 0x7fffffff };

/* ---- requests -----------------------------------------------------------------------------------
 */

void ht_put_base64(as_jw *w, as_str prefix, as_str bytes)
{
    as_jw_raw(w, (as_str){"\"", 1});
    (void)as_buf_add(w->out, prefix);
    (void)as_base64_add(w->out, bytes); /* straight into the body: an image is never held twice */
    (void)as_buf_add_byte(w->out, '"');
}

int64_t ht_seed_of(const as_request *rq)
{
    return (int64_t)(rq->seed & SEED_MASK);
}

bool ht_wants_stream(const ht_driver *d, const ht_job *job)
{
    return !d->never_streams && !job->rq->whole && job->rq->ask == AS_ASK_GENERATE;
}

static void put_media(as_jw *w, const as_media *m)
{
    char prefix[128];
    as_jw_begin_object(w);
    as_jw_put_z(w, "type", m->is_audio ? "input_audio" : "image_url");
    as_jw_key(w, m->is_audio ? "input_audio" : "image_url");
    as_jw_begin_object(w);
    if (m->is_audio) {
        as_str kind, format;
        if (!as_str_cut(m->mime, '/', &kind, &format))
            format = AS_STR("wav");
        as_jw_key(w, "data");
        ht_put_base64(w, (as_str){0}, m->bytes);
        as_jw_put_str(w, "format",
                      as_str_starts(format, AS_STR("x-")) ? as_str_sub(format, 2, format.n)
                      : as_str_eq_z(format, "mpeg")       ? AS_STR("mp3")
                                                          : format);
    } else {
        const int n = snprintf(prefix, sizeof prefix, "data:%.*s;base64,", AS_ARG(m->mime));
        as_jw_key(w, "url");
        ht_put_base64(w, (as_str){prefix, n > 0 && (size_t)n < sizeof prefix ? (size_t)n : 0},
                      m->bytes);
    }
    as_jw_end_object(w);
    as_jw_end_object(w);
}

/* <|think|> in front of the system text, where that is how thinking is switched on. */
static void put_text(const ht_driver *d, const as_request *rq, as_jw *w, as_str text, bool is_first)
{
    if (!is_first || d->profile.think != HT_THINK_SYSTEM_TOKEN || rq->think != AS_THINK_ON) {
        as_jw_str(w, text);
        return;
    }
    as_buf b;
    as_buf_init(&b, HT_MAX_TEXT);
    (void)as_buf_add(&b, AS_STR("<|think|>"));
    (void)as_buf_add(&b, text);
    w->out->is_full |= b.is_full;
    as_jw_str(w, as_buf_str(&b));
    as_buf_release(&b);
}

static as_code put_message(const ht_driver *d, const as_request *rq, const as_message *m,
                           bool is_first, as_jw *w, as_err *err)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "role", m->role);
    as_jw_key(w, "content");
    if (m->n_media == 0) {
        put_text(d, rq, w, m->text, is_first);
        as_jw_end_object(w);
        return AS_OK;
    }
    as_jw_begin_array(w);
    for (int i = 0; i < m->n_media; i++) {
        const unsigned need = m->media[i].is_audio ? BE_CAN_AUDIO : BE_CAN_IMAGE;
        if ((d->caps & need) == 0)
            return as_fail(err, AS_UNSUPPORTED, "the server does not take %s",
                           m->media[i].is_audio ? "audio" : "images");
        put_media(w, &m->media[i]);
    }
    as_jw_begin_object(w);
    as_jw_put_z(w, "type", "text");
    as_jw_key(w, "text");
    put_text(d, rq, w, m->text, is_first);
    as_jw_end_object(w);
    as_jw_end_array(w);
    as_jw_end_object(w);
    return AS_OK;
}

as_code ht_chat_messages(ht_driver *d, const as_request *rq, as_jw *w, as_err *err)
{
    const bool is_token = d->profile.think == HT_THINK_SYSTEM_TOKEN && rq->think == AS_THINK_ON;
    const bool has_system = rq->n_messages != 0 && as_str_eq_z(rq->messages[0].role, "system");
    as_jw_key(w, "messages");
    as_jw_begin_array(w);
    if (is_token && !has_system) {
        const as_message system = {.role = AS_STR("system")};
        AS_TRY(put_message(d, rq, &system, true, w, err));
    }
    for (int i = 0; i < rq->n_messages; i++)
        AS_TRY(put_message(d, rq, &rq->messages[i], has_system && i == 0, w, err));
    as_jw_end_array(w);
    return AS_OK;
}

/* Thinking is always set, since servers differ in what they do unasked; "auto" is off, which is
 * the default of the model's own template. */
void ht_chat_think(ht_driver *d, ht_job *job, as_jw *w)
{
    const as_request *rq = job->rq;
    const bool is_on = rq->think == AS_THINK_ON;
    switch (d->profile.think) {
    case HT_THINK_NONE:
        if (rq->think != AS_THINK_AUTO)
            job->r.dropped |= AS_DROPPED_THINK;
        break;
    case HT_THINK_EFFORT:
        as_jw_put_z(w, "reasoning_effort", is_on ? "medium" : "none");
        break;
    case HT_THINK_TEMPLATE:
    case HT_THINK_TEMPLATE_SHORT:
        as_jw_key(w, "chat_template_kwargs");
        as_jw_begin_object(w);
        as_jw_put_bool(w, d->profile.think == HT_THINK_TEMPLATE ? "enable_thinking" : "thinking",
                       is_on);
        as_jw_end_object(w);
        break;
    case HT_THINK_REASONING_OBJECT:
        as_jw_key(w, "reasoning");
        as_jw_begin_object(w);
        as_jw_put_z(w, "effort", is_on ? "medium" : "none");
        as_jw_end_object(w);
        break;
    case HT_THINK_FIELD:
        as_jw_put_bool(w, "think", is_on);
        break;
    case HT_THINK_SYSTEM_TOKEN:
        break; /* in the messages */
    }
    if (rq->reasoning_tokens > 0 && d->profile.think_budget != NULL) {
        as_jw_put_i64(w, d->profile.think_budget, rq->reasoning_tokens);
    } else if (rq->reasoning_tokens > 0) {
        job->r.dropped |= AS_DROPPED_THINK_BUDGET;
    }
}

void ht_put_number(as_jw *w, const char *key, double v)
{
    if (isnan(v))
        return;
    as_jw_put_f64(w, key, v);
}

static void ht_put_stop(ht_driver *d, ht_job *job, as_jw *w)
{
    const as_request *rq = job->rq;
    const int n = rq->n_stop < d->profile.max_stop ? rq->n_stop : d->profile.max_stop;
    if (n < rq->n_stop)
        job->r.dropped |= AS_DROPPED_STOP;
    if (n == 0)
        return;
    as_jw_key(w, "stop");
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++)
        as_jw_str(w, rq->stop[i]);
    as_jw_end_array(w);
}

static void put_cache(ht_driver *d, ht_job *job, as_jw *w)
{
    if (!job->rq->no_cache)
        return;
    switch (d->profile.no_cache) {
    case HT_NO_CACHE_NONE:
        job->r.dropped |= AS_DROPPED_NO_CACHE;
        break;
    case HT_NO_CACHE_FIELD:
        as_jw_put_bool(w, "cache_prompt", false);
        break;
    case HT_NO_CACHE_SALT: {
        char salt[40];
        (void)snprintf(salt, sizeof salt, "assay-%016llx", (unsigned long long)d->salt++);
        as_jw_put_z(w, "cache_salt", salt);
        break;
    }
    }
}

void ht_put_sampling(ht_driver *d, ht_job *job, as_jw *w)
{
    const as_request *rq = job->rq;
    const ht_profile *p = &d->profile;
    ht_put_number(w, "temperature", rq->sampling.temperature);
    ht_put_number(w, "top_p", rq->sampling.top_p);
    if (p->has_min_p)
        ht_put_number(w, "min_p", rq->sampling.min_p);
    else if (rq->sampling.min_p > 0)
        job->r.dropped |= AS_DROPPED_MIN_P;
    if (p->has_top_k && rq->sampling.top_k >= 0) {
        as_jw_put_i64(w, "top_k", rq->sampling.top_k);
    } else if (rq->sampling.top_k > 0) {
        job->r.dropped |= AS_DROPPED_TOP_K;
    }
    if (p->has_seed)
        as_jw_put_i64(w, "seed", ht_seed_of(rq));
    else
        job->r.dropped |= AS_DROPPED_SEED;
    if (rq->ignore_eos && p->has_ignore_eos) {
        as_jw_put_bool(w, "ignore_eos", true);
    } else if (rq->ignore_eos) {
        job->r.dropped |= AS_DROPPED_IGNORE_EOS;
    }
    ht_put_stop(d, job, w);
    put_cache(d, job, w);
}

static void put_logprobs(ht_driver *d, ht_job *job, as_jw *w)
{
    int n = job->rq->top_logprobs;
    if (n <= 0)
        return;
    if ((d->caps & BE_CAN_LOGPROBS) == 0) {
        job->r.dropped |= AS_DROPPED_LOGPROBS;
        return;
    }
    if (n > d->profile.max_top_logprobs) {
        n = d->profile.max_top_logprobs;
        job->r.dropped |= AS_DROPPED_LOGPROBS;
    }
    as_jw_key(w, "logprobs");
    if (job->rq->is_chat) {
        as_jw_bool(w, true);
        as_jw_key(w, "top_logprobs");
    }
    as_jw_i64(w, n);
}

static void put_stream(const ht_driver *d, const ht_job *job, as_jw *w)
{
    as_jw_put_bool(w, "stream", job->is_stream);
    if (job->is_stream && d->profile.has_stream_usage) { /* refused without stream */
        as_jw_key(w, "stream_options");
        as_jw_begin_object(w);
        as_jw_put_bool(w, "include_usage", true);
        as_jw_end_object(w);
    }
}

static void put_prefill(const ht_driver *d, const as_request *rq, as_jw *w)
{
    if (!d->profile.continues || rq->n_messages == 0 ||
        !as_str_eq_z(rq->messages[rq->n_messages - 1].role, "assistant"))
        return;
    as_jw_put_bool(w, "continue_final_message", true);
    as_jw_put_bool(w, "add_generation_prompt", false);
}

static as_code put_prompt(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    as_jw_key(w, "prompt");
    if (rq->n_ids != 0) {
        if ((d->caps & BE_CAN_IDS) == 0)
            return as_fail(err, AS_UNSUPPORTED, "the server takes no prompt of token ids");
        as_jw_begin_array(w);
        for (int i = 0; i < rq->n_ids; i++)
            as_jw_i64(w, rq->ids[i]);
        as_jw_end_array(w);
        return AS_OK;
    }
    if (rq->prefix.n == 0) {
        as_jw_str(w, rq->prompt);
        return AS_OK;
    }
    char *whole = as_arena_alloc(&job->arena, rq->prefix.n + rq->prompt.n + 1, 1);
    if (whole == NULL)
        return as_nomem(err);
    memcpy(whole, rq->prefix.p, rq->prefix.n);
    if (rq->prompt.n != 0)
        memcpy(whole + rq->prefix.n, rq->prompt.p, rq->prompt.n);
    as_jw_str(w, (as_str){whole, rq->prefix.n + rq->prompt.n});
    return AS_OK;
}

as_code ht_chat_build(ht_driver *d, ht_job *job, as_jw *w, as_err *err)
{
    const as_request *rq = job->rq;
    job->path = rq->is_chat ? "/v1/chat/completions" : "/v1/completions";
    job->is_stream = ht_wants_stream(d, job);
    if (d->model.n != 0) {
        as_jw_put_str(w, "model",
                      rq->lora.n != 0 && (d->caps & BE_CAN_LORA) != 0 ? rq->lora : d->model);
    }
    if (rq->lora.n != 0 && (d->caps & BE_CAN_LORA) == 0)
        job->r.dropped |= AS_DROPPED_LORA;
    if (rq->is_chat) {
        AS_TRY(ht_chat_messages(d, rq, w, err));
        put_prefill(d, rq, w);
        ht_chat_think(d, job, w);
    } else {
        AS_TRY(put_prompt(d, job, w, err));
    }
    as_jw_put_i64(w, d->profile.max_tokens, rq->max_tokens);
    ht_put_sampling(d, job, w);
    put_logprobs(d, job, w);
    put_stream(d, job, w);
    return AS_OK;
}
