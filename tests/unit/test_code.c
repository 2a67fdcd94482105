/* Programs in answers: extraction, private cells, values as Python compares them, tests of a row. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/jsonl.h"
#include "base/jspan.h"
#include "scorers/code/cell.h"
#include "scorers/code/extract.h"
#include "scorers/code/pyvalue.h"
#include "scorers/code/tests.h"
#include "scorers/think.h"
#include "unit/cm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- blocks of code ------------------------------------------------------------------------ */

static const struct {
    const char *why;
    as_str text;
    const char *last;  /* NULL: none */
    const char *first; /* NULL: none */
    const char *tag;
} blocks[] = {
    {"one block", AS_STR_INIT("```python\na\n```"), "a", "a", "python"},
    {"no tag", AS_STR_INIT("x\n```\na\nb\n```\ny"), "a\nb", "a\nb", ""},
    {"two blocks", AS_STR_INIT("```c\na\n```\n```py\nb\n```\n"), "b", "a", "c"},
    {"never closed", AS_STR_INIT("```py\na"), NULL, NULL, ""},
    {"empty", AS_STR_INIT(""), NULL, NULL, ""},
    {"three backticks behind move the window", AS_STR_INIT("```py\na\n```\nuse ``` so"), "", "a",
     "py"},
    {"a fence in the middle of a line", AS_STR_INIT("so:```py\na\nb```"), "a", NULL, ""},
    {"adjacent fences", AS_STR_INIT("a\n```\n```\nb"), "", NULL, ""},
    {"an empty line between", AS_STR_INIT("```\n\n```"), "", "", ""},
    {"longer fence", AS_STR_INIT("````cpp\na\n````"), "a", "a", "cpp"},
    {"a tag of two words is none for the first rule, whose block the closing fence opens",
     AS_STR_INIT("```c plus\na\n```\n```cpp\nb\n```"), "b", "```cpp\nb", ""},
    {"carriage returns stay", AS_STR_INIT("```py\r\na\r\n```\r\n"), "a\r", NULL, ""},
    {"NUL bytes are text", AS_STR_INIT("```\na\0b\n```"), "a\0b", "a\0b", ""},
};

static void finds_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        as_str code, tag;
        const bool has_last = sc_code_last(&code, blocks[i].text);
        if (has_last != (blocks[i].last != NULL) ||
            (has_last && strncmp(code.p, blocks[i].last, code.n) != 0) ||
            (has_last && code.n < strlen(blocks[i].last)))
            fail_msg("%s: last block \"%.*s\"", blocks[i].why, AS_ARG(code));
        const bool has_first = sc_code_first(&code, &tag, blocks[i].text);
        if (has_first != (blocks[i].first != NULL) ||
            (has_first && (strncmp(code.p, blocks[i].first, code.n) != 0 ||
                           code.n < strlen(blocks[i].first) || !as_str_eq_z(tag, blocks[i].tag))))
            fail_msg("%s: first block \"%.*s\", tag \"%.*s\"", blocks[i].why, AS_ARG(code),
                     AS_ARG(tag));
    }
}

