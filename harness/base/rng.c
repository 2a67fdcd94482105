#include "base/rng.h"

#include <assert.h>

#include "base/hash.h"

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = *x += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

void as_rng_init(as_rng *r, uint64_t seed, as_str name)
{
    uint64_t x = seed ^ as_fnv1a(name);
    for (int i = 0; i < 4; i++)
        r->s[i] = splitmix(&x);
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t as_rng_u64(as_rng *r)
{
    uint64_t *s = r->s;
    const uint64_t out = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t as_rng_below(as_rng *r, uint64_t n)
{
    assert(n > 0);
    const uint64_t uneven = (0 - n) % n; /* 2^64 mod n: the first values that would bias */
    uint64_t v = as_rng_u64(r);
    while (v < uneven)
        v = as_rng_u64(r);
    return v % n;
}

double as_rng_f64(as_rng *r)
{
    return (double)(as_rng_u64(r) >> 11) * 0x1p-53;
}
