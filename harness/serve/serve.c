/*
 * serve.c — requests become tasks, events become replies.
 *
 * The loop's thread parses a request, refuses it or gives it to the worker as a task, and writes
 * what the worker's events say. A client that leaves has its task cancelled; the task itself lives
 * until the worker is done with it.
 */
#include "serve/serve.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/time.h"
#include "serve/http.h"
#include "serve/serve_write.h"
#include "serve/worker.h"

enum {
    MAX_HEAD_BYTES = 32 << 10,
    MAX_UNSENT_BYTES = 16 << 20,
    IDLE_MS = 60000,
    SEND_MS = 30000,
    LOOK_MS = 50,
    MAX_TASK_BYTES = 512 << 20,
    MAX_REPLY_BYTES = 512 << 20,
    N_STATUSES = 600,
};

typedef struct server {
    const sv_options *o;
    struct event_base *base;
    sv_http *http;
    sv_worker *worker;
    struct event *wake, *look;
    int wake_fd;
    ap_limits limits;
    as_str model;
    as_sha256 key_hash;
    uint64_t next_task;
    int n_tasks; /* that the worker has */
    int64_t stopping_ns;
    bool has_cancelled;
    int64_t started;
    uint64_t by_status[N_STATUSES];
    as_buf out;
} server;

/* ---- replies ----------------------------------------------------------------------------------- */

static void reply(server *s, sv_conn *c, int status, as_str type, as_str headers, as_str body)
{
    s->by_status[status < N_STATUSES ? status : 0]++;
    sv_reply(c, status, type, headers, body);
}

static void reply_json(server *s, sv_conn *c, as_str body)
{
    reply(s, c, 200, AS_STR("application/json"), AS_STR(""), body);
}

static void reply_error(server *s, sv_conn *c, int status, const char *param, as_str message,
                        as_str headers)
{
    as_buf body;
    as_buf_init(&body, 64 << 10);
    ap_write_error(&body, status, param, message);
    reply(s, c, status, AS_STR("application/json"), headers, as_buf_str(&body));
    as_buf_release(&body);
}

static void error_json(int status, const char *message, as_buf *out)
{
    ap_write_error(out, status, NULL, as_str_of(message));
}

/* ---- what the server tells of itself ------------------------------------------------------------ */

static void tell_health(server *s, sv_conn *c)
{
    sv_totals t;
    sv_worker_totals(s->worker, &t);
    if (t.is_broken)
        reply_error(s, c, 503, NULL, AS_STR("the backend has stopped; restart this server"),
                    AS_STR(""));
    else
        reply_json(s, c, AS_STR("{\"status\":\"ok\"}"));
}

static void tell_models(server *s, sv_conn *c)
{
    const be_info *info = s->o->backend->driver->info(s->o->backend);
    as_buf_reset(&s->out);
    as_jw w;
    as_jw_init(&w, &s->out);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "object", "list");
    as_jw_key(&w, "data");
    as_jw_begin_array(&w);
    for (const char *const *m = s->o->models; *m != NULL; m++) {
        as_jw_begin_object(&w);
        as_jw_put_z(&w, "id", *m);
        as_jw_put_z(&w, "object", "model");
        as_jw_put_i64(&w, "created", s->started);
        as_jw_put_z(&w, "owned_by", "assay");
        as_jw_put_str(&w, "root", info->model_name);
        as_jw_put_i64(&w, "max_model_len", s->o->n_ctx);
        as_jw_key(&w, "meta");
        as_jw_begin_object(&w);
        as_jw_put_str(&w, "architecture", info->architecture);
        as_jw_put_str(&w, "quantization", info->quantization);
        as_jw_put_i64(&w, "n_params", info->n_params);
        as_jw_put_i64(&w, "size", info->file_bytes);
        as_jw_put_str(&w, "sha256", info->sha256);
        as_jw_end_object(&w);
        as_jw_end_object(&w);
    }
    as_jw_end_array(&w);
    as_jw_end_object(&w);
    reply_json(s, c, as_buf_str(&s->out));
}

