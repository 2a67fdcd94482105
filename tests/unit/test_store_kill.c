/*
 * A child process fills a store and is killed with SIGKILL at a moment drawn from a seeded
 * generator; the next child continues what it finds. In the end the file must hold the same rows as
 * one that was filled without interruption.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/time.h"
#include "unit/store_cases.h"

enum { ITEMS = 400, REPEATS = 2, KILLS = 20 };

/* Puts what is not there yet, some records at a time, like a run that waits for its model. */
static as_code fill(const char *path, int64_t pause_ns, as_err *err)
{
    case_task c;
    case_init(&c, ITEMS, REPEATS);
    db_store *db = NULL;
    db_run run;
    int64_t task = 0;
    bool done[ITEMS * REPEATS];
    as_code code = db_open(&db, path, DB_CREATE, NULL, err);
    if (code == AS_OK)
        code = db_run_begin(db, &c.run, false, &run, err);
    if (code == AS_OK)
        code = db_task_begin(db, run.id, &c.task, &task, err);
    if (code == AS_OK)
        code = db_done(db, task, REPEATS, done, ITEMS * REPEATS, err);
    for (size_t i = 0; code == AS_OK && i < ITEMS * REPEATS; i++) {
        if (done[i])
            continue;
        const db_record r = case_record(&c, task, i / REPEATS, (int)(i % REPEATS));
        code = db_put(db, &r, err);
        if (pause_ns > 0 && i % 16 == 0) {
            as_sleep_ns(pause_ns);
            if (i % 64 == 0 && code == AS_OK)
                code = db_flush(db, err);
        }
    }
    const as_summary summary = {.n = 1, .n_items = 1, .score = 1, .hi = 1, .anatomy = {1}};
    if (code == AS_OK)
        code = db_put_summary(db, task, &summary, c.task.scorer, 1, err);
    const db_run_end end = {.is_complete = true, .status = AS_STR("complete")};
    if (code == AS_OK)
        code = db_run_finish(db, run.id, &end, err);
    db_close(db);
    case_release(&c);
    return code;
}

/* True if the child ended by itself. */
static bool fill_and_kill(const char *path, int64_t after_ns)
{
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        as_err err = {0};
        _exit(fill(path, 3000000, &err) == AS_OK ? 0 : 1);
    }
    as_sleep_ns(after_ns);
    (void)kill(child, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail_msg("the child failed by itself");
    return WIFEXITED(status);
}

static void check_clean(const char *path, as_buf *text)
{
    as_err err = {0};
    db_store *db = NULL;
    if (db_open(&db, path, DB_WRITE, NULL, &err) != AS_OK)
        fail_msg("%s", err.text);
    as_buf report;
    as_buf_init(&report, 0);
    if (db_check(db, &report, &err) != AS_OK)
        fail_msg("%s\n%s", err.text, report.p);
    as_buf_release(&report);
    if (text != NULL && case_export(db, text, &err) != AS_OK)
        fail_msg("%s", err.text);
    db_close(db);
}

static void killed_runs_end_like_others(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir whole;
    case_dir cut;
    case_dir_make(&whole);
    case_dir_make(&cut);
    if (fill(whole.db, 0, &err) != AS_OK)
        fail_msg("%s", err.text);
    as_rng rng;
    as_rng_init(&rng, 2026, AS_STR("kill"));
    int n_killed = 0;
    for (int i = 0; i < KILLS; i++) {
        /* early kills hit the making of the file, later ones the middle of batches */
        const int64_t longest_ns = i < 6 ? 4000000 : 30000000;
        n_killed += !fill_and_kill(cut.db, (int64_t)as_rng_below(&rng, (uint64_t)longest_ns));
        if (access(cut.db, F_OK) == 0)
            check_clean(cut.db, NULL);
    }
    assert_true(n_killed >= KILLS * 3 / 4);
    if (fill(cut.db, 0, &err) != AS_OK)
        fail_msg("%s", err.text);
    as_buf want;
    as_buf got;
    check_clean(whole.db, &want);
    check_clean(cut.db, &got);
    print_message("killed %d times; %zu bytes of export\n", n_killed, got.n);
    assert_true(want.n > 100000);
    assert_true(as_str_eq(as_buf_str(&want), as_buf_str(&got)));
    as_buf_release(&want);
    as_buf_release(&got);
    case_dir_clean(&whole);
    case_dir_clean(&cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(killed_runs_end_like_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
