#include "engine/complete.h"

#include "base/arena.h"
#include "engine/config.h"
#include "engine/vocab.h"
#include "engine/weights.h"

as_code g4_check_complete(const g4_gguf *f, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    g4_config config;
    g4_weights weights;
    g4_vocab *vocab = NULL;
    as_code c = g4_config_read(&config, f, &scratch, err);
    if (c == AS_OK)
        c = g4_weights_read(&weights, &config, f, &scratch, err);
    if (c == AS_OK)
        c = g4_vocab_open(&vocab, f, err);
    g4_vocab_close(vocab);
    as_arena_release(&scratch);
    return c;
}
