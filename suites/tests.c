#include "suites/tests.h"

#include <math.h>
#include <string.h>

#include "base/stats.h"
#include "suites/prompt.h"
#include "suites/summary.h"

static as_code write_spec(as_str *out, const as_json *row, const char *const *spec, as_arena *keep,
                          as_err *err)
{
    as_buf b;
    as_jw w;
    as_buf_init(&b, 1 << 20);
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    for (; *spec != NULL; spec++) {
        const as_json *v = as_json_get(row, *spec);
        if (v == NULL)
            continue;
        as_jw_key(&w, *spec);
        as_jw_node(&w, v);
    }
    as_jw_end_object(&w);
    return su_prompt_keep(out, &b, keep, err);
}

as_code su_row_tests(const as_tests **out, const as_json *row, const char *path,
                     const char *const *spec, as_arena *keep, as_err *err)
{
    const as_json *place = as_json_get(row, "tests");
    as_tests *t = as_new(keep, as_tests, 1);
    as_str hex;
    if (t == NULL)
        return as_nomem(err);
    if (place == NULL)
        return as_fail(err, AS_RANGE, "%s: an item was imported without tests", path);
    t->path = as_str_of(path);
    AS_TRY(as_json_need_i64(place, "at", 0, INT64_C(1) << 52, &t->at, err));
    AS_TRY(as_json_need_i64(place, "bytes", 0, INT64_C(1) << 52, &t->bytes, err));
    AS_TRY(as_json_need_str(place, "sha256", &hex, err));
    if (!as_sha256_parse(&t->sha256, hex))
        return as_fail(err, AS_PARSE, "\"sha256\": want 64 hexadecimal digits");
    AS_TRY(write_spec(&t->spec, row, spec, keep, err));
    *out = t;
    return AS_OK;
}

static void count_item(const as_result *rows, size_t n, int *runs, int *right)
{
    *runs = *right = 0;
    for (size_t i = 0; i < n; i++) {
        if (!su_counts(&rows[i]))
            continue;
        (*runs)++;
        *right += rows[i].score.verdict == AS_RIGHT ? 1 : 0;
    }
}

as_code su_put_pass_metrics(as_summary *s, const as_result *rows, size_t n, int most,
                            as_arena *keep, as_err *err)
{
    int k = 0;
    int runs = 0;
    int right = 0;
    for (size_t i = 0, end; i < n; i = end) {
        end = su_item_end(rows, n, i);
        count_item(rows + i, end - i, &runs, &right);
        k = runs > k ? runs : k;
    }
    if (most != 0 && k > most)
        k = most;
    double pass_1 = 0;
    double pass_k = 0;
    double n_1 = 0;
    double n_k = 0;
    for (size_t i = 0, end; i < n; i = end) {
        end = su_item_end(rows, n, i);
        count_item(rows + i, end - i, &runs, &right);
        if (runs == 0)
            continue;
        pass_1 += (double)right / runs;
        n_1++;
        if (runs < k)
            continue;
        pass_k += as_pass_at_k(runs, right, k);
        n_k++;
    }
    const as_metric more[] = {
        {AS_STR_INIT("pass@1"), n_1 > 0 ? pass_1 / n_1 : (double)NAN},
        {AS_STR_INIT("pass@k"), n_k > 0 ? pass_k / n_k : (double)NAN},
        {AS_STR_INIT("k"), (double)k},
    };
    enum { N = sizeof more / sizeof more[0] };
    as_metric *all = as_new(keep, as_metric, s->n_metrics + N);
    if (all == NULL)
        return as_nomem(err);
    for (int i = 0; i < s->n_metrics; i++)
        all[i] = s->metrics[i];
    memcpy(all + s->n_metrics, more, sizeof more);
    s->metrics = all;
    s->n_metrics += N;
    return AS_OK;
}
