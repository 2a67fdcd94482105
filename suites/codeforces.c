/*
 * codeforces.c — contest problems with standings, given by the user: solved, and rated.
 *
 * Prompt and eight attempts: QwenLM/CodeElo, commit 0bffc84f. Sampling: ours; upstream leaves it to
 * the model. The judge is the local sandbox and the tests are the user's: Codeforces' own hidden
 * tests cannot be had.
 */
#include "suites/codeforces.h"

#include <math.h>
#include <string.h>

#include "base/stats.h"
#include "suites/prompt.h"
#include "suites/suites.h"
#include "suites/summary.h"
#include "suites/tests.h"

static const double points_lost = 50; /* for each failed attempt before the right one */
static const double penalty_added = 10;
static const double prior_mu = 1500;
static const double prior_sd = 400;

static const su_protocol protocols[] = {
    {
        .id = "codeelo",
        .title = "CodeElo's prompt, 8 attempts a problem",
        .source = "QwenLM/CodeElo, commit 0bffc84f",
        .scorer = "code_codeforces",
        .is_chat = true,
        .repeats = 8,
        .max_tokens = 32768,
        .sampling = {1, 0.95, (double)NAN, 64},
    },
    {
        .id = "once",
        .title = "CodeElo's prompt, one attempt a problem",
        .source = "QwenLM/CodeElo, commit 0bffc84f",
        .scorer = "code_codeforces",
        .is_chat = true,
        .repeats = 1,
        .max_tokens = 32768,
        .sampling = {1, 0.95, (double)NAN, 64},
    },
};

typedef struct cf_problem {
    as_str contest, title;
    double points, rating; /* NAN: not known */
} cf_problem;

typedef struct cf_contest {
    as_str id;
    sc_standing *rows;
    size_t n;
} cf_contest;

typedef struct cf_state {
    const cf_problem *problems; /* as the samples */
    const cf_contest *contests;
    int n_contests;
} cf_state;

/* ---- loading ------------------------------------------------------------------------------- */

static double number_or_nan(const as_json *row, const char *key)
{
    double v = (double)NAN;
    (void)as_json_f64(as_json_get(row, key), &v);
    return v;
}

static as_code read_problem(as_sample *out, cf_problem *problem, const as_json *row,
                            const char *tests, as_arena *keep, as_err *err)
{
    static const char *const spec[] = {"time_limit_ms", "memory_mb", "rule", "tolerance", NULL};
    AS_TRY(su_row_str(&out->id, row, "id", keep, err));
    AS_TRY(su_row_str(&out->question, row, "question", keep, err));
    AS_TRY(su_row_str(&problem->contest, row, "contest", keep, err));
    AS_TRY(su_row_str(&problem->title, row, "title", keep, err));
    problem->points = number_or_nan(row, "points");
    problem->rating = number_or_nan(row, "rating");
    out->group = problem->contest;
    out->target = AS_STR("all tests");
    return su_row_tests(&out->tests, row, tests, spec, keep, err);
}

static as_code read_contest(cf_contest *out, const as_json *row, as_arena *keep, as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(su_row_str(&out->id, row, "id", keep, err));
    AS_TRY(as_json_need_array(row, "standings", &list, err));
    out->rows = as_new(keep, sc_standing, as_json_count(list));
    if (out->rows == NULL)
        return as_nomem(err);
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        const as_json *points = as_json_first(v);
        const as_json *penalty = as_json_next(points);
        sc_standing *s = &out->rows[out->n++];
        (void)as_json_f64(points, &s->points);
        (void)as_json_f64(penalty, &s->penalty);
        (void)as_json_f64(as_json_next(penalty), &s->rating);
    }
    return AS_OK;
}

static as_code load_problems(su_task *task, cf_state *state, const char *root, as_arena *keep,
                             as_err *err)
{
    const as_str path = as_arena_printf(keep, "%s/codeforces/problems.tests.jsonl", root);
    ds_rows rows = {0};
    AS_TRY(ds_load(root, "codeforces", "problems", &rows, err));
    as_sample *samples = as_new(keep, as_sample, rows.n);
    cf_problem *problems = as_new(keep, cf_problem, rows.n);
    as_code c = samples == NULL || problems == NULL || !as_str_is_set(path) ? as_nomem(err) : AS_OK;
    for (size_t i = 0; c == AS_OK && i < rows.n; i++)
        c = read_problem(&samples[i], &problems[i], rows.row[i], path.p, keep, err);
    task->samples = samples;
    task->n_samples = rows.n;
    state->problems = problems;
    ds_rows_free(&rows);
    return c;
}

static as_code load_contests(cf_state *state, const char *root, as_arena *keep, as_err *err)
{
    ds_rows rows = {0};
    AS_TRY(ds_load(root, "codeforces", "contests", &rows, err));
    cf_contest *contests = as_new(keep, cf_contest, rows.n);
    as_code c = contests == NULL ? as_nomem(err) : AS_OK;
    for (size_t i = 0; c == AS_OK && i < rows.n; i++)
        c = read_contest(&contests[i], rows.row[i], keep, err);
    state->contests = contests;
    state->n_contests = (int)rows.n;
    ds_rows_free(&rows);
    return c;
}

