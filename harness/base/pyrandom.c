#include "base/pyrandom.h"

#include <assert.h>

enum { N = 624, M = 397 };

static void init_genrand(as_pyrandom *r, uint32_t s)
{
    r->mt[0] = s;
    for (uint32_t i = 1; i < N; i++)
        r->mt[i] = 1812433253u * (r->mt[i - 1] ^ r->mt[i - 1] >> 30) + i;
    r->index = N;
}

static void init_by_array(as_pyrandom *r, const uint32_t *key, int n_key)
{
    init_genrand(r, 19650218u);
    int i = 1;
    int j = 0;
    for (int k = N > n_key ? N : n_key; k > 0; k--) {
        r->mt[i] =
            (r->mt[i] ^ (r->mt[i - 1] ^ r->mt[i - 1] >> 30) * 1664525u) + key[j] + (uint32_t)j;
        if (++i >= N) {
            r->mt[0] = r->mt[N - 1];
            i = 1;
        }
        if (++j >= n_key)
            j = 0;
    }
    for (int k = N - 1; k > 0; k--) {
        r->mt[i] = (r->mt[i] ^ (r->mt[i - 1] ^ r->mt[i - 1] >> 30) * 1566083941u) - (uint32_t)i;
        if (++i >= N) {
            r->mt[0] = r->mt[N - 1];
            i = 1;
        }
    }
    r->mt[0] = 0x80000000u;
}

void as_pyrandom_seed(as_pyrandom *r, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    init_by_array(r, key, key[1] != 0 ? 2 : 1);
}

static void refill(as_pyrandom *r)
{
    for (int k = 0; k < N; k++) {
        const uint32_t y = (r->mt[k] & 0x80000000u) | (r->mt[(k + 1) % N] & 0x7FFFFFFFu);
        r->mt[k] = r->mt[(k + M) % N] ^ y >> 1 ^ ((y & 1) != 0 ? 0x9908B0DFu : 0);
    }
    r->index = 0;
}

static uint32_t next_u32(as_pyrandom *r)
{
    if (r->index >= N)
        refill(r);
    uint32_t y = r->mt[r->index++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

uint32_t as_pyrandom_bits(as_pyrandom *r, int k)
{
    assert(k >= 1 && k <= 32);
    return next_u32(r) >> (32 - k);
}

uint32_t as_pyrandom_below(as_pyrandom *r, uint32_t n)
{
    assert(n > 0);
    int k = 0;
    while (k < 32 && n >> k != 0)
        k++;
    uint32_t v = as_pyrandom_bits(r, k);
    while (v >= n)
        v = as_pyrandom_bits(r, k);
    return v;
}

int64_t as_pyrandom_int(as_pyrandom *r, int64_t a, int64_t b)
{
    assert(a <= b && b - a < UINT32_MAX);
    return a + (int64_t)as_pyrandom_below(r, (uint32_t)(b - a + 1));
}

double as_pyrandom_f64(as_pyrandom *r)
{
    const uint32_t a = next_u32(r) >> 5;
    const uint32_t b = next_u32(r) >> 6;
    return ((double)a * 67108864.0 + (double)b) / 9007199254740992.0;
}

void as_pyrandom_shuffle(as_pyrandom *r, int *x, int n)
{
    for (int i = n - 1; i > 0; i--) {
        const int j = (int)as_pyrandom_below(r, (uint32_t)i + 1);
        const int t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}

void as_pyrandom_sample(as_pyrandom *r, int n, int k, int *out)
{
    enum { MOST = 85 }; /* CPython's list method: 21, or more for larger k */
    assert(k >= 0 && k <= n && n <= MOST);
    int pool[MOST];
    for (int i = 0; i < n; i++)
        pool[i] = i;
    for (int i = 0; i < k; i++) {
        const int j = (int)as_pyrandom_below(r, (uint32_t)(n - i));
        out[i] = pool[j];
        pool[j] = pool[n - i - 1];
    }
}
