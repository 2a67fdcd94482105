/*
 * peer_llamacpp.c — the driver llamacpp: against a real server (group 13 of test_conformance.c).
 * Run by real_llamacpp.sh, with
 *   AS_PEER_URL     where the server is
 *   AS_PEER_IDS     a JSON array of token ids, and
 *   AS_PEER_LOGITS  the engine's logits for it: f32 [ids, vocabulary]
 *   AS_FIXTURES     tests/fixtures; AS_PEER_GEMMA3=1: the server has the Gemma 3 270M
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/http/dialect.h"
#include "base/io.h"
#include "base/time.h"
#include "unit/client_support.h"
#include "unit/cm.h"

/* golden/gemma3-270m: kernels that round activations to 8 bits, against f32 logits. */
static const double MAX_SD = 0.12, MIN_GAP = 1.0, MIN_EQUAL = 0.97;
/* Two ways to the same number at one server: f32 sums over the vocabulary. */
static const double SAME = 1e-3;

enum {
    MAX_IDS = 8192,
    LOOK_MS = 2500,
};

static client c;
static int32_t ids[MAX_IDS];
static int n_ids;

static bool is_gemma3(void)
{
    return getenv("AS_PEER_GEMMA3") != NULL;
}

static int read_ids(const as_json *array, int32_t *out)
{
    int n = 0;
    int64_t v = 0;
    for (const as_json *i = as_json_first(array); i != NULL && n < MAX_IDS; i = as_json_next(i)) {
        assert_true(as_json_i64(i, &v));
        out[n++] = (int32_t)v;
    }
    return n;
}

static as_json *read_json(as_buf *b, const char *path)
{
    as_json *tree = NULL;
    as_err err = {0};
    as_buf_init(b, 0);
    if (as_read_file(b, path, &err) != AS_OK || as_json_parse(&tree, as_buf_str(b), &err) != AS_OK)
        fail_msg("%s: %s", path, err.text);
    return tree;
}

static const as_response *ask(const as_request *rq)
{
    /* Waits longer than client_ask: this model computes. */
    static as_request copy;
    copy = *rq;
    client_submit(&c, &copy);
    const int n = c.n_done + 1;
    for (int i = 0; i < 120 && c.n_done < n; i++) {
        as_err err = {0};
        client_poll(&c, 1000, &err);
    }
    assert_int_equal(c.n_done, n);
    return &c.kept[rq->job].r;
}

static const as_response *score(const int32_t *context, int n_context, const int32_t *next, int n)
{
    const as_request rq = {.ask = AS_ASK_SCORE,
                           .ids = context,
                           .n_ids = n_context,
                           .continuation_ids = next,
                           .n_continuation_ids = n};
    const as_response *r = ask(&rq);
    if (r->finish == AS_FINISH_ERROR)
        fail_msg("score: %.*s", AS_ARG(r->message));
    assert_int_equal(r->n_logprobs, n);
    for (int i = 0; i < n; i++)
        assert_int_equal(r->logprobs[i].token.id, next[i]);
    return r;
}

static const as_response *generate(const int32_t *prompt, int n, int max_tokens, int top)
{
    const as_request rq = {.ids = prompt,
                           .n_ids = n,
                           .max_tokens = max_tokens,
                           .top_logprobs = top,
                           .sampling = AS_SAMPLING_GREEDY,
                           .no_cache = true};
    const as_response *r = ask(&rq);
    if (r->finish == AS_FINISH_ERROR)
        fail_msg("generate: %.*s", AS_ARG(r->message));
    return r;
}

