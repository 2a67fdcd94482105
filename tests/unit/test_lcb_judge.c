/* LiveCodeBench's verdicts from the sandbox: the recorded cases, and what they leave open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jsonl.h"
#include "base/jspan.h"
#include "scorers/code/judge.h"
#include "unit/busy.h"
#include "unit/cm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static sb_pool *pool;

static int open_pool(void **state)
{
    (void)state;
    as_err err = {0};
    char helper[4096];
    const char *program = getenv("AS_PROGRAM");
    (void)snprintf(helper, sizeof helper, "%.*s/assay-box",
                   (int)(program != NULL ? strrchr(program, '/') - program : 1),
                   program != NULL ? program : ".");
    const sb_pool_options options = {.n_slots = 2, .helper = helper};
    if (sb_pool_open(&pool, &options, &err) == AS_OK)
        return 0;
    (void)fprintf(stderr, "skipped: %s\n", err.text);
    exit(77);
}

static int close_pool(void **state)
{
    (void)state;
    sb_pool_close(pool);
    return 0;
}

enum { MAX_TESTS = 8 };

/* A recorded case: its texts as they stand in the line. */
static void read_case(sc_lcb_job *job, as_json *item, sc_lcb_test *tests, as_arena *arena)
{
    const as_json *in = as_json_first(as_json_get(item, "inputs"));
    const as_json *out = as_json_first(as_json_get(item, "outputs"));
    int64_t timeout = 0;
    assert_true(as_json_str(as_json_get(item, "code"), &job->code));
    assert_true(as_json_i64(as_json_get(item, "timeout"), &timeout));
    (void)as_json_str(as_json_get(item, "fn_name"), &job->fn);
    job->timeout_s = (int)timeout;
    job->tests = tests;
    for (job->n = 0; in != NULL; in = as_json_next(in), out = as_json_next(out), job->n++) {
        assert_true(job->n < MAX_TESTS);
        as_buf b;
        as_jw w;
        as_str *const to[] = {&tests[job->n].input, &tests[job->n].output};
        const as_json *const from[] = {in, out};
        for (int k = 0; k < 2; k++) {
            as_buf_init(&b, 0);
            as_jw_init(&w, &b);
            as_jw_node(&w, from[k]);
            *to[k] = as_arena_str(arena, as_buf_str(&b));
            as_buf_release(&b);
        }
    }
}

static void check_codes(as_str name, const sc_lcb_result *r, const as_json *want)
{
    size_t n = 0;
    for (const as_json *v = as_json_first(want); v != NULL; v = as_json_next(v), n++) {
        bool is_true = false;
        int64_t code = 0;
        if (as_json_bool(v, &is_true))
            code = is_true ? 1 : 0;
        else
            assert_true(as_json_i64(v, &code));
        if (n >= r->n_codes || r->codes[n] != code)
            fail_msg("%.*s: code %zu is %d, upstream has %d (%.*s)", AS_ARG(name), n,
                     n < r->n_codes ? r->codes[n] : 99, (int)code, AS_ARG(r->note));
    }
    if (n != r->n_codes)
        fail_msg("%.*s: %zu codes, upstream has %zu", AS_ARG(name), r->n_codes, n);
}

static void agrees_with_recorded(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    const char *fixtures = getenv("AS_FIXTURES");
    const as_str path = as_arena_printf(&arena, "%s/programs/lcb_judge_cases.jsonl",
                                        fixtures != NULL ? fixtures : "");
    as_jsonl *in = NULL;
    size_t n = 0;
    assert_int_equal(as_jsonl_open(&in, path.p, 0, NULL), AS_OK);
    for (as_json *item = NULL;; as_json_free(item), n++) {
        assert_int_equal(as_jsonl_next(in, &item, NULL), AS_OK);
        if (item == NULL)
            break;
        sc_lcb_test tests[MAX_TESTS];
        sc_lcb_job job = {0};
        sc_lcb_result r;
        as_str name;
        bool passed = false;
        as_err err = {0};
        assert_true(as_json_str(as_json_get(item, "name"), &name));
        assert_true(as_json_bool(as_json_get(item, "passed"), &passed));
        read_case(&job, item, tests, &arena);
        if (sc_lcb_judge(pool, &job, &r, &arena, &err) != AS_OK)
            fail_msg("%.*s: %s", AS_ARG(name), err.text);
        assert_true(r.is_graded);
        check_codes(name, &r, as_json_get(item, "official_result"));
        assert_true(r.passed == passed);
    }
    as_jsonl_close(in);
    as_arena_release(&arena);
    assert_int_equal(n, 65);
}

