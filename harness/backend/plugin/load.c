/* load.c — opens the library, checks what it offers, and takes down what it tells of itself. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "backend/file_hash.h"
#include "backend/plugin/plugin_impl.h"
#include "base/io.h"
#include "base/json.h"

/* FILE:NAME cut at the last colon, unless what follows it is part of a path. */
static as_code split_name(as_str spec, as_arena *keep, const char **file, as_str *name, as_err *err)
{
    const size_t colon = as_str_rfind(spec, AS_STR(":"));
    as_str path = spec;
    *name = (as_str){0};
    if (colon != SIZE_MAX &&
        as_str_find(as_str_sub(spec, colon, spec.n), AS_STR("/")) == SIZE_MAX) {
        path = as_str_sub(spec, 0, colon);
        *name = as_arena_str(keep, as_str_sub(spec, colon + 1, spec.n));
    }
    if (path.n == 0)
        return as_fail(err, AS_RANGE, "want plugin:FILE.so:NAME");
    /* Without a slash the loader would search the system's folders. */
    const bool is_bare = as_str_find(path, AS_STR("/")) == SIZE_MAX;
    *file = as_arena_printf(keep, "%s%.*s", is_bare ? "./" : "", AS_ARG(path)).p;
    return *file != NULL ? AS_OK : as_nomem(err);
}

/* dlsym gives an object pointer; POSIX says it converts, ISO C only lets its bytes be copied. */
typedef const assay_plugin_api *(*entry_point)(void);

static as_code load_library(plugin_backend *be, const char *file, entry_point *entry, as_err *err)
{
    if (!as_file_exists(file))
        return as_fail(err, AS_RANGE, "%s: no such file, want plugin:FILE.so:NAME", file);
    be->library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (be->library == NULL) {
        const char *why = dlerror();
        return as_fail(err, AS_RANGE, "%s: not a library that can be loaded: %s", file,
                       why != NULL ? why : "no reason told");
    }
    void *symbol = dlsym(be->library, "assay_plugin");
    if (symbol == NULL)
        return as_fail(err, AS_RANGE,
                       "%s: not a plugin, it has no symbol assay_plugin (see assay/plugin.h)",
                       file);
    memcpy(entry, &symbol, sizeof *entry);
    return AS_OK;
}

static as_code check_api(plugin_backend *be, const assay_plugin_api *api, const char *file,
                         as_err *err)
{
    if (api == NULL)
        return as_fail(err, AS_RANGE, "%s: its assay_plugin() returned nothing", file);
    if (api->abi != ASSAY_PLUGIN_ABI)
        return as_fail(err, AS_RANGE,
                       "%s: built for version %u of the plugin interface, this program has %u: "
                       "build it again with the header of this program",
                       file, (unsigned)api->abi, ASSAY_PLUGIN_ABI);
    if (api->size < offsetof(assay_plugin_api, tokenize))
        return as_fail(err, AS_RANGE, "%s: its table is cut short: %u bytes, want at least %zu",
                       file, (unsigned)api->size, offsetof(assay_plugin_api, tokenize));
    memcpy(&be->api, api, api->size < sizeof be->api ? api->size : sizeof be->api);
    const char *lacks = be->api.open == NULL     ? "open"
                        : be->api.close == NULL  ? "close"
                        : be->api.info == NULL   ? "info"
                        : be->api.submit == NULL ? "submit"
                        : be->api.poll == NULL   ? "poll"
                        : be->api.cancel == NULL ? "cancel"
                                                 : NULL;
    if (lacks != NULL)
        return as_fail(err, AS_RANGE, "%s: the plugin lacks the function %s", file, lacks);
    if (be->api.n_names < 1 || be->api.n_names > PLUGIN_MAX_NAMES || be->api.names == NULL)
        return as_fail(err, AS_RANGE, "%s: the plugin names %zu models, want 1 to %d", file,
                       be->api.n_names, (int)PLUGIN_MAX_NAMES);
    return AS_OK;
}

/* A plugin with one model needs no NAME. */
static as_code check_name(const plugin_backend *be, const char *file, as_str *name, as_err *err)
{
    if (name->n == 0 && be->api.n_names == 1) {
        *name = as_str_of(be->api.names[0]);
        return AS_OK;
    }
    for (size_t i = 0; i < be->api.n_names; i++)
        if (as_str_eq_z(*name, be->api.names[i]))
            return AS_OK;
    as_buf known;
    as_buf_init(&known, 4096);
    for (size_t i = 0; i < be->api.n_names; i++)
        (void)as_buf_printf(&known, "%s%s", i == 0 ? "" : ", ", be->api.names[i]);
    const as_code c = as_fail(err, AS_RANGE, "%s: no model \"%.*s\" in this plugin, it has: %s",
                              file, AS_ARG(*name), known.p != NULL ? known.p : "none");
    as_buf_release(&known);
    return c;
}

static as_code read_options(plugin_backend *be, const be_config *config, assay_option **out,
                            size_t *n, as_err *err)
{
    *out = as_new(&be->keep, assay_option, (size_t)config->n_options + 1);
    if (*out == NULL)
        return as_nomem(err);
    int64_t seconds = PLUGIN_TIMEOUT_S;
    for (int i = 0; i < config->n_options; i++) {
        const be_option *o = &config->options[i];
        if (!as_str_eq_z(o->key, "timeout"))
            (*out)[(*n)++] = (assay_option){plugin_text(o->key), plugin_text(o->value)};
        else if (!as_parse_i64(o->value, 1, 86400, &seconds))
            return as_fail(err, AS_RANGE, "-M timeout=%.*s: want seconds, 1 to 86400",
                           AS_ARG(o->value));
    }
    be->timeout_ns = seconds * 1000000000;
    return AS_OK;
}

