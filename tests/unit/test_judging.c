/* Answers judged beside the asking: in parallel, bounded, interrupted, again, and always the same. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "unit/cm.h"
#include "unit/fake_server.h"
#include "unit/store_cases.h"

enum { ITEMS = 120, IN_FLIGHT = 4, ROOM = 64, LONGEST_WAIT_MS = 20000 };

/* What the judge waits for before it says anything, and what it says. Guarded by lock but for the
 * atomics, which the run's thread sets in its tick. */
typedef struct ways {
    int wait_inside;   /* so many judgings at once */
    int wait_asked;    /* so many requests more than when the first judging began */
    int wait_all;      /* so many requests at all */
    bool waits_always; /* for the cancel */
    bool cannot;       /* no verdict: the sandbox failed */
    int fails_at;      /* its how manieth judging fails with AS_IO; 0: none */
    int cancel_at;     /* the tick cancels the run when so many are with the judges; 0: never */
} ways;

static struct judge {
    ways ways;
    pthread_mutex_t lock;
    int n_inside, most_inside, n_judged, n_opened, n_closed;
    bool is_cancelled, has_waited_in_vain;
    int slots;
    atomic_int n_asked;     /* as of the last tick */
    atomic_int asked_first; /* the same when the first judging began; -1: none has */
    atomic_int most_judging, n_asked_then, n_flight_then;
} judge = {.lock = PTHREAD_MUTEX_INITIALIZER};

static volatile sig_atomic_t cancel_flag;

static as_code judge_open(void **session, const sc_options *options, as_err *err)
{
    (void)err;
    judge.is_cancelled = false;
    judge.n_opened++;
    judge.slots = options->n_slots != 0 ? options->n_slots : 2;
    *session = &judge;
    return AS_OK;
}

static void judge_close(void *session)
{
    (void)session;
    judge.n_closed++;
}

static void judge_cancel(void *session)
{
    (void)session;
    (void)pthread_mutex_lock(&judge.lock);
    judge.is_cancelled = true;
    (void)pthread_mutex_unlock(&judge.lock);
}

static int judge_n_at_once(const void *session)
{
    (void)session;
    return judge.slots;
}

/* With the lock. */
static bool may_speak(void)
{
    const ways *w = &judge.ways;
    const int asked = atomic_load(&judge.n_asked);
    return !w->waits_always && judge.most_inside >= w->wait_inside && asked >= w->wait_all &&
           asked >= atomic_load(&judge.asked_first) + w->wait_asked;
}

/* Until it may speak; false: cancelled. Waiting in vain fails the test, later. */
static bool wait_for_leave(void)
{
    if (atomic_load(&judge.asked_first) < 0)
        atomic_store(&judge.asked_first, atomic_load(&judge.n_asked));
    for (int ms = 0; !judge.is_cancelled && !judge.has_waited_in_vain && !may_speak(); ms++) {
        judge.has_waited_in_vain = ms == LONGEST_WAIT_MS;
        (void)pthread_mutex_unlock(&judge.lock);
        as_sleep_ns(1000000);
        (void)pthread_mutex_lock(&judge.lock);
    }
    return !judge.is_cancelled;
}

static as_code give_execs(as_score *out, const as_sample *sample, as_arena *arena, as_err *err)
{
    as_exec *e = as_new(arena, as_exec, 2);
    if (e == NULL)
        return as_nomem(err);
    for (int i = 0; i < 2; i++)
        e[i] = (as_exec){.is_compiler = i == 0,
                         .first_test = i,
                         .n_tests = i,
                         .codes = i == 0 ? AS_STR("[]") : AS_STR("[1]"),
                         .verdict = AS_STR("accepted"),
                         .detail = as_arena_str(arena, sample->id),
                         .cpu_us = 1000 + i,
                         .wall_us = (int64_t)(as_now_ns() % 1000),
                         .peak_bytes = 1 << 20,
                         .output_bytes = -1,
                         .n_runs = 1,
                         .errors = AS_STR("said"),
                         .limits = AS_STR("{\"cpu_ms\":6000}"),
                         .sandbox = AS_STR("namespaces"),
                         .toolchain = AS_STR("Python 3"),
                         .tool_sha256 = AS_STR("00ff")};
    out->execs = e;
    out->n_execs = 2;
    return AS_OK;
}

