/* test_client_score.c — scoring through the drivers against scripted peers: vLLM's prompt_logprobs
 * (group 10), the classic arrays of "echo", llama.cpp's forced tokens with their ways out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "unit/client_support.h"
#include "unit/cm.h"

/* Peers that tokenize take one id per byte, and BOS (2) in front. */
static void reply_tokens(const peer_request *rq, peer_conn *conn, const char *key, const char *flag)
{
    as_json *j = NULL;
    assert_int_equal(as_json_parse(&j, as_str_of(rq->body), NULL), AS_OK);
    as_str text = {0};
    bool has_bos = false;
    assert_true(as_json_str(as_json_get(j, key), &text));
    (void)as_json_bool(as_json_get(j, flag), &has_bos);
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b, has_bos ? "{\"tokens\":[2" : "{\"tokens\":[");
    for (size_t i = 0; i < text.n; i++) {
        /* "ab" is one token, so that a boundary can lie inside. */
        const bool is_pair = text.p[i] == 'a' && i + 1 < text.n && text.p[i + 1] == 'b';
        (void)as_buf_printf(&b, "%s%d", has_bos || i != 0 ? "," : "",
                            is_pair ? 500 : (unsigned char)text.p[i]);
        i += is_pair;
    }
    (void)as_buf_add_z(&b, "]}");
    (void)peer_reply(conn, 200, "", b.p);
    as_buf_release(&b);
    as_json_free(j);
}

static int ids_of(const as_json *array, int *ids)
{
    int n = 0;
    int64_t v = 0;
    for (const as_json *i = as_json_first(array); i != NULL; i = as_json_next(i)) {
        assert_true(as_json_i64(i, &v));
        ids[n++] = (int)v;
    }
    return n;
}

/* ---- vLLM ---------------------------------------------------------------------------------------
 */

typedef struct vllm_script {
    bool is_keyless; /* answers 401 */
    bool is_short;   /* one entry is missing */
    char body[4096];
} vllm_script;

static void serve_vllm(void *user, const peer_request *rq, peer_conn *conn)
{
    vllm_script *s = user;
    if (s->is_keyless && strncmp(rq->path, "/v1", 3) == 0) {
        (void)peer_reply(conn, 401, "", "{\"error\":\"Unauthorized\"}");
        return;
    }
    if (strcmp(rq->path, "/v1/models") == 0) {
        (void)client_serve_models(rq, conn);
        return;
    }
    if (strcmp(rq->path, "/version") == 0 || strcmp(rq->path, "/health") == 0) {
        (void)peer_reply(conn, 200, "", "{\"version\":\"0.32.0\"}");
        return;
    }
    if (strcmp(rq->path, "/metrics") == 0) {
        (void)peer_reply(conn, 200, "",
                         "vllm:num_requests_running{model_name=\"m\"} 3\n"
                         "vllm:prompt_tokens_total{model_name=\"m\"} 70\n");
        return;
    }
    if (strcmp(rq->path, "/tokenize") == 0) {
        reply_tokens(rq, conn, "prompt", "add_special_tokens");
        return;
    }
    (void)snprintf(s->body, sizeof s->body, "%s", rq->body);
    as_json *j = NULL;
    assert_int_equal(as_json_parse(&j, as_str_of(rq->body), NULL), AS_OK);
    int ids[1024];
    const int n = ids_of(as_json_get(j, "prompt"), ids);
    as_json_free(j);
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b, "{\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"z\",\"logprobs\":"
                           "{\"token_logprobs\":[-1]},"
                           "\"prompt_logprobs\":[null");
    for (int i = 1; i < n - (s->is_short ? 1 : 0); i++) /* odd ids are the likeliest */
        (void)as_buf_printf(&b,
                            ",{\"%d\":{\"logprob\":-%d.5,\"rank\":%d,\"decoded_token\":\"t\"},"
                            "\"9999\":{\"logprob\":"
                            "-0.25,\"rank\":1,\"decoded_token\":\"best\"}}",
                            ids[i], ids[i], ids[i] % 2 == 1 ? 1 : 35);
    (void)as_buf_printf(&b,
                        "],\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":%d,"
                        "\"completion_tokens\":1}}",
                        n);
    (void)peer_reply(conn, 200, "", b.p);
    as_buf_release(&b);
}

