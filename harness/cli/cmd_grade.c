/* cmd_grade.c — assay grade livecodebench: judge cases given in a file, without a run. */
#include <string.h>

#include "base/hash.h"
#include "base/jsonl.h"
#include "base/jspan.h"
#include "cli/cli.h"
#include "scorers/code/cell.h"
#include "scorers/code/extract.h"
#include "scorers/code/session.h"
#include "scorers/think.h"

enum { MAX_CASES_LINE = 512 << 20 };

typedef struct grade {
    void *session; /* opened for the first program */
    bool is_script;
    cli_env *env;
    as_arena scratch;
} grade;

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

static as_code grade_program(grade *g, const fields *f, as_jw *w, as_err *err)
{
    sc_lcb_job job = {.is_script = g->is_script};
    sc_lcb_result r;
    const sc_options options = {.cache_dir = g->env->cache_dir, .log = &g->env->log};
    AS_TRY(read_case(&job, f, &g->scratch, err));
    if (g->session == NULL)
        AS_TRY(sc_code_open(&g->session, &options, err));
    AS_TRY(sc_lcb_judge(sc_code_pool(g->session), &job, &r, &g->scratch, err));
    as_jw_key(w, "passed");
    if (r.is_graded)
        as_jw_bool(w, r.passed);
    else
        as_jw_null(w);
    sc_code_put_results(w, &r);
    as_jw_put_z(w, "verdict", sb_verdict_name(r.verdict));
    as_jw_put_str(w, "detail", r.note);
    as_jw_put_z(w, "mode", g->is_script ? "script" : "official");
    as_jw_put_f64(w, "cpu_ms", (double)r.cpu_us / 1000);
    return AS_OK;
}

static as_code grade_extraction(grade *g, as_str answer, as_jw *w, as_err *err)
{
    as_str text, code;
    AS_TRY(sc_without_thinking(&text, answer, &g->scratch, err));
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
static as_code grade_fields(grade *g, const fields *f, as_jw *w, as_err *err)
{
    as_str text;
    if (f->inputs.n != 0)
        return grade_program(g, f, w, err);
    if (f->encoded.n != 0) {
        AS_TRY(text_of(&text, f->encoded, "encoded", &g->scratch, err));
        return grade_cell(text, w, err);
    }
    if (f->text.n == 0)
        return as_fail(err, AS_PARSE, "want \"inputs\", \"text\" or \"encoded\"");
    AS_TRY(text_of(&text, f->text, "text", &g->scratch, err));
    return grade_extraction(g, text, w, err);
}

/* A case that cannot be read keeps its line: {"error": why}. */
static as_code grade_case(grade *g, as_str line, as_err *err)
{
    as_err why = {0};
    as_buf part;
    as_jw w;
    fields f;
    as_buf_init(&part, 256 << 20);
    as_jw_init(&w, &part);
    as_jw_begin_object(&w);
    as_code c = read_fields(&f, line, &why);
    if (f.name.n != 0) {
        as_jw_key(&w, "name");
        as_jw_raw(&w, f.name);
    }
    if (c == AS_OK)
        c = grade_fields(g, &f, &w, &why);
    if (c == AS_PARSE || c == AS_RANGE) {
        as_jw_put_z(&w, "error", why.text);
        c = AS_OK;
    }
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&part, '\n');
    if (c != AS_OK && err != NULL)
        *err = why;
    if (c == AS_OK)
        c = as_buf_ok(&part, err);
    if (c == AS_OK)
        c = cli_print(as_buf_str(&part), err);
    as_buf_release(&part);
    as_arena_rewind(&g->scratch, 0);
    return c;
}

static as_code grade_file(grade *g, const char *path, as_err *err)
{
    as_jsonl *in = NULL;
    as_str line;
    AS_TRY(as_jsonl_open(&in, path, MAX_CASES_LINE, err));
    as_code c = AS_OK;
    for (bool is_end = false; c == AS_OK;) {
        c = as_jsonl_next_text(in, &line, &is_end, err);
        if (c != AS_OK || is_end)
            break;
        if (*g->env->cancel != 0)
            c = as_fail(err, AS_CANCELLED, "interrupted");
        else
            c = grade_case(g, line, err);
    }
    as_jsonl_close(in);
    return c;
}

int cmd_grade(cli_env *env, int argc, char **argv)
{
    const char *cases = NULL;
    const char *mode = "official";
    cli_flag flags[] = {
        cli_text("cases", &cases, "FILE", "JSON Lines, one case each"),
        cli_text("mode", &mode, "official|script",
                 "how programs run: as LiveCodeBench's checker runs them, or as scripts"),
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
    grade g = {.env = env, .is_script = strcmp(mode, "script") == 0};
    as_arena_init(&g.scratch, (size_t)8 << 30);
    if (strcmp(a.rest[0], "livecodebench") != 0)
        (void)as_fail(&err, AS_RANGE, "grade %s: want livecodebench", a.rest[0]);
    else if (cases == NULL)
        (void)as_fail(&err, AS_RANGE, "usage: %s", a.usage);
    else if (!g.is_script && strcmp(mode, "official") != 0)
        (void)as_fail(&err, AS_RANGE, "--mode %s: want official or script", mode);
    else
        (void)grade_file(&g, cases, &err);
    sc_code_close(g.session);
    as_arena_release(&g.scratch);
    return err.code == AS_OK ? CLI_OK : cli_fail(&err);
}