static void metric(as_buf *out, const char *name, const char *type, const char *help, double v)
{
    char z[32];
    as_f64_text(z, v);
    (void)as_buf_printf(out, "# HELP assay_%s %s\n# TYPE assay_%s %s\nassay_%s %s\n", name, help,
                        name, type, name, z);
}

static void tell_metrics(server *s, sv_conn *c)
{
    sv_totals t;
    sv_worker_totals(s->worker, &t);
    const sv_http_counts *n = sv_http_count(s->http);
    as_buf *b = &s->out;
    as_buf_reset(b);
    metric(b, "requests_running", "gauge", "Prompts in the batch.", t.running);
    metric(b, "requests_waiting", "gauge", "Prompts that wait for a place.", t.waiting);
    metric(b, "replies_total", "counter", "Prompts answered.", (double)t.n_replies);
    metric(b, "scores_total", "counter", "Prompts scored.", (double)t.n_scores);
    metric(b, "failed_total", "counter", "Prompts that failed.", (double)t.n_failed);
    metric(b, "cancelled_total", "counter", "Prompts whose client left.", (double)t.n_cancelled);
    metric(b, "prompt_tokens_total", "counter", "Tokens of prompts.", (double)t.prompt_tokens);
    metric(b, "prompt_tokens_cached_total", "counter", "Of those, not computed anew.",
           (double)t.cached_tokens);
    metric(b, "generated_tokens_total", "counter", "Tokens made.", (double)t.generated_tokens);
    metric(b, "prompt_seconds_total", "counter", "From a place to the first token, summed.",
           t.prompt_seconds);
    metric(b, "generation_seconds_total", "counter", "From the first token to the last, summed.",
           t.generation_seconds);
    metric(b, "time_to_first_token_seconds_sum", "counter", "From arrival to the first token.",
           t.first_token_seconds);
    metric(b, "time_to_first_token_seconds_count", "counter", "How many first tokens.",
           (double)t.n_first_tokens);
    metric(b, "connections_open", "gauge", "Connections.", n->open);
    metric(b, "connections_total", "counter", "Connections taken.", (double)n->connections);
    metric(b, "requests_refused_total", "counter", "Requests that could not be read.",
           (double)n->refused);
    (void)as_buf_add_z(b, "# HELP assay_http_replies_total Replies by status.\n"
                          "# TYPE assay_http_replies_total counter\n");
    for (int i = 0; i < N_STATUSES; i++)
        if (s->by_status[i] != 0)
            (void)as_buf_printf(b, "assay_http_replies_total{status=\"%d\"} %llu\n", i,
                                (unsigned long long)s->by_status[i]);
    reply(s, c, 200, AS_STR("text/plain; version=0.0.4"), AS_STR(""), as_buf_str(b));
}

/* ---- tasks ------------------------------------------------------------------------------------- */

static sv_task *new_task(server *s, sv_conn *c)
{
    sv_task *task = calloc(1, sizeof *task);
    if (task == NULL)
        return NULL;
    as_arena_init(&task->keep, MAX_TASK_BYTES);
    task->id = ++s->next_task;
    task->created = as_wall_ns() / 1000000000;
    task->received_ns = as_now_ns();
    task->conn = c;
    return task;
}

static bool is_queue_full(server *s)
{
    return sv_worker_load(s->worker) >= s->o->max_batch + s->o->max_queue;
}

/* Parses the body into the task; on failure the reply has been sent. */
static bool read_body(server *s, sv_conn *c, sv_task *task, ap_route route)
{
    as_err err = {0};
    ap_problem problem = {.status = 400};
    const as_str body = sv_conn_body(c);
    as_code code = AS_OK;
    if (body.n == 0)
        code = as_fail(&err, AS_PARSE, "the body is empty; want a JSON object");
    if (code == AS_OK && as_json_parse(&task->body, body, &err) != AS_OK)
        code = as_wrap(&err, "the body is not JSON");
    if (code == AS_OK)
        code = ap_parse(&task->rq, route, task->body, &s->limits, &task->keep, &problem, &err);
    if (code == AS_OK) {
        task->n_parts = task->rq.n_prompts > 0 ? task->rq.n_prompts : 1;
        task->parts = as_new(&task->keep, sv_part, task->n_parts);
        code = task->parts != NULL ? AS_OK : as_nomem(&err);
    }
    if (code != AS_OK)
        reply_error(s, c, code == AS_NOMEM ? 503 : problem.status, problem.param,
                    as_str_of(err.text), AS_STR(""));
    return code == AS_OK;
}

