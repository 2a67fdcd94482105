#ifndef TYPES_SCORE_H
#define TYPES_SCORE_H
/*
 * score.h — the verdict on one answer, and its place in the anatomy of a score.
 *
 * A score is never one number: every attempt falls in exactly one of the eight classes below, and
 * only AS_RIGHT and AS_WRONG are statements about the model's ability.
 */
#include <stdbool.h>
#include <stdint.h>

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

/* One process that was run to judge an answer. Times and bytes: -1 unknown. */
typedef struct as_exec {
    bool is_compiler;        /* else it ran the answer's program */
    int first_test, n_tests; /* the tests it was given, the first is 1; a compiler has none */
    as_str codes;            /* JSON: what came of its tests, as far as it got: [1,1,-2] */
    as_str verdict, detail;  /* of its tests together: "accepted", "time_limit", … */
    int exit_code;           /* -1: a signal ended it, or it was ended, once a test was wrong too */
    int term_signal;         /* 0: none */
    int64_t cpu_us, wall_us, peak_bytes, output_bytes;
    int n_runs;                    /* above 1: run again near the time limit */
    as_str errors;                 /* head of standard error, 1 KB */
    as_str limits;                 /* JSON: {"cpu_ms", "wall_ms", "memory_mb", …} */
    as_str sandbox;                /* what it ran in; "none": in nothing */
    as_str toolchain, tool_sha256; /* interpreter or compiler: version, hex hash of its file */
} as_exec;

typedef struct as_score {
    as_verdict verdict;
    int rule;     /* which step of the extraction fired; 0 none. Meaning: the scorer's header */
    double value; /* 0 … 1, what the mean is taken of */
    as_str prediction;    /* what was read from the answer; p NULL: nothing */
    as_str target;        /* what it was compared with */
    as_str note;          /* a reason or evidence for a person, may be empty */
    const as_exec *execs; /* [n_execs] in the order of their tests; scorers of programs only */
    int n_execs;
} as_score;

const char *as_verdict_name(as_verdict v); /* "right", "wrong", … */
bool as_verdict_parse(as_verdict *out, as_str name);

#endif
