/*
 * smoke.c — two suites that need no data: do prompts, stop texts, extraction and scoring work?
 *
 * smoke_choice asks in MMLU-Pro's form, smoke_number in AIME's, each once as a completion with
 * worked examples and once as a chat message without. Questions and prompts are our own.
 */
#include "suites/suites.h"

#include <math.h>

#include "suites/prompt.h"
#include "suites/smoke_items.h"
#include "suites/summary.h"

enum { MAX_SHOT = SMOKE_N_CHOICE_SHOT };

#define GREEDY                                                                                     \
    {                                                                                              \
        0, (double)NAN, (double)NAN, -1                                                            \
    }

static const su_protocol choice_protocols[] = {
    {
        .id = "5shot",
        .title = "five worked examples, a plain completion, greedy",
        .source = "our own questions in MMLU-Pro's form",
        .scorer = "choice_mmlu_pro",
        .n_shot = SMOKE_N_CHOICE_SHOT,
        .repeats = 1,
        .max_tokens = 256,
        .sampling = GREEDY,
        .stop = {"Question:"},
    },
    {
        .id = "chat",
        .title = "one chat message without examples, greedy",
        .source = "our own questions in MMLU-Pro's form",
        .scorer = "choice_mmlu_pro_api",
        .is_chat = true,
        .repeats = 1,
        .max_tokens = 4096,
        .sampling = GREEDY,
    },
};

static const su_protocol number_protocols[] = {
    {
        .id = "4shot",
        .title = "four worked examples, a plain completion, greedy",
        .source = "our own problems in AIME's form",
        .scorer = "number_aime",
        .n_shot = SMOKE_N_NUMBER_SHOT,
        .repeats = 1,
        .max_tokens = 256,
        .sampling = GREEDY,
        .stop = {"Problem:"},
    },
    {
        .id = "chat",
        .title = "one chat message without examples, greedy",
        .source = "our own problems in AIME's form",
        .scorer = "number_aime",
        .is_chat = true,
        .repeats = 1,
        .max_tokens = 4096,
        .sampling = GREEDY,
    },
};

/* What stands before every question. With k examples it is the first end[k] bytes. */
typedef struct state {
    as_str text;
    size_t end[MAX_SHOT + 1];
} state;

/* ------------------------------------------------------------------------------ choice */

static void add_question(as_buf *b, as_str question, const as_str *choices, int n)
{
    su_prompt_add(b, "Question:\n", question, "\nOptions:\n");
    su_prompt_options(b, choices, n);
}

static int copy_choices(as_str out[SMOKE_MAX_CHOICES], const smoke_choice *c)
{
    int n = 0;
    for (; n < SMOKE_MAX_CHOICES && c->choices[n] != NULL; n++)
        out[n] = as_str_of(c->choices[n]);
    return n;
}

static as_code choice_state(state *st, bool is_chat, as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b, "Here are multiple choice questions. Think step by step and then finish "
                           "with \"The answer is (X).\", where X is the letter of the right "
                           "option.\n\n");
    st->end[0] = b.n;
    for (int k = 0; !is_chat && k < SMOKE_N_CHOICE_SHOT; k++) {
        const smoke_choice *c = &smoke_choice_shots[k];
        as_str choices[SMOKE_MAX_CHOICES];
        const int n = copy_choices(choices, c);
        add_question(&b, as_str_of(c->question), choices, n);
        su_prompt_add(&b, "Answer: Let's think step by step. ", as_str_of(c->worked), "\n\n");
        st->end[k + 1] = b.n;
    }
    return su_prompt_keep(&st->text, &b, keep, err);
}

static as_code choice_samples(su_task *task, as_arena *keep, as_err *err)
{
    as_sample *samples = as_new(keep, as_sample, SMOKE_N_CHOICE);
    if (samples == NULL)
        return as_nomem(err);
    for (int i = 0; i < SMOKE_N_CHOICE; i++) {
        const smoke_choice *c = &smoke_choices[i];
        as_str *choices = as_new(keep, as_str, SMOKE_MAX_CHOICES);
        if (choices == NULL)
            return as_nomem(err);
        samples[i] = (as_sample){
            .id = as_str_of(c->id),
            .group = as_str_of(c->group),
            .question = as_str_of(c->question),
            .choices = choices,
            .n_choices = copy_choices(choices, c),
            .target = as_str_of(c->answer),
            .origin = AS_STR("assay"),
        };
    }
    task->samples = samples;
    task->n_samples = SMOKE_N_CHOICE;
    return AS_OK;
}

static void choice_question(as_buf *b, const as_sample *s)
{
    add_question(b, s->question, s->choices, s->n_choices);
    (void)as_buf_add_z(b, "Answer: Let's think step by step.");
}

/* ------------------------------------------------------------------------------ number */

