#include "engine/gguf_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "engine/show.h"

enum { ALIGNMENT = 32, VERSION = 3, SINK_BYTES = 1 << 20 };

/* ---- values ---------------------------------------------------------------------------------- */

void g4_gguf_values_init(g4_gguf_values *v, size_t max_bytes)
{
    as_buf_init(&v->bytes, max_bytes);
    v->n = 0;
}

void g4_gguf_values_release(g4_gguf_values *v)
{
    as_buf_release(&v->bytes);
}

/* Little-endian, the low `bytes` bytes. */
static void add_number(as_buf *b, uint64_t value, int bytes)
{
    char z[8];
    for (int i = 0; i < bytes; i++)
        z[i] = (char)(value >> 8 * i & 0xFF);
    (void)as_buf_add(b, (as_str){z, (size_t)bytes});
}

static void add_str(as_buf *b, as_str text)
{
    add_number(b, text.n, 8);
    (void)as_buf_add(b, text);
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static void begin(g4_gguf_values *v, as_str key, g4_value_type type)
{
    add_str(&v->bytes, key);
    add_number(&v->bytes, (uint64_t)type, 4);
    v->n++;
}

void g4_gguf_put_str(g4_gguf_values *v, const char *key, as_str text)
{
    begin(v, as_str_of(key), G4_VALUE_STR);
    add_str(&v->bytes, text);
}

void g4_gguf_put_u32(g4_gguf_values *v, const char *key, uint32_t value)
{
    begin(v, as_str_of(key), G4_VALUE_U32);
    add_number(&v->bytes, value, 4);
}

void g4_gguf_put_i32(g4_gguf_values *v, const char *key, int32_t value)
{
    begin(v, as_str_of(key), G4_VALUE_I32);
    g4_gguf_add_i32(v, value);
}

void g4_gguf_put_f32(g4_gguf_values *v, const char *key, float value)
{
    begin(v, as_str_of(key), G4_VALUE_F32);
    g4_gguf_add_f32(v, value);
}

void g4_gguf_put_bool(g4_gguf_values *v, const char *key, bool value)
{
    begin(v, as_str_of(key), G4_VALUE_BOOL);
    g4_gguf_add_bool(v, value);
}

void g4_gguf_put_array(g4_gguf_values *v, const char *key, g4_value_type type, uint64_t n)
{
    begin(v, as_str_of(key), G4_VALUE_ARRAY);
    add_number(&v->bytes, (uint64_t)type, 4);
    add_number(&v->bytes, n, 8);
}

void g4_gguf_add_str(g4_gguf_values *v, as_str text)
{
    add_str(&v->bytes, text);
}

void g4_gguf_add_str_pair(g4_gguf_values *v, as_str left, as_str right)
{
    add_number(&v->bytes, left.n + right.n + 1, 8);
    (void)as_buf_add(&v->bytes, left);
    (void)as_buf_add_byte(&v->bytes, ' ');
    (void)as_buf_add(&v->bytes, right);
}

void g4_gguf_add_i32(g4_gguf_values *v, int32_t value)
{
    add_number(&v->bytes, (uint32_t)value, 4);
}

void g4_gguf_add_f32(g4_gguf_values *v, float value)
{
    add_number(&v->bytes, bits_of(value), 4);
}

void g4_gguf_add_bool(g4_gguf_values *v, bool value)
{
    add_number(&v->bytes, value ? 1 : 0, 1);
}

void g4_gguf_put_value(g4_gguf_values *v, const g4_value *value)
{
    begin(v, value->key, value->is_array ? G4_VALUE_ARRAY : value->type);
    if (value->is_array) {
        add_number(&v->bytes, (uint64_t)value->type, 4);
        add_number(&v->bytes, value->n, 8);
    }
    (void)as_buf_add(&v->bytes, (as_str){(const char *)value->p, value->bytes});
}

static void add_header(as_buf *out, const g4_gguf_values *v, size_t n_tensors)
{
    (void)as_buf_add(out, AS_STR("GGUF"));
    add_number(out, VERSION, 4);
    add_number(out, n_tensors, 8);
    add_number(out, v->n, 8);
    (void)as_buf_add(out, as_buf_str(&v->bytes));
}

as_code g4_gguf_image(as_buf *out, const g4_gguf_values *v, as_err *err)
{
    AS_TRY(as_buf_ok(&v->bytes, err));
    add_header(out, v, 0);
    return as_buf_ok(out, err);
}

/* ---- the file -------------------------------------------------------------------------------- */

struct g4_gguf_sink {
    const char *path;
    int fd;
    uint64_t at; /* bytes written or waiting */
    char *waiting;
    size_t n_waiting;
};

static as_code write_all(g4_gguf_sink *s, const char *p, size_t n, as_err *err)
{
    while (n > 0) {
        const ssize_t done = write(s->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return as_fail_sys(err, "%s: cannot be written", s->path);
        p += done;
        n -= (size_t)done;
    }
    return AS_OK;
}

static as_code flush(g4_gguf_sink *s, as_err *err)
{
    const size_t n = s->n_waiting;
    s->n_waiting = 0;
    return write_all(s, s->waiting, n, err);
}

as_code g4_gguf_sink_add(g4_gguf_sink *s, const void *p, size_t n, as_err *err)
{
    s->at += n;
    if (n > SINK_BYTES - s->n_waiting)
        AS_TRY(flush(s, err));
    if (n >= SINK_BYTES)
        return write_all(s, p, n, err);
    if (n > 0)
        memcpy(s->waiting + s->n_waiting, p, n);
    s->n_waiting += n;
    return AS_OK;
}

static as_code pad(g4_gguf_sink *s, as_err *err)
{
    static const char zeros[ALIGNMENT];
    return g4_gguf_sink_add(s, zeros, (size_t)((ALIGNMENT - s->at % ALIGNMENT) % ALIGNMENT), err);
}

/* Values and the table of tensors; *total is the size of the whole file. */
static as_code build_header(as_buf *out, const g4_gguf_values *v, const g4_tensor *tensors,
                            size_t n, uint64_t *total, as_err *err)
{
    AS_TRY(as_buf_ok(&v->bytes, err));
    add_header(out, v, n);
    uint64_t offset = 0;
    for (size_t i = 0; i < n; i++) {
        const g4_tensor *t = &tensors[i];
        add_str(out, t->name);
        add_number(out, (uint64_t)t->n_dims, 4);
        for (int d = 0; d < t->n_dims; d++)
            add_number(out, (uint64_t)t->ne[d], 8);
        add_number(out, (uint64_t)t->type, 4);
        add_number(out, offset, 8);
        offset += (t->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    *total = (out->n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + offset;
    return as_buf_ok(out, err);
}

static as_code check_space(const char *path, int fd, uint64_t total, as_err *err)
{
    struct statvfs fs;
    if (fstatvfs(fd, &fs) != 0)
        return AS_OK; /* not known: the writing will tell */
    const uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (total <= room)
        return AS_OK;
    const as_code c = as_fail(err, AS_IO, "%s: needs %s bytes, the disk has %s left", path,
                              g4_show_count(total).z, g4_show_count(room).z);
    if (err != NULL)
        err->sys = ENOSPC;
    return c;
}

typedef struct body {
    as_str header;
    uint64_t total; /* bytes of the file */
    const g4_tensor *tensors;
    size_t n;
    g4_gguf_fill fill;
    void *user;
} body;

static as_code write_body(g4_gguf_sink *s, const body *b, as_err *err)
{
    AS_TRY(g4_gguf_sink_add(s, b->header.p, b->header.n, err));
    AS_TRY(pad(s, err));
    for (size_t i = 0; i < b->n; i++) {
        const g4_tensor *t = &b->tensors[i];
        const uint64_t start = s->at;
        AS_TRY(b->fill(b->user, i, s, err));
        if (s->at - start != t->bytes)
            return as_fail(err, AS_BUG, "%s: tensor %s came with %s bytes, want %s", s->path,
                           g4_show(t->name).z, g4_show_count(s->at - start).z,
                           g4_show_count(t->bytes).z);
        AS_TRY(pad(s, err));
    }
    AS_TRY(flush(s, err));
    return fsync(s->fd) == 0 ? AS_OK : as_fail_sys(err, "%s: cannot be written", s->path);
}

static as_code write_part(const char *path, const char *part, const body *b, as_err *err)
{
    char *waiting = malloc(SINK_BYTES);
    if (waiting == NULL)
        return as_nomem(err);
    g4_gguf_sink s = {.path = path, .waiting = waiting};
    s.fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (s.fd < 0) {
        free(waiting);
        return as_fail_sys(err, "%s: cannot be made", part);
    }
    as_code c = check_space(path, s.fd, b->total, err);
    if (c == AS_OK)
        c = write_body(&s, b, err);
    if (close(s.fd) != 0 && c == AS_OK)
        c = as_fail_sys(err, "%s: cannot be written", path);
    if (c == AS_OK && rename(part, path) != 0)
        c = as_fail_sys(err, "%s: cannot be put in its place", path);
    if (c != AS_OK)
        (void)unlink(part);
    free(waiting);
    return c;
}

as_code g4_gguf_write(const char *path, const g4_gguf_values *v, const g4_tensor *tensors, size_t n,
                      g4_gguf_fill fill, void *user, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_buf header;
    as_buf_init(&header, v->bytes.n + 128 + n * 160);
    body b = {.tensors = tensors, .n = n, .fill = fill, .user = user};
    as_code c = build_header(&header, v, tensors, n, &b.total, err);
    const as_str part = as_arena_printf(&scratch, "%s.part", path);
    if (c == AS_OK && part.p == NULL)
        c = as_nomem(err);
    b.header = as_buf_str(&header);
    if (c == AS_OK)
        c = write_part(path, part.p, &b, err);
    as_buf_release(&header);
    as_arena_release(&scratch);
    return c;
}