static void group10_vllm_prompt_logprobs(void **state)
{
    (void)state;
    static vllm_script s;
    static client c;
    client_start(&c, serve_vllm, &s, &be_vllm, "", NULL);
    assert_int_equal(c.be->driver->caps(c.be) &
                         (BE_CAN_SCORE | BE_CAN_TOKENIZE | BE_CAN_METRICS | BE_CAN_LOGPROBS),
                     BE_CAN_SCORE | BE_CAN_TOKENIZE | BE_CAN_METRICS | BE_CAN_LOGPROBS);
    assert_int_equal(c.be->driver->info(c.be)->n_ctx, 4096);
    /* By ids: null first, keys are texts, the actual token by its id, its rank tells. */
    const int32_t context[] = {2, 10, 11}, next[] = {13, 20};
    as_request rq = {.ask = AS_ASK_SCORE,
                     .ids = context,
                     .n_ids = 3,
                     .continuation_ids = next,
                     .n_continuation_ids = 2,
                     .no_cache = true};
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->finish, AS_FINISH_STOP);
    assert_int_equal(r->n_logprobs, 2);
    assert_true(r->logprobs[0].token.logprob == -13.5 && r->logprobs[0].is_greedy);
    assert_true(r->logprobs[1].token.logprob == -20.5 && !r->logprobs[1].is_greedy);
    assert_int_equal(r->logprobs[1].top[0].id, 9999);
    assert_non_null(strstr(s.body, "\"prompt\":[2,10,11,13,20]"));
    assert_non_null(strstr(s.body, "\"cache_salt\":\"assay-"));
    assert_null(strstr(s.body, "stream"));
    /* By text: the server's tokens; a token across the boundary is scored with the continuation. */
    rq = (as_request){.ask = AS_ASK_SCORE, .prompt = AS_STR("xa"), .continuation = AS_STR("by")};
    r = client_ask(&c, &rq);
    assert_int_equal(r->n_logprobs, 2);
    assert_int_equal(r->logprobs[0].token.id, 500);
    assert_int_equal(r->logprobs[1].token.id, 'y');
    assert_non_null(strstr(s.body, "\"prompt\":[2,120,500,121]"));
    s.is_short = true;
    r = client_ask(&c, &rq);
    assert_int_equal(r->error, AS_ERROR_PROTOCOL);
    be_metrics m;
    assert_int_equal(c.be->driver->metrics(c.be, &m, NULL), AS_OK);
    assert_true(m.running == 3 && m.prompt_tokens == 70 && isnan(m.kv_used));
    client_close(&c);
}

static void group10_vllm_without_key(void **state)
{
    (void)state;
    static vllm_script s = {.is_keyless = true};
    peer *p = peer_start(serve_vllm, &s);
    const char *const urls[] = {peer_url(p), NULL};
    static client c;
    as_err err = {0};
    assert_int_equal(client_try_open(&c, &be_vllm, "m", urls, NULL, NULL, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "VLLM_API_KEY"));
    client_close(&c);
    peer_stop(p);
}

/* ---- echo ---------------------------------------------------------------------------------------
 */

static void serve_echo(void *user, const peer_request *rq, peer_conn *conn)
{
    const char *completion = user;
    if (client_serve_models(rq, conn))
        return;
    const bool is_chat = strstr(rq->path, "chat") != NULL;
    if (is_chat)
        (void)peer_reply(conn, 200, "",
                         "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\"},\"finish_"
                         "reason\":\"stop\"}]}");
    else if (strstr(rq->body, "Paris") != NULL && strstr(rq->body, "capital") != NULL)
        (void)peer_reply(conn, 200, "",
                         "{\"choices\":[{\"index\":0,\"text\":\"x\",\"logprobs\":{\"tokens\":["
                         "\"a\",\"b\",\"c\",\"d\",\"e\"],"
                         "\"token_logprobs\":[null,-1,-2,-3,-4]},\"finish_reason\":\"length\"}]}");
    else
        (void)peer_reply(conn, 200, "", completion);
}

#define ECHO(tokens, values)                                                                       \
    "{\"choices\":[{\"index\":0,\"text\":\"?\",\"logprobs\":{\"tokens\":[" tokens                  \
    "],\"token_logprobs\":[" values "],\"top_logprobs\":[null,{\"q\":-0.5},{\" B\":-1.5},{\" "     \
    "D\":-0.75},{\"z\":-9}]},\"finish_reason\":\"length\"}],"                                      \
    "\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":1}}"

