/*
 * mock_play.c — a play is the reply's bytes, head and chunk frames included, cut into steps with a
 * pause before each. All of it is made before the first byte goes out, so that faults can be given
 * as places in it.
 */
#include <stdlib.h>
#include <string.h>

#include "serve/mock_impl.h"

enum { MAX_STEPS = 1 << 20 };

/* Stands in a token's text until the JSON is written; becomes two bytes that are not UTF-8. */
static const char bad_mark[] = "\\u0001\\u0001";

void mk_play_init(mk_play *p)
{
    *p = (mk_play){0};
    as_buf_init(&p->bytes, (size_t)256 << 20);
    as_buf_init(&p->ev, (size_t)128 << 20);
    as_buf_init(&p->pending, (size_t)128 << 20);
}

void mk_play_release(mk_play *p)
{
    as_buf_release(&p->bytes);
    as_buf_release(&p->ev);
    as_buf_release(&p->pending);
    free(p->steps);
    *p = (mk_play){0};
}

void mk_play_reset(mk_play *p, const mk_fault *fault, bool keep_open)
{
    as_buf_reset(&p->bytes);
    as_buf_reset(&p->ev);
    as_buf_reset(&p->pending);
    p->n_steps = 0;
    p->head_end = 0;
    p->loop_from = p->loop_to = 0;
    p->keep_open = keep_open;
    p->is_chunked = p->has_pending = false;
    p->fault = fault;
    p->status = 200;
    p->n_events = 0;
}

static void add_step(mk_play *p, double delay_ms, bool is_token)
{
    mk_step *steps = p->n_steps < MAX_STEPS
                         ? as_grow(p->steps, (size_t)p->n_steps, &p->cap_steps, sizeof *steps)
                         : NULL;
    if (steps == NULL) { /* too many: the rest comes with the last step */
        p->steps[p->n_steps - 1].end = p->bytes.n;
        return;
    }
    p->steps = steps;
    p->steps[p->n_steps++] = (mk_step){p->bytes.n, delay_ms, is_token};
}

void mk_play_stream(mk_play *p, int status, const char *type, as_str headers, double delay_ms)
{
    p->status = status;
    p->is_chunked = true;
    sv_write_head(&p->bytes, status, as_str_of(type), headers, SIZE_MAX, p->keep_open);
    p->head_end = p->bytes.n;
    add_step(p, delay_ms, false);
}

static void replace_bad_mark(as_buf *b)
{
    const size_t at = as_str_find(as_buf_str(b), as_str_of(bad_mark));
    if (at == SIZE_MAX)
        return;
    b->p[at] = (char)0xFF;
    b->p[at + 1] = (char)0xFE;
    const size_t n = strlen(bad_mark) - 2;
    memmove(b->p + at + 2, b->p + at + 2 + n, b->n - at - 2 - n);
    b->n -= n;
}

void mk_play_whole(mk_play *p, int status, as_str type, as_str headers, as_str body, double head_ms,
                   double first_ms)
{
    p->status = status;
    as_buf *b = &p->pending;
    as_buf_reset(b);
    if (p->fault->long_line > 0) {
        char *room = as_buf_reserve(b, (size_t)p->fault->long_line);
        if (room != NULL) {
            memset(room, ' ', (size_t)p->fault->long_line);
            b->n += (size_t)p->fault->long_line;
        }
    }
    (void)as_buf_add(b, body);
    if (p->fault->bad_utf8)
        replace_bad_mark(b);
    if (p->fault->bad_json)
        b->n /= 2;
    sv_write_head(&p->bytes, status, type, headers, b->n, p->keep_open);
    p->head_end = p->bytes.n;
    if (first_ms > 0 || head_ms > 0) {
        add_step(p, head_ms, false);
        (void)as_buf_add(&p->bytes, as_buf_str(b));
        add_step(p, first_ms, true);
    } else {
        (void)as_buf_add(&p->bytes, as_buf_str(b));
        add_step(p, 0, true);
    }
}

