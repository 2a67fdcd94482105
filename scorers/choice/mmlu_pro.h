#ifndef SCORERS_CHOICE_MMLU_PRO_H
#define SCORERS_CHOICE_MMLU_PRO_H
/*
 * mmlu_pro.h — the letter that MMLU-Pro's own programs read from an answer.
 *
 * Rules      in this order; the number is score.rule:
 *            1  answer is \(?([A-J])\)?        the first match. Level 1 of the official scores is
 *                                              this rule alone, level 2 all three.
 *            2  .*[aA]nswer:\s*([A-J])         the first line with a match; in it the last one. The
 *                                              white space may lead into later lines.
 *            3  \b[A-J]\b(?!.*\b[A-J]\b)       the last letter that stands alone in the whole text
 *            0  none
 *            Nothing is repaired: "answer is Both" is B, the article "A" is an option, and letters
 *            beyond the number of options are answers too (wrong ones).
 * Scorers    choice_mmlu_pro (version 1) applies them to the text as it is. choice_mmlu_pro_api
 *            (version 1) first removes thinking (think.h) and every "**", as evaluate_from_api.py
 *            does with "**".
 * Text       any bytes. Word characters and white space are Python's for str (word.h).
 * Cost       linear: no back-tracking, each rule reads the text once.
 * Source     TIGER-AI-Lab/MMLU-Pro, evaluate_from_local.py and compute_accuracy.py, commit
 *            f418b116, Apache-2.0: the three expressions, which define the protocol.
 * Errors     none for the rules; not finding a letter is a result.
 * Threads    pure.
 */
#include "scorers/scorer.h"

typedef struct sc_letter {
    int rule;    /* 1, 2, 3; 0 none */
    as_str text; /* one byte A … J, borrowed; p NULL if rule is 0 */
} sc_letter;

sc_letter sc_mmlu_pro_find(as_str answer);

extern const sc_scorer sc_choice_mmlu_pro;
extern const sc_scorer sc_choice_mmlu_pro_api;

#endif
