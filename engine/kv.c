#include "engine/kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/kernels/quant.h"

enum { FULL = G4_POOL_FULL, SLIDING = G4_POOL_SLIDING, N_KINDS = G4_N_POOLS };

typedef struct pool {
    size_t page_bytes; /* 0: no layer of this kind owns keys */
    int n_slots;       /* of one sequence's table */
    int n_pages;
    uint8_t *memory; /* [n_pages, page_bytes], mapped */
    size_t bytes;
    int *n_users; /* [n_pages] */
    int *unused;  /* [n_pages], a stack */
    int n_unused, least_unused;
} pool;

typedef struct sequence {
    bool is_alive;
    int32_t start, next;
    /* pages first[k] .. (next-1)/64 are held; page n is in slot n % n_slots */
    int first[N_KINDS];
    int *table[N_KINDS];
} sequence;

struct g4_kv {
    const g4_config *c;
    g4_kv_options options;
    pool pools[N_KINDS];
    size_t *offset;    /* [n_layers] of the layer's K within a page */
    size_t *row_bytes; /* [n_layers] of one head's row */
    int n_seqs;
    sequence *seqs;
};

static int kind_of(const g4_layer_config *layer)
{
    return layer->is_sliding ? SLIDING : FULL;
}

/* Bytes of one position in a layer: K and V. */
static size_t layer_bytes(const g4_layer_config *layer, uint32_t type)
{
    return layer->owns_kv ? 2 * (size_t)layer->n_kv * k_row_bytes(type, layer->head_dim) : 0;
}

int64_t g4_kv_bytes_per_token(const g4_config *c, uint32_t type, g4_kv_pool which)
{
    size_t n = 0;
    for (int i = 0; i < c->n_layers; i++)
        if (kind_of(&c->layers[i]) == (int)which)
            n += layer_bytes(&c->layers[i], type);
    return (int64_t)n;
}

int g4_kv_unfit_layer(const g4_config *c, uint32_t type)
{
    for (int i = 0; i < c->n_layers; i++)
        if (c->layers[i].owns_kv && k_row_bytes(type, c->layers[i].head_dim) == 0)
            return i;
    return -1;
}

/* Pages that hold any stretch of so many positions. */
static int pages_for(int64_t positions)
{
    return (int)((positions + G4_PAGE - 1) / G4_PAGE + 1);
}

static int slots_of(const g4_config *c, const g4_kv_options *o, int kind)
{
    const int64_t kept = (int64_t)c->window - 1 + o->n_batch;
    return pages_for(kind == FULL || kept > o->n_ctx ? o->n_ctx : kept);
}

int64_t g4_kv_bytes(const g4_config *c, const g4_kv_options *o, g4_kv_pool which)
{
    return g4_kv_bytes_per_token(c, o->type, which) * G4_PAGE * slots_of(c, o, (int)which) *
           o->n_seqs;
}

static as_code open_pool(pool *p, const g4_config *c, const g4_kv_options *o, int kind, as_err *err)
{
    p->page_bytes = (size_t)g4_kv_bytes_per_token(c, o->type, (g4_kv_pool)kind) * G4_PAGE;
    p->n_slots = slots_of(c, o, kind);
    p->n_pages = p->n_slots * o->n_seqs;
    p->n_users = calloc((size_t)p->n_pages, sizeof *p->n_users);
    p->unused = calloc((size_t)p->n_pages, sizeof *p->unused);
    if (p->n_users == NULL || p->unused == NULL)
        return as_fail(err, AS_NOMEM, "key/value cache: no memory for a table of %d pages",
                       p->n_pages);
    for (int i = 0; i < p->n_pages; i++)
        p->unused[i] = p->n_pages - 1 - i; /* low pages first */
    p->n_unused = p->least_unused = p->n_pages;
    p->bytes = p->page_bytes * (size_t)p->n_pages;
    if (p->bytes == 0)
        return AS_OK;
    void *m = mmap(NULL, p->bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED)
        return as_fail(err, AS_NOMEM, "key/value cache: the system refuses %zu bytes", p->bytes);
    p->memory = m;
    return AS_OK;
}

