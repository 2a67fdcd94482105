#include "store/store_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/time.h"

/* ---- shared circumstances: found by hash, or added ---------------------------------------------
 */

static as_sha256 hash_fields(const as_str *fields, size_t n)
{
    as_sha256 out = {{0}};
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return out; /* all zero: never equal to a real one; the insert behind it will fail too */
    for (size_t i = 0; i < n; i++)
        as_sha256_add_field(h, fields[i]);
    return as_sha256_end(h);
}

static as_str json_or_empty(as_str json)
{
    return json.n != 0 ? json : AS_STR("{}");
}

static as_code check_json(as_str json, const char *what, as_err *err)
{
    as_json *tree = NULL;
    if (as_json_parse(&tree, json_or_empty(json), err) != AS_OK)
        return as_wrap(err, "store: %s", what);
    as_json_free(tree);
    return AS_OK;
}

static as_code find_id(db_writer *w, const char *sql, const as_sha256 *sha, int64_t *id,
                       as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn, sql, &a, err));
    db_sha(&a, sha);
    return db_one_i64(&a, 0, id, err);
}

static as_code insert_id(db_writer *w, db_args *a, int64_t *id, as_err *err)
{
    AS_TRY(db_run_args(a, err));
    *id = sqlite3_last_insert_rowid(w->conn.h);
    return AS_OK;
}

/* host, build and backend are JSON texts and nothing else. */
static as_code json_id(db_writer *w, const char *select, const char *insert, as_str json,
                       int64_t *id, as_err *err)
{
    json = json_or_empty(json);
    const as_sha256 sha = as_sha256_of(json);
    AS_TRY(find_id(w, select, &sha, id, err));
    if (*id != 0)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn, insert, &a, err));
    db_sha(&a, &sha);
    db_str(&a, json);
    return insert_id(w, &a, id, err);
}

static as_code model_id(db_writer *w, const db_model_spec *m, int64_t *id, as_err *err)
{
    char counts[80];
    const int n = snprintf(counts, sizeof counts, "%lld %lld %lld", (long long)m->n_params,
                           (long long)m->n_params_active, (long long)m->file_bytes);
    const as_str fields[] = {
        m->spec,    m->name,   m->scheme,          m->architecture, m->quantization,
        m->license, m->sha256, m->template_sha256, m->json,         {counts, (size_t)n}};
    const as_sha256 sha = hash_fields(fields, sizeof fields / sizeof fields[0]);
    AS_TRY(find_id(w, "SELECT id FROM model WHERE sha256 = ?", &sha, id, err));
    if (*id != 0)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO model(sha256, spec, name, scheme, architecture, quantization,"
                      " license, weights_sha256, template_sha256, json, n_params, n_params_active,"
                      " file_bytes) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
                      &a, err));
    db_sha(&a, &sha);
    for (size_t i = 0; i < 9; i++)
        db_str(&a, fields[i]);
    db_i64_known(&a, m->n_params);
    db_i64_known(&a, m->n_params_active);
    db_i64_known(&a, m->file_bytes);
    return insert_id(w, &a, id, err);
}

/* ---- runs --------------------------------------------------------------------------------------
 */

typedef struct run_call {
    const db_run_spec *spec;
    bool fresh;
    db_run *out;
    int64_t model, host, build, backend;
} run_call;

static as_sha256 run_identity(const db_run_spec *s)
{
    const as_str fields[] = {s->config_json, s->model.scheme, s->model.name, s->model.sha256,
                             s->model.template_sha256};
    return hash_fields(fields, sizeof fields / sizeof fields[0]);
}

enum { UUID_TEXT = 37 };

/* A UUID of version 8 (RFC 9562: contents are up to the application). */
static void run_uuid(char z[UUID_TEXT], const as_sha256 *identity, int64_t ordinal)
{
    char number[24];
    const int n = snprintf(number, sizeof number, "%lld", (long long)ordinal);
    const as_str fields[] = {{(const char *)identity->b, sizeof identity->b}, {number, (size_t)n}};
    as_sha256 h = hash_fields(fields, 2);
    h.b[6] = (uint8_t)(0x80 | (h.b[6] & 0x0F));
    h.b[8] = (uint8_t)(0x80 | (h.b[8] & 0x3F));
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            z[at++] = '-';
        at += (size_t)snprintf(z + at, UUID_TEXT - at, "%02x", h.b[i]);
    }
}

