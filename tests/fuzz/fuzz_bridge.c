/* Any bytes as a line of the bridge: whatever it says of a job, the job is either still open or
 * ended with a finish that fits, an error has a sentence, and tokens have finite counts. */
#include <stdint.h>
#include <stdlib.h>

#include "backend/bridge/bridge_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_delta(void *user, const as_delta *delta)
{
    *(size_t *)user += delta->text.n + delta->reasoning.n;
}

static void on_done(void *user, const as_request *rq, const as_response *r)
{
    if ((r->finish == AS_FINISH_ERROR) != (r->error != AS_ERROR_NONE) ||
        (r->finish == AS_FINISH_ERROR && r->message.n == 0) || r->n_logprobs < 0 ||
        (rq->ask == AS_ASK_SCORE && r->finish != AS_FINISH_ERROR && r->n_logprobs == 0))
        abort();
    for (int i = 0; i < r->n_logprobs; i++)
        if (!(r->logprobs[i].token.logprob <= 1e-3) || r->logprobs[i].token.id < 0)
            abort();
    *(size_t *)user += 1;
}

static void tell(as_ask ask, const as_json *line)
{
    size_t n = 0;
    const as_request rq = {
        .ask = ask, .max_tokens = 4, .top_logprobs = 2, .on_delta = on_delta, .delta_user = &n};
    bridge_job *j = bridge_job_new(&rq);
    if (j == NULL)
        return;
    for (int i = 0; i < 3 && !j->is_done; i++) {
        if (as_json_get(line, "error") != NULL)
            wire_error(j, as_json_get(line, "error"));
        else if (as_json_get(line, "ev") != NULL)
            wire_event(j, line);
        else
            wire_score(j, line);
        bridge_job_flush(j);
    }
    if (j->is_done)
        bridge_job_deliver(j, on_done, &n, AS_STR("m"));
    else
        bridge_job_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_json *line = NULL;
    if (as_json_parse(&line, (as_str){(const char *)data, size}, NULL) != AS_OK)
        return 0;
    tell(AS_ASK_GENERATE, line);
    tell(AS_ASK_SCORE, line);
    bridge_backend be = {0};
    as_arena_init(&be.keep, 0);
    (void)wire_info(&be, line, NULL);
    as_arena_release(&be.keep);
    as_json_free(line);
    return 0;
}