static void place_layers(g4_kv *kv)
{
    size_t used[N_KINDS] = {0};
    for (int i = 0; i < kv->c->n_layers; i++) {
        const g4_layer_config *layer = &kv->c->layers[i];
        kv->offset[i] = used[kind_of(layer)];
        kv->row_bytes[i] = k_row_bytes(kv->options.type, layer->head_dim);
        used[kind_of(layer)] += layer_bytes(layer, kv->options.type) * G4_PAGE;
    }
}

as_code g4_kv_open(g4_kv **out, const g4_config *c, const g4_kv_options *o, as_err *err)
{
    *out = NULL;
    assert(g4_kv_unfit_layer(c, o->type) < 0);
    g4_kv *kv = calloc(1, sizeof *kv);
    if (kv == NULL)
        return as_fail(err, AS_NOMEM, "key/value cache: out of memory");
    kv->c = c;
    kv->options = *o;
    kv->n_seqs = o->n_seqs;
    kv->offset = calloc((size_t)c->n_layers, sizeof *kv->offset);
    kv->row_bytes = calloc((size_t)c->n_layers, sizeof *kv->row_bytes);
    kv->seqs = calloc((size_t)o->n_seqs, sizeof *kv->seqs);
    as_code code = AS_OK;
    if (kv->offset == NULL || kv->row_bytes == NULL || kv->seqs == NULL)
        code = as_fail(err, AS_NOMEM, "key/value cache: out of memory");
    for (int k = 0; k < N_KINDS && code == AS_OK; k++)
        code = open_pool(&kv->pools[k], c, o, k, err);
    for (int s = 0; s < o->n_seqs && code == AS_OK; s++)
        for (int k = 0; k < N_KINDS; k++) {
            kv->seqs[s].table[k] = calloc((size_t)kv->pools[k].n_slots, sizeof(int));
            if (kv->seqs[s].table[k] == NULL)
                code = as_fail(err, AS_NOMEM, "key/value cache: no memory for page tables");
        }
    if (code != AS_OK) {
        g4_kv_close(kv);
        return code;
    }
    place_layers(kv);
    *out = kv;
    return AS_OK;
}