static as_code insert_run(db_writer *w, const run_call *r, const as_sha256 *identity,
                          int64_t ordinal, int64_t *id, as_err *err)
{
    char uuid[UUID_TEXT];
    run_uuid(uuid, identity, ordinal);
    char now[AS_ISO_TIME];
    as_iso_time(now, as_wall_ns());
    const as_sha256 config = as_sha256_of(r->spec->config_json);
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO run(uuid, identity_sha256, ordinal, config_sha256, config_json,"
                      " model_id, backend_id, host_id, build_id, argv, created, status)"
                      " VALUES(?,?,?,?,?,?,?,?,?,?,?,'running')",
                      &a, err));
    db_str(&a, as_str_of(uuid));
    db_sha(&a, identity);
    db_i64(&a, ordinal);
    db_sha(&a, &config);
    db_str(&a, json_or_empty(r->spec->config_json));
    db_i64(&a, r->model);
    db_i64(&a, r->backend);
    db_i64(&a, r->host);
    db_i64(&a, r->build);
    db_str(&a, r->spec->argv);
    db_str(&a, as_str_of(now));
    return insert_id(w, &a, id, err);
}

/* The newest run of this identity: its id (0: none), whether it is complete, the next ordinal. */
static as_code find_run(db_writer *w, const as_sha256 *identity, db_run *out, int64_t *ordinal,
                        as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "SELECT id, status = 'complete', ordinal FROM run WHERE identity_sha256 = ?"
                      " ORDER BY ordinal DESC LIMIT 1",
                      &a, err));
    db_sha(&a, identity);
    bool has_row = false;
    const as_code c = db_step(&a, &has_row, err);
    *out = (db_run){0};
    *ordinal = 0;
    if (c == AS_OK && has_row) {
        *out = (db_run){db_col_i64(&a, 0, 0), true, db_col_i64(&a, 1, 0) != 0};
        *ordinal = db_col_i64(&a, 2, 0) + 1;
    }
    db_finish(&a);
    return c;
}

static as_code reopen_run(db_writer *w, const db_run *run, as_err *err)
{
    if (run->is_complete)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn, "UPDATE run SET status = 'running', finished = NULL WHERE id = ?",
                      &a, err));
    db_i64(&a, run->id);
    return db_run_args(&a, err);
}

static as_code run_begin(db_writer *w, void *user, as_err *err)
{
    run_call *r = user;
    AS_TRY(model_id(w, &r->spec->model, &r->model, err));
    AS_TRY(json_id(w, "SELECT id FROM host WHERE sha256 = ?",
                   "INSERT INTO host(sha256, json) VALUES(?,?)", r->spec->host_json, &r->host,
                   err));
    AS_TRY(json_id(w, "SELECT id FROM build WHERE sha256 = ?",
                   "INSERT INTO build(sha256, json) VALUES(?,?)", r->spec->build_json, &r->build,
                   err));
    AS_TRY(json_id(w, "SELECT id FROM backend WHERE sha256 = ?",
                   "INSERT INTO backend(sha256, json) VALUES(?,?)", r->spec->backend_json,
                   &r->backend, err));
    const as_sha256 identity = run_identity(r->spec);
    db_run run;
    int64_t ordinal = 0;
    AS_TRY(find_run(w, &identity, &run, &ordinal, err));
    if (run.id == 0 || r->fresh) {
        run = (db_run){0};
        AS_TRY(insert_run(w, r, &identity, ordinal, &run.id, err));
    } else {
        AS_TRY(db_session_check(w, run.id, r->host, err));
        AS_TRY(reopen_run(w, &run, err));
    }
    const db_session session = {run.id,     r->host,       r->build,
                                r->backend, r->spec->argv, r->spec->concurrency};
    AS_TRY(db_session_begin(w, &session, err));
    *r->out = run;
    return AS_OK;
}

