#define _XOPEN_SOURCE 700 /* nftw */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
/* The suites of programs: importing rows with bulky tests, choosing problems, prompts, sums. */
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "datasets/importers.h"
#include "scorers/code/tests.h"
#include "suites/codeforces.h"
#include "suites/suites.h"
#include "unit/cm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const su_suite *const suites[] = {&su_livecodebench, &su_codeforces, NULL};

typedef struct world {
    char root[64];
    as_arena keep;
} world;

static int set_up(void **state)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    (void)snprintf(w->root, sizeof w->root, "/tmp/assay-programs-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    as_arena_init(&w->keep, 0);
    *state = w;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    world *w = *state;
    (void)nftw(w->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    as_arena_release(&w->keep);
    free(w);
    return 0;
}

static const char *put_file(world *w, const char *name, as_str text)
{
    const char *path = as_path_join(&w->keep, w->root, name);
    assert_int_equal(as_write_file(path, text, NULL), AS_OK);
    return path;
}

static as_code import(world *w, const ds_importer *importer, const char *path, ds_info *info,
                      as_err *err)
{
    const char *root = as_path_join(&w->keep, w->root, "data");
    return ds_import(importer, root, &path, 1, info, &w->keep, err);
}

static as_code load(world *w, su_task *out, const char *name, as_err *err)
{
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    const su_load_options options = {.data_root = as_path_join(&w->keep, w->root, "data")};
    AS_TRY(su_find(suites, as_str_of(name), &suite, &protocol, &w->keep, err));
    return suite->load(out, suite, protocol, &options, &w->keep, err);
}

/* ---- import -------------------------------------------------------------------------------- */

#define ROW(id, date, difficulty, tests)                                                           \
    "{\"question_title\":\"T\",\"question_content\":\"Q " id "\",\"platform\":\"atcoder\","        \
    "\"question_id\":\"" id "\",\"contest_id\":\"c\",\"contest_date\":\"" date "T00:00:00\","      \
    "\"starter_code\":\"\"," tests "\"difficulty\":\"" difficulty "\",\"metadata\":\"{}\"}\n"
#define ONE_TEST "\"public_test_cases\":\"[{\\\"input\\\":\\\"1\\\",\\\"output\\\":\\\"2\\\"}]\","

static void imports_rows_of_any_length(void **state)
{
    world *w = *state;
    /* 40 MB of tests in one row: many pieces, escapes at their borders. */
    enum { N = 40 << 20 };
    as_buf b;
    as_buf_init(&b, N + (1 << 20));
    (void)as_buf_add_z(
        &b, "{\"public_test_cases\":\"[]\",\"private_test_cases\":\"[{\\\"input\\\":\\\"");
    while (b.n < N)
        (void)as_buf_add_z(&b, "abc\\\\n\\\\\\\"");
    (void)as_buf_add_z(
        &b, "\\\",\\\"output\\\":\\\"x\\\"}]\"  ,\n\"question_content\" : \"Q\",\"question_id\":"
            "\"big\",\"contest_date\":\"2025-01-05\",\"difficulty\":\"hard\"}\n");
    (void)as_buf_add_z(&b, ROW("small", "2025-02-01", "easy", ONE_TEST));
    assert_int_equal(as_buf_ok(&b, NULL), AS_OK);
    ds_info info;
    as_err err = {0};
    const char *path = put_file(w, "test6.jsonl", as_buf_str(&b));
    if (import(w, &ds_livecodebench, path, &info, &err) != AS_OK)
        fail_msg("%s", err.text);
    assert_non_null(strstr(info.notes.p, "2 rows, the published file of v6 has 175"));
    as_buf_release(&b);
    su_task task;
    if (load(w, &task, "livecodebench:v6", &err) != AS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(task.n_samples, 2);
    assert_true(as_str_eq_z(task.samples[0].id, "big"));
    assert_true(task.samples[0].tests->bytes > N);
    sc_tests t;
    assert_int_equal(sc_tests_read(&t, task.samples[0].tests, &err), AS_OK);
    assert_int_equal(t.n, 1);
    assert_true(as_str_eq_z(t.tests[0].output, "\"x\""));
    sc_tests_release(&t);
    assert_int_equal(sc_tests_read(&t, task.samples[1].tests, &err), AS_OK);
    assert_true(as_str_eq_z(t.tests[0].input, "\"1\""));
    sc_tests_release(&t);
    assert_int_equal(ds_verify(as_path_join(&w->keep, w->root, "data"), "livecodebench", &err),
                     AS_OK);
    /* A byte of the tests changed behind our back is noticed when they are used. */
    FILE *f = fopen(task.samples[1].tests->path.p, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)task.samples[1].tests->at + 3, SEEK_SET), 0);
    assert_int_equal(fputc('x', f), 'x');
    assert_int_equal(fclose(f), 0);
    assert_int_equal(sc_tests_read(&t, task.samples[1].tests, &err), AS_INTEGRITY);
    assert_int_equal(sc_tests_read(&t, task.samples[0].tests, &err), AS_OK);
    sc_tests_release(&t);
}

