/*
 * http.c — the server behind http.h.
 *
 * A connection reads a head, then a body, then is busy until the caller has replied, then reads the
 * next head. Bytes go straight to the socket when none wait in the buffer: one system call a reply.
 * Reading goes on while a reply is under way (into a small buffer), which is how a client's leaving
 * is noticed. One timer looks over all connections for broken deadlines.
 */
#include "serve/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/time.h"

enum {
    SWEEP_MS = 100,
    LINGER_MS = 2000,       /* how long bytes are still read after a refusal, so that it arrives */
    AHEAD_BYTES = 64 << 10, /* of requests sent ahead */
    KEEP_BYTES = 64 << 10,  /* buffers larger than this are given back between requests */
    BACKLOG = 1024,
};

typedef enum conn_state { READ_HEAD, READ_BODY, BUSY, LINGER } conn_state;

struct sv_conn {
    sv_http *server;
    sv_conn *prev, *next;
    struct bufferevent *bev;
    evutil_socket_t fd;
    uint64_t id;
    conn_state state;
    bool is_dead, close_after, in_pieces, cut_when_sent, in_process;
    bool is_reading; /* a request has begun to arrive */
    int n_replies;
    size_t looked;       /* input bytes already searched for the head's end */
    int64_t since_ns;    /* of the state */
    int64_t progress_ns; /* when bytes were last taken by the client */
    as_buf head_bytes, body;
    sv_head head;
    sv_chunked chunked;
    void *user;
};

struct sv_http {
    sv_http_options o;
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *sweep;
    sv_conn *conns, *dead;
    bool is_draining, is_paused, was_full;
    uint64_t next_id;
    int port;
    sv_http_counts counts;
    as_buf scratch;
};

/* ---- life -------------------------------------------------------------------------------------- */

static void leave_busy(sv_conn *c)
{
    if (c->state == BUSY)
        c->server->counts.busy--;
}

/* The connection is no more; its memory goes when nobody can hold it any longer (sweep). */
static void kill_conn(sv_conn *c)
{
    if (c->is_dead)
        return;
    sv_http *s = c->server;
    leave_busy(c);
    c->is_dead = true;
    s->counts.open--;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    bufferevent_free(c->bev); /* closes the socket */
    c->bev = NULL;
    c->next = s->dead;
    s->dead = c;
}

static void bury(sv_http *s)
{
    while (s->dead != NULL) {
        sv_conn *c = s->dead;
        s->dead = c->next;
        as_buf_release(&c->head_bytes);
        as_buf_release(&c->body);
        free(c);
    }
}

static void client_left(sv_conn *c)
{
    sv_http *s = c->server;
    if (c->state == BUSY) {
        s->counts.gone++;
        if (s->o.on_gone != NULL)
            s->o.on_gone(s->o.user, c);
    }
    kill_conn(c);
}

static void enter(sv_conn *c, conn_state state)
{
    leave_busy(c);
    c->state = state;
    c->since_ns = as_now_ns();
    if (state == BUSY) {
        sv_http_counts *n = &c->server->counts;
        n->requests++;
        if (++n->busy > n->max_busy)
            n->max_busy = n->busy;
    }
}

/* ---- sending ----------------------------------------------------------------------------------- */

size_t sv_unsent(const sv_conn *c)
{
    return c->is_dead ? 0 : evbuffer_get_length(bufferevent_get_output(c->bev));
}

void sv_raw(sv_conn *c, as_str bytes)
{
    if (c->is_dead || bytes.n == 0)
        return;
    size_t sent = 0;
    if (sv_unsent(c) == 0) {
        c->progress_ns = as_now_ns();
        const ssize_t n = send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            sent = (size_t)n;
        /* An error shows again when the loop reads or writes, and is dealt with there. */
    }
    if (sent < bytes.n)
        (void)bufferevent_write(c->bev, bytes.p + sent, bytes.n - sent);
}

void sv_cut(sv_conn *c)
{
    if (c->is_dead)
        return;
    if (sv_unsent(c) == 0) {
        kill_conn(c);
        return;
    }
    enter(c, LINGER);
    c->cut_when_sent = true;
}

void sv_reset(sv_conn *c)
{
    if (c->is_dead)
        return;
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    kill_conn(c);
}

