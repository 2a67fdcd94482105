#ifndef ENGINE_VOCAB_H
#define ENGINE_VOCAB_H
/*
 * vocab.h — the vocabulary: pieces with ids, which of them are markup, how pieces merge.
 *
 * Kinds      G4_VOCAB_SCORES (Gemma 3, "llama" in GGUF): two neighbours merge if their
 *            concatenation is a piece, the highest score first.
 *            G4_VOCAB_MERGES (Gemma 4, "gemma4"): two neighbours merge if the pair is in a ranked
 *            list, the first of the list first.
 * Markup     control pieces are matched in text only on request and hidden in output unless asked
 *            for; user-defined pieces are always matched and always shown.
 * Limits     up to 16,777,216 pieces of up to 1,024 bytes, up to 67,108,864 merges. Duplicated
 *            pieces are allowed: text gives the last one's id.
 * Errors     hostile vocabularies are refused with a sentence, or work as far as they make sense
 *            (a missing byte piece becomes the unknown id).
 * Ownership  texts are borrowed from the source (the GGUF file), which must outlive the vocabulary;
 *            everything else of the source is copied.
 * Threads    immutable once built.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "engine/gguf.h"

typedef struct g4_vocab g4_vocab;

typedef enum g4_vocab_kind { G4_VOCAB_SCORES, G4_VOCAB_MERGES } g4_vocab_kind;

/* Numbers as in tokenizer.ggml.token_type. */
typedef enum g4_piece_type {
    G4_PIECE_NORMAL = 1,
    G4_PIECE_UNKNOWN = 2, /* treated like control */
    G4_PIECE_CONTROL = 3,
    G4_PIECE_USER = 4,
    G4_PIECE_UNUSED = 5, /* never shown */
    G4_PIECE_BYTE = 6,   /* its text is <0xXX> */
} g4_piece_type;

typedef struct g4_merge {
    as_str left, right;
} g4_merge;

/* What a vocabulary is built from, whatever file it came from. Ids are indices; -1: there is none.
 */
typedef struct g4_vocab_source {
    const char *name; /* of the file, for messages */
    g4_vocab_kind kind;
    const as_str *pieces; /* spaces written as U+2581 */
    size_t n_pieces;
    const uint8_t *types;   /* [n_pieces] g4_piece_type; NULL: all normal */
    const float *scores;    /* [n_pieces]; G4_VOCAB_SCORES only */
    const g4_merge *merges; /* G4_VOCAB_MERGES only, best first */
    size_t n_merges;
    int32_t bos, eos, unknown;
    bool add_bos;
    bool add_space_prefix; /* G4_VOCAB_SCORES only; Gemma's files say false */
} g4_vocab_source;

as_code g4_vocab_build(g4_vocab **out, const g4_vocab_source *source, as_err *err);
/* From the tokenizer.ggml.* metadata of an open file, which must outlive the vocabulary. */
as_code g4_vocab_open(g4_vocab **out, const g4_gguf *f, as_err *err);
void g4_vocab_close(g4_vocab *v); /* NULL is fine */

int32_t g4_vocab_n_pieces(const g4_vocab *v);
int32_t g4_vocab_bos(const g4_vocab *v); /* -1 when there is none */
int32_t g4_vocab_eos(const g4_vocab *v);
bool g4_vocab_add_bos(const g4_vocab *v); /* raw completion starts with bos */
/* The id of a piece by its exact text, or -1. */
int32_t g4_vocab_find(const g4_vocab *v, as_str text);
/* Ids that end a reply, at most max of them: eos, <end_of_turn>, <turn|>, <|tool_response>; those
 * that the vocabulary has, ascending. Returns how many. */
int g4_vocab_stops(const g4_vocab *v, int32_t *ids, int max);

#endif
