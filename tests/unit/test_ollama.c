/* test_ollama.c — the Ollama driver against a scripted peer that speaks the recorded forms of its
 * routes; no Ollama runs here. Group N: the group of that number in the list
 * of test_conformance.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "unit/client_support.h"
#include "unit/cm.h"

/* ---- the peer -----------------------------------------------------------------------------------
 */

static const char show[] =
    "{\"details\":{\"format\":\"gguf\",\"family\":\"gemma4\",\"parameter_size\":\"8.0B\","
    "\"quantization_level\":\"Q4_K_M\"},\"model_info\":{\"general.architecture\":\"gemma4\","
    "\"general.parameter_count\":7996157418,\"gemma4.context_length\":131072},\"template\":\"{{ "
    ".Prompt }}\",\"parameters\":\"temperature 1\",\"capabilities\":[\"completion\",\"vision\","
    "\"audio\",\"thinking\"]}";
static const char tags[] =
    "{\"models\":[{\"name\":\"gemma4:e4b\",\"model\":\"gemma4:e4b\",\"size\":5137025024,\"digest\":"
    "\"c0ffee\"}]}";
static const char ps[] =
    "{\"models\":[{\"name\":\"gemma4:e4b\",\"model\":\"gemma4:e4b\",\"size\":6137025024,"
    "\"size_vram\":5137025024,\"context_length\":4096,\"digest\":\"c0ffee\",\"details\":{}}]}";
static const char whole[] =
    "{\"model\":\"gemma4:e4b\",\"message\":{\"role\":\"assistant\",\"content\":\"ok\"},\"done\":"
    "true,\"done_reason\":\"stop\",\"prompt_eval_count\":9,\"eval_count\":1}";

typedef struct script {
    const char *show, *tags, *ps;
    const char *reply; /* to /api/chat and /api/generate */
    int status;
    size_t piece;
    bool is_stream;
    char body[8192], head[4096], path[128]; /* of the last request that was not /api/show */
    char bodies[8][2048];                   /* of all POSTs but /api/show */
    int n_bodies;
} script;

static void serve(void *user, const peer_request *rq, peer_conn *conn)
{
    script *s = user;
    if (strcmp(rq->path, "/api/version") == 0)
        (void)peer_reply(conn, 200, "", "{\"version\":\"0.33.2\"}");
    else if (strcmp(rq->path, "/api/tags") == 0)
        (void)peer_reply(conn, 200, "", s->tags != NULL ? s->tags : tags);
    else if (strcmp(rq->path, "/api/ps") == 0)
        (void)peer_reply(conn, 200, "", s->ps != NULL ? s->ps : ps);
    else if (strcmp(rq->path, "/api/show") == 0 && s->show == NULL)
        (void)peer_reply(conn, 404, "", "{\"error\":\"model 'x' not found\"}");
    else if (strcmp(rq->path, "/api/show") == 0)
        (void)peer_reply(conn, 200, "", s->show);
    else {
        (void)snprintf(s->body, sizeof s->body, "%s", rq->body);
        (void)snprintf(s->head, sizeof s->head, "%s", rq->head);
        (void)snprintf(s->path, sizeof s->path, "%s", rq->path);
        if (s->n_bodies < 8)
            (void)snprintf(s->bodies[s->n_bodies++], sizeof s->bodies[0], "%s", rq->body);
        if (s->is_stream)
            peer_stream(conn, "application/x-ndjson", s->reply, s->piece);
        else
            (void)peer_reply(conn, s->status != 0 ? s->status : 200, "",
                             s->reply != NULL ? s->reply : whole);
    }
}

static script *new_script(void)
{
    static script s;
    memset(&s, 0, sizeof s);
    s.show = show;
    return &s;
}

/* ---- requests -----------------------------------------------------------------------------------
 */

static const as_media both[] = {
    {.mime = AS_STR_INIT("image/png"), .bytes = AS_STR_INIT("\x89PNG")},
    {.is_audio = true, .mime = AS_STR_INIT("audio/wav"), .bytes = AS_STR_INIT("RIFFx")}};
static const as_message seen[] = {
    {.role = AS_STR_INIT("user"), .text = AS_STR_INIT("What?"), .media = both, .n_media = 2}};
