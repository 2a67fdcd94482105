#ifndef ENGINE_MAP_H
#define ENGINE_MAP_H
/*
 * map.h — a whole file as bytes, mapped for reading.
 *
 * Errors     one sentence naming the path; folders, pipes and devices are refused. An empty file is
 *            no error: p is NULL and n 0. A file that shrinks while it is mapped is out of scope.
 * Ownership  the bytes live until g4_map_close.
 * Threads    immutable once open.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct g4_map {
    const uint8_t *p;
    size_t n;
} g4_map;

as_code g4_map_open(g4_map *out, const char *path, as_err *err);
void g4_map_close(g4_map *map); /* an all-zero map is fine */

static inline as_str g4_map_str(const g4_map *map)
{
    return (as_str){map->p != NULL ? (const char *)map->p : "", map->n};
}

#endif
