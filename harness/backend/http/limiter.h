#ifndef BACKEND_HTTP_LIMITER_H
#define BACKEND_HTTP_LIMITER_H
/*
 * limiter.h — at most so many requests and tokens a minute: two token buckets.
 *
 * Rule       a bucket holds at most a tenth of a minute's allowance (at least 1 request; for tokens
 *            a whole minute's, so that one long prompt can pass) and fills evenly. A request may
 *            start when both hold enough. What it costs in tokens is an estimate first; the
 *            difference is settled when the server has counted, so a bucket may go below 0.
 * Units      time in ns of any clock that does not go back; rates 0: no limit.
 * Threads    one limiter, one thread at a time.
 */
#include <stdint.h>

typedef struct ht_bucket {
    double per_minute, level, cap;
} ht_bucket;

typedef struct ht_limiter {
    ht_bucket requests, tokens;
    int64_t at_ns; /* when the levels were true */
} ht_limiter;

void ht_limiter_init(ht_limiter *l, double requests_per_minute, double tokens_per_minute,
                     int64_t now_ns);
/* ns until a request of so many tokens may start; 0: now. A request that costs more than a minute's
 * tokens may start when the bucket is full. */
int64_t ht_limiter_wait_ns(ht_limiter *l, double tokens, int64_t now_ns);
void ht_limiter_take(ht_limiter *l, double tokens);
void ht_limiter_settle(ht_limiter *l, double estimated, double counted);

#endif
