#include "store/store_impl.h"

/* ---- runs --------------------------------------------------------------------------------------
 */

/* A killed session has no times of its own: what lies between its start and its last commit. */
static const char select_runs[] =
    "SELECT r.id, r.uuid, r.status, r.created, r.finished, m.spec, m.name, m.scheme,"
    " m.architecture, m.quantization, m.weights_sha256, m.template_sha256, r.config_json,"
    " lower(hex(r.config_sha256)), b.json, h.json, d.json, r.argv, m.n_params, m.n_params_active,"
    " (SELECT max(peak_rss_bytes) FROM mem WHERE run_id = r.id),"
    " (SELECT sum(coalesce(wall_ns, seen_ns - started_ns)) FROM session WHERE run_id = r.id),"
    " (SELECT sum(client_cpu_ns) FROM session WHERE run_id = r.id),"
    " (SELECT sum(prompt_tokens) FROM attempt WHERE counts = 1"
    "   AND task_id IN (SELECT id FROM task WHERE run_id = r.id)),"
    " (SELECT sum(completion_tokens) FROM attempt WHERE counts = 1"
    "   AND task_id IN (SELECT id FROM task WHERE run_id = r.id)),"
    " (SELECT concurrency FROM session WHERE run_id = r.id ORDER BY session DESC LIMIT 1)"
    " FROM run r JOIN model m ON m.id = r.model_id JOIN backend b ON b.id = r.backend_id"
    " JOIN host h ON h.id = r.host_id JOIN build d ON d.id = r.build_id"
    " WHERE ?1 = 0 OR r.id = ?1 ORDER BY r.id DESC";

static as_code read_run(const db_args *a, db_run_row *out, as_arena *keep, as_err *err)
{
    db_run_row r = {.id = db_col_i64(a, 0, 0),
                    .n_params = db_col_i64(a, 18, -1),
                    .n_params_active = db_col_i64(a, 19, -1),
                    .peak_rss_bytes = db_col_i64(a, 20, -1),
                    .wall_ns = db_col_i64(a, 21, -1),
                    .client_cpu_ns = db_col_i64(a, 22, -1),
                    .prompt_tokens = db_col_i64(a, 23, -1),
                    .completion_tokens = db_col_i64(a, 24, -1),
                    .concurrency = (int)db_col_i64(a, 25, -1)};
    as_str *const texts[] = {&r.uuid,          &r.status,       &r.created,         &r.finished,
                             &r.model_spec,    &r.model_name,   &r.scheme,          &r.architecture,
                             &r.quantization,  &r.model_sha256, &r.template_sha256, &r.config_json,
                             &r.config_sha256, &r.backend_json, &r.host_json,       &r.build_json,
                             &r.argv};
    enum { N = sizeof texts / sizeof texts[0] };
    _Static_assert(N == 17, "columns 1 to 17 of select_runs");
    for (int i = 0; i < N; i++)
        AS_TRY(db_col_keep(a, i + 1, texts[i], keep, err));
    *out = r;
    return AS_OK;
}

/* ---- summaries ---------------------------------------------------------------------------------
 */

typedef struct metric_list {
    int n_groups, n_metrics; /* counted first, so that arrays are made once */
} metric_list;

/* The newest summary of the task's own scorer. */
#define FROM_METRIC                                                                                \
    " FROM metric m WHERE m.task_id = ?1"                                                          \
    " AND m.scorer = (SELECT scorer FROM task WHERE id = ?1)"                                      \
    " AND m.scorer_version = (SELECT max(x.scorer_version) FROM metric x WHERE x.task_id = ?1"     \
    "  AND x.scorer = m.scorer)"

static as_code count_metrics(db_store *db, int64_t task_id, metric_list *out, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&db->read, "SELECT max(m.group_no), count(*)" FROM_METRIC, &a, err));
    db_i64(&a, task_id);
    bool has_row = false;
    const as_code c = db_step(&a, &has_row, err);
    *out = (metric_list){(int)db_col_i64(&a, 0, 0), (int)db_col_i64(&a, 1, 0)};
    db_finish(&a);
    return c;
}

