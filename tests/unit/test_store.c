#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "base/time.h"
#include "store/testing.h"
#include "unit/store_cases.h"

#define OK(expr)                                                                                   \
    do {                                                                                           \
        as_err *const e_ = &err;                                                                   \
        e_->text[0] = '\0';                                                                        \
        if ((expr) != AS_OK)                                                                       \
            fail_msg("%s: %s", #expr, e_->text);                                                   \
    } while (0)

static void says(const as_err *err, const char *part)
{
    if (strstr(err->text, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err->text, part);
}

static int64_t begin(db_store *db, case_task *c, db_run *run)
{
    as_err err = {0};
    int64_t task = 0;
    OK(db_run_begin(db, &c->run, false, run, &err));
    OK(db_task_begin(db, run->id, &c->task, &task, &err));
    return task;
}

static void put_all(db_store *db, case_task *c, int64_t task)
{
    as_err err = {0};
    for (size_t i = 0; i < c->task.n_samples; i++)
        for (int k = 0; k < c->task.repeats; k++) {
            const size_t mark = as_arena_mark(&c->arena);
            const db_record r = case_record(c, task, i, k);
            OK(db_put(db, &r, &err));
            as_arena_rewind(&c->arena, mark);
        }
}

static as_summary summary_of(void)
{
    static const as_metric of_group[] = {{AS_STR_INIT("level1"), 0.25}};
    static const as_group groups[] = {{AS_STR_INIT("biology"), 100, 0.5, of_group, 1},
                                      {AS_STR_INIT("law"), 200, 0.75, NULL, 0}};
    static const as_metric metrics[] = {{AS_STR_INIT("macro"), 0.625},
                                        {AS_STR_INIT("undefined"), (double)NAN}};
    return (as_summary){.n = 300,
                        .n_items = 150,
                        .score = 0.6,
                        .se = 0.02,
                        .lo = 0.55,
                        .hi = 0.65,
                        .anatomy = {180, 60, 40, 0, 20, 0, 0, 0},
                        .groups = groups,
                        .n_groups = 2,
                        .metrics = metrics,
                        .n_metrics = 2};
}

static void finish(db_store *db, int64_t run_id)
{
    as_err err = {0};
    const db_run_end end = {.is_complete = true,
                            .status = AS_STR("complete"),
                            .peak_rss_bytes = 5000,
                            .weights_bytes = -1,
                            .kv_bytes = -1,
                            .scratch_bytes = -1,
                            .wall_ns = 2000000000,
                            .client_cpu_ns = 7};
    OK(db_run_finish(db, run_id, &end, &err));
}

static void keeps_what_it_is_given(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, CASE_ITEMS, CASE_REPEATS);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    assert_false(run.is_resumed);
    put_all(db, &c, task);
    as_result *rows = NULL;
    size_t n = 0;
    as_arena keep;
    as_arena_init(&keep, 0);
    OK(db_results(db, task, 0, &rows, &n, &keep, &err));
    assert_int_equal(n, CASE_ITEMS * CASE_REPEATS);
    for (size_t i = 0; i < n; i++) {
        const size_t position = i / CASE_REPEATS;
        const db_record r = case_record(&c, task, position, (int)(i % CASE_REPEATS));
        assert_true(as_str_eq(rows[i].item, c.task.samples[position].id));
        assert_true(as_str_eq(rows[i].group, c.task.samples[position].group));
        assert_int_equal(rows[i].repeat, r.repeat);
        assert_int_equal(rows[i].score.verdict, r.score.verdict);
        assert_int_equal(rows[i].finish, r.response.finish);
        assert_true(as_str_eq(rows[i].score.target, r.score.target));
        assert_int_equal(as_str_is_set(rows[i].score.prediction),
                         as_str_is_set(r.score.prediction));
        assert_int_equal(rows[i].completion_tokens, r.response.completion_tokens);
        assert_true(fabs(rows[i].seconds - (double)r.response.total_ns / 1e9) < 1e-12);
    }
    db_texts texts;
    OK(db_attempt_texts(db, task, AS_STR("q35"), 1, &texts, &keep, &err));
    const db_record r = case_record(&c, task, 35, 1);
    assert_true(as_str_eq(texts.answer, r.response.text));
    assert_true(as_str_eq(texts.reasoning, r.response.reasoning)); /* with its NUL byte */
    assert_true(as_str_eq(texts.prefix, r.prefix));
    assert_true(as_str_eq(texts.prompt, r.prompt));
    assert_int_equal(db_attempt_texts(db, task, AS_STR("q999"), 0, &texts, &keep, &err), AS_RANGE);
    says(&err, "no answer to item \"q999\"");
    as_arena_release(&keep);
    case_close(&d, &c, db);
}

static void keeps_summaries(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, CASE_ITEMS, CASE_REPEATS);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    put_all(db, &c, task);
    const as_summary s = summary_of();
    OK(db_put_summary(db, task, &s, c.task.scorer, 1, &err));
    OK(db_put_summary(db, task, &s, c.task.scorer, 1, &err)); /* replaces */
    OK(db_put_event(db, run.id, AS_STR("warn"), AS_STR("test"), AS_STR("hello"), &err));
    finish(db, run.id);
    as_arena keep;
    as_arena_init(&keep, 0);
    db_run_row row;
    OK(db_run_find(db, AS_STR("last"), &row, &keep, &err));
    assert_int_equal(row.n_tasks, 1);
    const db_task_row *t = &row.tasks[0];
    assert_true(t->has_summary);
    assert_int_equal(t->n_planned, 300);
    assert_int_equal(t->n_done, 300);
    assert_int_equal(t->summary.n, 300);
    assert_int_equal(t->summary.anatomy[AS_TRUNCATED], 40);
    assert_true(t->summary.hi == 0.65);
    assert_int_equal(t->summary.n_groups, 2);
    assert_int_equal(t->summary.n_metrics, 2);
    assert_true(isnan(t->summary.metrics[1].value));
    assert_true(as_str_eq_z(t->summary.groups[1].name, "law"));
    assert_int_equal(t->summary.groups[0].n_metrics, 1);
    assert_true(t->summary.groups[0].metrics[0].value == 0.25);
    assert_true(as_str_eq_z(row.status, "complete"));
    assert_int_equal(row.peak_rss_bytes, 5000);
    assert_int_equal(row.wall_ns, 2000000000);
    assert_int_equal(row.n_params_active, -1);
    assert_true(row.prompt_tokens > 0);
    db_run_row again;
    OK(db_run_find(db, as_str_sub(row.uuid, 0, 8), &again, &keep, &err));
    assert_int_equal(again.id, row.id);
    assert_int_equal(db_run_find(db, AS_STR("77"), &again, &keep, &err), AS_RANGE);
    says(&err, "there is no run \"77\" (1 stored");
    db_run_row *all = NULL;
    int n = 0;
    OK(db_runs(db, &all, &n, &keep, &err));
    assert_int_equal(n, 1);
    assert_int_equal(all[0].tasks[0].summary.n_groups, 0);
    as_buf report;
    as_buf_init(&report, 0);
    OK(db_check(db, &report, &err));
    assert_null(strstr(report.p, "BAD"));
    as_buf_release(&report);
    as_arena_release(&keep);
    case_close(&d, &c, db);
}

