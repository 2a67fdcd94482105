#ifndef SCORERS_NUMBER_FIRST_H
#define SCORERS_NUMBER_FIRST_H
/*
 * first.h — the first whole number of an answer, compared with the target as text.
 *
 * Rules      the first run of ASCII digits after thinking was removed (think.h), without commas
 *            between thousands and without leading zeros; score.rule is 1, or 0 if there is none.
 * Version    number_first: 1
 * Cost       linear.
 * Errors     AS_NOMEM.
 * Threads    pure.
 */
#include "scorers/scorer.h"

extern const sc_scorer sc_number_first;

#endif
