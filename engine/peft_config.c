#include "engine/peft_config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"

enum { MAX_BYTES = 8 << 20, MAX_PATTERNS = 4096, MAX_PATTERN_BYTES = 1000, MAX_R = 1 << 20 };

/* Settings that must be as if absent: null, false, [], {} or "none". */
static const struct {
    const char *key, *what;
} refused[] = {
    {"use_dora", "DoRA"},
    {"bias", "adapted biases"},
    {"lora_bias", "adapters with a bias"},
    {"fan_in_fan_out", "transposed weights"},
    {"modules_to_save", "modules saved whole"},
    {"trainable_token_indices", "trained rows of the embedding"},
    {"layer_replication", "repeated layers"},
    {"alora_invocation_tokens", "activated LoRA"},
    {"use_qalora", "QALoRA"},
    {"use_bdlora", "block-diagonal LoRA"},
    {"arrow_config", "routing among adapters"},
    {"kasa_config", "KaSA"},
    {"monteclora_config", "MonteCLoRA"},
};

/* Starting points that leave the base model's weights alone. */
static const char *const inits[] = {"gaussian", "eva", "orthogonal"};

static bool is_off(const as_json *v)
{
    bool flag = false;
    as_str text = {0};
    switch (as_json_type(v)) {
    case AS_JSON_NONE:
    case AS_JSON_NULL:
        return true;
    case AS_JSON_BOOL:
        return as_json_bool(v, &flag) && !flag;
    case AS_JSON_STRING:
        return as_json_str(v, &text) && as_str_eq(text, AS_STR("none"));
    case AS_JSON_ARRAY:
    case AS_JSON_OBJECT:
        return as_json_first(v) == NULL;
    case AS_JSON_NUMBER:
        break;
    }
    return false;
}

static as_code refuse_others(const g4_peft_config *c, as_err *err)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (!is_off(as_json_get(c->tree, refused[i].key)))
            return as_fail(err, AS_UNSUPPORTED,
                           "%s: \"%s\" is set: this engine does not run %s; merge the adapter into "
                           "the model or train it without",
                           c->path, refused[i].key, refused[i].what);
    as_str init = {0};
    if (!as_json_str(as_json_get(c->tree, "init_lora_weights"), &init))
        return AS_OK;
    for (size_t i = 0; i < sizeof inits / sizeof inits[0]; i++)
        if (as_str_eq_z(init, inits[i]))
            return AS_OK;
    return as_fail(err, AS_UNSUPPORTED,
                   "%s: \"init_lora_weights\" is \"%.*s\", which changes the base model's own "
                   "weights; save the adapter converted to plain LoRA",
                   c->path, AS_ARG(init));
}

static as_code read_number(const g4_peft_config *c, const char *key, double *out, as_err *err)
{
    if (as_json_f64(as_json_get(c->tree, key), out) && isfinite(*out))
        return AS_OK;
    return as_fail(err, AS_PARSE, "%s: \"%s\": want a number, found %s", c->path, key,
                   as_json_kind_name(as_json_type(as_json_get(c->tree, key))));
}

static as_code bad_pattern(const g4_peft_config *c, const char *key, as_str pattern, as_err *err)
{
    return as_fail(err, AS_PARSE,
                   "%s: \"%s\": \"%.*s\" is no module pattern of up to %d bytes with a number",
                   c->path, key, AS_ARG(as_str_sub(pattern, 0, 60)), MAX_PATTERN_BYTES);
}

static as_code read_patterns(g4_peft_config *c, const char *key, g4_peft_patterns *out, as_err *err)
{
    const as_json *object = as_json_get(c->tree, key);
    if (is_off(object))
        return AS_OK;
    if (as_json_type(object) != AS_JSON_OBJECT || as_json_count(object) > MAX_PATTERNS)
        return as_fail(err, AS_PARSE, "%s: \"%s\": want an object of up to %d numbers", c->path,
                       key, MAX_PATTERNS);
    out->all = calloc(as_json_count(object), sizeof *out->all);
    if (out->all == NULL)
        return as_nomem(err);
    for (const as_json *v = as_json_first(object); v != NULL; v = as_json_next(v)) {
        char whole[MAX_PATTERN_BYTES + 16];
        const as_str pattern = as_json_key(v);
        double value = 0;
        if (pattern.n == 0 || pattern.n > MAX_PATTERN_BYTES ||
            memchr(pattern.p, '\0', pattern.n) != NULL || !as_json_f64(v, &value) ||
            !isfinite(value))
            return bad_pattern(c, key, pattern, err);
        (void)snprintf(whole, sizeof whole, "^(.*\\.)?(%.*s)$", AS_ARG(pattern));
        if (as_regex_new(&out->all[out->n].key, whole, 0, err) != AS_OK)
            return as_wrap(err, "%s: \"%s\"", c->path, key);
        out->all[out->n++].value = value;
    }
    return AS_OK;
}

