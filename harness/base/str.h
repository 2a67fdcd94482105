#ifndef BASE_STR_H
#define BASE_STR_H
/*
 * str.h — borrowed text, and numbers read from it with full checks.
 *
 * as_str is a pointer and a length; it need not end in NUL and may hold NUL bytes. It owns
 * nothing: whoever hands one out says how long the bytes stay valid. {NULL, 0} is the empty
 * text and also "absent"; as_str_is_set tells the two apart where it matters.
 *
 * Errors     parsing returns false and leaves *out alone unless the whole text is a number in
 *            range; leading or trailing blanks are not numbers. Locale never matters.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct as_str {
    const char *p;
    size_t n;
} as_str;

#define AS_STR(literal) ((as_str){"" literal, sizeof(literal) - 1})
#define AS_STR_INIT(literal)                                                                       \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
/* For printf: "%.*s", AS_ARG(s) */
#define AS_ARG(s) (int)((s).n > 0x7FFFFFF ? 0x7FFFFFF : (s).n), ((s).p != NULL ? (s).p : "")

static inline as_str as_str_of(const char *z)
{
    return (as_str){z, z != NULL ? strlen(z) : 0};
}

/* Whether c is one of the characters of the set; NUL never is. */
static inline bool as_is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static inline bool as_str_is_set(as_str s)
{
    return s.p != NULL;
}

bool as_str_eq(as_str a, as_str b);
bool as_str_eq_z(as_str a, const char *z);
/* Byte order, shorter first on a common prefix: <0, 0, >0. */
int as_str_cmp(as_str a, as_str b);
bool as_str_starts(as_str s, as_str prefix);
bool as_str_ends(as_str s, as_str suffix);
/* Index of the first / last occurrence, or SIZE_MAX. An empty needle is found at 0 / n. */
size_t as_str_find(as_str s, as_str needle);
size_t as_str_rfind(as_str s, as_str needle);
/* Without ASCII white space (space, \t \n \v \f \r) at both ends. */
as_str as_str_trim(as_str s);
/* s[from, to) with both ends clamped to the text. */
as_str as_str_sub(as_str s, size_t from, size_t to);
/* Cuts at the first sep: *head before it, *tail behind it. False (head = s, tail empty) if none. */
bool as_str_cut(as_str s, char sep, as_str *head, as_str *tail);

bool as_parse_i64(as_str s, int64_t min, int64_t max, int64_t *out);
bool as_parse_u64(as_str s, uint64_t *out);
bool as_parse_f64(as_str s, double *out); /* decimal or exponent form; no inf, no nan, no hex */
/* 1 to 16 hex digits of either case, nothing else. */
bool as_parse_hex(as_str s, uint64_t *out);
int as_hex_digit(char c); /* 0 to 15; -1: it is none */

/* a * b; false on overflow. */
bool as_mul_size(size_t a, size_t b, size_t *out);
bool as_add_size(size_t a, size_t b, size_t *out);

#endif
