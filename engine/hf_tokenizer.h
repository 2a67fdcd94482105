#ifndef ENGINE_HF_TOKENIZER_H
#define ENGINE_HF_TOKENIZER_H
/*
 * hf_tokenizer.h — tokenizer.json of a model folder.
 *
 * Read       model.vocab (piece to id), model.merges (as "a b" or as pairs), added_tokens. The
 *            normaliser must replace a space by U+2581, as Gemma's does; anything else is refused,
 *            because it would tokenise otherwise without a word.
 * Types      added tokens that are special, and those that look so (<unused7>, <|x|>, <mask>), are
 *            control pieces; other added tokens user-defined; <0xXX> bytes. The seven markers that a
 *            parser of replies must see are user-defined whatever the file says (as llama.cpp).
 * Scores     Gemma 3 as GGUF merges by score: a piece's score is minus the rank of its first merge,
 *            which gives the same ids as the ranked merges that the file was made from.
 * Cost       one pass over the text; 32 bytes a merge, 24 a piece, and the texts with escapes. A
 *            folder with Gemma 3's 33 MB (262,145 pieces, 514,906 merges) opens in 0.5 s, vocabulary
 *            included, with 93 MB resident, the mapped text among them.
 * Errors     one sentence naming file and place.
 * Ownership  texts are borrowed from the text passed in or live in the arena, which both must
 *            outlive the result.
 * Threads    pure.
 */
#include "base/arena.h"
#include "base/err.h"
#include "engine/gguf_write.h"
#include "engine/vocab.h"

typedef struct g4_hf_tokenizer {
    as_str *pieces; /* [n_pieces]; a hole in the ids is an unused piece [PADn] */
    uint8_t *types; /* g4_piece_type */
    size_t n_pieces;
    g4_merge *merges; /* best first */
    size_t n_merges;
    as_str unknown; /* text of model.unk_token */
} g4_hf_tokenizer;

as_code g4_hf_tokenizer_read(g4_hf_tokenizer *out, const char *name, as_str text, as_arena *keep,
                             as_err *err);

/* The id of a piece by its text, -1 if there is none. Linear. */
int32_t g4_hf_tokenizer_find(const g4_hf_tokenizer *t, as_str text);

/* The tokenizer.ggml arrays. has_scores: by score ("llama"), else by merges ("gemma4"). Pieces are
 * padded with unused ones up to n_rows. */
void g4_hf_tokenizer_put(const g4_hf_tokenizer *t, bool has_scores, size_t n_rows,
                         const float *scores, g4_gguf_values *v);
/* Scores for has_scores: [n_pieces] in the arena. */
as_code g4_hf_tokenizer_scores(const g4_hf_tokenizer *t, as_arena *keep, float **out, as_err *err);

#endif
