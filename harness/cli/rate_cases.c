/* rate_cases.c — assay rate codeforces|arena --cases FILE: ratings of given outcomes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/rate.h"
#include "scorers/rating/arena_rank.h"
#include "scorers/rating/elo.h"

enum { MAX_CASES_BYTES = 256 << 20 };
static const double prior_mu = 1500;
static const double prior_sd = 400;

static as_code numbers(const double **out, size_t *n, const as_json *item, const char *key,
                       as_arena *keep, as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(as_json_need_array(item, key, &list, err));
    *n = as_json_count(list);
    double *all = as_new(keep, double, *n);
    if (all == NULL)
        return as_nomem(err);
    size_t i = 0;
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v), i++) {
        bool is_true = false;
        if (as_json_bool(v, &is_true)) /* solved or not */
            all[i] = is_true ? 1 : 0;
        else if (!as_json_f64(v, &all[i]))
            return as_fail(err, AS_PARSE, "\"%s\": entry %zu is no number", key, i + 1);
    }
    *out = all;
    return AS_OK;
}

static as_code one_number(double *out, const as_json *item, const char *key, as_err *err)
{
    if (!as_json_f64(as_json_get(item, key), out))
        return as_fail(err, AS_PARSE, "\"%s\": want a number", key);
    return AS_OK;
}

/* {"standings": [[points, penalty, rating], …], "score", "penalty"} */
static as_code rate_contest(as_jw *w, const as_json *item, as_arena *keep, as_err *err)
{
    sc_standing *rows = NULL;
    size_t n = 0;
    double score = 0;
    double penalty = 0;
    int rating = 0;
    AS_TRY(cli_read_standings(&rows, &n, as_json_get(item, "standings"), keep, err));
    AS_TRY(one_number(&score, item, "score", err));
    AS_TRY(one_number(&penalty, item, "penalty", err));
    const size_t rank = sc_codeelo_rank(rows, n, score, penalty);
    AS_TRY(sc_codeelo_rating(&rating, rows, n, rank, err));
    as_jw_put_i64(w, "rank", (int64_t)rank);
    as_jw_put_i64(w, "rating", rating);
    return AS_OK;
}

void cli_put_estimate(as_jw *w, const char *name, const sc_estimate *e)
{
    char key[64];
    as_jw_put_f64(w, name, e->value);
    (void)snprintf(key, sizeof key, "%s_se", name);
    as_jw_put_f64(w, key, e->se);
    (void)snprintf(key, sizeof key, "%s_interval", name);
    as_jw_key(w, key);
    as_jw_begin_array(w);
    as_jw_f64(w, e->lo);
    as_jw_f64(w, e->hi);
    as_jw_end_array(w);
    if (e->bound == SC_FINITE)
        return;
    (void)snprintf(key, sizeof key, "%s_open", name);
    as_jw_put_z(w, key, e->bound == SC_ABOVE ? "above" : "below");
}

/* {"difficulty": […], "solved": […]} */
static as_code rate_problems(as_jw *w, const as_json *item, as_arena *keep, as_err *err)
{
    const double *difficulty = NULL;
    const double *solved = NULL;
    size_t n = 0;
    size_t n_solved = 0;
    sc_estimate ml, map;
    AS_TRY(numbers(&difficulty, &n, item, "difficulty", keep, err));
    AS_TRY(numbers(&solved, &n_solved, item, "solved", keep, err));
    if (n != n_solved)
        return as_fail(err, AS_RANGE, "%zu difficulties, but %zu outcomes", n, n_solved);
    AS_TRY(sc_elo_ml(&ml, difficulty, solved, n, err));
    AS_TRY(sc_elo_map(&map, difficulty, solved, n, prior_mu, prior_sd, err));
    cli_put_estimate(w, "ml", &ml);
    cli_put_estimate(w, "map_mu1500_sd400", &map);
    return AS_OK;
}

/* ---- arena -------------------------------------------------------------------------------- */

typedef struct arena_case {
    const char **names;
    int n_models;
    sc_battles *rows;
    size_t n;
} arena_case;

static int find_model(const arena_case *c, as_str name)
{
    for (int i = 0; i < c->n_models; i++)
        if (as_str_eq_z(name, c->names[i]))
            return i;
    return -1;
}

