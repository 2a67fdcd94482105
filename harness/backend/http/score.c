#include "backend/http/score.h"

#include <string.h>

static as_code begin_ids(ht_job *job, as_err *err)
{
    const as_request *rq = job->rq;
    ht_score *s = &job->score;
    s->n_context = rq->n_ids;
    s->n = rq->n_continuation_ids;
    s->ids = as_new(&job->arena, int32_t, rq->n_ids + rq->n_continuation_ids);
    if (s->ids == NULL)
        return as_nomem(err);
    memcpy(s->ids, rq->ids, (size_t)rq->n_ids * sizeof *s->ids);
    memcpy(s->ids + rq->n_ids, rq->continuation_ids,
           (size_t)rq->n_continuation_ids * sizeof *s->ids);
    s->at = 0;
    s->until = s->n;
    job->step = HT_SCORE_FORCE;
    return AS_OK;
}

as_code ht_score_begin(ht_job *job, bool can_render, as_err *err)
{
    const as_request *rq = job->rq;
    if (rq->n_continuation_ids > 0 && rq->n_ids > 0)
        return begin_ids(job, err);
    if (rq->continuation.n == 0 || rq->n_ids > 0 || rq->n_continuation_ids > 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "scoring wants a text and its continuation, or ids and the ids that follow");
    if (rq->is_chat) {
        job->step = HT_SCORE_RENDER;
        return can_render ? AS_OK
                          : as_fail(err, AS_UNSUPPORTED,
                                    "the server does not show the prompt of a chat, so nothing can "
                                    "be scored after it");
    }
    as_buf b;
    as_buf_init(&b, HT_MAX_REQUEST);
    (void)as_buf_add(&b, rq->prefix);
    (void)as_buf_add(&b, rq->prompt);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        job->score.context = as_arena_str(&job->arena, as_buf_str(&b));
        c = as_str_is_set(job->score.context) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    job->step = HT_SCORE_CONTEXT;
    return c;
}

as_code ht_score_text(ht_job *job, as_str *out, as_err *err)
{
    const as_str c = job->score.context, k = job->rq->continuation;
    *out = c;
    if (job->step == HT_SCORE_CONTEXT)
        return AS_OK;
    char *p = as_arena_alloc(&job->arena, c.n + k.n + 1, 1);
    if (p == NULL)
        return as_nomem(err);
    memcpy(p, c.p, c.n);
    memcpy(p + c.n, k.p, k.n);
    *out = (as_str){p, c.n + k.n};
    return AS_OK;
}

void ht_score_rendered(ht_job *job, as_str prompt)
{
    job->score.context = as_arena_str(&job->arena, prompt);
    if (prompt.n == 0 || !as_str_is_set(job->score.context))
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the server's prompt for the chat is empty");
    job->step = HT_SCORE_CONTEXT;
}

/* A BOS that is in the text and was added as well counts once. */
static void drop_double_bos(const ht_job *job, int32_t **ids, int *n)
{
    if (*n >= 2 && (*ids)[0] == job->driver->bos && (*ids)[1] == job->driver->bos) {
        (*ids)++;
        (*n)--;
    }
}

void ht_score_tokens(ht_job *job, const as_json *array)
{
    ht_score *s = &job->score;
    int32_t *ids = NULL;
    int n = 0;
    as_err err = {0};
    if (as_json_ids(array, &ids, &n, &job->arena, &err) != AS_OK) {
        ht_job_fail(job, AS_ERROR_PROTOCOL, "the server's tokens are not a list of ids");
        return;
    }
    drop_double_bos(job, &ids, &n);
    if (job->step == HT_SCORE_CONTEXT) {
        s->context_ids = ids;
        s->n_context_ids = n;
        job->step = HT_SCORE_ALL;
        return;
    }
    int same = 0;
    while (same < n && same < s->n_context_ids && ids[same] == s->context_ids[same])
        same++;
    s->ids = ids;
    s->n_context = same;
    s->n = n - same;
    s->at = 0;
    s->until = s->n;
    job->step = HT_SCORE_FORCE;
    if (same == 0 || s->n == 0)
        ht_job_fail(job, AS_ERROR_REQUEST,
                    same == 0 ? "nothing is left of the context in front of the continuation"
                              : "the continuation adds no token to the context");
}