static const as_message system_user_begun[] = {
    {.role = AS_STR_INIT("system"), .text = AS_STR_INIT("S")},
    {.role = AS_STR_INIT("user"), .text = AS_STR_INIT("U")},
    {.role = AS_STR_INIT("assistant"), .text = AS_STR_INIT("The answer is")}};

#define HEAD(stream)                                                                               \
    "{\"model\":\"gemma4:e4b\",\"stream\":" stream                                                 \
    ",\"keep_alive\":\"30m\",\"truncate\":false,\"shift\":false,"
#define HELLO "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],"
#define OPTIONS(rest)                                                                              \
    "\"options\":{\"num_ctx\":8192,\"num_predict\":16,\"repeat_penalty\":1," rest "}"

static const struct {
    const char *why;
    as_request rq;
    const char *path, *body;
    unsigned dropped;
} requests[] = {
    {"a chat",
     {.is_chat = true, .messages = client_hello, .n_messages = 1, .seed = 1ull << 40 | 5},
     "/api/chat",
     HEAD("true") HELLO "\"think\":false," OPTIONS(
         "\"temperature\":0,\"top_p\":0,\"min_p\":0,\"top_k\":0,\"seed\":5") "}",
     0},
    {"every field",
     {.is_chat = true,
      .messages = system_user_begun,
      .n_messages = 3,
      .sampling = {0.7, 0.95, 0.05, 64},
      .think = AS_THINK_ON,
      .stop = {AS_STR_INIT("\n\n"), AS_STR_INIT("Q:")},
      .n_stop = 2,
      .seed = 7,
      .top_logprobs = 5,
      .whole = true},
     "/api/chat",
     HEAD("false") "\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":\"user\","
                   "\"content\":\"U\"},{\"role\":\"assistant\",\"content\":\"The answer is\"}],"
                   "\"think\":true," OPTIONS(
                       "\"temperature\":0.7,\"top_p\":0.95,\"min_p\":0.05,\"top_k\":64,\"seed\":7,"
                       "\"stop\":[\"\\n\\n\",\"Q:\"]") ",\"logprobs\":true,\"top_logprobs\":5}",
     0},
    {"what is not sent",
     {.is_chat = true,
      .messages = client_hello,
      .n_messages = 1,
      .sampling = {0, (double)NAN, (double)NAN, -1},
      .reasoning_tokens = 100,
      .no_cache = true,
      .ignore_eos = true,
      .lora = AS_STR_INIT("x"),
      .top_logprobs = 30},
     "/api/chat",
     HEAD("true") HELLO "\"think\":false," OPTIONS(
         "\"temperature\":0,\"seed\":0") ",\"logprobs\":true,\"top_logprobs\":20}",
     AS_DROPPED_THINK_BUDGET | AS_DROPPED_NO_CACHE | AS_DROPPED_IGNORE_EOS | AS_DROPPED_LORA |
         AS_DROPPED_LOGPROBS},
    {"a picture and a client_sound, in one list and without a data: prefix",
     {.is_chat = true,
      .messages = seen,
      .n_messages = 1,
      .sampling = {0, (double)NAN, (double)NAN, -1}},
     "/api/chat",
     HEAD("true") "\"messages\":[{\"role\":\"user\",\"content\":\"What?\",\"images\":[\"iVBORw==\","
                  "\"UklGRng=\"]}],\"think\":false," OPTIONS("\"temperature\":0,\"seed\":0") "}",
     0},
    {"a text, without the template",
     {.prefix = AS_STR_INIT("The capital "),
      .prompt = AS_STR_INIT("of France is"),
      .sampling = {0, (double)NAN, (double)NAN, -1}},
     "/api/generate",
     HEAD("true") "\"prompt\":\"The capital of France is\",\"raw\":true," OPTIONS(
         "\"temperature\":0,\"seed\":0") "}",
     0},
};

static void requests_are_exactly_these(void **state)
{
    (void)state;
    script *s = new_script();
    s->reply = whole;
    static client c;
    client_start(&c, serve, s, &be_ollama, "gemma4:e4b", client_no_probe);
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
    client_close(&c);
}