static void what_it_is(void **state)
{
    (void)state;
    const be_info *info = c.be->driver->info(c.be);
    const unsigned want = BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_IDS | BE_CAN_LOGPROBS | BE_CAN_SCORE |
                          BE_CAN_TOKENIZE | BE_CAN_RENDER | BE_CAN_METRICS | BE_CAN_SEED;
    assert_int_equal(c.be->driver->caps(c.be) & want, want);
    assert_true(info->n_ctx >= 512 && info->max_concurrency == 1);
    assert_int_equal(info->template_sha256.n, 64);
    assert_true(info->n_params > 0 && info->weights_bytes > 0);
    if (is_gemma3()) {
        assert_int_equal(info->n_params, 268098176);
        assert_true(as_str_starts(info->quantization, AS_STR("Q4_K")));
    }
    as_json *json = NULL;
    assert_int_equal(as_json_parse(&json, info->json, NULL), AS_OK);
    assert_non_null(as_json_get(as_json_get(json, "props"), "chat_template"));
    as_json_free(json);
}

static void tokens_and_prompts(void **state)
{
    (void)state;
    int32_t *got = NULL, *plain = NULL;
    int n = 0, n_plain = 0;
    as_err err = {0};
    assert_int_equal(
        c.be->driver->tokenize(c.be, AS_STR("Hello world"), true, &got, &n, &c.arena, &err), AS_OK);
    assert_int_equal(c.be->driver->tokenize(c.be, AS_STR("Hello world"), false, &plain, &n_plain,
                                            &c.arena, &err),
                     AS_OK);
    assert_int_equal(n, n_plain + 1);
    assert_int_equal(got[0], 2);
    assert_memory_equal(got + 1, plain, (size_t)n_plain * sizeof *plain);
    if (is_gemma3()) {
        const int32_t want[] = {2, 9259, 1902};
        assert_int_equal(n, 3);
        assert_memory_equal(got, want, sizeof want);
    }
    const as_request rq = client_chat();
    as_str prompt;
    assert_int_equal(c.be->driver->render(c.be, &rq, &prompt, &c.arena, &err), AS_OK);
    assert_true(as_str_find(prompt, AS_STR("Hello")) != SIZE_MAX);
}

/* The ids of AS_PEER_IDS forced one after another, against the engine's own logits. */
static void scores_are_the_engines(void **state)
{
    (void)state;
    const char *path = getenv("AS_PEER_LOGITS");
    as_buf b;
    as_buf_init(&b, (size_t)2 << 30);
    as_err err = {0};
    if (path == NULL || as_read_file(&b, path, &err) != AS_OK)
        fail_msg("AS_PEER_LOGITS: %s", err.text);
    const size_t n_vocab = b.n / sizeof(float) / (size_t)n_ids;
    assert_int_equal(b.n, n_vocab * (size_t)n_ids * sizeof(float));
    const as_response *r = score(ids, 1, ids + 1, n_ids - 1);
    double sum = 0, sum_sq = 0;
    int n_equal = 0, n_clear = 0;
    float *row = malloc(n_vocab * sizeof(float));
    for (int i = 0; i < n_ids - 1; i++) {
        memcpy(row, b.p + (size_t)i * n_vocab * sizeof(float), n_vocab * sizeof(float));
        double best = (double)-INFINITY, second = best, total = 0;
        int32_t arg = 0;
        for (size_t k = 0; k < n_vocab; k++) {
            const double v = (double)row[k];
            if (v > best) {
                second = best;
                best = v;
                arg = (int32_t)k;
            } else if (v > second) {
                second = v;
            }
        }
        for (size_t k = 0; k < n_vocab; k++)
            total += exp((double)row[k] - best);
        const double want = (double)row[ids[i + 1]] - best - log(total);
        const double d = r->logprobs[i].token.logprob - want;
        sum += d;
        sum_sq += d * d;
        assert_true(r->logprobs[i].n_top >= 1);
        const bool is_equal = r->logprobs[i].top[0].id == arg;
        n_equal += is_equal;
        if (best - second >= MIN_GAP) {
            n_clear++;
            if (!is_equal)
                fail_msg("position %d: arg-max %d, the engine's is %d with a gap of %.3f", i,
                         r->logprobs[i].top[0].id, arg, best - second);
        }
    }
    free(row);
    as_buf_release(&b);
    const int n = n_ids - 1;
    const double sd = sqrt(sum_sq / n - sum / n * sum / n);
    print_message(
        "  %d tokens: s.d. of the log-probabilities %.4f, mean %.4f; arg-max equal at %d, "
        "and at all %d with a gap of %.0f or more\n",
        n, sd, sum / n, n_equal, n_clear, MIN_GAP);
    assert_true(sd <= MAX_SD);
}

