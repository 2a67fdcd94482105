#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H
/*
 * http.h — an HTTP/1.1 server for one event loop, on libevent's loop, listener and buffers.
 *
 * Why not evhttp  its replies to malformed and oversized requests are fixed HTML, its timeout is
 *            one of silence (a client that drips a byte a second holds its place for ever), it does
 *            not notice that a client left while the reply is still being made, and it cannot send
 *            the malformed replies that `assay mock` is for.
 *
 * Flow       on_request comes once a whole request is here. It answers at once or later:
 *              sv_reply                        a whole reply, or
 *              sv_begin, sv_add …, sv_end      a reply in pieces (chunked; HTTP/1.0: until close), or
 *              sv_raw …, sv_finish             any bytes.
 *            If the client closes first, on_gone comes instead and the connection is no more; a
 *            client that closes its sending side counts as gone. Requests sent ahead on one
 *            connection wait until the reply before them is complete.
 * Limits     of heads, bodies, connections, time for a request, idle time, time without any
 *            progress in sending, bytes that wait to be sent. A request that breaks one gets a reply
 *            with a JSON body by error_json and its connection closes; nobody else is affected.
 * Ownership  the request's bytes live until the reply is complete.
 * Threads    all calls on the loop's thread.
 */
#include <event2/util.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "serve/head.h"

struct event_base;

typedef struct sv_http sv_http;
typedef struct sv_conn sv_conn;

typedef struct sv_http_options {
    const char *host; /* an address, not a name */
    int port;         /* 0: the system chooses */
    size_t max_head_bytes, max_body_bytes, max_unsent_bytes;
    int max_connections; /* one more gets 503; idle ones make room first */
    int request_ms;      /* from a request's first byte to its last */
    int idle_ms;         /* between requests */
    int send_ms;         /* a client that takes no byte for so long is gone */
    const as_log *log;
    void *user;
    void (*on_request)(void *user, sv_conn *c);
    void (*on_gone)(void *user, sv_conn *c); /* only while a reply is under way */
    void (*on_open)(void *user, sv_conn *c); /* NULL: not wanted */
    void (*error_json)(int status, const char *message, as_buf *out);
} sv_http_options;

typedef struct sv_http_counts {
    uint64_t connections, requests, gone, refused; /* since the start */
    int open, busy;                                /* now: connections, requests under way */
    int max_open, max_busy;
} sv_http_counts;

as_code sv_http_open(sv_http **out, struct event_base *base, const sv_http_options *options,
                     as_err *err);
void sv_http_close(sv_http *s); /* closes every connection without calling on_gone */
int sv_http_port(const sv_http *s);
/* Takes no new connections (or takes them again). */
void sv_http_pause(sv_http *s, bool is_paused);
/* No new connections ever; connections close after the reply under way. */
void sv_http_drain(sv_http *s);
sv_http_counts *sv_http_count(sv_http *s);

/* ---- a connection ------------------------------------------------------------------------------ */

const sv_head *sv_conn_head(const sv_conn *c);
as_str sv_conn_body(const sv_conn *c);
void **sv_conn_user(sv_conn *c); /* a place for the caller, NULL at each request's start */
uint64_t sv_conn_id(const sv_conn *c);
int sv_conn_replies(const sv_conn *c); /* how many this connection had before */

/* headers: whole lines "Name: value\r\n", or empty. */
void sv_reply(sv_conn *c, int status, as_str type, as_str headers, as_str body);
void sv_begin(sv_conn *c, int status, as_str type, as_str headers);
void sv_add(sv_conn *c, as_str bytes);
void sv_end(sv_conn *c);
/* No connection: keep-alive for this one, whatever the client asked. */
void sv_close_after(sv_conn *c);

void sv_raw(sv_conn *c, as_str bytes);
void sv_finish(sv_conn *c, bool keep_open); /* the reply is complete */
void sv_cut(sv_conn *c);                    /* sends what waits, then closes */
void sv_reset(sv_conn *c);                  /* drops what waits and resets (RST) */
size_t sv_unsent(const sv_conn *c);

const char *sv_status_text(int status);
/* The head of a reply, for those who send it themselves; body_bytes SIZE_MAX: chunked. */
void sv_write_head(as_buf *out, int status, as_str type, as_str headers, size_t body_bytes,
                   bool keep_alive);

#endif
