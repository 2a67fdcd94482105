/* Ratings: CodeElo, likeliest and prior-weighted Elo, Bradley–Terry; worked examples, odd inputs,
 * and the recorded cases. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/stats.h"
#include "scorers/rating/arena_rank.h"
#include "scorers/rating/elo.h"
#include "unit/cm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: got %.17g, want %.17g", what, got, want);
}

/* ---------------------------------------------------------------------- expected rank */

static const sc_standing twelve[] = {
    {3500, 0, 2600}, {3100, 0, 2350}, {2600, 0, 2200}, {2450, 0, 1900},
    {1900, 0, 2050}, {1450, 0, 1750}, {1400, 0, 1600}, {950, 0, 1500},
    {900, 0, 1350},  {450, 0, 1200},  {400, 0, 1000},  {0, 0, 900},
};

static const struct {
    const char *why;
    double points, penalty;
    size_t rank;
    int rating;
} contests[] = {
    {"an equal row is not beaten", 1450, 0, 6, 1835},
    {"but it is with less penalty", 1450, -1, 5, 1987},
    {"more penalty puts behind the equals", 1450, 10, 6, 1835},
    {"nothing solved", 0, 0, 12, 865},
    {"first: one below the end of the search", 3501, 0, 0, 2699},
};

static void expects_a_rank(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(contests); i++) {
        const size_t rank =
            sc_codeelo_rank(twelve, COUNT(twelve), contests[i].points, contests[i].penalty);
        int rating = -1;
        assert_int_equal(sc_codeelo_rating(&rating, twelve, COUNT(twelve), rank, NULL), AS_OK);
        if (rank != contests[i].rank || rating != contests[i].rating)
            fail_msg("%s: rank %zu, rating %d", contests[i].why, rank, rating);
    }
    /* The definition itself: the expected seed passes the rank between rating and rating + 1. */
    for (size_t rank = 2; rank <= COUNT(twelve); rank++) {
        int rating = -1;
        assert_int_equal(sc_codeelo_rating(&rating, twelve, COUNT(twelve), rank, NULL), AS_OK);
        double at[2] = {1, 1};
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < COUNT(twelve); i++)
                at[k] += 1 / (1 + pow(10, (rating + k - twelve[i].rating) / 400));
        if (!(at[0] >= (double)rank && at[1] < (double)rank))
            fail_msg("rank %zu: seeds %g and %g around %d", rank, at[0], at[1], rating);
    }
}

static void refuses_contests(void **state)
{
    (void)state;
    int rating = 7;
    as_err err = {0};
    const sc_standing bad = {1, 0, (double)NAN};
    assert_int_equal(sc_codeelo_rating(&rating, twelve, 0, 0, &err), AS_RANGE);
    assert_int_equal(sc_codeelo_rating(&rating, twelve, 3, 4, &err), AS_RANGE);
    assert_int_equal(sc_codeelo_rating(&rating, &bad, 1, 0, &err), AS_RANGE);
    assert_int_equal(rating, 7);
    const sc_standing low = {0, 0, -5000};
    assert_int_equal(sc_codeelo_rating(&rating, &low, 1, 1, &err), AS_OK);
    assert_int_equal(rating, 0);
}

/* ------------------------------------------------------------------------- likelihood */

static const double eight[] = {800, 1000, 1200, 1400, 1600, 1900, 2100, 2400};

