#include <math.h>

#include "base/json.h"
#include "base/time.h"
#include "reports/summary.h"

static void put_known(as_jw *w, const char *key, int64_t v)
{
    as_jw_key(w, key);
    if (v < 0)
        as_jw_null(w);
    else
        as_jw_i64(w, v);
}

static void put_metrics(as_jw *w, const as_metric *metrics, int n)
{
    for (int i = 0; i < n; i++) {
        as_jw_key_str(w, metrics[i].name);
        as_jw_f64(w, metrics[i].value);
    }
}

static void put_anatomy(as_jw *w, const db_task_row *t)
{
    as_jw_key(w, "anatomy");
    as_jw_begin_object(w);
    for (int v = 0; v < AS_N_VERDICTS; v++)
        put_known(w, as_verdict_name((as_verdict)v), t->has_summary ? t->summary.anatomy[v] : -1);
    as_jw_end_object(w);
}

static void put_groups(as_jw *w, const as_summary *s)
{
    as_jw_key(w, "groups");
    as_jw_begin_object(w);
    for (int g = 0; g < s->n_groups; g++) {
        as_jw_key_str(w, s->groups[g].name);
        as_jw_begin_object(w);
        put_known(w, "n", s->groups[g].n);
        as_jw_put_f64(w, "score", s->groups[g].score);
        put_metrics(w, s->groups[g].metrics, s->groups[g].n_metrics);
        as_jw_end_object(w);
    }
    as_jw_end_object(w);
}

/* Without a summary (the run has never come to its end) all that it would say is null. */
static void put_task(as_jw *w, const db_task_row *t)
{
    as_summary s = t->summary;
    if (!t->has_summary) {
        s = (as_summary){.n = t->n_done, .n_items = -1};
        s.score = s.se = s.lo = s.hi = (double)NAN;
    }
    as_jw_begin_object(w);
    as_jw_put_str(w, "suite", t->suite);
    as_jw_put_str(w, "protocol", t->protocol);
    put_known(w, "n", s.n);
    put_known(w, "n_items", s.n_items);
    put_known(w, "n_planned", t->n_planned);
    put_known(w, "repeats", t->repeats);
    as_jw_put_f64(w, "score", s.score);
    as_jw_put_f64(w, "stderr", s.se);
    as_jw_key(w, "interval");
    as_jw_begin_array(w);
    as_jw_f64(w, s.lo);
    as_jw_f64(w, s.hi);
    as_jw_end_array(w);
    put_anatomy(w, t);
    put_groups(w, &s);
    as_jw_key(w, "metrics");
    as_jw_begin_object(w);
    put_metrics(w, s.metrics, s.n_metrics);
    as_jw_end_object(w);
    as_jw_put_str(w, "scorer", t->scorer);
    put_known(w, "scorer_version", t->scorer_version);
    as_jw_put_str(w, "dataset", t->dataset);
    as_jw_put_str(w, "dataset_revision", t->dataset_revision);
    as_jw_put_str(w, "dataset_sha256", t->dataset_sha256);
    as_jw_key(w, "sandbox");
    if (as_str_is_set(t->sandbox))
        as_jw_str(w, t->sandbox);
    else
        as_jw_null(w);
    as_jw_end_object(w);
}

static void put_quantiles(as_jw *w, const char *key, const db_quantiles *q)
{
    as_jw_key(w, key);
    as_jw_begin_object(w);
    as_jw_put_f64(w, "p50", q->p50);
    as_jw_put_f64(w, "p95", q->p95);
    as_jw_put_f64(w, "p99", q->p99);
    as_jw_end_object(w);
}

