#ifndef ENGINE_TEMPLATE_PICK_H
#define ENGINE_TEMPLATE_PICK_H
/*
 * pick.h — attributes by path ("function.name", "0.text"), for the filters that take one.
 */
#include "engine/template/impl.h"

typedef struct tp_path {
    tp_value *parts;    /* texts and integers */
    size_t n;           /* 0: the value itself */
    tp_value otherwise; /* in place of what is undefined; none: nothing */
} tp_path;

bool tp_path_of(tp_run *r, tp_value attribute, tp_path *out);
bool tp_path_get(tp_run *r, const tp_path *path, tp_value v, tp_value *out);

#endif