static as_code judge_score(void *session, const as_sample *sample, const as_response *response,
                           as_score *out, as_arena *arena, as_err *err)
{
    (void)session;
    (void)pthread_mutex_lock(&judge.lock);
    judge.n_inside++;
    if (judge.n_inside > judge.most_inside)
        judge.most_inside = judge.n_inside;
    const bool may = wait_for_leave();
    judge.n_inside--;
    const int n = may ? ++judge.n_judged : 0;
    const ways w = judge.ways;
    (void)pthread_mutex_unlock(&judge.lock);
    if (!may)
        return as_fail(err, AS_CANCELLED, "cancelled");
    if (w.fails_at != 0 && n >= w.fails_at)
        return as_fail(err, AS_IO, "the judge has lost its wig");
    *out = (as_score){.verdict = AS_UNGRADED, .note = AS_STR("the sandbox failed")};
    if (w.cannot)
        return AS_OK;
    const bool is_right = as_str_eq(response->text, sample->target);
    *out = (as_score){.verdict = is_right ? AS_RIGHT : AS_WRONG,
                      .value = is_right,
                      .prediction = as_arena_str(arena, response->text),
                      .target = sample->target,
                      .note = as_arena_printf(arena, "judged %.*s", AS_ARG(sample->id))};
    return give_execs(out, sample, arena, err);
}

static const sc_scorer slow_scorer = {.name = "slow",
                                      .version = 1,
                                      .open = judge_open,
                                      .close = judge_close,
                                      .cancel = judge_cancel,
                                      .n_at_once = judge_n_at_once,
                                      .score_in = judge_score};

/* ---- the world --------------------------------------------------------------------------------- */

typedef struct world {
    case_dir dir;
    db_store *db;
    fake server;
    fake_plan plan;
    be_driver driver; /* a copy, to change */
    run_outcome out;
    as_err err;
    as_arena keep;
    db_run_row row;
} world;

static void set_ways(const ways *w)
{
    judge.ways = *w;
    judge.n_inside = judge.most_inside = judge.n_judged = judge.n_opened = judge.n_closed = 0;
    judge.has_waited_in_vain = false;
    atomic_store(&judge.n_asked, 0);
    atomic_store(&judge.asked_first, -1);
    atomic_store(&judge.most_judging, 0);
    cancel_flag = 0;
}

static void open_world(world *w, const ways *as)
{
    memset(w, 0, sizeof *w);
    set_ways(as);
    case_dir_make(&w->dir);
    as_arena_init(&w->keep, 0);
    assert_int_equal(db_open(&w->db, w->dir.db, DB_CREATE, NULL, &w->err), AS_OK);
    fake_init(&w->server, &(fake_ways){0});
    w->driver = *w->server.base.driver;
    w->server.base.driver = &w->driver;
    fake_plan_init(&w->plan, &w->server, ITEMS, true);
    w->plan.options.concurrency = IN_FLIGHT;
    w->plan.task.scorer = &slow_scorer;
    w->plan.task.sampling.temperature = 1; /* answers differ: right and wrong */
}

static void close_world(world *w)
{
    as_arena_release(&w->keep);
    db_close(w->db);
    case_dir_clean(&w->dir);
}

