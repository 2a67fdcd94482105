#ifndef BASE_BUF_H
#define BASE_BUF_H
/*
 * buf.h — growable bytes with a maximum size.
 *
 * Errors     every append returns AS_NOMEM when the maximum or the system's memory is reached; the
 *            buffer then keeps what it had. Once an append failed, is_full stays set, so a caller
 *            may append many times and look once at the end (as_buf_ok).
 * Ownership  owns its bytes; as_buf_str borrows them until the next change. Always NUL-terminated.
 * Threads    one buffer, one thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct as_buf {
    char *p;
    size_t n;
    size_t cap;
    size_t max_bytes;
    bool is_full;
} as_buf;

/* max_bytes 0 means 64 MiB. Allocates nothing yet. */
void as_buf_init(as_buf *b, size_t max_bytes);
void as_buf_release(as_buf *b);
void as_buf_reset(as_buf *b); /* empty, keeps capacity, clears is_full */

as_code as_buf_add(as_buf *b, as_str s);
as_code as_buf_add_z(as_buf *b, const char *z);
as_code as_buf_add_byte(as_buf *b, char c);
as_code as_buf_printf(as_buf *b, const char *fmt, ...) AS_PRINTF(2, 3);
/* Room for n more bytes behind b->n; write there, then add to b->n. NULL when refused. */
char *as_buf_reserve(as_buf *b, size_t n);
/* Drops the first n bytes. */
void as_buf_drop(as_buf *b, size_t n);

as_str as_buf_str(const as_buf *b);
/* AS_OK, or AS_NOMEM with the limit named. */
as_code as_buf_ok(const as_buf *b, as_err *err);

/* Arrays of anything: room for entry n, which is p itself if n < *cap, else p moved to twice the
 * capacity. NULL: memory was refused, p and *cap stay. The array is the caller's (free). */
void *as_grow(void *p, size_t n, size_t *cap, size_t size);

#endif
