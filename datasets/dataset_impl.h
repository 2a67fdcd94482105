#ifndef DATASETS_DATASET_IMPL_H
#define DATASETS_DATASET_IMPL_H
/* dataset_impl.h — what the files of this folder share: manifests. */
#include "datasets/dataset.h"

#define DS_MANIFEST "manifest.json"

enum { DS_MAX_NAME = 64, DS_MAX_SPLITS = 64, DS_MAX_MANIFEST = 1 << 20 };

/* Letters, digits, "_", "-" and ".", not starting with a dot: safe as a file name. */
bool ds_is_name(as_str s);

/* DIR/manifest.json. AS_IO with sys ENOENT when there is none. */
as_code ds_manifest_read(ds_info *out, const char *dir, as_arena *keep, as_err *err);
/* Also computes info->sha256. */
as_code ds_manifest_write(ds_info *info, const char *dir, as_err *err);

/* ROOT/NAME/FILE of a split against its bytes and hash, read in pieces. */
as_code ds_split_check(const char *dir, const ds_split *split, as_err *err);

#endif
