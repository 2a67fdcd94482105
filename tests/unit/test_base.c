/* test_base.c — errors, arenas, text, buffers, UTF-8, hashes, generators, files, child programs. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/proc.h"
#include "base/regex.h"
#include "base/rng.h"
#include "base/time.h"
#include "base/utf8.h"
#include "unit/cm.h"

static void errors_carry_context_outermost_first(void **state)
{
    (void)state;
    as_err err = {0};
    assert_int_equal(as_fail(&err, AS_PARSE, "bad %s", "JSON"), AS_PARSE);
    assert_int_equal(as_wrap(&err, "line %d", 7), AS_PARSE);
    assert_int_equal(as_wrap(&err, "x.jsonl"), AS_PARSE);
    assert_string_equal(err.text, "x.jsonl: line 7: bad JSON");
    errno = ENOENT;
    assert_int_equal(as_fail_sys(&err, "a/b"), AS_IO);
    assert_int_equal(err.sys, ENOENT);
    assert_string_equal(err.text, "a/b: No such file or directory");
}

static void long_errors_are_cut_at_a_character(void **state)
{
    (void)state;
    char text[2000];
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xE2\x82\xAC", 3);
    text[sizeof text - 2] = '\0';
    text[1998] = '\0';
    as_err err = {0};
    (void)as_fail(&err, AS_RANGE, "x%s", text);
    const size_t n = strlen(err.text);
    assert_true(n < sizeof err.text);
    assert_string_equal(err.text + n - 3, "...");
    assert_true(as_utf8_is_valid(as_str_of(err.text)));
}

static void arenas_respect_limit_alignment_and_marks(void **state)
{
    (void)state;
    as_arena a;
    as_arena_init(&a, 1 << 16);
    for (size_t align = 1; align <= 64; align *= 2)
        assert_int_equal((uintptr_t)as_arena_alloc(&a, 3, align) % align, 0);
    const size_t mark = as_arena_mark(&a);
    char *first = as_arena_alloc(&a, 100, 1);
    memset(first, 7, 100);
    for (int i = 0; i < 100; i++)
        assert_non_null(as_arena_alloc(&a, 400, 8));
    as_arena_rewind(&a, mark);
    assert_int_equal(as_arena_mark(&a), mark);
    char *again = as_arena_alloc(&a, 100, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(again[i], 0); /* memory is zeroed, also when used before */
    assert_null(as_arena_alloc(&a, 1 << 17, 1));
    assert_null(as_arena_alloc_n(&a, SIZE_MAX / 2, 16, 8));
    as_arena_release(&a);
}

static void an_arena_can_be_emptied_and_filled_for_ever(void **state)
{
    (void)state;
    as_arena a;
    as_arena_init(&a, 1 << 20);
    for (int round = 0; round < 1000; round++) {
        as_arena_rewind(&a, 0);
        for (int i = 0; i < 20; i++)
            assert_non_null(as_arena_alloc(&a, (size_t)(1 + (round * 37 + i * 911) % 9000), 16));
    }
    as_arena_release(&a);
}

static void injected_failures_surface(void **state)
{
    (void)state;
    as_arena a;
    as_arena_init(&a, 0);
    as_arena_fail_after(2);
    assert_non_null(as_arena_alloc(&a, 1, 1));
    assert_null(as_arena_alloc(&a, 1, 1));
    assert_non_null(as_arena_alloc(&a, 1, 1));
    as_arena_release(&a);
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *text;
        bool ok;
        int64_t want;
    } rows[] = {
        {"plain", "42", true, 42},
        {"signs", "-7", true, -7},
        {"plus sign", "+7", true, 7},
        {"smallest", "-9223372036854775808", true, INT64_MIN},
        {"largest", "9223372036854775807", true, INT64_MAX},
        {"one too large", "9223372036854775808", false, 0},
        {"blank in front", " 1", false, 0},
        {"blank behind", "1 ", false, 0},
        {"empty", "", false, 0},
        {"sign alone", "-", false, 0},
        {"hex", "0x10", false, 0},
        {"two signs", "--1", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t v = 99;
        const bool ok = as_parse_i64(as_str_of(rows[i].text), INT64_MIN, INT64_MAX, &v);
        if (ok != rows[i].ok || v != (ok ? rows[i].want : 99))
            fail_msg("%s: %d %lld", rows[i].why, ok, (long long)v);
    }
    double d = 0;
    assert_true(as_parse_f64(AS_STR("-1.5e3"), &d) && d == -1500);
    assert_false(as_parse_f64(AS_STR("nan"), &d));
    assert_false(as_parse_f64(AS_STR("1e999"), &d));
    assert_false(as_parse_f64(AS_STR("0x1p3"), &d));
    assert_false(as_parse_f64(AS_STR("1.5 "), &d));
}

