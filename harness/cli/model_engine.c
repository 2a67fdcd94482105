/* model_engine.c — assay model generate|logits|perplexity: the engine on ids and texts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/utf8.h"
#include "cli/cmd_model.h"

enum { MAX_TEXT_BYTES = 256 << 20 };

/* ---- shared ------------------------------------------------------------------------------------
 */

static as_code cli_read_ids(const char *path, int32_t **ids, int *n, as_arena *keep, as_err *err)
{
    as_buf text;
    as_buf_init(&text, MAX_TEXT_BYTES);
    as_json *tree = NULL;
    as_code c = as_read_file(&text, path, err);
    if (c == AS_OK) {
        c = as_json_parse(&tree, as_buf_str(&text), err);
        if (c == AS_OK)
            c = as_json_ids(tree, ids, n, keep, err);
        if (c == AS_OK && *n == 0)
            c = as_fail(err, AS_RANGE, "holds no ids");
        if (c != AS_OK)
            (void)as_wrap(err, "--ids %s", path);
    }
    as_json_free(tree);
    as_buf_release(&text);
    return c;
}

static as_code open_adapter(cli_engine *e, const cli_env *env, as_err *err)
{
    as_str path = {0};
    if (e->lora == NULL)
        return AS_OK;
    g4_adapter_spec(as_str_of(e->lora), &path, &e->lora_scale);
    path = as_arena_str(env->keep, path);
    if (path.p == NULL)
        return as_nomem(err);
    return g4_adapter_open(&e->adapter, e->model, path.p, err);
}

/* An empty sequence with the adapter instead of the one so far. */
static as_code cli_engine_restart(cli_engine *e, as_err *err)
{
    g4_seq_free(e->session, e->seq);
    AS_TRY(g4_seq_new(e->session, &e->seq, err));
    return g4_seq_set_adapter(e->session, e->seq, e->adapter, e->lora_scale, err);
}

as_code cli_engine_open(cli_engine *e, const char *model, int n_ctx, bool keep_hidden,
                        const cli_env *env, as_err *err)
{
    g4_session_options options;
    AS_TRY(cli_engine_options(&options, e, err));
    const g4_model_options model_options = {.log = &env->log};
    if (e->model == NULL) {
        const char *path = NULL;
        AS_TRY(cli_model_file(&path, model, env, err));
        AS_TRY(g4_model_open(&e->model, path, &model_options, err));
    }
    options.n_ctx = n_ctx;
    options.keep_hidden = keep_hidden;
    AS_TRY(open_adapter(e, env, err));
    AS_TRY(g4_session_open(&e->session, e->model, &options, err));
    AS_TRY(g4_seq_new(e->session, &e->seq, err));
    return g4_seq_set_adapter(e->session, e->seq, e->adapter, e->lora_scale, err);
}

void cli_engine_close(cli_engine *e)
{
    g4_session_close(e->session);
    g4_adapter_close(e->adapter);
    g4_model_close(e->model);
    e->session = NULL;
    e->adapter = NULL;
    e->model = NULL;
}

/* Appends ids to the sequence in pieces of CLI_ROWS; logits for all rows, the last, or none. */
typedef enum want { WANT_NONE, WANT_LAST, WANT_ALL } want;
typedef as_code (*rows_fn)(void *user, const g4_result *result, int first, int n, as_err *err);

/* The plan is told once the input is known to be good, before the first row is computed. */
static as_code begin(cli_engine *e, const int32_t *ids, int n, as_err *err)
{
    const int n_vocab = g4_model_info(e->model)->n_vocab;
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return as_fail(err, AS_RANGE, "id %d of the input is %d, want 0 to %d", i, (int)ids[i],
                           n_vocab - 1);
    if (!e->has_told_memory) {
        const g4_memory memory = g4_session_memory(e->session);
        cli_tell_memory(&memory);
    }
    e->has_told_memory = true;
    return AS_OK;
}

