#include <math.h>

#include "store/store_impl.h"

enum { SUB_BITS = 5, SUBS = 1 << SUB_BITS };

int db_gap_bucket(int64_t ns)
{
    if (ns < SUBS)
        return ns < 0 ? 0 : (int)ns;
    int top = 63;
    while (((uint64_t)ns >> top & 1) == 0)
        top--;
    const int shift = top - SUB_BITS;
    const int sub = (int)((uint64_t)ns >> shift) - SUBS;
    return (shift + 1) * SUBS + sub;
}

double db_gap_ns(int bucket)
{
    if (bucket < SUBS)
        return bucket;
    const int shift = bucket / SUBS - 1;
    return (bucket % SUBS + SUBS + 0.5) * ldexp(1, shift);
}

double db_gaps_quantile(const db_gaps *g, double q)
{
    int64_t total = 0;
    for (int i = 0; i < DB_GAP_BUCKETS; i++)
        total += g->n[i];
    int64_t rank = (int64_t)ceil(q * (double)total);
    if (rank < 1)
        rank = 1;
    int64_t below = 0;
    for (int i = 0; i < DB_GAP_BUCKETS; i++) {
        below += g->n[i];
        if (below >= rank)
            return db_gap_ns(i);
    }
    return (double)NAN;
}