static as_code read_models(arena_case *c, const as_json *item, as_arena *keep, as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(as_json_need_array(item, "models", &list, err));
    c->names = as_new(keep, const char *, as_json_count(list));
    if (c->names == NULL)
        return as_nomem(err);
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        as_str name;
        if (!as_json_str(v, &name) || name.n == 0)
            return as_fail(err, AS_PARSE, "\"models\": want names");
        if (find_model(c, name) >= 0)
            return as_fail(err, AS_RANGE, "\"models\": %.*s is listed twice", AS_ARG(name));
        if (c->n_models == SC_MAX_MODELS)
            return as_fail(err, AS_RANGE, "more than %d models", SC_MAX_MODELS);
        c->names[c->n_models++] = as_arena_str(keep, name).p;
        if (c->names[c->n_models - 1] == NULL)
            return as_nomem(err);
    }
    return AS_OK;
}

static as_code read_battles(arena_case *c, const as_json *item, as_arena *keep, as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(as_json_need_array(item, "battles", &list, err));
    c->rows = as_new(keep, sc_battles, as_json_count(list));
    if (c->rows == NULL)
        return as_nomem(err);
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        sc_battles *row = &c->rows[c->n];
        as_str a, b;
        AS_TRY(as_json_need_str(v, "a", &a, err));
        AS_TRY(as_json_need_str(v, "b", &b, err));
        AS_TRY(one_number(&row->outcome, v, "outcome", err));
        row->count = 1;
        if (as_json_get(v, "count") != NULL)
            AS_TRY(one_number(&row->count, v, "count", err));
        row->a = find_model(c, a);
        row->b = find_model(c, b);
        if (row->a < 0 || row->b < 0)
            return as_fail(err, AS_RANGE, "battle %zu: %.*s is not among the models", c->n + 1,
                           AS_ARG(row->a < 0 ? a : b));
        if (row->count != 0) /* a row of no battles says nothing */
            c->n++;
    }
    return AS_OK;
}

static void put_numbers(as_jw *w, const char *key, const double *x, int n)
{
    as_jw_key(w, key);
    as_jw_begin_array(w);
    for (int i = 0; i < n; i++)
        as_jw_f64(w, x[i]);
    as_jw_end_array(w);
}

static as_code put_fit(as_jw *w, const char *key, const arena_case *c, bool is_reweighted,
                       as_arena *keep, as_err *err)
{
    sc_arena_rank r;
    AS_TRY(sc_arena_fit(&r, c->names, c->n_models, c->rows, c->n, is_reweighted, keep, err));
    as_jw_key(w, key);
    as_jw_begin_object(w);
    put_numbers(w, "rating", r.rating, c->n_models);
    put_numbers(w, "ci95_half", r.half, c->n_models);
    as_jw_key(w, "rank");
    as_jw_begin_array(w);
    for (int i = 0; i < c->n_models; i++)
        as_jw_i64(w, r.rank[i]);
    as_jw_end_array(w);
    as_jw_end_object(w);
    return AS_OK;
}

static as_code put_fits(as_jw *w, const arena_case *c, as_arena *keep, as_err *err)
{
    as_jw_key(w, "models");
    as_jw_begin_array(w);
    for (int i = 0; i < c->n_models; i++)
        as_jw_z(w, c->names[i]);
    as_jw_end_array(w);
    AS_TRY(put_fit(w, "unweighted", c, false, keep, err));
    return put_fit(w, "reweighted", c, true, keep, err);
}

static as_code rate_battles(as_jw *w, const as_json *item, as_arena *keep, as_err *err)
{
    arena_case c = {0};
    AS_TRY(read_models(&c, item, keep, err));
    AS_TRY(read_battles(&c, item, keep, err));
    return put_fits(w, &c, keep, err);
}

as_code cli_put_arena(as_buf *b, const char *const *names, int n_models, const sc_battles *rows,
                      size_t n, as_arena *keep, as_err *err)
{
    arena_case c = {.n_models = n_models, .n = n};
    as_jw w;
    c.names = as_new(keep, const char *, n_models);
    c.rows = as_new(keep, sc_battles, n);
    if (c.names == NULL || c.rows == NULL)
        return as_nomem(err);
    memcpy(c.names, names, (size_t)n_models * sizeof *names);
    memcpy(c.rows, rows, n * sizeof *rows);
    as_jw_init(&w, b);
    as_jw_begin_object(&w);
    AS_TRY(put_fits(&w, &c, keep, err));
    as_jw_end_object(&w);
    return as_buf_add_byte(b, '\n');
}