/* Sends what waits and no more, but reads on for a while: closing a socket with unread bytes would
 * reset the connection and could destroy the reply on its way. */
static void linger(sv_conn *c)
{
    enter(c, LINGER);
    if (sv_unsent(c) == 0)
        (void)shutdown(c->fd, SHUT_WR);
}

static void process(sv_conn *c);

void sv_finish(sv_conn *c, bool keep_open)
{
    if (c->is_dead)
        return;
    c->n_replies++;
    if (!keep_open || c->server->is_draining) {
        sv_cut(c);
        return;
    }
    if (c->body.cap > KEEP_BYTES)
        as_buf_release(&c->body);
    enter(c, READ_HEAD);
    c->is_reading = false;
    c->looked = 0;
    if (!c->in_process)
        process(c);
}

const char *sv_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } names[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {413, "Content Too Large"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].status == status)
            return names[i].text;
    return "Status";
}

void sv_write_head(as_buf *out, int status, as_str type, as_str headers, size_t body_bytes,
                   bool keep_alive)
{
    (void)as_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, sv_status_text(status));
    if (type.n != 0)
        (void)as_buf_printf(out, "Content-Type: %.*s\r\n", AS_ARG(type));
    (void)as_buf_add(out, headers);
    if (!keep_alive)
        (void)as_buf_add_z(out, "Connection: close\r\n");
    if (body_bytes == SIZE_MAX)
        (void)as_buf_add_z(out, "Transfer-Encoding: chunked\r\n\r\n");
    else
        (void)as_buf_printf(out, "Content-Length: %zu\r\n\r\n", body_bytes);
}

static bool keeps_open(const sv_conn *c)
{
    return c->head.keep_alive && !c->close_after && !c->server->is_draining;
}

void sv_reply(sv_conn *c, int status, as_str type, as_str headers, as_str body)
{
    if (c->is_dead)
        return;
    const bool keep_open = keeps_open(c);
    as_buf *out = &c->server->scratch;
    as_buf_reset(out);
    sv_write_head(out, status, type, headers, body.n, keep_open);
    const bool is_head = as_str_eq_z(c->head.method, "HEAD");
    if (!is_head && body.n <= KEEP_BYTES) {
        (void)as_buf_add(out, body);
        sv_raw(c, as_buf_str(out));
    } else {
        sv_raw(c, as_buf_str(out));
        if (!is_head)
            sv_raw(c, body);
    }
    sv_finish(c, keep_open);
}

void sv_begin(sv_conn *c, int status, as_str type, as_str headers)
{
    if (c->is_dead)
        return;
    as_buf *out = &c->server->scratch;
    as_buf_reset(out);
    c->in_pieces = !c->head.is_http10;
    if (c->in_pieces) {
        sv_write_head(out, status, type, headers, SIZE_MAX, keeps_open(c));
    } else { /* ends where the connection ends */
        c->close_after = true;
        (void)as_buf_printf(out,
                            "HTTP/1.1 %d %s\r\nContent-Type: %.*s\r\n%.*sConnection: close\r\n\r\n",
                            status, sv_status_text(status), AS_ARG(type), AS_ARG(headers));
    }
    sv_raw(c, as_buf_str(out));
}

void sv_add(sv_conn *c, as_str bytes)
{
    if (c->is_dead || bytes.n == 0)
        return;
    if (!c->in_pieces) {
        sv_raw(c, bytes);
    } else {
        as_buf *out = &c->server->scratch;
        as_buf_reset(out);
        (void)as_buf_printf(out, "%zx\r\n", bytes.n);
        (void)as_buf_add(out, bytes);
        (void)as_buf_add_z(out, "\r\n");
        sv_raw(c, as_buf_str(out));
    }
    if (sv_unsent(c) > c->server->o.max_unsent_bytes) {
        as_log_line(c->server->o.log, AS_LOG_WARN,
                    "serve: connection %llu: %zu bytes wait for a client that does not read",
                    (unsigned long long)c->id, sv_unsent(c));
        client_left(c);
    }
}

void sv_end(sv_conn *c)
{
    if (c->is_dead)
        return;
    if (c->in_pieces)
        sv_raw(c, AS_STR("0\r\n\r\n"));
    sv_finish(c, keeps_open(c));
}

void sv_close_after(sv_conn *c)
{
    c->close_after = true;
}

