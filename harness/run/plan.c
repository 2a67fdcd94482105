#include "run/plan.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/rng.h"

enum { ESTIMATE_PROMPTS = 64 };

as_code run_limit_parse(run_limit *out, as_str text, as_err *err)
{
    as_str head, tail;
    int64_t a = 0;
    int64_t b = 0;
    double share = 0;
    if (as_parse_i64(text, 1, INT64_MAX, &a)) {
        *out = (run_limit){.kind = RUN_COUNT, .to = a};
        return AS_OK;
    }
    if (as_str_cut(text, '-', &head, &tail) && as_parse_i64(head, 1, INT64_MAX, &a) &&
        as_parse_i64(tail, a, INT64_MAX, &b)) {
        *out = (run_limit){.kind = RUN_RANGE, .from = a, .to = b};
        return AS_OK;
    }
    if (as_parse_f64(text, &share) && share > 0 && share < 1) {
        *out = (run_limit){.kind = RUN_SHARE, .share = share};
        return AS_OK;
    }
    return as_fail(
        err, AS_RANGE,
        "--limit %.*s: want a count (20), a share (0.1) or a range counted from 1 (10-20)",
        AS_ARG(text));
}

/* ---- which items, in which order ---------------------------------------------------------------
 */

/* Index of each sample by id: open addressing, since recordings may hold 10^5 items. */
typedef struct id_index {
    const as_sample *samples;
    size_t *slot; /* [n_slots] sample index + 1, 0 empty */
    size_t n_slots;
} id_index;

static as_code index_make(id_index *out, const as_sample *samples, size_t n, as_arena *scratch,
                          as_err *err)
{
    size_t n_slots = 16;
    while (n_slots < 2 * n)
        n_slots *= 2;
    *out = (id_index){samples, as_new(scratch, size_t, n_slots), n_slots};
    if (out->slot == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < n; i++) {
        size_t at = (size_t)as_fnv1a(samples[i].id) & (n_slots - 1);
        while (out->slot[at] != 0)
            at = (at + 1) & (n_slots - 1);
        out->slot[at] = i + 1;
    }
    return AS_OK;
}

static size_t index_find(const id_index *x, as_str id)
{
    for (size_t at = (size_t)as_fnv1a(id) & (x->n_slots - 1); x->slot[at] != 0;
         at = (at + 1) & (x->n_slots - 1))
        if (as_str_eq(x->samples[x->slot[at] - 1].id, id))
            return x->slot[at] - 1;
    return SIZE_MAX;
}

/* The recording decides: its items in its order, and as many repeats as it has of each. */
static as_code order_as_recorded(run_task *task, const run_options *o, as_arena *keep, as_err *err)
{
    const be_item *items = NULL;
    size_t n = 0;
    AS_TRY(o->backend->driver->items(o->backend, &items, &n, err));
    id_index x;
    AS_TRY(index_make(&x, task->suite.samples, task->suite.n_samples, keep, err));
    as_sample *order = as_new(keep, as_sample, n);
    if (order == NULL)
        return as_nomem(err);
    int most_repeats = 0;
    task->n_samples = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t at = index_find(&x, items[i].item);
        if (at == SIZE_MAX) {
            task->n_unknown++;
            continue;
        }
        if (items[i].repeat + 1 > most_repeats)
            most_repeats = items[i].repeat + 1;
        if (items[i].repeat == 0)
            order[task->n_samples++] = task->suite.samples[at];
    }
    if (task->n_samples == 0)
        return as_fail(err, AS_RANGE,
                       "%s: none of the %zu recorded answers names one of its %zu items; is this "
                       "the recording of another suite?",
                       task->suite.suite->name, n, task->suite.n_samples);
    task->samples = order;
    if (o->repeats == 0)
        task->repeats = most_repeats;
    return AS_OK;
}

static as_code keep_sample_ids(run_task *task, const run_options *o, as_arena *keep, as_err *err)
{
    as_sample *chosen = as_new(keep, as_sample, task->n_samples);
    bool *is_seen = as_new(keep, bool, o->n_sample_ids);
    if (chosen == NULL || is_seen == NULL)
        return as_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < task->n_samples; i++) {
        bool is_wanted = false;
        for (int k = 0; k < o->n_sample_ids; k++)
            if (as_str_eq(task->samples[i].id, o->sample_ids[k]))
                is_wanted = is_seen[k] = true;
        if (is_wanted)
            chosen[n++] = task->samples[i];
    }
    for (int k = 0; k < o->n_sample_ids; k++)
        if (!is_seen[k])
            return as_fail(err, AS_RANGE, "--sample-id %.*s: %s has no such item",
                           AS_ARG(o->sample_ids[k]), task->suite.suite->name);
    task->samples = chosen;
    task->n_samples = n;
    return AS_OK;
}

