/*
 * test_conformance.c — the drivers against `assay mock` and the scripts of tests/fixtures/mock, in
 * pieces of 1 byte, 7 bytes and whole. The groups:
 *
 *   1 events cut anywhere, line ends, comments, long lines   8 JSON lines and their ends
 *   2 chunks without choices, usage, two finishes            9 Gemini's candidates
 *   3 reasoning: four names, marks in the text              10 vLLM's prompt_logprobs, keys
 *   4 every form of refusal, whole and in a stream          11 connections that close, large bodies
 *   5 waits that a server asks for                          12 limits at once and a minute
 *   6 resets, cuts, stalls, drips                           13 llama.cpp: tokens, forced decoding
 *   7 cancellation                                          14 the same request twice
 *
 * test_client, test_client_score, test_ollama and test_gemini hold the same groups to bytes that a
 * script cannot send.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "base/toymodel.h"
#include "unit/client_support.h"
#include "unit/cm.h"
#include "unit/mock_process.h"

enum { STREAM = 1, WHOLE = 2, BOTH = 3, BIG = 4 /* megabytes: not byte by byte */ };

typedef struct row {
    const char *model;
    as_error_kind error;
    as_finish finish;
    const char *text, *reasoning; /* NULL: whatever came before the error */
    int ways;
    int64_t completion_tokens, cached_tokens; /* 0: not looked at */
} row;

static const char *const chunks[] = {"1", "7", "whole"};
static const char *const no_probe[] = {"probe=off", NULL};
static const char SAID[] = "The answer is (B).";
static client c;

static void check_row(const row *w, const char *chunk, bool whole, const as_response *r)
{
    const bool is_wrong =
        r->error != w->error || r->finish != w->finish ||
        (w->text != NULL && !as_str_eq_z(r->text, w->text)) ||
        (w->reasoning != NULL && !as_str_eq_z(r->reasoning, w->reasoning)) ||
        (w->completion_tokens != 0 && r->completion_tokens != w->completion_tokens) ||
        (w->cached_tokens != 0 && r->cached_tokens != w->cached_tokens) ||
        (r->finish == AS_FINISH_ERROR && r->message.n == 0);
    if (is_wrong)
        fail_msg("%s, pieces %s, %s: %s, %s, text \"%.*s\", reasoning \"%.*s\", %lld tokens, "
                 "%lld cached, \"%.*s\"",
                 w->model, chunk, whole ? "whole" : "stream", as_error_kind_name(r->error),
                 as_finish_name(r->finish), AS_ARG(as_str_sub(r->text, 0, 200)),
                 AS_ARG(r->reasoning), (long long)r->completion_tokens, (long long)r->cached_tokens,
                 AS_ARG(r->message));
}

/* Each row's model asked by a driver of its own, so that no row hears of another's failures. */
static void check_rows(const char *script, const be_driver *driver, const row *rows, size_t n,
                       const char *const *options)
{
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, script, chunks[k]);
        for (size_t i = 0; i < n; i++) {
            if ((rows[i].ways & BIG) != 0 && k != 2)
                continue;
            client_open(&c, driver, rows[i].model, m.url, options);
            for (int whole = 0; whole < 2; whole++) {
                if ((rows[i].ways & (whole ? WHOLE : STREAM)) == 0)
                    continue;
                as_request rq = client_chat();
                rq.whole = whole != 0;
                check_row(&rows[i], chunks[k], whole != 0, client_ask(&c, &rq));
            }
            client_close(&c);
        }
        mock_stop(&m);
    }
}

#define N_OF(rows) (sizeof(rows) / sizeof(rows)[0])
#define ANSWER     AS_ERROR_NONE, AS_FINISH_STOP
#define FAILS(k)   AS_ERROR_##k, AS_FINISH_ERROR, NULL, NULL