/* "0.19.1.dev0" → 0 19 1 */
static void read_version(g4_peft_config *c)
{
    as_str text = {0};
    (void)as_json_str(as_json_get(c->tree, "peft_version"), &text);
    for (int i = 0; i < 3 && text.n > 0; i++) {
        as_str part = {0};
        as_str rest = {0};
        (void)as_str_cut(text, '.', &part, &rest);
        size_t digits = 0;
        while (digits < part.n && part.p[digits] >= '0' && part.p[digits] <= '9')
            digits++;
        int64_t n = 0;
        if (!as_parse_i64(as_str_sub(part, 0, digits), 0, 1 << 20, &n))
            return;
        c->version[i] = (int)n;
        text = rest;
    }
}

static as_code read_config(g4_peft_config *c, as_str text, as_err *err)
{
    if (as_json_parse(&c->tree, text, err) != AS_OK)
        return as_wrap(err, "%s", c->path);
    as_str type = {0};
    if (!as_json_str(as_json_get(c->tree, "peft_type"), &type) || !as_str_eq(type, AS_STR("LORA")))
        return as_fail(err, AS_UNSUPPORTED,
                       "%s: \"peft_type\" is \"%.*s\", this engine runs \"LORA\" only", c->path,
                       AS_ARG(type));
    AS_TRY(refuse_others(c, err));
    double rank = 0;
    AS_TRY(read_number(c, "r", &rank, err));
    if (!(rank >= 1 && rank <= MAX_R) || rank > floor(rank))
        return as_fail(err, AS_RANGE, "%s: \"r\" is %g, want a whole number from 1 to %d", c->path,
                       rank, MAX_R);
    c->rank = (int64_t)rank;
    AS_TRY(read_number(c, "lora_alpha", &c->alpha, err));
    (void)as_json_bool(as_json_get(c->tree, "use_rslora"), &c->is_rslora);
    AS_TRY(read_patterns(c, "rank_pattern", &c->ranks, err));
    AS_TRY(read_patterns(c, "alpha_pattern", &c->alphas, err));
    read_version(c);
    return AS_OK;
}

as_code g4_peft_config_open(g4_peft_config *out, const char *path, as_err *err)
{
    *out = (g4_peft_config){.path = path};
    as_buf text;
    as_buf_init(&text, MAX_BYTES);
    as_code code = as_read_file(&text, path, err);
    if (code == AS_OK)
        code = read_config(out, as_buf_str(&text), err);
    as_buf_release(&text);
    if (code != AS_OK)
        g4_peft_config_release(out);
    return code;
}

static void release_patterns(g4_peft_patterns *p)
{
    for (size_t i = 0; i < p->n; i++)
        as_regex_free(p->all[i].key);
    free(p->all);
    *p = (g4_peft_patterns){0};
}

void g4_peft_config_release(g4_peft_config *c)
{
    release_patterns(&c->ranks);
    release_patterns(&c->alphas);
    as_json_free(c->tree);
    c->tree = NULL;
}

/* The value of the first key that matches, or *value as it is. */
static as_code look_up(const g4_peft_patterns *p, as_str module, double *value, as_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        as_match match;
        bool is_found = false;
        AS_TRY(as_regex_find(p->all[i].key, module, 0, &match, &is_found, err));
        if (is_found) {
            *value = p->all[i].value;
            return AS_OK;
        }
    }
    return AS_OK;
}

as_code g4_peft_module(g4_peft_config *c, as_str module, int64_t *rank, double *scale, as_err *err)
{
    double r = (double)c->rank;
    double alpha = c->alpha;
    if (look_up(&c->ranks, module, &r, err) != AS_OK ||
        look_up(&c->alphas, module, &alpha, err) != AS_OK)
        return as_wrap(err, "%s", c->path);
    if (!(r >= 1 && r <= MAX_R) || r > floor(r))
        return as_fail(err, AS_RANGE, "%s: \"rank_pattern\" gives %.*s the rank %g", c->path,
                       AS_ARG(module), r);
    *rank = (int64_t)r;
    *scale = c->is_rslora ? alpha / sqrt(r) : alpha / r;
    return AS_OK;
}