static as_code feed(cli_engine *e, const int32_t *ids, int n, int32_t first_position, want w,
                    rows_fn fn, void *user, as_err *err)
{
    g4_row rows[CLI_ROWS];
    AS_TRY(begin(e, ids, n, err));
    for (int at = 0; at < n; at += CLI_ROWS) {
        const int k = n - at < CLI_ROWS ? n - at : CLI_ROWS;
        for (int i = 0; i < k; i++)
            rows[i] = (g4_row){
                .seq = e->seq,
                .pos = first_position + at + i,
                .token = ids[at + i],
                .want_logits = w == WANT_ALL || (w == WANT_LAST && at + i + 1 == n),
            };
        g4_result result;
        AS_TRY(g4_decode(e->session, rows, k, &result, err));
        if (fn != NULL)
            AS_TRY(fn(user, &result, at, k, err));
    }
    return AS_OK;
}

/* The flags --precision, --kv, --memory, --lora and --threads. */
#define ENGINE_FLAGS(e)                                                                            \
    {.name = "precision",                                                                          \
     .kind = CLI_TEXT,                                                                             \
     .value = &(e).precision,                                                                      \
     .shown = "f32|auto",                                                                          \
     .help = "f32: exact reference; auto: may round activations to 8 bits (default)"},             \
        {.name = "kv",                                                                             \
         .kind = CLI_TEXT,                                                                         \
         .value = &(e).kv,                                                                         \
         .shown = "f32|f16|q8_0",                                                                  \
         .help = "how keys and values are kept (default: f32 with --precision f32, else f16)"},    \
        {.name = "memory",                                                                         \
         .kind = CLI_INT,                                                                          \
         .value = &(e).memory,                                                                     \
         .shown = "BYTES",                                                                         \
         .help = "cache and buffers may take so much (default: what is available)",                \
         .min = 1,                                                                                 \
         .max = INT64_MAX},                                                                        \
        {.name = "lora",                                                                           \
         .kind = CLI_TEXT,                                                                         \
         .value = &(e).lora,                                                                       \
         .shown = "ADAPTER[:SCALE]",                                                               \
         .help = "a LoRA adapter: GGUF file or PEFT folder; scale 1 unless given"},                \
    {                                                                                              \
        .name = "threads", .kind = CLI_INT, .value = &(e).threads, .shown = "N",                   \
        .help = "compute threads (default: one per core)", .min = 1, .max = 1024                   \
    }

/* ---- logits ------------------------------------------------------------------------------------
 */

typedef struct logits_sink {
    FILE *logits, *hidden;
    float *hidden_all; /* [n_layers + 1, n, width], as hidden pieces come layer by layer */
    int n, n_vocab, n_layers, width;
} logits_sink;

static as_code take_logits(void *user, const g4_result *r, int first, int n, as_err *err)
{
    logits_sink *s = user;
    const size_t count = (size_t)r->n_logits * (size_t)s->n_vocab;
    if (fwrite(r->logits, sizeof(float), count, s->logits) != count)
        return as_fail_sys(err, "--out");
    if (s->hidden_all == NULL)
        return AS_OK;
    const size_t width = (size_t)s->width;
    for (int l = 0; l <= s->n_layers; l++)
        memcpy(s->hidden_all + ((size_t)l * (size_t)s->n + (size_t)first) * width,
               r->hidden + (size_t)l * (size_t)n * width, (size_t)n * width * sizeof(float));
    return AS_OK;
}

static as_code open_out(FILE **out, const char *path, as_err *err)
{
    *out = fopen(path, "wbe");
    return *out != NULL ? AS_OK : as_fail_sys(err, "%s", path);
}

static as_code close_out(FILE *f, const char *path, as_code c, as_err *err)
{
    if (f != NULL && fclose(f) != 0 && c == AS_OK)
        return as_fail_sys(err, "%s", path);
    return c;
}