static void submit(server *s, sv_conn *c, ap_route route)
{
    if (is_queue_full(s)) {
        reply_error(s, c, 503, NULL,
                    AS_STR("too many requests wait here; try again, or start with --max-queue"),
                    AS_STR("Retry-After: 1\r\n"));
        return;
    }
    sv_task *task = new_task(s, c);
    if (task == NULL) {
        reply_error(s, c, 503, NULL, AS_STR("out of memory"), AS_STR("Retry-After: 1\r\n"));
        return;
    }
    if (!read_body(s, c, task, route)) {
        sv_task_free(task);
        return;
    }
    *sv_conn_user(c) = task;
    s->n_tasks++;
    sv_worker_submit(s->worker, task);
}

static void on_gone(void *user, sv_conn *c)
{
    server *s = user;
    sv_task *task = *sv_conn_user(c);
    if (task == NULL || task->conn == NULL)
        return;
    task->conn = NULL;
    sv_worker_cancel(s->worker, task);
}

/* ---- events ------------------------------------------------------------------------------------ */

static void send_event(const server *s, const sv_task *task)
{
    as_buf line;
    as_buf_init(&line, MAX_REPLY_BYTES);
    (void)as_buf_add_z(&line, "data: ");
    (void)as_buf_add(&line, as_buf_str(&s->out));
    (void)as_buf_add_z(&line, "\n\n");
    sv_add(task->conn, as_buf_str(&line));
    as_buf_release(&line);
}

static void begin_stream(server *s, sv_task *task)
{
    if (task->is_streaming)
        return;
    task->is_streaming = true;
    s->by_status[200]++;
    sv_begin(task->conn, 200, AS_STR("text/event-stream"), AS_STR("Cache-Control: no-cache\r\n"));
}

/* Who answers: the model, or its adapter that the request names. */
static as_str model_of(const server *s, const sv_task *task)
{
    return task->rq.common.lora.n > 0 ? task->rq.common.lora : s->model;
}

static void write_piece(server *s, const sv_task *task, int part, const sv_piece *piece)
{
    if (task->conn == NULL)
        return;
    as_buf_reset(&s->out);
    sv_write_piece(&s->out, task, part, model_of(s, task), piece);
    send_event(s, task);
}

static void send_piece(server *s, sv_task *task, int part, const sv_piece *piece)
{
    sv_part *p = &task->parts[part];
    if (task->conn == NULL)
        return;
    begin_stream(s, task);
    const bool is_first = p->n_sent == 0 && p->n_sent_reasoning == 0;
    const bool is_chat = task->rq.route == AP_CHAT;
    if (is_first && is_chat)
        write_piece(s, task, part, &(sv_piece){.has_role = true});
    if (is_first && task->rq.echo)
        write_piece(s, task, part, &(sv_piece){.text = task->rq.prompts[part].text});
    p->n_sent += piece->text.n;
    p->n_sent_reasoning += piece->reasoning.n;
    if (piece->text.n == 0 && (piece->reasoning.n == 0 || !is_chat))
        return;
    write_piece(s, task, part, piece);
    for (int i = 0; task->rq.wants_logprobs && i < piece->n_made; i++) {
        p->sent_offset += (int64_t)piece->made[i].token.text.n;
        p->n_sent_logprobs++;
    }
}

