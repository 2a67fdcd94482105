/* Sessions: one bit pattern per sequence, forks, windows, refusals of bad calls and of files that
 * lie. On the synthetic models, with matrices in Q8_0 where the 8-bit path shall run. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rng.h"
#include "engine/session_impl.h"
#include "engine_support.h"
#include "synthetic.h"

enum { V = S_VOCAB, LONG = 150 };

static const char *path(void)
{
    static char z[64];
    snprintf(z, sizeof z, "/tmp/as_session_%d.gguf", (int)getpid());
    return z;
}

static g4_model *made(s_kind kind, bool is_q8)
{
    s_write(&(s_options){.kind = kind, .is_q8 = is_q8}, path());
    g4_model *m = t_model(path());
    unlink(path());
    return m;
}

static void random_ids(as_rng *rng, int32_t *ids, int n)
{
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)as_rng_below(rng, V);
}

/* ---- one bit pattern ------------------------------------------------------------------------- */

typedef struct all_logits {
    float v[LONG][V];
} all_logits;

static void keep(void *user, int i, const float *logits)
{
    all_logits *a = user;
    memcpy(a->v[i], logits, sizeof a->v[i]);
}

/* Eight sequences, each fed in pieces of random length, mixed at random, some rows without logits:
 * each row that asks must have the bits of the lonely run. */
static void check_mix(const g4_model *m, g4_session_options o, const k_ops *ops, as_rng *rng)
{
    enum { SEQS = 8, ROWS = 40 };
    static int32_t ids[SEQS][LONG];
    static all_logits want[SEQS];
    g4_session_options alone = o;
    alone.n_threads = 1;
    g4_session *s = t_session_ops(m, alone, ops);
    int start[SEQS];
    for (int q = 0; q < SEQS; q++) {
        random_ids(rng, ids[q], LONG);
        start[q] = q % 3 == 0 ? 0 : (int)as_rng_below(rng, 1000000);
        const int seq = t_seq(s);
        t_feed(s, seq, ids[q], LONG, start[q], 1 + 13 * q, NULL, keep, &want[q]);
        g4_seq_free(s, seq);
    }
    g4_session_close(s);

    o.n_seqs = SEQS;
    o.n_batch = ROWS;
    s = t_session_ops(m, o, ops);
    int seqs[SEQS];
    int fed[SEQS] = {0};
    for (int q = 0; q < SEQS; q++)
        seqs[q] = t_seq(s);
    for (int left = SEQS * LONG; left > 0;) {
        g4_row rows[ROWS];
        int who[ROWS];
        int n = 0;
        const int n_rows = 1 + (int)as_rng_below(rng, ROWS);
        while (n < n_rows && left > 0) {
            const int q = (int)as_rng_below(rng, SEQS);
            for (int piece = (int)as_rng_below(rng, 9); piece > 0 && n < n_rows && fed[q] < LONG;
                 piece--, left--) {
                who[n] = q;
                rows[n++] = (g4_row){.seq = seqs[q],
                                     .pos = start[q] + fed[q],
                                     .token = ids[q][fed[q]],
                                     .want_logits = as_rng_below(rng, 3) > 0};
                fed[q]++;
            }
        }
        if (n == 0)
            continue;
        const g4_result out = t_decode(s, rows, n);
        for (int r = 0, at = 0; r < n; r++)
            if (rows[r].want_logits)
                assert_memory_equal(out.logits + (size_t)at++ * V,
                                    want[who[r]].v[rows[r].pos - start[who[r]]], V * sizeof(float));
    }
    g4_session_close(s);
}

static void a_row_depends_on_its_sequence_alone(void **state)
{
    (void)state;
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("mix"));
    for (int kind = S_T1; kind <= S_T4; kind++)
        for (int is_q8 = 0; is_q8 < 2; is_q8++) {
            g4_model *m = made((s_kind)kind, is_q8 != 0);
            for (int f = 0; k_ops_at(f) != NULL; f++)
                for (int threads = 1; threads <= 2; threads++)
                    for (int p = 0; p < 2; p++)
                        if ((is_q8 != 0 || p == 1) && (threads == 2 || k_ops_at(f + 1) == NULL))
                            check_mix(m,
                                      (g4_session_options){.precision = p == 0 ? G4_AUTO : G4_F32,
                                                           .n_ctx = 200,
                                                           .n_batch = 128,
                                                           .n_threads = threads},
                                      k_ops_at(f), &rng);
            g4_model_close(m);
        }
}

