/* test_wire.c — the readers of what servers send: events, JSON lines, errors, waits, metrics, marks;
 * and the limiter. Group N: the group of the same number of the list in test_conformance.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/http/endpoints.h"
#include "backend/http/errors.h"
#include "backend/http/hints.h"
#include "backend/http/limiter.h"
#include "backend/http/loop.h"
#include "backend/http/markup.h"
#include "backend/http/prometheus.h"
#include "backend/http/sse.h"
#include "unit/cm.h"

static const int64_t SECOND = 1000000000;

/* ---- events and lines --------------------------------------------------------------------------
 */

typedef struct heard {
    as_buf text; /* "[name]data;" for each event */
    int n, stop_after;
} heard;

static bool hear(void *user, as_str name, as_str data)
{
    heard *h = user;
    h->n++;
    if (data.n > 1000)
        (void)as_buf_printf(&h->text, "[%.*s]%zu bytes;", AS_ARG(name), data.n);
    else
        (void)as_buf_printf(&h->text, "[%.*s]%.*s;", AS_ARG(name), AS_ARG(data));
    return h->n != h->stop_after;
}

static const struct {
    const char *why;
    bool is_lines;
    const char *bytes, *want;
} streams[] = {
    {"two events", false, "data: a\n\ndata: b\n\n", "[]a;[]b;"},
    {"CR LF", false, "data: a\r\n\r\ndata: b\r\n\r\n", "[]a;[]b;"},
    {"CR alone", false, "data: a\r\rdata: b\r\r", "[]a;[]b;"},
    {"mixed line ends", false, "data: a\r\n\ndata: b\r\r\ndata: c\n\r", "[]a;[]b;[]c;"},
    {"comments between", false, ": ping\n\ndata: a\n: ping\ndata: b\n\n:\n\n", "[]a\nb;"},
    {"no space behind the colon", false, "data:a\n\n", "[]a;"},
    {"only one space is dropped", false, "data:  a\n\n", "[] a;"},
    {"several data lines", false, "data: a\ndata: b\ndata:\n\n", "[]a\nb\n;"},
    {"names", false, "event: message.delta\ndata: a\n\ndata: b\n\n", "[message.delta]a;[]b;"},
    {"an event without data is none", false, "event: x\n\ndata: a\n\n", "[]a;"},
    {"id, retry and unknown fields", false, "id: 1\nretry: 5\nfoo: x\ndata: a\n\n", "[]a;"},
    {"a field without colon", false, "data\n\ndata: a\n\n", "[];[]a;"},
    {"missing last blank line", false, "data: a\n\ndata: b\n", "[]a;[]b;"},
    {"missing last line end", false, "data: a\n\ndata: [DONE]", "[]a;[][DONE];"},
    {"byte order mark", false,
     "\xEF\xBB\xBF"
     "data: a\n\n",
     "[]a;"},
    {"null is an event like others", false, "data: null\n\n", "[]null;"},
    {"characters of several bytes", false, "data: \xC3\xA9\xF0\x9F\xA6\x99\n\n",
     "[]\xC3\xA9\xF0\x9F\xA6\x99;"},
    {"JSON lines", true, "{\"a\":1}\n{\"b\":2}\n", "[]{\"a\":1};[]{\"b\":2};"},
    {"JSON lines: blank lines, CR LF", true, "\r\n{\"a\":1}\r\n\n\n{\"b\":2}\r\n",
     "[]{\"a\":1};[]{\"b\":2};"},
    {"JSON lines: the last without line end", true, "{\"a\":1}\n{\"b\":2}",
     "[]{\"a\":1};[]{\"b\":2};"},
};

static void feed_parts(ht_sse *s, as_str all, size_t a, size_t b)
{
    assert_int_equal(ht_sse_feed(s, as_str_sub(all, 0, a), NULL), AS_OK);
    assert_int_equal(ht_sse_feed(s, as_str_sub(all, a, b), NULL), AS_OK);
    assert_int_equal(ht_sse_feed(s, as_str_sub(all, b, all.n), NULL), AS_OK);
    assert_int_equal(ht_sse_end(s, NULL), AS_OK);
}