static as_code missing(as_err *err)
{
    return as_fail(
        err, AS_RANGE,
        "codeforces: no problems are here: `assay data import codeforces PROBLEMS.jsonl "
        "CONTESTS.jsonl` brings yours in; their form stands in datasets/importers.h, and "
        "datasets/samples has twelve");
}

static as_code cf_load(su_task *out, const su_suite *suite, const su_protocol *protocol,
                       const su_load_options *options, as_arena *keep, as_err *err)
{
    static const char *const used[] = {"problems", "contests", NULL};
    su_task task = {.suite = suite, .protocol = protocol};
    cf_state *state = as_new(keep, cf_state, 1);
    as_err why = {0};
    if (state == NULL)
        return as_nomem(err);
    const as_code c = ds_find(options->data_root, "codeforces", &task.dataset, keep, &why);
    if (c == AS_RANGE)
        return missing(err);
    if (c != AS_OK) {
        if (err != NULL)
            *err = why;
        return c;
    }
    AS_TRY(su_only_splits(&task.dataset, used, keep, err));
    AS_TRY(load_problems(&task, state, options->data_root, keep, err));
    if (task.n_samples == 0)
        return missing(err);
    AS_TRY(load_contests(state, options->data_root, keep, err));
    task.state = state;
    *out = task;
    return AS_OK;
}

static size_t index_of(const su_task *task, as_str id)
{
    for (size_t i = 0; i < task->n_samples; i++)
        if (as_str_eq(task->samples[i].id, id))
            return i;
    return SIZE_MAX;
}

static as_code cf_prompt(const su_task *task, const as_sample *sample, int n_shot, as_request *out,
                         as_arena *arena, as_err *err)
{
    (void)n_shot;
    const cf_state *state = task->state;
    const size_t i = index_of(task, sample->id);
    const as_str title = i != SIZE_MAX ? state->problems[i].title : (as_str){0};
    as_buf b;
    as_str text;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b,
                       "You are a coding expert. Given a competition-level coding problem, you "
                       "need to write a C++ program to solve it. You may start by outlining "
                       "your thought process. In the end, please provide the complete code in a "
                       "code block enclosed with ``` ```.\n\n");
    if (title.n != 0)
        su_prompt_add(&b, "<h1>", title, "</h1>\n");
    su_prompt_add(&b, "", sample->question, "");
    AS_TRY(su_prompt_keep(&text, &b, arena, err));
    return su_prompt_user(out, text, arena, err);
}

/* ---- rating -------------------------------------------------------------------------------- */

/* Of one problem: which attempt was right first, from 0; -1 none. */
static int first_right(const as_result *rows, size_t n)
{
    int attempt = 0;
    for (size_t i = 0; i < n; i++) {
        if (!su_counts(&rows[i]))
            continue;
        if (rows[i].score.verdict == AS_RIGHT)
            return attempt;
        attempt++;
    }
    return -1;
}

typedef struct span {
    size_t from, to; /* rows of a problem; from == to: not asked */
} span;

static as_code rate_contest(su_contest_rating *out, const cf_contest *contest, const su_task *task,
                            const as_result *rows, const span *of, as_err *err)
{
    const cf_state *state = task->state;
    bool has_points = false;
    *out = (su_contest_rating){.id = contest->id, .n_participants = contest->n};
    for (size_t i = 0; i < task->n_samples; i++)
        has_points = has_points || (as_str_eq(state->problems[i].contest, contest->id) &&
                                    !isnan(state->problems[i].points));
    for (size_t i = 0; i < task->n_samples; i++) {
        if (!as_str_eq(state->problems[i].contest, contest->id))
            continue;
        out->n_problems++;
        out->n_unasked += of[i].from == of[i].to ? 1 : 0;
        const int right = first_right(rows + of[i].from, of[i].to - of[i].from);
        if (right < 0)
            continue;
        if (has_points) {
            const double points = state->problems[i].points - points_lost * right;
            out->score += points > 0 ? points : 0; /* also for NAN */
        } else {
            out->score++;
            out->penalty += penalty_added * right;
        }
    }
    out->rank = sc_codeelo_rank(contest->rows, contest->n, out->score, out->penalty);
    return sc_codeelo_rating(&out->rating, contest->rows, contest->n, out->rank, err);
}