static void what_the_model_cannot_is_refused_or_dropped(void **state)
{
    (void)state;
    script *s = new_script();
    s->show = "{\"details\":{},\"capabilities\":[\"completion\"]}";
    static client c;
    client_start(&c, serve, s, &be_ollama, "gemma4:e4b", client_no_probe);
    as_request rq = client_chat();
    rq.think = AS_THINK_ON;
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->dropped, AS_DROPPED_THINK);
    assert_non_null(strstr(s->body, "\"think\":false"));
    const as_media *const media[] = {&client_picture, &client_sound};
    for (int i = 0; i < 2; i++) {
        const as_message m = {.role = AS_STR("user"), .media = media[i], .n_media = 1};
        rq.messages = &m;
        r = client_ask(&c, &rq);
        assert_int_equal(r->error, AS_ERROR_UNSUPPORTED);
    }
    static const int32_t ids[] = {2, 818};
    const as_request by_ids = {.ids = ids, .n_ids = 2, .max_tokens = 1};
    assert_int_equal(client_ask(&c, &by_ids)->error, AS_ERROR_UNSUPPORTED);
    client_close(&c);
}

static void the_window_is_the_same_in_every_request(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        int total_tokens;
        const char *want;
    } rows[] = {
        {"ctx=3000", 20000, "\"num_ctx\":3000,"},     /* the user's word */
        {"probe=off", 0, "\"num_ctx\":8192,"},        /* nothing is known */
        {"probe=off", 8000, "\"num_ctx\":8192,"},     /* enough */
        {"probe=off", 9000, "\"num_ctx\":9216,"},     /* raised */
        {"probe=off", 200000, "\"num_ctx\":131072,"}, /* to what the model has */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        script *s = new_script();
        const char *const options[] = {"probe=off", rows[i].option, "keep_alive=-1", NULL};
        static client c;
        client_start(&c, serve, s, &be_ollama, "gemma4:e4b", options);
        as_err err = {0};
        assert_int_equal(c.be->driver->prepare(c.be, rows[i].total_tokens, 8, &err), AS_OK);
        const as_request rq = client_chat();
        (void)client_ask(&c, &rq);
        if (strstr(s->body, rows[i].want) == NULL)
            fail_msg("row %zu: no %s in %s", i, rows[i].want, s->body);
        assert_non_null(strstr(s->body, "\"keep_alive\":-1,"));
        client_close(&c);
    }
}

/* ---- replies ------------------------------------------------------------------------------------
 */

#define L(message)                                                                                 \
    "{\"model\":\"m\",\"message\":{\"role\":\"assistant\"," message "},\"done\":false}\n"
#define C(text)       L("\"content\":\"" text "\"")
#define T(text)       L("\"content\":\"\",\"thinking\":\"" text "\"")
#define END(more)     "{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":true" more "}\n"
#define STOP          ",\"done_reason\":\"stop\""
#define FIVE(x)       x x x x x
#define AGAIN         FIVE(FIVE(C("ha "))) FIVE(C("ha "))
#define AGAIN_THOUGHT FIVE(FIVE(T("hm\\n"))) FIVE(T("hm\\n"))
#define HA(x)         FIVE(FIVE(x)) FIVE(x)