/* ---- cells --------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    as_str pickle;
    const char *want; /* NULL: refused */
} pickles[] = {
    {"short text in a frame", AS_STR_INIT("\x80\x04\x95\x06\0\0\0\0\0\0\0\x8c\x02[]\x94."), "[]"},
    {"protocol 2 with BINPUT", AS_STR_INIT("\x80\x02X\x02\0\0\0[]q\0."), "[]"},
    {"LONG_BINPUT", AS_STR_INIT("\x80\x03X\x02\0\0\0[]r\0\0\0\0."), "[]"},
    {"BINUNICODE8", AS_STR_INIT("\x80\x05\x8d\x02\0\0\0\0\0\0\0[]."), "[]"},
    {"no protocol", AS_STR_INIT("\x8c\x02[]."), NULL},
    {"protocol 1", AS_STR_INIT("\x80\x01X\x02\0\0\0[]."), NULL},
    {"protocol 6", AS_STR_INIT("\x80\x06X\x02\0\0\0[]."), NULL},
    {"protocol twice", AS_STR_INIT("\x80\x04\x80\x04\x8c\x02[]."), NULL},
    {"no STOP", AS_STR_INIT("\x80\x04\x8c\x02[]\x94"), NULL},
    {"no text", AS_STR_INIT("\x80\x04."), NULL},
    {"two texts", AS_STR_INIT("\x80\x04\x8c\x02[]\x8c\x02[]."), NULL},
    {"longer than it is", AS_STR_INIT("\x80\x04\x8c\x09[]."), NULL},
    {"a length of 2^63", AS_STR_INIT("\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f[]."), NULL},
    {"GLOBAL",
     AS_STR_INIT("\x80\x04"
                 "cos\nsystem\n\x8c\x02ls\x85R."),
     NULL},
    {"STACK_GLOBAL", AS_STR_INIT("\x80\x04\x8c\x02os\x8c\x06system\x93."), NULL},
    {"REDUCE behind the text", AS_STR_INIT("\x80\x04\x8c\x02[]R."), NULL},
    {"a number", AS_STR_INIT("\x80\x04K\x01."), NULL},
    {"MEMOIZE before the text", AS_STR_INIT("\x80\x04\x94\x8c\x02[]."), NULL},
    {"nothing", AS_STR_INIT(""), NULL},
};

static void reads_one_pickled_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(pickles); i++) {
        as_str text;
        as_err err = {0};
        const as_code c = sc_pickle_text(&text, pickles[i].pickle, &err);
        if ((c == AS_OK) != (pickles[i].want != NULL) ||
            (c == AS_OK && !as_str_eq_z(text, pickles[i].want)))
            fail_msg("%s: %s", pickles[i].why, c == AS_OK ? "was read" : err.text);
        if (c != AS_OK)
            assert_non_null(strstr(err.text, "pickle"));
    }
}

/* zlib and base64 of pickles.dumps("[]", 4), and the same damaged. */
static const struct {
    const char *why, *cell;
    size_t limit;
    as_code want;
} cells[] = {
    {"a cell", "eJxrYJnKxgABPUzRsVP0ABkLAyg=", 1000, AS_OK},
    {"blanks around it", " eJxrYJnKxgABPUzRsVP0ABkLAyg=\n", 1000, AS_OK},
    {"JSON as it is", "[]", 1000, AS_OK},
    {"no digit", "eJxrYJnKxgABPUzRsVP0ABkLAy!=", 1000, AS_PARSE},
    {"padding missing", "eJxrYJnKxgABPUzRsVP0ABkLAyg", 1000, AS_PARSE},
    {"cut off", "eJxrYJnKxgABPUzR", 1000, AS_PARSE},
    {"checksum wrong", "eJxrYJnKxgABPUzRsVP0ABkLAyk=", 1000, AS_PARSE},
    {"no zlib", "AAAA", 1000, AS_PARSE},
    {"something behind", "eJxrYJnKxgABPUzRsVP0ABkLAygAAAA=", 1000, AS_PARSE},
    {"beyond the limit", "eJxrYJnKxgABPUzRsVP0ABkLAyg=", 10, AS_RANGE},
    {"JSON beyond the limit", "[\"aaaaaaaaaaaaa\"]", 10, AS_RANGE},
    {"empty", "", 1000, AS_PARSE},
};

static void decodes_cells(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cells); i++) {
        as_buf b;
        as_err err = {0};
        as_buf_init(&b, cells[i].limit);
        const as_code c = sc_cell_decode(&b, as_str_of(cells[i].cell), &err);
        if (c != cells[i].want || (c == AS_OK && !as_str_eq_z(as_buf_str(&b), "[]")) ||
            (c != AS_OK && b.n != 0))
            fail_msg("%s: %s", cells[i].why, c == AS_OK ? "was read" : err.text);
        as_buf_release(&b);
    }
}

/* ---- values -------------------------------------------------------------------------------- */

