/*
 * backend_engine.c — the built-in engine as a backend: continuous batching over engine/engine.h.
 *
 * How it works
 *   Each request is a job with a sequence of its own. Every step of poll makes one batch: one row
 *   for each job that generates, then as many prompt rows as fit, oldest job first. A prompt's
 *   shared prefix (few-shot examples) is computed once, in a sequence that nobody generates in, and
 *   forked for each job; two such prefixes are kept. The engine's results do not depend on the
 *   batch, so neither do the answers.
 *
 * Options    precision=auto|f32, kv=f32|f16|q8_0 (how keys and values are kept), ctx=N (positions a
 *            sequence may hold), memory=BYTES (that cache and buffers may take),
 *            lora=ADAPTER[:SCALE]
 * Identity   with an adapter the model's SHA-256 is one over the model's, the adapter's and the
 *            scale, and its name tells of all three, so that no run is taken for the plain model's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/file_hash.h"
#include "base/json.h"
#include "base/time.h"
#include "engine/engine.h"

enum {
    N_PREFIXES = 2,
    MIN_PREFIX_TOKENS = 32, /* sharing less is not worth a sequence */
    N_BATCH = 256,
    DEFAULT_CTX = 8192,
    MAX_SEQS = 64,
};

typedef struct prefix {
    int32_t *ids; /* [n] */
    int n;
    int n_fed; /* rows computed so far */
    int seq;   /* -1: slot unused */
    int n_users;
    uint64_t last_used;
} prefix;

typedef struct job {
    struct job *next; /* oldest first */
    const as_request *rq;
    int32_t *prompt; /* [n_prompt] */
    int n_prompt;
    int n_fed;      /* prompt rows in the sequence */
    int n_cached;   /* of those, shared from a prefix */
    int seq;        /* -1: not started */
    prefix *shared; /* waiting for or forked from; NULL: none */
    g4_sampler *sampler;
    int32_t token; /* next row when generating */
    bool is_generating;
    bool is_done;
    as_finish finish;
    as_error_kind error;
    char message[sizeof((as_err *)0)->text];
    as_buf text;
    int n_sampled;
    int n_reasoning; /* of those, inside a thinking channel */
    bool is_thinking;
    int64_t submitted_ns, started_ns, first_token_ns, cpu_ns;
} job;

typedef struct engine_backend {
    be_backend base;
    be_info info;
    g4_model *model;
    g4_adapter *adapter; /* of every sequence; NULL: none */
    double lora_scale;
    g4_session *session; /* NULL until prepared */
    g4_session_options options;
    job *first, *last;
    int n_active; /* jobs with a sequence */
    int max_active;
    prefix prefixes[N_PREFIXES];
    uint64_t clock; /* for last_used */
    g4_row *rows;   /* [N_BATCH] */
    job **row_job;  /* [N_BATCH] who wants the row's logits; NULL: nobody */
    bool is_cancelled;
    as_buf json;
    as_buf path;
    as_buf memory;
    as_buf lora, name; /* path of the adapter; name of model and adapter */
    char sha[AS_SHA256_HEX];
    char model_sha[AS_SHA256_HEX], lora_sha[AS_SHA256_HEX]; /* the parts of sha, with an adapter */
    char template_sha[AS_SHA256_HEX];
} engine_backend;

/* ---- jobs ---------------------------------------------------------------------------------------
 */

static void job_free(job *j)
{
    if (j == NULL)
        return;
    g4_sampler_free(j->sampler);
    as_buf_release(&j->text);
    free(j->prompt);
    free(j);
}

static void fail_job(job *j, as_error_kind kind, const char *why)
{
    j->is_done = true;
    j->finish = AS_FINISH_ERROR;
    j->error = kind;
    (void)snprintf(j->message, sizeof j->message, "%s", why);
}

static void finish_job(job *j, as_finish how)
{
    j->is_done = true;
    j->finish = how;
}

