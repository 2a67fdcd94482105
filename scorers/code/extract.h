#ifndef SCORERS_CODE_EXTRACT_H
#define SCORERS_CODE_EXTRACT_H
/*
 * extract.h — the program in an answer.
 *
 * sc_code_last   LiveCodeBench's rule (commit 28fef95e, MIT): the lines between the last two lines
 *                that hold ``` anywhere; no code when there are fewer than two. Neither language nor
 *                parity is looked at: an unclosed last block, or three backticks behind the program,
 *                move the window and lose it.
 * sc_code_first  CodeElo's rule: the first match of ```(\w*)\n(.*?)\n```; tag is the word.
 * Before         thinking is removed (think.h).
 * Ownership      both borrow from the text.
 * Threads        pure, linear.
 */
#include <stdbool.h>

#include "base/str.h"

/* False: fewer than two such lines. */
bool sc_code_last(as_str *code, as_str text);
bool sc_code_first(as_str *code, as_str *tag, as_str text);

#endif
