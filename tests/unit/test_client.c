/* test_client.c — the common driver against a scripted peer. Group N: the group of that number in
 * the list of test_conformance.c. */
#define _GNU_SOURCE
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "backend/http/endpoints.h"
#include "base/time.h"
#include "unit/client_support.h"
#include "unit/cm.h"

static const char ok_reply[] =
    "{\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
    "\"ok\"},"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}";
static const char ok_stream[] =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"},\"finish_reason\":null}]}\n\n"
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
    "[DONE]\n\n";

static void sleep_ms(int ms)
{
    as_sleep_ns((int64_t)ms * 1000000);
}

/* ---- what streams say ---------------------------------------------------------------------------
 */

#define D(delta)                                                                                   \
    "data: {\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":null}]}\n\n"
#define F(reason)                                                                                  \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}]}\n\n"
#define USAGE   "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}\n\n"
#define DONE    "data: [DONE]\n\n"
#define C(text) D("\"content\":\"" text "\"")

static const struct {
    const char *why, *bytes, *text, *reasoning;
    as_finish finish;
    as_error_kind error;
    int64_t completion_tokens;
} streams[] = {
    {"plain", C("a") C("b") F("stop") DONE, "ab", "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"group1 comments, no blank line at the end", ": ping\n\n" C("a") F("stop") "data: [DONE]", "a",
     "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"group2 usage behind the finish chunk", C("a") F("stop") USAGE DONE, "a", "", AS_FINISH_STOP,
     AS_ERROR_NONE, 5},
    {"group2 usage before the finish chunk", C("a") USAGE F("length") DONE, "a", "",
     AS_FINISH_LENGTH, AS_ERROR_NONE, 5},
    {"group2 two finish chunks", C("a") F("stop") F("stop") USAGE DONE, "a", "", AS_FINISH_STOP,
     AS_ERROR_NONE, 5},
    {"group2 null and numbers as events", "data: null\n\n" C("a") "data: 5\n\n" F("stop") DONE, "a",
     "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"content null, role alone", D("\"role\":\"assistant\",\"content\":null") C("a") F("stop") DONE,
     "a", "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"no [DONE]", C("a") F("stop"), "a", "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"[DONE] without a finish", C("a") DONE, "a", "", AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1},
    {"neither", C("a"), "a", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1},
    {"nothing at all", "", "", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1},
    {"group3 reasoning_content", D("\"reasoning_content\":\"t\"") C("a") F("stop") DONE, "a", "t",
     AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"group3 reasoning", D("\"reasoning\":\"t\"") C("a") F("stop") DONE, "a", "t", AS_FINISH_STOP,
     AS_ERROR_NONE, -1},
    {"group3 reasoning_text", D("\"reasoning_text\":\"t\"") C("a") F("stop") DONE, "a", "t",
     AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"group3 thinking", D("\"thinking\":\"t\",\"content\":\"\"") C("a") F("stop") DONE, "a", "t",
     AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"group3 marks over chunks",
     C("<|chan") C("nel>thou") C("ght\\nI th") C("ink.<chan") C("nel|>4") F("stop") DONE, "4",
     "I think.", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"group3 unclosed, length", C("<think>a") C("b") F("length") DONE, "", "ab", AS_FINISH_LENGTH,
     AS_ERROR_NONE, -1},
    {"group4 an error in the stream",
     C("a") "data: {\"error\":{\"code\":429,\"message\":\"slow\"}}\n\n" DONE, "a", "",
     AS_FINISH_ERROR, AS_ERROR_RATE, -1},
    {"group4 an error event", "event: error\ndata: {\"message\":\"gone\"}\n\n", "", "",
     AS_FINISH_ERROR, AS_ERROR_SERVER, -1},
    {"not JSON", C("a") "data: {\"x\n\n" DONE, "a", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1},
    {"a filter", F("content_filter") DONE, "", "", AS_FINISH_BLOCKED, AS_ERROR_NONE, -1},
    {"an unknown end", C("a") F("repetition") DONE, "a", "", AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1},
    {"a stop text that is named",
     C("a") "data: "
            "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":"
            "\"x\"}]}\n\n" DONE,
     "a", "", AS_FINISH_STOP_TEXT, AS_ERROR_NONE, -1},
    {"another choice is not this answer",
     C("a") "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"z\"}}]}\n\n" F("stop") DONE,
     "a", "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
    {"characters of four bytes", C("\xF0\x9F\xA6\x99") C("\\ud83e\\udd99") F("stop") DONE,
     "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99", "", AS_FINISH_STOP, AS_ERROR_NONE, -1},
};

typedef struct stream_script {
    const char *bytes;
    size_t piece;
} stream_script;

