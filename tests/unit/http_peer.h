#ifndef TESTS_UNIT_HTTP_PEER_H
#define TESTS_UNIT_HTTP_PEER_H
/*
 * http_peer.h — a server for tests, by raw sockets: what it sends is exactly what a test says.
 *
 * Use        peer_start listens on a free port of 127.0.0.1; each connection has a thread that reads
 *            whole requests and hands each to the callback, which writes by peer_send and may sleep,
 *            close or reset. A connection is kept for more requests unless it was closed.
 * Threads    the callback runs on the connections' threads, several at once.
 */
#include <stdbool.h>
#include <stddef.h>

typedef struct peer peer;
typedef struct peer_conn peer_conn;

typedef struct peer_request {
    const char *method, *path, *head, *body; /* NUL-terminated */
    size_t body_n;
    int nth;      /* of this connection, from 0 */
    int nth_post; /* of the whole peer, POST only, from 0 */
} peer_request;

typedef void (*peer_handler)(void *user, const peer_request *rq, peer_conn *conn);

peer *peer_start(peer_handler handler, void *user);
void peer_stop(peer *p); /* ends all connections */
const char *peer_url(const peer *p);
int peer_connections(const peer *p); /* made so far */
int peer_most_at_once(const peer *p);
int peer_posts(const peer *p);

/* In pieces of so many bytes, each by a send of its own; 0: all at once. False: the client is gone. */
bool peer_send(peer_conn *c, const char *bytes, size_t n, size_t piece);
/* A head with Content-Length and the body. */
bool peer_reply(peer_conn *c, int status, const char *extra_head, const char *body);
/* A head for a stream that ends by closing the connection; then the bytes, in pieces; closes. */
void peer_stream(peer_conn *c, const char *type, const char *bytes, size_t piece);
void peer_close(peer_conn *c);
void peer_reset(peer_conn *c);
/* True if the client closes the connection within so many ms. */
bool peer_sees_close(peer_conn *c, int ms);

#endif
