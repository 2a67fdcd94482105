/* CPython's generator against values that CPython itself wrote (see fixtures.source). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/json.h"
#include "base/pyrandom.h"

static as_json *fixtures;

static int setup(void **state)
{
    (void)state;
    char path[512];
    as_buf text;
    const char *dir = getenv("AS_FIXTURES");
    if (dir == NULL)
        return 1;
    as_buf_init(&text, 0);
    (void)snprintf(path, sizeof path, "%s/python_random/fixtures.json", dir);
    const as_code c = as_read_file(&text, path, NULL);
    const as_code parsed = c == AS_OK ? as_json_parse(&fixtures, as_buf_str(&text), NULL) : c;
    as_buf_release(&text);
    return parsed == AS_OK ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    as_json_free(fixtures);
    return 0;
}

static void check_permutations(const as_json *list, as_pyrandom *r, bool is_shuffle)
{
    assert_true(as_json_count(list) > 0);
    for (const as_json *want = as_json_first(list); want != NULL; want = as_json_next(want)) {
        int got[4] = {0, 1, 2, 3};
        if (is_shuffle)
            as_pyrandom_shuffle(r, got, 4);
        else
            as_pyrandom_sample(r, 4, 4, got);
        int i = 0;
        for (const as_json *v = as_json_first(want); v != NULL; v = as_json_next(v), i++) {
            int64_t x = -1;
            assert_true(as_json_i64(v, &x));
            assert_int_equal(got[i], x);
        }
        assert_int_equal(i, 4);
    }
}

static void check_numbers(const as_json *of_seed, uint64_t seed)
{
    static const int sizes[] = {10, 4, 9, 3, 10, 7, 8, 5, 6, 10};
    as_pyrandom r;
    as_pyrandom_seed(&r, seed);
    const as_json *list = as_json_get(of_seed, "getrandbits32");
    assert_true(as_json_count(list) > 0);
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        int64_t want = -1;
        assert_true(as_json_i64(v, &want));
        assert_int_equal(as_pyrandom_bits(&r, 32), want);
    }
    as_pyrandom_seed(&r, seed);
    list = as_json_get(of_seed, "choice_A_to_J");
    assert_true(as_json_count(list) > 0);
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        as_str want;
        assert_true(as_json_str(v, &want));
        assert_int_equal("ABCDEFGHIJ"[as_pyrandom_below(&r, 10)], want.p[0]);
    }
    as_pyrandom_seed(&r, seed);
    list = as_json_get(of_seed, "randint_sizes_10_4_9_3_10_7_8_5_6_10");
    assert_int_equal(as_json_count(list), 10);
    int i = 0;
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v), i++) {
        int64_t want = -1;
        assert_true(as_json_i64(v, &want));
        assert_int_equal(as_pyrandom_int(&r, 0, sizes[i] - 1), want);
    }
    as_pyrandom_seed(&r, seed);
    for (const as_json *v = as_json_first(as_json_get(of_seed, "random")); v != NULL;
         v = as_json_next(v)) {
        double want = 0;
        assert_true(as_json_f64(v, &want));
        const double got = as_pyrandom_f64(&r);
        assert_memory_equal(&got, &want, sizeof got);
    }
}

static void equals_cpython(void **state)
{
    (void)state;
    assert_true(as_json_count(fixtures) >= 5);
    for (const as_json *s = as_json_first(fixtures); s != NULL; s = as_json_next(s)) {
        uint64_t seed = 0;
        as_pyrandom r;
        assert_true(as_parse_u64(as_json_key(s), &seed));
        check_numbers(s, seed);
        as_pyrandom_seed(&r, seed);
        check_permutations(as_json_get(s, "sample_range4_4"), &r, false);
        as_pyrandom_seed(&r, seed);
        check_permutations(as_json_get(s, "shuffle_0123"), &r, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_cpython)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