/* A reply to a request that cannot be read; nothing more is read from this connection. */
static void refuse(sv_conn *c, int status, const char *message)
{
    sv_http *s = c->server;
    s->counts.refused++;
    as_buf body;
    as_buf_init(&body, 4096);
    s->o.error_json(status, message, &body);
    as_buf_reset(&s->scratch);
    sv_write_head(&s->scratch, status, AS_STR("application/json"),
                  status == 503 ? AS_STR("Retry-After: 1\r\n") : AS_STR(""), body.n, false);
    (void)as_buf_add(&s->scratch, as_buf_str(&body));
    as_buf_release(&body);
    sv_raw(c, as_buf_str(&s->scratch));
    linger(c);
}

/* ---- reading ----------------------------------------------------------------------------------- */

static void set_read_room(sv_conn *c, size_t bytes)
{
    bufferevent_setwatermark(c->bev, EV_READ, 0, bytes);
}

/* True if a head was taken from the input. */
static bool take_head(sv_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    const size_t n = evbuffer_get_length(in);
    const size_t max = c->server->o.max_head_bytes;
    if (n == 0)
        return false;
    if (!c->is_reading) {
        c->is_reading = true;
        c->since_ns = as_now_ns();
    }
    const size_t look = n < max ? n : max;
    const char *p = (const char *)evbuffer_pullup(in, (ev_ssize_t)look);
    if (p == NULL)
        return false;
    if (c->looked == 0 && (p[0] == '\r' || p[0] == '\n')) { /* allowed before a request line */
        (void)evbuffer_drain(in, 1);
        return take_head(c);
    }
    const size_t end = sv_head_end((as_str){p, look}, c->looked);
    c->looked = look;
    if (end == 0) {
        if (look == max) {
            char text[96];
            (void)snprintf(text, sizeof text, "the request's head is larger than %zu bytes", max);
            refuse(c, 431, text);
        }
        return false;
    }
    as_buf_reset(&c->head_bytes);
    if (as_buf_add(&c->head_bytes, (as_str){p, end}) != AS_OK) {
        refuse(c, 503, "out of memory");
        return false;
    }
    (void)evbuffer_drain(in, end);
    c->looked = 0;
    as_err err = {0};
    int status = 400;
    if (sv_head_parse(&c->head, as_buf_str(&c->head_bytes), &status, &err) != AS_OK) {
        refuse(c, status, err.text);
        return false;
    }
    return true;
}

static bool begin_body(sv_conn *c)
{
    const size_t max = c->server->o.max_body_bytes;
    as_buf_reset(&c->body);
    c->body.max_bytes = max;
    c->chunked = (sv_chunked){0};
    if (c->head.body_bytes > max) {
        char text[128];
        (void)snprintf(text, sizeof text, "the body has %zu bytes, this server takes %zu",
                       c->head.body_bytes, max);
        refuse(c, 413, text);
        return false;
    }
    const int64_t since = c->since_ns;
    enter(c, READ_BODY);
    c->since_ns = since; /* the deadline is of the whole request */
    const size_t have = evbuffer_get_length(bufferevent_get_input(c->bev));
    if (c->head.wants_continue && have == 0 && (c->head.body_bytes != 0 || c->head.is_chunked))
        sv_raw(c, AS_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    return true;
}

/* True if the whole body is here. */
static bool take_body(sv_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    if (!c->head.is_chunked) {
        const size_t left = c->head.body_bytes - c->body.n;
        const size_t have = evbuffer_get_length(in);
        const size_t n = left < have ? left : have;
        char *room = n != 0 ? as_buf_reserve(&c->body, n) : NULL;
        if (n != 0 && room == NULL) {
            refuse(c, 503, "out of memory");
            return false;
        }
        if (n != 0) {
            (void)evbuffer_remove(in, room, n);
            c->body.n += n;
            c->body.p[c->body.n] = '\0';
        }
        return c->body.n == c->head.body_bytes;
    }
    const size_t have = evbuffer_get_length(in);
    const char *p = have != 0 ? (const char *)evbuffer_pullup(in, -1) : NULL;
    if (p == NULL)
        return false;
    size_t used = 0;
    int status = 400;
    as_err err = {0};
    if (sv_chunked_feed(&c->chunked, (as_str){p, have}, &c->body, &used, &status, &err) != AS_OK) {
        refuse(c, status, err.text);
        return false;
    }
    (void)evbuffer_drain(in, used);
    return c->chunked.state == SV_CHUNK_DONE;
}

/* Takes as many requests as are here and can be answered at once. */
static void process(sv_conn *c)
{
    c->in_process = true;
    while (!c->is_dead) {
        if (c->state == READ_HEAD && !(take_head(c) && begin_body(c)))
            break;
        if (c->state != READ_BODY || !take_body(c))
            break;
        c->user = NULL;
        c->close_after = false;
        c->in_pieces = false;
        enter(c, BUSY);
        c->server->o.on_request(c->server->o.user, c);
    }
    c->in_process = false;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    sv_conn *c = arg;
    if (c->state == LINGER)
        (void)evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
    else if (c->state != BUSY)
        process(c);
}

/* Everything that waited was sent. */
static void on_sent(struct bufferevent *bev, void *arg)
{
    (void)bev;
    sv_conn *c = arg;
    c->progress_ns = as_now_ns();
    if (c->cut_when_sent)
        kill_conn(c);
    else if (c->state == LINGER)
        (void)shutdown(c->fd, SHUT_WR);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    sv_conn *c = arg;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
        client_left(c);
}

/* Sending makes progress if the buffer shrinks, not only when it is empty. */
static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
    (void)out;
    sv_conn *c = arg;
    if (info->n_deleted != 0)
        c->progress_ns = as_now_ns();
}

