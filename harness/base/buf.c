#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t default_max_bytes = (size_t)64 << 20;

void as_buf_init(as_buf *b, size_t max_bytes)
{
    *b = (as_buf){.max_bytes = max_bytes != 0 ? max_bytes : default_max_bytes};
}

void as_buf_release(as_buf *b)
{
    if (b == NULL)
        return;
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

void as_buf_reset(as_buf *b)
{
    b->n = 0;
    b->is_full = false;
    if (b->p != NULL)
        b->p[0] = '\0';
}

char *as_buf_reserve(as_buf *b, size_t n)
{
    if (b->is_full || n > b->max_bytes || b->n > b->max_bytes - n) {
        b->is_full = true;
        return NULL;
    }
    const size_t need = b->n + n + 1;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        char *p = realloc(b->p, cap);
        if (p == NULL) {
            b->is_full = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

as_code as_buf_add(as_buf *b, as_str s)
{
    char *to = as_buf_reserve(b, s.n);
    if (to == NULL)
        return AS_NOMEM;
    if (s.n != 0)
        memcpy(to, s.p, s.n);
    b->n += s.n;
    b->p[b->n] = '\0';
    return AS_OK;
}

as_code as_buf_add_z(as_buf *b, const char *z)
{
    return as_buf_add(b, as_str_of(z));
}

as_code as_buf_add_byte(as_buf *b, char c)
{
    return as_buf_add(b, (as_str){&c, 1});
}

as_code as_buf_printf(as_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    as_code c = AS_NOMEM;
    if (n >= 0) {
        char *to = as_buf_reserve(b, (size_t)n);
        if (to != NULL) {
            (void)vsnprintf(to, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
            c = AS_OK;
        }
    }
    va_end(again);
    return c;
}

void as_buf_drop(as_buf *b, size_t n)
{
    if (n > b->n)
        n = b->n;
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = '\0';
}

as_str as_buf_str(const as_buf *b)
{
    return (as_str){b->p != NULL ? b->p : "", b->n};
}

as_code as_buf_ok(const as_buf *b, as_err *err)
{
    if (!b->is_full)
        return AS_OK;
    return as_fail(err, AS_NOMEM, "text grew past its limit of %zu bytes", b->max_bytes);
}

void *as_grow(void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return p;
    size_t more = 16, bytes = 0;
    if (*cap != 0 && !as_mul_size(*cap, 2, &more))
        return NULL;
    void *grown = as_mul_size(more, size, &bytes) ? realloc(p, bytes) : NULL;
    if (grown != NULL)
        *cap = more;
    return grown;
}
