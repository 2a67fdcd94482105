#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_MIN = 4096, CHUNK_MAX = 1 << 20, ALIGN_MAX = 64 };
static const size_t default_limit_bytes = (size_t)1 << 30;

struct as_arena_chunk {
    as_arena_chunk *older;
    size_t cap;    /* bytes behind the header */
    size_t used;   /* of cap */
    size_t before; /* used bytes of all older chunks: makes marks plain numbers */
};

static _Thread_local size_t fail_countdown;

void as_arena_fail_after(size_t n)
{
    fail_countdown = n;
}

/* Chunk memory starts at an address of ALIGN_MAX, so offsets and addresses align alike. */
static size_t header_bytes(void)
{
    return (sizeof(as_arena_chunk) + ALIGN_MAX - 1) / ALIGN_MAX * ALIGN_MAX;
}

static unsigned char *chunk_base(as_arena_chunk *c)
{
    return (unsigned char *)c + header_bytes();
}

void as_arena_init(as_arena *a, size_t limit_bytes)
{
    *a = (as_arena){.limit_bytes = limit_bytes != 0 ? limit_bytes : default_limit_bytes};
}

void as_arena_release(as_arena *a)
{
    if (a == NULL)
        return;
    while (a->head != NULL) {
        as_arena_chunk *older = a->head->older;
        free(a->head);
        a->head = older;
    }
    a->held_bytes = 0;
}

static as_arena_chunk *add_chunk(as_arena *a, size_t need)
{
    size_t cap = a->held_bytes < CHUNK_MIN ? CHUNK_MIN : a->held_bytes;
    if (cap > CHUNK_MAX)
        cap = CHUNK_MAX;
    if (cap < need)
        cap = need;
    if (a->held_bytes >= a->limit_bytes || cap > a->limit_bytes - a->held_bytes) {
        cap = a->limit_bytes > a->held_bytes ? a->limit_bytes - a->held_bytes : 0;
        if (cap < need)
            return NULL;
    }
    if (cap > SIZE_MAX - header_bytes() - ALIGN_MAX)
        return NULL;
    const size_t total = (cap + header_bytes() + ALIGN_MAX - 1) / ALIGN_MAX * ALIGN_MAX;
    as_arena_chunk *c = aligned_alloc(ALIGN_MAX, total);
    if (c == NULL)
        return NULL;
    *c = (as_arena_chunk){.older = a->head, .cap = cap};
    if (a->head != NULL)
        c->before = a->head->before + a->head->used;
    a->head = c;
    a->held_bytes += cap;
    return c;
}

void *as_arena_alloc(as_arena *a, size_t bytes, size_t align)
{
    assert(align != 0 && align <= ALIGN_MAX && (align & (align - 1)) == 0);
    if (fail_countdown != 0 && --fail_countdown == 0)
        return NULL;
    if (bytes == 0)
        bytes = 1;
    as_arena_chunk *c = a->head;
    size_t at = c != NULL ? (c->used + align - 1) / align * align : 0;
    if (c == NULL || at > c->cap || bytes > c->cap - at) {
        c = add_chunk(a, bytes);
        if (c == NULL)
            return NULL;
        at = 0;
    }
    c->used = at + bytes;
    void *p = chunk_base(c) + at;
    memset(p, 0, bytes);
    return p;
}

void *as_arena_alloc_n(as_arena *a, size_t n, size_t size, size_t align)
{
    if (size != 0 && n > SIZE_MAX / size)
        return NULL;
    return as_arena_alloc(a, n * size, align);
}

size_t as_arena_mark(const as_arena *a)
{
    return a->head != NULL ? a->head->before + a->head->used : 0;
}

void as_arena_rewind(as_arena *a, size_t mark)
{
    while (a->head != NULL && a->head->before >= mark && a->head->older != NULL) {
        as_arena_chunk *c = a->head;
        a->head = c->older;
        a->held_bytes -= c->cap;
        free(c);
    }
    if (a->head != NULL) {
        assert(mark >= a->head->before && mark <= a->head->before + a->head->used);
        a->head->used = mark - a->head->before;
    }
}

as_str as_arena_str(as_arena *a, as_str s)
{
    char *p = as_arena_alloc(a, s.n + 1, 1);
    if (p == NULL)
        return (as_str){0};
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    return (as_str){p, s.n};
}

as_str as_arena_printf(as_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    as_str out = {0};
    char *p = n >= 0 ? as_arena_alloc(a, (size_t)n + 1, 1) : NULL;
    if (p != NULL) {
        (void)vsnprintf(p, (size_t)n + 1, fmt, again);
        out = (as_str){p, (size_t)n};
    }
    va_end(again);
    return out;
}
