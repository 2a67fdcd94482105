/* cmd_score.c — assay score RUN: judge stored answers again, without a model. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "run/judges.h"
#include "run/run.h"
#include "store/query.h"

enum { WAIT_MS = 100 };
static const char interrupted[] = "interrupted; the verdicts so far are stored";

/* An answer on its way to the judges and back. */
typedef struct pending {
    run_judging judging;
    as_arena arena; /* of all below */
    as_sample sample;
    as_response response;
    size_t position;
    int repeat;
    bool is_done;
} pending;

/* One task while its attempts are judged again: in plan order they come, are put into a ring, judged
 * in any order, and leave it in plan order. */
typedef struct rescore {
    db_store *db;
    const db_task_row *task;
    const sc_scorer *scorer;
    run_judges *judges;
    const su_task *loaded;   /* today's dataset: tests are not stored */
    const as_result *before; /* [n] earlier verdicts, in the same order */
    const as_result *same;   /* [n] those of this version of the scorer */
    size_t n, at;
    int64_t n_changed, n_kept, n_ungraded;
    bool want_diff;
    const volatile sig_atomic_t *cancel;
    pending *ring; /* [cap] */
    size_t cap, head, held;
} rescore;

static bool same_score(const as_score *a, const as_score *b)
{
    return a->verdict == b->verdict && fabs(a->value - b->value) < 1e-12 &&
           as_str_eq(a->prediction, b->prediction);
}

static as_code print_change(const rescore *r, const as_result *old, const as_score *now,
                            as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "suite", r->task->suite);
    as_jw_put_str(&w, "item", old->item);
    as_jw_put_i64(&w, "repeat", old->repeat);
    as_jw_put_z(&w, "before", as_verdict_name(old->score.verdict));
    as_jw_put_z(&w, "after", as_verdict_name(now->verdict));
    as_jw_put_str(&w, "prediction_before", old->score.prediction);
    as_jw_put_str(&w, "prediction_after", now->prediction);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&b, '\n');
    const as_code c = cli_print(as_buf_str(&b), err);
    as_buf_release(&b);
    return c;
}

/* Only programs have tests; their items are few enough for a plain search. */
static const as_tests *find_tests(const su_task *task, as_str id)
{
    for (size_t i = 0; i < task->n_samples; i++)
        if (as_str_eq(task->samples[i].id, id))
            return task->samples[i].tests;
    return NULL;
}

/* A verdict is not given up for none: a sandbox that fails today says nothing of the answer. */
static bool keeps_verdict(const rescore *r, size_t at, const as_score *now)
{
    return now->verdict == AS_UNGRADED && at < r->n && r->same[at].score.verdict != AS_UNGRADED;
}

static as_code store_verdict(rescore *r, const pending *p, const as_score *now, as_err *err)
{
    const size_t at = r->at++;
    r->n_ungraded += now->verdict == AS_UNGRADED ? 1 : 0;
    if (keeps_verdict(r, at, now)) {
        r->n_kept++;
        return AS_OK;
    }
    const as_result *old = at < r->n ? &r->before[at] : NULL;
    if (old != NULL && !same_score(&old->score, now)) {
        r->n_changed++;
        if (r->want_diff)
            AS_TRY(print_change(r, old, now, err));
    }
    return db_put_score(r->db, r->task->id, p->position, p->repeat, now, as_str_of(r->scorer->name),
                        r->scorer->version, err);
}

/* Waits until the oldest has its verdict, and stores it. */
static as_code finish_oldest(rescore *r, as_err *err)
{
    pending *p = &r->ring[r->head];
    while (!p->is_done) {
        if (*r->cancel != 0)
            run_judges_cancel(r->judges);
        run_judging *one = run_judges_take(r->judges, WAIT_MS);
        if (one != NULL)
            ((pending *)one->user)->is_done = true;
    }
    r->head = (r->head + 1) % r->cap;
    r->held--;
    if (p->judging.code == AS_CANCELLED)
        return as_fail(err, AS_CANCELLED, interrupted);
    if (p->judging.code != AS_OK) {
        if (err != NULL)
            *err = p->judging.err;
        return p->judging.code;
    }
    return store_verdict(r, p, &p->judging.score, err);
}

