#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXTS = 16 };

/* The texts of a record that must be copied; those of failed tries are counted beside them. */
static int texts_of(db_record *r, as_str **out)
{
    as_str *const all[] = {
        &r->prefix,
        &r->prompt,
        &r->response.message,
        &r->response.text,
        &r->response.reasoning,
        &r->response.recorded.target,
        &r->response.finish_raw,
        &r->response.model,
        &r->response.fingerprint,
        &r->response.endpoint,
        &r->score.prediction,
        &r->score.target,
        &r->score.note,
        &r->scorer,
    };
    enum { N = sizeof all / sizeof all[0] };
    _Static_assert(_Alignof(db_try) >= _Alignof(int64_t), "gaps may lie behind the tries");
    _Static_assert(_Alignof(as_exec) <= _Alignof(int64_t), "and execs behind the gaps");
    _Static_assert((int)N <= (int)MAX_TEXTS, "room for all texts");
    memcpy(out, all, sizeof all);
    return N;
}

static char *move_text(as_str *s, char *at)
{
    if (!as_str_is_set(*s))
        return at;
    if (s->n != 0)
        memcpy(at, s->p, s->n);
    *s = (as_str){at, s->n};
    return at + s->n;
}

static size_t gaps_to_keep(const db_record *r)
{
    const int n = r->response.gaps_ns != NULL ? r->response.n_gaps : 0;
    return n <= 0 ? 0 : n < DB_MAX_GAPS ? (size_t)n : (size_t)DB_MAX_GAPS;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a;
    const int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum { EXEC_TEXTS = 8 };

static void texts_of_exec(as_exec *e, as_str *out[EXEC_TEXTS])
{
    as_str *const all[EXEC_TEXTS] = {&e->codes,  &e->verdict, &e->detail,    &e->errors,
                                     &e->limits, &e->sandbox, &e->toolchain, &e->tool_sha256};
    memcpy(out, all, sizeof all);
}

static bool add_exec_texts(const as_exec *exec, size_t *bytes)
{
    as_exec e = *exec;
    as_str *texts[EXEC_TEXTS];
    texts_of_exec(&e, texts);
    bool is_fine = true;
    for (int i = 0; i < EXEC_TEXTS; i++)
        is_fine = is_fine && as_add_size(*bytes, texts[i]->n, bytes);
    return is_fine;
}

static char *move_exec(as_exec *e, char *at)
{
    as_str *texts[EXEC_TEXTS];
    texts_of_exec(e, texts);
    for (int i = 0; i < EXEC_TEXTS; i++)
        at = move_text(texts[i], at);
    return at;
}

/* Room for the job, its arrays and all texts; 0: more than there can be. */
static size_t bytes_of(const db_record *r, as_str *const *texts, int n_texts)
{
    const size_t n_tries = r->n_failed > 0 ? (size_t)r->n_failed : 0;
    const size_t n_execs = r->score.n_execs > 0 ? (size_t)r->score.n_execs : 0;
    size_t bytes = sizeof(db_job) + 1; /* one past the texts, so that empty ones point inside */
    bool is_fine = n_tries <= SIZE_MAX / 2 / sizeof(db_try) &&
                   as_add_size(bytes, n_tries * sizeof(db_try), &bytes) &&
                   as_add_size(bytes, gaps_to_keep(r) * sizeof(int64_t), &bytes) &&
                   as_add_size(bytes, n_execs * sizeof(as_exec), &bytes);
    for (int i = 0; i < n_texts; i++)
        is_fine = is_fine && as_add_size(bytes, texts[i]->n, &bytes);
    for (size_t i = 0; i < n_tries; i++)
        is_fine = is_fine && as_add_size(bytes, r->failed[i].message.n, &bytes) &&
                  as_add_size(bytes, r->failed[i].endpoint.n, &bytes);
    for (size_t i = 0; i < n_execs; i++)
        is_fine = is_fine && add_exec_texts(&r->score.execs[i], &bytes);
    return is_fine ? bytes : 0;
}

db_job *db_job_copy(const db_record *record, db_job_kind kind, const db_packed *answer)
{
    db_record r = *record;
    if (answer != NULL)
        r.response.text = answer->data; /* what is copied in its place */
    as_str *texts[MAX_TEXTS];
    const int n_texts = texts_of(&r, texts);
    const size_t n_tries = r.n_failed > 0 ? (size_t)r.n_failed : 0;
    const size_t n_gaps = gaps_to_keep(&r);
    const size_t n_execs = r.score.n_execs > 0 ? (size_t)r.score.n_execs : 0;
    const size_t bytes = bytes_of(&r, texts, n_texts);
    db_job *job = bytes != 0 ? malloc(bytes) : NULL;
    if (job == NULL)
        return NULL;
    db_try *tries = (db_try *)(job + 1);
    int64_t *gaps = (int64_t *)(tries + n_tries);
    as_exec *execs = (as_exec *)(gaps + n_gaps);
    char *at = (char *)(execs + n_execs);
    if (n_gaps != 0) {
        memcpy(gaps, r.response.gaps_ns, n_gaps * sizeof *gaps);
        qsort(gaps, n_gaps, sizeof *gaps, by_size);
    }
    for (int i = 0; i < n_texts; i++)
        at = move_text(texts[i], at);
    for (size_t i = 0; i < n_tries; i++) {
        tries[i] = r.failed[i];
        at = move_text(&tries[i].message, at);
        at = move_text(&tries[i].endpoint, at);
    }
    for (size_t i = 0; i < n_execs; i++) {
        execs[i] = r.score.execs[i];
        at = move_exec(&execs[i], at);
    }
    r.score.execs = n_execs != 0 ? execs : NULL;
    r.score.n_execs = (int)n_execs;
    r.failed = n_tries != 0 ? tries : NULL;
    r.n_failed = (int)n_tries;
    r.response.gaps_ns = n_gaps != 0 ? gaps : NULL;
    r.response.n_gaps = (int)n_gaps;
    *job = (db_job){.kind = kind, .record = r};
    if (answer != NULL) {
        job->answer = *answer;
        job->answer.data = r.response.text;
        job->has_answer = true;
    }
    return job;
}
