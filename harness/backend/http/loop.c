#include "backend/http/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "backend/http/curl_api.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/time.h"

enum {
    EVENTS_AT_ONCE = 64,
    READ_BUFFER = 64 << 10,
    KEPT_BUFFER = 1 << 20, /* larger buffers are given back between calls */
    MS = 1000000,
};

struct ht_headers {
    struct curl_slist *list;
    int n;
};

struct ht_call {
    ht_loop *loop;
    ht_call *next_free;
    CURL *easy;
    ht_spec spec;
    as_buf head, body;
    as_buf url;                /* what the easy handle has now */
    const ht_headers *headers; /* the same */
    int connect_ms;
    bool is_post;
    bool is_fresh; /* the easy handle has no options yet */
    int at;        /* place among the active, -1: pooled */
    int status;
    bool has_progress;
    ht_end failure; /* HT_END_REPLY: none of our own */
    int64_t started_ns, first_byte_ns, last_byte_ns;
    char message[CURL_ERROR_SIZE]; /* libcurl's */
    char reason[CURL_ERROR_SIZE];  /* ours, for failure */
};

struct ht_loop {
    const ht_curl *curl;
    CURLM *multi;
    int epoll;
    ht_call **active; /* [n_active], unordered */
    int n_active;
    size_t cap_active;
    ht_call *free;
    int64_t timer_ns; /* when libcurl wants to be called, -1: not */
    int64_t check_ns; /* no deadline of ours is before this */
};

/* ---- headers ------------------------------------------------------------------------------------
 */

as_code ht_headers_add(ht_headers **list, const char *line, as_err *err)
{
    const ht_curl *curl = NULL;
    AS_TRY(ht_curl_load(&curl, err));
    if (*list == NULL)
        *list = calloc(1, sizeof **list);
    if (*list == NULL)
        return as_nomem(err);
    struct curl_slist *longer = curl->slist_append((*list)->list, line);
    if (longer == NULL)
        return as_nomem(err);
    (*list)->list = longer;
    (*list)->n++;
    return AS_OK;
}

void ht_headers_free(ht_headers *list)
{
    const ht_curl *curl = NULL;
    if (list == NULL)
        return;
    if (ht_curl_load(&curl, NULL) == AS_OK)
        curl->slist_free_all(list->list);
    free(list);
}

/* ---- libcurl's callbacks ------------------------------------------------------------------------
 */

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type */
static size_t on_header(char *p, size_t size, size_t n, void *user)
{
    ht_call *call = user;
    const as_str line = {p, size * n};
    if (call->first_byte_ns == 0)
        call->first_byte_ns = as_now_ns();
    if (as_str_starts(line, AS_STR("HTTP/"))) { /* a 100 may come before the real one */
        as_str version, rest, code, words;
        int64_t status = 0;
        as_buf_reset(&call->head);
        (void)as_str_cut(as_str_trim(line), ' ', &version, &rest);
        (void)as_str_cut(rest, ' ', &code, &words);
        (void)as_parse_i64(code, 0, 999, &status);
        call->status = (int)status;
    } else if (call->head.n + line.n <= HT_MAX_HEAD) {
        (void)as_buf_add(&call->head, line);
    }
    return line.n;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type */
static size_t on_write(char *p, size_t size, size_t n, void *user)
{
    const int64_t now = as_now_ns(); /* first of all: this is the time of the tokens inside */
    ht_call *call = user;
    const as_str bytes = {p, size * n};
    call->last_byte_ns = now;
    const bool is_good = call->status >= 200 && call->status < 300;
    if (is_good && call->spec.on_data != NULL) {
        if (call->spec.on_data(call->spec.user, bytes, now))
            return bytes.n;
        call->failure = HT_END_STOPPED;
        return CURL_WRITEFUNC_ERROR;
    }
    const size_t max = !is_good                   ? HT_MAX_ERROR_BODY
                       : call->spec.max_body != 0 ? call->spec.max_body
                                                  : HT_MAX_BODY;
    if (bytes.n > max - call->body.n || as_buf_add(&call->body, bytes) != AS_OK) {
        if (!is_good)
            return bytes.n; /* of an error its beginning is enough */
        call->failure = HT_END_TOO_LARGE;
        (void)snprintf(call->reason, sizeof call->reason,
                       "the reply has more than the %zu bytes allowed", max);
        return CURL_WRITEFUNC_ERROR;
    }
    return bytes.n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    (void)easy;
    ht_loop *loop = user;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.data = {.fd = fd}};
    event.events = ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
                   ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
    const int op = socket_user != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(loop->epoll, op, fd, &event) != 0)
        return -1;
    (void)loop->curl->multi_assign(loop->multi, fd, loop); /* not NULL: known to epoll */
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *user)
{
    (void)multi;
    ht_loop *loop = user;
    loop->timer_ns = ms < 0 ? -1 : ms == 0 ? 0 : as_now_ns() + ms * MS;
    return 0;
}

