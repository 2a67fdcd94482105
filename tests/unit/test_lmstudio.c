/* test_lmstudio.c — the LM Studio driver against a scripted peer that speaks the recorded forms of its
 * routes; no LM Studio runs here. Group N: the group of that number in the list
 * of test_conformance.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "unit/client_support.h"
#include "unit/cm.h"

/* ---- the peer -----------------------------------------------------------------------------------
 */

#define INSTANCE(id, ctx)                                                                          \
    "{\"id\":\"" id "\",\"config\":{\"context_length\":" ctx ",\"parallel\":2}}"
#define MODEL(key, capabilities, instances)                                                        \
    "{\"type\":\"llm\",\"key\":\"" key                                                             \
    "\",\"architecture\":\"gemma4\",\"quantization\":{\"name\":\"Q4_K_M\",\"bits_per_weight\":4}," \
    "\"size_bytes\":17990911801,\"params_string\":\"26B-A4B\",\"max_context_length\":262144,"      \
    "\"capabilities\":{" capabilities "},\"loaded_instances\":[" instances "]}"
#define EYES  "\"vision\":true,"
#define THINK "\"reasoning\":{\"allowed_options\":[\"off\",\"on\"],\"default\":\"on\"}"

static const char v1_models[] =
    "{\"models\":[{\"type\":\"embedding\",\"key\":\"e\",\"loaded_instances\":[{\"id\":\"e\"}]}"
    "," MODEL("cold", "\"vision\":false", "") "," MODEL(
        "gemma", EYES THINK, INSTANCE("gemma", "4096") "," INSTANCE("gemma:2", "16384")) "]"
                                                                                         "}";
static const char v0_models[] =
    "{\"object\":\"list\",\"data\":[{\"id\":\"old\",\"type\":\"llm\",\"state\":\"not-loaded\"},{"
    "\"id\":"
    "\"gemma\",\"type\":\"vlm\",\"arch\":\"gemma4\",\"quantization\":\"Q8_0\",\"state\":\"loaded\","
    "\"loaded_context_length\":8192}]}";
/* What it says, with status 200, to a route that it does not have. */
static const char no_route[] =
    "{\"error\":\"Unexpected endpoint or method. (GET /api/v1/models)\"}";
static const char whole[] =
    "{\"model\":\"gemma\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
    "\"content\":"
    "\"A\",\"reasoning_content\":\"R\"},\"finish_reason\":\"stop\",\"logprobs\":null}],\"usage\":{"
    "\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12},\"stats\":{"
    "\"tokens_per_second\":51.4,\"time_to_first_token\":0.111,\"generation_time\":3.5,"
    "\"stop_reason\":\"eosFound\"},\"model_info\":{\"arch\":\"gemma4\"},\"runtime\":{\"name\":"
    "\"llama.cpp\"}}";

typedef struct script {
    const char *v1, *v0; /* NULL: the route is not there */
    const char *load;
    const char *reply;
    int status;
    size_t piece;
    bool is_stream;
    char body[4096], path[128], loaded[1024];
} script;

static void serve(void *user, const peer_request *rq, peer_conn *conn)
{
    script *s = user;
    if (strcmp(rq->path, "/v1/models") == 0)
        (void)client_serve_models(rq, conn);
    else if (strcmp(rq->path, "/api/v1/models") == 0)
        (void)peer_reply(conn, 200, "", s->v1 != NULL ? s->v1 : no_route);
    else if (strcmp(rq->path, "/api/v0/models") == 0)
        (void)peer_reply(conn, 200, "", s->v0 != NULL ? s->v0 : no_route);
    else if (strcmp(rq->path, "/api/v1/models/load") == 0) {
        (void)snprintf(s->loaded, sizeof s->loaded, "%s", rq->body);
        (void)peer_reply(conn, s->load != NULL ? 200 : 400, "",
                         s->load != NULL ? s->load
                                         : "{\"error\":{\"type\":\"x\",\"message\":\"no room\"}}");
    } else {
        (void)snprintf(s->body, sizeof s->body, "%s", rq->body);
        (void)snprintf(s->path, sizeof s->path, "%s", rq->path);
        if (s->is_stream)
            peer_stream(conn, "text/event-stream", s->reply, s->piece);
        else
            (void)peer_reply(conn, s->status != 0 ? s->status : 200, "",
                             s->reply != NULL ? s->reply : whole);
    }
}

