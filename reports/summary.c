#include "reports/summary.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "reports/service.h"

enum { SHORT_HASH = 12 };

as_interval rp_group_interval(const as_group *group, int repeats)
{
    const double n_items = (double)group->n / (double)(repeats > 0 ? repeats : 1);
    return as_wilson(group->score * n_items, n_items, AS_Z95);
}

/* ---- cells ---- */

static as_str num(as_arena *a, double v, int digits)
{
    if (isnan(v))
        return AS_STR("N/A");
    return as_arena_printf(a, "%.*f", digits, v);
}

/* Metrics are shares, but for those whose name says that they count. */
static as_str metric_value(as_arena *a, const as_metric *m)
{
    const bool is_count = as_str_ends(m->name, AS_STR("_right")) ||
                          as_str_ends(m->name, AS_STR("_none")) || as_str_eq_z(m->name, "k");
    return num(a, m->value, is_count ? 0 : 4);
}

static as_str count(as_arena *a, int64_t n)
{
    return n < 0 ? AS_STR("unknown") : as_arena_printf(a, "%lld", (long long)n);
}

static as_str interval(as_arena *a, double lo, double hi)
{
    return isnan(lo) || isnan(hi) ? AS_STR("N/A") : as_arena_printf(a, "[%.4f, %.4f]", lo, hi);
}

static as_str short_hash(as_str hex, const char *when_empty)
{
    return hex.n == 0 ? as_str_of(when_empty) : as_str_sub(hex, 0, SHORT_HASH);
}

/* The member as text, looked for in the task's protocol, then in the run's configuration. */
static as_str setting(as_arena *a, const as_json *protocol, const as_json *config, const char *key)
{
    const as_json *node = as_json_get(protocol, key);
    if (as_json_type(node) == AS_JSON_NONE)
        node = as_json_get(config, key);
    double v = 0;
    as_str s = {0};
    if (as_json_f64(node, &v))
        return as_arena_printf(a, "%.10g", v);
    return as_json_str(node, &s) ? as_arena_str(a, s) : (as_str){0};
}

/* ---- circumstances ----------------------------------------------------------------------------
 */

typedef struct facts {
    rp_table table;
    as_arena *arena;
    as_code code;
    as_err *err;
} facts;

static const rp_column fact_columns[] = {{"", RP_LEFT}, {"", RP_LEFT}};

/* Unset values are left out. */
static void fact(facts *f, const char *name, as_str value)
{
    if (f->code == AS_OK && as_str_is_set(value))
        f->code = rp_table_row(&f->table, (as_str[]){as_str_of(name), value}, f->err);
}

static as_str size_text(as_arena *a, int64_t n)
{
    return n >= 1000000000 ? as_arena_printf(a, "%.3g billion", (double)n / 1e9)
                           : as_arena_printf(a, "%.4g million", (double)n / 1e6);
}

static as_str params_text(as_arena *a, const db_run_row *run)
{
    if (run->n_params < 0)
        return AS_STR("");
    const as_str all = size_text(a, run->n_params);
    if (run->n_params_active < 0 || run->n_params_active == run->n_params)
        return as_arena_printf(a, ", %.*s parameters", AS_ARG(all));
    const as_str active = size_text(a, run->n_params_active);
    return as_arena_printf(a, ", %.*s parameters (%.*s active)", AS_ARG(all), AS_ARG(active));
}

static void model_facts(facts *f, const db_run_row *run)
{
    as_arena *a = f->arena;
    const as_str params = params_text(a, run);
    fact(f, "run",
         as_arena_printf(a, "%lld  %.*s  %.*s", (long long)run->id, AS_ARG(run->uuid),
                         AS_ARG(run->status)));
    fact(f, "when",
         as_arena_printf(a, "%.*s to %.*s", AS_ARG(run->created),
                         AS_ARG(run->finished.n != 0 ? run->finished : AS_STR("(not finished)"))));
    fact(f, "model",
         as_arena_printf(a, "%.*s (%.*s)", AS_ARG(run->model_name), AS_ARG(run->model_spec)));
    fact(f, "kind",
         as_arena_printf(
             a, "%.*s, %.*s, %.*s%.*s", AS_ARG(run->scheme),
             AS_ARG(run->architecture.n != 0 ? run->architecture : AS_STR("architecture unknown")),
             AS_ARG(run->quantization.n != 0 ? run->quantization : AS_STR("quantisation unknown")),
             AS_ARG(params)));
    fact(f, "hashes",
         as_arena_printf(a, "model %.*s, template %.*s, configuration %.*s",
                         AS_ARG(short_hash(run->model_sha256, "unknown")),
                         AS_ARG(short_hash(run->template_sha256, "none")),
                         AS_ARG(short_hash(run->config_sha256, "unknown"))));
}