static void group1_streams_split_at_every_two_positions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        const as_str all = as_str_of(streams[i].bytes);
        heard h = {0};
        as_buf_init(&h.text, 0);
        ht_sse s;
        ht_sse_init(&s, streams[i].is_lines, hear, &h);
        for (size_t a = 0; a <= all.n; a++)
            for (size_t b = a; b <= all.n; b++) {
                as_buf_reset(&h.text);
                ht_sse_reset(&s);
                feed_parts(&s, all, a, b);
                if (!as_str_eq_z(as_buf_str(&h.text), streams[i].want))
                    fail_msg("%s, cut at %zu and %zu: got %s", streams[i].why, a, b, h.text.p);
            }
        ht_sse_release(&s);
        as_buf_release(&h.text);
    }
}

static void group1_line_of_8_mib_and_limit(void **state)
{
    (void)state;
    enum { EIGHT = 8 << 20, PIECE = 65536 };
    char *piece = malloc(PIECE);
    assert_non_null(piece);
    memset(piece, 'x', PIECE);
    heard h = {0};
    as_buf_init(&h.text, 0);
    ht_sse s;
    ht_sse_init(&s, false, hear, &h);
    assert_int_equal(ht_sse_feed(&s, AS_STR("data: "), NULL), AS_OK);
    for (size_t n = 0; n < EIGHT; n += PIECE)
        assert_int_equal(ht_sse_feed(&s, (as_str){piece, PIECE}, NULL), AS_OK);
    assert_int_equal(ht_sse_feed(&s, AS_STR("\n\n"), NULL), AS_OK);
    assert_string_equal(h.text.p, "[]8388608 bytes;");
    as_err err = {0};
    as_code c = AS_OK;
    size_t n_taken = 0;
    for (; c == AS_OK && n_taken < (size_t)HT_MAX_LINE * 2; n_taken += PIECE)
        c = ht_sse_feed(&s, (as_str){piece, PIECE}, &err);
    assert_int_equal(c, AS_RANGE);
    assert_true(n_taken > HT_MAX_LINE && n_taken <= (size_t)HT_MAX_LINE + 2 * PIECE);
    assert_non_null(strstr(err.text, "16777216 bytes"));
    ht_sse_release(&s);
    as_buf_release(&h.text);
    free(piece);
}

static void reading_stops_when_told(void **state)
{
    (void)state;
    heard h = {.stop_after = 1};
    as_buf_init(&h.text, 0);
    ht_sse s;
    ht_sse_init(&s, false, hear, &h);
    assert_int_equal(ht_sse_feed(&s, AS_STR("data: a\n\ndata: b\n\n"), NULL), AS_CANCELLED);
    assert_int_equal(h.n, 1);
    ht_sse_release(&s);
    as_buf_release(&h.text);
}

/* ---- errors -------------------------------------------------------------------------------------
 */

