#define _GNU_SOURCE /* memmem, strtod_l, newlocale */
#include "base/str.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

bool as_str_eq(as_str a, as_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool as_str_eq_z(as_str a, const char *z)
{
    return as_str_eq(a, as_str_of(z));
}

int as_str_cmp(as_str a, as_str b)
{
    const size_t n = a.n < b.n ? a.n : b.n;
    const int c = n != 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

bool as_str_starts(as_str s, as_str prefix)
{
    return s.n >= prefix.n && as_str_eq((as_str){s.p, prefix.n}, prefix);
}

bool as_str_ends(as_str s, as_str suffix)
{
    return s.n >= suffix.n && as_str_eq((as_str){s.p + (s.n - suffix.n), suffix.n}, suffix);
}

size_t as_str_find(as_str s, as_str needle)
{
    if (needle.n == 0)
        return 0;
    if (s.n < needle.n)
        return SIZE_MAX;
    const char *hit = memmem(s.p, s.n, needle.p, needle.n);
    return hit != NULL ? (size_t)(hit - s.p) : SIZE_MAX;
}

size_t as_str_rfind(as_str s, as_str needle)
{
    if (needle.n == 0)
        return s.n;
    for (size_t i = s.n >= needle.n ? s.n - needle.n + 1 : 0; i-- > 0;)
        if (memcmp(s.p + i, needle.p, needle.n) == 0)
            return i;
    return SIZE_MAX;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

as_str as_str_trim(as_str s)
{
    while (s.n != 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n != 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

as_str as_str_sub(as_str s, size_t from, size_t to)
{
    if (to > s.n)
        to = s.n;
    if (from > to)
        from = to;
    return (as_str){s.p != NULL ? s.p + from : NULL, to - from};
}

bool as_str_cut(as_str s, char sep, as_str *head, as_str *tail)
{
    const char *hit = s.n != 0 ? memchr(s.p, sep, s.n) : NULL;
    if (hit == NULL) {
        *head = s;
        *tail = (as_str){0};
        return false;
    }
    const size_t at = (size_t)(hit - s.p);
    *head = (as_str){s.p, at};
    *tail = (as_str){hit + 1, s.n - at - 1};
    return true;
}

bool as_parse_u64(as_str s, uint64_t *out)
{
    if (s.n == 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (c < '0' || c > '9')
            return false;
        const unsigned digit = (unsigned)(c - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool as_parse_i64(as_str s, int64_t min, int64_t max, int64_t *out)
{
    const bool is_negative = s.n != 0 && s.p[0] == '-';
    if (is_negative || (s.n != 0 && s.p[0] == '+')) {
        s.p++;
        s.n--;
    }
    uint64_t u = 0;
    if (!as_parse_u64(s, &u))
        return false;
    if (u > (uint64_t)INT64_MAX + (is_negative ? 1u : 0u))
        return false;
    int64_t v = 0;
    if (!is_negative)
        v = (int64_t)u;
    else
        v = u > (uint64_t)INT64_MAX ? INT64_MIN : -(int64_t)u;
    if (v < min || v > max)
        return false;
    *out = v;
    return true;
}

bool as_parse_f64(as_str s, double *out)
{
    enum { LONGEST = 64 };
    char z[LONGEST + 1];
    if (s.n == 0 || s.n > LONGEST)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        const bool is_ok =
            (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
        if (!is_ok)
            return false;
        z[i] = c;
    }
    z[s.n] = '\0';
    static locale_t c_locale;
    locale_t loc = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
    if (loc == (locale_t)0) {
        locale_t made = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        locale_t none = (locale_t)0;
        if (__atomic_compare_exchange_n(&c_locale, &none, made, 0, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            loc = made;
        } else {
            freelocale(made);
            loc = none;
        }
    }
    char *end = NULL;
    const double v = strtod_l(z, &end, loc);
    if (end != z + s.n || !isfinite(v))
        return false;
    *out = v;
    return true;
}

int as_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool as_parse_hex(as_str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n < 1 || s.n > 16)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const int d = as_hex_digit(s.p[i]);
        if (d < 0)
            return false;
        v = v << 4 | (uint64_t)d;
    }
    *out = v;
    return true;
}

bool as_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool as_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
