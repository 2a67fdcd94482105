/* The engine on a real model, Gemma 3 270M: the f32 path against transformers, the default path
 * within what rounding activations to 8 bits costs, and both bit-equal to themselves however the
 * rows come. The model is the file that AS_MODEL_GEMMA3 names; without it all is skipped. Numbers
 * and tolerances: tests/fixtures/gemma3-270m/.source. A sanitizer build takes a small share; with
 * AS_TEST_FULL set, every chunk of the perplexity text is scored. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonl.h"
#include "engine/session_impl.h"
#include "engine_support.h"

enum {
    SINGLE = TEST_IS_SLOW_BUILD ? 64 : 2048,
    CHUNKS = TEST_IS_SLOW_BUILD ? 0 : 1, /* of each length, unless AS_TEST_FULL is set */
    PROMPTS = TEST_IS_SLOW_BUILD ? 1 : 15,
    STEPS = TEST_IS_SLOW_BUILD ? 2 : 64,
    N_GREEDY = TEST_IS_SLOW_BUILD ? 4 : 20,
    BATCH = 128,
    BOS = 2,
};

static g4_model *model;
static int V; /* vocabulary */

static int open_model(void **state)
{
    (void)state;
    const char *path = getenv("AS_MODEL_GEMMA3");
    if (path == NULL)
        return 0;
    model = t_model(path);
    V = g4_model_info(model)->n_vocab;
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    g4_model_close(model);
    return 0;
}

static void need_model(void)
{
    if (model != NULL)
        return;
    print_message("AS_MODEL_GEMMA3 does not name a model (tools/get-model gemma3-270m)\n");
    skip();
}

static g4_session *session(g4_precision precision, int n_seqs)
{
    return t_session(
        model, (g4_session_options){
                   .precision = precision, .n_ctx = 2304, .n_batch = BATCH, .n_seqs = n_seqs});
}

/* ---- log-probabilities of a text ------------------------------------------------------------- */

typedef struct scores {
    const int32_t *ids; /* the text; position i predicts ids[i + 1] */
    int first, end;     /* scored ids: first .. end-1 */
    const double *want; /* of ids[first], … */
    double sum, sum_want, largest, squares, total;
    int n;
} scores;

static void score(void *user, int i, const float *logits)
{
    scores *s = user;
    const int at = i + 1;
    if (at < s->first || at >= s->end)
        return;
    const double got = g4_logprob(logits, V, s->ids[at]);
    const double difference = got - s->want[at - s->first];
    s->sum += got;
    s->sum_want += s->want[at - s->first];
    s->largest = fmax(s->largest, fabs(difference));
    s->squares += difference * difference;
    s->total += difference;
    s->n++;
}

static void score_text(g4_session *session, scores *s)
{
    bool *want = calloc((size_t)s->end, sizeof *want);
    for (int i = s->first - 1; i < s->end - 1; i++)
        want[i] = true;
    const int seq = t_seq(session);
    t_feed(session, seq, s->ids, s->end - 1, 0, BATCH, want, score, s);
    g4_seq_free(session, seq);
    free(want);
}

static void judge(const scores *s, g4_precision precision, const char *what)
{
    const double perplexity = exp(-s->sum / s->n);
    const double want = exp(-s->sum_want / s->n);
    const double mean = s->total / s->n;
    const double deviation = sqrt(s->squares / s->n - mean * mean);
    print_message("  %-14s %s: perplexity %.6f (f32 reference %.6f), log-probs: largest "
                  "difference %.2g, s.d. %.2g\n",
                  what, precision == G4_F32 ? "f32" : "default", perplexity, want, s->largest,
                  deviation);
    if (precision == G4_F32) {
        assert_true(s->largest <= 2e-4);
        assert_true(fabs(perplexity / want - 1) <= 1e-5);
    } else if (!TEST_IS_SLOW_BUILD) {
        assert_true(deviation <= 0.12);
        assert_true(fabs(perplexity / want - 1) <= 0.01);
    }
}

