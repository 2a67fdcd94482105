#include "scorers/code/livecodebench.h"

#include "scorers/code/extract.h"
#include "scorers/code/session.h"
#include "scorers/think.h"

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
    if (sc_code_is_ungraded(c))
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
    c = as_json_parse(&spec, sample->tests->spec, &why);
    if (c == AS_OK)
        (void)as_json_str(as_json_get(spec, "fn"), &job.fn);
    if (c == AS_OK)
        c = sc_lcb_judge(sc_code_pool(session), &job, &r, arena, &why);
    if (c == AS_OK)
        c = sc_code_score(out, session, &r, tests.n, is_script ? "script" : "official", arena, err);
    else if (sc_code_is_ungraded(c))
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
                               .cancel = sc_code_cancel,
                               .n_at_once = sc_code_n_at_once,
                               .score_in = score_official};
const sc_scorer sc_code_lcb_script = {.name = "code_lcb_script",
                                      .version = 1,
                                      .open = sc_code_open,
                                      .close = sc_code_close,
                                      .cancel = sc_code_cancel,
                                      .n_at_once = sc_code_n_at_once,
                                      .score_in = score_script};
