/*
 * verdicts.c — an answer on its way to its verdict.
 *
 * What scorers without a session say is stored with the answer. An answer for the judges is stored at
 * once, as "ungraded", so that nothing can lose it; its verdict replaces that later. So an interrupted
 * run, a killed one and one whose sandbox failed leave the same thing behind: stored answers without a
 * verdict, which the same command reads from the store and judges, without asking.
 */
#include "run/run_impl.h"

#include "base/json.h"

static const char not_yet[] = "not judged yet; the same command judges it";
static const char was_cut[] = "its judging was interrupted; the same command judges it";

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
        as_jw_put_str(&w, "role", s->request.messages[i].role);
        as_jw_put_str(&w, "content", s->request.messages[i].text);
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

static as_code put_attempt(runner *r, slot *s, const as_response *response, const as_score *score,
                           as_err *err)
{
    const as_sample *sample = &s->task->samples[s->position];
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
        .score = *score,
        .scorer = as_str_of(s->task->scorer->name),
        .scorer_version = s->task->scorer->version,
        .n_choices = n_choices != 0 ? n_choices : sample->n_choices,
    };
    return db_put(r->db, &record, err);
}

static as_code put_verdict(runner *r, const slot *s, const as_score *score, as_err *err)
{
    return db_put_score(r->db, s->task_id, s->position, s->repeat, score,
                        as_str_of(s->task->scorer->name), s->task->scorer->version, err);
}

/* The slot's response is the judges' from here on. */
static void hand_over(runner *r, slot *s)
{
    s->judging = (run_judging){.user = s,
                               .scorer = s->task->scorer,
                               .sample = &s->task->samples[s->position],
                               .response = &s->response,
                               .arena = &s->arena};
    s->state = SLOT_JUDGE;
    r->n_judging++;
    run_judges_put(r->judges, &s->judging);
}

as_code run_take_answer(runner *r, slot *s, const as_response *response, as_err *err)
{
    const as_sample *sample = &s->task->samples[s->position];
    r->tick.task = s->task;
    if (response->prompt_tokens > 0)
        r->tick.prompt_tokens += response->prompt_tokens;
    if (response->completion_tokens > 0)
        r->tick.completion_tokens += response->completion_tokens;
    as_score score = {.verdict = AS_UNGRADED, .note = as_str_of(not_yet)};
    if (!run_judges_wants(s->task->scorer, response)) {
        AS_TRY(sc_judge(s->task->scorer, sample, response, &score, &s->arena, err));
        AS_TRY(put_attempt(r, s, response, &score, err));
        run_count(r, &score);
        return AS_OK;
    }
    AS_TRY(put_attempt(r, s, response, &score, err));
    if (r->judges_last) {
        *run_todo_of(r, s) = TODO_JUDGE;
        return AS_OK;
    }
    AS_TRY(as_response_copy(&s->response, response, &s->arena, err));
    hand_over(r, s);
    return AS_OK;
}

as_code run_judge_stored(runner *r, slot *s, as_err *err)
{
    if (!r->is_flushed) /* what this call has stored must be seen by readers */
        AS_TRY(db_flush(r->db, err));
    r->is_flushed = true;
    AS_TRY(db_answer(r->db, s->task_id, s->position, s->repeat, &s->response, &s->arena, err));
    hand_over(r, s);
    return AS_OK;
}

static as_code end_judging(runner *r, slot *s, as_err *err)
{
    run_judging *one = &s->judging;
    if (one->code == AS_CANCELLED) {
        const as_score cut = {.verdict = AS_UNGRADED, .note = as_str_of(was_cut)};
        r->n_cut++;
        return put_verdict(r, s, &cut, err);
    }
    if (one->code != AS_OK) {
        if (err != NULL)
            *err = one->err;
        return one->code;
    }
    r->tick.task = s->task;
    run_count(r, &one->score);
    return put_verdict(r, s, &one->score, err);
}

as_code run_collect_verdicts(runner *r, int wait_ms, as_err *err)
{
    run_judging *one;
    while ((one = run_judges_take(r->judges, wait_ms)) != NULL) {
        slot *s = one->user;
        wait_ms = 0;
        s->state = SLOT_FREE;
        r->n_judging--;
        AS_TRY(end_judging(r, s, err));
        as_arena_rewind(&s->arena, 0);
    }
    return AS_OK;
}