static const struct {
    const char *why, *bytes, *text, *reasoning, *raw;
    as_finish finish;
    as_error_kind error;
    int64_t prompt_tokens, completion_tokens, load_ns, prompt_ns, generation_ns;
} streams[] = {
    {"plain", C("a") C("b") END(STOP), "ab", "", "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1,
     -1, -1},
    {"group8 durations above 2^31 and 2^32",
     C("a") END(STOP ",\"total_duration\":99000000000,\"load_duration\":2147483648,"
                     "\"prompt_eval_count\":26,\"prompt_eval_duration\":4294967297,\"eval_count\":"
                     "12,\"eval_duration\":86400000000001"),
     "a", "", "stop", AS_FINISH_STOP, AS_ERROR_NONE, 26, 12, 2147483648, 4294967297,
     86400000000001},
    {"group8 zero fields are left out", C("a") END(STOP ",\"eval_count\":1,\"eval_duration\":5"),
     "a", "", "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, 1, -1, -1, 5},
    {"group8 the last line without its end",
     C("a") "{\"message\":{\"content\":\"b\"},\"done\":true,\"done_reason\":\"length\"}", "ab", "",
     "length", AS_FINISH_LENGTH, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"group8 CR LF, blank lines",
     "\r\n{\"message\":{\"content\":\"a\"},\"done\":false}\r\n\n" END(STOP), "a", "", "stop",
     AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"group8 no done: true", C("a") C("b"), "ab", "", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1,
     -1, -1, -1, -1},
    {"group8 no done: true after a repetition: the text counts", C("x") AGAIN, "x" HA("ha "), "",
     "repetition", AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"group8 a repetition in the thinking", T("x") AGAIN_THOUGHT, "", "x" HA("hm\n") "",
     "repetition", AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"group8 a repetition that goes on is none", AGAIN C("x"), HA("ha ") "x", "", "",
     AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1, -1, -1, -1, -1},
    {"group8 nothing at all", "", "", "", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL, -1, -1, -1, -1,
     -1},
    {"group8 group4 an error line",
     C("a") "{\"error\":\"model runner has unexpectedly stopped\"}\n", "a", "", "", AS_FINISH_ERROR,
     AS_ERROR_SERVER, -1, -1, -1, -1, -1},
    {"group4 an error line of the window",
     "{\"error\":\"request (9000 tokens) exceeds the available context size (8192 tokens), try "
     "increasing it\"}\n",
     "", "", "", AS_FINISH_ERROR, AS_ERROR_CONTEXT, -1, -1, -1, -1, -1},
    {"done without a reason", C("a") END(""), "a", "", "", AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1, -1,
     -1, -1, -1},
    {"the reason for loading only", END(",\"done_reason\":\"load\""), "", "", "load",
     AS_FINISH_UNKNOWN, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"thinking", T("I ") T("think.") C("4") END(STOP), "4", "I think.", "stop", AS_FINISH_STOP,
     AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"thinking and answer in one line", L("\"thinking\":\"t\",\"content\":\"a\"") END(STOP), "a",
     "t", "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"thinking left in the text", C("<|chan") C("nel>thought\\nhm<chan") C("nel|>4") END(STOP), "4",
     "hm", "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"the form of texts",
     "{\"response\":\"a\",\"done\":false}\n{\"response\":\"\",\"thinking\":"
     "\"t\",\"done\":false}\n{\"response\":\"b\",\"done\":true,\"done_reason\":"
     "\"stop\"}\n",
     "ab", "t", "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1, -1, -1},
    {"characters of four bytes", C("\xF0\x9F\xA6\x99") C("\\ud83e\\udd99") END(STOP),
     "\xF0\x9F\xA6\x99\xF0\x9F\xA6\x99", "", "stop", AS_FINISH_STOP, AS_ERROR_NONE, -1, -1, -1, -1,
     -1},
    {"a line that is not JSON", C("a") "{\"mess\n", "a", "", "", AS_FINISH_ERROR, AS_ERROR_PROTOCOL,
     -1, -1, -1, -1, -1},
    {"null and numbers as lines", "null\n5\n[]\n" C("a") END(STOP), "a", "", "stop", AS_FINISH_STOP,
     AS_ERROR_NONE, -1, -1, -1, -1, -1},
};

static void check_stream(size_t i, size_t piece, const as_response *r)
{
    if (!as_str_eq_z(r->text, streams[i].text) ||
        !as_str_eq(r->reasoning, as_str_trim(as_str_of(streams[i].reasoning))) ||
        !as_str_eq_z(r->finish_raw, streams[i].raw) || r->finish != streams[i].finish ||
        r->error != streams[i].error)
        fail_msg("%s, pieces of %zu: text \"%.*s\", reasoning \"%.*s\", %s (%.*s), %s, \"%.*s\"",
                 streams[i].why, piece, AS_ARG(r->text), AS_ARG(r->reasoning),
                 as_finish_name(r->finish), AS_ARG(r->finish_raw), as_error_kind_name(r->error),
                 AS_ARG(r->message));
    if (r->prompt_tokens != streams[i].prompt_tokens ||
        r->completion_tokens != streams[i].completion_tokens ||
        r->server_load_ns != streams[i].load_ns || r->server_prompt_ns != streams[i].prompt_ns ||
        r->server_generation_ns != streams[i].generation_ns)
        fail_msg("%s: %lld + %lld tokens; load %lld, prompt %lld, generation %lld ns",
                 streams[i].why, (long long)r->prompt_tokens, (long long)r->completion_tokens,
                 (long long)r->server_load_ns, (long long)r->server_prompt_ns,
                 (long long)r->server_generation_ns);
    assert_int_equal(r->first_token_ns >= 0, r->text.n + r->reasoning.n != 0);
}

static void group8_group4_streams(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 0};
    for (size_t k = 0; k < 3; k++) {
        script *s = new_script();
        static client c;
        client_start(&c, serve, s, &be_ollama, "gemma4:e4b", client_no_probe);
        s->piece = pieces[k];
        s->is_stream = true;
        const as_request rq = client_chat();
        for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
            s->reply = streams[i].bytes;
            check_stream(i, pieces[k], client_ask(&c, &rq));
        }
        client_close(&c);
    }
}