/* ---- resuming ---------------------------------------------------------------------------------
 */

static void asks_again_only_what_failed(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 3, 2);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    db_record good = case_record(&c, task, 0, 1);
    OK(db_put(db, &good, &err));
    db_record bad = case_record(&c, task, 2, 0);
    bad.response.finish = AS_FINISH_ERROR;
    bad.response.error = AS_ERROR_SERVER;
    bad.score = (as_score){.verdict = AS_ERROR};
    OK(db_put(db, &bad, &err));
    bool done[6];
    OK(db_done(db, task, 2, done, 6, &err));
    const bool want[6] = {false, true, false, false, false, false};
    assert_memory_equal(done, want, sizeof want);
    bad = case_record(&c, task, 2, 0); /* the second time it works; the failure is replaced */
    OK(db_put(db, &bad, &err));
    OK(db_done(db, task, 2, done, 6, &err));
    assert_true(done[4]);
    as_buf report;
    as_buf_init(&report, 0);
    OK(db_check(db, &report, &err));
    as_buf_release(&report);
    case_close(&d, &c, db);
}

static void finds_its_run_again(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 3, 1);
    db_run first;
    db_run again;
    const int64_t task = begin(db, &c, &first);
    assert_int_equal(begin(db, &c, &again), task);
    assert_true(again.is_resumed);
    assert_false(again.is_complete);
    assert_int_equal(again.id, first.id);
    finish(db, first.id);
    OK(db_run_begin(db, &c.run, false, &again, &err));
    assert_true(again.is_complete);
    OK(db_run_begin(db, &c.run, true, &again, &err));
    assert_false(again.is_resumed);
    assert_true(again.id != first.id);
    OK(db_run_begin(db, &c.run, false, &again, &err)); /* the newest */
    assert_int_equal(again.id, first.id + 1);
    c.run.model.sha256 = AS_STR("beef"); /* other weights under the same name: another run */
    OK(db_run_begin(db, &c.run, false, &again, &err));
    assert_false(again.is_resumed);
    c.run.host_json = AS_STR("{");
    assert_int_equal(db_run_begin(db, &c.run, false, &again, &err), AS_PARSE);
    says(&err, "store: host");
    case_close(&d, &c, db);
}

