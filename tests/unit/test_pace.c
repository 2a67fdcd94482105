#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/rng.h"
#include "run/concurrency.h"
#include "run/retry.h"

/* ---- a server whose saturation is known ---------------------------------------------------------
 *
 * It shares its speed among the requests in flight: alone, a request gets `speed` units of work a
 * second; more than `knee` at once share knee · speed, less `loss` of that for each one above.
 * Above `refuse` in flight a new request is turned away after a millisecond and comes again a
 * second later. Time is a number here.
 */
typedef struct server {
    const char *name;
    int start, max;
    int knee;
    double loss;
    int refuse;    /* 0: never */
    double spread; /* of the work of a request around 100, ± share */
    /* expected once the search has settled */
    double least, most;   /* mean limit */
    double rate_share;    /* of knee · speed, over the second half */
    double refused_share; /* at most, of all sent */
} server;

static const double speed = 50;
enum { ROOM = 512, ANSWERS = 6000 };

typedef struct flight {
    double left, work;
} flight;

typedef struct sim {
    const server *s;
    as_rng rng;
    run_pace pace;
    flight in[ROOM];
    int n;
    double waiting[ROOM]; /* when turned-away requests come again */
    int n_waiting;
    double now; /* seconds */
    int sent, refused, answered;
} sim;

static int64_t ns(const sim *m)
{
    return (int64_t)(m->now * 1e9);
}

static double total_speed(const server *s, int n)
{
    if (n <= s->knee)
        return speed * n;
    const double rest = 1 - s->loss * (n - s->knee);
    return speed * s->knee * (rest > 0.1 ? rest : 0.1);
}

static void send(sim *m)
{
    m->sent++;
    if (m->s->refuse != 0 && m->n >= m->s->refuse) {
        m->refused++;
        run_pace_overload(&m->pace, ns(m));
        m->waiting[m->n_waiting++] = m->now + 1;
        return;
    }
    const double work = 100 * (1 + m->s->spread * (2 * as_rng_f64(&m->rng) - 1));
    m->in[m->n++] = (flight){work, work};
}

static void fill(sim *m)
{
    for (int i = 0; i < m->n_waiting;) {
        if (m->waiting[i] > m->now || m->n >= m->pace.limit) {
            i++;
            continue;
        }
        m->waiting[i] = m->waiting[--m->n_waiting];
        send(m);
    }
    while (m->n + m->n_waiting < m->pace.limit)
        send(m);
}

/* To the next answer or the next return of a refused request. */
static void step(sim *m)
{
    int first = 0;
    for (int i = 1; i < m->n; i++)
        if (m->in[i].left < m->in[first].left)
            first = i;
    double dt = 1e9;
    const double each = m->n > 0 ? total_speed(m->s, m->n) / m->n : 0;
    if (m->n > 0)
        dt = m->in[first].left / each;
    bool is_answer = m->n > 0;
    for (int i = 0; i < m->n_waiting; i++)
        if (m->waiting[i] > m->now && m->waiting[i] - m->now < dt) {
            dt = m->waiting[i] - m->now;
            is_answer = false;
        }
    m->now += dt;
    for (int i = 0; i < m->n; i++)
        m->in[i].left -= dt * each;
    if (is_answer) {
        const double work = m->in[first].work;
        m->in[first] = m->in[--m->n];
        m->answered++;
        run_pace_answer(&m->pace, work, ns(m));
    }
}

