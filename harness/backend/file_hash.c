#include "backend/file_hash.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

/* CACHE/sha256/KEY, KEY being a hash of what identifies this state of the file; NULL if there is no
 * cache or no memory. */
static const char *entry_path(as_arena *a, const char *path, as_str cache_dir)
{
    struct stat st;
    if (cache_dir.n == 0 || stat(path, &st) != 0)
        return NULL;
    char *real = realpath(path, NULL);
    if (real == NULL)
        return NULL;
    const as_str key = as_arena_printf(a, "%s|%lld|%lld.%09ld|%llu", real, (long long)st.st_size,
                                       (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                                       (unsigned long long)st.st_ino);
    free(real);
    if (!as_str_is_set(key))
        return NULL;
    const as_sha256 h = as_sha256_of(key);
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &h);
    const as_str dir = as_arena_printf(a, "%.*s/sha256", AS_ARG(cache_dir));
    return as_str_is_set(dir) ? as_path_join(a, dir.p, hex) : NULL;
}

static bool read_entry(const char *entry, char hex[AS_SHA256_HEX])
{
    as_buf b;
    as_buf_init(&b, 256);
    as_sha256 h;
    const bool is_hit = as_file_exists(entry) && as_read_file(&b, entry, NULL) == AS_OK &&
                        as_sha256_parse(&h, as_str_trim(as_buf_str(&b)));
    if (is_hit)
        as_sha256_hex(hex, &h);
    as_buf_release(&b);
    return is_hit;
}

as_code be_file_sha256(char hex[AS_SHA256_HEX], const char *path, as_str cache_dir, as_err *err)
{
    as_arena a;
    as_arena_init(&a, 1 << 20);
    const char *entry = entry_path(&a, path, cache_dir);
    as_code c = AS_OK;
    if (entry == NULL || !read_entry(entry, hex)) {
        as_sha256 h;
        c = as_sha256_file(&h, path, err);
        if (c == AS_OK) {
            as_sha256_hex(hex, &h);
            const as_str dir = as_arena_printf(&a, "%.*s/sha256", AS_ARG(cache_dir));
            if (entry != NULL && as_str_is_set(dir) && as_make_dirs(dir.p, NULL) == AS_OK)
                (void)as_write_file(entry, as_str_of(hex), NULL);
        }
    }
    as_arena_release(&a);
    return c;
}

/* What of a folder is the model's or adapter's: weights, configuration, tokenizer, template. */
static bool is_part(const char *name)
{
    static const as_str endings[] = {AS_STR_INIT(".safetensors"), AS_STR_INIT(".json"),
                                     AS_STR_INIT(".jinja")};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (as_str_ends(as_str_of(name), endings[i]))
            return true;
    return false;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int only_parts(const struct dirent *entry)
{
    return is_part(entry->d_name) ? 1 : 0;
}

/* One hash over the parts' names and hashes, by name in byte order. */
static as_code hash_folder(char hex[AS_SHA256_HEX], const char *path, as_str cache_dir, as_err *err)
{
    struct dirent **entries = NULL;
    const int n = scandir(path, &entries, only_parts, by_name);
    if (n < 0)
        return as_fail_sys(err, "%s", path);
    as_arena a;
    as_buf all;
    as_arena_init(&a, 0);
    as_buf_init(&all, 0);
    as_code c = n > 0 ? AS_OK : as_fail(err, AS_RANGE, "%s: holds no model files", path);
    for (int i = 0; i < n; i++) {
        char one[AS_SHA256_HEX];
        const char *file = c == AS_OK ? as_path_join(&a, path, entries[i]->d_name) : NULL;
        if (c == AS_OK)
            c = file != NULL ? be_file_sha256(one, file, cache_dir, err) : as_nomem(err);
        if (c == AS_OK)
            c = as_buf_printf(&all, "%s %s\n", entries[i]->d_name, one);
        free(entries[i]);
    }
    free(entries);
    if (c == AS_OK) {
        const as_sha256 h = as_sha256_of(as_buf_str(&all));
        as_sha256_hex(hex, &h);
    }
    as_buf_release(&all);
    as_arena_release(&a);
    return c;
}

as_code be_model_sha256(char hex[AS_SHA256_HEX], const char *path, as_str cache_dir, as_err *err)
{
    return as_is_dir(path) ? hash_folder(hex, path, cache_dir, err)
                           : be_file_sha256(hex, path, cache_dir, err);
}
