/*
 * mmlu_pro.c — MMLU-Pro (arXiv:2406.01574) as its own programs run and score it.
 *
 * The prompt strings define the protocols: TIGER-AI-Lab/MMLU-Pro,
 * cot_prompt_lib/initial_prompt.txt, evaluate_from_local.py and evaluate_from_api.py, commit
 * f418b116, Apache-2.0.
 */
#include "suites/suites.h"

#include <math.h>
#include <string.h>

#include "base/pyrandom.h"
#include "suites/prompt.h"
#include "suites/smoke_items.h"
#include "suites/summary.h"

enum { MAX_SHOT = 5, MAX_SUBJECTS = 64, N_LETTERS = 10, SEED = 12345 };

/* For people without the validation rows: the whole path on real questions, no published number. */
#define OWN_SHOTS "own-shots"

static const su_protocol protocols[] = {
    {
        .id = "official",
        .title = "5-shot chain of thought as a completion, greedy",
        .source = "TIGER-AI-Lab/MMLU-Pro evaluate_from_local.py, commit f418b116",
        .scorer = "choice_mmlu_pro",
        .n_shot = MAX_SHOT,
        .repeats = 1,
        .max_tokens = 2048,
        .max_prompt_tokens = 2048,
        .sampling = {0, (double)NAN, (double)NAN, -1},
        .stop = {"Question:"},
    },
    {
        .id = "official-api",
        .title = "5-shot chain of thought in one chat message, temperature 0",
        .source = "TIGER-AI-Lab/MMLU-Pro evaluate_from_api.py, commit f418b116",
        .scorer = "choice_mmlu_pro_api",
        .is_chat = true,
        .n_shot = MAX_SHOT,
        .repeats = 1,
        .max_tokens = 4000,
        .sampling = {0, 1, (double)NAN, -1},
    },
    {
        .id = OWN_SHOTS,
        .title = "like official, with this program's own five examples: NOT comparable",
        .source = "the official prompt's form around the examples of smoke_choice",
        .scorer = "choice_mmlu_pro",
        .n_shot = MAX_SHOT,
        .repeats = 1,
        .max_tokens = 2048,
        .max_prompt_tokens = 2048,
        .sampling = {0, (double)NAN, (double)NAN, -1},
        .stop = {"Question:"},
    },
};

/* What stands before a subject's questions. With k examples it is the first end[k] bytes. */
typedef struct subject {
    as_str name;
    as_str text;
    size_t end[MAX_SHOT + 1];
} subject;

/* A row whose answer_index is not its letter's (3983 of the public set: C, but 1). */
typedef struct odd_row {
    as_str id, letter;
    int answer_index;
} odd_row;

typedef struct state {
    subject subjects[MAX_SUBJECTS];
    int n;
    odd_row *odd;
    int n_odd;
} state;

/* ----------------------------------------------------------------------------- prompts */

static void add_intro(as_buf *b, as_str name, bool is_api)
{
    su_prompt_add(b, "The following are multiple choice questions (with answers) about ", name,
                  is_api ? ". Think step by step and then output the answer in the format of \"The "
                           "answer is (X)\" at the end.\n\n"
                         : ". Think step by step and then finish your answer with \"the answer is "
                           "(X)\" where X is the correct letter choice.\n\n\n\n");
}

static void add_question(as_buf *b, as_str question, const as_str *choices, int n, bool is_api)
{
    su_prompt_add(b, is_api ? "Question: " : "Question:\n", question,
                  is_api ? "\nOptions: " : "\nOptions:\n");
    su_prompt_options(b, choices, n);
}

static void add_example(as_buf *b, const su_example *e, bool is_api)
{
    static const as_str mark = AS_STR_INIT("A: Let's think step by step.");
    add_question(b, e->question, e->choices, e->n_choices, is_api);
    if (is_api) {
        const as_str answer = as_str_starts(e->answer, AS_STR("A: "))
                                  ? as_str_sub(e->answer, 3, e->answer.n)
                                  : e->answer;
        su_prompt_add(b, "Answer: ", answer, "\n\n");
    } else {
        su_prompt_replace(b, e->answer, mark, AS_STR("Answer: Let's think step by step."));
        (void)as_buf_add_z(b, "\n\n");
    }
}

