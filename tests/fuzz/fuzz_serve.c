/* Any bytes as a request: its head is taken or refused with a status and a sentence; so is what
 * follows as a chunked body and as a JSON body of each route; the end of the head does not depend
 * on how the bytes came. */
#include <stdint.h>
#include <stdlib.h>

#include "serve/api.h"
#include "serve/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void body_as_json(as_str body)
{
    static const char *const models[] = {"m", NULL};
    const ap_limits limits = {.max_tokens = 100,
                              .can_chat = true,
                              .can_logprobs = true,
                              .can_score = true,
                              .can_ids = true,
                              .can_tokenize = true,
                              .models = models};
    as_json *tree = NULL;
    if (as_json_parse(&tree, body, NULL) != AS_OK)
        return;
    for (int route = AP_CHAT; route <= AP_TEMPLATE; route++) {
        as_arena keep;
        as_arena_init(&keep, 0);
        ap_request rq;
        ap_problem problem;
        as_err err = {0};
        const as_code c = ap_parse(&rq, (ap_route)route, tree, &limits, &keep, &problem, &err);
        if (c != AS_OK && (problem.status < 400 || err.text[0] == '\0'))
            abort();
        if (c == AS_OK && route != AP_TOKENIZE && route != AP_DETOKENIZE && route != AP_TEMPLATE &&
            (rq.common.max_tokens < 1 || rq.common.max_tokens > 100))
            abort();
        as_arena_release(&keep);
    }
    as_json_free(tree);
}

static void body_as_chunks(as_str bytes)
{
    as_buf whole, body;
    as_buf_init(&whole, 1000);
    as_buf_init(&body, 1000);
    sv_chunked a = {0}, b = {0};
    int status = 0, status_b = 0;
    size_t used = 0, at = 0, n = 0;
    const as_code c = sv_chunked_feed(&a, bytes, &whole, &used, &status, NULL);
    as_code d = AS_OK;
    while (d == AS_OK && n < bytes.n && b.state != SV_CHUNK_DONE) {
        n++;
        size_t taken = 0;
        d = sv_chunked_feed(&b, as_str_sub(bytes, at, n), &body, &taken, &status_b, NULL);
        at += taken;
    }
    if (c == AS_OK && d == AS_OK && a.state == SV_CHUNK_DONE &&
        (b.state != SV_CHUNK_DONE || !as_str_eq(as_buf_str(&whole), as_buf_str(&body))))
        abort();
    as_buf_release(&whole);
    as_buf_release(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const as_str all = {(const char *)data, size};
    const size_t end = sv_head_end(all, 0);
    if (end > size)
        abort();
    for (size_t n = 0; end != 0 && n < end; n++)
        if (sv_head_end(as_str_sub(all, 0, n), n != 0 ? n - 1 : 0) != 0)
            abort();
    sv_head head;
    int status = 0;
    as_err err = {0};
    const as_str text = as_str_sub(all, 0, end);
    if (sv_head_parse(&head, text, &status, &err) != AS_OK) {
        if (status < 400 || status > 599 || err.text[0] == '\0')
            abort();
    } else if (head.n_headers > SV_MAX_HEADERS || (head.is_chunked && head.body_bytes != 0)) {
        abort();
    }
    body_as_chunks(as_str_sub(all, end, size));
    body_as_json(as_str_sub(all, end, size));
    return 0;
}