/* ---- connections ------------------------------------------------------------------------------- */

static bool is_idle(const sv_conn *c)
{
    return c->state == READ_HEAD && !c->is_reading && sv_unsent(c) == 0;
}

/* Closes the connection that has been idle longest. */
static bool evict_one(sv_http *s)
{
    sv_conn *oldest = NULL;
    for (sv_conn *c = s->conns; c != NULL; c = c->next)
        if (is_idle(c) && (oldest == NULL || c->since_ns < oldest->since_ns))
            oldest = c;
    if (oldest == NULL)
        return false;
    kill_conn(oldest);
    return true;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *addr, int len,
                      void *arg)
{
    (void)l;
    (void)addr;
    (void)len;
    sv_http *s = arg;
    const bool is_full = s->counts.open >= s->o.max_connections && !evict_one(s);
    sv_conn *c = calloc(1, sizeof *c);
    struct bufferevent *bev =
        c != NULL ? bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (bev == NULL) {
        free(c);
        (void)close(fd);
        return;
    }
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->server = s;
    c->bev = bev;
    c->fd = fd;
    c->id = ++s->next_id;
    c->since_ns = c->progress_ns = as_now_ns();
    as_buf_init(&c->head_bytes, s->o.max_head_bytes);
    as_buf_init(&c->body, s->o.max_body_bytes);
    c->next = s->conns;
    if (s->conns != NULL)
        s->conns->prev = c;
    s->conns = c;
    s->counts.connections++;
    if (++s->counts.open > s->counts.max_open)
        s->counts.max_open = s->counts.open;
    bufferevent_setcb(bev, on_read, on_sent, on_event, c);
    (void)evbuffer_add_cb(bufferevent_get_output(bev), on_output, c);
    set_read_room(c, AHEAD_BYTES);
    (void)bufferevent_enable(bev, EV_READ | EV_WRITE);
    if (is_full)
        refuse(c, 503, "every connection of this server is in use; try again");
    else if (s->o.on_open != NULL)
        s->o.on_open(s->o.user, c);
}

/* No descriptor for another connection: wait for the sweep rather than ask again at once. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
    sv_http *s = arg;
    as_log_line(s->o.log, AS_LOG_WARN, "serve: no connection can be taken now: %s",
                evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
    (void)evconnlistener_disable(l);
    s->was_full = true;
}

/* ---- deadlines --------------------------------------------------------------------------------- */

