#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/fake_server.h"
#include "unit/store_cases.h"

enum { ITEMS = 120 };

/* A run of ITEMS on a fake server that goes these ways, in a store of its own. */
typedef struct world {
    case_dir dir;
    db_store *db;
    fake server;
    fake_plan plan;
    run_outcome out;
    as_err err;
    as_arena keep;
    db_run_row row;
} world;

static void open_world(world *w, const fake_ways *ways)
{
    memset(w, 0, sizeof *w);
    case_dir_make(&w->dir);
    as_arena_init(&w->keep, 0);
    assert_int_equal(db_open(&w->db, w->dir.db, DB_CREATE, NULL, &w->err), AS_OK);
    fake_init(&w->server, ways);
    fake_plan_init(&w->plan, &w->server, ITEMS, true);
}

static void close_world(world *w)
{
    as_arena_release(&w->keep);
    db_close(w->db);
    case_dir_clean(&w->dir);
}

static as_code go(world *w, const run_findings *found)
{
    const run_execution how = {.db = w->db,
                               .findings = found != NULL ? found->of : NULL,
                               .n_findings = found != NULL ? found->n : 0};
    w->err = (as_err){0};
    const as_code c = run_execute(&w->plan.plan, &how, &w->out, &w->err);
    as_err err = {0};
    assert_int_equal(db_run_find(w->db, AS_STR("last"), &w->row, &w->keep, &err), AS_OK);
    return c;
}

static int64_t events(const world *w, const char *level, const char *kind, const char *part)
{
    int64_t n = 0;
    for (int i = 0; i < w->row.n_events; i++) {
        const db_event *e = &w->row.events[i];
        if (as_str_eq_z(e->level, level) && as_str_eq_z(e->kind, kind) &&
            strstr(e->text.p, part) != NULL)
            n += e->n;
    }
    return n;
}

static void sound(world *w)
{
    as_buf report;
    as_buf_init(&report, 0);
    if (db_check(w->db, &report, &w->err) != AS_OK)
        fail_msg("%s", report.p);
    as_buf_release(&report);
}

static void answers_all_and_tells_how_fast(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(fake_ways){.has_metrics = true});
    run_findings found = {.n = 1};
    found.of[0] = (run_finding){RUN_WARN, "think", AS_STR("as found")};
    assert_int_equal(go(&w, &found), AS_OK);
    assert_int_equal(w.out.n_done, ITEMS);
    assert_true(as_str_eq_z(w.row.status, "complete"));
    assert_true(w.row.has_latency);
    assert_int_equal(w.row.latency.n_calls, ITEMS);
    assert_int_equal(w.row.latency.n_gaps, 3 * ITEMS);
    assert_true(w.row.latency.ttft.p50 > 0.00999 && w.row.latency.ttft.p50 < 0.01001);
    assert_int_equal(w.row.concurrency, 4);
    assert_int_equal(w.server.most_in_flight, 4);
    assert_int_equal(events(&w, "warn", "think", "as found"), 1);
    assert_int_equal(events(&w, "warn", "client", "of the latency"), 0);
    sound(&w);
    assert_int_equal(go(&w, NULL), AS_OK); /* nothing left: nothing asked, nothing said */
    assert_true(w.out.was_complete);
    assert_int_equal(w.server.n_asked, ITEMS);
    close_world(&w);
}

static void one_of_two_endpoints_dies(void **state)
{
    (void)state;
    static world w;
    open_world(&w,
               &(fake_ways){.two_endpoints = true, .error = AS_ERROR_TRANSPORT, .error_after = 30});
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_int_equal(w.out.n_done, ITEMS);
    assert_int_equal(w.out.n_errors, 0);
    assert_int_equal(events(&w, "warn", "endpoint", "http://one does not answer"), 1);
    assert_int_equal(events(&w, "info", "endpoint", ""), 0);
    assert_true(w.row.latency.n_retries > 10);
    assert_int_equal(w.row.latency.n_calls + w.row.latency.n_retries, ITEMS);
    sound(&w); /* one try of each answer counts */
    close_world(&w);
}

static void an_endpoint_comes_back(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(fake_ways){.two_endpoints = true,
                                .error = AS_ERROR_TRANSPORT,
                                .error_after = 30,
                                .error_until = 70});
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_int_equal(w.out.n_errors, 0);
    assert_int_equal(events(&w, "warn", "endpoint", "http://one does not answer"), 1);
    assert_int_equal(events(&w, "info", "endpoint", "http://one answers again"), 1);
    assert_int_equal(events(&w, "info", "endpoint", "http://two"), 0);
    close_world(&w);
}

static void a_quota_pauses_and_the_same_command_goes_on(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(fake_ways){.error = AS_ERROR_QUOTA, .error_status = 429, .error_after = 50});
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_true(w.out.is_paused);
    assert_non_null(strstr(w.out.pause_words.text, "allowance"));
    assert_int_equal(w.out.n_done, 50);
    assert_int_equal(w.out.n_errors, 0);
    assert_true(w.server.n_asked <= 54);
    assert_true(as_str_eq_z(w.row.status, "incomplete"));
    assert_int_equal(events(&w, "error", "stop", "allowance"), 1);
    w.server.ways.error = AS_ERROR_NONE;
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_true(w.out.is_resumed);
    assert_false(w.out.is_paused);
    assert_int_equal(w.out.n_done, ITEMS);
    assert_int_equal(events(&w, "info", "resume", "50 of 120"), 1);
    sound(&w);
    close_world(&w);
}