/* A run that a living process works on is left to it; its death is noticed. */
static void leaves_a_run_to_its_process(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    case_dir_make(&d);
    case_init(&c, 3, 1);
    int pipe_fd[2];
    assert_int_equal(pipe(pipe_fd), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        db_store *db = NULL;
        db_run run;
        const bool is_fine = db_open(&db, d.db, DB_CREATE, NULL, &err) == AS_OK &&
                             db_run_begin(db, &c.run, false, &run, &err) == AS_OK;
        (void)!write(pipe_fd[1], is_fine ? "y" : "n", 1);
        for (;;)
            (void)pause();
    }
    char answer = 0;
    assert_int_equal(read(pipe_fd[0], &answer, 1), 1);
    assert_int_equal(answer, 'y');
    db_store *db = NULL;
    db_run run;
    OK(db_open(&db, d.db, DB_WRITE, NULL, &err));
    assert_int_equal(db_run_begin(db, &c.run, false, &run, &err), AS_TIMEOUT);
    char who[64];
    (void)snprintf(who, sizeof who, "another assay process writes to run 1: process %d;",
                   (int)child);
    says(&err, who);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    OK(db_run_begin(db, &c.run, false, &run, &err));
    assert_true(run.is_resumed);
    db_close(db);
    (void)close(pipe_fd[0]);
    (void)close(pipe_fd[1]);
    case_release(&c);
    case_dir_clean(&d);
}

static void refuses_other_items(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 70, 1);
    db_run run;
    int64_t task = begin(db, &c, &run);
    c.task.n_samples = 69;
    assert_int_equal(db_task_begin(db, run.id, &c.task, &task, &err), AS_INTEGRITY);
    says(&err, "toy:official with other items");
    c.task.n_samples = 70;
    c.task.scorer_version = 2;
    assert_int_equal(db_task_begin(db, run.id, &c.task, &task, &err), AS_INTEGRITY);
    says(&err, "another scorer");
    case_close(&d, &c, db);
}

/* From the end to position 40, then, in a second sitting, the first 60: some answers twice. */
static int64_t put_backwards(db_store **db, const char *path, case_task *c, db_run *run)
{
    as_err err = {0};
    int64_t task = begin(*db, c, run);
    for (size_t i = CASE_ITEMS; i-- > 40;) {
        const db_record r = case_record(c, task, i, 0);
        OK(db_put(*db, &r, &err));
    }
    OK(db_flush(*db, &err));
    db_close(*db);
    OK(db_open(db, path, DB_WRITE, NULL, &err));
    task = begin(*db, c, run);
    assert_true(run->is_resumed);
    for (size_t i = 0; i < 60; i++) {
        const db_record r = case_record(c, task, i, 0);
        OK(db_put(*db, &r, &err));
    }
    return task;
}