void g4_kv_close(g4_kv *kv)
{
    if (kv == NULL)
        return;
    for (int k = 0; k < N_KINDS; k++) {
        free(kv->pools[k].n_users);
        free(kv->pools[k].unused);
        if (kv->pools[k].memory != NULL)
            munmap(kv->pools[k].memory, kv->pools[k].bytes);
        for (int s = 0; s < kv->n_seqs && kv->seqs != NULL; s++)
            free(kv->seqs[s].table[k]);
    }
    free(kv->offset);
    free(kv->row_bytes);
    free(kv->seqs);
    free(kv);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static int take_page(pool *p)
{
    assert(p->n_unused > 0);
    const int page = p->unused[--p->n_unused];
    p->least_unused = p->n_unused < p->least_unused ? p->n_unused : p->least_unused;
    p->n_users[page] = 1;
    return page;
}

static void leave_page(pool *p, int page)
{
    if (--p->n_users[page] == 0)
        p->unused[p->n_unused++] = page;
}

static int *slot(const g4_kv *kv, const sequence *s, int kind, int page_index)
{
    return &s->table[kind][page_index % kv->pools[kind].n_slots];
}

/* One past the last page that a sequence ending before `next` holds. */
static int end_page(int32_t next)
{
    return (next + G4_PAGE - 1) / G4_PAGE;
}

static void leave_pages(g4_kv *kv, sequence *s, int kind, int from, int to)
{
    for (int i = from; i < to; i++)
        leave_page(&kv->pools[kind], *slot(kv, s, kind, i));
}

/* The oldest position that the row at `next` sees in layers of a kind. */
static int32_t oldest_seen(const g4_kv *kv, const sequence *s, int kind, int32_t next)
{
    const int32_t edge = next - kv->c->window + 1;
    return kind == FULL || edge < s->start ? s->start : edge;
}

static void own_last_page(g4_kv *kv, sequence *s, int kind)
{
    pool *p = &kv->pools[kind];
    int *at = slot(kv, s, kind, s->next / G4_PAGE);
    if (p->n_users[*at] == 1)
        return;
    const int copy = take_page(p);
    if (p->page_bytes > 0)
        memcpy(p->memory + (size_t)copy * p->page_bytes, p->memory + (size_t)*at * p->page_bytes,
               p->page_bytes);
    leave_page(p, *at);
    *at = copy;
}

void g4_kv_append(g4_kv *kv, int seq, int32_t pos, int n)
{
    sequence *s = &kv->seqs[seq];
    assert(s->is_alive && n > 0 && n <= kv->options.n_batch);
    if (s->next == s->start) { /* empty: begins where it likes */
        s->start = s->next = pos;
        for (int k = 0; k < N_KINDS; k++)
            s->first[k] = pos / G4_PAGE;
    }
    assert(pos == s->next && s->next - s->start + n <= kv->options.n_ctx);
    for (int k = 0; k < N_KINDS; k++) {
        const int held_end = s->next > s->start ? end_page(s->next) : s->first[k];
        const int keep = oldest_seen(kv, s, k, pos) / G4_PAGE;
        const int drop_end = keep < held_end ? keep : held_end;
        leave_pages(kv, s, k, s->first[k], drop_end);
        s->first[k] = keep > s->first[k] ? keep : s->first[k];
        if (held_end > s->first[k] && s->next % G4_PAGE != 0)
            own_last_page(kv, s, k);
        for (int i = held_end; i < end_page(pos + n); i++)
            *slot(kv, s, k, i) = take_page(&kv->pools[k]);
    }
    s->next = pos + n;
}

void g4_kv_place(g4_kv *kv, int seq, int32_t start, int32_t next)
{
    sequence *s = &kv->seqs[seq];
    assert(s->is_alive && s->next == s->start);
    assert(start >= 0 && next > start && next - start <= kv->options.n_ctx);
    s->start = start;
    s->next = next;
    for (int k = 0; k < N_KINDS; k++) {
        s->first[k] = oldest_seen(kv, s, k, next) / G4_PAGE;
        for (int i = s->first[k]; i < end_page(next); i++)
            *slot(kv, s, k, i) = take_page(&kv->pools[k]);
    }
}

/* ---- sequences ------------------------------------------------------------------------------- */

bool g4_kv_is_alive(const g4_kv *kv, int seq)
{
    return seq >= 0 && seq < kv->n_seqs && kv->seqs[seq].is_alive;
}

int g4_kv_seq_rows(const g4_kv *kv, int seq)
{
    return g4_kv_is_alive(kv, seq) ? kv->seqs[seq].next - kv->seqs[seq].start : 0;
}

int32_t g4_kv_seq_start(const g4_kv *kv, int seq)
{
    return kv->seqs[seq].start;
}

int32_t g4_kv_seq_next(const g4_kv *kv, int seq)
{
    return kv->seqs[seq].next;
}

int32_t g4_kv_seq_oldest(const g4_kv *kv, int seq, g4_kv_pool which)
{
    return oldest_seen(kv, &kv->seqs[seq], (int)which, kv->seqs[seq].next);
}

int64_t g4_kv_used_bytes(const g4_kv *kv, g4_kv_pool which)
{
    const pool *p = &kv->pools[which];
    return (int64_t)p->page_bytes * (p->n_pages - p->n_unused);
}

int64_t g4_kv_peak_bytes(const g4_kv *kv, g4_kv_pool which)
{
    const pool *p = &kv->pools[which];
    return (int64_t)p->page_bytes * (p->n_pages - p->least_unused);
}

int g4_kv_seq_new(g4_kv *kv)
{
    for (int i = 0; i < kv->n_seqs; i++)
        if (!kv->seqs[i].is_alive) {
            sequence *s = &kv->seqs[i];
            s->is_alive = true;
            s->start = s->next = 0;
            s->first[FULL] = s->first[SLIDING] = 0;
            return i;
        }
    return -1;
}

void g4_kv_seq_free(g4_kv *kv, int seq)
{
    if (!g4_kv_is_alive(kv, seq))
        return;
    sequence *s = &kv->seqs[seq];
    if (s->next > s->start)
        for (int k = 0; k < N_KINDS; k++)
            leave_pages(kv, s, k, s->first[k], end_page(s->next));
    s->is_alive = false;
}

as_code g4_kv_seq_fork(g4_kv *kv, int from, int n_rows, int *seq, as_err *err)
{
    if (!g4_kv_is_alive(kv, from))
        return as_fail(err, AS_RANGE, "fork: sequence %d is not alive", from);
    const sequence *a = &kv->seqs[from];
    if (n_rows < 0 || n_rows > a->next - a->start)
        return as_fail(err, AS_RANGE, "fork: sequence %d holds %d rows, want a prefix of %d", from,
                       a->next - a->start, n_rows);
    const int32_t next = a->start + n_rows;
    if (kv->pools[SLIDING].page_bytes > 0 && n_rows > 0 &&
        a->first[SLIDING] > oldest_seen(kv, a, SLIDING, next) / G4_PAGE)
        return as_fail(err, AS_RANGE,
                       "fork: the row behind %d rows needs position %d, but the window of sequence "
                       "%d has moved to %d; fork earlier or compute the prefix again",
                       n_rows, (int)oldest_seen(kv, a, SLIDING, next), from,
                       a->first[SLIDING] * G4_PAGE);
    const int to = g4_kv_seq_new(kv);
    if (to < 0)
        return as_fail(err, AS_RANGE,
                       "fork: all %d sequences are in use; free one or open the "
                       "session with more",
                       kv->n_seqs);
    sequence *b = &kv->seqs[to];
    if (n_rows > 0) {
        b->start = a->start;
        b->next = next;
        for (int k = 0; k < N_KINDS; k++) {
            b->first[k] = oldest_seen(kv, a, k, next) / G4_PAGE;
            if (b->first[k] < a->first[k])
                b->first[k] = a->first[k]; /* only without sliding layers: nothing to hold */
            for (int i = b->first[k]; i < end_page(next); i++) {
                *slot(kv, b, k, i) = *slot(kv, a, k, i);
                kv->pools[k].n_users[*slot(kv, a, k, i)]++;
            }
        }
    }
    *seq = to;
    return AS_OK;
}

static uint8_t *key_of(const g4_kv *kv, int layer, int seq, int32_t pos, int head)
{
    const int kind = kind_of(&kv->c->layers[layer]);
    const int page = *slot(kv, &kv->seqs[seq], kind, pos / G4_PAGE);
    return kv->pools[kind].memory + (size_t)page * kv->pools[kind].page_bytes + kv->offset[layer] +
           ((size_t)head * G4_PAGE + (size_t)(pos % G4_PAGE)) * kv->row_bytes[layer];
}

uint8_t *g4_kv_key(const g4_kv *kv, int layer, int seq, int32_t pos, int head)
{
    return key_of(kv, layer, seq, pos, head);
}

uint8_t *g4_kv_value(const g4_kv *kv, int layer, int seq, int32_t pos, int head)
{
    return key_of(kv, layer, seq, pos, head) +
           (size_t)kv->c->layers[layer].n_kv * G4_PAGE * kv->row_bytes[layer];
}
