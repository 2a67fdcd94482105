#ifndef BASE_ARENA_H
#define BASE_ARENA_H
/*
 * arena.h — memory by lifetime: many small allocations, freed together.
 *
 * Use        Bump allocation in chunks that grow from 4 KiB to 1 MiB; a hard limit in bytes; no
 *            free of single objects. Mark and rewind give back what came after the mark.
 * Errors     as_arena_alloc returns NULL at the limit or when the system refuses memory; callers
 *            turn that into as_nomem(err).
 * Ownership  the arena owns all it returned; pointers live until rewind past them or release.
 * Threads    one arena, one thread at a time.
 * Testing    as_arena_fail_after(n) makes the n-th allocation from now on fail (0 switches off);
 *            the counter is per thread. Failure-injection tests walk n = 1, 2, 3 …
 */
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

typedef struct as_arena_chunk as_arena_chunk;

typedef struct as_arena {
    as_arena_chunk *head; /* newest chunk */
    size_t limit_bytes;   /* of all chunks together */
    size_t held_bytes;    /* capacity of all chunks */
} as_arena;

/* limit_bytes 0 means 1 GiB. Allocates nothing yet. */
void as_arena_init(as_arena *a, size_t limit_bytes);
void as_arena_release(as_arena *a);

/* Zeroed memory; align is a power of two up to 64; bytes 0 gives a valid unique-ish pointer. */
void *as_arena_alloc(as_arena *a, size_t bytes, size_t align);
/* The same with n * size checked against overflow. */
void *as_arena_alloc_n(as_arena *a, size_t n, size_t size, size_t align);

size_t as_arena_mark(const as_arena *a);
void as_arena_rewind(as_arena *a, size_t mark);

/* Copies; the result is NUL-terminated behind its n bytes. p is NULL when memory ran out. */
as_str as_arena_str(as_arena *a, as_str s);
as_str as_arena_printf(as_arena *a, const char *fmt, ...) AS_PRINTF(2, 3);

#define as_new(a, type, n)                                                                         \
    ((type *)as_arena_alloc_n((a), (size_t)(n), sizeof(type), _Alignof(type)))

static inline as_code as_nomem(as_err *err)
{
    return as_fail(err, AS_NOMEM, "out of memory, or a size limit was reached");
}

void as_arena_fail_after(size_t n);

#endif