static void group1_events(void **state)
{
    (void)state;
    static const row rows[] = {
        {"byte", ANSWER, SAID, "", BOTH, 0, 0},
        {"seven", ANSWER, SAID, "", BOTH, 0, 0},
        {"whole", ANSWER, SAID, "", BOTH, 0, 0},
        {"crlf", ANSWER, "Paris", "", STREAM, 0, 0},
        {"cr", ANSWER, "Paris", "", STREAM, 0, 0},
        {"comments", ANSWER, "Paris", "", STREAM, 0, 0},
        {"no_last_line", ANSWER, SAID, "", STREAM, 0, 0},
        {"no_done", ANSWER, SAID, "", STREAM, 0, 0},
        {"null_event", ANSWER, "Paris", "", STREAM, 0, 0},
        {"two_lines", ANSWER, "Paris", "", STREAM, 0, 0},
        {"long_line", ANSWER, SAID, "", BOTH | BIG, 0, 0},
        {"too_long", FAILS(PROTOCOL), STREAM | BIG, 0, 0},
        {"bad_json", FAILS(PROTOCOL), BOTH, 0, 0},
        {"bad_utf8", ANSWER, NULL, "", BOTH, 0, 0},
    };
    check_rows("01_sse.json", &be_openai, rows, N_OF(rows), no_probe);
}

static void group2_usage(void **state)
{
    (void)state;
    static const row rows[] = {
        {"usage_after", ANSWER, "Paris", "", STREAM, 2, 0},
        {"usage_before", ANSWER, "Paris", "", STREAM, 2, 0},
        {"two_finish", ANSWER, SAID, "", STREAM, 4, 0},
        {"no_finish", AS_ERROR_NONE, AS_FINISH_UNKNOWN, SAID, "", STREAM, 4, 0},
        {"no_usage", ANSWER, SAID, "", BOTH, -1, 0},
        {"cached", ANSWER, SAID, "", BOTH, 5, 12},
    };
    check_rows("02_usage.json", &be_openai, rows, N_OF(rows), no_probe);
}

static void group3_reasoning(void **state)
{
    (void)state;
    static const char thought[] = "I think so.", paris[] = "It is Paris.";
    static const row rows[] = {
        {"reasoning_content", ANSWER, paris, thought, BOTH, 0, 0},
        {"reasoning", ANSWER, paris, thought, BOTH, 0, 0},
        {"reasoning_text", ANSWER, paris, thought, BOTH, 0, 0},
        {"thinking", ANSWER, paris, thought, BOTH, 0, 0},
        {"markup", ANSWER, paris, thought, BOTH, 0, 0},
        {"think_tags", ANSWER, paris, thought, BOTH, 0, 0},
        {"unclosed", AS_ERROR_NONE, AS_FINISH_LENGTH, "", "I think and think", BOTH, 0, 0},
        {"only_reasoning", AS_ERROR_NONE, AS_FINISH_LENGTH, "", thought, BOTH, 0, 0},
    };
    check_rows("03_reasoning.json", &be_openai, rows, N_OF(rows), no_probe);
}

static void group4_refusals(void **state)
{
    (void)state;
    static const row rows[] = {
        {"llamacpp", FAILS(REQUEST), BOTH, 0, 0},
        {"llamacpp_context", FAILS(CONTEXT), BOTH, 0, 0},
        {"llamacpp_loading", FAILS(SERVER), BOTH, 0, 0},
        {"llamacpp_image", FAILS(UNSUPPORTED), BOTH, 0, 0},
        {"vllm", FAILS(CONTEXT), BOTH, 0, 0},
        {"vllm_401", FAILS(AUTH), BOTH, 0, 0},
        {"openai", FAILS(CONTEXT), BOTH, 0, 0},
        {"ollama", FAILS(NOT_FOUND), BOTH, 0, 0},
        {"ollama_busy", FAILS(SERVER), BOTH, 0, 0},
        {"sglang", FAILS(REQUEST), BOTH, 0, 0},
        {"lmstudio", FAILS(NOT_FOUND), BOTH, 0, 0},
        {"gemini", FAILS(AUTH), BOTH, 0, 0},
        {"gemini_array", FAILS(SERVER), BOTH, 0, 0},
        {"fastapi", FAILS(NOT_FOUND), BOTH, 0, 0},
        {"fastapi_list", FAILS(REQUEST), BOTH, 0, 0},
        {"html", FAILS(SERVER), BOTH, 0, 0},
        {"empty", FAILS(SERVER), BOTH, 0, 0},
        {"unsupported", FAILS(UNSUPPORTED), BOTH, 0, 0},
        {"in_stream", FAILS(SERVER), STREAM, 0, 0},
        {"in_stream_done", FAILS(SERVER), STREAM, 0, 0},
    };
    static const row lines[] = {{"ollama_in_stream", FAILS(SERVER), STREAM, 0, 0}};
    check_rows("04_errors.json", &be_openai, rows, N_OF(rows), no_probe);
    check_rows("04_errors.json", &be_ollama, lines, N_OF(lines), no_probe);
}

