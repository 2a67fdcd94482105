#include "base/utf8.h"

size_t as_utf8_decode(as_str s, uint32_t *code)
{
    if (s.n == 0)
        return 0;
    const unsigned char *p = (const unsigned char *)s.p;
    if (p[0] < 0x80) {
        *code = p[0];
        return 1;
    }
    size_t n = 0;
    uint32_t c = 0;
    uint32_t smallest = 0;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        n = 2;
        c = p[0] & 0x1Fu;
        smallest = 0x80;
    } else if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        n = 3;
        c = p[0] & 0x0Fu;
        smallest = 0x800;
    } else if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        n = 4;
        c = p[0] & 0x07u;
        smallest = 0x10000;
    } else {
        return 0;
    }
    if (s.n < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if (c < smallest || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *code = c;
    return n;
}

size_t as_utf8_len(as_str s)
{
    uint32_t code = 0;
    return as_utf8_decode(s, &code);
}

size_t as_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

bool as_utf8_is_valid(as_str s)
{
    for (size_t i = 0; i < s.n;) {
        const size_t n = as_utf8_len(as_str_sub(s, i, s.n));
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

as_str as_utf8_cut(as_str s, size_t max_bytes)
{
    if (s.n <= max_bytes)
        return s;
    size_t n = max_bytes;
    for (size_t back = 0; back < 4 && back < n; back++) {
        const size_t at = n - back;
        if (((unsigned char)s.p[at] & 0xC0) == 0x80)
            continue;
        n = at;
        break;
    }
    return (as_str){s.p, n};
}

size_t as_utf8_complete(as_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.n; back++) {
        const unsigned char c = (unsigned char)s.p[s.n - back];
        if ((c & 0xC0) == 0x80)
            continue;
        const size_t want = c >= 0xF0 && c <= 0xF4  ? 4
                            : c >= 0xE0 && c < 0xF0 ? 3
                            : c >= 0xC2 && c < 0xE0 ? 2
                                                    : 1;
        return want > back ? s.n - back : s.n;
    }
    return s.n;
}

static bool is_in(uint32_t c, uint32_t lo, uint32_t hi)
{
    return c >= lo && c <= hi;
}

size_t as_utf8_width(as_str s)
{
    size_t width = 0;
    for (size_t i = 0; i < s.n;) {
        uint32_t c = 0;
        const size_t n = as_utf8_decode(as_str_sub(s, i, s.n), &c);
        if (n == 0) {
            width++;
            i++;
            continue;
        }
        i += n;
        if (is_in(c, 0x300, 0x36F) || is_in(c, 0x200B, 0x200F) || is_in(c, 0xFE00, 0xFE0F))
            continue;
        const bool is_wide = is_in(c, 0x1100, 0x115F) || is_in(c, 0x2E80, 0xA4CF) ||
                             is_in(c, 0xAC00, 0xD7A3) || is_in(c, 0xF900, 0xFAFF) ||
                             is_in(c, 0xFE30, 0xFE4F) || is_in(c, 0xFF00, 0xFF60) ||
                             is_in(c, 0x1F300, 0x1FAFF) || is_in(c, 0x20000, 0x3FFFD);
        width += is_wide ? 2 : 1;
    }
    return width;
}
