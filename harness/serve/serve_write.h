#ifndef SERVE_SERVE_WRITE_H
#define SERVE_SERVE_WRITE_H
/* serve_write.h — tasks and what came of them, in the forms of the API. All append to out. */
#include "serve/worker.h"

/* What a failed or cancelled part tells the client: the status, 0 if none failed. */
int sv_failure(const sv_task *task, as_str *message, int64_t *retry_after_ms);
void sv_write_chat(as_buf *out, const sv_task *task, as_str model);
void sv_write_text(as_buf *out, const sv_task *task, as_str model);
void sv_write_tokens(as_buf *out, const sv_task *task, int n_ctx);
void sv_write_detokenized(as_buf *out, const sv_task *task);
/* One piece of a stream, as JSON; role: the first of a chat. made: the log-probabilities that go
 * with it, behind those that were sent. */
typedef struct sv_piece {
    as_str text, reasoning;
    const as_token_logprob *made;
    int n_made;
    bool has_role;
} sv_piece;
void sv_write_piece(as_buf *out, const sv_task *task, int part, as_str model,
                    const sv_piece *piece);
/* The piece that says how the part ended. */
void sv_write_last(as_buf *out, const sv_task *task, int part, as_str model);
void sv_write_usage_piece(as_buf *out, const sv_task *task, as_str model);

#endif
