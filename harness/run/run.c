#include "run/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "base/time.h"

enum {
    POLL_MS = 100,
    GIVE_UP_AFTER = 20, /* requests without any answer: the backend cannot be reached */
    MAX_PAUSE_MS = 60000,
};

typedef enum slot_state { SLOT_FREE, SLOT_FLIGHT, SLOT_PAUSE } slot_state;

typedef struct slot {
    slot_state state;
    as_arena arena; /* the sample's: request, failed tries, score */
    as_request request;
    const run_task *task;
    int64_t task_id;
    size_t position;
    int repeat;
    db_try *failed; /* [n_failed], room for max_tries */
    int n_failed;
    int64_t resume_ns; /* SLOT_PAUSE: when the next try is due */
} slot;

typedef struct runner {
    const run_plan *plan;
    const run_execution *how;
    const be_driver *driver;
    be_backend *be;
    db_store *db;
    slot *slots;
    int n_slots;
    int64_t *task_ids; /* [plan->n_tasks] */
    bool **done;       /* [plan->n_tasks][position * repeats + repeat] */
    int at_task;       /* the next attempt to start */
    size_t at_attempt;
    run_tick tick;
    int64_t started_ns;
    int64_t n_answers, n_failures; /* this time */
    as_err fatal;                  /* first error inside a callback */
} runner;

static bool is_cancelled(const runner *r)
{
    return r->how->cancel != NULL && *r->how->cancel != 0;
}

static void tell(runner *r, bool is_last)
{
    if (r->how->tick == NULL)
        return;
    r->tick.elapsed_ns = as_now_ns() - r->started_ns;
    r->tick.is_last = is_last;
    r->how->tick(r->how->tick_user, &r->tick);
}

static void count(runner *r, const as_score *score)
{
    r->tick.n_done++;
    r->tick.anatomy[score->verdict]++;
    if (score->verdict != AS_ERROR && score->verdict != AS_UNGRADED) {
        r->tick.score_sum += score->value;
        r->tick.n_scored++;
    }
}

/* ---- one attempt -------------------------------------------------------------------------------
 */

