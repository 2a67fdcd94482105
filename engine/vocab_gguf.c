/* A vocabulary's source from the tokenizer.ggml.* metadata of a GGUF file. */
#include "engine/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "engine/show.h"

/* The arrays that live while the vocabulary is built; lengths were checked against the file. */
typedef struct arrays {
    as_str *pieces;
    uint8_t *types;
    float *scores;
    g4_merge *merges;
} arrays;

static as_code nomem(const g4_gguf *f, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the vocabulary", g4_gguf_path(f));
}

static as_code read_kind(const g4_gguf *f, g4_vocab_kind *out, as_err *err)
{
    as_str model = {0};
    AS_TRY(g4_gguf_need_str(f, "tokenizer.ggml.model", &model, err));
    if (as_str_eq_z(model, "llama"))
        *out = G4_VOCAB_SCORES;
    else if (as_str_eq_z(model, "gemma4"))
        *out = G4_VOCAB_MERGES;
    else
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: its tokenizer is \"%s\"; read are \"llama\" (Gemma 3) and \"gemma4\"",
                       g4_gguf_path(f), g4_show(model).z);
    return AS_OK;
}

static as_code read_pieces(const g4_gguf *f, arrays *a, g4_vocab_source *s, as_err *err)
{
    const g4_value *v = NULL;
    AS_TRY(g4_gguf_need_array(f, "tokenizer.ggml.tokens", G4_VALUE_STR, &v, err));
    a->pieces = calloc(v->n + 1, sizeof *a->pieces);
    if (a->pieces == NULL)
        return nomem(f, err);
    size_t n = 0;
    for (g4_strs it = g4_value_strs(v); g4_strs_next(&it, &a->pieces[n]);)
        n++;
    s->pieces = a->pieces;
    s->n_pieces = n;
    return AS_OK;
}

static as_code check_length(const g4_gguf *f, const g4_value *v, size_t n, as_err *err)
{
    if (v->n == n)
        return AS_OK;
    return as_fail(err, AS_PARSE,
                   "%s: metadata \"%s\" has %s entries, the vocabulary has %s pieces: the file is "
                   "damaged",
                   g4_gguf_path(f), g4_show(v->key).z, g4_show_count(v->n).z, g4_show_count(n).z);
}

static as_code read_types(const g4_gguf *f, arrays *a, g4_vocab_source *s, as_err *err)
{
    if (g4_gguf_find(f, "tokenizer.ggml.token_type") == NULL)
        return AS_OK; /* all normal */
    const g4_value *v = NULL;
    AS_TRY(g4_gguf_need_array(f, "tokenizer.ggml.token_type", G4_VALUE_I64, &v, err));
    AS_TRY(check_length(f, v, s->n_pieces, err));
    a->types = calloc(s->n_pieces + 1, sizeof *a->types);
    if (a->types == NULL)
        return nomem(f, err);
    for (size_t i = 0; i < s->n_pieces; i++) {
        int64_t type = 0;
        (void)g4_value_i64(v, i, &type);
        a->types[i] = type > 0 && type < UINT8_MAX ? (uint8_t)type : UINT8_MAX;
    }
    s->types = a->types;
    return AS_OK;
}

static as_code read_scores(const g4_gguf *f, arrays *a, g4_vocab_source *s, as_err *err)
{
    const g4_value *v = NULL;
    AS_TRY(g4_gguf_need_array(f, "tokenizer.ggml.scores", G4_VALUE_F64, &v, err));
    AS_TRY(check_length(f, v, s->n_pieces, err));
    a->scores = calloc(s->n_pieces + 1, sizeof *a->scores);
    if (a->scores == NULL)
        return nomem(f, err);
    for (size_t i = 0; i < s->n_pieces; i++) {
        double score = 0;
        (void)g4_value_f64(v, i, &score);
        a->scores[i] = (float)score;
    }
    s->scores = a->scores;
    return AS_OK;
}

/* "left right": the first space from the second byte on parts the two. */
static as_code read_merges(const g4_gguf *f, arrays *a, g4_vocab_source *s, as_err *err)
{
    const g4_value *v = NULL;
    AS_TRY(g4_gguf_need_array(f, "tokenizer.ggml.merges", G4_VALUE_STR, &v, err));
    a->merges = calloc(v->n + 1, sizeof *a->merges);
    if (a->merges == NULL)
        return nomem(f, err);
    size_t n = 0;
    as_str text = {0};
    for (g4_strs it = g4_value_strs(v); g4_strs_next(&it, &text); n++) {
        const char *space = text.n > 1 ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
        if (space == NULL)
            return as_fail(err, AS_PARSE,
                           "%s: merge %zu of the vocabulary, \"%s\", has no space between its "
                           "halves: the file is damaged",
                           g4_gguf_path(f), n, g4_show(text).z);
        const size_t n_left = (size_t)(space - text.p);
        a->merges[n] = (g4_merge){{text.p, n_left}, {space + 1, text.n - n_left - 1}};
    }
    s->merges = a->merges;
    s->n_merges = n;
    return AS_OK;
}

static as_code read_ids(const g4_gguf *f, g4_vocab_source *s, as_err *err)
{
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", &s->bos},
               {"tokenizer.ggml.eos_token_id", &s->eos},
               {"tokenizer.ggml.unknown_token_id", &s->unknown}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int64_t id = -1;
        AS_TRY(g4_gguf_opt_i64(f, ids[i].key, 0, (int64_t)s->n_pieces - 1, -1, &id, err));
        *ids[i].id = (int32_t)id;
    }
    AS_TRY(g4_gguf_opt_bool(f, "tokenizer.ggml.add_bos_token", true, &s->add_bos, err));
    if (s->kind == G4_VOCAB_MERGES)
        s->add_bos = true; /* some files say false, and the model fails without it */
    return g4_gguf_opt_bool(f, "tokenizer.ggml.add_space_prefix", false, &s->add_space_prefix, err);
}

static as_code read_source(const g4_gguf *f, arrays *a, g4_vocab_source *s, as_err *err)
{
    s->name = g4_gguf_path(f);
    AS_TRY(read_kind(f, &s->kind, err));
    AS_TRY(read_pieces(f, a, s, err));
    AS_TRY(read_types(f, a, s, err));
    AS_TRY(read_ids(f, s, err));
    return s->kind == G4_VOCAB_SCORES ? read_scores(f, a, s, err) : read_merges(f, a, s, err);
}

as_code g4_vocab_open(g4_vocab **out, const g4_gguf *f, as_err *err)
{
    *out = NULL;
    arrays a = {0};
    g4_vocab_source s = {0};
    as_code c = read_source(f, &a, &s, err);
    if (c == AS_OK)
        c = g4_vocab_build(out, &s, err);
    free(a.pieces);
    free(a.types);
    free(a.scores);
    free(a.merges);
    return c;
}