static void serve_stream(void *user, const peer_request *rq, peer_conn *conn)
{
    const stream_script *s = user;
    if (!client_serve_models(rq, conn))
        peer_stream(conn, "text/event-stream", s->bytes, s->piece);
}

static void check_stream(size_t i, size_t piece, const as_response *r)
{
    if (!as_str_eq_z(r->text, streams[i].text) ||
        !as_str_eq_z(r->reasoning, streams[i].reasoning) || r->finish != streams[i].finish ||
        r->error != streams[i].error || r->completion_tokens != streams[i].completion_tokens)
        fail_msg(
            "%s, pieces of %zu: text \"%.*s\", reasoning \"%.*s\", %s, %s, %lld tokens, \"%.*s\"",
            streams[i].why, piece, AS_ARG(r->text), AS_ARG(r->reasoning), as_finish_name(r->finish),
            as_error_kind_name(r->error), (long long)r->completion_tokens, AS_ARG(r->message));
    const bool has_text = r->text.n + r->reasoning.n != 0;
    assert_int_equal(r->first_token_ns >= 0, has_text);
    if (has_text && r->finish != AS_FINISH_ERROR) {
        assert_true(r->first_byte_ns <= r->first_token_ns &&
                    r->first_token_ns <= r->last_token_ns && r->last_token_ns <= r->total_ns);
        assert_int_equal(r->first_answer_ns >= 0, r->text.n != 0);
    }
}

static void group2_group3_group4_streams(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 0};
    for (size_t k = 0; k < 3; k++) {
        stream_script s = {"", pieces[k]};
        static client c;
        client_start(&c, serve_stream, &s, &be_openai, "m", client_no_probe);
        const as_request rq = client_chat();
        for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
            s.bytes = streams[i].bytes; /* read by the peer after the request came */
            check_stream(i, pieces[k], client_ask(&c, &rq));
        }
        client_close(&c);
    }
}

typedef struct told {
    as_buf text, reasoning;
    int n;
} told;

static void tell(void *user, const as_delta *delta)
{
    told *t = user;
    t->n++;
    (void)as_buf_add(&t->text, delta->text);
    (void)as_buf_add(&t->reasoning, delta->reasoning);
}

static void pieces_are_told_as_they_come(void **state)
{
    (void)state;
    stream_script s = {C("<think>a") C("b</think>") C(" x") C("y") F("stop") DONE, 0};
    static client c;
    client_start(&c, serve_stream, &s, &be_openai, "m", client_no_probe);
    told t = {0};
    as_buf_init(&t.text, 0);
    as_buf_init(&t.reasoning, 0);
    as_request rq = client_chat();
    rq.on_delta = tell;
    rq.delta_user = &t;
    const as_response *r = client_ask(&c, &rq);
    assert_string_equal(t.text.p, "xy");
    assert_string_equal(t.reasoning.p, "ab");
    assert_true(t.n >= 4);
    assert_int_equal(r->n_gaps, 3);
    as_buf_release(&t.text);
    as_buf_release(&t.reasoning);
    client_close(&c);
}

/* ---- requests -----------------------------------------------------------------------------------
 */

typedef struct recorder {
    char body[4096], head[4096], path[64];
    const char *reply;
    int status;
} recorder;

static void record(void *user, const peer_request *rq, peer_conn *conn)
{
    recorder *r = user;
    if (client_serve_models(rq, conn))
        return;
    (void)snprintf(r->body, sizeof r->body, "%s", rq->body);
    (void)snprintf(r->head, sizeof r->head, "%s", rq->head);
    (void)snprintf(r->path, sizeof r->path, "%s", rq->path);
    (void)peer_reply(conn, r->status != 0 ? r->status : 200, "",
                     r->reply != NULL ? r->reply : ok_reply);
}

static const as_media sound = {
    .is_audio = true, .mime = AS_STR_INIT("audio/x-wav"), .bytes = AS_STR_INIT("RIFFx")};
static const as_message heard[] = {
    {.role = AS_STR_INIT("user"), .text = AS_STR_INIT("What?"), .media = &sound, .n_media = 1}};
static const as_message begun[] = {
    {.role = AS_STR_INIT("user"), .text = AS_STR_INIT("Say")},
    {.role = AS_STR_INIT("assistant"), .text = AS_STR_INIT("The answer is")}};

