#include "backend/http/errors.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "backend/http/hints.h"
#include "base/json.h"
#include "base/utf8.h"

/* Words of "message", "type", "code" and "status" that decide whatever the HTTP status says; the
 * first row that is found counts. */
static const struct {
    const char *words;
    as_error_kind kind;
    bool is_overload;
} by_words[] = {
    {"context_length_exceeded", AS_ERROR_CONTEXT, false},
    {"exceed_context_size_error", AS_ERROR_CONTEXT, false},
    {"maximum context length", AS_ERROR_CONTEXT, false},
    {"max_model_len", AS_ERROR_CONTEXT, false},
    {"exceeds the available context size", AS_ERROR_CONTEXT, false},
    {"exceeds the context length", AS_ERROR_CONTEXT, false},
    {"exceeds maximum context", AS_ERROR_CONTEXT, false},
    {"longer than the context", AS_ERROR_CONTEXT, false},
    {"max context length", AS_ERROR_CONTEXT, false},
    {"with context length of only", AS_ERROR_CONTEXT, false}, /* LM Studio */
    {"input token count", AS_ERROR_CONTEXT, false}, /* Gemini: … exceeds the maximum number */
    {"input is not supported - hint", AS_ERROR_UNSUPPORTED, false},
    {"not_supported_error", AS_ERROR_UNSUPPORTED, false},
    {"empty grammar stack", AS_ERROR_UNSUPPORTED, false},
    {"is not enabled for model", AS_ERROR_UNSUPPORTED, false},
    {"does not support", AS_ERROR_UNSUPPORTED, false},
    {"api key not valid", AS_ERROR_AUTH, false},
    {"invalid_api_key", AS_ERROR_AUTH, false},
    {"insufficient_quota", AS_ERROR_QUOTA, false},
    {"loading model", AS_ERROR_SERVER, true},
    {"server busy", AS_ERROR_SERVER, true},
    {"parse_error", AS_ERROR_REQUEST, false}, /* llama.cpp: malformed JSON is a 500 */
    {"model_not_found", AS_ERROR_NOT_FOUND, false},
    {"not_found_error", AS_ERROR_NOT_FOUND, false},
    {"notfounderror", AS_ERROR_NOT_FOUND, false},
    {"try pulling it first", AS_ERROR_NOT_FOUND, false},
};

/* Words of a 429 that waiting a minute does not help. */
static const char *const quota_words[] = {"perday", "per day", "billing", "daily"};

static const struct {
    int status;
    as_error_kind kind;
    bool is_overload;
} by_status[] = {
    {401, AS_ERROR_AUTH, false},        {403, AS_ERROR_AUTH, false},
    {404, AS_ERROR_NOT_FOUND, false},   {405, AS_ERROR_NOT_FOUND, false},
    {408, AS_ERROR_SERVER, true},       {429, AS_ERROR_RATE, false},
    {501, AS_ERROR_UNSUPPORTED, false}, {502, AS_ERROR_SERVER, true},
    {503, AS_ERROR_SERVER, true},       {504, AS_ERROR_SERVER, true},
    {529, AS_ERROR_SERVER, true},
};

/* The status a "type" or "status" word stands for, where the body has no number. */
static const struct {
    const char *type;
    int status;
} by_type[] = {
    {"invalid_request_error", 400}, {"BadRequestError", 400},
    {"INVALID_ARGUMENT", 400},      {"FAILED_PRECONDITION", 400},
    {"authentication_error", 401},  {"PERMISSION_DENIED", 403},
    {"permission_error", 403},      {"NOT_FOUND", 404},
    {"rate_limit_error", 429},      {"RESOURCE_EXHAUSTED", 429},
    {"unavailable_error", 503},     {"UNAVAILABLE", 503},
    {"overloaded_error", 529},      {"DEADLINE_EXCEEDED", 504},
    {"server_error", 500},
};

typedef struct fields {
    const as_json *error; /* the object that tells, or NULL */
    as_str message, type, code, status;
    int64_t number; /* the code as a number, 0: none */
    bool has_context_counts;
} fields;

static bool has_words(as_str text, const char *words)
{
    const size_t n = strlen(words);
    for (size_t i = 0; text.p != NULL && i + n <= text.n; i++)
        if (strncasecmp(text.p + i, words, n) == 0)
            return true;
    return false;
}

static void read_object(fields *f, const as_json *o)
{
    f->error = o;
    (void)as_json_str(as_json_get(o, "message"), &f->message);
    (void)as_json_str(as_json_get(o, "type"), &f->type);
    (void)as_json_str(as_json_get(o, "status"), &f->status);
    const as_json *code = as_json_get(o, "code");
    if (!as_json_i64(code, &f->number) && as_json_str(code, &f->code))
        (void)as_parse_i64(f->code, 100, 599, &f->number);
    if (f->number == 0)
        (void)as_parse_i64(f->type, 100, 599, &f->number); /* SGLang: "type": "400" */
    f->has_context_counts =
        as_json_get(o, "n_prompt_tokens") != NULL && as_json_get(o, "n_ctx") != NULL;
}

static void read_detail(fields *f, const as_json *detail)
{
    const as_json *first = as_json_type(detail) == AS_JSON_ARRAY ? as_json_first(detail) : detail;
    if (!as_json_str(first, &f->message) && as_json_type(first) == AS_JSON_OBJECT)
        (void)as_json_str(as_json_get(first, "msg"), &f->message);
}

