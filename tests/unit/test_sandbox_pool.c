/* The pool with real boxes: several threads, checkers, callbacks, caches, functional problems, a
 * helper that dies. Skipped where no box can be made. */
#define _GNU_SOURCE /* utimensat */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "scorers/sandbox/sandbox.h"
#include "unit/busy.h"
#include "unit/cm.h"

static sb_pool *pool;
static char dir[64] = "/tmp/assay-pool.XXXXXX";

static int open_pool(void **state)
{
    (void)state;
    static char programs[96], verdicts[96];
    if (mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(programs, sizeof programs, "%s/programs", dir);
    (void)snprintf(verdicts, sizeof verdicts, "%s/verdicts", dir);
    as_err err = {0};
    const sb_pool_options o = {
        .n_slots = 3, .helper = SB_HELPER, .compile_dir = programs, .verdict_dir = verdicts};
    if (sb_pool_open(&pool, &o, &err) == AS_OK)
        return 0;
    (void)printf("skipped: %s\n", err.text);
    _exit(77);
}

static int close_pool(void **state)
{
    (void)state;
    sb_pool_close(pool);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static sb_result judge(const sb_job *job, as_arena *keep)
{
    sb_result r = {0};
    as_err err = {0};
    if (sb_judge(pool, job, &r, keep, &err) != AS_OK)
        fail_msg("%s", err.text);
    return r;
}

static void want(const sb_result *r, sb_verdict verdict)
{
    if (r->verdict != verdict)
        fail_msg("%s (%.*s) %.*s, want %s", sb_verdict_name(r->verdict), AS_ARG(r->detail),
                 AS_ARG(r->n_tests != 0 ? r->tests[0].errors : r->detail),
                 sb_verdict_name(verdict));
}

enum { MANY = 40 };

/* Wrong from test 25 on; however many slots work on it, the first failure is the same. */
static void stops_at_the_first_failure(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    sb_test tests[MANY];
    for (int i = 0; i < MANY; i++)
        tests[i] = (sb_test){as_arena_printf(&keep, "%d\n", i), as_arena_printf(&keep, "%d\n", i)};
    const sb_job job = {.code = AS_STR("n = int(input())\nprint(n if n < 25 else 0)\n"),
                        .tests = tests,
                        .n_tests = MANY};
    sb_result r = judge(&job, &keep);
    want(&r, SB_WRONG_ANSWER);
    assert_int_equal(r.n_passed, 25);
    assert_int_equal(r.n_run, 26);
    assert_false(r.is_cached);
    r = judge(&job, &keep);
    assert_true(r.is_cached);
    want(&r, SB_WRONG_ANSWER);
    assert_int_equal(r.n_passed, 25);
    sb_job all = job;
    all.want_all_tests = true;
    r = judge(&all, &keep);
    assert_int_equal(r.n_run, MANY);
    assert_int_equal(r.n_passed, 25);
    as_arena_release(&keep);
}

static bool ends_in_seven(void *user, as_str output, const sb_test *test)
{
    (void)user;
    (void)test;
    return as_str_ends(as_str_trim(output), AS_STR("7"));
}

static void rules_decide(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR("5\n"), AS_STR("17\n")};
    sb_job job = {.code = AS_STR("print(int(input()) + 2)\n"), .tests = &test, .n_tests = 1};
    sb_result r = judge(&job, &keep);
    want(&r, SB_WRONG_ANSWER);
    job.rule = SB_CALLBACK;
    job.compare = ends_in_seven;
    r = judge(&job, &keep);
    want(&r, SB_ACCEPTED);
    job.rule = SB_CHECKER;
    job.checker = AS_STR("import sys\na, b, c = (open(p).read() for p in sys.argv[1:])\n"
                         "sys.exit(not (int(a) + 2 == int(b) and int(c) == 17))\n");
    r = judge(&job, &keep);
    want(&r, SB_ACCEPTED);
    job.checker_language = SB_CPP;
    job.checker = AS_STR("int main(int argc, char **) { return argc == 4 ? 1 : 0; }\n");
    r = judge(&job, &keep);
    want(&r, SB_WRONG_ANSWER);
    as_arena_release(&keep);
}

static void python_has_its_modes(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR("[3, 1, 2]\n2\n"), AS_STR("[3, 2]")};
    sb_job job = {.code = AS_STR("class Solution:\n    def top(self, a, k):\n"
                                 "        print('noise')\n        return nlargest(k, a)\n"),
                  .preamble = AS_STR("from heapq import *\n"),
                  .fn_name = AS_STR("top"),
                  .rule = SB_JSON,
                  .tests = &test,
                  .n_tests = 1};
    for (int fresh = 0; fresh < 2; fresh++) {
        job.want_fresh = fresh != 0;
        const sb_result r = judge(&job, &keep);
        want(&r, SB_ACCEPTED);
    }
    const sb_test nothing = {AS_STR(""), AS_STR("7")};
    sb_job exits = {.code = AS_STR("print(7)\nexit(3)\n"), .tests = &nothing, .n_tests = 1};
    sb_result r = judge(&exits, &keep);
    want(&r, SB_RUNTIME_ERROR);
    exits.exit_code_is_fine = true;
    r = judge(&exits, &keep);
    want(&r, SB_ACCEPTED);
    const sb_job runner = {.code = AS_STR("x = 3\n"),
                           .runner = AS_STR("text = __program__.decode()\nprint(len(text) + 1)\n"),
                           .tests = &nothing,
                           .n_tests = 1};
    r = judge(&runner, &keep);
    want(&r, SB_ACCEPTED);
    as_arena_release(&keep);
}

