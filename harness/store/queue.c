/*
 * How the writer thread works
 *
 * Jobs stand in one list in the order they came. Records and scores wait there until there are
 * DB_BATCH_ROWS of them, or the first is DB_BATCH_MS old, or somebody waits for a call behind them;
 * then a batch is written in one transaction. The transaction is open only while rows are written,
 * so other processes get their turn. A call is a function that runs in a transaction of its own;
 * its caller sleeps meanwhile, which makes "flush" a call of nothing.
 *
 * A batch that fails is rolled back and its records are dropped: they will be asked again by the
 * next run of the same command. The failure is kept for the next caller.
 */
#include "store/store_impl.h"

#include <stdlib.h>
#include <time.h>

#include "base/time.h"

static void rollback(db_writer *w)
{
    if (!sqlite3_get_autocommit(w->conn.h))
        (void)sqlite3_exec(w->conn.h, "ROLLBACK", NULL, NULL, NULL);
    w->packer.has_last = false; /* its blob may be gone */
    w->gaps = (db_gaps){{0}};
    w->has_gaps = false;
}

static as_code write_job(db_writer *w, const db_job *job, as_err *err)
{
    switch (job->kind) {
    case DB_JOB_RECORD:
        return db_write_record(w, job, err);
    case DB_JOB_SCORE:
        return db_write_score(w, &job->record, err);
    case DB_JOB_CALL:
        return job->fn(w, job->user, err);
    }
    return AS_OK;
}

/* All jobs of the list in one transaction. */
static as_code write_batch(db_writer *w, const db_job *first, bool is_call, as_err *err)
{
    as_code c = db_exec(&w->conn, "BEGIN IMMEDIATE", err);
    for (const db_job *job = first; c == AS_OK && job != NULL; job = job->next)
        c = write_job(w, job, err);
    if (c == AS_OK && !is_call)
        c = db_write_seen(w, err);
    if (c == AS_OK && !is_call)
        c = db_write_gaps(w, err);
    if (c == AS_OK)
        c = db_exec(&w->conn, "COMMIT", err);
    if (c != AS_OK)
        rollback(w);
    return c;
}

static void free_jobs(db_job *job)
{
    while (job != NULL) {
        db_job *next = job->next;
        free(job);
        job = next;
    }
}

/* Takes a call, or the records in front of the next call; lock held. */
static db_job *take(db_queue *q)
{
    db_job *first = q->head;
    db_job *last = first;
    int n = 1;
    if (first->kind != DB_JOB_CALL)
        while (n < DB_BATCH_ROWS && last->next != NULL && last->next->kind != DB_JOB_CALL) {
            last = last->next;
            n++;
        }
    else
        q->n_calls--;
    q->head = last->next;
    if (q->head == NULL)
        q->tail = NULL;
    last->next = NULL;
    q->n_jobs -= n;
    q->oldest_ns = as_now_ns(); /* of what is left, near enough: it waits at most a batch longer */
    return first;
}

/* Sleeps until there is a reason to write or to stop; lock held. False: nothing more will come. */
static bool wait_for_work(db_queue *q)
{
    for (;;) {
        if (q->n_jobs >= DB_BATCH_ROWS || q->n_calls > 0 || (q->is_stopping && q->n_jobs > 0))
            return true;
        if (q->is_stopping)
            return false;
        if (q->n_jobs == 0) {
            (void)pthread_cond_wait(&q->changed, &q->lock);
            continue;
        }
        const int64_t due_ns = q->oldest_ns + (int64_t)DB_BATCH_MS * 1000000;
        if (as_now_ns() >= due_ns)
            return true;
        const struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
        (void)pthread_cond_timedwait(&q->changed, &q->lock, &due);
    }
}

static void *writer_main(void *arg)
{
    db_store *db = arg;
    db_queue *q = &db->queue;
    (void)pthread_mutex_lock(&q->lock);
    while (wait_for_work(q)) {
        db_job *jobs = take(q);
        const bool is_call = jobs->kind == DB_JOB_CALL;
        q->is_writing = true;
        (void)pthread_cond_broadcast(&q->has_room);
        (void)pthread_mutex_unlock(&q->lock);

        as_err err = {0};
        as_code c = AS_OK;
        if (!is_call || jobs->fn != NULL)
            c = write_batch(&db->writer, jobs, is_call, &err);
        if (!is_call)
            free_jobs(jobs);

        (void)pthread_mutex_lock(&q->lock);
        q->is_writing = false;
        if (is_call) {
            jobs->code = c;
            *jobs->err = err;
            jobs->is_done = true;
        } else if (c != AS_OK && !q->has_failed) {
            q->has_failed = true;
            q->failure = err;
        }
        (void)pthread_cond_broadcast(&q->has_room);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return NULL;
}

as_code db_queue_start(db_store *db, as_err *err)
{
    db_queue *q = &db->queue;
    *q = (db_queue){0};
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->changed, &monotonic);
    (void)pthread_cond_init(&q->has_room, NULL);
    (void)pthread_condattr_destroy(&monotonic);
    q->is_running = pthread_create(&q->thread, NULL, writer_main, db) == 0;
    if (!q->is_running)
        return as_fail(err, AS_IO, "store: cannot start the writer thread");
    return AS_OK;
}