static void fill_one_way(bool is_backwards, as_buf *text)
{
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, CASE_ITEMS, 1);
    db_run run;
    int64_t task = 0;
    if (is_backwards)
        task = put_backwards(&db, d.db, &c, &run);
    else
        put_all(db, &c, task = begin(db, &c, &run));
    const as_summary s = summary_of();
    OK(db_put_summary(db, task, &s, c.task.scorer, 1, &err));
    finish(db, run.id);
    OK(case_export(db, text, &err));
    case_close(&d, &c, db);
}

static void order_does_not_matter(void **state)
{
    (void)state;
    as_buf want;
    as_buf got;
    fill_one_way(false, &want);
    fill_one_way(true, &got);
    assert_true(want.n > 50000);
    assert_true(as_str_eq(as_buf_str(&want), as_buf_str(&got)));
    as_buf_release(&want);
    as_buf_release(&got);
}

/* ---- scoring again ----------------------------------------------------------------------------
 */

typedef struct rescorer {
    db_store *db;
    case_task *c;
    int64_t task;
    size_t n;
} rescorer;

static as_code score_again(void *user, size_t position, int repeat, const as_sample *sample,
                           const as_response *response, as_err *err)
{
    rescorer *r = user;
    const as_sample *want = &r->c->task.samples[position];
    assert_true(as_str_eq(sample->question, want->question));
    assert_true(as_str_eq(sample->id, want->id));
    assert_int_equal(sample->n_choices, 4);
    assert_true(as_str_eq(sample->choices[3], want->choices[3]));
    const db_record record = case_record(r->c, r->task, position, repeat);
    assert_true(as_str_eq(response->text, record.response.text));
    assert_int_equal(response->finish, record.response.finish);
    assert_int_equal(response->recorded.n_choices, 0);
    r->n++;
    const as_score score = {.verdict = AS_WRONG, .prediction = AS_STR("Z"), .value = 0};
    return db_put_score(r->db, r->task, position, repeat, &score, r->c->task.scorer, 2, err);
}

static void scores_stand_side_by_side(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, CASE_ITEMS, CASE_REPEATS);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    put_all(db, &c, task);
    rescorer r = {db, &c, task, 0};
    OK(db_each_attempt(db, task, score_again, &r, &err));
    assert_int_equal(r.n, 300);
    as_arena keep;
    as_arena_init(&keep, 0);
    as_result *rows = NULL;
    size_t n = 0;
    OK(db_results(db, task, 1, &rows, &n, &keep, &err));
    assert_int_equal(n, 300);
    assert_false(as_str_eq_z(rows[0].score.prediction, "Z"));
    OK(db_results(db, task, 0, &rows, &n, &keep, &err));
    assert_int_equal(n, 300);
    for (size_t i = 0; i < n; i++)
        assert_true(as_str_eq_z(rows[i].score.prediction, "Z"));
    OK(db_results(db, task, 9, &rows, &n, &keep, &err));
    assert_int_equal(rows[0].score.verdict, AS_UNGRADED);
    const as_score score = {.verdict = AS_RIGHT};
    OK(db_put_score(db, task, 999, 0, &score, c.task.scorer, 2, &err));
    assert_int_equal(db_flush(db, &err), AS_RANGE);
    says(&err, "no answer at position 999");
    as_arena_release(&keep);
    case_close(&d, &c, db);
}

/* ---- files that are not what they should be ----------------------------------------------------
 */

static void write_text(const char *path, const char *text)
{
    as_err err = {0};
    OK(as_write_file(path, as_str_of(text), &err));
}

static void sql(const char *path, const char *text)
{
    const char *const argv[] = {"sqlite3", path, text, NULL};
    as_proc_result result = {0};
    as_err err = {0};
    if (as_proc_run(argv, NULL, 10000, NULL, NULL, &result, &err) != AS_OK || result.exit_code != 0)
        skip(); /* no sqlite3 program here */
}

