/* cmd_grade.c — assay grade livecodebench: judge cases given in a file, without a run. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/jsonl.h"
#include "base/jspan.h"
#include "base/pool.h"
#include "cli/cli.h"
#include "scorers/code/cell.h"
#include "scorers/code/extract.h"
#include "scorers/code/session.h"
#include "scorers/think.h"

enum { MAX_CASES_LINE = 512 << 20, MAX_THREADS = SB_MAX_SLOTS + 2, WAIT_MS = 100 };

typedef struct grade {
    pthread_mutex_t lock; /* guards session */
    void *session;        /* opened for the first program */
    bool is_script;
    sc_options options;
} grade;

/* A case on its way through the pool; what it prints comes out in the order of the file. */
typedef struct graded_case {
    as_job job; /* first: the pool's */
    grade *g;
    as_buf line, out;
    as_arena scratch;
    as_code code;
    as_err err;
    bool is_done;
} graded_case;

/* A case's members as they stand in the line; unset where absent or null. */
typedef struct fields {
    as_str name, code, inputs, outputs, fn_name, timeout, text, encoded;
} fields;

static as_code read_fields(fields *f, as_str line, as_err *err)
{
    const struct {
        const char *name;
        as_str *to;
    } rows[] = {
        {"name", &f->name},       {"code", &f->code},       {"inputs", &f->inputs},
        {"outputs", &f->outputs}, {"fn_name", &f->fn_name}, {"timeout", &f->timeout},
        {"text", &f->text},       {"encoded", &f->encoded},
    };
    as_jspan row;
    as_str name, value;
    *f = (fields){0};
    AS_TRY(as_jspan_begin(&row, line, err));
    if (!row.is_object)
        return as_fail(err, AS_PARSE, "want an object");
    for (bool is_end = false; !is_end;) {
        AS_TRY(as_jspan_next(&row, &name, &value, &is_end, err));
        for (size_t i = 0; !is_end && i < sizeof rows / sizeof rows[0]; i++)
            if (as_str_eq_z(name, rows[i].name) && !as_str_eq_z(value, "null"))
                *rows[i].to = value;
    }
    return AS_OK;
}

static as_code text_of(as_str *out, as_str value, const char *what, as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, value.n + 64);
    as_code c = as_jspan_text(&b, value, err);
    if (c == AS_OK) {
        *out = as_arena_str(keep, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    } else {
        c = as_wrap(err, "\"%s\"", what);
    }
    as_buf_release(&b);
    return c;
}

/* The texts of a list, as JSON texts; tests NULL: they are only counted. */
static as_code read_list(sc_lcb_test *tests, bool is_input, size_t *n, as_str list, as_err *err)
{
    as_jspan all;
    as_str name, value;
    AS_TRY(as_jspan_begin(&all, list, err));
    for (*n = 0;; (*n)++) {
        bool is_end = false;
        AS_TRY(as_jspan_next(&all, &name, &value, &is_end, err));
        if (is_end)
            return AS_OK;
        if (!as_jspan_is_text(value) || all.is_object)
            return as_fail(err, AS_PARSE, "want lists of texts as \"inputs\" and \"outputs\"");
        if (tests != NULL && is_input)
            tests[*n].input = value;
        else if (tests != NULL)
            tests[*n].output = value;
    }
}

static as_code read_case(sc_lcb_job *job, const fields *f, as_arena *keep, as_err *err)
{
    int64_t timeout = SC_LCB_TIMEOUT_S;
    size_t n_outputs = 0;
    AS_TRY(text_of(&job->code, f->code, "code", keep, err));
    if (f->fn_name.n != 0)
        AS_TRY(text_of(&job->fn, f->fn_name, "fn_name", keep, err));
    if (f->timeout.n != 0 && !as_parse_i64(f->timeout, 1, 600, &timeout))
        return as_fail(err, AS_RANGE, "\"timeout\": want whole seconds from 1 to 600");
    job->timeout_s = (int)timeout;
    AS_TRY(read_list(NULL, true, &job->n, f->inputs, err));
    AS_TRY(read_list(NULL, false, &n_outputs, f->outputs, err));
    if (job->n != n_outputs)
        return as_fail(err, AS_RANGE, "%zu inputs, but %zu outputs", job->n, n_outputs);
    sc_lcb_test *tests = as_new(keep, sc_lcb_test, job->n);
    if (tests == NULL)
        return as_nomem(err);
    job->tests = tests;
    AS_TRY(read_list(tests, true, &job->n, f->inputs, err));
    return read_list(tests, false, &job->n, f->outputs, err);
}

static as_code open_session(grade *g, void **session, as_err *err)
{
    as_code c = AS_OK;
    (void)pthread_mutex_lock(&g->lock);
    if (g->session == NULL)
        c = sc_code_open(&g->session, &g->options, err);
    *session = g->session;
    (void)pthread_mutex_unlock(&g->lock);
    return c;
}

