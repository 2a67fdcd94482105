#ifndef BACKEND_HTTP_LOOP_H
#define BACKEND_HTTP_LOOP_H
/*
 * loop.h — many HTTP calls at once on one thread: libcurl's multi interface over one epoll.
 *
 * Use        ht_loop_start begins a call; ht_loop_turn does what can be done now, or waits up to
 *            wait_ms, and tells of data and ends. Easy handles and buffers are pooled: memory grows
 *            with the calls in flight, not with the calls made.
 * Callbacks  on_data while a reply with status 2xx comes, with the time taken before anything else;
 *            it must not start or cancel calls. on_end exactly once, never from ht_loop_start; it
 *            may start calls. A cancelled call ends without it.
 * Timers     connect (name, TCP, TLS) is libcurl's; until the first token (ht_call_progress), between
 *            bytes, and of the whole call are the loop's own. 0: none.
 * Limits     a body that is collected ends at max_body; the head is cut at HT_MAX_HEAD.
 * Ownership  url, headers and body are borrowed until the end; what a reply points to is valid in
 *            on_end only.
 * Threads    one loop, one thread.
 */
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum {
    HT_MAX_HEAD = 64 << 10,
    HT_MAX_BODY = 64 << 20,
    HT_MAX_ERROR_BODY = 1 << 20,
};

typedef struct ht_loop ht_loop;
typedef struct ht_call ht_call;
typedef struct ht_headers ht_headers;

typedef enum ht_end {
    HT_END_REPLY,     /* a whole reply, of any status */
    HT_END_CONNECT,   /* no connection: name, refused, TLS, time over */
    HT_END_LOST,      /* the connection ended before the reply did */
    HT_END_FIRST,     /* time over before the first token */
    HT_END_IDLE,      /* time over between bytes */
    HT_END_TOTAL,     /* time over for the whole */
    HT_END_TOO_LARGE, /* more than max_body */
    HT_END_STOPPED,   /* on_data returned false */
    HT_END_BROKEN,    /* not HTTP, or no memory */
} ht_end;

typedef struct ht_reply {
    ht_end end;
    int status;                        /* 0: none came */
    as_str head, body;                 /* body: empty if on_data took it */
    const char *message;               /* of a bad end, one sentence */
    int64_t started_ns, first_byte_ns; /* monotonic; first_byte_ns 0: none came */
    int64_t connect_ns;                /* duration; 0: the connection was there */
} ht_reply;

typedef struct ht_spec {
    const char *url;
    const ht_headers *headers;
    bool is_post;
    as_str body;
    int connect_ms, first_ms, idle_ms, total_ms;
    size_t max_body;                                           /* 0: HT_MAX_BODY */
    bool (*on_data)(void *user, as_str bytes, int64_t now_ns); /* NULL: collect the body */
    void (*on_end)(void *user, const ht_reply *reply);
    void *user;
} ht_spec;

/* per_host: connections to one host and port at once; n_hosts: how many there are. */
as_code ht_loop_open(ht_loop **out, int per_host, int n_hosts, as_err *err);
/* Cancels what is in flight. */
void ht_loop_close(ht_loop *loop);
as_code ht_loop_start(ht_loop *loop, const ht_spec *spec, ht_call **out, as_err *err);
as_code ht_loop_limit(ht_loop *loop, int per_host, int n_hosts, as_err *err);
void ht_loop_cancel(ht_loop *loop, ht_call *call);
/* The first token has come: from now on only the idle and total timers count. */
void ht_call_progress(ht_call *call);
/* The lines of the reply's head so far. */
as_str ht_call_head(const ht_call *call);
as_code ht_loop_turn(ht_loop *loop, int wait_ms, as_err *err);

/* A list of header lines, built once and used by many calls. */
as_code ht_headers_add(ht_headers **list, const char *line, as_err *err);
void ht_headers_free(ht_headers *list);

#endif