static const server servers[] = {
    {"four slots, told", 4, 256, 4, 0, 0, 0.5, 3, 6, 0.95, 0},
    {"sixteen, not told", 4, 256, 16, 0, 0, 0.5, 13, 24, 0.93, 0},
    {"a hundred", 4, 256, 100, 0, 0, 0.5, 80, 150, 0.90, 0},
    {"one at a time", 4, 256, 1, 0, 0, 0.5, 1, 2, 0.95, 0},
    {"all the same length", 4, 256, 16, 0, 0, 0, 13, 24, 0.93, 0},
    {"thrashes above twelve", 4, 256, 12, 0.03, 0, 0.3, 9, 18, 0.85, 0},
    {"begun far too high", 64, 256, 8, 0.01, 0, 0.3, 6, 14, 0.93, 0},
    {"refuses above ten", 4, 256, 1000, 0, 10, 0.5, 8, 10.5, 0, 0.02},
    {"refuses above what it was begun with", 32, 256, 1000, 0, 6, 0.5, 4, 6.5, 0, 0.03},
    {"no more than the limit", 4, 12, 100, 0, 0, 0.5, 12, 12, 0, 0},
};

static void finds_the_knee(void **state)
{
    (void)state;
    int n_wrong = 0;
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        static sim m;
        m = (sim){.s = &servers[i]};
        as_rng_init(&m.rng, i, AS_STR("pace"));
        run_pace_init(&m.pace, m.s->start, m.s->max, 0);
        double work = 0;
        double from = 0;
        double limits = 0;
        int n_limits = 0;
        while (m.answered < ANSWERS) {
            fill(&m);
            const int before = m.answered;
            step(&m);
            assert_in_range(m.pace.limit, 1, m.s->max);
            if (m.answered == before || m.answered < ANSWERS / 2)
                continue;
            if (n_limits++ == 0)
                from = m.now;
            work += 100;
            limits += m.pace.limit;
        }
        const double mean = limits / n_limits;
        const double rate = work / (m.now - from);
        const double share = rate / (speed * m.s->knee);
        const double refused = (double)m.refused / m.sent;
        print_message("%-40s limit %6.1f  throughput %.3f of the knee's  refused %.4f\n", m.s->name,
                      mean, share, refused);
        if (mean < m.s->least || mean > m.s->most || share < m.s->rate_share ||
            refused > m.s->refused_share)
            n_wrong++;
    }
    assert_int_equal(n_wrong, 0);
}

static void is_deterministic(void **state)
{
    (void)state;
    run_pace a;
    run_pace b;
    run_pace_init(&a, 4, 64, 0);
    run_pace_init(&b, 4, 64, 0);
    for (int64_t i = 1; i < 5000; i++) {
        run_pace_answer(&a, 1, i * 1000);
        run_pace_answer(&b, 1, i * 1000);
        if (i % 701 == 0) {
            run_pace_overload(&a, i * 1000);
            run_pace_overload(&b, i * 1000);
        }
        assert_int_equal(a.limit, b.limit);
    }
}

/* ---- retries -----------------------------------------------------------------------------------
 */

typedef struct decision {
    as_error_kind error;
    int status;
    int64_t hint_ms;
    bool had_pieces;
    int n_failed; /* earlier failures of the same kind */
    run_action want;
} decision;

static const decision decisions[] = {
    {AS_ERROR_TRANSPORT, 0, -1, false, 0, RUN_RETRY},
    {AS_ERROR_TRANSPORT, 0, -1, false, 3, RUN_RETRY},
    {AS_ERROR_TRANSPORT, 0, -1, false, 4, RUN_RECORD}, /* the fifth try */
    {AS_ERROR_TRANSPORT, 0, -1, true, 0, RUN_RETRY},
    {AS_ERROR_TRANSPORT, 0, -1, true, 1, RUN_RECORD},
    {AS_ERROR_TIMEOUT, 0, -1, false, 2, RUN_RETRY},
    {AS_ERROR_TIMEOUT, 0, -1, true, 0, RUN_RECORD},
    {AS_ERROR_RATE, 429, 5000, false, 3, RUN_RETRY},
    {AS_ERROR_RATE, 429, 600001, false, 0, RUN_PAUSE},
    {AS_ERROR_SERVER, 500, -1, false, 1, RUN_RETRY},
    {AS_ERROR_SERVER, 500, -1, false, 2, RUN_RECORD},
    {AS_ERROR_SERVER, 503, -1, false, 3, RUN_RETRY},
    {AS_ERROR_SERVER, 529, -1, false, 3, RUN_RETRY},
    {AS_ERROR_PROTOCOL, 200, -1, true, 0, RUN_RETRY},
    {AS_ERROR_PROTOCOL, 200, -1, true, 1, RUN_RECORD},
    {AS_ERROR_QUOTA, 429, -1, false, 0, RUN_PAUSE},
    {AS_ERROR_AUTH, 401, -1, false, 0, RUN_STOP},
    {AS_ERROR_NOT_FOUND, 404, -1, false, 0, RUN_RECORD},
    {AS_ERROR_CONTEXT, 400, -1, false, 0, RUN_RECORD},
    {AS_ERROR_UNSUPPORTED, 501, -1, false, 0, RUN_RECORD},
    {AS_ERROR_REQUEST, 422, -1, false, 0, RUN_RECORD},
    {AS_ERROR_MISSING, 0, -1, false, 0, RUN_RECORD},
};