static void refuses_what_is_not_a_store(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    db_store *db = NULL;
    assert_int_equal(db_open(&db, d.dir, DB_CREATE, NULL, &err), AS_RANGE);
    says(&err, "is a folder");
    assert_int_equal(db_open(&db, d.db, DB_READ, NULL, &err), AS_RANGE);
    says(&err, "no such file");
    assert_int_equal(db_open(&db, d.db, DB_WRITE, NULL, &err), AS_RANGE);
    assert_false(as_file_exists(d.db));
    write_text(d.db, "item,answer\n1,B\n");
    assert_int_equal(db_open(&db, d.db, DB_CREATE, NULL, &err), AS_RANGE);
    says(&err, "not a database");
    assert_int_equal(db_open(&db, "/proc/none/x.db", DB_CREATE, NULL, &err), AS_IO);
    says(&err, "/proc/none");
    assert_int_equal(db_open(&db, "/proc/x.db", DB_CREATE, NULL, &err), AS_IO);
    says(&err, "/proc/x.db");
    assert_null(db);
    case_dir_clean(&d);
}

static void refuses_a_foreign_database(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    sql(d.db, "CREATE TABLE recipes(x)");
    db_store *db = NULL;
    assert_int_equal(db_open(&db, d.db, DB_CREATE, NULL, &err), AS_RANGE);
    says(&err, "not one of assay's");
    case_dir_clean(&d);
}

static void refuses_a_newer_version(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    db_store *db = NULL;
    OK(db_open(&db, d.db, DB_CREATE, NULL, &err));
    db_close(db);
    sql(d.db, "PRAGMA user_version=999");
    assert_int_equal(db_open(&db, d.db, DB_WRITE, NULL, &err), AS_UNSUPPORTED);
    says(&err, "schema 999, this one knows 2");
    assert_int_equal(db_open(&db, d.db, DB_READ, NULL, &err), AS_UNSUPPORTED);
    case_dir_clean(&d);
}

/* A file that was killed before its first migration has version 0. */
static void migrates_empty_files(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    sql(d.db, "PRAGMA journal_mode=WAL");
    db_store *db = NULL;
    assert_int_equal(db_open(&db, d.db, DB_READ, NULL, &err), AS_RANGE);
    OK(db_open(&db, d.db, DB_WRITE, NULL, &err)); /* 0 → newest */
    case_task c;
    case_init(&c, 3, 1);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    put_all(db, &c, task);
    OK(db_flush(db, &err));
    db_close(db);
    OK(db_open(&db, d.db, DB_WRITE, NULL, &err));
    as_buf report;
    as_buf_init(&report, 0);
    OK(db_check(db, &report, &err));
    as_buf_release(&report);
    db_close(db);
    case_release(&c);
    case_dir_clean(&d);
}

static void finds_damage(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, CASE_ITEMS, 2);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    put_all(db, &c, task);
    OK(db_flush(db, &err));
    db_close(db);
    sql(d.db, "DELETE FROM score WHERE position = 5 AND repeat = 1;"
              "UPDATE blob SET data = zeroblob(length(data)) WHERE rowid = 9");
    OK(db_open(&db, d.db, DB_READ, NULL, &err));
    as_buf report;
    as_buf_init(&report, 0);
    assert_int_equal(db_check(db, &report, &err), AS_INTEGRITY);
    says(&err, "has a score");
    assert_non_null(strstr(report.p, "position 5 repeat 1"));
    assert_non_null(strstr(report.p, "BAD   every text hashes to its key: 1 findings"));
    db_close(db);
    /* bytes of the file itself */
    FILE *f = fopen(d.db, "r+b");
    assert_non_null(f);
    char junk[3000];
    memset(junk, 0x5A, sizeof junk);
    for (long at = 8192; at < 100000; at += 8192) {
        (void)fseek(f, at, SEEK_SET);
        (void)fwrite(junk, 1, sizeof junk, f);
    }
    (void)fclose(f);
    as_code code = db_open(&db, d.db, DB_READ, NULL, &err);
    as_buf_reset(&report);
    if (code == AS_OK)
        code = db_check(db, &report, &err);
    assert_int_equal(code, AS_INTEGRITY);
    as_buf_release(&report);
    case_close(&d, &c, db);
}

