/* rate_runs.c — assay rate RUN: the Codeforces rating of a run; assay rate RUN RUN…: which run beats
 * which, item by item. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/rate.h"
#include "scorers/rating/arena_rank.h"
#include "store/query.h"
#include "suites/codeforces.h"

/* ---- one run on contest problems ------------------------------------------------------------ */

static void put_contest(as_jw *w, const su_contest_rating *c)
{
    as_jw_begin_object(w);
    as_jw_put_str(w, "contest", c->id);
    as_jw_put_i64(w, "participants", (int64_t)c->n_participants);
    as_jw_put_i64(w, "problems", c->n_problems);
    as_jw_put_i64(w, "not_asked", c->n_unasked);
    as_jw_put_f64(w, "score", c->score);
    as_jw_put_f64(w, "penalty", c->penalty);
    as_jw_put_i64(w, "rank", (int64_t)c->rank);
    as_jw_put_i64(w, "rating", c->rating);
    as_jw_end_object(w);
}

static void put_rating_json(as_buf *b, const db_run_row *run, const db_task_row *task,
                            const su_codeforces_rating *r)
{
    as_jw w;
    as_jw_init(&w, b);
    as_jw_begin_object(&w);
    as_jw_put_i64(&w, "run", run->id);
    as_jw_put_str(&w, "model", run->model_name);
    as_jw_put_str(&w, "protocol", task->protocol);
    as_jw_put_i64(&w, "attempts", task->repeats);
    as_jw_key(&w, "contests");
    as_jw_begin_array(&w);
    for (int i = 0; i < r->n_contests; i++)
        put_contest(&w, &r->contests[i]);
    as_jw_end_array(&w);
    as_jw_put_i64(&w, "small_contests", r->n_small);
    as_jw_put_f64(&w, "rating", r->rating);
    as_jw_key(&w, "rating_interval");
    as_jw_begin_array(&w);
    as_jw_f64(&w, r->lo);
    as_jw_f64(&w, r->hi);
    as_jw_end_array(&w);
    as_jw_put_i64(&w, "rated_problems", r->n_rated);
    cli_put_estimate(&w, "ml", &r->ml);
    cli_put_estimate(&w, "map_mu1500_sd400", &r->map);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(b, '\n');
}

static void put_estimate_text(as_buf *b, const char *name, const sc_estimate *e)
{
    if (isnan(e->value))
        (void)as_buf_printf(b, "%-34s none (%s)\n", name,
                            e->bound == SC_ABOVE   ? "everything was solved"
                            : e->bound == SC_BELOW ? "nothing was solved"
                                                   : "no problem has a rating");
    else
        (void)as_buf_printf(b, "%-34s %.0f, 95 %% %.0f to %.0f\n", name, e->value, e->lo, e->hi);
}

static void put_rating_text(as_buf *b, const db_run_row *run, const db_task_row *task,
                            const su_codeforces_rating *r)
{
    (void)as_buf_printf(b, "run %lld, %.*s, codeforces:%.*s, %d attempts a problem\n",
                        (long long)run->id, AS_ARG(run->model_name), AS_ARG(task->protocol),
                        task->repeats);
    for (int i = 0; i < r->n_contests; i++) {
        const su_contest_rating *c = &r->contests[i];
        (void)as_buf_printf(
            b,
            "  contest %.*s: %.0f points, %.0f penalty, %zu of %zu better or equal, "
            "rating %d%s\n",
            AS_ARG(c->id), c->score, c->penalty, c->rank, c->n_participants, c->rating,
            c->n_unasked != 0 ? " (some problems were not asked)" : "");
    }
    if (r->n_contests == 0)
        (void)as_buf_add_z(b,
                           "expected rank (CodeElo)            none: no contest has standings\n");
    else if (r->n_contests == 1)
        (void)as_buf_printf(
            b, "expected rank (CodeElo)            %.0f, one contest: no interval\n", r->rating);
    else
        (void)as_buf_printf(
            b, "expected rank (CodeElo)            %.0f, 95 %% %.0f to %.0f over %d contests\n",
            r->rating, r->lo, r->hi, r->n_contests);
    put_estimate_text(b, "problem ratings, likeliest", &r->ml);
    put_estimate_text(b, "problem ratings, prior 1500 ± 400", &r->map);
    if (r->n_small != 0)
        (void)as_buf_printf(
            b, "%d of %d contests have 200 participants or fewer; CodeElo leaves those out\n",
            r->n_small, r->n_contests);
}

static as_code rate_task(db_store *db, const db_run_row *run, const db_task_row *task, bool is_json,
                         as_buf *b, cli_env *env, as_err *err)
{
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    su_task loaded;
    as_result *rows = NULL;
    size_t n = 0;
    su_codeforces_rating r;
    const as_str name =
        as_arena_printf(env->keep, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol));
    if (!as_str_is_set(name))
        return as_nomem(err);
    AS_TRY(su_find(cli_suites, name, &suite, &protocol, env->keep, err));
    const su_load_options load = {.data_root = env->data_dir};
    AS_TRY(suite->load(&loaded, suite, protocol, &load, env->keep, err));
    AS_TRY(db_results(db, task->id, 0, &rows, &n, env->keep, err));
    AS_TRY(su_codeforces_rate(&r, &loaded, rows, n, env->keep, err));
    if (is_json)
        put_rating_json(b, run, task, &r);
    else
        put_rating_text(b, run, task, &r);
    return AS_OK;
}

