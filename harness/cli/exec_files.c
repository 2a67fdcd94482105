#include "cli/exec.h"

#include <string.h>

#include "base/io.h"
#include "base/json.h"

enum { MAX_FILE = 256 << 20, MAX_PROGRAMS = 100000 };

static as_code read_json(as_json **out, const char *path, as_err *err)
{
    as_buf b;
    as_buf_init(&b, MAX_FILE);
    as_code c = as_read_file(&b, path, err);
    if (c == AS_OK) {
        c = as_json_parse(out, as_buf_str(&b), err);
        if (c != AS_OK)
            (void)as_wrap(err, "%s", path);
    }
    as_buf_release(&b);
    return c;
}

/* ---- what a test or program says of itself -------------------------------------------------- */

static as_code read_limits(sb_limits *out, const as_json *node, as_err *err)
{
    int64_t tasks = 0;
    const struct {
        const char *key;
        int64_t *to;
    } rows[] = {{"cpu_ms", &out->cpu_ms},
                {"wall_ms", &out->wall_ms},
                {"memory_mb", &out->memory_mb},
                {"stack_mb", &out->stack_mb},
                {"tmp_mb", &out->tmp_mb},
                {"output_kb", &out->output_kb},
                {"tasks", &tasks}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (as_json_get(node, rows[i].key) != NULL)
            AS_TRY(as_json_need_i64(node, rows[i].key, 1, INT32_MAX, rows[i].to, err));
    out->tasks = (int)tasks;
    (void)as_json_bool(as_json_get(node, "fork"), &out->want_fork);
    return AS_OK;
}

static as_code copy(as_str *out, as_str s, as_arena *keep, as_err *err)
{
    *out = as_arena_str(keep, s);
    return as_str_is_set(*out) ? AS_OK : as_nomem(err);
}

/* Comparator, tolerance, limits, functional mode: the same keys in both kinds of file. */
static as_code read_rules(sb_job *job, const as_json *node, as_arena *keep, as_err *err)
{
    as_str s;
    job->rule = SB_LINES;
    const as_json *rule = as_json_get(node, "comparator");
    if (rule != NULL && (!as_json_str(rule, &s) || !sb_rule_parse(s, &job->rule) ||
                         job->rule == SB_CALLBACK || job->rule == SB_CHECKER))
        return as_fail(err, AS_RANGE, "\"comparator\": want lines, tokens, float, exact or json");
    if (as_json_get(node, "tolerance") != NULL &&
        (!as_json_f64(as_json_get(node, "tolerance"), &job->tolerance) || job->tolerance < 0))
        return as_fail(err, AS_RANGE, "\"tolerance\": want a number that is not negative");
    if (as_json_str(as_json_get(node, "fn_name"), &s) && s.n != 0) {
        AS_TRY(copy(&job->fn_name, s, keep, err));
        if (job->rule == SB_FLOAT && !(job->tolerance > 0))
            job->tolerance = 1e-6;
        job->rule = SB_JSON;
    }
    return read_limits(&job->limits, as_json_get(node, "limits"), err);
}

static bool either(const as_json *node, const char *a, const char *b, as_str *out)
{
    return as_json_str(as_json_get(node, a), out) || as_json_str(as_json_get(node, b), out);
}

static as_code read_test(sb_test *out, const as_json *node, as_arena *keep, as_err *err)
{
    as_str input = {0}, expected = {0};
    (void)either(node, "input", "stdin", &input);
    if (!either(node, "output", "expected_stdout", &expected) &&
        !as_json_str(as_json_get(node, "expected"), &expected))
        return as_fail(err, AS_RANGE, "a test without \"output\"");
    AS_TRY(copy(&out->input, input, keep, err));
    return copy(&out->expected, expected, keep, err);
}

static as_code read_all_tests(sb_job *job, const as_json *tree, as_arena *keep, as_err *err)
{
    const as_json *list = tree;
    if (as_json_type(tree) == AS_JSON_OBJECT) {
        AS_TRY(as_json_need_array(tree, "tests", &list, err));
        AS_TRY(read_rules(job, tree, keep, err));
    }
    const size_t n = as_json_count(list);
    if (as_json_type(list) != AS_JSON_ARRAY || n == 0 || n > SB_MAX_TESTS)
        return as_fail(err, AS_RANGE, "want 1 to %d tests", SB_MAX_TESTS);
    sb_test *tests = as_new(keep, sb_test, n);
    if (tests == NULL)
        return as_nomem(err);
    size_t i = 0;
    for (const as_json *x = as_json_first(list); x != NULL; x = as_json_next(x), i++)
        if (read_test(&tests[i], x, keep, err) != AS_OK)
            return as_wrap(err, "test %zu", i);
    job->tests = tests;
    job->n_tests = n;
    return AS_OK;
}

as_code exec_read_tests(sb_job *job, const char *path, as_arena *keep, as_err *err)
{
    as_json *tree = NULL;
    AS_TRY(read_json(&tree, path, err));
    as_code c = read_all_tests(job, tree, keep, err);
    if (c != AS_OK)
        (void)as_wrap(err, "%s", path);
    as_json_free(tree);
    return c;
}

/* ---- printing ------------------------------------------------------------------------------- */

static void put_costs(as_jw *w, const sb_test_result *x)
{
    as_jw_put_i64(w, "cpu_ms", (x->cpu_us + 500) / 1000);
    as_jw_put_i64(w, "wall_ms", (x->wall_us + 500) / 1000);
    as_jw_put_i64(w, "peak_bytes", x->peak_bytes);
    if (x->waited_us != 0)
        as_jw_put_i64(w, "waited_ms", (x->waited_us + 500) / 1000);
    if (x->n_runs < 2)
        return;
    as_jw_key(w, "runs_cpu_ms");
    as_jw_begin_array(w);
    for (int i = 0; i < x->n_runs; i++)
        as_jw_i64(w, (x->run_cpu_us[i] + 500) / 1000);
    as_jw_end_array(w);
}

static void put_detail(as_jw *w, as_str detail)
{
    if (detail.n != 0)
        as_jw_put_str(w, "detail", detail);
}

static void put_text(as_jw *w, const char *key, as_str text)
{
    if (text.n != 0)
        as_jw_put_str(w, key, text);
}

void exec_put_result(as_buf *out, const sb_result *r)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "verdict", sb_verdict_name(r->verdict));
    put_detail(&w, r->detail);
    as_jw_put_i64(&w, "passed", (int64_t)r->n_passed);
    as_jw_key(&w, "tests");
    as_jw_begin_array(&w);
    for (size_t i = 0; i < r->n_tests && r->tests[i].has_run; i++) {
        const sb_test_result *x = &r->tests[i];
        as_jw_begin_object(&w);
        as_jw_put_z(&w, "verdict", sb_verdict_name(x->verdict));
        put_detail(&w, x->detail);
        put_costs(&w, x);
        put_text(&w, "stderr", x->errors);
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
    put_text(&w, "compiler", r->compiler_text);
    as_jw_put_str(&w, "sandbox", r->sandbox);
    as_jw_put_str(&w, "toolchain", r->toolchain);
    as_jw_put_bool(&w, "cached", r->is_cached);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(out, '\n');
}