/* What a score stands on is found by a join, without our program. */
static void circumstances_are_columns(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 3, 1);
    c.run.config_json = AS_STR("{\"seed\":7,\"think\":\"off\"}");
    db_run run;
    put_all(db, &c, begin(db, &c, &run));
    OK(db_flush(db, &err));
    db_close(db);
    const char *const argv[] = {
        "sqlite3", d.db,
        "SELECT suite, protocol, n_shot, temperature, think, seed, model_sha256, dataset_sha256,"
        " scorer_version, build_version, host_cpu FROM v_task;"
        "SELECT item, task_name, target, filtered_resps IS NULL, model FROM v_samples LIMIT 1;"
        "SELECT n FROM v_score_anatomy",
        NULL};
    as_buf out;
    as_buf_init(&out, 0);
    as_proc_result result = {0};
    if (as_proc_run(argv, NULL, 10000, &out, NULL, &result, &err) != AS_OK)
        skip(); /* no sqlite3 program here */
    assert_string_equal(out.p, "toy|official|5|0|off|7|00ff|abcd|1|0.1.0|Z80\n"
                               "q0|toy:official|A|0|toy\n3\n");
    as_buf_release(&out);
    case_close(&d, &c, NULL);
}

/* ---- trouble while writing --------------------------------------------------------------------
 */

static void survives_a_full_disk(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 2000, 1);
    db_run run;
    int64_t task = begin(db, &c, &run);
    for (size_t i = 0; i < 100; i++) {
        const db_record r = case_record(&c, task, i, 0);
        OK(db_put(db, &r, &err));
    }
    OK(db_flush(db, &err));
    OK(db_testing_max_pages(db, 140, &err));
    as_code code = AS_OK;
    for (size_t i = 100; i < 2000 && code == AS_OK; i++) {
        const db_record r = case_record(&c, task, i, 0);
        code = db_put(db, &r, &err);
    }
    if (code == AS_OK)
        code = db_flush(db, &err);
    assert_int_equal(code, AS_IO);
    says(&err, "the disk is full");
    db_close(db);
    OK(db_open(&db, d.db, DB_WRITE, NULL, &err)); /* room was made */
    as_buf report;
    as_buf_init(&report, 0);
    OK(db_check(db, &report, &err));
    as_buf_release(&report);
    task = begin(db, &c, &run);
    assert_true(run.is_resumed);
    static bool done[2000];
    OK(db_done(db, task, 1, done, 2000, &err));
    for (size_t i = 0; i < 100; i++)
        assert_true(done[i]);
    assert_false(done[1999]);
    case_close(&d, &c, db);
}

static void names_another_writer(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    case_dir_make(&d);
    case_init(&c, 3, 1);
    db_store *a = NULL;
    db_store *b = NULL;
    OK(db_open(&a, d.db, DB_CREATE, NULL, &err));
    OK(db_open(&b, d.db, DB_WRITE, NULL, &err));
    OK(db_testing_busy_ms(b, 50, &err));
    /* a process of somebody else's that keeps a transaction open */
    char command[256];
    (void)snprintf(
        command, sizeof command,
        "sqlite3 %s 'BEGIN IMMEDIATE' '.shell touch %s/held; sleep 2' 'ROLLBACK' >/dev/null 2>&1 &",
        d.db, d.dir);
    const char *const argv[] = {"sh", "-c", command, NULL};
    as_proc_result result = {0};
    (void)as_proc_run(argv, NULL, 10000, NULL, NULL, &result, &err);
    char held[128];
    (void)snprintf(held, sizeof held, "%s/held", d.dir);
    for (int i = 0; i < 100 && !as_file_exists(held); i++)
        as_sleep_ns(10000000);
    if (as_file_exists(held)) {
        db_run run;
        assert_int_equal(db_run_begin(b, &c.run, false, &run, &err), AS_TIMEOUT);
        says(&err, "another assay process writes to it");
    }
    (void)unlink(held);
    db_close(a);
    db_close(b);
    case_release(&c);
    case_dir_clean(&d);
}

