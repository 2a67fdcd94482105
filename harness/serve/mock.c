/*
 * mock.c — the server of `assay mock`: takes a request, finds its rule, makes the play and performs
 * it; keeps counters and a record of what was really sent when.
 *
 * A play without pauses, pieces or faults goes out at once. Any other becomes a performance: it
 * owns its bytes and a timer and ends with the reply, a fault, or the client's leaving.
 */
#include "serve/mock.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/time.h"
#include "serve/mock_impl.h"

enum {
    MAX_BODY_BYTES = 256 << 20,
    MAX_UNSENT_BYTES = 256 << 20,
    N_RECORDS = 4096,           /* the last requests whose times are kept */
    RUN_WRITES = 256,           /* of one performance before others get their turn */
    ENDLESS_UNSENT = 256 << 10, /* an endless reply waits while so much is unsent */
    BODY_KEPT = 64 << 10,       /* of one request at /_mock/requests */
    STOP_LOOK_MS = 100,
};

typedef struct record {
    uint64_t n;
    char path[64], id[48]; /* id: the client's X-Request-Id */
    int status, rule;      /* rule -1: default */
    uint64_t conn;
    int64_t received_ns, first_byte_ns, first_token_ns, done_ns;
    bool cancelled, faulted;
} record;

typedef struct kept {
    uint64_t n;
    as_buf head, body;
} kept;

typedef struct mock {
    const mk_options *o;
    mk_script script;
    struct event_base *base;
    sv_http *http;
    struct event *resume, *look;
    mk_play play; /* the one being made */
    as_arena scratch;
    uint64_t n_requests, n_cancelled, n_faulted, n_done;
    int64_t started_ns;
    record *records;
    kept *kept;
    struct performance *shows;
} mock;

typedef struct performance {
    mock *m;
    sv_conn *conn;
    struct performance *prev, *next;
    mk_play play;
    mk_fault fault;
    size_t pos;
    int step;
    bool has_waited, is_stalled, was_stalled;
    double piece_ms, stalled_ms;
    size_t piece_bytes;
    struct event *timer;
    record *rec;
} performance;

/* ---- records ----------------------------------------------------------------------------------- */

static record *begin_record(mock *m, sv_conn *c)
{
    const sv_head *head = sv_conn_head(c);
    record *r = &m->records[m->n_requests % N_RECORDS];
    *r = (record){.n = ++m->n_requests, .received_ns = as_now_ns(), .conn = sv_conn_id(c)};
    (void)snprintf(r->path, sizeof r->path, "%.*s", AS_ARG(head->path));
    (void)snprintf(r->id, sizeof r->id, "%.*s", AS_ARG(sv_head_get(head, "x-request-id")));
    if (m->script.keep_requests > 0) {
        kept *k = &m->kept[(r->n - 1) % (uint64_t)m->script.keep_requests];
        k->n = r->n;
        as_buf_reset(&k->head);
        (void)as_buf_printf(&k->head, "%.*s %.*s", AS_ARG(head->method), AS_ARG(head->target));
        for (int i = 0; i < head->n_headers; i++)
            (void)as_buf_printf(&k->head, "\n%.*s: %.*s", AS_ARG(head->headers[i].name),
                                AS_ARG(head->headers[i].value));
        as_buf_reset(&k->body);
        (void)as_buf_add(&k->body, as_str_sub(sv_conn_body(c), 0, BODY_KEPT));
    }
    return r;
}

static void write_record(as_jw *w, const record *r)
{
    as_jw_begin_object(w);
    as_jw_put_i64(w, "n", (int64_t)r->n);
    as_jw_put_z(w, "path", r->path);
    as_jw_put_z(w, "request_id", r->id);
    as_jw_put_i64(w, "status", r->status);
    as_jw_put_i64(w, "rule", r->rule);
    as_jw_put_i64(w, "connection", (int64_t)r->conn);
    as_jw_put_i64(w, "received_ns", r->received_ns);
    as_jw_put_i64(w, "first_byte_ns", r->first_byte_ns);
    as_jw_put_i64(w, "first_token_ns", r->first_token_ns);
    as_jw_put_i64(w, "done_ns", r->done_ns);
    as_jw_put_bool(w, "cancelled", r->cancelled);
    as_jw_put_bool(w, "faulted", r->faulted);
    as_jw_end_object(w);
}

