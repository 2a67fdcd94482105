#include "run/concurrency.h"

static const double rise = 1.05; /* worth more in flight */
static const double same = 0.97; /* as good with fewer */
static const double fallen = 0.75;
enum { SHORTEST_WINDOW = 16, PER_PLACE = 4, FIRST_HOLD = 8, LONGEST_HOLD = 64, LOW_WINDOWS = 2 };

static int at_least(int a, int b)
{
    return a > b ? a : b;
}

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

static void begin_window(run_pace *p, int skip, int64_t now_ns)
{
    p->skip = skip;
    p->n = 0;
    p->want = at_least(PER_PLACE * p->limit, SHORTEST_WINDOW);
    p->work = 0;
    p->began_ns = now_ns;
}

static void move_to(run_pace *p, int limit, run_pace_mode mode, int64_t now_ns)
{
    const int before = p->limit;
    p->limit = limit;
    p->mode = mode;
    begin_window(p, limit != before ? at_least(before, limit) : 0, now_ns);
}

void run_pace_init(run_pace *p, int start, int max, int64_t now_ns)
{
    max = at_least(max, 1);
    start = at_least(1, at_most(start, max));
    *p = (run_pace){
        .limit = start, .max = max, .base_limit = start, .hold = FIRST_HOLD, .ceiling = max};
    move_to(p, start, RUN_PACE_BASE, now_ns);
}

static void hold_here(run_pace *p, int limit, int64_t now_ns)
{
    p->hold_left = p->hold;
    p->hold = at_most(2 * p->hold, LONGEST_HOLD);
    p->n_low = 0;
    move_to(p, limit, RUN_PACE_HOLD, now_ns);
}

static void try_more(run_pace *p, int64_t now_ns)
{
    const int step = p->was_overloaded ? 1 : at_least(1, p->limit / 2);
    const int next = at_most(p->limit + step, p->ceiling);
    if (next > p->limit)
        move_to(p, next, RUN_PACE_UP, now_ns);
    else
        hold_here(p, p->limit, now_ns);
}

static void try_fewer(run_pace *p, int64_t now_ns)
{
    if (p->limit > 1)
        move_to(p, p->limit - at_least(1, p->limit / 4), RUN_PACE_DOWN, now_ns);
    else
        hold_here(p, p->limit, now_ns);
}

static void keep(run_pace *p, double rate)
{
    p->base_limit = p->limit;
    p->base_rate = rate;
}

static void hold_window(run_pace *p, double rate, int64_t now_ns)
{
    p->n_low = rate < fallen * p->base_rate ? p->n_low + 1 : 0;
    if (p->n_low == LOW_WINDOWS && p->limit > 1) {
        keep(p, rate);
        try_fewer(p, now_ns);
        return;
    }
    if (p->n_low == 0)
        p->base_rate += (rate - p->base_rate) / 4; /* the questions change over time */
    if (--p->hold_left > 0) {
        begin_window(p, 0, now_ns);
        return;
    }
    p->ceiling = p->max; /* what was too much then may be fine by now */
    try_more(p, now_ns);
}

static void window_ended(run_pace *p, double rate, int64_t now_ns)
{
    switch (p->mode) {
    case RUN_PACE_BASE:
        keep(p, rate);
        if (p->was_overloaded)
            hold_here(p, p->limit, now_ns);
        else
            try_more(p, now_ns);
        break;
    case RUN_PACE_UP:
        if (rate > rise * p->base_rate) {
            keep(p, rate);
            try_more(p, now_ns);
        } else if (p->base_limit > 1 && !p->was_overloaded) {
            p->limit = p->base_limit;
            try_fewer(p, now_ns);
        } else {
            hold_here(p, p->base_limit, now_ns);
        }
        break;
    case RUN_PACE_HOLD:
        hold_window(p, rate, now_ns);
        break;
    case RUN_PACE_DOWN:
        if (rate > same * p->base_rate) {
            keep(p, rate > p->base_rate ? rate : p->base_rate); /* small losses must not add up */
            if (p->limit > 1) {
                try_fewer(p, now_ns);
                break;
            }
        }
        hold_here(p, p->base_limit, now_ns);
        break;
    }
}

void run_pace_answer(run_pace *p, double work, int64_t now_ns)
{
    if (p->ignore > 0)
        p->ignore--;
    if (p->skip > 0) {
        if (--p->skip == 0)
            p->began_ns = now_ns;
        return;
    }
    p->n++;
    p->work += work;
    if (p->n < p->want || now_ns <= p->began_ns)
        return;
    window_ended(p, p->work / ((double)(now_ns - p->began_ns) / 1e9), now_ns);
}

void run_pace_overload(run_pace *p, int64_t now_ns)
{
    if (p->ignore > 0) {
        p->ignore--;
        return;
    }
    const int before = p->limit;
    p->ignore = before; /* the others in flight will say the same */
    p->was_overloaded = true;
    p->ceiling = at_least(1, before - 1);
    const bool has_good = p->base_rate > 0 && p->base_limit < before;
    const int to = has_good ? p->base_limit : at_least(1, at_most(before - 1, before * 3 / 4));
    p->base_rate = 0;
    move_to(p, to, RUN_PACE_BASE, now_ns);
}