/* Greedy tokens of the f32 reference, forced: the same arg-max wherever the reference is clear. */
static void forced_greedy_tokens(void **state)
{
    (void)state;
    if (!is_gemma3())
        skip();
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/gemma3-270m/greedy.jsonl", getenv("AS_FIXTURES"));
    as_buf b;
    as_buf_init(&b, 0);
    assert_int_equal(as_read_file(&b, path, NULL), AS_OK);
    int n_all = 0, n_equal = 0, n_lines = 0;
    as_str line, rest = as_buf_str(&b);
    while (rest.n != 0) {
        (void)as_str_cut(rest, '\n', &line, &rest);
        as_json *j = NULL;
        assert_int_equal(as_json_parse(&j, line, NULL), AS_OK);
        static int32_t prompt[MAX_IDS], said[MAX_IDS];
        const as_json *f32 = as_json_get(j, "f32");
        const int n_prompt = read_ids(as_json_get(j, "prompt_ids"), prompt);
        const int n_said = read_ids(as_json_get(f32, "ids"), said);
        const as_response *r = score(prompt, n_prompt, said, n_said);
        const as_json *gap = as_json_first(as_json_get(f32, "gap"));
        for (int i = 0; i < n_said; i++, gap = as_json_next(gap)) {
            double g = 0;
            assert_true(as_json_f64(gap, &g));
            n_all++;
            n_equal += r->logprobs[i].is_greedy;
            if (g >= MIN_GAP && !r->logprobs[i].is_greedy)
                fail_msg("prompt %d, step %d: not the arg-max with a gap of %.3f", n_lines, i, g);
        }
        as_json_free(j);
        n_lines++;
    }
    print_message("  %d prompts: the arg-max at %d of %d steps\n", n_lines, n_equal, n_all);
    assert_true((double)n_equal >= MIN_EQUAL * n_all);
    as_buf_release(&b);
}

/* By text the server's tokens are scored: the same numbers as by ids; limits of the references. */
static void options_by_text_and_by_ids(void **state)
{
    (void)state;
    if (!is_gemma3())
        skip();
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/gemma3-270m/options.jsonl", getenv("AS_FIXTURES"));
    as_buf b;
    as_buf_init(&b, 0);
    assert_int_equal(as_read_file(&b, path, NULL), AS_OK);
    double sum_sq = 0;
    int n_all = 0, n_same_ids = 0, n_options = 0;
    as_str line, rest = as_buf_str(&b);
    while (rest.n != 0) {
        (void)as_str_cut(rest, '\n', &line, &rest);
        as_json *j = NULL;
        if (as_json_parse(&j, line, NULL) != AS_OK)
            break;
        static int32_t context[MAX_IDS], option[MAX_IDS];
        const int n_context = read_ids(as_json_get(j, "context_ids"), context);
        as_str text;
        assert_true(as_json_str(as_json_get(j, "context"), &text));
        for (const as_json *o = as_json_first(as_json_get(j, "options")); o != NULL;
             o = as_json_next(o)) {
            const int n = read_ids(as_json_get(o, "ids"), option);
            const as_response *by_ids = score(context, n_context, option, n);
            const as_json *lp = as_json_first(as_json_get(as_json_get(o, "f32"), "logprobs"));
            double by_ids_sum = 0;
            for (int i = 0; i < n; i++, lp = as_json_next(lp)) {
                double want = 0;
                assert_true(as_json_f64(lp, &want));
                const double got = by_ids->logprobs[i].token.logprob;
                sum_sq += (got - want) * (got - want);
                by_ids_sum += got;
                n_all++;
            }
            as_request rq = {.ask = AS_ASK_SCORE, .prompt = text};
            assert_true(as_json_str(as_json_get(o, "text"), &rq.continuation));
            const as_response *r = ask(&rq);
            if (r->finish == AS_FINISH_ERROR)
                fail_msg("by text: %.*s", AS_ARG(r->message));
            n_options++;
            bool is_same = r->n_logprobs == n;
            double by_text_sum = 0;
            for (int i = 0; i < r->n_logprobs; i++) {
                is_same = is_same && r->logprobs[i].token.id == option[i];
                by_text_sum += r->logprobs[i].token.logprob;
            }
            n_same_ids += is_same;
            if (is_same && fabs(by_text_sum - by_ids_sum) > 0.02 * n)
                fail_msg("by text %.4f, by ids %.4f", by_text_sum, by_ids_sum);
        }
        as_json_free(j);
    }
    print_message(
        "  %d options, %d tokens: rms of the difference to the f32 reference %.4f; %d have the "
        "reference's tokens\n",
        n_options, n_all, sqrt(sum_sq / n_all), n_same_ids);
    assert_true(n_options >= 16 && n_same_ids >= n_options * 3 / 4);
    assert_true(sqrt(sum_sq / n_all) <= 2 * MAX_SD); /* few tokens, chosen for being surprising */
    as_buf_release(&b);
}