static const struct {
    const char *why, *text, *says;
} refused[] = {
    {"no rows", "\n\n", "holds no rows"},
    {"an array", "[{}]", "one JSON object after another"},
    {"cut off", "{\"question_id\":\"a", "ends inside a row"},
    {"no colon", "{\"question_id\" \"a\"}", "want a colon"},
    {"no comma", "{\"question_id\":\"a\" \"b\":1}", "want a comma"},
    {"no value", "{\"public_test_cases\":,\"b\":1}", "has no value"},
    {"two numbers", "{\"b\":1 2}", "want a comma"},
    {"a control character", "{\"private_test_cases\":\"a\nb\"}", "control character"},
    {"bad date", ROW("a", "2025-2-01", "easy", ONE_TEST), "no date"},
    {"no id", "{\"public_test_cases\":\"[]\"}", "question_id"},
    {"twice", ROW("a", "2025-02-01", "easy", ONE_TEST) ROW("a", "2025-02-01", "easy", ONE_TEST),
     "every id may occur once"},
    {"line number", ROW("a", "2025-02-01", "easy", ONE_TEST) "\n{]", "line 3"},
};

static void refuses_broken_rows(void **state)
{
    world *w = *state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        ds_info info;
        as_err err = {0};
        const char *path = put_file(w, "x.jsonl", as_str_of(refused[i].text));
        if (import(w, &ds_livecodebench, path, &info, &err) == AS_OK ||
            strstr(err.text, refused[i].says) == NULL)
            fail_msg("%s: %s", refused[i].why, err.text);
    }
    /* Without its tests a row is small. */
    as_buf b;
    as_err err = {0};
    ds_info info;
    as_buf_init(&b, DS_MAX_SMALL + (1 << 20));
    (void)as_buf_add_z(&b, "{\"question_content\":\"");
    while (b.n < DS_MAX_SMALL + 10)
        (void)as_buf_add_z(&b, "0123456789abcdef");
    (void)as_buf_add_z(&b, "\"}");
    const char *path = put_file(w, "x.jsonl", as_buf_str(&b));
    assert_int_equal(import(w, &ds_livecodebench, path, &info, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "without its tests"));
    as_buf_release(&b);
}

/* ---- which problems ------------------------------------------------------------------------ */

