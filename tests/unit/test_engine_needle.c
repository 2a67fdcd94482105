/* Long contexts: a token is found again at every depth, and the memory that a full sequence takes is
 * what the plan says. On the copier of scripted.h, whose weights are set by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "engine_support.h"
#include "scripted.h"

enum { DEPTHS = 11, BATCH = 256, LONGEST = 262144, BOS = 2 };
/* Tokens: keys, what follows them, and those of the haystack. */
enum { KEYS = 4, VALUES = KEYS + DEPTHS, HAY = VALUES + DEPTHS };

static g4_model *copier(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/as_needle_%d.gguf", (int)getpid());
    sc_write_copier(path, LONGEST);
    g4_model *m = t_model(path);
    unlink(path);
    return m;
}

/* n ids: the start token, then a haystack with a pair (key, value) at each depth. */
static int32_t *haystack(int n)
{
    as_rng rng;
    as_rng_init(&rng, (uint64_t)n, AS_STR("hay"));
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    assert_non_null(ids);
    ids[0] = BOS;
    for (int i = 1; i < n; i++)
        ids[i] = HAY + (int32_t)as_rng_below(&rng, SC_VOCAB - HAY);
    for (int d = 0; d < DEPTHS; d++) {
        const int at = 1 + (int)((int64_t)(n - 3) * d / (DEPTHS - 1));
        ids[at] = KEYS + d;
        ids[at + 1] = VALUES + d;
    }
    return ids;
}

/* A context of n: the haystack, then in a fork for each depth its key. */
static void find_all(const g4_model *m, g4_kv_type kv, g4_precision precision, int n)
{
    g4_session *s = t_session(m, (g4_session_options){.precision = precision,
                                                      .kv = kv,
                                                      .n_ctx = n,
                                                      .n_seqs = 2,
                                                      .n_batch = BATCH,
                                                      .n_threads = 2});
    int32_t *ids = haystack(n - 1);
    const int trunk = t_seq(s);
    bool none[BATCH] = {0};
    for (int i = 0; i < n - 1; i += BATCH)
        t_feed(s, trunk, ids + i, n - 1 - i < BATCH ? n - 1 - i : BATCH, i, BATCH, none, NULL,
               NULL);
    double worst = 0;
    for (int d = 0; d < DEPTHS; d++) {
        as_err err = {0};
        int seq = -1;
        if (g4_seq_fork(s, trunk, n - 1, &seq, &err) != AS_OK)
            fail_msg("%s", err.text);
        const g4_row row = {.seq = seq, .pos = n - 1, .token = KEYS + d, .want_logits = true};
        const g4_result out = t_decode(s, &row, 1);
        const int32_t said = t_argmax(out.logits, SC_VOCAB);
        if (said != VALUES + d)
            fail_msg("context %d, kv %s, depth %d %%: token %d, want %d", n, g4_kv_name(kv), 10 * d,
                     (int)said, VALUES + d);
        const double log_p = g4_logprob(out.logits, SC_VOCAB, said);
        worst = log_p < worst ? log_p : worst;
        g4_seq_free(s, seq);
    }
    print_message("  context %6d, kv %-4s: found at 0, 10 … 100 %%, log p at least %.1e\n", n,
                  g4_kv_name(kv), worst);
    assert_true(worst > -1e-6);
    free(ids);
    g4_session_close(s);
}

/* Every kind at the ends, the kind that is the default between; sanitizers see the short one. */
static bool is_tried(int length, g4_kv_type kv)
{
    if (TEST_IS_SLOW_BUILD)
        return length == 700;
    return length <= 4096 || length == LONGEST || kv == G4_KV_F16;
}

static void found_at_every_depth(void **state)
{
    (void)state;
    g4_model *m = copier();
    static const int lengths[] = {700, 4096, 32768, 131072, LONGEST};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        for (g4_kv_type kv = G4_KV_F32; kv <= G4_KV_Q8_0; kv++)
            if (is_tried(lengths[i], kv))
                find_all(m, kv, G4_F32, lengths[i]);
    g4_model_close(m);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Anonymous memory of this process that is resident. */
static int64_t resident(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    long long kib = -1;
    while (f != NULL && kib < 0 && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "RssAnon: %lld", &kib) != 1)
            kib = -1;
    if (f != NULL)
        fclose(f);
    return kib < 0 ? -1 : kib * 1024;
}

static void within_2_percent(const char *what, int64_t got, int64_t planned)
{
    print_message("  %s: %.3f MB, planned %.3f MB\n", what, (double)got / 1e6,
                  (double)planned / 1e6);
    assert_true(llabs(got - planned) * 50 <= planned);
}

static void check_memory(const g4_model *m, g4_kv_type kv, int n_ctx)
{
    const g4_session_options o = {
        .precision = G4_F32, .kv = kv, .n_ctx = n_ctx, .n_batch = BATCH, .n_threads = 2};
    as_err err = {0};
    g4_memory plan;
    assert_int_equal(g4_session_plan(m, &o, &plan, &err), AS_OK);
    const int64_t before = resident();
    g4_session *s = t_session(m, o);
    const int seq = t_seq(s);
    for (int i = 0; i < n_ctx; i += BATCH) {
        g4_row rows[BATCH];
        const int n = n_ctx - i < BATCH ? n_ctx - i : BATCH;
        for (int r = 0; r < n; r++)
            rows[r] = (g4_row){.seq = seq,
                               .pos = i + r,
                               .token = HAY + (i + r) % 13,
                               .want_logits = i + n == n_ctx};
        t_decode(s, rows, n);
    }
    print_message("  %d positions, kv %s\n", n_ctx, g4_kv_name(kv));
    within_2_percent("counted", g4_session_kv_peak(s) + plan.scratch_bytes,
                     plan.kv_bytes + plan.scratch_bytes);
    if (!TEST_IS_SLOW_BUILD && before >= 0)
        within_2_percent("resident", resident() - before, plan.kv_bytes + plan.scratch_bytes);
    /* the window does not grow with the context */
    assert_true(plan.kv_sliding_bytes <= (SC_WINDOW + BATCH + 64) * (plan.kv_bytes_per_token -
                                                                     plan.kv_full_bytes_per_token));
    g4_session_close(s);
}

static void memory_is_as_planned(void **state)
{
    (void)state;
    g4_model *m = copier();
    for (g4_kv_type kv = G4_KV_F32; kv <= G4_KV_Q8_0; kv++) {
        check_memory(m, kv, TEST_IS_SLOW_BUILD ? 8192 : 16384);
        if (!TEST_IS_SLOW_BUILD && kv != G4_KV_Q8_0)
            check_memory(m, kv, LONGEST);
    }
    g4_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_at_every_depth),
        cmocka_unit_test(memory_is_as_planned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
