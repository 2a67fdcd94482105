#ifndef REPORTS_SAMPLES_H
#define REPORTS_SAMPLES_H
/*
 * samples.h — single answers: JSON Lines for programs, pages for people.
 *
 * JSON       item, repeat, suite, prediction, target, score, anatomy, finish, prompt_tokens,
 *            completion_tokens, seconds; with_text adds prompt (prefix and prompt together; the
 *            messages as JSON for chat), reasoning, answer. Unknown: null.
 * Order      tasks of the run, then plan order.
 * Threads    the thread that opened the store.
 */
#include "store/query.h"

typedef as_code (*rp_write_fn)(void *user, as_str line, as_err *err);

/* line has no newline. Stops when write fails. */
as_code rp_samples_jsonl(db_store *db, const db_run_row *run, bool with_text, rp_write_fn write,
                         void *user, as_err *err);
/* All attempts at the item, in every task of the run that has it. AS_RANGE if none has. */
as_code rp_sample_text(db_store *db, const db_run_row *run, as_str item, as_buf *out, as_err *err);

#endif