static void scoring_by_echo(void **state)
{
    (void)state;
    static const struct {
        const char *why, *reply, *continuation;
        as_error_kind error;
        int n;
        double first;
        bool is_greedy;
    } rows[] = {
        {"two tokens", ECHO("\"<bos>\",\"A\",\" B\",\" C\",\"z\"", "null,-3,-1.5,-2,-9"), " B C",
         AS_ERROR_NONE, 2, -1.5, true},
        {"one token, not the likeliest",
         ECHO("\"<bos>\",\"A\",\" B\",\" C\",\"z\"", "null,-3,-1.5,-2,-9"), " C", AS_ERROR_NONE, 1,
         -2, false},
        {"a token across the boundary",
         ECHO("\"<bos>\",\"A\",\" B\",\" C\",\"z\"", "null,-3,-1.5,-2,-9"), "B C", AS_ERROR_NONE, 2,
         -1.5, true},
        {"other tokens", ECHO("\"<bos>\",\"A\",\" B\",\" D\",\"z\"", "null,-3,-1.5,-2,-9"), " B C",
         AS_ERROR_PROTOCOL, 0, 0, false},
        {"no number", ECHO("\"<bos>\",\"A\",\" B\",\" C\",\"z\"", "null,-3,null,-2,-9"), " B C",
         AS_ERROR_PROTOCOL, 0, 0, false},
        {"only the token that was made",
         "{\"choices\":[{\"index\":0,\"text\":\"z\",\"logprobs\":{\"tokens\":[\"z\"],"
         "\"token_logprobs\":[-9]},\"finish_reason\":\"length\"}]}",
         " B C", AS_ERROR_PROTOCOL, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char reply[2048];
        (void)snprintf(reply, sizeof reply, "%s", rows[i].reply);
        static client c;
        client_start(&c, serve_echo, reply, &be_openai, "m", NULL);
        assert_true((c.be->driver->caps(c.be) & BE_CAN_SCORE) != 0);
        const as_request rq = {.ask = AS_ASK_SCORE,
                               .prompt = AS_STR("A"),
                               .continuation = as_str_of(rows[i].continuation)};
        const as_response *r = client_ask(&c, &rq);
        if (r->error != rows[i].error ||
            (r->error == AS_ERROR_NONE &&
             (r->n_logprobs != rows[i].n || r->logprobs[0].token.logprob != rows[i].first ||
              r->logprobs[0].is_greedy != rows[i].is_greedy)))
            fail_msg("%s: %s, %d tokens: %.*s", rows[i].why, as_error_kind_name(r->error),
                     r->n_logprobs, AS_ARG(r->message));
        client_close(&c);
    }
}

/* Fields are accepted and dropped: the numbers are those of the one token made, or none. */
static void serve_ignoring(void *user, const peer_request *rq, peer_conn *conn)
{
    (void)user;
    if (client_serve_models(rq, conn))
        return;
    (void)peer_reply(
        conn, 200, "",
        strstr(rq->path, "chat") != NULL
            ? "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"x\"},\"logprobs\":null}]}"
            : "{\"choices\":[{\"index\":0,\"text\":\"x\",\"logprobs\":{\"tokens\":[\"x\"],"
              "\"token_logprobs\":[-1]}}]}");
}

static void echo_that_is_ignored_is_no_scoring(void **state)
{
    (void)state;
    static client c;
    client_start(&c, serve_ignoring, NULL, &be_openai, "m", NULL);
    assert_int_equal(c.be->driver->caps(c.be) & (BE_CAN_LOGPROBS | BE_CAN_SCORE), 0);
    assert_true((c.be->driver->caps(c.be) & BE_CAN_TEXT) != 0);
    const as_request rq = {.ask = AS_ASK_SCORE, .prompt = AS_STR("A"), .continuation = AS_STR("B")};
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_UNSUPPORTED);
    client_close(&c);
}

/* ---- llama.cpp ----------------------------------------------------------------------------------
 */

enum { END_ID = 1, BYTE_ID = 7 };

