#include "serve/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 1 };

typedef enum command_kind { SUBMIT, CANCEL, CANCEL_ALL } command_kind;

typedef struct command {
    struct command *next;
    command_kind kind;
    sv_task *task;
} command;

struct sv_worker {
    pthread_mutex_t lock; /* guards the next group */
    pthread_cond_t called;
    command *commands, **commands_end;
    sv_event *events, **events_end;
    int load;
    sv_totals totals;
    bool is_stopping;

    be_backend *be; /* the rest is the thread's */
    const be_driver *driver;
    int max_batch;
    const as_log *log;
    void (*notify)(void *user);
    void *user;
    pthread_t thread;
    sv_part *first, *last; /* parts with requests not in flight yet, and those in flight */
    int n_in_flight;
    uint64_t next_job;
    bool is_broken;
};

void sv_task_free(sv_task *task)
{
    if (task == NULL)
        return;
    as_json_free(task->body);
    as_arena_release(&task->keep);
    free(task);
}

/* ---- events ------------------------------------------------------------------------------------ */

static void post(sv_worker *w, sv_event *e)
{
    (void)pthread_mutex_lock(&w->lock);
    const bool was_empty = w->events == NULL;
    *w->events_end = e;
    w->events_end = &e->next;
    (void)pthread_mutex_unlock(&w->lock);
    if (was_empty)
        w->notify(w->user);
}

static sv_event *new_event(sv_event_kind kind, sv_task *task, as_str text, as_str reasoning)
{
    sv_event *e = malloc(sizeof *e + text.n + reasoning.n + 1);
    if (e == NULL)
        return NULL;
    char *bytes = (char *)(e + 1);
    *e = (sv_event){.kind = kind,
                    .task = task,
                    .text = {bytes, text.n},
                    .reasoning = {bytes + text.n, reasoning.n}};
    if (text.n != 0)
        memcpy(bytes, text.p, text.n);
    if (reasoning.n != 0)
        memcpy(bytes + text.n, reasoning.p, reasoning.n);
    return e;
}

/* A task must end: for its last event memory is waited for. */
static void post_done(sv_worker *w, sv_task *task)
{
    sv_event *e = new_event(SV_DONE, task, (as_str){0}, (as_str){0});
    while (e == NULL) {
        const struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
        e = new_event(SV_DONE, task, (as_str){0}, (as_str){0});
    }
    (void)pthread_mutex_lock(&w->lock);
    w->load -= task->n_parts;
    (void)pthread_mutex_unlock(&w->lock);
    post(w, e);
}

/* ---- results ----------------------------------------------------------------------------------- */

static bool copy_str(as_str *s, as_arena *keep)
{
    if (s->p == NULL)
        return true;
    *s = as_arena_str(keep, *s);
    return s->p != NULL;
}

static bool copy_logprobs(const as_token_logprob **list, int n, as_arena *keep)
{
    as_token_logprob *all = as_new(keep, as_token_logprob, n);
    if (all == NULL)
        return false;
    for (int i = 0; i < n; i++) {
        all[i] = (*list)[i];
        as_token *top = as_new(keep, as_token, all[i].n_top);
        if (top == NULL || !copy_str(&all[i].token.text, keep))
            return false;
        for (int k = 0; k < all[i].n_top; k++) {
            top[k] = all[i].top[k];
            if (!copy_str(&top[k].text, keep))
                return false;
        }
        all[i].top = top;
    }
    *list = all;
    return true;
}

static void on_delta(void *user, const as_delta *delta)
{
    sv_part *p = user;
    sv_task *task = p->task;
    sv_event *e = new_event(SV_DELTA, task, delta->text, delta->reasoning);
    if (e == NULL) { /* the whole text comes with the end */
        p->has_lost_logprobs = true;
        return;
    }
    e->part = p->index;
    e->logprobs = delta->logprobs;
    e->n_logprobs = p->has_lost_logprobs ? 0 : delta->n_logprobs;
    if (!copy_logprobs(&e->logprobs, e->n_logprobs, &task->keep)) {
        p->has_lost_logprobs = true;
        e->n_logprobs = 0;
    }
    post(task->worker, e);
}