static as_code open_instance(plugin_backend *be, const be_config *config, const char *file,
                             as_str name, as_err *err)
{
    assay_option *options = NULL;
    size_t n = 0;
    AS_TRY(read_options(be, config, &options, &n, err));
    const assay_config given = {.size = sizeof given,
                                .name = plugin_text(name),
                                .options = options,
                                .n_options = n,
                                .n_threads = (uint32_t)config->n_threads};
    assay_text why = {0};
    void *instance = NULL;
    if (be->api.open(&instance, &given, &be->host, &why) == 0) {
        be->instance = instance;
        if (instance != NULL)
            return AS_OK;
        return as_fail(err, AS_RANGE, "%s: %.*s: the plugin opened nothing", file, AS_ARG(name));
    }
    const as_str said = plugin_str(why);
    return as_fail(err, AS_RANGE, "%s: %.*s: %.*s", file, AS_ARG(name),
                   AS_ARG(said.n != 0 ? said : AS_STR("the plugin failed without a reason")));
}

static as_code copy_hash(char out[AS_SHA256_HEX], assay_text told, const char *what, as_err *err)
{
    const as_str s = plugin_str(told);
    if (s.n == 0)
        return AS_OK;
    bool is_hex = s.n == AS_SHA256_HEX - 1;
    for (size_t i = 0; i < s.n && is_hex; i++)
        is_hex = (s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f');
    if (!is_hex)
        return as_fail(err, AS_PARSE, "the plugin's info.%s is not 64 lower-case hex digits", what);
    memcpy(out, s.p, s.n);
    return AS_OK;
}

/* The library belongs to a run's identity as much as the model that it names. */
static as_code write_json(plugin_backend *be, const char *file, as_str name, as_err *err)
{
    as_json *details = NULL;
    const as_str json = plugin_str(be->told.json);
    if (json.n != 0 &&
        (as_json_parse(&details, json, NULL) != AS_OK || as_json_type(details) != AS_JSON_OBJECT)) {
        as_json_free(details);
        return as_fail(err, AS_PARSE, "%s: the plugin's info.json is not a JSON object", file);
    }
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "kind", "plugin");
    as_jw_put_z(&w, "file", as_path_base(file));
    as_jw_put_z(&w, "file_sha256", be->sha);
    as_jw_put_str(&w, "name", name);
    as_jw_put_i64(&w, "abi", be->api.abi);
    if (details != NULL) {
        as_jw_key(&w, "details");
        as_jw_node(&w, details);
    }
    as_jw_end_object(&w);
    as_json_free(details);
    as_code c = as_buf_ok(&b, err);
    be->info.json = c == AS_OK ? as_arena_str(&be->keep, as_buf_str(&b)) : (as_str){0};
    if (c == AS_OK && !as_str_is_set(be->info.json))
        c = as_nomem(err);
    as_buf_release(&b);
    return c;
}

static as_code copy_str(plugin_backend *be, as_str *out, assay_text told, as_err *err)
{
    *out = as_arena_str(&be->keep, plugin_str(told));
    return as_str_is_set(*out) ? AS_OK : as_nomem(err);
}

static int64_t known(int64_t n)
{
    return n > 0 ? n : -1;
}

static as_code take_info(plugin_backend *be, const char *file, as_str name, as_err *err)
{
    const assay_info *told = be->api.info(be->instance);
    if (told == NULL || told->size < offsetof(assay_info, model_name))
        return as_fail(err, AS_PARSE, "%s: the plugin tells nothing of itself (info)", file);
    memcpy(&be->told, told, told->size < sizeof be->told ? told->size : sizeof be->told);
    const assay_info *t = &be->told;
    be->info = (be_info){
        .n_params = known(t->n_params),
        .n_params_active = known(t->n_params_active),
        .file_bytes = known(t->file_bytes),
        .n_ctx = t->n_ctx < INT32_MAX ? (int)t->n_ctx : INT32_MAX,
        .max_concurrency = t->max_concurrency < INT32_MAX ? (int)t->max_concurrency : INT32_MAX,
        .weights_bytes = -1,
        .kv_bytes = -1,
        .scratch_bytes = -1,
    };
    const bool is_named = t->model_name.p != NULL && t->model_name.n != 0;
    AS_TRY(copy_str(be, &be->info.model_name, is_named ? t->model_name : plugin_text(name), err));
    AS_TRY(copy_str(be, &be->info.architecture, t->architecture, err));
    AS_TRY(copy_str(be, &be->info.quantization, t->quantization, err));
    AS_TRY(copy_str(be, &be->info.license, t->license, err));
    AS_TRY(copy_hash(be->model_sha, t->sha256, "sha256", err));
    AS_TRY(copy_hash(be->template_sha, t->template_sha256, "template_sha256", err));
    be->info.sha256 = as_str_of(be->model_sha);
    be->info.template_sha256 = as_str_of(be->template_sha);
    return write_json(be, file, name, err);
}

as_code plugin_load(plugin_backend *be, const be_config *config, as_err *err)
{
    const char *file = NULL;
    as_str name = {0};
    entry_point entry = NULL;
    AS_TRY(split_name(config->name, &be->keep, &file, &name, err));
    AS_TRY(load_library(be, file, &entry, err));
    AS_TRY(check_api(be, entry(), file, err));
    AS_TRY(check_name(be, file, &name, err));
    AS_TRY(be_file_sha256(be->sha, file, config->cache_dir, err));
    AS_TRY(open_instance(be, config, file, name, err));
    return take_info(be, file, name, err);
}