static as_code apply_limit(run_task *task, const run_limit *limit, as_err *err)
{
    const size_t n = task->n_samples;
    size_t from = 0;
    size_t to = n;
    switch (limit->kind) {
    case RUN_ALL:
        break;
    case RUN_COUNT:
        to = (uint64_t)limit->to < n ? (size_t)limit->to : n;
        break;
    case RUN_SHARE:
        to = (size_t)ceil(limit->share * (double)n);
        break;
    case RUN_RANGE:
        from = (size_t)limit->from - 1;
        to = (uint64_t)limit->to < n ? (size_t)limit->to : n;
        break;
    }
    if (from >= to)
        return as_fail(err, AS_RANGE, "--limit selects nothing: %s has %zu items",
                       task->suite.suite->name, n);
    task->samples += from;
    task->n_samples = to - from;
    return AS_OK;
}

/* ---- tasks -------------------------------------------------------------------------------------
 */

static double first_set(double a, double b)
{
    return isnan(a) ? b : a;
}

static as_sampling merge_sampling(as_sampling over, as_sampling base)
{
    return (as_sampling){
        .temperature = first_set(over.temperature, base.temperature),
        .top_p = first_set(over.top_p, base.top_p),
        .min_p = first_set(over.min_p, base.min_p),
        .top_k = over.top_k >= 0 ? over.top_k : base.top_k,
    };
}

static as_code check_caps(const run_task *task, const run_options *o, as_err *err)
{
    const unsigned caps = o->backend->driver->caps(o->backend);
    const su_protocol *p = task->suite.protocol;
    if (p->is_chat && (caps & BE_CAN_CHAT) == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s:%s asks in chat turns, but this model carries no chat template (a base "
                       "model?) and none is invented: use a completion protocol, see `assay ls "
                       "suites`",
                       task->suite.suite->name, p->id);
    if (!p->is_chat && (caps & BE_CAN_TEXT) == 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "%s:%s asks for plain completion, which this backend cannot do",
                       task->suite.suite->name, p->id);
    return AS_OK;
}

static as_code make_task(run_task *task, const run_options *o, as_str name, as_arena *keep,
                         as_err *err)
{
    *task = (run_task){0};
    const su_suite *suite = NULL;
    const su_protocol *protocol = NULL;
    AS_TRY(su_find(o->suites, name, &suite, &protocol, keep, err));
    const bool is_recorded = (o->backend->driver->caps(o->backend) & BE_HAS_ANSWERS) != 0;
    const su_load_options load = {.data_root = o->data_root, .want_prompts = !is_recorded};
    AS_TRY(suite->load(&task->suite, suite, protocol, &load, keep, err));
    task->scorer = sc_find(o->scorers, protocol->scorer);
    if (task->scorer == NULL)
        return as_fail(err, AS_BUG, "%s:%s names an unknown scorer %s", suite->name, protocol->id,
                       protocol->scorer);
    task->samples = task->suite.samples;
    task->n_samples = task->suite.n_samples;
    task->repeats = o->repeats != 0 ? o->repeats : protocol->repeats;
    task->n_shot = o->n_shot >= 0 && o->n_shot < protocol->n_shot ? o->n_shot : protocol->n_shot;
    task->max_tokens = o->max_tokens != 0 ? o->max_tokens : protocol->max_tokens;
    task->sampling = merge_sampling(o->sampling, protocol->sampling);
    if (is_recorded)
        AS_TRY(order_as_recorded(task, o, keep, err));
    else
        AS_TRY(check_caps(task, o, err));
    if (o->n_sample_ids != 0)
        AS_TRY(keep_sample_ids(task, o, keep, err));
    return apply_limit(task, &o->limit, err);
}

/* ---- configuration: the run's identity ----------------------------------------------------------
 */

static void put_number(as_jw *w, const char *key, double v)
{
    as_jw_key(w, key);
    as_jw_f64(w, v); /* unset is null */
}

static void put_task(as_jw *w, const run_task *t)
{
    const su_protocol *p = t->suite.protocol;
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &t->suite.dataset.sha256);
    as_jw_begin_object(w);
    as_jw_key(w, "suite");
    as_jw_z(w, t->suite.suite->name);
    as_jw_key(w, "protocol");
    as_jw_z(w, p->id);
    as_jw_key(w, "source");
    as_jw_z(w, p->source);
    as_jw_key(w, "scorer");
    as_jw_z(w, t->scorer->name);
    as_jw_key(w, "scorer_version");
    as_jw_i64(w, t->scorer->version);
    as_jw_key(w, "dataset_sha256");
    as_jw_z(w, hex);
    as_jw_key(w, "chat");
    as_jw_bool(w, p->is_chat);
    as_jw_key(w, "repeats");
    as_jw_i64(w, t->repeats);
    as_jw_key(w, "n_shot");
    as_jw_i64(w, t->n_shot);
    as_jw_key(w, "max_tokens");
    as_jw_i64(w, t->max_tokens);
    as_jw_key(w, "max_prompt_tokens");
    as_jw_i64(w, p->max_prompt_tokens);
    put_number(w, "temperature", t->sampling.temperature);
    put_number(w, "top_p", t->sampling.top_p);
    put_number(w, "min_p", t->sampling.min_p);
    put_number(w, "top_k", t->sampling.top_k >= 0 ? t->sampling.top_k : (double)NAN);
    as_jw_key(w, "stop");
    as_jw_begin_array(w);
    for (int i = 0; i < AS_MAX_STOP && p->stop[i] != NULL; i++)
        as_jw_z(w, p->stop[i]);
    as_jw_end_array(w);
    as_jw_key(w, "items");
    as_jw_i64(w, (int64_t)t->n_samples);
    as_jw_key(w, "items_sha256");
    as_sha256_state *h = as_sha256_new();
    if (h != NULL) {
        for (size_t i = 0; i < t->n_samples; i++)
            as_sha256_add_field(h, t->samples[i].id);
        const as_sha256 sum = as_sha256_end(h);
        as_sha256_hex(hex, &sum);
        as_jw_z(w, hex);
    } else {
        w->out->is_full = true;
    }
    as_jw_end_object(w);
}