/* The first call is refused with a wait, and nothing is sent before it is over. */
static void group5_waits(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        as_error_kind error;
        int64_t wait_ms;
        int n_refusals;
    } rows[] = {
        {"retry_after_ms", AS_ERROR_RATE, 200, 1}, {"reset_header", AS_ERROR_RATE, 250, 1},
        {"retry_delay", AS_ERROR_RATE, 500, 1},    {"retry_after", AS_ERROR_RATE, 1000, 1},
        {"both", AS_ERROR_RATE, 1000, 1},          {"overload", AS_ERROR_SERVER, -1, 2},
        {"per_day", AS_ERROR_QUOTA, 37000, 1},
    };
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "05_rate.json", chunks[k]);
        for (size_t i = 0; i < N_OF(rows); i++) {
            client_open(&c, &be_openai, rows[i].model, m.url, no_probe);
            const as_request rq = client_chat();
            const as_response *r = NULL;
            for (int n = 0; n < rows[i].n_refusals; n++) {
                r = client_ask(&c, &rq);
                if (r->error != rows[i].error || r->retry_after_ms != rows[i].wait_ms)
                    fail_msg("%s: %s, %lld ms: %.*s", rows[i].model, as_error_kind_name(r->error),
                             (long long)r->retry_after_ms, AS_ARG(r->message));
            }
            const int64_t from = as_now_ns();
            if (rows[i].error != AS_ERROR_QUOTA && k == 2) {
                r = client_ask(&c, &rq);
                assert_int_equal(r->finish, AS_FINISH_STOP);
                if (as_now_ns() - from < (rows[i].wait_ms - 20) * 1000000)
                    fail_msg("%s: asked again too early", rows[i].model);
            }
            client_close(&c);
        }
        mock_stop(&m);
    }
}

static void group6_connections(void **state)
{
    (void)state;
    static const char *const hasty[] = {"probe=off", "first_timeout=0.4", "idle_timeout=0.25",
                                        "timeout=1", NULL};
    static const char *const awake[] = {"probe=off", "idle_timeout=0.4", NULL};
    static const row broken[] = {
        {"reset_first", FAILS(TRANSPORT), BOTH, 0, 0},
        {"reset_head", FAILS(TRANSPORT), BOTH, 0, 0},
        {"reset_half", FAILS(TRANSPORT), BOTH, 0, 0},
        {"cut_first", FAILS(TRANSPORT), BOTH, 0, 0},
        {"cut_head", FAILS(TRANSPORT), BOTH, 0, 0},
        {"cut_half", FAILS(TRANSPORT), BOTH, 0, 0},
        {"no_http", FAILS(PROTOCOL), BOTH, 0, 0},
        {"short_body", FAILS(TRANSPORT), BOTH, 0, 0},
        {"bad_chunk", FAILS(TRANSPORT), BOTH, 0, 0},
        {"until_close", ANSWER, "Paris", "", STREAM, 0, 0},
        {"drip", ANSWER, SAID, "", STREAM, 0, 0},
        {"slow", ANSWER, SAID, "", BOTH, 0, 0},
    };
    static const row stalled[] = {
        {"stall_head", FAILS(TIMEOUT), STREAM, 0, 0},
        {"stall_first", FAILS(TIMEOUT), STREAM, 0, 0},
        {"stall_half", FAILS(TIMEOUT), STREAM, 0, 0},
        {"stall_pings", FAILS(TIMEOUT), STREAM, 0, 0},
    };
    static const row pinged[] = {{"stall_short", ANSWER, SAID, "", STREAM, 0, 0}};
    check_rows("06_connection.json", &be_openai, broken, N_OF(broken), no_probe);
    check_rows("06_connection.json", &be_openai, stalled, N_OF(stalled), hasty);
    check_rows("06_connection.json", &be_openai, pinged, N_OF(pinged), awake);
    mock_process m; /* and nobody there any more */
    mock_start(&m, "06_connection.json", NULL);
    client_open(&c, &be_openai, "reset_once", m.url, no_probe);
    as_request rq = client_chat();
    /* A reset of a connection that was used before: libcurl repeats the call itself. */
    assert_int_equal(client_ask(&c, &rq)->finish, AS_FINISH_STOP);
    mock_stop(&m);
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_TRANSPORT);
    client_close(&c);
}