static void read_fields(fields *f, const as_json *tree)
{
    if (as_json_type(tree) == AS_JSON_ARRAY)
        tree = as_json_first(tree);
    if (as_json_type(tree) != AS_JSON_OBJECT) {
        (void)as_json_str(tree, &f->message);
        return;
    }
    const as_json *error = as_json_get(tree, "error");
    if (as_json_type(error) == AS_JSON_ARRAY)
        error = as_json_first(error);
    if (as_json_type(error) == AS_JSON_OBJECT)
        read_object(f, error);
    else if (as_json_type(error) == AS_JSON_STRING)
        (void)as_json_str(error, &f->message);
    else if (as_json_get(tree, "detail") != NULL)
        read_detail(f, as_json_get(tree, "detail"));
    else
        read_object(f, tree);
}

static void keep_message(ht_error *out, as_str text)
{
    text = as_utf8_cut(as_str_trim(text), HT_MAX_ERROR_TEXT);
    for (size_t i = 0; i < text.n; i++)
        out->message[i] = (unsigned char)text.p[i] < ' ' ? ' ' : text.p[i];
    out->message[text.n] = '\0';
    if (text.n == 0)
        (void)snprintf(out->message, sizeof out->message, "HTTP status %d without a message",
                       out->status);
}

static int effective_status(const fields *f, int status)
{
    if (status >= 400)
        return status;
    if (f->number >= 400 && f->number <= 599)
        return (int)f->number;
    for (size_t i = 0; i < sizeof by_type / sizeof by_type[0]; i++)
        if (as_str_eq_z(f->type, by_type[i].type) || as_str_eq_z(f->status, by_type[i].type))
            return by_type[i].status;
    return status;
}

static void class_by_status(ht_error *out)
{
    out->kind = out->status >= 400 && out->status < 500 ? AS_ERROR_REQUEST : AS_ERROR_SERVER;
    for (size_t i = 0; i < sizeof by_status / sizeof by_status[0]; i++)
        if (by_status[i].status == out->status) {
            out->kind = by_status[i].kind;
            out->is_overload = by_status[i].is_overload;
        }
}

static bool class_by_words(ht_error *out, const fields *f)
{
    const as_str where[] = {f->message, f->type, f->code, f->status};
    for (size_t i = 0; i < sizeof by_words / sizeof by_words[0]; i++)
        for (size_t k = 0; k < sizeof where / sizeof where[0]; k++)
            if (has_words(where[k], by_words[i].words)) {
                out->kind = by_words[i].kind;
                out->is_overload = by_words[i].is_overload;
                return true;
            }
    return false;
}

/* Google names each quota that was exceeded: {"details": [{"violations": [{"quotaId": "…PerDay…"}]}]}.
 * False: it names none. */
static bool names_quotas(const as_json *error, bool *is_daily)
{
    bool has_any = false;
    const as_json *details = as_json_get(error, "details");
    *is_daily = false;
    if (as_json_type(details) != AS_JSON_ARRAY)
        return false;
    for (const as_json *d = as_json_first(details); d != NULL; d = as_json_next(d)) {
        const as_json *list = as_json_get(d, "violations");
        if (as_json_type(list) != AS_JSON_ARRAY)
            continue;
        for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
            as_str id;
            if (!as_json_str(as_json_get(v, "quotaId"), &id))
                continue;
            has_any = true;
            *is_daily |= has_words(id, "perday");
        }
    }
    return has_any;
}

/* A 429 is a matter of seconds or of a day. Where quotas are named, they alone decide: Google's
 * message speaks of "plan and billing" when it means a minute, too. */
static void tell_quota(ht_error *out, const fields *f, as_str body)
{
    if (out->kind != AS_ERROR_RATE)
        return;
    bool is_quota = out->retry_after_ms > HT_QUOTA_FROM_MS, is_daily = false;
    const bool is_named = names_quotas(f->error, &is_daily);
    is_quota |= is_daily;
    for (size_t i = 0; !is_named && i < sizeof quota_words / sizeof quota_words[0]; i++)
        is_quota |= has_words(f->error != NULL ? body : f->message, quota_words[i]);
    if (is_quota)
        out->kind = AS_ERROR_QUOTA;
}

void ht_error_parse(ht_error *out, int status, as_str head, as_str body, int64_t wall_ns)
{
    *out = (ht_error){.kind = AS_ERROR_SERVER, .retry_after_ms = -1, .status = status};
    fields f = {0};
    as_json *tree = NULL;
    if (as_json_parse(&tree, as_str_trim(body), NULL) == AS_OK)
        read_fields(&f, tree);
    if (f.message.n == 0 && tree == NULL)
        f.message = as_str_sub(body, 0, HT_MAX_ERROR_TEXT + 4); /* cut at a character later */
    out->status = effective_status(&f, status);
    class_by_status(out);
    if (f.has_context_counts)
        out->kind = AS_ERROR_CONTEXT;
    else if (out->status != 401 && out->status != 429)
        (void)class_by_words(out, &f);
    else if (out->status == 429 && class_by_words(out, &f) && out->kind != AS_ERROR_QUOTA)
        out->kind = AS_ERROR_RATE;
    out->retry_after_ms = ht_retry_hint_ms(head, f.error, f.message, wall_ns);
    tell_quota(out, &f, as_str_sub(body, 0, 1 << 16));
    keep_message(out, f.message.n != 0 ? f.message : f.type);
    as_json_free(tree);
}
