/* AIME: which integer an answer ends with, prompts, majority and mean. The problems are invented.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "datasets/importers.h"
#include "scorers/scorers.h"
#include "suites/suites.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
    const char *why;
    as_str text;
    const char *want; /* NULL: nothing */
    int rule;
} answers[] = {
    {"a box", AS_STR_INIT("so \\boxed{204}."), "204", 1},
    {"the last box", AS_STR_INIT("\\boxed{1} then \\boxed{2} and 3"), "2", 1},
    {"fbox too", AS_STR_INIT("\\boxed{1} \\fbox{7}"), "7", 1},
    {"blank before the brace", AS_STR_INIT("\\boxed {12}"), "12", 1},
    {"the inner of two", AS_STR_INIT("\\boxed{\\boxed{5}}"), "5", 1},
    {"braces inside", AS_STR_INIT("\\boxed{{{0}7{3}}}"), "73", 1},
    {"an unfinished box does not count", AS_STR_INIT("\\boxed{3} \\boxed{4"), "3", 1},
    {"a stray brace before it", AS_STR_INIT("f(x) = { x, } } so \\boxed{8}"), "8", 1},
    {"an open brace before it", AS_STR_INIT("\\frac{1}{2 gives \\boxed{9}"), "9", 1},
    {"escaped braces are text", AS_STR_INIT("\\{ \\boxed{6} \\}"), "6", 1},
    {"an empty box does not count", AS_STR_INIT("within \\boxed{}. It is 41"), "41", 2},
    {"leading zeros", AS_STR_INIT("\\boxed{025}"), "25", 1},
    {"all zeros", AS_STR_INIT("\\boxed{000}"), "0", 1},
    {"decimal tail", AS_STR_INIT("\\boxed{25.0}"), "25", 1},
    {"full stop", AS_STR_INIT("\\boxed{25.}"), "25", 1},
    {"dollars and spaces", AS_STR_INIT("\\boxed{ $ 1 1 3 $ }"), "113", 1},
    {"thin space", AS_STR_INIT("\\boxed{1\\,0\\!4}"), "104", 1},
    {"thousands", AS_STR_INIT("\\boxed{1,024}"), "1024", 1},
    {"thousands in LaTeX", AS_STR_INIT("\\boxed{1{,}024}"), "1024", 1},
    {"two numbers are not thousands", AS_STR_INIT("\\boxed{10,12}"), "10,12", 1},
    {"text around the number", AS_STR_INIT("\\boxed{\\text{204}}"), "204", 1},
    {"a unit", AS_STR_INIT("\\boxed{204 \\text{ cm}}"), "204", 1},
    {"mathrm, bold", AS_STR_INIT("\\boxed{\\mathbf{20}\\mathrm{cm}}"), "20", 1},
    {"degrees", AS_STR_INIT("\\boxed{60^\\circ}"), "60", 1},
    {"degrees in braces", AS_STR_INIT("\\boxed{60^{\\circ}}"), "60", 1},
    {"degree sign", AS_STR_INIT("\\boxed{60\xC2\xB0}"), "60", 1},
    {"behind the last equals sign", AS_STR_INIT("\\boxed{m+n = 3+4 = 7}"), "7", 1},
    {"plus sign", AS_STR_INIT("\\boxed{+7}"), "7", 1},
    {"negative", AS_STR_INIT("\\boxed{-7}"), "-7", 1},
    {"a power is no number", AS_STR_INIT("\\boxed{2^{10}}"), "2^10", 1},
    {"a fraction is no integer", AS_STR_INIT("\\boxed{\\frac{1}{2}}"), "\\frac12", 1},
    {"a decimal is no integer", AS_STR_INIT("\\boxed{2.5}"), "2.5", 1},
    {"a word is an answer", AS_STR_INIT("\\boxed{\\text{none}}"), "\\text{none}", 1},
    {"too many digits are no number", AS_STR_INIT("\\boxed{1000000000000000000000}"),
     "1000000000000000000000", 1},
    {"last number", AS_STR_INIT("It is 12, I think 113."), "113", 2},
    {"not inside words", AS_STR_INIT("x1 is 7 and y_2, 3\xC3\xA9"), "7", 2},
    {"decimals are passed over", AS_STR_INIT("25 or 2.5"), "25", 2},
    {"but not whole ones", AS_STR_INIT("it is 25.0"), "25", 2},
    {"minus", AS_STR_INIT("it is -5"), "-5", 2},
    {"hyphen", AS_STR_INIT("pages 3-5"), "5", 2},
    {"thousands in text", AS_STR_INIT("it is 1,000."), "1000", 2},
    {"thinking is removed", AS_STR_INIT("<think>\\boxed{1}</think>It is 2"), "2", 2},
    {"thinking that the template began", AS_STR_INIT("\\boxed{1}</think>It is 2"), "2", 2},
    {"thinking that was cut off", AS_STR_INIT("<think>\\boxed{1}"), NULL, 0},
    {"Gemma's thinking", AS_STR_INIT("<|channel>thought\n\\boxed{1}<channel|>\\boxed{3}"), "3", 1},
    {"several thoughts", AS_STR_INIT("<think>1</think>2<think>3</think>"), "2", 2},
    {"no number", AS_STR_INIT("I do not know"), NULL, 0},
    {"empty", AS_STR_INIT(""), NULL, 0},
    {"NUL bytes", AS_STR_INIT("\0\\boxed{4\0}"), "4\0", 1},
};

