#ifndef TYPES_RESULT_H
#define TYPES_RESULT_H
/*
 * result.h — finished attempts as rows, and what a suite says of all of them together.
 *
 * Ownership  texts and arrays live in the arena of whoever made them.
 */
#include <stdint.h>

#include "base/str.h"
#include "types/response.h"
#include "types/sample.h"
#include "types/score.h"

/* One attempt that counts (the last try of an item and repeat). Rows come in plan order: item by
 * item, the repeats of an item together. All of a task are held at once: 128 bytes each. */
typedef struct as_result {
    as_str item, group;
    int repeat;
    int n_choices; /* after as_recorded */
    as_score score;
    as_finish finish;
    as_error_kind error;
    int32_t prompt_tokens, completion_tokens; /* -1 unknown */
    double seconds;                           /* -1 unknown */
} as_result;

typedef struct as_metric {
    as_str name;
    double value; /* NAN: not defined for these data */
} as_metric;

typedef struct as_group {
    as_str name;
    int64_t n;
    double score;
    const as_metric *metrics; /* the suite's metrics over this group alone */
    int n_metrics;
} as_group;

typedef struct as_summary {
    int64_t n; /* attempts */
    int64_t n_items;
    double score;  /* mean of value */
    double se;     /* standard error of score, items as the sampling unit */
    double lo, hi; /* 95 % interval */
    int64_t anatomy[AS_N_VERDICTS];
    const as_group *groups;
    int n_groups;
    const as_metric *metrics;
    int n_metrics;
} as_summary;

#endif
