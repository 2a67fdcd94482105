#include "store/store_impl.h"

#include <limits.h>

#include "base/time.h"

/* The statements that run inside a batch. An attempt is replaced as a whole: its earlier tries go,
 * and with them (by the foreign key) the scores of the one that counted. */

static as_code forget_attempt(db_writer *w, const db_record *r, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "DELETE FROM attempt WHERE task_id = ? AND position = ? AND repeat = ?", &a,
                      err));
    db_i64(&a, r->task_id);
    db_i64(&a, (int64_t)r->position);
    db_i64(&a, r->repeat);
    return db_run_args(&a, err);
}

static const char insert_attempt[] =
    "INSERT INTO attempt(task_id, position, repeat, try, counts, finish, error, message,"
    " http_status, is_chat, seed, n_choices, recorded_target, prompt_tokens, completion_tokens,"
    " reasoning_tokens, cached_tokens, prefix, prompt, reasoning, answer, session,"
    " started_wall_ns, queue_ns, connect_ns, first_token_ns, total_ns, client_cpu_ns)"
    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

static as_code write_failed_try(db_writer *w, const db_record *r, int try_no, as_err *err)
{
    const db_try *t = &r->failed[try_no];
    db_args a;
    AS_TRY(db_prepare(&w->conn, insert_attempt, &a, err));
    db_i64(&a, r->task_id);
    db_i64(&a, (int64_t)r->position);
    db_i64(&a, r->repeat);
    db_i64(&a, try_no);
    db_i64(&a, 0);
    db_str(&a, as_str_of(as_finish_name(AS_FINISH_ERROR)));
    db_str(&a, as_str_of(as_error_kind_name(t->error)));
    db_str(&a, t->message);
    db_i64(&a, t->http_status);
    db_i64(&a, r->is_chat);
    db_i64(&a, (int64_t)r->seed);
    db_i64(&a, r->n_choices);
    for (int i = 0; i < 9; i++) /* recorded_target … answer: nothing came back */
        db_i64_known(&a, -1);
    db_i64(&a, w->session);
    db_i64_known(&a, t->started_wall_ns > 0 ? t->started_wall_ns : -1);
    for (int i = 0; i < 3; i++)
        db_i64_known(&a, -1);
    db_i64_known(&a, t->total_ns);
    db_i64_known(&a, -1);
    return db_run_args(&a, err);
}

/* Empty texts are not stored: NULL in the row. */
static as_code put_text(db_writer *w, as_str text, as_sha256 *room, const as_sha256 **key,
                        as_err *err)
{
    *key = NULL;
    if (text.n == 0)
        return AS_OK;
    *key = room;
    return db_blob_put_new(&w->conn, &w->packer, text, room, err);
}

static as_code write_last_try(db_writer *w, const db_job *job, as_err *err)
{
    const db_record *r = &job->record;
    const as_response *p = &r->response;
    as_sha256 room[4];
    const as_sha256 *prefix = NULL;
    const as_sha256 *prompt = NULL;
    const as_sha256 *reasoning = NULL;
    const as_sha256 *answer = NULL;
    if (r->prefix.n != 0) {
        prefix = &room[0];
        AS_TRY(db_blob_put_shared(&w->conn, &w->packer, r->prefix, &room[0], err));
    }
    AS_TRY(put_text(w, r->prompt, &room[1], &prompt, err));
    AS_TRY(put_text(w, p->reasoning, &room[2], &reasoning, err));
    if (job->has_answer) {
        answer = &job->answer.key;
        AS_TRY(db_blob_insert(&w->conn, &job->answer, err));
    } else {
        AS_TRY(put_text(w, p->text, &room[3], &answer, err));
    }
    db_args a;
    AS_TRY(db_prepare(&w->conn, insert_attempt, &a, err));
    db_i64(&a, r->task_id);
    db_i64(&a, (int64_t)r->position);
    db_i64(&a, r->repeat);
    db_i64(&a, r->n_failed);
    db_i64(&a, 1);
    db_str(&a, as_str_of(as_finish_name(p->finish)));
    db_str(&a, as_str_of(as_error_kind_name(p->error)));
    db_str(&a, p->message);
    db_i64(&a, p->http_status);
    db_i64(&a, r->is_chat);
    db_i64(&a, (int64_t)r->seed);
    db_i64(&a, r->n_choices);
    db_str_set(&a, p->recorded.target);
    db_i64_known(&a, p->prompt_tokens);
    db_i64_known(&a, p->completion_tokens);
    db_i64_known(&a, p->reasoning_tokens);
    db_i64_known(&a, p->cached_tokens);
    db_sha(&a, prefix);
    db_sha(&a, prompt);
    db_sha(&a, reasoning);
    db_sha(&a, answer);
    db_i64(&a, w->session);
    db_i64_known(&a, p->started_wall_ns > 0 ? p->started_wall_ns : -1);
    db_i64_known(&a, p->queue_ns);
    db_i64_known(&a, p->connect_ns);
    db_i64_known(&a, p->first_token_ns);
    db_i64_known(&a, p->total_ns);
    db_i64_known(&a, p->client_cpu_ns);
    return db_run_args(&a, err);
}

