/* test_gemini.c — the Google AI Studio driver against a scripted peer that speaks the recorded forms of
 * its API; Google's is not called here. Group N: the group of that number in the list
 * of test_conformance.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "unit/client_support.h"
#include "unit/cm.h"

/* ---- the peer -----------------------------------------------------------------------------------
 */

static const char thinking_model[] =
    "{\"name\":\"models/gemma-4-31b-it\",\"version\":\"001\",\"inputTokenLimit\":262144,"
    "\"outputTokenLimit\":32768,\"thinking\":true}";
static const char whole[] =
    "{\"candidates\":[{\"index\":0,\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"T\","
    "\"thought\":true},{\"text\":\"A\",\"thoughtSignature\":\"x\"}]},\"finishReason\":\"STOP\","
    "\"safetyRatings\":[]}],\"usageMetadata\":{\"promptTokenCount\":12,\"candidatesTokenCount\":5,"
    "\"thoughtsTokenCount\":40,\"totalTokenCount\":57,\"cachedContentTokenCount\":4},"
    "\"modelVersion\":\"gemma-4-31b-it-001\",\"responseId\":\"r\"}";

typedef struct script {
    const char *model;
    int model_status;
    const char *reply, *type; /* type: of streams */
    int status;
    size_t piece;
    bool is_stream;
    char body[4096], head[2048], path[256], all_paths[4096];
} script;

static void serve(void *user, const peer_request *rq, peer_conn *conn)
{
    script *s = user;
    const size_t n = strlen(s->all_paths);
    (void)snprintf(s->all_paths + n, sizeof s->all_paths - n, "%s %s\n", rq->method, rq->path);
    if (strcmp(rq->path, "/v1beta/models?pageSize=1") == 0) {
        (void)peer_reply(conn, 200, "", "{\"models\":[]}");
        return;
    }
    if (strcmp(rq->method, "GET") == 0) {
        (void)peer_reply(conn, s->model_status != 0 ? s->model_status : 200, "", s->model);
        return;
    }
    (void)snprintf(s->body, sizeof s->body, "%s", rq->body);
    (void)snprintf(s->head, sizeof s->head, "%s", rq->head);
    (void)snprintf(s->path, sizeof s->path, "%s", rq->path);
    if (s->is_stream)
        peer_stream(conn, s->type != NULL ? s->type : "text/event-stream", s->reply, s->piece);
    else
        (void)peer_reply(conn, s->status != 0 ? s->status : 200, "",
                         s->reply != NULL ? s->reply : whole);
}

static script *new_script(void)
{
    static script s;
    memset(&s, 0, sizeof s);
    s.model = thinking_model;
    return &s;
}

/* ---- requests -----------------------------------------------------------------------------------
 */

static const as_message only_seen[] = {
    {.role = AS_STR_INIT("user"), .media = &client_picture, .n_media = 1}};
static const as_message turns[] = {
    {.role = AS_STR_INIT("system"), .text = AS_STR_INIT("S")},
    {.role = AS_STR_INIT("user"), .text = AS_STR_INIT("U")},
    {.role = AS_STR_INIT("assistant"), .text = AS_STR_INIT("The answer is")}};

#define GREEDY .sampling = {0, (double)NAN, (double)NAN, -1}
#define HELLO  "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Hello\"}]}],"
#define SAFE                                                                                       \
    ",\"safetySettings\":[{\"category\":\"HARM_CATEGORY_HARASSMENT\",\"threshold\":\"BLOCK_"       \
    "NONE\"}"                                                                                      \
    ",{\"category\":\"HARM_CATEGORY_HATE_SPEECH\",\"threshold\":\"BLOCK_NONE\"},{\"category\":"    \
    "\"HARM_CATEGORY_SEXUALLY_EXPLICIT\",\"threshold\":\"BLOCK_NONE\"},{\"category\":"             \
    "\"HARM_CATEGORY_DANGEROUS_CONTENT\",\"threshold\":\"BLOCK_NONE\"}]}"
#define COMMON     "\"candidateCount\":1,\"responseMimeType\":\"text/plain\""
#define LEVEL(how) ",\"thinkingConfig\":{\"thinkingLevel\":\"" how "\",\"includeThoughts\":true}}"

