#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H
/*
 * engine.h — Gemma inference as a library; the only header of engine/ that others include.
 *
 * Objects    g4_model     weights (mapped, not copied), vocabulary, hyper-parameters. Immutable.
 *            g4_session   key/value cache of many sequences, activations, compute threads.
 *            g4_sampler   turns one row of logits into a token, by rule and seed.
 * A call     g4_decode takes rows of (sequence, position, token) from any mix of sequences, appends
 *            them to their sequences and returns logits for the rows that ask. A row sees its own
 *            sequence's earlier positions and the rows of the same call that come before it there.
 * Result     For one build on one machine, logits of a row depend on its sequence alone: not on
 *            what else is in the batch, nor on how the prompt was split, nor on the thread count.
 * Precision  G4_F32 is the reference: weights as f32, no rounding of activations, f32 cache unless
 *            another is asked for. G4_AUTO may round activations to 8 bits for products with
 *            quantised weights, and keeps keys and values as f16.
 * Shapes     logits: [rows that asked, n_vocab] f32, row-major, after the model's soft cap.
 * Units      sizes in bytes, times in nanoseconds, positions from 0.
 * Errors     every file is taken for hostile: a bad one is one sentence naming file, place and
 *            remedy, never a crash, never an allocation the file's size does not justify.
 * Threads    a model may be shared by sessions in several threads; a session or sampler belongs to
 *            one thread at a time. A session starts its own compute threads.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/template/template.h"

/* ---- models ---------------------------------------------------------------------------------- */

typedef struct g4_model g4_model;

typedef struct g4_model_options {
    const as_log *log; /* borrowed while the model is open */
    bool no_weights;   /* vocabulary and metadata only: tokenising, rendering, info */
} g4_model_options;

enum { G4_MAX_STOP = 8 };

typedef struct g4_info {
    as_str architecture;  /* "gemma3", "gemma4" */
    as_str name;          /* general.name, may be empty */
    as_str license;       /* general.license, may be empty */
    as_str quantization;  /* recipe or, unnamed, most used type: "Q4_K_M", "F32" */
    as_str template_name; /* "file", "gemma4-small", "gemma4-large"; empty: no template */
    as_str chat_template; /* tokenizer.chat_template; p NULL when the file carries none */
    int n_layers, width, n_heads, n_vocab;
    int n_ctx_train; /* positions the model was made for */
    int window;      /* sliding-window size in tokens */
    int n_experts, n_experts_used;
    int64_t n_params;           /* all weights in use (dead tensors left out) */
    int64_t n_params_active;    /* used for one token */
    int64_t n_params_effective; /* without the per-layer embedding table */
    int64_t file_bytes;
    int64_t weight_bytes;      /* of the tensors in use, as stored */
    int32_t bos, eos;          /* -1 when there is none */
    int32_t stop[G4_MAX_STOP]; /* ids that end a reply */
    int n_stop;
    bool has_chat; /* g4_chat_render works */
    bool add_bos;  /* raw completion starts with bos */
} g4_info;

/* path: a GGUF file (or the first of a split set), or a folder with config.json, tokenizer.json and
 * safetensors. Texts of g4_info live as long as the model. */
as_code g4_model_open(g4_model **out, const char *path, const g4_model_options *options,
                      as_err *err);
void g4_model_close(g4_model *m);
const g4_info *g4_model_info(const g4_model *m);

/* The tensors of one format in the file, dead ones included. */
typedef struct g4_type_bytes {
    const char *name; /* "Q4_K" */
    int64_t n_tensors, n_elements, bytes;
} g4_type_bytes;

/* The i-th format that occurs, by GGUF's numbers; false behind the last. */
bool g4_model_type_at(const g4_model *m, int i, g4_type_bytes *out);

/* ---- text ↔ ids ------------------------------------------------------------------------------ */

enum {
    G4_TOK_BOS = 1,     /* put the beginning-of-sequence id in front, if the model has one */
    G4_TOK_SPECIAL = 2, /* encode: control tokens in the text become their ids. decode: show them */
};

/* *ids is malloc'ed (free it); text is any bytes. */
as_code g4_tokenize(const g4_model *m, as_str text, unsigned flags, int32_t **ids, size_t *n_ids,
                    as_err *err);
/* Appends bytes, which are UTF-8 only if the ids spell it; ids outside the vocabulary fail. */
as_code g4_detokenize(const g4_model *m, const int32_t *ids, size_t n_ids, unsigned flags,
                      as_buf *out, as_err *err);

/* ---- chat ------------------------------------------------------------------------------------ */

/* The text a conversation becomes: by the file's own template; for Gemma 4 files without one, by the
 * rules of its family (template_name tells). request_json: {"messages", "tools",
 * "add_generation_prompt", "vars"}; bos_token and eos_token are set unless vars has them.
 * AS_UNSUPPORTED for models without a template (has_chat false): none is invented. */