static void check_single(g4_session *s, const as_json *golden, g4_precision precision)
{
    int n = 0;
    int n_want = 0;
    int32_t *ids = t_ids(as_json_get(golden, "ids"), &n);
    const as_json *single = as_json_get(golden, "single");
    double *want = t_numbers(as_json_get(as_json_get(single, "f32"), "logprobs"), &n_want);
    scores sum = {.ids = ids, .first = 1, .end = SINGLE, .want = want};
    assert_true(n >= SINGLE && n_want >= SINGLE - 1);
    score_text(s, &sum);
    judge(&sum, precision, "single");
    if (precision != G4_F32 && !TEST_IS_SLOW_BUILD) {
        const double peer = t_number(as_json_get(single, "lcpp"), "perplexity", 0);
        assert_true(fabs(exp(-sum.sum / sum.n) / peer - 1) <= 0.005);
    }
    free(ids);
    free(want);
}

/* Whole chunks of n ids, the first replaced by BOS; the second half is scored. */
static void check_chunks(g4_session *s, const as_json *golden, const char *length,
                         g4_precision precision)
{
    int n_ids = 0;
    int32_t *ids = t_ids(as_json_get(golden, "ids"), &n_ids);
    const as_json *set = as_json_get(as_json_get(golden, "chunked"), length);
    const int n = (int)t_number(set, "n_ctx", 0);
    scores all = {0};
    double peer = 0;
    const as_json *theirs = as_json_first(as_json_get(as_json_get(set, "lcpp"), "logprobs"));
    const as_json *wanted = as_json_first(as_json_get(as_json_get(set, "f32"), "logprobs"));
    const int chunks = getenv("AS_TEST_FULL") != NULL ? (int)t_number(set, "chunks", 0) : CHUNKS;
    for (int k = 0; k < chunks; k++) {
        int n_want = 0;
        int n_peer = 0;
        double *want = t_numbers(wanted, &n_want);
        double *lcpp = t_numbers(theirs, &n_peer);
        ids[k * n] = BOS;
        assert_int_equal(n_want, n / 2 - 1);
        scores one = all;
        one.ids = ids + k * n;
        one.first = n / 2 + 1;
        one.end = n;
        one.want = want;
        score_text(s, &one);
        all = one;
        for (int i = 0; i < n_peer; i++)
            peer += lcpp[i];
        free(want);
        free(lcpp);
        wanted = as_json_next(wanted);
        theirs = as_json_next(theirs);
    }
    if (all.n > 0) {
        char what[32];
        snprintf(what, sizeof what, "chunks of %d", n);
        judge(&all, precision, what);
        const double limit = n >= 512 ? 0.005 : 0.01;
        if (precision != G4_F32 && chunks > 1)
            assert_true(fabs(exp((peer - all.sum) / all.n) - 1) <= limit);
    }
    free(ids);
}

static void check_perplexity(g4_precision precision)
{
    need_model();
    as_json *golden = t_json(t_fixture("gemma3-270m/perplexity.json"));
    g4_session *s = session(precision, 1);
    check_single(s, golden, precision);
    check_chunks(s, golden, "512", precision);
    check_chunks(s, golden, "256", precision);
    g4_session_close(s);
    as_json_free(golden);
}

static void f32_perplexity(void **state)
{
    (void)state;
    check_perplexity(G4_F32);
}

static void default_perplexity(void **state)
{
    (void)state;
    check_perplexity(G4_AUTO);
}

/* ---- logits ---------------------------------------------------------------------------------- */

typedef struct row_set {
    as_json *rows[64]; /* of the golden file */
    int n;
    float *f32, *rounded; /* [n, V] */
    int prompt;
    float *into;
} row_set;

static as_jsonl *open_lines(const char *name)
{
    as_err err = {0};
    as_jsonl *in = NULL;
    if (as_jsonl_open(&in, t_fixture(name), 0, &err) != AS_OK)
        fail_msg("%s", err.text);
    return in;
}

static as_json *next_line(as_jsonl *in)
{
    as_err err = {0};
    as_json *line = NULL;
    if (as_jsonl_next(in, &line, &err) != AS_OK)
        fail_msg("%s", err.text);
    return line;
}

