#ifndef ENGINE_TOKENIZER_H
#define ENGINE_TOKENIZER_H
/*
 * tokenizer.h — text to ids and back, for both kinds of vocabulary.
 *
 * Encoding   1. special pieces are cut out of the text (markup.h); nothing around them is stripped.
 *            2. between them, each space becomes U+2581; all else stays as it is.
 *            3. ranked merges only: runs of newlines are cut from the rest, and a run that is a
 *               piece is taken whole.
 *            4. one symbol for each UTF-8 sequence, and for each byte that belongs to none. The
 *               best pair of neighbours merges, the leftmost of equals, until no pair can.
 *            5. a symbol that is no piece is spelt as byte pieces, <0x00> … <0xFF>.
 *            Text is any bytes. Bad UTF-8 survives a round trip, unlike in llama.cpp, which
 *            replaces it by U+FFFD (ranked merges) or swallows what follows (scores).
 * Decoding   U+2581 in a normal piece becomes a space, byte pieces their byte, user-defined pieces
 *            their text; control pieces their text with G4_TOK_SPECIAL, else nothing. A literal
 *            U+2581 in the text comes back as a space. A space prefix that was added stays.
 * Limits     G4_MAX_TEXT_BYTES of text in one call. Memory is up to 70 times the longest stretch
 *            without a space, usually a word.
 * Cost       n log n in that stretch; no recursion.
 * Errors     AS_NOMEM; AS_RANGE for text that is too long, ids outside the vocabulary, and bytes
 *            that the vocabulary has no piece for.
 * Ownership  *ids is malloc'ed for the caller.
 * Threads    pure: one vocabulary serves any number of threads.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "engine/engine.h" /* G4_TOK_BOS, G4_TOK_SPECIAL */
#include "engine/vocab.h"

enum { G4_MAX_TEXT_BYTES = 1 << 28 };

as_code g4_vocab_encode(const g4_vocab *v, as_str text, unsigned flags, int32_t **ids,
                        size_t *n_ids, as_err *err);
as_code g4_vocab_decode(const g4_vocab *v, const int32_t *ids, size_t n_ids, unsigned flags,
                        as_buf *out, as_err *err);

#endif
