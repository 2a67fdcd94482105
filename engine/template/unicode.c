/*
 * unicode.c — code points: classes, case, counting. All texts are valid UTF-8.
 */
#include "engine/template/impl.h"
#include "engine/template/unicode_tables.h"

#include "base/utf8.h"

unsigned tp_classes(uint32_t code)
{
    size_t lo = 0, hi = tp_class_ranges_n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (tp_class_ranges[mid].last < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < tp_class_ranges_n && tp_class_ranges[lo].first <= code ? tp_class_ranges[lo].classes
                                                                       : 0;
}

static int find_full(const tp_case_full *v, size_t n, uint32_t code, uint32_t out[3])
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid].code < code)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == n || v[lo].code != code)
        return 0;
    memcpy(out, v[lo].to, sizeof v[lo].to);
    return v[lo].n;
}

/* Ranges may interleave (stride 2), so the search goes back over the neighbours. */
static int find_range(const tp_case_range *v, size_t n, uint32_t code, uint32_t out[3])
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (v[mid].first <= code)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (size_t i = lo; i > 0 && i + 4 > lo; i--) {
        const tp_case_range *c = &v[i - 1];
        if (code <= c->last && (code - c->first) % c->stride == 0) {
            out[0] = (uint32_t)((int32_t)code + c->delta);
            return 1;
        }
    }
    return 0;
}

int tp_map_case(uint32_t code, int how, uint32_t out[3])
{
    const bool is_lower = how == TP_TO_LOWER || how == TP_TO_FOLD;
    int n = 0;
    out[0] = code;
    if (code < 0x80) {
        const uint32_t letter = code | 0x20;
        if (letter >= 'a' && letter <= 'z')
            out[0] = is_lower ? letter : letter & ~UINT32_C(0x20);
        return 1;
    }
    if (how == TP_TO_TITLE || how == TP_TO_FOLD) {
        const bool is_fold = how == TP_TO_FOLD;
        n = is_fold ? find_full(tp_fold_full, tp_fold_full_n, code, out)
                    : find_full(tp_title_full, tp_title_full_n, code, out);
        if (n == 0)
            n = is_fold ? find_range(tp_fold_ranges, tp_fold_ranges_n, code, out)
                        : find_range(tp_title_ranges, tp_title_ranges_n, code, out);
    }
    if (n == 0)
        n = is_lower ? find_full(tp_lower_full, tp_lower_full_n, code, out)
                     : find_full(tp_upper_full, tp_upper_full_n, code, out);
    if (n == 0)
        n = is_lower ? find_range(tp_lower_ranges, tp_lower_ranges_n, code, out)
                     : find_range(tp_upper_ranges, tp_upper_ranges_n, code, out);
    return n > 0 ? n : 1;
}

bool tp_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

size_t tp_chars(as_str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

size_t tp_char_offset(as_str s, size_t n_chars, size_t index)
{
    if (index >= n_chars)
        return s.n;
    if (n_chars == s.n)
        return index;
    size_t at = 0;
    for (size_t i = 0; i < index; i++)
        for (at++; at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80;)
            at++;
    return at;
}

uint32_t tp_decode(as_str s, size_t *len)
{
    uint32_t code = 0xFFFD;
    *len = as_utf8_decode(s, &code);
    if (*len == 0) {
        *len = 1;
        return 0xFFFD;
    }
    return code;
}
