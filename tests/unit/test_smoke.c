/* The built-in suites: sound questions, worked examples that the scorers read as they are meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scorers/scorers.h"
#include "suites/smoke_items.h"
#include "suites/suites.h"

static void load(su_task *task, const su_suite *suite, int protocol, as_arena *arena)
{
    const su_load_options o = {"/nowhere", true};
    as_err err = {0};
    if (suite->load(task, suite, &suite->protocols[protocol], &o, arena, &err) != AS_OK)
        fail_msg("%s", err.text);
}

static void questions_are_sound(void **state)
{
    (void)state;
    int used[SMOKE_MAX_CHOICES] = {0};
    for (int i = 0; i < SMOKE_N_CHOICE; i++) {
        const smoke_choice *c = &smoke_choices[i];
        int n = 0;
        for (; n < SMOKE_MAX_CHOICES && c->choices[n] != NULL; n++)
            for (int k = 0; k < n; k++)
                assert_string_not_equal(c->choices[n], c->choices[k]);
        if (n < 4 || strlen(c->answer) != 1 || c->answer[0] < 'A' || c->answer[0] >= 'A' + n)
            fail_msg("%s: %d options, answer %s", c->id, n, c->answer);
        used[c->answer[0] - 'A']++;
        for (int k = 0; k < i; k++)
            assert_string_not_equal(c->id, smoke_choices[k].id);
    }
    for (int i = 0; i < SMOKE_MAX_CHOICES; i++)
        assert_in_range(used[i], 1, SMOKE_N_CHOICE / 4); /* no letter wins by always being named */
    for (int i = 0; i < SMOKE_N_NUMBER; i++)
        assert_in_range(smoke_numbers[i].answer, 0, 999);
}

static void scorers_read_the_worked_examples(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    for (int i = 0; i < SMOKE_N_CHOICE_SHOT; i++) {
        const sc_letter got = sc_mmlu_pro_find(as_str_of(smoke_choice_shots[i].worked));
        assert_int_equal(got.rule, 1);
        assert_int_equal(got.text.p[0], smoke_choice_shots[i].answer[0]);
    }
    for (int i = 0; i < SMOKE_N_NUMBER_SHOT; i++) {
        sc_number got;
        assert_int_equal(sc_aime_find(&got, as_str_of(smoke_number_shots[i].worked), &arena, NULL),
                         AS_OK);
        assert_int_equal(got.rule, 1);
        assert_int_equal(got.value, smoke_number_shots[i].answer);
    }
    as_arena_release(&arena);
}

static int count_of(as_str text, const char *what)
{
    int n = 0;
    const as_str needle = as_str_of(what);
    for (size_t at; (at = as_str_find(text, needle)) != SIZE_MAX; n++)
        text = as_str_sub(text, at + needle.n, text.n);
    return n;
}

static void prompts_hold_what_they_should(void **state)
{
    (void)state;
    static const su_suite *const suites[] = {&su_smoke_choice, &su_smoke_number};
    static const char *const marks[] = {"Question:", "Problem:"};
    as_arena arena;
    as_arena_init(&arena, 0);
    for (size_t i = 0; i < 2; i++) {
        su_task task;
        as_request rq = {0};
        load(&task, suites[i], 0, &arena);
        const int n_shot = task.protocol->n_shot;
        for (int k = n_shot; k >= 0; k--) {
            assert_int_equal(suites[i]->prompt(&task, task.samples, k, &rq, &arena, NULL), AS_OK);
            assert_int_equal(count_of(rq.prefix, marks[i]), k);
            assert_int_equal(count_of(rq.prompt, marks[i]), 1);
        }
        assert_int_not_equal(suites[i]->prompt(&task, task.samples, n_shot + 1, &rq, &arena, NULL),
                             AS_OK);
        const as_sha256 completion = task.dataset.sha256;
        assert_true(task.dataset.is_builtin);
        load(&task, suites[i], 1, &arena);
        assert_memory_not_equal(&task.dataset.sha256, &completion, sizeof completion);
        assert_int_equal(suites[i]->prompt(&task, task.samples, 0, &rq, &arena, NULL), AS_OK);
        assert_int_equal(rq.n_messages, 1);
        assert_int_equal(count_of(rq.messages[0].text, marks[i]), 1);
    }
    as_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_are_sound),
        cmocka_unit_test(scorers_read_the_worked_examples),
        cmocka_unit_test(prompts_hold_what_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
