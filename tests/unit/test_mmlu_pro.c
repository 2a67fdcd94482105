/*
 * MMLU-Pro: extraction, prompts, and the official sums. The recorded files of the shared folder
 * (AS_SHARED) must give every number of their official results; a fixture of 375 answers always.
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
#include "base/jsonl.h"
#include "datasets/importers.h"
#include "scorers/scorers.h"
#include "suites/suites.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* -------------------------------------------------------------------------- extraction */

static const struct {
    const char *why;
    as_str text;
    char want; /* 0: none */
    int rule;
} letters[] = {
    {"the sentence", AS_STR_INIT("The answer is (C)."), 'C', 1},
    {"brackets may be missing", AS_STR_INIT("answer is D"), 'D', 1},
    {"the first sentence wins", AS_STR_INIT("answer is (B). Question: answer is (C)"), 'B', 1},
    {"no word boundary behind the letter", AS_STR_INIT("the answer is Both"), 'B', 1},
    {"nor behind I", AS_STR_INIT("The answer is Indeed (C)"), 'I', 1},
    {"a sentence without letter is passed over", AS_STR_INIT("answer is K, answer is (E"), 'E', 1},
    {"double bracket is no sentence", AS_STR_INIT("answer is ((B"), 'B', 3},
    {"case counts", AS_STR_INIT("Answer Is (B) answer IS C"), 'C', 3},
    {"sentence cut at its end", AS_STR_INIT("the answer is ("), 0, 0},
    {"mark with a capital", AS_STR_INIT("Answer: F because J"), 'F', 2},
    {"the last mark of the first line", AS_STR_INIT("answer: A answer: B\nanswer: C"), 'B', 2},
    {"white space leads into later lines", AS_STR_INIT("Final Answer:\n\n  G\nanswer: H"), 'G', 2},
    {"a line whose marks fail is passed over", AS_STR_INIT("answer: x\nanswer: D"), 'D', 2},
    {"a bracket stops the mark", AS_STR_INIT("answer: (D)"), 'D', 3},
    {"Unicode white space too", AS_STR_INIT("answer:\xC2\xA0\xE3\x80\x80J"), 'J', 2},
    {"unit separator is white space in Python",
     AS_STR_INIT("answer:\x1F"
                 "B"),
     'B', 2},
    {"zero width space is not",
     AS_STR_INIT("answer:\xE2\x80\x8B"
                 "B"),
     'B', 3},
    {"carriage return does not end a line", AS_STR_INIT("answer: A\ranswer: B"), 'B', 2},
    {"the last letter that stands alone", AS_STR_INIT("A or B? I say C."), 'C', 3},
    {"the pronoun is an option", AS_STR_INIT("So that is what I think"), 'I', 3},
    {"not inside words", AS_STR_INIT("BAD CAFE K"), 0, 0},
    {"underscore and digits are word characters", AS_STR_INIT("A_ B2 3C"), 0, 0},
    {"letters of any script too",
     AS_STR_INIT("A\xC3\xA9 \xE4\xB8\xAD"
                 "B C\xD7\x90"),
     0, 0},
    {"numbers of any script too",
     AS_STR_INIT("A\xC2\xB2 \xC2\xBD"
                 "B \xE2\x91\xA0"
                 "C"),
     0, 0},
    {"combining marks are not", AS_STR_INIT("B\xCC\x81"), 'B', 3},
    {"bad bytes are not",
     AS_STR_INIT("\xC3"
                 "D\xFF"),
     'D', 3},
    {"a half character is not", AS_STR_INIT("E\xE4\xB8"), 'E', 3},
    {"NUL bytes are text", AS_STR_INIT("x\0answer is \0H\0"), 'H', 3},
    {"empty answer", AS_STR_INIT(""), 0, 0},
};

static void finds_the_official_letter(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(letters); i++) {
        const sc_letter got = sc_mmlu_pro_find(letters[i].text);
        const char letter = got.rule != 0 ? got.text.p[0] : 0;
        if (letter != letters[i].want || got.rule != letters[i].rule)
            fail_msg("%s: got %c by rule %d, want %c by %d", letters[i].why,
                     letter != 0 ? letter : '-', got.rule,
                     letters[i].want != 0 ? letters[i].want : '-', letters[i].rule);
    }
}

