/* Bodies for the API: each good one as it is understood, each bad one with its sentence. */
#include <math.h>

#include "serve/api.h"
#include "unit/cm.h"

static const char *const models[] = {"m", "alias", NULL};
static const ap_limits all = {.max_tokens = 1000,
                              .can_chat = true,
                              .can_logprobs = true,
                              .can_score = true,
                              .can_ids = true,
                              .can_tokenize = true,
                              .models = models};
static const ap_limits little = {.max_tokens = 1000, .models = models};

typedef struct parsed {
    ap_request rq;
    ap_problem problem;
    as_err err;
    as_code code;
    as_json *tree;
    as_arena keep;
} parsed;

static void parse(parsed *p, ap_route route, const char *body, const ap_limits *limits)
{
    *p = (parsed){0};
    as_arena_init(&p->keep, 0);
    assert_int_equal(as_json_parse(&p->tree, as_str_of(body), &p->err), AS_OK);
    p->code = ap_parse(&p->rq, route, p->tree, limits, &p->keep, &p->problem, &p->err);
}

static void release(parsed *p)
{
    as_json_free(p->tree);
    as_arena_release(&p->keep);
}

#define M "\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]"

static const struct {
    ap_route route;
    bool is_little;
    const char *body;
    int status;
    const char *param, *text;
} bad[] = {
    {AP_TEXT, false, "[]", 400, "", "the body wants to be a JSON object"},
    {AP_TEXT, false, "{}", 400, "prompt",
     "\"prompt\": want a text, token ids, or a list of either"},
    {AP_TEXT, false, "{\"prompt\":null}", 400, "prompt",
     "\"prompt\": want a text, token ids, or a list of either"},
    {AP_TEXT, false, "{\"prompt\":[]}", 400, "prompt",
     "\"prompt\": want a text, token ids, or a list of either"},
    {AP_TEXT, false, "{\"prompt\":[\"a\",[1]]}", 400, "prompt",
     "\"prompt\": texts and token ids in one list"},
    {AP_TEXT, false, "{\"prompt\":[1,\"a\"]}", 400, "prompt",
     "\"prompt\": a list of token ids has something else in it"},
    {AP_TEXT, false, "{\"prompt\":[1.5]}", 400, "prompt",
     "\"prompt\": a list of token ids has something else in it"},
    {AP_TEXT, false, "{\"prompt\":[-1]}", 400, "prompt",
     "\"prompt\": a list of token ids has something else in it"},
    {AP_TEXT, false, "{\"prompt\":[[]]}", 400, "prompt",
     "\"prompt\": want 1 to 1048576 token ids in all"},
    {AP_TEXT, true, "{\"prompt\":[1]}", 400, "prompt",
     "\"prompt\": this backend takes no token ids; send text"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"model\":1}", 400, "model", "\"model\": want a text"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"n\":2}", 400, "n",
     "\"n\": one choice a request is all this server makes; send the request again"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"max_tokens\":0}", 400, "max_tokens",
     "\"max_tokens\": want an integer from 1 to 2147483647"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"max_tokens\":\"9\"}", 400, "max_tokens",
     "\"max_tokens\": want an integer from 1 to 2147483647"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"temperature\":-1}", 400, "temperature",
     "\"temperature\": want a number from 0 to 100"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"top_p\":1.5}", 400, "top_p",
     "\"top_p\": want a number from 0 to 1"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"stop\":5}", 400, "stop",
     "\"stop\": want a text or a list of texts"},
    {AP_TEXT, false,
     "{\"prompt\":\"a\",\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]}", 400,
     "stop", "\"stop\": more than 8 stop texts"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"logprobs\":101}", 400, "logprobs",
     "\"logprobs\": want an integer from 0 to 100"},
    {AP_TEXT, true, "{\"prompt\":\"a\",\"logprobs\":1}", 400, "logprobs",
     "\"logprobs\": this backend tells none; leave it out"},
    {AP_TEXT, true, "{\"prompt\":\"a\",\"prompt_logprobs\":1}", 400, "prompt_logprobs",
     "\"prompt_logprobs\": this backend cannot score a prompt; leave it out"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"stream\":1}", 400, "stream",
     "\"stream\": want true or false"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"stream_options\":{}}", 400, "stream_options",
     "\"stream_options\": wants \"stream\": true beside it"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"stream\":true,\"prompt_logprobs\":0}", 400,
     "prompt_logprobs", "\"prompt_logprobs\": not in a stream; leave out \"stream\""},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"logit_bias\":{\"1\":2}}", 400, "logit_bias",
     "\"logit_bias\": biases are not offered; leave it out"},
    {AP_TEXT, false, "{\"prompt\":\"a\",\"presence_penalty\":0.5}", 400, "presence_penalty",
     "\"presence_penalty\": penalties are not offered; leave it out or send 0"},
    {AP_CHAT, true, "{" M "}", 400, "messages",
     "\"messages\": this model has no chat template; use /v1/completions with a prompt"},
    {AP_CHAT, false, "{}", 400, "messages", "\"messages\": want a list of at least one message"},
    {AP_CHAT, false, "{\"messages\":[]}", 400, "messages",
     "\"messages\": want a list of at least one message"},
    {AP_CHAT, false, "{\"messages\":[{\"content\":\"x\"}]}", 400, "messages",
     "\"messages\": a message has no \"role\""},
    {AP_CHAT, false, "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", 400, "messages",
     "\"messages\": a \"role\" is none of system, developer, user, assistant"},
    {AP_CHAT, false, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", 400, "messages",
     "\"messages\": a \"content\" is neither a text nor a list of parts"},
    {AP_CHAT, false,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}",
     400, "messages",
     "\"messages\": a part of a \"content\" is no text; this server takes text alone, no images "
     "and no audio"},
    {AP_CHAT, false, "{" M ",\"tools\":[{}]}", 400, "tools",
     "\"tools\": tools are not offered; leave it out"},
    {AP_CHAT, false, "{" M ",\"response_format\":{\"type\":\"json_object\"}}", 400,
     "response_format", "\"response_format\": constrained output is not offered; leave it out"},
    {AP_CHAT, false, "{" M ",\"top_logprobs\":3}", 400, "top_logprobs",
     "\"top_logprobs\": wants \"logprobs\": true beside it"},
    {AP_CHAT, false, "{" M ",\"chat_template_kwargs\":{\"enable_thinking\":\"no\"}}", 400,
     "chat_template_kwargs", "\"chat_template_kwargs\": \"enable_thinking\" wants true or false"},
    {AP_CHAT, false, "{" M ",\"reasoning_effort\":\"huge\"}", 400, "reasoning_effort",
     "\"reasoning_effort\": want none, minimal, low, medium or high"},
    {AP_TOKENIZE, false, "{}", 400, "prompt", "\"prompt\": want a text"},
};