static const char one_token[] =
    "{\"model\":\"m\",\"message\":{\"content\":\"4\"},\"done\":true,\"done_reason\":\"stop\","
    "\"logprobs\":[{\"token\":\"4\",\"logprob\":-0.01,\"bytes\":[52],\"top_logprobs\":[{\"token\":"
    "\"4\",\"logprob\":-0.01,\"bytes\":[52]},{\"token\":\"\\ufffd\",\"logprob\":-3.4e38,\"bytes\":"
    "[240,159]}]}]}";

static void whole_replies_and_log_probabilities(void **state)
{
    (void)state;
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_ollama, "gemma4:e4b", client_no_probe);
    as_request rq = client_chat();
    rq.whole = true;
    rq.top_logprobs = 2;
    for (int streams_too = 0; streams_too < 2; streams_too++) {
        s->reply = one_token;
        s->is_stream = rq.whole = streams_too == 0;
        s->is_stream = !rq.whole;
        const as_response *r = client_ask(&c, &rq);
        assert_int_equal(r->finish, AS_FINISH_STOP);
        assert_true(as_str_eq_z(r->text, "4"));
        assert_int_equal(r->n_logprobs, 1);
        assert_true(r->logprobs[0].is_greedy && !r->logprobs[0].is_bound);
        assert_int_equal(r->logprobs[0].n_top, 2);
        assert_true(as_str_eq_z(r->logprobs[0].top[1].text, "\xF0\x9F")); /* by its bytes */
        assert_true(isinf(r->logprobs[0].top[1].logprob));
    }
    s->is_stream = false;
    s->reply = "{\"model\":\"m\",\"message\":{\"content\":\"4\"}}";
    rq.whole = true;
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_PROTOCOL);
    client_close(&c);
}

static void group4_refusals(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        as_error_kind kind;
    } rows[] = {
        {400, "{\"error\":\"invalid option\"}", AS_ERROR_REQUEST},
        {400, "{\"error\":\"\\\"m\\\" does not support thinking\"}", AS_ERROR_UNSUPPORTED},
        {400, "{\"error\":\"the input length exceeds the context length\"}", AS_ERROR_CONTEXT},
        {400, "{\"error\":\"prompt too long; exceeded max context length by 4 tokens\"}",
         AS_ERROR_CONTEXT},
        {401, "{\"error\":\"unauthorized\"}", AS_ERROR_AUTH},
        {404, "{\"error\":\"model 'x' not found, try pulling it first\"}", AS_ERROR_NOT_FOUND},
        {500, "{\"error\":\"llama runner process has terminated\"}", AS_ERROR_SERVER},
        {503, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
         AS_ERROR_SERVER},
    };
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_ollama, "gemma4:e4b", client_no_probe);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        s->status = rows[i].status;
        s->reply = rows[i].body;
        const as_request rq = client_chat();
        const as_response *r = client_ask(&c, &rq);
        if (r->error != rows[i].kind || r->http_status != rows[i].status)
            fail_msg("row %zu: %s, %d", i, as_error_kind_name(r->error), r->http_status);
    }
    client_close(&c);
}

/* ---- scoring ------------------------------------------------------------------------------------
 */

#define ENTRY(token, value) "{\"token\":\"" token "\",\"logprob\":" value "}"
static const char options_reply[] =
    "{\"model\":\"m\",\"response\":\" A\",\"done\":true,\"done_reason\":\"length\","
    "\"prompt_eval_count\":6,\"logprobs\":[{\"token\":\" "
    "A\",\"logprob\":-0.5,\"top_logprobs\":[" ENTRY(" A", "-0.5") "," ENTRY("A", "-1.5") "," ENTRY(
        " B", "-2.5") "," ENTRY(" Pa", "-3.5") "]}]}";