static as_code write_logits(cli_engine *e, const int32_t *ids, int n, int32_t first,
                            const char *out, const char *hidden, as_err *err)
{
    const g4_info *info = g4_model_info(e->model);
    logits_sink s = {
        .n = n, .n_vocab = info->n_vocab, .n_layers = info->n_layers, .width = info->width};
    const size_t n_hidden = (size_t)(info->n_layers + 1) * (size_t)n * (size_t)info->width;
    as_code c = open_out(&s.logits, out, err);
    if (c == AS_OK && hidden != NULL) {
        s.hidden_all = calloc(n_hidden, sizeof(float));
        c = s.hidden_all != NULL ? open_out(&s.hidden, hidden, err) : as_nomem(err);
    }
    if (c == AS_OK)
        c = feed(e, ids, n, first, WANT_ALL, take_logits, &s, err);
    if (c == AS_OK && s.hidden != NULL &&
        fwrite(s.hidden_all, sizeof(float), n_hidden, s.hidden) != n_hidden)
        c = as_fail_sys(err, "%s", hidden);
    c = close_out(s.logits, out, c, err);
    c = close_out(s.hidden, hidden, c, err);
    free(s.hidden_all);
    return c;
}

int model_logits(cli_env *env, int argc, char **argv)
{
    cli_engine e = {0};
    const char *ids_path = NULL;
    const char *out = NULL;
    const char *hidden = NULL;
    int64_t first = 0;
    cli_flag flags[] = {
        cli_text("ids", &ids_path, "FILE", "JSON array of token ids, \"-\" for standard input"),
        cli_int("first-position", &first, "N", 0, INT32_MAX / 2,
                "position of the first id (default 0)"),
        cli_text("out", &out, "F.f32", "logits: little-endian float32 [ids, vocabulary]"),
        cli_text("hidden", &hidden, "F.f32", "hidden states: float32 [layers + 1, ids, width]"),
        ENGINE_FLAGS(e),
    };
    cli_args a = {.usage = "assay model logits MODEL --ids FILE --out F.f32 [flags]",
                  .about =
                      "Runs the ids through the model and writes the logits of every position.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    int32_t *ids = NULL;
    int n = 0;
    as_code c =
        ids_path != NULL && out != NULL ? AS_OK : as_fail(&err, AS_RANGE, "usage: %s", a.usage);
    if (c == AS_OK)
        c = cli_read_ids(ids_path, &ids, &n, env->keep, &err);
    if (c == AS_OK)
        c = cli_engine_open(&e, a.rest[0], n, hidden != NULL, env, &err);
    if (c == AS_OK)
        c = write_logits(&e, ids, n, (int32_t)first, out, hidden, &err);
    cli_engine_close(&e);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}

/* ---- perplexity --------------------------------------------------------------------------------
 */

typedef struct nll_sum {
    const int32_t *ids; /* of this chunk */
    int n, from;        /* scored targets: ids[from … n-1] */
    int n_vocab;
    double nll;
    int64_t count;
} nll_sum;

static as_code take_nll(void *user, const g4_result *r, int first, int n, as_err *err)
{
    (void)err;
    nll_sum *s = user;
    for (int i = 0; i < n; i++) {
        const int target = first + i + 1; /* row i predicts the next id */
        if (target < s->from || target >= s->n)
            continue;
        s->nll -=
            g4_logprob(r->logits + (size_t)i * (size_t)s->n_vocab, s->n_vocab, s->ids[target]);
        s->count++;
    }
    return AS_OK;
}

static as_code score_chunk(cli_engine *e, const int32_t *ids, int n, int from, nll_sum *s,
                           as_err *err)
{
    AS_TRY(cli_engine_restart(e, err));
    s->ids = ids;
    s->n = n;
    s->from = from;
    return feed(e, ids, n, 0, WANT_ALL, take_nll, s, err);
}

/* llama-perplexity's rule: whole chunks of `context` ids, the first of each replaced by the start
 * token, the second half of each scored, the rest dropped. Without a context: one pass, all but the
 * first id scored. */
static as_code sum_nll(cli_engine *e, int32_t *ids, int n, int context, nll_sum *s, as_err *err)
{
    if (context == 0)
        return score_chunk(e, ids, n, 1, s, err);
    if (n < context)
        return as_fail(err, AS_RANGE, "the text has %d tokens, --context %d needs that many", n,
                       context);
    const int32_t bos = g4_model_info(e->model)->bos;
    for (int at = 0; at + context <= n; at += context) {
        if (bos >= 0 && g4_model_info(e->model)->add_bos)
            ids[at] = bos;
        AS_TRY(score_chunk(e, ids + at, context, context / 2 + 1, s, err));
    }
    return AS_OK;
}

static as_code read_text_ids(cli_engine *e, const char *path, const char *model, int32_t **ids,
                             int *n, cli_env *env, as_err *err)
{
    const char *file = NULL;
    AS_TRY(cli_model_file(&file, model, env, err));
    const g4_model_options options = {.log = &env->log};
    AS_TRY(g4_model_open(&e->model, file, &options, err));
    as_buf text;
    as_buf_init(&text, MAX_TEXT_BYTES);
    int32_t *made = NULL;
    size_t n_made = 0;
    as_code c = as_read_file(&text, path, err);
    const unsigned flags = g4_model_info(e->model)->add_bos ? G4_TOK_BOS : 0;
    if (c == AS_OK)
        c = g4_tokenize(e->model, as_buf_str(&text), flags, &made, &n_made, err);
    as_buf_release(&text);
    if (c == AS_OK && (n_made < 2 || n_made > INT32_MAX))
        c = as_fail(err, AS_RANGE, "%s: %zu tokens, want at least 2", path, n_made);
    if (c == AS_OK) {
        *ids = as_new(env->keep, int32_t, n_made);
        c = *ids != NULL ? AS_OK : as_nomem(err);
    }
    if (c == AS_OK) {
        memcpy(*ids, made, n_made * sizeof *made);
        *n = (int)n_made;
    }
    free(made);
    return c;
}

static as_code print_perplexity(const nll_sum *s, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 4096);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_f64(&w, "perplexity", exp(s->nll / (double)s->count));
    as_jw_put_i64(&w, "tokens", s->count);
    as_jw_put_f64(&w, "nll", s->nll);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&b, '\n');
    const as_code c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