/* What a free run tells of its tokens is what forcing them tells. */
static void forced_equals_free(void **state)
{
    (void)state;
    const as_response free_run = *generate(ids, 6, 8, 5);
    assert_true(free_run.n_logprobs >= 1);
    int32_t made[16];
    const int n = free_run.n_logprobs < 16 ? free_run.n_logprobs : 16;
    for (int i = 0; i < n; i++)
        made[i] = free_run.logprobs[i].token.id;
    const as_response *r = score(ids, 6, made, n);
    for (int i = 0; i < n; i++) {
        assert_true(free_run.logprobs[i].is_greedy);
        assert_true(r->logprobs[i].is_greedy);
        /* One prompt is computed in one batch, the other token by token: room for their rounding. */
        const double d = fabs(r->logprobs[i].token.logprob - free_run.logprobs[i].token.logprob);
        if (d > (i == 0 ? SAME : 0.05))
            fail_msg("token %d: forced %.5f, free %.5f", i, r->logprobs[i].token.logprob,
                     free_run.logprobs[i].token.logprob);
    }
}

/* Every id of the vocabulary at one place: they sum to 1, and the end token's number is what the
 * fallback by bias finds. */
static void all_probabilities(void **state)
{
    (void)state;
    as_json *json = NULL;
    assert_int_equal(as_json_parse(&json, c.be->driver->info(c.be)->json, NULL), AS_OK);
    const as_json *meta =
        as_json_get(as_json_first(as_json_get(as_json_get(json, "models"), "data")), "meta");
    int64_t n_vocab = 0;
    assert_true(as_json_i64(as_json_get(meta, "n_vocab"), &n_vocab));
    as_json_free(json);
    const as_response r = *generate(ids, 6, 1, (int)n_vocab);
    assert_int_equal(r.n_logprobs, 1);
    assert_int_equal(r.logprobs[0].n_top, n_vocab);
    double total = 0, end = (double)NAN;
    for (int i = 0; i < r.logprobs[0].n_top; i++) {
        const as_token t = r.logprobs[0].top[i];
        total += exp(t.logprob);
        if (t.id == 1)
            end = t.logprob;
    }
    print_message("  sum over %lld ids: %.6f\n", (long long)n_vocab, total);
    assert_true(fabs(total - 1) < 0.002);
    const int32_t eos[] = {1};
    const as_response *forced = score(ids, 6, eos, 1);
    if (fabs(forced->logprobs[0].token.logprob - end) > SAME)
        fail_msg("end token: %.5f by bias, %.5f of all", forced->logprobs[0].token.logprob, end);
    const int32_t around[] = {ids[6], 1};
    (void)score(ids, 6, around, 2); /* a part by grammar, the end by bias */
}