static as_code grade_program(grade *g, const fields *f, as_jw *w, as_arena *scratch, as_err *err)
{
    sc_lcb_job job = {.is_script = g->is_script};
    sc_lcb_result r;
    void *session = NULL;
    AS_TRY(read_case(&job, f, scratch, err));
    AS_TRY(open_session(g, &session, err));
    AS_TRY(sc_lcb_judge(sc_code_pool(session), &job, &r, scratch, err));
    as_jw_key(w, "passed");
    if (r.is_graded)
        as_jw_bool(w, r.passed);
    else
        as_jw_null(w);
    sc_code_put_results(w, &r);
    as_jw_put_z(w, "verdict", sb_verdict_name(r.verdict));
    as_jw_put_str(w, "detail", r.note);
    as_jw_put_z(w, "mode", g->is_script ? "script" : "official");
    as_jw_put_f64(w, "cpu_ms", (double)sc_lcb_cpu_us(&r) / 1000);
    return AS_OK;
}

static as_code grade_extraction(as_str answer, as_jw *w, as_arena *scratch, as_err *err)
{
    as_str text, code;
    AS_TRY(sc_without_thinking(&text, answer, scratch, err));
    as_jw_put_bool(w, "found", sc_code_last(&code, text));
    as_jw_put_str(w, "code", code);
    return AS_OK;
}

static as_code grade_cell(as_str cell, as_jw *w, as_err *err)
{
    char hex[AS_SHA256_HEX];
    as_buf json;
    as_json *tree = NULL;
    as_buf_init(&json, SC_MAX_CELL_JSON);
    as_code c = sc_cell_decode(&json, cell, err);
    if (c == AS_OK)
        c = as_json_parse(&tree, as_buf_str(&json), err);
    if (c == AS_OK) {
        const as_sha256 sum = as_sha256_of(as_buf_str(&json));
        as_sha256_hex(hex, &sum);
        as_jw_put_z(w, "json_sha256", hex);
        as_jw_put_i64(w, "json_bytes", (int64_t)json.n);
        as_jw_put_i64(w, "n_tests", (int64_t)as_json_count(tree));
    }
    as_json_free(tree);
    as_buf_release(&json);
    return c;
}

/* What a case is, its fields tell: "inputs" a program, "text" an answer, "encoded" a cell. */
static as_code grade_fields(grade *g, const fields *f, as_jw *w, as_arena *scratch, as_err *err)
{
    as_str text = {0};
    if (f->inputs.n != 0)
        return grade_program(g, f, w, scratch, err);
    if (f->encoded.n != 0) {
        AS_TRY(text_of(&text, f->encoded, "encoded", scratch, err));
        return grade_cell(text, w, err);
    }
    if (f->text.n == 0)
        return as_fail(err, AS_PARSE, "want \"inputs\", \"text\" or \"encoded\"");
    AS_TRY(text_of(&text, f->text, "text", scratch, err));
    return grade_extraction(text, w, scratch, err);
}

/* A case that cannot be read keeps its line: {"error": why}. On a thread of the pool. */
static void grade_case(as_job *job)
{
    graded_case *k = (graded_case *)job;
    as_jw w;
    fields f;
    as_jw_init(&w, &k->out);
    as_jw_begin_object(&w);
    as_code c = read_fields(&f, as_buf_str(&k->line), &k->err);
    if (f.name.n != 0) {
        as_jw_key(&w, "name");
        as_jw_raw(&w, f.name);
    }
    if (c == AS_OK)
        c = grade_fields(k->g, &f, &w, &k->scratch, &k->err);
    if (c == AS_PARSE || c == AS_RANGE) {
        as_jw_put_z(&w, "error", k->err.text);
        c = AS_OK;
    }
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&k->out, '\n');
    k->code = c == AS_OK ? as_buf_ok(&k->out, &k->err) : c;
}

static void cancel(grade *g)
{
    (void)pthread_mutex_lock(&g->lock);
    if (g->session != NULL)
        sc_code_cancel(g->session);
    (void)pthread_mutex_unlock(&g->lock);
}

/* Cases that are out, oldest first. */
typedef struct case_ring {
    grade *g;
    as_pool *pool;
    graded_case *of; /* [cap] */
    size_t cap, head, held;
    const volatile sig_atomic_t *cancel;
} case_ring;

static as_code print_oldest(case_ring *r, as_err *err)
{
    graded_case *k = &r->of[r->head];
    while (!k->is_done) {
        if (*r->cancel != 0)
            cancel(r->g);
        as_job *job = as_pool_take(r->pool, WAIT_MS);
        if (job != NULL)
            ((graded_case *)job)->is_done = true;
    }
    r->head = (r->head + 1) % r->cap;
    r->held--;
    if (k->code == AS_CANCELLED)
        return as_fail(err, AS_CANCELLED, "interrupted");
    if (k->code != AS_OK) {
        *err = k->err;
        return k->code;
    }
    return cli_print(as_buf_str(&k->out), err);
}