static void tick(void *user, const run_tick *t)
{
    const world *w = user;
    atomic_store(&judge.n_asked, w->server.n_asked);
    if (t->n_judging > atomic_load(&judge.most_judging)) {
        atomic_store(&judge.most_judging, t->n_judging);
        atomic_store(&judge.n_asked_then, w->server.n_asked);
        atomic_store(&judge.n_flight_then, t->n_flight);
    }
    /* The first judging begins before more is asked, so that what is asked then is asked meanwhile. */
    for (int ms = 0; judge.ways.wait_asked != 0 && t->n_judging != 0 && ms < LONGEST_WAIT_MS &&
                     atomic_load(&judge.asked_first) < 0;
         ms++)
        as_sleep_ns(1000000);
    if (judge.ways.cancel_at != 0 && t->n_judging >= judge.ways.cancel_at)
        cancel_flag = 1;
}

static as_code go(world *w)
{
    const run_execution how = {.db = w->db, .cancel = &cancel_flag, .tick = tick, .tick_user = w};
    w->err = (as_err){0};
    const as_code c = run_execute(&w->plan.plan, &how, &w->out, &w->err);
    as_err err = {0};
    assert_int_equal(db_run_find(w->db, AS_STR("last"), &w->row, &w->keep, &err), AS_OK);
    assert_false(judge.has_waited_in_vain);
    assert_int_equal(judge.n_opened, judge.n_closed);
    return c;
}

static void sound(world *w)
{
    as_buf report;
    as_buf_init(&report, 0);
    if (db_check(w->db, &report, &w->err) != AS_OK)
        fail_msg("%s", report.p);
    as_buf_release(&report);
}

static const char *event(const world *w, const char *kind)
{
    for (int i = 0; i < w->row.n_events; i++)
        if (as_str_eq_z(w->row.events[i].kind, kind))
            return w->row.events[i].text.p;
    return "";
}

static as_buf exported(world *w)
{
    as_buf text;
    assert_int_equal(case_export(w->db, &text, &w->err), AS_OK);
    return text;
}

/* The store of a run that nothing disturbed. */
static as_buf undisturbed(void)
{
    static world w;
    open_world(&w, &(ways){0});
    assert_int_equal(go(&w), AS_OK);
    assert_int_equal(judge.n_judged, ITEMS);
    assert_true(as_str_eq_z(w.row.status, "complete"));
    sound(&w);
    as_buf text = exported(&w);
    close_world(&w);
    return text;
}

static void same_as_undisturbed(world *w)
{
    as_buf want = undisturbed();
    as_buf got = exported(w);
    if (!as_str_eq(as_buf_str(&want), as_buf_str(&got)))
        fail_msg("stores differ:\n%.2000s\n%.2000s", want.p, got.p);
    as_buf_release(&got);
    as_buf_release(&want);
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void judges_at_once_while_answers_come(void **state)
{
    (void)state;
    static world w;
    /* Nobody speaks until three judge at once and twenty more requests were begun. */
    open_world(&w, &(ways){.wait_inside = 3, .wait_asked = 20});
    assert_int_equal(go(&w), AS_OK);
    assert_int_equal(w.out.n_done, ITEMS);
    assert_int_equal(w.out.n_ungraded, 0);
    assert_int_equal(judge.n_judged, ITEMS);
    assert_in_range(judge.most_inside, 3, 4); /* two slots and two more threads */
    assert_int_equal(w.server.most_in_flight, IN_FLIGHT);
    assert_non_null(strstr(event(&w, "judging"), "120 answers judged by 4 threads"));
    assert_null(strstr(event(&w, "judging"), " 0 requests"));
    sound(&w);
    same_as_undisturbed(&w);
    close_world(&w);
}

static void asks_no_more_than_can_wait(void **state)
{
    (void)state;
    static world w;
    /* The judges are silent until every slot has its answer: that must come to pass, and nothing more
     * be asked. */
    open_world(&w, &(ways){.wait_all = IN_FLIGHT + ROOM});
    assert_int_equal(go(&w), AS_OK);
    assert_int_equal(atomic_load(&judge.most_judging), IN_FLIGHT + ROOM);
    assert_int_equal(atomic_load(&judge.n_asked_then), IN_FLIGHT + ROOM);
    assert_int_equal(atomic_load(&judge.n_flight_then), 0);
    assert_int_equal(judge.n_judged, ITEMS);
    close_world(&w);
}

static void an_interrupted_run_ends_as_any(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(ways){.waits_always = true, .cancel_at = 10});
    assert_int_equal(go(&w), AS_OK);
    assert_true(w.out.is_interrupted);
    assert_true(w.out.n_ungraded >= 10);
    assert_int_equal(w.out.n_ungraded, w.out.n_done);
    assert_int_equal(judge.n_judged, 0);
    assert_true(as_str_eq_z(w.row.status, "interrupted"));
    sound(&w);
    as_result *rows = NULL;
    size_t n = 0;
    assert_int_equal(db_results(w.db, w.row.tasks[0].id, 0, &rows, &n, &w.keep, &w.err), AS_OK);
    assert_non_null(strstr(rows[0].score.note.p, "judging was interrupted"));
    const int asked = w.server.n_asked;
    const int stored = (int)w.out.n_done;
    set_ways(&(ways){0});
    assert_int_equal(go(&w), AS_OK);
    assert_false(w.out.is_interrupted);
    assert_int_equal(w.server.n_asked, asked + ITEMS - stored); /* the stored ones not again */
    assert_int_equal(judge.n_judged, ITEMS);
    sound(&w);
    same_as_undisturbed(&w);
    close_world(&w);
}