static const struct {
    const char *why, *profile;
    as_request rq;
    const char *want[4]; /* in the body; "!x": not in it */
    unsigned dropped;
} requests[] = {
    {"the generic one",
     "generic",
     {.messages = client_hello, .n_messages = 1, .seed = 1ull << 40 | 5},
     {"\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]", "\"max_tokens\":16", "\"seed\":5",
      "\"enable_thinking\":false"},
     0},
    {"a stream asks for its usage",
     "generic",
     {.messages = client_hello, .n_messages = 1},
     {"\"stream\":true", "\"stream_options\":{\"include_usage\":true}"},
     0},
    {"a whole reply must not",
     "generic",
     {.messages = client_hello, .n_messages = 1, .whole = true},
     {"\"stream\":false", "!stream_options"},
     0},
    {"openai",
     "openai",
     {.messages = client_hello, .n_messages = 1, .think = AS_THINK_ON},
     {"\"max_completion_tokens\":16", "!\"max_tokens\"", "!thinking"},
     AS_DROPPED_THINK},
    {"minimal drops what it may not send",
     "minimal",
     {.messages = client_hello,
      .n_messages = 1,
      .sampling = {0, 0.9, 0.1, 40},
      .no_cache = true,
      .ignore_eos = true,
      .lora = AS_STR_INIT("x"),
      .reasoning_tokens = 5,
      .think = AS_THINK_OFF},
     {"!seed", "!top_k", "!min_p", "\"top_p\":0.9"},
     AS_DROPPED_SEED | AS_DROPPED_TOP_K | AS_DROPPED_MIN_P | AS_DROPPED_NO_CACHE |
         AS_DROPPED_IGNORE_EOS | AS_DROPPED_LORA | AS_DROPPED_THINK_BUDGET | AS_DROPPED_THINK},
    {"more stop texts than taken",
     "minimal",
     {.messages = client_hello,
      .n_messages = 1,
      .n_stop = 5,
      .stop = {AS_STR_INIT("1"), AS_STR_INIT("2"), AS_STR_INIT("3"), AS_STR_INIT("4"),
               AS_STR_INIT("5")}},
     {"\"stop\":[\"1\",\"2\",\"3\",\"4\"]"},
     AS_DROPPED_STOP | AS_DROPPED_SEED},
    {"vllm",
     "vllm",
     {.messages = begun,
      .n_messages = 2,
      .think = AS_THINK_ON,
      .reasoning_tokens = 100,
      .no_cache = true},
     {"\"continue_final_message\":true", "\"thinking_token_budget\":100",
      "\"enable_thinking\":true", "\"cache_salt\":\"assay-"},
     0},
    {"llama.cpp's profile",
     "llamacpp",
     {.messages = client_hello, .n_messages = 1, .no_cache = true},
     {"\"cache_prompt\":false"},
     0},
    {"ollama",
     "ollama",
     {.messages = client_hello, .n_messages = 1},
     {"\"reasoning_effort\":\"none\""},
     0},
    {"log-probabilities",
     "generic",
     {.messages = client_hello, .n_messages = 1, .top_logprobs = 30},
     {"\"logprobs\":true,\"top_logprobs\":20"},
     AS_DROPPED_LOGPROBS},
    {"an image",
     "generic",
     {.messages = client_seen, .n_messages = 1},
     {"[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,iVBORw==\"}},"
      "{\"type\":\"text\",\"text\":\"What?\"}]"},
     0},
    {"a sound",
     "generic",
     {.messages = heard, .n_messages = 1},
     {"{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"UklGRng=\",\"format\":\"wav\"}}"},
     0},
    {"keys and ends",
     "generic",
     {.messages = client_hello, .n_messages = 1, .sampling = {0.7, 1, (double)NAN, 0}},
     {"\"temperature\":0.7", "\"top_p\":1", "!min_p"},
     0},
};

static void check_body(const char *why, const char *const want[4], const char *body)
{
    for (int k = 0; k < 4 && want[k] != NULL; k++) {
        const bool is_absent = want[k][0] == '!';
        if ((strstr(body, want[k] + is_absent) == NULL) != is_absent)
            fail_msg("%s: %s%s in %s", why, is_absent ? "" : "no ", want[k] + is_absent, body);
    }
}

static void requests_by_profile(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        static recorder rec;
        char profile[64];
        (void)snprintf(profile, sizeof profile, "profile=%s", requests[i].profile);
        const char *const options[] = {"probe=off", profile, NULL};
        static client c;
        client_start(&c, record, &rec, &be_openai, "m", options);
        as_request rq = requests[i].rq;
        rq.is_chat = true;
        rq.max_tokens = 16;
        const as_response *r = client_ask(&c, &rq);
        check_body(requests[i].why, requests[i].want, rec.body);
        if (r->finish != AS_FINISH_STOP || r->dropped != requests[i].dropped)
            fail_msg("%s: %s, dropped %x, want %x: %.*s", requests[i].why,
                     as_finish_name(r->finish), r->dropped, requests[i].dropped,
                     AS_ARG(r->message));
        client_close(&c);
    }
}