/* ---- manifests ------------------------------------------------------------------------------ */

typedef struct entry {
    as_str id, file;
    sb_job job;
    sb_test test;
    int64_t n_repeats;
} entry;

static as_code read_code(as_str *out, const char *manifest, as_str file, as_arena *keep,
                         as_err *err)
{
    as_str path = as_arena_str(keep, file);
    const char *base = as_path_base(manifest);
    if (file.n != 0 && file.p[0] != '/')
        path = as_arena_printf(keep, "%.*s%.*s", (int)(base - manifest), manifest, AS_ARG(file));
    if (!as_str_is_set(path))
        return as_nomem(err);
    as_buf b;
    as_buf_init(&b, SB_MAX_CODE);
    as_code c = as_read_file(&b, path.p, err);
    if (c == AS_OK)
        c = copy(out, as_buf_str(&b), keep, err);
    as_buf_release(&b);
    return c;
}

static as_code read_entry(entry *e, const as_json *node, const char *manifest, as_arena *keep,
                          as_err *err)
{
    as_str s, language;
    AS_TRY(as_json_need_str(node, "id", &s, err));
    AS_TRY(copy(&e->id, s, keep, err));
    AS_TRY(as_json_need_str(node, "file", &s, err));
    AS_TRY(read_code(&e->job.code, manifest, s, keep, err));
    AS_TRY(as_json_need_str(node, "language", &language, err));
    if (!as_str_eq_z(language, "python") && !as_str_eq_z(language, "cpp"))
        return as_fail(err, AS_RANGE, "\"language\": want python or cpp");
    e->job.language = as_str_eq_z(language, "cpp") ? SB_CPP : SB_PYTHON;
    AS_TRY(read_rules(&e->job, node, keep, err));
    AS_TRY(read_test(&e->test, node, keep, err));
    e->n_repeats = 1;
    if (as_json_get(node, "repeat") != NULL)
        AS_TRY(as_json_need_i64(node, "repeat", 1, MAX_PROGRAMS, &e->n_repeats, err));
    e->job.tests = &e->test;
    e->job.n_tests = 1;
    e->job.want_output = true;
    return AS_OK;
}

