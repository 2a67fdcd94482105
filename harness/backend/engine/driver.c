/*
 * driver.c — the built-in engine as a backend: continuous batching over engine/engine.h.
 *
 * Options    precision=auto|f32, kv=f32|f16|q8_0 (how keys and values are kept), ctx=N (positions a
 *            sequence may hold), memory=BYTES (that cache and buffers may take),
 *            lora=ADAPTER[:SCALE] (of every request), loras=ADAPTER[:SCALE] (may be repeated:
 *            for requests that name one)
 * Identity   with lora= the model's SHA-256 is one over the model's, the adapter's and the scale,
 *            and its name tells of all three, so that no run is taken for the plain model's.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/drivers.h"
#include "backend/engine/engine_impl.h"
#include "base/json.h"
#include "base/time.h"

static void write_adapter(const adapter *a, as_jw *w)
{
    const g4_adapter_info *info = g4_adapter_info_of(a->g4);
    as_jw_begin_object(w);
    as_jw_put_str(w, "name", info->name);
    as_jw_put_z(w, "sha256", a->sha);
    as_jw_put_f64(w, "scale", a->scale);
    as_jw_put_i64(w, "rank", info->rank_max);
    as_jw_end_object(w);
}

static void write_adapters(const engine_backend *be, as_jw *w)
{
    int first = 0;
    if (be->has_default_adapter) {
        first = 1;
        as_jw_put_z(w, "model_sha256", be->model_sha);
        as_jw_key(w, "lora");
        write_adapter(&be->adapters[0], w);
    }
    if (be->n_adapters == first)
        return;
    as_jw_key(w, "loras");
    as_jw_begin_array(w);
    for (int i = first; i < be->n_adapters; i++)
        write_adapter(&be->adapters[i], w);
    as_jw_end_array(w);
}

static as_code write_json(engine_backend *be, as_err *err)
{
    as_buf_reset(&be->json);
    as_jw w;
    as_jw_init(&w, &be->json);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "kind", "engine");
    as_jw_put_z(&w, "precision", be->options.precision == G4_F32 ? "f32" : "auto");
    write_adapters(be, &w);
    if (be->session != NULL) {
        as_jw_put_z(&w, "kernels", g4_session_kernels(be->session));
        as_jw_put_i64(&w, "threads", be->options.n_threads);
        as_jw_put_z(&w, "kv", g4_kv_name(g4_session_memory(be->session).kv));
        as_jw_put_i64(&w, "ctx", be->options.n_ctx);
        as_jw_put_i64(&w, "sequences", be->options.n_seqs);
    }
    as_jw_end_object(&w);
    be->info.json = as_buf_str(&be->json);
    return as_buf_ok(&be->json, err);
}

static as_code engine_prepare(be_backend *base, int max_total_tokens, int concurrency, as_err *err)
{
    engine_backend *be = (engine_backend *)base;
    if (be->session != NULL)
        return AS_OK;
    const int trained = g4_model_info(be->model)->n_ctx_train;
    int n_ctx = be->options.n_ctx != 0 ? be->options.n_ctx
                : max_total_tokens > 0 ? max_total_tokens
                                       : DEFAULT_CTX;
    if (trained > 0 && n_ctx > trained)
        n_ctx = trained;
    be->options.n_ctx = n_ctx;
    be->max_active = concurrency < 1 ? 1 : concurrency > MAX_SEQS ? MAX_SEQS : concurrency;
    be->options.n_seqs = be->max_active + N_PREFIXES;
    be->options.n_batch = N_BATCH;
    AS_TRY(g4_session_open(&be->session, be->model, &be->options, err));
    const g4_memory m = g4_session_memory(be->session);
    be->info.weights_bytes = m.weights_bytes;
    be->info.kv_bytes = m.kv_bytes;
    be->info.scratch_bytes = m.scratch_bytes;
    as_buf_reset(&be->memory);
    g4_memory_text(&m, &be->memory);
    be->info.memory = as_buf_str(&be->memory);
    be->info.n_ctx = n_ctx;
    return write_json(be, err);
}

static as_code engine_submit(be_backend *base, const as_request *rq, as_err *err)
{
    engine_backend *be = (engine_backend *)base;
    job *j = NULL;
    AS_TRY(engine_prepare(base, 0, 1, err));
    AS_TRY(job_new(be, rq, &j, err));
    if (be->last != NULL)
        be->last->next = j;
    else
        be->first = j;
    be->last = j;
    return AS_OK;
}

static as_code engine_poll(be_backend *base, int wait_ms, be_done done, void *user, as_err *err)
{
    engine_backend *be = (engine_backend *)base;
    const int64_t deadline_ns = as_now_ns() + (int64_t)wait_ms * 1000000;
    if (be->first == NULL) {
        as_sleep_ns((int64_t)wait_ms * 1000000);
        return AS_OK;
    }
    while (!reply_deliver(be, done, user)) {
        AS_TRY(batch_step(be, err));
        if (as_now_ns() >= deadline_ns) {
            (void)reply_deliver(be, done, user);
            break;
        }
    }
    return AS_OK;
}

static void engine_cancel(be_backend *base)
{
    ((engine_backend *)base)->is_cancelled = true;
}

static void engine_cancel_one(be_backend *base, uint64_t id)
{
    for (job *j = ((engine_backend *)base)->first; j != NULL; j = j->next)
        if (j->rq->job == id && !j->is_done)
            job_finish(j, AS_FINISH_CANCELLED);
}

static as_code engine_tokenize(be_backend *base, as_str text, bool is_prompt, int32_t **ids, int *n,
                               as_arena *keep, as_err *err)
{
    const engine_backend *be = (const engine_backend *)base;
    const unsigned bos = is_prompt && g4_model_info(be->model)->add_bos ? G4_TOK_BOS : 0;
    int32_t *found = NULL;
    size_t n_found = 0;
    AS_TRY(g4_tokenize(be->model, text, bos, &found, &n_found, err));
    as_code c = n_found <= INT32_MAX ? AS_OK : as_fail(err, AS_RANGE, "the text is too long");
    *ids = c == AS_OK ? as_new(keep, int32_t, n_found != 0 ? n_found : 1) : NULL;
    if (c == AS_OK && *ids == NULL)
        c = as_nomem(err);
    if (c == AS_OK && n_found > 0)
        memcpy(*ids, found, n_found * sizeof *found);
    *n = (int)n_found;
    free(found);
    return c;
}

static as_code engine_detokenize(be_backend *base, const int32_t *ids, int n, as_str *text,
                                 as_arena *keep, as_err *err)
{
    const engine_backend *be = (const engine_backend *)base;
    as_buf b;
    as_buf_init(&b, 0);
    as_code c = g4_detokenize(be->model, ids, (size_t)n, 0, &b, err);
    if (c == AS_OK) {
        *text = as_arena_str(keep, as_buf_str(&b));
        c = as_str_is_set(*text) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code engine_render(be_backend *base, const as_request *rq, as_str *prompt, as_arena *keep,
                             as_err *err)
{
    as_buf text;
    as_buf_init(&text, 0);
    as_code c = job_render((const engine_backend *)base, rq, &text, err);
    if (c == AS_OK) {
        *prompt = as_arena_str(keep, as_buf_str(&text));
        c = as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&text);
    return c;
}

static unsigned engine_caps(const be_backend *base)
{
    const engine_backend *be = (const engine_backend *)base;
    const unsigned chat = g4_model_info(be->model)->has_chat ? BE_CAN_CHAT : 0u;
    const unsigned lora = be->n_adapters > 0 ? BE_CAN_LORA : 0u;
    return chat | lora | BE_CAN_TEXT | BE_CAN_COUNT | BE_CAN_SEED | BE_CAN_IDS | BE_CAN_LOGPROBS |
           BE_CAN_SCORE | BE_CAN_THINK | BE_CAN_TOKENIZE | BE_CAN_RENDER | BE_CAN_NO_CACHE;
}

static const be_info *engine_info(const be_backend *base)
{
    return &((const engine_backend *)base)->info;
}

static as_code engine_count_tokens(be_backend *base, const as_request *rq, int *n, as_err *err)
{
    const engine_backend *be = (const engine_backend *)base;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    AS_TRY(job_tokenize(be, rq, &ids, &n_ids, err));
    free(ids);
    *n = n_ids < INT32_MAX ? (int)n_ids : INT32_MAX;
    return AS_OK;
}

static void engine_close(be_backend *base)
{
    engine_backend *be = (engine_backend *)base;
    if (be == NULL)
        return;
    while (be->first != NULL) {
        job *next = be->first->next;
        job_free(be->first);
        be->first = next;
    }
    for (int i = 0; i < N_PREFIXES; i++)
        free(be->prefixes[i].ids);
    g4_session_close(be->session);
    for (int i = 0; i < be->n_adapters; i++)
        g4_adapter_close(be->adapters[i].g4);
    g4_model_close(be->model);
    as_buf_release(&be->memory);
    as_buf_release(&be->name);
    as_buf_release(&be->json);
    as_buf_release(&be->path);
    free(be->rows);
    free(be->row_job);
    free(be);
}

static as_code read_options(engine_backend *be, const be_config *config, as_err *err)
{
    static const char *const known[] = {"precision", "kv", "ctx", "memory", "lora", "loras", NULL};
    AS_TRY(be_options_check(config, known, err));
    const as_str precision = be_option_get(config, "precision");
    if (as_str_eq(precision, AS_STR("f32")))
        be->options.precision = G4_F32;
    else if (as_str_is_set(precision) && !as_str_eq(precision, AS_STR("auto")))
        return as_fail(err, AS_RANGE, "-M precision=%.*s: want auto or f32", AS_ARG(precision));
    const as_str ctx = be_option_get(config, "ctx");
    int64_t n = 0;
    if (as_str_is_set(ctx) && !as_parse_i64(ctx, 2, 1 << 24, &n))
        return as_fail(err, AS_RANGE, "-M ctx=%.*s: want a number of tokens", AS_ARG(ctx));
    be->options.n_ctx = (int)n;
    const as_str kv = be_option_get(config, "kv");
    if (as_str_is_set(kv) && !g4_kv_parse(kv, &be->options.kv))
        return as_fail(err, AS_RANGE, "-M kv=%.*s: want f32, f16 or q8_0", AS_ARG(kv));
    const as_str memory = be_option_get(config, "memory");
    if (as_str_is_set(memory) && !as_parse_i64(memory, 1, INT64_MAX, &be->options.memory_limit))
        return as_fail(err, AS_RANGE, "-M memory=%.*s: want a number of bytes", AS_ARG(memory));
    be->options.n_threads = config->n_threads;
    return AS_OK;
}

static as_code load_adapter(engine_backend *be, as_str spec, as_str cache_dir, as_err *err)
{
    if (be->n_adapters == MAX_ADAPTERS)
        return as_fail(err, AS_RANGE, "-M loras=…: at most %d adapters at once", (int)MAX_ADAPTERS);
    adapter *a = &be->adapters[be->n_adapters];
    as_str path = {0};
    g4_adapter_spec(spec, &path, &a->scale);
    as_buf z;
    as_buf_init(&z, 1 << 16);
    as_code c = as_buf_add(&z, path);
    if (c == AS_OK)
        c = as_buf_ok(&z, err);
    if (c == AS_OK)
        c = g4_adapter_open(&a->g4, be->model, z.p, err);
    if (c == AS_OK) {
        be->n_adapters++;
        c = be_model_sha256(a->sha, z.p, cache_dir, err);
    }
    as_buf_release(&z);
    return c;
}

/* Takes -M lora=… into the model's hash and name. */
static as_code name_adapter(engine_backend *be, as_err *err)
{
    const adapter *a = &be->adapters[0];
    char scale[32];
    memcpy(be->model_sha, be->sha, sizeof be->sha);
    as_f64_text(scale, a->scale);
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    as_sha256_add_field(h, as_str_of(be->model_sha));
    as_sha256_add_field(h, as_str_of(a->sha));
    as_sha256_add_field(h, as_str_of(scale));
    const as_sha256 sum = as_sha256_end(h);
    as_sha256_hex(be->sha, &sum);
    (void)as_buf_printf(&be->name, "%.*s + %.*s:%s", AS_ARG(be->info.model_name),
                        AS_ARG(g4_adapter_info_of(a->g4)->name), scale);
    be->info.model_name = as_buf_str(&be->name);
    return as_buf_ok(&be->name, err);
}

