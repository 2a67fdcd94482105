#ifndef SUITES_SUITE_H
#define SUITES_SUITE_H
/*
 * suite.h — the interface of a benchmark: its questions, its prompts, its arithmetic.
 *
 * A suite is data plus a small C file. It knows neither backends nor the store: it loads samples
 * from a dataset, turns one sample into a request, names the scorer, and sums results up.
 *
 * Protocols  one way of running the suite each: prompt, shots, sampling, scorer. "SUITE:PROTOCOL"
 *            on the command line; the first one listed is the default. What a protocol does is
 *            documented with its source, and its text is part of a run's identity.
 * Ownership  a task's samples and state live in the arena given to load.
 * Threads    a loaded task is read-only: prompt may be called from several threads.
 * Adding one copy aime.c, list it in harness/cli/registry.c, add its table test.
 */
#include "base/arena.h"
#include "base/err.h"
#include "datasets/dataset.h"
#include "types/request.h"
#include "types/result.h"
#include "types/sample.h"

typedef struct su_protocol {
    const char *id;
    const char *title;  /* one line for `assay ls suites` */
    const char *source; /* where it is defined */
    const char *scorer; /* name of a sc_scorer */
    bool is_chat;
    int n_shot;
    int repeats; /* default number of samples per item */
    int max_tokens;
    int max_prompt_tokens; /* > 0: drop few-shot examples until the prompt has fewer tokens, if the
                              backend can count them */
    as_sampling sampling;  /* defaults; flags override */
    const char *stop[AS_MAX_STOP]; /* NULL-terminated unless full */
} su_protocol;

typedef struct su_suite su_suite;

typedef struct su_task {
    const su_suite *suite;
    const su_protocol *protocol;
    const as_sample *samples; /* in dataset order */
    size_t n_samples;
    ds_info dataset;
    void *state; /* the suite's own: few-shot texts by subject … */
} su_task;

typedef struct su_load_options {
    const char *data_root; /* where datasets lie */
    bool want_prompts;     /* false: answers are recorded already, few-shot rows are not needed */
} su_load_options;

struct su_suite {
    const char *name;
    const char *title;
    const su_protocol *protocols;
    int n_protocols;
    /* NULL, or: the protocol of an id that the table does not list, such as a span of dates;
     * *out NULL when there is none. The table then shows examples. */
    as_code (*derive)(const su_protocol **out, const su_suite *suite, as_str id, as_arena *keep,
                      as_err *err);
    /* Fails with AS_RANGE and the remedy when the data are missing. */
    as_code (*load)(su_task *out, const su_suite *suite, const su_protocol *protocol,
                    const su_load_options *options, as_arena *keep, as_err *err);
    /* Fills prefix and prompt, or messages, and nothing else. n_shot ≤ protocol->n_shot. */
    as_code (*prompt)(const su_task *task, const as_sample *sample, int n_shot, as_request *out,
                      as_arena *arena, as_err *err);
    as_code (*summarise)(const su_task *task, const as_result *rows, size_t n, as_summary *out,
                         as_arena *keep, as_err *err);
};

/* "mmlu_pro" or "mmlu_pro:official" → suite and protocol; AS_RANGE lists what there is. */
as_code su_find(const su_suite *const *suites, as_str name, const su_suite **suite,
                const su_protocol **protocol, as_arena *keep, as_err *err);

#endif
