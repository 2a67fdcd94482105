/*
 * livecodebench.c — LiveCodeBench, code generation: problems of contests after a date.
 *
 * Prompts: LiveCodeBench/LiveCodeBench, lcb_runner/prompts/code_generation.py (the generic system
 * message and question template), commit 28fef95e, MIT. Official sampling: lcb_runner/runner.
 *
 * A protocol's id is SELECTION, SELECTION-official or SELECTION-script. SELECTION says which of the
 * six files and which dates: vN, vA_vB, release_vN (v1 to vN), own (problems of other files), each
 * with @FROM..TO behind it if wanted; FROM..TO alone means release_v6. Dates are inclusive.
 */
#include "suites/suites.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/stats.h"
#include "suites/prompt.h"
#include "suites/summary.h"
#include "suites/tests.h"

enum { N_FILES = 6, OFFICIAL_K = 5 };

#define SOURCE       "LiveCodeBench/LiveCodeBench, commit 28fef95e"
#define OWN_SAMPLING .repeats = 1, .max_tokens = 32768, .sampling = {1, 0.95, (double)NAN, 64}
#define ROW(name, text)                                                                            \
    {                                                                                              \
        .id = (name), .title = text ": one sample, temperature 1, as Gemma 4's numbers seem made", \
        .source = SOURCE, .scorer = "code_lcb", .is_chat = true, OWN_SAMPLING,                     \
    }

/* The rules of which every other protocol is a copy: ours, official, script. */
static const su_protocol protocols[] = {
    ROW("v6", "the 175 problems of v6"),
    {
        .id = "v6-official",
        .title = "v6 as upstream samples: n = 10, temperature 0.2, 2000 tokens, stop \"###\"; cuts "
                 "thinking models off",
        .source = SOURCE,
        .scorer = "code_lcb",
        .is_chat = true,
        .repeats = 10,
        .max_tokens = 2000,
        .sampling = {0.2, 0.95, (double)NAN, -1},
        .stop = {"###"},
    },
    {
        .id = "v6-script",
        .title = "v6, programs run as scripts (more lenient than upstream's checker)",
        .source = SOURCE,
        .scorer = "code_lcb_script",
        .is_chat = true,
        OWN_SAMPLING,
    },
    ROW("v1", "the 400 problems of v1"),
    ROW("v2", "the 111 problems of v2"),
    ROW("v3", "the 101 problems of v3"),
    ROW("v4", "the 101 problems of v4"),
    ROW("v5", "the 167 problems of v5"),
    ROW("release_v1", "v1, 400 problems"),
    ROW("release_v2", "v1 to v2, 511 problems"),
    ROW("release_v3", "v1 to v3, 612 problems"),
    ROW("release_v4", "v1 to v4, 713 problems"),
    ROW("release_v5", "v1 to v5, 880 problems"),
    ROW("release_v6", "v1 to v6, 1055 problems"),
    ROW("v5_v6", "v5 to v6 (any vA_vB)"),
    ROW("2025-02-01..2025-05-01", "release_v6 in those dates, inclusive (any dates)"),
    ROW("v5_v6@2025-01-01..2025-04-30", "files and dates"),
    ROW("own", "problems imported from other files, such as the samples"),
};

/* ---- which problems ------------------------------------------------------------------------ */

typedef struct selection {
    int from, to;          /* files, 1 … 6; 0: own */
    as_str first, last;    /* dates, empty: any */
    const su_protocol *of; /* whose rules */
} selection;

static bool eat(as_str *s, const char *word)
{
    if (!as_str_starts(*s, as_str_of(word)))
        return false;
    *s = as_str_sub(*s, strlen(word), s->n);
    return true;
}

static bool eat_number(as_str *s, int *out)
{
    if (s->n == 0 || s->p[0] < '1' || s->p[0] > '0' + N_FILES)
        return false;
    *out = s->p[0] - '0';
    *s = as_str_sub(*s, 1, s->n);
    return true;
}

