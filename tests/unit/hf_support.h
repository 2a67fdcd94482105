#ifndef TESTS_UNIT_HF_SUPPORT_H
#define TESTS_UNIT_HF_SUPPORT_H
/*
 * hf_support.h — tiny model folders with random weights, written by the tests that read them.
 *
 * A Gemma 3 of 2 layers (sliding, full), width 32, 2 query heads and 1 key head of 32, feed-forward
 * 64, 300 pieces; a Gemma 4 of 3 layers (sliding, full, full that shares) with the same numbers and
 * per-layer embeddings of 32.
 *
 * Errors     a call that fails ends the test.
 * Ownership  folders lie under a temporary one that t_hf_done removes.
 */
#include "cm.h"

#include <stdbool.h>

#include "base/buf.h"

typedef struct t_hf {
    bool is_gemma4;
    const char *dtype;      /* "F32" (NULL), "F16", "BF16" */
    const char *config;     /* instead of the usual config.json */
    const char *generation; /* generation_config.json */
    const char *without;    /* a tensor that is left out */
    const char *extra;      /* a tensor [2, 2] that is added */
    bool is_sharded;
} t_hf;

/* Path of the folder. */
const char *t_hf_make(const t_hf *options);
/* The usual config.json. */
const char *t_hf_config(bool is_gemma4);
/* Path of a file in the temporary folder. */
const char *t_hf_path(const char *name);
void t_hf_write(const char *folder, const char *name, as_str bytes);
int t_hf_done(void **state);

#endif
