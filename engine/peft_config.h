#ifndef ENGINE_PEFT_CONFIG_H
#define ENGINE_PEFT_CONFIG_H
/*
 * peft_config.h — adapter_config.json of a PEFT folder: rank and strength of each module.
 *
 * Read       peft_type, r, lora_alpha, rank_pattern, alpha_pattern, use_rslora, peft_version.
 * Patterns   a key is a regular expression that must match the module's path to its end, from its
 *            start or behind a dot; the first key that does counts. Strength: alpha / rank, with
 *            use_rslora alpha / sqrt(rank).
 * Refused    what would change the result in ways this engine does not follow: DoRA, biases,
 *            fan_in_fan_out, modules_to_save, and the rest of the table in peft_config.c. Settings
 *            of the training alone are not looked at.
 * Errors     one sentence naming file and key.
 * Ownership  owns the parsed file.
 * Threads    one object, one thread.
 */
#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "base/regex.h"
#include "base/str.h"

typedef struct g4_peft_pattern {
    as_regex *key;
    double value;
} g4_peft_pattern;

typedef struct g4_peft_patterns {
    g4_peft_pattern *all; /* [n] */
    size_t n;
} g4_peft_patterns;

typedef struct g4_peft_config {
    const char *path; /* of adapter_config.json; borrowed */
    as_json *tree;
    int64_t rank;
    double alpha;
    bool is_rslora;
    g4_peft_patterns ranks, alphas;
    int version[3]; /* of PEFT, all 0: not stated */
} g4_peft_config;

as_code g4_peft_config_open(g4_peft_config *out, const char *path, as_err *err);
void g4_peft_config_release(g4_peft_config *c); /* all-zero is fine */

/* module: its path in the base model, "model.layers.3.self_attn.q_proj". */
as_code g4_peft_module(g4_peft_config *c, as_str module, int64_t *rank, double *scale, as_err *err);

#endif