static const struct {
    const char *why;
    int status;
    const char *head, *body;
    as_error_kind kind;
    const char *message; /* begins with */
    int64_t retry_ms;
    bool is_overload;
} errors[] = {
    {"llama.cpp", 400, "",
     "{\"error\":{\"code\":400,\"message\":\"bad x\",\"type\":\"invalid_request_error\"}}",
     AS_ERROR_REQUEST, "bad x", -1, false},
    {"llama.cpp, window", 400, "",
     "{\"error\":{\"code\":400,\"message\":\"the request (9 tokens) is too large\",\"type\":"
     "\"exceed_context_size_error\",\"n_prompt_tokens\":9,\"n_ctx\":8}}",
     AS_ERROR_CONTEXT, "the request", -1, false},
    {"llama.cpp, window by its counts alone", 400, "",
     "{\"error\":{\"code\":400,\"message\":\"no\",\"n_prompt_tokens\":9,\"n_ctx\":8}}",
     AS_ERROR_CONTEXT, "no", -1, false},
    {"llama.cpp, key", 401, "",
     "{\"error\":{\"code\":401,\"message\":\"Invalid API Key\",\"type\":\"authentication_error\"}}",
     AS_ERROR_AUTH, "Invalid", -1, false},
    {"llama.cpp, loading", 503, "",
     "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
     AS_ERROR_SERVER, "Loading model", -1, true},
    {"llama.cpp, off", 501, "",
     "{\"error\":{\"code\":501,\"message\":\"no metrics\",\"type\":\"not_supported_error\"}}",
     AS_ERROR_UNSUPPORTED, "no metrics", -1, false},
    {"llama.cpp, malformed JSON is a 500", 500, "",
     "{\"error\":{\"code\":500,\"message\":\"[json.exception.parse_error.101]\",\"type\":\"server_"
     "error\"}}",
     AS_ERROR_REQUEST, "[json", -1, false},
    {"llama.cpp, no projector", 500, "",
     "{\"error\":{\"code\":500,\"message\":\"image input is not supported - hint: "
     "x\",\"type\":\"server_error\"}}",
     AS_ERROR_UNSUPPORTED, "image", -1, false},
    {"llama.cpp, a grammar that runs dry", 500, "",
     "{\"error\":{\"code\":500,\"message\":\"Unexpected empty grammar stack after\"}}",
     AS_ERROR_UNSUPPORTED, "Unexpected", -1, false},
    {"vLLM", 400, "",
     "{\"error\":{\"message\":\"bad\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}}",
     AS_ERROR_REQUEST, "bad", -1, false},
    {"vLLM, window", 400, "",
     "{\"error\":{\"message\":\"This model's Maximum Context Length is "
     "8\",\"type\":\"BadRequestError\",\"code\":400}}",
     AS_ERROR_CONTEXT, "This", -1, false},
    {"group10 vLLM, key", 401, "", "{\"error\":\"Unauthorized\"}", AS_ERROR_AUTH, "Unauthorized",
     -1, false},
    {"vLLM, model", 404, "",
     "{\"error\":{\"message\":\"no x\",\"type\":\"NotFoundError\",\"code\":404}}",
     AS_ERROR_NOT_FOUND, "no x", -1, false},
    {"OpenAI, window by a code that is a text", 400, "",
     "{\"error\":{\"message\":\"too "
     "long\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"context_length_"
     "exceeded\"}}",
     AS_ERROR_CONTEXT, "too long", -1, false},
    {"OpenAI, account", 429, "",
     "{\"error\":{\"message\":\"You exceeded your current "
     "quota\",\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}}",
     AS_ERROR_QUOTA, "You", -1, false},
    {"OpenAI, rate", 429, "x-ratelimit-reset-requests: 1s\r\n",
     "{\"error\":{\"message\":\"Rate limit reached\",\"code\":\"rate_limit_exceeded\"}}",
     AS_ERROR_RATE, "Rate", 1000, false},
    {"Ollama", 404, "", "{\"error\":\"model 'x' not found, try pulling it first\"}",
     AS_ERROR_NOT_FOUND, "model", -1, false},
    {"Ollama, busy", 503, "",
     "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}",
     AS_ERROR_SERVER, "server busy", -1, true},
    {"Ollama /v1", 404, "",
     "{\"error\":{\"message\":\"m\",\"type\":\"not_found_error\",\"param\":null,\"code\":null}}",
     AS_ERROR_NOT_FOUND, "m", -1, false},
    {"SGLang", 400, "",
     "{\"object\":\"error\",\"message\":\"flat\",\"type\":\"400\",\"param\":null,\"code\":400}",
     AS_ERROR_REQUEST, "flat", -1, false},
    {"LM Studio v1", 404, "",
     "{\"error\":{\"type\":\"model_not_found\",\"message\":\"none\",\"code\":\"x\",\"param\":"
     "\"model\"}}",
     AS_ERROR_NOT_FOUND, "none", -1, false},
    {"group5 Gemini, a minute", 429, "",
     "{\"error\":{\"code\":429,\"message\":\"Please retry in "
     "36.96s.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
     "{\"violations\":[{\"quotaId\":\"GenerateRequestsPerMinutePerProject\"}]},{\"retryDelay\":"
     "\"37s\"}]}}",
     AS_ERROR_RATE, "Please", 37000, false},
    {"group5 Gemini, a day", 429, "",
     "{\"error\":{\"code\":429,\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":["
     "{\"violations\":[{\"quotaId\":\"GenerateRequestsPerDayPerProject\"}]},{\"retryDelay\":"
     "\"37s\"}]}}",
     AS_ERROR_QUOTA, "x", 37000, false},
    {"group5 Gemini, a minute, in the words that also come with a day", 429, "",
     "{\"error\":{\"code\":429,\"message\":\"You exceeded your current quota, please check your "
     "plan "
     "and billing details.\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"q\","
     "\"violations\":[{\"quotaMetric\":\"m\",\"quotaId\":"
     "\"GenerateContentInputTokensPerModelPerMinute-FreeTier\"}]},{\"links\":[]},{\"retryDelay\":"
     "\"26s\"}]}}",
     AS_ERROR_RATE, "You exceeded", 26000, false},
    {"group5 Gemini, a minute and a day", 429, "",
     "{\"error\":{\"code\":429,\"message\":\"x\",\"details\":[{\"violations\":[{\"quotaId\":"
     "\"RequestsPerMinute\"},{\"quotaId\":\"RequestsPerDayPerProjectPerModel-FreeTier\"}]},"
     "{\"retryDelay\":\"3.957525076s\"}]}}",
     AS_ERROR_QUOTA, "x", 3957, false},
    {"group5 no quota is named: the words decide", 429, "",
     "{\"error\":{\"code\":429,\"message\":\"check your plan and billing\",\"details\":[]}}",
     AS_ERROR_QUOTA, "check", -1, false},
    {"Gemini, in an array", 503, "",
     "[{\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}]",
     AS_ERROR_SERVER, "overloaded", -1, true},
    {"Gemini, a bad key is a 400", 400, "",
     "{\"error\":{\"code\":400,\"message\":\"API key not valid. Please "
     "pass\",\"status\":\"INVALID_ARGUMENT\"}}",
     AS_ERROR_AUTH, "API key", -1, false},
    {"FastAPI, text", 404, "", "{\"detail\":\"Not Found\"}", AS_ERROR_NOT_FOUND, "Not Found", -1,
     false},
    {"FastAPI, list", 422, "", "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}",
     AS_ERROR_REQUEST, "field required", -1, false},
    {"a proxy's page", 502, "", "<html><body>Bad Gateway</body></html>", AS_ERROR_SERVER, "<html>",
     -1, true},
    {"nothing at all", 500, "", "", AS_ERROR_SERVER, "HTTP status 500", -1, false},
    {"inside a stream, by its code", 200, "", "{\"error\":{\"code\":429,\"message\":\"slow\"}}",
     AS_ERROR_RATE, "slow", -1, false},
    {"inside a stream, by its type", 200, "",
     "{\"error\":{\"type\":\"overloaded_error\",\"message\":\"o\"}}", AS_ERROR_SERVER, "o", -1,
     true},
    {"inside a stream, a text", 200, "", "{\"error\":\"model runner has stopped\"}",
     AS_ERROR_SERVER, "model", -1, false},
    {"group5 Retry-After before everything else", 429, "Retry-After: 7\r\nretry-after-ms: 1\r\n",
     "{\"error\":{\"message\":\"retry in 3s\",\"details\":[{\"retryDelay\":\"37s\"}]}}",
     AS_ERROR_RATE, "retry", 7000, false},
    {"group5 a wait of more than ten minutes", 429, "Retry-After: 601\r\n", "{\"error\":\"wait\"}",
     AS_ERROR_QUOTA, "wait", 601000, false},
    {"group5 ten minutes are waited", 429, "Retry-After: 600\r\n", "{\"error\":\"wait\"}",
     AS_ERROR_RATE, "wait", 600000, false},
};

static void group4_every_error_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        ht_error e;
        ht_error_parse(&e, errors[i].status, as_str_of(errors[i].head), as_str_of(errors[i].body),
                       0);
        if (e.kind != errors[i].kind || e.retry_after_ms != errors[i].retry_ms ||
            e.is_overload != errors[i].is_overload ||
            strncmp(e.message, errors[i].message, strlen(errors[i].message)) != 0)
            fail_msg("%s: got %s, wait %lld, overload %d, \"%s\"", errors[i].why,
                     as_error_kind_name(e.kind), (long long)e.retry_after_ms, e.is_overload,
                     e.message);
    }
}