static as_code load_adapters(engine_backend *be, const be_config *config, as_err *err)
{
    const as_str one = be_option_get(config, "lora");
    if (as_str_is_set(one)) {
        AS_TRY(load_adapter(be, one, config->cache_dir, err));
        AS_TRY(name_adapter(be, err));
        be->has_default_adapter = true;
    }
    for (int i = 0; i < config->n_options; i++)
        if (as_str_eq_z(config->options[i].key, "loras"))
            AS_TRY(load_adapter(be, config->options[i].value, config->cache_dir, err));
    return AS_OK;
}

static as_code load_model(engine_backend *be, const be_config *config, as_err *err)
{
    if (config->name.n == 0)
        return as_fail(err, AS_RANGE, "want a model file: engine:FILE.gguf");
    as_buf_init(&be->path, 1 << 16);
    AS_TRY(as_buf_add(&be->path, config->name));
    const g4_model_options options = {.log = config->log};
    AS_TRY(g4_model_open(&be->model, be->path.p, &options, err));
    AS_TRY(be_model_sha256(be->sha, be->path.p, config->cache_dir, err));
    const g4_info *info = g4_model_info(be->model);
    if (as_str_is_set(info->chat_template)) {
        const as_sha256 h = as_sha256_of(info->chat_template);
        as_sha256_hex(be->template_sha, &h);
    }
    const char *slash = strrchr(be->path.p, '/');
    be->info = (be_info){
        .model_name =
            info->name.n != 0 ? info->name : as_str_of(slash != NULL ? slash + 1 : be->path.p),
        .architecture = info->architecture,
        .quantization = info->quantization,
        .license = info->license,
        .sha256 = as_str_of(be->sha),
        .template_sha256 = as_str_of(be->template_sha),
        .n_params = info->n_params,
        .n_params_active = info->n_params_active,
        .file_bytes = info->file_bytes,
        .n_ctx = info->n_ctx_train,
        .max_concurrency = MAX_SEQS,
        .weights_bytes = -1,
        .kv_bytes = -1,
        .scratch_bytes = -1,
    };
    AS_TRY(load_adapters(be, config, err));
    return write_json(be, err);
}

