/* mock_routes.c — which path is whose, and what the servers tell of themselves. */
#include <stdio.h>

#include "base/toymodel.h"
#include "serve/mock_impl.h"

static void tell_health(mk_play *p, const mk_answer *a)
{
    (void)a;
    as_jw_raw(mk_event(p), AS_STR("{\"status\":\"ok\"}"));
}

static void tell_models(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "object", AS_STR("list"));
    as_jw_key(w, "data");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_str(w, "id", a->script->model);
    as_jw_put_str(w, "object", AS_STR("model"));
    const unsigned s = a->script->servers;
    as_jw_put_str(w, "owned_by",
                  s == MK_VLLM       ? AS_STR("vllm")
                  : s == MK_LLAMACPP ? AS_STR("llamacpp")
                                     : AS_STR("assay-mock"));
    if ((s & MK_VLLM) != 0) {
        as_jw_put_str(w, "root", a->script->model);
        as_jw_key(w, "parent");
        as_jw_null(w);
        as_jw_put_i64(w, "max_model_len", a->script->n_ctx);
    }
    if ((s & MK_LLAMACPP) != 0) {
        as_jw_key(w, "meta");
        as_jw_begin_object(w);
        as_jw_put_i64(w, "n_vocab", 258);
        as_jw_put_i64(w, "n_ctx_train", a->script->n_ctx);
        as_jw_put_i64(w, "n_params", 1000000);
        as_jw_put_i64(w, "size", 2000000);
        as_jw_put_str(w, "ftype", AS_STR("F16"));
        as_jw_end_object(w);
    }
    as_jw_end_object(w);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void tell_props(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_key(w, "default_generation_settings");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "n_ctx", a->script->n_ctx);
    as_jw_end_object(w);
    as_jw_put_i64(w, "total_slots", a->script->slots);
    as_jw_put_str(w, "model_alias", a->script->model);
    as_jw_put_str(w, "model_path",
                  as_arena_printf(a->scratch, "%.*s.gguf", AS_ARG(a->script->model)));
    as_jw_put_str(w, "model_ftype", AS_STR("F16"));
    as_jw_key(w, "modalities");
    as_jw_raw(w, AS_STR("{\"vision\":false,\"audio\":false}"));
    as_jw_put_str(w, "chat_template", AS_STR("{% for m in messages %}{{ m.content }}{% endfor %}"));
    as_jw_put_str(w, "bos_token", AS_STR("<bos>"));
    as_jw_put_str(w, "eos_token", AS_STR("<eos>"));
    as_jw_put_str(w, "build_info", AS_STR("mock-1"));
    as_jw_end_object(w);
}