static const char *keys(const char *name)
{
    return strcmp(name, "OPENAI_API_KEY") == 0 ? "sk-secret-1"
           : strcmp(name, "MINE") == 0         ? "mine-2"
                                               : NULL;
}

static void keys_come_from_the_environment_alone(void **state)
{
    (void)state;
    static recorder rec;
    peer *p = peer_start(record, &rec);
    const char *const urls[] = {peer_url(p), NULL};
    const char *const by_name[] = {"probe=off", "key_env=MINE", NULL};
    const char *const unset[] = {"probe=off", "key_env=NOT_SET", NULL};
    const char *const header[] = {"probe=off", "header=X-Org: a:b", NULL};
    const char *const leak[] = {"probe=off", "header=Authorization: Bearer x", NULL};
    const as_request rq = client_chat();
    static client c;
    as_err err = {0};
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, client_no_probe, keys, &err),
                     AS_OK);
    (void)client_ask(&c, &rq);
    assert_non_null(strstr(rec.head, "Authorization: Bearer sk-secret-1\r\n"));
    assert_null(strstr(c.be->driver->info(c.be)->json.p, "sk-secret"));
    assert_non_null(strstr(c.be->driver->info(c.be)->json.p, "\"key\":\"***\""));
    client_close(&c);
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, by_name, keys, &err), AS_OK);
    (void)client_ask(&c, &rq);
    assert_non_null(strstr(rec.head, "Authorization: Bearer mine-2\r\n"));
    client_close(&c);
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, unset, keys, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "NOT_SET"));
    client_close(&c);
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, header, NULL, &err), AS_OK);
    (void)client_ask(&c, &rq);
    assert_non_null(strstr(rec.head, "X-Org: a:b\r\n"));
    assert_null(strstr(rec.head, "Authorization"));
    assert_null(strstr(rec.head, "Expect"));
    assert_non_null(strstr(rec.head, "Accept-Encoding: identity\r\n"));
    client_close(&c);
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, leak, NULL, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "key_env"));
    assert_null(strstr(err.text, "Bearer"));
    client_close(&c);
    peer_stop(p);
}

/* ---- refusals -----------------------------------------------------------------------------------
 */

static void group4_refusals_by_status(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        as_error_kind kind;
    } rows[] = {
        {400, "{\"error\":{\"message\":\"bad\"}}", AS_ERROR_REQUEST},
        {401, "{\"error\":\"Unauthorized\"}", AS_ERROR_AUTH},
        {404, "{\"detail\":\"Not Found\"}", AS_ERROR_NOT_FOUND},
        {429, "{\"error\":\"slow down\"}", AS_ERROR_RATE},
        {500, "<html>", AS_ERROR_SERVER},
        {501, "{\"error\":\"no\"}", AS_ERROR_UNSUPPORTED},
        {200, "{\"error\":{\"message\":\"broken\"}}", AS_ERROR_SERVER},
        {200, "{\"choices\":[", AS_ERROR_PROTOCOL},
        {200, "[]", AS_ERROR_PROTOCOL},
    };
    static recorder rec;
    static client c;
    client_start(&c, record, &rec, &be_openai, "m", client_no_probe);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int whole = 0; whole < 2; whole++) {
            as_request rq = client_chat();
            rq.whole = whole != 0;
            rec.status = rows[i].status;
            rec.reply = rows[i].body;
            const as_response *r = client_ask(&c, &rq);
            if (r->finish != AS_FINISH_ERROR || r->error != rows[i].kind ||
                r->http_status != rows[i].status || r->message.n == 0)
                fail_msg("row %zu, whole %d: %s, status %d, \"%.*s\"", i, whole,
                         as_error_kind_name(r->error), r->http_status, AS_ARG(r->message));
        }
    client_close(&c);
}

static void serve_429_first(void *user, const peer_request *rq, peer_conn *conn)
{
    (void)user;
    if (client_serve_models(rq, conn))
        return;
    if (rq->nth_post == 0)
        (void)peer_reply(conn, 429, "Retry-After: 0.3\r\n", "{\"error\":\"slow down\"}");
    else
        (void)peer_reply(conn, 200, "", ok_reply);
}

static void group5_nothing_is_sent_while_the_server_asks_to_wait(void **state)
{
    (void)state;
    static client c;
    client_start(&c, serve_429_first, NULL, &be_openai, "m", client_no_probe);
    const int64_t from = as_now_ns();
    as_request rq = client_chat();
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->error, AS_ERROR_RATE);
    assert_int_equal(r->retry_after_ms, 300);
    as_request second = client_chat();
    second.job = 1;
    r = client_ask(&c, &second);
    assert_int_equal(r->finish, AS_FINISH_STOP);
    assert_in_range(as_now_ns() - from, 300 * 1000000, 3000 * 1000000LL);
    assert_true(r->queue_ns > r->total_ns / 2); /* most of it was waiting */
    client_close(&c);
}