static as_code write_score(db_writer *w, const db_record *r, int64_t try_no, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT OR REPLACE INTO score(task_id, position, repeat, scorer,"
                      " scorer_version, try, verdict, value, prediction, target, rule, note)"
                      " VALUES(?,?,?,?,?,?,?,?,?,?,?,?)",
                      &a, err));
    db_i64(&a, r->task_id);
    db_i64(&a, (int64_t)r->position);
    db_i64(&a, r->repeat);
    db_str(&a, r->scorer);
    db_i64(&a, r->scorer_version);
    db_i64(&a, try_no);
    db_str(&a, as_str_of(as_verdict_name(r->score.verdict)));
    db_f64(&a, r->score.value);
    db_str_set(&a, r->score.prediction);
    db_str(&a, r->score.target);
    db_i64(&a, r->score.rule);
    db_str(&a, r->score.note);
    return db_run_args(&a, err);
}

static as_code insert_tries(db_writer *w, const db_job *job, as_err *err)
{
    for (int i = 0; i < job->record.n_failed; i++)
        AS_TRY(write_failed_try(w, &job->record, i, err));
    return write_last_try(w, job, err);
}

/* Hardly ever is there an earlier answer; where there is, its try 0 stands in the way of ours. */
as_code db_write_record(db_writer *w, const db_job *job, as_err *err)
{
    as_err first = {0};
    as_code c = insert_tries(w, job, &first);
    if (c == AS_INTEGRITY) {
        AS_TRY(forget_attempt(w, &job->record, err));
        c = insert_tries(w, job, err);
    } else if (c != AS_OK && err != NULL) {
        *err = first;
    }
    return c != AS_OK ? c : write_score(w, &job->record, job->record.n_failed, err);
}

as_code db_write_score(db_writer *w, const db_record *record, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "SELECT try FROM attempt WHERE task_id = ? AND position = ? AND repeat = ?"
                      " AND counts = 1",
                      &a, err));
    db_i64(&a, record->task_id);
    db_i64(&a, (int64_t)record->position);
    db_i64(&a, record->repeat);
    int64_t try_no = -1;
    AS_TRY(db_one_i64(&a, -1, &try_no, err));
    if (try_no < 0)
        return as_fail(err, AS_RANGE, "%s: task %lld has no answer at position %zu, repeat %d",
                       w->conn.path, (long long)record->task_id, record->position, record->repeat);
    return write_score(w, record, try_no, err);
}

as_code db_write_seen(db_writer *w, as_err *err)
{
    if (w->run_id == 0)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn, "UPDATE session SET seen_ns = ? WHERE run_id = ? AND session = ?",
                      &a, err));
    db_i64(&a, as_wall_ns());
    db_i64(&a, w->run_id);
    db_i64(&a, w->session);
    return db_run_args(&a, err);
}

/* ---- summaries and events ----------------------------------------------------------------------
 */

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
