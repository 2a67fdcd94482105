/* watch.c — what is worth telling about a run: stored as events, shown by `assay show`. */
#include "run/run_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "run/retry.h"

as_code run_note(runner *r, const char *level, const char *kind, as_str text, as_err *err)
{
    if (strcmp(level, "info") != 0)
        as_log_line(r->plan->options->log, AS_LOG_WARN, "%.*s", AS_ARG(text));
    return db_put_event(r->db, r->run_id, as_str_of(level), as_str_of(kind), text, err);
}

/* ---- endpoints ---------------------------------------------------------------------------------
 */

/* NULL: too many, or no memory; nothing is watched then. */
static endpoint *endpoint_of(runner *r, as_str name)
{
    for (int i = 0; i < r->n_endpoints; i++)
        if (as_str_eq(r->endpoints[i].name, name))
            return &r->endpoints[i];
    if (r->n_endpoints == MAX_ENDPOINTS)
        return NULL;
    const as_str kept = as_arena_str(&r->names, name);
    if (!as_str_is_set(kept))
        return NULL;
    r->endpoints[r->n_endpoints] = (endpoint){.name = kept};
    return &r->endpoints[r->n_endpoints++];
}

static void know(runner *r, endpoint *e, as_str model, as_str fingerprint)
{
    e->model = as_arena_str(&r->names, model);
    e->fingerprint = as_arena_str(&r->names, fingerprint);
}

as_code run_know_answerers(runner *r, as_err *err)
{
    db_answerer known[MAX_ENDPOINTS];
    int n = 0;
    AS_TRY(db_answerers(r->db, r->run_id, known, MAX_ENDPOINTS, &n, &r->names, err));
    for (int i = 0; i < n; i++) {
        endpoint *e = endpoint_of(r, known[i].endpoint);
        if (e != NULL)
            know(r, e, known[i].model, known[i].fingerprint);
    }
    return AS_OK;
}

static as_code watch_model(runner *r, endpoint *e, const as_response *response, as_err *err)
{
    if (as_str_eq(e->model, response->model) && as_str_eq(e->fingerprint, response->fingerprint))
        return AS_OK;
    const endpoint before = *e;
    know(r, e, response->model, response->fingerprint);
    if (before.model.n == 0 || r->n_changes++ >= MAX_CHANGES)
        return AS_OK;
    char text[700];
    const int n = snprintf(
        text, sizeof text,
        "the server now answers as \"%.*s\" (%.*s); earlier answers of this run are of \"%.*s\" "
        "(%.*s): begin anew with --new-run if it is another model",
        AS_ARG(as_str_sub(response->model, 0, 100)),
        AS_ARG(as_str_sub(response->fingerprint, 0, 100)), AS_ARG(as_str_sub(before.model, 0, 100)),
        AS_ARG(as_str_sub(before.fingerprint, 0, 100)));
    return run_note(r, "warn", "model", (as_str){text, (size_t)n}, err);
}

as_code run_watch_endpoint(runner *r, const as_response *response, as_err *err)
{
    const bool has_failed = response->finish == AS_FINISH_ERROR;
    const bool is_down = has_failed && response->error == AS_ERROR_TRANSPORT;
    endpoint *e = endpoint_of(r, response->endpoint);
    if (e == NULL || (has_failed && !is_down))
        return AS_OK;
    if (!has_failed && response->model.n != 0)
        AS_TRY(watch_model(r, e, response, err));
    if (response->endpoint.n == 0 || e->is_down == is_down)
        return AS_OK;
    e->is_down = is_down;
    if (r->n_changes++ >= MAX_CHANGES)
        return AS_OK;
    char text[700];
    const as_str name = as_str_sub(response->endpoint, 0, 200);
    const int n = is_down
                      ? snprintf(text, sizeof text,
                                 "endpoint %.*s does not answer: %.*s; its requests go on "
                                 "elsewhere or wait",
                                 AS_ARG(name), AS_ARG(as_str_sub(response->message, 0, 300)))
                      : snprintf(text, sizeof text, "endpoint %.*s answers again", AS_ARG(name));
    return run_note(r, is_down ? "warn" : "info", "endpoint", (as_str){text, (size_t)n}, err);
}