static void cancel_me(void *user, const as_delta *delta)
{
    (void)user;
    (void)delta;
    c.be->driver->cancel_one(c.be, 7);
}

static void group7_cancelling(void **state)
{
    (void)state;
    static const char *const models[] = {"endless", "flood", "slow_head", "slow_first"};
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "07_cancel.json", chunks[k]);
        for (size_t i = 0; i < 4; i++) {
            client_open(&c, &be_openai, models[i], m.url, no_probe);
            as_err err = {0};
            as_request rq = client_chat();
            rq.job = 7;
            client_submit(&c, &rq); /* before anything is sent */
            c.be->driver->cancel_one(c.be, 7);
            client_wait(&c, 1);
            rq.on_delta = i < 2 ? cancel_me : NULL; /* from its own first piece, or before it */
            const double n_before = mock_stat(&m, "requests");
            client_submit(&c, &rq);
            for (int n = 0; n < 500 && mock_stat(&m, "requests") <= n_before; n++)
                client_poll(&c, 10, &err);
            c.be->driver->cancel_one(c.be, 7);
            client_wait(&c, 2);
            assert_int_equal(c.kept[7].n_done, 2);
            assert_int_equal(c.kept[7].r.finish, AS_FINISH_CANCELLED);
            c.be->driver->cancel_one(c.be, 7); /* after its end: nothing more is told */
            client_poll(&c, 10, &err);
            assert_int_equal(c.n_done, 2);
            client_close(&c);
        }
        for (int n = 0; n < 500 && mock_stat(&m, "cancelled") < 4; n++)
            as_sleep_ns(10 * 1000000);
        assert_true(mock_stat(&m, "cancelled") == 4 && mock_stat(&m, "busy") == 0);
        mock_stop(&m);
    }
}

static void group8_json_lines(void **state)
{
    (void)state;
    static const row rows[] = {
        {"no_newline", ANSWER, "Paris", "", STREAM, 2, 0},
        {"no_counts", ANSWER, "Paris", "", STREAM, 2, 0},
        {"blank_lines", ANSWER, "Paris", "", STREAM, 2, 0},
        {"byte", ANSWER, SAID, "", BOTH, 0, 0},
        {"thinking", ANSWER, "It is Paris.", "I think so.", BOTH, 0, 0},
        {"length", AS_ERROR_NONE, AS_FINISH_LENGTH, SAID, "", BOTH, 0, 0},
        {"no_done", FAILS(PROTOCOL), STREAM, 0, 0},
        {"error_line", FAILS(SERVER), STREAM, 0, 0},
        {"bad_json", FAILS(PROTOCOL), BOTH, 0, 0},
    };
    check_rows("08_ndjson.json", &be_ollama, rows, N_OF(rows), no_probe);
}

static void group9_candidates(void **state)
{
    (void)state;
    static const row rows[] = {
        {"both", ANSWER, "It is Paris.", "I think so.", BOTH, 0, 0},
        {"array", ANSWER, "It is Paris.", "I think so.", STREAM, 7, 0},
        {"noparts", ANSWER, "", "", BOTH, 0, 0},
        {"nocontent", AS_ERROR_NONE, AS_FINISH_LENGTH, "", "", BOTH, 0, 0},
        {"thoughts", AS_ERROR_NONE, AS_FINISH_LENGTH, "", "I think and think", BOTH, 0, 0},
        {"blocked", AS_ERROR_NONE, AS_FINISH_BLOCKED, "", "", BOTH, 0, 0},
        {"safety", AS_ERROR_NONE, AS_FINISH_BLOCKED, "", "", BOTH, 0, 0},
        {"none", FAILS(PROTOCOL), BOTH, 0, 0},
        {"quota", FAILS(RATE), STREAM, 0, 0},
        {"cut", FAILS(TRANSPORT), BOTH, 0, 0},
    };
    check_rows("09_gemini.json", &be_gemini, rows, N_OF(rows), no_probe);
}