static void copy_response(as_response *out, const as_response *r, as_arena *keep)
{
    *out = *r;
    out->gaps_ns = NULL;
    out->n_gaps = 0;
    out->finish_raw = out->model = out->fingerprint = out->endpoint = (as_str){0};
    if (copy_str(&out->text, keep) && copy_str(&out->reasoning, keep) &&
        copy_str(&out->message, keep) && copy_logprobs(&out->logprobs, out->n_logprobs, keep))
        return;
    as_response_init(out);
    out->finish = AS_FINISH_ERROR;
    out->error = AS_ERROR_SERVER;
    out->message = AS_STR("the reply does not fit in memory");
}

static void set_failure(as_response *out, as_error_kind kind, const as_err *err, as_arena *keep)
{
    as_response_init(out);
    out->finish = AS_FINISH_ERROR;
    out->error = kind;
    out->message = as_arena_str(keep, as_str_of(err->text));
}

static void add_totals(sv_worker *w, const sv_part *p, const as_response *r, bool is_score)
{
    (void)pthread_mutex_lock(&w->lock);
    sv_totals *t = &w->totals;
    if (r->finish == AS_FINISH_ERROR)
        t->n_failed++;
    else if (r->finish == AS_FINISH_CANCELLED)
        t->n_cancelled++;
    else if (is_score)
        t->n_scores++;
    else
        t->n_replies++;
    t->prompt_tokens += r->prompt_tokens > 0 ? r->prompt_tokens : 0;
    t->prompt_tokens += is_score ? p->ask_score.n_continuation_ids : 0;
    t->cached_tokens += r->cached_tokens > 0 ? r->cached_tokens : 0;
    t->generated_tokens += !is_score && r->completion_tokens > 0 ? r->completion_tokens : 0;
    if (r->first_token_ns >= 0) {
        t->n_first_tokens++;
        t->first_token_seconds += (double)r->first_token_ns / 1e9;
        t->prompt_seconds +=
            (double)(r->first_token_ns - (r->queue_ns > 0 ? r->queue_ns : 0)) / 1e9;
        if (r->last_token_ns > r->first_token_ns)
            t->generation_seconds += (double)(r->last_token_ns - r->first_token_ns) / 1e9;
    }
    (void)pthread_mutex_unlock(&w->lock);
}

/* ---- parts ------------------------------------------------------------------------------------- */

static void unlink_part(sv_worker *w, sv_part *p)
{
    sv_part *before = NULL;
    for (sv_part *q = w->first; q != p; q = q->next)
        before = q;
    if (before != NULL)
        before->next = p->next;
    else
        w->first = p->next;
    if (w->last == p)
        w->last = before;
}

static void part_ended(sv_worker *w, sv_part *p)
{
    unlink_part(w, p);
    sv_task *task = p->task;
    if (--task->n_left == 0)
        post_done(w, task);
}

static void on_done(void *user, const as_request *rq, const as_response *r)
{
    sv_worker *w = user;
    sv_part *p = rq->delta_user;
    const bool is_score = rq == &p->ask_score;
    copy_response(is_score ? &p->score : &p->reply, r, &p->task->keep);
    add_totals(w, p, r, is_score);
    w->n_in_flight--;
    if (--p->n_open == 0)
        part_ended(w, p);
}

static void submit_one(sv_worker *w, sv_part *p, as_request *rq, as_response *r)
{
    as_err err = {0};
    rq->job = ++w->next_job;
    rq->delta_user = p;
    if (w->is_broken) {
        set_failure(r, AS_ERROR_SERVER, &p->task->failure, &p->task->keep);
        r->message = AS_STR("the backend has stopped; its last error is in this server's log");
        return;
    }
    const as_code c = w->driver->submit(w->be, rq, &err);
    if (c != AS_OK) {
        set_failure(r, c == AS_RANGE || c == AS_UNSUPPORTED ? AS_ERROR_REQUEST : AS_ERROR_SERVER,
                    &err, &p->task->keep);
        return;
    }
    p->n_open++;
    w->n_in_flight++;
}

