#ifndef RUN_CONCURRENCY_H
#define RUN_CONCURRENCY_H
/*
 * concurrency.h — how many requests a server should have at once: `-j auto`.
 *
 * How it works
 *   Hill climbing on the work done per second. Work is counted over windows: after a change as many
 *   answers as are in flight pass by (they ran under both), then four times as many are measured,
 *   at least sixteen. Half as many more are tried while that brings over 5 %; if it does not, a quarter
 *   fewer are tried while that loses under 3 %. Then the limit stays for a while (twice as long each
 *   time) before the next search, or until the rate has fallen by a quarter for two windows. An overload (429, 503, …) takes the limit back at
 *   once, to the last one that was measured without any; from then on steps are single ones.
 *
 * Time       is what the caller says, so tests need no clock. Nothing random.
 * Answers    do not depend on any of this: what is asked, with which seed, is the plan's.
 * Threads    one object, one thread.
 */
#include <stdbool.h>
#include <stdint.h>

typedef enum run_pace_mode {
    RUN_PACE_BASE,
    RUN_PACE_UP,
    RUN_PACE_HOLD,
    RUN_PACE_DOWN
} run_pace_mode;

typedef struct run_pace {
    int limit; /* what may be in flight now */
    int max;
    run_pace_mode mode;
    int base_limit;      /* the last limit found good */
    double base_rate;    /* work per second there; 0: none measured */
    int hold, hold_left; /* windows until the next try upward */
    int n_low;           /* windows in a row with a fallen rate */
    int ceiling;         /* overload was met above it; max: never */
    bool was_overloaded;
    int ignore; /* overloads of requests sent before the last cut */
    /* the window */
    int skip; /* answers that still belong to the time before */
    int n, want;
    double work;
    int64_t began_ns;
} run_pace;

void run_pace_init(run_pace *p, int start, int max, int64_t now_ns);
/* An answer came; work: any unit that grows with what the server had to do for it. */
void run_pace_answer(run_pace *p, double work, int64_t now_ns);
/* The server said that it has too much to do. */
void run_pace_overload(run_pace *p, int64_t now_ns);

#endif
