/* cmd_grade.c — assay grade livecodebench: judge cases given in a file, without a run. */
#include <string.h>

#include "base/hash.h"
#include "base/jsonl.h"
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

/* The case's texts as JSON texts, the form in which tests are judged. */
static as_code quote(as_str *out, const as_json *node, as_arena *keep, as_err *err)
{
    as_str text;
    if (!as_json_str(node, &text))
        return as_fail(err, AS_PARSE, "want texts in \"inputs\" and \"outputs\"");
    as_buf b;
    as_jw w;
    as_buf_init(&b, text.n * 6 + 64);
    as_jw_init(&w, &b);
    as_jw_str(&w, text);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        *out = as_arena_str(keep, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code read_case(sc_lcb_job *job, const as_json *item, as_arena *keep, as_err *err)
{
    const as_json *inputs = NULL;
    const as_json *outputs = NULL;
    int64_t timeout = SC_LCB_TIMEOUT_S;
    AS_TRY(as_json_need_str(item, "code", &job->code, err));
    AS_TRY(as_json_need_array(item, "inputs", &inputs, err));
    AS_TRY(as_json_need_array(item, "outputs", &outputs, err));
    if (as_json_get(item, "timeout") != NULL)
        AS_TRY(as_json_need_i64(item, "timeout", 1, 600, &timeout, err));
    (void)as_json_str(as_json_get(item, "fn_name"), &job->fn);
    job->timeout_s = (int)timeout;
    job->n = as_json_count(inputs);
    if (job->n != as_json_count(outputs))
        return as_fail(err, AS_RANGE, "%zu inputs, but %zu outputs", job->n,
                       as_json_count(outputs));
    sc_lcb_test *tests = as_new(keep, sc_lcb_test, job->n);
    if (tests == NULL)
        return as_nomem(err);
    const as_json *in = as_json_first(inputs);
    const as_json *out = as_json_first(outputs);
    for (size_t i = 0; i < job->n; i++, in = as_json_next(in), out = as_json_next(out)) {
        AS_TRY(quote(&tests[i].input, in, keep, err));
        AS_TRY(quote(&tests[i].output, out, keep, err));
    }
    job->tests = tests;
    return AS_OK;
}

static as_code grade_program(grade *g, const as_json *item, as_jw *w, as_err *err)
{
    sc_lcb_job job = {.is_script = g->is_script};
    sc_lcb_result r;
    const sc_options options = {.cache_dir = g->env->cache_dir, .log = &g->env->log};
    AS_TRY(read_case(&job, item, &g->scratch, err));
    if (g->session == NULL)
        AS_TRY(sc_code_open(&g->session, &options, err));
    AS_TRY(sc_lcb_judge(sc_code_pool(g->session), &job, &r, &g->scratch, err));
    as_jw_key(w, "passed");
    if (r.is_graded)
        as_jw_bool(w, r.passed);
    else
        as_jw_null(w);
    sc_code_put_results(w, &r);
    as_jw_key(w, "verdict");
    as_jw_z(w, sb_verdict_name(r.verdict));
    as_jw_key(w, "detail");
    as_jw_str(w, r.note);
    as_jw_key(w, "mode");
    as_jw_z(w, g->is_script ? "script" : "official");
    as_jw_key(w, "cpu_ms");
    as_jw_f64(w, (double)r.cpu_us / 1000);
    return AS_OK;
}

static as_code grade_extraction(grade *g, as_str answer, as_jw *w, as_err *err)
{
    as_str text, code;
    AS_TRY(sc_without_thinking(&text, answer, &g->scratch, err));
    as_jw_key(w, "found");
    as_jw_bool(w, sc_code_last(&code, text));
    as_jw_key(w, "code");
    as_jw_str(w, code);
    return AS_OK;
}

static as_code grade_cell(grade *g, as_str cell, as_jw *w, as_err *err)
{
    (void)g;
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
        as_jw_key(w, "json_sha256");
        as_jw_z(w, hex);
        as_jw_key(w, "json_bytes");
        as_jw_i64(w, (int64_t)json.n);
        as_jw_key(w, "n_tests");
        as_jw_i64(w, (int64_t)as_json_count(tree));
    }
    as_json_free(tree);
    as_buf_release(&json);
    return c;
}

/* What the case is tells its fields: "code" a program, "text" an answer, "encoded" a cell. A case
 * that cannot be read keeps its line: {"error": why}. */
static as_code grade_case(grade *g, const as_json *item, as_err *err)
{
    as_err why = {0};
    as_buf part;
    as_jw w;
    as_str name, text;
    as_buf_init(&part, 256 << 20);
    as_jw_init(&w, &part);
    as_jw_begin_object(&w);
    const bool has_name = as_json_str(as_json_get(item, "name"), &name);
    if (has_name) {
        as_jw_key(&w, "name");
        as_jw_str(&w, name);
    }
    as_code c = AS_OK;
    if (as_json_str(as_json_get(item, "encoded"), &text))
        c = grade_cell(g, text, &w, &why);
    else if (as_json_get(item, "inputs") == NULL && as_json_str(as_json_get(item, "text"), &text))
        c = grade_extraction(g, text, &w, &why);
    else
        c = grade_program(g, item, &w, &why);
    if (c == AS_PARSE || c == AS_RANGE) {
        as_jw_key(&w, "error");
        as_jw_z(&w, why.text);
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
    AS_TRY(as_jsonl_open(&in, path, MAX_CASES_LINE, err));
    as_code c = AS_OK;
    for (as_json *item = NULL; c == AS_OK; as_json_free(item)) {
        item = NULL;
        c = as_jsonl_next(in, &item, err);
        if (c != AS_OK || item == NULL)
            break;
        if (*g->env->cancel != 0)
            c = as_fail(err, AS_CANCELLED, "interrupted");
        else
            c = grade_case(g, item, err);
    }
    as_jsonl_close(in);
    return c;
}

int cmd_grade(cli_env *env, int argc, char **argv)
{
    const char *cases = NULL;
    const char *mode = "official";
    cli_flag flags[] = {
        {.name = "cases",
         .kind = CLI_TEXT,
         .value = &cases,
         .shown = "FILE",
         .help = "JSON Lines, one case each"},
        {.name = "mode",
         .kind = CLI_TEXT,
         .value = &mode,
         .shown = "official|script",
         .help = "how programs run: as LiveCodeBench's checker runs them, or as scripts"},
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