static void first_tokens_are_scored_among_the_likeliest(void **state)
{
    (void)state;
    static const struct {
        const char *continuation;
        double logprob;
        bool is_bound, is_greedy;
    } rows[] = {
        {" A", -0.5, false, true},     {"A", -1.5, false, false},
        {" B", -2.5, false, false},    {" C", -3.5, true, false},    /* less likely than the last */
        {" Paris", -3.5, true, false}, {"Apple", -1.5, true, false}, /* may begin with a told one */
    };
    script *s = new_script();
    static client c;
    client_start(&c, serve, s, &be_ollama, "gemma4:e4b", client_no_probe);
    assert_int_equal(c.be->driver->caps(c.be) & (BE_CAN_SCORE | BE_CAN_SCORE_FIRST),
                     BE_CAN_SCORE_FIRST);
    s->reply = options_reply;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_request rq = client_text("is");
        rq.prefix = AS_STR("Q ");
        rq.ask = AS_ASK_SCORE;
        rq.continuation = as_str_of(rows[i].continuation);
        const as_response *r = client_ask(&c, &rq);
        if (r->finish != AS_FINISH_STOP || r->n_logprobs != 1 ||
            r->logprobs[0].token.logprob != rows[i].logprob ||
            r->logprobs[0].is_bound != rows[i].is_bound ||
            r->logprobs[0].is_greedy != rows[i].is_greedy ||
            !as_str_eq_z(r->logprobs[0].token.text, rows[i].continuation) || r->text.n != 0)
            fail_msg("\"%s\": %s, %d, %g: %.*s", rows[i].continuation, as_finish_name(r->finish),
                     r->n_logprobs, r->n_logprobs != 0 ? r->logprobs[0].token.logprob : 0,
                     AS_ARG(r->message));
    }
    assert_string_equal(
        s->body,
        HEAD("false") "\"prompt\":\"Q is\",\"raw\":true,\"options\":{\"num_ctx\":8192,"
                      "\"num_predict\":1,\"repeat_penalty\":1,\"temperature\":0,\"seed\":0}"
                      ",\"logprobs\":true,\"top_logprobs\":20}");
    as_request rq = client_text("is");
    rq.ask = AS_ASK_SCORE;
    rq.continuation = AS_STR("x");
    s->reply = "{\"response\":\"\",\"done\":true}"; /* an end token: no entry */
    assert_int_equal(client_ask(&c, &rq)->error, AS_ERROR_UNSUPPORTED);
    client_close(&c);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static const char *const empty_answer =
    "{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":true,\"response\":\"\",\"logprobs\":"
    "[{\"token\":\"a\",\"logprob\":-1,\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-1},{"
    "\"token\":"
    "\"b\",\"logprob\":-2}]}],\"_debug_info\":{\"rendered_template\":\"<|turn>user\\nHi\"}}";

static void identity_and_probes(void **state)
{
    (void)state;
    script *s = new_script();
    s->reply = empty_answer;
    peer *p = peer_start(serve, s);
    static client c;
    client_open(&c, &be_ollama, "", peer_url(p), NULL); /* the only model there is */
    const be_info *i = c.be->driver->info(c.be);
    assert_true(as_str_eq_z(i->model_name, "gemma4:e4b"));
    assert_true(as_str_eq_z(i->architecture, "gemma4"));
    assert_true(as_str_eq_z(i->quantization, "Q4_K_M"));
    assert_true(i->n_params == 7996157418 && i->file_bytes == 5137025024);
    assert_int_equal(i->n_ctx, 8192);
    assert_int_equal(i->max_concurrency, 1);
    assert_int_equal(i->template_sha256.n, 64);
    assert_non_null(strstr(i->json.p, "\"version\":\"0.33.2\""));
    assert_non_null(strstr(i->json.p, "\"digest\":\"c0ffee\""));
    assert_non_null(strstr(i->json.p, "\"size_vram\":5137025024"));
    assert_int_equal(c.be->driver->caps(c.be), BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED |
                                                   BE_CAN_LOGPROBS | BE_CAN_SCORE_FIRST |
                                                   BE_CAN_IMAGE | BE_CAN_AUDIO | BE_CAN_THINK |
                                                   BE_CAN_RENDER | BE_CAN_METRICS);
    /* The probe answered nothing without thinking: it stays on from now on, and that is told. */
    assert_non_null(strstr(i->json.p, "\"thinking\":\"cannot be switched off\""));
    as_request rq = client_chat();
    rq.think = AS_THINK_OFF;
    const as_response *r = client_ask(&c, &rq);
    assert_int_equal(r->dropped, AS_DROPPED_THINK);
    assert_non_null(strstr(s->body, "\"think\":true"));
    /* All that load a model carry the same window. */
    assert_int_equal(s->n_bodies, 4);
    for (int k = 0; k < s->n_bodies; k++)
        assert_non_null(strstr(s->bodies[k], "\"num_ctx\":8192,"));
    be_metrics m;
    as_err err = {0};
    assert_int_equal(c.be->driver->metrics(c.be, &m, &err), AS_OK);
    assert_true(m.model_bytes == 6137025024.0 && m.gpu_bytes == 5137025024.0 && isnan(m.running));
    as_str prompt;
    assert_int_equal(c.be->driver->render(c.be, &rq, &prompt, &c.arena, &err), AS_OK);
    assert_true(as_str_eq_z(prompt, "<|turn>user\nHi"));
    /* A chat is scored after the prompt it becomes. */
    rq.ask = AS_ASK_SCORE;
    rq.continuation = AS_STR("b");
    r = client_ask(&c, &rq);
    assert_int_equal(r->finish, AS_FINISH_STOP);
    assert_true(r->logprobs[0].token.logprob == -2);
    assert_non_null(strstr(s->body, "\"prompt\":\"<|turn>user\\nHi\""));
    client_close(&c);
    peer_stop(p);
}