static const char *right_key(const char *name)
{
    return strcmp(name, "VLLM_API_KEY") == 0 ? "mock-key-1" : NULL;
}

/* Scores of [context | next] by the toy model, a token's previous one being what precedes it. */
static void check_scores(void)
{
    static const int32_t context[] = {AS_TOY_BOS, 97}, next[] = {98, 7, 200};
    const as_request rq = {.ask = AS_ASK_SCORE,
                           .ids = context,
                           .n_ids = 2,
                           .continuation_ids = next,
                           .n_continuation_ids = 3};
    const as_response *r = client_ask(&c, &rq);
    if (r->finish == AS_FINISH_ERROR)
        fail_msg("scores: %.*s", AS_ARG(r->message));
    assert_int_equal(r->n_logprobs, 3);
    for (int i = 0; i < 3; i++) {
        const double want = as_toy_logprob(i == 0 ? 97 : next[i - 1], next[i]);
        assert_true(fabs(r->logprobs[i].token.logprob - want) < 1e-9);
        assert_int_equal(r->logprobs[i].is_greedy, i == 0);
    }
}

static void group10_vllm(void **state)
{
    (void)state;
    static const row rows[] = {
        {"code", FAILS(NOT_FOUND), BOTH, 0, 0},
        {"unauthorized", FAILS(AUTH), BOTH, 0, 0},
        {"reasoning", ANSWER, "It is Paris.", "I think so.", BOTH, 0, 0},
        {"other", ANSWER, SAID, "", BOTH, 4, 0},
    };
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "10_vllm.json", chunks[k]);
        const char *const urls[] = {m.url, NULL};
        as_err err = {0};
        assert_int_equal(client_try_open(&c, &be_vllm, "mock", urls, NULL, NULL, &err), AS_RANGE);
        assert_non_null(strstr(err.text, "VLLM_API_KEY"));
        client_close(&c);
        for (size_t i = 0; i < N_OF(rows); i++)
            for (int whole = 0; whole < 2; whole++) {
                if (client_try_open(&c, &be_vllm, rows[i].model, urls, no_probe, right_key, &err) !=
                    AS_OK)
                    fail_msg("%s", err.text);
                as_request rq = client_chat();
                rq.whole = whole != 0;
                check_row(&rows[i], chunks[k], whole != 0, client_ask(&c, &rq));
                client_close(&c);
            }
        assert_int_equal(client_try_open(&c, &be_vllm, "mock", urls, NULL, right_key, &err), AS_OK);
        check_scores();
        client_close(&c);
        mock_stop(&m);
    }
}

static void group11_keeping_connections(void **state)
{
    (void)state;
    enum { N = 12, BIG_BYTES = 5 << 20 };
    char *text = malloc(BIG_BYTES);
    assert_non_null(text);
    memset(text, 'x', BIG_BYTES);
    const as_message big = {.role = AS_STR("user"), .text = {text, BIG_BYTES}};
    as_buf sent;
    as_buf_init(&sent, (size_t)64 << 20);
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "11_keep_alive.json", chunks[k]);
        client_open(&c, &be_openai, "m", m.url, no_probe);
        as_request rq = client_chat();
        for (int i = 0; i < N; i++) /* three replies to a connection */
            assert_int_equal(client_ask(&c, &rq)->finish, AS_FINISH_STOP);
        assert_true(mock_stat(&m, "connections") >= N / 3);
        for (int i = 0; i < 2; i++) { /* closed while idle */
            as_sleep_ns(400 * 1000000);
            assert_int_equal(client_ask(&c, &rq)->finish, AS_FINISH_STOP);
        }
        rq.messages = &big;
        const as_response *r = client_ask(&c, &rq);
        assert_int_equal(r->finish, AS_FINISH_STOP);
        client_close(&c);
        client_open(&c, &be_openai, "close", m.url, no_probe); /* after each reply */
        rq.messages = client_hello;
        for (int i = 0; i < N; i++)
            assert_int_equal(client_ask(&c, &rq)->finish, AS_FINISH_STOP);
        client_close(&c);
        mock_get(&m, "/_mock/requests", &sent);
        assert_null(strstr(sent.p, "Expect:"));
        assert_non_null(strstr(sent.p, "Content-Length: 5243"));
        mock_stop(&m);
    }
    as_buf_release(&sent);
    free(text);
}