/* ---- connections --------------------------------------------------------------------------------
 */

typedef enum fault {
    FAULT_RESET_AT_ONCE,
    FAULT_RESET_AFTER_HEAD,
    FAULT_RESET_IN_STREAM,
    FAULT_STALL_BEFORE_TOKEN,
    FAULT_STALL_IN_STREAM,
    FAULT_PINGS_ONLY,
    FAULT_DRIP,
    FAULT_SHORT_BODY,
} fault;

static const char stream_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

static void serve_fault(void *user, const peer_request *rq, peer_conn *conn)
{
    const fault f = *(const fault *)user;
    if (client_serve_models(rq, conn))
        return;
    if (f == FAULT_RESET_AT_ONCE) {
        peer_reset(conn);
        return;
    }
    if (f == FAULT_SHORT_BODY) {
        static const char part[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"choices\"";
        (void)peer_send(conn, part, sizeof part - 1, 0);
        peer_close(conn);
        return;
    }
    (void)peer_send(conn, stream_head, sizeof stream_head - 1, 0);
    switch (f) {
    case FAULT_RESET_IN_STREAM:
        (void)peer_send(conn, C("a"), strlen(C("a")), 0);
        sleep_ms(30);
        break;
    case FAULT_RESET_AFTER_HEAD:
        sleep_ms(30);
        break;
    case FAULT_STALL_IN_STREAM:
        (void)peer_send(conn, C("a"), strlen(C("a")), 0);
        (void)peer_sees_close(conn, 3000);
        break;
    case FAULT_PINGS_ONLY:
        for (int i = 0; i < 60 && peer_send(conn, ": ping\n\n", 8, 0); i++)
            if (peer_sees_close(conn, 50))
                break;
        break;
    case FAULT_DRIP:
        for (size_t i = 0; i < strlen(ok_stream) && peer_send(conn, ok_stream + i, 1, 0); i++)
            sleep_ms(1);
        peer_close(conn);
        return;
    default:
        (void)peer_sees_close(conn, 3000);
        break;
    }
    peer_reset(conn);
}

static void group6_faults_of_connections(void **state)
{
    (void)state;
    static const struct {
        fault f;
        as_error_kind kind;
        int at_least_ms, at_most_ms;
    } rows[] = {
        {FAULT_RESET_AT_ONCE, AS_ERROR_TRANSPORT, 0, 1000},
        {FAULT_RESET_AFTER_HEAD, AS_ERROR_TRANSPORT, 0, 1000},
        {FAULT_RESET_IN_STREAM, AS_ERROR_TRANSPORT, 0, 1000},
        {FAULT_STALL_BEFORE_TOKEN, AS_ERROR_TIMEOUT, 400, 1500},
        {FAULT_STALL_IN_STREAM, AS_ERROR_TIMEOUT, 200, 1000},
        {FAULT_PINGS_ONLY, AS_ERROR_TIMEOUT, 400, 1500}, /* pings do not count as tokens */
        {FAULT_DRIP, AS_ERROR_NONE, 0, 5000},
        {FAULT_SHORT_BODY, AS_ERROR_TRANSPORT, 0, 1000},
    };
    static const char *const options[] = {"probe=off", "first_timeout=0.4", "idle_timeout=0.2",
                                          NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fault f = rows[i].f;
        static client c;
        client_start(&c, serve_fault, &f, &be_openai, "m", options);
        const as_request rq = client_chat();
        const as_response *r = client_ask(&c, &rq);
        const int64_t ms = r->total_ns / 1000000;
        if (r->error != rows[i].kind || ms < rows[i].at_least_ms || ms > rows[i].at_most_ms)
            fail_msg("fault %d: %s after %lld ms: %.*s", (int)f, as_error_kind_name(r->error),
                     (long long)ms, AS_ARG(r->message));
        client_close(&c);
    }
}

static void group6_total_time(void **state)
{
    (void)state;
    fault f = FAULT_PINGS_ONLY;
    static const char *const options[] = {"probe=off", "timeout=0.3", NULL};
    static client c;
    client_start(&c, serve_fault, &f, &be_openai, "m", options);
    const as_request rq = client_chat();
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->error, AS_ERROR_TIMEOUT);
    assert_in_range(r->total_ns, 300 * 1000000, 1500 * 1000000LL);
    client_close(&c);
}

