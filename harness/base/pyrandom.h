#ifndef BASE_PYRANDOM_H
#define BASE_PYRANDOM_H
/*
 * pyrandom.h — CPython's random module, bit for bit, for scorers that consume it.
 *
 * Source     MT19937 and init_by_array: Matsumoto and Nishimura (1998); how CPython seeds it from
 *            an integer and draws from it: behaviour of CPython 3.2 to 3.13 (`_randbelow` by bit
 *            length and rejection).
 * Threads    one state, one thread.
 */
#include <stdint.h>

typedef struct as_pyrandom {
    uint32_t mt[624];
    int index;
} as_pyrandom;

void as_pyrandom_seed(as_pyrandom *r, uint64_t seed);
uint32_t as_pyrandom_bits(as_pyrandom *r, int k);       /* getrandbits(k), 1 <= k <= 32 */
uint32_t as_pyrandom_below(as_pyrandom *r, uint32_t n); /* choice(seq) is seq[below(len)]; n > 0 */
int64_t as_pyrandom_int(as_pyrandom *r, int64_t a, int64_t b); /* randint, both ends included */
double as_pyrandom_f64(as_pyrandom *r);                        /* random() */
void as_pyrandom_shuffle(as_pyrandom *r, int *x, int n);
/* sample(range(n), k) for populations small enough for CPython's list method (n <= 21 for
 * k <= 5). */
void as_pyrandom_sample(as_pyrandom *r, int n, int k, int *out);

#endif