static const struct {
    const char *returned, *expected;
    bool want;
} values[] = {
    {"1", "1", true},
    {"1", "1.0", true},
    {"true", "1", true},
    {"0.0", "false", true},
    {"1.5", "1", false},
    {"\"1\"", "1", false},
    {"null", "null", true},
    {"null", "0", false},
    {"-0.0", "0", true},
    {"nan", "NaN", false},
    {"inf", "Infinity", true},
    {"inf", "1e999", true},
    {"-inf", "Infinity", false},
    {"[1,2]", "[1, 2.0]", true},
    {"(1,2)", "[1,2]", false},
    {"[(1,2)]", "[[1,2]]", false},
    {"[]", "[]", true},
    {"[1]", "[1,2]", false},
    {"{\"a\":1,\"b\":[2]}", "{\"b\":[2],\"a\":1}", true},
    {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
    {"{\"a\":1,\"b\":2}", "{\"a\":1}", false},
    {"{\"a\":2}", "{\"a\":1,\"a\":2}", true},
    {"?", "1", false},
    {"[?]", "[1]", false},
    {"1180591620717411303424", "1180591620717411303424", true},
    {"1.1805916207174113e+21", "1180591620717411303424", true},
    {"1.1805916207174113e+21", "1180591620717411303425", false},
    {"0.1", "0.10", true},
    {"0.30000000000000004", "0.3", false},
    {"\"\\u00e9\"", "\"\xC3\xA9\"", true},
    {"\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\"", true},
    {"\"\\ud800\"", "\"\\ud800\"", true},
    {"007", "7", true},
    {"-5", "5", false},
};

static void compares_like_python(void **state)
{
    (void)state;
    as_arena arena;
    as_arena_init(&arena, 0);
    for (size_t i = 0; i < COUNT(values); i++) {
        bool is_same = !values[i].want;
        as_err err = {0};
        const as_code c = sc_py_equal(&is_same, as_str_of(values[i].returned),
                                      as_str_of(values[i].expected), &arena, &err);
        if (c != AS_OK || is_same != values[i].want)
            fail_msg("%s == %s: %s", values[i].returned, values[i].expected,
                     c != AS_OK ? err.text
                     : is_same  ? "equal"
                                : "different");
    }
    static const char *const bad[] = {"",    "1 2",  "[1",  "{1:2}", "(1)x",
                                      "\"a", "[1,]", "tru", "--1"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        bool is_same = true;
        assert_int_equal(sc_py_equal(&is_same, as_str_of(bad[i]), AS_STR("1"), &arena, NULL),
                         AS_PARSE);
        assert_int_equal(sc_py_equal(&is_same, AS_STR("1"), as_str_of(bad[i]), &arena, NULL),
                         AS_RANGE);
        assert_false(is_same);
    }
    char deep[2 * SC_PY_MAX_DEPTH + 8];
    memset(deep, '[', sizeof deep);
    bool is_same = true;
    assert_int_equal(sc_py_equal(&is_same, (as_str){deep, sizeof deep}, AS_STR("1"), &arena, NULL),
                     AS_PARSE);
    /* tuples only in what was returned */
    assert_int_equal(sc_py_equal(&is_same, AS_STR("1"), AS_STR("(1)"), &arena, NULL), AS_RANGE);
    as_arena_release(&arena);
}

/* ---- tests of a row ------------------------------------------------------------------------ */

static const struct {
    const char *why, *line;
    size_t n;
    as_code want;
} lines[] = {
    {"both lists in texts, public ones first",
     "{\"private_test_cases\":\"[{\\\"input\\\":\\\"2\\\",\\\"output\\\":\\\"b\\\"}]\","
     "\"public_test_cases\":\"[{\\\"input\\\":\\\"1\\\",\\\"output\\\":\\\"a\\\",\\\"testtype\\\":"
     "\\\"stdin\\\"}]\",\"id\":\"x\"}",
     2, AS_OK},
    {"a plain list", "{\"tests\":[{\"output\":\"a\",\"input\":\"1\"}],\"id\":\"x\"}", 1, AS_OK},
    {"a cell", "{\"private_test_cases\":\"eJxrYJnKxgABPUzRsVP0ABkLAyg=\"}", 0, AS_OK},
    {"no tests", "{\"id\":\"x\"}", 0, AS_OK},
    {"a number as input", "{\"tests\":[{\"input\":1,\"output\":\"a\"}]}", 0, AS_PARSE},
    {"no output", "{\"tests\":[{\"input\":\"1\"}]}", 0, AS_PARSE},
    {"not a list", "{\"tests\":{\"input\":\"1\"}}", 0, AS_PARSE},
    {"a bad cell", "{\"private_test_cases\":\"AAAA\"}", 0, AS_PARSE},
    {"cut off", "{\"tests\":[{\"input\":\"1\"", 0, AS_PARSE},
};

static void reads_tests(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        sc_tests t;
        as_err err = {0};
        const as_code c = sc_tests_parse(&t, as_str_of(lines[i].line), &err);
        if (c != lines[i].want || (c == AS_OK && t.n != lines[i].n))
            fail_msg("%s: %s", lines[i].why, c == AS_OK ? "was read" : err.text);
        if (c == AS_OK && t.n != 0)
            assert_true(as_str_eq_z(t.tests[0].input, "\"1\""));
        if (c == AS_OK)
            sc_tests_release(&t);
    }
}