/* Frames the event that waited, and makes it a step. */
static void flush(mk_play *p)
{
    if (!p->has_pending)
        return;
    p->has_pending = false;
    if (p->pending.n == 0)
        return;
    if (p->is_chunked)
        (void)as_buf_printf(&p->bytes, "%zx\r\n", p->pending.n);
    (void)as_buf_add(&p->bytes, as_buf_str(&p->pending));
    if (p->is_chunked)
        (void)as_buf_add_z(&p->bytes, "\r\n");
    add_step(p, p->pending_ms, p->pending_is_token);
    if (p->pending_is_token) {
        if (p->loop_to == 0)
            p->loop_from = p->n_steps - 1;
        p->loop_to = p->n_steps;
    }
}

void mk_play_add(mk_play *p, as_str bytes, double delay_ms, bool is_token)
{
    flush(p);
    as_buf_reset(&p->pending);
    (void)as_buf_add(&p->pending, bytes);
    p->pending_ms = delay_ms;
    p->pending_is_token = is_token;
    p->has_pending = true;
}

void mk_play_end(mk_play *p)
{
    if (p->has_pending && p->fault->no_last_line)
        while (p->pending.n != 0 &&
               (p->pending.p[p->pending.n - 1] == '\n' || p->pending.p[p->pending.n - 1] == '\r'))
            p->pending.n--;
    flush(p);
    if (p->is_chunked && p->n_steps != 0) {
        (void)as_buf_add_z(&p->bytes, "0\r\n\r\n");
        add_step(p, 0, false);
    }
}

as_jw *mk_event(mk_play *p)
{
    as_buf_reset(&p->ev);
    as_jw_init(&p->w, &p->ev);
    return &p->w;
}

/* The event as it is or as a fault has it, between what frames it. */
static void end_event(mk_play *p, const char *before, const char *after, double delay_ms,
                      mk_kind kind)
{
    if (kind == MK_LAST && p->fault->no_finish)
        return;
    as_buf line;
    as_buf_init(&line, (size_t)128 << 20);
    (void)as_buf_add_z(&line, before);
    p->n_events++;
    if (p->n_events == 2 && p->fault->long_line > 0) {
        char *room = as_buf_reserve(&line, (size_t)p->fault->long_line);
        if (room != NULL) {
            memset(room, ' ', (size_t)p->fault->long_line);
            line.n += (size_t)p->fault->long_line;
        }
    }
    as_str json = as_buf_str(&p->ev);
    if (p->n_events == 2 && p->fault->bad_json)
        json.n /= 2;
    (void)as_buf_add(&line, json);
    (void)as_buf_add_z(&line, after);
    if (p->fault->bad_utf8)
        replace_bad_mark(&line);
    mk_play_add(p, as_buf_str(&line), delay_ms, kind == MK_TOKEN);
    if (kind == MK_LAST && p->fault->two_finish)
        mk_play_add(p, as_buf_str(&line), 0, false);
    as_buf_release(&line);
}

void mk_event_sse(mk_play *p, double delay_ms, mk_kind kind)
{
    end_event(p, "data: ", "\n\n", delay_ms, kind);
}

void mk_event_line(mk_play *p, double delay_ms, mk_kind kind)
{
    end_event(p, "", "\n", delay_ms, kind);
}

void mk_done(mk_play *p)
{
    if (!p->fault->no_done)
        mk_play_add(p, AS_STR("data: [DONE]\n\n"), 0, false);
}

double mk_token_delay(const mk_answer *a, int i)
{
    double ms = i == 0 ? a->times.first_ms : a->times.token_ms;
    if (a->times.jitter_ms > 0) {
        as_rng rng;
        as_rng_init(&rng, a->script->seed ^ (a->n << 20) ^ (uint64_t)i, AS_STR("mock/jitter"));
        ms += a->times.jitter_ms * as_rng_f64(&rng);
    }
    return ms;
}
