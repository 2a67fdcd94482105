#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/io.h"
#include "base/proc.h"
#include "store/schema.h"
#include "store/store_impl.h"
#include "unit/store_cases.h"

#define OK(expr)                                                                                   \
    do {                                                                                           \
        as_err *const e_ = &err;                                                                   \
        e_->text[0] = '\0';                                                                        \
        if ((expr) != AS_OK)                                                                       \
            fail_msg("%s: %s", #expr, e_->text);                                                   \
    } while (0)

/* ---- migration from version 1 ------------------------------------------------------------------
 */

static void unpack_fixture(const char *name, as_buf *out)
{
    char path[512];
    const char *root = getenv("AS_FIXTURES");
    (void)snprintf(path, sizeof path, "%s/store/%s", root != NULL ? root : "tests/fixtures", name);
    gzFile f = gzopen(path, "rb");
    if (f == NULL)
        fail_msg("%s: cannot be opened", path);
    as_buf_init(out, 1 << 24);
    char piece[4096];
    int n;
    while ((n = gzread(f, piece, sizeof piece)) > 0)
        (void)as_buf_add(out, (as_str){piece, (size_t)n});
    assert_int_equal(n, 0);
    (void)gzclose(f);
}

static as_code add_line(void *user, as_str line, as_err *err)
{
    (void)as_buf_add(user, line);
    (void)as_buf_add_byte(user, '\n');
    return as_buf_ok(user, err);
}

/* The new row is the old one and then the new columns, which are null. */
static void same_but_for_new_columns(as_str before, as_str after)
{
    const as_str old = as_str_sub(before, 0, before.n - 1); /* without "}" */
    if (!as_str_starts(after, old))
        fail_msg("%.*s\nis not the beginning of\n%.*s", AS_ARG(before), AS_ARG(after));
    const as_str rest = as_str_sub(after, old.n, after.n);
    int n_new = 0;
    for (size_t i = 0; i + 5 < rest.n; i++)
        n_new += memcmp(rest.p + i, ":null", 5) == 0 ? 1 : 0;
    const bool is_attempt = as_str_starts(after, AS_STR("{\"table\":\"attempt\""));
    const bool is_session = as_str_starts(after, AS_STR("{\"table\":\"session\""));
    assert_int_equal(n_new, is_attempt ? 16 : is_session ? 2 : 0);
    if (n_new == 0)
        assert_true(as_str_eq(before, after));
}

static void reads_version_1_as_it_was(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    as_buf file;
    as_buf old;
    as_buf now;
    unpack_fixture("v1.db.gz", &file);
    unpack_fixture("v1.export.jsonl.gz", &old);
    OK(as_write_file(d.db, as_buf_str(&file), &err));
    db_store *db = NULL;
    assert_int_equal(db_open(&db, d.db, DB_READ, NULL, &err), AS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "schema 1 is older than this program's 2"));
    OK(db_open(&db, d.db, DB_WRITE, NULL, &err));
    as_buf_init(&now, 0);
    OK(db_export(db, false, add_line, &now, &err));
    as_str before = as_buf_str(&old);
    as_str after = as_buf_str(&now);
    as_str line_before;
    as_str line_after;
    int n = 0;
    while (after.n != 0) {
        assert_true(as_str_cut(after, '\n', &line_after, &after));
        if (as_str_starts(line_after, AS_STR("{\"table\":\"meta\",\"key\":\"migration.2\"")))
            continue;
        assert_true(as_str_cut(before, '\n', &line_before, &before));
        same_but_for_new_columns(line_before, line_after);
        n++;
    }
    assert_int_equal(before.n, 0);
    assert_true(n > 60);
    as_buf report;
    as_buf_init(&report, 0);
    OK(db_check(db, &report, &err));
    as_arena keep;
    as_arena_init(&keep, 0);
    db_run_row run;
    OK(db_run_find(db, AS_STR("last"), &run, &keep, &err));
    assert_int_equal(run.tasks[0].n_done, 16);
    assert_int_equal(run.tasks[0].summary.anatomy[AS_ERROR], 2);
    assert_false(run.has_latency);
    as_arena_release(&keep);
    db_close(db);
    OK(db_open(&db, d.db, DB_READ, NULL, &err));
    db_close(db);
    as_buf_release(&report);
    as_buf_release(&now);
    as_buf_release(&old);
    as_buf_release(&file);
    case_dir_clean(&d);
}

