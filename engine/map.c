#include "engine/map.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static as_code map_open_file(g4_map *out, int fd, const char *path, as_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return as_fail_sys(err, "%s: cannot be opened", path);
    if (!S_ISREG(st.st_mode))
        return as_fail(err, AS_IO, "%s: is a folder or a device, want a file", path);
    if ((uint64_t)st.st_size > SIZE_MAX)
        return as_fail(err, AS_RANGE, "%s: is larger than this machine can address", path);
    if (st.st_size == 0)
        return AS_OK;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return as_fail_sys(err, "%s: cannot be mapped into memory", path);
    *out = (g4_map){p, (size_t)st.st_size};
    return AS_OK;
}

as_code g4_map_open(g4_map *out, const char *path, as_err *err)
{
    *out = (g4_map){0};
    /* O_NONBLOCK: a named pipe must be refused, not waited for. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return as_fail_sys(err, "%s: cannot be opened", path);
    const as_code c = map_open_file(out, fd, path, err);
    (void)close(fd);
    return c;
}

void g4_map_close(g4_map *map)
{
    if (map->p != NULL) {
        union {
            const uint8_t *in;
            void *out;
        } p = {map->p}; /* munmap wants what mmap gave, without const */
        (void)munmap(p.out, map->n);
    }
    *map = (g4_map){0};
}
