/* prefixes.c — what prompts share is computed once. */
#include <stdlib.h>
#include <string.h>

#include "backend/engine/engine_impl.h"

as_code sequence_new(engine_backend *be, const adapter *a, int *seq, as_err *err)
{
    AS_TRY(g4_seq_new(be->session, seq, err));
    return g4_seq_set_adapter(be->session, *seq, a != NULL ? a->g4 : NULL, a != NULL ? a->scale : 1,
                              err);
}

/* At least one row is left for the job itself: the one whose logits it waits for. */
static bool is_prefix_of(const prefix *p, const job *j)
{
    return p->seq >= 0 && p->adapter == j->adapter && j->n_prompt > p->n &&
           memcmp(j->ids, p->ids, (size_t)p->n * sizeof *p->ids) == 0;
}

static void drop(engine_backend *be, prefix *p)
{
    if (p->seq >= 0)
        g4_seq_free(be->session, p->seq);
    free(p->ids);
    *p = (prefix){.seq = -1};
}

/* How many of the job's ids others are likely to begin with: of a score the whole context, else
 * what the prefix text alone gives (the tokens at the seam may differ). */
static as_code shared_tokens(const engine_backend *be, const job *j, int *n, as_err *err)
{
    *n = 0;
    if (j->rq->ask == AS_ASK_SCORE) {
        *n = j->n_prompt - 1;
        return AS_OK;
    }
    if (j->rq->prefix.n == 0 || j->rq->is_chat)
        return AS_OK;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    as_request head = *j->rq;
    head.prompt = AS_STR("");
    AS_TRY(job_tokenize(be, &head, &ids, &n_ids, err));
    while ((size_t)*n < n_ids && *n + 1 < j->n_prompt && ids[*n] == j->ids[*n])
        ++*n;
    free(ids);
    return AS_OK;
}

static as_code begin(engine_backend *be, prefix *p, const job *j, int n, as_err *err)
{
    drop(be, p);
    p->ids = malloc((size_t)n * sizeof *p->ids);
    if (p->ids == NULL)
        return as_nomem(err);
    memcpy(p->ids, j->ids, (size_t)n * sizeof *p->ids);
    p->n = n;
    p->adapter = j->adapter;
    const as_code c = sequence_new(be, j->adapter, &p->seq, err);
    if (c != AS_OK) {
        p->seq = -1;
        drop(be, p);
    }
    return c;
}

as_code prefix_take(engine_backend *be, job *j, as_err *err)
{
    if (j->rq->no_cache)
        return AS_OK;
    prefix *p = NULL;
    for (int i = 0; i < N_PREFIXES; i++) {
        prefix *q = &be->prefixes[i];
        if (is_prefix_of(q, j) && (p == NULL || q->n > p->n))
            p = q;
    }
    int n = 0;
    AS_TRY(shared_tokens(be, j, &n, err));
    if (p == NULL || p->n < n) {
        if (n < MIN_PREFIX_TOKENS && p == NULL)
            return AS_OK;
        prefix *fresh = NULL; /* an unused slot, or the idle one not used for longest */
        for (int i = 0; i < N_PREFIXES; i++) {
            prefix *q = &be->prefixes[i];
            if (q->n_users == 0 &&
                (fresh == NULL ||
                 (fresh->seq >= 0 && (q->seq < 0 || q->last_used < fresh->last_used))))
                fresh = q;
        }
        if (fresh != NULL && n >= MIN_PREFIX_TOKENS) {
            AS_TRY(begin(be, fresh, j, n, err));
            p = fresh;
        }
        if (p == NULL)
            return AS_OK; /* both are in use: this job computes its own */
    }
    p->n_users++;
    p->last_used = ++be->clock;
    j->shared = p;
    return AS_OK;
}

void prefix_release(job *j)
{
    if (j->shared != NULL)
        j->shared->n_users--;
    j->shared = NULL;
}