static const struct {
    const char *why, *text;
    as_finish finish;
    as_error_kind error;
    const char *recorded; /* key, or NULL */
    as_verdict want;
} judged[] = {
    {"right", "The answer is (B).", AS_FINISH_STOP, 0, NULL, AS_RIGHT},
    {"wrong", "The answer is (C).", AS_FINISH_UNKNOWN, 0, NULL, AS_WRONG},
    {"the recorded key wins", "The answer is (C).", AS_FINISH_STOP, 0, "C", AS_RIGHT},
    {"nothing found", "no idea", AS_FINISH_STOP, 0, NULL, AS_UNPARSED},
    {"cut and right is right", "The answer is (B).", AS_FINISH_LENGTH, 0, NULL, AS_RIGHT},
    {"cut and wrong is cut", "The answer is (C).", AS_FINISH_LENGTH, 0, NULL, AS_TRUNCATED},
    {"cut without answer is cut", "so we", AS_FINISH_LENGTH, 0, NULL, AS_TRUNCATED},
    {"no text at the limit is cut", "", AS_FINISH_LENGTH, 0, NULL, AS_TRUNCATED},
    {"blanks are no text", " \n", AS_FINISH_STOP, 0, NULL, AS_EMPTY},
    {"blocked", "", AS_FINISH_BLOCKED, 0, NULL, AS_REFUSED},
    {"failed, though text came", "The answer is (B).", AS_FINISH_ERROR, AS_ERROR_TIMEOUT, NULL,
     AS_ERROR},
};

static void judges_around_the_scorer(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    const as_sample sample = {.id = AS_STR("1"), .target = AS_STR("B"), .n_choices = 4};
    for (size_t i = 0; i < COUNT(judged); i++) {
        as_response r;
        as_response_init(&r);
        r.text = as_str_of(judged[i].text);
        r.finish = judged[i].finish;
        r.error = judged[i].error;
        r.recorded.target = as_str_of(judged[i].recorded);
        as_score s;
        as_err err = {0};
        assert_int_equal(sc_judge(&sc_choice_mmlu_pro, &sample, &r, &s, &arena, &err), AS_OK);
        if (s.verdict != judged[i].want ||
            (s.value > 0.5) != (judged[i].want == AS_RIGHT)) /* value is 0 or 1 */
            fail_msg("%s: got %s", judged[i].why, as_verdict_name(s.verdict));
    }
    as_arena_release(&arena);
}

static void api_scorer_drops_bold_and_thinking(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    const as_sample sample = {.target = AS_STR("B")};
    as_response r;
    as_response_init(&r);
    r.text = AS_STR("<think>answer is (A)</think>The **answer** is **(B)**");
    as_score s;
    assert_int_equal(sc_judge(&sc_choice_mmlu_pro_api, &sample, &r, &s, &arena, NULL), AS_OK);
    assert_int_equal(s.verdict, AS_RIGHT);
    assert_int_equal(s.rule, 1);
    r.text = AS_STR("The answer is **(B)**");
    assert_int_equal(sc_judge(&sc_choice_mmlu_pro, &sample, &r, &s, &arena, NULL), AS_OK);
    assert_int_equal(s.rule, 3);
    as_arena_release(&arena);
}

/* ------------------------------------------------------------------------ recorded files */

typedef struct replay {
    as_arena arena;
    as_result *rows;
    size_t n;
    size_t cap;
    int64_t by_rule[4];
} replay;

