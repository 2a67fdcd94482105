/* test_needle.c — the made-up long texts: where the needle lies, that texts repeat, what is read. */
#include <stdio.h>
#include <stdlib.h>

#include "scorers/scorers.h"
#include "suites/suites.h"
#include "unit/cm.h"

static as_arena keep;

static su_task load(const char *protocol)
{
    static const su_suite *const all[] = {&su_needle, NULL};
    char name[32];
    (void)snprintf(name, sizeof name, "needle:%s", protocol);
    const su_suite *suite = NULL;
    const su_protocol *p = NULL;
    as_err err = {0};
    assert_int_equal(su_find(all, as_str_of(name), &suite, &p, NULL, &err), AS_OK);
    su_task task;
    const su_load_options options = {.data_root = "/nowhere", .want_prompts = true};
    assert_int_equal(suite->load(&task, suite, p, &options, &keep, &err), AS_OK);
    return task;
}

static void the_needle_lies_at_its_depth(void **state)
{
    (void)state;
    const su_task task = load("4k");
    assert_int_equal(task.n_samples, 33);
    for (size_t i = 0; i < task.n_samples; i++) {
        const as_sample *s = &task.samples[i];
        as_request rq = {0};
        as_err err = {0};
        assert_int_equal(su_needle.prompt(&task, s, 0, &rq, &keep, &err), AS_OK);
        const size_t at = as_str_find(rq.prompt, s->question);
        assert_int_not_equal(at, SIZE_MAX);
        assert_int_equal(as_str_rfind(rq.prompt, s->question), at); /* once */
        as_str head, tail;
        int64_t depth = 0;
        (void)as_str_cut(s->id, '-', &head, &tail);
        assert_true(as_parse_i64(head, 0, 100, &depth));
        const double got = (double)at / 16000;
        assert_true(got >= (double)depth / 100 && got < (double)depth / 100 + 0.02);
        assert_in_range(rq.prompt.n, 16000, 16600);
    }
}

static void texts_repeat_and_differ(void **state)
{
    (void)state;
    const su_task a = load("1k");
    const su_task b = load("1k");
    const su_task c = load("2k");
    as_request x = {0}, y = {0}, z = {0};
    as_err err = {0};
    assert_int_equal(su_needle.prompt(&a, &a.samples[4], 0, &x, &keep, &err), AS_OK);
    assert_int_equal(su_needle.prompt(&b, &b.samples[4], 0, &y, &keep, &err), AS_OK);
    assert_int_equal(su_needle.prompt(&a, &a.samples[5], 0, &z, &keep, &err), AS_OK);
    assert_true(as_str_eq(x.prompt, y.prompt));
    assert_false(as_str_eq(x.prompt, z.prompt));
    assert_memory_equal(&a.dataset.sha256, &b.dataset.sha256, sizeof a.dataset.sha256);
    assert_memory_not_equal(&a.dataset.sha256, &c.dataset.sha256, sizeof a.dataset.sha256);
}

static void the_first_number_counts(void **state)
{
    (void)state;
    static const struct {
        const char *why, *answer, *want;
        as_verdict verdict;
    } rows[] = {
        {"plain", " 4711.", "4711", AS_RIGHT},
        {"the first of several", "4711, not 1234", "4711", AS_RIGHT},
        {"another", "1234", "1234", AS_WRONG},
        {"thousands", "4,711", "4711", AS_RIGHT},
        {"a list is no thousands", "4,7112", "4", AS_WRONG},
        {"leading zeros", "004711", "4711", AS_RIGHT},
        {"longer", "47110", "47110", AS_WRONG},
        {"thinking does not count", "<think>12</think>4711", "4711", AS_RIGHT},
        {"none", "I cannot tell.", NULL, AS_UNPARSED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const as_sample sample = {.target = AS_STR("4711")};
        as_response response;
        as_response_init(&response);
        response.text = as_str_of(rows[i].answer);
        as_score score;
        as_err err = {0};
        assert_int_equal(sc_number_first.score(&sample, &response, &score, &keep, &err), AS_OK);
        if (score.verdict != rows[i].verdict ||
            !as_str_eq(score.prediction, as_str_of(rows[i].want)))
            fail_msg("%s: %s %.*s", rows[i].why, as_verdict_name(score.verdict),
                     AS_ARG(score.prediction));
    }
}

int main(void)
{
    as_arena_init(&keep, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_needle_lies_at_its_depth),
        cmocka_unit_test(texts_repeat_and_differ),
        cmocka_unit_test(the_first_number_counts),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    as_arena_release(&keep);
    return failed;
}