as_code g4_chat_render(const g4_model *m, as_str request_json, as_buf *out, as_err *err);
/* Ids of a rendered conversation: control tokens count, and the start token, which templates write
 * themselves, is put in front only if the text does not begin with it. *ids is malloc'ed. */
as_code g4_chat_tokenize(const g4_model *m, as_str text, int32_t **ids, size_t *n_ids, as_err *err);
/* One line of `assay model render`, see tp_render_request. */
as_code g4_chat_render_line(const g4_model *m, as_str request_json, as_jw *out, as_err *err);

/* ---- sessions -------------------------------------------------------------------------------- */

typedef struct g4_session g4_session;

typedef enum g4_precision { G4_AUTO, G4_F32 } g4_precision;

/* How keys and values are kept: 4, 2 or 1.0625 bytes an element. Q8_0 wants head lengths that are
 * multiples of 32. The default is f32 with G4_F32, else f16 (why: README.md, Cache). */
typedef enum g4_kv_type { G4_KV_DEFAULT, G4_KV_F32, G4_KV_F16, G4_KV_Q8_0 } g4_kv_type;
const char *g4_kv_name(g4_kv_type kv); /* "default", "f32", "f16", "q8_0" */
bool g4_kv_parse(as_str name, g4_kv_type *out);

typedef struct g4_session_options {
    g4_precision precision;
    g4_kv_type kv;
    int n_ctx;        /* positions one sequence may hold; 0: what the model was made for */
    int n_seqs;       /* sequences alive at once; 0: 1 */
    int n_batch;      /* rows of one g4_decode call; 0: 256 */
    int n_threads;    /* 0: one per core */
    bool keep_hidden; /* g4_result.hidden is filled */
    /* Bytes that cache and buffers may take; 0: what g4_memory_available says. */
    int64_t memory_limit;
} g4_session_options;

/* What a session would take, before anything is allocated. */
typedef struct g4_memory {
    int64_t weights_bytes;           /* mapped from the file; resident as far as touched */
    int64_t kv_bytes;                /* cache of all sequences at full length: the two below */
    int64_t kv_full_bytes;           /* of the layers that see everything: grow with n_ctx */
    int64_t kv_sliding_bytes;        /* of the sliding layers: window + n_batch at most */
    int64_t kv_bytes_per_token;      /* of one sequence, while every layer still grows */
    int64_t kv_full_bytes_per_token; /* once only the full layers grow */
    int64_t scratch_bytes;           /* activations, logits */
    g4_kv_type kv;                   /* these four: the options with their defaults */
    int n_ctx, n_seqs, n_batch;
} g4_memory;

as_code g4_session_plan(const g4_model *m, const g4_session_options *options, g4_memory *out,
                        as_err *err);
/* Appends the plan as one line without its end: "weights … GB (mapped) + cache … GB …". */
void g4_memory_text(const g4_memory *m, as_buf *out);
/* AS_RANGE with the arithmetic, and with what would fit, if cache and buffers exceed the limit or
 * what is available. g4_session_open asks the same. */
as_code g4_session_fits(const g4_model *m, const g4_session_options *options, as_err *err);
/* Bytes this process could still take: the machine's or its control group's, whichever is less; -1
 * when the system does not tell. */
int64_t g4_memory_available(void);
as_code g4_session_open(g4_session **out, const g4_model *m, const g4_session_options *options,
                        as_err *err);
void g4_session_close(g4_session *s);
g4_memory g4_session_memory(const g4_session *s);
/* The most bytes of cache that were in use at once; at most kv_bytes of the plan. */
int64_t g4_session_kv_peak(const g4_session *s);
/* Name of the kernel family in use: "portable", "avx2", "avx512-vnni", …; part of provenance. */
const char *g4_session_kernels(const g4_session *s);

/* ---- sequences ------------------------------------------------------------------------------- */

/* An empty sequence; its id is in *seq. AS_RANGE when n_seqs are alive. */
as_code g4_seq_new(g4_session *s, int *seq, as_err *err);
/* A new sequence that begins with the first n_tokens rows of `from`. They are shared, not computed
 * again. Fails with AS_RANGE if `from` no longer holds what is needed (a window moved past it). */
as_code g4_seq_fork(g4_session *s, int from, int n_tokens, int *seq, as_err *err);
void g4_seq_free(g4_session *s, int seq);
int g4_seq_length(const g4_session *s, int seq); /* rows it holds */

/* ---- states ---------------------------------------------------------------------------------- */

enum { G4_MAX_NOTE = 1 << 26 };

/* All that a sequence holds, as bytes of one version, the same on every machine; `note` is the
 * caller's (up to G4_MAX_NOTE bytes), kept as it is: the ids, for instance. A sequence that was
 * restored in a session of the same model, precision, kind of cache and adapter goes on with the bits
 * of the one that was saved (by the same kernels). What does not fit, is cut off or damaged is refused
 * with a sentence, and the sequence stays empty. */
