#include "backend/http/endpoints.h"

#include <strings.h>

static bool starts_with(as_str s, const char *prefix)
{
    return s.n >= strlen(prefix) && strncasecmp(s.p, prefix, strlen(prefix)) == 0;
}

/* Fails with the remedy if the address cannot be used. */
static as_code ht_url_check(as_str url, as_err *err)
{
    if (!starts_with(url, "http://") && !starts_with(url, "https://"))
        return as_fail(err, AS_RANGE, "--base-url %.*s: want http://HOST:PORT or https://HOST",
                       AS_ARG(url));
    const as_str rest = as_str_sub(url, starts_with(url, "https://") ? 8 : 7, url.n);
    as_str host, path;
    (void)as_str_cut(rest, '/', &host, &path);
    if (as_str_find(host, AS_STR("@")) != SIZE_MAX)
        return as_fail(err, AS_RANGE,
                       "--base-url: an address with user:password@ is refused, since addresses are "
                       "stored; put the key into an environment variable and name it: -M "
                       "key_env=NAME");
    if (as_str_find(rest, AS_STR("?")) != SIZE_MAX || as_str_find(rest, AS_STR("key=")) != SIZE_MAX)
        return as_fail(err, AS_RANGE,
                       "--base-url: an address with \"?\" or \"key=\" is refused, since addresses "
                       "are stored; put the key into an environment variable and name it: -M "
                       "key_env=NAME");
    if (host.n == 0)
        return as_fail(err, AS_RANGE, "--base-url %.*s: has no host", AS_ARG(url));
    for (size_t i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] <= ' ' || url.p[i] == '#')
            return as_fail(err, AS_RANGE, "--base-url %.*s: want no blanks and no \"#\"",
                           AS_ARG(url));
    return AS_OK;
}

static as_code endpoint_init(ht_endpoint *e, as_str url, as_arena *keep, as_err *err)
{
    AS_TRY(ht_url_check(url, err));
    while (url.n != 0 && url.p[url.n - 1] == '/')
        url.n--;
    const size_t host_at = starts_with(url, "https://") ? 8 : 7;
    const bool has_path = as_str_find(as_str_sub(url, host_at, url.n), AS_STR("/")) != SIZE_MAX;
    const bool is_v1 = has_path && as_str_ends(url, AS_STR("/v1"));
    if (is_v1)
        url.n -= 3;
    *e = (ht_endpoint){.url = as_arena_str(keep, url), .is_rooted = has_path && !is_v1};
    return as_str_is_set(e->url) ? AS_OK : as_nomem(err);
}

as_code ht_endpoints_init(ht_endpoints *e, const as_str *urls, int n, as_arena *keep, as_err *err)
{
    *e = (ht_endpoints){0};
    if (n < 1 || n > HT_MAX_ENDPOINTS)
        return as_fail(err, AS_RANGE, "--base-url: %d addresses, want 1 to %d", n,
                       HT_MAX_ENDPOINTS);
    ht_endpoint *at = as_new(keep, ht_endpoint, n);
    if (at == NULL)
        return as_nomem(err);
    for (int i = 0; i < n; i++)
        AS_TRY(endpoint_init(&at[i], urls[i], keep, err));
    *e = (ht_endpoints){.at = at, .n = n, .last = n - 1};
    return AS_OK;
}

as_str ht_endpoint_url(const ht_endpoint *e, const char *path, as_arena *keep)
{
    if (e->is_rooted && strncmp(path, "/v1/", 4) == 0) {
        path += 3;
    } else if (e->is_rooted) { /* ".../api" and "/api/chat": said once */
        const char *end = strchr(path + 1, '/');
        const as_str first = {path, end != NULL ? (size_t)(end - path) : 0};
        if (first.n != 0 && as_str_ends(e->url, first))
            path += first.n;
    }
    return as_arena_printf(keep, "%s%s", e->url.p, path);
}

ht_endpoint *ht_endpoints_choose(ht_endpoints *e, int max_each, int64_t now_ns, int64_t *wake_ns)
{
    ht_endpoint *best = NULL;
    int best_at = 0;
    for (int k = 1; k <= e->n; k++) {
        const int i = (e->last + k) % e->n;
        ht_endpoint *p = &e->at[i];
        if (p->is_out || p->n_running >= max_each)
            continue;
        if (p->pause_to_ns > now_ns) {
            if (p->pause_to_ns < *wake_ns)
                *wake_ns = p->pause_to_ns;
            continue;
        }
        if (best == NULL || p->n_running < best->n_running) {
            best = p;
            best_at = i;
        }
    }
    if (best != NULL)
        e->last = best_at;
    return best;
}

bool ht_endpoints_all_out(const ht_endpoints *e)
{
    for (int i = 0; i < e->n; i++)
        if (!e->at[i].is_out)
            return false;
    return true;
}

bool ht_endpoint_failed(ht_endpoint *e, int64_t now_ns)
{
    e->n_failed++;
    if (e->is_out || e->n_failed < HT_BREAK_AFTER)
        return false;
    e->is_out = true;
    e->ask_at_ns = now_ns + (int64_t)HT_HEALTH_EVERY_MS * 1000000;
    return true;
}

void ht_endpoint_worked(ht_endpoint *e)
{
    e->n_failed = 0;
    e->is_out = false;
}

void ht_endpoint_pause(ht_endpoint *e, int64_t until_ns)
{
    if (until_ns > e->pause_to_ns)
        e->pause_to_ns = until_ns;
}