static void tell_slots(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_array(w);
    for (int64_t i = 0; i < a->script->slots && i < 1024; i++) {
        as_jw_begin_object(w);
        as_jw_put_i64(w, "id", i);
        as_jw_put_i64(w, "n_ctx", a->script->n_ctx);
        as_jw_put_bool(w, "is_processing", false);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

/* llama.cpp takes {"content"}, vLLM {"prompt"} or {"messages"}. */
static void tell_tokenize(mk_play *p, const mk_answer *a)
{
    as_str text = AS_STR("");
    const bool is_lcpp = as_json_get(a->body, "content") != NULL;
    if (!as_json_str(as_json_get(a->body, is_lcpp ? "content" : "prompt"), &text)) {
        const as_json *messages = as_json_get(a->body, "messages");
        for (const as_json *m = as_json_first(messages); m != NULL; m = as_json_next(m))
            (void)as_json_str(as_json_get(m, "content"), &text);
    }
    const bool has_bos = is_lcpp ? mk_flag(a->body, "add_special", false)
                                 : mk_flag(a->body, "add_special_tokens", true);
    const bool has_pieces = is_lcpp && mk_flag(a->body, "with_pieces", false);
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_key(w, "tokens");
    as_jw_begin_array(w);
    for (size_t i = has_bos ? 0 : 1; i <= text.n; i++) {
        const int32_t id = i == 0 ? AS_TOY_BOS : (int32_t)(unsigned char)text.p[i - 1];
        if (!has_pieces) {
            as_jw_i64(w, id);
            continue;
        }
        char piece[16];
        as_jw_begin_object(w);
        as_jw_put_i64(w, "id", id);
        if (id >= 128 && id < 256) { /* not UTF-8 on its own: bytes */
            as_jw_key(w, "piece");
            as_jw_begin_array(w);
            as_jw_i64(w, id);
            as_jw_end_array(w);
        } else {
            as_jw_put_str(w, "piece", (as_str){piece, (size_t)as_toy_piece(piece, id)});
        }
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    if (!is_lcpp) {
        as_jw_put_i64(w, "count", (int64_t)text.n + (has_bos ? 1 : 0));
        as_jw_put_i64(w, "max_model_len", a->script->n_ctx);
        as_jw_key(w, "token_strs");
        as_jw_null(w);
    }
    as_jw_end_object(w);
}

static void tell_detokenize(mk_play *p, const mk_answer *a)
{
    as_buf text;
    as_buf_init(&text, 0);
    const as_json *ids = as_json_get(a->body, "tokens");
    for (const as_json *t = as_json_first(ids); t != NULL; t = as_json_next(t)) {
        int64_t id = 0;
        if (as_json_i64(t, &id) && id >= 0 && id < 256)
            (void)as_buf_add_byte(&text, (char)id);
    }
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "content", as_buf_str(&text)); /* llama.cpp */
    as_jw_put_str(w, "prompt", as_buf_str(&text));  /* vLLM */
    as_jw_end_object(w);
    as_buf_release(&text);
}

static void add_messages(as_buf *out, const as_json *messages)
{
    for (const as_json *m = as_json_first(messages); m != NULL; m = as_json_next(m)) {
        const as_str role = mk_text(m, "role", "user");
        (void)as_buf_printf(out, "<%.*s>%.*s\n", AS_ARG(role), AS_ARG(mk_text(m, "content", "")));
    }
    (void)as_buf_add_z(out, "<assistant>");
}

static void tell_template(mk_play *p, const mk_answer *a)
{
    as_buf text;
    as_buf_init(&text, 0);
    add_messages(&text, as_json_get(a->body, "messages"));
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "prompt", as_buf_str(&text));
    as_jw_end_object(w);
    as_buf_release(&text);
}

static void tell_version(mk_play *p, const mk_answer *a)
{
    (void)a;
    as_jw_raw(mk_event(p), AS_STR("{\"version\":\"0.33.0\"}"));
}

/* Both servers' names; the numbers are requests and are filled by the caller's count. */
static void tell_metrics(mk_play *p, const mk_answer *a)
{
    (void)mk_event(p);
    const unsigned long long n = a->n;
    if ((a->script->servers & MK_LLAMACPP) != 0)
        (void)as_buf_printf(&p->ev,
                            "# TYPE llamacpp:prompt_tokens_total counter\n"
                            "llamacpp:prompt_tokens_total %llu\n"
                            "llamacpp:tokens_predicted_total %llu\n"
                            "llamacpp:prompt_seconds_total 0.5\n"
                            "llamacpp:tokens_predicted_seconds_total 1.5\n"
                            "llamacpp:requests_processing 0\nllamacpp:requests_deferred 0\n",
                            n * 10, n);
    if ((a->script->servers & MK_VLLM) != 0)
        (void)as_buf_printf(
            &p->ev,
            "# TYPE vllm:num_requests_running gauge\n"
            "vllm:num_requests_running{engine=\"0\",model_name=\"%.*s\"} 0.0\n"
            "vllm:num_requests_waiting{engine=\"0\",model_name=\"%.*s\"} 0.0\n"
            "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"%.*s\"} 0.25\n"
            "vllm:prompt_tokens_total{engine=\"0\",model_name=\"%.*s\"} %llu.0\n"
            "vllm:generation_tokens_total{engine=\"0\",model_name=\"%.*s\"} %llu.0\n",
            AS_ARG(a->script->model), AS_ARG(a->script->model), AS_ARG(a->script->model),
            AS_ARG(a->script->model), n * 10, AS_ARG(a->script->model), n);
}

/* ---- Ollama ------------------------------------------------------------------------------------ */

static const char details[] = "{\"format\":\"gguf\",\"family\":\"mock\",\"parameter_size\":\"1M\","
                              "\"quantization_level\":\"F16\"}";

static void ollama_model(as_jw *w, const mk_answer *a, bool is_loaded)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "name", a->script->model);
    as_jw_put_str(w, "model", a->script->model);
    as_jw_put_i64(w, "size", 2000000);
    as_jw_put_str(w, "digest",
                  AS_STR("00000000000000000000000000000000000000000000000000000000000000aa"));
    as_jw_key(w, "details");
    as_jw_raw(w, as_str_of(details));
    if (is_loaded) {
        as_jw_put_i64(w, "size_vram", 0);
        as_jw_put_i64(w, "context_length", a->script->n_ctx);
        as_jw_put_str(w, "expires_at", AS_STR("2026-11-01T10:05:00Z"));
    }
    as_jw_end_object(w);
}

