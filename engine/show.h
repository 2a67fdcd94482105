#ifndef ENGINE_SHOW_H
#define ENGINE_SHOW_H
/*
 * show.h — foreign bytes and large numbers in messages.
 *
 * Use        as_fail(err, AS_PARSE, "tensor %s: …", g4_show(name).z). The text lives to the end of
 *            the full expression.
 * Text       cut at 60 bytes (then "..."); control characters and bytes that are not UTF-8 become
 *            '?', so that a hostile name cannot move the cursor of a terminal.
 * Threads    pure.
 */
#include <stdint.h>

#include "base/str.h"

typedef struct g4_shown {
    char z[64];
} g4_shown;

g4_shown g4_show(as_str s);
/* 1234567 as "1,234,567". */
g4_shown g4_show_count(uint64_t n);

#endif