static void finds_the_likeliest(void **state)
{
    (void)state;
    const double solved[] = {1, 1, 1, 1, 0, 1, 0, 0};
    const double rates[] = {1, 1, .9, .8, .4, .5, .2, 0};
    const double all[] = {1, 1, 1, 1, 1, 1, 1, 1};
    const double none[8] = {0};
    sc_estimate e;
    assert_int_equal(sc_elo_ml(&e, eight, solved, 8, NULL), AS_OK);
    near("likeliest", e.value, 1758.57, 0.005);
    near("its error", e.se, 207.3, 0.05);
    near("lower end", e.lo, e.value - 1.959963984540054 * e.se, 1e-9);
    assert_int_equal(sc_elo_map(&e, eight, solved, 8, 1500, 400, NULL), AS_OK);
    near("with a prior", e.value, 1704.13, 0.005);
    assert_int_equal(sc_elo_ml(&e, eight, rates, 8, NULL), AS_OK);
    near("pass rates", e.value, 1709.40, 0.005);
    assert_int_equal(sc_elo_map(&e, eight, all, 8, 1500, 400, NULL), AS_OK);
    near("all solved, with a prior", e.value, 2331.91, 0.005);
    assert_int_equal(e.bound, SC_FINITE);
    assert_int_equal(sc_elo_ml(&e, eight, all, 8, NULL), AS_OK);
    assert_true(isnan(e.value) && isnan(e.lo) && e.bound == SC_ABOVE);
    assert_int_equal(sc_elo_ml(&e, eight, none, 8, NULL), AS_OK);
    assert_true(isnan(e.value) && e.bound == SC_BELOW);
    /* far from the problems, yet finite */
    const double far[] = {1e-6, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(sc_elo_ml(&e, eight, far, 8, NULL), AS_OK);
    assert_true(e.value < -1000 && e.value > -4000);
}

static void refuses_outcomes(void **state)
{
    (void)state;
    const double good[] = {1};
    const double above[] = {1.5};
    const double nan[] = {(double)NAN};
    sc_estimate e;
    as_err err = {0};
    assert_int_equal(sc_elo_ml(&e, eight, good, 0, &err), AS_RANGE);
    assert_int_equal(sc_elo_ml(&e, eight, above, 1, &err), AS_RANGE);
    assert_int_equal(sc_elo_ml(&e, eight, nan, 1, &err), AS_RANGE);
    assert_int_equal(sc_elo_ml(&e, nan, good, 1, &err), AS_RANGE);
    assert_int_equal(sc_elo_map(&e, eight, good, 1, 1500, 0, &err), AS_RANGE);
}

/* --------------------------------------------------------------------- Bradley–Terry */

static const char *const abc[] = {"A", "B", "C", "D"};

static const sc_battles worked[] = {
    {0, 1, 1, 60}, {0, 1, .5, 10}, {0, 1, 0, 30},  {1, 2, 1, 55}, {1, 2, .5, 10},
    {1, 2, 0, 35}, {0, 2, 1, 70},  {0, 2, .5, 10}, {0, 2, 0, 20},
};

static void ranks_three_models(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    sc_arena_rank r;
    static const double rating[] = {1099.188765015756, 987.5600922717628, 913.2511427124814};
    /* 60 digits of the same formulas, not the recorded file, whose half widths carry the rounding
     * of an ill-conditioned inverse in their eighth digit */
    static const double half[] = {32.98241818441181, 31.56112626412837, 32.54474109234362};
    assert_int_equal(sc_arena_fit(&r, abc, 3, worked, COUNT(worked), false, &arena, NULL), AS_OK);
    for (int i = 0; i < 3; i++) {
        near(abc[i], r.rating[i], rating[i], 1e-9);
        near("half width", r.half[i], half[i], 1e-9);
        assert_int_equal(r.rank[i], i + 1);
    }
    /* Played ten times as often, A against B weighs no more when reweighted. */
    sc_battles often[COUNT(worked)];
    memcpy(often, worked, sizeof often);
    for (int i = 0; i < 3; i++)
        often[i].count *= 10;
    assert_int_equal(sc_arena_fit(&r, abc, 3, often, COUNT(often), true, &arena, NULL), AS_OK);
    for (int i = 0; i < 3; i++)
        near("reweighted", r.rating[i], rating[i], 1e-9);
    assert_int_equal(sc_arena_fit(&r, abc, 3, often, COUNT(often), false, &arena, NULL), AS_OK);
    near("unweighted", r.rating[0], 1097.3638, 5e-5);
    /* The order of rows and of the two names in a row does not matter. */
    sc_battles turned[COUNT(worked)];
    for (size_t i = 0; i < COUNT(worked); i++) {
        const sc_battles *b = &worked[COUNT(worked) - 1 - i];
        turned[i] = (sc_battles){b->b, b->a, 1 - b->outcome, b->count};
    }
    assert_int_equal(sc_arena_fit(&r, abc, 3, turned, COUNT(turned), false, &arena, NULL), AS_OK);
    for (int i = 0; i < 3; i++)
        near("turned round", r.rating[i], rating[i], 1e-9);
    as_arena_release(&arena);
}

static const struct {
    const char *why;
    sc_battles rows[4];
    size_t n;
    int n_models;
    as_code want;
} arenas[] = {
    {"a model that only wins", {{0, 1, 1, 5}, {1, 2, 1, 3}, {2, 1, 1, 3}}, 3, 3, AS_RANGE},
    {"a model that only loses", {{0, 1, 1, 5}, {1, 0, 1, 3}, {1, 2, 1, 3}}, 3, 3, AS_RANGE},
    {"two groups that never met", {{0, 1, .5, 5}, {2, 3, .5, 3}}, 2, 4, AS_RANGE},
    {"a model without a battle", {{0, 1, .5, 5}}, 1, 3, AS_RANGE},
    {"one tie is enough", {{0, 1, .5, 1}}, 1, 2, AS_OK},
    {"a circle", {{0, 1, 1, 1}, {1, 2, 1, 1}, {2, 0, 1, 1}}, 3, 3, AS_OK},
    {"nobody", {{0, 1, .5, 1}}, 0, 0, AS_RANGE},
    {"against itself", {{1, 1, 1, 1}}, 1, 2, AS_RANGE},
    {"an outcome of 2", {{0, 1, 2, 1}}, 1, 2, AS_RANGE},
    {"a negative count", {{0, 1, .5, -1}}, 1, 2, AS_RANGE},
};

static void refuses_what_has_no_rating(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    for (size_t i = 0; i < COUNT(arenas); i++) {
        sc_arena_rank r = {0};
        as_err err = {0};
        const as_code c = sc_arena_fit(&r, abc, arenas[i].n_models, arenas[i].rows, arenas[i].n,
                                       false, &arena, &err);
        if (c != arenas[i].want)
            fail_msg("%s: %s", arenas[i].why, c == AS_OK ? "was rated" : err.text);
        if (c == AS_OK)
            near(arenas[i].why, r.rating[0], 1000, 1e-9);
    }
    as_arena_release(&arena);
}

/* ------------------------------------------------------------------------- recorded */

static as_json *recorded(const char *name, as_buf *text)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    const char *shared = getenv("AS_SHARED");
    const char *dir = shared != NULL ? as_path_join(&scratch, shared, "replay") : NULL;
    const char *path = dir != NULL ? as_path_join(&scratch, dir, name) : NULL;
    as_json *tree = NULL;
    as_buf_init(text, 0);
    if (path != NULL && as_file_exists(path)) {
        assert_int_equal(as_read_file(text, path, NULL), AS_OK);
        assert_int_equal(as_json_parse(&tree, as_buf_str(text), NULL), AS_OK);
    }
    as_arena_release(&scratch);
    return tree;
}

