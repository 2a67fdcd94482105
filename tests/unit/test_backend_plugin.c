/*
 * test_backend_plugin.c — shared libraries as backends: what is told when one cannot be loaded, and
 * that a plugin which does wrong spoils its own requests and nothing else. plugin_bad.c does wrong
 * by name.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/drivers.h"
#include "unit/cm.h"

enum { MAX_POLLS = 20000 };

typedef struct answer {
    int n_done;
    as_finish finish;
    as_error_kind error;
    char text[128], message[256], deltas[128], thinking[64];
    unsigned dropped;
    int n_logprobs;
    double sum;
} answer;

static void put(char *to, size_t room, as_str s)
{
    const size_t old = strlen(to);
    assert_true(old + s.n < room);
    if (s.n != 0)
        memcpy(to + old, s.p, s.n);
    to[old + s.n] = '\0';
}

static void on_done(void *user, const as_request *rq, const as_response *r)
{
    answer *a = (answer *)user + rq->job;
    a->n_done++;
    a->finish = r->finish;
    a->error = r->error;
    a->dropped = r->dropped;
    a->n_logprobs = r->n_logprobs;
    for (int i = 0; i < r->n_logprobs; i++)
        a->sum += r->logprobs[i].token.logprob;
    put(a->text, sizeof a->text, r->text);
    put(a->message, sizeof a->message, r->message);
}

static void on_delta(void *user, const as_delta *d)
{
    answer *a = user;
    put(a->deltas, sizeof a->deltas, d->text);
    put(a->thinking, sizeof a->thinking, d->reasoning);
}

static as_code open_spec(be_backend **be, const char *spec, const be_option *o, int n, as_err *err)
{
    const be_config config = {.name = as_str_of(spec), .options = o, .n_options = n};
    return be_plugin.open(be, &config, err);
}

static be_backend *open_mode(const char *mode, const be_option *o, int n)
{
    char spec[512];
    be_backend *be = NULL;
    as_err err = {0};
    (void)snprintf(spec, sizeof spec, "%s:%s", AS_TEST_PLUGIN, mode);
    if (open_spec(&be, spec, o, n, &err) != AS_OK)
        fail_msg("%s: %s", mode, err.text);
    return be;
}

static as_code poll_until(be_backend *be, answer *answers, int n, as_err *err)
{
    for (int i = 0; i < MAX_POLLS; i++) {
        int n_done = 0;
        for (int k = 0; k < n; k++)
            n_done += answers[k].n_done;
        if (n_done >= n)
            return AS_OK;
        AS_TRY(be_plugin.poll(be, 5, on_done, answers, err));
    }
    fail_msg("%d requests were never answered", n);
    return AS_BUG;
}

static void tells_why_it_cannot_load(void **state)
{
    (void)state;
    static const struct {
        const char *why, *spec, *want;
    } rows[] = {
        {"no name at all", "", "want plugin:FILE.so:NAME"},
        {"no such file", "/nowhere/x.so:echo", "/nowhere/x.so: no such file"},
        {"not a library", AS_TEST_SOURCE ":echo", "not a library"},
        {"a library, but no plugin", AS_TEST_PLUGIN_NOSYM ":echo", "no symbol assay_plugin"},
        {"another version", AS_TEST_PLUGIN_OTHER ":echo", "version 2 of the plugin interface"},
        {"a table cut short", AS_TEST_PLUGIN_SHORT ":echo", "cut short"},
        {"unknown name, known ones listed", AS_TEST_PLUGIN ":nobody", "it has: echo, plain"},
        {"no name where there are several", AS_TEST_PLUGIN, "it has: echo, plain"},
        {"its own words", AS_TEST_PLUGIN ":open-fail", "the weights are missing, fetch them"},
        {"no words", AS_TEST_PLUGIN ":open-silent", "failed without a reason"},
        {"nothing opened", AS_TEST_PLUGIN ":open-null", "opened nothing"},
        {"no info", AS_TEST_PLUGIN ":no-info", "tells nothing of itself"},
        {"info that is no object", AS_TEST_PLUGIN ":bad-json", "not a JSON object"},
        {"a hash that is none", AS_TEST_PLUGIN ":bad-sha", "not 64 lower-case hex digits"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        be_backend *be = NULL;
        as_err err = {0};
        const as_code c = open_spec(&be, rows[i].spec, NULL, 0, &err);
        if (c == AS_OK || be != NULL || strstr(err.text, rows[i].want) == NULL)
            fail_msg("%s: code %d, \"%s\", want \"%s\"", rows[i].why, (int)c, err.text,
                     rows[i].want);
    }
}

static void meets_misbehaviour_with_an_error_response(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2};
    static const struct {
        const char *mode;
        bool is_score;
        as_finish finish;
        as_error_kind error;
        const char *want;
    } rows[] = {
        {"echo", false, AS_FINISH_STOP, AS_ERROR_NONE, ""},
        {"echo", true, AS_FINISH_STOP, AS_ERROR_NONE, ""},
        {"unknown-job", false, AS_FINISH_STOP, AS_ERROR_NONE, ""},
        {"old-reply", false, AS_FINISH_STOP, AS_ERROR_NONE, ""},
        {"refuse", false, AS_FINISH_ERROR, AS_ERROR_REQUEST, "not today"},
        {"refuse-odd", false, AS_FINISH_ERROR, AS_ERROR_SERVER, "without a reason"},
        {"in-submit", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "outside of poll"},
        {"twice", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "twice"},
        {"no-text", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without a text"},
        {"no-address", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without a text"},
        {"too-long", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "more than 64 MiB"},
        {"odd-finish", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "reason 99"},
        {"odd-error", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "odd"},
        {"error", false, AS_FINISH_ERROR, AS_ERROR_CONTEXT, "prompt too long"},
        {"no-size", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without a reply"},
        {"no-reply", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without a reply"},
        {"never", false, AS_FINISH_ERROR, AS_ERROR_TIMEOUT, "within 1 s"},
        {"thread", false, AS_FINISH_ERROR, AS_ERROR_TIMEOUT, "within 1 s"},
        {"score-short", true, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "scored 1 tokens"},
        {"score-nan", true, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "log-probability of"},
        {"score-above", true, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "log-probability of 0.5"},
        {"score-top", true, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "likeliest"},
        {"plain", true, AS_FINISH_ERROR, AS_ERROR_UNSUPPORTED, "cannot score"},
    };
    static const be_option one_second[] = {{AS_STR_INIT("timeout"), AS_STR_INIT("1")}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        be_backend *be = open_mode(rows[i].mode, one_second, 1);
        answer a = {0};
        as_request rq = {.sampling = AS_SAMPLING_GREEDY, .max_tokens = 4, .prompt = AS_STR("ab")};
        if (rows[i].is_score) {
            rq.ask = AS_ASK_SCORE;
            rq.ids = rq.continuation_ids = ids;
            rq.n_ids = rq.n_continuation_ids = 2;
        }
        assert_int_equal(be_plugin.submit(be, &rq, NULL), AS_OK);
        assert_int_equal(a.n_done, 0); /* never from inside submit */
        assert_int_equal(poll_until(be, &a, 1, NULL), AS_OK);
        if (a.n_done != 1 || a.finish != rows[i].finish || a.error != rows[i].error ||
            strstr(a.message, rows[i].want) == NULL)
            fail_msg("%s: %d answers, %s, %s: %s", rows[i].mode, a.n_done, as_finish_name(a.finish),
                     as_error_kind_name(a.error), a.message);
        if (rows[i].is_score && rows[i].finish == AS_FINISH_STOP) {
            assert_int_equal(a.n_logprobs, 2);
            assert_true(a.sum == -2.0);
        }
        be_plugin.close(be);
    }
}

