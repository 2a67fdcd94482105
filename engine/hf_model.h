#ifndef ENGINE_HF_MODEL_H
#define ENGINE_HF_MODEL_H
/*
 * hf_model.h — a model folder as Hugging Face's tools save it, seen as a GGUF file.
 *
 * Read       config.json, generation_config.json, tokenizer.json, tokenizer_config.json,
 *            chat_template.jinja, and the safetensors (hf_config.h, hf_tokenizer.h, safetensors.h).
 * View       a g4_gguf whose metadata were made from those files and whose tensors carry llama.cpp's
 *            names and point into the mapped safetensors. So the engine has one way to read a model,
 *            and converting is writing this view down.
 * Tensors    matrices keep their bytes (F32, F16, BF16). Vectors and the router become F32 (exact),
 *            Gemma 3's norm weights 1 + w; rope_freqs is made from the config. Left out: dead key
 *            and value tensors of layers that share another's, the tied lm_head, vision and audio.
 *            Any other name is refused.
 * Merging    as tokenizer.json has it, by ranked merges, in a view to run; Gemma 3 in a view to be
 *            written down has scores instead, which is how llama.cpp keeps it.
 * Errors     one sentence naming the file.
 * Ownership  the view and all it lends live until g4_hf_close.
 * Threads    immutable once open.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/gguf.h"

typedef struct g4_hf g4_hf;

typedef struct g4_hf_options {
    bool is_for_file; /* to be written down: rows and pieces must be equally many */
    as_str name;      /* general.name; not set: the folder's */
} g4_hf_options;

/* Whether path is a folder with a config.json. */
bool g4_hf_is_folder(const char *path);

as_code g4_hf_open(g4_hf **out, const char *folder, const g4_hf_options *options, as_err *err);
void g4_hf_close(g4_hf *h); /* NULL is fine */

/* Lent, not to be closed. */
g4_gguf *g4_hf_file(g4_hf *h);
/* Ids that end a reply by generation_config.json or config.json; returns how many. */
int g4_hf_stops(const g4_hf *h, const int32_t **ids);

#endif
