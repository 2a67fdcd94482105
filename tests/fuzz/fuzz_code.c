/* Any bytes: code found in an answer lies inside it, a pickle's text inside the pickle, cells stay
 * below their limit, a value that can be read equals itself unless NaN or ? is in it, and test lists
 * borrow from their line. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scorers/code/cell.h"
#include "scorers/code/extract.h"
#include "scorers/code/pyvalue.h"
#include "scorers/code/tests.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CELL_LIMIT = 1 << 20 };

static void must_lie_in(as_str part, as_str whole)
{
    if (part.n != 0 &&
        (part.p < whole.p || part.n > whole.n || (size_t)(part.p - whole.p) > whole.n - part.n))
        abort();
}

static void check_blocks(as_str text)
{
    as_str code, tag;
    if (sc_code_last(&code, text))
        must_lie_in(code, text);
    if (sc_code_first(&code, &tag, text)) {
        must_lie_in(code, text);
        must_lie_in(tag, text);
    }
}

static void check_cell(as_str text)
{
    as_str inside;
    as_buf b;
    if (sc_pickle_text(&inside, text, NULL) == AS_OK)
        must_lie_in(inside, text);
    as_buf_init(&b, CELL_LIMIT);
    if (sc_cell_decode(&b, text, NULL) != AS_OK && b.n != 0)
        abort();
    if (b.n > CELL_LIMIT)
        abort();
    as_buf_release(&b);
}

static void check_value(as_str text)
{
    bool is_same = false;
    as_arena arena;
    as_arena_init(&arena, (size_t)64 << 20);
    const as_code c = sc_py_equal(&is_same, text, text, &arena, NULL);
    const bool has_nan =
        as_str_find(text, AS_STR("an")) != SIZE_MAX || as_str_find(text, AS_STR("aN")) != SIZE_MAX;
    if (c == AS_OK && !is_same && !has_nan)
        abort();
    if (c != AS_OK && is_same)
        abort();
    as_arena_release(&arena);
}

static void check_tests(as_str text)
{
    sc_tests t;
    if (sc_tests_parse(&t, text, NULL) != AS_OK)
        return;
    for (size_t i = 0; i < t.n; i++)
        if (t.tests[i].input.n < 2 || t.tests[i].output.n < 2)
            abort();
    sc_tests_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that a read behind the end is seen. */
    char *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL)
        return 0;
    if (size != 0)
        memcpy(copy, data, size);
    const as_str text = {copy, size};
    check_blocks(text);
    check_cell(text);
    check_value(text);
    check_tests(text);
    free(copy);
    return 0;
}