/* Forces as the real one does: an end or byte token in a grammar is a 500, a bias does for the end. */
static void serve_llamacpp(void *user, const peer_request *rq, peer_conn *conn)
{
    int *n_lies = user;
    if (strcmp(rq->path, "/tokenize") == 0) {
        reply_tokens(rq, conn, "content", "add_special");
        return;
    }
    if (strcmp(rq->path, "/completion") != 0) {
        (void)peer_reply(conn, 200, "", "{\"total_slots\":1,\"prompt\":\"x\"}");
        return;
    }
    as_json *j = NULL;
    assert_int_equal(as_json_parse(&j, as_str_of(rq->body), NULL), AS_OK);
    int ids[64], n = 0;
    as_str grammar = {0};
    int64_t bias = -1;
    (void)as_json_i64(as_json_first(as_json_first(as_json_get(j, "logit_bias"))), &bias);
    bool is_dry = false;
    if (as_json_str(as_json_get(j, "grammar"), &grammar))
        for (size_t i = 0; i + 1 < grammar.n; i++)
            if (grammar.p[i] == '<' && grammar.p[i + 1] == '[') {
                ids[n] = atoi(grammar.p + i + 2);
                is_dry |= ids[n] == END_ID || ids[n] == BYTE_ID;
                n++;
            }
    as_json_free(j);
    if (is_dry) {
        (void)peer_reply(conn, 500, "Connection: close\r\n",
                         "{\"error\":{\"code\":500,\"message\":\"Unexpected empty grammar stack "
                         "after\",\"type\":\"server_error\"}}");
        peer_close(conn);
        return;
    }
    if (bias == END_ID)
        ids[n++] = END_ID;
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b, "{\"tokens\":[");
    for (int i = 0; i < n && bias < 0; i++)
        (void)as_buf_printf(&b, "%s%d", i != 0 ? "," : "", ids[i] + (*n_lies > 0 ? 1 : 0));
    (void)as_buf_add_z(&b, "],\"completion_probabilities\":[");
    for (int i = 0; i < n; i++)
        (void)as_buf_printf(&b,
                            "%s{\"id\":%d,\"token\":\"t\",\"bytes\":[240,159],\"logprob\":-%d.25,"
                            "\"top_logprobs\":[{\"id\":%d,"
                            "\"token\":\"u\",\"logprob\":-0.5}]}",
                            i != 0 ? "," : "", ids[i], ids[i], ids[i] % 2 == 0 ? ids[i] : 12345);
    (void)as_buf_add_z(&b, "],\"tokens_evaluated\":3}");
    if (*n_lies > 0)
        --*n_lies;
    (void)peer_reply(conn, 200, "", b.p);
    as_buf_release(&b);
}

static void llamacpp_forces_tokens_and_knows_its_limits(void **state)
{
    (void)state;
    int n_lies = 0;
    static client c;
    client_start(&c, serve_llamacpp, &n_lies, &be_llamacpp, "", NULL);
    assert_true((c.be->driver->caps(c.be) & BE_CAN_SCORE) != 0);
    const int32_t context[] = {2, 10};
    static const struct {
        const char *why;
        int32_t next[8];
        int n;
        as_error_kind error;
    } rows[] = {
        {"one", {12}, 1, AS_ERROR_NONE},
        {"several, in one call", {12, 13, 14, 15, 16}, 5, AS_ERROR_NONE},
        {"an end token alone", {END_ID}, 1, AS_ERROR_NONE},
        {"an end token last", {12, 13, 14, END_ID}, 4, AS_ERROR_NONE},
        {"an end token in the middle", {12, END_ID, 14, 15, 16}, 5, AS_ERROR_NONE},
        {"a byte token", {12, 13, BYTE_ID, 14}, 4, AS_ERROR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const as_request rq = {.ask = AS_ASK_SCORE,
                               .ids = context,
                               .n_ids = 2,
                               .continuation_ids = rows[i].next,
                               .n_continuation_ids = rows[i].n};
        const as_response *r = client_ask(&c, &rq);
        if (r->error != rows[i].error)
            fail_msg("%s: %s: %.*s", rows[i].why, as_error_kind_name(r->error), AS_ARG(r->message));
        for (int k = 0; r->error == AS_ERROR_NONE && k < rows[i].n; k++) {
            assert_int_equal(r->n_logprobs, rows[i].n);
            assert_int_equal(r->logprobs[k].token.id, rows[i].next[k]);
            assert_true(r->logprobs[k].token.logprob == -(double)rows[i].next[k] - 0.25);
            assert_int_equal(r->logprobs[k].is_greedy, rows[i].next[k] % 2 == 0);
            assert_int_equal(r->logprobs[k].token.text.n, 2); /* bytes, a part of a character */
        }
    }
    /* Other tokens than the forced ones are never taken for them. */
    n_lies = 1000;
    const as_request rq = {.ask = AS_ASK_SCORE,
                           .ids = context,
                           .n_ids = 2,
                           .continuation_ids = rows[1].next,
                           .n_continuation_ids = 5};
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_UNSUPPORTED);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group10_vllm_prompt_logprobs),
        cmocka_unit_test(group10_vllm_without_key),
        cmocka_unit_test(scoring_by_echo),
        cmocka_unit_test(echo_that_is_ignored_is_no_scoring),
        cmocka_unit_test(llamacpp_forces_tokens_and_knows_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
