/* Any bytes as a file of rows: an import succeeds with rows that read back and verify, or fails
 * with a sentence and leaves no dataset; both importers. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "datasets/importers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[64];
static char input[128];
static char root[96];

static void make_place(void)
{
    if (dir[0] != '\0')
        return;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(dir, sizeof dir, "%s/assay-fuzz-XXXXXX", base);
    if (mkdtemp(dir) == NULL)
        abort();
    (void)snprintf(input, sizeof input, "%s/aime_2026.jsonl", dir);
    (void)snprintf(root, sizeof root, "%s/data", dir);
}

static void remove_file(const char *name, const char *file)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s/%s", root, name, file);
    (void)unlink(path);
}

static void check_dataset(const char *name, const ds_info *info)
{
    as_err err = {0};
    if (ds_verify(root, name, &err) != AS_OK)
        abort();
    for (int i = 0; i < info->n_splits; i++) {
        ds_rows rows;
        if (ds_load(root, name, info->splits[i].name.p, &rows, &err) != AS_OK ||
            rows.n != (size_t)info->splits[i].rows || rows.n == 0)
            abort();
        ds_rows_free(&rows);
        remove_file(name, info->splits[i].file.p);
    }
    remove_file(name, "manifest.json");
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    (void)rmdir(path);
}

static void import(const ds_importer *importer)
{
    const char *const file = input;
    as_arena arena;
    as_err err = {0};
    ds_info info = {0};
    as_arena_init(&arena, 0);
    const as_code c = ds_import(importer, root, &file, 1, &info, &arena, &err);
    if (c == AS_OK)
        check_dataset(importer->name, &info);
    else if (c == AS_BUG || err.text[0] == '\0' ||
             ds_find(root, importer->name, &info, &arena, NULL) != AS_RANGE)
        abort();
    as_arena_release(&arena);
    (void)rmdir(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    make_place();
    FILE *out = fopen(input, "wb");
    if (out == NULL || (size != 0 && fwrite(data, 1, size, out) != size) || fclose(out) != 0)
        abort();
    import(&ds_mmlu_pro);
    import(&ds_aime);
    (void)unlink(input);
    (void)rmdir(dir); /* the next call makes it again */
    dir[0] = '\0';
    return 0;
}
