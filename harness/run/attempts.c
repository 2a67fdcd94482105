/* attempts.c — one attempt after the other: start, answer, try again, store. */
#include "run/run_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/time.h"
#include "run/retry.h"

enum {
    POLL_MS = 100,
    GIVE_UP_AFTER = 20, /* requests without any answer: the backend cannot be reached */
    NOT_FOUND_AFTER = 4,
};

static bool is_cancelled(const runner *r)
{
    return r->how->cancel != NULL && *r->how->cancel != 0;
}

static void tell(runner *r)
{
    if (r->how->tick == NULL)
        return;
    r->tick.elapsed_ns = as_now_ns() - r->started_ns;
    r->tick.is_last = false;
    r->how->tick(r->how->tick_user, &r->tick);
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
    AS_TRY(sc_judge_in(scorer, r->sessions[s->task - r->plan->tasks], sample, response, &score,
                       &s->arena, err));
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
    run_count(r, &score);
    r->tick.task = s->task;
    if (response->prompt_tokens > 0)
        r->tick.prompt_tokens += response->prompt_tokens;
    if (response->completion_tokens > 0)
        r->tick.completion_tokens += response->completion_tokens;
    return AS_OK;
}

static as_code note_failed_try(slot *s, const as_response *response, as_err *err)
{
    const as_str message = as_arena_str(&s->arena, response->message);
    const as_str where = as_arena_str(&s->arena, response->endpoint);
    if (!as_str_is_set(message) || !as_str_is_set(where))
        return as_nomem(err);
    s->failed[s->n_failed++] = (db_try){
        .error = response->error,
        .message = message,
        .http_status = response->http_status,
        .started_wall_ns = response->started_wall_ns,
        .total_ns = response->total_ns,
        .endpoint = response->endpoint.n != 0 ? where : (as_str){0},
    };
    return AS_OK;
}

/* What all responses together say: whether anybody is there, and what it costs us. */
static void account(runner *r, const as_response *response)
{
    const bool has_failed = response->finish == AS_FINISH_ERROR;
    r->n_failures += has_failed ? 1 : 0;
    r->n_answers += has_failed ? 0 : 1;
    r->n_not_found += response->error == AS_ERROR_NOT_FOUND ? 1 : 0;
    r->n_unreached = response->error == AS_ERROR_TRANSPORT ? r->n_unreached + 1 : 0;
    if (response->total_ns > 0) {
        r->latency_ns += response->total_ns;
        r->queue_ns += response->queue_ns > 0 ? response->queue_ns : 0;
    }
    if (!r->is_adaptive)
        return;
    if (has_failed && run_is_overload(response->error, response->http_status)) {
        run_pace_overload(&r->pace, as_now_ns());
    } else if (!has_failed) {
        /* A token of the prompt costs a server about an eighth of one that it makes. */
        const int64_t cached = response->cached_tokens > 0 ? response->cached_tokens : 0;
        const int64_t prompt = response->prompt_tokens - cached;
        const double made = (double)response->completion_tokens;
        run_pace_answer(&r->pace, 1 + (made > 0 ? made : 0) + (prompt > 0 ? (double)prompt / 8 : 0),
                        as_now_ns());
    }
}

/* No more requests are begun, for a reason that goes into a sentence. */
static void stop(runner *r, stop_reason why, const as_response *response)
{
    if (r->stop != STOP_NOT)
        return;
    r->stop = why;
    const char *what = why == STOP_PAUSE ? "the server's allowance is used up"
                       : response->error == AS_ERROR_AUTH
                           ? "the server refuses the key (or wants one)"
                           : "the server knows no such model or route";
    const char *remedy = why == STOP_PAUSE ? "the same command continues when there is a new one"
                         : response->error == AS_ERROR_AUTH
                             ? "set the right key in the environment; the same command continues"
                             : "check the model's name and --base-url; the same command continues";
    (void)as_fail(&r->stop_words, AS_RANGE, "%s: %.*s; %s", what,
                  AS_ARG(as_str_sub(response->message, 0, 200)), remedy);
}

static bool is_nobody_found(const runner *r)
{
    return r->n_answers == 0 && r->n_not_found == r->n_failures &&
           (r->n_not_found >= NOT_FOUND_AFTER || r->n_not_found >= r->tick.n_total);
}

static as_code settle(runner *r, slot *s, const as_response *response, as_err *err)
{
    AS_TRY(run_watch_endpoint(r, response, err));
    switch (run_decide(response, s->failed, s->n_failed, r->plan->options->max_tries)) {
    case RUN_PAUSE:
        stop(r, STOP_PAUSE, response);
        return AS_OK;
    case RUN_STOP:
        stop(r, STOP_REFUSED, response);
        return AS_OK;
    case RUN_RETRY:
        AS_TRY(note_failed_try(s, response, err));
        s->resume_ns = as_now_ns() + 1000000 * run_wait_ms(s->request.seed, s->n_failed,
                                                           response->retry_after_ms,
                                                           r->plan->options->retry_ms);
        s->state = SLOT_PAUSE;
        r->tick.n_retries++;
        return AS_OK;
    case RUN_RECORD:
        break;
    }
    if (is_nobody_found(r)) {
        stop(r, STOP_REFUSED, response);
        return AS_OK;
    }
    return store_attempt(r, s, response, err);
}

