#ifndef ENGINE_KV_H
#define ENGINE_KV_H
/*
 * kv.h — keys and values of many sequences, in pages of 64 positions with reference counts.
 *
 * Layout     two pools: a page of the full pool holds 64 positions of every full layer that owns
 *            keys, one of the sliding pool those of every sliding layer. Within a page, per layer:
 *            K [KV, 64, Dh], then V [KV, 64, Dh]. Page n of a sequence holds positions 64n to
 *            64n+63. Layers that share another's cache own nothing here.
 * Formats    a row of Dh elements is f32, f16 or Q8_0 blocks (kernels/quant.h; Dh must then be a
 *            multiple of 32); halves and blocks are little-endian on every machine.
 * Windows    full tables grow; of sliding tables the pages that lie wholly before the window of the
 *            next row are given back, so that at most window + batch rows stay, in whole pages. An
 *            image whose rows see each other comes in one call, so n_batch is its room.
 * Forks      share pages; a sequence that is about to write into a page with other users copies it
 *            first. At most one page of each pool is ever copied per fork.
 * Sizes      pools are sized so that n_seqs sequences of n_ctx positions always fit: once open,
 *            nothing here can run out. The system gives memory to pages as they are first touched.
 * Threads    changes by one thread; pointers may be read and their rows written by several.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/config.h"

enum { G4_PAGE = 64 };

typedef struct g4_kv g4_kv;

typedef enum g4_kv_pool { G4_POOL_FULL, G4_POOL_SLIDING, G4_N_POOLS } g4_kv_pool;

typedef struct g4_kv_options {
    int n_ctx, n_seqs, n_batch;
    uint32_t type; /* K_F32, K_F16 or K_Q8_0 */
} g4_kv_options;

/* Bytes of one more token in all layers of a pool, while they grow (spec 1.4). */
int64_t g4_kv_bytes_per_token(const g4_config *c, uint32_t type, g4_kv_pool which);
/* Bytes of a pool with all sequences at full length: whole pages. */
int64_t g4_kv_bytes(const g4_config *c, const g4_kv_options *o, g4_kv_pool which);
/* The first layer whose keys cannot be kept as type; -1: none. */
int g4_kv_unfit_layer(const g4_config *c, uint32_t type);

/* c is borrowed. AS_NOMEM when the system refuses the memory. */
as_code g4_kv_open(g4_kv **out, const g4_config *c, const g4_kv_options *o, as_err *err);
void g4_kv_close(g4_kv *kv);

/* -1 if n_seqs are alive. */
int g4_kv_seq_new(g4_kv *kv);
as_code g4_kv_seq_fork(g4_kv *kv, int from, int n_rows, int *seq, as_err *err);
void g4_kv_seq_free(g4_kv *kv, int seq);
bool g4_kv_is_alive(const g4_kv *kv, int seq);
int g4_kv_seq_rows(const g4_kv *kv, int seq);
/* Position of the first row, and of the row that comes next; both 0 while it is empty. */
int32_t g4_kv_seq_start(const g4_kv *kv, int seq);
int32_t g4_kv_seq_next(const g4_kv *kv, int seq);
/* The first position that the next row still sees in the layers of a pool. */
int32_t g4_kv_seq_oldest(const g4_kv *kv, int seq, g4_kv_pool which);
/* Bytes of the pages in use, now or (peak) at most so far. */
int64_t g4_kv_used_bytes(const g4_kv *kv, g4_kv_pool which);
int64_t g4_kv_peak_bytes(const g4_kv *kv, g4_kv_pool which);

/* Makes room for n rows from position pos (any for an empty sequence, else the next one) and counts
 * them as held. n ≤ n_batch, rows held + n ≤ n_ctx: asserted. */
void g4_kv_append(g4_kv *kv, int seq, int32_t pos, int n);

/* Makes an empty sequence hold positions start .. next-1, as far as its next row sees them; what
 * they are is to be filled in. next - start is 1 .. n_ctx: asserted. */
void g4_kv_place(g4_kv *kv, int seq, int32_t start, int32_t next);

/* Where head `head` of layer `layer`, which owns keys, keeps position pos: a row of Dh elements; the
 * following positions of the same page lie behind it. */
uint8_t *g4_kv_key(const g4_kv *kv, int layer, int seq, int32_t pos, int head);
uint8_t *g4_kv_value(const g4_kv *kv, int layer, int seq, int32_t pos, int head);

#endif