/* Two stores of one file take turns. */
static void shares_the_file(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    case_dir_make(&d);
    case_init(&c, CASE_ITEMS, 1);
    db_store *db[2] = {NULL, NULL};
    int64_t task[2];
    db_run run[2];
    for (int i = 0; i < 2; i++) {
        OK(db_open(&db[i], d.db, DB_CREATE, NULL, &err));
        OK(db_run_begin(db[i], &c.run, true, &run[i], &err));
        OK(db_task_begin(db[i], run[i].id, &c.task, &task[i], &err));
    }
    for (size_t p = 0; p < CASE_ITEMS; p++)
        for (int i = 0; i < 2; i++) {
            const db_record r = case_record(&c, task[i], p, 0);
            OK(db_put(db[i], &r, &err));
        }
    as_arena keep;
    as_arena_init(&keep, 0);
    for (int i = 0; i < 2; i++) {
        as_result *rows = NULL;
        size_t n = 0;
        OK(db_results(db[i], task[i], 0, &rows, &n, &keep, &err));
        assert_int_equal(n, CASE_ITEMS);
    }
    as_arena_release(&keep);
    db_close(db[0]);
    db_close(db[1]);
    case_release(&c);
    case_dir_clean(&d);
}

typedef struct putter {
    db_store *db;
    int64_t task;
    size_t first;
} putter;

enum { PUTTERS = 3, PER_PUTTER = 700, ALL_PUT = PUTTERS * PER_PUTTER };

static void *put_third(void *arg)
{
    const putter *p = arg;
    case_task c;
    case_init(&c, ALL_PUT, 1);
    for (size_t i = 0; i < PER_PUTTER; i++) {
        as_err err = {0};
        const db_record r = case_record(&c, p->task, p->first + i * PUTTERS, 0);
        if (db_put(p->db, &r, &err) != AS_OK)
            break;
    }
    case_release(&c);
    return NULL;
}

static void takes_records_from_threads(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, ALL_PUT, 1);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    pthread_t threads[PUTTERS];
    putter args[PUTTERS];
    for (size_t i = 0; i < PUTTERS; i++) {
        args[i] = (putter){db, task, i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_third, &args[i]), 0);
    }
    for (size_t i = 0; i < PUTTERS; i++)
        (void)pthread_join(threads[i], NULL);
    static bool done[ALL_PUT];
    OK(db_done(db, task, 1, done, ALL_PUT, &err));
    for (size_t i = 0; i < ALL_PUT; i++)
        assert_true(done[i]);
    case_close(&d, &c, db);
}

static void reads_from_a_folder_that_cannot_be_written(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 3, 1);
    db_run run;
    const int64_t task = begin(db, &c, &run);
    put_all(db, &c, task);
    db_close(db);
    OK(db_open(&db, d.db, DB_READ, NULL, &err));
    const db_record r = case_record(&c, task, 0, 0);
    assert_int_equal(db_put(db, &r, &err), AS_UNSUPPORTED);
    says(&err, "for reading only");
    OK(db_flush(db, &err));
    db_close(db);
    if (geteuid() != 0) { /* root may write everywhere */
        (void)chmod(d.dir, 0555);
        OK(db_open(&db, d.db, DB_READ, NULL, &err));
        db_close(db);
        assert_int_equal(db_open(&db, d.db, DB_WRITE, NULL, &err), AS_IO);
        (void)chmod(d.dir, 0755);
    }
    case_close(&d, &c, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_it_is_given),
        cmocka_unit_test(keeps_summaries),
        cmocka_unit_test(asks_again_only_what_failed),
        cmocka_unit_test(finds_its_run_again),
        cmocka_unit_test(leaves_a_run_to_its_process),
        cmocka_unit_test(refuses_other_items),
        cmocka_unit_test(circumstances_are_columns),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(scores_stand_side_by_side),
        cmocka_unit_test(refuses_what_is_not_a_store),
        cmocka_unit_test(refuses_a_foreign_database),
        cmocka_unit_test(refuses_a_newer_version),
        cmocka_unit_test(migrates_empty_files),
        cmocka_unit_test(finds_damage),
        cmocka_unit_test(survives_a_full_disk),
        cmocka_unit_test(names_another_writer),
        cmocka_unit_test(shares_the_file),
        cmocka_unit_test(takes_records_from_threads),
        cmocka_unit_test(reads_from_a_folder_that_cannot_be_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