/* The prompt's tokens, where the request wants to know or score them. */
static as_code find_ids(sv_worker *w, sv_part *p, as_err *err)
{
    const ap_request *rq = &p->task->rq;
    const ap_prompt *prompt = &rq->prompts[p->index];
    as_arena *keep = &p->task->keep;
    int32_t *ids = NULL, *bos = NULL;
    int n = 0, n_bos = 0;
    p->ids = prompt->ids;
    p->n_ids = prompt->ids != NULL ? prompt->n_ids : 0;
    if (w->driver->tokenize == NULL)
        return AS_OK;
    if (prompt->ids == NULL) {
        AS_TRY(w->driver->tokenize(w->be, prompt->text, true, &ids, &n, keep, err));
        p->ids = ids;
        p->n_ids = n;
    }
    AS_TRY(w->driver->tokenize(w->be, AS_STR(""), true, &bos, &n_bos, keep, err));
    p->begins_with_bos = p->n_ids > 0 && n_bos > 0 && p->ids[0] == bos[0];
    return AS_OK;
}

static as_code prepare_part(sv_worker *w, sv_part *p, as_err *err)
{
    const ap_request *rq = &p->task->rq;
    const bool echoes_ids = rq->echo && rq->prompts[p->index].ids != NULL &&
                            (w->driver->caps(w->be) & BE_CAN_SCORE) != 0;
    /* Only a score tells the texts of given ids. */
    p->wants_score = rq->prompt_logprobs >= 0 || (rq->echo && rq->wants_logprobs) || echoes_ids;
    p->wants_reply = rq->max_tokens > 0;
    p->ask_reply = rq->common;
    p->ask_reply.on_delta = rq->stream ? on_delta : NULL;
    as_response_init(&p->reply);
    as_response_init(&p->score);
    if (rq->route == AP_CHAT)
        return AS_OK;
    if (p->wants_score || rq->return_token_ids)
        AS_TRY(find_ids(w, p, err));
    const ap_prompt *prompt = &rq->prompts[p->index];
    p->ask_reply.prompt = prompt->text;
    p->ask_reply.ids = prompt->ids != NULL ? prompt->ids : p->ids;
    p->ask_reply.n_ids = prompt->ids != NULL ? prompt->n_ids : p->n_ids;
    if (prompt->ids != NULL || p->n_ids != 0)
        p->ask_reply.prompt = (as_str){0};
    if (p->wants_score && p->n_ids < 2) {
        p->wants_score = false; /* nothing stands behind the first token */
        p->score.finish = AS_FINISH_STOP;
    }
    if (p->wants_score) {
        const int top =
            rq->prompt_logprobs > rq->top_logprobs ? rq->prompt_logprobs : rq->top_logprobs;
        p->ask_score = rq->common;
        p->ask_score.ask = AS_ASK_SCORE;
        p->ask_score.ids = p->ids;
        p->ask_score.n_ids = 1;
        p->ask_score.continuation_ids = p->ids + 1;
        p->ask_score.n_continuation_ids = p->n_ids - 1;
        p->ask_score.top_logprobs = top > 0 ? top : 1;
        p->ask_score.n_stop = 0;
    }
    return AS_OK;
}

static void start_part(sv_worker *w, sv_part *p)
{
    as_err err = {0};
    p->is_started = true;
    p->n_open = 1; /* held, so that a part does not end while it starts */
    const as_code c = prepare_part(w, p, &err);
    if (c != AS_OK) {
        set_failure(&p->reply, c == AS_NOMEM ? AS_ERROR_SERVER : AS_ERROR_REQUEST, &err,
                    &p->task->keep);
    } else {
        if (p->wants_score)
            submit_one(w, p, &p->ask_score, &p->score);
        if (p->wants_reply)
            submit_one(w, p, &p->ask_reply, &p->reply);
    }
    if (--p->n_open == 0)
        part_ended(w, p);
}

static void start_parts(sv_worker *w)
{
    for (sv_part *p = w->first, *next; p != NULL && w->n_in_flight < w->max_batch; p = next) {
        next = p->next;
        if (!p->is_started)
            start_part(w, p);
    }
}

/* ---- commands ---------------------------------------------------------------------------------- */