static void add_answer(replay *r, const as_json *line, const char *id_key)
{
    as_str text;
    as_str group;
    as_str gold;
    as_str id = {0};
    int64_t number = 0;
    int64_t n_options = 0;
    as_err err = {0};
    assert_int_equal(as_json_need_str(line, "response", &text, &err), AS_OK);
    assert_int_equal(as_json_need_str(line, "category", &group, &err), AS_OK);
    assert_int_equal(as_json_need_str(line, "answer", &gold, &err), AS_OK);
    assert_int_equal(as_json_need_i64(line, "n_options", 1, 16, &n_options, &err), AS_OK);
    if (as_json_i64(as_json_get(line, id_key), &number))
        id = as_arena_printf(&r->arena, "%lld", (long long)number);
    else if (as_json_str(as_json_get(line, id_key), &id))
        id = as_arena_str(&r->arena, id);
    if (r->n == r->cap) {
        r->cap = r->cap != 0 ? 2 * r->cap : 512;
        r->rows = realloc(r->rows, r->cap * sizeof *r->rows);
        assert_non_null(r->rows);
    }
    as_response answer;
    as_response_init(&answer);
    answer.text = as_arena_str(&r->arena, text);
    answer.recorded.target = as_arena_str(&r->arena, gold);
    const as_sample sample = {.id = id, .target = AS_STR("?")};
    as_result *row = &r->rows[r->n++];
    *row = (as_result){
        .item = id, .group = as_arena_str(&r->arena, group), .n_choices = (int)n_options};
    assert_int_equal(sc_judge(&sc_choice_mmlu_pro, &sample, &answer, &row->score, &r->arena, &err),
                     AS_OK);
    r->by_rule[row->score.rule]++;
}

static void check_letter(const as_result *row, const as_json *line)
{
    as_str want1 = {0};
    as_str want2 = {0};
    int64_t rule = 0;
    (void)as_json_str(as_json_get(line, "level1"), &want1);
    (void)as_json_str(as_json_get(line, "level2"), &want2);
    assert_true(as_json_i64(as_json_get(line, "rule"), &rule));
    const as_str got1 = row->score.rule == 1 ? row->score.prediction : (as_str){0};
    if (!as_str_eq(got1, want1) || !as_str_eq(row->score.prediction, want2) ||
        row->score.rule != rule)
        fail_msg("item %.*s: got %.*s by rule %d, want %.*s by %d", AS_ARG(row->item),
                 AS_ARG(row->score.prediction), row->score.rule, AS_ARG(want2), (int)rule);
}

static void read_answers(replay *r, const char *path, const char *id_key, bool has_letters)
{
    as_err err = {0};
    as_jsonl *in = NULL;
    *r = (replay){0};
    as_arena_init(&r->arena, 0);
    if (as_jsonl_open(&in, path, 0, &err) != AS_OK)
        fail_msg("%s", err.text);
    for (as_json *line = NULL;; as_json_free(line)) {
        if (as_jsonl_next(in, &line, &err) != AS_OK)
            fail_msg("%s", err.text);
        if (line == NULL)
            break;
        add_answer(r, line, id_key);
        if (has_letters)
            check_letter(&r->rows[r->n - 1], line);
    }
    as_jsonl_close(in);
}

static void release_replay(replay *r)
{
    free(r->rows);
    as_arena_release(&r->arena);
}

static as_json *read_json(const char *path)
{
    as_buf text;
    as_json *tree = NULL;
    as_err err = {0};
    as_buf_init(&text, 0);
    if (as_read_file(&text, path, &err) != AS_OK ||
        as_json_parse(&tree, as_buf_str(&text), &err) != AS_OK)
        fail_msg("%s", err.text);
    as_buf_release(&text);
    return tree;
}

static double metric(const as_metric *all, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (as_str_eq_z(all[i].name, name))
            return all[i].value;
    fail_msg("no metric %s", name);
    return 0;
}

static const as_group *group(const as_summary *s, const char *name)
{
    for (int i = 0; i < s->n_groups; i++)
        if (as_str_eq_z(s->groups[i].name, name))
            return &s->groups[i];
    fail_msg("no group %s", name);
    return NULL;
}

static double number(const as_json *node, const char *key)
{
    double v = 0;
    if (!as_json_f64(as_json_get(node, key), &v))
        fail_msg("no number %s", key);
    return v;
}

/* To the last digit. */
static void same(const char *what, const char *name, double got, double want)
{
    if (memcmp(&got, &want, sizeof got) != 0)
        fail_msg("%s: %s: got %.17g, want %.17g", what, name, got, want);
}

static const char *name_of(const as_json *member, char name[64])
{
    (void)snprintf(name, 64, "%.*s", AS_ARG(as_json_key(member)));
    return name;
}