static void read_all(const db_args *a, as_summary *s)
{
    s->n = db_col_i64(a, 4, 0);
    s->score = db_col_f64(a, 5);
    s->se = db_col_f64(a, 6);
    s->lo = db_col_f64(a, 7);
    s->hi = db_col_f64(a, 8);
    s->n_items = db_col_i64(a, 9, 0);
    for (int v = 0; v < AS_N_VERDICTS; v++)
        s->anatomy[v] = db_col_i64(a, 10 + v, 0);
}

typedef struct summary_reader {
    as_summary *summary;
    as_group *groups;
    as_metric *metrics;
    int used;
} summary_reader;

static as_code read_metric(const db_args *a, summary_reader *r, as_arena *keep, as_err *err)
{
    const int64_t group_no = db_col_i64(a, 0, 0);
    as_group *group = group_no > 0 ? &r->groups[group_no - 1] : NULL;
    if (db_col_i64(a, 1, 0) == 0) {
        if (group == NULL) {
            read_all(a, r->summary);
            return AS_OK;
        }
        group->n = db_col_i64(a, 4, 0);
        group->score = db_col_f64(a, 5);
        return db_col_keep(a, 2, &group->name, keep, err);
    }
    as_metric *m = &r->metrics[r->used++];
    AS_TRY(db_col_keep(a, 3, &m->name, keep, err));
    m->value = db_col_f64(a, 5);
    const as_metric **first = group != NULL ? &group->metrics : &r->summary->metrics;
    int *n = group != NULL ? &group->n_metrics : &r->summary->n_metrics;
    if (*n == 0)
        *first = m; /* rows come in order: the others of this list follow it */
    (*n)++;
    return AS_OK;
}

static as_code read_summary(db_store *db, int64_t task_id, bool with_groups, db_task_row *task,
                            as_arena *keep, as_err *err)
{
    metric_list counts;
    AS_TRY(count_metrics(db, task_id, &counts, err));
    if (counts.n_metrics == 0)
        return AS_OK;
    as_summary s = {0};
    summary_reader r = {.summary = &s,
                        .groups = as_new(keep, as_group, counts.n_groups),
                        .metrics = as_new(keep, as_metric, counts.n_metrics)};
    if (r.groups == NULL || r.metrics == NULL)
        return as_nomem(err);
    db_args a;
    AS_TRY(db_prepare(&db->read,
                      "SELECT m.group_no, m.metric_no, m.grp, m.name, m.n, m.value, m.se, m.lo,"
                      " m.hi, m.n_items, m.n_right, m.n_wrong, m.n_truncated, m.n_empty,"
                      " m.n_unparsed, m.n_refused, m.n_error, m.n_ungraded" FROM_METRIC
                      " AND (?2 OR m.group_no = 0) ORDER BY m.group_no, m.metric_no",
                      &a, err));
    db_i64(&a, task_id);
    db_i64(&a, with_groups);
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row)
        if ((c = read_metric(&a, &r, keep, err)) != AS_OK)
            break;
    db_finish(&a);
    if (c != AS_OK)
        return c;
    s.groups = r.groups;
    s.n_groups = with_groups ? counts.n_groups : 0;
    task->summary = s;
    task->has_summary = true;
    return AS_OK;
}

/* ---- tasks -------------------------------------------------------------------------------------
 */

static const char select_tasks[] =
    "SELECT t.id, p.suite, p.name, t.scorer, d.name, d.revision, d.content_sha256, p.json,"
    " t.scorer_version, t.n_items * t.repeats, t.repeats,"
    " (SELECT count(*) FROM attempt a WHERE a.task_id = t.id AND a.counts = 1)"
    " FROM task t JOIN protocol p ON p.id = t.protocol_id JOIN dataset d ON d.id = t.dataset_id"
    " WHERE t.run_id = ? ORDER BY t.id";

