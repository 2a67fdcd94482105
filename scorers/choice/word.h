#ifndef SCORERS_CHOICE_WORD_H
#define SCORERS_CHOICE_WORD_H
/*
 * word.h — Python's idea of word characters and white space in str patterns.
 *
 *     \w   str.isalnum() or underscore: letters and numbers of any script. Combining marks are
 *          not word characters (PCRE2 10.43 and later think otherwise).
 *     \s   str.isspace()
 *
 * Source     CPython 3.11's unicodedata (Unicode 14.0); the table is made by
 *            tests/tools/word_table.py.
 * Text       any bytes: what is not UTF-8 counts as neither.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

bool sc_is_word(uint32_t code);
/* Is the character that ends right before byte at, or the one that starts there, part of a word? */
bool sc_word_before(as_str text, size_t at);
bool sc_word_at(as_str text, size_t at);
/* Bytes of the white-space character at that place, 0 if it is none. */
size_t sc_space_at(as_str text, size_t at);

#endif
