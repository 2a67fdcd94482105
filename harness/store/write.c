#include "store/store_impl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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
    " started_wall_ns, queue_ns, connect_ns, first_token_ns, total_ns, client_cpu_ns,"
    " first_byte_ns, first_answer_ns, last_token_ns, n_pieces, gap_median_ns, gap_p95_ns,"
    " gap_max_ns, server_queue_ns, server_prompt_ns, server_generation_ns, server_load_ns, dropped,"
    " finish_raw, model, fingerprint, endpoint)"
    " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
    "?)";

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
    for (int i = 0; i < 16; i++) /* client_cpu_ns … fingerprint */
        db_i64_known(&a, -1);
    db_str_set(&a, t->endpoint);
    return db_run_args(&a, err);
}

/* n_pieces and the gaps' median, 95th percentile (nearest rank) and maximum; a job's gaps are sorted. */
static void put_gaps(db_writer *w, db_args *a, const db_record *r)
{
    const as_response *p = &r->response;
    const size_t n = p->gaps_ns != NULL && p->n_gaps > 0 ? (size_t)p->n_gaps : 0;
    db_i64_known(a, n != 0 ? (int64_t)n + 1 : -1);
    if (n == 0) {
        for (int i = 0; i < 3; i++)
            db_i64_known(a, -1);
        return;
    }
    const int64_t *gaps = p->gaps_ns;
    db_i64_known(a, gaps[(n - 1) / 2]);
    db_i64_known(a, gaps[(n * 95 + 99) / 100 - 1]);
    db_i64_known(a, gaps[n - 1]);
    if (p->error != AS_ERROR_NONE || r->n_failed != 0)
        return;
    w->has_gaps = true;
    for (size_t i = 0; i < n; i++)
        w->gaps.n[db_gap_bucket(gaps[i])]++;
}

enum { DROPPED_TEXT = AS_N_DROPPED * 16 };

/* "seed,top_k"; NULL for nothing. The names must live until the statement has run. */
static void put_dropped(db_args *a, unsigned dropped, char names[DROPPED_TEXT])
{
    size_t n = 0;
    for (int bit = 0; bit < AS_N_DROPPED; bit++)
        if ((dropped & 1U << bit) != 0)
            n += (size_t)snprintf(names + n, DROPPED_TEXT - n, "%s%s", n != 0 ? "," : "",
                                  as_dropped_name(bit));
    db_str_set(a, n != 0 ? (as_str){names, n} : (as_str){0});
}

static void put_word(db_args *a, as_str s)
{
    db_str_set(a, s.n != 0 ? s : (as_str){0});
}

static void put_server_columns(db_writer *w, db_args *a, const db_record *r,
                               char dropped[DROPPED_TEXT])
{
    const as_response *p = &r->response;
    db_i64_known(a, p->first_byte_ns);
    db_i64_known(a, p->first_answer_ns);
    db_i64_known(a, p->last_token_ns);
    put_gaps(w, a, r);
    db_i64_known(a, p->server_queue_ns);
    db_i64_known(a, p->server_prompt_ns);
    db_i64_known(a, p->server_generation_ns);
    db_i64_known(a, p->server_load_ns);
    put_dropped(a, p->dropped, dropped);
    put_word(a, p->finish_raw);
    put_word(a, p->model);
    put_word(a, p->fingerprint);
    put_word(a, p->endpoint);
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
    char dropped[DROPPED_TEXT];
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
    put_server_columns(w, &a, r, dropped);
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
    AS_TRY(db_run_args(&a, err)); /* an earlier score goes, and with it its execs */
    return db_write_execs(w, r, err);
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

as_code db_write_gaps(db_writer *w, as_err *err)
{
    if (!w->has_gaps || w->run_id == 0)
        return AS_OK;
    for (int i = 0; i < DB_GAP_BUCKETS; i++) {
        if (w->gaps.n[i] == 0)
            continue;
        db_args a;
        AS_TRY(db_prepare(&w->conn,
                          "INSERT INTO gap(run_id, bucket, n) VALUES(?,?,?)"
                          " ON CONFLICT(run_id, bucket) DO UPDATE SET n = n + excluded.n",
                          &a, err));
        db_i64(&a, w->run_id);
        db_i64(&a, i);
        db_i64(&a, w->gaps.n[i]);
        AS_TRY(db_run_args(&a, err));
        w->gaps.n[i] = 0;
    }
    w->has_gaps = false;
    return AS_OK;
}