static bool eat_date(as_str *s, as_str *out)
{
    static const char form[] = "dddd-dd-dd";
    if (s->n < sizeof form - 1)
        return false;
    for (size_t i = 0; form[i] != '\0'; i++)
        if (form[i] == '-' ? s->p[i] != '-' : s->p[i] < '0' || s->p[i] > '9')
            return false;
    *out = as_str_sub(*s, 0, sizeof form - 1);
    *s = as_str_sub(*s, sizeof form - 1, s->n);
    return true;
}

static bool eat_dates(as_str *s, selection *out)
{
    return eat_date(s, &out->first) && eat(s, "..") && eat_date(s, &out->last) &&
           as_str_cmp(out->first, out->last) <= 0;
}

static bool eat_files(as_str *s, selection *out)
{
    if (eat(s, "own"))
        return true;
    if (eat(s, "release_latest")) {
        out->from = 1;
        out->to = N_FILES;
        return true;
    }
    if (eat(s, "release_v")) {
        out->from = 1;
        return eat_number(s, &out->to);
    }
    if (!eat(s, "v") || !eat_number(s, &out->from))
        return false;
    out->to = out->from;
    return !eat(s, "_v") || (eat_number(s, &out->to) && out->to > out->from);
}

static bool parse_selection(selection *out, as_str id)
{
    *out = (selection){.of = &protocols[0]};
    for (int i = 1; i <= 2; i++) {
        const as_str suffix = as_str_sub(as_str_of(protocols[i].id), 2, 32); /* behind "v6" */
        if (as_str_ends(id, suffix)) {
            out->of = &protocols[i];
            id = as_str_sub(id, 0, id.n - suffix.n);
        }
    }
    if (id.n != 0 && id.p[0] >= '0' && id.p[0] <= '9') {
        out->from = 1;
        out->to = N_FILES;
        return eat_dates(&id, out) && id.n == 0;
    }
    if (!eat_files(&id, out))
        return false;
    return id.n == 0 || (eat(&id, "@") && eat_dates(&id, out) && id.n == 0);
}

static as_code lcb_derive(const su_protocol **out, const su_suite *suite, as_str id, as_arena *keep,
                          as_err *err)
{
    (void)suite;
    selection s;
    *out = NULL;
    if (!parse_selection(&s, id))
        return AS_OK;
    su_protocol *p = as_new(keep, su_protocol, 1);
    const as_str name = as_arena_str(keep, id);
    if (p == NULL || !as_str_is_set(name))
        return as_nomem(err);
    *p = *s.of;
    p->id = name.p;
    p->title = "chosen files and dates";
    *out = p;
    return AS_OK;
}

/* ---- loading ------------------------------------------------------------------------------- */

typedef struct lcb_item {
    as_str starter, month, errata;
} lcb_item;

typedef struct lcb_state {
    const lcb_item *items; /* as the samples */
} lcb_state;

static as_code missing(int file, as_err *err)
{
    if (file == 0)
        return as_fail(err, AS_RANGE,
                       "livecodebench: no problems of your own are here; `assay data import "
                       "livecodebench FILE.jsonl` brings them in (datasets/samples has twelve)");
    char name[32];
    (void)snprintf(name, sizeof name, file == 1 ? "test.jsonl" : "test%d.jsonl", file);
    return as_fail(err, AS_RANGE,
                   "livecodebench: v%d is not here: save https://huggingface.co/datasets/"
                   "livecodebench/code_generation_lite/resolve/main/%s, then `assay data import "
                   "livecodebench %s`",
                   file, name, name);
}

static as_code read_sample(as_sample *out, lcb_item *item, const as_json *row, const char *tests,
                           as_arena *keep, as_err *err)
{
    as_str date;
    AS_TRY(su_row_str(&out->id, row, "id", keep, err));
    AS_TRY(su_row_str(&out->question, row, "question", keep, err));
    AS_TRY(su_row_str(&out->group, row, "difficulty", keep, err));
    AS_TRY(su_row_str(&date, row, "date", keep, err));
    AS_TRY(su_row_str(&item->starter, row, "starter", keep, err));
    AS_TRY(su_row_str(&item->errata, row, "errata", keep, err));
    item->month = as_str_sub(date, 0, 7);
    out->target = AS_STR("all tests");
    out->origin = date;
    static const char *const spec[] = {"fn", NULL};
    return su_row_tests(&out->tests, row, tests, spec, keep, err);
}

