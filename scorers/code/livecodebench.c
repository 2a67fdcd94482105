#include "scorers/code/livecodebench.h"

#include <stdlib.h>

#include "scorers/code/extract.h"
#include "scorers/code/session.h"
#include "scorers/think.h"

struct code_session {
    sb_pool *pool;
};

as_code sc_code_open(void **session, const sc_options *options, as_err *err)
{
    struct code_session *s = calloc(1, sizeof *s);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_str dir = {0};
    *session = NULL;
    if (options->cache_dir != NULL)
        dir = as_arena_printf(&scratch, "%s/sandbox/programs", options->cache_dir);
    const sb_pool_options sb = {
        .n_slots = options->n_slots, .compile_dir = dir.p, .log = options->log};
    as_code c = s != NULL ? sb_pool_open(&s->pool, &sb, err) : as_nomem(err);
    as_arena_release(&scratch);
    /* Not the user's mistake: the machine's, like a backend that cannot be reached (exit code 5). */
    if (c == AS_UNSUPPORTED || c == AS_IO) {
        c = AS_TIMEOUT;
        if (err != NULL)
            err->code = c;
    }
    if (c == AS_OK)
        *session = s;
    else
        free(s);
    return c;
}

void sc_code_close(void *session)
{
    struct code_session *s = session;
    if (s == NULL)
        return;
    sb_pool_close(s->pool);
    free(s);
}

sb_pool *sc_code_pool(void *session)
{
    return ((struct code_session *)session)->pool;
}

void sc_code_put_results(as_jw *w, const sc_lcb_result *r)
{
    as_jw_key(w, "results");
    as_jw_begin_array(w);
    for (size_t i = 0; i < r->n_codes; i++) {
        if (r->codes[i] == 0 || r->codes[i] == 1)
            as_jw_bool(w, r->codes[i] == 1);
        else
            as_jw_i64(w, r->codes[i]);
    }
    as_jw_end_array(w);
}

static as_code write_note(as_str *out, const sc_lcb_result *r, size_t n_tests, const char *mode,
                          as_arena *arena, as_err *err)
{
    as_buf b;
    as_jw w;
    as_buf_init(&b, 8 << 20);
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    sc_code_put_results(&w, r);
    as_jw_key(&w, "tests");
    as_jw_i64(&w, (int64_t)n_tests);
    as_jw_key(&w, "detail");
    as_jw_str(&w, as_str_sub(r->note, 0, 1000));
    as_jw_key(&w, "cpu_ms");
    as_jw_f64(&w, (double)r->cpu_us / 1000);
    as_jw_key(&w, "peak_bytes");
    as_jw_i64(&w, r->peak_bytes);
    as_jw_key(&w, "mode");
    as_jw_z(&w, mode);
    as_jw_key(&w, "sandbox");
    as_jw_str(&w, r->sandbox);
    as_jw_key(&w, "toolchain");
    as_jw_str(&w, r->toolchain);
    as_jw_end_object(&w);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        *out = as_arena_str(arena, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

as_code sc_code_score(as_score *out, const sc_lcb_result *r, size_t n_tests, const char *mode,
                      as_arena *arena, as_err *err)
{
    const as_verdict v = !r->is_graded ? AS_UNGRADED : r->passed ? AS_RIGHT : AS_WRONG;
    *out = (as_score){.verdict = v, .value = v == AS_RIGHT ? 1 : 0};
    out->prediction = as_str_of(sb_verdict_name(r->verdict));
    out->target = as_arena_printf(arena, "%zu tests", n_tests);
    if (v == AS_WRONG && r->n_codes != 0)
        out->rule = (int)r->n_codes;
    AS_TRY(write_note(&out->note, r, n_tests, mode, arena, err));
    return as_str_is_set(out->target) ? AS_OK : as_nomem(err);
}

as_code sc_code_ungraded(as_score *out, const char *why, as_arena *arena, as_err *err)
{
    *out = (as_score){.verdict = AS_UNGRADED, .note = as_arena_str(arena, as_str_of(why))};
    return as_str_is_set(out->note) ? AS_OK : as_nomem(err);
}

/* ---- LiveCodeBench ------------------------------------------------------------------------- */

static as_code judge(void *session, const as_sample *sample, as_str code, bool is_script,
                     as_score *out, as_arena *arena, as_err *err)
{
    sc_tests tests;
    sc_lcb_result r;
    as_json *spec = NULL;
    sc_lcb_job job = {.code = code, .timeout_s = SC_LCB_TIMEOUT_S, .is_script = is_script};
    as_err why = {0};
    as_code c = sc_tests_read(&tests, sample->tests, &why);
    if (c == AS_PARSE || c == AS_RANGE)
        return sc_code_ungraded(out, why.text, arena, err);
    if (c != AS_OK) {
        if (err != NULL)
            *err = why;
        return c;
    }
    if (tests.n == 0) {
        sc_tests_release(&tests);
        return sc_code_ungraded(out, "the problem has no tests", arena, err);
    }
    job.tests = tests.tests;
    job.n = tests.n;
    c = as_json_parse(&spec, sample->tests->spec, err);
    if (c == AS_OK)
        (void)as_json_str(as_json_get(spec, "fn"), &job.fn);
    if (c == AS_OK)
        c = sc_lcb_judge(sc_code_pool(session), &job, &r, arena, &why);
    if (c == AS_OK)
        c = sc_code_score(out, &r, tests.n, is_script ? "script" : "official", arena, err);
    else if (c == AS_PARSE || c == AS_RANGE)
        c = sc_code_ungraded(out, why.text, arena, err);
    else if (err != NULL)
        *err = why;
    as_json_free(spec);
    sc_tests_release(&tests);
    return c;
}

static as_code score(void *session, const as_sample *sample, const as_response *response,
                     bool is_script, as_score *out, as_arena *arena, as_err *err)
{
    as_str text, code;
    if (sample->tests == NULL)
        return sc_code_ungraded(out, "the problem is not in the dataset any more", arena, err);
    AS_TRY(sc_without_thinking(&text, response->text, arena, err));
    *out = (as_score){.verdict = AS_UNPARSED, .target = AS_STR("a block of code")};
    if (!sc_code_last(&code, text))
        return AS_OK;
    if (code.n > SB_MAX_CODE) {
        *out = (as_score){.verdict = AS_WRONG, .prediction = AS_STR("too long")};
        return AS_OK;
    }
    return judge(session, sample, code, is_script, out, arena, err);
}

static as_code score_official(void *session, const as_sample *sample, const as_response *response,
                              as_score *out, as_arena *arena, as_err *err)
{
    return score(session, sample, response, false, out, arena, err);
}

static as_code score_script(void *session, const as_sample *sample, const as_response *response,
                            as_score *out, as_arena *arena, as_err *err)
{
    return score(session, sample, response, true, out, arena, err);
}

const sc_scorer sc_code_lcb = {.name = "code_lcb",
                               .version = 1,
                               .open = sc_code_open,
                               .close = sc_code_close,
                               .score_in = score_official};
const sc_scorer sc_code_lcb_script = {.name = "code_lcb_script",
                                      .version = 1,
                                      .open = sc_code_open,
                                      .close = sc_code_close,
                                      .score_in = score_script};