static void write_stats(mock *m, as_buf *out)
{
    const sv_http_counts *n = sv_http_count(m->http);
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_object(&w);
    as_jw_put_i64(&w, "requests", (int64_t)m->n_requests);
    as_jw_put_i64(&w, "done", (int64_t)m->n_done);
    as_jw_put_i64(&w, "cancelled", (int64_t)m->n_cancelled);
    as_jw_put_i64(&w, "faulted", (int64_t)m->n_faulted);
    as_jw_put_i64(&w, "refused", (int64_t)n->refused);
    as_jw_put_i64(&w, "busy", n->busy - 1); /* this request is not counted */
    as_jw_put_i64(&w, "max_at_once", n->max_busy);
    as_jw_put_i64(&w, "connections", (int64_t)n->connections);
    as_jw_put_i64(&w, "open_connections", n->open);
    as_jw_put_i64(&w, "max_connections", n->max_open);
    as_jw_put_i64(&w, "started_ns", m->started_ns);
    as_jw_put_i64(&w, "now_ns", as_now_ns());
    as_jw_key(&w, "rules");
    as_jw_begin_array(&w);
    for (int i = 0; i < m->script.n_rules; i++) {
        as_jw_begin_object(&w);
        as_jw_put_i64(&w, "met", m->script.rules[i].n_met);
        as_jw_put_i64(&w, "played", m->script.rules[i].n_played);
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
    as_jw_key(&w, "times");
    as_jw_begin_array(&w);
    const uint64_t from = m->n_requests > N_RECORDS ? m->n_requests - N_RECORDS : 0;
    for (uint64_t i = from; i < m->n_requests; i++)
        write_record(&w, &m->records[i % N_RECORDS]);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
}

static void write_requests(const mock *m, as_buf *out)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_array(&w);
    const uint64_t room = (uint64_t)m->script.keep_requests;
    const uint64_t from = m->n_requests > room ? m->n_requests - room : 0;
    for (uint64_t i = from; room != 0 && i < m->n_requests; i++) {
        const kept *k = &m->kept[i % room];
        as_jw_begin_object(&w);
        as_jw_put_i64(&w, "n", (int64_t)k->n);
        as_jw_put_str(&w, "head", as_buf_str(&k->head));
        as_jw_put_str(&w, "body", as_buf_str(&k->body));
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
}

static void reset(mock *m)
{
    sv_http_counts *n = sv_http_count(m->http);
    n->connections = n->requests = n->gone = n->refused = 0;
    n->max_open = n->open;
    n->max_busy = 0;
    m->n_requests = m->n_cancelled = m->n_faulted = m->n_done = 0;
    m->started_ns = as_now_ns();
    for (int i = 0; i < m->script.n_rules; i++)
        m->script.rules[i].n_met = m->script.rules[i].n_played = 0;
    memset(m->records, 0, N_RECORDS * sizeof *m->records);
}

/* /_mock/…: about the mock itself, not counted. True if it was. */
static bool answer_self(mock *m, sv_conn *c)
{
    const as_str path = sv_conn_head(c)->path;
    if (!as_str_starts(path, AS_STR("/_mock/")))
        return false;
    as_buf out;
    as_buf_init(&out, (size_t)128 << 20);
    int status = 200;
    if (as_str_eq_z(path, "/_mock/stats")) {
        write_stats(m, &out);
    } else if (as_str_eq_z(path, "/_mock/requests")) {
        write_requests(m, &out);
    } else if (as_str_eq_z(path, "/_mock/reset")) {
        reset(m);
        (void)as_buf_add_z(&out, "{}");
    } else {
        status = 404;
        mk_error_body(&out, MK_OPENAI, path, 404,
                      AS_STR("this mock has /_mock/stats, /_mock/requests and /_mock/reset"));
    }
    sv_reply(c, status, AS_STR("application/json"), AS_STR(""), as_buf_str(&out));
    as_buf_release(&out);
    return true;
}

/* ---- performing -------------------------------------------------------------------------------- */

static void end_show(performance *s)
{
    if (s->prev != NULL)
        s->prev->next = s->next;
    else
        s->m->shows = s->next;
    if (s->next != NULL)
        s->next->prev = s->prev;
    event_free(s->timer);
    mk_play_release(&s->play);
    free(s);
}

static void wait_ms(performance *s, double ms)
{
    const double us = ms * 1000;
    const struct timeval tv = {.tv_sec = (time_t)(us / 1e6),
                               .tv_usec = (suseconds_t)((int64_t)us % 1000000)};
    (void)event_base_update_cache_time(s->m->base); /* else the wait begins where the loop woke */
    (void)event_add(s->timer, &tv);
}

static size_t place(const mk_play *p, int64_t at)
{
    return at == MK_NONE                         ? SIZE_MAX
           : at == MK_HEAD                       ? p->head_end
           : at == MK_HALF                       ? p->head_end + (p->bytes.n - p->head_end) / 2
           : (uint64_t)at > (uint64_t)p->bytes.n ? SIZE_MAX
                                                 : (size_t)at;
}

/* Where it stalls: pings are chunks of their own, so with them not inside of one. */
static size_t stall_place(const performance *s)
{
    const size_t at = place(&s->play, s->fault.stall_after);
    for (int i = 0; i < s->play.n_steps && s->fault.ping_ms > 0 && s->play.is_chunked; i++)
        if (s->play.steps[i].end >= at)
            return s->play.steps[i].end;
    return at;
}

/* True if a fault at this place ended or stalled the show. */
static bool meets_fault(performance *s)
{
    const mk_fault *f = &s->fault;
    mock *m = s->m;
    const bool cuts = s->pos == place(&s->play, f->cut_after);
    const bool resets = s->pos == place(&s->play, f->reset_after);
    if (cuts || resets) {
        m->n_faulted++;
        s->rec->faulted = true;
        s->rec->done_ns = as_now_ns();
        if (cuts)
            sv_cut(s->conn);
        else
            sv_reset(s->conn);
        end_show(s);
        return true;
    }
    if (s->was_stalled || s->pos != stall_place(s))
        return false;
    if (s->is_stalled && f->stall_ms > 0 && s->stalled_ms >= f->stall_ms) {
        s->was_stalled = true;
        return false;
    }
    if (!s->is_stalled) {
        s->is_stalled = true;
        m->n_faulted++;
        s->rec->faulted = true;
    } else if (f->ping_ms > 0) {
        sv_raw(s->conn, s->play.is_chunked ? AS_STR("8\r\n: ping\n\n\r\n") : AS_STR(": ping\n\n"));
    }
    double ms = f->ping_ms > 0 ? f->ping_ms : f->stall_ms;
    if (f->stall_ms > 0 && ms > f->stall_ms - s->stalled_ms)
        ms = f->stall_ms - s->stalled_ms;
    s->stalled_ms += ms;
    if (ms > 0)
        wait_ms(s, ms);
    return true;
}

static void note_sent(performance *s, const mk_step *step)
{
    if (s->rec->first_byte_ns == 0)
        s->rec->first_byte_ns = as_now_ns();
    if (step->is_token && s->rec->first_token_ns == 0)
        s->rec->first_token_ns = as_now_ns();
}

static size_t next_stop(const performance *s, size_t end)
{
    const size_t places[] = {place(&s->play, s->fault.cut_after),
                             place(&s->play, s->fault.reset_after),
                             s->was_stalled ? SIZE_MAX : stall_place(s)};
    for (size_t i = 0; i < 3; i++)
        if (places[i] > s->pos && places[i] < end)
            end = places[i];
    if (s->piece_bytes != 0 && end - s->pos > s->piece_bytes)
        end = s->pos + s->piece_bytes;
    return end;
}

static void finish_show(performance *s)
{
    s->rec->done_ns = as_now_ns();
    s->m->n_done++;
    sv_conn *c = s->conn;
    const bool keep_open = s->play.keep_open;
    end_show(s);
    sv_finish(c, keep_open);
}

static void perform(performance *s)
{
    for (int writes = 0; writes < RUN_WRITES; writes++) {
        if (meets_fault(s))
            return;
        if (s->step == s->play.n_steps) {
            finish_show(s);
            return;
        }
        const mk_step *step = &s->play.steps[s->step];
        if (!s->has_waited && step->delay_ms > 0) {
            s->has_waited = true;
            wait_ms(s, step->delay_ms);
            return;
        }
        s->has_waited = true;
        if (s->fault.endless && sv_unsent(s->conn) > ENDLESS_UNSENT) {
            wait_ms(s, 1);
            return;
        }
        const size_t end = next_stop(s, step->end);
        note_sent(s, step);
        sv_raw(s->conn, (as_str){s->play.bytes.p + s->pos, end - s->pos});
        s->pos = end;
        if (end == step->end) {
            s->step++;
            s->has_waited = false;
            if (s->fault.endless && s->play.loop_to != 0 && s->step == s->play.loop_to) {
                s->step = s->play.loop_from;
                s->pos = s->step != 0 ? s->play.steps[s->step - 1].end : 0;
            }
        }
        if (s->piece_ms > 0) {
            wait_ms(s, s->piece_ms);
            return;
        }
    }
    wait_ms(s, 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    perform(arg);
}

static void on_gone(void *user, sv_conn *c)
{
    mock *m = user;
    performance *s = *sv_conn_user(c);
    m->n_cancelled++;
    if (s == NULL)
        return;
    s->rec->cancelled = true;
    s->rec->done_ns = as_now_ns();
    end_show(s);
}

static size_t piece_of(const mock *m, const mk_rule *r)
{
    const int64_t n = m->o->piece_bytes != 0 ? m->o->piece_bytes : r->piece_bytes;
    return n > 0 ? (size_t)n : 0;
}

static bool is_simple(const mk_play *p, const mk_rule *r, size_t piece_bytes)
{
    const mk_fault *f = &r->fault;
    if (piece_bytes != 0 || f->endless || f->cut_after != MK_NONE || f->reset_after != MK_NONE ||
        f->stall_after != MK_NONE)
        return false;
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].delay_ms > 0)
            return false;
    return true;
}

