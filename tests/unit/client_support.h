#ifndef TESTS_UNIT_CLIENT_SUPPORT_H
#define TESTS_UNIT_CLIENT_SUPPORT_H
/* client_support.h — a driver against a peer: opening it, asking, keeping what came back. */
#include "backend/drivers.h"
#include "unit/http_peer.h"

enum { MAX_KEPT = 2048 };

/* What a response said, by request->job; texts are copied. */
typedef struct kept {
    int n_done;
    as_response r; /* texts and lists point into arena */
} kept;

typedef struct client {
    be_backend *be;
    peer *peer; /* of client_start, else NULL */
    as_arena arena;
    kept kept[MAX_KEPT];
    int n_done;
    void (*also)(void *user, const as_request *rq, const as_response *r); /* after each, or NULL */
    void *also_user;
} client;

/* options: "key=value" strings, ended by NULL; may be NULL. Fails the test if opening fails. */
void client_open(client *c, const be_driver *driver, const char *name, const char *url,
                 const char *const *options);
as_code client_try_open(client *c, const be_driver *driver, const char *name,
                        const char *const *urls, const char *const *options,
                        const char *(*env)(const char *), as_err *err);
/* Starts a peer and opens the driver at it. */
void client_start(client *c, peer_handler handler, void *user, const be_driver *driver,
                  const char *name, const char *const *options);
void client_close(client *c); /* and stops the peer */
void client_submit(client *c, const as_request *rq);
/* Until n requests in all have ended, at most ten seconds. */
void client_wait(client *c, int n);
void client_poll(client *c, int wait_ms, as_err *err);
/* Submits, waits, and hands out what came. */
const as_response *client_ask(client *c, const as_request *rq);

extern const char *const client_no_probe[2]; /* the option */
extern const as_message client_hello[1];
extern const as_media client_picture, client_sound; /* a few bytes of each */
extern const as_message client_seen[1];             /* "What?" and the picture */
as_request client_chat(void); /* a chat of one user message, 16 tokens at most, greedy */
as_request client_text(const char *prompt);

/* The driver's own calls at open: GET /v1/models. True if it was one and was answered. */
bool client_serve_models(const peer_request *rq, peer_conn *conn);

#endif
