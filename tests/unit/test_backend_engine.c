/*
 * test_backend_engine.c — the engine as a backend: ids, scores, log-probabilities, pieces of a
 * reply, cancelling one request, adapters by name. On a tiny mixture-of-experts model of random
 * weights.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/drivers.h"
#include "engine_support.h"

enum { MAX_ANSWERS = 32, MAX_TOKENS = 64, MAX_POLLS = 10000 };

typedef struct answer {
    int n_done;
    as_finish finish;
    as_error_kind error;
    char message[256];
    char text[1024], deltas[1024];
    int n_tokens;
    as_token tokens[MAX_TOKENS];
    int32_t best[MAX_TOKENS];
    int n_top;
    int completion_tokens;
} answer;

typedef struct peer {
    be_backend *be;
    answer answers[MAX_ANSWERS];
    const as_request *again; /* submitted from within done, once */
} peer;

static const int32_t prompt_ids[] = {2, 10, 20, 30, 40, 50};
enum { N_PROMPT = sizeof prompt_ids / sizeof prompt_ids[0] };

static peer *open_peer(const be_option *options, int n_options)
{
    peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    as_err err = {0};
    const be_config config = {.name = as_str_of(t_fixture("engine/moe/model.gguf")),
                              .options = options,
                              .n_options = n_options,
                              .n_threads = 1};
    if (be_engine.open(&p->be, &config, &err) != AS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(be_engine.prepare(p->be, 256, 8, &err), AS_OK);
    return p;
}

static peer *open_exact(void)
{
    static const be_option exact[] = {{AS_STR_INIT("precision"), AS_STR_INIT("f32")}};
    return open_peer(exact, 1);
}

static void close_peer(peer *p)
{
    be_engine.close(p->be);
    free(p);
}

static void copy_text(char *to, size_t room, as_str text)
{
    assert_true(text.n < room);
    if (text.n > 0)
        memcpy(to, text.p, text.n);
    to[text.n] = '\0';
}

static void on_done(void *user, const as_request *rq, const as_response *r)
{
    peer *p = user;
    answer *a = &p->answers[rq->job];
    a->n_done++;
    a->finish = r->finish;
    a->error = r->error;
    a->completion_tokens = (int)r->completion_tokens;
    copy_text(a->message, sizeof a->message, r->message);
    copy_text(a->text, sizeof a->text, r->text);
    a->n_tokens = r->n_logprobs;
    for (int i = 0; i < r->n_logprobs; i++) {
        a->tokens[i] = r->logprobs[i].token;
        a->best[i] = r->logprobs[i].top[0].id;
        a->n_top = r->logprobs[i].n_top;
        assert_int_equal(r->logprobs[i].is_greedy, a->best[i] == a->tokens[i].id);
    }
    if (p->again != NULL) {
        const as_request *again = p->again;
        p->again = NULL;
        assert_int_equal(be_engine.submit(p->be, again, NULL), AS_OK);
    }
}

static void on_delta(void *user, const as_delta *delta)
{
    answer *a = user;
    const size_t n = strlen(a->deltas);
    assert_true(n + delta->text.n < sizeof a->deltas);
    memcpy(a->deltas + n, delta->text.p, delta->text.n);
    a->deltas[n + delta->text.n] = '\0';
}

static void submit(peer *p, const as_request *rq)
{
    as_err err = {0};
    if (be_engine.submit(p->be, rq, &err) != AS_OK)
        fail_msg("%s", err.text);
}

static void wait_for(peer *p, int n)
{
    for (int i = 0; i < MAX_POLLS; i++) {
        int n_done = 0;
        for (int k = 0; k < MAX_ANSWERS; k++)
            n_done += p->answers[k].n_done;
        if (n_done >= n)
            return;
        as_err err = {0};
        if (be_engine.poll(p->be, 10, on_done, p, &err) != AS_OK)
            fail_msg("%s", err.text);
    }
    fail_msg("no answer after %d polls", (int)MAX_POLLS);
}

static as_request generate(peer *p, int job, int n)
{
    return (as_request){.job = (uint64_t)job,
                        .ids = prompt_ids,
                        .n_ids = N_PROMPT,
                        .sampling = AS_SAMPLING_GREEDY,
                        .max_tokens = n,
                        .ignore_eos = true,
                        .top_logprobs = 3,
                        .on_delta = on_delta,
                        .delta_user = &p->answers[job]};
}

static as_request score(int job, int n_context)
{
    return (as_request){.ask = AS_ASK_SCORE,
                        .job = (uint64_t)job,
                        .ids = prompt_ids,
                        .n_ids = n_context,
                        .continuation_ids = prompt_ids + n_context,
                        .n_continuation_ids = N_PROMPT - n_context};
}

/* The same log-probabilities straight from the engine. */
typedef struct truth {
    double logprob[N_PROMPT]; /* of ids[i] after those before it */
    int n_vocab;
} truth;

static void see(void *user, int i, const float *logits)
{
    truth *t = user;
    if (i + 1 < N_PROMPT)
        t->logprob[i + 1] = g4_logprob(logits, t->n_vocab, prompt_ids[i + 1]);
}

static void scores_are_the_engines(void **state)
{
    (void)state;
    g4_model *m = t_model(t_fixture("engine/moe/model.gguf"));
    g4_session *s =
        t_session(m, (g4_session_options){.precision = G4_F32, .n_ctx = 256, .n_threads = 1});
    truth t = {.n_vocab = g4_model_info(m)->n_vocab};
    t_feed(s, t_seq(s), prompt_ids, N_PROMPT, 0, 3, NULL, see, &t);
    peer *p = open_exact();
    as_request rq[N_PROMPT];
    for (int n = 1; n < N_PROMPT; n++) { /* all in one batch, with a generation beside them */
        rq[n] = score(n, n);
        submit(p, &rq[n]);
    }
    const as_request other = generate(p, 0, 8);
    submit(p, &other);
    wait_for(p, N_PROMPT);
    for (int n = 1; n < N_PROMPT; n++) {
        const answer *a = &p->answers[n];
        assert_int_equal(a->n_done, 1);
        assert_int_equal(a->n_tokens, N_PROMPT - n);
        for (int i = 0; i < a->n_tokens; i++) {
            assert_int_equal(a->tokens[i].id, prompt_ids[n + i]);
            assert_true(a->tokens[i].logprob == t.logprob[n + i]);
        }
    }
    close_peer(p);
    g4_session_close(s);
    g4_model_close(m);
}

static void pieces_make_the_reply(void **state)
{
    (void)state;
    peer *p = open_exact();
    const as_request whole = generate(p, 0, 24);
    submit(p, &whole);
    wait_for(p, 1);
    const answer *a = &p->answers[0];
    assert_int_equal(a->finish, AS_FINISH_LENGTH);
    assert_int_equal(a->n_tokens, 24);
    assert_int_equal(a->n_top, 3);
    assert_string_equal(a->text, a->deltas);
    for (int i = 0; i < a->n_tokens; i++) {
        assert_int_equal(a->tokens[i].id, a->best[i]); /* greedy */
        assert_true(a->tokens[i].logprob <= 0);
    }
    /* A stop text: nothing of it is told, although it comes in several tokens. */
    const size_t n = strlen(a->text);
    assert_true(n > 12);
    char stop[5];
    memcpy(stop, a->text + n / 2, 4);
    stop[4] = '\0';
    as_request stopped = generate(p, 1, 24);
    stopped.stop[0] = as_str_of(stop);
    stopped.n_stop = 1;
    submit(p, &stopped);
    wait_for(p, 2);
    const answer *b = &p->answers[1];
    assert_int_equal(b->finish, AS_FINISH_STOP_TEXT);
    assert_null(strstr(b->text, stop));
    assert_string_equal(b->text, b->deltas);
    assert_memory_equal(b->text, a->text, strlen(b->text));
    close_peer(p);
}

static void one_request_is_cancelled(void **state)
{
    (void)state;
    peer *p = open_exact();
    as_request rq[3];
    for (int i = 0; i < 3; i++) {
        rq[i] = generate(p, i, 40);
        submit(p, &rq[i]);
    }
    be_engine.cancel_one(p->be, 1);
    be_engine.cancel_one(p->be, 17); /* nobody */
    wait_for(p, 3);
    be_engine.cancel_one(p->be, 1); /* gone */
    assert_int_equal(p->answers[1].finish, AS_FINISH_CANCELLED);
    assert_int_equal(p->answers[1].n_done, 1);
    assert_int_equal(p->answers[0].finish, AS_FINISH_LENGTH);
    assert_string_equal(p->answers[0].text, p->answers[2].text);
    close_peer(p);
}

static void done_may_submit(void **state)
{
    (void)state;
    peer *p = open_exact();
    const as_request first = generate(p, 0, 4), second = generate(p, 1, 4);
    p->again = &second;
    submit(p, &first);
    wait_for(p, 2);
    assert_string_equal(p->answers[0].text, p->answers[1].text);
    close_peer(p);
}

static void wrong_requests_are_answers(void **state)
{
    (void)state;
    static const int32_t outside[] = {2, 1 << 30};
    static const as_media image = {.mime = AS_STR_INIT("image/png"), .bytes = AS_STR_INIT("x")};
    static const as_message message = {AS_STR_INIT("user"), AS_STR_INIT("?"), &image, 1};
    peer *p = open_exact();
    const struct {
        as_request rq;
        as_error_kind kind;
        const char *says;
    } rows[] = {
        {{.ids = outside, .n_ids = 2, .max_tokens = 1}, AS_ERROR_REQUEST, "the vocabulary ends"},
        {{.ids = prompt_ids, .n_ids = 2, .max_tokens = 1, .lora = AS_STR("none")},
         AS_ERROR_NOT_FOUND,
         "no adapter named none"},
        {{.is_chat = true, .messages = &message, .n_messages = 1, .max_tokens = 1},
         AS_ERROR_UNSUPPORTED,
         "text only"},
        {{.ask = AS_ASK_SCORE, .ids = prompt_ids, .n_ids = 2},
         AS_ERROR_REQUEST,
         "nothing to score"},
    };
    const int n = (int)(sizeof rows / sizeof rows[0]);
    as_request rq[sizeof rows / sizeof rows[0]];
    for (int i = 0; i < n; i++) {
        rq[i] = rows[i].rq;
        rq[i].job = (uint64_t)i;
        submit(p, &rq[i]);
    }
    wait_for(p, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(p->answers[i].error, rows[i].kind);
        assert_non_null(strstr(p->answers[i].message, rows[i].says));
    }
    close_peer(p);
}

/* Two adapters are loaded, requests choose, all in one batch. */
static void requests_choose_adapters(void **state)
{
    (void)state;
    const be_option options[] = {
        {AS_STR("precision"), AS_STR("f32")},
        {AS_STR("loras"), as_str_of(t_fixture("engine/lora/moe-attention"))},
        {AS_STR("loras"), as_str_of(t_fixture("engine/lora/moe-experts"))},
    };
    static const char *const names[] = {"", "moe-attention", "moe-experts"};
    peer *p = open_peer(options, 3);
    as_request rq[6];
    for (int i = 0; i < 6; i++) {
        rq[i] = score(i, 1);
        rq[i].lora = as_str_of(names[i % 3]);
        submit(p, &rq[i]);
    }
    wait_for(p, 6);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p->answers[i].error, AS_ERROR_NONE);
        assert_true(p->answers[i].tokens[2].logprob == p->answers[i + 3].tokens[2].logprob);
        assert_true(p->answers[i].tokens[2].logprob != p->answers[(i + 1) % 3].tokens[2].logprob);
    }
    close_peer(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_the_engines),     cmocka_unit_test(pieces_make_the_reply),
        cmocka_unit_test(one_request_is_cancelled),   cmocka_unit_test(done_may_submit),
        cmocka_unit_test(wrong_requests_are_answers), cmocka_unit_test(requests_choose_adapters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
