/* test_json.c — JSON read and written, JSON Lines with their line numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/io.h"
#include "base/json.h"
#include "base/jsonl.h"
#include "unit/cm.h"

static void values_are_read_with_their_kinds(void **state)
{
    (void)state;
    as_err err = {0};
    as_json *t = NULL;
    const as_str text = AS_STR("{\"s\":\"a\\u0000b\\u20ac\",\"i\":9007199254740992,\"f\":1.5,"
                               "\"a\":[1,2],\"t\":true,\"n\":null,\"s2\":\"\\\\u0000\"}");
    assert_int_equal(as_json_parse(&t, text, &err), AS_OK);
    as_str s;
    assert_true(as_json_str(as_json_get(t, "s"), &s));
    assert_true(as_str_eq(s, AS_STR("a\0b\xE2\x82\xAC"))); /* NUL inside a string survives */
    assert_true(as_json_str(as_json_get(t, "s2"), &s));
    assert_true(as_str_eq(s, AS_STR("\\u0000"))); /* an escaped backslash is no escape */
    int64_t i = 0;
    assert_true(as_json_i64(as_json_get(t, "i"), &i) && i == 9007199254740992);
    assert_false(as_json_i64(as_json_get(t, "f"), &i));
    assert_int_equal(as_json_count(as_json_get(t, "a")), 2);
    assert_int_equal(as_json_type(as_json_get(t, "n")), AS_JSON_NULL);
    assert_int_equal(as_json_type(as_json_get(t, "none")), AS_JSON_NONE);
    assert_int_equal(as_json_need_str(t, "i", &s, &err), AS_PARSE);
    assert_string_equal(err.text, "\"i\": want a string, found a number");
    assert_int_equal(as_json_need_i64(t, "gone", 0, 9, &i, &err), AS_PARSE);
    assert_string_equal(err.text, "\"gone\" is missing, want an integer");
    as_json_free(t);
}

static void bad_texts_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        as_str text;
        const char *want;
    } rows[] = {
        {"empty", AS_STR_INIT(""), "empty"},          {"cut", AS_STR_INIT("{\"a\":"), "too early"},
        {"two values", AS_STR_INIT("1 2"), "byte 3"}, {"not JSON", AS_STR_INIT("hello"), "byte 1"},
        {"bad number", AS_STR_INIT("[1,]"), "byte"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_err err = {0};
        as_json *t = NULL;
        if (as_json_parse(&t, rows[i].text, &err) != AS_PARSE || t != NULL ||
            strstr(err.text, rows[i].want) == NULL)
            fail_msg("%s: %s", rows[i].why, err.text);
    }
    char deep[1200];
    memset(deep, '[', sizeof deep);
    as_err err = {0};
    as_json *t = NULL;
    assert_int_equal(as_json_parse(&t, (as_str){deep, sizeof deep}, &err), AS_PARSE);
    assert_non_null(strstr(err.text, "500"));
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_key(&w, "t\"k");
    as_jw_str(&w, AS_STR("a\0\x01\n\xFF\xE2\x82\xAC\\\xE2\x80\xA8\xC2\x85"));
    as_jw_key(&w, "n");
    as_jw_begin_array(&w);
    as_jw_i64(&w, INT64_MIN);
    as_jw_f64(&w, 0.1);
    as_jw_f64(&w, 1.0 / 3);
    as_jw_f64(&w, (double)(0.0 / 1.0));
    as_jw_bool(&w, false);
    as_jw_null(&w);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
    assert_string_equal(
        b.p, "{\"t\\\"k\":\"a\\u0000\\u0001\\n\xEF\xBF\xBD\xE2\x82\xAC\\\\\\u2028\\u0085\","
             "\"n\":[-9223372036854775808,0.1,0.3333333333333333,0,false,null]}");
    as_json *t = NULL;
    as_err err = {0};
    assert_int_equal(as_json_parse(&t, as_buf_str(&b), &err), AS_OK);
    as_buf again;
    as_buf_init(&again, 0);
    as_jw_init(&w, &again);
    as_jw_node(&w, as_json_get(t, "n"));
    assert_string_equal(again.p, "[-9.223372036854776e+18,0.1,0.3333333333333333,0,false,null]");
    as_json_free(t);
    as_buf_release(&again);
    as_buf_release(&b);
}