static void ollama_list(mk_play *p, const mk_answer *a, bool is_loaded)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_key(w, "models");
    as_jw_begin_array(w);
    ollama_model(w, a, is_loaded);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void tell_tags(mk_play *p, const mk_answer *a)
{
    ollama_list(p, a, false);
}

static void tell_ps(mk_play *p, const mk_answer *a)
{
    ollama_list(p, a, true);
}

static void tell_show(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_key(w, "details");
    as_jw_raw(w, as_str_of(details));
    as_jw_key(w, "model_info");
    as_jw_begin_object(w);
    as_jw_put_str(w, "general.architecture", AS_STR("mock"));
    as_jw_put_i64(w, "general.parameter_count", 1000000);
    as_jw_put_i64(w, "mock.context_length", a->script->n_ctx);
    as_jw_end_object(w);
    as_jw_put_str(w, "template", AS_STR("{{ .Prompt }}"));
    as_jw_put_str(w, "parameters", AS_STR(""));
    as_jw_key(w, "capabilities");
    as_jw_raw(w, AS_STR("[\"completion\",\"thinking\"]"));
    as_jw_end_object(w);
}

/* ---- Gemini ------------------------------------------------------------------------------------ */

static void gemini_model(as_jw *w, const mk_answer *a)
{
    as_jw_begin_object(w);
    char name[256];
    (void)snprintf(name, sizeof name, "models/%.*s", AS_ARG(a->script->model));
    as_jw_put_str(w, "name", as_str_of(name));
    as_jw_put_str(w, "version", AS_STR("1"));
    as_jw_put_i64(w, "inputTokenLimit", a->script->n_ctx);
    as_jw_put_i64(w, "outputTokenLimit", a->script->n_ctx);
    as_jw_key(w, "supportedGenerationMethods");
    as_jw_raw(w, AS_STR("[\"generateContent\",\"countTokens\"]"));
    as_jw_put_bool(w, "thinking", true);
    as_jw_end_object(w);
}

