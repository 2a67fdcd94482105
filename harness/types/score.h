#ifndef TYPES_SCORE_H
#define TYPES_SCORE_H
/*
 * score.h — the verdict on one answer, and its place in the anatomy of a score.
 *
 * A score is never one number: every attempt falls in exactly one of the eight classes below, and
 * only AS_RIGHT and AS_WRONG are statements about the model's ability.
 */
#include <stdbool.h>

#include "base/str.h"

typedef enum as_verdict {
    AS_RIGHT,
    AS_WRONG,
    AS_TRUNCATED, /* ended by the token limit without a right answer */
    AS_EMPTY,     /* no text at all */
    AS_UNPARSED,  /* text, but no answer found in it */
    AS_REFUSED,   /* blocked by a filter */
    AS_ERROR,     /* the request failed */
    AS_UNGRADED,  /* the scorer could not judge */
    AS_N_VERDICTS,
} as_verdict;

typedef struct as_score {
    as_verdict verdict;
    int rule;     /* which step of the extraction fired; 0 none. Meaning: the scorer's header */
    double value; /* 0 … 1, what the mean is taken of */
    as_str prediction; /* what was read from the answer; p NULL: nothing */
    as_str target;     /* what it was compared with */
    as_str note;       /* a reason or evidence for a person, may be empty */
} as_score;

const char *as_verdict_name(as_verdict v); /* "right", "wrong", … */
bool as_verdict_parse(as_verdict *out, as_str name);

#endif
