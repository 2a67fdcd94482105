/*
 * test_backend_tjs.c — the driver of the bridge to transformers.js against a bridge that speaks
 * well, badly, in pieces, not at all, or dies (fake_bridge.c). No Node is needed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/drivers.h"
#include "base/io.h"
#include "unit/cm.h"

enum { MAX_POLLS = 10000, MAX_OPTIONS = 6 };

typedef struct answer {
    int n_done;
    as_finish finish;
    as_error_kind error;
    char text[64], message[400], deltas[64], thinking[64];
    unsigned dropped;
    int64_t prompt_tokens;
    int n_logprobs;
    as_token_logprob logprobs[4];
} answer;

typedef struct peer {
    char dir[256];
    be_backend *be;
    as_err err;
} peer;

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
    a->prompt_tokens = r->prompt_tokens;
    a->n_logprobs = r->n_logprobs;
    for (int i = 0; i < r->n_logprobs && i < 4; i++)
        a->logprobs[i] = r->logprobs[i];
    put(a->text, sizeof a->text, r->text);
    put(a->message, sizeof a->message, r->message);
}

static void on_delta(void *user, const as_delta *d)
{
    answer *a = user;
    put(a->deltas, sizeof a->deltas, d->text);
    put(a->thinking, sizeof a->thinking, d->reasoning);
}

static void write_at(const char *dir, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(as_write_file(path, as_str_of(text), NULL), AS_OK);
}

static as_code open_mode(peer *p, const char *mode)
{
    static const char *const dirs[] = {"node_modules/@huggingface/transformers", "m/onnx"};
    *p = (peer){0};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(p->dir, sizeof p->dir, "%s/assay-tjs.XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(p->dir));
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", p->dir, dirs[i]);
        assert_int_equal(as_make_dirs(path, NULL), AS_OK);
    }
    write_at(p->dir, "bridge.mjs", mode);
    write_at(p->dir, "m/config.json", "{}");
    write_at(p->dir, "m/onnx/model.onnx", "x");
    write_at(p->dir, "m/onnx/model_q4.onnx", "y");
    /* Only where it is waited for: a machine under load may be slow with everything else. */
    const as_str seconds = strcmp(mode, "hang") == 0 ? AS_STR("1") : AS_STR("60");
    const be_option options[] = {{AS_STR("path"), as_str_of(p->dir)},
                                 {AS_STR("bridge"), as_str_of(p->dir)},
                                 {AS_STR("node"), AS_STR(AS_TEST_FAKE)},
                                 {AS_STR("timeout"), seconds}};
    const be_config config = {.name = AS_STR("m"), .options = options, .n_options = 4};
    return be_tjs.open(&p->be, &config, &p->err);
}

static void open_good(peer *p, const char *mode)
{
    if (open_mode(p, mode) != AS_OK)
        fail_msg("%s: %s", mode, p->err.text);
}

static int n_starts(const peer *p)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/bridge.mjs.starts", p->dir);
    as_buf b;
    as_buf_init(&b, 64);
    assert_int_equal(as_read_file(&b, path, NULL), AS_OK);
    const int n = (int)b.n;
    as_buf_release(&b);
    return n;
}

static void close_peer(peer *p)
{
    static const char *const names[] = {"bridge.mjs",
                                        "bridge.mjs.starts",
                                        "m/config.json",
                                        "m/onnx/model.onnx",
                                        "m/onnx/model_q4.onnx",
                                        "m/onnx",
                                        "m",
                                        "node_modules/@huggingface/transformers",
                                        "node_modules/@huggingface",
                                        "node_modules",
                                        ""};
    be_tjs.close(p->be);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        (void)remove(path);
    }
}

static void wait_for(peer *p, answer *answers, int n)
{
    for (int i = 0; i < MAX_POLLS; i++) {
        int n_done = 0;
        for (int k = 0; k < n; k++)
            n_done += answers[k].n_done;
        if (n_done >= n)
            return;
        as_err err = {0};
        if (be_tjs.poll(p->be, 5, on_done, answers, &err) != AS_OK)
            fail_msg("%s", err.text);
    }
    fail_msg("%d requests were never answered", n);
}