static void names_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        parsed p;
        parse(&p, bad[i].route, bad[i].body, bad[i].is_little ? &little : &all);
        if (p.code == AS_OK)
            fail_msg("taken: %s", bad[i].body);
        if (p.problem.status != bad[i].status || strcmp(p.problem.param, bad[i].param) != 0 ||
            strcmp(p.err.text, bad[i].text) != 0)
            fail_msg("%s: %d \"%s\" %s", bad[i].body, p.problem.status, p.problem.param,
                     p.err.text);
        release(&p);
    }
}

static void understands_texts(void **state)
{
    (void)state;
    parsed p;
    parse(&p, AP_TEXT,
          "{\"model\":\"alias\",\"prompt\":\"a\",\"temperature\":0,\"top_p\":0.5,\"min_p\":0.1,"
          "\"top_k\":3,\"seed\":7,\"stop\":\"x\",\"max_tokens\":5,\"echo\":true,\"logprobs\":2,"
          "\"ignore_eos\":true,\"n\":1,\"best_of\":1,\"presence_penalty\":0,\"tools\":[],"
          "\"user\":\"somebody\"}",
          &all);
    assert_int_equal(p.code, AS_OK);
    assert_int_equal(p.rq.n_prompts, 1);
    assert_true(as_str_eq_z(p.rq.prompts[0].text, "a"));
    assert_true(fabs(p.rq.common.sampling.temperature) < 1e-12);
    assert_true(fabs(p.rq.common.sampling.top_p - 0.5) < 1e-12);
    assert_true(fabs(p.rq.common.sampling.min_p - 0.1) < 1e-12);
    assert_int_equal(p.rq.common.sampling.top_k, 3);
    assert_int_equal(p.rq.common.seed, 7);
    assert_int_equal(p.rq.common.n_stop, 1);
    assert_int_equal(p.rq.common.max_tokens, 5);
    assert_true(p.rq.echo && p.rq.wants_logprobs && p.rq.common.ignore_eos);
    assert_int_equal(p.rq.common.top_logprobs, 2);
    release(&p);
}

/* Clients have names of their own for the model; an adapter is chosen by its name. */
static void takes_names(void **state)
{
    (void)state;
    static const char *const names[] = {"m", "alias", NULL};
    ap_limits limits = {.max_tokens = 100, .models = names};
    static const char *const bodies[] = {"{\"prompt\":\"a\"}",
                                         "{\"prompt\":\"a\",\"model\":\"alias\"}",
                                         "{\"prompt\":\"a\",\"model\":\"other\"}"};
    for (int i = 0; i < 6; i++) {
        parsed p;
        limits.can_lora = i >= 3;
        parse(&p, AP_TEXT, bodies[i % 3], &limits);
        assert_int_equal(p.code, AS_OK);
        const bool is_adapter = i == 5;
        assert_true(as_str_eq(p.rq.common.lora, is_adapter ? AS_STR("other") : AS_STR("")));
        release(&p);
    }
}