static as_code mmlu_prompt(const su_task *task, const as_sample *sample, int n_shot,
                           as_request *out, as_arena *arena, as_err *err)
{
    const state *st = task->state;
    const subject *s = NULL;
    for (int i = 0; i < st->n && s == NULL; i++)
        s = as_str_eq(st->subjects[i].name, sample->group) ? &st->subjects[i] : NULL;
    if (s == NULL || n_shot < 0 || n_shot > MAX_SHOT)
        return as_fail(err, AS_BUG, "mmlu_pro: no examples for \"%.*s\": loaded without prompts",
                       AS_ARG(sample->group));
    const bool is_api = task->protocol->is_chat;
    const as_str prefix = {s->text.p, s->end[n_shot]};
    as_buf b;
    as_str text;
    as_buf_init(&b, 0);
    if (is_api)
        (void)as_buf_add(&b, prefix);
    add_question(&b, sample->question, sample->choices, sample->n_choices, is_api);
    (void)as_buf_add_z(&b, "Answer: Let's think step by step.");
    if (is_api)
        (void)as_buf_add_z(&b, "\n\n");
    AS_TRY(su_prompt_keep(&text, &b, arena, err));
    if (is_api)
        return su_prompt_user(out, text, arena, err);
    out->prefix = prefix;
    out->prompt = text;
    return AS_OK;
}

/* ---------------------------------------------------------------------------- loading */

static as_code add_subject(state *st, as_str name, const su_example *all, size_t n, bool is_api,
                           as_arena *keep, as_err *err)
{
    if (st->n == MAX_SUBJECTS)
        return as_fail(err, AS_RANGE, "mmlu_pro: more than %d subjects", MAX_SUBJECTS);
    subject *s = &st->subjects[st->n];
    as_buf b;
    as_buf_init(&b, 0);
    add_intro(&b, name, is_api);
    int k = 0;
    s->end[0] = b.n;
    for (size_t i = 0; i < n && k < MAX_SHOT; i++) {
        if (all[i].group.n != 0 && !as_str_eq(all[i].group, name))
            continue;
        add_example(&b, &all[i], is_api);
        s->end[++k] = b.n;
    }
    AS_TRY(su_prompt_keep(&s->text, &b, keep, err));
    if (k < MAX_SHOT)
        return as_fail(err, AS_RANGE,
                       "mmlu_pro: %d validation rows for the subject \"%.*s\", want %d: import the "
                       "whole validation split",
                       k, AS_ARG(name), MAX_SHOT);
    s->name = name;
    st->n++;
    return AS_OK;
}

/* Every subject's texts, from the examples at hand. */
static as_code add_subjects(state *st, const su_task *task, const su_example *all, size_t n,
                            as_arena *keep, as_err *err)
{
    for (size_t i = 0; i < task->n_samples; i++) {
        const as_str name = task->samples[i].group;
        bool is_known = false;
        for (int k = st->n; k-- > 0 && !is_known;)
            is_known = as_str_eq(st->subjects[k].name, name);
        if (!is_known)
            AS_TRY(add_subject(st, name, all, n, task->protocol->is_chat, keep, err));
    }
    return AS_OK;
}

static as_code own_examples(state *st, const su_task *task, as_arena *keep, as_err *err)
{
    su_example all[SMOKE_N_CHOICE_SHOT];
    for (int i = 0; i < SMOKE_N_CHOICE_SHOT; i++) {
        const smoke_choice *c = &smoke_choice_shots[i];
        as_str *choices = as_new(keep, as_str, SMOKE_MAX_CHOICES);
        const as_str answer = as_arena_printf(keep, "A: Let's think step by step. %s", c->worked);
        if (choices == NULL || !as_str_is_set(answer))
            return as_nomem(err);
        int n = 0;
        for (; n < SMOKE_MAX_CHOICES && c->choices[n] != NULL; n++)
            choices[n] = as_str_of(c->choices[n]);
        all[i] = (su_example){.question = as_str_of(c->question),
                              .choices = choices,
                              .n_choices = n,
                              .answer = answer};
    }
    return add_subjects(st, task, all, SMOKE_N_CHOICE_SHOT, keep, err);
}

