#ifndef SCORERS_NUMBER_AIME_H
#define SCORERS_NUMBER_AIME_H
/*
 * aime.h — the integer that an answer to a competition problem ends with.
 *
 * Rules      after removing thinking (think.h); the number is score.rule:
 *            1  the content of the last \boxed{…} or \fbox{…} whose braces balance and that is not
 *               empty. Of nested boxes the inner one is the last.
 *            2  no such box: the last whole number that stands alone in the text. A weak reading,
 *               to be reviewed where it decides.
 *            0  none
 * Cleaning   of a box: white space, $, ~, \, \; \: \! and "\ ", sizes and styles, ^\circ and °
 *            go; \text{…} and \mathrm{…} go with their content unless it holds a digit; of several
 *            parts with "=" the last one stays; braces, commas between thousands, one leading +,
 *            leading zeros, a full stop and a tail of ".0" do not count.
 * Output     prediction is the number in plain decimal form ("25" for 025), or the cleaned text of
 *            a box that is no integer: that is an answer too, and a wrong one. A gold answer is an
 *            integer from 0 to 999 ("073" is 73); other gold answers are AS_UNGRADED.
 * Version    number_aime: 1
 * Source     the recommended rule of our benchmark notes; agrees with MathArena's parser on
 *            integers. It does no algebra: \frac{408}{2} is not 204.
 * Cost       linear; a box of more than 256 bytes is no integer.
 * Errors     AS_NOMEM.
 * Ownership  texts of the result live in the arena or borrow from the answer.
 * Threads    pure.
 */
#include "scorers/scorer.h"

typedef struct sc_number {
    int rule;       /* 1, 2; 0 none */
    bool is_number; /* value is set: the text is an integer that fits */
    int64_t value;
    as_str text;
} sc_number;

as_code sc_aime_find(sc_number *out, as_str answer, as_arena *arena, as_err *err);

extern const sc_scorer sc_number_aime;

#endif
