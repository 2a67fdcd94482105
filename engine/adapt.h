#ifndef ENGINE_ADAPT_H
#define ENGINE_ADAPT_H
/*
 * adapt.h — runs sequences with adapters: which one each sequence has, and its part of a product.
 *
 *     y_r = W·x_r + s · (B·(A·x_r))        s: the adapter's strength times the sequence's scale
 *
 * Order      A·x_r: the kernels' dot_f32. B·u: from rank 0 on, from a sum of 0, which is then scaled
 *            and added to y. Neither depends on other rows or on threads; rows without an adapter
 *            are not touched.
 * Precision  f32, also where the model's own products round their input to 8 bits.
 * Cost       rows with an adapter: 2·rank·(in + out) operations each. Rows without: none; a call in
 *            which no row has one looks at its rows once.
 * Memory     made by the first g4_seq_set_adapter of a session, grown by one with a higher rank.
 * Threads    one caller; products are split over the session's team.
 */
#include <stdbool.h>

#include "engine/adapter.h"
#include "engine/session_impl.h"

typedef struct g4_adapt g4_adapt;

/* adapt may be NULL in all of these: no sequence has an adapter. */
void g4_adapt_free(g4_adapt *adapt);
void g4_adapt_clear(g4_adapt *adapt, int seq);
void g4_adapt_copy(g4_adapt *adapt, int from, int to);
/* NULL: none. */
const g4_adapter *g4_adapt_of(const g4_adapt *adapt, int seq, float *scale);
bool g4_adapt_any(const g4_adapt *adapt, const g4_row *rows, int n_rows);

/* Adds the adapter's part to row `row` of the call as it came from the embedding table: x [D]. */
void g4_adapt_embed(const g4_pass *p, int row, float *x);

/* g4_multiply, then the adapters' part. x: [rows, n_in]; live: [rows] which live row of the pass
 * each is, NULL: row by row. */
void g4_project(g4_pass *p, const g4_product *jobs, int n_jobs, const float *x, const int *live,
                int rows);

#endif
