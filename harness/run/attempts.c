/* attempts.c — one attempt after the other: start, answer, try again; verdicts.c does the rest. */
#include "run/run_impl.h"

#include "base/time.h"
#include "run/retry.h"

enum {
    POLL_MS = 100,
    JUDGE_POLL_MS = 10, /* while verdicts may come in too */
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
    r->tick.n_judging = r->n_judging;
    r->tick.is_last = false;
    r->how->tick(r->how->tick_user, &r->tick);
}

/* ---- one attempt -------------------------------------------------------------------------------
 */

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
    return run_take_answer(r, s, response, err);
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
    if (s->state != SLOT_PAUSE)
        r->n_busy--;
    tell(r);
}

/* ---- starting attempts --------------------------------------------------------------------------
 */

bool run_next(const runner *r, cursor *at, todo what)
{
    for (; at->task < r->plan->n_tasks; *at = (cursor){.task = at->task + 1}) {
        const run_task *t = &r->plan->tasks[at->task];
        const size_t n = t->n_samples * (size_t)t->repeats;
        while (at->attempt < n && r->todo[at->task][at->attempt] != what)
            at->attempt++;
        if (at->attempt < n)
            return true;
    }
    return false;
}

unsigned char *run_todo_of(const runner *r, const slot *s)
{
    const size_t task = (size_t)(s->task - r->plan->tasks);
    return &r->todo[task][s->position * (size_t)s->task->repeats + (size_t)s->repeat];
}

/* The slot takes what the cursor points at. */
static void claim(runner *r, slot *s, const cursor *at)
{
    const run_task *t = &r->plan->tasks[at->task];
    s->task = t;
    s->task_id = r->task_ids[at->task];
    s->position = at->attempt / (size_t)t->repeats;
    s->repeat = (int)(at->attempt % (size_t)t->repeats);
    s->n_failed = 0;
    as_arena_rewind(&s->arena, 0);
    *run_todo_of(r, s) = TODO_NOTHING;
}

static as_code start_attempt(runner *r, slot *s, as_err *err)
{
    claim(r, s, &r->to_ask);
    s->failed = as_new(&s->arena, db_try, r->plan->options->max_tries);
    if (s->failed == NULL)
        return as_nomem(err);
    return run_request(r->plan, s->task, s->position, s->repeat, &s->request, &s->arena, err);
}

static as_code submit(runner *r, slot *s, as_err *err)
{
    s->request.job = (uint64_t)(s - r->slots);
    s->request.try_no = s->n_failed;
    AS_TRY(r->driver->submit(r->be, &s->request, err));
    s->state = SLOT_FLIGHT;
    r->tick.n_flight++;
    r->n_begun_meanwhile += r->n_judging != 0 ? 1 : 0;
    return AS_OK;
}

static int most_busy(const runner *r)
{
    return r->is_adaptive && r->pace.limit < r->most_flight ? r->pace.limit : r->most_flight;
}

/* A stored answer may go to the judges: there is room, and nobody needs the cores for answers. */
static bool may_judge_stored(runner *r)
{
    if (r->n_judging >= run_judges_room(r->judges))
        return false;
    return !r->judges_last || (r->n_busy == 0 && !run_next(r, &r->to_ask, TODO_ASK));
}

/* Something for a free slot to do, if there is anything. */
static as_code fill_slot(runner *r, slot *s, as_err *err)
{
    if (r->n_busy < most_busy(r) && run_next(r, &r->to_ask, TODO_ASK)) {
        AS_TRY(start_attempt(r, s, err));
        AS_TRY(submit(r, s, err));
        r->n_busy++;
    } else if (may_judge_stored(r) && run_next(r, &r->to_judge, TODO_JUDGE)) {
        claim(r, s, &r->to_judge);
        AS_TRY(run_judge_stored(r, s, err));
    }
    return AS_OK;
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
        } else if (s->state == SLOT_FREE) {
            AS_TRY(fill_slot(r, s, err));
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
        3 * (int64_t)r->most_flight > GIVE_UP_AFTER ? 3 * (int64_t)r->most_flight : GIVE_UP_AFTER;
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

/* Requests in flight are given up when the user says so, or when no answer can come; answers being
 * judged when the user says so. */
static void obey(runner *r, bool *has_cancelled)
{
    if (is_cancelled(r)) {
        r->stop = STOP_CANCEL;
        run_judges_cancel(r->judges);
    }
    if (*has_cancelled || r->stop == STOP_NOT || r->stop == STOP_PAUSE)
        return;
    *has_cancelled = true;
    r->driver->cancel(r->be);
}

/* Waits for answers and verdicts, at most wait_ms. */
static as_code wait_for_news(runner *r, int wait_ms, as_err *err)
{
    if (r->tick.n_flight == 0 && r->n_judging != 0)
        return run_collect_verdicts(r, wait_ms, err);
    if (r->n_judging != 0 && wait_ms > JUDGE_POLL_MS)
        wait_ms = JUDGE_POLL_MS;
    AS_TRY(r->driver->poll(r->be, wait_ms, on_done, r, err));
    if (r->fatal.code != AS_OK) {
        if (err != NULL)
            *err = r->fatal;
        return r->fatal.code;
    }
    AS_TRY(run_collect_verdicts(r, 0, err));
    return give_up_if_unreachable(r, err);
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
        if ((is_idle || r->stop != STOP_NOT) && r->tick.n_flight == 0 && r->n_judging == 0)
            return AS_OK;
        AS_TRY(wait_for_news(r, wait_ms, err));
        tell(r);
    }
}