/* Chat messages as JSON, the form the store keeps them in. */
static as_code messages_text(slot *s, as_str *out, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_array(&w);
    for (int i = 0; i < s->request.n_messages; i++) {
        as_jw_begin_object(&w);
        as_jw_key(&w, "role");
        as_jw_str(&w, s->request.messages[i].role);
        as_jw_key(&w, "content");
        as_jw_str(&w, s->request.messages[i].text);
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        *out = as_arena_str(&s->arena, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code store_attempt(runner *r, slot *s, const as_response *response, as_err *err)
{
    const as_sample *sample = &s->task->samples[s->position];
    const sc_scorer *scorer = s->task->scorer;
    as_score score;
    AS_TRY(sc_judge(scorer, sample, response, &score, &s->arena, err));
    as_str prompt = s->request.prompt;
    if (s->request.is_chat && s->request.n_messages != 0)
        AS_TRY(messages_text(s, &prompt, err));
    const int n_choices = response->recorded.n_choices;
    const db_record record = {
        .task_id = s->task_id,
        .position = s->position,
        .repeat = s->repeat,
        .failed = s->failed,
        .n_failed = s->n_failed,
        .prefix = s->request.prefix,
        .prompt = prompt,
        .is_chat = s->request.is_chat,
        .seed = s->request.seed,
        .response = *response,
        .score = score,
        .scorer = as_str_of(scorer->name),
        .scorer_version = scorer->version,
        .n_choices = n_choices != 0 ? n_choices : sample->n_choices,
    };
    AS_TRY(db_put(r->db, &record, err));
    count(r, &score);
    r->tick.task = s->task;
    if (response->prompt_tokens > 0)
        r->tick.prompt_tokens += response->prompt_tokens;
    if (response->completion_tokens > 0)
        r->tick.completion_tokens += response->completion_tokens;
    return AS_OK;
}

static int64_t pause_ms(const runner *r, const slot *s, const as_response *response)
{
    if (response->retry_after_ms >= 0)
        return response->retry_after_ms < MAX_PAUSE_MS ? response->retry_after_ms : MAX_PAUSE_MS;
    int64_t ms = r->plan->options->retry_ms;
    for (int i = 1; i < s->n_failed && ms < MAX_PAUSE_MS; i++)
        ms *= 2;
    return ms < MAX_PAUSE_MS ? ms : MAX_PAUSE_MS;
}

static as_code note_failed_try(slot *s, const as_response *response, as_err *err)
{
    const as_str message = as_arena_str(&s->arena, response->message);
    if (!as_str_is_set(message))
        return as_nomem(err);
    s->failed[s->n_failed++] = (db_try){
        .error = response->error,
        .message = message,
        .http_status = response->http_status,
        .started_wall_ns = response->started_wall_ns,
        .total_ns = response->total_ns,
    };
    return AS_OK;
}

static void on_done(void *user, const as_request *request, const as_response *response)
{
    runner *r = user;
    slot *s = &r->slots[request->job];
    r->tick.n_flight--;
    if (r->fatal.code != AS_OK || response->finish == AS_FINISH_CANCELLED) {
        s->state = SLOT_FREE;
        return;
    }
    const bool has_failed = response->finish == AS_FINISH_ERROR;
    if (has_failed)
        r->n_failures++;
    else
        r->n_answers++;
    as_code c = AS_OK;
    if (has_failed && as_error_is_transient(response->error) &&
        s->n_failed + 1 < r->plan->options->max_tries) {
        c = note_failed_try(s, response, &r->fatal);
        s->resume_ns = as_now_ns() + pause_ms(r, s, response) * 1000000;
        s->state = SLOT_PAUSE;
        r->tick.n_retries++;
    } else {
        c = store_attempt(r, s, response, &r->fatal);
        s->state = SLOT_FREE;
    }
    if (c == AS_OK)
        r->fatal = (as_err){0};
    tell(r, false);
}

/* ---- starting attempts --------------------------------------------------------------------------
 */

static bool next_attempt(runner *r)
{
    while (r->at_task < r->plan->n_tasks) {
        const run_task *t = &r->plan->tasks[r->at_task];
        const size_t n = t->n_samples * (size_t)t->repeats;
        while (r->at_attempt < n && r->done[r->at_task][r->at_attempt])
            r->at_attempt++;
        if (r->at_attempt < n)
            return true;
        r->at_task++;
        r->at_attempt = 0;
    }
    return false;
}

static as_code start_attempt(runner *r, slot *s, as_err *err)
{
    const run_task *t = &r->plan->tasks[r->at_task];
    s->task = t;
    s->task_id = r->task_ids[r->at_task];
    s->position = r->at_attempt / (size_t)t->repeats;
    s->repeat = (int)(r->at_attempt % (size_t)t->repeats);
    r->at_attempt++;
    as_arena_rewind(&s->arena, 0);
    s->n_failed = 0;
    s->failed = as_new(&s->arena, db_try, r->plan->options->max_tries);
    if (s->failed == NULL)
        return as_nomem(err);
    AS_TRY(run_request(r->plan, t, s->position, s->repeat, &s->request, &s->arena, err));
    return AS_OK;
}

static as_code submit(runner *r, slot *s, as_err *err)
{
    s->request.job = (uint64_t)(s - r->slots);
    s->request.try_no = s->n_failed;
    AS_TRY(r->driver->submit(r->be, &s->request, err));
    s->state = SLOT_FLIGHT;
    r->tick.n_flight++;
    return AS_OK;
}

/* Fills free slots and wakes paused ones; *wait_ms: how long poll may sleep. */
static as_code fill_slots(runner *r, bool *is_idle, int *wait_ms, as_err *err)
{
    *is_idle = true;
    *wait_ms = POLL_MS;
    const int64_t now = as_now_ns();
    for (int i = 0; i < r->n_slots; i++) {
        slot *s = &r->slots[i];
        if (s->state == SLOT_PAUSE && s->resume_ns <= now) {
            AS_TRY(submit(r, s, err));
        } else if (s->state == SLOT_PAUSE) {
            const int64_t ms = (s->resume_ns - now) / 1000000 + 1;
            if (ms < *wait_ms)
                *wait_ms = (int)ms;
        } else if (s->state == SLOT_FREE && next_attempt(r)) {
            AS_TRY(start_attempt(r, s, err));
            AS_TRY(submit(r, s, err));
        }
        if (s->state != SLOT_FREE)
            *is_idle = false;
    }
    return AS_OK;
}

static as_code give_up_if_unreachable(const runner *r, as_err *err)
{
    if (r->n_answers != 0 || r->n_failures < GIVE_UP_AFTER)
        return AS_OK;
    for (int i = 0; i < r->n_slots; i++)
        for (int k = 0; k < r->slots[i].n_failed; k++)
            if (r->slots[i].failed[k].error == AS_ERROR_TRANSPORT)
                return as_fail(err, AS_TIMEOUT,
                               "the backend cannot be reached: the first %lld requests failed, the "
                               "last with: %.*s",
                               (long long)r->n_failures, AS_ARG(r->slots[i].failed[k].message));
    return AS_OK;
}

static as_code work(runner *r, as_err *err)
{
    bool is_giving_up = false;
    for (;;) {
        bool is_idle = true;
        int wait_ms = POLL_MS;
        if (!is_giving_up && is_cancelled(r)) {
            is_giving_up = true;
            r->driver->cancel(r->be);
        }
        if (!is_giving_up)
            AS_TRY(fill_slots(r, &is_idle, &wait_ms, err));
        if ((is_idle || is_giving_up) && r->tick.n_flight == 0) {
            if (is_giving_up || is_idle)
                return AS_OK;
        }
        AS_TRY(r->driver->poll(r->be, wait_ms, on_done, r, err));
        if (r->fatal.code != AS_OK) {
            if (err != NULL)
                *err = r->fatal;
            return r->fatal.code;
        }
        AS_TRY(give_up_if_unreachable(r, err));
        tell(r, false);
    }
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static as_code begin_task(runner *r, int i, int64_t run_id, as_err *err)
{
    const run_task *t = &r->plan->tasks[i];
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &t->suite.dataset.sha256);
    const db_task_spec spec = {
        .suite = as_str_of(t->suite.suite->name),
        .protocol = as_str_of(t->suite.protocol->id),
        .protocol_json = t->json,
        .scorer = as_str_of(t->scorer->name),
        .scorer_version = t->scorer->version,
        .dataset = t->suite.dataset.name,
        .dataset_revision = t->suite.dataset.revision,
        .dataset_licence = t->suite.dataset.licence,
        .dataset_sha256 = as_str_of(hex),
        .samples = t->samples,
        .n_samples = t->n_samples,
        .repeats = t->repeats,
    };
    AS_TRY(db_task_begin(r->db, run_id, &spec, &r->task_ids[i], err));
    const size_t n = t->n_samples * (size_t)t->repeats;
    r->done[i] = calloc(n != 0 ? n : 1, sizeof **r->done);
    if (r->done[i] == NULL)
        return as_nomem(err);
    return db_done(r->db, r->task_ids[i], t->repeats, r->done[i], n, err);
}

/* What the store has already counts in the progress shown. */
static as_code count_stored(runner *r, int i, as_err *err)
{
    const run_task *t = &r->plan->tasks[i];
    const size_t n = t->n_samples * (size_t)t->repeats;
    size_t n_stored = 0;
    for (size_t k = 0; k < n; k++)
        n_stored += r->done[i][k] ? 1 : 0;
    if (n_stored == 0)
        return AS_OK;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_result *rows = NULL;
    size_t n_rows = 0;
    const as_code c = db_results(r->db, r->task_ids[i], 0, &rows, &n_rows, &scratch, err);
    for (size_t k = 0; c == AS_OK && k < n_rows; k++)
        if (rows[k].score.verdict != AS_ERROR)
            count(r, &rows[k].score);
    as_arena_release(&scratch);
    return c;
}

/* A task's results, and by which scorer. */
typedef struct scored_task {
    const su_task *task;
    int64_t id;
    const char *scorer;
    int scorer_version;
} scored_task;

static as_code sum_up(db_store *db, const scored_task *t, const as_result *rows, size_t n,
                      as_arena *scratch, as_err *err)
{
    as_summary summary = {0};
    AS_TRY(t->task->suite->summarise(t->task, rows, n, &summary, scratch, err));
    return db_put_summary(db, t->id, &summary, as_str_of(t->scorer), t->scorer_version, err);
}

as_code run_summarise(db_store *db, const su_task *task, int64_t task_id, const char *scorer,
                      int scorer_version, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_result *rows = NULL;
    size_t n = 0;
    const scored_task t = {task, task_id, scorer, scorer_version};
    as_code c = db_results(db, task_id, scorer_version, &rows, &n, &scratch, err);
    if (c == AS_OK)
        c = sum_up(db, &t, rows, n, &scratch, err);
    as_arena_release(&scratch);
    return c;
}

/* What the store holds of every task now: counted, and summed up if it has changed. */
static as_code close_tasks(runner *r, run_outcome *out, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < r->plan->n_tasks; i++) {
        const run_task *t = &r->plan->tasks[i];
        as_result *rows = NULL;
        size_t n = 0;
        c = db_results(r->db, r->task_ids[i], 0, &rows, &n, &scratch, err);
        for (size_t k = 0; c == AS_OK && k < n; k++)
            out->n_errors += rows[k].score.verdict == AS_ERROR ? 1 : 0;
        out->n_done += (int64_t)n;
        const scored_task scored = {&t->suite, r->task_ids[i], t->scorer->name, t->scorer->version};
        if (c == AS_OK && !out->was_complete)
            c = sum_up(r->db, &scored, rows, n, &scratch, err);
        as_arena_rewind(&scratch, 0);
    }
    as_arena_release(&scratch);
    return c;
}

static as_code finish(runner *r, const run_outcome *out, as_err *err)
{
    const be_info *info = r->driver->info(r->be);
    struct rusage use;
    const bool has_use = getrusage(RUSAGE_SELF, &use) == 0;
    const bool is_complete = out->n_done == out->n_planned && out->n_errors == 0;
    const db_run_end end = {
        .is_complete = is_complete,
        .status = out->is_interrupted ? AS_STR("interrupted")
                  : is_complete       ? AS_STR("complete")
                                      : AS_STR("incomplete"),
        .peak_rss_bytes = has_use ? (int64_t)use.ru_maxrss * 1024 : -1,
        .weights_bytes = info->weights_bytes,
        .kv_bytes = info->kv_bytes,
        .scratch_bytes = info->scratch_bytes,
        .wall_ns = as_now_ns() - r->started_ns,
        .client_cpu_ns = r->driver->is_in_process ? -1 : as_process_cpu_ns(),
    };
    return db_run_finish(r->db, out->run_id, &end, err);
}

static as_code begin_run(runner *r, run_outcome *out, as_err *err)
{
    const run_options *o = r->plan->options;
    const be_info *info = r->driver->info(r->be);
    const db_run_spec spec = {
        .config_json = r->plan->config_json,
        .model =
            {
                .spec = o->model_spec,
                .name = info->model_name,
                .scheme = as_str_of(r->driver->scheme),
                .architecture = info->architecture,
                .quantization = info->quantization,
                .license = info->license,
                .sha256 = info->sha256,
                .template_sha256 = info->template_sha256,
                .n_params = info->n_params,
                .n_params_active = info->n_params_active,
                .file_bytes = info->file_bytes,
                .json = info->json,
            },
        .backend_json = info->json,
        .host_json = r->how->host_json,
        .build_json = r->how->build_json,
        .argv = r->how->argv,
    };
    db_run run;
    AS_TRY(db_run_begin(r->db, &spec, r->how->fresh, &run, err));
    out->run_id = run.id;
    out->is_resumed = run.is_resumed;
    out->was_complete = run.is_complete;
    out->n_planned = r->plan->n_attempts;
    r->tick.n_total = r->plan->n_attempts;
    for (int i = 0; i < r->plan->n_tasks; i++) {
        AS_TRY(begin_task(r, i, run.id, err));
        AS_TRY(count_stored(r, i, err));
    }
    r->tick.n_before = r->tick.n_done;
    return AS_OK;
}

static as_code carry_out(runner *r, run_outcome *out, as_err *err)
{
    if (r->driver->prepare != NULL) {
        run_estimate e;
        AS_TRY(run_plan_estimate(r->plan, &e, err));
        AS_TRY(r->driver->prepare(r->be, e.max_total_tokens, r->n_slots, err));
    }
    if (r->how->ready != NULL)
        r->how->ready(r->driver->info(r->be));
    AS_TRY(begin_run(r, out, err));
    if (next_attempt(r)) {
        out->was_complete = false;
        AS_TRY(work(r, err));
    }
    AS_TRY(db_flush(r->db, err));
    AS_TRY(close_tasks(r, out, err));
    out->is_interrupted = is_cancelled(r) && out->n_done < out->n_planned;
    if (!out->was_complete)
        AS_TRY(finish(r, out, err));
    AS_TRY(db_flush(r->db, err));
    tell(r, true);
    return AS_OK;
}

as_code run_execute(const run_plan *plan, const run_execution *how, run_outcome *out, as_err *err)
{
    *out = (run_outcome){0};
    const run_options *o = plan->options;
    runner r = {
        .plan = plan,
        .how = how,
        .driver = o->backend->driver,
        .be = o->backend,
        .db = how->db,
        .n_slots = o->concurrency,
        .started_ns = as_now_ns(),
    };
    r.slots = calloc((size_t)r.n_slots, sizeof *r.slots);
    r.task_ids = calloc((size_t)plan->n_tasks, sizeof *r.task_ids);
    r.done = calloc((size_t)plan->n_tasks, sizeof *r.done);
    as_code c = AS_OK;
    if (r.slots == NULL || r.task_ids == NULL || r.done == NULL)
        c = as_nomem(err);
    for (int i = 0; c == AS_OK && i < r.n_slots; i++)
        as_arena_init(&r.slots[i].arena, 0);
    if (c == AS_OK)
        c = carry_out(&r, out, err);
    for (int i = 0; r.slots != NULL && i < r.n_slots; i++)
        as_arena_release(&r.slots[i].arena);
    for (int i = 0; r.done != NULL && i < plan->n_tasks; i++)
        free(r.done[i]);
    free(r.slots);
    free(r.task_ids);
    free(r.done);
    return c;
}