static as_code add_file(su_task *task, lcb_item **items, const selection *s, int file,
                        const char *root, as_arena *keep, as_err *err)
{
    char split[16] = "own";
    if (file != 0)
        (void)snprintf(split, sizeof split, "v%d", file);
    const as_str path = as_arena_printf(keep, "%s/livecodebench/%s.tests.jsonl", root, split);
    ds_rows rows = {0};
    AS_TRY(ds_load(root, "livecodebench", split, &rows, err));
    as_sample *all = as_new(keep, as_sample, task->n_samples + rows.n);
    lcb_item *more = as_new(keep, lcb_item, task->n_samples + rows.n);
    as_code c = rows.n == 0                                           ? missing(file, err)
                : all == NULL || more == NULL || !as_str_is_set(path) ? as_nomem(err)
                                                                      : AS_OK;
    size_t n = task->n_samples;
    if (c == AS_OK && n != 0 && *items != NULL) {
        memcpy(all, task->samples, n * sizeof *all);
        memcpy(more, *items, n * sizeof *more);
    }
    for (size_t i = 0; c == AS_OK && i < rows.n; i++) {
        c = read_sample(&all[n], &more[n], rows.row[i], path.p, keep, err);
        const as_str date = all[n].origin;
        if (c == AS_OK && (s->first.n == 0 ||
                           (as_str_cmp(date, s->first) >= 0 && as_str_cmp(date, s->last) <= 0)))
            n++;
    }
    if (c == AS_OK) {
        task->samples = all;
        task->n_samples = n;
        *items = more;
    }
    ds_rows_free(&rows);
    return c;
}

static as_code lcb_load(su_task *out, const su_suite *suite, const su_protocol *protocol,
                        const su_load_options *options, as_arena *keep, as_err *err)
{
    su_task task = {.suite = suite, .protocol = protocol};
    selection s;
    lcb_item *items = NULL;
    const char *used[N_FILES + 1] = {NULL};
    static const char *const names[] = {"own", "v1", "v2", "v3", "v4", "v5", "v6"};
    if (!parse_selection(&s, as_str_of(protocol->id)))
        return as_fail(err, AS_BUG, "livecodebench: protocol %s", protocol->id);
    for (int i = s.from; i <= s.to; i++)
        used[i - s.from] = names[i];
    as_err why = {0};
    const as_code c = ds_find(options->data_root, "livecodebench", &task.dataset, keep, &why);
    if (c == AS_RANGE)
        return missing(s.to, err);
    if (c != AS_OK) {
        if (err != NULL)
            *err = why;
        return c;
    }
    AS_TRY(su_only_splits(&task.dataset, used, keep, err));
    for (int i = s.from; i <= s.to; i++)
        AS_TRY(add_file(&task, &items, &s, i, options->data_root, keep, err));
    if (task.n_samples == 0)
        return as_fail(err, AS_RANGE, "livecodebench:%s: no problem lies in those dates",
                       protocol->id);
    lcb_state *state = as_new(keep, lcb_state, 1);
    if (state == NULL)
        return as_nomem(err);
    state->items = items;
    task.state = state;
    *out = task;
    return AS_OK;
}

/* ---- prompt -------------------------------------------------------------------------------- */

static const char system_text[] =
    "You are an expert Python programmer. You will be given a question (problem specification) and "
    "will generate a correct Python program that matches the specification and passes all tests.";
static const char stdin_format[] =
    "### Format: Read the inputs from stdin solve the problem and write the answer to stdout (do "
    "not "
    "directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure "
    "that when the python program runs, it reads the inputs, runs the algorithm and writes output "
    "to STDOUT.\n```python\n# YOUR CODE HERE\n```\n\n";
static const char starter_format[] =
    "### Format: You will use the following starter code to write the solution to the problem and "
    "enclose your code within delimiters.\n```python\n";

