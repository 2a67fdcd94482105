#ifndef SCORERS_CODE_PYVALUE_H
#define SCORERS_CODE_PYVALUE_H
/*
 * pyvalue.h — Python's == between what a function returned and what JSON expects.
 *
 * Expected   JSON as Python's json reads it: whole numbers of any length, NaN, Infinity, a name that
 *            occurs twice counts once, the last time.
 * Returned   the same notation with two additions: (a,b) is a tuple, ? is anything that equals no
 *            JSON value (sets, objects — also those whose __eq__ says otherwise —, deep nesting).
 * Equality   1 == 1.0 == True; whole numbers and floats compare exactly; a tuple is no list (the
 *            outermost one was made a list before); NaN equals nothing; texts by character.
 * Limits     SC_PY_MAX_DEPTH levels.
 * Errors     the text says where it cannot be read: AS_PARSE the returned value, AS_RANGE the expected.
 * Ownership  scratch is used and not given back.
 * Threads    pure.
 */
#include <stdbool.h>

#include "base/arena.h"

enum { SC_PY_MAX_DEPTH = 400 };

as_code sc_py_equal(bool *out, as_str returned, as_str expected, as_arena *scratch, as_err *err);

#endif
