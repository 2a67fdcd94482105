#include "backend/http/limiter.h"

static const double NS_PER_MINUTE = 60e9;

static void bucket_init(ht_bucket *b, double per_minute, double cap)
{
    *b = (ht_bucket){.per_minute = per_minute, .level = cap, .cap = cap};
}

void ht_limiter_init(ht_limiter *l, double requests_per_minute, double tokens_per_minute,
                     int64_t now_ns)
{
    const double burst = requests_per_minute / 10;
    bucket_init(&l->requests, requests_per_minute, burst > 1 ? burst : 1);
    bucket_init(&l->tokens, tokens_per_minute, tokens_per_minute);
    l->at_ns = now_ns;
}

static void fill(ht_bucket *b, double minutes)
{
    b->level += b->per_minute * minutes;
    if (b->level > b->cap)
        b->level = b->cap;
}

static int64_t bucket_wait_ns(const ht_bucket *b, double want)
{
    if (b->per_minute <= 0)
        return 0;
    if (want > b->cap)
        want = b->cap;
    /* A millionth of a request short is rounding, not a reason to wait. */
    if (b->level + 1e-6 >= want)
        return 0;
    return (int64_t)((want - b->level) / b->per_minute * NS_PER_MINUTE) + 1;
}

int64_t ht_limiter_wait_ns(ht_limiter *l, double tokens, int64_t now_ns)
{
    if (now_ns > l->at_ns) {
        const double minutes = (double)(now_ns - l->at_ns) / NS_PER_MINUTE;
        fill(&l->requests, minutes);
        fill(&l->tokens, minutes);
        l->at_ns = now_ns;
    }
    const int64_t a = bucket_wait_ns(&l->requests, 1);
    const int64_t b = bucket_wait_ns(&l->tokens, tokens);
    return a > b ? a : b;
}

void ht_limiter_take(ht_limiter *l, double tokens)
{
    l->requests.level -= 1;
    l->tokens.level -= tokens;
}

void ht_limiter_settle(ht_limiter *l, double estimated, double counted)
{
    l->tokens.level += estimated - counted;
    if (l->tokens.level > l->tokens.cap)
        l->tokens.level = l->tokens.cap;
}
