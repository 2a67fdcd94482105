#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H
/*
 * plan.h — inside the engine: a session's memory before it exists. g4_session_plan and the rest that
 * others call: engine.h.
 *
 * Errors     g4_check_memory: AS_RANGE, with the arithmetic and what would fit.
 * Threads    pure, but for reading /proc and /sys.
 */
#include "engine/session_impl.h"

/* o has its defaults filled in, in all of these. */
as_code g4_fill_options(g4_session_options *out, const g4_model *m,
                        const g4_session_options *options, as_err *err);
g4_memory g4_plan(const g4_model *m, const g4_session_options *o);
as_code g4_check_memory(const g4_model *m, const g4_session_options *o, as_err *err);

/* g4_memory_available with another root than "/", for tests. */
int64_t g4_memory_available_under(const char *root);

#endif
