#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/stats.h"
#include "base/time.h"
#include "base/utf8.h"

static const int64_t redraw_ns = 200000000; /* terminal */
static const int64_t plain_ns = 5000000000; /* log */

void cli_progress_init(cli_progress *p, bool is_off)
{
    *p = (cli_progress){.is_terminal = isatty(STDERR_FILENO) == 1, .is_off = is_off};
}

static void put_duration(as_buf *b, double seconds)
{
    const long s = (long)(seconds + 0.5);
    if (s < 60)
        (void)as_buf_printf(b, "%lds", s);
    else if (s < 3600)
        (void)as_buf_printf(b, "%ldm%02lds", s / 60, s % 60);
    else
        (void)as_buf_printf(b, "%ldh%02ldm", s / 3600, s / 60 % 60);
}

static void put_rate(as_buf *b, const run_tick *t)
{
    const double seconds = (double)t->elapsed_ns / 1e9;
    const int64_t now_done = t->n_done - t->n_before;
    if (seconds <= 0 || now_done <= 0)
        return;
    const double rate = (double)now_done / seconds;
    (void)as_buf_printf(b, rate >= 10 ? "  %.0f/s" : "  %.2f/s", rate);
    if (t->completion_tokens > 0)
        (void)as_buf_printf(b, "  %.0f tok/s", (double)t->completion_tokens / seconds);
    if (t->is_last) {
        (void)as_buf_add_z(b, "  took ");
        put_duration(b, seconds);
    } else if (t->n_done < t->n_total) {
        (void)as_buf_add_z(b, "  left ");
        put_duration(b, (double)(t->n_total - t->n_done) / rate);
    }
}

static void put_anatomy(as_buf *b, const run_tick *t)
{
    for (int v = 0; v < AS_N_VERDICTS; v++)
        if (t->anatomy[v] != 0)
            (void)as_buf_printf(b, "  %s %lld", as_verdict_name((as_verdict)v),
                                (long long)t->anatomy[v]);
    if (t->n_retries != 0)
        (void)as_buf_printf(b, "  retries %lld", (long long)t->n_retries);
    if (!t->is_last && t->n_flight > 0)
        (void)as_buf_printf(b, "  at once %d", t->n_flight);
    if (!t->is_last && t->n_judging > 0)
        (void)as_buf_printf(b, "  being judged %d", t->n_judging);
}

static void put_line(as_buf *b, const run_tick *t)
{
    const char *name = t->task != NULL ? t->task->suite.suite->name : "run";
    (void)as_buf_printf(b, "%s  %lld/%lld", name, (long long)t->n_done, (long long)t->n_total);
    put_rate(b, t);
    if (t->n_scored > 0) {
        const double n = (double)t->n_scored;
        const as_interval i = as_wilson(t->score_sum, n, AS_Z95);
        (void)as_buf_printf(b, "  score %.1f %% [%.1f, %.1f]", 100 * t->score_sum / n, 100 * i.lo,
                            100 * i.hi);
    }
    put_anatomy(b, t);
}

void cli_progress_tick(void *user, const run_tick *tick)
{
    cli_progress *p = user;
    const int64_t now = as_now_ns();
    const int64_t every = p->is_terminal ? redraw_ns : plain_ns;
    if (p->is_off || (!tick->is_last && now - p->last_shown_ns < every))
        return;
    if (!tick->is_last && !p->is_terminal && p->last_shown_ns == 0 && tick->elapsed_ns < plain_ns)
        return; /* short runs need no log lines but the last */
    p->last_shown_ns = now;
    as_buf b;
    as_buf_init(&b, 4096);
    if (p->is_terminal)
        (void)as_buf_add_z(&b, "\r");
    put_line(&b, tick);
    const size_t width = as_utf8_width(as_buf_str(&b));
    for (size_t i = width; p->is_terminal && i < p->last_width; i++)
        (void)as_buf_add_byte(&b, ' ');
    p->last_width = width;
    if (!p->is_terminal || tick->is_last)
        (void)as_buf_add_byte(&b, '\n');
    (void)fwrite(b.p, 1, b.n, stderr);
    (void)fflush(stderr);
    as_buf_release(&b);
}