void db_queue_stop(db_store *db)
{
    db_queue *q = &db->queue;
    if (!q->is_running)
        return;
    (void)pthread_mutex_lock(&q->lock);
    q->is_stopping = true;
    (void)pthread_cond_broadcast(&q->changed);
    (void)pthread_mutex_unlock(&q->lock);
    (void)pthread_join(q->thread, NULL);
    q->is_running = false;
    (void)pthread_cond_destroy(&q->changed);
    (void)pthread_cond_destroy(&q->has_room);
    (void)pthread_mutex_destroy(&q->lock);
}

/* Lock held. */
static void append(db_queue *q, db_job *job)
{
    if (q->tail != NULL)
        q->tail->next = job;
    else
        q->head = job;
    q->tail = job;
    if (q->n_jobs++ == 0)
        q->oldest_ns = as_now_ns();
    if (job->kind == DB_JOB_CALL)
        q->n_calls++;
    /* the writer needs to hear of the first job (to set its clock), of a full batch, of a call */
    if (q->n_jobs == 1 || q->n_jobs >= DB_BATCH_ROWS || q->n_calls > 0)
        (void)pthread_cond_signal(&q->changed);
}

/* Lock held. */
static as_code take_failure(db_queue *q, as_err *err)
{
    q->has_failed = false;
    if (err != NULL)
        *err = q->failure;
    return q->failure.code;
}

static bool is_behind(db_queue *q)
{
    enum { MANY = DB_QUEUE_ROWS / 4 };
    (void)pthread_mutex_lock(&q->lock);
    const bool is = q->n_jobs >= MANY;
    (void)pthread_mutex_unlock(&q->lock);
    return is;
}

/* Packing the answer is half of the writer's work. When it falls behind, whoever brings records
 * does that half, instead of waiting for room in the queue. */
static db_job *make_job(db_store *db, const db_record *record, db_job_kind kind)
{
    if (kind != DB_JOB_RECORD || record->response.text.n == 0 || !is_behind(&db->queue) ||
        pthread_mutex_trylock(&db->helper_lock) != 0)
        return db_job_copy(record, kind, NULL);
    db_packed packed;
    db_job *job = NULL;
    if (db_pack(&db->helper, record->response.text, &packed, NULL) == AS_OK)
        job = db_job_copy(record, kind, &packed);
    (void)pthread_mutex_unlock(&db->helper_lock);
    return job != NULL ? job : db_job_copy(record, kind, NULL);
}

static as_code put(db_store *db, const db_record *record, db_job_kind kind, as_err *err)
{
    AS_TRY(db_need_writer(db, err));
    db_job *job = make_job(db, record, kind);
    if (job == NULL)
        return as_nomem(err);
    db_queue *q = &db->queue;
    as_code c = AS_OK;
    (void)pthread_mutex_lock(&q->lock);
    while (q->n_jobs >= DB_QUEUE_ROWS && !q->has_failed)
        (void)pthread_cond_wait(&q->has_room, &q->lock);
    if (q->has_failed)
        c = take_failure(q, err);
    else
        append(q, job);
    (void)pthread_mutex_unlock(&q->lock);
    if (c != AS_OK)
        free(job);
    return c;
}

as_code db_put(db_store *db, const db_record *record, as_err *err)
{
    return put(db, record, DB_JOB_RECORD, err);
}

as_code db_put_score(db_store *db, int64_t task_id, size_t position, int repeat,
                     const as_score *score, as_str scorer, int scorer_version, as_err *err)
{
    const db_record record = {
        .task_id = task_id,
        .position = position,
        .repeat = repeat,
        .score = *score,
        .scorer = scorer,
        .scorer_version = scorer_version,
    };
    return put(db, &record, DB_JOB_SCORE, err);
}

as_code db_call(db_store *db, db_call_fn fn, void *user, as_err *err)
{
    AS_TRY(db_need_writer(db, err));
    as_err own = {0};
    db_job job = {.kind = DB_JOB_CALL, .fn = fn, .user = user, .err = &own};
    db_queue *q = &db->queue;
    (void)pthread_mutex_lock(&q->lock);
    append(q, &job);
    while (!job.is_done)
        (void)pthread_cond_wait(&q->has_room, &q->lock);
    as_code c = AS_OK;
    if (q->has_failed)
        c = take_failure(q, err);
    (void)pthread_mutex_unlock(&q->lock);
    if (c == AS_OK && job.code != AS_OK) {
        c = job.code;
        if (err != NULL)
            *err = own;
    }
    return c;
}

as_code db_flush(db_store *db, as_err *err)
{
    if (db->mode == DB_READ)
        return AS_OK;
    return db_call(db, NULL, NULL, err);
}

void db_settle(db_store *db)
{
    if (db->mode == DB_READ)
        return;
    db_queue *q = &db->queue;
    as_err own = {0};
    db_job job = {.kind = DB_JOB_CALL, .err = &own};
    (void)pthread_mutex_lock(&q->lock);
    if (q->n_jobs > 0 || q->is_writing) {
        append(q, &job);
        while (!job.is_done)
            (void)pthread_cond_wait(&q->has_room, &q->lock);
    }
    (void)pthread_mutex_unlock(&q->lock);
}