static as_code rate_contests(su_codeforces_rating *out, const su_task *task, const as_result *rows,
                             const span *of, as_arena *keep, as_err *err)
{
    const cf_state *state = task->state;
    su_contest_rating *all = as_new(keep, su_contest_rating, state->n_contests);
    double *ratings = as_new(keep, double, state->n_contests);
    if (all == NULL || ratings == NULL)
        return as_nomem(err);
    for (int i = 0; i < state->n_contests; i++) {
        su_contest_rating *c = &all[out->n_contests];
        AS_TRY(rate_contest(c, &state->contests[i], task, rows, of, err));
        if (c->n_unasked == c->n_problems)
            continue;
        out->n_small += c->n_participants <= SU_SMALL_CONTEST ? 1 : 0;
        ratings[out->n_contests++] = c->rating;
    }
    const size_t n = (size_t)out->n_contests;
    out->contests = all;
    out->rating = as_mean(ratings, n);
    out->lo = out->hi = (double)NAN;
    if (n >= 2) {
        const double half = AS_Z95 * as_mean_se(ratings, n);
        out->lo = out->rating - half;
        out->hi = out->rating + half;
    }
    return AS_OK;
}

static as_code rate_problems(su_codeforces_rating *out, const su_task *task, const as_result *rows,
                             const span *of, as_arena *keep, as_err *err)
{
    const cf_state *state = task->state;
    double *difficulty = as_new(keep, double, task->n_samples);
    double *solved = as_new(keep, double, task->n_samples);
    if (difficulty == NULL || solved == NULL)
        return as_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < task->n_samples; i++) {
        int runs = 0;
        int right = 0;
        for (size_t k = of[i].from; k < of[i].to; k++) {
            runs += su_counts(&rows[k]) ? 1 : 0;
            right += rows[k].score.verdict == AS_RIGHT ? 1 : 0;
        }
        if (runs == 0 || isnan(state->problems[i].rating))
            continue;
        difficulty[n] = state->problems[i].rating;
        solved[n++] = (double)right / runs;
    }
    out->n_rated = (int)n;
    const double nan = (double)NAN;
    out->ml = out->map = (sc_estimate){nan, nan, nan, nan, SC_FINITE};
    if (n == 0)
        return AS_OK;
    AS_TRY(sc_elo_ml(&out->ml, difficulty, solved, n, err));
    return sc_elo_map(&out->map, difficulty, solved, n, prior_mu, prior_sd, err);
}

as_code su_codeforces_rate(su_codeforces_rating *out, const su_task *task, const as_result *rows,
                           size_t n, as_arena *keep, as_err *err)
{
    if (task->suite != &su_codeforces)
        return as_fail(err, AS_RANGE, "%s has no contests to be rated by", task->suite->name);
    *out = (su_codeforces_rating){0};
    span *of = as_new(keep, span, task->n_samples);
    if (of == NULL)
        return as_nomem(err);
    for (size_t i = 0, end; i < n; i = end) {
        end = su_item_end(rows, n, i);
        const size_t at = index_of(task, rows[i].item);
        if (at != SIZE_MAX)
            of[at] = (span){i, end};
    }
    AS_TRY(rate_contests(out, task, rows, of, keep, err));
    return rate_problems(out, task, rows, of, keep, err);
}

static as_code cf_summarise(const su_task *task, const as_result *rows, size_t n, as_summary *out,
                            as_arena *keep, as_err *err)
{
    as_summary s = {0};
    su_codeforces_rating r;
    AS_TRY(su_summary_basic(rows, n, &s, keep, err));
    AS_TRY(su_put_pass_metrics(&s, rows, n, 0, keep, err));
    AS_TRY(su_codeforces_rate(&r, task, rows, n, keep, err));
    const as_metric more[] = {
        {AS_STR_INIT("rating"), r.rating},          {AS_STR_INIT("rating_lo"), r.lo},
        {AS_STR_INIT("rating_hi"), r.hi},           {AS_STR_INIT("contests"), r.n_contests},
        {AS_STR_INIT("small_contests"), r.n_small}, {AS_STR_INIT("rating_ml"), r.ml.value},
        {AS_STR_INIT("rating_ml_lo"), r.ml.lo},     {AS_STR_INIT("rating_ml_hi"), r.ml.hi},
        {AS_STR_INIT("rating_map"), r.map.value},   {AS_STR_INIT("rating_map_lo"), r.map.lo},
        {AS_STR_INIT("rating_map_hi"), r.map.hi},
    };
    enum { N = sizeof more / sizeof more[0] };
    as_metric *all = as_new(keep, as_metric, s.n_metrics + N);
    if (all == NULL)
        return as_nomem(err);
    for (int i = 0; i < s.n_metrics; i++)
        all[i] = s.metrics[i];
    memcpy(all + s.n_metrics, more, sizeof more);
    s.metrics = all;
    s.n_metrics += N;
    *out = s;
    return AS_OK;
}

const su_suite su_codeforces = {
    .name = "codeforces",
    .title = "Codeforces: contest problems of your own, with a rating from their standings",
    .protocols = protocols,
    .n_protocols = sizeof protocols / sizeof protocols[0],
    .load = cf_load,
    .prompt = cf_prompt,
    .summarise = cf_summarise,
};