static void finds_the_integer(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    for (size_t i = 0; i < COUNT(answers); i++) {
        sc_number got;
        assert_int_equal(sc_aime_find(&got, answers[i].text, &arena, NULL), AS_OK);
        const bool is_same =
            answers[i].want == NULL
                ? got.text.p == NULL
                : strncmp(got.text.p, answers[i].want, got.text.n) == 0 &&
                      (got.text.n == strlen(answers[i].want) || got.text.p[got.text.n - 1] == '\0');
        if (!is_same || got.rule != answers[i].rule)
            fail_msg("%s: got %.*s by rule %d", answers[i].why, AS_ARG(got.text), got.rule);
    }
    as_arena_release(&arena);
}

static const struct {
    const char *why, *gold, *text;
    as_verdict want;
} judged[] = {
    {"equal as integers", "073", "\\boxed{73}", AS_RIGHT},
    {"weak but right", "73", "so 73", AS_RIGHT},
    {"wrong", "73", "\\boxed{74}", AS_WRONG},
    {"a word in the box is wrong", "73", "\\boxed{x}", AS_WRONG},
    {"nothing to read", "73", "hm", AS_UNPARSED},
    {"gold is no integer", "x", "\\boxed{73}", AS_UNGRADED},
    {"gold out of range", "1000", "\\boxed{1000}", AS_UNGRADED},
    {"zero", "0", "\\boxed{000}", AS_RIGHT},
};

static void compares_with_the_gold(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    for (size_t i = 0; i < COUNT(judged); i++) {
        const as_sample sample = {.target = as_str_of(judged[i].gold)};
        as_response r;
        as_score s;
        as_response_init(&r);
        r.text = as_str_of(judged[i].text);
        assert_int_equal(sc_judge(&sc_number_aime, &sample, &r, &s, &arena, NULL), AS_OK);
        if (s.verdict != judged[i].want)
            fail_msg("%s: got %s", judged[i].why, as_verdict_name(s.verdict));
    }
    as_arena_release(&arena);
}

/* --------------------------------------------------------------------------------- suite */

static double metric(const as_metric *all, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (as_str_eq_z(all[i].name, name))
            return all[i].value;
    fail_msg("no metric %s", name);
    return 0;
}

#define ROW(item_, group_, text_, is_right_)                                                       \
    {                                                                                              \
        .item = AS_STR_INIT(item_), .group = AS_STR_INIT(group_),                                  \
        .score = {.verdict = (is_right_) ? AS_RIGHT : AS_WRONG,                                    \
                  .value = (is_right_),                                                            \
                  .prediction = AS_STR_INIT(text_)},                                               \
    }

static void counts_votes(void **state)
{
    (void)state;
    const as_result rows[] = {
        ROW("1", "I", "7", 1), ROW("1", "I", "8", 0),  /* tie: 7 came first */
        ROW("1", "I", "8", 0), ROW("1", "I", "7", 1),  /* */
        ROW("2", "I", "8", 0), ROW("2", "I", "7", 1),  /* tie: 8 came first */
        ROW("2", "I", "7", 1), ROW("2", "I", "8", 0),  /* */
        ROW("3", "II", "", 0), ROW("3", "II", "", 0),  /* no answer does not vote */
        ROW("3", "II", "", 0), ROW("3", "II", "7", 1), /* */
        ROW("4", "II", "", 0), ROW("4", "II", "", 0),  /* */
        ROW("4", "II", "", 0), ROW("4", "II", "", 0),
    };
    as_arena arena;
    as_summary s;
    as_arena_init(&arena, 0);
    assert_int_equal(su_aime.summarise(NULL, rows, COUNT(rows), &s, &arena, NULL), AS_OK);
    assert_int_equal(s.n, 16);
    assert_int_equal(s.n_items, 4);
    assert_true(metric(s.metrics, s.n_metrics, "mean") == 5.0 / 16);
    assert_true(s.score == 5.0 / 16);
    assert_true(metric(s.metrics, s.n_metrics, "maj@k") == 0.5); /* items 1 and 3 */
    assert_true(metric(s.metrics, s.n_metrics, "pass@k") == 0.75);
    assert_true(metric(s.metrics, s.n_metrics, "k") == 4);
    assert_int_equal(s.n_groups, 2);
    const as_group *second = &s.groups[1];
    assert_true(metric(second->metrics, second->n_metrics, "maj@k") == 0.5);
    assert_true(metric(second->metrics, second->n_metrics, "pass@k") == 0.5);
    assert_int_equal(su_aime.summarise(NULL, rows, 0, &s, &arena, NULL), AS_OK);
    assert_true(isnan(metric(s.metrics, s.n_metrics, "maj@k")));
    as_arena_release(&arena);
}

