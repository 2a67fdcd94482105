#ifndef SCORERS_SANDBOX_COMPARE_H
#define SCORERS_SANDBOX_COMPARE_H
/*
 * compare.h — is what a program wrote what was expected? All rules but the checker's.
 *
 * Bytes      texts are UTF-8 with invalid bytes kept apart; NUL is an ordinary character; white
 *            space is Python's str.isspace, so CR before LF does not matter.
 * Decimals   compared exactly, as Python's Decimal does: "1.0" = "1" = "1e0" = "+1" = "1_0e-1",
 *            full-width digits count, "inf" = "Infinity", NaN equals nothing. No binary floats.
 * Threads    pure.
 */
#include "base/buf.h"
#include "base/str.h"
#include "scorers/sandbox/sandbox.h"

bool sb_same(sb_rule rule, double tolerance, as_str output, as_str expected);

/* The first line that differs, 200 bytes of each side, for people. */
void sb_first_difference(as_buf *out, as_str output, as_str expected);

/* Both texts are numbers as Python's Decimal takes them, and equal. */
bool sb_same_decimal(as_str a, as_str b);

#endif