static as_code rate_run(db_store *db, const char *which, bool is_json, as_buf *b, cli_env *env,
                        as_err *err)
{
    db_run_row run;
    int n_rated = 0;
    AS_TRY(db_run_find(db, as_str_of(which), &run, env->keep, err));
    for (int i = 0; i < run.n_tasks; i++) {
        if (!as_str_eq_z(run.tasks[i].suite, "codeforces"))
            continue;
        AS_TRY(rate_task(db, &run, &run.tasks[i], is_json, b, env, err));
        n_rated++;
    }
    if (n_rated != 0)
        return AS_OK;
    return as_fail(
        err, AS_RANGE,
        "run %lld has no codeforces suite; two runs or more are rated against each other",
        (long long)run.id);
}

/* ---- several runs against each other --------------------------------------------------------- */

typedef struct item_score {
    as_str suite, item;
    double mean;
} item_score;

typedef struct contender {
    const char *name;
    item_score *items; /* sorted */
    size_t n;
} contender;

static int by_item(const void *a, const void *b)
{
    const item_score *x = a;
    const item_score *y = b;
    const int c = as_str_cmp(x->suite, y->suite);
    return c != 0 ? c : as_str_cmp(x->item, y->item);
}

/* Mean over an item's answers that say something about the model. */
static as_code add_task(contender *out, const as_result *rows, size_t n, as_str suite)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        double sum = 0;
        int count = 0;
        for (; end < n && as_str_eq(rows[end].item, rows[i].item); end++) {
            const as_verdict v = rows[end].score.verdict;
            if (v == AS_ERROR || v == AS_UNGRADED)
                continue;
            sum += rows[end].score.value;
            count++;
        }
        if (count != 0)
            out->items[out->n++] = (item_score){suite, rows[i].item, sum / count};
        i = end;
    }
    return AS_OK;
}

static as_code read_contender(contender *out, db_store *db, const char *which, as_arena *keep,
                              as_err *err)
{
    db_run_row run;
    AS_TRY(db_run_find(db, as_str_of(which), &run, keep, err));
    const as_str name =
        as_arena_printf(keep, "%lld:%.*s", (long long)run.id, AS_ARG(run.model_name));
    if (!as_str_is_set(name))
        return as_nomem(err);
    size_t room = 0;
    for (int i = 0; i < run.n_tasks; i++)
        room += (size_t)run.tasks[i].n_planned;
    *out = (contender){.name = name.p, .items = as_new(keep, item_score, room)};
    if (out->items == NULL)
        return as_nomem(err);
    for (int i = 0; i < run.n_tasks; i++) {
        as_result *rows = NULL;
        size_t n = 0;
        AS_TRY(db_results(db, run.tasks[i].id, 0, &rows, &n, keep, err));
        AS_TRY(add_task(out, rows, n, run.tasks[i].suite));
    }
    qsort(out->items, out->n, sizeof out->items[0], by_item);
    return AS_OK;
}

/* counts[0] items that a did better, [1] equal, [2] worse. */
static void meet(const contender *a, const contender *b, double counts[3])
{
    counts[0] = counts[1] = counts[2] = 0;
    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        const int c = by_item(&a->items[i], &b->items[k]);
        if (c == 0) {
            const double d = a->items[i].mean - b->items[k].mean;
            counts[d > 0 ? 0 : d < 0 ? 2 : 1]++;
        }
        i += c <= 0 ? 1 : 0;
        k += c >= 0 ? 1 : 0;
    }
}

static as_code rank_runs(db_store *db, const char *const *which, int n, bool is_json, as_buf *b,
                         as_arena *keep, as_err *err)
{
    contender *all = as_new(keep, contender, n);
    const char **names = as_new(keep, const char *, n);
    sc_battles *rows = as_new(keep, sc_battles, (size_t)n * (size_t)n * 3);
    if (all == NULL || names == NULL || rows == NULL)
        return as_nomem(err);
    for (int i = 0; i < n; i++) {
        AS_TRY(read_contender(&all[i], db, which[i], keep, err));
        names[i] = all[i].name;
    }
    size_t n_rows = 0;
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            double counts[3];
            meet(&all[i], &all[k], counts);
            for (int o = 0; o < 3; o++)
                if (counts[o] > 0)
                    rows[n_rows++] = (sc_battles){i, k, 1 - o / 2.0, counts[o]};
        }
    if (n_rows == 0)
        return as_fail(err, AS_RANGE, "these runs have no item in common");
    return is_json ? cli_put_arena(b, names, n, rows, n_rows, keep, err)
                   : cli_put_arena_text(b, names, n, rows, n_rows, keep, err);
}

as_code cli_rate_runs(const char *const *which, int n, const char *db_flag, const char *format_name,
                      cli_env *env, as_err *err)
{
    cli_format format;
    const char *path = NULL;
    db_store *db = NULL;
    as_buf b;
    as_buf_init(&b, 0);
    as_code c = cli_format_parse(&format, format_name, err);
    const bool is_json = format == CLI_JSON || format == CLI_JSONL;
    if (c == AS_OK)
        c = cli_open_db(&db, &path, db_flag, DB_READ, env, err);
    if (c == AS_OK)
        c = n == 1 ? rate_run(db, which[0], is_json, &b, env, err)
                   : rank_runs(db, which, n, is_json, &b, env->keep, err);
    if (c == AS_OK)
        c = as_buf_ok(&b, err);
    if (c == AS_OK)
        c = cli_print(as_buf_str(&b), err);
    db_close(db);
    as_buf_release(&b);
    return c;
}