/* Differences from upstream that are meant, and ends of processes; want: the codes as text. */
static const struct {
    const char *why, *code, *fn;
    sc_lcb_test tests[2];
    bool is_script;
    const char *want;
} others[] = {
    {"a class Solution in a program that reads",
     "class Solution:\n    pass\nprint(3)\n",
     "",
     {{AS_STR_INIT("\"\""), AS_STR_INIT("\"3\"")}},
     false,
     "-4"},
    {"from sys import stdin has lines without newline",
     "from sys import stdin\nprint(repr(stdin.readline()))\n",
     "",
     {{AS_STR_INIT("\"a\\nb\""), AS_STR_INIT("\"'a'\"")}},
     false,
     "1"},
    {"a program that ends its process",
     "import os\nprint(3)\nos._exit(0)\n",
     "",
     {{AS_STR_INIT("\"\""), AS_STR_INIT("\"3\"")}},
     false,
     "-2"},
    {"the first wrong answer counts, not the later end",
     "import os\nif int(input()) == 2: os._exit(0)\nprint(7)\n",
     "",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"8\"")}, {AS_STR_INIT("\"2\""), AS_STR_INIT("\"8\"")}},
     false,
     "-2"},
    {"an object that equals everything",
     "class E:\n    def __eq__(s, o): return True\ndef f(a): return E()\n",
     "f",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"1\"")}},
     false,
     "0"},
    {"digits beyond U+FFFF",
     "print('\\U0001d7d9\\U0001d7da')\n",
     "",
     {{AS_STR_INIT("\"\""), AS_STR_INIT("\"12\"")}},
     false,
     "1"},
    {"infinity as another kind of number",
     "from decimal import Decimal\ndef f(a): return Decimal('inf')\n",
     "f",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"Infinity\"")}},
     false,
     "1"},
    {"an expected value that is no JSON fails all, as upstream",
     "def f(a): return 1\n",
     "f",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"1\"")}, {AS_STR_INIT("\"1\""), AS_STR_INIT("\"x\"")}},
     false,
     "-4"},
    {"records forged on every descriptor",
     "import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'out 2\\n4\\nend 0\\n')\n"
     "    except OSError: pass\n",
     "",
     {{AS_STR_INIT("\"\""), AS_STR_INIT("\"3\"")}},
     false,
     "-2"},
    {"the expected output is nowhere in the process",
     "import gc, sys\nf = sys._getframe()\nt = ''\nwhile f:\n    t += repr(f.f_locals) + "
     "repr(f.f_globals)\n"
     "    f = f.f_back\nt += repr(gc.get_objects())\nprint('secret' + str(83 * 1000 + 17) in t)\n",
     "",
     {{AS_STR_INIT("\"\""), AS_STR_INIT("\"True\\nsecret83017\"")}},
     false,
     "-2"},
    {"a script may iterate over its input",
     "import sys\nprint(sum(map(int, sys.stdin)))\n",
     "",
     {{AS_STR_INIT("\"1\\n2\\n\""), AS_STR_INIT("\"3\"")}},
     true,
     "1"},
    {"upstream's stand-in may not",
     "import sys\nprint(sum(map(int, sys.stdin)))\n",
     "",
     {{AS_STR_INIT("\"1\\n2\\n\""), AS_STR_INIT("\"3\"")}},
     false,
     "-4"},
    {"a script fails by its second test",
     "n = int(input())\nprint(1 // (2 - n))\n",
     "",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"1\"")}, {AS_STR_INIT("\"2\""), AS_STR_INIT("\"1\"")}},
     true,
     "1 -4"},
    {"the module is as if the preamble had just run in it",
     "'''no docstring'''\nimport sys\ndef f(a):\n"
     "    stars = 'string re datetime collections heapq bisect copy math random statistics "
     "itertools "
     "functools operator io sys json builtins typing'.split()\n"
     "    text = ''.join('from %s import *\\n' % s for s in stars)\n"
     "    text += ''.join('import %s\\n' % s for s in stars[:16])\n"
     "    names = {}\n    exec(text, names)\n    mine = globals()\n"
     "    wrong = [k for k in names if k[:2] != '__' and mine.get(k, f) is not names[k]]\n"
     "    return [wrong, sys.getrecursionlimit(), mine['__doc__'], f.__code__.co_firstlineno, "
     "mine['quit'], len(names) > 300]\n",
     "f",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"[[], 50000, \\\"\\\", 40, null, true]\"")}},
     false,
     "1"},
    {"the preamble stands before a future import, which is an error",
     "from __future__ import annotations\ndef f(a): return a\n",
     "f",
     {{AS_STR_INIT("\"1\""), AS_STR_INIT("\"1\"")}},
     false,
     "-4"},
    {"nothing of the rehearsal is left",
     "import gc, sys\nprint([k for k in ('total', 'x', 'b') if k in globals()], "
     "sys.stdin.read())\n",
     "",
     {{AS_STR_INIT("\"in\""), AS_STR_INIT("\"[] in\"")}},
     false,
     "1"},
    {"a last guard in other letters is a guard",
     "if _\uff3fname__ == '__main__':\n    print(5)\n",
     "",
     {{AS_STR_INIT("\"\""), AS_STR_INIT("\"5\"")}},
     false,
     "1"},
    {"a function as a script",
     "class Solution:\n    def f(self, a: List[int]): return a[0]\n",
     "f",
     {{AS_STR_INIT("\"[5, 6]\""), AS_STR_INIT("\"5\"")}},
     true,
     "1"},
};