/* ---- ourselves ---------------------------------------------------------------------------------
 */

as_code run_note_client(runner *r, as_err *err)
{
    static const double tolerated = 0.01;
    static const double busy = 0.5;
    if (r->driver->is_in_process || r->latency_ns <= 0 || r->work_ns <= 0)
        return AS_OK;
    const double cpu = (double)r->cpu_ns / (double)r->latency_ns;
    const double queue = (double)r->queue_ns / (double)r->latency_ns;
    const double share = (double)r->cpu_ns / (double)r->work_ns;
    char text[400];
    int n = 0;
    if (queue > tolerated)
        n = snprintf(text, sizeof text,
                     "requests waited inside this program for %.1f %% of the latency measured; "
                     "latencies are shown without that wait, ask for fewer at once (-j) to be rid "
                     "of it",
                     100 * queue);
    else if (cpu > tolerated)
        n = snprintf(text, sizeof text,
                     "this program's own CPU time was %.1f %% of the latency measured; take the "
                     "latencies with that much doubt, or measure with fewer requests at once (-j)",
                     100 * cpu);
    else if (share > busy)
        n = snprintf(text, sizeof text,
                     "this program kept a core busy for %.0f %% of the time, so answers may have "
                     "waited for it; measure latencies with fewer requests at once (-j)",
                     100 * share);
    return n == 0 ? AS_OK : run_note(r, "warn", "client", (as_str){text, (size_t)n}, err);
}

as_code run_note_pace(runner *r, as_err *err)
{
    if (!r->is_adaptive)
        return AS_OK;
    char text[200];
    const int n =
        snprintf(text, sizeof text, "-j auto: %d requests at once at the end%s", r->pace.limit,
                 r->pace.was_overloaded ? ", after the server had refused more" : "");
    return run_note(r, "info", "concurrency", (as_str){text, (size_t)n}, err);
}

as_code run_note_judging(runner *r, as_err *err)
{
    const run_judges_count k = run_judges_counts(r->judges);
    if (k.n_judged == 0)
        return AS_OK;
    char text[200];
    const int n = snprintf(text, sizeof text,
                           "%lld answers judged by %d threads, up to %d at once, up to %d in hand; "
                           "%lld requests were begun meanwhile",
                           (long long)k.n_judged, k.n_threads, k.most_at_once, k.most_out,
                           (long long)r->n_begun_meanwhile);
    return run_note(r, "info", "judging", (as_str){text, (size_t)n}, err);
}

as_code run_put_server(runner *r, int sample, as_err *err)
{
    if (r->driver->metrics == NULL || (r->driver->caps(r->be) & BE_CAN_METRICS) == 0)
        return AS_OK;
    be_metrics m;
    as_err why = {0};
    if (r->driver->metrics(r->be, &m, &why) != AS_OK)
        return run_note(r, "info", "metrics", as_str_of(why.text), err);
    const db_server_sample s = {
        .running = m.running,
        .waiting = m.waiting,
        .prompt_tokens = m.prompt_tokens,
        .generated_tokens = m.generated_tokens,
        .cached_tokens = m.cached_tokens,
        .prompt_seconds = m.prompt_seconds,
        .generation_seconds = m.generation_seconds,
        .kv_used = m.kv_used,
        .first_token_seconds = m.first_token_seconds,
        .first_token_count = m.first_token_count,
        .drafted = m.drafted,
        .accepted = m.accepted,
        .model_bytes = m.model_bytes,
        .gpu_bytes = m.gpu_bytes,
        .resident_bytes = m.resident_bytes,
    };
    return db_put_server(r->db, r->run_id, sample, &s, err);
}