static void start_show(mock *m, sv_conn *c, const mk_rule *r, record *rec)
{
    rec->status = m->play.status;
    if (is_simple(&m->play, r, piece_of(m, r))) {
        sv_raw(c, as_buf_str(&m->play.bytes));
        rec->first_byte_ns = rec->first_token_ns = rec->done_ns = as_now_ns();
        m->n_done++;
        sv_finish(c, m->play.keep_open);
        return;
    }
    performance *s = calloc(1, sizeof *s);
    struct event *timer = s != NULL ? event_new(m->base, -1, 0, on_timer, s) : NULL;
    if (timer == NULL) {
        free(s);
        sv_reset(c);
        return;
    }
    s->m = m;
    s->conn = c;
    s->play = m->play; /* takes the bytes; the next play begins with none */
    mk_play_init(&m->play);
    s->fault = r->fault;
    s->piece_bytes = piece_of(m, r);
    s->piece_ms = r->piece_ms;
    s->timer = timer;
    s->rec = rec;
    s->next = m->shows;
    if (m->shows != NULL)
        m->shows->prev = s;
    m->shows = s;
    *sv_conn_user(c) = s;
    perform(s);
}

/* ---- replies ----------------------------------------------------------------------------------- */

static bool add_hex(as_buf *out, as_str hex)
{
    int high = -1;
    for (size_t i = 0; i < hex.n; i++) {
        const char c = hex.p[i];
        const int d = as_hex_digit(c);
        if (d < 0 && c != ' ')
            return false;
        if (d < 0)
            continue;
        if (high >= 0)
            (void)as_buf_add_byte(out, (char)(high * 16 + d));
        high = high >= 0 ? -1 : d;
    }
    return high < 0;
}

