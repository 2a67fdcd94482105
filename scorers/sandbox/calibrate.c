/*
 * calibrate.c — how much slower this machine is than the one the limits were meant for.
 */
#include "scorers/sandbox/sandbox.h"

/* CPU time of the program below on the reference, a 2-core virtual machine of an AMD EPYC server with
 * Debian 12 and Python 3.11.2: median of 9 runs 171 ms. To renew: `assay exec` on the program. */
enum { REFERENCE_US = 171000, RUNS = 3 };

#define PROGRAM                                                                                    \
    "s = 0\n"                                                                                      \
    "d = {}\n"                                                                                     \
    "for i in range(1, 600001):\n"                                                                 \
    "    s = (s * 48271 + i) % 2147483647\n"                                                       \
    "    d[s & 4095] = i\n"                                                                        \
    "    if s & 1:\n"                                                                              \
    "        s ^= len(d)\n"                                                                        \
    "print(len(d))\n"

as_code sb_calibrate(sb_pool *pool, double *factor, as_err *err)
{
    as_arena keep;
    as_arena_init(&keep, 1 << 20);
    sb_test tests[RUNS];
    for (int i = 0; i < RUNS; i++)
        tests[i] = (sb_test){.expected = AS_STR("4096\n")};
    const sb_job job = {.code = AS_STR(PROGRAM),
                        .tests = tests,
                        .n_tests = RUNS,
                        .limits = {.cpu_ms = 60000, .wall_ms = 300000}};
    sb_result r;
    as_code c = sb_judge(pool, &job, &r, &keep, err);
    if (c == AS_OK && r.verdict != SB_ACCEPTED)
        c = as_fail(err, AS_IO, "sandbox: calibrating: %s (%.*s)", sb_verdict_name(r.verdict),
                    AS_ARG(r.detail));
    if (c == AS_OK) {
        int64_t best = r.tests[0].cpu_us;
        for (int i = 1; i < RUNS; i++)
            best = r.tests[i].cpu_us < best ? r.tests[i].cpu_us : best;
        *factor = best > REFERENCE_US ? (double)best / REFERENCE_US : 1;
    }
    as_arena_release(&keep);
    return c;
}