static void keep_row(void *user, int i, const float *logits)
{
    const row_set *set = user;
    for (int k = 0; k < set->n; k++)
        if ((int)t_number(set->rows[k], "prompt", -1) == set->prompt &&
            (int)t_number(set->rows[k], "pos", -1) == i)
            memcpy(set->into + (size_t)k * (size_t)V, logits, (size_t)V * sizeof *logits);
}

static void compute_rows(row_set *set, g4_precision precision, float *into)
{
    as_json *prompts = t_json(t_fixture("gemma3-270m/logits_prompts.json"));
    g4_session *s = session(precision, 1);
    set->into = into;
    set->prompt = 0;
    for (const as_json *p = as_json_first(as_json_get(prompts, "prompts"));
         p != NULL && set->prompt < PROMPTS; p = as_json_next(p), set->prompt++) {
        int n = 0;
        int32_t *ids = t_ids(as_json_get(p, "ids"), &n);
        bool *want = calloc((size_t)n, sizeof *want);
        for (int k = 0; k < set->n; k++)
            if ((int)t_number(set->rows[k], "prompt", -1) == set->prompt)
                want[(int)t_number(set->rows[k], "pos", 0)] = true;
        const int seq = t_seq(s);
        t_feed(s, seq, ids, n, 0, BATCH, want, keep_row, set);
        g4_seq_free(s, seq);
        free(want);
        free(ids);
    }
    g4_session_close(s);
    as_json_free(prompts);
}

static double log_sum_exp(const float *x)
{
    return (double)x[0] - g4_logprob(x, V, 0);
}

static double compare_some(const as_json *row, const char *ids_key, const char *values_key,
                           const float *got)
{
    int n = 0;
    int32_t *ids = t_ids(as_json_get(row, ids_key), &n);
    double *want = t_numbers(as_json_get(row, values_key), &n);
    double worst = 0;
    for (int i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)got[ids[i]] - want[i]));
    free(ids);
    free(want);
    return worst;
}

static double divergence(const float *p, const float *q)
{
    const double lp = log_sum_exp(p);
    const double lq = log_sum_exp(q);
    double sum = 0;
    for (int i = 0; i < V; i++) {
        const double a = (double)p[i] - lp;
        sum += exp(a) * (a - ((double)q[i] - lq));
    }
    return sum;
}

static void logits_of_49_rows(void **state)
{
    (void)state;
    need_model();
    row_set set = {0};
    as_jsonl *in = open_lines("gemma3-270m/logits_f32.jsonl.gz");
    for (as_json *line; (line = next_line(in)) != NULL;)
        if ((int)t_number(line, "prompt", 0) < PROMPTS && set.n < 64)
            set.rows[set.n++] = line;
        else
            as_json_free(line);
    as_jsonl_close(in);
    const size_t bytes = (size_t)set.n * (size_t)V * sizeof(float);
    set.f32 = malloc(bytes);
    set.rounded = malloc(bytes);
    compute_rows(&set, G4_F32, set.f32);
    compute_rows(&set, G4_AUTO, set.rounded);
    double worst = 0;
    double worst_lse = 0;
    double kl = 0;
    double worst_kl = 0;
    int same = 0;
    for (int k = 0; k < set.n; k++) {
        const float *got = set.f32 + (size_t)k * (size_t)V;
        const float *rounded = set.rounded + (size_t)k * (size_t)V;
        worst = fmax(worst, compare_some(set.rows[k], "top_ids", "top", got));
        worst = fmax(worst, compare_some(set.rows[k], "random_ids", "random", got));
        worst_lse = fmax(worst_lse, fabs(log_sum_exp(got) - t_number(set.rows[k], "lse", 0)));
        const double d = divergence(got, rounded);
        kl += d / set.n;
        worst_kl = fmax(worst_kl, d);
        same += t_argmax(got, V) == t_argmax(rounded, V);
        as_json_free(set.rows[k]);
    }
    print_message("  %d rows: f32 logits off by %.2g, log-sum-exp by %.2g; default path: KL mean "
                  "%.4f, worst %.4f, arg-max equal in %d\n",
                  set.n, worst, worst_lse, kl, worst_kl, same);
    assert_true(worst <= 1e-3);
    assert_true(worst_lse <= 1e-3);
    assert_true(kl <= 0.01);
    free(set.f32);
    free(set.rounded);
}

