/* batch.c — which rows go into the next call of the engine. */
#include <stdio.h>

#include "backend/engine/engine_impl.h"
#include "base/time.h"

static bool fits(const engine_backend *be, job *j)
{
    const int n_ctx = be->options.n_ctx;
    const int room = j->rq->ask == AS_ASK_SCORE ? 0 : 1; /* for an answer */
    if (j->n_rows + room <= n_ctx)
        return true;
    char why[200];
    (void)snprintf(why, sizeof why,
                   "prompt of %d tokens does not fit a context of %d with room for an answer; -M "
                   "ctx=N raises it (the model was made for %d)",
                   j->n_rows, n_ctx, g4_model_info(be->model)->n_ctx_train);
    job_fail(j, AS_ERROR_CONTEXT, why);
    return false;
}

/* Gives waiting jobs a sequence while there is room, in order of arrival. */
static as_code start_jobs(engine_backend *be, as_err *err)
{
    for (job *j = be->first; j != NULL && be->n_active < be->max_active; j = j->next) {
        if (j->is_done || j->seq >= 0)
            continue;
        if (j->started_ns == 0) {
            j->started_ns = as_now_ns();
            if (!fits(be, j))
                continue;
            AS_TRY(prefix_take(be, j, err));
        }
        if (j->shared != NULL && j->shared->n_fed < j->shared->n)
            continue; /* its prefix is being computed */
        if (j->shared != NULL &&
            g4_seq_fork(be->session, j->shared->seq, j->shared->n, &j->seq, err) == AS_OK) {
            j->n_fed = j->n_cached = j->shared->n;
        } else {
            AS_TRY(sequence_new(be, j->adapter, &j->seq, err));
        }
        be->n_active++;
    }
    return AS_OK;
}

typedef struct batch {
    int n, n_logits;
} batch;

static void add_row(engine_backend *be, batch *b, int seq, int pos, int32_t token, job *wants)
{
    be->rows[b->n] =
        (g4_row){.seq = seq, .pos = (int32_t)pos, .token = token, .want_logits = wants != NULL};
    be->row_job[b->n] = wants;
    b->n++;
    b->n_logits += wants != NULL ? 1 : 0;
}

/* Rows of the prompt, the last of which wants logits; of a continuation every row does. */
static void add_prompt_rows(engine_backend *be, batch *b, job *j)
{
    for (; j->n_fed < j->n_rows && b->n < N_BATCH; j->n_fed++) {
        const bool wants = j->n_fed + 1 >= j->n_prompt;
        if (wants && b->n_logits == N_LOGIT_ROWS)
            return;
        add_row(be, b, j->seq, j->n_fed, j->ids[j->n_fed], wants ? j : NULL);
    }
}

static void fill_batch(engine_backend *be, batch *b)
{
    for (job *j = be->first; j != NULL && b->n < N_BATCH; j = j->next)
        if (!j->is_done && j->is_generating)
            add_row(be, b, j->seq, g4_seq_length(be->session, j->seq), j->token, j);
    for (int i = 0; i < N_PREFIXES && b->n < N_BATCH; i++) {
        prefix *p = &be->prefixes[i];
        while (p->seq >= 0 && p->n_users > 0 && p->n_fed < p->n && b->n < N_BATCH) {
            add_row(be, b, p->seq, p->n_fed, p->ids[p->n_fed], NULL);
            p->n_fed++;
        }
    }
    for (job *j = be->first; j != NULL && b->n < N_BATCH; j = j->next)
        if (!j->is_done && j->seq >= 0 && !j->is_generating)
            add_prompt_rows(be, b, j);
}

as_code batch_step(engine_backend *be, as_err *err)
{
    AS_TRY(start_jobs(be, err));
    batch b = {0};
    fill_batch(be, &b);
    if (b.n == 0)
        return AS_OK;
    g4_result result;
    AS_TRY(g4_decode(be->session, be->rows, b.n, &result, err));
    const int n_vocab = g4_model_info(be->model)->n_vocab;
    int k = 0;
    for (int i = 0; i < b.n; i++)
        if (be->row_job[i] != NULL)
            AS_TRY(
                reply_take(be, be->row_job[i], result.logits + (size_t)k++ * (size_t)n_vocab, err));
    return AS_OK;
}