static void an_error_keeps_512_bytes(void **state)
{
    (void)state;
    char body[3000];
    memset(body, 'x', sizeof body);
    memcpy(body + 511, "\xC3\xA9", 2); /* a character across the limit is not split */
    ht_error e;
    ht_error_parse(&e, 500, (as_str){0}, (as_str){body, sizeof body}, 0);
    assert_int_equal(strlen(e.message), HT_MAX_ERROR_TEXT - 1);
}

/* ---- waits --------------------------------------------------------------------------------------
 */

static const struct {
    const char *text;
    int64_t ms;
} durations[] = {
    {"1s", 1000},   {"6m0s", 360000},
    {"120ms", 120}, {"1h2m3s", 3723000},
    {"37", 37000},  {"3.957525076s", 3957},
    {"0.5", 500},   {"1.5m", 90000},
    {"", -1},       {"s", -1},
    {"1d", -1},     {"1s2", -1},
    {"-1", -1},     {"99999999999999999999s", HT_MAX_HINT_MS},
};

static const struct {
    const char *text;
    int64_t seconds;
} dates[] = {
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199},
    {"Wed, 21 Oct 2026 07:28:00 GMT", 1792567680},
    {"Wed, 21 Oct 2026 07:28:00", -1},
    {"Wed, 21 Okt 2026 07:28:00 GMT", -1},
    {"2026-10-21", -1},
};

