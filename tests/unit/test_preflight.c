#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/fake_server.h"

/* One way of misbehaving, and all that must be found. */
typedef struct row {
    const char *name;
    fake_ways ways;
    int think; /* as_think */
    double temperature;
    bool is_text;       /* a plain completion instead of a chat */
    int max_tokens;     /* 0: 64 */
    const char *want;   /* "warn:think info:model": kinds in order, without info:time */
    const char *saying; /* a part of one of the sentences, NULL: any */
    as_code fails;
} row;

enum { AUTO, OFF, ON };
_Static_assert((int)AUTO == (int)AS_THINK_AUTO && (int)OFF == (int)AS_THINK_OFF &&
                   (int)ON == (int)AS_THINK_ON,
               "as as_think");

static const row rows[] = {
    {"behaves", {0}, AUTO, 0, false, 0, "", NULL, AS_OK},
    {"behaves, thinking", {0}, ON, 0, false, 0, "", NULL, AS_OK},
    {"behaves, not thinking", {0}, OFF, 0, false, 0, "", NULL, AS_OK},
    {"behaves, sampling", {0}, AUTO, 1, false, 0, "", NULL, AS_OK},
    {"behaves, text", {0}, AUTO, 1, true, 0, "", NULL, AS_OK},
    {"no name", {.no_name = true}, AUTO, 0, false, 0, "warn:model", NULL, AS_OK},
    {"no hash", {.no_hash = true}, AUTO, 0, false, 0, "info:model", "Gemma-4-fake", AS_OK},
    {"no template told", {.no_template = true}, AUTO, 0, false, 0, "info:template", NULL, AS_OK},
    {"no template, text", {.no_template = true}, AUTO, 0, true, 0, "", NULL, AS_OK},
    {"ChatML for Gemma", {.is_chatml = true}, AUTO, 0, false, 0, "warn:template", "ChatML", AS_OK},
    {"renders ChatML",
     {.renders_chatml = true},
     AUTO,
     0,
     false,
     0,
     "warn:template",
     "ChatML",
     AS_OK},
    {"window too small, counted",
     {.n_ctx = 64, .counts = true},
     AUTO,
     0,
     false,
     0,
     "",
     "11 tokens + at most 64 for the answer = 75, the window has 64",
     AS_RANGE},
    {"window too small, tokenized",
     {.n_ctx = 70, .tokenizes = true},
     AUTO,
     0,
     false,
     0,
     "",
     "9 tokens + at most 64 for the answer = 73, the window has 70",
     AS_RANGE},
    {"window smaller than the answer",
     {.n_ctx = 64},
     AUTO,
     0,
     false,
     0,
     "",
     "about 13 tokens",
     AS_RANGE},
    {"window perhaps too small",
     {.n_ctx = 74},
     AUTO,
     0,
     false,
     0,
     "warn:context",
     "bytes / 3",
     AS_OK},
    {"window exactly enough", {.n_ctx = 75, .counts = true}, AUTO, 0, false, 0, "", NULL, AS_OK},
    {"empty", {.is_empty = true}, AUTO, 0, false, 0, "warn:empty", "is empty", AS_OK},
    {"all in the reasoning",
     {.answers_in_reasoning = true},
     AUTO,
     0,
     false,
     0,
     "warn:empty",
     "reasoning parser",
     AS_OK},
    {"never thinks", {.never_thinks = true}, ON, 0, false, 0, "warn:think", "--think on", AS_OK},
    {"always thinks",
     {.always_thinks = true},
     OFF,
     0,
     false,
     0,
     "warn:think",
     "--think off",
     AS_OK},
    {"always thinks, nobody minds", {.always_thinks = true}, AUTO, 0, false, 0, "", NULL, AS_OK},
    {"leaks its thinking",
     {.leaks_thinking = true},
     ON,
     0,
     false,
     0,
     "warn:think",
     "markup",
     AS_OK},
    {"leaks unwanted thinking",
     {.leaks_thinking = true},
     OFF,
     0,
     false,
     0,
     "warn:think",
     "--think off",
     AS_OK},
    {"forgets the seed",
     {.forgets_seed = true},
     AUTO,
     0.7,
     false,
     0,
     "warn:seed",
     "does not honour seeds",
     AS_OK},
    {"forgets the seed, greedy", {.forgets_seed = true}, AUTO, 0, false, 0, "", NULL, AS_OK},
    {"has a seed of its own",
     {.has_own_seed = true},
     AUTO,
     0.7,
     false,
     0,
     "warn:seed",
     "copies",
     AS_OK},
    {"says that it takes no seed",
     {.forgets_seed = true, .dropped = AS_DROPPED_SEED},
     AUTO,
     0.7,
     false,
     0,
     "warn:dropped",
     "\"seed\"",
     AS_OK},
    {"takes no seed, greedy", {.dropped = AS_DROPPED_SEED}, AUTO, 0, false, 0, "", NULL, AS_OK},
    {"takes no thinking switch",
     {.dropped = AS_DROPPED_THINK},
     OFF,
     0,
     false,
     0,
     "warn:dropped",
     "\"think\"",
     AS_OK},
    {"takes no top_k, not asked",
     {.dropped = AS_DROPPED_TOP_K},
     AUTO,
     0,
     false,
     0,
     "",
     NULL,
     AS_OK},
    {"reads half",
     {.reads_at_most = 150},
     AUTO,
     0,
     false,
     0,
     "warn:truncation",
     "150 tokens of a prompt of 300 words",
     AS_OK},
    {"does not count", {.no_counts = true}, AUTO, 0, false, 0, "info:counts", NULL, AS_OK},
    {"fails",
     {.error = AS_ERROR_REQUEST, .error_status = 400},
     AUTO,
     0,
     false,
     0,
     "warn:failed warn:failed",
     "as scripted",
     AS_OK},
    {"busy at first",
     {.error = AS_ERROR_SERVER, .error_status = 503, .error_until = 3},
     AUTO,
     0,
     false,
     0,
     "",
     NULL,
     AS_OK},
    {"no key",
     {.error = AS_ERROR_AUTH, .error_status = 401},
     AUTO,
     0,
     false,
     0,
     "",
     "set the right key",
     AS_RANGE},
    {"no such model",
     {.error = AS_ERROR_NOT_FOUND, .error_status = 404},
     AUTO,
     0,
     false,
     0,
     "",
     "knows no model \"Gemma-4-fake\"",
     AS_RANGE},
    {"nobody there",
     {.error = AS_ERROR_TRANSPORT},
     AUTO,
     0,
     false,
     0,
     "",
     "cannot be reached",
     AS_TIMEOUT},
    {"two things at once",
     {.never_thinks = true, .reads_at_most = 100},
     ON,
     0,
     false,
     0,
     "warn:think warn:truncation",
     NULL,
     AS_OK},
};