static const struct {
    const char *why;
    as_request rq;
    bool is_plain_model; /* one that does not think */
    const char *body;
    unsigned dropped;
} requests[] = {
    {"a chat",
     {.messages = client_hello, .n_messages = 1, GREEDY, .seed = 1ull << 40 | 5},
     false,
     HELLO
     "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":16,\"seed\":5," COMMON LEVEL(
         "minimal") SAFE,
     0},
    {"every field",
     {.messages = turns,
      .n_messages = 3,
      .sampling = {0.7, 0.95, (double)NAN, 64},
      .think = AS_THINK_ON,
      .stop = {AS_STR_INIT("\n\n"), AS_STR_INIT("Q:")},
      .n_stop = 2,
      .seed = 7},
     false,
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"S\"}]},\"contents\":[{\"role\":\"user\","
     "\"parts\":[{\"text\":\"U\"}]},{\"role\":\"model\",\"parts\":[{\"text\":\"The answer is\"}]}],"
     "\"generationConfig\":{\"temperature\":0.7,\"topP\":0.95,\"topK\":64,\"maxOutputTokens\":16,"
     "\"stopSequences\":[\"\\n\\n\",\"Q:\"],\"seed\":7," COMMON LEVEL("high") SAFE,
     0},
    {"what is not sent",
     {.messages = client_hello,
      .n_messages = 1,
      .sampling = {0, (double)NAN, 0.1, 0},
      .reasoning_tokens = 100,
      .no_cache = true,
      .ignore_eos = true,
      .lora = AS_STR_INIT("x"),
      .top_logprobs = 5,
      .stop = {AS_STR_INIT("1"), AS_STR_INIT("2"), AS_STR_INIT("3"), AS_STR_INIT("4"),
               AS_STR_INIT("5"), AS_STR_INIT("6")},
      .n_stop = 6},
     false,
     HELLO "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":16,\"stopSequences\":["
           "\"1\",\"2\",\"3\",\"4\",\"5\"],\"seed\":0," COMMON LEVEL("minimal") SAFE,
     AS_DROPPED_THINK_BUDGET | AS_DROPPED_NO_CACHE | AS_DROPPED_IGNORE_EOS | AS_DROPPED_LORA |
         AS_DROPPED_LOGPROBS | AS_DROPPED_MIN_P | AS_DROPPED_TOP_K | AS_DROPPED_STOP},
    {"a picture goes in front of the text",
     {.messages = client_seen, .n_messages = 1, GREEDY},
     false,
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\","
     "\"data\":\"iVBORw==\"}},{\"text\":\"What?\"}]}],\"generationConfig\":{\"temperature\":0,"
     "\"maxOutputTokens\":16,\"seed\":0," COMMON LEVEL("minimal") SAFE,
     0},
    {"a picture alone",
     {.messages = only_seen, .n_messages = 1, GREEDY},
     false,
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"inlineData\":{\"mimeType\":\"image/png\","
     "\"data\":\"iVBORw==\"}}]}],\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":16,"
     "\"seed\":0," COMMON LEVEL("minimal") SAFE,
     0},
    {"a model that does not think is not told to",
     {.messages = client_hello, .n_messages = 1, GREEDY, .think = AS_THINK_ON},
     true,
     HELLO "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":16,\"seed\":0," COMMON
           "}" SAFE,
     AS_DROPPED_THINK},
};

static void requests_are_exactly_these(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        script *s = new_script();
        if (requests[i].is_plain_model)
            s->model = "{\"name\":\"models/gemma-3-27b-it\"}";
        static client c;
        client_start(&c, serve, s, &be_gemini, "models/gemma-4-31b-it", client_no_probe);
        for (int is_whole = 0; is_whole < 2; is_whole++) {
            as_request rq = requests[i].rq;
            rq.is_chat = true;
            rq.max_tokens = 16;
            rq.whole = is_whole != 0;
            const as_response *r = client_ask(&c, &rq);
            if (strcmp(s->body, requests[i].body) != 0)
                fail_msg("%s:\n%s\nwant\n%s", requests[i].why, s->body, requests[i].body);
            assert_string_equal(
                s->path, is_whole ? "/v1beta/models/gemma-4-31b-it:generateContent"
                                  : "/v1beta/models/gemma-4-31b-it:streamGenerateContent?alt=sse");
            if (r->finish != AS_FINISH_STOP || r->dropped != requests[i].dropped)
                fail_msg("%s: %s, dropped %x, want %x: %.*s", requests[i].why,
                         as_finish_name(r->finish), r->dropped, requests[i].dropped,
                         AS_ARG(r->message));
        }
        client_close(&c);
    }
}

