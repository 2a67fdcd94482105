/*
 * state.c — the rows that one sequence holds, as bytes: to go on later without computing them again.
 *
 * Layout     little-endian:
 *     0   8  "G4STATE\n"          8  u32 version, 1      12  u32 bytes of this header, 128
 *    16  32  the model            48  32  adapter and scale, zeros: none
 *    80  u32 kind of cache        84  u32 precision       88  i32 start    92  i32 next position
 *    96  u64 bytes of the note   104  u64 bytes of rows  112  16 zeros
 *   128      note, then rows, then the SHA-256 of all before it
 * Rows       layer by layer of those that own keys: K then V, head by head, position by position
 *            from the oldest that the next row sees (start in full layers). Formats: kv.h.
 * The model  SHA-256 over its numbers, and of each tensor name, shape, format and bytes from its
 *            start, middle and end: another model of the same shape is told apart, a file of many
 *            gigabytes is not read for it. So too the adapter, of each expert's factors.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "engine/adapt.h"
#include "engine/map.h"
#include "engine/session_impl.h"

enum { HEADER = 128, SUM = AS_SHA256_BYTES, VERSION = 1, SAMPLE = 256 };
static const as_str magic = AS_STR_INIT("G4STATE\n");

typedef struct header {
    as_sha256 model, adapter;
    uint32_t kv, precision;
    int32_t start, next;
    uint64_t note_bytes, row_bytes;
} header;

/* ---- identities ------------------------------------------------------------------------------- */

static void add_number(as_sha256_state *h, int64_t v)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)v);
    as_sha256_add_field(h, as_str_of(text));
}

static void add_sample(as_sha256_state *h, const uint8_t *p, size_t n)
{
    const size_t part = n < SAMPLE ? n : SAMPLE;
    const size_t at[3] = {0, (n - part) / 2, n - part};
    for (int i = 0; i < 3; i++)
        as_sha256_add_field(h, (as_str){(const char *)p + at[i], part});
}

static as_code model_identity(as_sha256 *out, const g4_model *m, as_err *err)
{
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    const g4_config *c = &m->config;
    const int numbers[] = {(int)c->arch,    c->n_layers,    c->width,
                           c->n_heads,      c->n_vocab,     c->window,
                           c->first_shared, c->n_ctx_train, c->n_experts_used};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        add_number(h, numbers[i]);
    for (int i = 0; i < c->n_layers; i++)
        add_number(h, c->layers[i].is_sliding);
    const float floats[] = {
        c->eps,         c->attention_scale, c->softcap, c->rope_base_full, c->rope_base_sliding,
        c->rope_divisor};
    char text[32];
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
        (void)snprintf(text, sizeof text, "%.9g", (double)floats[i]);
        as_sha256_add_field(h, as_str_of(text));
    }
    for (size_t i = 0; i < g4_gguf_n_tensors(m->file); i++) {
        const g4_tensor *t = g4_gguf_tensor(m->file, i);
        as_sha256_add_field(h, t->name);
        add_number(h, (int64_t)t->type);
        for (int d = 0; d < G4_MAX_DIMS; d++)
            add_number(h, t->ne[d]);
        add_sample(h, t->data, t->bytes);
    }
    *out = as_sha256_end(h);
    return AS_OK;
}

static void add_lora(as_sha256_state *h, const g4_lora *l, int mats)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.9g", (double)l->scale);
    as_sha256_add_field(h, as_str_of(text));
    add_number(h, l->rank);
    const size_t row = (size_t)l->rank * sizeof *l->a;
    for (int m = 0; m < mats; m++) {
        add_sample(h, (const uint8_t *)g4_lora_a(l, m), row * (size_t)l->n_in);
        add_sample(h, (const uint8_t *)g4_lora_b(l, m, 0), row * (size_t)l->n_out);
    }
}

static as_code adapter_identity(as_sha256 *out, const g4_session *s, int seq, as_err *err)
{
    float scale = 0;
    const g4_adapter *a = g4_adapt_of(s->adapt, seq, &scale);
    *out = (as_sha256){{0}};
    if (a == NULL)
        return AS_OK;
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    char text[32];
    (void)snprintf(text, sizeof text, "%.9g", (double)scale);
    as_sha256_add_field(h, as_str_of(text));
    for (int layer = 0; layer <= s->model->config.n_layers; layer++)
        for (int slot = G4_SLOT_Q; slot < G4_SLOT_END; slot++) {
            const g4_lora *l = &a->loras[(size_t)layer * G4_SLOT_END + (size_t)slot];
            if (l->a == NULL)
                continue;
            add_number(h, layer);
            add_number(h, slot);
            add_lora(h, l,
                     slot >= G4_SLOT_EXPERT_GATE && slot <= G4_SLOT_EXPERT_DOWN
                         ? s->model->config.n_experts
                         : 1);
        }
    *out = as_sha256_end(h);
    return AS_OK;
}