static script *new_script(void)
{
    static script s;
    memset(&s, 0, sizeof s);
    s.v1 = v1_models;
    s.v0 = v0_models;
    return &s;
}

/* ---- requests -----------------------------------------------------------------------------------
 */

static const as_message begun[] = {
    {.role = AS_STR_INIT("system"), .text = AS_STR_INIT("S")},
    {.role = AS_STR_INIT("user"), .text = AS_STR_INIT("U")},
    {.role = AS_STR_INIT("assistant"), .text = AS_STR_INIT("The answer is")}};

#define GREEDY .sampling = {0, (double)NAN, (double)NAN, -1}
#define STREAM "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"repeat_penalty\":1}"

static const struct {
    const char *why;
    as_request rq;
    const char *path, *body;
    unsigned dropped;
} requests[] = {
    {"a chat",
     {.is_chat = true, .messages = client_hello, .n_messages = 1, GREEDY, .seed = 5},
     "/api/v0/chat/completions",
     "{\"model\":\"gemma:2\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],"
     "\"reasoning_effort\":\"none\",\"max_tokens\":16,\"temperature\":0,\"seed\":5," STREAM,
     0},
    {"every field",
     {.is_chat = true,
      .messages = begun,
      .n_messages = 3,
      .sampling = {0.7, 0.95, (double)NAN, 64},
      .think = AS_THINK_ON,
      .stop = {AS_STR_INIT("\n\n")},
      .n_stop = 1,
      .seed = 7,
      .whole = true},
     "/api/v0/chat/completions",
     "{\"model\":\"gemma:2\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":"
     "\"user\",\"content\":\"U\"},{\"role\":\"assistant\",\"content\":\"The answer is\"}],"
     "\"reasoning_effort\":\"medium\",\"max_tokens\":16,\"temperature\":0.7,\"top_p\":0.95,"
     "\"top_k\":64,\"seed\":7,\"stop\":[\"\\n\\n\"],\"stream\":false,\"repeat_penalty\":1}",
     0},
    {"what is not sent",
     {.is_chat = true,
      .messages = client_hello,
      .n_messages = 1,
      .sampling = {0, (double)NAN, 0.1, -1},
      .reasoning_tokens = 100,
      .no_cache = true,
      .ignore_eos = true,
      .lora = AS_STR_INIT("x"),
      .top_logprobs = 5},
     "/api/v0/chat/completions",
     "{\"model\":\"gemma:2\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],"
     "\"reasoning_effort\":\"none\",\"max_tokens\":16,\"temperature\":0,\"seed\":0," STREAM,
     AS_DROPPED_THINK_BUDGET | AS_DROPPED_NO_CACHE | AS_DROPPED_IGNORE_EOS | AS_DROPPED_LORA |
         AS_DROPPED_LOGPROBS | AS_DROPPED_MIN_P},
    {"a picture",
     {.is_chat = true, .messages = client_seen, .n_messages = 1, GREEDY},
     "/api/v0/chat/completions",
     "{\"model\":\"gemma:2\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
     "\"image_url\":{\"url\":\"data:image/png;base64,iVBORw==\"}},{\"type\":\"text\",\"text\":"
     "\"What?\"}]}],\"reasoning_effort\":\"none\",\"max_tokens\":16,\"temperature\":0,\"seed\":"
     "0," STREAM,
     0},
    {"a text",
     {.prefix = AS_STR_INIT("The capital "), .prompt = AS_STR_INIT("of France is"), GREEDY},
     "/api/v0/completions",
     "{\"model\":\"gemma:2\",\"prompt\":\"The capital of France is\",\"max_tokens\":16,"
     "\"temperature\":0,\"seed\":0," STREAM,
     0},
};

