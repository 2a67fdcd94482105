/* Runs each file of the folders (or files) given as arguments through a fuzz target: what libFuzzer
 * found stays tested by every compiler. Says how many ran; none at all is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The target gets a copy of exactly the bytes, so that a sanitizer sees a step beyond them. */
static int run_file(const char *path)
{
    as_buf bytes;
    as_buf_init(&bytes, 0);
    as_err err = {0};
    if (as_read_file(&bytes, path, &err) != AS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        as_buf_release(&bytes);
        return -1;
    }
    uint8_t *copy = malloc(bytes.n != 0 ? bytes.n : 1);
    if (copy != NULL) {
        if (bytes.n != 0)
            memcpy(copy, bytes.p, bytes.n);
        (void)LLVMFuzzerTestOneInput(copy, bytes.n);
    }
    free(copy);
    as_buf_release(&bytes);
    return copy != NULL ? 0 : -1;
}

/* Files run, or -1. */
static long run_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        perror(folder);
        return -1;
    }
    as_arena names;
    as_arena_init(&names, 0);
    long n = 0;
    for (const struct dirent *entry = readdir(dir); n >= 0 && entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        const char *path = as_path_join(&names, folder, entry->d_name);
        n = path != NULL && run_file(path) == 0 ? n + 1 : -1;
    }
    as_arena_release(&names);
    (void)closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    long n_run = 0;
    for (int i = 1; i < argc; i++) {
        const long n = as_is_dir(argv[i]) ? run_folder(argv[i]) : run_file(argv[i]) == 0 ? 1 : -1;
        if (n < 0)
            return 1;
        n_run += n;
    }
    (void)printf("%ld inputs ran\n", n_run);
    return n_run != 0 ? 0 : 1;
}