static void add_setting(facts *f, as_buf *b, const as_json *protocol, const as_json *config,
                        const char *key)
{
    const as_str v = setting(f->arena, protocol, config, key);
    if (as_str_is_set(v))
        (void)as_buf_printf(b, "%s%s %.*s", b->n != 0 ? ", " : "", key, AS_ARG(v));
}

static void task_facts(facts *f, const db_task_row *t, const as_json *config)
{
    as_arena *a = f->arena;
    as_json *protocol = NULL;
    (void)as_json_parse(&protocol, t->protocol_json, NULL);
    fact(f, "task",
         as_arena_printf(a, "%.*s:%.*s, scorer %.*s %d, %lld of %lld answers", AS_ARG(t->suite),
                         AS_ARG(t->protocol), AS_ARG(t->scorer), t->scorer_version,
                         (long long)t->n_done, (long long)t->n_planned));
    fact(f, "  dataset",
         as_arena_printf(a, "%.*s%s%.*s, sha256 %.*s", AS_ARG(t->dataset),
                         t->dataset_revision.n != 0 ? " revision " : "",
                         AS_ARG(t->dataset_revision),
                         AS_ARG(short_hash(t->dataset_sha256, "unknown"))));
    if (as_str_is_set(t->sandbox))
        fact(f, "  sandbox", t->sandbox);
    static const char *const keys[] = {"n_shot", "temperature", "top_p", "top_k",
                                       "min_p",  "max_tokens",  "think", "reasoning_tokens",
                                       "seed"};
    as_buf b;
    as_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        add_setting(f, &b, protocol, config, keys[i]);
    if (b.n != 0)
        fact(f, "  sampling", as_arena_str(a, as_buf_str(&b)));
    as_buf_release(&b);
    as_json_free(protocol);
}

static as_str list_of(as_arena *a, as_str json, const char *const *keys, size_t n)
{
    as_json *tree = NULL;
    (void)as_json_parse(&tree, json, NULL);
    as_buf b;
    as_buf_init(&b, 0);
    for (size_t i = 0; i < n; i++) {
        const as_str v = setting(a, tree, NULL, keys[i]);
        if (v.n != 0)
            (void)as_buf_printf(&b, "%s%.*s", b.n != 0 ? ", " : "", AS_ARG(v));
    }
    const as_str out = b.n != 0 ? as_arena_str(a, as_buf_str(&b)) : (as_str){0};
    as_buf_release(&b);
    as_json_free(tree);
    return out;
}

/* Rule 6 of the product: the client's own time is named where it is not small. */
static as_str client_text(as_arena *a, const db_run_row *run)
{
    if (run->client_cpu_ns < 0 || run->wall_ns <= 0)
        return (as_str){0};
    const double share = 100.0 * (double)run->client_cpu_ns / (double)run->wall_ns;
    return as_arena_printf(a, "%.3g s of CPU, %.2g %% of the time%s",
                           (double)run->client_cpu_ns / 1e9, share,
                           share > 1 ? ": more than 1 %, latencies contain it" : "");
}

static void machine_facts(facts *f, const db_run_row *run)
{
    static const char *const build[] = {"version", "git", "compiler", "flags"};
    static const char *const host[] = {"cpu", "cores", "memory", "os", "kernel"};
    as_arena *a = f->arena;
    const as_str prompt = count(a, run->prompt_tokens);
    const as_str completion = count(a, run->completion_tokens);
    fact(f, "build", list_of(a, run->build_json, build, 4));
    fact(f, "machine", list_of(a, run->host_json, host, 5));
    fact(f, "tokens",
         as_arena_printf(a, "prompt %.*s, completion %.*s", AS_ARG(prompt), AS_ARG(completion)));
    if (run->wall_ns >= 0)
        fact(f, "time", as_arena_printf(a, "%.3f s", (double)run->wall_ns / 1e9));
    fact(f, "client", client_text(a, run));
    if (run->peak_rss_bytes >= 0)
        fact(f, "peak memory",
             as_arena_printf(a, "%.1f MiB", (double)run->peak_rss_bytes / 1048576.0));
    fact(f, "command", run->argv.n != 0 ? run->argv : (as_str){0});
}