static void rounding_costs_little(void **state)
{
    (void)state;
    for (int kind = S_T1; kind <= S_T4; kind++) {
        g4_model *m = made((s_kind)kind, true);
        static all_logits exact;
        static all_logits rounded;
        g4_session *s = t_session(m, (g4_session_options){.precision = G4_F32});
        t_feed(s, t_seq(s), s_tokens, S_TOKENS, 0, 4, NULL, keep, &exact);
        g4_session_close(s);
        s = t_session(m, (g4_session_options){.precision = G4_AUTO});
        t_feed(s, t_seq(s), s_tokens, S_TOKENS, 0, 4, NULL, keep, &rounded);
        g4_session_close(s);
        double squares = 0;
        for (int i = 0; i < S_TOKENS; i++)
            for (int v = 0; v < V; v++)
                squares += pow((double)exact.v[i][v] - (double)rounded.v[i][v], 2);
        const double rms = sqrt(squares / (S_TOKENS * V));
        print_message("  T%d: logits of the 8-bit path off by %.3f (rms)\n", kind, rms);
        assert_true(rms > 0 && rms < 0.25);
        g4_model_close(m);
    }
}

/* ---- forks ----------------------------------------------------------------------------------- */

static void forks_share_and_do_not_disturb(void **state)
{
    (void)state;
    as_rng rng;
    as_rng_init(&rng, 2, AS_STR("forks"));
    for (int kind = S_T1; kind <= S_T4; kind++) {
        g4_model *m = made((s_kind)kind, false);
        const g4_session_options o = {.n_ctx = 256, .n_seqs = 4, .n_batch = 64};
        int32_t trunk[LONG];
        int32_t branch[LONG];
        random_ids(&rng, trunk, LONG);
        static all_logits a;
        static all_logits b;
        static all_logits got;
        for (int cut = 0; cut <= 130; cut += 26) {
            memcpy(branch, trunk, sizeof branch);
            random_ids(&rng, branch + cut, LONG - cut);
            g4_session *s = t_session(m, o);
            int seq = t_seq(s);
            t_feed(s, seq, trunk, LONG, 5, 64, NULL, keep, &a);
            g4_seq_free(s, seq);
            seq = t_seq(s);
            t_feed(s, seq, branch, LONG, 5, 64, NULL, keep, &b);
            g4_session_close(s);

            /* feed the trunk to the cut, fork, then let both go on in turns */
            s = t_session(m, o);
            const int one = t_seq(s);
            if (cut > 0)
                t_feed(s, one, trunk, cut, 5, 64, NULL, NULL, NULL);
            as_err err = {0};
            int two = -1;
            assert_int_equal(g4_seq_fork(s, one, cut, &two, &err), AS_OK);
            assert_int_equal(g4_seq_length(s, two), cut);
            for (int i = cut; i < LONG; i += 10) {
                const int part = LONG - i < 10 ? LONG - i : 10;
                t_feed(s, two, branch + i, part, 5 + i, 10, NULL, keep, &got);
                assert_memory_equal(got.v, b.v[i], (size_t)part * V * sizeof(float));
                t_feed(s, one, trunk + i, part, 5 + i, 10, NULL, keep, &got);
                assert_memory_equal(got.v, a.v[i], (size_t)part * V * sizeof(float));
            }
            /* a late fork: the window (4) has moved away from the start, but not from the end */
            int late = -1;
            g4_seq_free(s, two);
            assert_int_equal(g4_seq_fork(s, one, LONG, &late, &err), AS_OK);
            int refused = -1;
            assert_int_equal(g4_seq_fork(s, one, 20, &refused, &err), AS_RANGE);
            assert_non_null(strstr(err.text, "window"));
            assert_int_equal(refused, -1);
            g4_session_close(s);
        }
        g4_model_close(m);
    }
}