static void end_stream(server *s, sv_task *task)
{
    for (int i = 0; i < task->n_parts && task->conn != NULL; i++) {
        sv_part *p = &task->parts[i];
        const as_response *r = &p->reply;
        const as_str text = as_str_sub(r->text, p->n_sent, r->text.n);
        const as_str reasoning = as_str_sub(r->reasoning, p->n_sent_reasoning, r->reasoning.n);
        if (text.n != 0 || reasoning.n != 0 || (p->n_sent == 0 && p->n_sent_reasoning == 0))
            send_piece(s, task, i, &(sv_piece){.text = text, .reasoning = reasoning});
        if (task->conn == NULL)
            return;
        as_buf_reset(&s->out);
        sv_write_last(&s->out, task, i, model_of(s, task));
        send_event(s, task);
    }
    if (task->conn != NULL && task->rq.include_usage) {
        as_buf_reset(&s->out);
        sv_write_usage_piece(&s->out, task, model_of(s, task));
        send_event(s, task);
    }
    if (task->conn != NULL)
        sv_add(task->conn, AS_STR("data: [DONE]\n\n"));
    if (task->conn != NULL)
        sv_end(task->conn);
}

static void end_with_error(server *s, sv_task *task, int status, as_str message, int64_t retry_ms)
{
    char headers[64] = "";
    if (retry_ms >= 0 || status == 503)
        (void)snprintf(headers, sizeof headers, "Retry-After: %lld\r\n",
                       (long long)(retry_ms > 0 ? (retry_ms + 999) / 1000 : 1));
    if (!task->is_streaming) {
        reply_error(s, task->conn, status, NULL, message, as_str_of(headers));
        return;
    }
    as_buf_reset(&s->out);
    ap_write_error(&s->out, status, NULL, message);
    send_event(s, task);
    if (task->conn != NULL) { /* no [DONE]: it was not */
        sv_close_after(task->conn);
        sv_end(task->conn);
    }
}

static void end_task(server *s, sv_task *task)
{
    as_str message;
    int64_t retry_ms = -1;
    const int status = sv_failure(task, &message, &retry_ms);
    if (status != 0) {
        end_with_error(s, task, status, message, retry_ms);
        return;
    }
    if (task->rq.stream) {
        end_stream(s, task);
        return;
    }
    as_buf_reset(&s->out);
    if (task->rq.route == AP_CHAT) {
        sv_write_chat(&s->out, task, model_of(s, task));
    } else if (task->rq.route == AP_TEXT) {
        sv_write_text(&s->out, task, model_of(s, task));
    } else if (task->rq.route == AP_DETOKENIZE) {
        sv_write_detokenized(&s->out, task);
    } else if (task->rq.route == AP_TOKENIZE) {
        sv_write_tokens(&s->out, task, s->o->n_ctx);
    } else {
        as_jw w;
        as_jw_init(&w, &s->out);
        as_jw_begin_object(&w);
        as_jw_put_str(&w, "prompt", task->rendered);
        as_jw_end_object(&w);
    }
    if (as_buf_ok(&s->out, NULL) != AS_OK)
        reply_error(s, task->conn, 500, NULL, AS_STR("the reply is too large"), AS_STR(""));
    else
        reply_json(s, task->conn, as_buf_str(&s->out));
}

static void on_event(server *s, sv_event *e)
{
    sv_task *task = e->task;
    if (e->kind == SV_DELTA) {
        const sv_piece piece = {.text = e->text,
                                .reasoning = e->reasoning,
                                .made = e->logprobs,
                                .n_made = e->n_logprobs};
        send_piece(s, task, e->part, &piece);
        return;
    }
    if (task->conn != NULL)
        end_task(s, task);
    s->n_tasks--;
    sv_task_free(task);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    server *s = arg;
    uint64_t n = 0;
    (void)!read(fd, &n, sizeof n);
    sv_event *list = sv_worker_take(s->worker);
    while (list != NULL) {
        sv_event *e = list;
        list = e->next;
        on_event(s, e);
        free(e);
    }
}

/* On the worker's thread. */
static void notify(void *user)
{
    const server *s = user;
    const uint64_t one = 1;
    (void)!write(s->wake_fd, &one, sizeof one);
}

/* ---- routes ------------------------------------------------------------------------------------ */

static void take_chat(server *s, sv_conn *c)
{
    submit(s, c, AP_CHAT);
}

static void take_text(server *s, sv_conn *c)
{
    submit(s, c, AP_TEXT);
}