as_code cli_put_arena_text(as_buf *b, const char *const *names, int n_models,
                           const sc_battles *rows, size_t n, as_arena *keep, as_err *err)
{
    sc_arena_rank r;
    double ties = 0;
    double battles = 0;
    AS_TRY(sc_arena_fit(&r, names, n_models, rows, n, false, keep, err));
    for (size_t i = 0; i < n; i++) {
        battles += rows[i].count;
        ties += rows[i].outcome == 0.5 ? rows[i].count : 0;
    }
    (void)as_buf_printf(b, "Bradley-Terry over %.0f meetings, %.0f of them ties; mean 1000\n",
                        battles, ties);
    for (int i = 0; i < n_models; i++)
        (void)as_buf_printf(b, "rank %-4d %8.1f ± %-7.1f %s\n", r.rank[i], r.rating[i], r.half[i],
                            names[i]);
    return AS_OK;
}

/* ---- all cases of a file ------------------------------------------------------------------ */

/* A case that has no answer keeps its place: {"error": why}. */
static void rate_one(as_jw *w, const as_json *item, bool is_arena, as_arena *scratch)
{
    as_err why = {0};
    as_buf part;
    as_jw pw;
    as_buf_init(&part, 64 << 20);
    as_jw_init(&pw, &part);
    as_jw_begin_object(&pw);
    as_code c = AS_OK;
    if (is_arena)
        c = rate_battles(&pw, item, scratch, &why);
    else if (as_json_get(item, "standings") != NULL)
        c = rate_contest(&pw, item, scratch, &why);
    else
        c = rate_problems(&pw, item, scratch, &why);
    as_jw_end_object(&pw);
    if (c == AS_OK && as_buf_ok(&part, &why) == AS_OK) {
        as_jw_raw(w, as_buf_str(&part));
    } else {
        as_jw_begin_object(w);
        as_jw_put_z(w, "error", why.text);
        as_jw_end_object(w);
    }
    as_buf_release(&part);
}

static as_code rate_list(const as_json *list, bool is_arena, as_err *err)
{
    as_buf out;
    as_jw w;
    as_arena scratch;
    as_buf_init(&out, MAX_CASES_BYTES);
    as_arena_init(&scratch, 0);
    as_jw_init(&w, &out);
    as_jw_begin_array(&w);
    for (const as_json *item = as_json_first(list); item != NULL; item = as_json_next(item)) {
        rate_one(&w, item, is_arena, &scratch);
        as_arena_rewind(&scratch, 0);
    }
    as_jw_end_array(&w);
    (void)as_buf_add_byte(&out, '\n');
    const as_code c = cli_print_buf(&out, err);
    as_arena_release(&scratch);
    return c;
}

as_code cli_rate_cases(const char *path, bool is_arena, as_err *err)
{
    as_buf text;
    as_json *tree = NULL;
    as_buf_init(&text, MAX_CASES_BYTES);
    as_code c = as_read_file(&text, path, err);
    if (c == AS_OK && as_json_parse(&tree, as_buf_str(&text), err) != AS_OK)
        c = as_wrap(err, "%s", path);
    if (c == AS_OK && as_json_type(tree) != AS_JSON_ARRAY)
        c = as_fail(err, AS_PARSE, "%s: want a JSON array of cases", path);
    if (c == AS_OK)
        c = rate_list(tree, is_arena, err);
    as_json_free(tree);
    as_buf_release(&text);
    return c;
}

as_code cli_read_standings(sc_standing **out, size_t *n, const as_json *list, as_arena *keep,
                           as_err *err)
{
    if (as_json_type(list) != AS_JSON_ARRAY)
        return as_fail(err, AS_PARSE, "\"standings\": want rows of [points, penalty, rating]");
    *n = 0;
    *out = as_new(keep, sc_standing, as_json_count(list));
    if (*out == NULL)
        return as_nomem(err);
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v)) {
        const as_json *points = as_json_first(v);
        const as_json *penalty = points != NULL ? as_json_next(points) : NULL;
        const as_json *rating = penalty != NULL ? as_json_next(penalty) : NULL;
        sc_standing *row = &(*out)[*n];
        if (!as_json_f64(points, &row->points) || !as_json_f64(penalty, &row->penalty) ||
            !as_json_f64(rating, &row->rating))
            return as_fail(err, AS_PARSE, "\"standings\": row %zu: want [points, penalty, rating]",
                           *n + 1);
        (*n)++;
    }
    return AS_OK;
}