int64_t g4_state_bytes(const g4_session *s, int seq, size_t note_bytes); /* 0: holds no rows */
/* Appends to out, whose limit must leave room. */
as_code g4_state_save(const g4_session *s, int seq, as_str note, as_buf *out, as_err *err);
/* The file appears when it is whole. */
as_code g4_state_save_file(const g4_session *s, int seq, as_str note, const char *path,
                           as_err *err);
/* Into a sequence that is alive, empty, and has its adapter. *note lies within state. */
as_code g4_state_load(g4_session *s, int seq, as_str state, as_str *note, as_err *err);
/* Appends the note. */
as_code g4_state_load_file(g4_session *s, int seq, const char *path, as_buf *note, as_err *err);

/* ---- adapters -------------------------------------------------------------------------------- */

typedef struct g4_adapter g4_adapter;

typedef struct g4_adapter_info {
    as_str name;            /* general.name, or the file's or folder's */
    int n_matrices;         /* matrices of the model that it changes */
    int rank_min, rank_max; /* over those */
    int64_t n_params;
    int64_t bytes; /* held in memory, as f32 */
} g4_adapter_info;

/* path: a GGUF adapter, or a folder with adapter_config.json and adapter_model.safetensors as PEFT
 * saves it. It fits this model only, which it borrows: close it before the model, and after every
 * session that uses it. Immutable: any number of sessions and threads may share it. */
as_code g4_adapter_open(g4_adapter **out, const g4_model *m, const char *path, as_err *err);
void g4_adapter_close(g4_adapter *a); /* NULL is fine */
const g4_adapter_info *g4_adapter_info_of(const g4_adapter *a);
/* Cuts "ADAPTER[:SCALE]", as command lines have it; *scale is 1 where none is given. */
void g4_adapter_spec(as_str spec, as_str *path, double *scale);

/* From its first row on the sequence runs with the adapter, scale times its own strength; NULL:
 * without one. A fork inherits it. AS_RANGE once the sequence holds rows, as what they left in the
 * cache would not be the adapter's. May allocate. */
as_code g4_seq_set_adapter(g4_session *s, int seq, const g4_adapter *a, double scale, as_err *err);

/* ---- decoding -------------------------------------------------------------------------------- */

typedef struct g4_row {
    int seq;
    int32_t pos;   /* the sequence's last position + 1; any start ≥ 0 for an empty sequence */
    int32_t token; /* 0 .. n_vocab-1 */
    bool want_logits;
} g4_row;

typedef struct g4_result {
    const float *logits; /* [n_logits, n_vocab], in the order of the rows that asked */
    int n_logits;
    const float *hidden;  /* keep_hidden: [n_layers + 1, n_rows, width]: scaled embedding, output of
                            each layer but the last, final norm's output; else NULL */
    int64_t ns;           /* wall time of the call */
    int64_t weight_bytes; /* read from the weights, counted once per call */
    int64_t flops;        /* multiply-adds × 2 of the matrix products */
} g4_result;

/* 1 .. n_batch rows. The result is borrowed until the next call on the session. On failure no row
 * was appended. */
as_code g4_decode(g4_session *s, const g4_row *rows, int n_rows, g4_result *out, as_err *err);

/* ---- sampling -------------------------------------------------------------------------------- */

typedef struct g4_sampling {
    double temperature; /* ≤ 0: greedy */
    int top_k;          /* 0: all */
    double top_p;       /* ≥ 1 or 0: off */
    double min_p;       /* 0: off; share of the best token's probability */
    uint64_t seed;
} g4_sampling;

typedef struct g4_sampler g4_sampler;

/* Order of the filters: temperature, top-k, top-p, min-p, as transformers has it. */
g4_sampler *g4_sampler_new(const g4_sampling *options); /* NULL out of memory */
void g4_sampler_free(g4_sampler *sampler);
/* logits: [n_vocab]. Greedy takes the lowest id of the largest value. *logprob (may be NULL) is the
 * natural log of the softmax over all logits, before any filter. */
int32_t g4_sample(g4_sampler *sampler, const float *logits, int n_vocab, double *logprob);
/* log softmax(logits)[token], computed in double. */
double g4_logprob(const float *logits, int n_vocab, int32_t token);

/* ---- model files ----------------------------------------------------------------------------- */

typedef struct g4_convert_options {
    as_str name; /* general.name; not set: the folder's */
} g4_convert_options;

/* A folder of Hugging Face's as one GGUF file with llama.cpp's names, metadata and tokenizer; the
 * tensors keep their bytes. The file appears when it is whole. What this engine cannot run is
 * refused. options may be NULL. */
as_code g4_convert(const char *folder, const char *out_path, const g4_convert_options *options,
                   as_err *err);

/* A GGUF file or folder with its matrices in smaller formats, by a recipe such as "Q4_K_M".
 * n_threads 0: one per core; the result does not depend on it. */
as_code g4_quantize(const char *in_path, const char *out_path, const char *recipe, int n_threads,
                    as_err *err);
/* Names of the recipes; NULL behind the last. */
const char *g4_recipe_at(int i);

#endif
