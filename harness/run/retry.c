#include "run/retry.h"

#include "base/rng.h"

static const int64_t longest_wait_ms = 60000;
static const int64_t quota_hint_ms = 600000;
enum { SERVER_RETRIES = 2, BROKEN_RETRIES = 1 };

bool run_is_overload(as_error_kind error, int http_status)
{
    return error == AS_ERROR_RATE ||
           (error == AS_ERROR_SERVER && (http_status == 502 || http_status == 503 ||
                                         http_status == 504 || http_status == 529)) ||
           ((error == AS_ERROR_SERVER || error == AS_ERROR_TIMEOUT) && http_status == 408);
}

/* How many more tries this kind of failure is worth; max_tries where only the attempt limits it. */
static int retries_of(as_error_kind error, int http_status, bool had_pieces, int max_tries)
{
    switch (error) {
    case AS_ERROR_RATE:
        return max_tries;
    case AS_ERROR_TIMEOUT:
        return had_pieces ? 0 : max_tries;
    case AS_ERROR_TRANSPORT:
        return had_pieces ? BROKEN_RETRIES : max_tries;
    case AS_ERROR_SERVER:
        return run_is_overload(error, http_status) ? max_tries : SERVER_RETRIES;
    case AS_ERROR_PROTOCOL:
        return BROKEN_RETRIES;
    default:
        return 0;
    }
}

run_action run_decide(const as_response *r, const db_try *failed, int n_failed, int max_tries)
{
    if (r->finish != AS_FINISH_ERROR)
        return RUN_RECORD;
    if (r->error == AS_ERROR_AUTH)
        return RUN_STOP;
    if (r->error == AS_ERROR_QUOTA ||
        (r->error == AS_ERROR_RATE && r->retry_after_ms > quota_hint_ms))
        return RUN_PAUSE;
    if (n_failed + 1 >= max_tries)
        return RUN_RECORD;
    int n_same = 0; /* failures of this kind before: a limit is per kind */
    for (int i = 0; i < n_failed; i++)
        n_same += failed[i].error == r->error &&
                  run_is_overload(r->error, r->http_status) ==
                      run_is_overload(failed[i].error, failed[i].http_status);
    const int limit = retries_of(r->error, r->http_status, r->first_token_ns >= 0, max_tries);
    return n_same < limit ? RUN_RETRY : RUN_RECORD;
}

int64_t run_wait_ms(uint64_t seed, int n_failed, int64_t hint_ms, int64_t base_ms)
{
    int64_t wait = base_ms < longest_wait_ms ? base_ms : longest_wait_ms;
    for (int i = 1; i < n_failed && wait < longest_wait_ms; i++)
        wait = 2 * wait < longest_wait_ms ? 2 * wait : longest_wait_ms;
    if (hint_ms > wait)
        wait = hint_ms;
    if (wait <= 0)
        return 0;
    as_rng rng;
    as_rng_init(&rng, seed ^ ((uint64_t)n_failed << 56), AS_STR("run/retry"));
    const int64_t least = wait / 2;
    const int64_t drawn = least + (int64_t)as_rng_below(&rng, (uint64_t)(wait - least) + 1);
    return drawn < hint_ms ? hint_ms : drawn;
}