/* The request as the template wants it: messages, the tokens' names, thinking on or off. */
static as_code chat_request(const as_request *rq, as_buf *out, as_err *err)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_key(&w, "messages");
    as_jw_begin_array(&w);
    for (int i = 0; i < rq->n_messages; i++) {
        as_jw_begin_object(&w);
        as_jw_key(&w, "role");
        as_jw_str(&w, rq->messages[i].role);
        as_jw_key(&w, "content");
        as_jw_str(&w, rq->messages[i].text);
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
    as_jw_key(&w, "add_generation_prompt");
    as_jw_bool(&w, true);
    as_jw_key(&w, "vars");
    as_jw_begin_object(&w);
    if (rq->think != AS_THINK_AUTO) {
        as_jw_key(&w, "enable_thinking");
        as_jw_bool(&w, rq->think == AS_THINK_ON);
    }
    as_jw_end_object(&w);
    as_jw_end_object(&w);
    return as_buf_ok(out, err);
}

static as_code tokenize_chat(const engine_backend *be, const as_request *rq, int32_t **ids,
                             size_t *n, as_err *err)
{
    as_buf request, text;
    as_buf_init(&request, 0);
    as_buf_init(&text, 0);
    as_code c = chat_request(rq, &request, err);
    if (c == AS_OK)
        c = g4_chat_render(be->model, as_buf_str(&request), &text, err);
    if (c == AS_OK)
        c = g4_chat_tokenize(be->model, as_buf_str(&text), ids, n, err);
    as_buf_release(&request);
    as_buf_release(&text);
    return c;
}

static as_code tokenize_prompt(const engine_backend *be, const as_request *rq, int32_t **ids,
                               size_t *n, as_err *err)
{
    if (rq->is_chat)
        return tokenize_chat(be, rq, ids, n, err);
    as_buf text;
    as_buf_init(&text, 0);
    (void)as_buf_add(&text, rq->prefix);
    (void)as_buf_add(&text, rq->prompt);
    as_code c = as_buf_ok(&text, err);
    const unsigned flags = g4_model_info(be->model)->add_bos ? G4_TOK_BOS : 0;
    if (c == AS_OK)
        c = g4_tokenize(be->model, as_buf_str(&text), flags, ids, n, err);
    as_buf_release(&text);
    return c;
}

static g4_sampling sampling_of(const as_request *rq)
{
    const as_sampling *s = &rq->sampling;
    return (g4_sampling){
        .temperature = isnan(s->temperature) ? 0 : s->temperature,
        .top_k = s->top_k > 0 ? s->top_k : 0,
        .top_p = isnan(s->top_p) ? 0 : s->top_p,
        .min_p = isnan(s->min_p) ? 0 : s->min_p,
        .seed = rq->seed,
    };
}

static as_code new_sequence(engine_backend *be, int *seq, as_err *err)
{
    AS_TRY(g4_seq_new(be->session, seq, err));
    return g4_seq_set_adapter(be->session, *seq, be->adapter, be->lora_scale, err);
}

/* ---- shared prefixes ----------------------------------------------------------------------------
 */

static bool starts_with(const job *j, const int32_t *ids, int n)
{
    return j->n_prompt > n && memcmp(j->prompt, ids, (size_t)n * sizeof *ids) == 0;
}

static prefix *find_prefix(engine_backend *be, const job *j)
{
    for (int i = 0; i < N_PREFIXES; i++) {
        prefix *p = &be->prefixes[i];
        if (p->seq >= 0 && starts_with(j, p->ids, p->n))
            return p;
    }
    return NULL;
}

static void drop_prefix(engine_backend *be, prefix *p)
{
    if (p->seq >= 0)
        g4_seq_free(be->session, p->seq);
    free(p->ids);
    *p = (prefix){.seq = -1};
}

/* How many of the job's ids the prefix text alone gives: the tokens at the seam may differ. */
static as_code shared_tokens(const engine_backend *be, const job *j, int *n, as_err *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    as_request head = *j->rq;
    head.prompt = AS_STR("");
    AS_TRY(tokenize_prompt(be, &head, &ids, &n_ids, err));
    int k = 0;
    while ((size_t)k < n_ids && k + 1 < j->n_prompt && ids[k] == j->prompt[k])
        k++;
    free(ids);
    *n = k;
    return AS_OK;
}