static void lists_of_ids_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error; /* NULL: it is read */
        int n;
    } rows[] = {
        {"[]", NULL, 0},
        {"[0,7,2147483647]", NULL, 3},
        {"{\"a\":1}", "want a list of token ids, found an object", 0},
        {"[1,-1]", "entry 2 is no token id", 0},
        {"[2147483648]", "entry 1 is no token id", 0},
        {"[1,2,3.5]", "entry 3 is no token id", 0},
        {"[\"1\"]", "entry 1 is no token id", 0},
    };
    as_arena keep;
    as_arena_init(&keep, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_json *t = NULL;
        as_err err = {0};
        assert_int_equal(as_json_parse(&t, as_str_of(rows[i].text), &err), AS_OK);
        int32_t *ids = NULL;
        int n = -1;
        const as_code c = as_json_ids(t, &ids, &n, &keep, &err);
        assert_int_equal(c, rows[i].error == NULL ? AS_OK : AS_PARSE);
        assert_int_equal(n, c == AS_OK ? rows[i].n : -1);
        assert_string_equal(err.text, rows[i].error == NULL ? "" : rows[i].error);
        if (c == AS_OK) {
            as_buf b;
            as_jw w;
            as_buf_init(&b, 0);
            as_jw_init(&w, &b);
            as_jw_put_ids(&w, "ids", ids, n);
            assert_string_equal(b.p + strlen("\"ids\":"), rows[i].text);
            as_buf_release(&b);
        }
        as_json_free(t);
    }
    as_arena_release(&keep);
}

static void write_plain(const char *path, as_str text)
{
    as_err err = {0};
    assert_int_equal(as_write_file(path, text, &err), AS_OK);
}

static void write_gz(const char *path, as_str text)
{
    gzFile f = gzopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, text.p, (unsigned)text.n), (int)text.n);
    assert_int_equal(gzclose(f), Z_OK);
}

static void lines_come_with_their_numbers(void **state)
{
    (void)state;
    char path[] = "/tmp/test_json.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const as_str text = AS_STR("\xEF\xBB\xBF{\"a\":1}\n\n  \n{\"a\":2}\r\n{\"a\":3}");
    for (int gz = 0; gz < 2; gz++) {
        if (gz)
            write_gz(path, text);
        else
            write_plain(path, text);
        as_err err = {0};
        as_jsonl *in = NULL;
        assert_int_equal(as_jsonl_open(&in, path, 0, &err), AS_OK);
        static const size_t lines[] = {1, 4, 5};
        for (int i = 0; i < 3; i++) {
            as_json *t = NULL;
            int64_t v = 0;
            assert_int_equal(as_jsonl_next(in, &t, &err), AS_OK);
            assert_true(as_json_i64(as_json_get(t, "a"), &v) && v == i + 1);
            assert_int_equal(as_jsonl_line(in), lines[i]);
            as_json_free(t);
        }
        as_json *t = NULL;
        assert_int_equal(as_jsonl_next(in, &t, &err), AS_OK);
        assert_null(t);
        as_jsonl_close(in);
    }
    unlink(path);
}

static void a_bad_line_is_named(void **state)
{
    (void)state;
    char path[] = "/tmp/test_json.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_plain(path, AS_STR("1\n2\n3\n4\n5\n6\n{oops\n8\n"));
    as_err err = {0};
    as_jsonl *in = NULL;
    assert_int_equal(as_jsonl_open(&in, path, 0, &err), AS_OK);
    as_code c = AS_OK;
    for (as_json *t = NULL; (c = as_jsonl_next(in, &t, &err)) == AS_OK && t != NULL;)
        as_json_free(t);
    assert_int_equal(c, AS_PARSE);
    assert_non_null(strstr(err.text, "line 7"));
    as_jsonl_close(in);
    write_plain(path, AS_STR("[\"0123456789\"]\n"));
    assert_int_equal(as_jsonl_open(&in, path, 4, &err), AS_OK);
    as_json *t = NULL;
    /* The limit is on what one line may make the reader hold; a short file fits its first read. */
    assert_int_equal(as_jsonl_next(in, &t, &err), AS_OK);
    as_json_free(t);
    as_jsonl_close(in);
    char *big = malloc(1 << 20);
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    write_plain(path, (as_str){big, 1 << 20});
    free(big);
    assert_int_equal(as_jsonl_open(&in, path, 1000, &err), AS_OK);
    assert_int_equal(as_jsonl_next(in, &t, &err), AS_NOMEM);
    assert_non_null(strstr(err.text, "line 1"));
    as_jsonl_close(in);
    unlink(path);
}

static void damaged_gzip_is_an_error(void **state)
{
    (void)state;
    char path[] = "/tmp/test_json.XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_gz(path, AS_STR("{\"a\":\"some text that is long enough to be cut\"}\n{\"a\":2}\n"));
    as_buf b;
    as_buf_init(&b, 0);
    as_err err = {0};
    assert_int_equal(as_read_file(&b, path, &err), AS_OK);
    write_plain(path, as_str_sub(as_buf_str(&b), 0, b.n - 12));
    as_buf_release(&b);
    as_jsonl *in = NULL;
    assert_int_equal(as_jsonl_open(&in, path, 0, &err), AS_OK);
    as_code c = AS_OK;
    for (as_json *t = NULL; (c = as_jsonl_next(in, &t, &err)) == AS_OK && t != NULL;)
        as_json_free(t);
    assert_int_equal(c, AS_PARSE);
    as_jsonl_close(in);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_with_their_kinds),
        cmocka_unit_test(bad_texts_name_the_place),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(lists_of_ids_are_read_and_written),
        cmocka_unit_test(lines_come_with_their_numbers),
        cmocka_unit_test(a_bad_line_is_named),
        cmocka_unit_test(damaged_gzip_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
