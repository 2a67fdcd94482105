/*
 * aime.c — the American Invitational Mathematics Examination: 30 problems a year, answers 0 to 999.
 *
 * The chat prompt defines MathArena's protocol: eth-sri/matharena, configs/competitions/aime and
 * runner.py, commit e9276603, MIT. The completion prompt and its stops are those of lm-eval's aime
 * tasks, EleutherAI/lm-evaluation-harness commit 4e7e0d47, MIT.
 * Four runs and the sampling: as the Gemma 4 numbers were made, as far as one can tell.
 */
#include "suites/suites.h"

#include <math.h>
#include <stdio.h>

#include "base/stats.h"
#include "suites/prompt.h"
#include "suites/summary.h"

static const char *const years[] = {"2026", "2025", "2024", NULL};

#define CHAT(name, text)                                                                           \
    {                                                                                              \
        .id = (name), .title = text ", MathArena's prompt, 4 runs",                                \
        .source = "eth-sri/matharena, commit e9276603", .scorer = "number_aime", .is_chat = true,  \
        .repeats = 4, .max_tokens = 32768, .sampling = {1, 0.95, (double)NAN, 64},                 \
    }
#define COMPLETION(name, text)                                                                     \
    {                                                                                              \
        .id = (name), .title = text ", a plain completion for base models, 4 runs",                \
        .source = "lm-evaluation-harness aime, commit 4e7e0d47", .scorer = "number_aime",          \
        .repeats = 4, .max_tokens = 32768, .sampling = {1, 0.95, (double)NAN, 64},                 \
        .stop = {"Question:", "</s>", "<|im_end|>", "<|eot_id|>"},                                 \
    }

static const su_protocol protocols[] = {
    CHAT("2026", "AIME 2026"),
    CHAT("2025", "AIME 2025"),
    CHAT("2024", "AIME 2024"),
    CHAT("all", "AIME 2024, 2025 and 2026"),
    COMPLETION("2026-completion", "AIME 2026"),
    COMPLETION("2025-completion", "AIME 2025"),
    COMPLETION("2024-completion", "AIME 2024"),
    COMPLETION("all-completion", "AIME 2024, 2025 and 2026"),
};

static as_code aime_prompt(const su_task *task, const as_sample *sample, int n_shot,
                           as_request *out, as_arena *arena, as_err *err)
{
    (void)n_shot;
    const bool is_2024 = as_str_starts(sample->id, AS_STR("2024"));
    as_buf b;
    as_str text;
    as_buf_init(&b, 0);
    if (task->protocol->is_chat) {
        (void)as_buf_add_z(&b, is_2024 ? "Please reason step by step, and put" : "Put");
        su_prompt_add(
            &b,
            " your final answer within \\boxed{}.\nThe answer is an integer between 0 and "
            "999 inclusive.\n\n",
            sample->question, "");
        AS_TRY(su_prompt_keep(&text, &b, arena, err));
        return su_prompt_user(out, text, arena, err);
    }
    su_prompt_add(&b, "Question: ", sample->question, "\nAnswer:");
    AS_TRY(su_prompt_keep(&text, &b, arena, err));
    out->prefix = (as_str){0};
    out->prompt = text;
    return AS_OK;
}

/* ---------------------------------------------------------------------------- loading */

static as_code read_sample(as_sample *out, const as_json *row, as_arena *keep, as_err *err)
{
    int64_t answer = 0;
    int64_t year = 0;
    as_str part;
    AS_TRY(su_row_str(&out->id, row, "id", keep, err));
    AS_TRY(su_row_str(&out->question, row, "problem", keep, err));
    AS_TRY(as_json_need_str(row, "part", &part, err));
    AS_TRY(as_json_need_i64(row, "year", 0, 9999, &year, err));
    AS_TRY(as_json_need_i64(row, "answer", 0, 999, &answer, err));
    out->target = as_arena_printf(keep, "%d", (int)answer);
    out->group = as_arena_printf(keep, "%d%s%.*s", (int)year, part.n != 0 ? "-" : "", AS_ARG(part));
    return out->target.p != NULL && out->group.p != NULL ? AS_OK : as_nomem(err);
}

static as_code missing(const char *year, as_err *err)
{
    return as_fail(
        err, AS_RANGE,
        "aime: the problems of %s are not here (they are (c) MAA and cannot be shipped): "
        "save https://datasets-server.huggingface.co/rows?dataset=MathArena%%2Faime_%s"
        "&config=default&split=train&offset=0&length=100 as aime_%s.json (2024: any copy "
        "as JSON Lines), then `assay data import aime aime_%s.json`",
        year, year, year, year);
}

static as_code add_year(su_task *task, const char *year, const char *root, as_arena *keep,
                        as_err *err)
{
    ds_rows rows = {0};
    AS_TRY(ds_load(root, "aime", year, &rows, err));
    as_sample *all = as_new(keep, as_sample, task->n_samples + rows.n);
    as_code c = rows.n == 0 ? missing(year, err) : all == NULL ? as_nomem(err) : AS_OK;
    if (c == AS_OK && task->n_samples != 0)
        memcpy(all, task->samples, task->n_samples * sizeof *all);
    for (size_t i = 0; c == AS_OK && i < rows.n; i++)
        c = read_sample(&all[task->n_samples + i], rows.row[i], keep, err);
    if (c == AS_OK) {
        task->samples = all;
        task->n_samples += rows.n;
    }
    ds_rows_free(&rows);
    return c;
}

