/*
 * bench_client.c — what the client side of a driver costs, and how true its clock is.
 *
 *   bench_client              both measurements, one line each
 *
 * Requests   a child process answers every request of 1 KB at once, with 1 KB; the parent asks
 *            through the driver openai:, so many at once, and counts requests a second and its own
 *            CPU for each.
 * Clock      the child streams to 256 requests at once; its first token holds the time at which it was
 *            handed to the socket. The difference to the driver's time of the first token is the
 *            error. Both read CLOCK_MONOTONIC.
 */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/drivers.h"
#include "base/time.h"

enum {
    MAX_FDS = 4096,
    MAX_REQUEST = 65536,
    N_REQUESTS = 20000,
    N_STREAMS = 256,
    N_ROUNDS = 8,
    N_TOKENS = 8,
    PROMPT_BYTES = 1000,
    MS = 1000000,
};

/* ---- the child: a server ------------------------------------------------------------------------
 */

typedef struct conn {
    char *in; /* [MAX_REQUEST] */
    size_t n;
    bool is_streaming;
    int n_sent;
    int64_t due_ns;
} conn;

static conn conns[MAX_FDS];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n != 0) {
        const ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        p += k;
        n -= (size_t)k;
    }
}

static void answer(int fd, const char *body)
{
    char out[4096];
    const int n = snprintf(
        out, sizeof out,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    send_all(fd, out, (size_t)n);
}

static void reply_whole(int fd)
{
    static char body[2048];
    if (body[0] == '\0') {
        char text[801];
        memset(text, 'x', 800);
        text[800] = '\0';
        (void)snprintf(
            body, sizeof body,
            "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{"
            "\"index\":0,"
            "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],"
            "\"usage\":{\"prompt_tokens\":250,\"completion_tokens\":200,\"total_tokens\":450}}",
            text);
    }
    answer(fd, body);
}

static void send_token(int fd, conn *c)
{
    char out[512];
    int n = 0;
    if (c->n_sent < N_TOKENS)
        n = snprintf(out, sizeof out,
                     "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%lld "
                     "\"},\"finish_reason\":null}]}\n\n",
                     (long long)as_now_ns());
    else
        n = snprintf(
            out, sizeof out,
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: "
            "[DONE]\n\n");
    char chunk[600];
    const int k = snprintf(chunk, sizeof chunk, "%x\r\n%s\r\n%s", (unsigned)n, out,
                           c->n_sent == N_TOKENS ? "0\r\n\r\n" : "");
    send_all(fd, chunk, (size_t)k);
    c->is_streaming = c->n_sent++ != N_TOKENS;
    c->due_ns += INT64_C(20) * MS;
}

static void start_stream(int fd, conn *c)
{
    static uint64_t seed = 1;
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    send_all(fd, head, sizeof head - 1);
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    c->is_streaming = true;
    c->n_sent = 0;
    c->due_ns =
        as_now_ns() + (int64_t)(50 + (seed >> 33) % 200) * MS + (int64_t)((seed >> 20) % MS);
}

static void take_request(int fd, conn *c)
{
    char *end = NULL;
    while (c->n != 0 && (end = strstr(c->in, "\r\n\r\n")) != NULL) {
        const char *length = strcasestr(c->in, "content-length:");
        const size_t head_n = (size_t)(end - c->in) + 4;
        const size_t n =
            head_n + (length != NULL && length < end ? (size_t)strtoul(length + 15, NULL, 10) : 0);
        if (c->n < n)
            return;
        if (c->in[0] == 'G')
            answer(fd, "{\"data\":[{\"id\":\"m\"}]}");
        else if (strstr(c->in, "\"stream\":true") != NULL)
            start_stream(fd, c);
        else
            reply_whole(fd);
        memmove(c->in, c->in + n, c->n - n + 1);
        c->n -= n;
    }
}

static void serve(int listener)
{
    const int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data = {.fd = listener}};
    (void)epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
    int64_t n_streaming = 0;
    for (;;) {
        struct epoll_event events[64];
        const int n = epoll_wait(ep, events, 64, n_streaming != 0 ? 1 : 1000);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept(listener, NULL, NULL);
                if (fd < 0 || fd >= MAX_FDS)
                    die("accept");
                const int on = 1;
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                conns[fd] = (conn){.in = calloc(1, MAX_REQUEST)};
                e = (struct epoll_event){.events = EPOLLIN, .data = {.fd = fd}};
                (void)epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
                continue;
            }
            conn *c = &conns[fd];
            const ssize_t got = recv(fd, c->in + c->n, MAX_REQUEST - 1 - c->n, 0);
            if (got <= 0) {
                free(c->in);
                *c = (conn){0};
                (void)close(fd);
                continue;
            }
            c->n += (size_t)got;
            c->in[c->n] = '\0';
            take_request(fd, c);
        }
        n_streaming = 0;
        for (int fd = 0; fd < MAX_FDS; fd++) {
            if (!conns[fd].is_streaming)
                continue;
            n_streaming++;
            if (conns[fd].due_ns <= as_now_ns())
                send_token(fd, &conns[fd]);
        }
    }
}

