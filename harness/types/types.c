#include "types/response.h"
#include "types/score.h"

enum { N_FINISH = AS_FINISH_CANCELLED + 1, N_ERROR = AS_ERROR_UNSUPPORTED + 1 };

static const char *const finish_names[N_FINISH] = {
    [AS_FINISH_UNKNOWN] = "unknown",     [AS_FINISH_STOP] = "stop",
    [AS_FINISH_STOP_TEXT] = "stop_text", [AS_FINISH_LENGTH] = "length",
    [AS_FINISH_BLOCKED] = "blocked",     [AS_FINISH_ERROR] = "error",
    [AS_FINISH_CANCELLED] = "cancelled",
};

static const char *const error_names[N_ERROR] = {
    [AS_ERROR_NONE] = "none",
    [AS_ERROR_TRANSPORT] = "transport",
    [AS_ERROR_TIMEOUT] = "timeout",
    [AS_ERROR_RATE] = "rate",
    [AS_ERROR_SERVER] = "server",
    [AS_ERROR_REQUEST] = "request",
    [AS_ERROR_CONTEXT] = "context",
    [AS_ERROR_PROTOCOL] = "protocol",
    [AS_ERROR_MISSING] = "missing",
    [AS_ERROR_QUOTA] = "quota",
    [AS_ERROR_AUTH] = "auth",
    [AS_ERROR_NOT_FOUND] = "not_found",
    [AS_ERROR_UNSUPPORTED] = "unsupported",
};

static const char *const dropped_names[AS_N_DROPPED] = {
    "seed",     "top_k",    "min_p", "stop", "think",      "think_budget",
    "logprobs", "no_cache", "media", "lora", "ignore_eos", "top_p",
};

static const char *const verdict_names[AS_N_VERDICTS] = {
    [AS_RIGHT] = "right", [AS_WRONG] = "wrong",       [AS_TRUNCATED] = "truncated",
    [AS_EMPTY] = "empty", [AS_UNPARSED] = "unparsed", [AS_REFUSED] = "refused",
    [AS_ERROR] = "error", [AS_UNGRADED] = "ungraded",
};

static const char *name_of(const char *const *names, int n, int i)
{
    return i >= 0 && i < n ? names[i] : "?";
}

static bool index_of(const char *const *names, int n, as_str name, int *out)
{
    for (int i = 0; i < n; i++)
        if (as_str_eq_z(name, names[i])) {
            *out = i;
            return true;
        }
    return false;
}

void as_response_init(as_response *r)
{
    *r = (as_response){
        .retry_after_ms = -1,
        .prompt_tokens = -1,
        .completion_tokens = -1,
        .reasoning_tokens = -1,
        .cached_tokens = -1,
        .queue_ns = -1,
        .connect_ns = -1,
        .first_byte_ns = -1,
        .first_token_ns = -1,
        .first_answer_ns = -1,
        .last_token_ns = -1,
        .total_ns = -1,
        .client_cpu_ns = -1,
        .server_queue_ns = -1,
        .server_prompt_ns = -1,
        .server_generation_ns = -1,
        .server_load_ns = -1,
    };
}

as_code as_response_copy(as_response *out, const as_response *from, as_arena *keep, as_err *err)
{
    as_response r = *from;
    r.gaps_ns = NULL;
    r.logprobs = NULL;
    r.n_gaps = r.n_logprobs = 0;
    as_str *const texts[] = {&r.message, &r.text,        &r.reasoning, &r.finish_raw,
                             &r.model,   &r.fingerprint, &r.endpoint,  &r.recorded.target};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!as_str_is_set(*texts[i]))
            continue;
        *texts[i] = as_arena_str(keep, *texts[i]);
        if (!as_str_is_set(*texts[i]))
            return as_nomem(err);
    }
    *out = r;
    return AS_OK;
}

const char *as_finish_name(as_finish f)
{
    return name_of(finish_names, N_FINISH, (int)f);
}

bool as_finish_parse(as_finish *out, as_str name)
{
    int i = 0;
    if (!index_of(finish_names, N_FINISH, name, &i))
        return false;
    *out = (as_finish)i;
    return true;
}

const char *as_dropped_name(int bit)
{
    return name_of(dropped_names, AS_N_DROPPED, bit);
}

const char *as_error_kind_name(as_error_kind k)
{
    return name_of(error_names, N_ERROR, (int)k);
}

bool as_error_kind_parse(as_error_kind *out, as_str name)
{
    int i = 0;
    if (!index_of(error_names, N_ERROR, name, &i))
        return false;
    *out = (as_error_kind)i;
    return true;
}

const char *as_verdict_name(as_verdict v)
{
    return name_of(verdict_names, AS_N_VERDICTS, (int)v);
}

bool as_verdict_parse(as_verdict *out, as_str name)
{
    int i = 0;
    if (!index_of(verdict_names, AS_N_VERDICTS, name, &i))
        return false;
    *out = (as_verdict)i;
    return true;
}