static void group5_waits_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++)
        if (ht_duration_ms(as_str_of(durations[i].text)) != durations[i].ms)
            fail_msg("\"%s\": got %lld", durations[i].text,
                     (long long)ht_duration_ms(as_str_of(durations[i].text)));
    for (size_t i = 0; i < sizeof dates / sizeof dates[0]; i++)
        if (ht_http_date(as_str_of(dates[i].text)) != dates[i].seconds)
            fail_msg("\"%s\": got %lld", dates[i].text,
                     (long long)ht_http_date(as_str_of(dates[i].text)));
    const as_str head = AS_STR("retry-AFTER: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert_int_equal(ht_retry_hint_ms(head, NULL, (as_str){0}, 784111770 * SECOND), 7000);
    assert_int_equal(ht_retry_hint_ms(head, NULL, (as_str){0}, 784111780 * SECOND), 0);
    assert_int_equal(ht_retry_hint_ms((as_str){0}, NULL, AS_STR("Please retry in 120ms."), 0), 120);
    assert_int_equal(
        ht_retry_hint_ms(AS_STR("x-ratelimit-reset-tokens: 6m0s\n"), NULL, (as_str){0}, 0), 360000);
    assert_int_equal(ht_retry_hint_ms((as_str){0}, NULL, (as_str){0}, 0), -1);
}

/* ---- metrics ------------------------------------------------------------------------------------
 */

static void metrics_page(void **state)
{
    (void)state;
    const as_str t =
        AS_STR("# HELP a:b x\n# TYPE a:b counter\n"
               "a:b{model_name=\"m\",engine=\"0\"} 3\n"
               "a:b{model_name=\"m\",engine=\"1\"} 4.5 1700000000\n"
               "a:b{model_name=\"other \\\" } x\",engine=\"0\"} 100\r\n"
               "c_total 7\nnan NaN\ninf{x=\"1\"} +Inf\nexp 1.5e3\nbroken{x=\"1 2\nbad x\n"
               "cache_config_info{block_size=\"128\",cache_dtype=\"auto\"} 1\n");
    assert_true(ht_prom_sum(t, "a:b", "model_name", AS_STR("m")) == 7.5);
    assert_true(ht_prom_sum(t, "a:b", NULL, AS_STR("")) == 107.5);
    assert_true(ht_prom_sum(t, "c", NULL, AS_STR("")) == 7);
    assert_true(ht_prom_sum(t, "c", "model_name", AS_STR("m")) == 7);
    assert_true(isnan(ht_prom_sum(t, "nan", NULL, AS_STR(""))));
    assert_true(isinf(ht_prom_sum(t, "inf", NULL, AS_STR(""))));
    assert_true(ht_prom_sum(t, "exp", NULL, AS_STR("")) == 1500);
    assert_true(isnan(ht_prom_sum(t, "broken", NULL, AS_STR(""))));
    assert_true(isnan(ht_prom_sum(t, "absent", NULL, AS_STR(""))));
    assert_true(as_str_eq_z(ht_prom_label(t, "cache_config_info", "block_size"), "128"));
    assert_false(as_str_is_set(ht_prom_label(t, "cache_config_info", "no")));
}

/* ---- limiter ------------------------------------------------------------------------------------
 */

static void group12_requests_a_minute(void **state)
{
    (void)state;
    ht_limiter l;
    int64_t now = 5 * SECOND, started = now;
    ht_limiter_init(&l, 60, 0, now);
    int n = 0;
    while (now - started <= 60 * SECOND) {
        const int64_t wait = ht_limiter_wait_ns(&l, 0, now);
        if (wait == 0) {
            ht_limiter_take(&l, 0);
            n++;
        }
        now += wait;
    }
    assert_in_range(n, 66, 67); /* a burst of a tenth, then one a second */
}

