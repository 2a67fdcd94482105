/*
 * bench_sandbox — what grading costs in CPU time, all processes counted, against stand-ins that run
 * in the same minute: Python started afresh with LiveCodeBench's preamble, once a sample with a loop
 * over its tests (its own way), and once a test (what equals our isolation).
 *
 *     bench_sandbox ASSAY-BOX [SAMPLES [PROBLEMS TESTS]]     prints CSV: what,n,cpu_ms_each,wall_s
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/time.h"
#include "scorers/sandbox/sandbox.h"

enum { TESTS = 15 };

static const char preamble[] =
    "from string import *\nfrom re import *\nfrom datetime import *\nfrom collections import *\n"
    "from heapq import *\nfrom bisect import *\nfrom copy import *\nfrom math import *\n"
    "from random import *\nfrom statistics import *\nfrom itertools import *\n"
    "from functools import *\nfrom operator import *\nfrom io import *\nfrom sys import *\n"
    "from json import *\nfrom builtins import *\nfrom typing import *\nimport string\nimport re\n"
    "import datetime\nimport collections\nimport heapq\nimport bisect\nimport copy\nimport math\n"
    "import random\nimport statistics\nimport itertools\nimport functools\nimport operator\n"
    "import io\nimport sys\nimport json\nsys.setrecursionlimit(50000)\n";

/* The loop of a harness that keeps all tests in one process: input replaced, output captured. */
#define LOOP                                                                                       \
    "code = compile('def main():\\n    n = int(input())\\n    print(n * n)\\nmain()\\n', 'p', "    \
    "'exec')\n"                                                                                    \
    "for i in range(%d):\n"                                                                        \
    "    sys.stdin = io.StringIO('%%d\\n' %% i)\n"                                                 \
    "    keep, sys.stdout = sys.stdout, io.StringIO()\n"                                           \
    "    exec(code, {'__name__': '__main__'})\n"                                                   \
    "    text, sys.stdout = sys.stdout.getvalue(), keep\n"                                         \
    "    assert text == '%%d\\n' %% (i * i)\n"

static double cpu_ms(void)
{
    double total = 0;
    const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (int i = 0; i < 2; i++) {
        struct rusage u;
        (void)getrusage(who[i], &u);
        total += (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
                 (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
    }
    return total;
}

static void stand_in(const char *name, int n, int tests)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "%s" LOOP, preamble, tests);
    const char *const argv[] = {"/usr/bin/python3", "-s", "-B", "-c", text, NULL};
    const double before = cpu_ms();
    const int64_t began = as_now_ns();
    for (int i = 0; i < n; i++) {
        as_proc_result r;
        if (as_proc_run(argv, "/", 60000, NULL, NULL, &r, NULL) != AS_OK || r.exit_code != 0) {
            (void)fprintf(stderr, "bench_sandbox: the stand-in failed\n");
            exit(1);
        }
    }
    (void)printf("%s,%d,%.2f,%.2f\n", name, n, (cpu_ms() - before) / n,
                 (double)(as_now_ns() - began) / 1e9);
}

/* The pool is closed before the clock is read: only then are all its processes accounted. */
static void ours(const char *name, const char *helper, int n, int n_tests, as_arena *keep)
{
    const double before = cpu_ms();
    const int64_t began = as_now_ns();
    sb_pool *pool = NULL;
    as_err err = {0};
    if (sb_pool_open(&pool, &(sb_pool_options){.helper = helper}, &err) != AS_OK) {
        (void)fprintf(stderr, "bench_sandbox: %s\n", err.text);
        exit(1);
    }
    sb_test *tests = as_new(keep, sb_test, n_tests);
    for (int i = 0; i < n_tests; i++)
        tests[i] =
            (sb_test){as_arena_printf(keep, "%d\n", i), as_arena_printf(keep, "%d\n", i * i)};
    sb_ticket **tickets = as_new(keep, sb_ticket *, n);
    int n_right = 0, submitted = 0, done = 0;
    while (done < n) {
        if (submitted < n && submitted - done < 32) {
            const as_str code = as_arena_printf(
                keep, "def main():\n    n = int(input())\n    print(n * n)\nmain() # %d\n",
                submitted);
            const sb_job job = {.code = code,
                                .preamble = as_str_of(preamble),
                                .tests = tests,
                                .n_tests = (size_t)n_tests,
                                .limits = sb_livecodebench};
            if (sb_submit(pool, &job, &tickets[submitted++], &err) != AS_OK)
                exit(1);
            continue;
        }
        sb_result r;
        n_right += sb_wait(tickets[done++], &r, keep, &err) == AS_OK && r.verdict == SB_ACCEPTED;
    }
    sb_pool_close(pool);
    if (n_right != n)
        (void)fprintf(stderr, "bench_sandbox: %d of %d accepted\n", n_right, n);
    (void)printf("%s,%d,%.2f,%.2f\n", name, n, (cpu_ms() - before) / n,
                 (double)(as_now_ns() - began) / 1e9);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_sandbox ASSAY-BOX [SAMPLES [PROBLEMS TESTS]]\n");
        return 2;
    }
    const int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 40;
    as_arena keep;
    as_arena_init(&keep, 0);
    (void)printf("what,n,cpu_ms_each,wall_s\n");
    stand_in("stand-in: a fresh Python a sample and a loop over 15 tests", n, TESTS);
    stand_in("stand-in: a fresh Python a test", n, 1);
    ours("sandbox: a sample of 15 tests", argv[1], n, TESTS, &keep);
    ours("sandbox: a sample of 1 test", argv[1], n, 1, &keep);
    if (argc > 4)
        ours("sandbox: problems", argv[1], (int)strtol(argv[3], NULL, 10),
             (int)strtol(argv[4], NULL, 10), &keep);
    as_arena_release(&keep);
    return 0;
}
