#ifndef SCORERS_THINK_H
#define SCORERS_THINK_H
/*
 * think.h — removes a model's thinking where it still stands in the text of an answer.
 *
 * Backends tell reasoning and answer apart where they can; recordings and servers without a
 * reasoning parser do not. Two forms are known: <think>…</think>, and Gemma 4's
 * <|channel>thought…<channel|>.
 *
 * Rules      every span is cut out. A closing mark without an opening one ends a thought that the
 *            chat template began: all before it goes. An opening mark that is never closed begins a
 *            thought that was cut off: all behind it goes. Spans do not nest. A thought of the
 *            second form must begin with the word "thought"; other channels stay.
 * Cost       linear.
 * Errors     AS_NOMEM.
 * Ownership  borrows from text if there is nothing to remove, else the result lives in the arena.
 * Threads    pure.
 */
#include "base/arena.h"

as_code sc_without_thinking(as_str *out, as_str text, as_arena *arena, as_err *err);

#endif
