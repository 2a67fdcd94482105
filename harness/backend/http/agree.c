#include "backend/http/agree.h"

#include <stdio.h>

enum { MAX_OPTIONS = 64, MAX_WORDS = 300 };

/* The other server alone, asked for no token. */
static as_code open_other(be_backend **out, const ht_driver *d, const be_config *config, int at,
                          as_err *err)
{
    be_option options[MAX_OPTIONS + 1];
    be_config alone = *config;
    alone.name = d->model; /* found at the first one, where the caller gave none */
    alone.base_urls = &config->base_urls[at];
    alone.n_base_urls = 1;
    alone.options = options;
    alone.n_options = 0;
    for (int i = 0; i < config->n_options && alone.n_options < MAX_OPTIONS; i++)
        if (!as_str_eq_z(config->options[i].key, "probe"))
            options[alone.n_options++] = config->options[i];
    options[alone.n_options++] = (be_option){AS_STR("probe"), AS_STR("off")};
    return ht_open(out, d->dialect, &alone, err);
}

static bool texts_differ(as_str a, as_str b)
{
    return a.n != 0 && b.n != 0 && !as_str_eq(a, b);
}

/* In what the models differ, as words; NULL: nothing that both tell. */
static const char *other_model(const ht_driver *a, const ht_driver *b, char words[MAX_WORDS])
{
    const struct {
        const char *name;
        as_str a, b;
    } texts[] = {
        {"weights of sha256", a->info.sha256, b->info.sha256},
        {"name", a->info.model_name, b->info.model_name},
        {"architecture", a->info.architecture, b->info.architecture},
        {"quantization", a->info.quantization, b->info.quantization},
    };
    const struct {
        const char *name;
        int64_t a, b;
    } numbers[] = {
        {"parameters", a->info.n_params, b->info.n_params},
        {"bytes of file", a->info.file_bytes, b->info.file_bytes},
        {"bytes of weights", a->info.weights_bytes, b->info.weights_bytes},
        {"tokens of vocabulary", a->n_vocab, b->n_vocab},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts_differ(texts[i].a, texts[i].b)) {
            (void)snprintf(words, MAX_WORDS, "%s \"%.*s\" and \"%.*s\"", texts[i].name,
                           AS_ARG(as_str_sub(texts[i].a, 0, 80)),
                           AS_ARG(as_str_sub(texts[i].b, 0, 80)));
            return words;
        }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].a > 0 && numbers[i].b > 0 && numbers[i].a != numbers[i].b) {
            (void)snprintf(words, MAX_WORDS, "%s: %lld and %lld", numbers[i].name,
                           (long long)numbers[i].a, (long long)numbers[i].b);
            return words;
        }
    if (a->is_listed && b->lists_models && !b->is_listed) {
        (void)snprintf(words, MAX_WORDS, "the second lists no model \"%.*s\"",
                       AS_ARG(as_str_sub(a->model, 0, 80)));
        return words;
    }
    return NULL;
}

static void tell(ht_driver *d, as_buf *said, as_str url, const ht_driver *other)
{
    const as_str here = d->endpoints.at[ht_first_endpoint(d)].url;
    if (texts_differ(d->info.template_sha256, other->info.template_sha256))
        (void)as_buf_printf(said,
                            "%s%.*s and %.*s have different chat templates (sha256 %.8s and "
                            "%.8s): an answer depends on which of them is asked",
                            said->n != 0 ? "; " : "", AS_ARG(here), AS_ARG(url),
                            d->info.template_sha256.p, other->info.template_sha256.p);
    const int n = d->info.n_ctx, m = other->info.n_ctx;
    if (n <= 0 || m <= 0 || n == m)
        return;
    (void)as_buf_printf(said,
                        "%s%.*s and %.*s have windows of %d and %d tokens: the smaller one counts",
                        said->n != 0 ? "; " : "", AS_ARG(here), AS_ARG(url), n, m);
    d->info.n_ctx = n < m ? n : m;
}

static as_code compare(ht_driver *d, const be_config *config, int at, as_buf *said, as_err *err)
{
    be_backend *be = NULL;
    char words[MAX_WORDS];
    const ht_endpoint *first = &d->endpoints.at[ht_first_endpoint(d)];
    const as_str url = d->endpoints.at[at].url;
    const as_code opened = open_other(&be, d, config, at, err);
    if (opened == AS_RANGE) /* it knows no such model, or refuses the key */
        return as_wrap(err, "%.*s", AS_ARG(url));
    if (opened != AS_OK) {
        as_log_line(d->log, AS_LOG_WARN, "%.*s cannot be asked what it is: %s", AS_ARG(url),
                    err != NULL ? err->text : "");
        return AS_OK;
    }
    const ht_driver *other = (const ht_driver *)be;
    as_code c = AS_OK;
    if (other_model(d, other, words) != NULL)
        c = as_fail(err, AS_RANGE,
                    "%.*s and %.*s serve different models: %s; give addresses of one model (-M "
                    "probe=off does not compare them)",
                    AS_ARG(first->url), AS_ARG(url), words);
    else
        tell(d, said, url, other);
    ht_close(be);
    return c;
}

as_code ht_check_agreement(ht_driver *d, const be_config *config, as_err *err)
{
    as_buf said;
    as_buf_init(&said, 0);
    as_code c = AS_OK;
    const int first = ht_first_endpoint(d);
    for (int i = first + 1; c == AS_OK && i < d->endpoints.n; i++)
        if (!d->endpoints.at[i].is_out)
            c = compare(d, config, i, &said, err);
    if (c == AS_OK && said.n != 0) {
        d->info.disagreement = as_arena_str(&d->keep, as_buf_str(&said));
        ht_identity_text(d, "disagreement", d->info.disagreement);
    }
    as_buf_release(&said);
    return c;
}
