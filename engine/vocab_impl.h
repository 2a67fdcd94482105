#ifndef ENGINE_VOCAB_IMPL_H
#define ENGINE_VOCAB_IMPL_H
/*
 * vocab_impl.h — the inside of g4_vocab, shared by the files that build it and that tokenise.
 *
 * A "symbol" is a text that can take part in merging: ids 0 .. n_pieces-1 are the pieces, numbers
 * above are parts of merges that are no piece themselves. G4_NO_SYMBOL is any other text.
 */
#include "engine/markup.h"
#include "engine/vocab.h"

enum { G4_NO_SYMBOL = -1, G4_MAX_PIECE_BYTES = 1024 };

typedef struct g4_text_slot {
    uint32_t hash;
    int32_t symbol; /* -1: empty */
} g4_text_slot;

typedef struct g4_pair_slot {
    int32_t left, right; /* left -1: empty */
    uint32_t rank;
} g4_pair_slot;

struct g4_vocab {
    g4_vocab_kind kind;
    int32_t n_pieces;
    as_str *symbols; /* texts; pieces first */
    size_t n_symbols, symbols_cap;
    uint8_t *types;  /* [n_pieces] */
    uint32_t *ranks; /* G4_VOCAB_SCORES: [n_pieces], 0 the best; equal scores, equal ranks */
    int32_t bos, eos, unknown;
    bool add_bos, add_space_prefix;
    int32_t byte_ids[256]; /* fallback for each byte; -1 when there is none */
    /* Whether some merge joins a text that ends in this byte with U+2581: if not, text may be cut
     * there. Makes words of documents, and the work per word small. */
    bool is_joined[256];
    size_t max_symbol_bytes;

    g4_text_slot *texts; /* open addressing, a power of two */
    size_t n_texts;
    g4_pair_slot *pairs; /* G4_VOCAB_MERGES: open addressing, a power of two */
    size_t n_pairs;
    g4_markup markup;
};

/* The symbol of a text, or G4_NO_SYMBOL. */
int32_t g4_vocab_symbol(const g4_vocab *v, as_str text);
/* G4_VOCAB_MERGES: whether left and right merge, and the pair's rank. */
bool g4_vocab_pair(const g4_vocab *v, int32_t left, int32_t right, uint32_t *rank);

/* U+2581, which stands for a space. */
#define G4_SPACE_MARK "\xe2\x96\x81"
enum { G4_SPACE_MARK_BYTES = 3 };

#endif