static double f64(const as_json *item, const char *key)
{
    double v = (double)NAN;
    (void)as_json_f64(as_json_get(item, key), &v);
    return v;
}

static void agrees_with_recorded_pass_at_k(void **state)
{
    (void)state;
    as_buf text;
    as_json *list = recorded("pass_at_k_cases.json", &text);
    if (list == NULL)
        skip();
    size_t n = 0;
    for (const as_json *c = as_json_first(list); c != NULL; c = as_json_next(c), n++)
        near("pass@k", as_pass_at_k((int)f64(c, "n"), (int)f64(c, "c"), (int)f64(c, "k")),
             f64(c, "value"), 1e-9);
    assert_true(n >= 100);
    as_json_free(list);
    as_buf_release(&text);
}

static size_t read_list(const as_json *list, double *out, size_t cap)
{
    size_t n = 0;
    for (const as_json *v = as_json_first(list); v != NULL && n < cap; v = as_json_next(v), n++)
        assert_true(as_json_f64(v, &out[n]));
    return n;
}

static void agrees_with_recorded_likelihoods(void **state)
{
    (void)state;
    enum { CAP = 1000 };
    static double difficulty[CAP], solved[CAP];
    as_buf text;
    as_json *list = recorded("elo_mle_cases.json", &text);
    if (list == NULL)
        skip();
    for (const as_json *c = as_json_first(list); c != NULL; c = as_json_next(c)) {
        const size_t n = read_list(as_json_get(c, "difficulty"), difficulty, CAP);
        assert_int_equal(read_list(as_json_get(c, "solved"), solved, CAP), n);
        sc_estimate e;
        assert_int_equal(sc_elo_map(&e, difficulty, solved, n, 1500, 400, NULL), AS_OK);
        near("map", e.value, f64(c, "map_mu1500_sd400"), 1e-9);
        assert_int_equal(sc_elo_ml(&e, difficulty, solved, n, NULL), AS_OK);
        if (as_json_type(as_json_get(c, "ml")) == AS_JSON_NULL)
            assert_true(isnan(e.value) && e.bound != SC_FINITE);
        else
            near("ml", e.value, f64(c, "ml"), 1e-9);
    }
    as_json_free(list);
    as_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expects_a_rank),
        cmocka_unit_test(refuses_contests),
        cmocka_unit_test(finds_the_likeliest),
        cmocka_unit_test(refuses_outcomes),
        cmocka_unit_test(ranks_three_models),
        cmocka_unit_test(refuses_what_has_no_rating),
        cmocka_unit_test(agrees_with_recorded_pass_at_k),
        cmocka_unit_test(agrees_with_recorded_likelihoods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
