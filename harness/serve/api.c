#include "serve/api.h"

#include <stdio.h>
#include <string.h>

typedef struct parse {
    ap_request *out;
    const as_json *body;
    const ap_limits *limits;
    as_arena *keep;
    ap_problem *problem;
    as_err *err;
} parse;

static as_code refuse(parse *p, const char *param, const char *why)
{
    (void)snprintf(p->problem->param, sizeof p->problem->param, "%s", param);
    return as_fail(p->err, AS_RANGE, "\"%s\": %s", param, why);
}

/* The member, or NULL if it is absent or null. */
static const as_json *field(const parse *p, const char *key)
{
    const as_json *node = as_json_get(p->body, key);
    return as_json_type(node) == AS_JSON_NULL ? NULL : node;
}

static as_code read_bool(parse *p, const char *key, bool *out)
{
    const as_json *node = field(p, key);
    return node == NULL || as_json_bool(node, out) ? AS_OK : refuse(p, key, "want true or false");
}

static as_code read_int(parse *p, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const as_json *node = field(p, key);
    int64_t v = 0;
    if (node == NULL)
        return AS_OK;
    if (!as_json_i64(node, &v) || v < min || v > max) {
        char why[96];
        (void)snprintf(why, sizeof why, "want an integer from %lld to %lld", (long long)min,
                       (long long)max);
        return refuse(p, key, why);
    }
    *out = v;
    return AS_OK;
}

static as_code read_real(parse *p, const char *key, double min, double max, double *out)
{
    const as_json *node = field(p, key);
    double v = 0;
    if (node == NULL)
        return AS_OK;
    if (!as_json_f64(node, &v) || !(v >= min && v <= max)) {
        char why[96];
        (void)snprintf(why, sizeof why, "want a number from %g to %g", min, max);
        return refuse(p, key, why);
    }
    *out = v;
    return AS_OK;
}

/* ---- what cannot be honoured ------------------------------------------------------------------- */

/* Is the value one that asks for nothing? */
static bool asks_nothing(const as_json *node, double nothing)
{
    double v = 0;
    bool on = false;
    as_str text;
    if (as_json_f64(node, &v))
        return !(v < nothing) && !(v > nothing);
    if (as_json_bool(node, &on))
        return !on;
    if (as_json_str(node, &text))
        return text.n == 0 || as_str_eq_z(text, "none");
    return as_json_count(node) == 0;
}