static void answers_many_in_pieces(void **state)
{
    (void)state;
    static const be_option title[] = {{AS_STR_INIT("title"), AS_STR_INIT("x")}};
    be_backend *be = open_mode("echo", title, 1);
    answer a[10] = {{0}};
    as_request rq[10];
    for (int i = 0; i < 10; i++) {
        rq[i] = (as_request){.job = (uint64_t)i,
                             .sampling = AS_SAMPLING_UNSET,
                             .max_tokens = 4,
                             .prefix = AS_STR("few "),
                             .prompt = AS_STR("shots"),
                             .think = AS_THINK_ON,
                             .on_delta = on_delta,
                             .delta_user = &a[i]};
        assert_int_equal(be_plugin.submit(be, &rq[i], NULL), AS_OK);
    }
    be_plugin.cancel_one(be, 3);
    be_plugin.cancel_one(be, 77);
    assert_int_equal(poll_until(be, a, 10, NULL), AS_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(a[i].finish, i == 3 ? AS_FINISH_CANCELLED : AS_FINISH_STOP);
        assert_string_equal(a[i].text, i == 3 ? "" : "few shots");
        assert_string_equal(a[i].deltas, i == 3 ? "" : "few shots");
        assert_string_equal(a[i].thinking, i == 3 ? "" : "hm");
        if (i != 3)
            assert_int_equal(a[i].dropped, AS_DROPPED_SEED | AS_DROPPED_THINK);
    }
    const be_info *info = be_plugin.info(be);
    assert_true(as_str_eq_z(info->model_name, "echo"));
    assert_true(as_str_eq_z(info->license, "option seen"));
    assert_true(as_str_find(info->json, AS_STR("\"details\":{\"a\":1}")) != SIZE_MAX);
    be_plugin.close(be);
}