static as_code aime_load(su_task *out, const su_suite *suite, const su_protocol *protocol,
                         const su_load_options *options, as_arena *keep, as_err *err)
{
    su_task task = {.suite = suite, .protocol = protocol};
    const as_str id = as_str_of(protocol->id);
    const bool is_all = as_str_starts(id, AS_STR("all"));
    const char *used[sizeof years / sizeof years[0]] = {NULL};
    int n_used = 0;
    for (const char *const *year = years; *year != NULL; year++)
        if (is_all || as_str_starts(id, as_str_of(*year)))
            used[n_used++] = *year;
    as_err why = {0};
    const as_code c = ds_find(options->data_root, "aime", &task.dataset, keep, &why);
    if (c == AS_RANGE)
        return missing(used[0], err);
    if (c != AS_OK) {
        if (err != NULL)
            *err = why;
        return c;
    }
    AS_TRY(su_only_splits(&task.dataset, used, keep, err));
    for (int i = 0; i < n_used; i++)
        AS_TRY(add_year(&task, used[i], options->data_root, keep, err));
    *out = task;
    return AS_OK;
}

/* ------------------------------------------------------------------------- arithmetic */

typedef struct tally {
    int64_t n_items;
    int k; /* runs of the item with most */
    double mean, majority, pass;
} tally;

/* Is the most frequent answer of these runs right? Few rows, so counting pairs is enough. */
static bool majority_is_right(const as_result *rows, size_t n)
{
    const as_result *winner = NULL;
    int most = 0;
    for (size_t i = 0; i < n; i++) {
        if (!su_counts(&rows[i]) || rows[i].score.prediction.n == 0)
            continue;
        int votes = 0;
        for (size_t k = 0; k < n; k++)
            votes +=
                su_counts(&rows[k]) && as_str_eq(rows[i].score.prediction, rows[k].score.prediction)
                    ? 1
                    : 0;
        if (votes > most) {
            most = votes;
            winner = &rows[i];
        }
    }
    return winner != NULL && winner->score.verdict == AS_RIGHT;
}

static void add_item(tally *t, const as_result *rows, size_t n)
{
    int count = 0;
    int right = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!su_counts(&rows[i]))
            continue;
        count++;
        right += rows[i].score.verdict == AS_RIGHT ? 1 : 0;
        sum += rows[i].score.value;
    }
    if (count == 0)
        return;
    t->n_items++;
    t->k = count > t->k ? count : t->k;
    t->mean += sum / count;
    t->majority += majority_is_right(rows, n) ? 1 : 0;
    t->pass += as_pass_at_k(count, right, count);
}

static as_code put_metrics(const as_metric **out, int *n, const tally *t, as_arena *keep,
                           as_err *err)
{
    const double d = t->n_items > 0 ? (double)t->n_items : (double)NAN;
    const as_metric all[] = {
        {AS_STR_INIT("mean"), t->mean / d},
        {AS_STR_INIT("maj@k"), t->majority / d},
        {AS_STR_INIT("pass@k"), t->pass / d},
        {AS_STR_INIT("k"), (double)t->k},
    };
    as_metric *copy = as_new(keep, as_metric, sizeof all / sizeof all[0]);
    if (copy == NULL)
        return as_nomem(err);
    memcpy(copy, all, sizeof all);
    *out = copy;
    *n = (int)(sizeof all / sizeof all[0]);
    return AS_OK;
}

static as_code aime_summarise(const su_task *task, const as_result *rows, size_t n, as_summary *out,
                              as_arena *keep, as_err *err)
{
    (void)task;
    as_summary s = {0};
    su_grouping by = {0};
    AS_TRY(su_summary_basic(rows, n, &s, keep, err));
    AS_TRY(su_group_rows(&by, rows, n, keep, err));
    tally total = {0};
    tally *of_group = as_new(keep, tally, by.n);
    as_group *groups = as_new(keep, as_group, s.n_groups);
    if (of_group == NULL || groups == NULL)
        return as_nomem(err);
    for (size_t i = 0, end; i < n; i = end) {
        end = su_item_end(rows, n, i);
        int g = -1;
        for (size_t k = i; k < end && g < 0; k++)
            g = by.of[k];
        add_item(&total, rows + i, end - i);
        if (g >= 0)
            add_item(&of_group[g], rows + i, end - i);
    }
    for (int g = 0; g < s.n_groups; g++) {
        groups[g] = s.groups[g];
        AS_TRY(put_metrics(&groups[g].metrics, &groups[g].n_metrics, &of_group[g], keep, err));
    }
    s.groups = groups;
    AS_TRY(put_metrics(&s.metrics, &s.n_metrics, &total, keep, err));
    *out = s;
    return AS_OK;
}

const su_suite su_aime = {
    .name = "aime",
    .title = "AIME: 30 competition problems a year with answers from 0 to 999",
    .protocols = protocols,
    .n_protocols = sizeof protocols / sizeof protocols[0],
    .load = aime_load,
    .prompt = aime_prompt,
    .summarise = aime_summarise,
};
