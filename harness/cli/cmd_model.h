#ifndef CLI_CMD_MODEL_H
#define CLI_CMD_MODEL_H
/*
 * cmd_model.h — the verbs of `assay model`, and what they share: opening a model with a session,
 * reading ids.
 */
#include "cli/cli.h"
#include "engine/engine.h"

int model_info(cli_env *env, int argc, char **argv);
int model_tokenize(cli_env *env, int argc, char **argv);
int model_detokenize(cli_env *env, int argc, char **argv);
int model_generate(cli_env *env, int argc, char **argv);
int model_logits(cli_env *env, int argc, char **argv);
int model_perplexity(cli_env *env, int argc, char **argv);
int model_render(cli_env *env, int argc, char **argv);
int model_chat(cli_env *env, int argc, char **argv);
int model_convert(cli_env *env, int argc, char **argv);
int model_quantize(cli_env *env, int argc, char **argv);

/* Flags every verb with a session has. */
typedef struct cli_engine {
    const char *precision; /* "auto", "f32" or NULL */
    const char *kv;        /* "f32", "f16", "q8_0" or NULL */
    int64_t memory;        /* bytes cache and buffers may take; 0: what is available */
    const char *lora;      /* "ADAPTER[:SCALE]" or NULL */
    int64_t threads;
    g4_model *model;
    g4_adapter *adapter; /* NULL: none */
    double lora_scale;
    g4_session *session;
    int seq;
    bool has_told_memory;
} cli_engine;

/* Model, session of one sequence with room for n_ctx positions. */
as_code cli_engine_open(cli_engine *e, const char *model, int n_ctx, bool keep_hidden,
                        const cli_env *env, as_err *err);
/* --precision, --kv, --memory and --threads as the engine wants them. */
as_code cli_engine_options(g4_session_options *out, const cli_engine *e, as_err *err);
void cli_engine_close(cli_engine *e);
/* Prints what the model says to the prompt as it comes, in a fresh sequence, and appends it to said;
 * thinking and tool markup included. */
as_code cli_engine_say(cli_engine *e, const int32_t *prompt, int n_prompt,
                       const g4_sampling *sampling, int64_t max_tokens, as_buf *said, as_err *err);

/* A prompt's cache on disk: the state of the sequence, with the n ids that made it. Loading fails
 * unless the prompt goes on from all of them; *n_held says how many they are. */
as_code cli_state_save(const cli_engine *e, const char *path, const int32_t *ids, int n,
                       as_err *err);
as_code cli_state_load(cli_engine *e, const char *path, const int32_t *prompt, int n_prompt,
                       int *n_held, as_err *err);

/* What a session of these options takes, as one line on standard error. */
void cli_tell_memory(const g4_memory *m);
/* The same, and the weights by type, into an object that is open. */
void cli_put_memory(as_jw *w, const g4_memory *m, int64_t available);
void cli_put_types(as_jw *w, const g4_model *m);

enum { CLI_ROWS = 256 }; /* rows of one g4_decode call */

#endif