static void what_could_not_be_judged_is_judged_again(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(ways){.cannot = true});
    for (int call = 0; call < 3; call++) {
        assert_int_equal(go(&w), AS_OK);
        assert_int_equal(w.out.n_ungraded, ITEMS);
        assert_int_equal(w.out.n_errors, 0);
        assert_false(w.out.is_interrupted);
        assert_true(as_str_eq_z(w.row.status, "incomplete"));
        assert_int_equal(w.server.n_asked, ITEMS);
        assert_int_equal(judge.n_judged, ITEMS * (call + 1)); /* once a call */
        sound(&w);
    }
    set_ways(&(ways){0});
    assert_int_equal(go(&w), AS_OK);
    assert_int_equal(w.out.n_ungraded, 0);
    assert_int_equal(w.server.n_asked, ITEMS);
    sound(&w);
    same_as_undisturbed(&w);
    assert_int_equal(go(&w), AS_OK);
    assert_true(w.out.was_complete);
    close_world(&w);
}

static void put_verdicts(world *w, size_t from, size_t to)
{
    const as_score right = {.verdict = AS_RIGHT, .value = 1};
    for (size_t i = from; i < to; i++)
        assert_int_equal(
            db_put_score(w->db, w->row.tasks[0].id, i, 0, &right, AS_STR("slow"), 1, &w->err),
            AS_OK);
    assert_int_equal(db_run_restate(w->db, w->row.id, &w->err), AS_OK);
    assert_int_equal(db_run_find(w->db, AS_STR("last"), &w->row, &w->keep, &w->err), AS_OK);
    sound(w);
}

/* Verdicts from elsewhere, as `assay score` brings them: with the last one the run is complete. */
static void scoring_completes_a_run(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(ways){.cannot = true});
    assert_int_equal(go(&w), AS_OK);
    put_verdicts(&w, 0, ITEMS - 1);
    assert_true(as_str_eq_z(w.row.status, "incomplete"));
    put_verdicts(&w, ITEMS - 1, ITEMS);
    assert_true(as_str_eq_z(w.row.status, "complete"));
    assert_int_equal(go(&w), AS_OK);
    assert_true(w.out.was_complete);
    close_world(&w);
    open_world(&w, &(ways){.waits_always = true, .cancel_at = 1}); /* not all are stored */
    assert_int_equal(go(&w), AS_OK);
    assert_true(w.out.n_done < ITEMS);
    put_verdicts(&w, 0, (size_t)w.out.n_done);
    assert_true(as_str_eq_z(w.row.status, "interrupted"));
    close_world(&w);
}