static as_code engine_open(be_backend **out, const be_config *config, as_err *err)
{
    *out = NULL;
    engine_backend *be = calloc(1, sizeof *be);
    if (be == NULL)
        return as_nomem(err);
    be->base.driver = &be_engine;
    as_buf_init(&be->json, 1 << 16);
    as_buf_init(&be->memory, 1 << 12);
    as_buf_init(&be->name, 1 << 16);
    for (int i = 0; i < N_PREFIXES; i++)
        be->prefixes[i].seq = -1;
    be->rows = calloc(N_BATCH, sizeof *be->rows);
    be->row_job = calloc(N_BATCH, sizeof *be->row_job);
    as_code c = be->rows != NULL && be->row_job != NULL ? AS_OK : as_nomem(err);
    if (c == AS_OK)
        c = read_options(be, config, err);
    if (c == AS_OK)
        c = load_model(be, config, err);
    if (c != AS_OK) {
        engine_close(&be->base);
        return c;
    }
    *out = &be->base;
    return AS_OK;
}

const be_driver be_engine = {
    .scheme = "engine",
    .title = "the built-in engine, on a GGUF file",
    .is_in_process = true,
    .open = engine_open,
    .close = engine_close,
    .caps = engine_caps,
    .info = engine_info,
    .submit = engine_submit,
    .poll = engine_poll,
    .cancel = engine_cancel,
    .prepare = engine_prepare,
    .count_tokens = engine_count_tokens,
    .cancel_one = engine_cancel_one,
    .tokenize = engine_tokenize,
    .detokenize = engine_detokenize,
    .render = engine_render,
};
