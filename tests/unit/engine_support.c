#include "engine_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/io.h"
#include "engine/session_impl.h"

static const char *join(const char *folder, const char *name)
{
    static as_arena keep; /* until the process ends */
    static bool is_open;
    if (!is_open)
        as_arena_init(&keep, 0);
    is_open = true;
    const as_str path = as_arena_printf(&keep, "%s/%s", folder, name);
    assert_non_null(path.p);
    return path.p;
}

const char *t_fixture(const char *name)
{
    const char *folder = getenv("AS_FIXTURES");
    return join(folder != NULL ? folder : "tests/fixtures", name);
}

const char *t_golden(const char *model)
{
    const char *own = join(t_fixture("engine"), model);
    if (as_is_dir(own))
        return own;
    const char *shared = getenv("AS_SHARED");
    if (shared == NULL)
        return NULL;
    const char *other = join(join(shared, "golden/text"), model);
    return as_is_dir(other) ? other : NULL;
}

g4_model *t_model(const char *path)
{
    as_err err = {0};
    g4_model *m = NULL;
    if (g4_model_open(&m, path, NULL, &err) != AS_OK)
        fail_msg("%s", err.text);
    return m;
}

g4_session *t_session(const g4_model *m, g4_session_options options)
{
    as_err err = {0};
    g4_session *s = NULL;
    if (g4_session_open(&s, m, &options, &err) != AS_OK)
        fail_msg("%s", err.text);
    return s;
}

g4_session *t_session_ops(const g4_model *m, g4_session_options options, const k_ops *ops)
{
    g4_session *s = t_session(m, options);
    s->compute.ops = ops;
    return s;
}

as_json *t_json(const char *path)
{
    as_err err = {0};
    as_buf text;
    as_buf_init(&text, 0);
    as_json *tree = NULL;
    if (as_read_file(&text, path, &err) != AS_OK ||
        as_json_parse(&tree, as_buf_str(&text), &err) != AS_OK)
        fail_msg("%s: %s", path, err.text);
    as_buf_release(&text);
    return tree;
}

float *t_floats(const char *path, size_t *n)
{
    as_err err = {0};
    as_buf bytes;
    as_buf_init(&bytes, 0);
    if (as_read_file(&bytes, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    float *v = malloc(bytes.n + sizeof *v);
    assert_non_null(v);
    memcpy(v, bytes.p, bytes.n);
    if (n != NULL)
        *n = bytes.n / sizeof *v;
    as_buf_release(&bytes);
    return v;
}

double *t_numbers(const as_json *array, int *n)
{
    double *v = malloc((as_json_count(array) + 1) * sizeof *v);
    assert_non_null(v);
    *n = 0;
    for (const as_json *x = as_json_first(array); x != NULL; x = as_json_next(x))
        assert_true(as_json_f64(x, &v[(*n)++]));
    return v;
}

int32_t *t_ids(const as_json *array, int *n)
{
    int32_t *v = malloc((as_json_count(array) + 1) * sizeof *v);
    assert_non_null(v);
    *n = 0;
    for (const as_json *x = as_json_first(array); x != NULL; x = as_json_next(x)) {
        int64_t id = 0;
        assert_true(as_json_i64(x, &id));
        v[(*n)++] = (int32_t)id;
    }
    return v;
}

double t_number(const as_json *object, const char *key, double fallback)
{
    double v = fallback;
    as_json_f64(as_json_get(object, key), &v);
    return v;
}

int t_seq(g4_session *s)
{
    as_err err = {0};
    int seq = -1;
    if (g4_seq_new(s, &seq, &err) != AS_OK)
        fail_msg("%s", err.text);
    return seq;
}

g4_result t_decode(g4_session *s, const g4_row *rows, int n)
{
    as_err err = {0};
    g4_result out;
    if (g4_decode(s, rows, n, &out, &err) != AS_OK)
        fail_msg("%s", err.text);
    return out;
}

void t_feed(g4_session *s, int seq, const int32_t *ids, int n, int32_t first_position, int piece,
            const bool *want, t_see see, void *user)
{
    g4_row *rows = calloc((size_t)piece, sizeof *rows);
    assert_non_null(rows);
    for (int i = 0; i < n; i += piece) {
        const int part = n - i < piece ? n - i : piece;
        for (int r = 0; r < part; r++)
            rows[r] = (g4_row){.seq = seq,
                               .pos = first_position + i + r,
                               .token = ids[i + r],
                               .want_logits = want == NULL || want[i + r]};
        const g4_result out = t_decode(s, rows, part);
        int at = 0;
        for (int r = 0; r < part; r++)
            if (rows[r].want_logits && see != NULL)
                see(user, i + r, out.logits + (size_t)at++ * (size_t)s->model->info.n_vocab);
    }
    free(rows);
}

int32_t t_argmax(const float *logits, int n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}
