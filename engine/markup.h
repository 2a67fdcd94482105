#ifndef ENGINE_MARKUP_H
#define ENGINE_MARKUP_H
/*
 * markup.h — finds the special pieces (<start_of_turn>, runs of newlines, …) in a text.
 *
 * Rule       longer pieces first, each of them from left to right, none overlapping another: what
 *            llama.cpp does. It differs from "longest at the earliest place" only where special
 *            pieces overlap.
 * How        the pieces are sorted by text. A match walks along the text and narrows the range of
 *            pieces that agree so far, so that thousands of them cost no more than a few.
 * Cost       one walk per place, then one pass over the matches for each length that occurred.
 * Errors     AS_NOMEM.
 * Ownership  texts of pieces are borrowed; spans are malloc'ed for the caller.
 * Threads    immutable once initialised.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct g4_markup_piece {
    as_str text; /* not empty */
    int32_t id;
    bool is_control; /* found only when asked for */
} g4_markup_piece;

typedef struct g4_markup {
    g4_markup_piece *pieces; /* sorted by text, all different */
    size_t n;
    size_t longest;      /* bytes of the longest piece */
    uint32_t first[257]; /* pieces[first[b] .. first[b + 1]) begin with byte b */
} g4_markup;

typedef struct g4_span {
    size_t at, n; /* bytes of the text */
    int32_t id;
} g4_span;

/* Takes over pieces (malloc'ed), sorts them; of equal texts one stays: the
 * user-defined one with the largest id, else the control piece with the largest id. */
void g4_markup_init(g4_markup *m, g4_markup_piece *pieces, size_t n);
void g4_markup_release(g4_markup *m);
/* All matches in ascending order, none overlapping. */
as_code g4_markup_find(const g4_markup *m, as_str text, bool with_control, g4_span **spans,
                       size_t *n_spans, as_err *err);

#endif