static size_t index_of(const su_task *task, as_str id)
{
    for (size_t i = 0; i < task->n_samples; i++)
        if (as_str_eq(task->samples[i].id, id))
            return i;
    return SIZE_MAX;
}

static as_code lcb_prompt(const su_task *task, const as_sample *sample, int n_shot, as_request *out,
                          as_arena *arena, as_err *err)
{
    (void)n_shot;
    const lcb_state *state = task->state;
    const size_t i = index_of(task, sample->id);
    const as_str starter = i != SIZE_MAX ? state->items[i].starter : (as_str){0};
    as_buf b;
    as_str text;
    as_buf_init(&b, 0);
    su_prompt_add(&b, "### Question:\n", sample->question, "\n\n");
    if (starter.n != 0)
        su_prompt_add(&b, starter_format, starter, "\n```\n\n");
    else
        (void)as_buf_add_z(&b, stdin_format);
    (void)as_buf_add_z(&b, "### Answer: (use the provided format with backticks)\n\n");
    AS_TRY(su_prompt_keep(&text, &b, arena, err));
    as_message *messages = as_new(arena, as_message, 2);
    if (messages == NULL)
        return as_nomem(err);
    messages[0] = (as_message){.role = AS_STR("system"), .text = as_str_of(system_text)};
    messages[1] = (as_message){.role = AS_STR("user"), .text = text};
    out->messages = messages;
    out->n_messages = 2;
    return AS_OK;
}

/* ---- arithmetic ---------------------------------------------------------------------------- */

/* The rows with another grouping: by month, or by what is known to be wrong with the problem. */
static as_code regrouped(const su_task *task, const as_result *rows, size_t n, bool by_month,
                         as_summary *out, as_arena *keep, as_err *err)
{
    const lcb_state *state = task->state;
    as_result *copy = as_new(keep, as_result, n);
    if (copy == NULL)
        return as_nomem(err);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        copy[i] = rows[i];
        if (i == 0 || !as_str_eq(rows[i].item, rows[i - 1].item))
            at = index_of(task, rows[i].item);
        copy[i].group = (as_str){0};
        if (at != SIZE_MAX && by_month) {
            copy[i].group = state->items[at].month;
        } else if (at != SIZE_MAX && state->items[at].errata.n != 0) {
            copy[i].group = as_arena_printf(keep, "errata: %.*s", AS_ARG(state->items[at].errata));
            if (!as_str_is_set(copy[i].group))
                return as_nomem(err);
        }
    }
    return su_summary_basic(copy, n, out, keep, err);
}

static as_code join_groups(as_summary *s, const as_summary *more, as_arena *keep, as_err *err)
{
    as_group *all = as_new(keep, as_group, s->n_groups + more->n_groups);
    if (all == NULL)
        return as_nomem(err);
    for (int i = 0; i < s->n_groups; i++)
        all[i] = s->groups[i];
    for (int i = 0; i < more->n_groups; i++)
        all[s->n_groups + i] = more->groups[i];
    s->groups = all;
    s->n_groups += more->n_groups;
    return AS_OK;
}

static as_code lcb_summarise(const su_task *task, const as_result *rows, size_t n, as_summary *out,
                             as_arena *keep, as_err *err)
{
    as_summary s = {0};
    as_summary part = {0};
    AS_TRY(su_summary_basic(rows, n, &s, keep, err));
    for (int by_month = 1; by_month >= 0; by_month--) {
        AS_TRY(regrouped(task, rows, n, by_month != 0, &part, keep, err));
        AS_TRY(join_groups(&s, &part, keep, err));
    }
    AS_TRY(su_put_pass_metrics(&s, rows, n, OFFICIAL_K, keep, err));
    *out = s;
    return AS_OK;
}

const su_suite su_livecodebench = {
    .name = "livecodebench",
    .title = "LiveCodeBench: Python programs for contest problems, judged by their tests",
    .protocols = protocols,
    .n_protocols = sizeof protocols / sizeof protocols[0],
    .derive = lcb_derive,
    .load = lcb_load,
    .prompt = lcb_prompt,
    .summarise = lcb_summarise,
};
