#ifndef SCORERS_CODE_JUDGE_H
#define SCORERS_CODE_JUDGE_H
/*
 * judge.h — LiveCodeBench's verdict on one program.
 *
 * Official   all tests in one interpreter, as upstream's checker runs them (lcb_official.py, whose
 *            text becomes the box's own program); what comes out is compared here. The expected
 *            outputs never enter the box.
 * Script     every test runs the program afresh as `python3 main.py`, with a real standard input,
 *            6 s of CPU; more lenient: what upstream's stand-ins break works.
 * Codes      as upstream lists them: 1 passed; 0 wrong value (functional), -2 wrong output, -3 time,
 *            -4 runtime or compile error. The list ends with the first that is not 1. A process that
 *            died, or ran into the limit of the whole sample, leaves -2 alone, as upstream records.
 * Limits     official: 1 s more than the time limit for each test and 5 s more, as wall and CPU
 *            time; 4 GB, which upstream intends and does not enforce. Tests whose inputs do not fit
 *            into one order (SC_MAX_BATCH bytes) run in several interpreters.
 * Errors     AS_RANGE: a test longer than a box takes. Results are otherwise in *out; is_graded
 *            false: the sandbox failed, not the program.
 * Ownership  notes and codes live in the arena.
 */
#include "base/arena.h"
#include "scorers/code/execs.h"
#include "scorers/sandbox/sandbox.h"

enum { SC_MAX_BATCH = 48 << 20, SC_LCB_TIMEOUT_S = 6 };

typedef struct sc_lcb_test {
    as_str input, output; /* JSON texts, with their quotes */
} sc_lcb_test;

typedef struct sc_lcb_job {
    as_str code; /* as characters */
    as_str fn;   /* empty: reads standard input */
    int timeout_s;
    const sc_lcb_test *tests;
    size_t n;
    bool is_script;
} sc_lcb_job;

typedef struct sc_lcb_result {
    bool is_graded, passed;
    int *codes;
    size_t n_codes;
    sb_verdict verdict;
    as_str note; /* why it failed */
    sb_language language;
    sc_execs execs; /* what ran; hashes of tools are the session's to add */
} sc_lcb_result;

/* CPU time of all that ran. */
int64_t sc_lcb_cpu_us(const sc_lcb_result *r);

as_code sc_lcb_judge(sb_pool *pool, const sc_lcb_job *job, sc_lcb_result *out, as_arena *arena,
                     as_err *err);

#endif
