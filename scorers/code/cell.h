#ifndef SCORERS_CODE_CELL_H
#define SCORERS_CODE_CELL_H
/*
 * cell.h — LiveCodeBench's private_test_cases: from the cell to the JSON text of the tests.
 *
 * Form       JSON as it is, or base64 of a zlib stream (RFC 1950) of one pickled text. Of pickle
 *            only what such a text needs is read: PROTO 2–5, FRAME, SHORT_BINUNICODE, BINUNICODE,
 *            BINUNICODE8, MEMOIZE, BINPUT, LONG_BINPUT, STOP. Anything else is refused: the general
 *            machine executes code.
 * Limits     SC_MAX_CELL_JSON bytes of inflated data; a smaller limit may be given.
 * Memory     the cell, which is borrowed, and the result.
 * Errors     AS_PARSE, AS_RANGE (limit) with what was wrong; *out is then empty.
 * Threads    pure.
 */
#include "base/buf.h"
#include "base/err.h"

enum { SC_MAX_CELL_JSON = 1 << 30 };

/* out: initialised with the limit to keep (as_buf_init(&b, SC_MAX_CELL_JSON)). */
as_code sc_cell_decode(as_buf *out, as_str cell, as_err *err);

/* The pickle alone: where the text lies in it. For tests. */
as_code sc_pickle_text(as_str *out, as_str pickle, as_err *err);

#endif
