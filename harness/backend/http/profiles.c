/* profiles.c — what OpenAI-like servers may be sent; the driver's probes correct it. */
#include <string.h>

#include "backend/http/dialect.h"

enum { MANY = 64 };

static const ht_profile profiles[] = {
    {.name = "openai",
     .max_tokens = "max_completion_tokens",
     .has_seed = true,
     .has_stream_usage = true,
     .has_logprobs = true,
     .has_images = true,
     .has_audio = true,
     .max_stop = 4,
     .max_top_logprobs = 20,
     .think = HT_THINK_NONE},
    {.name = "vllm",
     .max_tokens = "max_tokens",
     .continues = true,
     .has_seed = true,
     .has_top_k = true,
     .has_min_p = true,
     .has_stream_usage = true,
     .has_logprobs = true,
     .has_images = true,
     .has_audio = true,
     .has_ignore_eos = true,
     .has_echo = true,
     .max_stop = MANY,
     .max_top_logprobs = 20,
     .think = HT_THINK_TEMPLATE,
     .think_budget = "thinking_token_budget",
     .no_cache = HT_NO_CACHE_SALT},
    {.name = "sglang",
     .max_tokens = "max_tokens",
     .continues = true,
     .has_seed = true,
     .has_top_k = true,
     .has_min_p = true,
     .has_stream_usage = true,
     .has_logprobs = true,
     .has_images = true,
     .has_ignore_eos = true,
     .has_echo = true,
     .max_stop = MANY,
     .max_top_logprobs = 20,
     .think = HT_THINK_TEMPLATE},
    {.name = "llamacpp",
     .max_tokens = "max_tokens",
     .has_seed = true,
     .has_top_k = true,
     .has_min_p = true,
     .has_stream_usage = true,
     .has_logprobs = true,
     .has_images = true,
     .has_audio = true,
     .has_ignore_eos = true,
     .repeats_prefill = true,
     .max_stop = MANY,
     .max_top_logprobs = 1 << 18,
     .think = HT_THINK_TEMPLATE,
     .think_budget = "reasoning_budget_tokens",
     .no_cache = HT_NO_CACHE_FIELD},
    {.name = "ollama",
     .max_tokens = "max_tokens",
     .has_seed = true,
     .has_stream_usage = true,
     .has_logprobs = true,
     .has_images = true,
     .max_stop = MANY,
     .max_top_logprobs = 20,
     .think = HT_THINK_EFFORT},
    {.name = "ollama-native",
     .max_tokens = "num_predict",
     .has_seed = true,
     .has_top_k = true,
     .has_min_p = true,
     .has_logprobs = true,
     .has_images = true,
     .has_audio = true,
     .max_stop = MANY,
     .max_top_logprobs = 20,
     .think = HT_THINK_FIELD},
    {.name = "lmstudio",
     .max_tokens = "max_tokens",
     .has_seed = true,
     .has_top_k = true,
     .has_stream_usage = true,
     .has_images = true,
     .max_stop = MANY,
     .think = HT_THINK_EFFORT},
    {.name = "llama-cpp-python",
     .max_tokens = "max_tokens",
     .has_seed = true,
     .has_top_k = true,
     .has_min_p = true,
     .has_logprobs = true,
     .has_echo = true,
     .max_stop = MANY,
     .max_top_logprobs = 100,
     .think = HT_THINK_NONE},
    {.name = "gemini-openai",
     .max_tokens = "max_tokens",
     .has_stream_usage = true,
     .has_images = true,
     .max_stop = 5,
     .think = HT_THINK_EFFORT},
    {.name = "gemini",
     .max_tokens = "maxOutputTokens",
     .has_seed = true,
     .has_top_k = true,
     .has_images = true,
     .max_stop = 5,
     .max_top_logprobs = 20,
     .think = HT_THINK_FIELD},
    {.name = "generic",
     .max_tokens = "max_tokens",
     .has_seed = true,
     .has_stream_usage = true,
     .has_logprobs = true,
     .has_images = true,
     .has_audio = true,
     .has_echo = true,
     .max_stop = 4,
     .max_top_logprobs = 20,
     .think = HT_THINK_TEMPLATE},
    {.name = "minimal", .max_tokens = "max_tokens", .max_stop = 4, .think = HT_THINK_NONE},
};

static const char *const think_names[] = {
    [HT_THINK_NONE] = "none",
    [HT_THINK_EFFORT] = "reasoning_effort",
    [HT_THINK_TEMPLATE] = "enable_thinking",
    [HT_THINK_TEMPLATE_SHORT] = "thinking",
    [HT_THINK_REASONING_OBJECT] = "reasoning",
    [HT_THINK_FIELD] = "think",
    [HT_THINK_SYSTEM_TOKEN] = "system_token",
};

const ht_profile *ht_profile_find(as_str name)
{
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
        if (as_str_eq_z(name, profiles[i].name))
            return &profiles[i];
    return NULL;
}

as_code ht_profile_unknown(as_str name, as_err *err)
{
    as_buf list;
    as_buf_init(&list, 1024);
    for (size_t i = 0; i < sizeof profiles / sizeof profiles[0]; i++)
        (void)as_buf_printf(&list, "%s%s", i == 0 ? "" : ", ", profiles[i].name);
    const as_code c = as_fail(err, AS_RANGE, "-M profile=%.*s: there are: %s", AS_ARG(name),
                              list.n != 0 ? list.p : "");
    as_buf_release(&list);
    return c;
}

bool ht_think_style_parse(ht_think_style *out, as_str name)
{
    for (size_t i = 0; i < sizeof think_names / sizeof think_names[0]; i++)
        if (as_str_eq_z(name, think_names[i])) {
            *out = (ht_think_style)i;
            return true;
        }
    return false;
}