/* N requests at once; returns how long they took. */
static int64_t ask_many(const mock_process *m, const char *limit, int n)
{
    const char *const options[] = {"probe=off", limit, NULL};
    as_err err = {0};
    client_open(&c, &be_openai, "m", m->url, options);
    assert_int_equal(c.be->driver->prepare(c.be, 0, n, &err), AS_OK);
    as_request *rq = calloc((size_t)n, sizeof *rq);
    assert_non_null(rq);
    const int64_t from = as_now_ns();
    for (int i = 0; i < n; i++) {
        rq[i] = client_chat();
        rq[i].job = (uint64_t)i;
        client_submit(&c, &rq[i]);
    }
    client_wait(&c, n);
    const int64_t took = as_now_ns() - from;
    for (int i = 0; i < n; i++)
        assert_int_equal(c.kept[i].r.finish, AS_FINISH_STOP);
    client_close(&c);
    free(rq);
    return took;
}

static void group12_limits(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "12_at_once.json", chunks[k]);
        (void)ask_many(&m, "concurrency=3", 12);
        assert_true(mock_stat(&m, "max_at_once") == 3);
        /* A tenth of a minute's allowance at once, then ten a second. */
        assert_true(ask_many(&m, "rpm=600", 65) > 450 * 1000000LL);
        mock_stop(&m);
    }
}

static void group13_llamacpp(void **state)
{
    (void)state;
    static const row rows[] = {
        {"length", AS_ERROR_NONE, AS_FINISH_LENGTH, SAID, "", BOTH, 0, 0},
        {"m", ANSWER, SAID, "", BOTH, 4, 0},
    };
    check_rows("13_llamacpp.json", &be_llamacpp, rows, N_OF(rows), no_probe);
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "13_llamacpp.json", chunks[k]);
        client_open(&c, &be_llamacpp, "", m.url, NULL);
        assert_int_equal(c.be->driver->info(c.be)->max_concurrency, 4);
        as_err err = {0};
        int32_t *ids = NULL;
        int n = 0;
        assert_int_equal(
            c.be->driver->tokenize(c.be, AS_STR("a\xC3\xA4"), true, &ids, &n, &c.arena, &err),
            AS_OK);
        assert_int_equal(n, 4);
        assert_true(ids[0] == AS_TOY_BOS && ids[1] == 'a' && ids[2] == 0xC3 && ids[3] == 0xA4);
        check_scores();
        be_metrics told;
        assert_int_equal(c.be->driver->metrics(c.be, &told, &err), AS_OK);
        client_close(&c);
        client_open(&c, &be_llamacpp, "", m.url, no_probe);
        const as_request rq = client_text("a word");
        assert_int_equal(client_ask(&c, &rq)->finish, AS_FINISH_STOP_TEXT);
        client_close(&c);
        mock_stop(&m);
    }
}

static void group14_the_same_twice(void **state)
{
    (void)state;
    static const char *const models[] = {"m", "drift"};
    for (size_t k = 0; k < 3; k++) {
        mock_process m;
        mock_start(&m, "14_same.json", chunks[k]);
        for (size_t i = 0; i < 2; i++) {
            client_open(&c, &be_openai, models[i], m.url, no_probe);
            as_request rq = client_chat();
            rq.no_cache = true;
            const as_str first = client_ask(&c, &rq)->text;
            const as_str second = client_ask(&c, &rq)->text; /* both in the client's arena */
            assert_int_equal(as_str_eq(first, second), i == 0);
            client_close(&c);
        }
        mock_stop(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group1_events),
        cmocka_unit_test(group2_usage),
        cmocka_unit_test(group3_reasoning),
        cmocka_unit_test(group4_refusals),
        cmocka_unit_test(group5_waits),
        cmocka_unit_test(group6_connections),
        cmocka_unit_test(group7_cancelling),
        cmocka_unit_test(group8_json_lines),
        cmocka_unit_test(group9_candidates),
        cmocka_unit_test(group10_vllm),
        cmocka_unit_test(group11_keeping_connections),
        cmocka_unit_test(group12_limits),
        cmocka_unit_test(group13_llamacpp),
        cmocka_unit_test(group14_the_same_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
