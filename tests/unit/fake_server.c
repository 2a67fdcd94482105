#include "unit/fake_server.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the backend -------------------------------------------------------------------------------
 */

static unsigned fake_caps(const be_backend *be)
{
    const fake *f = (const fake *)be;
    return BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED | BE_CAN_THINK |
           (f->ways.counts ? BE_CAN_COUNT : 0U) | (f->ways.tokenizes ? BE_CAN_TOKENIZE : 0U) |
           (f->ways.renders_chatml ? BE_CAN_RENDER : 0U) |
           (f->ways.has_metrics ? BE_CAN_METRICS : 0U);
}

static const be_info *fake_info(const be_backend *be)
{
    return &((const fake *)be)->info;
}

static as_code fake_submit(be_backend *be, const as_request *request, as_err *err)
{
    fake *f = (fake *)be;
    if (f->n_jobs == (int)(sizeof f->jobs / sizeof f->jobs[0]))
        return as_fail(err, AS_BUG, "fake: too many jobs");
    f->jobs[f->n_jobs++] = request;
    if (f->n_jobs > f->most_in_flight)
        f->most_in_flight = f->n_jobs;
    return AS_OK;
}

static int words_in(as_str s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] > ' ' && (i == 0 || s.p[i - 1] <= ' ') ? 1 : 0;
    return n;
}

static int prompt_tokens(const as_request *rq)
{
    int n = words_in(rq->prefix) + words_in(rq->prompt);
    for (int i = 0; i < rq->n_messages; i++)
        n += words_in(rq->messages[i].text);
    return n + n / 4;
}

static void fake_text(fake *f, const as_request *rq, as_response *r, char *room, size_t n)
{
    const fake_ways *w = &f->ways;
    const bool samples = !(rq->sampling.temperature <= 0);
    uint64_t seed = w->has_own_seed ? 5 : rq->seed;
    if (w->forgets_seed)
        seed = (uint64_t)f->n_asked;
    const int length = samples && as_str_eq_z(rq->suite, "preflight")
                           ? snprintf(room, n, "In town %llu", (unsigned long long)seed)
                           : snprintf(room, n, "%s4", w->leaks_thinking ? "<think>hm</think>" : "");
    r->text = (as_str){room, (size_t)length};
    const bool thinks = (rq->think == AS_THINK_ON && !w->never_thinks) || w->always_thinks;
    if (thinks && !w->leaks_thinking)
        r->reasoning = AS_STR("two and two");
    if (w->answers_in_reasoning)
        r->reasoning = r->text;
    if (w->is_empty || w->answers_in_reasoning)
        r->text = AS_STR(" ");
}

static bool fails(const fake *f, const as_request *rq, as_response *r)
{
    const fake_ways *w = &f->ways;
    if (w->two_endpoints) {
        const bool is_first = rq->try_no == 0 && rq->seed % 2 == 0;
        r->endpoint = is_first ? AS_STR("http://one") : AS_STR("http://two");
        return is_first && f->n_asked > w->error_after &&
               (w->error_until == 0 || f->n_asked <= w->error_until);
    }
    return w->error != AS_ERROR_NONE && f->n_asked > w->error_after &&
           (w->error_until == 0 || f->n_asked <= w->error_until);
}

static void answer(fake *f, const as_request *rq, be_done done, void *user)
{
    char room[64];
    int64_t gaps[3] = {1000000, 2000000, 3000000};
    as_response r;
    as_response_init(&r);
    f->n_asked++;
    r.started_wall_ns = 1;
    r.queue_ns = f->ways.queue_ns;
    r.total_ns = 100000000;
    if (fails(f, rq, &r)) {
        r.finish = AS_FINISH_ERROR;
        r.error = f->ways.error;
        r.http_status = f->ways.error_status;
        r.message = AS_STR("as scripted");
        done(user, rq, &r);
        return;
    }
    r.finish = AS_FINISH_STOP;
    fake_text(f, rq, &r, room, sizeof room);
    const int read = prompt_tokens(rq);
    const int most = f->ways.reads_at_most;
    r.prompt_tokens = f->ways.no_counts ? -1 : most > 0 && read > most ? most : read;
    r.completion_tokens = 5;
    r.first_byte_ns = 1000000;
    r.first_token_ns = 10000000;
    r.last_token_ns = 90000000;
    r.gaps_ns = gaps;
    r.n_gaps = 3;
    r.dropped = f->ways.dropped;
    r.model = AS_STR("fake");
    r.fingerprint =
        f->ways.fingerprint != NULL ? as_str_of(f->ways.fingerprint) : AS_STR("build 1");
    done(user, rq, &r);
}

static as_code fake_poll(be_backend *be, int wait_ms, be_done done, void *user, as_err *err)
{
    (void)wait_ms;
    (void)err;
    fake *f = (fake *)be;
    const as_request *jobs[sizeof f->jobs / sizeof f->jobs[0]];
    const int n = f->n_jobs;
    memcpy(jobs, f->jobs, sizeof jobs);
    f->n_jobs = 0;
    for (int i = 0; i < n; i++)
        answer(f, jobs[i], done, user);
    return AS_OK;
}

static void fake_cancel(be_backend *be)
{
    ((fake *)be)->n_cancelled++;
}

static as_code fake_count(be_backend *be, const as_request *rq, int *n, as_err *err)
{
    (void)be;
    (void)err;
    *n = prompt_tokens(rq);
    return AS_OK;
}