static as_code put_facts(const db_run_row *run, rp_format format, as_buf *out, as_arena *arena,
                         as_err *err)
{
    facts f = {.arena = arena, .err = err};
    rp_table_init(&f.table, fact_columns, 2, arena);
    as_json *config = NULL;
    (void)as_json_parse(&config, run->config_json, NULL);
    model_facts(&f, run);
    for (int i = 0; i < run->n_tasks; i++)
        task_facts(&f, &run->tasks[i], config);
    machine_facts(&f, run);
    as_json_free(config);
    if (f.code != AS_OK)
        return f.code;
    if (format == RP_MARKDOWN) {
        rp_table_print(&f.table, format, out);
        return AS_OK;
    }
    for (int r = 0; r < f.table.n_rows; r++) {
        const as_str *row = f.table.cells + (size_t)r * 2;
        (void)as_buf_printf(out, "%-12.*s ", AS_ARG(row[0]));
        rp_put_clean(out, row[1]);
        (void)as_buf_add_byte(out, '\n');
    }
    return AS_OK;
}

/* ---- tables: each a list of columns and a function that adds a task's rows ---------------------
 */

typedef as_code (*add_rows_fn)(rp_table *t, const db_run_row *run, const db_task_row *task,
                               as_arena *a, as_err *err);

typedef struct table_kind {
    const rp_column *columns; /* the first is the run's number */
    int n_columns;
    add_rows_fn add;
} table_kind;

#define N(a) (int)(sizeof(a) / sizeof(a)[0])

static as_str run_cell(as_arena *a, const db_run_row *run)
{
    return as_arena_printf(a, "%lld", (long long)run->id);
}

static as_str shots_cell(as_arena *a, const db_task_row *task)
{
    as_json *protocol = NULL;
    (void)as_json_parse(&protocol, task->protocol_json, NULL);
    const as_str v = setting(a, protocol, NULL, "n_shot");
    as_json_free(protocol);
    return as_str_is_set(v) ? v : AS_STR("");
}

/* Names and order of lm-eval's table, then ours. Version is the scorer's: what the numbers depend
 * on; Filter is what reads the answer. */
static const rp_column score_columns[] = {
    {"Run", RP_RIGHT},     {"Tasks", RP_LEFT},         {"Version", RP_RIGHT},
    {"Filter", RP_LEFT},   {"n-shot", RP_RIGHT},       {"Metric", RP_LEFT},
    {"", RP_LEFT},         {"Value", RP_RIGHT},        {"", RP_LEFT},
    {"Stderr", RP_RIGHT},  {"95 % interval", RP_LEFT}, {"n", RP_RIGHT},
    {"repeats", RP_RIGHT},
};

static as_code add_score(rp_table *t, const db_run_row *run, const db_task_row *task, as_arena *a,
                         as_err *err)
{
    const as_summary *s = &task->summary;
    const as_str cells[] = {
        run_cell(a, run),
        as_arena_printf(a, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol)),
        as_arena_printf(a, "%d", task->scorer_version),
        task->scorer,
        shots_cell(a, task),
        AS_STR("score"),
        AS_STR("↑"),
        task->has_summary ? num(a, s->score, 4) : AS_STR("N/A"),
        AS_STR("±"),
        task->has_summary ? num(a, s->se, 4) : AS_STR("N/A"),
        task->has_summary ? interval(a, s->lo, s->hi) : AS_STR("N/A"),
        count(a, task->has_summary ? s->n : task->n_done),
        as_arena_printf(a, "%d", task->repeats),
    };
    return rp_table_row(t, cells, err);
}

static const rp_column anatomy_columns[] = {
    {"Run", RP_RIGHT},       {"Tasks", RP_LEFT},     {"right", RP_RIGHT},    {"wrong", RP_RIGHT},
    {"truncated", RP_RIGHT}, {"empty", RP_RIGHT},    {"unparsed", RP_RIGHT}, {"refused", RP_RIGHT},
    {"error", RP_RIGHT},     {"ungraded", RP_RIGHT},
};

static as_code add_anatomy(rp_table *t, const db_run_row *run, const db_task_row *task, as_arena *a,
                           as_err *err)
{
    if (!task->has_summary)
        return AS_OK;
    as_str cells[2 + AS_N_VERDICTS];
    cells[0] = run_cell(a, run);
    cells[1] = as_arena_printf(a, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol));
    for (int v = 0; v < AS_N_VERDICTS; v++)
        cells[2 + v] = count(a, task->summary.anatomy[v]);
    return rp_table_row(t, cells, err);
}