static as_code read_example(su_example *out, const as_json *row, as_arena *keep, as_err *err)
{
    AS_TRY(su_row_str(&out->group, row, "category", keep, err));
    AS_TRY(su_row_str(&out->question, row, "question", keep, err));
    AS_TRY(su_row_str(&out->answer, row, "cot_content", keep, err));
    return su_row_strs(&out->choices, &out->n_choices, row, "options", keep, err);
}

static as_code fill_state(state *st, const su_task *task, const ds_rows *rows, as_arena *keep,
                          as_err *err)
{
    su_example *all = as_new(keep, su_example, rows->n);
    if (all == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < rows->n; i++)
        AS_TRY(read_example(&all[i], rows->row[i], keep, err));
    return add_subjects(st, task, all, rows->n, keep, err);
}

static as_code load_examples(state *st, const su_task *task, const su_load_options *options,
                             as_arena *keep, as_err *err)
{
    ds_rows rows = {0};
    AS_TRY(ds_load(options->data_root, "mmlu_pro", "validation", &rows, err));
    as_code c = AS_OK;
    if (rows.n == 0)
        c = as_fail(err, AS_RANGE,
                    "mmlu_pro: the 70 validation rows (the few-shot examples) are not here: save "
                    "https://datasets-server.huggingface.co/rows?dataset=TIGER-Lab%%2FMMLU-Pro"
                    "&config=default&split=validation&offset=0&length=70 as validation.json, then "
                    "`assay data import mmlu_pro validation.json`");
    else
        c = fill_state(st, task, &rows, keep, err);
    ds_rows_free(&rows);
    return c;
}

static as_code read_sample(as_sample *out, const as_json *row, as_arena *keep, as_err *err)
{
    AS_TRY(su_row_str(&out->id, row, "id", keep, err));
    AS_TRY(su_row_str(&out->group, row, "category", keep, err));
    AS_TRY(su_row_str(&out->question, row, "question", keep, err));
    AS_TRY(su_row_str(&out->target, row, "answer", keep, err));
    AS_TRY(su_row_str(&out->origin, row, "src", keep, err));
    return su_row_strs(&out->choices, &out->n_choices, row, "options", keep, err);
}

static as_code note_odd(state *st, const as_sample *sample, const as_json *row, as_err *err)
{
    int64_t index = 0;
    AS_TRY(as_json_need_i64(row, "answer_index", 0, N_LETTERS - 1, &index, err));
    if (sample->target.n != 1 || sample->target.p[0] - 'A' != index)
        st->odd[st->n_odd++] = (odd_row){sample->id, sample->target, (int)index};
    return AS_OK;
}

static as_code load_samples(su_task *out, const su_load_options *options, as_arena *keep,
                            as_err *err)
{
    state *st = out->state;
    ds_rows rows = {0};
    AS_TRY(ds_load(options->data_root, "mmlu_pro", "test", &rows, err));
    as_sample *samples = as_new(keep, as_sample, rows.n);
    st->odd = as_new(keep, odd_row, rows.n);
    as_code c = samples != NULL && st->odd != NULL ? AS_OK : as_nomem(err);
    if (c == AS_OK && rows.n == 0)
        c = as_fail(err, AS_RANGE,
                    "mmlu_pro: the dataset has no test rows: import them with `assay data import "
                    "mmlu_pro FILE…` (JSON Lines or row pages of TIGER-Lab/MMLU-Pro, split test)");
    for (size_t i = 0; c == AS_OK && i < rows.n; i++) {
        c = read_sample(&samples[i], rows.row[i], keep, err);
        if (c == AS_OK)
            c = note_odd(st, &samples[i], rows.row[i], err);
    }
    out->samples = samples;
    out->n_samples = rows.n;
    ds_rows_free(&rows);
    return c;
}

