/* cmd_score.c — assay score RUN: judge stored answers again, without a model. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "run/run.h"
#include "store/query.h"

/* One task while its attempts are judged again. */
typedef struct rescore {
    db_store *db;
    const db_task_row *task;
    const sc_scorer *scorer;
    void *session;
    const su_task *loaded;   /* today's dataset: tests are not stored */
    const as_result *before; /* [n] earlier verdicts, in the same order */
    size_t n, at;
    int64_t n_changed;
    bool want_diff;
    as_arena scratch;
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

static as_code judge_again(void *user, size_t position, int repeat, const as_sample *sample,
                           const as_response *response, as_err *err)
{
    rescore *r = user;
    as_arena_rewind(&r->scratch, 0);
    as_score score;
    as_sample whole = *sample;
    if (r->scorer->open != NULL)
        whole.tests = find_tests(r->loaded, sample->id);
    AS_TRY(sc_judge_in(r->scorer, r->session, &whole, response, &score, &r->scratch, err));
    const as_result *old = r->at < r->n ? &r->before[r->at++] : NULL;
    if (old != NULL && !same_score(&old->score, &score)) {
        r->n_changed++;
        if (r->want_diff)
            AS_TRY(print_change(r, old, &score, err));
    }
    return db_put_score(r->db, r->task->id, position, repeat, &score, as_str_of(r->scorer->name),
                        r->scorer->version, err);
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

static as_code score_task(db_store *db, const db_task_row *task, bool want_diff, cli_env *env,
                          int64_t *n_changed, as_err *err)
{
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    AS_TRY(find_protocol(task, &suite, &protocol, env->keep, err));
    rescore r = {.db = db, .task = task, .want_diff = want_diff};
    r.scorer = sc_find(cli_scorers, protocol->scorer);
    if (r.scorer == NULL)
        return as_fail(err, AS_BUG, "%s: unknown scorer %s", suite->name, protocol->scorer);
    su_task loaded;
    const su_load_options load = {.data_root = env->data_dir};
    AS_TRY(suite->load(&loaded, suite, protocol, &load, env->keep, err));
    r.loaded = &loaded;
    const sc_options scoring = {.cache_dir = env->cache_dir, .log = &env->log};
    as_result *before = NULL;
    AS_TRY(db_results(db, task->id, 0, &before, &r.n, env->keep, err));
    if (r.scorer->open != NULL)
        AS_TRY(r.scorer->open(&r.session, &scoring, err));
    r.before = before;
    as_arena_init(&r.scratch, 0);
    as_code c = db_each_attempt(db, task->id, judge_again, &r, err);
    as_arena_release(&r.scratch);
    if (r.session != NULL)
        r.scorer->close(r.session);
    if (c == AS_OK)
        c = db_flush(db, err);
    if (c == AS_OK)
        c = run_summarise(db, &loaded, task->id, r.scorer->name, r.scorer->version, err);
    *n_changed += r.n_changed;
    return c;
}

static as_code score_run(db_store *db, const char *which, const char *db_path, bool want_diff,
                         cli_format format, cli_env *env, as_err *err)
{
    db_run_row run;
    AS_TRY(db_run_find(db, as_str_of(which), &run, env->keep, err));
    int64_t n_changed = 0;
    for (int i = 0; i < run.n_tasks; i++)
        AS_TRY(score_task(db, &run.tasks[i], want_diff, env, &n_changed, err));
    (void)fprintf(stderr, "assay: run %lld scored again, %lld verdicts or predictions changed\n",
                  (long long)run.id, (long long)n_changed);
    return want_diff ? AS_OK : cli_output_run(db, db_path, run.id, format, env, err);
}

int cmd_score(cli_env *env, int argc, char **argv)
{
    const char *db_flag = NULL;
    const char *format_name = NULL;
    bool want_diff = false;
    cli_flag flags[] = {
        cli_text("db", &db_flag, "FILE", "database"),
        cli_bool("diff", &want_diff,
                 "print what changed against the earlier verdicts, one object a line"),
        cli_text("format", &format_name, "text|md|json", "form of the result"),
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
    as_code c = cli_format_parse(&format, format_name, &err);
    if (c == AS_OK)
        c = cli_open_db(&db, &path, db_flag, DB_WRITE, env, &err);
    if (c == AS_OK)
        c = score_run(db, a.rest[0], path, want_diff, format, env, &err);
    db_close(db);
    return c == AS_OK ? CLI_OK : cli_fail(&err);
}
