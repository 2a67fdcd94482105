#ifndef RUN_PLAN_H
#define RUN_PLAN_H
/*
 * plan.h — from options to an ordered list of work with stable ids.
 *
 * A plan is a list of tasks (suite and protocol), each an ordered list of items times repeats. It
 * depends on the options, the data and the backend's identity alone; its configuration JSON holds
 * all of that, and its hash is the run's identity. How many requests are in flight, where the store
 * lies or how progress is shown are not part of it.
 *
 * Order      the dataset's, or the recording's when the backend holds recorded answers (official
 *            scores can depend on it); limit and sample ids select from that order.
 * Ownership  everything lives in the arena given to run_plan_make.
 */
#include "backend/backend.h"
#include "scorers/scorer.h"
#include "suites/suite.h"

typedef enum run_limit_kind { RUN_ALL, RUN_COUNT, RUN_SHARE, RUN_RANGE } run_limit_kind;

typedef struct run_limit {
    run_limit_kind kind;
    double share;     /* RUN_SHARE: 0 < share < 1, rounded up */
    int64_t from, to; /* RUN_COUNT: the first `to`; RUN_RANGE: items from…to, counted from 1 */
} run_limit;

/* "N", "0.x" or "A-B". */
as_code run_limit_parse(run_limit *out, as_str text, as_err *err);

typedef struct run_options {
    const su_suite *const *suites; /* NULL-terminated registries */
    const sc_scorer *const *scorers;
    be_backend *backend;            /* open */
    as_str model_spec;              /* "scheme:name" as it goes into the store: no folder names */
    const be_option *model_options; /* -M */
    int n_model_options;
    const as_str *suite_names; /* SUITE or SUITE:PROTOCOL */
    int n_suite_names;
    const char *data_root;
    run_limit limit;
    const as_str *sample_ids; /* only these, in plan order */
    int n_sample_ids;
    int repeats;          /* 0: the protocol's */
    int n_shot;           /* -1: the protocol's */
    int max_tokens;       /* 0: the protocol's */
    as_sampling sampling; /* unset fields: the protocol's */
    as_think think;
    int reasoning_tokens;
    int64_t seed;
    int concurrency;     /* requests in flight, ≥ 1 */
    int max_concurrency; /* > concurrency: adapted between 1 and this (concurrency.h) */
    int max_tries;       /* per attempt, ≥ 1 */
    int64_t retry_ms;    /* first pause before another try; doubles */
    sc_options scoring;
    const as_log *log;
} run_options;

typedef struct run_task {
    su_task suite; /* samples as loaded */
    const sc_scorer *scorer;
    const as_sample *samples; /* as planned: order, selection */
    size_t n_samples;
    int repeats, n_shot, max_tokens;
    as_sampling sampling;
    as_str json;      /* all of this as JSON: the task's part of the run's identity */
    size_t n_unknown; /* recorded answers that name no item of the dataset */
} run_task;

typedef struct run_plan {
    const run_options *options;
    run_task *tasks;
    int n_tasks;
    int64_t n_attempts;
    as_str config_json;
} run_plan;

as_code run_plan_make(run_plan *out, const run_options *options, as_arena *keep, as_err *err);

/* Fills *out for one attempt: identity, texts, sampling, seed. Few-shot examples are dropped where
 * the protocol says so and the backend can count tokens. */
as_code run_request(const run_plan *plan, const run_task *task, size_t position, int repeat,
                    as_request *out, as_arena *arena, as_err *err);

/* count_tokens is there and works. */
bool run_can_count(const be_backend *be);

/* What the plan would cost, for --dry-run and for the backend's prepare. Prompt figures come from a
 * spread sample of the prompts; tokens are counted by the backend if it can, else bytes / 4. */
typedef struct run_estimate {
    int64_t requests;
    int64_t prompt_tokens;    /* of all requests together */
    int64_t completion_limit; /* sum of token limits: the most that can come back */
    int max_total_tokens;     /* longest prompt seen + its token limit */
    int64_t prompt_bytes;
    bool is_counted; /* by the backend's tokenizer */
} run_estimate;

as_code run_plan_estimate(const run_plan *plan, run_estimate *out, as_err *err);

#endif