static void raw_body(mock *m, const as_json *raw, as_buf *body)
{
    as_err err = {0};
    as_str text;
    if (as_json_str(as_json_get(raw, "hex"), &text)) {
        if (!add_hex(body, text))
            as_log_line(m->o->log, AS_LOG_WARN, "mock: \"hex\" has a digit that is none");
    } else if (as_json_str(as_json_get(raw, "file"), &text)) {
        const char *path = as_path_join(&m->scratch, m->script.dir.p, text.p);
        if (path == NULL || as_read_file(body, path, &err) != AS_OK)
            as_log_line(m->o->log, AS_LOG_WARN, "mock: %s", err.text);
    } else if (as_json_get(raw, "json") != NULL) {
        as_jw w;
        as_jw_init(&w, body);
        as_jw_node(&w, as_json_get(raw, "json"));
    } else {
        (void)as_buf_add(body, mk_text(raw, "body", ""));
    }
}

static void play_raw(mock *m, const mk_rule *r)
{
    mk_play *p = &m->play;
    as_buf body, headers;
    as_buf_init(&body, MAX_BODY_BYTES);
    as_buf_init(&headers, 0);
    raw_body(m, r->raw, &body);
    const as_str framing = mk_text(r->raw, "framing", "length");
    const as_str type = mk_text(r->raw, "type", "application/json");
    const int status = (int)mk_number(r->raw, "status", 200);
    (void)mk_headers_of(as_json_get(r->raw, "headers"), &headers);
    if (as_str_eq_z(framing, "none")) { /* the bytes are the whole reply, head and all */
        p->keep_open = false;
        p->status = 0;
        mk_play_add(p, as_buf_str(&body), r->times.head_ms + r->times.first_ms, true);
        mk_play_end(p);
    } else if (as_str_eq_z(framing, "chunked")) {
        mk_play_stream(p, status, type.p, as_buf_str(&headers), r->times.head_ms);
        mk_play_add(p, as_buf_str(&body), r->times.first_ms, true);
        mk_play_end(p);
    } else if (as_str_eq_z(framing, "close")) {
        as_buf head;
        as_buf_init(&head, 0);
        (void)as_buf_printf(
            &head, "HTTP/1.1 %d %s\r\nContent-Type: %.*s\r\n%.*sConnection: close\r\n\r\n", status,
            sv_status_text(status), AS_ARG(type), AS_ARG(as_buf_str(&headers)));
        p->keep_open = false;
        p->status = status;
        p->head_end = head.n;
        mk_play_add(p, as_buf_str(&head), r->times.head_ms, false);
        mk_play_add(p, as_buf_str(&body), r->times.first_ms, true);
        mk_play_end(p);
        as_buf_release(&head);
    } else {
        mk_play_whole(p, status, type, as_buf_str(&headers), as_buf_str(&body), r->times.head_ms,
                      r->times.first_ms);
    }
    as_buf_release(&body);
    as_buf_release(&headers);
}