static as_code tell_tokens(sv_worker *w, sv_task *task, as_err *err)
{
    const ap_request *rq = &task->rq;
    sv_part *p = &task->parts[0];
    int32_t *ids = NULL;
    as_str text = rq->n_prompts != 0 ? rq->prompts[0].text : (as_str){0};
    bool is_prompt = rq->add_special_tokens;
    if (rq->common.is_chat) {
        if (w->driver->render == NULL)
            return as_fail(err, AS_UNSUPPORTED, "this backend does not tell its prompts");
        AS_TRY(w->driver->render(w->be, &rq->common, &task->rendered, &task->keep, err));
        text = task->rendered;
        /* Templates write the first token themselves, or leave it to the tokenizer. */
        int32_t *with = NULL, *bos = NULL;
        int n_with = 0, n_bos = 0;
        AS_TRY(w->driver->tokenize(w->be, text, true, &with, &n_with, &task->keep, err));
        AS_TRY(w->driver->tokenize(w->be, AS_STR(""), true, &bos, &n_bos, &task->keep, err));
        is_prompt = !(n_bos == 1 && n_with > 1 && with[0] == bos[0] && with[1] == bos[0]);
    }
    AS_TRY(w->driver->tokenize(w->be, text, is_prompt, &ids, &p->n_ids, &task->keep, err));
    p->ids = ids;
    return AS_OK;
}

/* What needs no place in the batch is answered at once. */
static void answer_now(sv_worker *w, sv_task *task)
{
    as_code c;
    if (task->rq.route == AP_TOKENIZE)
        c = tell_tokens(w, task, &task->failure);
    else if (task->rq.route == AP_DETOKENIZE)
        c = w->driver->detokenize(w->be, task->rq.prompts[0].ids, task->rq.prompts[0].n_ids,
                                  &task->rendered, &task->keep, &task->failure);
    else if (w->driver->render == NULL)
        c = as_fail(&task->failure, AS_UNSUPPORTED, "this backend does not tell its prompts");
    else
        c = w->driver->render(w->be, &task->rq.common, &task->rendered, &task->keep,
                              &task->failure);
    task->fail_status = c == AS_OK ? 0 : c == AS_UNSUPPORTED ? 501 : c == AS_NOMEM ? 503 : 400;
    post_done(w, task);
}

static void add_parts(sv_worker *w, sv_task *task)
{
    task->n_left = task->n_parts;
    for (int i = 0; i < task->n_parts; i++) {
        sv_part *p = &task->parts[i];
        p->task = task;
        p->index = i;
        p->next = NULL;
        if (w->last != NULL)
            w->last->next = p;
        else
            w->first = p;
        w->last = p;
    }
}

static void cancel_part(sv_worker *w, sv_part *p)
{
    if (!p->is_started) {
        as_response_init(&p->reply);
        p->reply.finish = AS_FINISH_CANCELLED;
        add_totals(w, p, &p->reply, false);
        part_ended(w, p);
    } else if (w->driver->cancel_one != NULL) { /* else it runs to its end, unheard */
        w->driver->cancel_one(w->be, p->ask_reply.job);
        w->driver->cancel_one(w->be, p->ask_score.job);
    }
}

static void cancel_parts(sv_worker *w, const sv_task *task)
{
    for (sv_part *p = w->first, *next; p != NULL; p = next) {
        next = p->next;
        if (task == NULL || p->task == task)
            cancel_part(w, p);
    }
}

static void obey(sv_worker *w, command *list)
{
    while (list != NULL) {
        command *c = list;
        list = c->next;
        if (c->kind == CANCEL_ALL) {
            cancel_parts(w, NULL);
        } else if (c->kind == CANCEL) {
            cancel_parts(w, c->task);
        } else if (c->task->rq.route == AP_CHAT || c->task->rq.route == AP_TEXT) {
            add_parts(w, c->task);
        } else {
            answer_now(w, c->task);
        }
        free(c);
    }
}

/* ---- the thread -------------------------------------------------------------------------------- */

/* The backend can do nothing more: whoever waits is told, and so is whoever comes. */
static void break_down(sv_worker *w, const as_err *err)
{
    as_log_line(w->log, AS_LOG_ERROR, "serve: the backend stopped: %s", err->text);
    w->is_broken = true;
    (void)pthread_mutex_lock(&w->lock);
    w->totals.is_broken = true;
    (void)pthread_mutex_unlock(&w->lock);
    w->n_in_flight = 0;
    for (sv_part *p = w->first, *next; p != NULL; p = next) {
        next = p->next;
        set_failure(&p->reply, AS_ERROR_SERVER, err, &p->task->keep);
        if (p->is_started) {
            p->n_open = 0;
            part_ended(w, p);
        }
    }
}

