#include "backend/backend.h"

as_str be_option_get(const be_config *config, const char *key)
{
    for (int i = 0; i < config->n_options; i++)
        if (as_str_eq_z(config->options[i].key, key))
            return config->options[i].value;
    return (as_str){0};
}

as_code be_options_check(const be_config *config, const char *const *known, as_err *err)
{
    for (int i = 0; i < config->n_options; i++) {
        const as_str key = config->options[i].key;
        bool is_known = false;
        for (const char *const *k = known; *k != NULL && !is_known; k++)
            is_known = as_str_eq_z(key, *k);
        if (is_known)
            continue;
        as_buf list;
        as_buf_init(&list, 256);
        for (const char *const *k = known; *k != NULL; k++)
            (void)as_buf_printf(&list, "%s%s", k == known ? "" : ", ", *k);
        const as_code c = as_fail(err, AS_RANGE, "-M %.*s: unknown option, this backend knows: %s",
                                  AS_ARG(key), list.n != 0 ? list.p : "none");
        as_buf_release(&list);
        return c;
    }
    return AS_OK;
}
