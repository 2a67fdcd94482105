#ifndef SCORERS_SANDBOX_VERDICT_H
#define SCORERS_SANDBOX_VERDICT_H
/*
 * verdict.h — how a test ended becomes a verdict. Pure; the order when several apply is: what the
 * supervisor acted on first, a failure of the sandbox, output, memory, time, security, runtime.
 */
#include "scorers/sandbox/box/wire.h"
#include "scorers/sandbox/sandbox.h"

/* Accepted here means: ended well, its output may be compared. detail: a literal, or points into
 * text[64]. limits: those of the job, not the helper's later ones. */
sb_verdict sb_decide(const bx_record *r, const sb_limits *limits, const char **detail,
                     char text[64]);

/* Zero fields become those of sb_general; out-of-range ones an error. factor scales the times. */
as_code sb_limits_fill(sb_limits *out, const sb_limits *in, double factor, as_err *err);
/* For the helper: CPU time with a quarter on top, so that a near miss is told from an endless
 * loop. */
bx_limits sb_limits_wire(const sb_limits *l, bool is_unsafe);
extern const sb_limits sb_compile;

#endif