static void understands_lists_and_ids(void **state)
{
    (void)state;
    parsed p;
    parse(&p, AP_TEXT, "{\"prompt\":[[2,5],[7]],\"echo\":true,\"logprobs\":0,\"max_tokens\":0}",
          &all);
    assert_int_equal(p.code, AS_OK);
    assert_int_equal(p.rq.n_prompts, 2);
    assert_int_equal(p.rq.prompts[0].n_ids, 2);
    assert_int_equal(p.rq.prompts[1].ids[0], 7);
    assert_int_equal(p.rq.max_tokens, 0);
    assert_true(p.rq.wants_logprobs);
    assert_int_equal(p.rq.top_logprobs, 0);
    assert_int_equal(p.rq.common.top_logprobs, 1); /* to be told the tokens' own */
    release(&p);
    parse(&p, AP_TEXT, "{\"prompt\":[3,4],\"max_tokens\":5000}", &all);
    assert_int_equal(p.rq.n_prompts, 1);
    assert_int_equal(p.rq.prompts[0].n_ids, 2);
    assert_int_equal(p.rq.common.max_tokens, 1000); /* the window's end */
    release(&p);
    parse(&p, AP_TEXT, "{\"prompt\":[\"a\",\"b\",\"c\"],\"logprobs\":false}", &all);
    assert_int_equal(p.rq.n_prompts, 3);
    assert_int_equal(p.rq.common.max_tokens, AP_DEFAULT_TEXT_TOKENS);
    assert_false(p.rq.wants_logprobs);
    release(&p);
}

static void understands_chats(void **state)
{
    (void)state;
    parsed p;
    parse(&p, AP_CHAT,
          "{\"messages\":[{\"role\":\"developer\",\"content\":null},{\"role\":\"user\",\"content\":"
          "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}],"
          "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"logprobs\":true,"
          "\"reasoning_effort\":\"none\",\"max_completion_tokens\":9}",
          &all);
    assert_int_equal(p.code, AS_OK);
    assert_int_equal(p.rq.common.n_messages, 2);
    assert_true(as_str_eq_z(p.rq.common.messages[0].role, "system"));
    assert_true(as_str_eq_z(p.rq.common.messages[1].text, "ab"));
    assert_true(p.rq.stream && p.rq.include_usage && p.rq.wants_logprobs);
    assert_int_equal(p.rq.common.think, AS_THINK_OFF);
    assert_int_equal(p.rq.max_tokens, 9);
    release(&p);
    parse(&p, AP_CHAT, "{" M ",\"chat_template_kwargs\":{\"enable_thinking\":true}}", &all);
    assert_int_equal(p.rq.common.think, AS_THINK_ON);
    assert_int_equal(p.rq.max_tokens, 1000); /* a chat may fill the window */
    release(&p);
    parse(&p, AP_TEMPLATE, "{" M "}", &all);
    assert_int_equal(p.code, AS_OK);
    assert_int_equal(p.rq.common.think, AS_THINK_AUTO);
    release(&p);
}

static void understands_tokenize(void **state)
{
    (void)state;
    parsed p;
    parse(&p, AP_TOKENIZE, "{\"prompt\":\"a\"}", &all);
    assert_true(p.rq.add_special_tokens);
    release(&p);
    parse(&p, AP_TOKENIZE, "{\"content\":\"a\"}", &all);
    assert_int_equal(p.code, AS_OK);
    assert_false(p.rq.add_special_tokens); /* llama.cpp's default */
    release(&p);
}

static void out_of_memory_is_an_error(void **state)
{
    (void)state;
    for (size_t n = 1; n < 50; n++) {
        parsed p = {0};
        as_arena_init(&p.keep, 0);
        assert_int_equal(as_json_parse(&p.tree, AS_STR("{\"prompt\":[[1],[2],[3]]}"), NULL), AS_OK);
        as_arena_fail_after(n);
        p.code = ap_parse(&p.rq, AP_TEXT, p.tree, &all, &p.keep, &p.problem, &p.err);
        as_arena_fail_after(0);
        const bool is_over = p.code == AS_OK;
        if (!is_over)
            assert_int_equal(p.code, AS_NOMEM);
        release(&p);
        if (is_over) {
            assert_true(n > 3);
            return;
        }
    }
    fail_msg("it never succeeded");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(understands_texts),
        cmocka_unit_test(takes_names),
        cmocka_unit_test(understands_lists_and_ids),
        cmocka_unit_test(understands_chats),
        cmocka_unit_test(understands_tokenize),
        cmocka_unit_test(out_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
