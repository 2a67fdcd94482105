/* latency.c — how fast a server answered, from the stored times. */
#include <math.h>
#include <stdlib.h>

#include "base/stats.h"
#include "store/store_impl.h"

enum { SERIES_TTFT, SERIES_ANSWER, SERIES_TPOT, SERIES_TOTAL, SERIES_RATE, N_SERIES };

/* Numbers of one kind, one per call that tells it. */
typedef struct series {
    double *x;
    size_t n;
} series;

typedef struct collected {
    series of[N_SERIES];
    double *room; /* [N_SERIES * cap] */
    double server_tokens, server_generation_s, server_prompt_tokens, server_prompt_s;
    double latency_s, queue_s; /* over calls that tell both */
} collected;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static db_quantiles quantiles(series *s)
{
    qsort(s->x, s->n, sizeof *s->x, ascending);
    return (db_quantiles){as_quantile_sorted(s->x, s->n, 0.5), as_quantile_sorted(s->x, s->n, 0.95),
                          as_quantile_sorted(s->x, s->n, 0.99)};
}

static void add(series *s, double from_ns, double to_ns, double divisor)
{
    if (from_ns >= 0 && to_ns >= from_ns && divisor > 0)
        s->x[s->n++] = (to_ns - from_ns) / 1e9 / divisor;
}

static const char select_calls[] =
    "SELECT queue_ns, first_token_ns, first_answer_ns, last_token_ns, total_ns, completion_tokens,"
    " prompt_tokens, cached_tokens, server_prompt_ns, server_generation_ns FROM attempt"
    " WHERE counts = 1 AND try = 0 AND error = 'none' AND total_ns IS NOT NULL"
    " AND task_id IN (SELECT id FROM task WHERE run_id = ?)";

static void collect_call(const db_args *a, collected *k)
{
    enum { N = 10 };
    double v[N];
    for (int i = 0; i < N; i++)
        v[i] = (double)db_col_i64(a, i, -1);
    const double sent = v[0] > 0 ? v[0] : 0;
    const double first = v[1];
    const double last = v[3];
    const double total = v[4];
    const double tokens = v[5];
    add(&k->of[SERIES_TTFT], sent, first, 1);
    add(&k->of[SERIES_ANSWER], sent, v[2], 1);
    add(&k->of[SERIES_TPOT], first, last, tokens - 1);
    add(&k->of[SERIES_TOTAL], sent, total, 1);
    if (first >= 0 && last > first && tokens > 1)
        k->of[SERIES_RATE].x[k->of[SERIES_RATE].n++] = (tokens - 1) / ((last - first) / 1e9);
    if (v[9] > 0 && tokens > 0) {
        k->server_tokens += tokens;
        k->server_generation_s += v[9] / 1e9;
    }
    if (v[8] > 0 && v[6] > 0) {
        k->server_prompt_tokens += v[6] - (v[7] > 0 ? v[7] : 0);
        k->server_prompt_s += v[8] / 1e9;
    }
    k->latency_s += total / 1e9;
    k->queue_s += sent / 1e9;
}

static as_code collect(db_store *db, int64_t run_id, collected *k, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&db->read,
                      "SELECT count(*) FROM attempt WHERE counts = 1 AND task_id IN"
                      " (SELECT id FROM task WHERE run_id = ?)",
                      &a, err));
    db_i64(&a, run_id);
    int64_t cap = 0;
    AS_TRY(db_one_i64(&a, 0, &cap, err));
    k->room = calloc((size_t)cap * N_SERIES + 1, sizeof *k->room);
    if (k->room == NULL)
        return as_nomem(err);
    for (int i = 0; i < N_SERIES; i++)
        k->of[i].x = k->room + (size_t)i * (size_t)cap;
    AS_TRY(db_prepare(&db->read, select_calls, &a, err));
    db_i64(&a, run_id);
    bool has_row = false;
    as_code c;
    for (int64_t i = 0; (c = db_step(&a, &has_row, err)) == AS_OK && has_row && i < cap; i++)
        collect_call(&a, k);
    db_finish(&a);
    return c;
}

static as_code read_gaps(db_store *db, int64_t run_id, db_latency *out, as_err *err)
{
    db_gaps *g = calloc(1, sizeof *g);
    if (g == NULL)
        return as_nomem(err);
    db_args a;
    as_code c = db_prepare(&db->read, "SELECT bucket, n FROM gap WHERE run_id = ?", &a, err);
    if (c == AS_OK) {
        db_i64(&a, run_id);
        bool has_row = false;
        while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row) {
            const int64_t bucket = db_col_i64(&a, 0, -1);
            if (bucket < 0 || bucket >= DB_GAP_BUCKETS)
                continue;
            g->n[bucket] = db_col_i64(&a, 1, 0);
            out->n_gaps += g->n[bucket];
        }
        db_finish(&a);
    }
    out->itl = (db_quantiles){db_gaps_quantile(g, 0.5) / 1e9, db_gaps_quantile(g, 0.95) / 1e9,
                              db_gaps_quantile(g, 0.99) / 1e9};
    free(g);
    return c;
}

static double share(double part, double whole)
{
    return part >= 0 && whole > 0 ? part / whole : (double)NAN;
}

/* What the run as a whole says: how long it was at work, with how much of our CPU. Sessions that
 * were killed have neither and are left out of both. */