static void count_parts(sv_worker *w)
{
    int running = 0, waiting = 0;
    for (const sv_part *p = w->first; p != NULL; p = p->next)
        if (p->is_started)
            running++;
        else
            waiting++;
    (void)pthread_mutex_lock(&w->lock);
    w->totals.running = running;
    w->totals.waiting = waiting;
    (void)pthread_mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
    sv_worker *w = arg;
    for (;;) {
        (void)pthread_mutex_lock(&w->lock);
        while (w->commands == NULL && w->first == NULL && !w->is_stopping)
            (void)pthread_cond_wait(&w->called, &w->lock);
        command *list = w->commands;
        w->commands = NULL;
        w->commands_end = &w->commands;
        const bool is_over = w->is_stopping && list == NULL && w->first == NULL;
        (void)pthread_mutex_unlock(&w->lock);
        if (is_over)
            return NULL;
        obey(w, list);
        start_parts(w);
        count_parts(w);
        if (w->n_in_flight > 0) {
            as_err err = {0};
            if (w->driver->poll(w->be, POLL_MS, on_done, w, &err) != AS_OK)
                break_down(w, &err);
        }
        count_parts(w);
    }
}

/* ---- the loop's side --------------------------------------------------------------------------- */

as_code sv_worker_open(sv_worker **out, be_backend *backend, int max_batch, const as_log *log,
                       void (*notify)(void *user), void *user, as_err *err)
{
    *out = NULL;
    sv_worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return as_nomem(err);
    w->be = backend;
    w->driver = backend->driver;
    w->max_batch = max_batch;
    w->log = log;
    w->notify = notify;
    w->user = user;
    w->commands_end = &w->commands;
    w->events_end = &w->events;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->called, NULL);
    const int failed = pthread_create(&w->thread, NULL, run, w);
    if (failed != 0) {
        free(w);
        return as_fail(err, AS_NOMEM, "serve: no thread can be made");
    }
    *out = w;
    return AS_OK;
}

static void call(sv_worker *w, command_kind kind, sv_task *task)
{
    command *c = malloc(sizeof *c);
    while (c == NULL) { /* small, and must not be lost */
        const struct timespec pause = {.tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
        c = malloc(sizeof *c);
    }
    *c = (command){.kind = kind, .task = task};
    (void)pthread_mutex_lock(&w->lock);
    if (kind == SUBMIT)
        w->load += task->n_parts;
    *w->commands_end = c;
    w->commands_end = &c->next;
    (void)pthread_cond_signal(&w->called);
    (void)pthread_mutex_unlock(&w->lock);
}

void sv_worker_submit(sv_worker *w, sv_task *task)
{
    task->worker = w;
    call(w, SUBMIT, task);
}

void sv_worker_cancel(sv_worker *w, sv_task *task)
{
    call(w, CANCEL, task);
}

void sv_worker_cancel_all(sv_worker *w)
{
    call(w, CANCEL_ALL, NULL);
}

sv_event *sv_worker_take(sv_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    sv_event *list = w->events;
    w->events = NULL;
    w->events_end = &w->events;
    (void)pthread_mutex_unlock(&w->lock);
    return list;
}

int sv_worker_load(sv_worker *w)
{
    (void)pthread_mutex_lock(&w->lock);
    const int load = w->load;
    (void)pthread_mutex_unlock(&w->lock);
    return load;
}

void sv_worker_totals(sv_worker *w, sv_totals *out)
{
    (void)pthread_mutex_lock(&w->lock);
    *out = w->totals;
    (void)pthread_mutex_unlock(&w->lock);
}

void sv_worker_close(sv_worker *w)
{
    if (w == NULL)
        return;
    sv_worker_cancel_all(w);
    (void)pthread_mutex_lock(&w->lock);
    w->is_stopping = true;
    (void)pthread_cond_signal(&w->called);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    for (sv_event *e = w->events, *next; e != NULL; e = next) {
        next = e->next;
        if (e->kind == SV_DONE)
            sv_task_free(e->task);
        free(e);
    }
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->called);
    free(w);
}
