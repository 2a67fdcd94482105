#include "run/run_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/time.h"

static void tell(runner *r, bool is_last)
{
    if (r->how->tick == NULL)
        return;
    r->tick.elapsed_ns = as_now_ns() - r->started_ns;
    r->tick.is_last = is_last;
    r->how->tick(r->how->tick_user, &r->tick);
}

void run_count(runner *r, const as_score *score)
{
    r->tick.n_done++;
    r->tick.anatomy[score->verdict]++;
    if (score->verdict != AS_ERROR && score->verdict != AS_UNGRADED) {
        r->tick.score_sum += score->value;
        r->tick.n_scored++;
    }
}

/* ---- beginning and end ----------------------------------------------------------------------- */

static as_code begin_task(runner *r, int i, int64_t run_id, as_err *err)
{
    const run_task *t = &r->plan->tasks[i];
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &t->suite.dataset.sha256);
    const db_task_spec spec = {
        .suite = as_str_of(t->suite.suite->name),
        .protocol = as_str_of(t->suite.protocol->id),
        .protocol_json = t->json,
        .scorer = as_str_of(t->scorer->name),
        .scorer_version = t->scorer->version,
        .dataset = t->suite.dataset.name,
        .dataset_revision = t->suite.dataset.revision,
        .dataset_licence = t->suite.dataset.licence,
        .dataset_sha256 = as_str_of(hex),
        .samples = t->samples,
        .n_samples = t->n_samples,
        .repeats = t->repeats,
    };
    AS_TRY(db_task_begin(r->db, run_id, &spec, &r->task_ids[i], err));
    const size_t n = t->n_samples * (size_t)t->repeats;
    r->todo[i] = calloc(n != 0 ? n : 1, sizeof **r->todo);
    bool *is = calloc(n != 0 ? n : 1, sizeof *is);
    as_code c = r->todo[i] != NULL && is != NULL ? AS_OK : as_nomem(err);
    if (c == AS_OK)
        c = db_done(r->db, r->task_ids[i], t->repeats, is, n, err);
    for (size_t k = 0; c == AS_OK && k < n; k++)
        r->todo[i][k] = is[k] ? TODO_NOTHING : TODO_ASK;
    if (c == AS_OK && t->scorer->open != NULL) /* others would say the same again */
        c = db_ungraded(r->db, r->task_ids[i], t->repeats, is, n, err);
    for (size_t k = 0; c == AS_OK && t->scorer->open != NULL && k < n; k++)
        if (is[k])
            r->todo[i][k] = TODO_JUDGE;
    free(is);
    return c;
}

/* What the store has already counts in the progress shown, but for what is judged again. */
static as_code count_stored(runner *r, int i, as_err *err)
{
    const run_task *t = &r->plan->tasks[i];
    const size_t n = t->n_samples * (size_t)t->repeats;
    size_t n_stored = 0;
    for (size_t k = 0; k < n; k++)
        n_stored += r->todo[i][k] == TODO_NOTHING ? 1 : 0;
    if (n_stored == 0)
        return AS_OK;
    const bool judges_again = t->scorer->open != NULL;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_result *rows = NULL;
    size_t n_rows = 0;
    const as_code c = db_results(r->db, r->task_ids[i], 0, &rows, &n_rows, &scratch, err);
    for (size_t k = 0; c == AS_OK && k < n_rows; k++)
        if (rows[k].score.verdict != AS_ERROR &&
            !(judges_again && rows[k].score.verdict == AS_UNGRADED))
            run_count(r, &rows[k].score);
    as_arena_release(&scratch);
    return c;
}

/* A task's results, and by which scorer. */
typedef struct scored_task {
    const su_task *task;
    int64_t id;
    const char *scorer;
    int scorer_version;
} scored_task;

static as_code sum_up(db_store *db, const scored_task *t, const as_result *rows, size_t n,
                      as_arena *scratch, as_err *err)
{
    as_summary summary = {0};
    AS_TRY(t->task->suite->summarise(t->task, rows, n, &summary, scratch, err));
    return db_put_summary(db, t->id, &summary, as_str_of(t->scorer), t->scorer_version, err);
}

as_code run_summarise(db_store *db, const su_task *task, int64_t task_id, const char *scorer,
                      int scorer_version, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_result *rows = NULL;
    size_t n = 0;
    const scored_task t = {task, task_id, scorer, scorer_version};
    as_code c = db_results(db, task_id, scorer_version, &rows, &n, &scratch, err);
    if (c == AS_OK)
        c = sum_up(db, &t, rows, n, &scratch, err);
    as_arena_release(&scratch);
    return c;
}

