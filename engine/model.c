/* model.c — opens a model: file or folder, hyper-parameters, vocabulary, weights, in this order. */
#include <stdlib.h>
#include <string.h>

#include "engine/session_impl.h"

static const size_t keep_limit_bytes = (size_t)1 << 30; /* vectors of the largest model: 10 MB */

static as_code optional_text(as_str *out, const g4_gguf *f, const char *key, as_err *err)
{
    return g4_gguf_opt_str(f, key, (as_str){0}, out, err);
}

static as_str most_used_type(const g4_weights *w)
{
    int best = 0;
    for (int t = 1; t < G4_TYPE_END; t++)
        if (w->bytes_by_type[t] > w->bytes_by_type[best])
            best = t;
    const g4_type_info *info = g4_type_find((uint32_t)best);
    return as_str_of(info != NULL ? info->name : "");
}

/* general.file_type: the recipe a file was quantised by, as llama.cpp numbers them. */
static as_str recipe_name(uint32_t file_type)
{
    static const struct {
        uint32_t number;
        const char *name;
    } rows[] = {
        {0, "F32"},     {1, "F16"},     {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
        {8, "Q5_0"},    {9, "Q5_1"},    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
        {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
        {18, "Q6_K"},   {25, "IQ4_NL"}, {30, "IQ4_XS"}, {32, "BF16"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].number == file_type)
            return as_str_of(rows[i].name);
    return (as_str){0};
}

/* The recipe the file names, else the type that most weight bytes have. */
static as_code read_quantization(as_str *out, const g4_model *m, as_err *err)
{
    uint32_t file_type = UINT32_MAX;
    AS_TRY(g4_gguf_opt_u32(m->file, "general.file_type", UINT32_MAX, &file_type, err));
    *out = recipe_name(file_type);
    if (out->n == 0 && m->has_weights)
        *out = most_used_type(&m->weights);
    return AS_OK;
}

/* What the folder's generation_config.json adds to the vocabulary's own, ascending. */
static void add_stops(g4_model *m)
{
    const int32_t *more = NULL;
    const int n = m->folder != NULL ? g4_hf_stops(m->folder, &more) : 0;
    g4_info *info = &m->info;
    for (int i = 0; i < n && info->n_stop < G4_MAX_STOP; i++) {
        int at = 0;
        while (at < info->n_stop && info->stop[at] < more[i])
            at++;
        if (more[i] >= info->n_vocab || (at < info->n_stop && info->stop[at] == more[i]))
            continue;
        memmove(info->stop + at + 1, info->stop + at,
                (size_t)(info->n_stop - at) * sizeof info->stop[0]);
        info->stop[at] = more[i];
        info->n_stop++;
    }
}

static as_code fill_info(g4_model *m, as_err *err)
{
    const g4_config *c = &m->config;
    g4_info *info = &m->info;
    AS_TRY(optional_text(&info->name, m->file, "general.name", err));
    AS_TRY(optional_text(&info->license, m->file, "general.license", err));
    AS_TRY(optional_text(&info->chat_template, m->file, "tokenizer.chat_template", err));
    info->architecture = c->arch == G4_GEMMA3 ? AS_STR("gemma3") : AS_STR("gemma4");
    AS_TRY(read_quantization(&info->quantization, m, err));
    info->n_layers = c->n_layers;
    info->width = c->width;
    info->n_heads = c->n_heads;
    info->n_vocab = c->n_vocab;
    info->n_ctx_train = c->n_ctx_train;
    info->window = c->window;
    info->n_experts = c->n_experts;
    info->n_experts_used = c->n_experts_used;
    info->n_params = m->weights.n_params;
    info->n_params_active = m->weights.n_params_active;
    info->n_params_effective = m->weights.n_params_effective;
    info->weight_bytes = m->weights.bytes;
    info->file_bytes = g4_gguf_file_bytes(m->file);
    info->bos = g4_vocab_bos(m->vocab);
    info->eos = g4_vocab_eos(m->vocab);
    info->add_bos = g4_vocab_add_bos(m->vocab);
    info->n_stop = g4_vocab_stops(m->vocab, info->stop, G4_MAX_STOP);
    add_stops(m);
    return AS_OK;
}

/* The vocabulary may be shorter than the embedding (padding rows), never longer. */
static as_code check_vocab(const g4_model *m, as_err *err)
{
    if (g4_vocab_n_pieces(m->vocab) > m->config.n_vocab)
        return as_fail(err, AS_RANGE,
                       "%s: the vocabulary has %d pieces, token_embd.weight only %d rows",
                       g4_gguf_path(m->file), g4_vocab_n_pieces(m->vocab), m->config.n_vocab);
    return AS_OK;
}

static as_code open_file(g4_model *m, const char *path, as_err *err)
{
    if (!g4_hf_is_folder(path))
        return g4_gguf_open(&m->file, path, err);
    AS_TRY(g4_hf_open(&m->folder, path, NULL, err));
    m->file = g4_hf_file(m->folder);
    return AS_OK;
}

/* Files that hold a vocabulary and nothing else are enough for text, ids and chats. */
static as_code read_config_if_any(g4_model *m, as_err *err)
{
    as_err why = {0};
    const as_code c = g4_config_read(&m->config, m->file, &m->keep, &why);
    if (c == AS_OK || c == AS_NOMEM) {
        if (c != AS_OK && err != NULL)
            *err = why;
        return c;
    }
    as_str arch = {0};
    AS_TRY(optional_text(&arch, m->file, "general.architecture", err));
    m->config = (g4_config){.arch = as_str_eq_z(arch, "gemma4") ? G4_GEMMA4 : G4_GEMMA3,
                            .n_vocab = g4_vocab_n_pieces(m->vocab)};
    return AS_OK;
}

static as_code read_model(g4_model *m, const char *path, bool want_weights, as_err *err)
{
    AS_TRY(open_file(m, path, err));
    if (want_weights)
        AS_TRY(g4_config_read(&m->config, m->file, &m->keep, err));
    AS_TRY(g4_vocab_open(&m->vocab, m->file, err));
    if (!want_weights)
        AS_TRY(read_config_if_any(m, err));
    AS_TRY(check_vocab(m, err));
    if (want_weights)
        AS_TRY(g4_weights_read(&m->weights, &m->config, m->file, &m->keep, err));
    m->has_weights = want_weights;
    AS_TRY(fill_info(m, err));
    return g4_chat_open(m, err);
}

as_code g4_model_open(g4_model **out, const char *path, const g4_model_options *options,
                      as_err *err)
{
    *out = NULL;
    const g4_model_options o = options != NULL ? *options : (g4_model_options){0};
    g4_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return as_nomem(err);
    as_arena_init(&m->keep, keep_limit_bytes);
    const as_code code = read_model(m, path, !o.no_weights, err);
    if (code != AS_OK) {
        g4_model_close(m);
        return code;
    }
    as_log_line(o.log, AS_LOG_INFO, "engine: %s: %s, %d layers, %lld parameters, %lld weight bytes",
                path, m->config.arch == G4_GEMMA3 ? "gemma3" : "gemma4", m->config.n_layers,
                (long long)m->weights.n_params, (long long)m->weights.bytes);
    *out = m;
    return AS_OK;
}

void g4_model_close(g4_model *m)
{
    if (m == NULL)
        return;
    g4_chat_close(m);
    g4_vocab_close(m->vocab);
    if (m->folder != NULL)
        g4_hf_close(m->folder);
    else
        g4_gguf_close(m->file);
    as_arena_release(&m->keep);
    free(m);
}

const g4_info *g4_model_info(const g4_model *m)
{
    return &m->info;
}

as_code g4_tokenize(const g4_model *m, as_str text, unsigned flags, int32_t **ids, size_t *n_ids,
                    as_err *err)
{
    return g4_vocab_encode(m->vocab, text, flags, ids, n_ids, err);
}

as_code g4_detokenize(const g4_model *m, const int32_t *ids, size_t n_ids, unsigned flags,
                      as_buf *out, as_err *err)
{
    return g4_vocab_decode(m->vocab, ids, n_ids, flags, out, err);
}

bool g4_model_type_at(const g4_model *m, int i, g4_type_bytes *out)
{
    for (uint32_t type = 0; type < G4_TYPE_END; type++) {
        g4_type_bytes sum = {0};
        for (size_t k = 0; k < g4_gguf_n_tensors(m->file); k++) {
            const g4_tensor *t = g4_gguf_tensor(m->file, k);
            if ((uint32_t)t->type != type)
                continue;
            sum.n_tensors++;
            sum.n_elements += t->n_elements;
            sum.bytes += (int64_t)t->bytes;
        }
        if (sum.n_tensors == 0 || i-- > 0)
            continue;
        sum.name = g4_type_find(type)->name;
        *out = sum;
        return true;
    }
    return false;
}