static as_code check_unsupported(parse *p)
{
    static const struct {
        const char *key;
        double nothing;
        const char *why;
    } rows[] = {
        {"n", 1, "one choice a request is all this server makes; send the request again"},
        {"best_of", 1, "one choice a request is all this server makes; leave it out"},
        {"tools", 0, "tools are not offered; leave it out"},
        {"tool_choice", 0, "tools are not offered; leave it out"},
        {"functions", 0, "functions are not offered; leave it out"},
        {"logit_bias", 0, "biases are not offered; leave it out"},
        {"suffix", 0, "texts are only continued at their end; leave it out"},
        {"presence_penalty", 0, "penalties are not offered; leave it out or send 0"},
        {"frequency_penalty", 0, "penalties are not offered; leave it out or send 0"},
        {"repetition_penalty", 1, "penalties are not offered; leave it out or send 1"},
        {"repeat_penalty", 1, "penalties are not offered; leave it out or send 1"},
        {"min_tokens", 0, "leave it out; \"ignore_eos\" runs to max_tokens"},
        {"stop_token_ids", 0, "give stop texts in \"stop\""},
        {"structured_outputs", 0, "constrained output is not offered; leave it out"},
        {"grammar", 0, "constrained output is not offered; leave it out"},
        {"use_beam_search", 0, "beams are not offered; leave it out"},
        {"audio", 0, "this server answers in text; leave it out"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const as_json *node = field(p, rows[i].key);
        if (node != NULL && !asks_nothing(node, rows[i].nothing))
            return refuse(p, rows[i].key, rows[i].why);
    }
    const as_json *format = field(p, "response_format");
    as_str type = AS_STR("text");
    (void)as_json_str(as_json_get(format, "type"), &type);
    if (!as_str_eq_z(type, "text"))
        return refuse(p, "response_format", "constrained output is not offered; leave it out");
    return AS_OK;
}

/* ---- prompts ----------------------------------------------------------------------------------- */

static as_code read_ids(parse *p, const char *param, const as_json *list, ap_prompt *out,
                        size_t *n_all)
{
    const size_t n = as_json_count(list);
    *n_all += n;
    if (n == 0 || *n_all > AP_MAX_IDS)
        return refuse(p, param, "want 1 to 1048576 token ids in all");
    int32_t *ids = NULL;
    *out = (ap_prompt){0};
    const as_code c = as_json_ids(list, &ids, &out->n_ids, p->keep, p->err);
    if (c == AS_PARSE)
        return refuse(p, param, "a list of token ids has something else in it");
    out->ids = ids;
    return c;
}

/* A text, a list of texts, ids, or a list of lists of ids. */
static as_code read_prompts(parse *p)
{
    ap_request *o = p->out;
    const as_json *prompt = field(p, "prompt");
    const as_json *first = as_json_first(prompt);
    const as_json_kind kind = as_json_type(prompt), inner = as_json_type(first);
    const bool is_list =
        kind == AS_JSON_ARRAY && (inner == AS_JSON_STRING || inner == AS_JSON_ARRAY);
    if (kind != AS_JSON_STRING && !is_list && !(kind == AS_JSON_ARRAY && inner == AS_JSON_NUMBER))
        return refuse(p, "prompt", "want a text, token ids, or a list of either");
    const size_t n = is_list ? as_json_count(prompt) : 1;
    if (n > AP_MAX_PROMPTS)
        return refuse(p, "prompt", "more than 1024 prompts in one request; send several");
    o->prompts = as_new(p->keep, ap_prompt, n);
    if (o->prompts == NULL)
        return as_nomem(p->err);
    size_t n_ids = 0;
    for (const as_json *one = is_list ? first : prompt; one != NULL;
         one = is_list ? as_json_next(one) : NULL) {
        if (is_list && as_json_type(one) != inner)
            return refuse(p, "prompt", "texts and token ids in one list");
        if (as_json_str(one, &o->prompts[o->n_prompts].text)) {
            o->n_prompts++;
            continue;
        }
        AS_TRY(read_ids(p, "prompt", one, &o->prompts[o->n_prompts], &n_ids));
        if (!p->limits->can_ids)
            return refuse(p, "prompt", "this backend takes no token ids; send text");
        o->n_prompts++;
    }
    return AS_OK;
}

/* ---- messages ---------------------------------------------------------------------------------- */

static as_code read_role(parse *p, const as_json *node, as_str *role)
{
    static const char *const known[] = {"system", "user", "assistant", NULL};
    if (!as_json_str(as_json_get(node, "role"), role))
        return refuse(p, "messages", "a message has no \"role\"");
    if (as_str_eq_z(*role, "developer"))
        *role = AS_STR("system");
    for (const char *const *k = known; *k != NULL; k++)
        if (as_str_eq_z(*role, *k))
            return AS_OK;
    return refuse(p, "messages", "a \"role\" is none of system, developer, user, assistant");
}

/* A text, null, or parts of which all are texts. */
static as_code read_content(parse *p, const as_json *content, as_str *out)
{
    *out = AS_STR("");
    const as_json_kind kind = as_json_type(content);
    if (kind == AS_JSON_NONE || kind == AS_JSON_NULL || as_json_str(content, out))
        return AS_OK;
    if (kind != AS_JSON_ARRAY)
        return refuse(p, "messages", "a \"content\" is neither a text nor a list of parts");
    size_t n = 0;
    as_str text;
    for (const as_json *part = as_json_first(content); part != NULL; part = as_json_next(part)) {
        if (!as_json_str(as_json_get(part, "text"), &text))
            return refuse(p, "messages",
                          "a part of a \"content\" is no text; this server takes text alone, no "
                          "images and no audio");
        n += text.n;
    }
    char *all = as_new(p->keep, char, n + 1);
    if (all == NULL)
        return as_nomem(p->err);
    size_t at = 0;
    for (const as_json *part = as_json_first(content); part != NULL; part = as_json_next(part)) {
        (void)as_json_str(as_json_get(part, "text"), &text);
        if (text.n != 0)
            memcpy(all + at, text.p, text.n);
        at += text.n;
    }
    *out = (as_str){all, n};
    return AS_OK;
}

static as_code read_messages(parse *p)
{
    const as_json *list = field(p, "messages");
    const size_t n = as_json_count(list);
    if (as_json_type(list) != AS_JSON_ARRAY || n == 0)
        return refuse(p, "messages", "want a list of at least one message");
    if (n > AP_MAX_MESSAGES)
        return refuse(p, "messages", "more than 4096 messages");
    as_message *all = as_new(p->keep, as_message, n);
    if (all == NULL)
        return as_nomem(p->err);
    int i = 0;
    for (const as_json *m = as_json_first(list); m != NULL; m = as_json_next(m), i++) {
        AS_TRY(read_role(p, m, &all[i].role));
        AS_TRY(read_content(p, as_json_get(m, "content"), &all[i].text));
    }
    p->out->common.is_chat = true;
    p->out->common.messages = all;
    p->out->common.n_messages = i;
    return AS_OK;
}

/* ---- how to answer ----------------------------------------------------------------------------- */

static as_code read_stop(parse *p)
{
    as_request *rq = &p->out->common;
    const as_json *stop = field(p, "stop");
    as_str text;
    if (stop == NULL)
        return AS_OK;
    const bool is_one = as_json_str(stop, &text);
    if (!is_one && as_json_type(stop) != AS_JSON_ARRAY)
        return refuse(p, "stop", "want a text or a list of texts");
    for (const as_json *s = is_one ? stop : as_json_first(stop); s != NULL;
         s = is_one ? NULL : as_json_next(s)) {
        if (!as_json_str(s, &text))
            return refuse(p, "stop", "want a text or a list of texts");
        if (text.n == 0)
            continue;
        if (rq->n_stop == AS_MAX_STOP)
            return refuse(p, "stop", "more than 8 stop texts");
        rq->stop[rq->n_stop++] = text;
    }
    return AS_OK;
}

static as_code read_sampling(parse *p)
{
    as_request *rq = &p->out->common;
    rq->sampling = AS_SAMPLING_UNSET;
    rq->sampling.temperature = 1; /* OpenAI's default */
    int64_t top_k = -1, seed = 0;
    AS_TRY(read_real(p, "temperature", 0, 100, &rq->sampling.temperature));
    AS_TRY(read_real(p, "top_p", 0, 1, &rq->sampling.top_p));
    AS_TRY(read_real(p, "min_p", 0, 1, &rq->sampling.min_p));
    AS_TRY(read_int(p, "top_k", -1, INT32_MAX, &top_k));
    AS_TRY(read_int(p, "seed", -(INT64_C(1) << 53), INT64_C(1) << 53, &seed));
    AS_TRY(read_bool(p, "ignore_eos", &rq->ignore_eos));
    rq->sampling.top_k = top_k == -1 ? -1 : (int)top_k;
    rq->seed = (uint64_t)seed;
    bool caches = true;
    AS_TRY(read_bool(p, "cache_prompt", &caches));
    rq->no_cache = !caches;
    return read_stop(p);
}

static as_code read_max_tokens(parse *p)
{
    ap_request *o = p->out;
    const bool may_be_zero = o->echo || o->prompt_logprobs >= 0;
    int64_t n = p->out->route == AP_CHAT ? p->limits->max_tokens : AP_DEFAULT_TEXT_TOKENS;
    const int64_t min = may_be_zero ? 0 : 1;
    AS_TRY(read_int(p, "max_tokens", min, INT32_MAX, &n));
    AS_TRY(read_int(p, "max_completion_tokens", min, INT32_MAX, &n));
    if (n > p->limits->max_tokens)
        n = p->limits->max_tokens; /* the window ends there in any case: finish_reason "length" */
    o->max_tokens = (int)n;
    o->common.max_tokens = n > 0 ? (int)n : 1;
    return AS_OK;
}

static as_code read_thinking(parse *p)
{
    as_request *rq = &p->out->common;
    const as_json *kwargs = field(p, "chat_template_kwargs");
    const as_json *on_node = as_json_get(kwargs, "enable_thinking");
    bool on = false;
    if (kwargs != NULL && as_json_type(kwargs) != AS_JSON_OBJECT)
        return refuse(p, "chat_template_kwargs", "want an object");
    if (on_node != NULL && !as_json_bool(on_node, &on))
        return refuse(p, "chat_template_kwargs", "\"enable_thinking\" wants true or false");
    if (on_node != NULL)
        rq->think = on ? AS_THINK_ON : AS_THINK_OFF;
    const as_json *effort = field(p, "reasoning_effort");
    as_str word;
    if (effort == NULL)
        return AS_OK;
    if (!as_json_str(effort, &word))
        return refuse(p, "reasoning_effort", "want none, minimal, low, medium or high");
    static const char *const on_words[] = {"minimal", "low", "medium", "high", NULL};
    if (as_str_eq_z(word, "none")) {
        rq->think = AS_THINK_OFF;
        return AS_OK;
    }
    for (const char *const *w = on_words; *w != NULL; w++)
        if (as_str_eq_z(word, *w)) {
            rq->think = AS_THINK_ON;
            return AS_OK;
        }
    return refuse(p, "reasoning_effort", "want none, minimal, low, medium or high");
}

static as_code read_logprobs(parse *p)
{
    ap_request *o = p->out;
    int64_t top = 0;
    o->prompt_logprobs = -1;
    if (o->route == AP_CHAT) {
        AS_TRY(read_bool(p, "logprobs", &o->wants_logprobs));
        AS_TRY(read_int(p, "top_logprobs", 0, AP_MAX_TOP, &top));
        if (!o->wants_logprobs && top > 0)
            return refuse(p, "top_logprobs", "wants \"logprobs\": true beside it");
    } else {
        const as_json *node = field(p, "logprobs");
        bool on = false;
        if (as_json_bool(node, &on)) { /* some clients send false */
            o->wants_logprobs = on;
        } else {
            AS_TRY(read_int(p, "logprobs", 0, AP_MAX_TOP, &top));
            o->wants_logprobs = node != NULL;
        }
        int64_t prompt = -1;
        AS_TRY(read_int(p, "prompt_logprobs", 0, AP_MAX_TOP, &prompt));
        o->prompt_logprobs = (int)prompt;
        AS_TRY(read_bool(p, "echo", &o->echo));
        AS_TRY(read_bool(p, "return_token_ids", &o->return_token_ids));
    }
    o->top_logprobs = (int)top;
    o->common.top_logprobs = !o->wants_logprobs ? 0 : top > 0 ? (int)top : 1;
    if (o->wants_logprobs && !p->limits->can_logprobs)
        return refuse(p, "logprobs", "this backend tells none; leave it out");
    const bool scores = o->prompt_logprobs >= 0 || (o->echo && o->wants_logprobs);
    if (scores && !(p->limits->can_score && p->limits->can_tokenize && p->limits->can_ids))
        return refuse(p, o->prompt_logprobs >= 0 ? "prompt_logprobs" : "echo",
                      "this backend cannot score a prompt; leave it out");
    return AS_OK;
}

static as_code read_stream(parse *p)
{
    ap_request *o = p->out;
    const as_json *options = field(p, "stream_options");
    AS_TRY(read_bool(p, "stream", &o->stream));
    if (options != NULL && as_json_type(options) != AS_JSON_OBJECT)
        return refuse(p, "stream_options", "want an object");
    if (options != NULL && !o->stream)
        return refuse(p, "stream_options", "wants \"stream\": true beside it");
    const as_json *usage = as_json_get(options, "include_usage");
    if (usage != NULL && !as_json_bool(usage, &o->include_usage))
        return refuse(p, "stream_options", "\"include_usage\" wants true or false");
    if (o->stream && o->prompt_logprobs >= 0)
        return refuse(p, "prompt_logprobs", "not in a stream; leave out \"stream\"");
    if (o->stream && o->echo && o->wants_logprobs)
        return refuse(p, "echo", "with \"logprobs\" not in a stream; leave out \"stream\"");
    return AS_OK;
}

/* Any name is taken, as llama.cpp's server does: clients carry names of their own, and the reply
 * says who answered. Where there are adapters to choose from, another name is an adapter's. */
static as_code read_model(parse *p)
{
    const as_json *node = field(p, "model");
    if (node == NULL)
        return AS_OK;
    if (!as_json_str(node, &p->out->model))
        return refuse(p, "model", "want a text");
    for (const char *const *m = p->limits->models; *m != NULL; m++)
        if (as_str_eq_z(p->out->model, *m))
            return AS_OK;
    if (p->limits->can_lora)
        p->out->common.lora = p->out->model;
    return AS_OK;
}

static as_code read_tokenize(parse *p)
{
    p->out->add_special_tokens = true;
    AS_TRY(read_bool(p, "add_special_tokens", &p->out->add_special_tokens));
    if (!p->limits->can_tokenize)
        return refuse(p, "prompt", "this backend does not tell its tokens");
    if (field(p, "messages") != NULL)
        return read_messages(p);
    const as_json *content = field(p, "content"); /* llama.cpp's name */
    as_str text;
    if (!as_json_str(field(p, "prompt"), &text) && !as_json_str(content, &text))
        return refuse(p, "prompt", "want a text");
    if (content != NULL) {
        p->out->add_special_tokens = false;
        AS_TRY(read_bool(p, "add_special", &p->out->add_special_tokens));
    }
    p->out->prompts = as_new(p->keep, ap_prompt, 1);
    if (p->out->prompts == NULL)
        return as_nomem(p->err);
    p->out->prompts[0].text = text;
    p->out->n_prompts = 1;
    return AS_OK;
}

static as_code read_detokenize(parse *p)
{
    size_t n = 0;
    if (!p->limits->can_detokenize)
        return refuse(p, "tokens", "this backend does not tell the text of tokens");
    p->out->prompts = as_new(p->keep, ap_prompt, 1);
    if (p->out->prompts == NULL)
        return as_nomem(p->err);
    AS_TRY(read_ids(p, "tokens", field(p, "tokens"), p->out->prompts, &n));
    p->out->n_prompts = 1;
    return AS_OK;
}

as_code ap_parse(ap_request *out, ap_route route, const as_json *body, const ap_limits *limits,
                 as_arena *keep, ap_problem *problem, as_err *err)
{
    *out = (ap_request){.route = route, .prompt_logprobs = -1};
    *problem = (ap_problem){.status = 400};
    parse p = {out, body, limits, keep, problem, err};
    if (as_json_type(body) != AS_JSON_OBJECT)
        return as_fail(err, AS_RANGE, "the body wants to be a JSON object");
    AS_TRY(read_model(&p));
    if (route == AP_TOKENIZE)
        return read_tokenize(&p);
    if (route == AP_DETOKENIZE)
        return read_detokenize(&p);
    if (route != AP_TEXT) {
        if (!limits->can_chat)
            return refuse(&p, "messages",
                          "this model has no chat template; use /v1/completions with a prompt");
        AS_TRY(read_messages(&p));
        AS_TRY(read_thinking(&p));
        if (route == AP_TEMPLATE)
            return AS_OK;
    } else {
        AS_TRY(read_prompts(&p));
    }
    AS_TRY(check_unsupported(&p));
    AS_TRY(read_sampling(&p));
    AS_TRY(read_logprobs(&p));
    AS_TRY(read_max_tokens(&p));
    return read_stream(&p);
}

void ap_write_error(as_buf *out, int status, const char *param, as_str message)
{
    const char *type = status == 401                    ? "authentication_error"
                       : status == 404                  ? "not_found_error"
                       : status == 503 || status == 429 ? "unavailable_error"
                       : status >= 500                  ? "server_error"
                                                        : "invalid_request_error";
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_key(&w, "error");
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "message", message);
    as_jw_put_z(&w, "type", type);
    as_jw_put_z(&w, "param", param != NULL && param[0] != '\0' ? param : NULL);
    as_jw_put_i64(&w, "code", status);
    as_jw_end_object(&w);
    as_jw_end_object(&w);
}