/* Sequences come and go; pages must come back. */
static void pages_return(void **state)
{
    (void)state;
    as_rng rng;
    as_rng_init(&rng, 3, AS_STR("pages"));
    g4_model *m = made(S_T1, false);
    g4_session *s = t_session(
        m, (g4_session_options){.n_ctx = LONG, .n_seqs = 5, .n_batch = 64, .n_threads = 1});
    int alive[5];
    int n = 0;
    int32_t ids[LONG];
    random_ids(&rng, ids, LONG);
    for (int step = 0; step < 2000; step++) {
        as_err err = {0};
        const int what = (int)as_rng_below(&rng, 4);
        if (what == 0 && n < 5) {
            alive[n++] = t_seq(s);
        } else if (what == 1 && n > 0 && n < 5) {
            const int from = alive[as_rng_below(&rng, (uint64_t)n)];
            int seq = -1;
            if (g4_seq_fork(s, from, g4_seq_length(s, from), &seq, &err) != AS_OK)
                fail_msg("%s", err.text);
            alive[n++] = seq;
        } else if (what == 2 && n > 0 && as_rng_below(&rng, 3) == 0) {
            const int i = (int)as_rng_below(&rng, (uint64_t)n);
            g4_seq_free(s, alive[i]);
            alive[i] = alive[--n];
        } else if (n > 0) {
            const int seq = alive[as_rng_below(&rng, (uint64_t)n)];
            const int held = g4_seq_length(s, seq);
            const int room = LONG - held < 64 ? LONG - held : 64;
            if (room > 0) {
                const int rows = 1 + (int)as_rng_below(&rng, (uint64_t)room);
                t_feed(s, seq, ids, rows, held, rows, (bool[64]){0}, NULL, NULL);
            }
        }
    }
    g4_session_close(s);
    g4_model_close(m);
}

/* ---- bad calls ------------------------------------------------------------------------------- */