static const rp_column group_columns[] = {
    {"Run", RP_RIGHT},   {"Tasks", RP_LEFT},         {"Group", RP_LEFT}, {"Metric", RP_LEFT},
    {"Value", RP_RIGHT}, {"95 % interval", RP_LEFT}, {"n", RP_RIGHT},    {"repeats", RP_RIGHT},
};

static as_code add_group_row(rp_table *t, const db_run_row *run, const db_task_row *task,
                             const as_group *group, const as_metric *metric, as_err *err)
{
    as_arena *a = t->keep;
    const as_interval i = rp_group_interval(group, task->repeats);
    const as_str cells[] = {
        run_cell(a, run),
        as_arena_printf(a, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol)),
        group->name,
        metric == NULL ? AS_STR("score") : metric->name,
        metric == NULL ? num(a, group->score, 4) : metric_value(a, metric),
        metric == NULL ? interval(a, i.lo, i.hi) : AS_STR(""),
        count(a, group->n),
        as_arena_printf(a, "%d", task->repeats),
    };
    return rp_table_row(t, cells, err);
}

/* For people: the scores. */
static as_code add_groups(rp_table *t, const db_run_row *run, const db_task_row *task, as_arena *a,
                          as_err *err)
{
    (void)a;
    for (int g = 0; task->has_summary && g < task->summary.n_groups; g++)
        AS_TRY(add_group_row(t, run, task, &task->summary.groups[g], NULL, err));
    return AS_OK;
}

/* For files: the suite's metrics of each group behind its score. */
static as_code add_group_metrics(rp_table *t, const db_run_row *run, const db_task_row *task,
                                 as_arena *a, as_err *err)
{
    (void)a;
    for (int g = 0; task->has_summary && g < task->summary.n_groups; g++) {
        const as_group *group = &task->summary.groups[g];
        AS_TRY(add_group_row(t, run, task, group, NULL, err));
        for (int m = 0; m < group->n_metrics; m++)
            AS_TRY(add_group_row(t, run, task, group, &group->metrics[m], err));
    }
    return AS_OK;
}

static const rp_column metric_columns[] = {
    {"Run", RP_RIGHT},   {"Tasks", RP_LEFT}, {"Metric", RP_LEFT},
    {"Value", RP_RIGHT}, {"n", RP_RIGHT},    {"repeats", RP_RIGHT},
};

static as_code add_metrics(rp_table *t, const db_run_row *run, const db_task_row *task, as_arena *a,
                           as_err *err)
{
    for (int m = 0; task->has_summary && m < task->summary.n_metrics; m++) {
        const as_metric *metric = &task->summary.metrics[m];
        const as_str cells[] = {
            run_cell(a, run),
            as_arena_printf(a, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol)),
            metric->name,
            metric_value(a, metric),
            count(a, task->summary.n),
            as_arena_printf(a, "%d", task->repeats),
        };
        AS_TRY(rp_table_row(t, cells, err));
    }
    return AS_OK;
}

static const table_kind scores = {score_columns, N(score_columns), add_score};
static const table_kind anatomy = {anatomy_columns, N(anatomy_columns), add_anatomy};
static const table_kind groups = {group_columns, N(group_columns), add_groups};
static const table_kind group_metrics = {group_columns, N(group_columns), add_group_metrics};
static const table_kind metrics = {metric_columns, N(metric_columns), add_metrics};

/* with_run false leaves the first column out, for pages about one run. An empty table prints
 * nothing but, where there is one, not even its title. */
static as_code put_table(const table_kind *kind, const db_run_row *runs, int n_runs, bool with_run,
                         rp_format format, const char *title, as_buf *out, as_err *err)
{
    as_arena arena;
    as_arena_init(&arena, 0);
    rp_table t;
    rp_table_init(&t, kind->columns, kind->n_columns, &arena);
    as_code c = AS_OK;
    for (int r = 0; c == AS_OK && r < n_runs; r++)
        for (int k = 0; c == AS_OK && k < runs[r].n_tasks; k++)
            c = kind->add(&t, &runs[r], &runs[r].tasks[k], &arena, err);
    if (c == AS_OK && (t.n_rows > 0 || format == RP_CSV)) {
        if (title != NULL)
            (void)as_buf_printf(out, format == RP_MARKDOWN ? "\n### %s\n\n" : "\n%s\n", title);
        rp_table_print_from(&t, with_run ? 0 : 1, format, out);
        c = as_buf_ok(out, err);
    }
    as_arena_release(&arena);
    return c;
}

as_code rp_scores_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                        as_err *err)
{
    return put_table(&scores, runs, n_runs, true, format, NULL, out, err);
}