static void judges_others(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    for (size_t i = 0; i < COUNT(others); i++) {
        const sc_lcb_job job = {.code = as_str_of(others[i].code),
                                .fn = as_str_of(others[i].fn),
                                .timeout_s = 2,
                                .tests = others[i].tests,
                                .n = others[i].tests[1].input.p != NULL ? 2 : 1,
                                .is_script = others[i].is_script};
        sc_lcb_result r;
        as_err err = {0};
        char got[64] = "";
        if (sc_lcb_judge(pool, &job, &r, &arena, &err) != AS_OK)
            fail_msg("%s: %s", others[i].why, err.text);
        for (size_t k = 0, at = 0; k < r.n_codes && at < sizeof got; k++)
            at +=
                (size_t)snprintf(got + at, sizeof got - at, "%s%d", k != 0 ? " " : "", r.codes[k]);
        if (!r.is_graded || strcmp(got, others[i].want) != 0)
            fail_msg("%s: codes %s, want %s (%.*s)", others[i].why, got, others[i].want,
                     AS_ARG(r.note));
    }
    as_arena_release(&arena);
}

/* Upstream's alarm counts wall time; on a busy machine a program that computes has its seconds. */
static void alarms_wait_for_a_processor(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        int want;
    } rows[] = {
        {"import time\nt = time.process_time()\nwhile time.process_time() < t + 0.6: "
         "pass\nprint(7)\n",
         1},
        {"import time\ntime.sleep(30)\nprint(7)\n", -3},
        {"while True: pass\n", -3},
    };
    const sc_lcb_test test = {AS_STR_INIT("\"1\""), AS_STR_INIT("\"7\"")};
    int codes[COUNT(rows)] = {0};
    as_arena arena;
    as_arena_init(&arena, 0);
    busy_begin();
    for (size_t i = 0; i < COUNT(rows); i++) {
        const sc_lcb_job job = {
            .code = as_str_of(rows[i].code), .timeout_s = 1, .tests = &test, .n = 1};
        sc_lcb_result r;
        if (sc_lcb_judge(pool, &job, &r, &arena, NULL) == AS_OK && r.is_graded && r.n_codes == 1)
            codes[i] = r.codes[0];
    }
    busy_end();
    for (size_t i = 0; i < COUNT(rows); i++)
        if (codes[i] != rows[i].want)
            fail_msg("%s: code %d, want %d", rows[i].code, codes[i], rows[i].want);
    as_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_recorded),
        cmocka_unit_test(judges_others),
        cmocka_unit_test(alarms_wait_for_a_processor),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