static void decides_by_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decisions / sizeof decisions[0]; i++) {
        const decision *d = &decisions[i];
        db_try failed[8] = {{0}};
        for (int k = 0; k < d->n_failed; k++)
            failed[k] = (db_try){.error = d->error, .http_status = d->status};
        as_response r;
        as_response_init(&r);
        r.finish = AS_FINISH_ERROR;
        r.error = d->error;
        r.http_status = d->status;
        r.retry_after_ms = d->hint_ms;
        r.first_token_ns = d->had_pieces ? 5 : -1;
        if (run_decide(&r, failed, d->n_failed, 5) != d->want)
            fail_msg("row %zu: %s after %d failures", i, as_error_kind_name(d->error), d->n_failed);
        r.finish = AS_FINISH_STOP;
        assert_int_equal(run_decide(&r, failed, d->n_failed, 5), RUN_RECORD);
    }
    /* A server error does not use up what an overload may have, nor the other way round. */
    const db_try mixed[] = {{.error = AS_ERROR_SERVER, .http_status = 503},
                            {.error = AS_ERROR_SERVER, .http_status = 503}};
    as_response r;
    as_response_init(&r);
    r.finish = AS_FINISH_ERROR;
    r.error = AS_ERROR_SERVER;
    r.http_status = 500;
    assert_int_equal(run_decide(&r, mixed, 2, 5), RUN_RETRY);
}

static void waits_between_half_and_all(void **state)
{
    (void)state;
    static const struct {
        int n_failed;
        int64_t hint, base, least, most;
    } rows[] = {
        {1, -1, 1000, 500, 1000},    {2, -1, 1000, 1000, 2000},      {4, -1, 1000, 4000, 8000},
        {9, -1, 1000, 30000, 60000}, {60, -1, 1000, 30000, 60000},   {1, 7000, 1000, 7000, 7000},
        {4, 7000, 1000, 7000, 8000}, {1, 90000, 1000, 90000, 90000}, {1, -1, 0, 0, 0},
        {1, 0, 1000, 500, 1000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t lo = INT64_MAX;
        int64_t hi = -1;
        for (uint64_t seed = 0; seed < 2000; seed++) {
            const int64_t ms = run_wait_ms(seed, rows[i].n_failed, rows[i].hint, rows[i].base);
            assert_int_equal(ms, run_wait_ms(seed, rows[i].n_failed, rows[i].hint, rows[i].base));
            lo = ms < lo ? ms : lo;
            hi = ms > hi ? ms : hi;
        }
        assert_true(lo >= rows[i].least && hi <= rows[i].most);
        /* all of the range is used */
        const int64_t width = rows[i].most - rows[i].least;
        assert_true(lo <= rows[i].least + width / 50 && hi >= rows[i].most - width / 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_knee),
        cmocka_unit_test(is_deterministic),
        cmocka_unit_test(decides_by_kind),
        cmocka_unit_test(waits_between_half_and_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