static as_code number_state(state *st, bool is_chat, as_arena *keep, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_add_z(&b, "Here are problems whose answer is a whole number from 0 to 999. Think "
                           "step by step and put the answer within \\boxed{}.\n\n");
    st->end[0] = b.n;
    for (int k = 0; !is_chat && k < SMOKE_N_NUMBER_SHOT; k++) {
        su_prompt_add(&b, "Problem: ", as_str_of(smoke_number_shots[k].problem), "\n");
        su_prompt_add(&b, "Solution: ", as_str_of(smoke_number_shots[k].worked), "\n\n");
        st->end[k + 1] = b.n;
    }
    return su_prompt_keep(&st->text, &b, keep, err);
}

static as_code number_samples(su_task *task, as_arena *keep, as_err *err)
{
    as_sample *samples = as_new(keep, as_sample, SMOKE_N_NUMBER);
    if (samples == NULL)
        return as_nomem(err);
    for (int i = 0; i < SMOKE_N_NUMBER; i++) {
        samples[i] = (as_sample){
            .id = as_str_of(smoke_numbers[i].id),
            .question = as_str_of(smoke_numbers[i].problem),
            .target = as_arena_printf(keep, "%d", smoke_numbers[i].answer),
            .origin = AS_STR("assay"),
        };
        if (samples[i].target.p == NULL)
            return as_nomem(err);
    }
    task->samples = samples;
    task->n_samples = SMOKE_N_NUMBER;
    return AS_OK;
}

static void number_question(as_buf *b, const as_sample *s)
{
    su_prompt_add(b, "Problem: ", s->question, "\nSolution:");
}

/* -------------------------------------------------------------------------------- both */

static bool is_choice(const su_task *task)
{
    return task->suite == &su_smoke_choice;
}

/* The identity of what is asked: every text of the samples and what stands before them. */
static as_code describe(su_task *task, as_err *err)
{
    const state *st = task->state;
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    as_sha256_add_field(h, st->text);
    for (size_t i = 0; i < task->n_samples; i++) {
        const as_sample *s = &task->samples[i];
        as_sha256_add_field(h, s->id);
        as_sha256_add_field(h, s->question);
        for (int k = 0; k < s->n_choices; k++)
            as_sha256_add_field(h, s->choices[k]);
        as_sha256_add_field(h, s->target);
    }
    task->dataset = (ds_info){
        .name = as_str_of(task->suite->name),
        .licence = AS_STR("as assay"),
        .revision = AS_STR("1"),
        .source = AS_STR("assay"),
        .imported_at = AS_STR(""),
        .sha256 = as_sha256_end(h),
        .is_builtin = true,
    };
    return AS_OK;
}

static as_code smoke_load(su_task *out, const su_suite *suite, const su_protocol *protocol,
                          const su_load_options *options, as_arena *keep, as_err *err)
{
    (void)options;
    su_task task = {.suite = suite, .protocol = protocol};
    state *st = as_new(keep, state, 1);
    if (st == NULL)
        return as_nomem(err);
    if (is_choice(&task)) {
        AS_TRY(choice_state(st, protocol->is_chat, keep, err));
        AS_TRY(choice_samples(&task, keep, err));
    } else {
        AS_TRY(number_state(st, protocol->is_chat, keep, err));
        AS_TRY(number_samples(&task, keep, err));
    }
    task.state = st;
    AS_TRY(describe(&task, err));
    *out = task;
    return AS_OK;
}

static as_code smoke_prompt(const su_task *task, const as_sample *sample, int n_shot,
                            as_request *out, as_arena *arena, as_err *err)
{
    const state *st = task->state;
    if (n_shot < 0 || n_shot > task->protocol->n_shot)
        return as_fail(err, AS_BUG, "%s: %d examples asked for, there are %d", task->suite->name,
                       n_shot, task->protocol->n_shot);
    const as_str prefix = {st->text.p, st->end[n_shot]};
    as_buf b;
    as_str text;
    as_buf_init(&b, 0);
    if (task->protocol->is_chat)
        (void)as_buf_add(&b, prefix);
    if (is_choice(task))
        choice_question(&b, sample);
    else
        number_question(&b, sample);
    AS_TRY(su_prompt_keep(&text, &b, arena, err));
    if (task->protocol->is_chat)
        return su_prompt_user(out, text, arena, err);
    out->prefix = prefix;
    out->prompt = text;
    return AS_OK;
}

static as_code smoke_summarise(const su_task *task, const as_result *rows, size_t n,
                               as_summary *out, as_arena *keep, as_err *err)
{
    (void)task;
    return su_summary_basic(rows, n, out, keep, err);
}

const su_suite su_smoke_choice = {
    .name = "smoke_choice",
    .title = "built in: 24 easy multiple choice questions",
    .protocols = choice_protocols,
    .n_protocols = sizeof choice_protocols / sizeof choice_protocols[0],
    .load = smoke_load,
    .prompt = smoke_prompt,
    .summarise = smoke_summarise,
};

const su_suite su_smoke_number = {
    .name = "smoke_number",
    .title = "built in: 10 easy problems with whole-number answers",
    .protocols = number_protocols,
    .n_protocols = sizeof number_protocols / sizeof number_protocols[0],
    .load = smoke_load,
    .prompt = smoke_prompt,
    .summarise = smoke_summarise,
};
