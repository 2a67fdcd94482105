#include "base/jspan.h"
#include "scorers/code/extract.h"
#include "scorers/code/livecodebench.h"
#include "scorers/code/session.h"
#include "scorers/think.h"

enum { TIME_FACTOR = 2 };

static bool find_language(sb_language *out, as_str tag)
{
    static const struct {
        const char *tag;
        sb_language language;
    } rows[] = {{"", SB_CPP},    {"cpp", SB_CPP},       {"c", SB_CPP},     {"cc", SB_CPP},
                {"cxx", SB_CPP}, {"python", SB_PYTHON}, {"py", SB_PYTHON}, {"python3", SB_PYTHON}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (as_str_eq_z(tag, rows[i].tag)) {
            *out = rows[i].language;
            return true;
        }
    return false;
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

static as_code fill_job(sb_job *job, const as_json *spec, const sc_tests *tests, as_arena *arena,
                        as_err *err)
{
    int64_t time_ms = 0;
    int64_t memory_mb = 0;
    as_str rule;
    AS_TRY(as_json_need_i64(spec, "time_limit_ms", 1, 60000, &time_ms, err));
    AS_TRY(as_json_need_i64(spec, "memory_mb", 1, 4096, &memory_mb, err));
    AS_TRY(as_json_need_str(spec, "rule", &rule, err));
    if (!sb_rule_parse(rule, &job->rule) || job->rule > SB_EXACT)
        return as_fail(err, AS_RANGE, "unknown rule \"%.*s\"", AS_ARG(rule));
    (void)as_json_f64(as_json_get(spec, "tolerance"), &job->tolerance);
    job->limits = sb_codeforces;
    job->limits.cpu_ms = time_ms * TIME_FACTOR;
    job->limits.wall_ms = 3 * job->limits.cpu_ms + 2000;
    job->limits.memory_mb = memory_mb;
    job->limits.stack_mb = memory_mb;
    sb_test *all = as_new(arena, sb_test, tests->n);
    if (all == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < tests->n; i++) {
        AS_TRY(text_of(&all[i].input, tests->tests[i].input, arena, err));
        AS_TRY(text_of(&all[i].expected, tests->tests[i].output, arena, err));
    }
    job->tests = all;
    job->n_tests = tests->n;
    return AS_OK;
}

static as_code run(void *session, const sb_job *job, as_score *out, as_arena *arena, as_err *err)
{
    sb_result r;
    AS_TRY(sb_judge(sc_code_pool(session), job, &r, arena, err));
    sc_lcb_result all = {.is_graded = r.verdict != SB_SANDBOX_FAILURE,
                         .passed = r.verdict == SB_ACCEPTED,
                         .codes = as_new(arena, int, r.n_tests + 1),
                         .verdict = r.verdict,
                         .note = r.verdict == SB_COMPILE_ERROR ? r.compiler_text : r.detail,
                         .language = job->language};
    if (all.codes == NULL)
        return as_nomem(err);
    if (job->language == SB_CPP)
        AS_TRY(sc_execs_add_compiler(&all.execs, &r, arena, err));
    for (size_t i = 0; i < r.n_tests && r.tests[i].has_run; i++) {
        const sb_verdict v = r.tests[i].verdict;
        AS_TRY(sc_execs_add(&all.execs, &r, &r.tests[i], &job->limits, i, 1, arena, err));
        all.codes[all.n_codes++] = v == SB_ACCEPTED       ? 1
                                   : v == SB_WRONG_ANSWER ? -2
                                   : v == SB_TIME_LIMIT   ? -3
                                                          : -4;
        AS_TRY(sc_execs_codes(&all.execs, &all.codes[all.n_codes - 1], 1, arena, err));
        if (v != SB_ACCEPTED)
            break;
    }
    return sc_code_score(out, session, &all, r.n_tests, "codeforces", arena, err);
}

static as_code judge(void *session, const as_sample *sample, sb_job *job, as_score *out,
                     as_arena *arena, as_err *err)
{
    sc_tests tests;
    as_json *spec = NULL;
    as_err why = {0};
    as_code c = sc_tests_read(&tests, sample->tests, &why);
    if (c == AS_OK) {
        c = as_json_parse(&spec, sample->tests->spec, &why);
        if (c == AS_OK)
            c = fill_job(job, spec, &tests, arena, &why);
        if (c == AS_OK && tests.n == 0)
            c = as_fail(&why, AS_RANGE, "the problem has no tests");
        if (c == AS_OK)
            c = run(session, job, out, arena, &why);
        as_json_free(spec);
        sc_tests_release(&tests);
    }
    if (sc_code_is_ungraded(c))
        return sc_code_ungraded(out, why.text, arena, err);
    if (c != AS_OK && err != NULL)
        *err = why;
    return c;
}

static as_code score(void *session, const as_sample *sample, const as_response *response,
                     as_score *out, as_arena *arena, as_err *err)
{
    as_str text, tag;
    sb_job job = {0};
    if (sample->tests == NULL)
        return sc_code_ungraded(out, "the problem is not in the dataset any more", arena, err);
    AS_TRY(sc_without_thinking(&text, response->text, arena, err));
    *out = (as_score){.verdict = AS_UNPARSED, .target = AS_STR("a block of code")};
    if (!sc_code_first(&job.code, &tag, text))
        return AS_OK;
    if (!find_language(&job.language, tag) || job.code.n > SB_MAX_CODE || job.code.n == 0) {
        *out = (as_score){.verdict = AS_WRONG,
                          .prediction = AS_STR("not a language that is judged"),
                          .note = as_arena_str(arena, as_str_sub(tag, 0, 64))};
        return as_str_is_set(out->note) ? AS_OK : as_nomem(err);
    }
    return judge(session, sample, &job, out, arena, err);
}

const sc_scorer sc_code_codeforces = {.name = "code_codeforces",
                                      .version = 1,
                                      .open = sc_code_open,
                                      .close = sc_code_close,
                                      .cancel = sc_code_cancel,
                                      .n_at_once = sc_code_n_at_once,
                                      .score_in = score};