static const struct {
    const char *id;
    size_t n;         /* 0: no such protocol or no problem */
    const char *says; /* then: what the error says */
    int repeats;
    const char *scorer;
} chosen[] = {
    {"v6", 3, NULL, 1, "code_lcb"},
    {"v6-official", 3, NULL, 10, "code_lcb"},
    {"v6-script", 3, NULL, 1, "code_lcb_script"},
    {"v5", 1, NULL, 1, "code_lcb"},
    {"v5_v6", 4, NULL, 1, "code_lcb"},
    {"v5_v6-official", 4, NULL, 10, "code_lcb"},
    {"v5_v6@2025-02-01..2025-03-31", 2, NULL, 1, "code_lcb"},
    {"v6@2025-02-01..2025-02-01", 1, NULL, 1, "code_lcb"},
    {"v6@2025-02-02..2025-02-27", 0, "no problem lies in those dates", 0, NULL},
    {"release_v6", 0, "v1 is not here: save https://", 0, NULL},
    {"2025-01-01..2025-12-31", 0, "v1 is not here", 0, NULL},
    {"v4", 0, "test4.jsonl", 0, NULL},
    {"own", 0, "problems of your own", 0, NULL},
    {"v7", 0, "no protocol", 0, NULL},
    {"v0", 0, "no protocol", 0, NULL},
    {"v6_v5", 0, "no protocol", 0, NULL},
    {"v6_v6", 0, "no protocol", 0, NULL},
    {"v6@2025-03-01..2025-02-01", 0, "no protocol", 0, NULL},
    {"v6@2025-3-01..2025-04-01", 0, "no protocol", 0, NULL},
    {"v6-offical", 0, "no protocol", 0, NULL},
    {"release_v", 0, "no protocol", 0, NULL},
    {"", 0, "no protocol", 0, NULL},
};

static void import_two_files(world *w)
{
    ds_info info;
    as_err err = {0};
    const char *five =
        put_file(w, "lcb_v5.jsonl", AS_STR(ROW("abc343_a", "2024-12-31", "easy", ONE_TEST)));
    const char *six = put_file(w, "test6.jsonl",
                               AS_STR(ROW("p1", "2025-02-01", "easy", ONE_TEST)
                                          ROW("p2", "2025-02-28", "hard", ONE_TEST)
                                              ROW("p3", "2025-04-06", "hard", ONE_TEST)));
    if (import(w, &ds_livecodebench, five, &info, &err) != AS_OK ||
        import(w, &ds_livecodebench, six, &info, &err) != AS_OK)
        fail_msg("%s", err.text);
}

static void chooses_files_and_dates(void **state)
{
    world *w = *state;
    import_two_files(w);
    for (size_t i = 0; i < COUNT(chosen); i++) {
        su_task task = {0};
        as_err err = {0};
        char name[80];
        (void)snprintf(name, sizeof name, "livecodebench:%s", chosen[i].id);
        const as_code c = load(w, &task, name, &err);
        if ((c == AS_OK) != (chosen[i].n != 0) || (c == AS_OK && task.n_samples != chosen[i].n) ||
            (c != AS_OK && strstr(err.text, chosen[i].says) == NULL))
            fail_msg("%s: %zu problems, %s", chosen[i].id, task.n_samples, err.text);
        if (c != AS_OK)
            continue;
        assert_string_equal(task.protocol->id, chosen[i].id);
        assert_int_equal(task.protocol->repeats, chosen[i].repeats);
        assert_string_equal(task.protocol->scorer, chosen[i].scorer);
    }
}

/* ---- prompts and sums ---------------------------------------------------------------------- */

static void asks_as_upstream(void **state)
{
    world *w = *state;
    su_task task;
    as_request rq = {0};
    as_err err = {0};
    import_two_files(w);
    assert_int_equal(load(w, &task, "livecodebench:v6", &err), AS_OK);
    assert_int_equal(task.suite->prompt(&task, &task.samples[0], 0, &rq, &w->keep, &err), AS_OK);
    assert_int_equal(rq.n_messages, 2);
    assert_true(as_str_eq_z(rq.messages[0].role, "system"));
    assert_true(as_str_starts(rq.messages[0].text, AS_STR("You are an expert Python programmer.")));
    assert_true(as_str_eq(
        rq.messages[1].text,
        AS_STR(
            "### Question:\nQ p1\n\n### Format: Read the inputs from stdin solve the problem and "
            "write the answer to stdout (do not directly test on the sample inputs). Enclose "
            "your code within delimiters as follows. Ensure that when the python program runs, "
            "it reads the inputs, runs the algorithm and writes output to STDOUT.\n```python\n"
            "# YOUR CODE HERE\n```\n\n### Answer: (use the provided format with backticks)\n\n")));
    ds_info info;
    const char *path =
        put_file(w, "mine.jsonl",
                 AS_STR("{\"question_id\":\"f\",\"question_content\":\"Q\",\"difficulty\":\"easy\","
                        "\"contest_date\":"
                        "\"2025-01-01\",\"starter_code\":\"class Solution:\\n    def g(self):\\n   "
                        "     \"," ONE_TEST "\"metadata\":\"{\\\"func_name\\\":\\\"g\\\"}\"}"));
    assert_int_equal(import(w, &ds_livecodebench, path, &info, &err), AS_OK);
    assert_int_equal(load(w, &task, "livecodebench:own", &err), AS_OK);
    assert_true(as_str_eq_z(task.samples[0].tests->spec, "{\"fn\":\"g\"}"));
    assert_int_equal(task.suite->prompt(&task, &task.samples[0], 0, &rq, &w->keep, &err), AS_OK);
    assert_true(as_str_eq(
        rq.messages[1].text,
        AS_STR("### Question:\nQ\n\n### Format: You will use the following starter code to write "
               "the solution to the problem and enclose your code within delimiters.\n```python\n"
               "class Solution:\n    def g(self):\n        \n```\n\n### Answer: (use the provided "
               "format with backticks)\n\n")));
}