/* ---- greedy ---------------------------------------------------------------------------------- */

typedef struct line {
    int32_t *prompt, *ids;
    double *gap;
    int n_prompt, n_ids, n_gap;
    int seq;
    bool has_parted;
} line;

static int read_greedy(line lines[N_GREEDY])
{
    as_jsonl *in = open_lines("gemma3-270m/greedy.jsonl");
    int n = 0;
    for (as_json *j; n < N_GREEDY && (j = next_line(in)) != NULL; n++) {
        lines[n] = (line){0};
        lines[n].prompt = t_ids(as_json_get(j, "prompt_ids"), &lines[n].n_prompt);
        lines[n].ids = t_ids(as_json_get(as_json_get(j, "f32"), "ids"), &lines[n].n_ids);
        lines[n].gap = t_numbers(as_json_get(as_json_get(j, "f32"), "gap"), &lines[n].n_gap);
        as_json_free(j);
    }
    as_jsonl_close(in);
    return n;
}

/* All prompts at once, one row of each a step, fed with the reference ids (teacher forcing): what
 * the model would have said must be the reference unless the gap excuses it. */
static void check_greedy(g4_precision precision)
{
    need_model();
    line lines[N_GREEDY];
    const int n = read_greedy(lines);
    g4_session *s = session(precision, N_GREEDY);
    for (int i = 0; i < n; i++) {
        lines[i].seq = t_seq(s);
        t_feed(s, lines[i].seq, lines[i].prompt, lines[i].n_prompt - 1, 0, BATCH, (bool[256]){0},
               NULL, NULL);
    }
    int equal = 0;
    int steps = 0;
    double worst_gap = 0;
    for (int step = 0; step < STEPS; step++) {
        g4_row rows[N_GREEDY];
        line *who[N_GREEDY];
        int n_rows = 0;
        for (int i = 0; i < n; i++) {
            line *l = &lines[i];
            if (step >= l->n_ids)
                continue;
            who[n_rows] = l;
            rows[n_rows++] = (g4_row){
                .seq = l->seq,
                .pos = l->n_prompt - 1 + step,
                .token = step == 0 ? l->prompt[l->n_prompt - 1] : l->ids[step - 1],
                .want_logits = true,
            };
        }
        if (n_rows == 0)
            break;
        const g4_result out = t_decode(s, rows, n_rows);
        for (int r = 0; r < n_rows; r++) {
            const int32_t got = t_argmax(out.logits + (size_t)r * (size_t)V, V);
            const bool is_equal = got == who[r]->ids[step];
            equal += is_equal;
            steps++;
            if (is_equal)
                continue;
            const double gap = who[r]->gap[step];
            worst_gap = fmax(worst_gap, gap);
            if (gap >= (precision == G4_F32 ? 0.002 : 1.0))
                fail_msg("step %d: %d, want %d (gap %g)", step, got, who[r]->ids[step], gap);
        }
    }
    print_message("  %s: %d of %d steps equal, largest gap where they part %.4f\n",
                  precision == G4_F32 ? "f32" : "default", equal, steps, worst_gap);
    if (!TEST_IS_SLOW_BUILD)
        assert_true(equal >= (precision == G4_F32 ? steps - 1 : (int)ceil(0.97 * steps)));
    for (int i = 0; i < n; i++) {
        free(lines[i].prompt);
        free(lines[i].ids);
        free(lines[i].gap);
    }
    g4_session_close(s);
}

static void f32_greedy(void **state)
{
    (void)state;
    check_greedy(G4_F32);
}

static void default_greedy(void **state)
{
    (void)state;
    check_greedy(G4_AUTO);
}

/* ---- options: a shared context, forked ------------------------------------------------------- */

typedef struct option {
    const int32_t *ids;
    int n;
    double sum;
} option;

static void score_option(void *user, int i, const float *logits)
{
    option *o = user;
    if (i + 1 < o->n)
        o->sum += g4_logprob(logits, V, o->ids[i + 1]);
}

