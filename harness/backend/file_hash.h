#ifndef BACKEND_FILE_HASH_H
#define BACKEND_FILE_HASH_H
/*
 * file_hash.h — SHA-256 of large files, remembered.
 *
 * The first call reads the whole file; later ones find the hash in CACHE/sha256/ under path, size,
 * modification time and inode. A cache that cannot be written is no error.
 */
#include "base/err.h"
#include "base/hash.h"

as_code be_file_sha256(char hex[AS_SHA256_HEX], const char *path, as_str cache_dir, as_err *err);

/* Of a model or adapter: the file's, or of a folder one hash over the names and hashes of its
 * .safetensors, .json and .jinja files. */
as_code be_model_sha256(char hex[AS_SHA256_HEX], const char *path, as_str cache_dir, as_err *err);

#endif