static as_request request(int job)
{
    return (as_request){.job = (uint64_t)job,
                        .sampling = AS_SAMPLING_GREEDY,
                        .max_tokens = 4,
                        .prompt = AS_STR("say hello"),
                        .top_logprobs = 1};
}

static void tells_why_it_cannot_open(void **state)
{
    (void)state;
    static const struct {
        const char *mode;
        as_code code;
        const char *want;
    } rows[] = {
        {"die-early", AS_TIMEOUT, "exit code 1: cannot find a module"},
        {"not-ready", AS_TIMEOUT, "not a JSON object: hello"},
        {"protocol-two", AS_TIMEOUT, "tools/get-bridge"},
        {"open-error", AS_RANGE, "the graph is damaged"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        peer p;
        const as_code c = open_mode(&p, rows[i].mode);
        if (c != rows[i].code || p.be != NULL || strstr(p.err.text, rows[i].want) == NULL)
            fail_msg("%s: code %d, \"%s\"", rows[i].mode, (int)c, p.err.text);
        close_peer(&p);
    }
}

static void tells_what_is_missing(void **state)
{
    (void)state;
    peer p;
    open_good(&p, "good");
    const as_str dir = as_str_of(p.dir);
    const struct {
        as_str name;
        be_option options[4];
        int n;
        as_code code;
        const char *want;
    } rows[] = {
        {AS_STR(""), {{{0}, {0}}}, 0, AS_RANGE, "want tjs:REPO"},
        {AS_STR("nobody"),
         {{AS_STR("path"), dir}},
         1,
         AS_RANGE,
         "nobody/config.json: no such file"},
        {AS_STR("m"), {{AS_STR("colour"), dir}}, 1, AS_RANGE, "unknown option"},
        {AS_STR("m"), {{AS_STR("timeout"), AS_STR("0")}}, 1, AS_RANGE, "-M timeout=0"},
        {AS_STR("m"),
         {{AS_STR("path"), dir}, {AS_STR("bridge"), AS_STR("/nowhere")}},
         2,
         AS_TIMEOUT,
         "/nowhere: no bridge to transformers.js there; run tools/get-bridge"},
        {AS_STR("m"),
         {{AS_STR("path"), dir},
          {AS_STR("bridge"), dir},
          {AS_STR("node"), AS_STR("no-such-program")}},
         3,
         AS_TIMEOUT,
         "cannot start no-such-program"},
        {AS_STR("m"),
         {{AS_STR("path"), dir}, {AS_STR("bridge"), dir}, {AS_STR("dtype"), AS_STR("q8")}},
         3,
         AS_RANGE,
         "no graph for -M dtype=q8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        be_backend *be = NULL;
        as_err err = {0};
        const be_config config = {
            .name = rows[i].name, .options = rows[i].options, .n_options = rows[i].n};
        const as_code c = be_tjs.open(&be, &config, &err);
        if (c != rows[i].code || be != NULL || strstr(err.text, rows[i].want) == NULL)
            fail_msg("row %zu: code %d, \"%s\"", i, (int)c, err.text);
    }
    close_peer(&p);
}

static void meets_a_bad_bridge_with_an_error_response(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2};
    static const struct {
        const char *mode;
        bool is_score;
        as_finish finish;
        as_error_kind error;
        const char *want;
        int n_starts; /* after a second request */
    } rows[] = {
        {"good", false, AS_FINISH_STOP, AS_ERROR_NONE, "", 1},
        {"drip", false, AS_FINISH_STOP, AS_ERROR_NONE, "", 1},
        {"stranger", false, AS_FINISH_STOP, AS_ERROR_NONE, "", 1},
        {"good", true, AS_FINISH_STOP, AS_ERROR_NONE, "", 1},
        {"error", false, AS_FINISH_ERROR, AS_ERROR_CONTEXT, "too long a prompt", 1},
        {"odd-event", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "dance", 1},
        {"no-text", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without text", 1},
        {"odd-finish", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without text or finish", 1},
        {"above-zero", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without id, logprob", 1},
        {"null-id", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without id, logprob", 1},
        {"score-short", true, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "scored 1 tokens of 2", 1},
        {"score-odd", true, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "not wholly", 1},
        {"garbage", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "this is no JSON", 2},
        {"array", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "not a JSON object", 2},
        {"no-id", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "without an id", 2},
        {"flood", false, AS_FINISH_ERROR, AS_ERROR_PROTOCOL, "over 64 MiB", 2},
        {"half", false, AS_FINISH_ERROR, AS_ERROR_TRANSPORT, "exit code 0", 2},
        {"die", false, AS_FINISH_ERROR, AS_ERROR_TRANSPORT, "exit code 3: the heap is full", 2},
        {"hang", false, AS_FINISH_ERROR, AS_ERROR_TIMEOUT, "did not answer in time", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        peer p;
        answer a[2] = {{0}};
        open_good(&p, rows[i].mode);
        for (int k = 0; k < 2; k++) {
            as_request rq = request(k);
            if (rows[i].is_score) {
                rq.ask = AS_ASK_SCORE;
                rq.ids = rq.continuation_ids = ids;
                rq.n_ids = rq.n_continuation_ids = 2;
            }
            assert_int_equal(be_tjs.submit(p.be, &rq, NULL), AS_OK);
            assert_int_equal(a[k].n_done, 0); /* never from inside submit */
            wait_for(&p, a, k + 1);
            if (a[k].n_done != 1 || a[k].finish != rows[i].finish || a[k].error != rows[i].error ||
                strstr(a[k].message, rows[i].want) == NULL)
                fail_msg("%s: %d answers, %s, %s: %s", rows[i].mode, a[k].n_done,
                         as_finish_name(a[k].finish), as_error_kind_name(a[k].error), a[k].message);
        }
        assert_int_equal(n_starts(&p), rows[i].n_starts);
        close_peer(&p);
    }
}

static void starts_a_dead_bridge_again_once(void **state)
{
    (void)state;
    peer p;
    answer a[4] = {{0}};
    as_request rq[4];
    open_good(&p, "die-once");
    for (int k = 0; k < 2; k++) {
        rq[k] = request(k);
        assert_int_equal(be_tjs.submit(p.be, &rq[k], NULL), AS_OK);
    }
    wait_for(&p, a, 2);
    assert_int_equal(a[0].error, AS_ERROR_TRANSPORT); /* the one it had */
    assert_int_equal(a[1].finish, AS_FINISH_STOP);    /* the one that waited */
    assert_int_equal(n_starts(&p), 2);
    close_peer(&p);

    memset(a, 0, sizeof a);
    open_good(&p, "die");
    for (int k = 0; k < 4; k++) {
        rq[k] = request(k);
        assert_int_equal(be_tjs.submit(p.be, &rq[k], NULL), AS_OK);
    }
    wait_for(&p, a, 4);
    for (int k = 0; k < 4; k++)
        assert_int_equal(a[k].error, AS_ERROR_TRANSPORT);
    assert_non_null(strstr(a[3].message, "the bridge is gone"));
    assert_int_equal(n_starts(&p), 2);
    close_peer(&p);
}

static void brings_pieces_logprobs_and_counts(void **state)
{
    (void)state;
    peer p;
    answer a[2] = {{0}};
    open_good(&p, "drip");
    as_request rq = request(0);
    rq.on_delta = on_delta;
    rq.delta_user = &a[0];
    rq.sampling = (as_sampling){.temperature = 1, .top_p = 0.9, .min_p = (double)NAN, .top_k = 40};
    rq.ignore_eos = true;
    assert_int_equal(be_tjs.submit(p.be, &rq, NULL), AS_OK);
    wait_for(&p, a, 1);
    assert_string_equal(a[0].text, "hello");
    assert_string_equal(a[0].deltas, "hello!");
    assert_int_equal(a[0].prompt_tokens, 3);
    assert_int_equal(a[0].dropped, AS_DROPPED_SEED | AS_DROPPED_TEMPERATURE | AS_DROPPED_TOP_K |
                                       AS_DROPPED_TOP_P | AS_DROPPED_IGNORE_EOS);
    assert_int_equal(a[0].n_logprobs, 2);
    assert_true(a[0].logprobs[0].token.logprob == -0.5);
    assert_true(isinf(a[0].logprobs[1].token.logprob));
    const be_info *info = be_tjs.info(p.be);
    assert_int_equal(info->n_ctx, 64);
    assert_int_equal(info->sha256.n, 64);
    assert_true(as_str_find(info->json, AS_STR("\"arch\":\"fake\"")) != SIZE_MAX);
    close_peer(&p);
}

static void writes_more_than_a_pipe_holds(void **state)
{
    (void)state;
    peer p;
    answer a = {0};
    open_good(&p, "long-prompt");
    char *big = malloc(3000000);
    assert_non_null(big);
    memset(big, 'x', 3000000);
    as_request rq = request(0);
    rq.prompt = (as_str){big, 3000000};
    assert_int_equal(be_tjs.submit(p.be, &rq, NULL), AS_OK);
    wait_for(&p, &a, 1);
    assert_int_equal(a.finish, AS_FINISH_STOP);
    free(big);
    close_peer(&p);
}

static void cancels(void **state)
{
    (void)state;
    peer p;
    answer a[3] = {{0}};
    as_request rq[3];
    open_good(&p, "cancel");
    for (int k = 0; k < 3; k++) {
        rq[k] = request(k);
        assert_int_equal(be_tjs.submit(p.be, &rq[k], NULL), AS_OK);
    }
    as_err err = {0};
    assert_int_equal(be_tjs.poll(p.be, 20, on_done, a, &err), AS_OK); /* the first one is sent */
    be_tjs.cancel_one(p.be, 0);
    be_tjs.cancel_one(p.be, 2);
    be_tjs.cancel_one(p.be, 99);
    wait_for(&p, a, 3);
    assert_int_equal(a[0].finish, AS_FINISH_CANCELLED);
    assert_int_equal(a[1].finish, AS_FINISH_STOP);
    assert_int_equal(a[2].finish, AS_FINISH_CANCELLED);
    assert_int_equal(n_starts(&p), 1);
    assert_int_equal(be_tjs.submit(p.be, &rq[0], NULL), AS_OK);
    be_tjs.cancel(p.be);
    memset(a, 0, sizeof a);
    wait_for(&p, a, 1);
    assert_int_equal(a[0].finish, AS_FINISH_CANCELLED);
    assert_int_equal(be_tjs.submit(p.be, &rq[0], NULL), AS_OK); /* closed with a job in flight */
    close_peer(&p);
}

static void calls_wait_for_their_reply(void **state)
{
    (void)state;
    peer p;
    as_arena keep;
    as_arena_init(&keep, 0);
    int32_t *ids = NULL;
    int n = 0;
    as_str prompt = {0};
    as_err err = {0};
    const as_message hi = {.role = AS_STR("user"), .text = AS_STR("hi")};
    const as_request rq = {.is_chat = true, .messages = &hi, .n_messages = 1, .max_tokens = 1};
    open_good(&p, "good");
    assert_int_equal(be_tjs.tokenize(p.be, AS_STR("hi"), true, &ids, &n, &keep, &err), AS_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ids[2], 11);
    assert_int_equal(be_tjs.render(p.be, &rq, &prompt, &keep, &err), AS_OK);
    assert_true(as_str_eq_z(prompt, "<u>hi"));
    assert_int_equal(be_tjs.count_tokens(p.be, &rq, &n, &err), AS_OK);
    assert_int_equal(n, 2);
    close_peer(&p);
    open_good(&p, "no-render");
    assert_int_equal(be_tjs.render(p.be, &rq, &prompt, &keep, &err), AS_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no template"));
    close_peer(&p);
    open_good(&p, "bad-tokens");
    assert_int_equal(be_tjs.tokenize(p.be, AS_STR("hi"), true, &ids, &n, &keep, &err), AS_PARSE);
    close_peer(&p);
    as_arena_release(&keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_why_it_cannot_open),
        cmocka_unit_test(tells_what_is_missing),
        cmocka_unit_test(meets_a_bad_bridge_with_an_error_response),
        cmocka_unit_test(starts_a_dead_bridge_again_once),
        cmocka_unit_test(brings_pieces_logprobs_and_counts),
        cmocka_unit_test(writes_more_than_a_pipe_holds),
        cmocka_unit_test(cancels),
        cmocka_unit_test(calls_wait_for_their_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
