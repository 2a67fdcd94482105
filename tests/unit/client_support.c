#include "unit/client_support.h"

#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "unit/cm.h"

enum { MAX_OPTIONS = 16, PATIENCE_S = 10 };

const char *const client_no_probe[2] = {"probe=off", NULL};
const as_message client_hello[1] = {{.role = AS_STR_INIT("user"), .text = AS_STR_INIT("Hello")}};
const as_media client_picture = {.mime = AS_STR_INIT("image/png"), .bytes = AS_STR_INIT("\x89PNG")};
const as_media client_sound = {
    .is_audio = true, .mime = AS_STR_INIT("audio/wav"), .bytes = AS_STR_INIT("RIFFx")};

const as_message client_seen[1] = {{.role = AS_STR_INIT("user"),
                                    .text = AS_STR_INIT("What?"),
                                    .media = &client_picture,
                                    .n_media = 1}};

static int read_options(be_option *out, const char *const *options)
{
    int n = 0;
    for (; options != NULL && options[n] != NULL; n++) {
        assert_true(n < MAX_OPTIONS);
        assert_true(as_str_cut(as_str_of(options[n]), '=', &out[n].key, &out[n].value));
    }
    return n;
}

as_code client_try_open(client *c, const be_driver *driver, const char *name,
                        const char *const *urls, const char *const *options,
                        const char *(*env)(const char *), as_err *err)
{
    be_option o[MAX_OPTIONS];
    as_str at[8];
    int n_urls = 0;
    for (; urls[n_urls] != NULL; n_urls++)
        at[n_urls] = as_str_of(urls[n_urls]);
    memset(c, 0, sizeof *c);
    as_arena_init(&c->arena, 0);
    const be_config config = {
        .name = as_str_of(name),
        .base_urls = at,
        .n_base_urls = n_urls,
        .options = o,
        .n_options = read_options(o, options),
        .env = env,
    };
    return driver->open(&c->be, &config, err);
}

void client_open(client *c, const be_driver *driver, const char *name, const char *url,
                 const char *const *options)
{
    const char *const urls[] = {url, NULL};
    as_err err = {0};
    if (client_try_open(c, driver, name, urls, options, NULL, &err) != AS_OK)
        fail_msg("open: %s", err.text);
}

void client_start(client *c, peer_handler handler, void *user, const be_driver *driver,
                  const char *name, const char *const *options)
{
    peer *p = peer_start(handler, user);
    client_open(c, driver, name, peer_url(p), options);
    c->peer = p;
}

void client_close(client *c)
{
    if (c->be != NULL)
        c->be->driver->close(c->be);
    if (c->peer != NULL)
        peer_stop(c->peer);
    as_arena_release(&c->arena);
}

static as_token keep_token(client *c, as_token t)
{
    t.text = as_arena_str(&c->arena, t.text);
    return t;
}

static void keep_logprobs(client *c, as_response *r)
{
    as_token_logprob *all = as_new(&c->arena, as_token_logprob, r->n_logprobs + 1);
    assert_non_null(all);
    for (int i = 0; i < r->n_logprobs; i++) {
        all[i] = r->logprobs[i];
        all[i].token = keep_token(c, all[i].token);
        as_token *top = as_new(&c->arena, as_token, all[i].n_top + 1);
        for (int k = 0; k < all[i].n_top; k++)
            top[k] = keep_token(c, r->logprobs[i].top[k]);
        all[i].top = top;
    }
    r->logprobs = all;
}

static void on_done(void *user, const as_request *rq, const as_response *response)
{
    client *c = user;
    assert_true(rq->job < MAX_KEPT);
    kept *k = &c->kept[rq->job];
    k->n_done++;
    k->r = *response;
    as_response *r = &k->r;
    r->text = as_arena_str(&c->arena, r->text);
    r->reasoning = as_arena_str(&c->arena, r->reasoning);
    r->message = as_arena_str(&c->arena, r->message);
    r->finish_raw = as_arena_str(&c->arena, r->finish_raw);
    r->model = as_arena_str(&c->arena, r->model);
    r->fingerprint = as_arena_str(&c->arena, r->fingerprint);
    r->endpoint = as_arena_str(&c->arena, r->endpoint);
    keep_logprobs(c, r);
    r->gaps_ns = NULL;
    c->n_done++;
    if (c->also != NULL)
        c->also(c->also_user, rq, response);
}

void client_submit(client *c, const as_request *rq)
{
    as_err err = {0};
    if (c->be->driver->submit(c->be, rq, &err) != AS_OK)
        fail_msg("submit: %s", err.text);
}

void client_poll(client *c, int wait_ms, as_err *err)
{
    if (c->be->driver->poll(c->be, wait_ms, on_done, c, err) != AS_OK)
        fail_msg("poll: %s", err->text);
}

void client_wait(client *c, int n)
{
    const int64_t until = as_now_ns() + (int64_t)PATIENCE_S * 1000000000;
    as_err err = {0};
    while (c->n_done < n) {
        client_poll(c, 50, &err);
        if (as_now_ns() > until)
            fail_msg("%d of %d requests ended in %d s", c->n_done, n, PATIENCE_S);
    }
}

const as_response *client_ask(client *c, const as_request *rq)
{
    c->kept[rq->job].n_done = 0;
    client_submit(c, rq);
    client_wait(c, c->n_done + 1);
    assert_int_equal(c->kept[rq->job].n_done, 1);
    return &c->kept[rq->job].r;
}

as_request client_chat(void)
{
    return (as_request){
        .is_chat = true,
        .messages = client_hello,
        .n_messages = 1,
        .max_tokens = 16,
        .sampling = AS_SAMPLING_GREEDY,
    };
}

as_request client_text(const char *prompt)
{
    return (as_request){
        .prompt = as_str_of(prompt), .max_tokens = 16, .sampling = AS_SAMPLING_GREEDY};
}

bool client_serve_models(const peer_request *rq, peer_conn *conn)
{
    if (strcmp(rq->method, "GET") != 0)
        return false;
    (void)peer_reply(conn, 200, "",
                     "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"max_model_len\":4096}]}");
    return true;
}