static void check_local(const as_summary *s, const as_json *official)
{
    const as_json *all = as_json_get(official, "official_evaluate_from_local");
    char name[64];
    for (const as_json *g = as_json_first(all); g != NULL; g = as_json_next(g)) {
        if (as_json_type(g) != AS_JSON_OBJECT)
            continue;
        (void)name_of(g, name);
        const bool is_total = strcmp(name, "total") == 0;
        const as_group *mine = is_total ? NULL : group(s, name);
        const as_metric *m = is_total ? s->metrics : mine->metrics;
        const int n = is_total ? s->n_metrics : mine->n_metrics;
        const double right = metric(m, n, "save_res_right");
        same(name, "corr", right, number(g, "corr"));
        same(name, "wrong", (double)(is_total ? s->n : mine->n) - right, number(g, "wrong"));
        same(name, "accu", metric(m, n, "save_res"), number(g, "accu"));
    }
}

static void check_subjects(const as_summary *s, const as_json *official)
{
    const as_json *all = as_json_get(official, "per_category");
    char name[64];
    assert_int_equal(s->n_groups, as_json_count(all));
    for (const as_json *g = as_json_first(all); g != NULL; g = as_json_next(g)) {
        const as_group *mine = group(s, name_of(g, name));
        const as_metric *m = mine->metrics;
        const int n = mine->n_metrics;
        same(name, "n", (double)mine->n, number(g, "n"));
        same(name, "level1", metric(m, n, "level1"), number(g, "level1_acc"));
        same(name, "level2", metric(m, n, "level2"), number(g, "level2_acc"));
        same(name, "level1_right", metric(m, n, "level1_right"), number(g, "level1_correct"));
        same(name, "level2_right", metric(m, n, "level2_right"), number(g, "level2_correct"));
        same(name, "level1_none", metric(m, n, "level1_none"), number(g, "level1_none"));
        same(name, "level2_none", metric(m, n, "level2_none"), number(g, "level2_none"));
        same(name, "score", mine->score, number(g, "level2_acc"));
    }
}

static void check_totals(const as_summary *s, const replay *r, const as_json *official)
{
    const as_json *guess = as_json_get(official, "official_compute_accuracy");
    const as_json *none = as_json_get(official, "no_random_guess");
    const as_json *totals = as_json_get(official, "totals");
    const as_metric *m = s->metrics;
    const int n = s->n_metrics;
    same("total", "n", (double)s->n, number(official, "n"));
    same("total", "level1_random", metric(m, n, "level1_random"), number(guess, "level1"));
    same("total", "level2_random", metric(m, n, "level2_random"), number(guess, "level2"));
    same("total", "level1", metric(m, n, "level1"), number(none, "level1"));
    same("total", "level2", metric(m, n, "level2"), number(none, "level2"));
    same("total", "score", s->score, number(none, "level2"));
    same("total", "level1_right", metric(m, n, "level1_right"), number(totals, "level1_correct"));
    same("total", "level2_right", metric(m, n, "level2_right"), number(totals, "level2_correct"));
    same("total", "level1_none", metric(m, n, "level1_none"), number(totals, "level1_none"));
    same("total", "level2_none", metric(m, n, "level2_none"), number(totals, "level2_none"));
    same("total", "macro", metric(m, n, "macro"), number(official, "macro_level2"));
    const as_json *rules = as_json_get(official, "rules_used");
    for (int i = 0; i < 4; i++) {
        const char key[] = {(char)('0' + i), '\0'};
        double want = 0;
        (void)as_json_f64(as_json_get(rules, key), &want);
        same("rule", key, (double)r->by_rule[i], want);
    }
}

static void check_letters_file(const replay *r, const char *path)
{
    as_jsonl *in = NULL;
    as_err err = {0};
    assert_int_equal(as_jsonl_open(&in, path, 0, &err), AS_OK);
    size_t i = 0;
    for (as_json *line = NULL;; as_json_free(line), i++) {
        assert_int_equal(as_jsonl_next(in, &line, &err), AS_OK);
        if (line == NULL)
            break;
        assert_true(i < r->n);
        check_letter(&r->rows[i], line);
    }
    assert_int_equal(i, r->n);
    as_jsonl_close(in);
}