static const char *think_name(as_think t)
{
    return t == AS_THINK_ON ? "on" : t == AS_THINK_OFF ? "off" : "auto";
}

/* The task's part of the configuration on its own: what the store keeps as its protocol. */
static as_code write_task(run_task *t, as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 1 << 20);
    as_jw w;
    as_jw_init(&w, &b);
    put_task(&w, t);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        t->json = as_arena_str(keep, as_buf_str(&b));
        c = as_str_is_set(t->json) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code write_config(run_plan *plan, as_arena *keep, as_err *err)
{
    const run_options *o = plan->options;
    const be_info *info = o->backend->driver->info(o->backend);
    as_buf b;
    as_buf_init(&b, 1 << 20);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_key(&w, "format");
    as_jw_i64(&w, 1);
    as_jw_key(&w, "model");
    as_jw_str(&w, o->model_spec);
    as_jw_key(&w, "model_sha256");
    as_jw_str(&w, info->sha256);
    as_jw_key(&w, "model_options");
    as_jw_begin_object(&w);
    for (int i = 0; i < o->n_model_options; i++) {
        as_jw_key_str(&w, o->model_options[i].key);
        as_jw_str(&w, o->model_options[i].value);
    }
    as_jw_end_object(&w);
    as_jw_key(&w, "seed");
    as_jw_i64(&w, o->seed);
    as_jw_key(&w, "think");
    as_jw_z(&w, think_name(o->think));
    as_jw_key(&w, "reasoning_tokens");
    as_jw_i64(&w, o->reasoning_tokens);
    as_jw_key(&w, "tasks");
    as_jw_begin_array(&w);
    for (int i = 0; i < plan->n_tasks; i++)
        as_jw_raw(&w, plan->tasks[i].json);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        plan->config_json = as_arena_str(keep, as_buf_str(&b));
        if (!as_str_is_set(plan->config_json))
            c = as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

as_code run_plan_make(run_plan *out, const run_options *options, as_arena *keep, as_err *err)
{
    *out = (run_plan){.options = options};
    run_task *tasks = as_new(keep, run_task, options->n_suite_names);
    if (tasks == NULL)
        return as_nomem(err);
    for (int i = 0; i < options->n_suite_names; i++) {
        AS_TRY(make_task(&tasks[i], options, options->suite_names[i], keep, err));
        AS_TRY(write_task(&tasks[i], keep, err));
        for (int k = 0; k < i; k++)
            if (tasks[k].suite.suite == tasks[i].suite.suite &&
                tasks[k].suite.protocol == tasks[i].suite.protocol)
                return as_fail(err, AS_RANGE, "-t names %s:%s twice", tasks[i].suite.suite->name,
                               tasks[i].suite.protocol->id);
        out->n_attempts += (int64_t)tasks[i].n_samples * tasks[i].repeats;
    }
    out->tasks = tasks;
    out->n_tasks = options->n_suite_names;
    return write_config(out, keep, err);
}

/* ---- one request -------------------------------------------------------------------------------
 */

bool run_can_count(const be_backend *be)
{
    return be->driver->count_tokens != NULL && (be->driver->caps(be) & BE_CAN_COUNT) != 0;
}

/* The protocol's rule of too long prompts: one example less until it fits, down to none. */
static as_code fit_prompt(const run_plan *plan, const run_task *task, const as_sample *sample,
                          as_request *rq, as_arena *arena, as_err *err)
{
    const be_driver *driver = plan->options->backend->driver;
    const int max = task->suite.protocol->max_prompt_tokens;
    const su_suite *suite = task->suite.suite;
    AS_TRY(suite->prompt(&task->suite, sample, task->n_shot, rq, arena, err));
    if (max <= 0 || !run_can_count(plan->options->backend))
        return AS_OK;
    for (int n_shot = task->n_shot; n_shot > 0; n_shot--) {
        int n = 0;
        AS_TRY(driver->count_tokens(plan->options->backend, rq, &n, err));
        if (n < max)
            break;
        AS_TRY(suite->prompt(&task->suite, sample, n_shot - 1, rq, arena, err));
    }
    return AS_OK;
}

as_code run_request(const run_plan *plan, const run_task *task, size_t position, int repeat,
                    as_request *out, as_arena *arena, as_err *err)
{
    const run_options *o = plan->options;
    const as_sample *sample = &task->samples[position];
    const su_protocol *p = task->suite.protocol;
    *out = (as_request){
        .suite = as_str_of(task->suite.suite->name),
        .item = sample->id,
        .repeat = repeat,
        .is_chat = p->is_chat,
        .sampling = task->sampling,
        .max_tokens = task->max_tokens,
        .think = o->think,
        .reasoning_tokens = o->reasoning_tokens,
    };
    for (; out->n_stop < AS_MAX_STOP && p->stop[out->n_stop] != NULL; out->n_stop++)
        out->stop[out->n_stop] = as_str_of(p->stop[out->n_stop]);
    const as_str name =
        as_arena_printf(arena, "%s/%.*s/%d", task->suite.suite->name, AS_ARG(sample->id), repeat);
    if (!as_str_is_set(name))
        return as_nomem(err);
    as_rng rng;
    as_rng_init(&rng, (uint64_t)o->seed, name);
    out->seed = as_rng_u64(&rng) & 0x7FFFFFFF; /* servers take 31 bits */
    if ((o->backend->driver->caps(o->backend) & BE_HAS_ANSWERS) != 0)
        return AS_OK;
    return fit_prompt(plan, task, sample, out, arena, err);
}

static size_t prompt_bytes(const as_request *rq)
{
    size_t n = rq->prefix.n + rq->prompt.n;
    for (int i = 0; i < rq->n_messages; i++)
        n += rq->messages[i].text.n;
    return n;
}

static as_code estimate_task(const run_plan *plan, const run_task *task, run_estimate *e,
                             as_arena *scratch, as_err *err)
{
    const be_driver *driver = plan->options->backend->driver;
    const int64_t requests = (int64_t)task->n_samples * task->repeats;
    const size_t n = task->n_samples < ESTIMATE_PROMPTS ? task->n_samples : ESTIMATE_PROMPTS;
    double tokens = 0;
    double bytes = 0;
    int longest = 0;
    for (size_t k = 0; k < n; k++) {
        const size_t position = k * task->n_samples / n;
        const size_t mark = as_arena_mark(scratch);
        as_request rq;
        AS_TRY(run_request(plan, task, position, 0, &rq, scratch, err));
        int count = (int)(prompt_bytes(&rq) / 4);
        if (run_can_count(plan->options->backend))
            AS_TRY(driver->count_tokens(plan->options->backend, &rq, &count, err));
        tokens += count;
        bytes += (double)prompt_bytes(&rq);
        if (count > longest)
            longest = count;
        as_arena_rewind(scratch, mark);
    }
    e->requests += requests;
    e->completion_limit += requests * task->max_tokens;
    if (n != 0) {
        e->prompt_tokens += (int64_t)(tokens / (double)n * (double)requests);
        e->prompt_bytes += (int64_t)(bytes / (double)n * (double)requests);
    }
    /* The longest prompt was perhaps not among those looked at. */
    int most = longest + longest / 2;
    const int cap = task->suite.protocol->max_prompt_tokens;
    if (cap > 0 && most > cap)
        most = cap;
    if (most + task->max_tokens > e->max_total_tokens)
        e->max_total_tokens = most + task->max_tokens;
    return AS_OK;
}

as_code run_plan_estimate(const run_plan *plan, run_estimate *out, as_err *err)
{
    *out = (run_estimate){.is_counted = run_can_count(plan->options->backend)};
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < plan->n_tasks; i++)
        c = estimate_task(plan, &plan->tasks[i], out, &scratch, err);
    as_arena_release(&scratch);
    return c;
}