static void take_tokenize(server *s, sv_conn *c)
{
    submit(s, c, AP_TOKENIZE);
}

static void take_detokenize(server *s, sv_conn *c)
{
    submit(s, c, AP_DETOKENIZE);
}

static void take_template(server *s, sv_conn *c)
{
    submit(s, c, AP_TEMPLATE);
}

static const struct {
    const char *method, *path;
    bool is_open; /* without a key */
    void (*take)(server *s, sv_conn *c);
} routes[] = {
    {"GET", "/health", true, tell_health},
    {"GET", "/v1/models", false, tell_models},
    {"GET", "/metrics", false, tell_metrics},
    {"POST", "/v1/chat/completions", false, take_chat},
    {"POST", "/v1/completions", false, take_text},
    {"POST", "/tokenize", false, take_tokenize},
    {"POST", "/detokenize", false, take_detokenize},
    {"POST", "/apply-template", false, take_template},
};

/* By hashes, so that the time tells nothing of the key. */
static bool has_key(const server *s, const sv_head *head)
{
    if (s->o->key == NULL)
        return true;
    as_str given = sv_head_get(head, "x-api-key");
    const as_str bearer = sv_head_get(head, "authorization");
    if (bearer.n > 7 && strncasecmp(bearer.p, "Bearer ", 7) == 0)
        given = as_str_trim(as_str_sub(bearer, 7, bearer.n));
    const as_sha256 h = as_sha256_of(given);
    unsigned char difference = 0;
    for (size_t i = 0; i < sizeof h; i++)
        difference |= (unsigned char)(((const unsigned char *)&h)[i] ^
                                      ((const unsigned char *)&s->key_hash)[i]);
    return difference == 0;
}

static void on_request(void *user, sv_conn *c)
{
    server *s = user;
    const sv_head *head = sv_conn_head(c);
    const char *allowed = NULL;
    const bool is_head = as_str_eq_z(head->method, "HEAD");
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!as_str_eq_z(head->path, routes[i].path))
            continue;
        allowed = routes[i].method;
        if (!as_str_eq_z(head->method, allowed) && !(is_head && strcmp(allowed, "GET") == 0))
            continue;
        if (!routes[i].is_open && !has_key(s, head))
            reply_error(s, c, 401, NULL,
                        AS_STR("the key is missing or wrong; send \"Authorization: Bearer KEY\""),
                        AS_STR("WWW-Authenticate: Bearer\r\n"));
        else
            routes[i].take(s, c);
        return;
    }
    if (allowed == NULL) {
        reply_error(
            s, c, 404, NULL,
            AS_STR("no such route; this server has /v1/chat/completions, /v1/completions, "
                   "/v1/models, /tokenize, /detokenize, /apply-template, /health and /metrics"),
            AS_STR(""));
        return;
    }
    char allow[32], message[64];
    (void)snprintf(allow, sizeof allow, "Allow: %s\r\n", allowed);
    (void)snprintf(message, sizeof message, "this route wants %s", allowed);
    reply_error(s, c, 405, NULL, as_str_of(message), as_str_of(allow));
}

/* ---- running ----------------------------------------------------------------------------------- */

/* Stops in three steps: no new connections, then cancels, then leaves the loop. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    server *s = arg;
    if (s->o->stop == NULL || *s->o->stop == 0)
        return;
    const int64_t now = as_now_ns();
    if (s->stopping_ns == 0) {
        s->stopping_ns = now;
        sv_http_drain(s->http);
    }
    const int64_t ms = (now - s->stopping_ns) / 1000000;
    if (s->n_tasks > 0 && ms > s->o->grace_ms && !s->has_cancelled) {
        s->has_cancelled = true;
        sv_worker_cancel_all(s->worker);
    }
    const bool is_sent = sv_http_count(s->http)->open == 0;
    const bool is_done = s->n_tasks == 0 && (is_sent || ms > s->o->grace_ms + 2000);
    if (is_done || ms > s->o->grace_ms + 10000) /* the worker's close waits for the backend */
        (void)event_base_loopbreak(s->base);
}