static void requests_are_exactly_these(void **state)
{
    (void)state;
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_lmstudio, "gemma", NULL);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        as_request rq = requests[i].rq;
        rq.max_tokens = 16;
        const as_response *r = client_ask(&c, &rq);
        if (strcmp(s->body, requests[i].body) != 0 || strcmp(s->path, requests[i].path) != 0)
            fail_msg("%s: %s\n%s\nwant %s\n%s", requests[i].why, s->path, s->body, requests[i].path,
                     requests[i].body);
        if (r->finish != AS_FINISH_STOP || r->dropped != requests[i].dropped)
            fail_msg("%s: %s, dropped %x, want %x: %.*s", requests[i].why,
                     as_finish_name(r->finish), r->dropped, requests[i].dropped,
                     AS_ARG(r->message));
    }
    as_request rq = client_chat();
    const as_message heard = {.role = AS_STR("user"), .media = &client_sound, .n_media = 1};
    rq.messages = &heard;
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_UNSUPPORTED);
    static const int32_t ids[] = {2, 818};
    const as_request by_ids = {.ids = ids, .n_ids = 2, .max_tokens = 1};
    assert_int_equal(client_ask(&c, &by_ids)->error, AS_ERROR_UNSUPPORTED);
    as_request score = client_text("x");
    score.ask = AS_ASK_SCORE;
    score.continuation = AS_STR("y");
    assert_int_equal(client_ask(&c, &score)->error, AS_ERROR_UNSUPPORTED);
    client_close(&c);
}

/* ---- replies ------------------------------------------------------------------------------------
 */

#define D(delta)                                                                                   \
    "data: {\"model\":\"gemma\",\"choices\":[{\"index\":0,\"delta\":{" delta                       \
    "},\"finish_reason\":null}]}\n\n"
#define C(text) D("\"content\":\"" text "\"")
#define F(more)                                                                                    \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]" more "}\n\n"
#define STATS(reason)                                                                              \
    ",\"stats\":{\"time_to_first_token\":2.5,\"generation_time\":100.25,\"stop_reason\":\"" reason \
    "\"}"
#define USAGE "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}\n\n"
#define DONE  "data: [DONE]\n\n"

static const struct {
    const char *why, *bytes, *text, *reasoning, *raw;
    as_finish finish;
    as_error_kind error;
    int64_t completion_tokens, prompt_ns, generation_ns;
} streams[] = {
    {"plain, as under /v1", C("a") C("b") F("") DONE, "ab", "", "stop", AS_FINISH_STOP,
     AS_ERROR_NONE, -1, -1, -1},
    {"times are in seconds", C("a") F(STATS("eosFound")) USAGE DONE, "a", "", "eosFound",
     AS_FINISH_STOP, AS_ERROR_NONE, 5, 2500000000, 100250000000},
    {"a stop text", C("a") F(STATS("stopStringFound")) DONE, "a", "", "stopStringFound",
     AS_FINISH_STOP_TEXT, AS_ERROR_NONE, -1, 2500000000, 100250000000},
    {"the limit", C("a") F(STATS("maxPredictedTokensReached")) DONE, "a", "",
     "maxPredictedTokensReached", AS_FINISH_LENGTH, AS_ERROR_NONE, -1, 2500000000, 100250000000},
    {"the window", C("a") F(STATS("contextLengthReached")) DONE, "a", "", "contextLengthReached",
     AS_FINISH_LENGTH, AS_ERROR_NONE, -1, 2500000000, 100250000000},
    {"an end without a meaning here", C("a") F(STATS("userStopped")) DONE, "a", "", "userStopped",
     AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1, 2500000000, 100250000000},
    {"the times behind the end",
     C("a") F("") "data: {\"choices\":[]" STATS("eosFound") "}\n\n" DONE, "a", "", "eosFound",
     AS_FINISH_STOP, AS_ERROR_NONE, -1, 2500000000, 100250000000},
    {"reasoning_content", D("\"reasoning_content\":\"t\"") C("a") F("") DONE, "a", "t", "stop",
     AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1},
    {"reasoning", D("\"reasoning\":\"t\"") C("a") F("") DONE, "a", "t", "stop", AS_FINISH_STOP,
     AS_ERROR_NONE, -1, -1, -1},
    {"marks left in the text", C("<|channel>thou") C("ght\\nhm<channel|>4") F("") DONE, "4", "hm",
     "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1},
    {"group4 an error line", C("a") "data: {\"error\":{\"message\":\"Model unloaded\"}}\n\n", "a",
     "", "", AS_FINISH_ERROR, AS_ERROR_SERVER, -1, -1, -1},
    {"group4 an error event",
     C("a") "event: error\ndata: {\"error\":{\"type\":\"model_not_found\",\"message\":\"x\"}}\n\n",
     "a", "", "", AS_FINISH_ERROR, AS_ERROR_NOT_FOUND, -1, -1, -1},
    {"no end", C("a"), "a", "", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1, -1, -1},
};

static void group4_streams(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 0};
    for (size_t k = 0; k < 3; k++) {
        script *s = new_script();
        static client c;
        client_start(&c, serve, s, &be_lmstudio, "gemma", NULL);
        s->piece = pieces[k];
        s->is_stream = true;
        const as_request rq = client_chat();
        for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
            s->reply = streams[i].bytes;
            const as_response *r = client_ask(&c, &rq);
            if (!as_str_eq_z(r->text, streams[i].text) ||
                !as_str_eq_z(r->reasoning, streams[i].reasoning) ||
                !as_str_eq_z(r->finish_raw, streams[i].raw) || r->finish != streams[i].finish ||
                r->error != streams[i].error ||
                r->completion_tokens != streams[i].completion_tokens ||
                r->server_prompt_ns != streams[i].prompt_ns ||
                r->server_generation_ns != streams[i].generation_ns)
                fail_msg("%s, pieces of %zu: text \"%.*s\", reasoning \"%.*s\", %s (%.*s), %s, "
                         "%lld, %lld ns, \"%.*s\"",
                         streams[i].why, pieces[k], AS_ARG(r->text), AS_ARG(r->reasoning),
                         as_finish_name(r->finish), AS_ARG(r->finish_raw),
                         as_error_kind_name(r->error), (long long)r->server_prompt_ns,
                         (long long)r->server_generation_ns, AS_ARG(r->message));
        }
        client_close(&c);
    }
}