static void what_the_api_does_not_take(void **state)
{
    (void)state;
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_gemini, "gemma-4-31b-it", client_no_probe);
    as_request rq = client_chat();
    const as_message heard = {.role = AS_STR("user"), .media = &client_sound, .n_media = 1};
    rq.messages = &heard;
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_UNSUPPORTED);
    const as_request text = client_text("x");
    assert_int_equal(client_ask(&c, &text)->error, AS_ERROR_UNSUPPORTED);
    as_request score = client_chat();
    score.ask = AS_ASK_SCORE;
    score.continuation = AS_STR("y");
    assert_int_equal(client_ask(&c, &score)->error, AS_ERROR_UNSUPPORTED);
    enum { BIG = 16 << 20 };
    char *bytes = calloc(1, BIG);
    const as_media big = {.mime = AS_STR("image/png"), .bytes = {bytes, BIG}};
    const as_message huge = {.role = AS_STR("user"), .media = &big, .n_media = 1};
    rq.messages = &huge;
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->error, AS_ERROR_REQUEST);
    assert_true(as_str_find(r->message, AS_STR("20971520")) != SIZE_MAX);
    assert_int_equal(peer_posts(c.peer), 0); /* none of them was sent */
    free(bytes);
    client_close(&c);
}

/* ---- replies ------------------------------------------------------------------------------------
 */

#define CANDIDATE(inside) "{\"candidates\":[{\"index\":0," inside "}]}"
#define PART(text)        "{\"text\":\"" text "\"}"
#define THOUGHT(text)     "{\"text\":\"" text "\",\"thought\":true}"
#define PARTS(parts)      "\"content\":{\"role\":\"model\",\"parts\":[" parts "]}"
#define ENDS(word)        "\"finishReason\":\"" word "\""
#define USAGE(counts)     "{\"usageMetadata\":{" counts "}}"
#define P(text)           CANDIDATE(PARTS(PART(text)))
#define E(word)           CANDIDATE(PARTS(PART("")) "," ENDS(word))