/* What the store holds of every task now: counted, and summed up if it has changed. */
static as_code close_tasks(runner *r, run_outcome *out, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < r->plan->n_tasks; i++) {
        const run_task *t = &r->plan->tasks[i];
        as_result *rows = NULL;
        size_t n = 0;
        c = db_results(r->db, r->task_ids[i], 0, &rows, &n, &scratch, err);
        for (size_t k = 0; c == AS_OK && k < n; k++) {
            out->n_errors += rows[k].score.verdict == AS_ERROR ? 1 : 0;
            out->n_ungraded += rows[k].score.verdict == AS_UNGRADED ? 1 : 0;
        }
        out->n_done += (int64_t)n;
        const scored_task scored = {&t->suite, r->task_ids[i], t->scorer->name, t->scorer->version};
        if (c == AS_OK && !out->was_complete)
            c = sum_up(r->db, &scored, rows, n, &scratch, err);
        as_arena_rewind(&scratch, 0);
    }
    as_arena_release(&scratch);
    return c;
}

static as_code finish(runner *r, const run_outcome *out, as_err *err)
{
    const be_info *info = r->driver->info(r->be);
    struct rusage use;
    const bool has_use = getrusage(RUSAGE_SELF, &use) == 0;
    const bool is_complete =
        out->n_done == out->n_planned && out->n_errors == 0 && out->n_ungraded == 0;
    const db_run_end end = {
        .is_complete = is_complete,
        .status = out->is_interrupted ? AS_STR("interrupted")
                  : is_complete       ? AS_STR("complete")
                                      : AS_STR("incomplete"),
        .peak_rss_bytes = has_use ? (int64_t)use.ru_maxrss * 1024 : -1,
        .weights_bytes = info->weights_bytes,
        .kv_bytes = info->kv_bytes,
        .scratch_bytes = info->scratch_bytes,
        .wall_ns = as_now_ns() - r->started_ns,
        .client_cpu_ns = r->driver->is_in_process ? -1 : r->cpu_ns,
        .work_wall_ns = r->driver->is_in_process ? -1 : r->work_ns,
        .concurrency = r->is_adaptive ? r->pace.limit : r->most_flight,
    };
    return db_run_finish(r->db, out->run_id, &end, err);
}

static as_code begin_run(runner *r, run_outcome *out, as_err *err)
{
    const run_options *o = r->plan->options;
    const be_info *info = r->driver->info(r->be);
    const db_run_spec spec = {
        .config_json = r->plan->config_json,
        .model =
            {
                .spec = o->model_spec,
                .name = info->model_name,
                .scheme = as_str_of(r->driver->scheme),
                .architecture = info->architecture,
                .quantization = info->quantization,
                .license = info->license,
                .sha256 = info->sha256,
                .template_sha256 = info->template_sha256,
                .n_params = info->n_params,
                .n_params_active = info->n_params_active,
                .file_bytes = info->file_bytes,
                .json = info->json,
            },
        .backend_json = info->json,
        .host_json = r->how->host_json,
        .build_json = r->how->build_json,
        .argv = r->how->argv,
        .concurrency = o->concurrency,
    };
    db_run run;
    AS_TRY(db_run_begin(r->db, &spec, r->how->fresh, &run, err));
    out->run_id = r->run_id = run.id;
    out->is_resumed = run.is_resumed;
    out->was_complete = run.is_complete;
    out->n_planned = r->plan->n_attempts;
    r->tick.n_total = r->plan->n_attempts;
    for (int i = 0; i < r->plan->n_tasks; i++) {
        AS_TRY(begin_task(r, i, run.id, err));
        AS_TRY(count_stored(r, i, err));
    }
    r->tick.n_before = r->tick.n_done;
    return AS_OK;
}

/* What is known before the first request goes with the run. */
static as_code note_beginning(runner *r, const run_outcome *out, as_err *err)
{
    char text[200];
    if (out->is_resumed) {
        const int n = snprintf(text, sizeof text, "continued with %lld of %lld answers stored",
                               (long long)r->tick.n_done, (long long)r->tick.n_total);
        AS_TRY(run_note(r, "info", "resume", (as_str){text, (size_t)n}, err));
        AS_TRY(run_know_answerers(r, err));
    }
    for (int i = 0; i < r->plan->n_tasks; i++) {
        const run_task *t = &r->plan->tasks[i];
        if (t->n_unknown == 0)
            continue;
        const int n = snprintf(text, sizeof text,
                               "%s: %zu recorded answers name no item of the dataset and are left "
                               "out",
                               t->suite.suite->name, t->n_unknown);
        AS_TRY(db_put_event(r->db, r->run_id, AS_STR("warn"), AS_STR("recording"),
                            (as_str){text, (size_t)n}, err)); /* said already */
    }
    for (int i = 0; i < r->how->n_findings; i++) { /* said already: only stored */
        const run_finding *f = &r->how->findings[i];
        AS_TRY(db_put_event(r->db, r->run_id, as_str_of(run_level_name(f->level)),
                            as_str_of(f->kind), f->text, err));
    }
    return AS_OK;
}

/* The scheduler's loop between two readings of clock and CPU, server's counters around it. */
static as_code measured_work(runner *r, as_err *err)
{
    AS_TRY(run_put_server(r, 0, err));
    const int64_t began_ns = as_now_ns();
    const int64_t cpu_ns = as_process_cpu_ns();
    if (r->is_adaptive)
        run_pace_init(&r->pace, r->plan->options->concurrency, r->most_flight, began_ns);
    const as_code c = run_work(r, err);
    r->work_ns = as_now_ns() - began_ns;
    r->cpu_ns = as_process_cpu_ns() - cpu_ns;
    AS_TRY(c);
    AS_TRY(run_put_server(r, 1, err));
    AS_TRY(run_note_client(r, err));
    AS_TRY(run_note_judging(r, err));
    return run_note_pace(r, err);
}