static void group6_refused_connection(void **state)
{
    (void)state;
    static recorder rec;
    peer *p = peer_start(record, &rec);
    static const char *const options[] = {"probe=off", "patience=0.2", NULL};
    static client c;
    client_open(&c, &be_openai, "m", peer_url(p), options);
    peer_stop(p);
    as_request rq[12];
    for (int i = 0; i < 12; i++) {
        rq[i] = client_chat();
        rq[i].job = (uint64_t)i;
        const as_response *r = client_ask(&c, &rq[i]);
        assert_int_equal(r->error, AS_ERROR_TRANSPORT);
        /* After so many failures no attempts are burnt: the health route is asked instead. */
        if (i >= HT_BREAK_AFTER) {
            assert_true(r->total_ns > 150 * 1000000);
            assert_true(as_str_find(r->message, AS_STR("no endpoint was healthy")) != SIZE_MAX);
        }
    }
    client_close(&c);
    static const char *const urls[] = {"http://127.0.0.1:1", NULL};
    as_err err = {0};
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, client_no_probe, NULL, &err),
                     AS_TIMEOUT);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    client_close(&c);
}

/* One endpoint dies: its requests fail, all later ones go to the other. */
static void group6_another_endpoint_takes_over(void **state)
{
    (void)state;
    static recorder rec;
    peer *a = peer_start(record, &rec), *b = peer_start(record, &rec);
    const char *const urls[] = {peer_url(a), peer_url(b), NULL};
    static client c;
    as_err err = {0};
    assert_int_equal(client_try_open(&c, &be_openai, "m", urls, client_no_probe, NULL, &err),
                     AS_OK);
    int n_failed = 0, n_ok = 0;
    for (int i = 0; i < 40; i++) {
        if (i == 10)
            peer_stop(a);
        as_request rq = client_chat();
        const as_response *r = client_ask(&c, &rq);
        n_failed += r->finish == AS_FINISH_ERROR;
        n_ok += r->finish == AS_FINISH_STOP;
    }
    assert_int_equal(n_failed, HT_BREAK_AFTER);
    assert_int_equal(n_ok, 40 - HT_BREAK_AFTER);
    client_close(&c);
    peer_stop(b);
}

/* ---- cancelling ---------------------------------------------------------------------------------
 */

typedef struct slow {
    atomic_int n_seen_closed;
} slow;

static void serve_slow(void *user, const peer_request *rq, peer_conn *conn)
{
    slow *s = user;
    if (client_serve_models(rq, conn))
        return;
    (void)peer_send(conn, stream_head, sizeof stream_head - 1, 0);
    (void)peer_send(conn, C("a"), strlen(C("a")), 0);
    if (peer_sees_close(conn, 3000))
        atomic_fetch_add(&s->n_seen_closed, 1);
    peer_close(conn);
}

static void cancel_me(void *user, const as_delta *delta)
{
    client *c = user;
    (void)delta;
    c->be->driver->cancel_one(c->be, 7);
}

static void group7_cancel_in_every_state(void **state)
{
    (void)state;
    slow s = {0};
    static client c;
    client_start(&c, serve_slow, &s, &be_openai, "m", client_no_probe);
    /* Before anything was sent. */
    as_request rq = client_chat();
    rq.job = 7;
    client_submit(&c, &rq);
    c.be->driver->cancel_one(c.be, 7);
    client_wait(&c, 1);
    assert_int_equal(c.kept[7].r.finish, AS_FINISH_CANCELLED);
    assert_int_equal(peer_posts(c.peer), 0);
    /* In the middle of the stream, from its own piece. */
    rq.on_delta = cancel_me;
    rq.delta_user = &c;
    client_submit(&c, &rq);
    client_wait(&c, 2);
    assert_int_equal(c.kept[7].n_done, 2);
    assert_int_equal(c.kept[7].r.finish, AS_FINISH_CANCELLED);
    assert_int_equal(c.kept[7].r.error, AS_ERROR_NONE);
    for (int i = 0; i < 100 && atomic_load(&s.n_seen_closed) == 0; i++)
        sleep_ms(10);
    assert_int_equal(atomic_load(&s.n_seen_closed), 1);
    /* After it has ended: no error, nothing more is told. */
    c.be->driver->cancel_one(c.be, 7);
    c.be->driver->cancel_one(c.be, 99);
    as_err err = {0};
    assert_int_equal(c.be->driver->poll(c.be, 20, NULL, NULL, &err), AS_OK);
    /* All at once, some sent and some waiting. */
    as_request many[100];
    for (int i = 0; i < 100; i++) {
        many[i] = client_chat();
        many[i].job = 100 + (uint64_t)i;
        client_submit(&c, &many[i]);
    }
    assert_int_equal(c.be->driver->poll(c.be, 50, NULL, NULL, &err), AS_OK);
    c.be->driver->cancel(c.be);
    client_wait(&c, 102);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(c.kept[100 + i].n_done, 1);
        assert_int_equal(c.kept[100 + i].r.finish, AS_FINISH_CANCELLED);
    }
    /* Closing with requests under way frees them without telling. */
    as_request last = client_chat();
    client_submit(&c, &last);
    assert_int_equal(c.be->driver->poll(c.be, 20, NULL, NULL, &err), AS_OK);
    client_close(&c);
}