static as_code read_task(const db_args *a, db_task_row *out, as_arena *keep, as_err *err)
{
    db_task_row t = {.id = db_col_i64(a, 0, 0),
                     .scorer_version = (int)db_col_i64(a, 8, 0),
                     .n_planned = db_col_i64(a, 9, 0),
                     .repeats = (int)db_col_i64(a, 10, 0),
                     .n_done = db_col_i64(a, 11, 0)};
    as_str *const texts[] = {&t.suite,        &t.protocol,         &t.scorer,
                             &t.dataset,      &t.dataset_revision, &t.dataset_sha256,
                             &t.protocol_json};
    for (int i = 0; i < 7; i++)
        AS_TRY(db_col_keep(a, i + 1, texts[i], keep, err));
    *out = t;
    return AS_OK;
}

static as_code count_rows(db_store *db, const char *sql, int64_t id, int64_t *n, as_err *err)
{
    db_args a;
    AS_TRY(db_prepare(&db->read, sql, &a, err));
    db_i64(&a, id);
    return db_one_i64(&a, 0, n, err);
}

static as_code read_tasks(db_store *db, bool with_groups, db_run_row *run, as_arena *keep,
                          as_err *err)
{
    int64_t cap = 0;
    AS_TRY(count_rows(db, "SELECT count(*) FROM task WHERE run_id = ?", run->id, &cap, err));
    db_task_row *tasks = as_new(keep, db_task_row, cap);
    if (tasks == NULL)
        return as_nomem(err);
    db_args a;
    AS_TRY(db_prepare(&db->read, select_tasks, &a, err));
    db_i64(&a, run->id);
    int n = 0;
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row && n < cap)
        if ((c = read_task(&a, &tasks[n++], keep, err)) != AS_OK)
            break;
    db_finish(&a);
    for (int i = 0; c == AS_OK && i < n; i++)
        c = read_summary(db, tasks[i].id, with_groups, &tasks[i], keep, err);
    for (int i = 0; c == AS_OK && with_groups && i < n; i++)
        c = db_sandbox_of(db, tasks[i].id, &tasks[i].sandbox, keep, err);
    if (c != AS_OK)
        return c;
    run->tasks = tasks;
    run->n_tasks = n;
    return AS_OK;
}

/* ---- events ------------------------------------------------------------------------------------
 */

static as_code read_events(db_store *db, db_run_row *run, as_arena *keep, as_err *err)
{
    int64_t cap = 0;
    AS_TRY(count_rows(db, "SELECT count(*) FROM event WHERE run_id = ?", run->id, &cap, err));
    db_event *events = as_new(keep, db_event, cap);
    if (events == NULL)
        return as_nomem(err);
    db_args a;
    AS_TRY(db_prepare(&db->read,
                      "SELECT min(at_ns), level, kind, text, count(*) FROM event WHERE run_id = ?"
                      " GROUP BY level, kind, text ORDER BY min(id)",
                      &a, err));
    db_i64(&a, run->id);
    int n = 0;
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row && n < cap) {
        db_event *e = &events[n++];
        *e = (db_event){.at_ns = db_col_i64(&a, 0, 0), .n = db_col_i64(&a, 4, 1)};
        as_str *const texts[] = {&e->level, &e->kind, &e->text};
        for (int i = 0; c == AS_OK && i < 3; i++)
            c = db_col_keep(&a, i + 1, texts[i], keep, err);
        if (c != AS_OK)
            break;
    }
    db_finish(&a);
    run->events = events;
    run->n_events = n;
    return c;
}

/* ---- public ------------------------------------------------------------------------------------
 */

as_code db_runs(db_store *db, db_run_row **out, int *n, as_arena *keep, as_err *err)
{
    *out = NULL;
    *n = 0;
    db_settle(db);
    int64_t cap = 0;
    AS_TRY(count_rows(db, "SELECT count(*) FROM run WHERE ? = 0", 0, &cap, err));
    db_run_row *rows = as_new(keep, db_run_row, cap);
    if (rows == NULL)
        return as_nomem(err);
    db_args a;
    AS_TRY(db_prepare(&db->read, select_runs, &a, err));
    db_i64(&a, 0);
    int count = 0;
    bool has_row = false;
    as_code c;
    while ((c = db_step(&a, &has_row, err)) == AS_OK && has_row && count < cap)
        if ((c = read_run(&a, &rows[count++], keep, err)) != AS_OK)
            break;
    db_finish(&a);
    for (int i = 0; c == AS_OK && i < count; i++)
        c = read_tasks(db, false, &rows[i], keep, err);
    if (c != AS_OK)
        return c;
    *out = rows;
    *n = count;
    return AS_OK;
}