static as_code mmlu_load(su_task *out, const su_suite *suite, const su_protocol *protocol,
                         const su_load_options *options, as_arena *keep, as_err *err)
{
    static const char *const both[] = {"test", "validation", NULL};
    static const char *const test_only[] = {"test", NULL};
    su_task task = {.suite = suite, .protocol = protocol};
    as_err why = {0};
    as_code c = ds_find(options->data_root, "mmlu_pro", &task.dataset, keep, &why);
    if (c == AS_RANGE)
        return as_fail(err, c,
                       "mmlu_pro: the questions are not in %s: fetch TIGER-Lab/MMLU-Pro (JSON "
                       "Lines, or all pages of https://datasets-server.huggingface.co/rows?dataset="
                       "TIGER-Lab%%2FMMLU-Pro&config=default&split=test), then `assay data import "
                       "mmlu_pro FILE…`",
                       options->data_root);
    if (c != AS_OK) {
        if (err != NULL)
            *err = why;
        return c;
    }
    const bool is_own = strcmp(protocol->id, OWN_SHOTS) == 0;
    const bool want_rows = options->want_prompts && !is_own;
    AS_TRY(su_only_splits(&task.dataset, want_rows ? both : test_only, keep, err));
    state *st = as_new(keep, state, 1);
    if (st == NULL)
        return as_nomem(err);
    task.state = st;
    AS_TRY(load_samples(&task, options, keep, err));
    if (want_rows)
        AS_TRY(load_examples(st, &task, options, keep, err));
    else if (options->want_prompts)
        AS_TRY(own_examples(st, &task, keep, err));
    *out = task;
    return AS_OK;
}

/* ------------------------------------------------------------------------- arithmetic */

typedef struct tally {
    int64_t n;
    int64_t none[2];   /* without an answer, level 1 and level 2 */
    int64_t right[2];  /* no answer: wrong */
    int64_t random[2]; /* no answer: a random letter */
    int64_t save_res;
} tally;

/* 0 … 9 for A … J, or -1: the answer of a level (0: rule 1 alone, 1: all rules). */
static int answer_of(const as_result *r, int level)
{
    const as_str p = r->score.prediction;
    const bool is_seen = level == 1 || r->score.rule == 1;
    return is_seen && p.n == 1 && p.p[0] >= 'A' && p.p[0] < 'A' + N_LETTERS ? p.p[0] - 'A' : -1;
}

static int gold_of(const as_result *r)
{
    return r->score.target.n == 1 ? r->score.target.p[0] - 'A' : -1;
}

/* What save_res compares its random number with. A recorded key that differs from the dataset's
 * letter comes with an index that is not known; it is taken to be the letter's. */
static int index_of(const su_task *task, const as_result *r)
{
    const state *st = task != NULL ? task->state : NULL;
    for (int i = 0; st != NULL && i < st->n_odd; i++)
        if (as_str_eq(st->odd[i].id, r->item) && as_str_eq(st->odd[i].letter, r->score.target))
            return st->odd[i].answer_index;
    return gold_of(r);
}

/* compute_accuracy.py. all[0] is the total, all[1 + g] group g. */
static void tally_levels(tally *all, const as_result *rows, size_t n, const int *group_of)
{
    as_pyrandom rng;
    as_pyrandom_seed(&rng, SEED);
    for (int level = 0; level < 2; level++) {
        for (size_t i = 0; i < n; i++) {
            if (!su_counts(&rows[i]))
                continue;
            const int answer = answer_of(&rows[i], level);
            const int guess = answer >= 0 ? answer : (int)as_pyrandom_below(&rng, N_LETTERS);
            tally *const to[2] = {&all[0], &all[1 + group_of[i]]};
            for (int k = 0; k < (group_of[i] >= 0 ? 2 : 1); k++) {
                to[k]->n += level == 0 ? 1 : 0;
                to[k]->none[level] += answer < 0 ? 1 : 0;
                to[k]->right[level] += answer >= 0 && answer == gold_of(&rows[i]) ? 1 : 0;
                to[k]->random[level] += guess == gold_of(&rows[i]) ? 1 : 0;
            }
        }
    }
}

static int guess_of(as_pyrandom *rng, const as_result *r)
{
    return (int)as_pyrandom_int(rng, 0, (r->n_choices > 0 ? r->n_choices : N_LETTERS) - 1);
}

/* evaluate_from_local.py: group by group, each twice, the second result stays. */
static void tally_save_res(tally *all, const su_task *task, const as_result *rows, size_t n,
                           const su_grouping *by)
{
    as_pyrandom rng;
    as_pyrandom_seed(&rng, SEED);
    for (int g = 0; g < by->n; g++) {
        for (int round = 0; round < 2; round++) {
            all[1 + g].save_res = 0;
            for (size_t i = 0; i < n; i++) {
                if (by->of[i] != g)
                    continue;
                const int answer = answer_of(&rows[i], 1);
                all[1 + g].save_res += answer >= 0
                                           ? answer == gold_of(&rows[i])
                                           : guess_of(&rng, &rows[i]) == index_of(task, &rows[i]);
            }
        }
        all[0].save_res += all[1 + g].save_res;
    }
}