/* ---- recorded ------------------------------------------------------------------------------ */

typedef void (*each_line)(as_json *item, as_arena *arena);

static size_t for_each(const char *name, each_line fn)
{
    as_arena arena;
    as_arena_init(&arena, 0);
    const char *fixtures = getenv("AS_FIXTURES");
    assert_non_null(fixtures);
    const as_str path = as_arena_printf(&arena, "%s/programs/%s", fixtures, name);
    as_jsonl *in = NULL;
    size_t n = 0;
    assert_int_equal(as_jsonl_open(&in, path.p, 0, NULL), AS_OK);
    for (as_json *item = NULL;; as_json_free(item), n++) {
        assert_int_equal(as_jsonl_next(in, &item, NULL), AS_OK);
        if (item == NULL)
            break;
        fn(item, &arena);
    }
    as_jsonl_close(in);
    as_arena_release(&arena);
    return n;
}

static void check_extraction(as_json *item, as_arena *arena)
{
    as_str text, want, code;
    assert_true(as_json_str(as_json_get(item, "text"), &text));
    assert_true(as_json_str(as_json_get(item, "code"), &want));
    assert_int_equal(sc_without_thinking(&text, text, arena, NULL), AS_OK);
    (void)sc_code_last(&code, text);
    if (!as_str_eq(code, want))
        fail_msg("\"%.*s\" gives \"%.*s\"", AS_ARG(text), AS_ARG(code));
}

static void check_cell(as_json *item, as_arena *arena)
{
    (void)arena;
    as_str name, cell, want;
    int64_t n_bytes = 0;
    int64_t n_tests = 0;
    char hex[AS_SHA256_HEX];
    as_buf b;
    as_json *list = NULL;
    as_buf_init(&b, SC_MAX_CELL_JSON);
    assert_true(as_json_str(as_json_get(item, "name"), &name));
    assert_true(as_json_str(as_json_get(item, "encoded"), &cell));
    assert_true(as_json_str(as_json_get(item, "json_sha256"), &want));
    assert_true(as_json_i64(as_json_get(item, "json_bytes"), &n_bytes));
    assert_true(as_json_i64(as_json_get(item, "n_tests"), &n_tests));
    assert_int_equal(sc_cell_decode(&b, cell, NULL), AS_OK);
    const as_sha256 sum = as_sha256_of(as_buf_str(&b));
    as_sha256_hex(hex, &sum);
    if (!as_str_eq_z(want, hex) || b.n != (size_t)n_bytes)
        fail_msg("%.*s: %zu bytes, %s", AS_ARG(name), b.n, hex);
    assert_int_equal(as_json_parse(&list, as_buf_str(&b), NULL), AS_OK);
    assert_int_equal(as_json_count(list), n_tests);
    as_json_free(list);
    as_buf_release(&b);
}

static void agrees_with_recorded(void **state)
{
    (void)state;
    assert_int_equal(for_each("lcb_extract_cases.jsonl", check_extraction), 17);
    assert_int_equal(for_each("lcb_private_cases.jsonl", check_cell), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_blocks),  cmocka_unit_test(reads_one_pickled_text),
        cmocka_unit_test(decodes_cells), cmocka_unit_test(compares_like_python),
        cmocka_unit_test(reads_tests),   cmocka_unit_test(agrees_with_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
