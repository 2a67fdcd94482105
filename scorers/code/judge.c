#include "scorers/code/judge.h"

#include "base/json.h"
#include "base/jspan.h"
#include "scorers/code/pyvalue.h"
#include "scorers/sandbox/compare.h"

extern const char sc_official_py[], sc_official_py_end[];
__asm__(".section .rodata\n.global sc_official_py\n.global sc_official_py_end\n"
        "sc_official_py:\n.incbin \"" SC_OFFICIAL_PY
        "\"\nsc_official_py_end:\n.byte 0\n.previous\n");

static const int64_t max_limit_ms = INT64_C(3600) * 1000;

/* ---- one order to the box ------------------------------------------------------------------ */

/* The tests [from, to) as the official program reads them; as many as fit, at least one. */
static as_code write_order(as_buf *b, const sc_lcb_job *job, size_t from, size_t *to, as_err *err)
{
    as_jw w;
    as_jw_init(&w, b);
    as_jw_begin_object(&w);
    as_jw_key(&w, "code");
    as_jw_str(&w, job->code);
    as_jw_key(&w, "fn");
    if (job->fn.n != 0)
        as_jw_str(&w, job->fn);
    else
        as_jw_null(&w);
    as_jw_key(&w, "timeout");
    as_jw_i64(&w, job->timeout_s);
    as_jw_key(&w, "inputs");
    as_jw_begin_array(&w);
    size_t i = from;
    for (; i < job->n && (i == from || b->n + job->tests[i].input.n < SC_MAX_BATCH); i++)
        as_jw_raw(&w, job->tests[i].input);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
    *to = i;
    if (b->is_full)
        return as_fail(err, AS_RANGE, "test %zu: its input is longer than the %d bytes a box takes",
                       from + 1, SB_MAX_INPUT);
    return AS_OK;
}

/* ---- what came out ------------------------------------------------------------------------- */

typedef struct record {
    as_str kind, text;
} record;

/* False: no whole record is left. */
static bool next_record(as_str *rest, record *out)
{
    as_str head, tail, kind, length;
    uint64_t n = 0;
    if (!as_str_cut(*rest, '\n', &head, &tail) || !as_str_cut(head, ' ', &kind, &length) ||
        !as_parse_u64(length, &n) || n > tail.n)
        return false;
    *out = (record){kind, as_str_sub(tail, 0, (size_t)n)};
    *rest = as_str_sub(tail, (size_t)n, tail.n);
    return true;
}

static void add_code(sc_lcb_result *out, int code)
{
    out->codes[out->n_codes++] = code;
}

static as_code keep_note(sc_lcb_result *out, as_str note, as_arena *arena, as_err *err)
{
    out->note = as_arena_str(arena, note);
    return as_str_is_set(out->note) ? AS_OK : as_nomem(err);
}

static as_code compare_output(sc_lcb_result *out, as_str printed, const sc_lcb_test *test,
                              as_arena *arena, as_err *err)
{
    as_buf expected;
    as_buf_init(&expected, test->output.n + 64);
    as_code c = as_jspan_text(&expected, test->output, err);
    if (c == AS_OK && sb_same(SB_LINES, 0, printed, as_buf_str(&expected))) {
        add_code(out, 1);
    } else if (c == AS_OK) {
        as_buf note;
        as_buf_init(&note, 4096);
        add_code(out, -2);
        out->verdict = SB_WRONG_ANSWER;
        sb_first_difference(&note, printed, as_buf_str(&expected));
        c = keep_note(out, as_buf_str(&note), arena, err);
        as_buf_release(&note);
    }
    as_buf_release(&expected);
    return c;
}

