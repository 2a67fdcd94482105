/*
 * plan.c — what a session would take, what the machine has left, and the refusal when it is less.
 *
 * Counted    caches at full length and buffers. Weights are mapped: the system may drop their pages
 *            and read them again, so they are told but refuse nothing.
 * Available  MemAvailable of /proc/meminfo, and for each control group of the process (v2 or v1, up
 *            to the root) its limit less what it uses, files it could drop not counted as used.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/plan.h"

enum { LINE = 512, MAX_LINES = 4096 };

/* ---- the machine ------------------------------------------------------------------------------ */

/* The number behind `key` on a line of its own; key "": the first line's. -1: none. */
static int64_t number_in(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -1;
    char line[LINE];
    int64_t found = -1;
    for (int i = 0; i < MAX_LINES && found < 0 && fgets(line, sizeof line, f) != NULL; i++) {
        const size_t n = strlen(key);
        as_str number, unit;
        uint64_t v = 0;
        if (strncmp(line, key, n) != 0)
            continue;
        (void)as_str_cut(as_str_trim(as_str_of(line + n)), ' ', &number, &unit);
        if (as_parse_u64(number, &v))
            found = v > INT64_MAX ? INT64_MAX : (int64_t)v;
    }
    (void)fclose(f);
    return found;
}

