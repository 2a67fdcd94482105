#ifndef ENGINE_ADAPTER_H
#define ENGINE_ADAPTER_H
/*
 * adapter.h — LoRA adapters of one model: for a matrix W [out, in] of the model two thin factors,
 *
 *     y = W·x + s · B·(A·x)          A [rank, in]   B [out, rank]   s: the adapter's own strength
 *
 * Read       GGUF (adapter_gguf.c) and PEFT folders (adapter_peft.c). Both name the matrix, show where
 *            the elements of A and B lie, and g4_adapter_add copies them into one layout as f32.
 * Matrices   those of the attention, of the dense MLP, of the experts, of the per-layer embedding,
 *            the head, and the embedding table: the row of a token becomes
 *                (W[token] + s · B·A[:, token]) · sqrt(D)          A [rank, V]   B [D, rank]
 *            while a head that is tied to the table keeps the table's own rows. The table of
 *            per-layer embeddings, norms and the router are refused with a sentence.
 *            Key and value factors of layers that read another's cache are dropped: they cannot
 *            have an effect.
 * Layout     A: [mats, rank, in]. B: per matrix panels of G4_PANEL outputs, each [rank, width], the
 *            last panel narrower; mats is the number of experts, or 1. The embedding's A: [V, rank].
 * Checked    shapes against the model's; rank 1 to G4_MAX_RANK; every element finite.
 * Cost       all of A and B as f32: at most twice what the file holds.
 * Errors     one sentence naming file, tensor and what was expected.
 * Threads    immutable once open.
 *
 * Source of the formulas and shapes: gemma4-text.md, section 6.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "engine/engine.h"

enum { G4_PANEL = 64, G4_MAX_RANK = 4096 };

/* A matrix of a layer, or from G4_SLOT_PLE_MODEL_PROJ on of the model. */
typedef enum g4_slot {
    G4_SLOT_NONE, /* never adapted */
    G4_SLOT_Q,
    G4_SLOT_K,
    G4_SLOT_V,
    G4_SLOT_O,
    G4_SLOT_GATE,
    G4_SLOT_UP,
    G4_SLOT_DOWN,
    G4_SLOT_EXPERT_GATE,
    G4_SLOT_EXPERT_UP,
    G4_SLOT_EXPERT_DOWN,
    G4_SLOT_PLE_GATE,
    G4_SLOT_PLE_UP,
    G4_SLOT_PLE_MODEL_PROJ,
    G4_SLOT_HEAD,
    G4_SLOT_EMBEDDING, /* n_in: V, n_out: D */
    G4_SLOT_END,
} g4_slot;

typedef struct g4_lora {
    const float *a; /* NULL: this matrix is not adapted */
    const float *b;
    int rank, n_in, n_out;
    float scale; /* s */
} g4_lora;

struct g4_adapter {
    const g4_model *model;
    const char *path;
    as_arena keep;
    g4_lora *loras; /* [L + 1, G4_SLOT_END]; the last row is the model's */
    g4_adapter_info info;
};

static inline const float *g4_lora_a(const g4_lora *l, int mat)
{
    return l->a + (size_t)mat * (size_t)l->rank * (size_t)l->n_in;
}

/* The panel that begins with output o, a multiple of G4_PANEL. */
static inline const float *g4_lora_b(const g4_lora *l, int mat, int o)
{
    return l->b + ((size_t)mat * (size_t)l->n_out + (size_t)o) * (size_t)l->rank;
}

/* What the matrix has in the adapter; a of the result may be NULL. */
const g4_lora *g4_adapter_lora(const g4_adapter *a, int layer, g4_slot slot);

/* ---- for the readers ------------------------------------------------------------------------- */

/* A tensor of the model that an adapter may name. Two slots: rows of the first, then of the second.
 */
typedef struct g4_target {
    int layer; /* -1: the model's */
    g4_slot slots[2];
    int n_slots;
    int n_in, n_out, n_mats; /* n_out: of all slots together */
    bool is_dead;            /* no effect: check the pair for completeness and go on */
} g4_target;

/* name: the tensor's in GGUF. tensor is what the adapter's file calls it, for messages. */
as_code g4_target_find(g4_target *out, const g4_adapter *a, as_str name, as_str tensor,
                       as_err *err);

/* Elements of a factor in a file. Strides count elements. */
typedef struct g4_factor {
    const uint8_t *data; /* aligned to nothing */
    uint32_t type;       /* G4_TYPE_F32, _F16 or _BF16 */
    int64_t mat, row, col;
} g4_factor;

typedef struct g4_pair {
    as_str tensor; /* for messages */
    g4_target target;
    int rank;
    double scale;
    g4_factor a; /* (expert, k, i) */
    g4_factor b; /* (expert, o, k) */
} g4_pair;

/* The factors' shapes were checked against pair->target. */
as_code g4_adapter_add(g4_adapter *a, const g4_pair *pair, as_err *err);

as_code g4_adapter_check_rank(const g4_adapter *a, as_str tensor, int64_t rank, as_err *err);
/* From now on the adapter may take what a file of so many bytes can fill. */
void g4_adapter_limit(g4_adapter *a, int64_t file_bytes);

as_code g4_adapter_read_gguf(g4_adapter *a, as_err *err);
as_code g4_adapter_read_peft(g4_adapter *a, as_err *err);

#endif
