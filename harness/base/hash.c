#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <unistd.h>

struct as_sha256_state {
    struct sha256_ctx ctx;
};

static as_sha256 finish(struct sha256_ctx *ctx)
{
    as_sha256 h;
    sha256_digest(ctx, sizeof h.b, h.b);
    return h;
}

as_sha256 as_sha256_of(as_str s)
{
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, s.n, (const uint8_t *)s.p);
    return finish(&ctx);
}

as_code as_sha256_file(as_sha256 *out, const char *path, as_err *err)
{
    enum { PIECE = 1 << 18 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return as_fail_sys(err, "%s", path);
    uint8_t *piece = malloc(PIECE);
    if (piece == NULL) {
        close(fd);
        return as_fail(err, AS_NOMEM, "%s: out of memory", path);
    }
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    as_code c = AS_OK;
    for (;;) {
        const ssize_t n = read(fd, piece, PIECE);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c = as_fail_sys(err, "%s", path);
            break;
        }
        sha256_update(&ctx, (size_t)n, piece);
    }
    if (c == AS_OK)
        *out = finish(&ctx);
    free(piece);
    close(fd);
    return c;
}

as_sha256_state *as_sha256_new(void)
{
    as_sha256_state *h = malloc(sizeof *h);
    if (h != NULL)
        sha256_init(&h->ctx);
    return h;
}

void as_sha256_add(as_sha256_state *h, as_str s)
{
    sha256_update(&h->ctx, s.n, (const uint8_t *)s.p);
}

void as_sha256_add_field(as_sha256_state *h, as_str s)
{
    uint8_t n[8];
    for (int i = 0; i < 8; i++)
        n[i] = (uint8_t)((uint64_t)s.n >> (8 * i));
    sha256_update(&h->ctx, sizeof n, n);
    as_sha256_add(h, s);
}

as_sha256 as_sha256_end(as_sha256_state *h)
{
    const as_sha256 out = finish(&h->ctx);
    free(h);
    return out;
}

void as_sha256_hex(char hex[AS_SHA256_HEX], const as_sha256 *h)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < AS_SHA256_BYTES; i++) {
        hex[i * 2] = digits[h->b[i] >> 4];
        hex[i * 2 + 1] = digits[h->b[i] & 15];
    }
    hex[AS_SHA256_HEX - 1] = '\0';
}

bool as_sha256_parse(as_sha256 *out, as_str hex)
{
    if (hex.n != AS_SHA256_HEX - 1)
        return false;
    as_sha256 h;
    for (size_t i = 0; i < AS_SHA256_BYTES; i++) {
        const int hi = as_hex_digit(hex.p[i * 2]);
        const int lo = as_hex_digit(hex.p[i * 2 + 1]);
        if (hi < 0 || lo < 0)
            return false;
        h.b[i] = (uint8_t)(hi << 4 | lo);
    }
    *out = h;
    return true;
}

uint64_t as_fnv1a(as_str s)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    return h;
}
