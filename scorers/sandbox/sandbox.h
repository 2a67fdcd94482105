#ifndef SCORERS_SANDBOX_SANDBOX_H
#define SCORERS_SANDBOX_SANDBOX_H
/*
 * sandbox.h — runs programs that models wrote, in boxes, and says whether they solve their tests.
 *
 * Use        sb_pool_open, then for every program sb_submit and later sb_wait (or sb_judge for both
 *            in one); sb_pool_close. A pool has slots; each slot has a helper process of its own
 *            and runs one box at a time. Tests of one program spread over slots that are idle.
 * Result     a verdict for the program and one for each test that ran. SB_SANDBOX_FAILURE is ours:
 *            it was tried again on a fresh helper, and must never count against the model.
 * Expected   outputs never enter a box: the library compares what came out through a pipe.
 * Time       CPU time decides. The wall limit ends what sleeps; it grows, up to tenfold, by the time
 *            that the program was ready to run and had no processor.
 * Units      cpu_us, wall_us in µs; peak_bytes in bytes; limits carry theirs in their names.
 * Errors     a program that fails is a result. AS_UNSUPPORTED: no sandbox can be had here; the text
 *            names the cause and the remedy (`assay exec` and runs exit 5). AS_RANGE: a job outside
 *            the limits below. AS_CANCELLED after sb_cancel.
 * Ownership  a job's texts are borrowed until its sb_wait returns; results live in the arena given.
 * Threads    a pool may be used by any number of threads at once; a ticket belongs to one. The
 *            pool's own threads, one a slot, block in system calls and touch no shared state but
 *            the pool's queue. sb_submit blocks while SB_MAX_QUEUED programs wait.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"

enum {
    SB_MAX_SLOTS = 64,
    SB_MAX_QUEUED = 256,
    SB_MAX_TESTS = 100000,
    SB_MAX_CODE = 16 << 20,  /* bytes of a program */
    SB_MAX_INPUT = 63 << 20, /* bytes of a test's input, and of output that can be kept */
    SB_SCORER_VERSION = 1,   /* of everything that decides a verdict; part of cache keys */
};

typedef enum sb_language { SB_PYTHON, SB_CPP } sb_language;

typedef enum sb_verdict {
    SB_ACCEPTED,
    SB_WRONG_ANSWER,
    SB_TIME_LIMIT,
    SB_MEMORY_LIMIT,
    SB_OUTPUT_LIMIT,
    SB_RUNTIME_ERROR,
    SB_COMPILE_ERROR,
    SB_SECURITY_VIOLATION, /* killed by the system-call filter */
    SB_SANDBOX_FAILURE,    /* not graded */
    SB_N_VERDICTS,
} sb_verdict;

/* "accepted", "wrong_answer", …; "unknown" outside the enum. */
const char *sb_verdict_name(sb_verdict v);

typedef enum sb_rule {
    SB_LINES,   /* strip text and lines; equal, or equal lists of exact decimals (LiveCodeBench) */
    SB_TOKENS,  /* white-space tokens, exactly (Codeforces) */
    SB_FLOAT,   /* tokens; numbers within abs or rel tolerance */
    SB_EXACT,   /* bytes */
    SB_JSON,    /* one JSON value; tuples are lists, 1 is not true; numbers exact or to tolerance */
    SB_CHECKER, /* a trusted program decides, in a box too: argv input output answer, exit 0 */
    SB_CALLBACK, /* the job's function decides */
    SB_N_RULES,
} sb_rule;

const char *sb_rule_name(sb_rule rule);
bool sb_rule_parse(as_str name, sb_rule *out);

/* Zero fields take the general profile's values (sb_general). */
typedef struct sb_limits {
    int64_t cpu_ms, wall_ms;
    int64_t memory_mb, stack_mb, tmp_mb, output_kb;
    int tasks;      /* processes and threads together */
    bool want_fork; /* processes are allowed where a cgroup counts their CPU time, else EAGAIN */
} sb_limits;

extern const sb_limits sb_general, sb_livecodebench, sb_codeforces;

typedef struct sb_test {
    as_str input;
    as_str expected;
} sb_test;