static void kinds_of(const run_findings *found, char *out, size_t n)
{
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < found->n; i++)
        if (strcmp(found->of[i].kind, "time") != 0)
            at += (size_t)snprintf(out + at, n - at, "%s%s:%s", at != 0 ? " " : "",
                                   run_level_name(found->of[i].level), found->of[i].kind);
}

static bool says(const run_findings *found, const as_err *err, const char *part)
{
    if (part == NULL || strstr(err->text, part) != NULL)
        return true;
    for (int i = 0; i < found->n; i++)
        if (strstr(found->of[i].text.p, part) != NULL)
            return true;
    return false;
}

static void finds_each_misbehaviour(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const row *r = &rows[i];
        static fake f;
        static fake_plan p;
        fake_init(&f, &r->ways);
        fake_plan_init(&p, &f, 30, !r->is_text);
        p.options.think = (as_think)r->think;
        p.task.sampling.temperature = r->temperature;
        if (r->max_tokens != 0)
            p.task.max_tokens = r->max_tokens;
        assert_true(run_preflight_is_due(&p.plan));
        as_arena keep;
        as_arena_init(&keep, 0);
        run_findings found;
        as_err err = {0};
        const as_code c = run_preflight(&p.plan, NULL, &found, &keep, &err);
        char kinds[400];
        kinds_of(&found, kinds, sizeof kinds);
        if (c != r->fails)
            fail_msg("%s: %s (%s)", r->name, as_code_name(c), err.text);
        if (c == AS_OK && strcmp(kinds, r->want) != 0)
            fail_msg("%s: found \"%s\", want \"%s\"", r->name, kinds, r->want);
        if (!says(&found, &err, r->saying))
            fail_msg("%s: nothing says \"%s\" (%s | %s)", r->name, r->saying, err.text,
                     found.n != 0 ? found.of[0].text.p : "");
        assert_int_equal(f.n_jobs, 0);
        assert_true(f.n_asked <= 6 * p.options.max_tries);
        as_arena_release(&keep);
    }
}

/* A long prompt of the plan makes the canary longer, within the window. */
static void measures_with_the_plans_length(void **state)
{
    (void)state;
    static char text[60000];
    for (size_t i = 0; i + 5 < sizeof text; i += 5)
        memcpy(text + i, "word ", 5);
    static fake f;
    static fake_plan p;
    fake_init(&f, &(fake_ways){.counts = true, .reads_at_most = 4096, .n_ctx = 32768});
    fake_plan_init(&p, &f, 30, true);
    p.samples[17].question = (as_str){text, sizeof text - 6};
    as_arena keep;
    as_arena_init(&keep, 0);
    run_findings found;
    as_err err = {0};
    assert_int_equal(run_preflight(&p.plan, NULL, &found, &keep, &err), AS_OK);
    char kinds[400];
    kinds_of(&found, kinds, sizeof kinds);
    assert_string_equal(kinds, "warn:truncation");
    as_arena_release(&keep);
}

static void is_for_servers_and_long_runs(void **state)
{
    (void)state;
    static fake f;
    static fake_plan p;
    fake_init(&f, &(fake_ways){0});
    fake_plan_init(&p, &f, 20, true);
    assert_false(run_preflight_is_due(&p.plan));
    fake_plan_init(&p, &f, 21, true);
    assert_true(run_preflight_is_due(&p.plan));
    be_driver here = *f.base.driver;
    here.is_in_process = true;
    f.base.driver = &here;
    assert_false(run_preflight_is_due(&p.plan));
}

static void stops_when_cancelled(void **state)
{
    (void)state;
    static fake f;
    static fake_plan p;
    const volatile sig_atomic_t cancel = 1;
    fake_init(&f, &(fake_ways){0});
    fake_plan_init(&p, &f, 30, true);
    as_arena keep;
    as_arena_init(&keep, 0);
    run_findings found;
    as_err err = {0};
    assert_int_equal(run_preflight(&p.plan, &cancel, &found, &keep, &err), AS_CANCELLED);
    as_arena_release(&keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_each_misbehaviour),
        cmocka_unit_test(measures_with_the_plans_length),
        cmocka_unit_test(is_for_servers_and_long_runs),
        cmocka_unit_test(stops_when_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