/* A slot for the job's prefix: the one that holds it, or the least recently used idle one. */
static as_code take_prefix(engine_backend *be, job *j, as_err *err)
{
    if (j->rq->prefix.n == 0)
        return AS_OK;
    prefix *p = find_prefix(be, j);
    if (p == NULL) {
        int n = 0;
        AS_TRY(shared_tokens(be, j, &n, err));
        if (n < MIN_PREFIX_TOKENS)
            return AS_OK;
        for (int i = 0; i < N_PREFIXES; i++) {
            prefix *q = &be->prefixes[i];
            if (q->n_users == 0 && (p == NULL || q->seq < 0 || q->last_used < p->last_used))
                p = q;
        }
        if (p == NULL)
            return AS_OK; /* both are in use: this job computes its own */
        drop_prefix(be, p);
        p->ids = malloc((size_t)n * sizeof *p->ids);
        if (p->ids == NULL)
            return as_nomem(err);
        memcpy(p->ids, j->prompt, (size_t)n * sizeof *p->ids);
        p->n = n;
        const as_code c = new_sequence(be, &p->seq, err);
        if (c != AS_OK) {
            p->seq = -1;
            drop_prefix(be, p);
            return c;
        }
    }
    p->n_users++;
    p->last_used = ++be->clock;
    j->shared = p;
    return AS_OK;
}

/* ---- one step -----------------------------------------------------------------------------------
 */

static bool check_length(const engine_backend *be, job *j)
{
    const int n_ctx = be->options.n_ctx;
    if (j->n_prompt < n_ctx)
        return true;
    char why[200];
    (void)snprintf(why, sizeof why,
                   "prompt of %d tokens does not fit a context of %d with room for an answer; -M "
                   "ctx=N raises it (the model was made for %d)",
                   j->n_prompt, n_ctx, g4_model_info(be->model)->n_ctx_train);
    fail_job(j, AS_ERROR_CONTEXT, why);
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
            if (!check_length(be, j))
                continue;
            AS_TRY(take_prefix(be, j, err));
        }
        if (j->shared != NULL && j->shared->n_fed < j->shared->n)
            continue; /* its prefix is being computed */
        if (j->shared != NULL &&
            g4_seq_fork(be->session, j->shared->seq, j->shared->n, &j->seq, err) == AS_OK) {
            j->n_fed = j->n_cached = j->shared->n;
        } else {
            AS_TRY(new_sequence(be, &j->seq, err));
        }
        be->n_active++;
    }
    return AS_OK;
}

typedef struct batch {
    int n;
} batch;

static void add_row(engine_backend *be, batch *b, int seq, int pos, int32_t token, job *wants)
{
    be->rows[b->n] =
        (g4_row){.seq = seq, .pos = (int32_t)pos, .token = token, .want_logits = wants != NULL};
    be->row_job[b->n] = wants;
    b->n++;
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
    for (job *j = be->first; j != NULL && b->n < N_BATCH; j = j->next) {
        if (j->is_done || j->seq < 0 || j->is_generating)
            continue;
        for (; j->n_fed < j->n_prompt && b->n < N_BATCH; j->n_fed++)
            add_row(be, b, j->seq, j->n_fed, j->prompt[j->n_fed],
                    j->n_fed + 1 == j->n_prompt ? j : NULL);
    }
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

static bool is_stop_id(const g4_info *info, int32_t id)
{
    for (int i = 0; i < info->n_stop; i++)
        if (info->stop[i] == id)
            return true;
    return false;
}

/* Counts the tokens between the marks of a thinking channel, which are one token each. */
static void note_channel(job *j, as_str piece)
{
    if (as_str_eq(piece, AS_STR("<|channel>")))
        j->is_thinking = true;
    j->n_reasoning += j->is_thinking ? 1 : 0;
    if (as_str_eq(piece, AS_STR("<channel|>")))
        j->is_thinking = false;
}

static as_code accept_token(engine_backend *be, job *j, const float *logits, as_err *err)
{
    const g4_info *info = g4_model_info(be->model);
    const int32_t id = g4_sample(j->sampler, logits, info->n_vocab, NULL);
    if (j->n_sampled++ == 0)
        j->first_token_ns = as_now_ns();
    if (is_stop_id(info, id)) {
        finish_job(j, AS_FINISH_STOP);
        return AS_OK;
    }
    const size_t old_n = j->text.n;
    AS_TRY(g4_detokenize(be->model, &id, 1, 0, &j->text, err));
    note_channel(j, as_str_sub(as_buf_str(&j->text), old_n, j->text.n));
    if (hits_stop_text(j, old_n))
        finish_job(j, AS_FINISH_STOP_TEXT);
    else if (j->n_sampled >= j->rq->max_tokens ||
             g4_seq_length(be->session, j->seq) >= be->options.n_ctx)
        finish_job(j, AS_FINISH_LENGTH);
    j->token = id;
    j->is_generating = true;
    return AS_OK;
}

static as_code step(engine_backend *be, as_err *err)
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
            AS_TRY(accept_token(be, be->row_job[i], result.logits + (size_t)k++ * (size_t)n_vocab,
                                err));
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
    if (j->shared != NULL) {
        j->shared->n_users--;
        j->shared = NULL;
    }
}