static void look_over(sv_conn *c, int64_t now)
{
    const sv_http_options *o = &c->server->o;
    const int64_t in_state_ms = (now - c->since_ns) / 1000000;
    if (sv_unsent(c) != 0 && (now - c->progress_ns) / 1000000 > o->send_ms)
        client_left(c);
    else if ((c->state == LINGER && !c->cut_when_sent && in_state_ms > LINGER_MS) ||
             (is_idle(c) && (in_state_ms > o->idle_ms || c->server->is_draining)))
        kill_conn(c);
    else if ((c->state == READ_BODY || (c->state == READ_HEAD && c->is_reading)) &&
             in_state_ms > o->request_ms)
        refuse(c, 408, "the request did not arrive in time");
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sv_http *s = arg;
    const int64_t now = as_now_ns();
    for (sv_conn *c = s->conns, *next; c != NULL; c = next) {
        next = c->next;
        look_over(c, now);
    }
    bury(s);
    if (s->was_full && s->listener != NULL && !s->is_paused) {
        s->was_full = false;
        (void)evconnlistener_enable(s->listener);
    }
}

/* ---- opening ----------------------------------------------------------------------------------- */

static as_code listen_on(sv_http *s, as_err *err)
{
    struct sockaddr_storage addr = {0};
    int len = (int)sizeof addr;
    char text[96];
    const bool is_v6 = strchr(s->o.host, ':') != NULL;
    (void)snprintf(text, sizeof text, is_v6 ? "[%s]:%d" : "%s:%d", s->o.host, s->o.port);
    if (s->o.port == 0) /* libevent's reader wants a port */
        (void)snprintf(text, sizeof text, is_v6 ? "[%s]" : "%s", s->o.host);
    if (evutil_parse_sockaddr_port(text, (struct sockaddr *)&addr, &len) != 0)
        return as_fail(err, AS_RANGE, "--host %s: want an IPv4 or IPv6 address such as 127.0.0.1",
                       s->o.host);
    s->listener = evconnlistener_new_bind(
        s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
        BACKLOG, (struct sockaddr *)&addr, len);
    if (s->listener == NULL)
        return as_fail_sys(err, "%s port %d: cannot listen (is the port in use? --port 0 chooses)",
                           s->o.host, s->o.port);
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {0}};
    socklen_t bound_len = sizeof bound;
    if (getsockname(evconnlistener_get_fd(s->listener), &bound.any, &bound_len) != 0)
        return as_fail_sys(err, "%s", s->o.host);
    s->port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return AS_OK;
}

as_code sv_http_open(sv_http **out, struct event_base *base, const sv_http_options *options,
                     as_err *err)
{
    *out = NULL;
    sv_http *s = calloc(1, sizeof *s);
    if (s == NULL)
        return as_nomem(err);
    s->o = *options;
    s->base = base;
    as_buf_init(&s->scratch, 0);
    as_code c = listen_on(s, err);
    if (c == AS_OK) {
        s->sweep = event_new(base, -1, EV_PERSIST, on_sweep, s);
        const struct timeval every = {.tv_usec = SWEEP_MS * 1000L};
        if (s->sweep == NULL || event_add(s->sweep, &every) != 0)
            c = as_nomem(err);
    }
    if (c != AS_OK) {
        sv_http_close(s);
        return c;
    }
    *out = s;
    return AS_OK;
}

void sv_http_close(sv_http *s)
{
    if (s == NULL)
        return;
    while (s->conns != NULL)
        kill_conn(s->conns);
    bury(s);
    if (s->listener != NULL)
        evconnlistener_free(s->listener);
    if (s->sweep != NULL)
        event_free(s->sweep);
    as_buf_release(&s->scratch);
    free(s);
}

int sv_http_port(const sv_http *s)
{
    return s->port;
}

void sv_http_pause(sv_http *s, bool is_paused)
{
    s->is_paused = is_paused;
    if (s->listener == NULL)
        return;
    if (is_paused)
        (void)evconnlistener_disable(s->listener);
    else
        (void)evconnlistener_enable(s->listener);
}

void sv_http_drain(sv_http *s)
{
    s->is_draining = true;
    if (s->listener != NULL)
        evconnlistener_free(s->listener);
    s->listener = NULL;
}

sv_http_counts *sv_http_count(sv_http *s)
{
    return &s->counts;
}

const sv_head *sv_conn_head(const sv_conn *c)
{
    return &c->head;
}

as_str sv_conn_body(const sv_conn *c)
{
    return as_buf_str(&c->body);
}

void **sv_conn_user(sv_conn *c)
{
    return &c->user;
}

uint64_t sv_conn_id(const sv_conn *c)
{
    return c->id;
}

int sv_conn_replies(const sv_conn *c)
{
    return c->n_replies;
}