static as_code fake_tokenize(be_backend *be, as_str text, bool is_prompt, int32_t **ids, int *n,
                             as_arena *keep, as_err *err)
{
    (void)be;
    (void)is_prompt;
    *n = words_in(text);
    *ids = as_new(keep, int32_t, *n);
    return *ids != NULL ? AS_OK : as_nomem(err);
}

static as_code fake_render(be_backend *be, const as_request *rq, as_str *prompt, as_arena *keep,
                           as_err *err)
{
    (void)be;
    (void)rq;
    *prompt = as_arena_str(keep, AS_STR("<|im_start|>user\nhi<|im_end|>\n"));
    return as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
}

static as_code fake_metrics(be_backend *be, be_metrics *out, as_err *err)
{
    (void)err;
    double *const values = (double *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *values; i++)
        values[i] = (double)NAN;
    out->generated_tokens = ((fake *)be)->n_asked;
    return AS_OK;
}

static const be_driver fake_driver = {
    .scheme = "fake",
    .title = "a server for tests",
    .caps = fake_caps,
    .info = fake_info,
    .submit = fake_submit,
    .poll = fake_poll,
    .cancel = fake_cancel,
    .count_tokens = fake_count,
    .tokenize = fake_tokenize,
    .render = fake_render,
    .metrics = fake_metrics,
};

void fake_init(fake *f, const fake_ways *ways)
{
    *f = (fake){.base = {.driver = &fake_driver}, .ways = *ways};
    f->info = (be_info){
        .model_name = ways->no_name ? AS_STR("") : AS_STR("Gemma-4-fake"),
        .sha256 = ways->no_hash ? AS_STR("") : AS_STR("00ff"),
        .template_sha256 = ways->no_template ? AS_STR("") : AS_STR("ff00"),
        .n_params = -1,
        .n_params_active = -1,
        .file_bytes = -1,
        .n_ctx = ways->n_ctx,
        .json = ways->is_chatml ? AS_STR("{\"chat_template\":\"{%- for message in messages -%}"
                                         "{{- '<|im_start|>' + message.role }}\"}")
                                : AS_STR("{}"),
        .weights_bytes = -1,
        .kv_bytes = -1,
        .scratch_bytes = -1,
    };
}

/* ---- the suite ---------------------------------------------------------------------------------
 */

static as_code toy_prompt(const su_task *task, const as_sample *sample, int n_shot, as_request *out,
                          as_arena *arena, as_err *err)
{
    (void)n_shot;
    if (!task->protocol->is_chat) {
        out->prompt = sample->question;
        return AS_OK;
    }
    as_message *m = as_new(arena, as_message, 1);
    if (m == NULL)
        return as_nomem(err);
    *m = (as_message){.role = AS_STR("user"), .text = sample->question};
    out->messages = m;
    out->n_messages = 1;
    return AS_OK;
}

static as_code toy_summarise(const su_task *task, const as_result *rows, size_t n, as_summary *out,
                             as_arena *keep, as_err *err)
{
    (void)task;
    (void)keep;
    (void)err;
    *out = (as_summary){.n_items = (int64_t)n};
    for (size_t i = 0; i < n; i++) {
        out->anatomy[rows[i].score.verdict]++;
        if (rows[i].score.verdict != AS_ERROR && rows[i].score.verdict != AS_UNGRADED)
            out->n++;
    }
    return AS_OK;
}

static as_code toy_score(const as_sample *sample, const as_response *response, as_score *out,
                         as_arena *arena, as_err *err)
{
    (void)arena;
    (void)err;
    const bool is_right = as_str_eq(response->text, sample->target);
    *out = (as_score){.verdict = is_right ? AS_RIGHT : AS_WRONG,
                      .value = is_right,
                      .prediction = response->text,
                      .target = sample->target};
    return AS_OK;
}

static const su_suite toy = {
    .name = "toy", .title = "toy", .prompt = toy_prompt, .summarise = toy_summarise};
static const sc_scorer toy_scorer = {.name = "toy", .version = 1, .score = toy_score};

void fake_plan_init(fake_plan *p, fake *f, int n_items, bool is_chat)
{
    memset(p, 0, sizeof *p);
    p->options = (run_options){
        .backend = &f->base,
        .model_spec = AS_STR("fake:fake"),
        .concurrency = 4,
        .max_tries = 5,
        .retry_ms = 0,
    };
    p->protocol = (su_protocol){.id = "plain", .is_chat = is_chat};
    for (int i = 0; i < n_items; i++) {
        const int n = snprintf(p->ids[i], sizeof p->ids[i], "i%d", i);
        p->samples[i] = (as_sample){.id = {p->ids[i], (size_t)n},
                                    .question = AS_STR("How much is two and two, in one number?"),
                                    .target = AS_STR("4")};
    }
    p->task = (run_task){
        .suite = {.suite = &toy, .protocol = &p->protocol},
        .scorer = &toy_scorer,
        .samples = p->samples,
        .n_samples = (size_t)n_items,
        .repeats = 1,
        .max_tokens = 64,
        .sampling = AS_SAMPLING_GREEDY,
        .json = AS_STR("{}"),
    };
    p->plan = (run_plan){.options = &p->options,
                         .tasks = &p->task,
                         .n_tasks = 1,
                         .n_attempts = n_items,
                         .config_json = AS_STR("{}")};
}