static as_code read_manifest(entry **out, size_t *n, const char *path, as_arena *keep, as_err *err)
{
    as_json *tree = NULL;
    AS_TRY(read_json(&tree, path, err));
    const as_json *list = NULL;
    as_code c = as_json_need_array(tree, "programs", &list, err);
    *n = as_json_count(list);
    if (c == AS_OK && (*n == 0 || *n > MAX_PROGRAMS))
        c = as_fail(err, AS_RANGE, "want 1 to %d programs", MAX_PROGRAMS);
    if (c == AS_OK && (*out = as_new(keep, entry, *n)) == NULL)
        c = as_nomem(err);
    size_t i = 0;
    for (const as_json *x = as_json_first(list); c == AS_OK && x != NULL;
         x = as_json_next(x), i++) {
        c = read_entry(&(*out)[i], x, path, keep, err);
        if (c != AS_OK)
            (void)as_wrap(err, "program %zu", i);
    }
    if (c != AS_OK)
        (void)as_wrap(err, "%s", path);
    as_json_free(tree);
    return c;
}

static as_code print_run(const entry *e, int64_t run, const sb_result *r, as_err *err)
{
    const sb_test_result *x = &r->tests[0];
    as_buf b;
    as_buf_init(&b, (size_t)512 << 20);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "id", e->id);
    as_jw_put_i64(&w, "run", run);
    as_jw_put_z(&w, "verdict", sb_verdict_name(r->verdict));
    put_detail(&w, r->detail);
    as_jw_put_str(&w, "stdout", x->output);
    put_costs(&w, x);
    put_text(&w, "stderr", x->errors);
    put_text(&w, "compiler", r->compiler_text);
    as_jw_put_str(&w, "sandbox", r->sandbox);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&b, '\n');
    return cli_print_buf(&b, err);
}

/* Programs are submitted ahead, results printed in the order of the list. Each holds its output, up to
 * 63 MB, until it is printed: no more ahead than keeps the slots busy. */
enum { AHEAD = 16 };

typedef struct pending {
    sb_ticket *ticket;
    const entry *e;
    int64_t run;
} pending;

static as_code print_oldest(pending *p, as_err *err)
{
    as_arena keep;
    as_arena_init(&keep, 0);
    sb_result r;
    as_code c = sb_wait(p->ticket, &r, &keep, err);
    if (c == AS_OK)
        c = print_run(p->e, p->run, &r, err);
    as_arena_release(&keep);
    return c;
}

as_code exec_manifest(sb_pool *pool, const char *path, bool want_fresh, cli_env *env, as_err *err)
{
    entry *entries = NULL;
    size_t n = 0;
    AS_TRY(read_manifest(&entries, &n, path, env->keep, err));
    pending queue[AHEAD] = {{0}};
    size_t head = 0, held = 0, i = 0;
    int64_t run = 0;
    as_code c = AS_OK;
    while (held != 0 || (c == AS_OK && i < n)) {
        if (c == AS_OK && *env->cancel != 0) {
            sb_cancel(pool);
            c = as_fail(err, AS_CANCELLED, "interrupted");
            continue; /* nothing may have been submitted */
        }
        if (c == AS_OK && i < n && held < AHEAD) {
            pending *p = &queue[(head + held) % AHEAD];
            *p = (pending){.e = &entries[i], .run = run};
            entries[i].job.want_fresh = want_fresh;
            c = sb_submit(pool, &entries[i].job, &p->ticket, err);
            held += c == AS_OK;
            if (++run == entries[i].n_repeats) {
                run = 0;
                i++;
            }
            continue;
        }
        pending *p = &queue[head];
        head = (head + 1) % AHEAD;
        held--;
        const as_code got = print_oldest(p, c == AS_OK ? err : NULL);
        if (c == AS_OK && got != AS_OK) {
            c = got;
            sb_cancel(pool);
        }
    }
    return c;
}