/* What a chat model said, with its thinking told apart. Out of memory, the text stays whole. */
static void split_reply(const job *j, as_response *r, as_arena *scratch)
{
    tp_reasoning parts;
    if (!j->rq->is_chat || tp_split_reasoning(r->text, &parts, scratch, NULL) != AS_OK ||
        parts.n_channels == 0)
        return;
    r->text = parts.answer;
    r->reasoning = parts.reasoning;
    r->reasoning_tokens = j->n_reasoning;
}

static void report(const job *j, be_done done, void *user)
{
    as_response r;
    as_response_init(&r);
    const int64_t now = as_now_ns();
    r.finish = j->finish;
    r.error = j->error;
    r.message = as_str_of(j->message);
    r.text = as_buf_str(&j->text);
    r.total_ns = now - j->submitted_ns;
    r.started_wall_ns = as_wall_ns() - r.total_ns;
    r.queue_ns = j->started_ns != 0 ? j->started_ns - j->submitted_ns : r.total_ns;
    r.first_token_ns = j->first_token_ns != 0 ? j->first_token_ns - j->submitted_ns : -1;
    if (j->n_prompt > 0) {
        r.prompt_tokens = j->n_prompt;
        r.completion_tokens = j->n_sampled;
        r.cached_tokens = j->n_cached;
    }
    as_arena scratch;
    as_arena_init(&scratch, 0);
    split_reply(j, &r, &scratch);
    done(user, j->rq, &r);
    as_arena_release(&scratch);
}

/* Takes finished jobs out of the list and reports them; true if there was one. */
static bool deliver(engine_backend *be, be_done done, void *user)
{
    bool is_any = false;
    job **link = &be->first;
    job *last = NULL;
    while (*link != NULL) {
        job *j = *link;
        if (be->is_cancelled && !j->is_done)
            finish_job(j, AS_FINISH_CANCELLED);
        if (!j->is_done) {
            last = j;
            link = &j->next;
            continue;
        }
        *link = j->next;
        release_sequence(be, j);
        report(j, done, user);
        job_free(j);
        is_any = true;
    }
    be->last = last;
    return is_any;
}

/* ---- the driver ------------------------------------------------------------------------------ */

static void write_adapter(const engine_backend *be, as_jw *w)
{
    as_jw_key(w, "model_sha256");
    as_jw_z(w, be->model_sha);
    as_jw_key(w, "lora");
    as_jw_begin_object(w);
    as_jw_key(w, "name");
    as_jw_str(w, g4_adapter_info_of(be->adapter)->name);
    as_jw_key(w, "path");
    as_jw_str(w, as_buf_str(&be->lora));
    as_jw_key(w, "sha256");
    as_jw_z(w, be->lora_sha);
    as_jw_key(w, "scale");
    as_jw_f64(w, be->lora_scale);
    as_jw_key(w, "rank");
    as_jw_i64(w, g4_adapter_info_of(be->adapter)->rank_max);
    as_jw_end_object(w);
}

