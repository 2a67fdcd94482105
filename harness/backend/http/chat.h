#ifndef BACKEND_HTTP_CHAT_H
#define BACKEND_HTTP_CHAT_H
/*
 * chat.h — the OpenAI chat core that many servers share: requests for /v1/chat/completions and
 * /v1/completions by profile, and a reader that takes their replies as they are found.
 *
 * Reader     content may be null, a text, or parts; thinking under reasoning_content, reasoning,
 *            reasoning_text or thinking; choices may be empty (usage only); log-probabilities as
 *            content[] or as the classic arrays; counts, timings and stop reasons where there are
 *            any.
 * Threads    as dialect.h.
 */
#include "backend/http/dialect.h"

/* The whole body and the path, by the request's kind (GENERATE only). */
as_code ht_chat_build(ht_driver *d, ht_job *job, as_jw *w, as_err *err);
void ht_chat_read(ht_driver *d, ht_job *job, const as_json *reply);
void ht_chat_read_event(ht_driver *d, ht_job *job, as_str name, const as_json *event);

/* Parts of the above, for other dialects. */
as_code ht_chat_messages(ht_driver *d, const as_request *rq, as_jw *w, as_err *err);
void ht_chat_think(ht_driver *d, ht_job *job, as_jw *w);
/* Nothing for NAN. */
void ht_put_number(as_jw *w, const char *key, double v);
void ht_put_sampling(ht_driver *d, ht_job *job, as_jw *w);
/* The data as base64 within quotes, behind prefix ("data:image/png;base64,"). */
void ht_put_base64(as_jw *w, as_str prefix, as_str bytes);
bool ht_wants_stream(const ht_driver *d, const ht_job *job);
/* A seed that every server takes: 31 bits. */
int64_t ht_seed_of(const as_request *rq);

void ht_read_usage(ht_job *job, const as_json *usage);
void ht_read_timings(ht_job *job, const as_json *timings); /* llama.cpp's */
/* One entry of content[] or of completion_probabilities[]. */
void ht_read_logprob(ht_job *job, const as_json *entry);
/* A log-probability as servers write it; see rule 4.7 in README.md. */
double ht_logprob_of(const as_json *number);
as_str ht_json_text(const as_json *object, const char *key);
void ht_read_identity(ht_job *job, const as_json *reply); /* model, system_fingerprint */

#endif