/* ---- the parent: the driver ---------------------------------------------------------------------
 */

typedef struct bench {
    be_backend *be;
    as_request *requests; /* [n_at_once] */
    int64_t *submitted_ns;
    int n_left, n_flight, n_failed;
    double *errors_ms; /* [n_errors] */
    int n_errors;
} bench;

static void submit(bench *b, int i)
{
    as_err err = {0};
    b->submitted_ns[i] = as_now_ns();
    if (b->be->driver->submit(b->be, &b->requests[i], &err) != AS_OK)
        die(err.text);
    b->n_left--;
    b->n_flight++;
}

static void on_done(void *user, const as_request *rq, const as_response *r)
{
    bench *b = user;
    b->n_flight--;
    b->n_failed += r->finish != AS_FINISH_STOP;
    if (b->errors_ms != NULL && r->finish == AS_FINISH_STOP) {
        const int64_t truth = strtoll(r->text.p, NULL, 10);
        b->errors_ms[b->n_errors++] =
            (double)(b->submitted_ns[rq->job] + r->first_token_ns - truth) / 1e6;
    }
    if (b->n_left > 0)
        submit(b, (int)rq->job);
}

static double cpu_us(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void run(bench *b, int n_at_once, int n_all, bool whole)
{
    static char text[PROMPT_BYTES];
    memset(text, 'q', sizeof text);
    const as_message m = {.role = AS_STR("user"), .text = {text, sizeof text}};
    b->requests = calloc((size_t)n_at_once, sizeof *b->requests);
    b->submitted_ns = calloc((size_t)n_at_once, sizeof *b->submitted_ns);
    b->n_left = n_all;
    b->n_flight = 0;
    as_err err = {0};
    if (b->requests == NULL || b->submitted_ns == NULL ||
        b->be->driver->prepare(b->be, 0, n_at_once, &err) != AS_OK)
        die("prepare");
    for (int i = 0; i < n_at_once; i++) {
        b->requests[i] = (as_request){.job = (uint64_t)i,
                                      .is_chat = true,
                                      .messages = &m,
                                      .n_messages = 1,
                                      .max_tokens = 256,
                                      .sampling = AS_SAMPLING_GREEDY,
                                      .whole = whole};
        submit(b, i);
    }
    while (b->n_flight > 0)
        if (b->be->driver->poll(b->be, 1000, on_done, b, &err) != AS_OK)
            die(err.text);
    free(b->requests);
    free(b->submitted_ns);
}

static int by_value(const void *a, const void *b)
{
    const double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return x < y ? -1 : x > y;
}

static void measure(bench *b)
{
    static const int at_once[] = {1, 16, 64};
    for (int i = 0; i < 3; i++) {
        const int n = at_once[i] == 1 ? N_REQUESTS / 4 : N_REQUESTS;
        run(b, at_once[i], 500, true);
        const double cpu = cpu_us();
        const int64_t from = as_now_ns();
        run(b, at_once[i], n, true);
        const double s = (double)(as_now_ns() - from) / 1e9;
        (void)printf("%2d at once: %6.0f requests/s, %5.1f us of CPU each, %d failed\n", at_once[i],
                     n / s, (cpu_us() - cpu) / n, b->n_failed);
    }
    b->errors_ms = calloc((size_t)N_STREAMS * N_ROUNDS, sizeof *b->errors_ms);
    run(b, N_STREAMS, N_STREAMS * N_ROUNDS, false);
    qsort(b->errors_ms, (size_t)b->n_errors, sizeof *b->errors_ms, by_value);
    (void)printf("first token, %d streams at once, %d in all: error median %.3f ms, 99 %% %.3f ms, "
                 "largest %.3f "
                 "ms, %d failed\n",
                 N_STREAMS, b->n_errors, b->errors_ms[b->n_errors / 2],
                 b->errors_ms[(size_t)b->n_errors * 99 / 100], b->errors_ms[b->n_errors - 1],
                 b->n_failed);
    free(b->errors_ms);
}

int main(void)
{
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t at_n = sizeof at;
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(listener, 512) != 0 || getsockname(listener, (struct sockaddr *)&at, &at_n) != 0)
        die("listen");
    const pid_t child = fork();
    if (child == 0)
        serve(listener);
    (void)close(listener);
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(at.sin_port));
    const as_str urls[] = {as_str_of(url)};
    const be_option options[] = {{AS_STR("probe"), AS_STR("off")}};
    const be_config config = {.name = AS_STR("m"),
                              .base_urls = urls,
                              .n_base_urls = 1,
                              .options = options,
                              .n_options = 1};
    bench b = {0};
    as_err err = {0};
    if (be_openai.open(&b.be, &config, &err) != AS_OK) {
        (void)fprintf(stderr, "bench_client: %s\n", err.text);
        (void)kill(child, SIGTERM);
        return 1;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    measure(&b);
    be_openai.close(b.be);
    (void)kill(child, SIGTERM);
    (void)waitpid(child, NULL, 0);
    return b.n_failed != 0;
}
