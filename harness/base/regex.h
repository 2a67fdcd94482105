#ifndef BASE_REGEX_H
#define BASE_REGEX_H
/*
 * regex.h — PCRE2: compile once, match many times, with a limit on the work of one match.
 *
 * Semantics  UTF mode unless the pattern is compiled AS_RE_BYTES; text that is not UTF-8 is matched
 *            as if each bad byte were some other character. \w, \d and \s are Unicode-aware with
 *            AS_RE_UCP (Python's default for str).
 * Errors     compile errors name the offset; a match that exceeds its limit is AS_RANGE, not a
 *            mismatch.
 * Threads    a compiled pattern may be used by one thread at a time.
 */
#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

typedef struct as_regex as_regex;

enum {
    AS_RE_CASELESS = 1,
    AS_RE_DOTALL = 2,
    AS_RE_MULTILINE = 4,
    AS_RE_UCP = 8,
    AS_RE_BYTES = 16,
};

enum { AS_RE_GROUPS = 10 };

typedef struct as_match {
    int n_groups;               /* 1 + groups of the pattern, at most AS_RE_GROUPS */
    as_str group[AS_RE_GROUPS]; /* 0 is the whole match; a group that took no part has p NULL */
    size_t start, end;
} as_match;

as_code as_regex_new(as_regex **out, const char *pattern, unsigned flags, as_err *err);
void as_regex_free(as_regex *re);
/* First match at or behind from; *found tells whether there is one. Groups borrow from text. */
as_code as_regex_find(as_regex *re, as_str text, size_t from, as_match *out, bool *found,
                      as_err *err);

#endif