static void gives_the_official_numbers(void **state)
{
    (void)state;
    static const char *const models[] = {"gemini-1.5-pro-002", "llama-3.1-8b-instruct", "gemma-7b",
                                         "qwen1.5-7b-chat"};
    const char *shared = getenv("AS_SHARED");
    if (shared == NULL) {
        print_message("skipped: AS_SHARED does not name the folder with the recorded files\n");
        skip();
    }
    for (size_t i = 0; i < COUNT(models); i++) {
        char path[512];
        replay r;
        as_summary s;
        (void)snprintf(path, sizeof path, "%s/replay/mmlu_pro_responses_%s.jsonl.gz", shared,
                       models[i]);
        read_answers(&r, path, "question_id", false);
        assert_int_equal(su_mmlu_pro.summarise(NULL, r.rows, r.n, &s, &r.arena, NULL), AS_OK);
        (void)snprintf(path, sizeof path, "%s/replay/mmlu_pro_official_%s.json", shared, models[i]);
        as_json *official = read_json(path);
        check_totals(&s, &r, official);
        check_local(&s, official);
        check_subjects(&s, official);
        as_json_free(official);
        (void)snprintf(path, sizeof path, "%s/replay/mmlu_pro_letters_%s.jsonl.gz", shared,
                       models[i]);
        if (as_file_exists(path))
            check_letters_file(&r, path);
        print_message("%s: level1 %.16g level2 %.16g save_res %.0f right macro %.16g\n", models[i],
                      metric(s.metrics, s.n_metrics, "level1_random"),
                      metric(s.metrics, s.n_metrics, "level2_random"),
                      metric(s.metrics, s.n_metrics, "save_res_right"),
                      metric(s.metrics, s.n_metrics, "macro"));
        release_replay(&r);
    }
}

static void gives_the_fixtures_numbers(void **state)
{
    (void)state;
    const char *fixtures = getenv("AS_FIXTURES");
    assert_non_null(fixtures);
    char path[512];
    char name[64];
    replay r;
    as_summary s;
    (void)snprintf(path, sizeof path, "%s/mmlu_pro/answers.jsonl.gz", fixtures);
    read_answers(&r, path, "id", true);
    (void)snprintf(path, sizeof path, "%s/mmlu_pro/expected.json", fixtures);
    as_json *want = read_json(path);
    assert_int_equal(su_mmlu_pro.summarise(NULL, r.rows, r.n, &s, &r.arena, NULL), AS_OK);
    static const char *const shares[] = {"level1", "level2", "level1_random", "level2_random",
                                         "save_res_right"};
    for (size_t i = 0; i < COUNT(shares); i++)
        same("total", shares[i], metric(s.metrics, s.n_metrics, shares[i]),
             number(want, shares[i]));
    same("total", "n", (double)s.n, number(want, "n"));
    double guessed = 0;
    for (const as_json *g = as_json_first(as_json_get(want, "groups")); g != NULL;
         g = as_json_next(g)) {
        const as_group *mine = group(&s, name_of(g, name));
        same(name, "n", (double)mine->n, number(g, "n"));
        same(name, "save_res_right", metric(mine->metrics, mine->n_metrics, "save_res_right"),
             number(g, "save_res_right"));
        same(name, "level2_right", metric(mine->metrics, mine->n_metrics, "level2_right"),
             number(g, "level2_right"));
        guessed += metric(mine->metrics, mine->n_metrics, "level2_random") * (double)mine->n;
    }
    assert_true(fabs(guessed / (double)s.n - metric(s.metrics, s.n_metrics, "level2_random")) <
                1e-12);
    as_json_free(want);
    release_replay(&r);
}

static void no_rows_and_failed_rows(void **state)
{
    (void)state;
    as_arena arena;
    as_summary s;
    as_arena_init(&arena, 0);
    assert_int_equal(su_mmlu_pro.summarise(NULL, NULL, 0, &s, &arena, NULL), AS_OK);
    assert_int_equal(s.n, 0);
    assert_true(isnan(s.score));
    assert_true(isnan(metric(s.metrics, s.n_metrics, "level2")));
    assert_true(isnan(metric(s.metrics, s.n_metrics, "macro")));
    assert_true(isnan(metric(s.metrics, s.n_metrics, "save_res")));
    const as_result rows[] = {
        {.item = AS_STR("1"), .group = AS_STR("law"), .score = {.verdict = AS_ERROR}},
        {.item = AS_STR("2"),
         .score = {.verdict = AS_RIGHT,
                   .rule = 3,
                   .value = 1,
                   .prediction = AS_STR("B"),
                   .target = AS_STR("B")}},
    };
    assert_int_equal(su_mmlu_pro.summarise(NULL, rows, COUNT(rows), &s, &arena, NULL), AS_OK);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.anatomy[AS_ERROR], 1);
    assert_int_equal(s.n_groups, 0);
    same("one", "level2", metric(s.metrics, s.n_metrics, "level2"), 1);
    same("one", "level1", metric(s.metrics, s.n_metrics, "level1"), 0);
    as_arena_release(&arena);
}