static void whole_replies(void **state)
{
    (void)state;
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_lmstudio, "gemma", NULL);
    as_request rq = client_chat();
    rq.whole = true;
    const as_response *r = client_ask(&c, &rq);
    assert_true(as_str_eq_z(r->text, "A") && as_str_eq_z(r->reasoning, "R"));
    assert_int_equal(r->finish, AS_FINISH_STOP);
    assert_true(r->server_prompt_ns == 111000000 && r->server_generation_ns == 3500000000);
    assert_true(r->prompt_tokens == 9 && r->completion_tokens == 3);
    assert_true(as_str_eq_z(r->model, "gemma"));
    static const struct {
        int status;
        const char *body;
        as_error_kind kind;
    } rows[] = {
        {200, "{\"error\":\"Unexpected endpoint or method. (POST /x)\"}", AS_ERROR_SERVER},
        {200, "{\"stats\":{}}", AS_ERROR_PROTOCOL},
        {401, "{\"error\":{\"message\":\"no token\",\"type\":\"invalid_request\"}}", AS_ERROR_AUTH},
        {404, "{\"error\":{\"type\":\"model_not_found\",\"message\":\"x\",\"param\":\"model\"}}",
         AS_ERROR_NOT_FOUND},
        {400,
         "{\"error\":\"Trying to keep the first 4646 tokens when context the overflows. However, "
         "the "
         "model is loaded with context length of only 4096 tokens, which is not enough.\"}",
         AS_ERROR_CONTEXT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s->status = rows[i].status;
        s->reply = rows[i].body;
        r = client_ask(&c, &rq);
        if (r->error != rows[i].kind)
            fail_msg("row %zu: %s: %.*s", i, as_error_kind_name(r->error), AS_ARG(r->message));
    }
    client_close(&c);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static const unsigned all_caps =
    BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED | BE_CAN_IMAGE | BE_CAN_THINK;

static void identity_by_what_there_is(void **state)
{
    (void)state;
    static const struct {
        const char *why, *name, *v1, *v0;
        unsigned caps;
        const char *model, *path, *quantization;
        int n_ctx, max_concurrency;
    } rows[] = {
        {"the widest instance of what is loaded", "", v1_models, v0_models, all_caps, "gemma:2",
         "/api/v0/chat/completions", "Q4_K_M", 16384, 2},
        {"by an instance's name", "gemma:2", v1_models, v0_models, all_caps, "gemma:2",
         "/api/v0/chat/completions", "Q4_K_M", 16384, 2},
        {"not loaded", "cold", v1_models, v0_models, BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED,
         "cold", "/api/v0/chat/completions", "Q4_K_M", 0, 4},
        {"without v0", "gemma", v1_models, NULL, all_caps, "gemma:2", "/v1/chat/completions",
         "Q4_K_M", 16384, 2},
        {"v0 alone", "", NULL, v0_models, all_caps, "gemma", "/api/v0/chat/completions", "Q8_0",
         8192, 1},
        {"neither", "m", NULL, NULL, all_caps, "m", "/v1/chat/completions", "", 4096, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        script *s = new_script();
        s->v1 = rows[i].v1;
        s->v0 = rows[i].v0;
        static client c;
        client_start(&c, serve, s, &be_lmstudio, rows[i].name, NULL);
        const be_info *info = c.be->driver->info(c.be);
        const as_request rq = client_chat();
        (void)client_ask(&c, &rq);
        char model[64];
        (void)snprintf(model, sizeof model, "{\"model\":\"%s\",", rows[i].model);
        if (c.be->driver->caps(c.be) != rows[i].caps || info->n_ctx != rows[i].n_ctx ||
            info->max_concurrency != rows[i].max_concurrency ||
            !as_str_eq_z(info->quantization, rows[i].quantization) ||
            strcmp(s->path, rows[i].path) != 0 ||
            !as_str_starts(as_str_of(s->body), as_str_of(model)))
            fail_msg("%s: caps %x, window %d, at once %d, %.*s, %s %s", rows[i].why,
                     c.be->driver->caps(c.be), info->n_ctx, info->max_concurrency,
                     AS_ARG(info->quantization), s->path, s->body);
        assert_int_equal(s->loaded[0], 0);
        client_close(&c);
    }
}

static void a_window_that_is_asked_for_is_loaded(void **state)
{
    (void)state;
    static const char *const narrow[] = {"ctx=8192", NULL}, *const wide[] = {"ctx=32768", NULL};
    script *s = new_script();
    peer *p = peer_start(serve, s);
    const char *const urls[] = {peer_url(p), NULL};
    static client c;
    client_open(&c, &be_lmstudio, "gemma", peer_url(p), narrow); /* there is one */
    assert_int_equal(s->loaded[0], 0);
    assert_int_equal(c.be->driver->info(c.be)->n_ctx, 16384);
    client_close(&c);
    s->load =
        "{\"type\":\"llm\",\"instance_id\":\"gemma:3\",\"status\":\"loaded\",\"load_config\":{"
        "\"context_length\":32768,\"parallel\":3}}";
    client_open(&c, &be_lmstudio, "gemma", peer_url(p), wide);
    assert_string_equal(s->loaded, "{\"model\":\"gemma\",\"context_length\":32768,"
                                   "\"echo_load_config\":true}");
    assert_int_equal(c.be->driver->info(c.be)->n_ctx, 32768);
    assert_int_equal(c.be->driver->info(c.be)->max_concurrency, 3);
    const as_request rq = client_chat();
    (void)client_ask(&c, &rq);
    assert_non_null(strstr(s->body, "\"model\":\"gemma:3\""));
    client_close(&c);
    s->load = NULL;
    as_err err = {0};
    assert_int_equal(client_try_open(&c, &be_lmstudio, "gemma", urls, wide, NULL, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "no room"));
    client_close(&c);
    assert_int_equal(client_try_open(&c, &be_lmstudio, "none", urls, NULL, NULL, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "cold, gemma"));
    client_close(&c);
    s->v1 = "{\"models\":[" MODEL("cold", "", "") "]}";
    assert_int_equal(client_try_open(&c, &be_lmstudio, "", urls, NULL, NULL, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "no model is loaded"));
    client_close(&c);
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_exactly_these),
        cmocka_unit_test(group4_streams),
        cmocka_unit_test(whole_replies),
        cmocka_unit_test(identity_by_what_there_is),
        cmocka_unit_test(a_window_that_is_asked_for_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
