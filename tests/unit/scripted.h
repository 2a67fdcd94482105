#ifndef TESTS_UNIT_SCRIPTED_H
#define TESTS_UNIT_SCRIPTED_H
/*
 * scripted.h — two small Gemma 4 models whose heads fill Q8_0 blocks, written as GGUF.
 *
 * Copier     two layers whose weights are set by hand; it says after a token what came after the
 *            same token before, at any distance. Codes of tokens are rows of a Hadamard matrix.
 *              layer 0, sliding: each position takes the code of the one before it. Queries and keys
 *                are constants whose rotations agree best at distance 1.
 *              layer 1, full: the query is the code of this token, the key that of the one before,
 *                both in dimensions that do not rotate; the value is this token's code.
 * Random     six layers S S F S S F, the last three reading the cache of others; weights uniform.
 */
#include <stdint.h>

enum { SC_VOCAB = 64, SC_WINDOW = 512 };

void sc_write_copier(const char *path, int n_ctx);
void sc_write_random(const char *path, int n_ctx);

#endif