enum { N_METRICS = 11 };

/* macro NULL: of a group, which has none. */
static as_code put_metrics(const as_metric **out, int *n, const tally *t, double save_res,
                           const double *macro, as_arena *keep, as_err *err)
{
    const double d = t->n > 0 ? (double)t->n : (double)NAN;
    const as_metric all[N_METRICS] = {
        {AS_STR_INIT("level1"), (double)t->right[0] / d},
        {AS_STR_INIT("level2"), (double)t->right[1] / d},
        {AS_STR_INIT("level1_random"), (double)t->random[0] / d},
        {AS_STR_INIT("level2_random"), (double)t->random[1] / d},
        {AS_STR_INIT("save_res"), save_res},
        {AS_STR_INIT("level1_right"), (double)t->right[0]},
        {AS_STR_INIT("level2_right"), (double)t->right[1]},
        {AS_STR_INIT("save_res_right"), (double)t->save_res},
        {AS_STR_INIT("level1_none"), (double)t->none[0]},
        {AS_STR_INIT("level2_none"), (double)t->none[1]},
        {AS_STR_INIT("macro"), macro != NULL ? *macro : (double)NAN},
    };
    as_metric *copy = as_new(keep, as_metric, N_METRICS);
    if (copy == NULL)
        return as_nomem(err);
    memcpy(copy, all, sizeof all);
    *out = copy;
    *n = macro != NULL ? N_METRICS : N_METRICS - 1;
    return AS_OK;
}

static as_code put_groups(as_summary *s, const tally *all, as_arena *keep, as_err *err)
{
    as_group *groups = as_new(keep, as_group, s->n_groups);
    if (groups == NULL)
        return as_nomem(err);
    for (int g = 0; g < s->n_groups; g++) {
        const tally *t = &all[1 + g];
        groups[g] = s->groups[g];
        AS_TRY(put_metrics(&groups[g].metrics, &groups[g].n_metrics, t,
                           (double)t->save_res / (double)t->n, NULL, keep, err));
    }
    s->groups = groups;
    return AS_OK;
}

/* A plain sum over the subjects as they first occur: to the last digit what a loop over a recorded
 * file gives. */
static as_code macro_mean(double *out, const tally *all, const su_grouping *by, size_t n_rows,
                          as_arena *keep, as_err *err)
{
    bool *is_seen = as_new(keep, bool, by->n);
    if (is_seen == NULL)
        return as_nomem(err);
    double sum = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const int g = by->of[i];
        if (g < 0 || is_seen[g])
            continue;
        is_seen[g] = true;
        sum += (double)all[1 + g].right[1] / (double)all[1 + g].n;
    }
    *out = by->n > 0 ? sum / by->n : (double)NAN;
    return AS_OK;
}

static as_code mmlu_summarise(const su_task *task, const as_result *rows, size_t n, as_summary *out,
                              as_arena *keep, as_err *err)
{
    as_summary s = {0};
    su_grouping by = {0};
    double macro = (double)NAN;
    AS_TRY(su_summary_basic(rows, n, &s, keep, err));
    AS_TRY(su_group_rows(&by, rows, n, keep, err));
    tally *all = as_new(keep, tally, by.n + 1);
    if (all == NULL)
        return as_nomem(err);
    tally_levels(all, rows, n, by.of);
    tally_save_res(all, task, rows, n, &by);
    AS_TRY(put_groups(&s, all, keep, err));
    AS_TRY(macro_mean(&macro, all, &by, n, keep, err));
    const double share =
        all[0].n > 0 ? (double)all[0].save_res / ((double)all[0].n + 0.000001) : (double)NAN;
    AS_TRY(put_metrics(&s.metrics, &s.n_metrics, &all[0], share, &macro, keep, err));
    *out = s;
    return AS_OK;
}

const su_suite su_mmlu_pro = {
    .name = "mmlu_pro",
    .title = "MMLU-Pro: 12,032 questions of 14 subjects with up to ten options",
    .protocols = protocols,
    .n_protocols = sizeof protocols / sizeof protocols[0],
    .load = mmlu_load,
    .prompt = mmlu_prompt,
    .summarise = mmlu_summarise,
};