static const struct {
    const char *why;
    const char *elements[6];
    const char *text, *reasoning, *raw;
    as_finish finish;
    as_error_kind error;
    int64_t prompt_tokens, completion_tokens, reasoning_tokens;
} replies[] = {
    {"plain",
     {P("a"), P("b"), E("STOP")},
     "ab",
     "",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"thoughts",
     {CANDIDATE(PARTS(THOUGHT("t1 "))), CANDIDATE(PARTS(THOUGHT("t2") "," PART("a"))), E("STOP")},
     "a",
     "t1 t2",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"the last usage counts",
     {USAGE("\"promptTokenCount\":12,\"thoughtsTokenCount\":3"), P("a"), E("STOP"),
      USAGE("\"promptTokenCount\":12,\"candidatesTokenCount\":5,\"thoughtsTokenCount\":40")},
     "a",
     "",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     12,
     45,
     40},
    {"counts that are 0 are left out",
     {P("a"), E("STOP"), USAGE("\"promptTokenCount\":12,\"candidatesTokenCount\":5")},
     "a",
     "",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     12,
     5,
     0},
    {"group9 no candidates, a blocked prompt",
     {"{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"},\"usageMetadata\":{"
      "\"promptTokenCount\":8}}"},
     "",
     "",
     "PROHIBITED_CONTENT",
     AS_FINISH_BLOCKED,
     AS_ERROR_NONE,
     8,
     0,
     0},
    {"group9 a candidate without parts",
     {CANDIDATE("\"content\":{\"role\":\"model\"}," ENDS("STOP"))},
     "",
     "",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"group9 a candidate without content",
     {CANDIDATE(ENDS("MAX_TOKENS"))},
     "",
     "",
     "MAX_TOKENS",
     AS_FINISH_LENGTH,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"group9 thoughts alone at the limit",
     {CANDIDATE(PARTS(THOUGHT("hm"))), CANDIDATE(ENDS("MAX_TOKENS")),
      USAGE("\"promptTokenCount\":1,\"thoughtsTokenCount\":16")},
     "",
     "hm",
     "MAX_TOKENS",
     AS_FINISH_LENGTH,
     AS_ERROR_NONE,
     1,
     16,
     16},
    {"a part without text",
     {CANDIDATE(PARTS("{\"functionCall\":{}}") "," ENDS("STOP"))},
     "",
     "",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"a blocked answer keeps what came",
     {P("a"), E("SAFETY")},
     "a",
     "",
     "SAFETY",
     AS_FINISH_BLOCKED,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"recitation",
     {E("RECITATION")},
     "",
     "",
     "RECITATION",
     AS_FINISH_BLOCKED,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"language", {E("LANGUAGE")}, "", "", "LANGUAGE", AS_FINISH_BLOCKED, AS_ERROR_NONE, -1, -1, -1},
    {"personal data", {E("SPII")}, "", "", "SPII", AS_FINISH_BLOCKED, AS_ERROR_NONE, -1, -1, -1},
    {"a list of words",
     {E("BLOCKLIST")},
     "",
     "",
     "BLOCKLIST",
     AS_FINISH_BLOCKED,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"a picture's filter",
     {E("IMAGE_SAFETY")},
     "",
     "",
     "IMAGE_SAFETY",
     AS_FINISH_BLOCKED,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"other ends",
     {P("a"), E("MALFORMED_FUNCTION_CALL")},
     "a",
     "",
     "MALFORMED_FUNCTION_CALL",
     AS_FINISH_UNKNOWN,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"another candidate is not this answer",
     {P("a"), "{\"candidates\":[{\"index\":1,\"content\":{\"parts\":[{\"text\":\"z\"}]}}]}",
      E("STOP")},
     "a",
     "",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"marks left in the text",
     {P("<|channel>thou"), P("ght\\nhm<channel|>4"), E("STOP")},
     "4",
     "hm",
     "STOP",
     AS_FINISH_STOP,
     AS_ERROR_NONE,
     -1,
     -1,
     -1},
    {"no end", {P("a")}, "a", "", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1, -1, -1},
    {"group4 an error in the stream",
     {P("a"), "{\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}"},
     "a",
     "",
     "",
     AS_FINISH_ERROR,
     AS_ERROR_SERVER,
     -1,
     -1,
     -1},
    {"group4 a quota in the stream",
     {"{\"error\":{\"code\":429,\"message\":\"x\",\"details\":[{\"violations\":[{\"quotaId\":"
      "\"RequestsPerDay\"}]}]}}"},
     "",
     "",
     "",
     AS_FINISH_ERROR,
     AS_ERROR_QUOTA,
     -1,
     -1,
     -1},
};

static void check_reply(size_t i, const char *form, size_t piece, const as_response *r)
{
    if (!as_str_eq_z(r->text, replies[i].text) ||
        !as_str_eq_z(r->reasoning, replies[i].reasoning) ||
        !as_str_eq_z(r->finish_raw, replies[i].raw) || r->finish != replies[i].finish ||
        r->error != replies[i].error || r->prompt_tokens != replies[i].prompt_tokens ||
        r->completion_tokens != replies[i].completion_tokens ||
        r->reasoning_tokens != replies[i].reasoning_tokens)
        fail_msg("%s, %s in pieces of %zu: text \"%.*s\", reasoning \"%.*s\", %s (%.*s), %s, %lld "
                 "+ %lld (%lld), \"%.*s\"",
                 replies[i].why, form, piece, AS_ARG(r->text), AS_ARG(r->reasoning),
                 as_finish_name(r->finish), AS_ARG(r->finish_raw), as_error_kind_name(r->error),
                 (long long)r->prompt_tokens, (long long)r->completion_tokens,
                 (long long)r->reasoning_tokens, AS_ARG(r->message));
}

/* The same elements as events, and as one array; a text of its own for each, since the peer's threads
 * may still hold the last one. */