static void byte_tokens_are_refused_with_words(void **state)
{
    (void)state;
    const as_request rq = {.ask = AS_ASK_SCORE,
                           .prompt = AS_STR("Hello"),
                           .continuation = AS_STR(" \xF0\x9F\xA6\x99")};
    const as_response *r = ask(&rq);
    assert_int_equal(r->error, AS_ERROR_UNSUPPORTED);
    assert_true(as_str_find(r->message, AS_STR("cannot be scored")) != SIZE_MAX);
}

static void windows(void **state)
{
    (void)state;
    const int n_ctx = c.be->driver->info(c.be)->n_ctx;
    static int32_t many[MAX_IDS];
    assert_true(n_ctx + 10 <= MAX_IDS);
    for (int i = 0; i < n_ctx + 10; i++)
        many[i] = i == 0 ? 2 : ids[1 + i % (n_ids - 1)];
    as_request rq = {
        .ids = many, .n_ids = n_ctx + 10, .max_tokens = 4, .sampling = AS_SAMPLING_GREEDY};
    const as_response *r = ask(&rq);
    assert_int_equal(r->error, AS_ERROR_CONTEXT);
    assert_int_equal(r->http_status, 400);
    rq.ids = ids; /* the error closed the connection: the next request makes another */
    rq.n_ids = 6;
    r = ask(&rq);
    assert_int_equal(r->error, AS_ERROR_NONE);
    assert_true(r->completion_tokens >= 1 && r->prompt_tokens == 6);
    /* The prompt nearly fills the window: the reply is cut off. */
    rq.ids = many;
    rq.n_ids = n_ctx - 8;
    rq.max_tokens = 100;
    rq.ignore_eos = true;
    r = ask(&rq);
    assert_int_equal(r->finish, AS_FINISH_LENGTH);
    assert_in_range(r->completion_tokens, 1, 12);
}

static bool is_processing(void)
{
    ht_answer a;
    as_err err = {0};
    assert_int_equal(ht_ask((ht_driver *)c.be, 0, "/slots", (as_str){0}, &a, &c.arena, &err),
                     AS_OK);
    bool is_busy = false;
    assert_true(as_json_bool(as_json_get(as_json_first(a.json), "is_processing"), &is_busy));
    as_json_free(a.json);
    return is_busy;
}

static void cancelling_frees_the_slot(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        as_request rq = {.ids = ids,
                         .n_ids = 6,
                         .max_tokens = 3000,
                         .sampling = AS_SAMPLING_GREEDY,
                         .ignore_eos = true,
                         .whole = whole != 0};
        client_submit(&c, &rq);
        const int n = c.n_done;
        as_err err = {0};
        for (int i = 0; i < 100 && !is_processing(); i++)
            client_poll(&c, 20, &err);
        assert_true(is_processing());
        c.be->driver->cancel_one(c.be, rq.job);
        client_wait(&c, n + 1);
        assert_int_equal(c.kept[rq.job].r.finish, AS_FINISH_CANCELLED);
        /* For a whole reply the server looks once a second whether somebody still waits, and any
         * other call begins that second anew (seen here: polled every 200 ms it never looks). */
        int n_looks = 0;
        do
            as_sleep_ns((int64_t)LOOK_MS * 1000000);
        while (is_processing() && ++n_looks < 4);
        assert_in_range(n_looks, 0, 3);
    }
}

/* The server counts a request a moment after its reply: the counters once they stand still. */
static be_metrics settled_metrics(void)
{
    be_metrics before = {0}, now = {0};
    as_err err = {0};
    assert_int_equal(c.be->driver->metrics(c.be, &now, &err), AS_OK);
    for (int i = 0; i < 20; i++) {
        before = now;
        as_sleep_ns(INT64_C(300) * 1000000);
        assert_int_equal(c.be->driver->metrics(c.be, &now, &err), AS_OK);
        if (now.generated_tokens == before.generated_tokens &&
            now.prompt_tokens == before.prompt_tokens)
            break;
    }
    return now;
}

