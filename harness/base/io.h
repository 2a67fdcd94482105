#ifndef BASE_IO_H
#define BASE_IO_H
/*
 * io.h — whole files, folders, paths.
 *
 * Errors     messages name the path and the system's reason.
 * Atomicity  as_write_file writes beside the target, syncs and renames: a reader sees the old file
 *            or the new one, never half of one; on failure (a full disk) the old one stays.
 * Ownership  results live in the arena or buffer passed in.
 * Threads    pure apart from the file system.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* Appends the file's bytes; fails with AS_RANGE beyond the buffer's maximum. "-" is standard
 * input. */
as_code as_read_file(as_buf *out, const char *path, as_err *err);
as_code as_write_file(const char *path, as_str bytes, as_err *err);
/* Creates path and missing parents (mode 0755); fine if it is there. */
as_code as_make_dirs(const char *path, as_err *err);
bool as_file_exists(const char *path);
bool as_is_dir(const char *path);
/* a/b, with exactly one slash between. NUL-terminated in the arena; NULL out of memory. */
const char *as_path_join(as_arena *a, const char *dir, const char *name);
/* The part behind the last slash. */
const char *as_path_base(const char *path);

#endif
