/* backend_flags.c — from flags to an open backend. */
#include "cli/backend_flags.h"

as_code cli_backend_options(be_option **out, const cli_backend_flags *f, as_arena *keep,
                            as_err *err)
{
    *out = as_new(keep, be_option, (size_t)f->options.n + 1);
    if (*out == NULL)
        return as_nomem(err);
    for (int i = 0; i < f->options.n; i++) {
        be_option *o = &(*out)[i];
        if (!as_str_cut(f->options.item[i], '=', &o->key, &o->value))
            return as_fail(err, AS_RANGE, "-M %.*s: want key=value", AS_ARG(f->options.item[i]));
    }
    return AS_OK;
}

as_code cli_backend_open(be_backend **out, cli_model *model, const cli_backend_flags *f,
                         cli_env *env, as_err *err)
{
    be_option *options = NULL;
    AS_TRY(cli_model_parse(model, f->model, env, err));
    AS_TRY(cli_backend_options(&options, f, env->keep, err));
    const be_config config = {
        .name = model->name,
        .cache_dir = as_str_of(env->cache_dir),
        .base_urls = f->base_urls.item,
        .n_base_urls = f->base_urls.n,
        .env = env->env,
        .options = options,
        .n_options = f->options.n,
        .n_threads = (int)f->threads,
        .log = &env->log,
    };
    return model->driver->open(out, &config, err);
}