static void counters_rise_by_what_usage_says(void **state)
{
    (void)state;
    const be_metrics before = settled_metrics();
    const as_response *r = generate(ids, 6, 7, 0);
    const be_metrics after = settled_metrics();
    print_message("  generated %.0f, usage %lld; prompt %.0f\n",
                  after.generated_tokens - before.generated_tokens, (long long)r->completion_tokens,
                  after.prompt_tokens - before.prompt_tokens);
    assert_true(after.generated_tokens - before.generated_tokens == (double)r->completion_tokens);
    assert_true(after.prompt_tokens - before.prompt_tokens == 6);
    assert_true(r->first_token_ns > 0 && r->server_prompt_ns > 0 && r->n_gaps >= 1);
}

static void chats(void **state)
{
    (void)state;
    const as_message begun[] = {{.role = AS_STR("user"), .text = AS_STR("Name a colour.")},
                                {.role = AS_STR("assistant"), .text = AS_STR("The sky is")}};
    as_request rq = client_chat();
    rq.messages = begun;
    rq.n_messages = 2;
    rq.no_cache = true;
    char first[1024];
    for (int whole = 0; whole < 2; whole++) {
        rq.whole = whole != 0;
        const as_response *r = ask(&rq);
        if (r->finish == AS_FINISH_ERROR)
            fail_msg("chat: %.*s", AS_ARG(r->message));
        assert_false(as_str_starts(r->text, AS_STR("The sky is")));
        assert_true(r->completion_tokens >= 1);
        if (whole == 0)
            (void)snprintf(first, sizeof first, "%.*s", AS_ARG(r->text));
        else
            assert_string_equal(first, as_arena_str(&c.arena, r->text).p); /* group 14 as well */
    }
    rq.top_logprobs = 3;
    const as_response *r = ask(&rq);
    assert_true(r->n_logprobs >= 1 && r->logprobs[0].n_top == 3 && r->logprobs[0].token.id >= 0);
    assert_int_equal(r->dropped & AS_DROPPED_LOGPROBS, 0);
}

static void images_without_a_projector(void **state)
{
    (void)state;
    const as_media picture = {.mime = AS_STR("image/png"), .bytes = AS_STR("\x89PNG")};
    const as_message m = {
        .role = AS_STR("user"), .text = AS_STR("?"), .media = &picture, .n_media = 1};
    as_request rq = client_chat();
    rq.messages = &m;
    assert_int_equal(ask(&rq)->error, AS_ERROR_UNSUPPORTED);
}

int main(void)
{
    const char *url = getenv("AS_PEER_URL"), *ids_path = getenv("AS_PEER_IDS");
    if (url == NULL || ids_path == NULL) {
        (void)puts("skipped: run by real_llamacpp.sh");
        return 77;
    }
    client_open(&c, &be_llamacpp, "", url, NULL);
    as_buf b;
    as_json *tree = read_json(&b, ids_path);
    n_ids = read_ids(tree, ids);
    as_json_free(tree);
    as_buf_release(&b);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_is),
        cmocka_unit_test(tokens_and_prompts),
        cmocka_unit_test(scores_are_the_engines),
        cmocka_unit_test(forced_greedy_tokens),
        cmocka_unit_test(options_by_text_and_by_ids),
        cmocka_unit_test(forced_equals_free),
        cmocka_unit_test(all_probabilities),
        cmocka_unit_test(byte_tokens_are_refused_with_words),
        cmocka_unit_test(windows),
        cmocka_unit_test(cancelling_frees_the_slot),
        cmocka_unit_test(counters_rise_by_what_usage_says),
        cmocka_unit_test(chats),
        cmocka_unit_test(images_without_a_projector),
    };
    cmocka_set_test_filter(getenv("AS_PEER_ONLY")); /* a pattern, to look at one of them */
    const int n_failed = cmocka_run_group_tests(tests, NULL, NULL);
    client_close(&c);
    return n_failed;
}