/* Stored answers are one model's; the same command after the server changed its model says so. */
static void a_changed_model_is_told(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(fake_ways){.error = AS_ERROR_QUOTA, .error_status = 429, .error_after = 50});
    assert_int_equal(go(&w, NULL), AS_OK);
    w.server.ways.error = AS_ERROR_NONE;
    w.server.ways.fingerprint = "other";
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_int_equal(events(&w, "warn", "model", "\"fake\" (other)"), 1);
    assert_int_equal(events(&w, "warn", "model", ""), 1);
    close_world(&w);
}

/* Which failure of every request ends the run how, after at most how many. */
static const struct {
    as_error_kind error;
    int status;
    as_code want;
    const char *saying;
    int most_asked;
} ends[] = {
    {AS_ERROR_AUTH, 401, AS_RANGE, "refuses the key", 4},
    {AS_ERROR_NOT_FOUND, 404, AS_RANGE, "no such model", 8},
    {AS_ERROR_TRANSPORT, 0, AS_TIMEOUT, "cannot be reached", 24},
    {AS_ERROR_CONTEXT, 400, AS_OK, "", ITEMS},
    {AS_ERROR_UNSUPPORTED, 501, AS_OK, "", ITEMS},
    {AS_ERROR_SERVER, 500, AS_OK, "", 3 * ITEMS},
    {AS_ERROR_PROTOCOL, 200, AS_OK, "", 2 * ITEMS},
    {AS_ERROR_RATE, 429, AS_OK, "", 5 * ITEMS},
};

static void ends_as_the_failure_wants(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        static world w;
        open_world(&w, &(fake_ways){.error = ends[i].error, .error_status = ends[i].status});
        const as_code c = go(&w, NULL);
        if (c != ends[i].want || strstr(w.err.text, ends[i].saying) == NULL)
            fail_msg("%s: %s, %s", as_error_kind_name(ends[i].error), as_code_name(c), w.err.text);
        if (c == AS_OK) {
            assert_int_equal(w.out.n_errors, ITEMS);
            assert_int_equal(w.server.n_asked, ends[i].most_asked);
        }
        assert_true(w.server.n_asked <= ends[i].most_asked);
        sound(&w);
        close_world(&w);
    }
}

/* A server that goes away in the middle costs no items. */
static void gives_up_when_nobody_is_left(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(fake_ways){.error = AS_ERROR_TRANSPORT, .error_after = 60});
    assert_int_equal(go(&w, NULL), AS_TIMEOUT);
    assert_non_null(strstr(w.err.text, "any more"));
    w.server.ways.error = AS_ERROR_NONE;
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_int_equal(w.out.n_done, ITEMS);
    assert_true(as_str_eq_z(w.row.status, "complete"));
    sound(&w);
    close_world(&w);
}

static void tells_its_own_part(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(fake_ways){.queue_ns = 5000000}); /* of 100 ms */
    assert_int_equal(go(&w, NULL), AS_OK);
    assert_int_equal(events(&w, "warn", "client", "5.0 % of the latency"), 1);
    assert_true(w.row.latency.queue_share > 0.0499 && w.row.latency.queue_share < 0.0501);
    close_world(&w);
}

static void results_do_not_depend_on_concurrency(void **state)
{
    (void)state;
    static world w;
    static const int settings[][2] = {{1, 0}, {64, 0}, {4, 128}};
    as_buf first;
    for (size_t i = 0; i < 3; i++) {
        open_world(&w, &(fake_ways){0});
        w.plan.options.concurrency = settings[i][0];
        w.plan.options.max_concurrency = settings[i][1];
        w.plan.task.sampling.temperature = 1;
        assert_int_equal(go(&w, NULL), AS_OK);
        as_buf text;
        assert_int_equal(case_export(w.db, &text, &w.err), AS_OK);
        if (i == 0)
            first = text;
        else {
            /* all but the dates of the migrations */
            assert_true(as_str_eq(as_buf_str(&text), as_buf_str(&first)));
            as_buf_release(&text);
        }
        if (settings[i][1] != 0)
            assert_int_equal(events(&w, "info", "concurrency", "-j auto"), 1);
        close_world(&w);
    }
    as_buf_release(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_all_and_tells_how_fast),
        cmocka_unit_test(one_of_two_endpoints_dies),
        cmocka_unit_test(an_endpoint_comes_back),
        cmocka_unit_test(a_quota_pauses_and_the_same_command_goes_on),
        cmocka_unit_test(a_changed_model_is_told),
        cmocka_unit_test(ends_as_the_failure_wants),
        cmocka_unit_test(gives_up_when_nobody_is_left),
        cmocka_unit_test(tells_its_own_part),
        cmocka_unit_test(results_do_not_depend_on_concurrency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