static void options_by_fork(void **state)
{
    (void)state;
    need_model();
    g4_session *s = session(G4_F32, 2);
    as_jsonl *in = open_lines("gemma3-270m/options.jsonl");
    double worst = 0;
    for (as_json *j; (j = next_line(in)) != NULL;) {
        int n_context = 0;
        int32_t *context = t_ids(as_json_get(j, "context_ids"), &n_context);
        const int from = t_seq(s);
        t_feed(s, from, context, n_context - 1, 0, BATCH, (bool[BATCH]){0}, NULL, NULL);
        for (const as_json *c = as_json_first(as_json_get(j, "options")); c != NULL;
             c = as_json_next(c)) {
            int n = 0;
            int32_t *ids = t_ids(as_json_get(c, "ids"), &n);
            int32_t *fed = malloc((size_t)(n + 1) * sizeof *fed);
            fed[0] = context[n_context - 1];
            memcpy(fed + 1, ids, (size_t)n * sizeof *fed);
            option o = {.ids = fed, .n = n + 1};
            as_err err = {0};
            int seq = -1;
            assert_int_equal(g4_seq_fork(s, from, n_context - 1, &seq, &err), AS_OK);
            assert_int_equal(g4_seq_length(s, seq), n_context - 1);
            t_feed(s, seq, fed, n, n_context - 1, BATCH, NULL, score_option, &o);
            g4_seq_free(s, seq);
            worst = fmax(worst, fabs(o.sum - t_number(as_json_get(c, "f32"), "sum", 0)) / n);
            free(ids);
            free(fed);
        }
        g4_seq_free(s, from);
        free(context);
        as_json_free(j);
    }
    as_jsonl_close(in);
    print_message("  options: log-probs off by %.2g\n", worst);
    assert_true(worst <= 2e-4);
    g4_session_close(s);
}

/* ---- bit equality ---------------------------------------------------------------------------- */

enum { TEXT = TEST_IS_SLOW_BUILD ? 40 : 560, TAIL = 4 };

typedef struct keeper {
    float *logits; /* [TAIL, V] */
} keeper;

static void keep_tail(void *user, int i, const float *logits)
{
    const keeper *k = user;
    if (i >= TEXT - TAIL)
        memcpy(k->logits + (size_t)(i - (TEXT - TAIL)) * (size_t)V, logits,
               (size_t)V * sizeof *logits);
}

/* The text in pieces of `piece`; with company, seven other sequences run in the same calls. */
static void run_text(const int32_t *ids, g4_precision precision, int threads, int piece,
                     bool has_company, float *into)
{
    enum { COMPANY = 7 };
    g4_session *s = t_session(model, (g4_session_options){.precision = precision,
                                                          .n_ctx = 1024,
                                                          .n_batch = 256,
                                                          .n_seqs = COMPANY + 1,
                                                          .n_threads = threads});
    keeper k = {into};
    int others[COMPANY];
    for (int c = 0; c < COMPANY; c++)
        others[c] = t_seq(s);
    const int seq = t_seq(s);
    g4_row rows[256];
    for (int i = 0; i < TEXT;) {
        const int part = TEXT - i < piece ? TEXT - i : piece;
        int n = 0;
        int wanted = 0; /* rows before ours that ask */
        for (int c = 0; c < COMPANY && has_company; c++) {
            const bool want = c % 2 == 0;
            rows[n++] = (g4_row){.seq = others[c],
                                 .pos = g4_seq_length(s, others[c]),
                                 .token = ids[(i + 31 * c) % TEXT],
                                 .want_logits = want};
            wanted += want;
        }
        for (int r = 0; r < part; r++)
            rows[n++] = (g4_row){
                .seq = seq, .pos = i + r, .token = ids[i + r], .want_logits = i + r >= TEXT - TAIL};
        const g4_result out = t_decode(s, rows, n);
        for (int r = 0, at = wanted; r < part; r++)
            if (i + r >= TEXT - TAIL)
                keep_tail(&k, i + r, out.logits + (size_t)at++ * (size_t)V);
        i += part;
    }
    g4_session_close(s);
}

