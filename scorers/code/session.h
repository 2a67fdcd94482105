#ifndef SCORERS_CODE_SESSION_H
#define SCORERS_CODE_SESSION_H
/*
 * session.h — what the scorers of programs share: the sandbox, and the form of their notes.
 *
 * Ownership  the hashes of tools in a score's execs live in the session.
 * Threads    open and close belong to one thread; a session that is open may be used by any number at
 *            once, cancelled too.
 */
#include "base/json.h"
#include "scorers/code/tests.h"
#include "scorers/scorer.h"

as_code sc_code_open(void **session, const sc_options *options, as_err *err);
void sc_code_close(void *session);
sb_pool *sc_code_pool(void *session);
void sc_code_cancel(void *session);
int sc_code_n_at_once(const void *session);

/* The result as score; codes as judge.h has them. */
as_code sc_code_score(as_score *out, const void *session, const sc_lcb_result *r, size_t n_tests,
                      const char *mode, as_arena *arena, as_err *err);
/* Errors that leave one answer without a verdict, and the run as it is: tests that cannot be read or
 * run, a sandbox that fails (AS_IO). Others end the judging of all. */
bool sc_code_is_ungraded(as_code c);
/* Not judged, for that reason. */
as_code sc_code_ungraded(as_score *out, const char *why, as_arena *arena, as_err *err);
/* "results": true, false or a code each. */
void sc_code_put_results(as_jw *w, const sc_lcb_result *r);

#endif