static bool is_loopback(const char *host)
{
    return strcmp(host, "::1") == 0 || strncmp(host, "127.", 4) == 0;
}

as_code sv_check(const sv_options *o, as_err *err)
{
    if (o->key == NULL && !is_loopback(o->host))
        return as_fail(err, AS_RANGE,
                       "--host %s: whoever reaches this address could use the model; give a key "
                       "with --api-key-env NAME, or stay at 127.0.0.1",
                       o->host);
    if (o->key != NULL && strlen(o->key) < 8)
        return as_fail(err, AS_RANGE, "the key has fewer than 8 characters; want a longer one");
    return AS_OK;
}

static void set_limits(server *s)
{
    const be_backend *be = s->o->backend;
    const unsigned caps = be->driver->caps(be);
    s->limits = (ap_limits){
        .max_tokens = s->o->n_ctx > 0 ? s->o->n_ctx : 4096,
        .can_chat = (caps & BE_CAN_CHAT) != 0,
        .can_logprobs = (caps & BE_CAN_LOGPROBS) != 0,
        .can_score = (caps & BE_CAN_SCORE) != 0,
        .can_ids = (caps & BE_CAN_IDS) != 0,
        .can_tokenize = be->driver->tokenize != NULL && (caps & BE_CAN_TOKENIZE) != 0,
        .can_detokenize = be->driver->detokenize != NULL && (caps & BE_CAN_TOKENIZE) != 0,
        .can_lora = (caps & BE_CAN_LORA) != 0,
        .models = s->o->models,
    };
    s->model = as_str_of(s->o->models[0]);
    if (s->o->key != NULL)
        s->key_hash = as_sha256_of(as_str_of(s->o->key));
}

static as_code open_loop(server *s, as_err *err)
{
    s->base = event_base_new();
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->base == NULL || s->wake_fd < 0)
        return as_fail_sys(err, "serve: no event loop");
    s->wake = event_new(s->base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
    s->look = event_new(s->base, -1, EV_PERSIST, on_look, s);
    const struct timeval every = {.tv_usec = LOOK_MS * 1000L};
    if (s->wake == NULL || s->look == NULL || event_add(s->wake, NULL) != 0 ||
        event_add(s->look, &every) != 0)
        return as_nomem(err);
    const sv_http_options http = {
        .host = s->o->host,
        .port = s->o->port,
        .max_head_bytes = MAX_HEAD_BYTES,
        .max_body_bytes = (size_t)s->o->max_body_bytes,
        .max_unsent_bytes = MAX_UNSENT_BYTES,
        .max_connections = s->o->max_connections,
        .request_ms = s->o->request_ms,
        .idle_ms = IDLE_MS,
        .send_ms = SEND_MS,
        .log = s->o->log,
        .user = s,
        .on_request = on_request,
        .on_gone = on_gone,
        .error_json = error_json,
    };
    AS_TRY(sv_http_open(&s->http, s->base, &http, err));
    return sv_worker_open(&s->worker, s->o->backend, s->o->max_batch, s->o->log, notify, s, err);
}

static void close_server(server *s)
{
    sv_http_close(s->http);
    sv_worker_close(s->worker);
    if (s->wake != NULL)
        event_free(s->wake);
    if (s->look != NULL)
        event_free(s->look);
    if (s->base != NULL)
        event_base_free(s->base);
    if (s->wake_fd >= 0)
        (void)close(s->wake_fd);
    as_buf_release(&s->out);
}

as_code sv_run(const sv_options *o, as_err *err)
{
    AS_TRY(sv_check(o, err));
    server s = {.o = o, .wake_fd = -1, .started = as_wall_ns() / 1000000000};
    as_buf_init(&s.out, MAX_REPLY_BYTES);
    set_limits(&s);
    as_code c = open_loop(&s, err);
    if (c == AS_OK) {
        o->on_ready(o->user, o->host, sv_http_port(s.http));
        if (event_base_dispatch(s.base) < 0)
            c = as_fail_sys(err, "serve: the event loop");
    }
    close_server(&s);
    return c;
}