static void results_do_not_depend_on_threads(void **state)
{
    (void)state;
    static const int slots[] = {1, 4, 16};
    for (size_t i = 0; i < 3; i++) {
        static world w;
        open_world(&w, &(ways){0});
        w.plan.options.scoring.n_slots = slots[i];
        assert_int_equal(go(&w), AS_OK);
        same_as_undisturbed(&w);
        close_world(&w);
    }
}

/* A backend that needs the cores itself is done before the first program runs; so when it is
 * continued. */
static void leaves_the_cores_to_those_who_need_them(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(ways){.waits_always = true, .cancel_at = 1});
    w.driver.keeps_cores_busy = true;
    assert_int_equal(go(&w), AS_OK);
    assert_true(w.out.is_interrupted);
    assert_int_equal(w.out.n_done, ITEMS);
    assert_int_equal(w.server.n_asked, ITEMS);
    set_ways(&(ways){.wait_all = ITEMS, .wait_inside = 2});
    assert_int_equal(go(&w), AS_OK);
    assert_int_equal(judge.n_judged, ITEMS);
    assert_int_equal(w.server.n_asked, ITEMS);
    sound(&w);
    same_as_undisturbed(&w);
    close_world(&w);
}

static void a_judge_that_fails_ends_the_run(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(ways){.fails_at = 30});
    assert_int_equal(go(&w), AS_IO);
    assert_non_null(strstr(w.err.text, "lost its wig"));
    set_ways(&(ways){0});
    assert_int_equal(go(&w), AS_OK);
    sound(&w);
    same_as_undisturbed(&w);
    close_world(&w);
}

static void the_store_has_a_row_a_process(void **state)
{
    (void)state;
    static world w;
    open_world(&w, &(ways){0});
    assert_int_equal(go(&w), AS_OK);
    as_exec *execs = NULL;
    int n = 0;
    assert_int_equal(
        db_execs(w.db, w.row.tasks[0].id, AS_STR("i7"), 0, &execs, &n, &w.keep, &w.err), AS_OK);
    assert_int_equal(n, 2);
    assert_true(execs[0].is_compiler && !execs[1].is_compiler);
    assert_true(as_str_eq_z(execs[1].codes, "[1]") && as_str_eq_z(execs[1].detail, "i7"));
    assert_true(execs[1].cpu_us == 1001 && execs[1].output_bytes == -1);
    assert_true(as_str_eq_z(execs[1].limits, "{\"cpu_ms\":6000}"));
    assert_true(as_str_eq_z(w.row.tasks[0].sandbox, "namespaces"));
    /* A later verdict of the same scorer replaces them. */
    const as_score none = {.verdict = AS_UNGRADED, .note = AS_STR("x")};
    assert_int_equal(db_put_score(w.db, w.row.tasks[0].id, 7, 0, &none, AS_STR("slow"), 1, &w.err),
                     AS_OK);
    assert_int_equal(
        db_execs(w.db, w.row.tasks[0].id, AS_STR("i7"), 0, &execs, &n, &w.keep, &w.err), AS_OK);
    assert_int_equal(n, 0);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_at_once_while_answers_come),
        cmocka_unit_test(asks_no_more_than_can_wait),
        cmocka_unit_test(an_interrupted_run_ends_as_any),
        cmocka_unit_test(what_could_not_be_judged_is_judged_again),
        cmocka_unit_test(scoring_completes_a_run),
        cmocka_unit_test(results_do_not_depend_on_threads),
        cmocka_unit_test(leaves_the_cores_to_those_who_need_them),
        cmocka_unit_test(a_judge_that_fails_ends_the_run),
        cmocka_unit_test(the_store_has_a_row_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