typedef struct sb_job {
    as_str code;
    sb_language language;
    const sb_test *tests;
    size_t n_tests;
    sb_limits limits;
    sb_rule rule;
    double tolerance; /* SB_FLOAT, SB_JSON; 0 takes 1e-6 and exact */
    /* SB_CHECKER: the program that decides. */
    as_str checker;
    sb_language checker_language;
    /* SB_CALLBACK: called on a pool thread; must be thread-safe. */
    bool (*compare)(void *user, as_str output, const sb_test *test);
    void *user;
    /* Python only. fn_name set: a functional problem; the method of class Solution, or the
     * function, of that name is called with the JSON values of the input, one a line. */
    as_str fn_name;
    as_str preamble;        /* trusted text put in front of the program, e.g. star imports */
    as_str runner;          /* trusted text that runs instead of the program, which it finds as
                               bytes in the global __program__. Exclusive with fn_name. */
    bool exit_code_is_fine; /* SystemExit with any code is a normal end (LiveCodeBench) */
    bool want_fresh;        /* a fresh interpreter for each test in place of the fork server */
    bool want_all_tests;    /* go on behind the first failure */
    bool want_output;       /* keep what the tests wrote */
} sb_job;

typedef struct sb_test_result {
    bool has_run;
    sb_verdict verdict;
    as_str detail;   /* one phrase: "cpu", "wall", "signal 11", the first difference, … */
    int exit_code;   /* -1 if a signal ended it */
    int term_signal; /* 0 if none */
    int64_t cpu_us, wall_us, peak_bytes, output_bytes;
    int n_runs;    /* above 1: near the time limit, run again alone; the best counts */
    as_str output; /* only with want_output */
    as_str errors; /* head of standard error, 1 KB */
} sb_test_result;

typedef struct sb_result {
    sb_verdict verdict; /* accepted if every test was; else that of the first that failed */
    as_str detail;
    size_t n_passed, n_run, n_tests;
    sb_test_result *tests; /* [n_tests] */
    as_str compiler_text;  /* what the compiler said, 4 KB */
    as_str sandbox;        /* "namespaces+cgroup1", "namespaces", "none": stamp it into results */
    as_str toolchain;      /* "Python 3.11.2", "g++ … 12.2.0 -std=gnu++17 -O2" */
    bool is_cached;
    int64_t compile_cpu_us;
} sb_result;

typedef struct sb_pool sb_pool;
typedef struct sb_ticket sb_ticket;

typedef struct sb_pool_options {
    int n_slots;             /* 0: one a processor */
    double time_factor;      /* CPU and wall limits are multiplied by it; 0 means 1 */
    bool is_unsafe;          /* no namespaces: refused for root. The caller must tell the user */
    const char *helper;      /* assay-box; NULL: beside the running program */
    const char *compile_dir; /* cache of compiled programs, made when missing; NULL: in memory */
    const char *verdict_dir; /* cache of results by code, tests, limits, tools; NULL: none */
    const as_log *log;
} sb_pool_options;

/* Starts the helpers and proves with one box that boxes can be made here. */
as_code sb_pool_open(sb_pool **out, const sb_pool_options *options, as_err *err);
void sb_pool_close(sb_pool *pool);

as_code sb_submit(sb_pool *pool, const sb_job *job, sb_ticket **out, as_err *err);
as_code sb_wait(sb_ticket *ticket, sb_result *out, as_arena *keep, as_err *err);
as_code sb_judge(sb_pool *pool, const sb_job *job, sb_result *out, as_arena *keep, as_err *err);
/* Ends running boxes; everything submitted and not yet done fails with AS_CANCELLED. */
void sb_cancel(sb_pool *pool);

/* CPU time of a fixed program here against the machine the limits were meant for: at least 1. Runs
 * it three times in a box (about a second). The reference: calibrate.c. */
as_code sb_calibrate(sb_pool *pool, double *factor, as_err *err);

/* What this machine can do, for `assay doctor`. Texts live in keep. */
typedef struct sb_machine {
    bool can_box;
    as_str sandbox;     /* as in sb_result, or why there is none, with the remedy */
    as_str namespaces;  /* "user pid mount net ipc uts cgroup" */
    as_str cgroups;     /* "v1: memory, CPU, processes" */
    as_str id_maps;     /* "two ids" */
    as_str python, cpp; /* versions, or what is missing */
} sb_machine;

void sb_probe(sb_machine *out, const sb_pool_options *options, as_arena *keep);

#endif