/* Runs that an earlier program called complete although answers had no verdict are not. */
static void answers_without_verdict_make_a_run_incomplete(void **state)
{
    (void)state;
    as_err err = {0};
    for (int n_ungraded = 0; n_ungraded < 2; n_ungraded++) {
        case_dir d;
        case_dir_make(&d);
        as_buf file;
        unpack_fixture("v1.db.gz", &file);
        OK(as_write_file(d.db, as_buf_str(&file), &err));
        as_buf_release(&file);
        sqlite3 *old = NULL;
        assert_int_equal(sqlite3_open(d.db, &old), SQLITE_OK);
        assert_int_equal(sqlite3_exec(old, "UPDATE run SET status = 'complete'", NULL, NULL, NULL),
                         SQLITE_OK);
        if (n_ungraded != 0)
            assert_int_equal(sqlite3_exec(old,
                                          "UPDATE score SET verdict = 'ungraded' WHERE position = 1"
                                          " AND repeat = 0",
                                          NULL, NULL, NULL),
                             SQLITE_OK);
        (void)sqlite3_close(old);
        db_store *db = NULL;
        as_arena keep;
        as_arena_init(&keep, 0);
        db_run_row run;
        OK(db_open(&db, d.db, DB_WRITE, NULL, &err));
        OK(db_run_find(db, AS_STR("last"), &run, &keep, &err));
        assert_true(as_str_eq_z(run.status, n_ungraded != 0 ? "incomplete" : "complete"));
        bool is[64] = {0};
        const size_t n = (size_t)run.tasks[0].n_planned;
        assert_in_range(n, 1, 64);
        OK(db_ungraded(db, run.tasks[0].id, run.tasks[0].repeats, is, n, &err));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(is[i], n_ungraded != 0 && i == (size_t)run.tasks[0].repeats);
        as_arena_release(&keep);
        db_close(db);
        case_dir_clean(&d);
    }
}

/* ---- gaps --------------------------------------------------------------------------------------
 */

static void buckets_are_narrow_and_in_order(void **state)
{
    (void)state;
    int last = -1;
    for (int64_t ns = 0; ns < INT64_MAX / 3; ns = ns + ns / 50 + 1) {
        const int bucket = db_gap_bucket(ns);
        assert_in_range(bucket, 0, DB_GAP_BUCKETS - 1);
        assert_true(bucket >= last);
        const double middle = db_gap_ns(bucket);
        assert_true(fabs(middle - (double)ns) <= 0.016 * (double)ns);
        last = bucket;
    }
    assert_in_range(db_gap_bucket(INT64_MAX), 0, DB_GAP_BUCKETS - 1);
    assert_int_equal(db_gap_bucket(-5), 0);
}

/* ---- a server's run ----------------------------------------------------------------------------
 */

enum { CALLS = 100, GAPS = 10 };

/* Call i: sent after 1 ms in our queue, first piece 10+i ms later, 10 gaps of i+1 ms. */
static db_record server_record(case_task *c, int64_t task, size_t i, int64_t *gaps)
{
    db_record r = case_record(c, task, i, 0);
    const int64_t ms = 1000000;
    const int64_t gap = (int64_t)(i + 1) * ms;
    for (int k = 0; k < GAPS; k++)
        gaps[k] = gap;
    gaps[GAPS - 1] = 2 * gap;
    r.n_failed = 0;
    as_response *p = &r.response;
    p->queue_ns = ms;
    p->first_byte_ns = 2 * ms;
    p->first_token_ns = (int64_t)(11 + i) * ms;
    p->first_answer_ns = p->first_token_ns + gap;
    p->last_token_ns = p->first_token_ns + 11 * gap;
    p->total_ns = p->last_token_ns + ms;
    p->completion_tokens = 12;
    p->prompt_tokens = 30;
    p->cached_tokens = 10;
    p->gaps_ns = gaps;
    p->n_gaps = GAPS;
    p->server_prompt_ns = 4 * ms;
    p->server_generation_ns = 6 * ms;
    p->dropped = AS_DROPPED_SEED | AS_DROPPED_TOP_K;
    p->finish_raw = AS_STR("eos");
    p->model = AS_STR("gemma");
    p->fingerprint = AS_STR("fp1");
    p->endpoint = i % 2 == 0 ? AS_STR("http://a") : AS_STR("http://b");
    return r;
}

static void near(double is, double want, double relative)
{
    if (!(fabs(is - want) <= relative * fabs(want)))
        fail_msg("%.9g, want %.9g", is, want);
}

static void check_latency(const db_latency *l)
{
    assert_int_equal(l->n_calls, CALLS - 1);
    assert_int_equal(l->n_retries, 1);
    assert_int_equal(l->n_errors, 0);
    assert_int_equal(l->n_gaps, (CALLS - 1) * GAPS);
    /* calls 1 … 99: TTFT 10+i ms, TPOT i+1 ms */
    near(l->ttft.p50, 0.060, 1e-9);
    near(l->ttft.p99, 0.010 + 0.001 * (1 + 0.99 * 98), 1e-9);
    near(l->tpot.p50, 0.051, 1e-9);
    near(l->answer.p50, 0.060 + 0.051, 1e-9);
    near(l->request_tokens_per_s, 1 / 0.051, 1e-9);
    near(l->server_tokens_per_s, 12 / 0.006, 1e-9);
    near(l->server_prompt_tokens_per_s, 20 / 0.004, 1e-9);
    near(l->requests_per_s, CALLS / 2.0, 1e-9);
    near(l->client_tokens_per_s, CALLS * 12 / 2.0, 1e-9);
    near(l->busy_share, 0.5, 1e-9);
    /* Pooled gaps, sorted: of 990, the 495th; doubles of the small ones lie among them. */
    double all[(CALLS - 1) * GAPS];
    size_t n = 0;
    for (int i = 1; i < CALLS; i++)
        for (int k = 0; k < GAPS; k++)
            all[n++] = (i + 1) * (k == GAPS - 1 ? 0.002 : 0.001);
    for (size_t i = 1; i < n; i++) /* insertion sort: obvious */
        for (size_t k = i; k > 0 && all[k] < all[k - 1]; k--) {
            const double t = all[k];
            all[k] = all[k - 1];
            all[k - 1] = t;
        }
    near(l->itl.p50, all[n / 2 - 1], 0.016);
    near(l->itl.p95, all[(size_t)ceil(0.95 * (double)n) - 1], 0.016);
    near(l->itl.p99, all[(size_t)ceil(0.99 * (double)n) - 1], 0.016);
}

