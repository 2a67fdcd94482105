#include "scorers/code/tests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/jspan.h"
#include "scorers/code/cell.h"

enum { MAX_LINE = 1 << 30 };

static as_code add_test(sc_tests *t, as_str input, as_str output, as_err *err)
{
    if (!as_jspan_is_text(input) || !as_jspan_is_text(output))
        return as_fail(err, AS_PARSE, "test %zu: want texts as \"input\" and \"output\"", t->n + 1);
    if (t->n == SB_MAX_TESTS)
        return as_fail(err, AS_RANGE, "more than %d tests", SB_MAX_TESTS);
    if (t->n == t->cap) {
        const size_t cap = t->cap != 0 ? t->cap * 2 : 64;
        sc_lcb_test *more = realloc(t->tests, cap * sizeof *more);
        if (more == NULL)
            return as_fail(err, AS_NOMEM, "out of memory");
        t->tests = more;
        t->cap = cap;
    }
    t->tests[t->n++] = (sc_lcb_test){input, output};
    return AS_OK;
}

static as_code add_list(sc_tests *t, as_str list, as_err *err)
{
    as_jspan all, one;
    as_str name, value;
    bool is_end = false;
    AS_TRY(as_jspan_begin(&all, list, err));
    if (all.is_object)
        return as_fail(err, AS_PARSE, "want a list of tests");
    for (;;) {
        AS_TRY(as_jspan_next(&all, &name, &value, &is_end, err));
        if (is_end)
            return AS_OK;
        as_str input = {0};
        as_str output = {0};
        AS_TRY(as_jspan_begin(&one, value, err));
        for (bool is_last = false; !is_last;) {
            AS_TRY(as_jspan_next(&one, &name, &value, &is_last, err));
            if (as_str_eq_z(name, "input"))
                input = value;
            else if (as_str_eq_z(name, "output"))
                output = value;
        }
        AS_TRY(add_test(t, input, output, err));
    }
}

/* A member's value: a list, or a text that holds one, encoded or not. */
static as_code add_member(sc_tests *t, as_str value, as_buf *text, bool may_be_cell, as_err *err)
{
    if (!as_jspan_is_text(value))
        return add_list(t, value, err);
    if (!may_be_cell) {
        AS_TRY(as_jspan_text(text, value, err));
        return add_list(t, as_buf_str(text), err);
    }
    as_buf cell;
    as_buf_init(&cell, SC_MAX_CELL_JSON);
    as_code c = as_jspan_text(&cell, value, err);
    if (c == AS_OK)
        c = sc_cell_decode(text, as_buf_str(&cell), err);
    as_buf_release(&cell);
    return c == AS_OK ? add_list(t, as_buf_str(text), err) : c;
}

static as_code parse(sc_tests *t, as_str line, as_err *err)
{
    as_jspan row;
    as_str name, value;
    as_str public = {0};
    as_str private = {0};
    AS_TRY(as_jspan_begin(&row, line, err));
    for (bool is_end = false; !is_end;) {
        AS_TRY(as_jspan_next(&row, &name, &value, &is_end, err));
        if (as_str_eq_z(name, "public_test_cases") || as_str_eq_z(name, "tests"))
        public = value;
        else if (as_str_eq_z(name, "private_test_cases")) private = value;
    }
    if (public.n != 0 && add_member(t, public, &t->public_list, false, err) != AS_OK)
        return as_wrap(err, "public tests");
    if (private.n != 0 && add_member(t, private, &t->private_list, true, err) != AS_OK)
        return as_wrap(err, "private tests");
    return AS_OK;
}

static void init(sc_tests *t)
{
    *t = (sc_tests){0};
    as_buf_init(&t->line, (size_t)MAX_LINE + 1);
    as_buf_init(&t->public_list, SC_MAX_CELL_JSON);
    as_buf_init(&t->private_list, SC_MAX_CELL_JSON);
}

as_code sc_tests_parse(sc_tests *out, as_str line, as_err *err)
{
    init(out);
    const as_code c = parse(out, line, err);
    if (c != AS_OK)
        sc_tests_release(out);
    return c;
}

static as_code read_line(as_buf *out, const as_tests *place, as_err *err)
{
    if (place->at < 0 || place->bytes < 2 || place->bytes > MAX_LINE)
        return as_fail(err, AS_RANGE, "%s: a line of %lld bytes, want 2 to %d", place->path.p,
                       (long long)place->bytes, MAX_LINE);
    const int fd = open(place->path.p, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return as_fail_sys(err, "%s", place->path.p);
    const size_t want = (size_t)place->bytes;
    as_code c = as_buf_reserve(out, want) != NULL ? AS_OK : as_buf_ok(out, err);
    while (c == AS_OK && out->n < want) {
        const ssize_t n =
            pread(fd, out->p + out->n, want - out->n, (off_t)(place->at + (int64_t)out->n));
        if (n < 0 && errno != EINTR)
            c = as_fail_sys(err, "%s", place->path.p);
        else if (n == 0)
            break;
        else if (n > 0)
            out->n += (size_t)n;
    }
    (void)close(fd);
    if (c != AS_OK)
        return c;
    const as_sha256 sum = as_sha256_of(as_buf_str(out));
    if (out->n != want || memcmp(sum.b, place->sha256.b, sizeof sum.b) != 0)
        return as_fail(err, AS_INTEGRITY,
                       "%s: the tests at byte %lld are not those that were imported; import the "
                       "dataset again",
                       place->path.p, (long long)place->at);
    return AS_OK;
}

as_code sc_tests_read(sc_tests *out, const as_tests *place, as_err *err)
{
    init(out);
    as_code c = read_line(&out->line, place, err);
    if (c == AS_OK)
        c = parse(out, as_buf_str(&out->line), err);
    if (c != AS_OK)
        sc_tests_release(out);
    return c;
}

void sc_tests_release(sc_tests *t)
{
    free(t->tests);
    as_buf_release(&t->line);
    as_buf_release(&t->public_list);
    as_buf_release(&t->private_list);
    *t = (sc_tests){0};
}
