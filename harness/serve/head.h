#ifndef SERVE_HEAD_H
#define SERVE_HEAD_H
/*
 * head.h — the head of an HTTP/1.1 request, and bodies sent in chunks (RFC 9112).
 *
 * Strict     what two readers could read differently is refused: a blank before the colon, folded
 *            lines, two lengths, a length beside chunks, control bytes. A bare LF ends a line too.
 * Errors     a status for the reply (400, 417, 431, 501, 505) and one sentence.
 * Ownership  names and values borrow from the bytes passed in.
 * Threads    pure.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { SV_MAX_HEADERS = 64 };

typedef struct sv_header {
    as_str name, value;
} sv_header;

typedef struct sv_head {
    as_str method;
    as_str target; /* as sent */
    as_str path;   /* the part before "?" */
    as_str query;  /* the part behind it */
    sv_header headers[SV_MAX_HEADERS];
    int n_headers;
    bool is_http10;
    bool keep_alive;
    bool is_chunked;
    bool wants_continue;
    size_t body_bytes; /* Content-Length, 0 without one */
} sv_head;

/* Bytes up to and with the empty line, or 0 if it has not come yet. from: how far was looked. */
size_t sv_head_end(as_str bytes, size_t from);
/* bytes: a whole head. On failure *status is what to answer. */
as_code sv_head_parse(sv_head *out, as_str bytes, int *status, as_err *err);
/* The first header of that name (any case), or {NULL, 0}. */
as_str sv_head_get(const sv_head *head, const char *name);
/* The value of NAME=… in the query, as sent, or {NULL, 0}. */
as_str sv_query_get(as_str query, const char *name);

typedef struct sv_chunked {
    enum { SV_CHUNK_SIZE, SV_CHUNK_DATA, SV_CHUNK_DATA_END, SV_CHUNK_TRAILER, SV_CHUNK_DONE } state;
    size_t left; /* of the chunk's data */
    size_t trailer_bytes;
} sv_chunked;

/* Takes what it can from bytes, appends data to out (whose limit is the body's), tells how many
 * bytes it used. Done when state is SV_CHUNK_DONE. */
as_code sv_chunked_feed(sv_chunked *c, as_str bytes, as_buf *out, size_t *used, int *status,
                        as_err *err);

#endif
