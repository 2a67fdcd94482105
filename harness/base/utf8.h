#ifndef BASE_UTF8_H
#define BASE_UTF8_H
/*
 * utf8.h — UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Errors     none; a bad sequence is a result (length 0).
 * Threads    pure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Bytes (1..4) of the valid sequence at the start of s; 0 if s is empty or starts badly. */
size_t as_utf8_len(as_str s);
/* The same, with the code point. */
size_t as_utf8_decode(as_str s, uint32_t *code);
/* Writes 1..4 bytes. A surrogate, which is no scalar value, gets three as any other code. */
size_t as_utf8_encode(uint32_t code, char out[4]);
bool as_utf8_is_valid(as_str s);
/* The longest prefix of at most max_bytes that does not split a valid sequence. */
as_str as_utf8_cut(as_str s, size_t max_bytes);
/* The length of the longest prefix that is not the start of an unfinished sequence. For streams:
 * hold back what lies behind it until more bytes come. */
size_t as_utf8_complete(as_str s);
/* Columns on a terminal: 1 per code point, 2 for East Asian wide ones and emoji, 0 for combining
 * marks; bad bytes count 1. */
size_t as_utf8_width(as_str s);

#endif