/* ------------------------------------------------------------------------------ prompts */

/* Invented rows. The second option of the test question keeps its blank. */
static const char test_rows[] =
    "{\"question_id\":7,\"category\":\"law\",\"src\":\"x\",\"question\":\" What now?\","
    "\"options\":[\"stay\",\" go\",\"N/A\",\"N/A\"],\"answer\":\"B\",\"answer_index\":1,"
    "\"cot_content\":\"\"}\n";

static void write_validation(const char *path, int n)
{
    as_buf b;
    as_buf_init(&b, 0);
    for (int i = 0; i < n; i++)
        (void)as_buf_printf(
            &b,
            "{\"question_id\":%d,\"category\":\"law\",\"question\":\"Q%d\",\"options\":[\"a%d\","
            "\"b\"],\"answer\":\"A\",\"answer_index\":0,\"cot_content\":\"A: Let's think step by "
            "step. Because %d. The answer is (A).\"}\n",
            i, i, i, i);
    assert_int_equal(as_write_file(path, as_buf_str(&b), NULL), AS_OK);
    as_buf_release(&b);
}

typedef struct place {
    char dir[64], root[128], test[128], validation[128];
} place;

static void make_place(place *p)
{
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/assay-mmlu-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->root, sizeof p->root, "%s/data", p->dir);
    (void)snprintf(p->test, sizeof p->test, "%s/rows.jsonl", p->dir);
    (void)snprintf(p->validation, sizeof p->validation, "%s/validation.jsonl", p->dir);
    assert_int_equal(as_write_file(p->test, as_str_of(test_rows), NULL), AS_OK);
}

static void clean_place(const place *p)
{
    static const char *const names[] = {"data/mmlu_pro/manifest.json", "data/mmlu_pro/test.jsonl",
                                        "data/mmlu_pro/validation.jsonl", "rows.jsonl",
                                        "validation.jsonl"};
    char path[256];
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/mmlu_pro", p->root);
    (void)rmdir(path);
    (void)rmdir(p->root);
    if (rmdir(p->dir) != 0)
        fail_msg("%s: something was left", p->dir);
}

static void import(const place *p, const char *file, as_arena *arena)
{
    as_err err = {0};
    ds_info info;
    if (ds_import(&ds_mmlu_pro, p->root, &file, 1, &info, arena, &err) != AS_OK)
        fail_msg("%s", err.text);
}

static void load(su_task *task, const place *p, int protocol, bool want_prompts, as_arena *arena)
{
    as_err err = {0};
    const su_load_options o = {p->root, want_prompts};
    if (su_mmlu_pro.load(task, &su_mmlu_pro, &su_mmlu_pro.protocols[protocol], &o, arena, &err) !=
        AS_OK)
        fail_msg("%s", err.text);
}

static void says_what_to_import(void **state)
{
    (void)state;
    place p;
    as_arena arena;
    su_task task;
    as_err err = {0};
    make_place(&p);
    as_arena_init(&arena, 0);
    const su_load_options want = {p.root, true};
    assert_int_equal(
        su_mmlu_pro.load(&task, &su_mmlu_pro, su_mmlu_pro.protocols, &want, &arena, &err),
        AS_RANGE);
    assert_non_null(strstr(err.text, "assay data import mmlu_pro FILE"));
    import(&p, p.test, &arena);
    assert_int_equal(
        su_mmlu_pro.load(&task, &su_mmlu_pro, su_mmlu_pro.protocols, &want, &arena, &err),
        AS_RANGE);
    assert_non_null(strstr(err.text, "`assay data import mmlu_pro validation.json`"));
    assert_non_null(strstr(err.text, "TIGER-Lab%2FMMLU-Pro&config=default&split=validation"));
    load(&task, &p, 0, false, &arena); /* recorded answers need no examples */
    assert_int_equal(task.n_samples, 1);
    assert_int_equal(task.samples[0].n_choices, 2);
    assert_true(as_str_eq_z(task.samples[0].choices[1], " go"));
    write_validation(p.validation, 4);
    import(&p, p.validation, &arena);
    assert_int_equal(
        su_mmlu_pro.load(&task, &su_mmlu_pro, su_mmlu_pro.protocols, &want, &arena, &err),
        AS_RANGE);
    assert_non_null(strstr(err.text, "4 validation rows for the subject \"law\", want 5"));
    as_arena_release(&arena);
    clean_place(&p);
}