/* ---- calls --------------------------------------------------------------------------------------
 */

static void call_free(ht_call *call)
{
    if (call == NULL)
        return;
    if (call->easy != NULL)
        call->loop->curl->easy_cleanup(call->easy);
    as_buf_release(&call->head);
    as_buf_release(&call->body);
    as_buf_release(&call->url);
    free(call);
}

/* The options that all calls share. */
static bool set_constants(ht_call *call)
{
    const ht_curl *curl = call->loop->curl;
    CURL *e = call->easy;
    return curl->easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_BUFFERSIZE, (long)READ_BUFFER) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_PIPEWAIT, 1L) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_HEADERDATA, call) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_WRITEDATA, call) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_PRIVATE, call) == CURLE_OK &&
           curl->easy_setopt(e, CURLOPT_ERRORBUFFER, call->message) == CURLE_OK;
}

static ht_call *call_new(ht_loop *loop)
{
    ht_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->loop = loop;
    call->at = -1;
    as_buf_init(&call->head, HT_MAX_HEAD);
    as_buf_init(&call->body, 0);
    as_buf_init(&call->url, 0);
    call->easy = loop->curl->easy_init();
    call->is_fresh = true;
    if (call->easy == NULL) {
        call_free(call);
        return NULL;
    }
    return call;
}

/* Only what differs from the handle's last call is set: libcurl copies and parses every option. */
static as_code set_up(ht_call *call, const ht_spec *spec, as_err *err)
{
    const ht_curl *curl = call->loop->curl;
    CURL *e = call->easy;
    CURLcode c = CURLE_OK;
    if (call->is_fresh) {
        if (!set_constants(call))
            return as_nomem(err);
        as_buf_reset(&call->url);
        call->headers = NULL;
        call->connect_ms = -1;
        call->is_post = call->is_fresh = false;
    }
    if (!as_str_eq_z(as_buf_str(&call->url), spec->url)) {
        const bool is_plain = strncasecmp(spec->url, "http://", 7) == 0;
        as_buf_reset(&call->url);
        if (as_buf_add_z(&call->url, spec->url) != AS_OK)
            return as_nomem(err);
        c = curl->easy_setopt(e, CURLOPT_URL, spec->url);
        if (c == CURLE_OK)
            c = curl->easy_setopt(e, CURLOPT_HTTP_VERSION,
                                  is_plain ? (long)CURL_HTTP_VERSION_1_1
                                           : (long)CURL_HTTP_VERSION_2TLS);
    }
    if (c == CURLE_OK && call->headers != spec->headers)
        c = curl->easy_setopt(e, CURLOPT_HTTPHEADER,
                              spec->headers != NULL ? spec->headers->list : NULL);
    call->headers = spec->headers;
    if (c == CURLE_OK && call->connect_ms != spec->connect_ms)
        c = curl->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)spec->connect_ms);
    call->connect_ms = spec->connect_ms;
    if (c == CURLE_OK && spec->is_post) {
        c = curl->easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->body.n);
        if (c == CURLE_OK)
            c = curl->easy_setopt(e, CURLOPT_POSTFIELDS, spec->body.n != 0 ? spec->body.p : "");
    } else if (c == CURLE_OK && call->is_post) {
        c = curl->easy_setopt(e, CURLOPT_HTTPGET, 1L);
    }
    call->is_post = spec->is_post;
    return c == CURLE_OK ? AS_OK
                         : as_fail(err, AS_RANGE, "%s: %s", spec->url, curl->easy_strerror(c));
}

static void set_free(ht_loop *loop, ht_call *call)
{
    if (call->at >= 0) {
        ht_call *last = loop->active[--loop->n_active];
        loop->active[call->at] = last;
        last->at = call->at;
        call->at = -1;
    }
    if (call->body.cap > KEPT_BUFFER)
        as_buf_release(&call->body);
    if (call->url.cap > KEPT_BUFFER)
        as_buf_release(&call->url);
    call->next_free = loop->free;
    loop->free = call;
}

static int64_t deadline_ns(const ht_call *call)
{
    int64_t at = INT64_MAX;
    const ht_spec *s = &call->spec;
    const int64_t last = call->last_byte_ns != 0 ? call->last_byte_ns : call->started_ns;
    if (s->total_ms > 0)
        at = call->started_ns + (int64_t)s->total_ms * MS;
    if (!call->has_progress && s->first_ms > 0 && call->started_ns + (int64_t)s->first_ms * MS < at)
        at = call->started_ns + (int64_t)s->first_ms * MS;
    /* Before the first byte the server may still be computing the prompt: that is first_ms. */
    if (call->last_byte_ns != 0 && s->idle_ms > 0 && last + (int64_t)s->idle_ms * MS < at)
        at = last + (int64_t)s->idle_ms * MS;
    return at;
}