/* ---- keeping connections ------------------------------------------------------------------------
 */

typedef struct closer {
    int close_after; /* requests of a connection; 0: never */
    int idle_ms;     /* then closes while nobody asks */
} closer;

static void serve_closing(void *user, const peer_request *rq, peer_conn *conn)
{
    const closer *c = user;
    if (client_serve_models(rq, conn))
        return;
    (void)peer_reply(conn, 200, "", ok_reply);
    if (c->close_after != 0 && rq->nth + 1 >= c->close_after) {
        sleep_ms(c->idle_ms);
        peer_close(conn);
    }
}

static void group11_connections_that_servers_close(void **state)
{
    (void)state;
    static const struct {
        closer how;
        int pause_ms, n_connections;
    } rows[] = {
        {{0, 0}, 0, 1},   /* kept for all */
        {{1, 0}, 0, 20},  /* closed after each reply; the first was for /v1/models */
        {{4, 0}, 0, 6},   /* after some */
        {{3, 5}, 15, 10}, /* while idle */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        closer how = rows[i].how;
        static client c;
        client_start(&c, serve_closing, &how, &be_openai, "m", client_no_probe);
        for (int k = 0; k < 20; k++) {
            as_request rq = client_chat();
            rq.whole = true;
            const as_response *r = client_ask(&c, &rq);
            if (r->finish != AS_FINISH_STOP)
                fail_msg("row %zu, request %d: %.*s", i, k, AS_ARG(r->message));
            if (rows[i].pause_ms != 0)
                sleep_ms(rows[i].pause_ms);
        }
        assert_in_range(peer_connections(c.peer), 1, rows[i].n_connections + 4);
        if (rows[i].how.close_after == 0)
            assert_int_equal(peer_connections(c.peer), 1);
        client_close(&c);
    }
}

static void serve_length(void *user, const peer_request *rq, peer_conn *conn)
{
    if (client_serve_models(rq, conn))
        return;
    *(size_t *)user = strcasestr(rq->head, "expect:") == NULL ? rq->body_n : 0;
    (void)peer_reply(conn, 200, "", ok_reply);
}

static void group11_body_of_5_mib_without_expect(void **state)
{
    (void)state;
    enum { BIG = 5 << 20 };
    size_t n = 0;
    peer *p = peer_start(serve_length, &n);
    char *text = malloc(BIG);
    assert_non_null(text);
    memset(text, 'x', BIG);
    const as_media big = {.mime = AS_STR("image/png"), .bytes = {text, BIG}};
    const as_message m = {.role = AS_STR("user"), .text = AS_STR("?"), .media = &big, .n_media = 1};
    static client c;
    client_open(&c, &be_openai, "m", peer_url(p), client_no_probe);
    as_request rq = client_chat();
    rq.messages = &m;
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->finish, AS_FINISH_STOP);
    assert_in_range(n, (size_t)BIG / 3 * 4, (size_t)BIG / 3 * 4 + 1000);
    assert_in_range(r->total_ns, 0, 900 * 1000000LL); /* nobody waited a second for a 100 */
    free(text);
    client_close(&c);
    peer_stop(p);
}

/* ---- limits -------------------------------------------------------------------------------------
 */

static void serve_after_20_ms(void *user, const peer_request *rq, peer_conn *conn)
{
    (void)user;
    if (client_serve_models(rq, conn))
        return;
    sleep_ms(20);
    (void)peer_reply(conn, 200, "", ok_reply);
}

static void note_end(void *user, const as_request *rq, const as_response *r)
{
    (void)rq;
    *(int64_t *)user = r->finish == AS_FINISH_STOP ? r->total_ns : -1;
}

/* A peer that is fast enough answers while libcurl is still sending: that reply must not wait for the
 * end of the poll, either. */
static void a_reply_is_told_of_when_it_is_there(void **state)
{
    (void)state;
    enum { N = 300, POLL_MS = 1000 };
    static recorder rec;
    static client c;
    client_start(&c, record, &rec, &be_openai, "m", client_no_probe);
    as_request rq = client_chat();
    rq.whole = true;
    for (int i = 0; i < N; i++) {
        int64_t total_ns = 0;
        as_err err = {0};
        client_submit(&c, &rq);
        const int64_t from = as_now_ns();
        while (total_ns == 0)
            assert_int_equal(c.be->driver->poll(c.be, POLL_MS, note_end, &total_ns, &err), AS_OK);
        assert_true(total_ns > 0);
        assert_in_range(as_now_ns() - from - total_ns + 1000000, 0, POLL_MS / 2 * 1000000LL);
    }
    client_close(&c);
}