static bool has(const runner *r, todo what)
{
    cursor from_the_start = {0};
    return run_next(r, &from_the_start, what);
}

/* The store's last words about the run, whatever ended it. */
static as_code wind_up(runner *r, run_outcome *out, as_err *err)
{
    AS_TRY(db_flush(r->db, err));
    AS_TRY(close_tasks(r, out, err));
    out->is_interrupted = r->stop == STOP_CANCEL &&
                          (out->n_done < out->n_planned || r->n_cut != 0 || has(r, TODO_JUDGE));
    out->is_paused = r->stop == STOP_PAUSE;
    out->pause_words = r->stop_words;
    out->concurrency = r->is_adaptive ? r->pace.limit : r->most_flight;
    if (r->stop == STOP_PAUSE || r->stop == STOP_REFUSED)
        AS_TRY(db_put_event(r->db, r->run_id, AS_STR("error"), AS_STR("stop"),
                            as_str_of(r->stop_words.text), err));
    if (!out->was_complete)
        AS_TRY(finish(r, out, err));
    return db_flush(r->db, err);
}

static bool is_adaptive(const run_options *o)
{
    return o->max_concurrency > o->concurrency && !o->backend->driver->is_in_process;
}

as_code run_prepare(const run_plan *plan, as_err *err)
{
    const run_options *o = plan->options;
    if (o->backend->driver->prepare == NULL)
        return AS_OK;
    run_estimate e;
    AS_TRY(run_plan_estimate(plan, &e, err));
    return o->backend->driver->prepare(o->backend, e.max_total_tokens,
                                       is_adaptive(o) ? o->max_concurrency : o->concurrency, err);
}

/* Before anything is asked: answers that cannot be judged are not worth their time. */
static as_code open_judges(runner *r, as_err *err)
{
    AS_TRY(run_judges_open(&r->judges, &r->plan->options->scoring, err));
    for (int i = 0; i < r->plan->n_tasks; i++)
        AS_TRY(run_judges_add(r->judges, r->plan->tasks[i].scorer, err));
    return AS_OK;
}

static as_code make_slots(runner *r, as_err *err)
{
    r->n_slots = r->most_flight + run_judges_room(r->judges);
    r->slots = calloc((size_t)r->n_slots, sizeof *r->slots);
    if (r->slots == NULL)
        return as_nomem(err);
    for (int i = 0; i < r->n_slots; i++)
        as_arena_init(&r->slots[i].arena, 0);
    return AS_OK;
}

static as_code carry_out(runner *r, run_outcome *out, as_err *err)
{
    if (!r->how->is_prepared)
        AS_TRY(run_prepare(r->plan, err));
    if (r->how->ready != NULL)
        r->how->ready(r->driver->info(r->be));
    AS_TRY(begin_run(r, out, err));
    if (has(r, TODO_ASK) || has(r, TODO_JUDGE)) {
        out->was_complete = false;
        AS_TRY(open_judges(r, err));
        AS_TRY(make_slots(r, err));
        AS_TRY(note_beginning(r, out, err));
        AS_TRY(measured_work(r, err));
    }
    AS_TRY(wind_up(r, out, err));
    tell(r, true);
    if (r->stop != STOP_REFUSED)
        return AS_OK;
    if (err != NULL)
        *err = r->stop_words;
    return r->stop_words.code;
}

as_code run_execute(const run_plan *plan, const run_execution *how, run_outcome *out, as_err *err)
{
    *out = (run_outcome){0};
    const run_options *o = plan->options;
    runner r = {
        .plan = plan,
        .how = how,
        .driver = o->backend->driver,
        .be = o->backend,
        .db = how->db,
        .most_flight = o->concurrency,
        .judges_last = o->backend->driver->keeps_cores_busy,
        .started_ns = as_now_ns(),
    };
    r.is_adaptive = is_adaptive(o);
    if (r.is_adaptive)
        r.most_flight = o->max_concurrency;
    as_arena_init(&r.names, 0);
    r.task_ids = calloc((size_t)plan->n_tasks, sizeof *r.task_ids);
    r.todo = calloc((size_t)plan->n_tasks, sizeof *r.todo);
    as_code c = AS_OK;
    if (r.task_ids == NULL || r.todo == NULL)
        c = as_nomem(err);
    if (c == AS_OK)
        c = carry_out(&r, out, err);
    run_judges_close(r.judges); /* before the slots, which they may still read */
    for (int i = 0; r.slots != NULL && i < r.n_slots; i++)
        as_arena_release(&r.slots[i].arena);
    for (int i = 0; r.todo != NULL && i < plan->n_tasks; i++)
        free(r.todo[i]);
    as_arena_release(&r.names);
    free(r.slots);
    free(r.task_ids);
    free(r.todo);
    return c;
}