static as_code put_case(case_ring *r, as_str line, as_err *err)
{
    if (*r->cancel != 0)
        return as_fail(err, AS_CANCELLED, "interrupted");
    if (r->held == r->cap)
        AS_TRY(print_oldest(r, err));
    graded_case *k = &r->of[(r->head + r->held) % r->cap];
    as_arena_rewind(&k->scratch, 0);
    as_buf_reset(&k->line);
    as_buf_reset(&k->out);
    k->err = (as_err){0};
    k->is_done = false;
    AS_TRY(as_buf_add(&k->line, line) == AS_OK ? AS_OK : as_buf_ok(&k->line, err));
    as_pool_put(r->pool, &k->job);
    r->held++;
    return AS_OK;
}

static as_code grade_lines(case_ring *r, const char *path, as_err *err)
{
    as_jsonl *in = NULL;
    as_str line;
    AS_TRY(as_jsonl_open(&in, path, MAX_CASES_LINE, err));
    as_code c = AS_OK;
    for (bool is_end = false; c == AS_OK;) {
        c = as_jsonl_next_text(in, &line, &is_end, err);
        if (c != AS_OK || is_end)
            break;
        c = put_case(r, line, err);
    }
    as_jsonl_close(in);
    while (c == AS_OK && r->held != 0)
        c = print_oldest(r, err);
    return c;
}

static as_code grade_file(grade *g, const char *path, cli_env *env, as_err *err)
{
    const long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    const int n = g->options.n_slots != 0 ? g->options.n_slots : n_cpus > 0 ? (int)n_cpus : 1;
    const int n_threads = n + 2 < MAX_THREADS ? n + 2 : MAX_THREADS;
    case_ring r = {.g = g, .cap = (size_t)n_threads * 2, .cancel = env->cancel};
    r.of = calloc(r.cap, sizeof *r.of);
    if (r.of == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < r.cap; i++) {
        r.of[i].g = g;
        r.of[i].job.work = grade_case;
        as_buf_init(&r.of[i].line, MAX_CASES_LINE);
        as_buf_init(&r.of[i].out, 256 << 20);
        as_arena_init(&r.of[i].scratch, (size_t)8 << 30);
    }
    as_code c = as_pool_open(&r.pool, n_threads, err);
    if (c == AS_OK)
        c = grade_lines(&r, path, err);
    if (c != AS_OK)
        cancel(g);
    as_pool_close(r.pool); /* before what its threads read */
    for (size_t i = 0; i < r.cap; i++) {
        as_buf_release(&r.of[i].line);
        as_buf_release(&r.of[i].out);
        as_arena_release(&r.of[i].scratch);
    }
    free(r.of);
    return c;
}

int cmd_grade(cli_env *env, int argc, char **argv)
{
    const char *cases = NULL;
    const char *mode = "official";
    int64_t max_sandboxes = 0;
    bool is_unsafe = false;
    cli_flag flags[] = {
        cli_text("cases", &cases, "FILE", "JSON Lines, one case each"),
        cli_text("mode", &mode, "official|script",
                 "how programs run: as LiveCodeBench's checker runs them, or as scripts"),
        CLI_SANDBOX_FLAGS(&max_sandboxes, &is_unsafe),
    };
    cli_args a = {
        .usage = "assay grade livecodebench --cases FILE.jsonl",
        .about =
            "Judges each case in the sandbox: {\"name\", \"code\", \"inputs\", \"outputs\", "
            "\"fn_name\",\n"
            "\"timeout\"} gives {\"name\", \"passed\", \"results\"}. {\"text\"} gives the code "
            "that is\n"
            "found in an answer, {\"encoded\"} the hash and length of a private_test_cases cell.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
        .min_rest = 1,
        .max_rest = 1,
    };
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    grade g = {.is_script = strcmp(mode, "script") == 0,
               .options = {.cache_dir = env->cache_dir,
                           .n_slots = (int)max_sandboxes,
                           .is_unsafe = is_unsafe,
                           .log = &env->log}};
    (void)pthread_mutex_init(&g.lock, NULL);
    if (is_unsafe)
        cli_warn_unsafe();
    if (strcmp(a.rest[0], "livecodebench") != 0)
        (void)as_fail(&err, AS_RANGE, "grade %s: want livecodebench", a.rest[0]);
    else if (cases == NULL)
        (void)as_fail(&err, AS_RANGE, "usage: %s", a.usage);
    else if (!g.is_script && strcmp(mode, "official") != 0)
        (void)as_fail(&err, AS_RANGE, "--mode %s: want official or script", mode);
    else
        (void)grade_file(&g, cases, env, &err);
    sc_code_close(g.session);
    (void)pthread_mutex_destroy(&g.lock);
    return err.code == AS_OK ? CLI_OK : cli_fail(&err);
}
