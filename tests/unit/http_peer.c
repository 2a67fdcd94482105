#include "unit/http_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNS = 2048, MAX_HEAD = 65536 };

struct peer_conn {
    peer *peer;
    int fd;
    pthread_t thread;
    bool is_open;
};

struct peer {
    peer_handler handler;
    void *user;
    int listener;
    pthread_t acceptor;
    char url[64];
    pthread_mutex_t lock; /* guards the connections below */
    peer_conn *conns[MAX_CONNS];
    int n_conns;
    atomic_int n_made, n_now, n_most, n_posts;
    atomic_bool is_stopping;
};

bool peer_send(peer_conn *c, const char *bytes, size_t n, size_t piece)
{
    if (piece == 0)
        piece = n;
    for (size_t at = 0; at < n && c->is_open;) {
        const size_t k = n - at < piece ? n - at : piece;
        const ssize_t sent = send(c->fd, bytes + at, k, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += (size_t)sent;
    }
    return c->is_open;
}

bool peer_reply(peer_conn *c, int status, const char *extra_head, const char *body)
{
    char head[2048];
    const int n =
        snprintf(head, sizeof head,
                 "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
                 status, strlen(body), extra_head);
    return peer_send(c, head, (size_t)n, 0) && peer_send(c, body, strlen(body), 0);
}

void peer_stream(peer_conn *c, const char *type, const char *bytes, size_t piece)
{
    char head[256];
    const int n =
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n", type);
    (void)peer_send(c, head, (size_t)n, 0);
    (void)peer_send(c, bytes, strlen(bytes), piece);
    peer_close(c);
}

void peer_close(peer_conn *c)
{
    if (c->is_open)
        (void)shutdown(c->fd, SHUT_WR);
    c->is_open = false;
}

void peer_reset(peer_conn *c)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    c->is_open = false;
}

bool peer_sees_close(peer_conn *c, int ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLRDHUP};
    char b;
    return poll(&p, 1, ms) > 0 && recv(c->fd, &b, 1, MSG_PEEK) <= 0;
}

/* Reads until the buffer holds so many bytes; false: the client is gone. */
static bool read_to(peer_conn *c, char **buf, size_t *n, size_t *cap, size_t want)
{
    while (*n < want) {
        if (*cap < want + 1) {
            *cap = want + MAX_HEAD;
            *buf = realloc(*buf, *cap);
        }
        const ssize_t got = recv(c->fd, *buf + *n, *cap - *n - 1, 0);
        if (got <= 0)
            return false;
        *n += (size_t)got;
        (*buf)[*n] = '\0';
    }
    return true;
}

static size_t content_length(const char *head)
{
    for (const char *line = head; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncasecmp(line, "content-length:", 15) == 0)
            return (size_t)strtoull(line + 15, NULL, 10);
    }
    return 0;
}

static void serve(peer_conn *c)
{
    char *buf = NULL;
    size_t n = 0, cap = 0;
    for (int nth = 0; c->is_open; nth++) {
        char *end = NULL;
        while ((end = buf != NULL ? strstr(buf, "\r\n\r\n") : NULL) == NULL)
            if (!read_to(c, &buf, &n, &cap, n + 1)) {
                free(buf);
                return;
            }
        const size_t head_n = (size_t)(end - buf) + 4;
        const size_t body_n = content_length(buf);
        if (!read_to(c, &buf, &n, &cap, head_n + body_n))
            break;
        char method[16] = "", path[1024] = "";
        (void)sscanf(buf, "%15s %1023s", method, path);
        char *head = strndup(buf, head_n);
        char *body = strndup(buf + head_n, body_n);
        const bool is_post = strcmp(method, "POST") == 0;
        const peer_request rq = {
            .method = method,
            .path = path,
            .head = head,
            .body = body,
            .body_n = body_n,
            .nth = nth,
            .nth_post = is_post ? atomic_fetch_add(&c->peer->n_posts, 1) : -1,
        };
        c->peer->handler(c->peer->user, &rq, c);
        free(head);
        free(body);
        memmove(buf, buf + head_n + body_n, n - head_n - body_n + 1);
        n -= head_n + body_n;
    }
    free(buf);
}

static void *conn_main(void *arg)
{
    peer_conn *c = arg;
    peer *p = c->peer;
    serve(c);
    atomic_fetch_sub(&p->n_now, 1);
    pthread_mutex_lock(&p->lock);
    (void)close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void *accept_main(void *arg)
{
    peer *p = arg;
    for (;;) {
        const int fd = accept(p->listener, NULL, NULL);
        if (fd < 0 || atomic_load(&p->is_stopping)) {
            if (fd >= 0)
                (void)close(fd);
            return NULL;
        }
        const int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peer_conn *c = calloc(1, sizeof *c);
        *c = (peer_conn){.peer = p, .fd = fd, .is_open = true};
        atomic_fetch_add(&p->n_made, 1);
        const int now = atomic_fetch_add(&p->n_now, 1) + 1;
        if (now > atomic_load(&p->n_most))
            atomic_store(&p->n_most, now);
        pthread_mutex_lock(&p->lock);
        if (p->n_conns == MAX_CONNS || pthread_create(&c->thread, NULL, conn_main, c) != 0)
            abort();
        p->conns[p->n_conns++] = c;
        pthread_mutex_unlock(&p->lock);
    }
}

peer *peer_start(peer_handler handler, void *user)
{
    peer *p = calloc(1, sizeof *p);
    p->handler = handler;
    p->user = user;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(p->listener, 512) != 0 || getsockname(p->listener, (struct sockaddr *)&at, &n) != 0)
        abort();
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%d", ntohs(at.sin_port));
    if (pthread_create(&p->acceptor, NULL, accept_main, p) != 0)
        abort();
    return p;
}

void peer_stop(peer *p)
{
    atomic_store(&p->is_stopping, true);
    (void)shutdown(p->listener, SHUT_RDWR);
    (void)pthread_join(p->acceptor, NULL);
    (void)close(p->listener);
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->n_conns; i++)
        if (p->conns[i]->fd >= 0)
            (void)shutdown(p->conns[i]->fd, SHUT_RDWR);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_conns; i++) {
        (void)pthread_join(p->conns[i]->thread, NULL);
        free(p->conns[i]);
    }
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *peer_url(const peer *p)
{
    return p->url;
}

int peer_connections(const peer *p)
{
    return atomic_load(&p->n_made);
}

int peer_most_at_once(const peer *p)
{
    return atomic_load(&p->n_most);
}

int peer_posts(const peer *p)
{
    return atomic_load(&p->n_posts);
}
