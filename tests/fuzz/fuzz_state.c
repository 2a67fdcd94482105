/* Any bytes as the state of a sequence: an error with a sentence and an empty sequence, or rows that
 * a decoder can go on from. The first byte says what is put right before the reader sees the rest:
 * 1 the checksum, 2 the model's identity. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "engine/engine.h"
#include "unit/scripted.h"

enum { SUM = AS_SHA256_BYTES, HEADER = 128, SEAL = 1, IDENTIFY = 2 };

static g4_session *session;
static char identity[SUM];

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

/* One session for all inputs, and the identity of its model as a state of it has it. */
static void open_session(void)
{
    char path[64];
    as_err err = {0};
    g4_model *m = NULL;
    as_buf state;
    as_buf_init(&state, 0);
    (void)snprintf(path, sizeof path, "/tmp/as_fuzz_state_%ld.gguf", (long)getpid());
    sc_write_random(path, 256);
    check(g4_model_open(&m, path, NULL, &err) == AS_OK);
    (void)unlink(path);
    const g4_session_options o = {.precision = G4_F32,
                                  .kv = G4_KV_Q8_0,
                                  .n_ctx = 200,
                                  .n_seqs = 2,
                                  .n_batch = 4,
                                  .n_threads = 1};
    check(g4_session_open(&session, m, &o, &err) == AS_OK);
    int seq = -1;
    g4_result out;
    check(g4_seq_new(session, &seq, &err) == AS_OK);
    const g4_row row = {.seq = seq, .token = 5};
    check(g4_decode(session, &row, 1, &out, &err) == AS_OK);
    check(g4_state_save(session, seq, (as_str){0}, &state, &err) == AS_OK);
    memcpy(identity, state.p + 16, sizeof identity);
    g4_seq_free(session, seq);
    as_buf_release(&state);
}

/* Goes on from a state that was taken, in the sequence and in a fork of it. */
static void go_on(int seq)
{
    as_err err = {0};
    g4_result out;
    int fork = -1;
    const int n = g4_seq_length(session, seq);
    check(n > 0 && n <= 200 && g4_state_bytes(session, seq, 0) > HEADER + SUM);
    if (g4_seq_fork(session, seq, n, &fork, &err) == AS_OK)
        g4_seq_free(session, fork);
    for (int32_t pos = 0; pos < 400; pos++) { /* only one position is the next */
        const g4_row row = {.seq = seq, .pos = pos, .token = 7, .want_logits = true};
        if (g4_decode(session, &row, 1, &out, &err) == AS_OK)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (session == NULL)
        open_session();
    if (size < 1)
        return 0;
    const unsigned what = data[0];
    const size_t n = size - 1;
    char *state = malloc(n + 1); /* exact but for one: a read behind it shows */
    check(state != NULL);
    memcpy(state, data + 1, n);
    if ((what & IDENTIFY) != 0 && n >= 16 + sizeof identity)
        memcpy(state + 16, identity, sizeof identity);
    if ((what & SEAL) != 0 && n >= SUM) {
        const as_sha256 sum = as_sha256_of((as_str){state, n - SUM});
        memcpy(state + n - SUM, sum.b, SUM);
    }
    as_err err = {0};
    int seq = -1;
    as_str note = {0};
    check(g4_seq_new(session, &seq, &err) == AS_OK);
    if (g4_state_load(session, seq, (as_str){state, n}, &note, &err) == AS_OK) {
        check(note.n <= n && (note.n == 0 || (note.p >= state && note.p + note.n <= state + n)));
        go_on(seq);
    } else {
        check(err.text[0] != '\0' && g4_seq_length(session, seq) == 0);
    }
    g4_seq_free(session, seq);
    free(state);
    return 0;
}
