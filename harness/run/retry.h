#ifndef RUN_RETRY_H
#define RUN_RETRY_H
/*
 * retry.h — what to do about a request that failed, and when to try again.
 *
 * Rules      transport (before any piece of the answer), time-outs before the first piece, rate and
 *            overload (408, 502, 503, 504, 529): up to the attempt's tries. Other server errors: two
 *            more. A reply that cannot be understood, or whose connection broke after pieces of it
 *            had come (they are thrown away): one more. A quota (or a wait of over ten minutes)
 *            pauses the run. No key or a wrong one stops it. All else is the attempt's result.
 * Wait       the larger of the server's hint and base · 2^(failures-1), at most a minute for the
 *            latter; a random time from half of that up to all of it, never below the hint. Random
 *            by the request's seed: the same run waits the same.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"
#include "types/response.h"

typedef enum run_action {
    RUN_RECORD, /* store it, as an answer or as an error */
    RUN_RETRY,
    RUN_PAUSE, /* end the run here, to be continued another day */
    RUN_STOP,  /* no request can succeed */
} run_action;

/* failed[n_failed]: the tries of this attempt that failed before this one. */
run_action run_decide(const as_response *r, const db_try *failed, int n_failed, int max_tries);
/* The server has too much to do: rate limit or overload. */
bool run_is_overload(as_error_kind error, int http_status);
/* n_failed ≥ 1 failures so far; hint_ms -1: none. */
int64_t run_wait_ms(uint64_t seed, int n_failed, int64_t hint_ms, int64_t base_ms);

#endif