static as_code compare_value(sc_lcb_result *out, as_str value, const sc_lcb_test *test,
                             as_arena *arena, as_err *err)
{
    as_buf expected;
    as_arena scratch;
    as_err why = {0};
    bool is_same = false;
    as_arena_init(&scratch, (size_t)4 << 30);
    as_buf_init(&expected, test->output.n + 64);
    as_code c = as_jspan_text(&expected, test->output, err);
    if (c == AS_OK) {
        /* A value that cannot be read was forged, and is wrong. */
        const as_code e = sc_py_equal(&is_same, value, as_buf_str(&expected), &scratch, &why);
        if (e == AS_NOMEM) {
            c = as_nomem(err);
        } else if (e == AS_RANGE) { /* upstream reads all of them first, and gives up */
            out->n_codes = 0;
            add_code(out, -4);
            out->verdict = SB_RUNTIME_ERROR;
            c = keep_note(out, as_str_of(why.text), arena, err);
        } else if (is_same)
            add_code(out, 1);
        else {
            add_code(out, 0);
            out->verdict = SB_WRONG_ANSWER;
            const as_str note = as_arena_printf(&scratch, "returned %.*s, expected %.*s%s%s",
                                                AS_ARG(as_str_sub(value, 0, 200)),
                                                AS_ARG(as_str_sub(as_buf_str(&expected), 0, 200)),
                                                e != AS_OK ? "; " : "", e != AS_OK ? why.text : "");
            c = keep_note(out, note, arena, err);
        }
    }
    as_buf_release(&expected);
    as_arena_release(&scratch);
    return c;
}

/* The record of test i, or of none (*is_one false) if i is job->n or the record makes no sense. */
static as_code compare_record(sc_lcb_result *out, const sc_lcb_job *job, size_t i,
                              const record *rec, bool *is_one, as_arena *arena, as_err *err)
{
    *is_one = true;
    if (as_str_eq_z(rec->kind, "-3") || as_str_eq_z(rec->kind, "-4")) {
        const bool is_time = rec->kind.p[1] == '3';
        add_code(out, is_time ? -3 : -4);
        out->verdict = is_time ? SB_TIME_LIMIT : SB_RUNTIME_ERROR;
        return keep_note(out, rec->text, arena, err);
    }
    if (i < job->n && job->fn.n == 0 && as_str_eq_z(rec->kind, "out"))
        return compare_output(out, rec->text, &job->tests[i], arena, err);
    if (i < job->n && job->fn.n != 0 && as_str_eq_z(rec->kind, "value"))
        return compare_value(out, rec->text, &job->tests[i], arena, err);
    *is_one = false;
    return AS_OK;
}

/* Reads the records of tests [from, to); *is_over: the first failure is in the list. */
static as_code read_records(sc_lcb_result *out, const sc_lcb_job *job, const sb_result *r,
                            size_t from, size_t to, bool *is_over, as_arena *arena, as_err *err)
{
    as_str rest = r->n_run != 0 ? r->tests[0].output : (as_str){0};
    record rec;
    *is_over = true;
    for (size_t i = from; next_record(&rest, &rec); i++) {
        if (as_str_eq_z(rec.kind, "end") && i == to && r->verdict == SB_ACCEPTED) {
            *is_over = false;
            return AS_OK;
        }
        bool is_one = false;
        AS_TRY(compare_record(out, job, i == to ? job->n : i, &rec, &is_one, arena, err));
        if (!is_one)
            break;
        if (out->codes[out->n_codes - 1] != 1) {
            /* How it went on behind a wrong test is chance: it may have been ended. */
            out->execs.of[out->execs.n - 1].exit_code = -1;
            out->execs.of[out->execs.n - 1].term_signal = 0;
            return AS_OK;
        }
    }
    /* The process is gone without its last word. */
    out->n_codes = 0;
    add_code(out, -2);
    out->verdict = r->verdict != SB_ACCEPTED ? r->verdict : SB_RUNTIME_ERROR;
    as_str note = as_arena_printf(arena, "the process ended before its last test: %s %.*s",
                                  sb_verdict_name(out->verdict), AS_ARG(r->detail));
    return keep_note(out, note, arena, err);
}

/* ---- one process ---------------------------------------------------------------------------- */

static bool anything(void *user, as_str output, const sb_test *test)
{
    (void)user;
    (void)output;
    (void)test;
    return true;
}

/* Reads the records as they come; the first that is wrong ends the process. */
typedef struct preview {
    const sc_lcb_job *job;
    size_t from, to; /* the tests of this process */
    size_t i, at;    /* records before are right */
} preview;