/* Seconds, shares 0 … 1; null where the server was no server. */
static void put_latency(as_jw *w, const db_run_row *run)
{
    const db_latency *l = &run->latency;
    as_jw_key(w, "latency");
    if (!run->has_latency) {
        as_jw_null(w);
        return;
    }
    as_jw_begin_object(w);
    put_known(w, "calls", l->n_calls);
    put_known(w, "errors", l->n_errors);
    put_known(w, "retries", l->n_retries);
    put_quantiles(w, "ttft", &l->ttft);
    put_quantiles(w, "first_answer", &l->answer);
    put_quantiles(w, "tpot", &l->tpot);
    put_quantiles(w, "itl", &l->itl);
    put_known(w, "itl_gaps", l->n_gaps);
    put_quantiles(w, "total", &l->total);
    as_jw_put_f64(w, "requests_per_second", l->requests_per_s);
    as_jw_put_f64(w, "client_tokens_per_second", l->client_tokens_per_s);
    as_jw_put_f64(w, "request_tokens_per_second", l->request_tokens_per_s);
    as_jw_put_f64(w, "server_tokens_per_second", l->server_tokens_per_s);
    as_jw_put_f64(w, "server_prompt_tokens_per_second", l->server_prompt_tokens_per_s);
    as_jw_put_f64(w, "client_cpu_share", l->client_cpu_share);
    as_jw_put_f64(w, "queue_share", l->queue_share);
    as_jw_put_f64(w, "client_busy_share", l->busy_share);
    as_jw_end_object(w);
}

static void put_events(as_jw *w, const db_run_row *run)
{
    as_jw_key(w, "events");
    as_jw_begin_array(w);
    for (int i = 0; i < run->n_events; i++) {
        const db_event *e = &run->events[i];
        char time[AS_ISO_TIME];
        as_iso_time(time, e->at_ns);
        as_jw_begin_object(w);
        as_jw_put_str(w, "time", as_str_of(time));
        as_jw_put_str(w, "level", e->level);
        as_jw_put_str(w, "kind", e->kind);
        as_jw_put_str(w, "text", e->text);
        put_known(w, "times", e->n);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static void put_run(as_jw *w, const db_run_row *run, as_str db_path)
{
    as_jw_begin_object(w);
    put_known(w, "run", run->id);
    as_jw_put_str(w, "uuid", run->uuid);
    as_jw_put_str(w, "db", db_path);
    as_jw_put_str(w, "status", run->status);
    as_jw_put_str(w, "created", run->created);
    as_jw_key(w, "finished");
    if (run->finished.n != 0)
        as_jw_str(w, run->finished);
    else
        as_jw_null(w);
    as_jw_put_str(w, "model", run->model_name);
    as_jw_put_str(w, "model_spec", run->model_spec);
    as_jw_put_str(w, "model_sha256", run->model_sha256);
    as_jw_put_str(w, "template_sha256", run->template_sha256);
    as_jw_put_str(w, "quantization", run->quantization);
    as_jw_put_str(w, "config_sha256", run->config_sha256);
    as_jw_key(w, "suites");
    as_jw_begin_array(w);
    for (int i = 0; i < run->n_tasks; i++)
        put_task(w, &run->tasks[i]);
    as_jw_end_array(w);
    as_jw_key(w, "tokens");
    as_jw_begin_object(w);
    put_known(w, "prompt", run->prompt_tokens);
    put_known(w, "completion", run->completion_tokens);
    as_jw_end_object(w);
    as_jw_put_f64(w, "seconds", run->wall_ns < 0 ? (double)NAN : (double)run->wall_ns / 1e9);
    put_known(w, "peak_bytes", run->peak_rss_bytes);
    put_known(w, "concurrency", run->concurrency);
    put_latency(w, run);
    put_events(w, run);
    as_jw_end_object(w);
}

as_code rp_run_json(const db_run_row *run, as_str db_path, as_buf *out, as_err *err)
{
    as_jw w;
    as_jw_init(&w, out);
    put_run(&w, run, db_path);
    return as_buf_ok(out, err);
}

as_code rp_runs_json(const db_run_row *runs, int n_runs, as_str db_path, as_buf *out, as_err *err)
{
    as_jw w;
    as_jw_init(&w, out);
    as_jw_begin_array(&w);
    for (int i = 0; i < n_runs; i++)
        put_run(&w, &runs[i], db_path);
    as_jw_end_array(&w);
    return as_buf_ok(out, err);
}
