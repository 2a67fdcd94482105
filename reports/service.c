#include "reports/service.h"

#include <math.h>

#include "base/time.h"

static const double tolerated_share = 0.01;

static void put_title(rp_format format, const char *title, as_buf *out)
{
    (void)as_buf_printf(out, format == RP_MARKDOWN ? "\n### %s\n\n" : "\n%s\n", title);
}

static as_str number(as_arena *a, double v, int digits)
{
    return isnan(v) ? AS_STR("N/A") : as_arena_printf(a, "%.*f", digits, v);
}

static as_str percent(as_arena *a, double share)
{
    return isnan(share) ? AS_STR("N/A") : as_arena_printf(a, "%.2f", 100 * share);
}

static const rp_column time_columns[] = {
    {"Latency (ms)", RP_LEFT}, {"p50", RP_RIGHT}, {"p95", RP_RIGHT}, {"p99", RP_RIGHT}};

static as_code put_times(const db_latency *l, rp_format format, as_buf *out, as_arena *a,
                         as_err *err)
{
    const struct {
        const char *name;
        const db_quantiles *q;
    } rows[] = {{"TTFT", &l->ttft},
                {"first answer token", &l->answer},
                {"TPOT", &l->tpot},
                {"ITL", &l->itl},
                {"whole request", &l->total}};
    rp_table t;
    rp_table_init(&t, time_columns, 4, a);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const db_quantiles *q = rows[i].q;
        const as_str cells[] = {as_str_of(rows[i].name), number(a, 1e3 * q->p50, 2),
                                number(a, 1e3 * q->p95, 2), number(a, 1e3 * q->p99, 2)};
        AS_TRY(rp_table_row(&t, cells, err));
    }
    rp_table_print(&t, format, out);
    return AS_OK;
}

static const rp_column rate_columns[] = {{"Service", RP_LEFT}, {"", RP_RIGHT}};

static as_code put_rates(const db_run_row *run, rp_format format, as_buf *out, as_arena *a,
                         as_err *err)
{
    const db_latency *l = &run->latency;
    const struct {
        const char *name;
        as_str value;
    } rows[] = {
        {"calls measured (first try, no error)", as_arena_printf(a, "%lld", (long long)l->n_calls)},
        {"errors", as_arena_printf(a, "%lld", (long long)l->n_errors)},
        {"retries", as_arena_printf(a, "%lld", (long long)l->n_retries)},
        {"requests at once",
         run->concurrency < 0 ? AS_STR("unknown") : as_arena_printf(a, "%d", run->concurrency)},
        {"requests/s", number(a, l->requests_per_s, 2)},
        {"tokens/s, all together", number(a, l->client_tokens_per_s, 1)},
        {"tokens/s, one request (median)", number(a, l->request_tokens_per_s, 1)},
        {"tokens/s, the server's word", number(a, l->server_tokens_per_s, 1)},
        {"prompt tokens/s, the server's word", number(a, l->server_prompt_tokens_per_s, 1)},
        {"client CPU, % of latency", percent(a, l->client_cpu_share)},
        {"client queue, % of latency", percent(a, l->queue_share)},
        {"client busy, % of time", percent(a, l->busy_share)},
    };
    rp_table t;
    rp_table_init(&t, rate_columns, 2, a);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const as_str cells[] = {as_str_of(rows[i].name), rows[i].value};
        AS_TRY(rp_table_row(&t, cells, err));
    }
    (void)as_buf_add_byte(out, '\n');
    rp_table_print(&t, format, out);
    if (l->client_cpu_share > tolerated_share || l->queue_share > tolerated_share)
        (void)as_buf_add_z(out, "\nThis program's own share of these latencies is over 1 %.\n");
    return AS_OK;
}

as_code rp_latency_table(const db_run_row *run, rp_format format, as_buf *out, as_err *err)
{
    if (!run->has_latency)
        return AS_OK;
    as_arena arena;
    as_arena_init(&arena, 0);
    put_title(format, "Service", out);
    as_code c = put_times(&run->latency, format, out, &arena, err);
    if (c == AS_OK)
        c = put_rates(run, format, out, &arena, err);
    as_arena_release(&arena);
    return c == AS_OK ? as_buf_ok(out, err) : c;
}

static const rp_column event_columns[] = {{"When", RP_LEFT},
                                          {"Level", RP_LEFT},
                                          {"Kind", RP_LEFT},
                                          {"Times", RP_RIGHT},
                                          {"What", RP_LEFT}};

static as_code add_events(rp_table *t, const db_run_row *run, bool of_info, as_arena *a,
                          as_err *err)
{
    for (int i = 0; i < run->n_events; i++) {
        const db_event *e = &run->events[i];
        if (as_str_eq_z(e->level, "info") != of_info)
            continue;
        char time[AS_ISO_TIME];
        as_iso_time(time, e->at_ns);
        const as_str cells[] = {as_arena_printf(a, "%.19s", time), e->level, e->kind,
                                as_arena_printf(a, "%lld", (long long)e->n), e->text};
        AS_TRY(rp_table_row(t, cells, err));
    }
    return AS_OK;
}

as_code rp_events_table(const db_run_row *run, rp_format format, as_buf *out, as_err *err)
{
    if (run->n_events == 0)
        return AS_OK;
    as_arena arena;
    as_arena_init(&arena, 0);
    rp_table t;
    rp_table_init(&t, event_columns, 5, &arena);
    put_title(format, "Warnings and events", out);
    as_code c = add_events(&t, run, false, &arena, err);
    if (c == AS_OK)
        c = add_events(&t, run, true, &arena, err);
    if (c == AS_OK)
        rp_table_print(&t, format, out);
    as_arena_release(&arena);
    return c == AS_OK ? as_buf_ok(out, err) : c;
}