as_code ht_loop_start(ht_loop *loop, const ht_spec *spec, ht_call **out, as_err *err)
{
    *out = NULL;
    ht_call **active =
        as_grow(loop->active, (size_t)loop->n_active, &loop->cap_active, sizeof(ht_call *));
    if (active == NULL)
        return as_nomem(err);
    loop->active = active;
    ht_call *call = loop->free != NULL ? loop->free : call_new(loop);
    if (call == NULL)
        return as_nomem(err);
    if (loop->free != NULL)
        loop->free = call->next_free;
    call->spec = *spec;
    as_buf_reset(&call->head);
    as_buf_reset(&call->body);
    call->status = 0;
    call->has_progress = false;
    call->failure = HT_END_REPLY;
    call->first_byte_ns = call->last_byte_ns = 0;
    call->message[0] = call->reason[0] = '\0';
    as_code c = set_up(call, spec, err);
    call->started_ns = as_now_ns();
    if (c == AS_OK && loop->curl->multi_add_handle(loop->multi, call->easy) != CURLM_OK)
        c = as_nomem(err);
    if (c != AS_OK) {
        set_free(loop, call);
        return c;
    }
    call->at = loop->n_active;
    loop->active[loop->n_active++] = call;
    const int64_t at = deadline_ns(call);
    if (at < loop->check_ns)
        loop->check_ns = at;
    *out = call;
    return AS_OK;
}

void ht_loop_cancel(ht_loop *loop, ht_call *call)
{
    (void)loop->curl->multi_remove_handle(loop->multi, call->easy);
    loop->curl->easy_reset(call->easy);
    call->is_fresh = true;
    set_free(loop, call);
}

void ht_call_progress(ht_call *call)
{
    call->has_progress = true;
}

as_str ht_call_head(const ht_call *call)
{
    return as_buf_str(&call->head);
}

/* ---- ends ---------------------------------------------------------------------------------------
 */

static ht_end end_of(const ht_call *call, CURLcode c)
{
    if (call->failure != HT_END_REPLY)
        return call->failure;
    switch (c) {
    case CURLE_OK:
        return HT_END_REPLY;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT: /* only connecting has a time of libcurl's */
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return HT_END_CONNECT;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return HT_END_LOST;
    default:
        return HT_END_BROKEN;
    }
}

static void finish(ht_loop *loop, ht_call *call, CURLcode c)
{
    curl_off_t connect_us = 0;
    long n_connects = 0;
    (void)loop->curl->easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    (void)loop->curl->easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &n_connects);
    (void)loop->curl->multi_remove_handle(loop->multi, call->easy);
    if (n_connects > 0) {
        /* libcurl 7.88 counts its tries on dead connections over the life of a handle and fails the
         * sixth; only a reset sets the count back. */
        loop->curl->easy_reset(call->easy);
        call->is_fresh = true;
    }
    if (call->message[0] == '\0' && c != CURLE_OK)
        (void)snprintf(call->message, sizeof call->message, "%s", loop->curl->easy_strerror(c));
    const ht_reply reply = {
        .end = end_of(call, c),
        .status = call->status,
        .head = as_buf_str(&call->head),
        .body = as_buf_str(&call->body),
        .message = call->reason[0] != '\0' ? call->reason : call->message,
        .started_ns = call->started_ns,
        .first_byte_ns = call->first_byte_ns,
        .connect_ns = connect_us * 1000,
    };
    if (call->spec.on_end != NULL)
        call->spec.on_end(call->spec.user, &reply);
    set_free(loop, call);
}

static void finish_overdue(ht_loop *loop, ht_call *call, int64_t now)
{
    const ht_spec *s = &call->spec;
    const bool is_total = s->total_ms > 0 && now >= call->started_ns + (int64_t)s->total_ms * MS;
    const bool is_first = !call->has_progress && s->first_ms > 0 &&
                          now >= call->started_ns + (int64_t)s->first_ms * MS;
    call->failure = is_total ? HT_END_TOTAL : is_first ? HT_END_FIRST : HT_END_IDLE;
    (void)snprintf(call->reason, sizeof call->reason,
                   is_total   ? "no end of the reply within %g s"
                   : is_first ? "no token within %g s"
                              : "nothing more came for %g s",
                   (is_total   ? s->total_ms
                    : is_first ? s->first_ms
                               : s->idle_ms) /
                       1000.0);
    finish(loop, call, CURLE_OK);
}

static void check_deadlines(ht_loop *loop)
{
    const int64_t now = as_now_ns();
    if (now < loop->check_ns)
        return;
    int64_t next = INT64_MAX;
    loop->check_ns = INT64_MAX;
    for (int i = 0; i < loop->n_active;) {
        ht_call *call = loop->active[i];
        const int64_t at = deadline_ns(call);
        if (at <= now) {
            finish_overdue(loop, call, now); /* another one is in its place now */
            continue;
        }
        if (at < next)
            next = at;
        i++;
    }
    if (next < loop->check_ns)
        loop->check_ns = next;
}