as_code rp_groups_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                        as_err *err)
{
    return put_table(&group_metrics, runs, n_runs, true, format, NULL, out, err);
}

as_code rp_metrics_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                         as_err *err)
{
    return put_table(&metrics, runs, n_runs, true, format, NULL, out, err);
}

void rp_unsafe_warning(const db_run_row *runs, int n_runs, rp_format format, as_buf *out)
{
    bool is_unsafe = false;
    for (int r = 0; r < n_runs; r++)
        for (int i = 0; i < runs[r].n_tasks; i++)
            is_unsafe |= as_str_find(runs[r].tasks[i].sandbox, AS_STR("none")) != SIZE_MAX;
    if (is_unsafe)
        (void)as_buf_printf(out,
                            "%ssandbox=none: programs that the model wrote ran without a sandbox, "
                            "with the user's rights; they could forge their results%s",
                            format == RP_MARKDOWN ? "> **" : "",
                            format == RP_MARKDOWN ? "**\n\n" : "\n\n");
}

as_code rp_run_summary(const db_run_row *run, rp_format format, as_buf *out, as_err *err)
{
    if (format == RP_CSV)
        return rp_scores_table(run, 1, format, out, err);
    rp_unsafe_warning(run, 1, format, out);
    as_arena arena;
    as_arena_init(&arena, 0);
    as_code c = put_facts(run, format, out, &arena, err);
    as_arena_release(&arena);
    if (c == AS_OK)
        c = put_table(&scores, run, 1, false, format, "Scores", out, err);
    if (c == AS_OK)
        c = put_table(&anatomy, run, 1, false, format, "Anatomy (answers)", out, err);
    if (c == AS_OK)
        c = put_table(&groups, run, 1, false, format, "Groups (interval: Wilson over items)", out,
                      err);
    if (c == AS_OK)
        c = put_table(&metrics, run, 1, false, format, "Metrics", out, err);
    if (c == AS_OK)
        c = rp_latency_table(run, format, out, err);
    if (c == AS_OK)
        c = rp_events_table(run, format, out, err);
    return c;
}

/* ---- assay ls ---------------------------------------------------------------------------------
 */

static const rp_column run_columns[] = {
    {"Run", RP_RIGHT},  {"Created", RP_LEFT},  {"Status", RP_LEFT},   {"Model", RP_LEFT},
    {"Quant", RP_LEFT}, {"Task", RP_LEFT},     {"Score", RP_RIGHT},   {"95 % interval", RP_LEFT},
    {"n", RP_RIGHT},    {"repeats", RP_RIGHT}, {"Seconds", RP_RIGHT}, {"Id", RP_LEFT},
};

static as_code add_run(rp_table *t, const db_run_row *run, const db_task_row *task, as_arena *a,
                       as_err *err)
{
    const bool has = task != NULL && task->has_summary;
    const as_str cells[] = {
        run_cell(a, run),
        as_arena_printf(a, "%.*s", AS_ARG(as_str_sub(run->created, 0, 16))),
        run->status,
        run->model_name,
        run->quantization,
        task == NULL ? AS_STR("")
                     : as_arena_printf(a, "%.*s:%.*s", AS_ARG(task->suite), AS_ARG(task->protocol)),
        has ? num(a, task->summary.score, 4) : AS_STR(""),
        has ? interval(a, task->summary.lo, task->summary.hi) : AS_STR(""),
        task == NULL ? AS_STR("") : count(a, task->n_done),
        task == NULL ? AS_STR("") : as_arena_printf(a, "%d", task->repeats),
        run->wall_ns < 0 ? AS_STR("") : as_arena_printf(a, "%.1f", (double)run->wall_ns / 1e9),
        as_str_sub(run->uuid, 0, 8),
    };
    return rp_table_row(t, cells, err);
}

as_code rp_runs_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                      as_err *err)
{
    as_arena arena;
    as_arena_init(&arena, 0);
    rp_table t;
    rp_table_init(&t, run_columns, N(run_columns), &arena);
    as_code c = AS_OK;
    for (int r = 0; c == AS_OK && r < n_runs; r++) {
        if (runs[r].n_tasks == 0)
            c = add_run(&t, &runs[r], NULL, &arena, err);
        for (int k = 0; c == AS_OK && k < runs[r].n_tasks; k++)
            c = add_run(&t, &runs[r], &runs[r].tasks[k], &arena, err);
    }
    if (c == AS_OK) {
        rp_table_print(&t, format, out);
        c = as_buf_ok(out, err);
    }
    as_arena_release(&arena);
    return c;
}
