#ifndef BASE_RNG_H
#define BASE_RNG_H
/*
 * rng.h — one documented generator, seeded by number and name.
 *
 * Generator  xoshiro256** (Blackman and Vigna, 2018), its four words filled by splitmix64 from
 *            seed XOR FNV-1a(name). A name says what the numbers are for
 *            ("suite/item/repeat"), so that results do not depend on the order in which
 *            things happen.
 * Output     as_rng_below is unbiased by rejection; as_rng_f64 has 53 bits in [0, 1).
 * Threads    one state, one thread.
 * See also   pyrandom.h: CPython's own generator, for scorers that follow it bit for bit.
 */
#include <stdint.h>

#include "base/str.h"

typedef struct as_rng {
    uint64_t s[4];
} as_rng;

void as_rng_init(as_rng *r, uint64_t seed, as_str name);
uint64_t as_rng_u64(as_rng *r);
uint64_t as_rng_below(as_rng *r, uint64_t n); /* n > 0; 0..n-1 */
double as_rng_f64(as_rng *r);

#endif
