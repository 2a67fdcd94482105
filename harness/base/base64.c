#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

as_code as_base64_add(as_buf *out, as_str bytes)
{
    char *p = as_buf_reserve(out, bytes.n / 3 * 4 + 4);
    if (p == NULL)
        return AS_NOMEM;
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        const size_t left = bytes.n - i;
        const uint32_t a = (unsigned char)bytes.p[i];
        const uint32_t b = left > 1 ? (unsigned char)bytes.p[i + 1] : 0;
        const uint32_t c = left > 2 ? (unsigned char)bytes.p[i + 2] : 0;
        const uint32_t v = a << 16 | b << 8 | c;
        p[n++] = digits[v >> 18];
        p[n++] = digits[v >> 12 & 63];
        p[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
        p[n++] = left > 2 ? digits[v & 63] : '=';
    }
    out->n += n;
    out->p[out->n] = '\0';
    return AS_OK;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

as_code as_base64_next(as_str text, size_t *at, uint8_t *bytes, size_t max, size_t *n, as_err *err)
{
    *n = 0;
    while (*n + 3 <= max && *at < text.n) {
        int d[4] = {0, 0, 0, 0};
        size_t n_digits = 0;
        for (size_t i = 0; i < 4 && *at + i < text.n && text.p[*at + i] != '='; i++, n_digits++)
            if ((d[i] = digit(text.p[*at + i])) < 0)
                return as_fail(err, AS_PARSE, "base64: byte 0x%02x at offset %zu is no digit",
                               (uint8_t)text.p[*at + i], *at + i);
        const bool is_last = *at + 4 == text.n;
        const bool is_padded =
            n_digits == 4 || (is_last && n_digits >= 2 && text.p[text.n - 1] == '=');
        if (!is_padded || *at + 4 > text.n)
            return as_fail(err, AS_PARSE, "base64: bad padding at offset %zu", *at);
        const uint32_t v = ((uint32_t)d[0] << 18) | ((uint32_t)d[1] << 12) | ((uint32_t)d[2] << 6) |
                           (uint32_t)d[3];
        for (size_t i = 0; i + 1 < n_digits; i++)
            bytes[(*n)++] = (uint8_t)(v >> (16 - 8 * i));
        *at += 4;
    }
    return AS_OK;
}