static as_code write_json(engine_backend *be, as_err *err)
{
    as_buf_reset(&be->json);
    as_jw w;
    as_jw_init(&w, &be->json);
    as_jw_begin_object(&w);
    as_jw_key(&w, "kind");
    as_jw_z(&w, "engine");
    as_jw_key(&w, "precision");
    as_jw_z(&w, be->options.precision == G4_F32 ? "f32" : "auto");
    if (be->adapter != NULL)
        write_adapter(be, &w);
    if (be->session != NULL) {
        as_jw_key(&w, "kernels");
        as_jw_z(&w, g4_session_kernels(be->session));
        as_jw_key(&w, "threads");
        as_jw_i64(&w, be->options.n_threads);
        as_jw_key(&w, "kv");
        as_jw_z(&w, g4_kv_name(g4_session_memory(be->session).kv));
        as_jw_key(&w, "ctx");
        as_jw_i64(&w, be->options.n_ctx);
        as_jw_key(&w, "sequences");
        as_jw_i64(&w, be->options.n_seqs);
    }
    as_jw_end_object(&w);
    be->info.json = as_buf_str(&be->json);
    return as_buf_ok(&be->json, err);
}

static as_code engine_prepare(be_backend *base, int max_total_tokens, int concurrency, as_err *err)
{
    engine_backend *be = (engine_backend *)base;
    if (be->session != NULL)
        return AS_OK;
    const int trained = g4_model_info(be->model)->n_ctx_train;
    int n_ctx = be->options.n_ctx != 0 ? be->options.n_ctx
                : max_total_tokens > 0 ? max_total_tokens
                                       : DEFAULT_CTX;
    if (trained > 0 && n_ctx > trained)
        n_ctx = trained;
    be->options.n_ctx = n_ctx;
    be->max_active = concurrency < 1 ? 1 : concurrency > MAX_SEQS ? MAX_SEQS : concurrency;
    be->options.n_seqs = be->max_active + N_PREFIXES;
    be->options.n_batch = N_BATCH;
    AS_TRY(g4_session_open(&be->session, be->model, &be->options, err));
    const g4_memory m = g4_session_memory(be->session);
    be->info.weights_bytes = m.weights_bytes;
    be->info.kv_bytes = m.kv_bytes;
    be->info.scratch_bytes = m.scratch_bytes;
    as_buf_reset(&be->memory);
    g4_memory_text(&m, &be->memory);
    be->info.memory = as_buf_str(&be->memory);
    be->info.n_ctx = n_ctx;
    return write_json(be, err);
}

static as_code engine_submit(be_backend *base, const as_request *rq, as_err *err)
{
    engine_backend *be = (engine_backend *)base;
    AS_TRY(engine_prepare(base, 0, 1, err));
    job *j = calloc(1, sizeof *j);
    if (j == NULL)
        return as_nomem(err);
    j->rq = rq;
    j->seq = -1;
    j->submitted_ns = as_now_ns();
    as_buf_init(&j->text, 0);
    size_t n = 0;
    as_err why = {0};
    if (tokenize_prompt(be, rq, &j->prompt, &n, &why) != AS_OK || n > INT32_MAX) {
        fail_job(j, AS_ERROR_REQUEST, why.text);
    } else if (n == 0) {
        fail_job(j, AS_ERROR_REQUEST, "the prompt is empty and the model has no start token");
    } else {
        const g4_sampling s = sampling_of(rq);
        j->n_prompt = (int)n;
        j->sampler = g4_sampler_new(&s);
        if (j->sampler == NULL) {
            job_free(j);
            return as_nomem(err);
        }
    }
    if (be->last != NULL)
        be->last->next = j;
    else
        be->first = j;
    be->last = j;
    return AS_OK;
}