static void same_bits(void **state)
{
    (void)state;
    need_model();
    as_json *golden = t_json(t_fixture("gemma3-270m/perplexity.json"));
    int n = 0;
    int32_t *ids = t_ids(as_json_get(golden, "ids"), &n);
    const size_t bytes = (size_t)TAIL * (size_t)V * sizeof(float);
    float *first = malloc(bytes);
    float *other = malloc(bytes);
    static const struct {
        int threads, piece;
        bool has_company;
    } ways[] = {{2, 200, true}, {1, 61, true}, {2, 17, false}};
    for (int p = 0; p < 2; p++) {
        const g4_precision precision = p == 0 ? G4_AUTO : G4_F32;
        run_text(ids, precision, 1, 247, false, first);
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            run_text(ids, precision, ways[w].threads, ways[w].piece, ways[w].has_company, other);
            if (memcmp(first, other, bytes) != 0)
                fail_msg("%s: pieces of %d, %d threads, %s: other bits", p == 0 ? "default" : "f32",
                         ways[w].piece, ways[w].threads,
                         ways[w].has_company ? "in company" : "alone");
        }
    }
    free(first);
    free(other);
    free(ids);
    as_json_free(golden);
}

/* What smaller caches cost beside f32 ones, with everything else exact: of 2,047 log-probs. */
static void kinds_of_cache(void **state)
{
    (void)state;
    need_model();
    static const struct {
        g4_kv_type kv;
        double deviation, perplexity; /* twice what was measured */
    } kinds[] = {{G4_KV_F16, 1.8e-3, 2e-5}, {G4_KV_Q8_0, 7e-2, 3.2e-3}};
    as_json *golden = t_json(t_fixture("gemma3-270m/perplexity.json"));
    int n = 0;
    int n_want = 0;
    int32_t *ids = t_ids(as_json_get(golden, "ids"), &n);
    double *want = t_numbers(
        as_json_get(as_json_get(as_json_get(golden, "single"), "f32"), "logprobs"), &n_want);
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        g4_session *s = t_session(
            model, (g4_session_options){
                       .precision = G4_F32, .kv = kinds[k].kv, .n_ctx = 2304, .n_batch = BATCH});
        scores sum = {.ids = ids, .first = 1, .end = SINGLE, .want = want};
        score_text(s, &sum);
        const double deviation = sqrt(sum.squares / sum.n);
        const double change = exp((sum.sum_want - sum.sum) / sum.n) - 1;
        print_message("  kv %-4s: perplexity %+.1e, log-probs off by %.1e (rms), %.1e at most\n",
                      g4_kv_name(kinds[k].kv), change, deviation, sum.largest);
        assert_true(deviation <= kinds[k].deviation);
        assert_true(TEST_IS_SLOW_BUILD || fabs(change) <= kinds[k].perplexity);
        g4_session_close(s);
    }
    free(ids);
    free(want);
    as_json_free(golden);
}

static void too_much_is_refused_with_the_arithmetic(void **state)
{
    (void)state;
    need_model();
    const g4_session_options o = {.kv = G4_KV_F32, .n_seqs = 4096}; /* of 32,768: 0.8 TB */
    as_err err = {0};
    g4_session *s = NULL;
    g4_memory memory;
    assert_int_equal(g4_session_plan(model, &o, &memory, &err), AS_OK);
    /* 18 layers, one head of 256, K and V, f32 */
    assert_int_equal(memory.kv_bytes_per_token, 18 * 2 * 256 * 4);
    assert_true(memory.kv_bytes > 4096LL * 32768 * 3 * 2 * 256 * 4);
    assert_int_equal(g4_session_open(&s, model, &o, &err), AS_RANGE);
    assert_null(s);
    assert_non_null(strstr(err.text, "4096 × 32768 positions take"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_perplexity),
        cmocka_unit_test(default_perplexity),
        cmocka_unit_test(logits_of_49_rows),
        cmocka_unit_test(f32_greedy),
        cmocka_unit_test(default_greedy),
        cmocka_unit_test(options_by_fork),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(kinds_of_cache),
        cmocka_unit_test(too_much_is_refused_with_the_arithmetic),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