static void play_error(mock *m, const mk_answer *a, int status, as_str message)
{
    as_buf body, headers;
    as_buf_init(&body, 0);
    as_buf_init(&headers, 0);
    mk_error_body(&body, m->script.servers, a->head->path, status, message);
    mk_play_whole(&m->play, status, AS_STR("application/json"),
                  mk_headers_of(as_json_get(a->reply, "headers"), &headers), as_buf_str(&body),
                  a->times.head_ms, 0);
    as_buf_release(&body);
    as_buf_release(&headers);
}

static bool has_key(const mock *m, const sv_head *head)
{
    if (m->script.key.n == 0)
        return true;
    const as_str bearer = sv_head_get(head, "authorization");
    return (as_str_starts(bearer, AS_STR("Bearer ")) &&
            as_str_eq(as_str_sub(bearer, 7, bearer.n), m->script.key)) ||
           as_str_eq(sv_head_get(head, "x-goog-api-key"), m->script.key) ||
           as_str_eq(sv_head_get(head, "x-api-key"), m->script.key);
}

static void make_play(mock *m, sv_conn *c, mk_rule *r, const as_json *tree, bool is_bad_json)
{
    const sv_head *head = sv_conn_head(c);
    const mk_route *route = mk_route_find(&m->script, head);
    mk_answer a = {.script = &m->script,
                   .head = head,
                   .body = tree,
                   .n = m->n_requests,
                   .times = r->times,
                   .scratch = &m->scratch};
    const int status = (int)mk_number(r->reply, "status", 200);
    const as_str error = mk_text(r->reply, "error", "");
    if (!has_key(m, head)) {
        play_error(m, &a, 401, AS_STR("the key is missing or wrong"));
    } else if (r->raw != NULL) {
        play_raw(m, r);
    } else if (status >= 400 || error.n != 0) {
        a.reply = r->reply;
        play_error(m, &a, status >= 400 ? status : 500,
                   error.n != 0 ? error : as_str_of(sv_status_text(status)));
    } else if (route == NULL) {
        play_error(m, &a, 404, AS_STR("no such route on this server"));
    } else if (is_bad_json) {
        play_error(m, &a, 400, AS_STR("the body is not JSON"));
    } else if (route->answer != NULL) {
        mk_answer_make(&a, r, &r->fault);
        route->answer(&m->play, &a);
    } else {
        mk_answer_make(&a, r, &r->fault);
        route->tell(&m->play, &a);
        mk_play_whole(&m->play, 200, route->type.n != 0 ? route->type : AS_STR("application/json"),
                      AS_STR(""), as_buf_str(&m->play.ev), r->times.head_ms, 0);
    }
}