static as_code engine_poll(be_backend *base, int wait_ms, be_done done, void *user, as_err *err)
{
    engine_backend *be = (engine_backend *)base;
    const int64_t deadline_ns = as_now_ns() + (int64_t)wait_ms * 1000000;
    if (be->first == NULL) {
        as_sleep_ns((int64_t)wait_ms * 1000000);
        return AS_OK;
    }
    while (!deliver(be, done, user)) {
        AS_TRY(step(be, err));
        if (as_now_ns() >= deadline_ns) {
            (void)deliver(be, done, user);
            break;
        }
    }
    return AS_OK;
}

static void engine_cancel(be_backend *base)
{
    ((engine_backend *)base)->is_cancelled = true;
}

static unsigned engine_caps(const be_backend *base)
{
    const engine_backend *be = (const engine_backend *)base;
    const unsigned chat = g4_model_info(be->model)->has_chat ? BE_CAN_CHAT : 0u;
    return chat | BE_CAN_TEXT | BE_CAN_COUNT | BE_CAN_SEED;
}

static const be_info *engine_info(const be_backend *base)
{
    return &((const engine_backend *)base)->info;
}

static as_code engine_count_tokens(be_backend *base, const as_request *rq, int *n, as_err *err)
{
    const engine_backend *be = (const engine_backend *)base;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    AS_TRY(tokenize_prompt(be, rq, &ids, &n_ids, err));
    free(ids);
    *n = n_ids < INT32_MAX ? (int)n_ids : INT32_MAX;
    return AS_OK;
}

static void engine_close(be_backend *base)
{
    engine_backend *be = (engine_backend *)base;
    if (be == NULL)
        return;
    while (be->first != NULL) {
        job *next = be->first->next;
        job_free(be->first);
        be->first = next;
    }
    for (int i = 0; i < N_PREFIXES; i++)
        free(be->prefixes[i].ids);
    g4_session_close(be->session);
    g4_adapter_close(be->adapter);
    g4_model_close(be->model);
    as_buf_release(&be->memory);
    as_buf_release(&be->lora);
    as_buf_release(&be->name);
    as_buf_release(&be->json);
    as_buf_release(&be->path);
    free(be->rows);
    free(be->row_job);
    free(be);
}

static as_code read_options(engine_backend *be, const be_config *config, as_err *err)
{
    static const char *const known[] = {"precision", "kv", "ctx", "memory", "lora", NULL};
    AS_TRY(be_options_check(config, known, err));
    const as_str precision = be_option_get(config, "precision");
    if (as_str_eq(precision, AS_STR("f32")))
        be->options.precision = G4_F32;
    else if (as_str_is_set(precision) && !as_str_eq(precision, AS_STR("auto")))
        return as_fail(err, AS_RANGE, "-M precision=%.*s: want auto or f32", AS_ARG(precision));
    const as_str ctx = be_option_get(config, "ctx");
    int64_t n = 0;
    if (as_str_is_set(ctx) && !as_parse_i64(ctx, 2, 1 << 24, &n))
        return as_fail(err, AS_RANGE, "-M ctx=%.*s: want a number of tokens", AS_ARG(ctx));
    be->options.n_ctx = (int)n;
    const as_str kv = be_option_get(config, "kv");
    if (as_str_is_set(kv) && !g4_kv_parse(kv, &be->options.kv))
        return as_fail(err, AS_RANGE, "-M kv=%.*s: want f32, f16 or q8_0", AS_ARG(kv));
    const as_str memory = be_option_get(config, "memory");
    if (as_str_is_set(memory) && !as_parse_i64(memory, 1, INT64_MAX, &be->options.memory_limit))
        return as_fail(err, AS_RANGE, "-M memory=%.*s: want a number of bytes", AS_ARG(memory));
    be->options.n_threads = config->n_threads;
    return AS_OK;
}