as_code db_run_begin(db_store *db, const db_run_spec *spec, bool fresh, db_run *out, as_err *err)
{
    *out = (db_run){0};
    AS_TRY(check_json(spec->config_json, "configuration", err));
    AS_TRY(check_json(spec->host_json, "host", err));
    AS_TRY(check_json(spec->build_json, "build", err));
    AS_TRY(check_json(spec->backend_json, "backend", err));
    db_run run = {0};
    run_call call = {.spec = spec, .fresh = fresh, .out = &run};
    AS_TRY(db_call(db, run_begin, &call, err));
    *out = run;
    return AS_OK;
}

/* ---- tasks -------------------------------------------------------------------------------------
 */

typedef struct task_call {
    int64_t run_id;
    const db_task_spec *spec;
    as_sha256 items;
    int64_t id, protocol, dataset;
} task_call;

static as_code protocol_id(db_writer *w, const db_task_spec *s, int64_t *id, as_err *err)
{
    const as_str json = json_or_empty(s->protocol_json);
    const as_str fields[] = {s->suite, s->protocol, json};
    const as_sha256 sha = hash_fields(fields, 3);
    AS_TRY(find_id(w, "SELECT id FROM protocol WHERE sha256 = ?", &sha, id, err));
    if (*id != 0)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn, "INSERT INTO protocol(sha256, suite, name, json) VALUES(?,?,?,?)",
                      &a, err));
    db_sha(&a, &sha);
    db_str(&a, s->suite);
    db_str(&a, s->protocol);
    db_str(&a, json);
    return insert_id(w, &a, id, err);
}

static as_code dataset_id(db_writer *w, const db_task_spec *s, int64_t *id, as_err *err)
{
    const as_str fields[] = {s->dataset, s->dataset_revision, s->dataset_licence,
                             s->dataset_sha256};
    const as_sha256 sha = hash_fields(fields, 4);
    AS_TRY(find_id(w, "SELECT id FROM dataset WHERE sha256 = ?", &sha, id, err));
    if (*id != 0)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO dataset(sha256, name, revision, licence, content_sha256)"
                      " VALUES(?,?,?,?,?)",
                      &a, err));
    db_sha(&a, &sha);
    for (size_t i = 0; i < 4; i++)
        db_str(&a, fields[i]);
    return insert_id(w, &a, id, err);
}

/* What differs between the task that is there and the one that is wanted; NULL: nothing. */
static const char *difference(const db_args *a, const task_call *t)
{
    as_sha256 items;
    if (db_col_i64(a, 1, 0) != t->protocol)
        return "another text of its protocol";
    if (db_col_i64(a, 2, 0) != t->dataset)
        return "another dataset";
    if (!as_str_eq(db_col_str(a, 3), t->spec->scorer) ||
        db_col_i64(a, 4, 0) != t->spec->scorer_version)
        return "another scorer or version of it";
    if (db_col_i64(a, 5, 0) != t->spec->repeats)
        return "another number of repeats";
    if (!db_col_sha(a, 6, &items) || memcmp(&items, &t->items, sizeof items) != 0)
        return "other items";
    return NULL;
}

static as_code find_task(db_writer *w, task_call *t, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "SELECT t.id, t.protocol_id, t.dataset_id, t.scorer, t.scorer_version,"
                      " t.repeats, t.items_sha256 FROM task t JOIN protocol p"
                      " ON p.id = t.protocol_id WHERE t.run_id = ? AND p.suite = ? AND p.name = ?",
                      &a, err));
    db_i64(&a, t->run_id);
    db_str(&a, t->spec->suite);
    db_str(&a, t->spec->protocol);
    bool has_row = false;
    as_code c = db_step(&a, &has_row, err);
    if (c == AS_OK && has_row) {
        t->id = db_col_i64(&a, 0, 0);
        const char *what = difference(&a, t);
        if (what != NULL)
            c = as_fail(err, AS_INTEGRITY,
                        "%s: run %lld began %.*s:%.*s with %s; start a fresh run (--new-run), or "
                        "finish this one with the program and data it was begun with",
                        w->conn.path, (long long)t->run_id, AS_ARG(t->spec->suite),
                        AS_ARG(t->spec->protocol), what);
    }
    db_finish(&a);
    return c;
}

