#ifndef BACKEND_HTTP_OLLAMA_H
#define BACKEND_HTTP_OLLAMA_H
/*
 * ollama.h — what the two halves of the Ollama dialect share: requests and replies
 * (dialect_ollama.c), and what the server is (ollama_open.c).
 *
 * Window     num_ctx is a load-time setting: changing it loads the model anew, so every request of a
 *            driver carries the same one. It is -M ctx, else OLLAMA_CTX or the model's own if that is
 *            less; the plan's longest prompt and answer raise it once, before the first request.
 * Threads    as dialect.h.
 */
#include "backend/http/dialect.h"

enum { OLLAMA_CTX = 8192, OLLAMA_TOP = 20 };

typedef struct ollama {
    as_str keep_alive; /* JSON: "30m", or seconds */
    bool may_be_cloud, is_cloud;
    bool has_ctx;    /* the user's word */
    bool must_think; /* an answer without thinking comes out empty */
    bool has_warned; /* of a prompt that was cut */
    int n_ctx_model; /* 0: not told */
} ollama;

static inline ollama *ollama_of(const ht_driver *d)
{
    return d->own;
}

as_code ollama_take_options(ht_driver *d, const be_config *config, as_err *err);
as_code ollama_probe(ht_driver *d, as_err *err);
void ollama_prepare(ht_driver *d, int max_total_tokens);
as_code ollama_metrics(ht_driver *d, be_metrics *out, as_err *err);
as_code ollama_render(ht_driver *d, const as_request *rq, as_str *prompt, as_arena *keep,
                      as_err *err);

#endif