static void ignores_answers_to_ended_jobs(void **state)
{
    (void)state;
    be_backend *be = open_mode("late", NULL, 0);
    answer a[3] = {{0}};
    as_request rq[3];
    for (int i = 0; i < 3; i++) {
        rq[i] = (as_request){.job = (uint64_t)i, .sampling = AS_SAMPLING_UNSET, .max_tokens = 4};
        assert_int_equal(be_plugin.submit(be, &rq[i], NULL), AS_OK);
        assert_int_equal(poll_until(be, a, i + 1, NULL), AS_OK);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(a[i].n_done, 1);
        assert_string_equal(a[i].text, "fine");
    }
    be_plugin.close(be);
}

static void cancels_everything_and_closes_with_jobs_in_flight(void **state)
{
    (void)state;
    be_backend *be = open_mode("never", NULL, 0);
    answer a[2] = {{0}};
    as_request rq[2];
    for (int i = 0; i < 2; i++) {
        rq[i] = (as_request){.job = (uint64_t)i, .sampling = AS_SAMPLING_UNSET, .max_tokens = 4};
        assert_int_equal(be_plugin.submit(be, &rq[i], NULL), AS_OK);
    }
    be_plugin.cancel(be);
    assert_int_equal(poll_until(be, a, 2, NULL), AS_OK);
    assert_int_equal(a[1].finish, AS_FINISH_CANCELLED);
    assert_int_equal(be_plugin.submit(be, &rq[0], NULL), AS_OK);
    be_plugin.close(be);
}

static void a_failed_poll_speaks(void **state)
{
    (void)state;
    be_backend *be = open_mode("poll-fail", NULL, 0);
    answer a = {0};
    as_err err = {0};
    const as_request rq = {.sampling = AS_SAMPLING_UNSET, .max_tokens = 4};
    assert_int_equal(be_plugin.submit(be, &rq, NULL), AS_OK);
    assert_int_equal(poll_until(be, &a, 1, &err), AS_TIMEOUT);
    assert_non_null(strstr(err.text, "the machine is on fire"));
    be_plugin.close(be);
}

static void tokenizes(void **state)
{
    (void)state;
    be_backend *be = open_mode("echo", NULL, 0);
    as_arena keep;
    as_arena_init(&keep, 0);
    int32_t *ids = NULL;
    int n = 0;
    as_err err = {0};
    assert_int_equal(be_plugin.tokenize(be, AS_STR("ab"), true, &ids, &n, &keep, &err), AS_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[2], 'b');
    char longer[80] = {0};
    memset(longer, 'x', sizeof longer - 1);
    assert_int_equal(be_plugin.tokenize(be, as_str_of(longer), true, &ids, &n, &keep, &err),
                     AS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "too long a text"));
    as_arena_release(&keep);
    be_plugin.close(be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_why_it_cannot_load),
        cmocka_unit_test(meets_misbehaviour_with_an_error_response),
        cmocka_unit_test(answers_many_in_pieces),
        cmocka_unit_test(ignores_answers_to_ended_jobs),
        cmocka_unit_test(cancels_everything_and_closes_with_jobs_in_flight),
        cmocka_unit_test(a_failed_poll_speaks),
        cmocka_unit_test(tokenizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