/* Opens -M lora=…, and takes it into the model's hash and name. */
static as_code load_adapter(engine_backend *be, const be_config *config, as_err *err)
{
    const as_str spec = be_option_get(config, "lora");
    as_str path = {0};
    char scale[32];
    if (!as_str_is_set(spec))
        return AS_OK;
    g4_adapter_spec(spec, &path, &be->lora_scale);
    AS_TRY(as_buf_add(&be->lora, path));
    AS_TRY(g4_adapter_open(&be->adapter, be->model, as_buf_str(&be->lora).p, err));
    AS_TRY(be_model_sha256(be->lora_sha, be->lora.p, config->cache_dir, err));
    memcpy(be->model_sha, be->sha, sizeof be->sha);
    as_f64_text(scale, be->lora_scale);
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    as_sha256_add_field(h, as_str_of(be->model_sha));
    as_sha256_add_field(h, as_str_of(be->lora_sha));
    as_sha256_add_field(h, as_str_of(scale));
    const as_sha256 sum = as_sha256_end(h);
    as_sha256_hex(be->sha, &sum);
    (void)as_buf_printf(&be->name, "%.*s + %.*s:%s", AS_ARG(be->info.model_name),
                        AS_ARG(g4_adapter_info_of(be->adapter)->name), scale);
    be->info.model_name = as_buf_str(&be->name);
    return as_buf_ok(&be->name, err);
}

static as_code load_model(engine_backend *be, const be_config *config, as_err *err)
{
    if (config->name.n == 0)
        return as_fail(err, AS_RANGE, "want a model file: engine:FILE.gguf");
    as_buf_init(&be->path, 1 << 16);
    AS_TRY(as_buf_add(&be->path, config->name));
    const g4_model_options options = {.log = config->log};
    AS_TRY(g4_model_open(&be->model, be->path.p, &options, err));
    AS_TRY(be_model_sha256(be->sha, be->path.p, config->cache_dir, err));
    const g4_info *info = g4_model_info(be->model);
    if (as_str_is_set(info->chat_template)) {
        const as_sha256 h = as_sha256_of(info->chat_template);
        as_sha256_hex(be->template_sha, &h);
    }
    const char *slash = strrchr(be->path.p, '/');
    be->info = (be_info){
        .model_name =
            info->name.n != 0 ? info->name : as_str_of(slash != NULL ? slash + 1 : be->path.p),
        .architecture = info->architecture,
        .quantization = info->quantization,
        .license = info->license,
        .sha256 = as_str_of(be->sha),
        .template_sha256 = as_str_of(be->template_sha),
        .n_params = info->n_params,
        .n_params_active = info->n_params_active,
        .file_bytes = info->file_bytes,
        .n_ctx = info->n_ctx_train,
        .max_concurrency = MAX_SEQS,
        .weights_bytes = -1,
        .kv_bytes = -1,
        .scratch_bytes = -1,
    };
    AS_TRY(load_adapter(be, config, err));
    return write_json(be, err);
}

static as_code engine_open(be_backend **out, const be_config *config, as_err *err)
{
    *out = NULL;
    engine_backend *be = calloc(1, sizeof *be);
    if (be == NULL)
        return as_nomem(err);
    be->base.driver = &be_engine;
    as_buf_init(&be->json, 1 << 16);
    as_buf_init(&be->memory, 1 << 12);
    as_buf_init(&be->lora, 1 << 16);
    as_buf_init(&be->name, 1 << 16);
    for (int i = 0; i < N_PREFIXES; i++)
        be->prefixes[i].seq = -1;
    be->rows = calloc(N_BATCH, sizeof *be->rows);
    be->row_job = calloc(N_BATCH, sizeof *be->row_job);
    as_code c = be->rows != NULL && be->row_job != NULL ? AS_OK : as_nomem(err);
    if (c == AS_OK)
        c = read_options(be, config, err);
    if (c == AS_OK)
        c = load_model(be, config, err);
    if (c != AS_OK) {
        engine_close(&be->base);
        return c;
    }
    *out = &be->base;
    return AS_OK;
}

const be_driver be_engine = {
    .scheme = "engine",
    .title = "the built-in engine, on a GGUF file",
    .is_in_process = true,
    .open = engine_open,
    .close = engine_close,
    .caps = engine_caps,
    .info = engine_info,
    .submit = engine_submit,
    .poll = engine_poll,
    .cancel = engine_cancel,
    .prepare = engine_prepare,
    .count_tokens = engine_count_tokens,
};