static bool is_right_so_far(void *user, as_str output, bool is_first)
{
    preview *p = user;
    if (is_first) {
        p->i = p->from;
        p->at = 0;
    }
    as_str rest = as_str_sub(output, p->at, output.n);
    record rec;
    while (p->i < p->to && next_record(&rest, &rec)) {
        int code[1] = {0};
        sc_lcb_result scratch = {.codes = code};
        as_arena arena;
        as_arena_init(&arena, (size_t)1 << 20);
        bool is_one = false;
        const as_code c = compare_record(&scratch, p->job, p->i, &rec, &is_one, &arena, NULL);
        as_arena_release(&arena);
        if (c != AS_OK)
            return true; /* read_records will have it too, and tell */
        if (!is_one || code[0] != 1)
            return false;
        p->at = output.n - rest.n;
        p->i++;
    }
    return true;
}

static sb_limits limits_of_order(const sc_lcb_job *job, size_t n_tests)
{
    int64_t ms = ((int64_t)(job->timeout_s + 1) * (int64_t)n_tests + 5) * 1000;
    ms = ms < max_limit_ms ? ms : max_limit_ms;
    return (sb_limits){.cpu_ms = ms,
                       .wall_ms = ms,
                       .memory_mb = sb_livecodebench.memory_mb,
                       .stack_mb = sb_livecodebench.stack_mb,
                       .tmp_mb = sb_livecodebench.tmp_mb,
                       .output_kb = SB_MAX_INPUT >> 10,
                       .tasks = sb_livecodebench.tasks};
}

static as_code run_order(sb_pool *pool, preview *p, as_str order, const sb_limits *limits,
                         sb_result *out, as_arena *arena, as_err *err)
{
    const sb_test test = {.input = order};
    const sb_job sb = {
        .code = p->job->code.n != 0 ? p->job->code : AS_STR("\n"),
        .language = SB_PYTHON,
        .tests = &test,
        .n_tests = 1,
        .limits = *limits,
        .rule = SB_CALLBACK,
        .compare = anything,
        .want_more = is_right_so_far,
        .user = p,
        .preamble = {sc_official_py, (size_t)(sc_official_py_end - sc_official_py)},
        .runner = AS_STR("main()\n"),
        .want_output = true,
    };
    return sb_judge(pool, &sb, out, arena, err);
}

/* Tests from *at on, as many as one process takes; then *at is behind the last of them. */
static as_code judge_order(sb_pool *pool, const sc_lcb_job *job, as_buf *order, size_t *at,
                           bool *is_over, sc_lcb_result *out, as_arena *arena, as_err *err)
{
    sb_result r = {0};
    const size_t from = *at;
    size_t to = from;
    as_buf_reset(order);
    AS_TRY(write_order(order, job, from, &to, err));
    const sb_limits limits = limits_of_order(job, to - from);
    preview p = {.job = job, .from = from, .to = to};
    AS_TRY(run_order(pool, &p, as_buf_str(order), &limits, &r, arena, err));
    AS_TRY(sc_execs_add(&out->execs, &r, &r.tests[0], &limits, from, to - from, arena, err));
    *at = to;
    out->is_graded = r.verdict != SB_SANDBOX_FAILURE;
    if (!out->is_graded) {
        out->verdict = r.verdict;
        return keep_note(out, r.detail, arena, err);
    }
    const size_t n_before = out->n_codes;
    AS_TRY(read_records(out, job, &r, from, to, is_over, arena, err));
    const size_t first = n_before < out->n_codes ? n_before : 0; /* or the list was begun anew */
    as_exec *row = &out->execs.of[out->execs.n - 1];
    row->verdict = as_str_of(sb_verdict_name(*is_over ? out->verdict : SB_ACCEPTED));
    row->detail = *is_over ? as_str_sub(out->note, 0, 1000) : (as_str){0};
    return sc_execs_codes(&out->execs, out->codes + first, out->n_codes - first, arena, err);
}

static as_code judge_officially(sb_pool *pool, const sc_lcb_job *job, sc_lcb_result *out,
                                as_arena *arena, as_err *err)
{
    as_buf order;
    as_buf_init(&order, SB_MAX_INPUT);
    as_code c = AS_OK;
    bool is_over = false;
    size_t from = 0;
    do { /* once even without tests: the program may not compile */
        c = judge_order(pool, job, &order, &from, &is_over, out, arena, err);
    } while (c == AS_OK && out->is_graded && !is_over && from < job->n);
    as_buf_release(&order);
    out->passed = out->is_graded && !is_over;
    return c;
}