static void group12_tokens_a_minute(void **state)
{
    (void)state;
    ht_limiter l;
    ht_limiter_init(&l, 0, 1000, 0);
    assert_int_equal(ht_limiter_wait_ns(&l, 800, 0), 0);
    ht_limiter_take(&l, 800);
    assert_in_range(ht_limiter_wait_ns(&l, 800, 0), 36 * SECOND - 10, 36 * SECOND + 10);
    ht_limiter_settle(&l, 800, 200); /* the server counted less */
    assert_int_equal(ht_limiter_wait_ns(&l, 800, 0), 0);
    ht_limiter_take(&l, 800);
    ht_limiter_settle(&l, 800, 2000); /* … or more: the debt is waited for */
    assert_in_range(ht_limiter_wait_ns(&l, 1, 0), 60 * SECOND, 73 * SECOND);
    /* More than a minute's allowance passes when the bucket is full. */
    const int64_t wait = ht_limiter_wait_ns(&l, 5000, 0);
    assert_in_range(wait, 60 * SECOND, 140 * SECOND);
    assert_int_equal(ht_limiter_wait_ns(&l, 5000, wait), 0);
    ht_limiter none;
    ht_limiter_init(&none, 0, 0, 0);
    assert_int_equal(ht_limiter_wait_ns(&none, 1e12, 0), 0);
}

/* ---- thinking in the text -----------------------------------------------------------------------
 */

static const struct {
    const char *why, *prefill, *text, *answer, *reasoning;
} marks[] = {
    {"none", "", "It is 4.", "It is 4.", ""},
    {"Gemma 4", "", "<|channel>thought\nI think.<channel|>It is 4.", "It is 4.", "I think."},
    {"white space around", "", " \n<|channel>thought\nA\n<channel|>\n\nB", "B", "A\n"},
    {"think", "", "<think>\nA</think>\n\nB", "B", "A"},
    {"unclosed: all thinking", "", "<think>A <b> and no end", "", "A <b> and no end"},
    {"unclosed in the middle of the mark", "", "<|channel>thought\nA<chan", "", "A<chan"},
    {"empty block", "", "<|channel>thought\n<channel|>B", "B", ""},
    {"only a leading one", "", "B <think>A</think>", "B <think>A</think>", ""},
    {"only the first one", "", "<think>A</think>B<think>C</think>", "B<think>C</think>", "A"},
    {"something like it", "", "<thing>B", "<thing>B", ""},
    {"the text ends inside what may be a mark", "", "<|chan", "<|chan", ""},
    {"white space alone", "", " \n ", " \n ", ""},
    {"prefill repeated", "The answer is", "The answer is B", " B", ""},
    {"prefill not repeated", "The answer is", "The ant", "The ant", ""},
    {"shorter than the prefill", "The answer is", "The", "The", ""},
    {"prefill, then thinking", "X", "X<think>A</think>B", "B", "A"},
};

static void group3_thinking_split_at_every_two_positions(void **state)
{
    (void)state;
    as_buf answer, reasoning;
    as_buf_init(&answer, 0);
    as_buf_init(&reasoning, 0);
    ht_markup m;
    ht_markup_init(&m);
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const as_str all = as_str_of(marks[i].text);
        for (size_t a = 0; a <= all.n; a++)
            for (size_t b = a; b <= all.n; b++) {
                as_buf_reset(&answer);
                as_buf_reset(&reasoning);
                ht_markup_reset(&m, as_str_of(marks[i].prefill), true);
                assert_int_equal(ht_markup_feed(&m, as_str_sub(all, 0, a), &answer, &reasoning),
                                 AS_OK);
                assert_int_equal(ht_markup_feed(&m, as_str_sub(all, a, b), &answer, &reasoning),
                                 AS_OK);
                assert_int_equal(ht_markup_feed(&m, as_str_sub(all, b, all.n), &answer, &reasoning),
                                 AS_OK);
                assert_int_equal(ht_markup_end(&m, &answer, &reasoning), AS_OK);
                if (!as_str_eq_z(as_buf_str(&answer), marks[i].answer) ||
                    !as_str_eq_z(as_buf_str(&reasoning), marks[i].reasoning))
                    fail_msg("%s, cut at %zu and %zu: answer \"%.*s\", reasoning \"%.*s\"",
                             marks[i].why, a, b, AS_ARG(as_buf_str(&answer)),
                             AS_ARG(as_buf_str(&reasoning)));
            }
    }
    ht_markup_release(&m);
    as_buf_release(&answer);
    as_buf_release(&reasoning);
}