static void check_columns(db_store *db)
{
    as_err err = {0};
    db_args a;
    OK(db_prepare_once(&db->read,
                       "SELECT n_pieces, gap_median_ns, gap_p95_ns, gap_max_ns, first_byte_ns,"
                       " server_prompt_ns, server_load_ns IS NULL, dropped, finish_raw, model,"
                       " fingerprint, endpoint FROM attempt WHERE position = 7 AND counts = 1",
                       &a, &err));
    bool has_row = false;
    OK(db_step(&a, &has_row, &err));
    assert_true(has_row);
    static const int64_t numbers[] = {11, 8000000, 16000000, 16000000, 2000000, 4000000, 1};
    for (int i = 0; i < 7; i++)
        assert_int_equal(db_col_i64(&a, i, -1), numbers[i]);
    static const char *const words[] = {"seed,top_k", "eos", "gemma", "fp1", "http://b"};
    for (int i = 0; i < 5; i++)
        assert_true(as_str_eq_z(db_col_str(&a, 7 + i), words[i]));
    db_finish(&a);
}

static void check_events(const db_run_row *run)
{
    assert_int_equal(run->n_events, 2);
    assert_true(as_str_eq_z(run->events[0].kind, "preflight"));
    assert_true(as_str_eq_z(run->events[0].text, "thinking is off"));
    assert_int_equal(run->events[0].n, 2);
    assert_true(as_str_eq_z(run->events[1].level, "info"));
}

static void keeps_what_servers_tell(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, CALLS, 1);
    c.run.model.scheme = AS_STR("openai");
    c.run.concurrency = 4;
    db_run run;
    int64_t task = 0;
    OK(db_run_begin(db, &c.run, false, &run, &err));
    OK(db_task_begin(db, run.id, &c.task, &task, &err));
    static const db_try failed = {AS_ERROR_SERVER,        AS_STR_INIT("busy"), 503, 1, 2,
                                  AS_STR_INIT("http://a")};
    for (size_t i = 0; i < CALLS; i++) {
        int64_t gaps[GAPS];
        db_record r = server_record(&c, task, i, gaps);
        if (i == 0) { /* slow and retried: not among what is measured */
            r.failed = &failed;
            r.n_failed = 1;
        }
        OK(db_put(db, &r, &err));
        memset(gaps, 0, sizeof gaps); /* the store has its own */
    }
    OK(db_put_event(db, run.id, AS_STR("warn"), AS_STR("preflight"), AS_STR("thinking is off"),
                    &err));
    OK(db_put_event(db, run.id, AS_STR("info"), AS_STR("resume"), AS_STR("12 stored"), &err));
    OK(db_put_event(db, run.id, AS_STR("warn"), AS_STR("preflight"), AS_STR("thinking is off"),
                    &err));
    db_server_sample s;
    double *const values = (double *)&s;
    for (size_t i = 0; i < sizeof s / sizeof(double); i++)
        values[i] = i % 2 == 0 ? (double)i : (double)NAN;
    OK(db_put_server(db, run.id, 0, &s, &err));
    const db_run_end end = {.is_complete = true,
                            .status = AS_STR("complete"),
                            .wall_ns = 3000000000,
                            .work_wall_ns = 2000000000,
                            .client_cpu_ns = 1000000000,
                            .concurrency = 12};
    OK(db_run_finish(db, run.id, &end, &err));
    as_arena keep;
    as_arena_init(&keep, 0);
    db_run_row row;
    OK(db_run_find(db, AS_STR("last"), &row, &keep, &err));
    assert_true(row.has_latency);
    assert_int_equal(row.concurrency, 12);
    check_latency(&row.latency);
    check_events(&row);
    check_columns(db);
    db_args a;
    OK(db_prepare_once(&db->read, "SELECT prompt_tokens, waiting IS NULL FROM server", &a, &err));
    bool has_row = false;
    OK(db_step(&a, &has_row, &err));
    assert_int_equal(db_col_i64(&a, 0, -1), 2);
    assert_int_equal(db_col_i64(&a, 1, -1), 1);
    db_finish(&a);
    as_arena_release(&keep);
    case_close(&d, &c, db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_version_1_as_it_was),
        cmocka_unit_test(answers_without_verdict_make_a_run_incomplete),
        cmocka_unit_test(buckets_are_narrow_and_in_order),
        cmocka_unit_test(keeps_what_servers_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