/* ---- script mode --------------------------------------------------------------------------- */

static int code_of(sb_verdict v, bool is_function)
{
    switch (v) {
    case SB_ACCEPTED:
        return 1;
    case SB_WRONG_ANSWER:
    case SB_OUTPUT_LIMIT:
        return is_function ? 0 : -2;
    case SB_TIME_LIMIT:
        return -3;
    case SB_MEMORY_LIMIT:
    case SB_RUNTIME_ERROR:
    case SB_COMPILE_ERROR:
    case SB_SECURITY_VIOLATION:
    case SB_SANDBOX_FAILURE:
    case SB_N_VERDICTS:
        break;
    }
    return -4;
}

static as_code text_of(as_str *out, as_str json, as_arena *arena, as_err *err)
{
    as_buf b;
    as_buf_init(&b, json.n + 64);
    as_code c = as_jspan_text(&b, json, err);
    if (c == AS_OK) {
        *out = as_arena_str(arena, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code judge_script(sb_pool *pool, const sc_lcb_job *job, sc_lcb_result *out,
                            as_arena *arena, as_err *err)
{
    sb_test *tests = as_new(arena, sb_test, job->n);
    if (tests == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < job->n; i++) {
        AS_TRY(text_of(&tests[i].input, job->tests[i].input, arena, err));
        AS_TRY(text_of(&tests[i].expected, job->tests[i].output, arena, err));
    }
    sb_limits limits = sb_livecodebench;
    limits.cpu_ms = (int64_t)job->timeout_s * 1000;
    limits.wall_ms = 3 * limits.cpu_ms + 2000;
    const sb_job sb = {
        .code = job->code.n != 0 ? job->code : AS_STR("\n"),
        .language = SB_PYTHON,
        .tests = tests,
        .n_tests = job->n,
        .limits = limits,
        .rule = job->fn.n != 0 ? SB_JSON : SB_LINES,
        .fn_name = job->fn,
        .exit_code_is_fine = true,
        .preamble = AS_STR("from typing import *\nfrom collections import *\nfrom math import *\n"
                           "from itertools import *\nfrom functools import *\nfrom heapq import *\n"
                           "from bisect import *\nimport math, collections, itertools, functools\n"
                           "import heapq, bisect, string, re, random, sys, json\n"
                           "from builtins import *\nsys.setrecursionlimit(50000)\n"),
    };
    sb_result r;
    AS_TRY(sb_judge(pool, &sb, &r, arena, err));
    out->is_graded = r.verdict != SB_SANDBOX_FAILURE;
    out->passed = r.verdict == SB_ACCEPTED;
    out->verdict = r.verdict;
    for (size_t i = 0; i < r.n_tests && r.tests[i].has_run; i++) {
        AS_TRY(sc_execs_add(&out->execs, &r, &r.tests[i], &limits, i, 1, arena, err));
        add_code(out, code_of(r.tests[i].verdict, job->fn.n != 0));
        AS_TRY(sc_execs_codes(&out->execs, &out->codes[out->n_codes - 1], 1, arena, err));
        if (r.tests[i].verdict != SB_ACCEPTED)
            break;
    }
    return keep_note(out, r.detail, arena, err);
}

int64_t sc_lcb_cpu_us(const sc_lcb_result *r)
{
    int64_t sum = 0;
    for (int i = 0; i < r->execs.n; i++)
        sum += r->execs.of[i].cpu_us > 0 ? r->execs.of[i].cpu_us : 0;
    return sum;
}

as_code sc_lcb_judge(sb_pool *pool, const sc_lcb_job *job, sc_lcb_result *out, as_arena *arena,
                     as_err *err)
{
    *out = (sc_lcb_result){.codes = as_new(arena, int, job->n + 1)};
    if (out->codes == NULL)
        return as_nomem(err);
    return job->is_script ? judge_script(pool, job, out, arena, err)
                          : judge_officially(pool, job, out, arena, err);
}
