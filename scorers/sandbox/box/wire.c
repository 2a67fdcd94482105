#include "wire.h"

#include <stdlib.h>
#include <string.h>

static const char *const step_names[BX_N_STEPS] = {
    "none",
    "making namespaces",
    "mapping ids",
    "placing the box in its cgroup",
    "taking the box's ids",
    "forbidding further namespaces",
    "making mounts private",
    "mounting the root",
    "mounting /usr",
    "mounting /dev",
    "mounting /proc",
    "mounting /tmp",
    "copying the program in",
    "changing the root",
    "making the root read-only",
    "naming the host",
    "starting a process",
    "setting resource limits",
    "dropping capabilities",
    "arranging descriptors",
    "loading the system-call filter",
    "executing the program",
    "keeping the interpreter ready",
    "talking to the box",
    "handing over the input",
    "cleaning up",
};

const char *bx_step_name(bx_step step)
{
    return (unsigned)step < BX_N_STEPS ? step_names[step] : "unknown";
}

/* ---- writing ------------------------------------------------------------------------------ */

static uint8_t *room(bx_out *o, size_t n)
{
    if (o->is_bad || n > BX_MAX_FRAME + BX_HEAD_BYTES || o->n > BX_MAX_FRAME + BX_HEAD_BYTES - n) {
        o->is_bad = true;
        return NULL;
    }
    if (o->n + n > o->cap) {
        const size_t cap = (o->n + n) + (o->n + n) / 2 + 256;
        uint8_t *p = realloc(o->p, cap);
        if (p == NULL) {
            o->is_bad = true;
            return NULL;
        }
        o->p = p;
        o->cap = cap;
    }
    uint8_t *at = o->p + o->n;
    o->n += n;
    return at;
}

static void store_u32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

void bx_begin(bx_out *o, bx_type type)
{
    *o = (bx_out){0};
    uint8_t *at = room(o, BX_HEAD_BYTES);
    if (at == NULL)
        return;
    store_u32(at, 0);
    at[4] = (uint8_t)type;
}

bool bx_end(bx_out *o)
{
    if (o->is_bad || o->n < BX_HEAD_BYTES)
        return false;
    store_u32(o->p, (uint32_t)(o->n - BX_HEAD_BYTES));
    return true;
}

void bx_out_free(bx_out *o)
{
    free(o->p);
    *o = (bx_out){0};
}

void bx_put_u32(bx_out *o, uint32_t v)
{
    uint8_t *at = room(o, 4);
    if (at != NULL)
        store_u32(at, v);
}

void bx_put_u64(bx_out *o, uint64_t v)
{
    bx_put_u32(o, (uint32_t)v);
    bx_put_u32(o, (uint32_t)(v >> 32));
}

void bx_put_bytes(bx_out *o, const void *p, size_t n)
{
    if (n > BX_MAX_FRAME) {
        o->is_bad = true;
        return;
    }
    bx_put_u32(o, (uint32_t)n);
    uint8_t *at = room(o, n);
    if (at != NULL && n != 0)
        memcpy(at, p, n);
}

void bx_put_limits(bx_out *o, const bx_limits *l)
{
    const uint64_t wide[] = {l->cpu_ms,    l->wall_ms,      l->memory_bytes, l->stack_bytes,
                             l->tmp_bytes, l->output_bytes, l->file_bytes};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        bx_put_u64(o, wide[i]);
    bx_put_u32(o, l->tasks);
    bx_put_u32(o, l->files);
    bx_put_u32(o, l->flags);
}

uint64_t bx_wall_allowed_us(uint64_t wall_ms, uint64_t waited_us)
{
    const uint64_t most = (BX_PATIENCE - 1) * wall_ms * 1000;
    return wall_ms * 1000 + (waited_us < most ? waited_us : most);
}

void bx_put_record(bx_out *o, const bx_record *r)
{
    bx_put_u32(o, r->act);
    bx_put_u32(o, r->step);
    bx_put_u32(o, r->error);
    bx_put_u32(o, r->status);
    const uint64_t wide[] = {r->cpu_us,     r->wall_us,      r->waited_us,
                             r->peak_bytes, r->output_bytes, r->error_bytes};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        bx_put_u64(o, wide[i]);
    bx_put_u32(o, r->is_oom);
}

void bx_put_status(bx_out *o, const bx_status *s)
{
    const uint32_t v[] = {
        s->step,          s->error,   s->clone_flags, s->cgroup, s->can_limit_memory,
        s->can_count_cpu, s->is_root, s->has_proc};
    for (size_t i = 0; i < sizeof v / sizeof v[0]; i++)
        bx_put_u32(o, v[i]);
}

/* ---- reading ------------------------------------------------------------------------------ */

uint32_t bx_get_u32(bx_in *in)
{
    if (in->is_bad || in->n - in->at < 4) {
        in->is_bad = true;
        return 0;
    }
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v |= (uint32_t)in->p[in->at + (size_t)i] << (8 * i);
    in->at += 4;
    return v;
}

uint64_t bx_get_u64(bx_in *in)
{
    const uint64_t low = bx_get_u32(in);
    return low | (uint64_t)bx_get_u32(in) << 32;
}

const uint8_t *bx_get_bytes(bx_in *in, size_t *n)
{
    *n = 0;
    const uint32_t length = bx_get_u32(in);
    if (in->is_bad || length > in->n - in->at) {
        in->is_bad = true;
        return NULL;
    }
    const uint8_t *p = in->p + in->at;
    in->at += length;
    *n = length;
    return p;
}

bool bx_head(const uint8_t head[BX_HEAD_BYTES], uint32_t *length, bx_type *type)
{
    bx_in in = {.p = head, .n = BX_HEAD_BYTES};
    *length = bx_get_u32(&in);
    *type = (bx_type)head[4];
    return *length <= BX_MAX_FRAME && head[4] >= BX_OPEN && head[4] <= BX_CLOSED;
}