/* ---- endpoints ----------------------------------------------------------------------------------
 */

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *url, *path, *want; /* want NULL: refused, with the words of path */
    } rows[] = {
        {"http://h:1", "/v1/x", "http://h:1/v1/x"},
        {"http://h:1/", "/health", "http://h:1/health"},
        {"https://h/v1", "/v1/x", "https://h/v1/x"},
        {"https://h/v1/", "/health", "https://h/health"},
        {"https://h/v1beta/openai", "/v1/x", "https://h/v1beta/openai/x"},
        {"https://h/v1beta", "/v1beta/models/m:generateContent",
         "https://h/v1beta/models/m:generateContent"},
        {"http://h/api/", "/api/chat", "http://h/api/chat"},
        {"http://h/proxy", "/api/chat", "http://h/proxy/api/chat"},
        {"http://h/proxy/v1", "/v1/x", "http://h/proxy/v1/x"},
        {"h:1", "want http://", NULL},
        {"ftp://h", "want http://", NULL},
        {"http://u:p@h", "key_env=NAME", NULL},
        {"http://h/?key=abc", "key_env=NAME", NULL},
        {"http://", "no host", NULL},
        {"http://h /x", "no blanks", NULL},
    };
    as_arena keep;
    as_arena_init(&keep, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const as_str url = as_str_of(rows[i].url);
        ht_endpoints e;
        as_err err = {0};
        const as_code c = ht_endpoints_init(&e, &url, 1, &keep, &err);
        if (rows[i].want == NULL) {
            assert_int_equal(c, AS_RANGE);
            if (strstr(err.text, rows[i].path) == NULL)
                fail_msg("%s: %s", rows[i].url, err.text);
            assert_null(strstr(err.text, "u:p"));
            assert_null(strstr(err.text, "abc"));
            continue;
        }
        assert_int_equal(c, AS_OK);
        assert_string_equal(ht_endpoint_url(&e.at[0], rows[i].path, &keep).p, rows[i].want);
    }
    as_arena_release(&keep);
}

static void group12_least_load_and_breaker(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const as_str urls[] = {AS_STR("http://a"), AS_STR("http://b"), AS_STR("http://c")};
    ht_endpoints e;
    assert_int_equal(ht_endpoints_init(&e, urls, 3, &keep, NULL), AS_OK);
    int64_t wake = INT64_MAX;
    for (int i = 0; i < 6; i++) { /* in turn, until each has two */
        ht_endpoint *p = ht_endpoints_choose(&e, 2, 0, &wake);
        assert_ptr_equal(p, &e.at[i % 3]);
        p->n_running++;
    }
    assert_null(ht_endpoints_choose(&e, 2, 0, &wake));
    e.at[1].n_running = 0;
    assert_ptr_equal(ht_endpoints_choose(&e, 2, 0, &wake), &e.at[1]);
    for (int i = 1; i <= HT_BREAK_AFTER; i++)
        assert_int_equal(ht_endpoint_failed(&e.at[1], SECOND), i == HT_BREAK_AFTER);
    assert_int_equal(e.at[1].ask_at_ns, SECOND + HT_HEALTH_EVERY_MS * (SECOND / 1000));
    assert_null(ht_endpoints_choose(&e, 2, 0, &wake));
    ht_endpoint_worked(&e.at[1]);
    ht_endpoint_pause(&e.at[1], 9 * SECOND);
    assert_null(ht_endpoints_choose(&e, 2, 0, &wake));
    assert_int_equal(wake, 9 * SECOND);
    assert_ptr_equal(ht_endpoints_choose(&e, 2, 9 * SECOND, &wake), &e.at[1]);
    as_arena_release(&keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group1_streams_split_at_every_two_positions),
        cmocka_unit_test(group1_line_of_8_mib_and_limit),
        cmocka_unit_test(reading_stops_when_told),
        cmocka_unit_test(group4_every_error_body),
        cmocka_unit_test(an_error_keeps_512_bytes),
        cmocka_unit_test(group5_waits_are_understood),
        cmocka_unit_test(metrics_page),
        cmocka_unit_test(group12_requests_a_minute),
        cmocka_unit_test(group12_tokens_a_minute),
        cmocka_unit_test(group3_thinking_split_at_every_two_positions),
        cmocka_unit_test(addresses),
        cmocka_unit_test(group12_least_load_and_breaker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