static void tell_gemini_models(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_key(w, "models");
    as_jw_begin_array(w);
    gemini_model(w, a);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void tell_gemini_model(mk_play *p, const mk_answer *a)
{
    gemini_model(mk_event(p), a);
}

static void tell_gemini_count(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_i64(w, "totalTokens", a->prompt_tokens);
    as_jw_end_object(w);
}

/* ---- LM Studio --------------------------------------------------------------------------------- */

static void tell_lmstudio_v0(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "object", AS_STR("list"));
    as_jw_key(w, "data");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_str(w, "id", a->script->model);
    as_jw_put_str(w, "object", AS_STR("model"));
    as_jw_put_str(w, "type", AS_STR("llm"));
    as_jw_put_str(w, "arch", AS_STR("mock"));
    as_jw_put_str(w, "quantization", AS_STR("F16"));
    as_jw_put_str(w, "state", AS_STR("loaded"));
    as_jw_put_i64(w, "max_context_length", a->script->n_ctx);
    as_jw_end_object(w);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void tell_lmstudio_v1(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_key(w, "models");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_str(w, "type", AS_STR("llm"));
    as_jw_put_str(w, "key", a->script->model);
    as_jw_put_str(w, "architecture", AS_STR("mock"));
    as_jw_key(w, "quantization");
    as_jw_raw(w, AS_STR("{\"name\":\"F16\",\"bits_per_weight\":16}"));
    as_jw_put_i64(w, "size_bytes", 2000000);
    as_jw_put_str(w, "params_string", AS_STR("1M"));
    as_jw_put_i64(w, "max_context_length", a->script->n_ctx);
    as_jw_put_str(w, "format", AS_STR("gguf"));
    as_jw_key(w, "loaded_instances");
    as_jw_begin_array(w);
    as_jw_begin_object(w);
    as_jw_put_str(w, "id", a->script->model);
    as_jw_key(w, "config");
    as_jw_begin_object(w);
    as_jw_put_i64(w, "context_length", a->script->n_ctx);
    as_jw_put_i64(w, "parallel", a->script->slots);
    as_jw_end_object(w);
    as_jw_end_object(w);
    as_jw_end_array(w);
    as_jw_end_object(w);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

static void tell_lmstudio_load(mk_play *p, const mk_answer *a)
{
    as_jw *w = mk_event(p);
    as_jw_begin_object(w);
    as_jw_put_str(w, "type", AS_STR("llm"));
    as_jw_put_str(w, "instance_id", a->model);
    as_jw_put_i64(w, "load_time_seconds", 0);
    as_jw_put_str(w, "status", AS_STR("loaded"));
    as_jw_end_object(w);
}

#define TEXT_TYPE AS_STR_INIT("text/plain; version=0.0.4")
enum { V1 = MK_OPENAI | MK_OLLAMA | MK_LLAMACPP | MK_VLLM | MK_LMSTUDIO };

static const mk_route routes[] = {
    {"POST", "/v1/chat/completions", V1, mk_openai_chat, NULL, {0}},
    {"POST", "/v1/completions", V1, mk_openai_text, NULL, {0}},
    {"GET", "/v1/models", V1, NULL, tell_models, {0}},
    {"GET", "/health", MK_OPENAI | MK_LLAMACPP | MK_VLLM, NULL, tell_health, {0}},
    {"POST", "/completion", MK_LLAMACPP, mk_llamacpp_completion, NULL, {0}},
    {"POST", "/completions", MK_LLAMACPP, mk_llamacpp_completion, NULL, {0}},
    {"GET", "/props", MK_LLAMACPP, NULL, tell_props, {0}},
    {"GET", "/slots", MK_LLAMACPP, NULL, tell_slots, {0}},
    {"POST", "/tokenize", MK_LLAMACPP | MK_VLLM, NULL, tell_tokenize, {0}},
    {"POST", "/detokenize", MK_LLAMACPP | MK_VLLM, NULL, tell_detokenize, {0}},
    {"POST", "/apply-template", MK_LLAMACPP, NULL, tell_template, {0}},
    {"GET", "/metrics", MK_LLAMACPP | MK_VLLM, NULL, tell_metrics, TEXT_TYPE},
    {"GET", "/version", MK_VLLM, NULL, tell_version, {0}},
    {"POST", "/api/chat", MK_OLLAMA, mk_ollama_chat, NULL, {0}},
    {"POST", "/api/generate", MK_OLLAMA, mk_ollama_generate, NULL, {0}},
    {"GET", "/api/tags", MK_OLLAMA, NULL, tell_tags, {0}},
    {"GET", "/api/ps", MK_OLLAMA, NULL, tell_ps, {0}},
    {"POST", "/api/show", MK_OLLAMA, NULL, tell_show, {0}},
    {"GET", "/api/version", MK_OLLAMA, NULL, tell_version, {0}},
    {"POST", "/v1beta/models/*:generateContent", MK_GEMINI, mk_gemini_whole, NULL, {0}},
    {"POST", "/v1beta/models/*:streamGenerateContent", MK_GEMINI, mk_gemini_stream, NULL, {0}},
    {"POST", "/v1beta/models/*:countTokens", MK_GEMINI, NULL, tell_gemini_count, {0}},
    {"GET", "/v1beta/models", MK_GEMINI, NULL, tell_gemini_models, {0}},
    {"GET", "/v1beta/models/*", MK_GEMINI, NULL, tell_gemini_model, {0}},
    {"POST", "/api/v0/chat/completions", MK_LMSTUDIO, mk_openai_chat, NULL, {0}},
    {"POST", "/api/v0/completions", MK_LMSTUDIO, mk_openai_text, NULL, {0}},
    {"GET", "/api/v0/models", MK_LMSTUDIO, NULL, tell_lmstudio_v0, {0}},
    {"POST", "/api/v1/chat", MK_LMSTUDIO, mk_lmstudio_v1_chat, NULL, {0}},
    {"GET", "/api/v1/models", MK_LMSTUDIO, NULL, tell_lmstudio_v1, {0}},
    {"POST", "/api/v1/models/load", MK_LMSTUDIO, NULL, tell_lmstudio_load, {0}},
    {"POST", "/api/v1/models/unload", MK_LMSTUDIO, NULL, tell_lmstudio_load, {0}},
};

static bool fits(const char *pattern, as_str path)
{
    as_str before, after;
    if (!as_str_cut(as_str_of(pattern), '*', &before, &after))
        return as_str_eq(before, path);
    return path.n > before.n + after.n && as_str_starts(path, before) && as_str_ends(path, after);
}

const mk_route *mk_route_find(const mk_script *s, const sv_head *head)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if ((routes[i].servers & s->servers) != 0 && as_str_eq_z(head->method, routes[i].method) &&
            fits(routes[i].path, head->path))
            return &routes[i];
    return NULL;
}