/* What the end of an interpreter writes out is written, though the process ends sooner. */
static void files_are_flushed_at_the_end(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    static const char *const codes[] = {
        "out = open(1, 'w')\nout.write('7\\n')\n",
        "print = open(1, 'w').write\nprint('7\\n')\n",
        "import io, sys\nprint(7)\nsys.stdout = io.StringIO()\nprint(8)\n",
        "import os, sys\nsys.stdout = os.fdopen(1, 'w')\nprint(7)\n",
        "import os\nclass A:\n    def __del__(self): os.write(1, b'7\\n')\na = A()\n",
        "from threading import *\nTimer(0.1, lambda: print(7)).start()\n",
        "import atexit\natexit.register(print, 7)\n",
        "del __import__('sys').stdout\nout = open(1, 'w')\nout.write('7\\n')\n",
    };
    const sb_test test = {AS_STR(""), AS_STR("7\n")};
    for (size_t i = 0; i < 2 * sizeof codes / sizeof codes[0]; i++) {
        const sb_job job = {.code = as_str_of(codes[i / 2]),
                            .preamble = AS_STR("from math import *\n"),
                            .want_fresh = i % 2 != 0,
                            .tests = &test,
                            .n_tests = 1};
        const sb_result r = judge(&job, &keep);
        if (r.verdict != SB_ACCEPTED)
            fail_msg("%s: %s (%.*s)", codes[i / 2], sb_verdict_name(r.verdict), AS_ARG(r.detail));
    }
    as_arena_release(&keep);
}

/* One interpreter, many forks: each has its own random numbers, and processes that look untouched. */
static void forks_look_fresh(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test tests[2] = {{AS_STR(""), AS_STR("")}, {AS_STR(""), AS_STR("")}};
    const sb_job job = {.code = AS_STR("import random, os, gc, threading\n"
                                       "assert os.getppid() == 1 and os.getpid() == 2\n"
                                       "assert not [k for k in os.environ if k[:3] == 'LD_']\n"
                                       "assert gc.isenabled() and threading.active_count() == 1\n"
                                       "print(random.getrandbits(64))\n"),
                        .tests = tests,
                        .n_tests = 2,
                        .want_all_tests = true,
                        .want_output = true};
    const sb_result r = judge(&job, &keep);
    assert_int_equal(r.tests[0].exit_code, 0);
    assert_int_equal(r.tests[1].exit_code, 0);
    assert_true(r.tests[0].output.n > 1);
    assert_false(as_str_eq(r.tests[0].output, r.tests[1].output));
    as_arena_release(&keep);
}

enum { THREADS = 6, EACH = 5 };

static void *submit_some(void *user)
{
    (void)user;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR("4\n"), AS_STR("8\n")};
    const sb_job job = {.code = AS_STR("print(2 * int(input()))\n"),
                        .tests = &test,
                        .n_tests = 1,
                        .want_output = true};
    intptr_t n_right = 0;
    for (int i = 0; i < EACH; i++) {
        sb_result r;
        n_right += sb_judge(pool, &job, &r, &keep, NULL) == AS_OK && r.verdict == SB_ACCEPTED &&
                   as_str_eq(r.tests[0].output, AS_STR("8\n"));
    }
    as_arena_release(&keep);
    return (void *)n_right;
}

