/*
 * reply.c — a row of logits becomes a token, a piece of text, a score; the response.
 *
 * While a reply comes, on_delta gets what is certain: no bytes that may begin a stop text or a mark
 * of the thinking channel, no part of a character.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/engine/engine_impl.h"
#include "base/time.h"
#include "base/utf8.h"

static const char open_mark[] = "<|channel>", close_mark[] = "<channel|>";

/* ---- log-probabilities ------------------------------------------------------------------------ */

static as_code token_text(const engine_backend *be, job *j, int32_t id, as_str *out, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_code c = g4_detokenize(be->model, &id, 1, G4_TOK_SPECIAL, &b, err);
    if (c == AS_OK) {
        *out = as_arena_str(&j->keep, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

/* The n largest logits, best first, ties by lower id. Returns how many. */
static int likeliest(const float *logits, int n_vocab, int n, int32_t *ids)
{
    int k = 0;
    for (int32_t i = 0; i < n_vocab; i++) {
        if (k == n && !(logits[i] > logits[ids[k - 1]]))
            continue;
        int at = k < n ? k++ : k - 1;
        for (; at > 0 && logits[i] > logits[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = i;
    }
    return k;
}

/* Notes the token's log-probability and the n likeliest tokens in its place. */
static as_code note_logprob(const engine_backend *be, job *j, const float *logits, int32_t id,
                            int n_top, as_err *err)
{
    void *p = as_grow(j->logprobs, (size_t)j->n_logprobs, &j->cap_logprobs, sizeof *j->logprobs);
    if (p == NULL)
        return as_nomem(err);
    j->logprobs = p;
    const int n_vocab = g4_model_info(be->model)->n_vocab;
    int32_t ids[MAX_TOP] = {0};
    const int wanted = n_top < 1 ? 1 : n_top < MAX_TOP ? n_top : MAX_TOP;
    const int n = likeliest(logits, n_vocab, wanted, ids);
    as_token *top = as_new(&j->keep, as_token, (size_t)n);
    as_token_logprob *out = &j->logprobs[j->n_logprobs];
    if (top == NULL)
        return as_nomem(err);
    const double own = g4_logprob(logits, n_vocab, id);
    *out = (as_token_logprob){
        .token = {.id = id, .logprob = own}, .top = top, .n_top = n, .is_greedy = id == ids[0]};
    AS_TRY(token_text(be, j, id, &out->token.text, err));
    for (int i = 0; i < n; i++) {
        top[i].id = ids[i];
        top[i].logprob = own + ((double)logits[ids[i]] - (double)logits[id]);
        AS_TRY(token_text(be, j, ids[i], &top[i].text, err));
    }
    j->n_logprobs++;
    return AS_OK;
}

/* ---- pieces of the reply ------------------------------------------------------------------------ */

/* How many bytes at the text's end could be the beginning of what. */
static size_t begun(as_str text, as_str what)
{
    const size_t most = what.n == 0 ? 0 : what.n - 1 < text.n ? what.n - 1 : text.n;
    for (size_t n = most; n > 0; n--)
        if (memcmp(text.p + text.n - n, what.p, n) == 0)
            return n;
    return 0;
}

/* The text without the end that may still become something else. */
static as_str certain(const job *j)
{
    const as_str text = as_buf_str(&j->text);
    if (j->is_done)
        return text;
    size_t held = 0;
    for (int i = 0; i < j->rq->n_stop; i++) {
        const size_t n = begun(text, j->rq->stop[i]);
        held = n > held ? n : held;
    }
    if (j->rq->is_chat) {
        const size_t a = begun(text, as_str_of(open_mark)), b = begun(text, as_str_of(close_mark));
        held = a > held ? a : held;
        held = b > held ? b : held;
    }
    const as_str kept = as_str_sub(text, 0, text.n - held);
    return as_str_sub(kept, 0, as_utf8_complete(kept));
}

/* Answer and thinking told apart. Out of memory, the text stays whole. */
static bool split(const job *j, as_str text, tp_reasoning *parts, as_arena *scratch)
{
    return j->rq->is_chat && j->has_marks &&
           tp_split_reasoning(text, parts, scratch, NULL) == AS_OK && parts->n_channels > 0;
}

static as_str new_part(as_str whole, size_t *n_sent)
{
    const as_str part = as_str_sub(whole, *n_sent < whole.n ? *n_sent : whole.n, whole.n);
    *n_sent += part.n;
    return part;
}

/* Tells on_delta what has become certain, and takes the times. */
static as_code tell(job *j, as_err *err)
{
    const int64_t now = as_now_ns();
    if (!j->is_thinking && j->first_answer_ns == 0 && j->text.n > 0)
        j->first_answer_ns = now;
    if (j->last_token_ns != 0) {
        void *p = as_grow(j->gaps_ns, (size_t)j->n_gaps, &j->cap_gaps, sizeof *j->gaps_ns);
        if (p == NULL)
            return as_nomem(err);
        j->gaps_ns = p;
        j->gaps_ns[j->n_gaps++] = now - j->last_token_ns;
    }
    j->last_token_ns = now;
    if (j->rq->on_delta == NULL)
        return AS_OK;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_str text = certain(j);
    tp_reasoning parts = {.reasoning = AS_STR("")};
    if (split(j, text, &parts, &scratch))
        text = parts.answer;
    const int n_made = j->n_logprobs - j->n_sent_logprobs;
    const as_delta delta = {.text = new_part(text, &j->n_sent_text),
                            .reasoning = new_part(parts.reasoning, &j->n_sent_reasoning),
                            .logprobs = n_made > 0 ? j->logprobs + j->n_sent_logprobs : NULL,
                            .n_logprobs = n_made};
    if (delta.text.n + delta.reasoning.n > 0) {
        j->n_sent_logprobs = j->n_logprobs;
        j->rq->on_delta(j->rq->delta_user, &delta);
    }
    as_arena_release(&scratch);
    return AS_OK;
}

/* Cuts the text at the first stop text in it, looking only where the new bytes could matter. */
static bool hits_stop_text(job *j, size_t old_n)
{
    size_t cut = SIZE_MAX;
    for (int i = 0; i < j->rq->n_stop; i++) {
        const as_str stop = j->rq->stop[i];
        if (stop.n == 0)
            continue;
        const size_t from = old_n >= stop.n ? old_n - stop.n + 1 : 0;
        const as_str tail = as_str_sub(as_buf_str(&j->text), from, j->text.n);
        const size_t at = as_str_find(tail, stop);
        if (at != SIZE_MAX && from + at < cut)
            cut = from + at;
    }
    if (cut == SIZE_MAX)
        return false;
    j->text.n = cut;
    j->text.p[cut] = '\0';
    return true;
}

/* Counts the tokens between the marks of a thinking channel, which are one token each. */
static void note_channel(job *j, as_str piece)
{
    const bool opens = as_str_eq(piece, as_str_of(open_mark));
    const bool closes = as_str_eq(piece, as_str_of(close_mark));
    j->has_marks = j->has_marks || opens || closes;
    j->is_thinking = j->is_thinking || opens;
    j->n_reasoning += j->is_thinking ? 1 : 0;
    if (closes)
        j->is_thinking = false;
}

static bool is_stop_id(const g4_info *info, int32_t id)
{
    for (int i = 0; i < info->n_stop; i++)
        if (info->stop[i] == id)
            return true;
    return false;
}

static as_code take_token(engine_backend *be, job *j, const float *logits, as_err *err)
{
    const g4_info *info = g4_model_info(be->model);
    const int32_t id = g4_sample(j->sampler, logits, info->n_vocab, NULL);
    if (j->n_sampled++ == 0)
        j->first_token_ns = as_now_ns();
    if (j->rq->top_logprobs > 0)
        AS_TRY(note_logprob(be, j, logits, id, j->rq->top_logprobs, err));
    j->token = id;
    j->is_generating = true;
    if (is_stop_id(info, id) && !j->rq->ignore_eos) {
        job_finish(j, AS_FINISH_STOP);
        return tell(j, err);
    }
    const size_t old_n = j->text.n;
    AS_TRY(g4_detokenize(be->model, &id, 1, 0, &j->text, err));
    note_channel(j, as_str_sub(as_buf_str(&j->text), old_n, j->text.n));
    if (hits_stop_text(j, old_n))
        job_finish(j, AS_FINISH_STOP_TEXT);
    else if (j->n_sampled >= j->rq->max_tokens ||
             g4_seq_length(be->session, j->seq) >= be->options.n_ctx)
        job_finish(j, AS_FINISH_LENGTH);
    return tell(j, err);
}

as_code reply_take(engine_backend *be, job *j, const float *logits, as_err *err)
{
    if (j->rq->ask != AS_ASK_SCORE)
        return take_token(be, j, logits, err);
    AS_TRY(
        note_logprob(be, j, logits, j->ids[j->n_prompt + j->n_logprobs], j->rq->top_logprobs, err));
    if (j->n_prompt + j->n_logprobs == j->n_ids)
        job_finish(j, AS_FINISH_STOP);
    return AS_OK;
}

/* ---- ending jobs ----------------------------------------------------------------------------- */

static void release_sequence(engine_backend *be, job *j)
{
    if (j->seq >= 0) {
        g4_seq_free(be->session, j->seq);
        j->seq = -1;
        be->n_active--;
    }
    prefix_release(j);
}

static int64_t since(const job *j, int64_t at_ns)
{
    return at_ns != 0 ? at_ns - j->submitted_ns : -1;
}

static void set_times(const job *j, as_response *r)
{
    r->total_ns = since(j, as_now_ns());
    r->started_wall_ns = as_wall_ns() - r->total_ns;
    r->queue_ns = j->started_ns != 0 ? since(j, j->started_ns) : r->total_ns;
    r->first_byte_ns = r->first_token_ns = since(j, j->first_token_ns);
    r->first_answer_ns = since(j, j->first_answer_ns);
    r->last_token_ns = since(j, j->last_token_ns);
    r->gaps_ns = j->gaps_ns;
    r->n_gaps = j->n_gaps;
}

static void report(const engine_backend *be, const job *j, be_done done, void *user)
{
    as_response r;
    as_response_init(&r);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    tp_reasoning parts;
    r.finish = j->finish;
    r.error = j->error;
    r.message = as_str_of(j->message);
    r.text = as_buf_str(&j->text);
    r.dropped = j->dropped;
    r.model = be->info.model_name;
    r.logprobs = j->logprobs;
    r.n_logprobs = j->n_logprobs;
    set_times(j, &r);
    if (j->n_prompt > 0) {
        r.prompt_tokens = j->n_prompt;
        r.completion_tokens = j->n_sampled;
        r.cached_tokens = j->n_cached;
    }
    if (split(j, r.text, &parts, &scratch)) {
        r.text = parts.answer;
        r.reasoning = parts.reasoning;
        r.reasoning_tokens = j->n_reasoning;
    }
    done(user, j->rq, &r);
    as_arena_release(&scratch);
}

bool reply_deliver(engine_backend *be, be_done done, void *user)
{
    job *ended = NULL, **end = &ended;
    job **link = &be->first;
    be->last = NULL;
    while (*link != NULL) {
        job *j = *link;
        if (be->is_cancelled && !j->is_done)
            job_finish(j, AS_FINISH_CANCELLED);
        if (!j->is_done) {
            be->last = j;
            link = &j->next;
            continue;
        }
        *link = j->next;
        *end = j;
        end = &j->next;
        *end = NULL;
        release_sequence(be, j);
    }
    const bool is_any = ended != NULL;
    while (ended != NULL) { /* out of the list by now: done may submit */
        job *j = ended;
        ended = j->next;
        report(be, j, done, user);
        job_free(j);
    }
    return is_any;
}