static void hex_is_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_hex;
        uint64_t want;
    } rows[] = {
        {"0", true, 0},     {"aF09", true, 0xAF09}, {"ffffffffffffffff", true, UINT64_MAX},
        {"", false, 0},     {"12g", false, 0},      {"0x1", false, 0},
        {" 1", false, 0},   {"@", false, 0},        {"00000000000000001", false, 0},
        {"\xC1", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t v = 42;
        assert_int_equal(as_parse_hex(as_str_of(rows[i].text), &v), rows[i].is_hex);
        assert_true(v == (rows[i].is_hex ? rows[i].want : 42));
    }
}

static void text_is_found_cut_and_trimmed(void **state)
{
    (void)state;
    const as_str s = AS_STR("a\0b,c,\0d");
    as_str head, tail;
    assert_true(as_str_cut(s, ',', &head, &tail));
    assert_int_equal(head.n, 3);
    assert_int_equal(as_str_find(s, AS_STR("\0d")), 6);
    assert_int_equal(as_str_rfind(s, AS_STR(",")), 5);
    assert_int_equal(as_str_find(s, AS_STR("zz")), SIZE_MAX);
    assert_true(as_str_eq(as_str_trim(AS_STR(" \t x y\n")), AS_STR("x y")));
    assert_int_equal(as_str_cmp(AS_STR("ab"), AS_STR("abc")), -1);
    assert_true(as_str_eq(as_str_sub(s, 5, 100), AS_STR(",\0d")));
    assert_false(as_str_cut(AS_STR("xyz"), ',', &head, &tail));
    assert_int_equal(tail.n, 0);
}

static void buffers_stop_at_their_maximum(void **state)
{
    (void)state;
    as_buf b;
    as_buf_init(&b, 10);
    assert_int_equal(as_buf_add_z(&b, "12345"), AS_OK);
    assert_int_equal(as_buf_add_z(&b, "123456"), AS_NOMEM);
    assert_int_equal(as_buf_add_z(&b, "1"), AS_NOMEM); /* sticky */
    assert_string_equal(b.p, "12345");
    assert_int_equal(as_buf_ok(&b, NULL), AS_NOMEM);
    as_buf_reset(&b);
    assert_int_equal(as_buf_printf(&b, "%s-%d", "ab", 123), AS_OK);
    as_buf_drop(&b, 3);
    assert_string_equal(b.p, "123");
    as_buf_release(&b);
}

static void base64_goes_and_comes_back(void **state)
{
    (void)state;
    static const char *const rows[][2] = {/* RFC 4648, section 10 */
                                          {"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xFB\xFF\xBF", "+/+/"}};
    static const struct {
        const char *text, *says;
    } bad[] = {{"Zm9", "bad padding at offset 0"},      {"Zm9vZ===", "bad padding at offset 4"},
               {"Zg==Zg==", "bad padding at offset 0"}, {"Zm9v\nZg=", "byte 0x0a at offset 4"},
               {"Zm-v", "byte 0x2d at offset 2"},       {"Zm9v=", "bad padding at offset 4"}};
    as_buf b;
    as_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_buf_reset(&b);
        assert_int_equal(as_base64_add(&b, as_str_of(rows[i][0])), AS_OK);
        assert_true(as_str_eq_z(as_buf_str(&b), rows[i][1]));
        uint8_t piece[3];
        size_t at = 0, n_all = 0;
        for (size_t n = 1; n != 0; n_all += n) {
            assert_int_equal(as_base64_next(as_buf_str(&b), &at, piece, 3, &n, NULL), AS_OK);
            assert_memory_equal(piece, rows[i][0] + n_all, n);
        }
        assert_int_equal(n_all, strlen(rows[i][0]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        as_err err = {0};
        uint8_t bytes[16];
        size_t at = 0, n = 0;
        assert_int_equal(as_base64_next(as_str_of(bad[i].text), &at, bytes, 16, &n, &err),
                         AS_PARSE);
        assert_non_null(strstr(err.text, bad[i].says));
    }
    as_buf_release(&b);
}

static void arrays_double(void **state)
{
    (void)state;
    int *a = NULL;
    size_t cap = 0;
    int n_moves = 0;
    for (int i = 0; i < 1000; i++) {
        const size_t before = cap;
        int *more = as_grow(a, (size_t)i, &cap, sizeof *a);
        assert_non_null(more);
        assert_true((size_t)i < cap && (cap == before || cap == 16 || cap == before * 2));
        n_moves += cap != before;
        a = more;
        a[i] = i;
    }
    assert_int_equal(n_moves, 7); /* 16 to 1024 */
    for (int i = 0; i < 1000; i++)
        assert_int_equal(a[i], i);
    assert_null(as_grow(a, cap, &cap, SIZE_MAX / 1024));
    assert_int_equal(cap, 1024);
    free(a);
    cap = SIZE_MAX / 2 + 1;
    assert_null(as_grow(NULL, cap, &cap, 1));
}

static void utf8_is_judged_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        as_str text;
        size_t want;
    } rows[] = {
        {"ASCII", AS_STR_INIT("a"), 1},
        {"two bytes", AS_STR_INIT("\xC3\xA9"), 2},
        {"three bytes", AS_STR_INIT("\xE2\x82\xAC"), 3},
        {"four bytes", AS_STR_INIT("\xF0\x9F\x98\x80"), 4},
        {"overlong", AS_STR_INIT("\xC0\x80"), 0},
        {"overlong three", AS_STR_INIT("\xE0\x80\x80"), 0},
        {"surrogate", AS_STR_INIT("\xED\xA0\x80"), 0},
        {"above the last plane", AS_STR_INIT("\xF4\x90\x80\x80"), 0},
        {"cut short", AS_STR_INIT("\xE2\x82"), 0},
        {"continuation first", AS_STR_INIT("\x80"), 0},
        {"empty", AS_STR_INIT(""), 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (as_utf8_len(rows[i].text) != rows[i].want)
            fail_msg("%s: %zu", rows[i].why, as_utf8_len(rows[i].text));
    assert_int_equal(as_utf8_cut(AS_STR("a\xE2\x82\xAC"), 3).n, 1);
    assert_int_equal(as_utf8_complete(AS_STR("a\xE2\x82")), 1);
    assert_int_equal(as_utf8_complete(AS_STR("a\xE2\x82\xAC")), 4);
    assert_int_equal(as_utf8_width(AS_STR("e\xCC\x81\xE6\x97\xA5")), 3);
}

static void utf8_round_trips_every_scalar_value(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        char z[4];
        const size_t n = as_utf8_encode(c, z);
        uint32_t back = 0;
        if (as_utf8_decode((as_str){z, n}, &back) != n || back != c)
            fail_msg("U+%04X", c);
    }
}

