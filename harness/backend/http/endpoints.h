#ifndef BACKEND_HTTP_ENDPOINTS_H
#define BACKEND_HTTP_ENDPOINTS_H
/*
 * endpoints.h — the servers of one run: their addresses, load and health.
 *
 * Health     HT_BREAK_AFTER failures in a row (no connection, or overload) take an endpoint out; its
 *            health route is asked every HT_HEALTH_EVERY_MS, and a good answer takes it in again. A
 *            rate limit's wait is kept per endpoint: nothing is sent to it before.
 * Choice     among the healthy ones with room the one with the fewest requests under way; the one
 *            after the last chosen where several have the same.
 * Addresses  http:// or https://, never with a user, a password or a key in them: addresses are
 *            logged and stored. ".../v1" is what programs are often given and is understood; another
 *            path (".../v1beta/openai") takes the place of /v1. A last part that the route begins with
 *            (".../api" and /api/chat) is not said twice.
 * Threads    one list, one thread at a time.
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { HT_BREAK_AFTER = 5, HT_HEALTH_EVERY_MS = 5000, HT_MAX_ENDPOINTS = 64 };

typedef struct ht_endpoint {
    as_str url;     /* NUL-terminated, without a "/" at its end */
    bool is_rooted; /* its path stands for /v1 */
    int n_running;
    int n_failed; /* in a row */
    bool is_out;
    bool is_asked;       /* its health call is under way */
    int64_t ask_at_ns;   /* is_out: when its health is asked next */
    int64_t pause_to_ns; /* nothing is sent before */
} ht_endpoint;

typedef struct ht_endpoints {
    ht_endpoint *at; /* [n] */
    int n, last;
} ht_endpoints;

as_code ht_endpoints_init(ht_endpoints *e, const as_str *urls, int n, as_arena *keep, as_err *err);
/* url + path, path beginning with "/"; NUL-terminated in keep. */
as_str ht_endpoint_url(const ht_endpoint *e, const char *path, as_arena *keep);

/* NULL: none can take a request now; *wake_ns is lowered to when one may. */
ht_endpoint *ht_endpoints_choose(ht_endpoints *e, int max_each, int64_t now_ns, int64_t *wake_ns);
bool ht_endpoints_all_out(const ht_endpoints *e);
/* True if this failure takes the endpoint out. */
bool ht_endpoint_failed(ht_endpoint *e, int64_t now_ns);
void ht_endpoint_worked(ht_endpoint *e);
void ht_endpoint_pause(ht_endpoint *e, int64_t until_ns);

#endif