static int64_t number_of(const char *dir, const char *name, const char *key)
{
    char path[4 * LINE];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return number_in(path, key);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* What one group leaves; -1: it sets no limit. */
static int64_t left_in_group(const char *dir, bool is_v2)
{
    const int64_t limit = number_of(dir, is_v2 ? "memory.max" : "memory.limit_in_bytes", "");
    const int64_t used = number_of(dir, is_v2 ? "memory.current" : "memory.usage_in_bytes", "");
    if (limit < 0 || used < 0 || limit > INT64_MAX / 2) /* v1 writes a huge number for none */
        return -1;
    int64_t left = limit - used;
    static const char *const keys[2][2] = {{"total_inactive_file", "total_active_file"},
                                           {"inactive_file", "active_file"}};
    for (int i = 0; i < 2; i++) {
        const int64_t files = number_of(dir, "memory.stat", keys[is_v2 ? 1 : 0][i]);
        left += files > 0 ? files : 0;
    }
    return left > 0 ? left : 0;
}

/* The group of the process and those above it, below `mount`. */
static int64_t left_in_groups(const char *mount, char *group, bool is_v2)
{
    int64_t left = -1;
    for (;;) {
        char dir[2 * LINE];
        (void)snprintf(dir, sizeof dir, "%s%s", mount, group);
        left = least(left, left_in_group(dir, is_v2));
        char *slash = strrchr(group, '/');
        if (slash == NULL)
            return left;
        *slash = '\0';
    }
}

int64_t g4_memory_available_under(const char *root)
{
    char path[LINE];
    char mount[LINE];
    (void)snprintf(path, sizeof path, "%s/proc/meminfo", root);
    const int64_t kib = number_in(path, "MemAvailable:");
    int64_t left = kib > INT64_MAX / 1024 ? INT64_MAX : kib < 0 ? -1 : kib * 1024;
    (void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    char line[LINE];
    for (int i = 0; f != NULL && i < MAX_LINES && fgets(line, sizeof line, f) != NULL; i++) {
        line[strcspn(line, "\n")] = '\0'; /* "number:controllers:/group" */
        char *controllers = strchr(line, ':');
        char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (group == NULL)
            continue;
        *group++ = '\0';
        const bool is_v2 = controllers[1] == '\0';
        if (!is_v2 && strcmp(controllers, ":memory") != 0)
            continue;
        (void)snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, is_v2 ? "" : "/memory");
        left = least(left, left_in_groups(mount, group, is_v2));
    }
    if (f != NULL)
        (void)fclose(f);
    return left;
}

int64_t g4_memory_available(void)
{
    return g4_memory_available_under("");
}

/* ---- the refusal ------------------------------------------------------------------------------ */

const char *g4_kv_name(g4_kv_type kv)
{
    static const char *const names[] = {"default", "f32", "f16", "q8_0"};
    return kv >= G4_KV_DEFAULT && kv <= G4_KV_Q8_0 ? names[kv] : "unknown";
}

bool g4_kv_parse(as_str name, g4_kv_type *out)
{
    for (g4_kv_type kv = G4_KV_F32; kv <= G4_KV_Q8_0; kv++)
        if (as_str_eq(name, as_str_of(g4_kv_name(kv)))) {
            *out = kv;
            return true;
        }
    return false;
}

static int64_t need_of(const g4_model *m, const g4_session_options *o)
{
    const g4_memory memory = g4_plan(m, o);
    return memory.kv_bytes + memory.scratch_bytes;
}

/* The longest context that fits `have` with a kind of cache, 0: none. */
static int longest(const g4_model *m, const g4_session_options *options, g4_kv_type kv,
                   int64_t have)
{
    g4_session_options o = *options;
    o.kv = kv;
    if (g4_kv_unfit_layer(&m->config, g4_kv_row_type(kv)) >= 0)
        return 0;
    int low = 0;
    int high = options->n_ctx;
    while (low < high) {
        o.n_ctx = low + (high - low + 1) / 2;
        if (need_of(m, &o) <= have)
            low = o.n_ctx;
        else
            high = o.n_ctx - 1;
    }
    return low;
}

/* "25118 positions (f32) or all of them with kv f16", for the sentence. */
static void say_what_fits(char *out, size_t size, const g4_model *m, const g4_session_options *o,
                          int64_t have)
{
    size_t n = 0;
    out[0] = '\0';
    for (g4_kv_type kv = o->kv; kv <= G4_KV_Q8_0 && n < size; kv++) {
        const int fits = longest(m, o, kv, have);
        if (fits == 0)
            continue;
        n += (size_t)snprintf(out + n, size - n, "%s%d positions with kv %s", n > 0 ? ", " : "",
                              fits, g4_kv_name(kv));
        if (fits == o->n_ctx)
            return;
    }
    if (n == 0)
        (void)snprintf(out, size,
                       "no context at all; ask for fewer sequences or a smaller n_batch");
}

as_code g4_check_memory(const g4_model *m, const g4_session_options *o, as_err *err)
{
    const int64_t have = o->memory_limit > 0 ? o->memory_limit : g4_memory_available();
    const g4_memory p = g4_plan(m, o);
    if (have < 0 || p.kv_bytes + p.scratch_bytes <= have)
        return AS_OK;
    char fits[256];
    say_what_fits(fits, sizeof fits, m, o, have);
    return as_fail(err, AS_RANGE,
                   "memory: %d × %d positions take %.4g GB of %s cache (%.4g full + %.4g sliding "
                   "layers) + %.4g GB of buffers = %.4g GB, but %.4g GB are %s; would fit: %s",
                   p.n_seqs, p.n_ctx, (double)p.kv_bytes / 1e9, g4_kv_name(p.kv),
                   (double)p.kv_full_bytes / 1e9, (double)p.kv_sliding_bytes / 1e9,
                   (double)p.scratch_bytes / 1e9, (double)(p.kv_bytes + p.scratch_bytes) / 1e9,
                   (double)have / 1e9, o->memory_limit > 0 ? "allowed" : "available", fits);
}

void g4_memory_text(const g4_memory *m, as_buf *out)
{
    (void)as_buf_printf(
        out,
        "weights %.4g GB (mapped) + cache %.4g GB (%s, %d × %d positions: %.4g full + %.4g sliding "
        "layers) + buffers %.4g GB = %.4g GB",
        (double)m->weights_bytes / 1e9, (double)m->kv_bytes / 1e9, g4_kv_name(m->kv), m->n_seqs,
        m->n_ctx, (double)m->kv_full_bytes / 1e9, (double)m->kv_sliding_bytes / 1e9,
        (double)m->scratch_bytes / 1e9,
        (double)(m->weights_bytes + m->kv_bytes + m->scratch_bytes) / 1e9);
}

as_code g4_session_plan(const g4_model *m, const g4_session_options *options, g4_memory *out,
                        as_err *err)
{
    g4_session_options o;
    AS_TRY(g4_fill_options(&o, m, options, err));
    *out = g4_plan(m, &o);
    return AS_OK;
}

as_code g4_session_fits(const g4_model *m, const g4_session_options *options, as_err *err)
{
    g4_session_options o;
    AS_TRY(g4_fill_options(&o, m, options, err));
    return g4_check_memory(m, &o, err);
}
