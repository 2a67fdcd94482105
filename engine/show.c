#include "engine/show.h"

#include <stdio.h>

#include "base/utf8.h"

enum { SHOWN_BYTES = 60 };

g4_shown g4_show(as_str s)
{
    g4_shown out = {{0}};
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        const as_str rest = {s.p + i, s.n - i};
        uint32_t code = 0;
        const size_t len = as_utf8_decode(rest, &code);
        const size_t take = len != 0 ? len : 1;
        if (n + take > SHOWN_BYTES) {
            memcpy(out.z + n, "...", 3); /* room: n ≤ 60, z holds 64 */
            break;
        }
        const bool is_plain = len != 0 && code >= 0x20 && !(code >= 0x7f && code < 0xa0) &&
                              !(code >= 0x2028 && code <= 0x202e);
        if (is_plain)
            memcpy(out.z + n, rest.p, len);
        else
            out.z[n] = '?';
        n += is_plain ? len : 1;
        i += take;
    }
    return out;
}

g4_shown g4_show_count(uint64_t n)
{
    char digits[32];
    const int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    g4_shown out = {{0}};
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i != 0 && (len - i) % 3 == 0)
            out.z[at++] = ',';
        out.z[at++] = digits[i];
    }
    return out;
}
