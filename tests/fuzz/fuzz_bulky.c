/* Any bytes as a file of problems: imported or refused with a sentence, and what was imported reads
 * back whole: every row's tests lie where the row says. */
#define _XOPEN_SOURCE 700 /* nftw */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "datasets/importers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char root[] = "/tmp/assay-fuzz-XXXXXX";
    char path[64];
    if (mkdtemp(root) == NULL)
        return 0;
    (void)snprintf(path, sizeof path, "%s/test6.jsonl", root);
    as_arena keep;
    as_arena_init(&keep, 0);
    ds_info info = {0};
    as_err err = {0};
    const char *const files[] = {path};
    const char *data_root = as_path_join(&keep, root, "data");
    if (as_write_file(path, (as_str){(const char *)data, size}, NULL) == AS_OK) {
        if (ds_import(&ds_livecodebench, data_root, files, 1, &info, &keep, &err) != AS_OK) {
            if (err.text[0] == '\0')
                abort();
        } else if (ds_verify(data_root, "livecodebench", &err) != AS_OK) {
            abort();
        }
    }
    as_arena_release(&keep);
    (void)nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return 0;
}