static void many_threads_share_it(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_some, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *n = NULL;
        (void)pthread_join(threads[i], &n);
        assert_int_equal((intptr_t)n, EACH);
    }
}

static void cpp_is_compiled_once(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR("20 22\n"), AS_STR("42\n")};
    sb_job job = {.code =
                      AS_STR("#include <cstdio>\nint main() { int a, b; if (std::scanf(\"%d %d\", "
                             "&a, &b) == 2) std::printf(\"%d\\n\", a + b); }\n"),
                  .language = SB_CPP,
                  .tests = &test,
                  .n_tests = 1,
                  .want_output = true};
    sb_result r = judge(&job, &keep);
    want(&r, SB_ACCEPTED);
    assert_true(r.compile_cpu_us > 0);
    r = judge(&job, &keep);
    want(&r, SB_ACCEPTED);
    assert_int_equal(r.compile_cpu_us, 0);
    job.code = AS_STR("int main() { return x; }\n");
    r = judge(&job, &keep);
    want(&r, SB_COMPILE_ERROR);
    assert_true(as_str_find(r.compiler_text, AS_STR("was not declared")) != SIZE_MAX);
    as_arena_release(&keep);
}

/* Ends by itself a little past the limit, by its own clock, whatever the machine does meanwhile. */
static void near_misses_run_again(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR(""), AS_STR("7\n")};
    const sb_job near = {
        .code = AS_STR("import time\nwhile time.process_time() < 0.45:\n    pass\nprint(7)\n"),
        .tests = &test,
        .n_tests = 1,
        .limits = {.cpu_ms = 400, .wall_ms = 60000},
        .want_output = true};
    sb_result r = judge(&near, &keep);
    want(&r, SB_TIME_LIMIT);
    assert_int_equal(r.tests[0].n_runs, 3);
    for (int i = 0; i < 3; i++)
        assert_true(r.tests[0].run_cpu_us[i] >= 450000 && r.tests[0].run_cpu_us[i] < 510000);
    const sb_job never = {.code = AS_STR("while True:\n    pass\n"),
                          .tests = &test,
                          .n_tests = 1,
                          .limits = {.cpu_ms = 400, .wall_ms = 60000},
                          .want_output = true};
    r = judge(&never, &keep);
    want(&r, SB_TIME_LIMIT);
    assert_int_equal(r.tests[0].n_runs, 1);
    double factor = 0;
    assert_int_equal(sb_calibrate(pool, &factor, NULL), AS_OK);
    assert_true(factor >= 1 && factor < 100);
    as_arena_release(&keep);
}

/* Half of its CPU limit, in the only slot of a pool, beside loops on every processor: more wall time
 * than the limit, most of it spent in the queue. What sleeps as long is ended all the same. */
static void a_busy_machine_is_not_the_programs_fault(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    sb_pool *one = NULL;
    as_err err = {0};
    assert_int_equal(
        sb_pool_open(&one, &(sb_pool_options){.n_slots = 1, .helper = SB_HELPER}, &err), AS_OK);
    const sb_test test = {AS_STR(""), AS_STR("7\n")};
    sb_job job = {.code =
                      AS_STR("import time\nwhile time.process_time() < 1:\n    pass\nprint(7)\n"),
                  .tests = &test,
                  .n_tests = 1,
                  .limits = {.cpu_ms = 2000, .wall_ms = 1600}};
    sb_result r[3];
    busy_begin();
    const as_code works = sb_judge(one, &job, &r[0], &keep, &err);
    job.code = AS_STR("import threading, time\ndef f():\n    while time.process_time() < 1: pass\n"
                      "    print(7)\nt = threading.Thread(target=f)\nt.start()\nt.join()\n");
    const as_code joins = sb_judge(one, &job, &r[1], &keep, &err);
    job.code = AS_STR("import time\ntime.sleep(20)\nprint(7)\n");
    const as_code sleeps = sb_judge(one, &job, &r[2], &keep, &err);
    busy_end();
    sb_pool_close(one);
    assert_int_equal(works, AS_OK);
    want(&r[0], SB_ACCEPTED);
    assert_true(r[0].tests[0].wall_us > 1600000);
    assert_int_equal(joins, AS_OK);
    want(&r[1], SB_ACCEPTED);
    assert_int_equal(sleeps, AS_OK);
    want(&r[2], SB_TIME_LIMIT);
    assert_true(as_str_eq_z(r[2].detail, "wall") && r[2].tests[0].wall_us < 16 * 1000000);
    as_arena_release(&keep);
}