static const char *write_form(as_arena *keep, size_t i, bool is_array)
{
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b, is_array ? "[" : "");
    for (int k = 0; k < 6 && replies[i].elements[k] != NULL; k++)
        (void)as_buf_printf(&b, is_array ? "%s%s\r\n" : "%sdata: %s\r\n\r\n",
                            is_array && k != 0 ? "," : "", replies[i].elements[k]);
    (void)as_buf_add_z(&b, is_array ? "]" : "");
    const as_str form = as_arena_str(keep, as_buf_str(&b));
    as_buf_release(&b);
    assert_non_null(form.p);
    return form.p;
}

static void group9_streams_as_events_and_as_an_array(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 0};
    as_arena keep;
    as_arena_init(&keep, 0);
    for (size_t k = 0; k < 6; k++) {
        const bool is_array = k >= 3;
        script *s = new_script();
        s->is_stream = true;
        s->piece = pieces[k % 3];
        s->type = is_array ? "application/json; charset=UTF-8" : "text/event-stream";
        static client c;
        client_start(&c, serve, s, &be_gemini, "gemma-4-31b-it", client_no_probe);
        const as_request rq = client_chat();
        for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
            s->reply = write_form(&keep, i, is_array);
            check_reply(i, is_array ? "array" : "events", s->piece, client_ask(&c, &rq));
        }
        client_close(&c);
    }
    as_arena_release(&keep);
}

static void whole_replies(void **state)
{
    (void)state;
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_gemini, "gemma-4-31b-it", client_no_probe);
    as_request rq = client_chat();
    rq.whole = true;
    const as_response *r = client_ask(&c, &rq);
    assert_true(as_str_eq_z(r->text, "A") && as_str_eq_z(r->reasoning, "T"));
    assert_int_equal(r->finish, AS_FINISH_STOP);
    assert_true(r->prompt_tokens == 12 && r->completion_tokens == 45 && r->reasoning_tokens == 40 &&
                r->cached_tokens == 4);
    assert_true(as_str_eq_z(r->model, "gemma-4-31b-it-001"));
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        if (replies[i].elements[1] != NULL)
            continue;
        s->reply = replies[i].elements[0];
        if (strcmp(replies[i].why, "no end") != 0) /* a whole reply needs none */
            check_reply(i, "whole", 0, client_ask(&c, &rq));
    }
    s->reply = "{\"usageMetadata\":{}}";
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_PROTOCOL);
    client_close(&c);
}

/* ---- refusals and limits ------------------------------------------------------------------------
 */

#define REFUSAL(code, message, status, details)                                                    \
    "{\"error\":{\"code\":" code ",\"message\":\"" message "\",\"status\":\"" status               \
    "\",\"details\":[" details "]}}"
#define QUOTA(id)   "{\"@type\":\"QuotaFailure\",\"violations\":[{\"quotaId\":\"" id "\"}]},"
#define DELAY(text) "{\"@type\":\"RetryInfo\",\"retryDelay\":\"" text "\"}"
#define PLAN        "You exceeded your current quota, please check your plan and billing details."