static const char problems[] =
    "{\"id\":\"2026-I-1\",\"year\":2026,\"part\":\"I\",\"number\":1,\"problem\":\"Find $2+3$.\","
    "\"answer\":5}\n"
    "{\"ID\":\"2024-II-2\",\"Problem\":\"Find $3$.\",\"Answer\":\"003\"}\n";

typedef struct place {
    char dir[64], root[96], file[128];
    as_arena arena;
} place;

static void make_place(place *p)
{
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/assay-aime-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->root, sizeof p->root, "%s/data", p->dir);
    (void)snprintf(p->file, sizeof p->file, "%s/in.jsonl", p->dir);
    assert_int_equal(as_write_file(p->file, as_str_of(problems), NULL), AS_OK);
    as_arena_init(&p->arena, 0);
}

static void clean_place(place *p)
{
    static const char *const names[] = {"data/aime/manifest.json", "data/aime/2026.jsonl",
                                        "data/aime/2024.jsonl", "in.jsonl"};
    char path[256];
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/aime", p->root);
    (void)rmdir(path);
    (void)rmdir(p->root);
    if (rmdir(p->dir) != 0)
        fail_msg("%s: something was left", p->dir);
    as_arena_release(&p->arena);
}

static as_code load(su_task *task, place *p, const char *name, as_err *err)
{
    static const su_suite *const suites[] = {&su_mmlu_pro, &su_aime, NULL};
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    const su_load_options o = {p->root, true};
    AS_TRY(su_find(suites, as_str_of(name), &suite, &protocol, NULL, err));
    return suite->load(task, suite, protocol, &o, &p->arena, err);
}

static void asks_as_matharena_does(void **state)
{
    (void)state;
    place p;
    su_task task;
    ds_info info;
    as_err err = {0};
    as_request rq = {0};
    make_place(&p);
    assert_int_equal(load(&task, &p, "aime", &err), AS_RANGE);
    assert_non_null(strstr(err.text, "the problems of 2026 are not here"));
    assert_non_null(strstr(err.text, "assay data import aime aime_2026.json"));
    const char *const file = p.file;
    if (ds_import(&ds_aime, p.root, &file, 1, &info, &p.arena, &err) != AS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(load(&task, &p, "aime", &err), AS_OK);
    assert_int_equal(task.protocol->repeats, 4);
    assert_int_equal(task.n_samples, 1);
    assert_true(as_str_eq_z(task.samples[0].target, "5"));
    assert_true(as_str_eq_z(task.samples[0].group, "2026-I"));
    assert_int_equal(task.dataset.n_splits, 1); /* other years do not change its hash */
    assert_int_equal(su_aime.prompt(&task, task.samples, 0, &rq, &p.arena, &err), AS_OK);
    assert_true(as_str_eq_z(rq.messages[0].text,
                            "Put your final answer within \\boxed{}.\nThe answer is an integer "
                            "between 0 and 999 inclusive.\n\nFind $2+3$."));
    assert_int_equal(load(&task, &p, "aime:2024", &err), AS_OK);
    assert_int_equal(su_aime.prompt(&task, task.samples, 0, &rq, &p.arena, &err), AS_OK);
    assert_true(as_str_starts(rq.messages[0].text,
                              AS_STR("Please reason step by step, and put your final answer")));
    assert_int_equal(load(&task, &p, "aime:2024-completion", &err), AS_OK);
    assert_int_equal(su_aime.prompt(&task, task.samples, 0, &rq, &p.arena, &err), AS_OK);
    assert_true(as_str_eq_z(rq.prompt, "Question: Find $3$.\nAnswer:"));
    assert_int_equal(load(&task, &p, "aime:all", &err), AS_RANGE);
    assert_non_null(strstr(err.text, "the problems of 2025 are not here"));
    assert_int_equal(load(&task, &p, "aime:2023", &err), AS_RANGE);
    assert_non_null(strstr(err.text, "there are: 2026, 2025, 2024, all"));
    assert_int_equal(load(&task, &p, "aim", &err), AS_RANGE);
    assert_non_null(strstr(err.text, "no suite \"aim\"; there are: mmlu_pro, aime"));
    clean_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_integer),
        cmocka_unit_test(compares_with_the_gold),
        cmocka_unit_test(counts_votes),
        cmocka_unit_test(asks_as_matharena_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