static as_code keep_texts(as_str *const *texts, size_t n, as_arena *keep, as_err *err)
{
    for (size_t i = 0; i < n; i++) {
        *texts[i] = as_arena_str(keep, *texts[i]);
        if (!as_str_is_set(*texts[i]))
            return as_nomem(err);
    }
    return AS_OK;
}

/* Items with tests have no choices. */
static as_code copy_sample(as_sample *out, const as_sample *from, const su_task *loaded,
                           as_arena *keep, as_err *err)
{
    *out = *from;
    out->choices = NULL;
    out->tests = find_tests(loaded, from->id);
    as_str *const texts[] = {&out->id, &out->group, &out->question, &out->target, &out->origin};
    return keep_texts(texts, sizeof texts / sizeof texts[0], keep, err);
}

/* Copies what the answer needs while it waits, and hands it on. */
static as_code put_answer(rescore *r, pending *p, const as_sample *sample,
                          const as_response *response, as_err *err)
{
    as_arena_rewind(&p->arena, 0);
    AS_TRY(copy_sample(&p->sample, sample, r->loaded, &p->arena, err));
    AS_TRY(as_response_copy(&p->response, response, &p->arena, err));
    p->judging = (run_judging){.user = p,
                               .scorer = r->scorer,
                               .sample = &p->sample,
                               .response = &p->response,
                               .arena = &p->arena};
    p->is_done = !run_judges_wants(r->scorer, response);
    if (p->is_done)
        return sc_judge(r->scorer, &p->sample, &p->response, &p->judging.score, &p->arena, err);
    run_judges_put(r->judges, &p->judging);
    return AS_OK;
}

static as_code judge_again(void *user, size_t position, int repeat, const as_sample *sample,
                           const as_response *response, as_err *err)
{
    rescore *r = user;
    if (*r->cancel != 0)
        return as_fail(err, AS_CANCELLED, interrupted);
    if (r->held == r->cap)
        AS_TRY(finish_oldest(r, err));
    pending *p = &r->ring[(r->head + r->held) % r->cap];
    p->position = position;
    p->repeat = repeat;
    if (r->scorer->open == NULL) { /* nothing waits: nothing is copied */
        as_arena_rewind(&p->arena, 0);
        AS_TRY(sc_judge(r->scorer, sample, response, &p->judging.score, &p->arena, err));
        return store_verdict(r, p, &p->judging.score, err);
    }
    AS_TRY(put_answer(r, p, sample, response, err));
    r->held++;
    return AS_OK;
}

static as_code find_protocol(const db_task_row *task, const su_suite **suite,
                             const su_protocol **protocol, as_arena *keep, as_err *err)
{
    const as_str name =
        as_arena_printf(keep, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol));
    if (!as_str_is_set(name))
        return as_nomem(err);
    return su_find(cli_suites, name, suite, protocol, keep, err);
}

typedef struct score_flags {
    const char *db, *format;
    bool want_diff, is_unsafe;
    int64_t max_sandboxes;
} score_flags;

/* How it went, over all tasks. */
typedef struct score_counts {
    int64_t n_changed, n_kept, n_ungraded;
} score_counts;

static as_code score_answers(rescore *r, as_err *err)
{
    const int room = run_judges_room(r->judges);
    r->cap = room > 0 ? (size_t)room : 1;
    r->ring = calloc(r->cap, sizeof *r->ring);
    if (r->ring == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < r->cap; i++)
        as_arena_init(&r->ring[i].arena, 0);
    as_code c = db_each_attempt(r->db, r->task->id, judge_again, r, err);
    while (c == AS_OK && r->held != 0)
        c = finish_oldest(r, err);
    return c;
}

static void release(rescore *r)
{
    run_judges_close(r->judges); /* before the ring, which they may still read */
    for (size_t i = 0; r->ring != NULL && i < r->cap; i++)
        as_arena_release(&r->ring[i].arena);
    free(r->ring);
}