static void group4_group5_refusals(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        as_error_kind kind;
        int64_t retry_ms;
    } rows[] = {
        {429,
         REFUSAL("429", PLAN, "RESOURCE_EXHAUSTED",
                 QUOTA("GenerateRequestsPerMinutePerProjectPerModel-FreeTier") DELAY("0.05s")),
         AS_ERROR_RATE, 50},
        {429,
         REFUSAL("429", PLAN, "RESOURCE_EXHAUSTED",
                 QUOTA("GenerateRequestsPerDayPerProjectPerModel-FreeTier") DELAY("37s")),
         AS_ERROR_QUOTA, 37000},
        {429,
         "[" REFUSAL("429", "Please retry in 0.01s.", "RESOURCE_EXHAUSTED",
                     QUOTA("TokensPerMinute") "{\"links\":[]}") "]",
         AS_ERROR_RATE, 10},
        {400,
         REFUSAL("400", "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", ""),
         AS_ERROR_AUTH, -1},
        {403, REFUSAL("403", "no", "PERMISSION_DENIED", ""), AS_ERROR_AUTH, -1},
        {404, REFUSAL("404", "models/x is not found", "NOT_FOUND", ""), AS_ERROR_NOT_FOUND, -1},
        {400, REFUSAL("400", "bad", "INVALID_ARGUMENT", ""), AS_ERROR_REQUEST, -1},
        {400,
         REFUSAL("400", "The input token count (300000) exceeds the maximum number of tokens",
                 "INVALID_ARGUMENT", ""),
         AS_ERROR_CONTEXT, -1},
        {400,
         REFUSAL("400", "Developer instruction is not enabled for models/gemma-3-27b-it",
                 "INVALID_ARGUMENT", ""),
         AS_ERROR_UNSUPPORTED, -1},
        {500, REFUSAL("500", "x", "INTERNAL", ""), AS_ERROR_SERVER, -1},
        {503, REFUSAL("503", "overloaded", "UNAVAILABLE", ""), AS_ERROR_SERVER, -1},
    };
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_gemini, "gemma-4-31b-it", client_no_probe);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s->status = rows[i].status;
        s->reply = rows[i].body;
        const as_request rq = client_chat();
        const as_response *r = client_ask(&c, &rq);
        if (r->error != rows[i].kind || r->retry_after_ms != rows[i].retry_ms)
            fail_msg("row %zu: %s, wait %lld: %.*s", i, as_error_kind_name(r->error),
                     (long long)r->retry_after_ms, AS_ARG(r->message));
    }
    client_close(&c);
}

/* 300 a minute: 30 at once, then five in a second. */
static void requests_a_minute_are_kept(void **state)
{
    (void)state;
    script *s = new_script();
    static const char *const options[] = {"probe=off", "rpm=300", "concurrency=1", NULL};
    static client c;
    client_start(&c, serve, s, &be_gemini, "gemma-4-31b-it", options);
    static as_request rq[34];
    const int64_t from = as_now_ns();
    for (int i = 0; i < 34; i++) {
        rq[i] = client_chat();
        rq[i].whole = true;
        rq[i].job = (uint64_t)i;
        client_submit(&c, &rq[i]);
    }
    client_wait(&c, 34);
    assert_in_range(as_now_ns() - from, 700 * 1000000LL, 9000 * 1000000LL);
    client_close(&c);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static const char *first_key(const char *name)
{
    return strcmp(name, "GEMINI_API_KEY") == 0   ? "secret-1"
           : strcmp(name, "GOOGLE_API_KEY") == 0 ? "secret-2"
                                                 : NULL;
}

static const char *second_key(const char *name)
{
    return strcmp(name, "GOOGLE_API_KEY") == 0 ? "secret-2" : "";
}

static const char *no_key(const char *name)
{
    (void)name;
    return NULL;
}

static void keys_are_sent_in_one_head_alone(void **state)
{
    (void)state;
    script *s = new_script();
    peer *p = peer_start(serve, s);
    const char *const urls[] = {peer_url(p), NULL};
    static const struct {
        const char *(*env)(const char *);
        const char *head;
    } rows[] = {{first_key, "x-goog-api-key: secret-1\r\n"},
                {second_key, "x-goog-api-key: secret-2\r\n"}};
    static client c;
    as_err err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(client_try_open(&c, &be_gemini, "gemma-4-31b-it", urls, client_no_probe,
                                         rows[i].env, &err),
                         AS_OK);
        const as_request rq = client_chat();
        (void)client_ask(&c, &rq);
        assert_non_null(strstr(s->head, rows[i].head));
        assert_null(strstr(s->head, "Authorization"));
        assert_null(strstr(s->all_paths, "secret"));
        assert_null(strstr(s->body, "secret"));
        assert_null(strstr(c.be->driver->info(c.be)->json.p, "secret"));
        client_close(&c);
    }
    static const char *const nowhere[] = {NULL};
    assert_int_equal(
        client_try_open(&c, &be_gemini, "gemma-4-31b-it", nowhere, client_no_probe, no_key, &err),
        AS_RANGE);
    assert_non_null(strstr(err.text, "GEMINI_API_KEY"));
    client_close(&c);
    peer_stop(p);
}

