#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

as_code as_read_file(as_buf *out, const char *path, as_err *err)
{
    enum { PIECE = 1 << 16 };
    const bool is_stdin = strcmp(path, "-") == 0;
    const int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return as_fail_sys(err, "%s", path);
    struct stat st;
    as_code c = AS_OK;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size <= out->max_bytes - out->n)
        (void)as_buf_reserve(out, (size_t)st.st_size + PIECE < out->max_bytes - out->n
                                      ? (size_t)st.st_size + PIECE
                                      : (size_t)st.st_size);
    for (;;) {
        size_t room = out->max_bytes - out->n;
        if (room > PIECE)
            room = PIECE;
        char extra = 0;
        char *to = room != 0 ? as_buf_reserve(out, room) : &extra;
        if (to == NULL) {
            c = as_fail(err, AS_NOMEM, "%s: out of memory", path);
            break;
        }
        const ssize_t n = read(fd, to, room != 0 ? room : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c = as_fail_sys(err, "%s", path);
            break;
        }
        if (n == 0)
            break;
        if (room == 0) {
            c = as_fail(err, AS_RANGE, "%s: larger than the limit of %zu bytes", path,
                        out->max_bytes);
            break;
        }
        out->n += (size_t)n;
        out->p[out->n] = '\0';
    }
    if (!is_stdin)
        close(fd);
    return c;
}

static as_code write_all(int fd, as_str bytes)
{
    while (bytes.n != 0) {
        const ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return AS_IO;
        bytes = as_str_sub(bytes, (size_t)n, bytes.n);
    }
    return AS_OK;
}

as_code as_write_file(const char *path, as_str bytes, as_err *err)
{
    const size_t cap = strlen(path) + 32;
    char *beside = malloc(cap);
    if (beside == NULL)
        return as_nomem(err);
    (void)snprintf(beside, cap, "%s.new-%ld", path, (long)getpid());
    const int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    as_code c = AS_OK;
    if (fd < 0) {
        c = as_fail_sys(err, "%s", path);
    } else {
        const bool is_written = write_all(fd, bytes) == AS_OK && fsync(fd) == 0;
        if (!is_written)
            c = as_fail_sys(err, "%s", path);
        if (close(fd) != 0 && c == AS_OK)
            c = as_fail_sys(err, "%s", path);
        if (c == AS_OK && rename(beside, path) != 0)
            c = as_fail_sys(err, "%s", path);
        if (c != AS_OK)
            (void)unlink(beside);
    }
    free(beside);
    return c;
}

as_code as_make_dirs(const char *path, as_err *err)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return as_nomem(err);
    as_code c = AS_OK;
    for (char *p = copy + 1; c == AS_OK; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        const char was = *p;
        *p = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST)
            c = as_fail_sys(err, "%s", copy);
        *p = was;
        if (was == '\0')
            break;
    }
    free(copy);
    if (c == AS_OK && !as_is_dir(path))
        c = as_fail(err, AS_IO, "%s: is there but is not a folder", path);
    return c;
}

bool as_file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool as_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

const char *as_path_join(as_arena *a, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    const bool is_root = n == 1 && dir[0] == '/';
    return as_arena_printf(a, "%.*s%s%s", (int)n, dir, is_root ? "" : "/", name).p;
}

const char *as_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}