int model_perplexity(cli_env *env, int argc, char **argv)
{
    cli_engine e = {0};
    const char *text = NULL;
    const char *ids_path = NULL;
    int64_t context = 0;
    cli_flag flags[] = {
        cli_text("text", &text, "FILE",
                 "the text; the start token is put in front if the model has one"),
        cli_text("ids", &ids_path, "FILE", "token ids instead, taken as they are"),
        cli_int("context", &context, "N", 4, 1 << 20,
                "chunks of N ids, second halves scored; default: one pass"),
        ENGINE_FLAGS(e),
    };
    cli_args a = {.usage = "assay model perplexity MODEL --text FILE [flags]",
                  .about = "Prints {\"perplexity\", \"tokens\", \"nll\"}: nll is the sum over the "
                           "scored tokens, in nats.",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    int32_t *ids = NULL;
    int n = 0;
    as_code c = AS_OK;
    if ((text == NULL) == (ids_path == NULL))
        c = as_fail(&err, AS_RANGE, "give either --text or --ids; usage: %s", a.usage);
    else if (text != NULL)
        c = read_text_ids(&e, text, a.rest[0], &ids, &n, env, &err);
    else
        c = cli_read_ids(ids_path, &ids, &n, env->keep, &err);
    const int n_ctx = context != 0 ? (int)context : n;
    if (c == AS_OK && n < 2)
        c = as_fail(&err, AS_RANGE, "one token has no perplexity, want at least 2");
    if (c == AS_OK)
        c = cli_engine_open(&e, a.rest[0], n_ctx, false, env, &err);
    if (c == AS_OK) {
        nll_sum s = {.n_vocab = g4_model_info(e.model)->n_vocab};
        c = sum_nll(&e, ids, n, (int)context, &s, &err);
        if (c == AS_OK)
            c = print_perplexity(&s, &err);
    }
    cli_engine_close(&e);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}

/* ---- generate ----------------------------------------------------------------------------------
 */

typedef struct generation {
    int64_t n;
    const char *load_state, *save_state; /* files or NULL */
    bool ignore_eos;
    g4_sampling sampling;
    int32_t *ids; /* [n] */
    int n_ids;
    const char *finish;
} generation;

static as_code keep_result(void *user, const g4_result *r, int first, int n, as_err *err)
{
    (void)first;
    (void)n;
    (void)err;
    *(g4_result *)user = *r;
    return AS_OK;
}

static bool is_stop(const g4_info *info, int32_t id)
{
    for (int i = 0; i < info->n_stop; i++)
        if (info->stop[i] == id)
            return true;
    return false;
}

static as_code generate(cli_engine *e, const int32_t *prompt, int n_prompt, generation *g,
                        as_err *err)
{
    const g4_info *info = g4_model_info(e->model);
    g4_sampler *sampler = g4_sampler_new(&g->sampling);
    if (sampler == NULL)
        return as_nomem(err);
    g4_result r = {0};
    int n_held = 0; /* ids that the sequence holds already */
    as_code c = AS_OK;
    if (g->load_state != NULL)
        c = cli_state_load(e, g->load_state, prompt, n_prompt, &n_held, err);
    if (c == AS_OK && g->save_state != NULL && n_prompt - 1 > n_held) {
        c = feed(e, prompt + n_held, n_prompt - 1 - n_held, n_held, WANT_NONE, NULL, NULL, err);
        n_held = n_prompt - 1;
    }
    if (c == AS_OK && g->save_state != NULL)
        c = cli_state_save(e, g->save_state, prompt, n_held, err);
    if (c == AS_OK)
        c = feed(e, prompt + n_held, n_prompt - n_held, n_held, WANT_LAST, keep_result, &r, err);
    g->finish = "length";
    while (c == AS_OK && g->n_ids < g->n) {
        const int32_t id = g4_sample(sampler, r.logits, info->n_vocab, NULL);
        g->ids[g->n_ids++] = id;
        if (!g->ignore_eos && is_stop(info, id)) {
            g->finish = "stop";
            break;
        }
        if (g->n_ids == g->n)
            break;
        c = feed(e, &id, 1, (int32_t)(n_prompt + g->n_ids - 1), WANT_LAST, keep_result, &r, err);
    }
    g4_sampler_free(sampler);
    return c;
}

as_code cli_engine_say(cli_engine *e, const int32_t *prompt, int n_prompt,
                       const g4_sampling *sampling, int64_t max_tokens, as_buf *said, as_err *err)
{
    const g4_info *info = g4_model_info(e->model);
    AS_TRY(cli_engine_restart(e, err));
    g4_sampler *sampler = g4_sampler_new(sampling);
    if (sampler == NULL)
        return as_nomem(err);
    g4_result r = {0};
    as_code c = feed(e, prompt, n_prompt, 0, WANT_LAST, keep_result, &r, err);
    size_t shown = 0; /* bytes printed: never half a character */
    for (int64_t n = 0; c == AS_OK && n < max_tokens; n++) {
        const int32_t id = g4_sample(sampler, r.logits, info->n_vocab, NULL);
        if (is_stop(info, id))
            break;
        c = g4_detokenize(e->model, &id, 1, 0, said, err);
        const size_t whole = as_utf8_complete(as_buf_str(said));
        if (c == AS_OK && whole > shown) {
            c = cli_print(as_str_sub(as_buf_str(said), shown, whole), err);
            shown = whole;
        }
        if (c == AS_OK)
            c = feed(e, &id, 1, (int32_t)(n_prompt + n), WANT_LAST, keep_result, &r, err);
    }
    g4_sampler_free(sampler);
    return c;
}

static as_code print_generation(const cli_engine *e, const generation *g, as_err *err)
{
    as_buf text, b;
    as_buf_init(&text, 0);
    as_buf_init(&b, 0);
    as_code c = g4_detokenize(e->model, g->ids, (size_t)g->n_ids, 0, &text, err);
    if (c == AS_OK) {
        as_jw w;
        as_jw_init(&w, &b);
        as_jw_begin_object(&w);
        as_jw_key(&w, "ids");
        as_jw_begin_array(&w);
        for (int i = 0; i < g->n_ids; i++)
            as_jw_i64(&w, g->ids[i]);
        as_jw_end_array(&w);
        as_jw_put_str(&w, "text", as_buf_str(&text));
        as_jw_put_z(&w, "finish", g->finish);
        as_jw_end_object(&w);
        (void)as_buf_add_byte(&b, '\n');
        c = cli_print(as_buf_str(&b), err);
    }
    as_buf_release(&text);
    as_buf_release(&b);
    return c;
}

/* What stands before the generated ids: exactly one of three flags. */
typedef struct prompt_flags {
    const char *ids, *text, *chat;
    bool special;
} prompt_flags;

/* The conversation of --chat: {"messages": …} or the list of messages alone. */
static as_code chat_text(const g4_model *m, const char *path, as_buf *out, as_err *err)
{
    as_buf file, request;
    as_buf_init(&file, MAX_TEXT_BYTES);
    as_buf_init(&request, MAX_TEXT_BYTES);
    as_code c = as_read_file(&file, path, err);
    const as_str text = as_str_trim(as_buf_str(&file));
    if (as_str_starts(text, AS_STR("["))) {
        (void)as_buf_add_z(&request, "{\"add_generation_prompt\":true,\"messages\":");
        (void)as_buf_add(&request, text);
        (void)as_buf_add_byte(&request, '}');
    } else if (as_str_starts(text, AS_STR("{"))) {
        /* The first of doubled keys would not count: what the file says of it wins. */
        (void)as_buf_add_z(&request, "{\"add_generation_prompt\":true,");
        (void)as_buf_add(&request, as_str_sub(text, 1, text.n));
    } else if (c == AS_OK) {
        c = as_fail(err, AS_PARSE, "--chat %s: want {\"messages\": […]} or a list of messages",
                    path);
    }
    if (c == AS_OK)
        c = as_buf_ok(&request, err);
    if (c == AS_OK)
        c = g4_chat_render(m, as_buf_str(&request), out, err);
    as_buf_release(&file);
    as_buf_release(&request);
    return c;
}

static as_code make_ids(const g4_model *m, const prompt_flags *p, int32_t **made, size_t *n,
                        as_err *err)
{
    if (p->text != NULL) {
        const unsigned flags =
            (g4_model_info(m)->add_bos ? G4_TOK_BOS : 0u) | (p->special ? G4_TOK_SPECIAL : 0u);
        return g4_tokenize(m, as_str_of(p->text), flags, made, n, err);
    }
    as_buf text;
    as_buf_init(&text, 0);
    as_code c = chat_text(m, p->chat, &text, err);
    if (c == AS_OK)
        c = g4_chat_tokenize(m, as_buf_str(&text), made, n, err);
    as_buf_release(&text);
    return c;
}

static as_code prompt_ids(cli_engine *e, const prompt_flags *p, const char *model, int32_t **ids,
                          int *n, cli_env *env, as_err *err)
{
    if (p->ids != NULL)
        return cli_read_ids(p->ids, ids, n, env->keep, err);
    const char *file = NULL;
    AS_TRY(cli_model_file(&file, model, env, err));
    const g4_model_options options = {.log = &env->log};
    AS_TRY(g4_model_open(&e->model, file, &options, err));
    int32_t *made = NULL;
    size_t n_made = 0;
    AS_TRY(make_ids(e->model, p, &made, &n_made, err));
    as_code c = n_made != 0 ? AS_OK : as_fail(err, AS_RANGE, "the prompt is empty");
    *ids = c == AS_OK ? as_new(env->keep, int32_t, n_made) : NULL;
    if (c == AS_OK && *ids == NULL)
        c = as_nomem(err);
    if (c == AS_OK) {
        memcpy(*ids, made, n_made * sizeof *made);
        *n = (int)n_made;
    }
    free(made);
    return c;
}

int model_generate(cli_env *env, int argc, char **argv)
{
    cli_engine e = {0};
    generation g = {.n = 128};
    prompt_flags p = {0};
    int64_t top_k = 0;
    int64_t seed = 0;
    cli_flag flags[] = {
        cli_text("ids", &p.ids, "FILE", "prompt as a JSON array of token ids, taken as it is"),
        cli_short('p', cli_text("prompt", &p.text, "TEXT",
                                "prompt as text; the start token is put in front")),
        cli_text("chat", &p.chat, "FILE",
                 "a conversation as JSON, rendered by the model's template"),
        cli_bool("special", &p.special, "control tokens in --prompt count"),
        cli_alias("max-tokens", cli_short('n', cli_int("n", &g.n, "N", 1, 1 << 20,
                                                       "at most so many tokens (default 128)"))),
        cli_text("save-state", &g.save_state, "FILE",
                 "keep what the prompt without its last id left in the cache, for --load-state"),
        cli_text("load-state", &g.load_state, "FILE",
                 "do not compute that part again: the prompt must begin with the saved ids"),
        cli_bool("ignore-eos", &g.ignore_eos, "go on past stop ids"),
        cli_alias("temp",
                  cli_real("temperature", &g.sampling.temperature, "X", "0: greedy (default)")),
        cli_int("top-k", &top_k, "N", 0, 1 << 20, "0: all"),
        cli_real("top-p", &g.sampling.top_p, "X", "1: off"),
        cli_real("min-p", &g.sampling.min_p, "X", "0: off"),
        cli_int("seed", &seed, "N", 0, INT64_MAX, "default 0"),
        ENGINE_FLAGS(e),
    };
    cli_args a = {
        .usage =
            "assay model generate MODEL (--ids FILE | --prompt TEXT | --chat FILE) [-n N] [flags]",
        .about = "Prints {\"ids\", \"text\", \"finish\"}: what comes after the prompt.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
        .min_rest = 1,
        .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    g.sampling.top_k = (int)top_k;
    g.sampling.seed = (uint64_t)seed;
    as_err err = {0};
    int32_t *ids = NULL;
    int n = 0;
    as_code c = AS_OK;
    if ((p.ids != NULL) + (p.text != NULL) + (p.chat != NULL) != 1)
        c = as_fail(&err, AS_RANGE, "give either --ids, --prompt or --chat; usage: %s", a.usage);
    else
        c = prompt_ids(&e, &p, a.rest[0], &ids, &n, env, &err);
    if (c == AS_OK) {
        g.ids = as_new(env->keep, int32_t, g.n);
        c = g.ids != NULL ? AS_OK : as_nomem(&err);
    }
    if (c == AS_OK && g.n > INT32_MAX - n)
        c = as_fail(&err, AS_RANGE, "-n %lld is too many", (long long)g.n);
    if (c == AS_OK)
        c = cli_engine_open(&e, a.rest[0], n + (int)g.n, false, env, &err);
    if (c == AS_OK)
        c = generate(&e, ids, n, &g, &err);
    if (c == AS_OK)
        c = print_generation(&e, &g, &err);
    cli_engine_close(&e);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