static void hashes_are_the_published_ones(void **state)
{
    (void)state;
    char hex[AS_SHA256_HEX];
    const as_sha256 h = as_sha256_of(AS_STR("abc")); /* FIPS 180-4, example */
    as_sha256_hex(hex, &h);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    as_sha256 back;
    assert_true(as_sha256_parse(&back, as_str_of(hex)));
    assert_memory_equal(&back, &h, sizeof h);
    assert_false(as_sha256_parse(&back, AS_STR("zz")));
    as_sha256_state *s = as_sha256_new();
    as_sha256_add(s, AS_STR("a"));
    as_sha256_add(s, AS_STR("bc"));
    const as_sha256 pieces = as_sha256_end(s);
    assert_memory_equal(&pieces, &h, sizeof h);
    assert_true(as_fnv1a(AS_STR("a")) == 0xaf63dc4c8601ec8cu); /* published FNV-1a vector */
}

static void generators_repeat_and_do_not_favour(void **state)
{
    (void)state;
    as_rng a, b, c;
    as_rng_init(&a, 1, AS_STR("x"));
    as_rng_init(&b, 1, AS_STR("x"));
    as_rng_init(&c, 1, AS_STR("y"));
    assert_true(as_rng_u64(&a) == as_rng_u64(&b));
    assert_true(as_rng_u64(&a) != as_rng_u64(&c));
    int hits[7] = {0};
    for (int i = 0; i < 70000; i++)
        hits[as_rng_below(&a, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(hits[i], 9600, 10400); /* 10,000 ± 4 standard deviations */
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        const double v = as_rng_f64(&a);
        assert_true(v >= 0 && v < 1);
        sum += v;
    }
    assert_true(fabs(sum / 10000 - 0.5) < 0.012);
}

static void expressions_match_in_bounded_time(void **state)
{
    (void)state;
    as_err err = {0};
    as_regex *re = NULL;
    assert_int_equal(as_regex_new(&re, "answer is \\(?([A-J])\\)?", 0, &err), AS_OK);
    as_match m;
    bool found = false;
    assert_int_equal(as_regex_find(re, AS_STR("the answer is (C)."), 0, &m, &found, &err), AS_OK);
    assert_true(found);
    assert_true(as_str_eq(m.group[1], AS_STR("C")));
    assert_int_equal(as_regex_find(re, AS_STR("\xFF\xFE answer is B"), 0, &m, &found, &err),
                     AS_OK); /* not UTF-8 */
    assert_true(found);
    as_regex_free(re);
    assert_int_equal(as_regex_new(&re, "(a", 0, &err), AS_PARSE);
    assert_int_equal(as_regex_new(&re, "^(a+)+$", 0, &err), AS_OK);
    char text[64];
    memset(text, 'a', sizeof text);
    text[63] = 'b';
    assert_int_equal(as_regex_find(re, (as_str){text, sizeof text}, 0, &m, &found, &err), AS_RANGE);
    as_regex_free(re);
}

static void files_are_replaced_whole(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_base.XXXXXX";
    assert_non_null(mkdtemp(dir));
    as_arena a;
    as_arena_init(&a, 0);
    as_err err = {0};
    const char *deep = as_path_join(&a, dir, "x/y/z");
    assert_int_equal(as_make_dirs(deep, &err), AS_OK);
    assert_true(as_is_dir(deep));
    const char *path = as_path_join(&a, deep, "f");
    assert_int_equal(as_write_file(path, AS_STR("one"), &err), AS_OK);
    assert_int_equal(as_write_file(path, AS_STR("two"), &err), AS_OK);
    as_buf b;
    as_buf_init(&b, 100);
    assert_int_equal(as_read_file(&b, path, &err), AS_OK);
    assert_string_equal(b.p, "two");
    as_buf_release(&b);
    as_buf_init(&b, 2);
    assert_int_equal(as_read_file(&b, path, &err), AS_RANGE);
    as_buf_release(&b);
    assert_int_equal(as_write_file(as_path_join(&a, dir, "no/such/dir"), AS_STR("x"), &err), AS_IO);
    assert_int_equal(as_make_dirs(as_path_join(&a, path, "below-a-file"), &err), AS_IO);
    assert_string_equal(as_path_base("a/b/c"), "c");
    const char *const rm[] = {"rm", "-rf", dir, NULL};
    as_proc_result r;
    assert_int_equal(as_proc_run(rm, NULL, 10000, NULL, NULL, &r, &err), AS_OK);
    assert_int_equal(r.exit_code, 0);
    as_arena_release(&a);
}

static void children_are_collected_and_ended(void **state)
{
    (void)state;
    as_err err = {0};
    as_buf out, errors;
    as_buf_init(&out, 4096);
    as_buf_init(&errors, 4096);
    as_proc_result r;
    const char *const talk[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    assert_int_equal(as_proc_run(talk, NULL, 10000, &out, &errors, &r, &err), AS_OK);
    assert_int_equal(r.exit_code, 3);
    assert_string_equal(out.p, "out\n");
    assert_string_equal(errors.p, "err\n");
    const char *const flood[] = {"sh", "-c", "head -c 1000000 /dev/zero", NULL};
    assert_int_equal(as_proc_run(flood, NULL, 10000, &out, &errors, &r, &err), AS_OK);
    assert_int_equal(r.exit_code, 0);
    const char *const hang[] = {"sleep", "60", NULL};
    const int64_t start = as_now_ns();
    assert_int_equal(as_proc_run(hang, NULL, 200, NULL, NULL, &r, &err), AS_TIMEOUT);
    assert_true(as_now_ns() - start < (int64_t)30 * 1000000000);
    const char *const missing[] = {"no-such-program-anywhere", NULL};
    assert_int_equal(as_proc_run(missing, NULL, 1000, NULL, NULL, &r, &err), AS_IO);
    assert_non_null(strstr(err.text, "no-such-program-anywhere"));
    as_buf_release(&out);
    as_buf_release(&errors);
}

static void times_read_as_iso(void **state)
{
    (void)state;
    char z[AS_ISO_TIME];
    as_iso_time(z, 1234567890123456789);
    assert_string_equal(z, "2009-02-13T23:31:30.123Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_carry_context_outermost_first),
        cmocka_unit_test(long_errors_are_cut_at_a_character),
        cmocka_unit_test(arenas_respect_limit_alignment_and_marks),
        cmocka_unit_test(an_arena_can_be_emptied_and_filled_for_ever),
        cmocka_unit_test(injected_failures_surface),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(hex_is_read_whole_or_not_at_all),
        cmocka_unit_test(text_is_found_cut_and_trimmed),
        cmocka_unit_test(buffers_stop_at_their_maximum),
        cmocka_unit_test(base64_goes_and_comes_back),
        cmocka_unit_test(arrays_double),
        cmocka_unit_test(utf8_is_judged_strictly),
        cmocka_unit_test(utf8_round_trips_every_scalar_value),
        cmocka_unit_test(hashes_are_the_published_ones),
        cmocka_unit_test(generators_repeat_and_do_not_favour),
        cmocka_unit_test(expressions_match_in_bounded_time),
        cmocka_unit_test(files_are_replaced_whole),
        cmocka_unit_test(children_are_collected_and_ended),
        cmocka_unit_test(times_read_as_iso),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