static void on_request(void *user, sv_conn *c)
{
    mock *m = user;
    if (answer_self(m, c))
        return;
    record *rec = begin_record(m, c);
    const as_str body = sv_conn_body(c);
    as_json *tree = NULL;
    const bool is_bad_json = body.n != 0 && as_json_parse(&tree, body, NULL) != AS_OK;
    mk_rule *r = mk_script_find(&m->script, sv_conn_head(c), body, tree);
    rec->rule = r == &m->script.otherwise ? -1 : (int)(r - m->script.rules);
    const int64_t n_replies = m->script.close_after_replies;
    const bool keep_open = sv_conn_head(c)->keep_alive && !r->fault.close &&
                           (n_replies == 0 || sv_conn_replies(c) + 1 < n_replies);
    mk_play_reset(&m->play, &r->fault, keep_open);
    const size_t mark = as_arena_mark(&m->scratch);
    make_play(m, c, r, tree, is_bad_json);
    as_arena_rewind(&m->scratch, mark);
    as_json_free(tree);
    start_show(m, c, r, rec);
}

/* ---- running ----------------------------------------------------------------------------------- */

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sv_http_pause(((mock *)arg)->http, false);
}

static void on_open(void *user, sv_conn *c)
{
    (void)c;
    mock *m = user;
    if (m->script.accept_pause_ms <= 0)
        return;
    sv_http_pause(m->http, true);
    const double us = m->script.accept_pause_ms * 1000;
    const struct timeval tv = {.tv_sec = (time_t)(us / 1e6),
                               .tv_usec = (suseconds_t)((int64_t)us % 1000000)};
    (void)event_add(m->resume, &tv);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    const mock *m = arg;
    if (m->o->stop != NULL && *m->o->stop != 0)
        (void)event_base_loopbreak(m->base);
}

static void error_json(int status, const char *message, as_buf *out)
{
    mk_error_body(out, MK_OPENAI, AS_STR("/"), status, as_str_of(message));
}

static as_code open_mock(mock *m, as_err *err)
{
    const sv_http_options http = {
        .host = m->o->host,
        .port = m->o->port,
        .max_head_bytes = 64 << 10,
        .max_body_bytes = MAX_BODY_BYTES,
        .max_unsent_bytes = MAX_UNSENT_BYTES,
        .max_connections = 10000,
        .request_ms = 600000,
        .idle_ms = (int)m->script.idle_ms,
        .send_ms = 600000,
        .log = m->o->log,
        .user = m,
        .on_request = on_request,
        .on_gone = on_gone,
        .on_open = on_open,
        .error_json = error_json,
    };
    m->records = calloc(N_RECORDS, sizeof *m->records);
    m->kept = calloc((size_t)m->script.keep_requests + 1, sizeof *m->kept);
    m->base = event_base_new();
    if (m->records == NULL || m->kept == NULL || m->base == NULL)
        return as_nomem(err);
    for (int64_t i = 0; i < m->script.keep_requests; i++) {
        as_buf_init(&m->kept[i].head, 128 << 10);
        as_buf_init(&m->kept[i].body, BODY_KEPT);
    }
    m->resume = event_new(m->base, -1, 0, on_resume, m);
    m->look = event_new(m->base, -1, EV_PERSIST, on_look, m);
    const struct timeval every = {.tv_usec = STOP_LOOK_MS * 1000L};
    if (m->resume == NULL || m->look == NULL || event_add(m->look, &every) != 0)
        return as_nomem(err);
    return sv_http_open(&m->http, m->base, &http, err);
}

static void close_mock(mock *m)
{
    for (performance *s = m->shows, *next = NULL; s != NULL; s = next) {
        next = s->next;
        end_show(s);
    }
    sv_http_close(m->http);
    if (m->resume != NULL)
        event_free(m->resume);
    if (m->look != NULL)
        event_free(m->look);
    if (m->base != NULL)
        event_base_free(m->base);
    for (int64_t i = 0; m->kept != NULL && i < m->script.keep_requests; i++) {
        as_buf_release(&m->kept[i].head);
        as_buf_release(&m->kept[i].body);
    }
    free(m->kept);
    free(m->records);
    mk_play_release(&m->play);
    as_arena_release(&m->scratch);
    mk_script_release(&m->script);
}

as_code mk_run(const mk_options *o, as_err *err)
{
    mock m = {.o = o, .started_ns = as_now_ns()};
    AS_TRY(mk_script_load(&m.script, o->path, err));
    mk_play_init(&m.play);
    as_arena_init(&m.scratch, 0);
    as_code c = open_mock(&m, err);
    if (c == AS_OK) {
        o->on_ready(o->user, o->host, sv_http_port(m.http));
        if (event_base_dispatch(m.base) < 0)
            c = as_fail_sys(err, "mock: the event loop");
    }
    close_mock(&m);
    return c;
}
