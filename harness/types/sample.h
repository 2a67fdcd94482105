#ifndef TYPES_SAMPLE_H
#define TYPES_SAMPLE_H
/*
 * sample.h — one question of a suite, as every module sees it.
 *
 * Ownership  plain records; texts live in the run arena that the suite loaded them into.
 */
#include "base/hash.h"
#include "base/str.h"

/* The tests of a program: too big to hold, read from the dataset when an answer is judged. */
typedef struct as_tests {
    as_str path; /* NUL-terminated; this line of it, without its newline: */
    int64_t at, bytes;
    as_sha256 sha256;
    as_str spec; /* JSON in the scorer's own form: how to judge */
} as_tests;

typedef struct as_sample {
    as_str id;       /* unique in its dataset and stable for ever: "70", "2024-I-1" */
    as_str group;    /* subject or difficulty; empty if the suite has none */
    as_str question; /* as the dataset has it, unstripped */
    const as_str *choices;
    int n_choices;         /* 0 for free answers */
    as_str target;         /* gold answer in the suite's form: "B", "204" */
    as_str origin;         /* where the dataset took it from, may be empty */
    const as_tests *tests; /* NULL: none. Not stored: a stored sample gets it from its dataset */
} as_sample;

/* What a recorded answer says about its own question. It wins over the dataset's row: recordings
 * were scored with the key of their day. Unset texts and n_choices 0 say nothing. */
typedef struct as_recorded {
    as_str target;
    int n_choices;
} as_recorded;

#endif
