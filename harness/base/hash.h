#ifndef BASE_HASH_H
#define BASE_HASH_H
/*
 * hash.h — SHA-256 (nettle) of bytes and files: the identity of datasets, models, prompts.
 *
 * Errors     only files can fail; the message names the path.
 * Threads    pure, or one state per thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { AS_SHA256_BYTES = 32, AS_SHA256_HEX = 65 };

typedef struct as_sha256 {
    uint8_t b[AS_SHA256_BYTES];
} as_sha256;

typedef struct as_sha256_state as_sha256_state;

/* One call for one text. */
as_sha256 as_sha256_of(as_str s);
/* Of the bytes of a file, read in pieces. */
as_code as_sha256_file(as_sha256 *out, const char *path, as_err *err);

/* Piece by piece: _new, any number of _add, _end (which frees). _new returns NULL out of memory. */
as_sha256_state *as_sha256_new(void);
void as_sha256_add(as_sha256_state *h, as_str s);
/* The length first, then the bytes, so that ("ab","c") and ("a","bc") differ. */
void as_sha256_add_field(as_sha256_state *h, as_str s);
as_sha256 as_sha256_end(as_sha256_state *h);

/* 64 lower-case hex digits and a NUL. */
void as_sha256_hex(char hex[AS_SHA256_HEX], const as_sha256 *h);
/* Reads 64 hex digits of either case. */
bool as_sha256_parse(as_sha256 *out, as_str hex);

/* FNV-1a, 64 bits: for hash tables and seeds, never for identity. */
uint64_t as_fnv1a(as_str s);

#endif