#define INTRO                                                                                      \
    "The following are multiple choice questions (with answers) about law. Think step by step "    \
    "and then finish your answer with \"the answer is (X)\" where X is the correct letter "        \
    "choice.\n\n\n\n"
#define EXAMPLE(i)                                                                                 \
    "Question:\nQ" i "\nOptions:\nA. a" i "\nB. b\nAnswer: Let's think step by step. Because " i   \
    ". The answer is (A).\n\n"
#define API_EXAMPLE(i)                                                                             \
    "Question: Q" i "\nOptions: A. a" i "\nB. b\nAnswer: Let's think step by step. Because " i     \
    ". The answer is (A).\n\n"
static const char test_prompt[] =
    "Question:\n What now?\nOptions:\nA. stay\nB.  go\nAnswer: Let's think step by step.";

static void equal_text(as_str got, const char *want)
{
    if (!as_str_eq_z(got, want))
        fail_msg("got:\n%.*s\nwant:\n%s", AS_ARG(got), want);
}

static void makes_the_official_prompts(void **state)
{
    (void)state;
    place p;
    as_arena arena;
    su_task task;
    as_request rq = {0};
    make_place(&p);
    as_arena_init(&arena, 0);
    import(&p, p.test, &arena);
    write_validation(p.validation, 6);
    import(&p, p.validation, &arena);
    load(&task, &p, 0, true, &arena);
    assert_int_equal(su_mmlu_pro.prompt(&task, task.samples, 5, &rq, &arena, NULL), AS_OK);
    equal_text(rq.prefix, INTRO EXAMPLE("0") EXAMPLE("1") EXAMPLE("2") EXAMPLE("3") EXAMPLE("4"));
    equal_text(rq.prompt, test_prompt);
    const as_str five = rq.prefix;
    assert_int_equal(su_mmlu_pro.prompt(&task, task.samples, 1, &rq, &arena, NULL), AS_OK);
    equal_text(rq.prefix, INTRO EXAMPLE("0"));
    assert_ptr_equal(rq.prefix.p, five.p); /* built once */
    assert_int_equal(su_mmlu_pro.prompt(&task, task.samples, 0, &rq, &arena, NULL), AS_OK);
    equal_text(rq.prefix, INTRO);
    rq = (as_request){0};
    load(&task, &p, 1, true, &arena);
    assert_int_equal(su_mmlu_pro.prompt(&task, task.samples, 2, &rq, &arena, NULL), AS_OK);
    assert_int_equal(rq.n_messages, 1);
    equal_text(rq.messages[0].role, "user");
    equal_text(
        rq.messages[0].text,
        "The following are multiple choice questions (with answers) about law. Think step "
        "by step and then output the answer in the format of \"The answer is (X)\" at the "
        "end.\n\n" API_EXAMPLE("0") API_EXAMPLE(
            "1") "Question:  What now?\nOptions: A. stay\nB.  go\nAnswer: Let's think step by "
                 "step.\n\n");
    as_arena_release(&arena);
    clean_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_official_letter),
        cmocka_unit_test(judges_around_the_scorer),
        cmocka_unit_test(api_scorer_drops_bold_and_thinking),
        cmocka_unit_test(gives_the_fixtures_numbers),
        cmocka_unit_test(gives_the_official_numbers),
        cmocka_unit_test(no_rows_and_failed_rows),
        cmocka_unit_test(says_what_to_import),
        cmocka_unit_test(makes_the_official_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