static const char with_logprobs[] =
    "{\"candidates\":[{\"index\":0,\"content\":{\"parts\":[{\"text\":\"A\"}]},\"finishReason\":"
    "\"STOP\",\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"A\",\"tokenId\":236776,"
    "\"logProbability\":-0.25}],\"topCandidates\":[{\"candidates\":[{\"token\":\"A\",\"tokenId\":"
    "236776,\"logProbability\":-0.25},{\"token\":\"B\",\"tokenId\":236799,\"logProbability\":-2}]}]"
    "}}]}";

static void identity_and_the_probe_of_log_probabilities(void **state)
{
    (void)state;
    script *s = new_script();
    peer *p = peer_start(serve, s);
    static client c;
    s->status = 400;
    s->reply =
        REFUSAL("400", "Logprobs is not enabled for models/gemma-4-31b-it", "INVALID_ARGUMENT", "");
    client_open(&c, &be_gemini, "gemma-4-31b-it", peer_url(p), NULL);
    const be_info *i = c.be->driver->info(c.be);
    assert_true(as_str_eq_z(i->model_name, "gemma-4-31b-it"));
    assert_int_equal(i->n_ctx, 262144);
    assert_non_null(strstr(i->json.p, "\"version\":\"001\""));
    assert_int_equal(c.be->driver->caps(c.be), BE_CAN_CHAT | BE_CAN_IMAGE | BE_CAN_THINK);
    client_close(&c);
    s->status = 200;
    s->reply = with_logprobs;
    s->model = "{\"name\":\"models/gemini-x\",\"inputTokenLimit\":5}";
    client_open(&c, &be_gemini, "gemini-x", peer_url(p), NULL);
    assert_int_equal(c.be->driver->caps(c.be),
                     BE_CAN_CHAT | BE_CAN_IMAGE | BE_CAN_AUDIO | BE_CAN_LOGPROBS);
    as_request rq = client_chat();
    rq.whole = true;
    rq.top_logprobs = 2;
    const as_response *r = client_ask(&c, &rq);
    assert_non_null(strstr(s->body, "\"responseLogprobs\":true,\"logprobs\":2}"));
    assert_int_equal(r->n_logprobs, 1);
    assert_int_equal(r->logprobs[0].token.id, 236776);
    assert_true(r->logprobs[0].token.logprob == -0.25 && r->logprobs[0].is_greedy);
    assert_int_equal(r->logprobs[0].n_top, 2);
    assert_true(as_str_eq_z(r->logprobs[0].top[1].text, "B"));
    client_close(&c);
    peer_stop(p);
}

static void models_that_are_not_opened(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int status;
        const char *model, *says;
    } rows[] = {
        {"", 200, thinking_model, "gemma-4-31b-it"},
        {"a/b", 200, thinking_model, "want a model's name"},
        {"a?key=x", 200, thinking_model, "want a model's name"},
        {"x", 404, REFUSAL("404", "models/x is not found", "NOT_FOUND", ""), "is not found"},
        {"x", 400, REFUSAL("400", "API key not valid.", "INVALID_ARGUMENT", ""), "GOOGLE_API_KEY"},
        {"x", 403, REFUSAL("403", "unregistered callers", "PERMISSION_DENIED", ""),
         "GEMINI_API_KEY"},
    };
    script *s = new_script();
    peer *p = peer_start(serve, s);
    const char *const urls[] = {peer_url(p), NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static client c;
        as_err err = {0};
        s->model = rows[i].model;
        s->model_status = rows[i].status;
        const as_code code =
            client_try_open(&c, &be_gemini, rows[i].name, urls, client_no_probe, first_key, &err);
        if (code != AS_RANGE || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: code %d, \"%s\"", rows[i].name, (int)code, err.text);
        assert_null(strstr(err.text, "secret"));
        client_close(&c);
    }
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_exactly_these),
        cmocka_unit_test(what_the_api_does_not_take),
        cmocka_unit_test(group9_streams_as_events_and_as_an_array),
        cmocka_unit_test(whole_replies),
        cmocka_unit_test(group4_group5_refusals),
        cmocka_unit_test(requests_a_minute_are_kept),
        cmocka_unit_test(keys_are_sent_in_one_head_alone),
        cmocka_unit_test(identity_and_the_probe_of_log_probabilities),
        cmocka_unit_test(models_that_are_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
