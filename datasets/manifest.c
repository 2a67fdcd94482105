#include "datasets/dataset_impl.h"

#include <stdlib.h>

#include "base/io.h"

bool ds_is_name(as_str s)
{
    if (s.n == 0 || s.n > DS_MAX_NAME || s.p[0] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-' || c == '.'))
            return false;
    }
    return true;
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(as_sha256));
}

as_code ds_sha256(as_sha256 *out, const ds_split *splits, int n, as_err *err)
{
    as_sha256 sorted[DS_MAX_SPLITS];
    if (n < 0 || n > DS_MAX_SPLITS)
        return as_fail(err, AS_RANGE, "%d splits, at most %d", n, DS_MAX_SPLITS);
    for (int i = 0; i < n; i++)
        sorted[i] = splits[i].sha256;
    qsort(sorted, (size_t)n, sizeof sorted[0], by_hash);
    *out = as_sha256_of((as_str){(const char *)sorted, (size_t)n * sizeof sorted[0]});
    return AS_OK;
}

static as_code read_split(ds_split *out, const as_json *node, as_arena *keep, as_err *err)
{
    as_str name;
    as_str file;
    as_str hex;
    AS_TRY(as_json_need_str(node, "split", &name, err));
    AS_TRY(as_json_need_str(node, "file", &file, err));
    AS_TRY(as_json_need_str(node, "sha256", &hex, err));
    AS_TRY(as_json_need_i64(node, "rows", 0, INT64_C(1) << 40, &out->rows, err));
    AS_TRY(as_json_need_i64(node, "bytes", 0, INT64_C(1) << 50, &out->bytes, err));
    if (out->rows > out->bytes)
        return as_fail(err, AS_RANGE, "\"rows\" is %lld in %lld bytes", (long long)out->rows,
                       (long long)out->bytes);
    if (!ds_is_name(name) || !ds_is_name(file))
        return as_fail(err, AS_RANGE, "\"split\" and \"file\" must be plain names");
    if (!as_sha256_parse(&out->sha256, hex))
        return as_fail(err, AS_PARSE, "\"sha256\": want 64 hex digits");
    out->name = as_arena_str(keep, name);
    out->file = as_arena_str(keep, file);
    return out->name.p != NULL && out->file.p != NULL ? AS_OK : as_nomem(err);
}

static as_code read_texts(ds_info *out, const as_json *tree, as_arena *keep, as_err *err)
{
    const struct {
        const char *key;
        as_str *to;
    } texts[] = {
        {"name", &out->name},     {"licence", &out->licence},         {"revision", &out->revision},
        {"source", &out->source}, {"imported_at", &out->imported_at},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        as_str s;
        AS_TRY(as_json_need_str(tree, texts[i].key, &s, err));
        *texts[i].to = as_arena_str(keep, s);
        if (texts[i].to->p == NULL)
            return as_nomem(err);
    }
    return ds_is_name(out->name) ? AS_OK : as_fail(err, AS_RANGE, "\"name\" is not a plain name");
}

static as_code read_tree(ds_info *out, const as_json *tree, as_arena *keep, as_err *err)
{
    ds_info info = {0};
    const as_json *list = NULL;
    AS_TRY(read_texts(&info, tree, keep, err));
    AS_TRY(as_json_need_array(tree, "splits", &list, err));
    const size_t n = as_json_count(list);
    if (n > DS_MAX_SPLITS)
        return as_fail(err, AS_RANGE, "%zu splits, at most %d", n, DS_MAX_SPLITS);
    ds_split *splits = as_new(keep, ds_split, n);
    if (splits == NULL)
        return as_nomem(err);
    for (const as_json *node = as_json_first(list); node != NULL; node = as_json_next(node))
        AS_TRY(read_split(&splits[info.n_splits++], node, keep, err));
    info.splits = splits;
    AS_TRY(ds_sha256(&info.sha256, splits, info.n_splits, err));
    *out = info;
    return AS_OK;
}

as_code ds_manifest_read(ds_info *out, const char *dir, as_arena *keep, as_err *err)
{
    const char *path = as_path_join(keep, dir, DS_MANIFEST);
    if (path == NULL)
        return as_nomem(err);
    as_buf text;
    as_buf_init(&text, DS_MAX_MANIFEST);
    as_json *tree = NULL;
    as_code c = as_read_file(&text, path, err);
    if (c == AS_OK) {
        c = as_json_parse(&tree, as_buf_str(&text), err);
        if (c == AS_OK)
            c = read_tree(out, tree, keep, err);
        if (c != AS_OK)
            c = as_wrap(err, "%s: damaged manifest, import the dataset again", path);
    }
    as_json_free(tree);
    as_buf_release(&text);
    return c;
}

static void write_split(as_jw *w, const ds_split *s)
{
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &s->sha256);
    as_jw_begin_object(w);
    as_jw_put_str(w, "split", s->name);
    as_jw_put_str(w, "file", s->file);
    as_jw_put_i64(w, "rows", s->rows);
    as_jw_put_i64(w, "bytes", s->bytes);
    as_jw_put_z(w, "sha256", hex);
    as_jw_end_object(w);
}

as_code ds_manifest_write(ds_info *info, const char *dir, as_err *err)
{
    AS_TRY(ds_sha256(&info->sha256, info->splits, info->n_splits, err));
    as_buf text;
    as_buf_init(&text, DS_MAX_MANIFEST);
    as_jw w;
    as_jw_init(&w, &text);
    as_jw_begin_object(&w);
    const struct {
        const char *key;
        as_str text;
    } texts[] = {
        {"name", info->name},     {"licence", info->licence},         {"revision", info->revision},
        {"source", info->source}, {"imported_at", info->imported_at},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        as_jw_put_str(&w, texts[i].key, texts[i].text);
    as_jw_key(&w, "splits");
    as_jw_begin_array(&w);
    for (int i = 0; i < info->n_splits; i++)
        write_split(&w, &info->splits[i]);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
    (void)as_buf_add_byte(&text, '\n');
    as_code c = as_buf_ok(&text, err);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    if (c == AS_OK) {
        const char *path = as_path_join(&scratch, dir, DS_MANIFEST);
        c = path != NULL ? as_write_file(path, as_buf_str(&text), err) : as_nomem(err);
    }
    as_arena_release(&scratch);
    as_buf_release(&text);
    return c;
}
