#ifndef BASE_TOYMODEL_H
#define BASE_TOYMODEL_H
/*
 * toymodel.h — a "language model" by arithmetic, for tests: every part of the program that scores
 * or tokenises without a real model (null driver, `assay mock`) agrees on it, and a test can
 * compute what it must say.
 *
 * Tokens     a byte is a token, its id the byte; 256 is <bos>, 257 <eos>. Larger ids exist for the
 *            log-probabilities only.
 * Log-prob   of id after prev: -1/32 if id is the greedy choice (prev + 1) mod 256, else
 *            -(1 + (31 prev + 17 id) mod 97) / 16. (It does not sum to one and need not.)
 * Threads    pure.
 */
#include <stdint.h>

enum { AS_TOY_BOS = 256, AS_TOY_EOS = 257 };

int32_t as_toy_greedy(int32_t prev);
double as_toy_logprob(int32_t prev, int32_t id);
/* 1 for the greedy choice, else a number from 2 on that follows from the log-probability. */
int as_toy_rank(int32_t prev, int32_t id);
/* The text of a token: z gets up to 15 bytes and a NUL; returns its length. */
int as_toy_piece(char z[16], int32_t id);

#endif
