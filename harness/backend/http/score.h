#ifndef BACKEND_HTTP_SCORE_H
#define BACKEND_HTTP_SCORE_H
/*
 * score.h — from a text and its continuation to token ids, for recipes that score ids.
 *
 * Rule       T(context) and T(context + continuation) are both made by the server, BOS in front once.
 *            What they have in common is the context; the rest of the second is what is scored. If
 *            the two part inside T(context), a token crosses the boundary and is scored with the
 *            continuation.
 * Steps      HT_SCORE_RENDER (chats only) → HT_SCORE_CONTEXT → HT_SCORE_ALL → HT_SCORE_FORCE; the
 *            dialect writes and reads the calls of each step.
 * Threads    as dialect.h.
 */
#include "backend/http/dialect.h"

enum { HT_SCORE_RENDER = 1, HT_SCORE_CONTEXT, HT_SCORE_ALL, HT_SCORE_FORCE };

/* job->step for a new request; AS_UNSUPPORTED when it has no continuation. */
as_code ht_score_begin(ht_job *job, bool can_render, as_err *err);
/* The text whose tokens the step under way wants. */
as_code ht_score_text(ht_job *job, as_str *out, as_err *err);
/* The reply to RENDER. */
void ht_score_rendered(ht_job *job, as_str prompt);
/* The reply to CONTEXT or ALL: an array of ids. Sets the next step, or fails the job. */
void ht_score_tokens(ht_job *job, const as_json *array);

#endif