static double metric(const as_summary *s, const char *name)
{
    for (int i = 0; i < s->n_metrics; i++)
        if (as_str_eq_z(s->metrics[i].name, name))
            return s->metrics[i].value;
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

/* R right, W wrong, U ungraded, one letter a run. */
static size_t fill(as_result *rows, const char *const *of, const char *const *items,
                   const char *const *groups, size_t n_items)
{
    size_t n = 0;
    for (size_t i = 0; i < n_items; i++)
        for (const char *c = of[i]; *c != '\0'; c++) {
            const as_verdict v = *c == 'R' ? AS_RIGHT : *c == 'W' ? AS_WRONG : AS_UNGRADED;
            rows[n++] = (as_result){.item = as_str_of(items[i]),
                                    .group = as_str_of(groups[i]),
                                    .repeat = (int)(c - of[i]),
                                    .score = {.verdict = v, .value = v == AS_RIGHT ? 1 : 0}};
        }
    return n;
}

static void sums_up_livecodebench(void **state)
{
    world *w = *state;
    su_task task;
    as_summary s = {0};
    as_result rows[32];
    import_two_files(w);
    assert_int_equal(load(w, &task, "livecodebench:v5_v6", NULL), AS_OK);
    static const char *const of[] = {"RWWWWW", "RRRWWW", "WWWWWW", "RRRRRU"};
    static const char *const items[] = {"abc343_a", "p1", "p2", "p3"};
    static const char *const groups[] = {"easy", "easy", "hard", "hard"};
    const size_t n = fill(rows, of, items, groups, 4);
    assert_int_equal(task.suite->summarise(&task, rows, n, &s, &w->keep, NULL), AS_OK);
    assert_true(fabs(metric(&s, "pass@1") - (1 / 6.0 + 0.5 + 0 + 1) / 4) < 1e-12);
    /* k = 5 of 6: 1 - C(5,5)/C(6,5) = 5/6; three right: 1; none: 0; five of five: 1 */
    assert_true(fabs(metric(&s, "pass@k") - (5 / 6.0 + 1 + 0 + 1) / 4) < 1e-12);
    assert_true(metric(&s, "k") == 5);
    assert_int_equal(group(&s, "easy")->n, 12);
    assert_int_equal(group(&s, "2025-02")->n, 12);
    assert_int_equal(group(&s, "2025-04")->n, 5);
    assert_true(fabs(group(&s, "errata: several_answers")->score - 1 / 6.0) < 1e-12);
}

/* ---- Codeforces ---------------------------------------------------------------------------- */

#define PROBLEM(id, contest, points, rating)                                                       \
    "{\"id\":\"" id "\",\"contest\":\"" contest "\",\"question\":\"Q\",\"points\":" points         \
    ",\"rating\":" rating                                                                          \
    ",\"time_limit_ms\":1000,\"memory_mb\":256,\"tests\":[{\"input\":\"1\",\"output\":\"1\"}]}\n"

static void import_contests(world *w)
{
    ds_info info;
    as_err err = {0};
    const char *problems = put_file(
        w, "problems.jsonl",
        AS_STR(PROBLEM("A", "one", "500", "800") PROBLEM("B", "one", "1000", "1000")
                   PROBLEM("C", "one", "1500", "1200") PROBLEM("D", "one", "2000", "1400")
                       PROBLEM("X", "two", "null", "null") PROBLEM("Y", "two", "null", "1600")));
    const char *contests = put_file(
        w, "contests.jsonl",
        AS_STR("{\"id\":\"one\",\"standings\":[[3500,0,2600],[3100,0,2350],[2600,0,2200],[2450,0,"
               "1900],"
               "[1900,0,2050],[1450,0,1750],[1400,0,1600],[950,0,1500],[900,0,1350],[450,0,1200],"
               "[400,0,1000],[0,0,900]]}\n{\"id\":\"two\",\"standings\":[[2,0,1500],[1,10,1200],[0,"
               "0,900]]}\n"));
    if (import(w, &ds_codeforces, problems, &info, &err) != AS_OK ||
        import(w, &ds_codeforces, contests, &info, &err) != AS_OK)
        fail_msg("%s", err.text);
}

static void rates_contests(void **state)
{
    world *w = *state;
    su_task task;
    as_result rows[32];
    su_codeforces_rating r;
    as_err err = {0};
    import_contests(w);
    if (load(w, &task, "codeforces", &err) != AS_OK)
        fail_msg("%s", err.text);
    /* The worked example: A at once, B at the second try (an attempt that could not be graded does
     * not count), C and D never: 500 + 950 points, rank 6, rating 1835. */
    static const char *const of[] = {"RWW", "WUR", "WWW", "WWW"};
    static const char *const items[] = {"A", "B", "C", "D"};
    static const char *const groups[] = {"one", "one", "one", "one"};
    const size_t n = fill(rows, of, items, groups, 4);
    assert_int_equal(su_codeforces_rate(&r, &task, rows, n, &w->keep, &err), AS_OK);
    assert_int_equal(r.n_contests, 1); /* the other one was not asked */
    assert_true(r.contests[0].score == 1450 && r.contests[0].rank == 6);
    assert_int_equal(r.contests[0].rating, 1835);
    assert_true(r.rating == 1835 && isnan(r.lo));
    assert_int_equal(r.n_rated, 4);
    assert_int_equal(r.n_small, 1);
    /* A contest without points counts problems and penalty; X and Y: one solved at the second try. */
    static const char *const two[] = {"WR", "WW"};
    static const char *const xy[] = {"X", "Y"};
    static const char *const of_two[] = {"two", "two"};
    assert_int_equal(
        su_codeforces_rate(&r, &task, rows, fill(rows, two, xy, of_two, 2), &w->keep, &err), AS_OK);
    assert_true(r.contests[0].score == 1 && r.contests[0].penalty == 10 && r.contests[0].rank == 2);
    assert_int_equal(r.n_rated, 1);
    assert_int_equal(r.ml.bound, SC_BELOW);
    as_summary s = {0};
    assert_int_equal(task.suite->summarise(&task, rows, 4, &s, &w->keep, NULL), AS_OK);
    assert_true(metric(&s, "rating") == r.rating && metric(&s, "pass@k") == 0.5);
    assert_true(isnan(metric(&s, "rating_ml")));
}

static void asks_as_codeelo(void **state)
{
    world *w = *state;
    su_task task;
    as_request rq = {0};
    import_contests(w);
    assert_int_equal(load(w, &task, "codeforces:once", NULL), AS_OK);
    assert_int_equal(task.suite->prompt(&task, &task.samples[0], 0, &rq, &w->keep, NULL), AS_OK);
    assert_true(as_str_eq(
        rq.messages[0].text,
        AS_STR("You are a coding expert. Given a competition-level coding problem, you need to "
               "write a C++ program to solve it. You may start by outlining your thought process. "
               "In the end, please provide the complete code in a code block enclosed with ``` "
               "```.\n\nQ")));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(imports_rows_of_any_length),
        T(refuses_broken_rows),
        T(chooses_files_and_dates),
        T(asks_as_upstream),
        T(sums_up_livecodebench),
        T(rates_contests),
        T(asks_as_codeelo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