static void on_done(void *user, const as_request *request, const as_response *response)
{
    runner *r = user;
    slot *s = &r->slots[request->job];
    r->tick.n_flight--;
    s->state = SLOT_FREE;
    if (r->fatal.code == AS_OK && response->finish != AS_FINISH_CANCELLED) {
        account(r, response);
        if (settle(r, s, response, &r->fatal) == AS_OK)
            r->fatal = (as_err){0};
    }
    if (s->state == SLOT_FREE)
        r->n_busy--;
    tell(r);
}

/* ---- starting attempts --------------------------------------------------------------------------
 */

bool run_has_next(runner *r)
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

static int most_busy(const runner *r)
{
    return r->is_adaptive && r->pace.limit < r->n_slots ? r->pace.limit : r->n_slots;
}

/* Fills free slots and wakes paused ones; *wait_ms: how long poll may sleep. */
static as_code fill_slots(runner *r, bool *is_idle, int *wait_ms, as_err *err)
{
    *is_idle = true;
    *wait_ms = POLL_MS;
    const int64_t now = as_now_ns();
    r->tick.concurrency = most_busy(r);
    for (int i = 0; i < r->n_slots; i++) {
        slot *s = &r->slots[i];
        if (s->state == SLOT_PAUSE && s->resume_ns <= now) {
            AS_TRY(submit(r, s, err));
        } else if (s->state == SLOT_PAUSE) {
            const int64_t ms = (s->resume_ns - now) / 1000000 + 1;
            if (ms < *wait_ms)
                *wait_ms = (int)ms;
        } else if (s->state == SLOT_FREE && r->n_busy < most_busy(r) && run_has_next(r)) {
            AS_TRY(start_attempt(r, s, err));
            AS_TRY(submit(r, s, err));
            r->n_busy++;
        }
        if (s->state != SLOT_FREE)
            *is_idle = false;
    }
    return AS_OK;
}

static as_str last_transport_message(const runner *r)
{
    as_str words = AS_STR("connection failed");
    for (int i = 0; i < r->n_slots; i++)
        for (int k = 0; k < r->slots[i].n_failed; k++)
            if (r->slots[i].failed[k].error == AS_ERROR_TRANSPORT)
                words = r->slots[i].failed[k].message;
    return words;
}

/* Nobody there, or nobody any more: going on would only turn items into errors. */
static as_code give_up_if_unreachable(const runner *r, as_err *err)
{
    const int64_t in_a_row =
        3 * (int64_t)r->n_slots > GIVE_UP_AFTER ? 3 * (int64_t)r->n_slots : GIVE_UP_AFTER;
    if (r->n_answers == 0 && r->n_failures >= GIVE_UP_AFTER && r->n_unreached > 0)
        return as_fail(err, AS_TIMEOUT,
                       "the backend cannot be reached: the first %lld requests failed, the last "
                       "with: %.*s",
                       (long long)r->n_failures, AS_ARG(last_transport_message(r)));
    if (r->n_answers != 0 && r->n_unreached >= in_a_row)
        return as_fail(err, AS_TIMEOUT,
                       "the backend cannot be reached any more: %lld requests failed in a row, the "
                       "last with: %.*s; the same command continues",
                       (long long)r->n_unreached, AS_ARG(last_transport_message(r)));
    return AS_OK;
}

/* Requests in flight are given up when the user says so, or when no answer can come. */
static void obey(runner *r, bool *has_cancelled)
{
    if (is_cancelled(r))
        r->stop = STOP_CANCEL;
    if (*has_cancelled || r->stop == STOP_NOT || r->stop == STOP_PAUSE)
        return;
    *has_cancelled = true;
    r->driver->cancel(r->be);
}

as_code run_work(runner *r, as_err *err)
{
    bool has_cancelled = false;
    for (;;) {
        bool is_idle = true;
        int wait_ms = POLL_MS;
        obey(r, &has_cancelled);
        if (r->stop == STOP_NOT)
            AS_TRY(fill_slots(r, &is_idle, &wait_ms, err));
        if ((is_idle || r->stop != STOP_NOT) && r->tick.n_flight == 0)
            return AS_OK;
        AS_TRY(r->driver->poll(r->be, wait_ms, on_done, r, err));
        if (r->fatal.code != AS_OK) {
            if (err != NULL)
                *err = r->fatal;
            return r->fatal.code;
        }
        AS_TRY(give_up_if_unreachable(r, err));
        tell(r);
    }
}