/* The numbers of the newest runs, for a message. */
static as_code no_such_run(db_store *db, as_str which, as_err *err)
{
    int64_t n = 0;
    int64_t newest = 0;
    AS_TRY(count_rows(db, "SELECT count(*) FROM run WHERE ? = 0", 0, &n, err));
    AS_TRY(count_rows(db, "SELECT max(id) FROM run WHERE ? = 0", 0, &newest, err));
    if (n == 0)
        return as_fail(err, AS_RANGE, "%s: no run is stored yet", db->path);
    return as_fail(err, AS_RANGE,
                   "%s: there is no run \"%.*s\" (%lld stored, the newest is %lld; \"assay ls\" "
                   "lists them)",
                   db->path, AS_ARG(which), (long long)n, (long long)newest);
}

static as_code id_by_uuid(db_store *db, as_str start, int64_t *id, as_err *err)
{
    db_args a;
    *id = 0;
    AS_TRY(db_prepare(&db->read,
                      "SELECT id, count(*) OVER () FROM run"
                      " WHERE substr(uuid, 1, length(?1)) = lower(?1) LIMIT 1",
                      &a, err));
    db_str(&a, start);
    bool has_row = false;
    as_code c = db_step(&a, &has_row, err);
    if (c == AS_OK && has_row) {
        *id = db_col_i64(&a, 0, 0);
        if (db_col_i64(&a, 1, 0) > 1)
            c = as_fail(err, AS_RANGE, "%s: %lld runs begin with \"%.*s\"; give more of it",
                        db->path, (long long)db_col_i64(&a, 1, 0), AS_ARG(start));
    }
    db_finish(&a);
    return c;
}

static as_code id_of(db_store *db, as_str which, int64_t *id, as_err *err)
{
    *id = 0;
    if (as_str_eq_z(which, "last"))
        return count_rows(db, "SELECT max(id) FROM run WHERE ? = 0", 0, id, err);
    int64_t number = 0;
    if (as_parse_i64(which, 1, INT64_MAX, &number)) {
        AS_TRY(count_rows(db, "SELECT id FROM run WHERE id = ?", number, id, err));
        if (*id != 0)
            return AS_OK;
    }
    enum { UUID_SHORTEST = 4 };
    return which.n >= UUID_SHORTEST ? id_by_uuid(db, which, id, err) : AS_OK;
}

/* Their answers are not a server's: no time there is the network's or somebody else's. */
static bool is_built_in(as_str scheme)
{
    return as_str_eq_z(scheme, "engine") || as_str_eq_z(scheme, "replay") ||
           as_str_eq_z(scheme, "null");
}

as_code db_run_find(db_store *db, as_str which, db_run_row *out, as_arena *keep, as_err *err)
{
    *out = (db_run_row){0};
    db_settle(db);
    int64_t id = 0;
    AS_TRY(id_of(db, which, &id, err));
    if (id == 0)
        return no_such_run(db, which, err);
    db_args a;
    AS_TRY(db_prepare(&db->read, select_runs, &a, err));
    db_i64(&a, id);
    bool has_row = false;
    db_run_row run = {0};
    as_code c = db_step(&a, &has_row, err);
    if (c == AS_OK)
        c = has_row ? read_run(&a, &run, keep, err) : no_such_run(db, which, err);
    db_finish(&a);
    if (c == AS_OK)
        c = read_tasks(db, true, &run, keep, err);
    if (c == AS_OK)
        c = read_events(db, &run, keep, err);
    if (c == AS_OK && !is_built_in(run.scheme))
        c = db_latency_read(db, run.id, &run.has_latency, &run.latency, err);
    if (c == AS_OK)
        *out = run;
    return c;
}