static const char *keys(const char *name)
{
    return strcmp(name, "OLLAMA_API_KEY") == 0 ? "secret-1" : NULL;
}

static void models_that_are_not_opened(void **state)
{
    (void)state;
    static const char *const cloud[] = {"probe=off", "cloud=on", NULL};
    static const char *const bad_cloud[] = {"cloud=yes", NULL};
    static const char *const bad_keep[] = {"keep_alive=\"", NULL};
    static const struct {
        const char *name, *show, *tags;
        const char *const *options;
        as_code code;
        const char *says;
    } rows[] = {
        {"x", NULL, NULL, client_no_probe, AS_RANGE, "ollama pull x"},
        {"gpt-oss:120b-cloud", show, NULL, client_no_probe, AS_RANGE, "cloud=on"},
        {"qwen3:cloud", show, NULL, client_no_probe, AS_RANGE, "cloud=on"},
        {"alias", "{\"remote_host\":\"https://ollama.com\"}", NULL, client_no_probe, AS_RANGE,
         "cloud=on"},
        {"qwen3:cloud", show, NULL, cloud, AS_OK, ""},
        {"", show, "{\"models\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", client_no_probe, AS_RANGE,
         "a, b"},
        {"", show, "{\"models\":[]}", client_no_probe, AS_RANGE, "none"},
        {"m", show, NULL, bad_cloud, AS_RANGE, "on or off"},
        {"m", show, NULL, bad_keep, AS_RANGE, "30m"},
    };
    script *s = new_script();
    peer *p = peer_start(serve, s);
    const char *const urls[] = {peer_url(p), NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static client c;
        as_err err = {0};
        s->show = rows[i].show;
        s->tags = rows[i].tags;
        const as_code code =
            client_try_open(&c, &be_ollama, rows[i].name, urls, rows[i].options, keys, &err);
        if (code != rows[i].code || strstr(err.text, rows[i].says) == NULL)
            fail_msg("%s: code %d, \"%s\"", rows[i].name, (int)code, err.text);
        if (code == AS_OK) { /* the cloud tells no log-probabilities */
            assert_int_equal(c.be->driver->caps(c.be) & (BE_CAN_LOGPROBS | BE_CAN_SCORE_FIRST), 0);
            const as_request rq = client_chat();
            (void)client_ask(&c, &rq);
            assert_non_null(strstr(s->head, "Authorization: Bearer secret-1\r\n"));
            assert_null(strstr(c.be->driver->info(c.be)->json.p, "secret-1"));
        }
        client_close(&c);
    }
    peer_stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_exactly_these),
        cmocka_unit_test(what_the_model_cannot_is_refused_or_dropped),
        cmocka_unit_test(the_window_is_the_same_in_every_request),
        cmocka_unit_test(group8_group4_streams),
        cmocka_unit_test(whole_replies_and_log_probabilities),
        cmocka_unit_test(group4_refusals),
        cmocka_unit_test(first_tokens_are_scored_among_the_likeliest),
        cmocka_unit_test(identity_and_probes),
        cmocka_unit_test(models_that_are_not_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