/* Wide enough for any problem, narrow enough that sums of a few cannot overflow. */
static uint64_t get_bounded(bx_in *in, uint64_t max)
{
    const uint64_t v = bx_get_u64(in);
    if (v > max)
        in->is_bad = true;
    return v;
}

static void get_limits(bx_in *in, bx_limits *l)
{
    const uint64_t max_ms = 24ull * 3600 * 1000;
    const uint64_t max_bytes = 1ull << 42;
    l->cpu_ms = get_bounded(in, max_ms);
    l->wall_ms = get_bounded(in, max_ms);
    l->memory_bytes = get_bounded(in, max_bytes);
    l->stack_bytes = get_bounded(in, max_bytes);
    l->tmp_bytes = get_bounded(in, max_bytes);
    l->output_bytes = get_bounded(in, 64ull << 20);
    l->file_bytes = get_bounded(in, max_bytes);
    l->tasks = bx_get_u32(in);
    l->files = bx_get_u32(in);
    l->flags = bx_get_u32(in);
    if (l->tasks == 0 || l->tasks > 4096 || l->files < 8 || l->files > 65536 || l->cpu_ms == 0 ||
        l->wall_ms == 0 || l->flags > 15)
        in->is_bad = true;
}

static bool is_done(const bx_in *in)
{
    return !in->is_bad && in->at == in->n;
}

/* A name that can stand behind "/box/" and mean nothing else. */
static bool is_plain_name(const char *z)
{
    if (z[0] == '\0' || z[0] == '.')
        return false;
    for (; *z != '\0'; z++)
        if (!((*z >= 'a' && *z <= 'z') || (*z >= 'A' && *z <= 'Z') || (*z >= '0' && *z <= '9') ||
              *z == '.' || *z == '-' || *z == '_'))
            return false;
    return true;
}

static void get_text(bx_in *in, char *z, size_t cap)
{
    size_t n = 0;
    const uint8_t *p = bx_get_bytes(in, &n);
    if (p == NULL || n >= cap || memchr(p, 0, n) != NULL) {
        in->is_bad = true;
        z[0] = '\0';
        return;
    }
    memcpy(z, p, n);
    z[n] = '\0';
}

bool bx_get_open(bx_open *o, const uint8_t *p, size_t n)
{
    bx_in in = {.p = p, .n = n};
    memset(o, 0, sizeof *o);
    o->kind = bx_get_u32(&in);
    get_limits(&in, &o->limits);
    o->n_files = bx_get_u32(&in);
    o->n_args = bx_get_u32(&in);
    if (in.is_bad || (o->kind != BX_EXEC && o->kind != BX_PYTHON) || o->n_files > BX_MAX_FILES ||
        o->n_args == 0 || o->n_args > BX_MAX_ARGS)
        return false;
    for (uint32_t i = 0; i < o->n_files; i++) {
        bx_file *f = &o->files[i];
        get_text(&in, f->name, sizeof f->name);
        f->mode = bx_get_u32(&in);
        f->p = bx_get_bytes(&in, &f->n);
        if (in.is_bad || !is_plain_name(f->name) || f->mode > 0777)
            return false;
    }
    for (uint32_t i = 0; i < o->n_args; i++)
        get_text(&in, o->args[i], sizeof o->args[i]);
    return is_done(&in);
}

bool bx_get_test(bx_limits *l, const uint8_t **input, size_t *n_input, const uint8_t **program,
                 size_t *n_program, const uint8_t *p, size_t n)
{
    bx_in in = {.p = p, .n = n};
    get_limits(&in, l);
    *input = bx_get_bytes(&in, n_input);
    *program = bx_get_bytes(&in, n_program);
    return is_done(&in);
}

bool bx_get_result(bx_record *r, const uint8_t **output, size_t *n_output, const uint8_t **errors,
                   size_t *n_errors, const uint8_t *p, size_t n)
{
    bx_in in = {.p = p, .n = n};
    r->act = bx_get_u32(&in);
    r->step = bx_get_u32(&in);
    r->error = bx_get_u32(&in);
    r->status = bx_get_u32(&in);
    r->cpu_us = bx_get_u64(&in);
    r->wall_us = bx_get_u64(&in);
    r->waited_us = bx_get_u64(&in);
    r->peak_bytes = bx_get_u64(&in);
    r->output_bytes = bx_get_u64(&in);
    r->error_bytes = bx_get_u64(&in);
    r->is_oom = bx_get_u32(&in);
    *output = bx_get_bytes(&in, n_output);
    *errors = bx_get_bytes(&in, n_errors);
    if (r->act >= BX_N_ACTS || r->step >= BX_N_STEPS || r->is_oom > 1 || r->error > 4096 ||
        *n_errors > BX_STDERR_HEAD ||
        (r->cpu_us | r->wall_us | r->waited_us | r->peak_bytes) >> 62 != 0)
        return false;
    return is_done(&in);
}

bool bx_get_status(bx_status *s, const uint8_t *p, size_t n)
{
    bx_in in = {.p = p, .n = n};
    s->step = bx_get_u32(&in);
    s->error = bx_get_u32(&in);
    s->clone_flags = bx_get_u32(&in);
    s->cgroup = bx_get_u32(&in);
    s->can_limit_memory = bx_get_u32(&in);
    s->can_count_cpu = bx_get_u32(&in);
    s->is_root = bx_get_u32(&in);
    s->has_proc = bx_get_u32(&in);
    return is_done(&in) && s->step < BX_N_STEPS && s->error <= 4096 && s->cgroup <= 2;
}