/* ---- rows ------------------------------------------------------------------------------------- */

/* f32 rows are in the machine's order, the other formats in the file's. */
static void copy_row(uint8_t *to, const uint8_t *from, size_t bytes, uint32_t type)
{
    memcpy(to, from, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (size_t i = 0; type == K_F32 && i < bytes; i += 4) {
        to[i] = from[i + 3];
        to[i + 1] = from[i + 2];
        to[i + 2] = from[i + 1];
        to[i + 3] = from[i];
    }
#else
    (void)type;
#endif
}

/* Hands each stretch of rows in turn to fn, with its place in the cache: at most a page. */
typedef as_code (*stretch_fn)(void *user, uint8_t *rows, size_t bytes);

static as_code each_stretch(const g4_session *s, int seq, stretch_fn fn, void *user)
{
    const g4_config *c = &s->model->config;
    const int32_t next = g4_kv_seq_next(s->kv, seq);
    for (int l = 0; l < c->n_layers; l++) {
        const g4_layer_config *lc = &c->layers[l];
        if (!lc->owns_kv)
            continue;
        const int32_t from =
            g4_kv_seq_oldest(s->kv, seq, lc->is_sliding ? G4_POOL_SLIDING : G4_POOL_FULL);
        const size_t row = k_row_bytes(g4_kv_row_type(s->options.kv), lc->head_dim);
        for (int part = 0; part < 2 * lc->n_kv; part++)
            for (int32_t pos = from, run; pos < next; pos += run) {
                run = G4_PAGE - pos % G4_PAGE;
                run = run < next - pos ? run : next - pos;
                const int head = part % lc->n_kv;
                uint8_t *rows = part < lc->n_kv ? g4_kv_key(s->kv, l, seq, pos, head)
                                                : g4_kv_value(s->kv, l, seq, pos, head);
                const as_code code = fn(user, rows, (size_t)run * row);
                if (code != AS_OK)
                    return code;
            }
    }
    return AS_OK;
}

/* Bytes of the rows of a sequence that begins at start and ends before next. */
static uint64_t rows_bytes(const g4_session *s, int32_t start, int32_t next)
{
    const uint32_t type = g4_kv_row_type(s->options.kv);
    const int32_t edge = next - s->model->config.window + 1;
    const int64_t sliding = next - (edge > start ? edge : start);
    return (uint64_t)(g4_kv_bytes_per_token(&s->model->config, type, G4_POOL_FULL) *
                          (next - start) +
                      g4_kv_bytes_per_token(&s->model->config, type, G4_POOL_SLIDING) * sliding);
}

/* ---- writing ---------------------------------------------------------------------------------- */

typedef struct sink {
    as_buf *buf; /* or */
    FILE *file;
    as_sha256_state *sum;
    uint32_t type;
    as_err *err;
} sink;

static as_code put(sink *k, const uint8_t *p, size_t n)
{
    as_sha256_add(k->sum, (as_str){(const char *)p, n});
    if (k->buf != NULL)
        return as_buf_add(k->buf, (as_str){(const char *)p, n}) == AS_OK
                   ? AS_OK
                   : as_buf_ok(k->buf, k->err);
    return fwrite(p, 1, n, k->file) == n ? AS_OK : as_fail_sys(k->err, "state");
}

static as_code put_stretch(void *user, uint8_t *rows, size_t bytes)
{
    sink *k = user;
    uint8_t part[4096];
    for (size_t i = 0; i < bytes; i += sizeof part) {
        const size_t n = bytes - i < sizeof part ? bytes - i : sizeof part;
        copy_row(part, rows + i, n, k->type);
        AS_TRY(put(k, part, n));
    }
    return AS_OK;
}

static void put_number(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t number_at(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static void write_header(uint8_t out[HEADER], const header *h)
{
    memset(out, 0, HEADER);
    memcpy(out, magic.p, magic.n);
    put_number(out + 8, VERSION, 4);
    put_number(out + 12, HEADER, 4);
    memcpy(out + 16, h->model.b, sizeof h->model.b);
    memcpy(out + 48, h->adapter.b, sizeof h->adapter.b);
    put_number(out + 80, h->kv, 4);
    put_number(out + 84, h->precision, 4);
    put_number(out + 88, (uint32_t)h->start, 4);
    put_number(out + 92, (uint32_t)h->next, 4);
    put_number(out + 96, h->note_bytes, 8);
    put_number(out + 104, h->row_bytes, 8);
}

static as_code write_state(const g4_session *s, int seq, as_str note, sink *k)
{
    if (!g4_kv_is_alive(s->kv, seq) || g4_kv_seq_rows(s->kv, seq) == 0)
        return as_fail(k->err, AS_RANGE, "state: sequence %d holds no rows to save", seq);
    if (note.n > G4_MAX_NOTE)
        return as_fail(k->err, AS_RANGE, "state: a note of %zu bytes, want at most %d", note.n,
                       G4_MAX_NOTE);
    header h = {
        .kv = (uint32_t)s->options.kv,
        .precision = (uint32_t)s->options.precision,
        .start = g4_kv_seq_start(s->kv, seq),
        .next = g4_kv_seq_next(s->kv, seq),
        .note_bytes = note.n,
    };
    h.row_bytes = rows_bytes(s, h.start, h.next);
    AS_TRY(model_identity(&h.model, s->model, k->err));
    AS_TRY(adapter_identity(&h.adapter, s, seq, k->err));
    k->type = g4_kv_row_type(s->options.kv);
    k->sum = as_sha256_new();
    if (k->sum == NULL)
        return as_nomem(k->err);
    uint8_t bytes[HEADER];
    write_header(bytes, &h);
    as_code c = put(k, bytes, HEADER);
    if (c == AS_OK)
        c = put(k, (const uint8_t *)note.p, note.n);
    if (c == AS_OK)
        c = each_stretch(s, seq, put_stretch, k);
    const as_sha256 sum = as_sha256_end(k->sum);
    if (c != AS_OK)
        return c;
    if (k->buf != NULL)
        return as_buf_add(k->buf, (as_str){(const char *)sum.b, SUM}) == AS_OK
                   ? AS_OK
                   : as_buf_ok(k->buf, k->err);
    return fwrite(sum.b, 1, SUM, k->file) == SUM ? AS_OK : as_fail_sys(k->err, "state");
}

int64_t g4_state_bytes(const g4_session *s, int seq, size_t note_bytes)
{
    if (!g4_kv_is_alive(s->kv, seq) || g4_kv_seq_rows(s->kv, seq) == 0)
        return 0;
    return (int64_t)(HEADER + note_bytes + SUM +
                     rows_bytes(s, g4_kv_seq_start(s->kv, seq), g4_kv_seq_next(s->kv, seq)));
}

as_code g4_state_save(const g4_session *s, int seq, as_str note, as_buf *out, as_err *err)
{
    sink k = {.buf = out, .err = err};
    return write_state(s, seq, note, &k);
}

/* Beside its place first, so that the file is whole or not there. */
as_code g4_state_save_file(const g4_session *s, int seq, as_str note, const char *path, as_err *err)
{
    as_buf temporary;
    as_buf_init(&temporary, 1 << 16);
    (void)as_buf_printf(&temporary, "%s.%ld.part", path, (long)getpid());
    as_code c = as_buf_ok(&temporary, err);
    sink k = {.err = err};
    if (c == AS_OK) {
        k.file = fopen(temporary.p, "wbe");
        c = k.file != NULL ? write_state(s, seq, note, &k) : as_fail_sys(err, "cannot write");
        if (k.file != NULL && fclose(k.file) != 0 && c == AS_OK)
            c = as_fail_sys(err, "cannot write");
        if (c == AS_OK && rename(temporary.p, path) != 0)
            c = as_fail_sys(err, "cannot rename");
        if (c != AS_OK && k.file != NULL)
            (void)unlink(temporary.p);
    }
    as_buf_release(&temporary);
    return c == AS_OK ? AS_OK : as_wrap(err, "%s", path);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static as_code read_header(header *h, as_str state, as_err *err)
{
    const uint8_t *p = (const uint8_t *)state.p;
    if (state.n < HEADER + SUM || memcmp(p, magic.p, magic.n) != 0)
        return as_fail(err, AS_PARSE,
                       "is no state of a sequence, or a truncated one; save it again");
    if (number_at(p + 8, 4) != VERSION || number_at(p + 12, 4) != HEADER)
        return as_fail(err, AS_UNSUPPORTED,
                       "state of version %u, this program reads version %d; save it again",
                       (unsigned)number_at(p + 8, 4), VERSION);
    memcpy(h->model.b, p + 16, sizeof h->model.b);
    memcpy(h->adapter.b, p + 48, sizeof h->adapter.b);
    h->kv = (uint32_t)number_at(p + 80, 4);
    h->precision = (uint32_t)number_at(p + 84, 4);
    const uint64_t start = number_at(p + 88, 4);
    const uint64_t next = number_at(p + 92, 4);
    if (next <= start || next > G4_MAX_POSITION)
        return as_fail(err, AS_PARSE, "state of positions %llu to %llu, want at most %d, ascending",
                       (unsigned long long)start, (unsigned long long)next, G4_MAX_POSITION);
    h->start = (int32_t)start;
    h->next = (int32_t)next;
    h->note_bytes = number_at(p + 96, 8);
    h->row_bytes = number_at(p + 104, 8);
    for (int i = 112; i < HEADER; i++)
        if (p[i] != 0)
            return as_fail(err, AS_PARSE, "state with a byte %d of %u in its header, want 0", i,
                           p[i]);
    if (h->note_bytes > G4_MAX_NOTE || h->note_bytes > state.n - HEADER - SUM ||
        h->row_bytes != state.n - HEADER - SUM - h->note_bytes)
        return as_fail(
            err, AS_PARSE,
            "state of %zu bytes, its header tells of a note of %llu and rows of %llu; it "
            "is truncated or damaged: save it again",
            state.n, (unsigned long long)h->note_bytes, (unsigned long long)h->row_bytes);
    return AS_OK;
}

/* Does the state fit this session and sequence? */
static as_code check_header(const g4_session *s, int seq, const header *h, as_err *err)
{
    as_sha256 model;
    as_sha256 adapter;
    AS_TRY(model_identity(&model, s->model, err));
    if (memcmp(model.b, h->model.b, sizeof model.b) != 0)
        return as_fail(err, AS_RANGE, "state of another model; save it with this one");
    if (h->kv != (uint32_t)s->options.kv)
        return as_fail(err, AS_RANGE,
                       "state with a %s cache, the session has %s; open it with kv %s",
                       g4_kv_name((g4_kv_type)h->kv), g4_kv_name(s->options.kv),
                       g4_kv_name((g4_kv_type)h->kv));
    if (h->precision != (uint32_t)s->options.precision)
        return as_fail(
            err, AS_RANGE,
            "state computed with precision %s, the session has %s; open it with the same",
            h->precision == G4_F32 ? "f32" : "auto",
            s->options.precision == G4_F32 ? "f32" : "auto");
    AS_TRY(adapter_identity(&adapter, s, seq, err));
    if (memcmp(adapter.b, h->adapter.b, sizeof adapter.b) != 0)
        return as_fail(err, AS_RANGE,
                       "state computed with another adapter or scale than the sequence has; choose "
                       "the same, or none for one without");
    if (h->next - h->start > s->options.n_ctx)
        return as_fail(err, AS_RANGE,
                       "state of %d rows, the session holds %d; open it with a larger "
                       "n_ctx",
                       h->next - h->start, s->options.n_ctx);
    if (h->row_bytes != rows_bytes(s, h->start, h->next))
        return as_fail(err, AS_PARSE, "state with %llu bytes of rows, want %llu; save it again",
                       (unsigned long long)h->row_bytes,
                       (unsigned long long)rows_bytes(s, h->start, h->next));
    return AS_OK;
}

typedef struct source {
    const uint8_t *p;
    uint32_t type;
} source;

static as_code take_stretch(void *user, uint8_t *rows, size_t bytes)
{
    source *from = user;
    copy_row(rows, from->p, bytes, from->type);
    from->p += bytes;
    return AS_OK;
}

as_code g4_state_load(g4_session *s, int seq, as_str state, as_str *note, as_err *err)
{
    if (note != NULL)
        *note = (as_str){0};
    if (!g4_kv_is_alive(s->kv, seq) || g4_kv_seq_rows(s->kv, seq) != 0)
        return as_fail(err, AS_RANGE, "state: sequence %d is not alive and empty", seq);
    header h;
    AS_TRY(read_header(&h, state, err));
    AS_TRY(check_header(s, seq, &h, err));
    const as_sha256 sum = as_sha256_of((as_str){state.p, state.n - SUM});
    if (memcmp(sum.b, state.p + state.n - SUM, SUM) != 0)
        return as_fail(err, AS_PARSE,
                       "state whose bytes are not those of its checksum; it is "
                       "damaged: save it again");
    g4_kv_place(s->kv, seq, h.start, h.next);
    source from = {.p = (const uint8_t *)state.p + HEADER + h.note_bytes,
                   .type = g4_kv_row_type(s->options.kv)};
    (void)each_stretch(s, seq, take_stretch, &from);
    if (note != NULL)
        *note = (as_str){state.p + HEADER, (size_t)h.note_bytes};
    return AS_OK;
}

as_code g4_state_load_file(g4_session *s, int seq, const char *path, as_buf *note, as_err *err)
{
    g4_map map;
    as_str found = {0};
    AS_TRY(g4_map_open(&map, path, err));
    as_code c = g4_state_load(s, seq, g4_map_str(&map), &found, err);
    if (c == AS_OK && note != NULL)
        c = as_buf_add(note, found) == AS_OK ? AS_OK : as_buf_ok(note, err);
    else if (c != AS_OK)
        (void)as_wrap(err, "%s", path);
    g4_map_close(&map);
    return c;
}