/* How many calls have ended. */
static int read_ends(ht_loop *loop)
{
    int n_left = 0, n = 0;
    CURLMsg *m;
    while ((m = loop->curl->multi_info_read(loop->multi, &n_left)) != NULL) {
        if (m->msg != CURLMSG_DONE)
            continue;
        const CURLcode c = m->data.result;
        char *private = NULL;
        (void)loop->curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        finish(loop, (ht_call *)(void *)private, c);
        n++;
    }
    return n;
}

/* ---- the loop -----------------------------------------------------------------------------------
 */

static void fire_timer(ht_loop *loop)
{
    int n = 0;
    /* libcurl may ask for another call at once; what it still wants after a few is done next turn. */
    for (int i = 0; i < 8 && loop->timer_ns >= 0 && loop->timer_ns <= as_now_ns(); i++) {
        loop->timer_ns = -1;
        (void)loop->curl->multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &n);
    }
}

static int sleep_ms(const ht_loop *loop, int wait_ms)
{
    int64_t at = loop->check_ns;
    if (loop->timer_ns >= 0 && loop->timer_ns < at)
        at = loop->timer_ns;
    if (at == INT64_MAX)
        return wait_ms;
    const int64_t ns = at - as_now_ns();
    if (ns <= 0)
        return 0;
    const int64_t ms = (ns + MS - 1) / MS;
    return ms < wait_ms ? (int)ms : wait_ms;
}

as_code ht_loop_turn(ht_loop *loop, int wait_ms, as_err *err)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    fire_timer(loop);
    if (read_ends(loop) != 0)
        wait_ms = 0; /* a reply came while its request was being sent: whoever waits is told now */
    const int n = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, sleep_ms(loop, wait_ms));
    if (n < 0 && errno != EINTR)
        return as_fail_sys(err, "epoll_wait");
    for (int i = 0; i < n; i++) {
        const uint32_t got = events[i].events;
        const int mask = ((got & (EPOLLIN | EPOLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
                         ((got & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                         ((got & EPOLLERR) != 0 ? CURL_CSELECT_ERR : 0);
        int n_running = 0;
        (void)loop->curl->multi_socket_action(loop->multi, events[i].data.fd, mask, &n_running);
    }
    fire_timer(loop);
    (void)read_ends(loop);
    check_deadlines(loop);
    return AS_OK;
}

as_code ht_loop_limit(ht_loop *loop, int per_host, int n_hosts, as_err *err)
{
    const ht_curl *curl = loop->curl;
    CURLM *m = loop->multi;
    const long all = (long)per_host * n_hosts;
    if (curl->multi_setopt(m, CURLMOPT_MAX_HOST_CONNECTIONS, (long)per_host) != CURLM_OK ||
        curl->multi_setopt(m, CURLMOPT_MAXCONNECTS, all) != CURLM_OK)
        return as_fail(err, AS_RANGE, "libcurl refuses %ld connections", all);
    return AS_OK;
}

as_code ht_loop_open(ht_loop **out, int per_host, int n_hosts, as_err *err)
{
    *out = NULL;
    const ht_curl *curl = NULL;
    AS_TRY(ht_curl_load(&curl, err));
    ht_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return as_nomem(err);
    loop->curl = curl;
    loop->timer_ns = -1;
    loop->check_ns = INT64_MAX;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->multi = curl->multi_init();
    CURLM *m = loop->multi;
    if (loop->epoll < 0 || m == NULL ||
        curl->multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
        curl->multi_setopt(m, CURLMOPT_SOCKETDATA, loop) != CURLM_OK ||
        curl->multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
        curl->multi_setopt(m, CURLMOPT_TIMERDATA, loop) != CURLM_OK ||
        ht_loop_limit(loop, per_host, n_hosts, NULL) != AS_OK) {
        ht_loop_close(loop);
        return as_fail(err, AS_IO, "libcurl's loop cannot be set up (open files, memory?)");
    }
    *out = loop;
    return AS_OK;
}

void ht_loop_close(ht_loop *loop)
{
    if (loop == NULL)
        return;
    while (loop->n_active != 0)
        ht_loop_cancel(loop, loop->active[loop->n_active - 1]);
    while (loop->free != NULL) {
        ht_call *call = loop->free;
        loop->free = call->next_free;
        call_free(call);
    }
    if (loop->multi != NULL)
        (void)loop->curl->multi_cleanup(loop->multi);
    if (loop->epoll >= 0)
        (void)close(loop->epoll);
    free(loop->active);
    free(loop);
}