static as_code task_begin(db_writer *w, void *user, as_err *err)
{
    task_call *t = user;
    AS_TRY(protocol_id(w, t->spec, &t->protocol, err));
    AS_TRY(dataset_id(w, t->spec, &t->dataset, err));
    AS_TRY(find_task(w, t, err));
    if (t->id != 0)
        return AS_OK;
    db_args a;
    AS_TRY(db_prepare(&w->conn,
                      "INSERT INTO task(run_id, protocol_id, dataset_id, scorer, scorer_version,"
                      " n_items, repeats, items_sha256) VALUES(?,?,?,?,?,?,?,?)",
                      &a, err));
    db_i64(&a, t->run_id);
    db_i64(&a, t->protocol);
    db_i64(&a, t->dataset);
    db_str(&a, t->spec->scorer);
    db_i64(&a, t->spec->scorer_version);
    db_i64(&a, (int64_t)t->spec->n_samples);
    db_i64(&a, t->spec->repeats);
    db_sha(&a, &t->items);
    AS_TRY(insert_id(w, &a, &t->id, err));
    return db_items_write(w, t->id, t->spec, err);
}

as_code db_task_begin(db_store *db, int64_t run_id, const db_task_spec *spec, int64_t *task_id,
                      as_err *err)
{
    *task_id = 0;
    if (spec->repeats < 1)
        return as_fail(err, AS_RANGE, "store: %.*s: repeats must be 1 or more",
                       AS_ARG(spec->suite));
    AS_TRY(check_json(spec->protocol_json, "protocol", err));
    task_call call = {.run_id = run_id, .spec = spec};
    AS_TRY(db_items_hash(spec, &call.items, err));
    AS_TRY(db_call(db, task_begin, &call, err));
    *task_id = call.id;
    return AS_OK;
}

/* at[position * repeats + repeat] = true for the rows of the statement, which takes the task's id. */
static as_code mark(db_store *db, const char *sql, int64_t task_id, int repeats, bool *at, size_t n,
                    as_err *err)
{
    for (size_t i = 0; i < n; i++)
        at[i] = false;
    db_settle(db);
    db_args a;
    AS_TRY(db_prepare(&db->read, sql, &a, err));
    db_i64(&a, task_id);
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row) {
        const int64_t repeat = db_col_i64(&a, 1, -1);
        const size_t i = (size_t)db_col_i64(&a, 0, 0) * (size_t)repeats + (size_t)repeat;
        if (repeat >= 0 && repeat < repeats && i < n)
            at[i] = true;
    }
    db_finish(&a);
    return c;
}

as_code db_done(db_store *db, int64_t task_id, int repeats, bool *done, size_t n_done, as_err *err)
{
    return mark(db,
                "SELECT position, repeat FROM attempt WHERE task_id = ? AND counts = 1"
                " AND error = 'none' AND finish NOT IN ('error', 'cancelled')",
                task_id, repeats, done, n_done, err);
}

as_code db_ungraded(db_store *db, int64_t task_id, int repeats, bool *ungraded, size_t n,
                    as_err *err)
{
    return mark(db,
                "SELECT s.position, s.repeat FROM score s JOIN task t ON t.id = s.task_id"
                " AND t.scorer = s.scorer AND t.scorer_version = s.scorer_version"
                " JOIN attempt a USING(task_id, position, repeat, try)"
                " WHERE s.task_id = ? AND s.verdict = 'ungraded' AND a.error = 'none'"
                " AND a.finish NOT IN ('error', 'cancelled')",
                task_id, repeats, ungraded, n, err);
}
