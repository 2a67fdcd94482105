#ifndef ENGINE_TEMPLATE_UNICODE_TABLES_H
#define ENGINE_TEMPLATE_UNICODE_TABLES_H
/*
 * unicode_tables.h — ranges of code points, sorted; read through unicode.c.
 *
 * title holds only what differs from upper, fold what differs from lower.
 */
#include <stddef.h>
#include <stdint.h>

typedef struct tp_class_range {
    uint32_t first, last;
    unsigned classes; /* tp_class bits */
} tp_class_range;

typedef struct tp_case_range {
    uint32_t first, last, stride; /* every stride-th code point from first on */
    int32_t delta;
} tp_case_range;

typedef struct tp_case_full {
    uint32_t code;
    int n;
    uint32_t to[3];
} tp_case_full;

extern const tp_class_range tp_class_ranges[];
extern const tp_case_range tp_lower_ranges[], tp_upper_ranges[], tp_title_ranges[],
    tp_fold_ranges[];
extern const tp_case_full tp_lower_full[], tp_upper_full[], tp_title_full[], tp_fold_full[];
extern const size_t tp_class_ranges_n;
extern const size_t tp_lower_ranges_n, tp_upper_ranges_n, tp_title_ranges_n, tp_fold_ranges_n;
extern const size_t tp_lower_full_n, tp_upper_full_n, tp_title_full_n, tp_fold_full_n;

#endif
