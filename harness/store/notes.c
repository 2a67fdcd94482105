/* notes.c — what is said of runs and tasks as a whole: summaries, events, a server's counters. */
#include "store/store_impl.h"

#include "base/time.h"

typedef struct summary_call {
    int64_t task_id;
    const as_summary *summary;
    as_str scorer;
    int scorer_version;
} summary_call;

typedef struct metric_row {
    int group_no, metric_no;
    as_str grp, name;
    int64_t n;
    double value;
    const as_summary *all; /* of row (0, 0), else NULL */
} metric_row;

static as_code put_metric(db_writer *w, const summary_call *s, const metric_row *m, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO metric(task_id, scorer, scorer_version, group_no, metric_no,"
                      " grp, name, n, value, se, lo, hi, n_items, n_right, n_wrong, n_truncated,"
                      " n_empty, n_unparsed, n_refused, n_error, n_ungraded)"
                      " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                      &a, err));
    db_i64(&a, s->task_id);
    db_str(&a, s->scorer);
    db_i64(&a, s->scorer_version);
    db_i64(&a, m->group_no);
    db_i64(&a, m->metric_no);
    db_str(&a, m->grp);
    db_str(&a, m->name);
    db_i64(&a, m->n);
    db_f64(&a, m->value);
    if (m->all != NULL) {
        db_f64(&a, m->all->se);
        db_f64(&a, m->all->lo);
        db_f64(&a, m->all->hi);
        db_i64(&a, m->all->n_items);
        _Static_assert(AS_N_VERDICTS == 8, "one column of metric per verdict");
        for (int v = 0; v < AS_N_VERDICTS; v++)
            db_i64(&a, m->all->anatomy[v]);
    }
    return db_run_args(&a, err);
}

static as_code put_metrics(db_writer *w, const summary_call *s, metric_row row,
                           const as_metric *metrics, int n, as_err *err)
{
    row.all = NULL;
    for (int i = 0; i < n; i++) {
        row.metric_no = i + 1;
        row.name = metrics[i].name;
        row.value = metrics[i].value;
        AS_TRY(put_metric(w, s, &row, err));
    }
    return AS_OK;
}

static as_code put_summary(db_writer *w, void *user, as_err *err)
{
    const summary_call *s = user;
    const as_summary *all = s->summary;
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "DELETE FROM metric WHERE task_id = ? AND scorer = ? AND scorer_version = ?",
                      &a, err));
    db_i64(&a, s->task_id);
    db_str(&a, s->scorer);
    db_i64(&a, s->scorer_version);
    AS_TRY(db_run_args(&a, err));
    metric_row row = {.name = AS_STR("score"), .n = all->n, .value = all->score, .all = all};
    AS_TRY(put_metric(w, s, &row, err));
    AS_TRY(put_metrics(w, s, row, all->metrics, all->n_metrics, err));
    for (int g = 0; g < all->n_groups; g++) {
        const as_group *group = &all->groups[g];
        row = (metric_row){.group_no = g + 1,
                           .grp = group->name,
                           .name = AS_STR("score"),
                           .n = group->n,
                           .value = group->score};
        AS_TRY(put_metric(w, s, &row, err));
        AS_TRY(put_metrics(w, s, row, group->metrics, group->n_metrics, err));
    }
    return AS_OK;
}

as_code db_put_summary(db_store *db, int64_t task_id, const as_summary *summary, as_str scorer,
                       int scorer_version, as_err *err)
{
    summary_call call = {task_id, summary, scorer, scorer_version};
    return db_call(db, put_summary, &call, err);
}

typedef struct event_call {
    int64_t run_id;
    as_str level, kind, text;
} event_call;

static as_code put_event(db_writer *w, void *user, as_err *err)
{
    const event_call *e = user;
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO event(run_id, at_ns, level, kind, text) VALUES(?,?,?,?,?)", &a,
                      err));
    db_i64(&a, e->run_id);
    db_i64(&a, as_wall_ns());
    db_str(&a, e->level);
    db_str(&a, e->kind);
    db_str(&a, e->text);
    return db_run_args(&a, err);
}

as_code db_put_event(db_store *db, int64_t run_id, as_str level, as_str kind, as_str text,
                     as_err *err)
{
    event_call call = {run_id, level, kind, text};
    return db_call(db, put_event, &call, err);
}

/* ---- servers -----------------------------------------------------------------------------------
 */

typedef struct server_call {
    int64_t run_id;
    int sample;
    const db_server_sample *s;
} server_call;

static as_code put_server(db_writer *w, void *user, as_err *err)
{
    const server_call *c = user;
    const db_server_sample *s = c->s;
    if (w->run_id != c->run_id)
        return as_fail(err, AS_BUG, "store: counters of run %lld, which was not begun here",
                       (long long)c->run_id);
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT OR REPLACE INTO server(run_id, session, sample, at_ns, running,"
                      " waiting, prompt_tokens, generated_tokens, cached_tokens, prompt_seconds,"
                      " generation_seconds, kv_used, first_token_seconds, first_token_count,"
                      " drafted, accepted, model_bytes, gpu_bytes, resident_bytes)"
                      " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                      &a, err));
    db_i64(&a, c->run_id);
    db_i64(&a, w->session);
    db_i64(&a, c->sample);
    db_i64(&a, as_wall_ns());
    const double values[] = {s->running,
                             s->waiting,
                             s->prompt_tokens,
                             s->generated_tokens,
                             s->cached_tokens,
                             s->prompt_seconds,
                             s->generation_seconds,
                             s->kv_used,
                             s->first_token_seconds,
                             s->first_token_count,
                             s->drafted,
                             s->accepted,
                             s->model_bytes,
                             s->gpu_bytes,
                             s->resident_bytes};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        db_f64(&a, values[i]);
    return db_run_args(&a, err);
}

as_code db_put_server(db_store *db, int64_t run_id, int sample, const db_server_sample *s,
                      as_err *err)
{
    server_call call = {run_id, sample, s};
    return db_call(db, put_server, &call, err);
}