static as_code score_task(db_store *db, const db_task_row *task, const score_flags *f, cli_env *env,
                          score_counts *counts, as_err *err)
{
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    AS_TRY(find_protocol(task, &suite, &protocol, env->keep, err));
    rescore r = {.db = db, .task = task, .want_diff = f->want_diff, .cancel = env->cancel};
    r.scorer = sc_find(cli_scorers, protocol->scorer);
    if (r.scorer == NULL)
        return as_fail(err, AS_BUG, "%s: unknown scorer %s", suite->name, protocol->scorer);
    su_task loaded;
    const su_load_options load = {.data_root = env->data_dir};
    AS_TRY(suite->load(&loaded, suite, protocol, &load, env->keep, err));
    r.loaded = &loaded;
    const sc_options scoring = {.cache_dir = env->cache_dir,
                                .n_slots = (int)f->max_sandboxes,
                                .is_unsafe = f->is_unsafe,
                                .log = &env->log};
    as_result *before = NULL;
    as_result *same = NULL;
    AS_TRY(db_results(db, task->id, 0, &before, &r.n, env->keep, err));
    AS_TRY(db_results(db, task->id, r.scorer->version, &same, &r.n, env->keep, err));
    r.before = before;
    r.same = same;
    as_code c = run_judges_open(&r.judges, &scoring, err);
    if (c == AS_OK)
        c = run_judges_add(r.judges, r.scorer, err);
    if (c == AS_OK)
        c = score_answers(&r, err);
    release(&r);
    const as_code flushed = db_flush(db, c == AS_OK ? err : NULL);
    c = c == AS_OK ? flushed : c;
    if (c == AS_OK)
        c = run_summarise(db, &loaded, task->id, r.scorer->name, r.scorer->version, err);
    counts->n_changed += r.n_changed;
    counts->n_kept += r.n_kept;
    counts->n_ungraded += r.n_ungraded;
    return c;
}

static as_code score_run(db_store *db, const char *which, const char *db_path, const score_flags *f,
                         cli_format format, cli_env *env, int *code, as_err *err)
{
    db_run_row run;
    AS_TRY(db_run_find(db, as_str_of(which), &run, env->keep, err));
    score_counts n = {0};
    for (int i = 0; i < run.n_tasks; i++)
        AS_TRY(score_task(db, &run.tasks[i], f, env, &n, err));
    AS_TRY(db_run_restate(db, run.id, err));
    (void)fprintf(stderr, "assay: run %lld scored again, %lld verdicts or predictions changed\n",
                  (long long)run.id, (long long)n.n_changed);
    if (n.n_ungraded != 0) {
        *code = CLI_INCOMPLETE;
        (void)fprintf(stderr,
                      "assay: %lld answers could not be judged; %lld of them keep their "
                      "earlier verdict\n",
                      (long long)n.n_ungraded, (long long)n.n_kept);
    }
    return f->want_diff ? AS_OK : cli_output_run(db, db_path, run.id, format, env, err);
}

int cmd_score(cli_env *env, int argc, char **argv)
{
    score_flags f = {0};
    cli_flag flags[] = {
        cli_text("db", &f.db, "FILE", "database"),
        cli_bool("diff", &f.want_diff,
                 "print what changed against the earlier verdicts, one object a line"),
        cli_text("format", &f.format, "text|md|json", "form of the result"),
        CLI_SANDBOX_FLAGS(&f.max_sandboxes, &f.is_unsafe),
    };
    cli_args a = {.usage = "assay score RUN [flags]",
                  .about = "Judges the stored answers of a run with today's scorers. RUN: its "
                           "number, the start of its id,\nor \"last\".",
                  .flags = flags,
                  .n_flags = sizeof flags / sizeof flags[0],
                  .min_rest = 1,
                  .max_rest = 1};
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    as_err err = {0};
    cli_format format;
    const char *path = NULL;
    db_store *db = NULL;
    as_code c = cli_format_parse(&format, f.format, &err);
    if (c == AS_OK)
        c = cli_open_db(&db, &path, f.db, DB_WRITE, env, &err);
    if (c == AS_OK && f.is_unsafe)
        cli_warn_unsafe();
    if (c == AS_OK)
        c = score_run(db, a.rest[0], path, &f, format, env, &code, &err);
    db_close(db);
    return c == AS_OK ? code : cli_fail(&err);
}
