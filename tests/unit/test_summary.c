/* What all suites share: means, intervals, anatomy, groups; choosing suites by name. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "suites/suites.h"
#include "suites/summary.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ROW(item_, group_, verdict_, value_)                                                       \
    {                                                                                              \
        .item = AS_STR_INIT(item_), .group = AS_STR_INIT(group_),                                  \
        .score = {.verdict = (verdict_), .value = (value_)},                                       \
    }

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) < 1e-12))
        fail_msg("%s: got %.17g, want %.17g", what, got, want);
}

static void one_attempt_per_item(void **state)
{
    (void)state;
    static const as_result rows[] = {
        ROW("1", "b", AS_RIGHT, 1),        ROW("2", "a", AS_WRONG, 0),
        ROW("3", "b", AS_RIGHT, 1),        ROW("4", "b", AS_TRUNCATED, 0),
        ROW("5", "", AS_UNPARSED, 0),      ROW("6", "a", AS_ERROR, 0),
        ROW("7", "c", AS_UNGRADED, 0),     ROW("8", "a", AS_REFUSED, 0),
        ROW("9", "\xC3\xA4", AS_RIGHT, 1), ROW("10", "B", AS_EMPTY, 0),
    };
    as_arena arena;
    as_summary s;
    as_arena_init(&arena, 0);
    assert_int_equal(su_summary_basic(rows, COUNT(rows), &s, &arena, NULL), AS_OK);
    assert_int_equal(s.n, 8); /* without the error and the ungraded one */
    assert_int_equal(s.n_items, 8);
    near("score", s.score, 3.0 / 8);
    near("se", s.se, sqrt(3.0 / 8 * 5 / 8 / 7));
    /* Wilson, 3 of 8, worked out by hand in Python */
    near("lo", s.lo, 0.13684428582359742);
    near("hi", s.hi, 0.6942576053973727);
    for (int v = 0; v < AS_N_VERDICTS; v++)
        assert_int_equal(s.anatomy[v], v == AS_RIGHT ? 3 : 1);
    static const char *const names[] = {"B", "a", "b", "\xC3\xA4"};
    static const int64_t counts[] = {1, 2, 3, 1};
    static const double scores[] = {0, 0, 2.0 / 3, 1};
    assert_int_equal(s.n_groups, COUNT(names)); /* "c" has no attempt that counts */
    for (size_t g = 0; g < COUNT(names); g++) {
        assert_true(as_str_eq_z(s.groups[g].name, names[g]));
        assert_int_equal(s.groups[g].n, counts[g]);
        near(names[g], s.groups[g].score, scores[g]);
    }
    as_arena_release(&arena);
}

static void repeats_are_clustered_by_item(void **state)
{
    (void)state;
    static const as_result rows[] = {
        ROW("1", "", AS_RIGHT, 1), ROW("1", "", AS_WRONG, 0), ROW("2", "", AS_RIGHT, 1),
        ROW("2", "", AS_RIGHT, 1), ROW("3", "", AS_WRONG, 0), ROW("3", "", AS_ERROR, 0),
    };
    as_arena arena;
    as_summary s;
    as_arena_init(&arena, 0);
    assert_int_equal(su_summary_basic(rows, COUNT(rows), &s, &arena, NULL), AS_OK);
    assert_int_equal(s.n, 5);
    assert_int_equal(s.n_items, 3);
    near("score", s.score, 3.0 / 5);
    near("se", s.se, sqrt(0.5 / 2 / 3)); /* means 0.5, 1, 0 */
    near("lo", s.lo, 0.6 - 1.959963984540054 * sqrt(0.5 / 6));
    near("hi", s.hi, 1);
    assert_int_equal(s.n_groups, 0);
    as_arena_release(&arena);
}

static void nothing_gives_no_number(void **state)
{
    (void)state;
    static const as_result failed[] = {ROW("1", "a", AS_ERROR, 0)};
    as_arena arena;
    as_summary s;
    as_arena_init(&arena, 0);
    assert_int_equal(su_summary_basic(NULL, 0, &s, &arena, NULL), AS_OK);
    assert_true(isnan(s.score) && s.lo == 0 && s.hi == 1);
    assert_int_equal(su_summary_basic(failed, 1, &s, &arena, NULL), AS_OK);
    assert_true(isnan(s.score) && s.n == 0 && s.anatomy[AS_ERROR] == 1 && s.n_groups == 0);
    as_arena_release(&arena);
}

static void reports_lack_of_memory(void **state)
{
    (void)state;
    static const as_result rows[] = {ROW("1", "a", AS_RIGHT, 1)};
    static const su_suite *const all[] = {&su_mmlu_pro, &su_aime};
    for (size_t i = 0; i < COUNT(all); i++) {
        size_t n = 1;
        for (;; n++) {
            as_arena arena;
            as_summary s;
            as_err err = {0};
            as_arena_init(&arena, 0);
            as_arena_fail_after(n);
            const as_code c = all[i]->summarise(NULL, rows, 1, &s, &arena, &err);
            as_arena_fail_after(0);
            as_arena_release(&arena);
            if (c == AS_OK)
                break;
            assert_int_equal(c, AS_NOMEM);
        }
        assert_true(n > 4);
    }
}

static void finds_suites_by_name(void **state)
{
    (void)state;
    static const su_suite *const all[] = {&su_mmlu_pro, &su_aime, &su_smoke_choice,
                                          &su_smoke_number, NULL};
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    as_err err = {0};
    for (const su_suite *const *s = all; *s != NULL; s++)
        for (int i = 0; i < (*s)->n_protocols; i++) {
            char name[128];
            const su_protocol *p = &(*s)->protocols[i];
            (void)snprintf(name, sizeof name, "%s:%s", (*s)->name, p->id);
            assert_int_equal(su_find(all, as_str_of(name), &suite, &protocol, NULL, &err), AS_OK);
            assert_ptr_equal(protocol, p);
            assert_true(p->repeats > 0 && p->max_tokens > 0 && p->scorer != NULL);
        }
    assert_int_equal(su_find(all, AS_STR("mmlu_pro"), &suite, &protocol, NULL, &err), AS_OK);
    assert_string_equal(protocol->id, "official");
    assert_int_equal(su_find(all, AS_STR("mmlu"), &suite, &protocol, NULL, &err), AS_RANGE);
    assert_string_equal(err.text, "no suite \"mmlu\"; there are: mmlu_pro, aime, smoke_choice, "
                                  "smoke_number");
    assert_int_equal(su_find(all, AS_STR("mmlu_pro:"), &suite, &protocol, NULL, &err), AS_RANGE);
    assert_string_equal(err.text, "suite mmlu_pro has no protocol \"\"; there are: official, "
                                  "official-api, own-shots");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_attempt_per_item),    cmocka_unit_test(repeats_are_clustered_by_item),
        cmocka_unit_test(nothing_gives_no_number), cmocka_unit_test(reports_lack_of_memory),
        cmocka_unit_test(finds_suites_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