static void group12_never_more_connections_than_allowed(void **state)
{
    (void)state;
    static const char *const options[] = {"probe=off", "concurrency=4", NULL};
    static client c;
    client_start(&c, serve_after_20_ms, NULL, &be_openai, "m", options);
    as_err err = {0};
    assert_int_equal(c.be->driver->prepare(c.be, 0, 64, &err), AS_OK);
    static as_request rq[64];
    for (int i = 0; i < 64; i++) {
        rq[i] = client_chat();
        rq[i].whole = true;
        rq[i].job = (uint64_t)i;
        client_submit(&c, &rq[i]);
    }
    client_wait(&c, 64);
    assert_int_equal(peer_most_at_once(c.peer), 4);
    int64_t most_queued = 0;
    for (int i = 0; i < 64; i++) {
        assert_int_equal(c.kept[i].r.finish, AS_FINISH_STOP);
        if (c.kept[i].r.queue_ns > most_queued)
            most_queued = c.kept[i].r.queue_ns;
    }
    assert_true(most_queued > 15 * 20 * 1000000LL - 50 * 1000000LL); /* waiting is told apart */
    client_close(&c);
}

static void memory_is_flat_in_the_number_of_requests(void **state)
{
    (void)state;
    static recorder rec;
    static client c;
    client_start(&c, record, &rec, &be_openai, "m", client_no_probe);
    as_request rq = client_chat();
    rq.whole = true;
    size_t before = 0;
    for (int i = 0; i < 2000; i++) {
        (void)client_ask(&c, &rq);
        as_arena_rewind(&c.arena, 0);
        if (i == 100)
            before = mallinfo2().uordblks; /* 0 under sanitizers, whose leak check stands in */
    }
    assert_in_range(mallinfo2().uordblks, 0, before + 4096);
    assert_int_equal(peer_connections(c.peer), 1);
    client_close(&c);
}

static void serve_huge(void *user, const peer_request *rq, peer_conn *conn)
{
    (void)user;
    if (client_serve_models(rq, conn))
        return;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    char *block = calloc(1, 1 << 20);
    memset(block, ' ', 1 << 20);
    (void)peer_send(conn, head, sizeof head - 1, 0);
    for (int i = 0; i < 100 && peer_send(conn, block, 1 << 20, 0); i++)
        ;
    free(block);
    peer_reset(conn);
}

static void a_body_beyond_the_limit_ends_the_request(void **state)
{
    (void)state;
    static client c;
    client_start(&c, serve_huge, NULL, &be_openai, "m", client_no_probe);
    as_request rq = client_chat();
    rq.whole = true;
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->error, AS_ERROR_PROTOCOL);
    assert_true(as_str_find(r->message, AS_STR("67108864 bytes")) != SIZE_MAX);
    client_close(&c);
}

static void group14_the_same_request_twice(void **state)
{
    (void)state;
    static recorder rec;
    const char *const options[] = {"probe=off", "profile=llamacpp", NULL};
    static client c;
    client_start(&c, record, &rec, &be_openai, "m", options);
    as_request rq = client_chat();
    rq.no_cache = true;
    static char first[4096];
    (void)client_ask(&c, &rq);
    (void)snprintf(first, sizeof first, "%s", rec.body);
    const as_response *r = client_ask(&c, &rq);
    assert_string_equal(first, rec.body);
    assert_int_equal(r->dropped & AS_DROPPED_NO_CACHE, 0);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group2_group3_group4_streams),
        cmocka_unit_test(pieces_are_told_as_they_come),
        cmocka_unit_test(requests_by_profile),
        cmocka_unit_test(keys_come_from_the_environment_alone),
        cmocka_unit_test(group4_refusals_by_status),
        cmocka_unit_test(group5_nothing_is_sent_while_the_server_asks_to_wait),
        cmocka_unit_test(group6_faults_of_connections),
        cmocka_unit_test(group6_total_time),
        cmocka_unit_test(group6_refused_connection),
        cmocka_unit_test(group6_another_endpoint_takes_over),
        cmocka_unit_test(group7_cancel_in_every_state),
        cmocka_unit_test(group11_connections_that_servers_close),
        cmocka_unit_test(group11_body_of_5_mib_without_expect),
        cmocka_unit_test(a_reply_is_told_of_when_it_is_there),
        cmocka_unit_test(group12_never_more_connections_than_allowed),
        cmocka_unit_test(memory_is_flat_in_the_number_of_requests),
        cmocka_unit_test(a_body_beyond_the_limit_ends_the_request),
        cmocka_unit_test(group14_the_same_request_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