static as_code read_whole(db_store *db, int64_t run_id, const collected *k, db_latency *out,
                          as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(
        &db->read,
        "SELECT sum(work_wall_ns), sum(client_cpu_ns),"
        " (SELECT count(*) FROM attempt x WHERE x.counts = 1 AND x.error = 'none' AND EXISTS"
        "   (SELECT 1 FROM task t WHERE t.id = x.task_id AND t.run_id = ?1) AND x.session IN"
        "   (SELECT session FROM session WHERE run_id = ?1 AND work_wall_ns IS NOT NULL)),"
        " (SELECT sum(completion_tokens) FROM attempt x WHERE x.counts = 1 AND x.error = 'none'"
        "   AND EXISTS (SELECT 1 FROM task t WHERE t.id = x.task_id AND t.run_id = ?1)"
        "   AND x.session IN"
        "   (SELECT session FROM session WHERE run_id = ?1 AND work_wall_ns IS NOT NULL)),"
        " (SELECT sum(total_ns) FROM attempt x WHERE EXISTS"
        "   (SELECT 1 FROM task t WHERE t.id = x.task_id AND t.run_id = ?1) AND x.session IN"
        "   (SELECT session FROM session WHERE run_id = ?1 AND work_wall_ns IS NOT NULL)),"
        " (SELECT count(*) FROM attempt x WHERE x.counts = 1 AND x.error <> 'none' AND EXISTS"
        "   (SELECT 1 FROM task t WHERE t.id = x.task_id AND t.run_id = ?1)),"
        " (SELECT count(*) FROM attempt x WHERE x.counts = 0 AND EXISTS"
        "   (SELECT 1 FROM task t WHERE t.id = x.task_id AND t.run_id = ?1))"
        " FROM session WHERE run_id = ?1 AND work_wall_ns IS NOT NULL",
        &a, err));
    db_i64(&a, run_id);
    bool has_row = false;
    const as_code c = db_step(&a, &has_row, err);
    const double work = (double)db_col_i64(&a, 0, -1) / 1e9;
    const double cpu = (double)db_col_i64(&a, 1, -1) / 1e9;
    const int64_t tokens = db_col_i64(&a, 3, -1);
    out->requests_per_s = share((double)db_col_i64(&a, 2, 0), work);
    out->client_tokens_per_s = share((double)tokens, work);
    out->client_cpu_share = share(cpu, (double)db_col_i64(&a, 4, -1) / 1e9);
    out->busy_share = share(cpu, work);
    out->n_errors = db_col_i64(&a, 5, 0);
    out->n_retries = db_col_i64(&a, 6, 0);
    db_finish(&a);
    out->queue_share = share(k->queue_s, k->latency_s);
    return c;
}

as_code db_latency_read(db_store *db, int64_t run_id, bool *has, db_latency *out, as_err *err)
{
    *has = false;
    *out = (db_latency){0};
    collected k = {0};
    as_code c = collect(db, run_id, &k, err);
    if (c == AS_OK) {
        out->n_calls = (int64_t)k.of[SERIES_TOTAL].n;
        out->ttft = quantiles(&k.of[SERIES_TTFT]);
        out->answer = quantiles(&k.of[SERIES_ANSWER]);
        out->tpot = quantiles(&k.of[SERIES_TPOT]);
        out->total = quantiles(&k.of[SERIES_TOTAL]);
        out->request_tokens_per_s = quantiles(&k.of[SERIES_RATE]).p50;
        out->server_tokens_per_s =
            share(k.server_tokens > 0 ? k.server_tokens : -1, k.server_generation_s);
        out->server_prompt_tokens_per_s =
            share(k.server_prompt_tokens > 0 ? k.server_prompt_tokens : -1, k.server_prompt_s);
        c = read_gaps(db, run_id, out, err);
    }
    if (c == AS_OK)
        c = read_whole(db, run_id, &k, out, err);
    free(k.room);
    *has = c == AS_OK && (out->n_calls > 0 || out->n_errors > 0 || out->n_retries > 0);
    return c;
}

as_code db_answerers(db_store *db, int64_t run_id, db_answerer *out, int max, int *n,
                     as_arena *keep, as_err *err)
{
    *n = 0;
    db_settle(db);
    db_args a;
    /* With a single max(), SQLite takes the other columns from that row. */
    AS_TRY(db_prepare(&db->read,
                      "SELECT coalesce(endpoint, ''), coalesce(model, ''),"
                      " coalesce(fingerprint, ''), max(started_wall_ns) FROM attempt"
                      " WHERE counts = 1 AND error = 'none' AND model IS NOT NULL"
                      " AND task_id IN (SELECT id FROM task WHERE run_id = ?)"
                      " GROUP BY endpoint ORDER BY 1",
                      &a, err));
    db_i64(&a, run_id);
    bool has_row = false;
    as_code c = AS_OK;
    while (*n < max && (c = db_step(&a, &has_row, err)) == AS_OK && has_row) {
        db_answerer *to = &out[*n];
        as_str *const texts[] = {&to->endpoint, &to->model, &to->fingerprint};
        for (int i = 0; c == AS_OK && i < 3; i++)
            c = db_col_keep(&a, i, texts[i], keep, err);
        if (c != AS_OK)
            break;
        (*n)++;
    }
    db_finish(&a);
    return c;
}