/* Helpers die in the middle of a test: that is ours, so the test runs again and is judged. */
static void dead_helpers_are_replaced(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR(""), AS_STR("7\n")};
    const sb_job job = {.code = AS_STR("import time\ntime.sleep(1)\nprint(7)\n"),
                        .tests = &test,
                        .n_tests = 1,
                        .want_output = true};
    sb_ticket *t = NULL;
    sb_result r;
    assert_int_equal(sb_submit(pool, &job, &t, NULL), AS_OK);
    (void)usleep(300000);
    char command[64];
    (void)snprintf(command, sizeof command, "pkill -9 -x assay-box -P %ld", (long)getpid());
    assert_int_equal(system(command), 0);
    assert_int_equal(sb_wait(t, &r, &keep, NULL), AS_OK);
    want(&r, SB_ACCEPTED);
    as_arena_release(&keep);
}

/* Four files of 400 bytes in a folder that may hold 1000: the two oldest go. */
static void caches_are_bounded(void **state)
{
    (void)state;
    char folder[] = "/tmp/assay-bound.XXXXXX", path[96];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%d", folder, i);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fprintf(f, "%400d", i) == 400);
        assert_int_equal(fclose(f), 0);
        const struct timespec at[2] = {{.tv_sec = 1000 + (i ^ 1)}, {.tv_sec = 1000 + (i ^ 1)}};
        assert_int_equal(utimensat(AT_FDCWD, path, at, 0), 0);
    }
    sb_pool *other = NULL;
    const sb_pool_options o = {
        .n_slots = 1, .helper = SB_HELPER, .compile_dir = folder, .cache_bytes = 1000};
    assert_int_equal(sb_pool_open(&other, &o, NULL), AS_OK);
    sb_pool_close(other);
    for (int i = 0; i < 4; i++) { /* ages: 1, 0, 3, 2 */
        (void)snprintf(path, sizeof path, "%s/%d", folder, i);
        assert_int_equal(unlink(path) == 0, i >= 2);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* Last: nothing runs in the pool afterwards. */
static void cancelling_ends_what_runs(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR(""), AS_STR("7\n")};
    const sb_job job = {.code = AS_STR("import time\ntime.sleep(50)\n"),
                        .tests = &test,
                        .n_tests = 1,
                        .limits = {.cpu_ms = 1000, .wall_ms = 60000}};
    sb_ticket *t[6];
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        assert_int_equal(sb_submit(pool, &job, &t[i], NULL), AS_OK);
    (void)usleep(200000);
    sb_cancel(pool);
    sb_result r;
    for (size_t i = 0; i < sizeof t / sizeof t[0]; i++)
        assert_int_equal(sb_wait(t[i], &r, &keep, NULL), AS_CANCELLED);
    as_arena_release(&keep);
}

static void jobs_that_cannot_be_are_refused(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const sb_test test = {AS_STR(""), AS_STR("")};
    const sb_job bad[] = {
        {.code = AS_STR("x"), .n_tests = 0},
        {.code = AS_STR("x"), .tests = &test, .n_tests = 1, .fn_name = AS_STR("a b")},
        {.code = AS_STR("x"),
         .tests = &test,
         .n_tests = 1,
         .fn_name = AS_STR("f"),
         .language = SB_CPP},
        {.code = AS_STR("x"), .tests = &test, .n_tests = 1, .limits = {.cpu_ms = -5}},
    };
    sb_result r;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sb_judge(pool, &bad[i], &r, &keep, NULL), AS_RANGE);
    as_arena_release(&keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_at_the_first_failure),
        cmocka_unit_test(rules_decide),
        cmocka_unit_test(python_has_its_modes),
        cmocka_unit_test(files_are_flushed_at_the_end),
        cmocka_unit_test(forks_look_fresh),
        cmocka_unit_test(many_threads_share_it),
        cmocka_unit_test(cpp_is_compiled_once),
        cmocka_unit_test(jobs_that_cannot_be_are_refused),
        cmocka_unit_test(near_misses_run_again),
        cmocka_unit_test(a_busy_machine_is_not_the_programs_fault),
        cmocka_unit_test(dead_helpers_are_replaced),
        cmocka_unit_test(caches_are_bounded),
        cmocka_unit_test(cancelling_ends_what_runs),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
