#include "suites/summary.h"

#include <math.h>
#include <stdlib.h>

#include "base/stats.h"

bool su_counts(const as_result *row)
{
    return row->score.verdict != AS_ERROR && row->score.verdict != AS_UNGRADED;
}

size_t su_item_end(const as_result *rows, size_t n, size_t i)
{
    size_t end = i + 1;
    while (end < n && as_str_eq(rows[end].item, rows[i].item))
        end++;
    return end;
}

static int by_text(const void *a, const void *b)
{
    return as_str_cmp(*(const as_str *)a, *(const as_str *)b);
}

static int find_name(const as_str *sorted, int n, as_str name)
{
    int lo = 0;
    int hi = n;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (as_str_cmp(sorted[mid], name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The groups of rows that count, each where it differs from the one before; names may be NULL. */
static size_t group_changes(const as_result *rows, size_t n, as_str *names)
{
    size_t n_names = 0;
    const as_str *last = NULL;
    for (size_t i = 0; i < n; i++) {
        const as_str *group = &rows[i].group;
        if (!su_counts(&rows[i]) || group->n == 0 || (last != NULL && as_str_eq(*last, *group)))
            continue;
        last = group;
        if (names != NULL)
            names[n_names] = *group;
        n_names++;
    }
    return n_names;
}

as_code su_group_rows(su_grouping *out, const as_result *rows, size_t n, as_arena *keep,
                      as_err *err)
{
    const size_t n_changes = group_changes(rows, n, NULL);
    as_str *names = as_new(keep, as_str, n_changes);
    int *of = as_new(keep, int, n);
    if (names == NULL || of == NULL)
        return as_nomem(err);
    const size_t n_names = group_changes(rows, n, names);
    qsort(names, n_names, sizeof names[0], by_text);
    int unique = 0;
    for (size_t i = 0; i < n_names; i++)
        if (i == 0 || !as_str_eq(names[i], names[i - 1]))
            names[unique++] = names[i];
    for (size_t i = 0; i < n; i++)
        of[i] = su_counts(&rows[i]) && rows[i].group.n != 0
                    ? find_name(names, unique, rows[i].group)
                    : -1;
    *out = (su_grouping){names, unique, of};
    return AS_OK;
}

static as_code add_groups(as_summary *s, const as_result *rows, size_t n, as_arena *keep,
                          as_err *err)
{
    su_grouping by = {0};
    AS_TRY(su_group_rows(&by, rows, n, keep, err));
    as_group *groups = as_new(keep, as_group, by.n);
    if (groups == NULL)
        return as_nomem(err);
    for (int g = 0; g < by.n; g++)
        groups[g].name = by.name[g];
    for (size_t i = 0; i < n; i++) {
        if (by.of[i] < 0)
            continue;
        groups[by.of[i]].n++;
        groups[by.of[i]].score += rows[i].score.value; /* the sum, until all are in */
    }
    for (int g = 0; g < by.n; g++)
        groups[g].score /= (double)groups[g].n;
    s->groups = groups;
    s->n_groups = by.n;
    return AS_OK;
}

/* Means per item; returns their number. */
static size_t item_means(double *means, const as_result *rows, size_t n)
{
    size_t n_items = 0;
    for (size_t i = 0; i < n;) {
        const size_t end = su_item_end(rows, n, i);
        double sum = 0;
        int64_t count = 0;
        for (; i < end; i++) {
            if (su_counts(&rows[i])) {
                sum += rows[i].score.value;
                count++;
            }
        }
        if (count > 0)
            means[n_items++] = sum / (double)count;
    }
    return n_items;
}

as_code su_summary_basic(const as_result *rows, size_t n, as_summary *out, as_arena *keep,
                         as_err *err)
{
    as_summary s = {.score = (double)NAN, .lo = 0, .hi = 1};
    size_t most_items = 0;
    for (size_t i = 0; i < n; i = su_item_end(rows, n, i))
        most_items++;
    double *means = as_new(keep, double, most_items);
    if (means == NULL)
        return as_nomem(err);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        s.anatomy[rows[i].score.verdict]++;
        if (su_counts(&rows[i])) {
            s.n++;
            sum += rows[i].score.value;
        }
    }
    const size_t n_items = item_means(means, rows, n);
    s.n_items = (int64_t)n_items;
    if (s.n > 0) {
        s.score = sum / (double)s.n;
        s.se = as_mean_se(means, n_items);
    }
    if (s.n > 0 && s.n == s.n_items) {
        const as_interval ci = as_wilson(sum, (double)s.n, AS_Z95);
        s.lo = ci.lo;
        s.hi = ci.hi;
    } else if (s.n > 0) {
        s.lo = fmax(0, s.score - AS_Z95 * s.se);
        s.hi = fmin(1, s.score + AS_Z95 * s.se);
    }
    AS_TRY(add_groups(&s, rows, n, keep, err));
    *out = s;
    return AS_OK;
}