static void bad_rows_are_refused_whole(void **state)
{
    (void)state;
    g4_model *m = made(S_T4, false);
    g4_session *s = t_session(m, (g4_session_options){.n_ctx = 8, .n_seqs = 2, .n_batch = 4});
    const int seq = t_seq(s);
    t_feed(s, seq, s_tokens, 3, 0, 3, NULL, NULL, NULL);
    const struct {
        const char *why;
        g4_row rows[5];
        int n;
    } rows[] = {
        {"no rows", {{0}}, 0},
        {"more than n_batch", {{0}}, 5},
        {"an unknown sequence", {{.seq = 1}}, 1},
        {"a negative sequence", {{.seq = -1}}, 1},
        {"a gap", {{.seq = seq, .pos = 4}}, 1},
        {"a repeated position", {{.seq = seq, .pos = 2}}, 1},
        {"a negative position", {{.seq = seq, .pos = -1}}, 1},
        {"a token too large", {{.seq = seq, .pos = 3, .token = V}}, 1},
        {"a negative token", {{.seq = seq, .pos = 3, .token = -1}}, 1},
        {"the second row bad", {{.seq = seq, .pos = 3}, {.seq = seq, .pos = 3}}, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_err err = {0};
        g4_result out;
        if (g4_decode(s, rows[i].rows, rows[i].n, &out, &err) != AS_RANGE || err.text[0] == '\0')
            fail_msg("%s: not refused", rows[i].why);
        assert_int_equal(g4_seq_length(s, seq), 3);
    }
    const g4_row good[4] = {{.seq = seq, .pos = 3},
                            {.seq = seq, .pos = 4},
                            {.seq = seq, .pos = 5},
                            {.seq = seq, .pos = 6}};
    t_decode(s, good, 4);
    const g4_row full[2] = {{.seq = seq, .pos = 7}, {.seq = seq, .pos = 8}};
    as_err err = {0};
    g4_result out;
    assert_int_equal(g4_decode(s, full, 2, &out, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "n_ctx"));
    t_decode(s, full, 1);
    int other = -1;
    t_seq(s);
    assert_int_equal(g4_seq_new(s, &other, &err), AS_RANGE);
    assert_int_equal(g4_seq_fork(s, 77, 0, &other, &err), AS_RANGE);
    g4_seq_free(s, 77);
    g4_session_close(s);
    g4_model_close(m);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    g4_model *m = made(S_T3, false);
    const struct {
        const char *want;
        g4_session_options o;
        as_code code;
    } rows[] = {
        {"n_ctx", {.n_ctx = 1025}, AS_RANGE},
        {"n_ctx", {.n_ctx = -1}, AS_RANGE},
        {"n_seqs", {.n_seqs = -1}, AS_RANGE},
        {"n_batch", {.n_batch = 1 << 30}, AS_RANGE},
        {"n_threads", {.n_threads = 1 << 20}, AS_RANGE},
        {"heads of layer 0 have 8", {.kv = G4_KV_Q8_0}, AS_UNSUPPORTED},
        {"cache type", {.kv = (g4_kv_type)9}, AS_RANGE},
        {"memory_limit", {.memory_limit = -1}, AS_RANGE},
        {"precision", {.precision = (g4_precision)9}, AS_RANGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_err err = {0};
        g4_session *s = NULL;
        g4_memory memory;
        assert_int_equal(g4_session_open(&s, m, &rows[i].o, &err), rows[i].code);
        assert_null(s);
        if (strstr(err.text, rows[i].want) == NULL)
            fail_msg("\"%s\" does not name %s", err.text, rows[i].want);
        assert_int_equal(g4_session_plan(m, &rows[i].o, &memory, &err), rows[i].code);
    }
    g4_model_close(m);
}

static void the_plan_is_what_opens(void **state)
{
    (void)state;
    g4_model *m = made(S_T1, false);
    const g4_session_options o = {.kv = G4_KV_F32, .n_ctx = 1000, .n_seqs = 3, .n_batch = 32};
    g4_memory plan;
    as_err err = {0};
    assert_int_equal(g4_session_plan(m, &o, &plan, &err), AS_OK);
    g4_session *s = t_session(m, o);
    const g4_memory got = g4_session_memory(s);
    assert_memory_equal(&plan, &got, sizeof plan);
    /* layers 0 1 (sliding, 2 heads of 8) and 2 (full, 2 heads of 16) own keys; K and V, f32 */
    assert_int_equal(plan.kv_bytes_per_token, 4 * (2 * 2 * 2 * 8 + 2 * 2 * 16));
    const int64_t full = 17 * 64 * 4 * 2 * 2 * 16;
    const int64_t sliding = 2 * 64 * 4 * 2 * 2 * 2 * 8;
    assert_int_equal(plan.kv_bytes, 3 * (full + sliding));
    assert_int_equal(plan.kv_full_bytes, 3 * full);
    assert_int_equal(plan.kv_sliding_bytes, 3 * sliding);
    assert_int_equal(plan.kv_full_bytes_per_token, 4 * (2 * 2 * 16));
    g4_session_close(s);
    g4_model_close(m);
}

static void without_weights_there_is_no_session(void **state)
{
    (void)state;
    s_write(&(s_options){.kind = S_T1}, path());
    as_err err = {0};
    g4_model *m = NULL;
    assert_int_equal(g4_model_open(&m, path(), &(g4_model_options){.no_weights = true}, &err),
                     AS_OK);
    g4_session *s = NULL;
    assert_int_equal(g4_session_open(&s, m, NULL, &err), AS_UNSUPPORTED);
    g4_model_close(m);
    unlink(path());
}

/* ---- files that lie -------------------------------------------------------------------------- */

/* Tests of one thread with hundreds of models: nothing for the thread sanitizer, and minutes there. */
static void leave_to_other_builds(void)
{
#if defined(__SANITIZE_THREAD__)
    print_message("skipped: has one thread only, other builds run it\n");
    skip();
#endif
}

static void lies_are_refused(void **state)
{
    (void)state;
    leave_to_other_builds();
    static const struct {
        const char *want; /* in the sentence */
        s_options o;
    } rows[] = {
        {"block_count", {.kind = S_T1, .u32_key = "block_count", .u32_value = 0}},
        {"block_count", {.kind = S_T1, .u32_key = "block_count", .u32_value = 50000000}},
        {"7 layers", {.kind = S_T1, .u32_key = "block_count", .u32_value = 7}},
        {"block_count", {.kind = S_T1, .skip = "block_count"}},
        {"embedding_length", {.kind = S_T1, .u32_key = "embedding_length", .u32_value = 0}},
        {"token_embd", {.kind = S_T1, .u32_key = "embedding_length", .u32_value = 64}},
        {"embedding_length",
         {.kind = S_T1, .u32_key = "embedding_length", .u32_value = 4000000000U}},
        {"head_count", {.kind = S_T1, .u32_key = "attention.head_count", .u32_value = 0}},
        {"query heads", {.kind = S_T1, .u32_key = "attention.head_count", .u32_value = 3}},
        {"attn_output", {.kind = S_T4, .u32_key = "attention.head_count", .u32_value = 8}},
        {"key_length", {.kind = S_T1, .u32_key = "attention.key_length", .u32_value = 0}},
        {"key_length", {.kind = S_T4, .u32_key = "attention.key_length", .u32_value = 0xFFFFFFFFU}},
        {"value_length", {.kind = S_T1, .u32_key = "attention.value_length", .u32_value = 8}},
        {"sliding_window", {.kind = S_T4, .u32_key = "attention.sliding_window", .u32_value = 0}},
        {"sliding_window", {.kind = S_T4, .skip = "attention.sliding_window"}},
        {"context_length", {.kind = S_T4, .u32_key = "context_length", .u32_value = 0}},
        {"shared_kv_layers",
         {.kind = S_T1, .u32_key = "attention.shared_kv_layers", .u32_value = 6}},
        {"shared_kv_layers",
         {.kind = S_T1, .u32_key = "attention.shared_kv_layers", .u32_value = 5}},
        {"attn_k", {.kind = S_T1, .u32_key = "attention.shared_kv_layers", .u32_value = 0}},
        {"per_layer_token_embd",
         {.kind = S_T1, .u32_key = "embedding_length_per_layer_input", .u32_value = 8}},
        {"expert_count", {.kind = S_T2, .u32_key = "expert_count", .u32_value = 1U << 31}},
        {"expert_used_count", {.kind = S_T2, .u32_key = "expert_used_count", .u32_value = 9}},
        {"expert_used_count", {.kind = S_T2, .skip = "expert_used_count"}},
        {"exps", {.kind = S_T2, .u32_key = "expert_feed_forward_length", .u32_value = 16}},
        {"blk.3.ffn_down.weight", {.kind = S_T1, .skip = "blk.3.ffn_down.weight"}},
        {"blk.0.attn_v.weight", {.kind = S_T3, .skip = "blk.0.attn_v.weight"}},
        {"output_norm.weight", {.kind = S_T3, .skip = "output_norm.weight"}},
        {"token_embd.weight", {.kind = S_T3, .skip = "token_embd.weight"}},
        {"blk.5.layer_output_scale", {.kind = S_T3, .skip = "blk.5.layer_output_scale.weight"}},
        {"blk.0.ffn_up.weight", {.kind = S_T3, .bad_shape = "blk.0.ffn_up.weight"}},
        {"I32", {.kind = S_T3, .type_of = "blk.0.ffn_up.weight", .type = 26}},
        {"embedding", {.kind = S_T4, .u32_key = "block_count", .u32_value = 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s_write(&rows[i].o, path());
        as_err err = {0};
        g4_model *m = NULL;
        const as_code code = g4_model_open(&m, path(), NULL, &err);
        if (i + 1 == sizeof rows / sizeof rows[0]) {
            /* fewer layers than the arrays have entries is a lie, too */
            assert_int_not_equal(code, AS_OK);
        } else if (code == AS_OK || strstr(err.text, rows[i].want) == NULL) {
            fail_msg("row %zu: code %d, \"%s\" does not name %s", i, (int)code, err.text,
                     rows[i].want);
        }
        if (strstr(err.text, path()) == NULL)
            fail_msg("row %zu: \"%s\" does not name the file", i, err.text);
        assert_null(m);
    }
    unlink(path());
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    leave_to_other_builds();
    s_write(&(s_options){.kind = S_T2}, path());
    /* Every allocation at first, then ever fewer of them, to more than opening makes. */
    enum { ALLOCATIONS = 4000, AT_LEAST = 30 };
    int refused = 0;
    bool is_open = false;
    for (size_t n = 1; n < ALLOCATIONS; n += 1 + n / 16) {
        as_err err = {0};
        g4_model *m = NULL;
        as_arena_fail_after(n);
        const as_code code = g4_model_open(&m, path(), NULL, &err);
        as_arena_fail_after(0);
        is_open = code == AS_OK;
        refused += code != AS_OK;
        if (code != AS_OK) {
            assert_int_equal(code, AS_NOMEM);
            assert_true(err.text[0] != '\0');
            assert_null(m);
        }
        g4_model_close(m);
    }
    assert_true(is_open);
    assert_true(refused >= AT_LEAST);
    unlink(path());
}

/* Weights of NaN and infinity: no crash, NaN where they reach. */
static void damaged_weights_show(void **state)
{
    (void)state;
    s_write(&(s_options){.kind = S_T2, .is_q8 = true}, path());
    FILE *f = fopen(path(), "r+b");
    assert_non_null(f);
    fseek(f, -20000, SEEK_END);
    for (int i = 0; i < 9000; i++)
        fputc(0x7F, f);
    fclose(f);
    g4_model *m = t_model(path());
    unlink(path());
    for (int p = 0; p < 2; p++)
        for (int k = 0; k_ops_at(k) != NULL; k++) {
            g4_session *s = t_session_ops(
                m, (g4_session_options){.precision = p == 0 ? G4_AUTO : G4_F32}, k_ops_at(k));
            t_feed(s, t_seq(s), s_tokens, S_TOKENS, 0, 4, NULL, NULL, NULL);
            g4_session_close(s);
        }
    g4_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_depends_on_its_sequence_alone),
        cmocka_unit_test(rounding_costs_little),
        cmocka_unit_test(forks_share_and_do_not_disturb),
        cmocka_unit_test(pages_return),
        cmocka_unit_test(bad_rows_are_refused_whole),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(the_plan_is_what_opens),
        cmocka_unit_test(without_weights_there_is_no_session),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(damaged_weights_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
