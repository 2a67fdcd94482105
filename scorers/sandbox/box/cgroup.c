#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "assay-box-"

enum { TEXT_BYTES = 64 << 10, REMOVE_TRIES = 100 };

/* ---- texts ---------------------------------------------------------------------------------- */

/* `word` is one of the comma-separated words of list[0, n). */
static bool has_word(const char *list, size_t n, const char *word)
{
    const size_t w = strlen(word);
    for (size_t at = 0; at <= n;) {
        size_t end = at;
        while (end < n && list[end] != ',')
            end++;
        if (end - at == w && memcmp(list + at, word, w) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

bool bx_cgroup_own_path(const char *text, const char *controller, char *out, size_t cap)
{
    for (const char *line = text; *line != '\0';) {
        const size_t n = strcspn(line, "\n");
        const char *a = memchr(line, ':', n);
        const char *b = a != NULL ? memchr(a + 1, ':', n - (size_t)(a + 1 - line)) : NULL;
        if (b != NULL) {
            const size_t names = (size_t)(b - a - 1);
            const bool is_it = controller[0] == '\0' ? names == 0 && line[0] == '0'
                                                     : has_word(a + 1, names, controller);
            const size_t path = n - (size_t)(b + 1 - line);
            if (is_it && path < cap) {
                memcpy(out, b + 1, path);
                out[path] = '\0';
                return true;
            }
        }
        line += n + (line[n] == '\n');
    }
    return false;
}

/* The i-th blank-separated field of line[0, n), from 0. */
static const char *field(const char *line, size_t n, size_t i, size_t *length)
{
    size_t at = 0;
    for (;; i--) {
        size_t end = at;
        while (end < n && line[end] != ' ')
            end++;
        if (i == 0) {
            *length = end - at;
            return line + at;
        }
        if (end >= n)
            return NULL;
        at = end + 1;
    }
}

bool bx_cgroup_mount(const char *text, const char *controller, char *out, size_t cap)
{
    for (const char *line = text; *line != '\0';) {
        const size_t n = strcspn(line, "\n");
        size_t at_n = 0, type_n = 0, options_n = 0;
        const char *at = field(line, n, 4, &at_n);
        const char *dash = NULL;
        for (size_t i = 0; i + 3 <= n && dash == NULL; i++)
            if (memcmp(line + i, " - ", 3) == 0)
                dash = line + i + 3;
        if (at != NULL && dash != NULL) {
            const size_t rest = n - (size_t)(dash - line);
            const char *type = field(dash, rest, 0, &type_n);
            const char *options = field(dash, rest, 2, &options_n);
            const bool is_v2 = type_n == 7 && memcmp(type, "cgroup2", 7) == 0;
            const bool is_v1 = type_n == 6 && memcmp(type, "cgroup", 6) == 0;
            const bool is_it = controller[0] == '\0' ? is_v2
                                                     : is_v1 && options != NULL &&
                                                           has_word(options, options_n, controller);
            if (is_it && at_n < cap) {
                memcpy(out, at, at_n);
                out[at_n] = '\0';
                return true;
            }
        }
        line += n + (line[n] == '\n');
    }
    return false;
}

bool bx_cgroup_field(const char *text, const char *key, uint64_t *out)
{
    const size_t k = strlen(key);
    for (const char *line = text; *line != '\0';) {
        const size_t n = strcspn(line, "\n");
        if (n > k + 1 && memcmp(line, key, k) == 0 && line[k] == ' ' && line[k + 1] >= '0' &&
            line[k + 1] <= '9') {
            errno = 0;
            const unsigned long long v = strtoull(line + k + 1, NULL, 10);
            if (errno != 0)
                return false;
            *out = v;
            return true;
        }
        line += n + (line[n] == '\n');
    }
    return false;
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool read_text(const char *path, char *text, size_t cap)
{
    text[0] = '\0';
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < cap; n += got > 0 ? (size_t)got : 0)
        got = read(fd, text + n, cap - 1 - n);
    text[n] = '\0';
    close(fd);
    return n != 0;
}

static bool join(char *out, const char *dir, const char *name)
{
    const int n = snprintf(out, BX_CG_PATH, "%s/%s", dir, name);
    return n > 0 && n < BX_CG_PATH;
}

static bool get(const char *dir, const char *name, char *text, size_t cap)
{
    char path[BX_CG_PATH];
    return dir[0] != '\0' && join(path, dir, name) && read_text(path, text, cap);
}

static bool put(const char *dir, const char *name, const char *text)
{
    char path[BX_CG_PATH];
    if (dir[0] == '\0' || !join(path, dir, name))
        return false;
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

static bool put_number(const char *dir, const char *name, uint64_t v)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    return put(dir, name, text);
}

static bool has_file(const char *dir, const char *name)
{
    char path[BX_CG_PATH];
    return join(path, dir, name) && access(path, W_OK) == 0;
}

/* ---- directories ---------------------------------------------------------------------------- */

/* Removes the boxes of helpers that are gone. */
static void sweep(const char *parent)
{
    DIR *d = opendir(parent);
    if (d == NULL)
        return;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strncmp(e->d_name, PREFIX, sizeof PREFIX - 1) != 0)
            continue;
        const long pid = strtol(e->d_name + sizeof PREFIX - 1, NULL, 10);
        char path[BX_CG_PATH];
        if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH && join(path, parent, e->d_name))
            (void)rmdir(path);
    }
    (void)closedir(d);
}

/* Makes our directory in the hierarchy: below the own cgroup, beside it, or at the root. needed: a
 * control file that must be there, or NULL. */
static bool make_in(char *out, const char *controller, const char *needed, const char *cgroups,
                    const char *mounts)
{
    char mount[BX_CG_PATH], own[BX_CG_PATH], parent[BX_CG_PATH * 2], name[64];
    out[0] = '\0';
    if (!bx_cgroup_mount(mounts, controller, mount, sizeof mount) ||
        !bx_cgroup_own_path(cgroups, controller, own, sizeof own))
        return false;
    (void)snprintf(name, sizeof name, PREFIX "%ld", (long)getpid());
    for (int step = 0; step < 3; step++) {
        if (step == 1) {
            char *slash = strrchr(own, '/');
            if (slash == NULL)
                return false;
            *slash = '\0';
        }
        if (step == 2)
            own[0] = '\0';
        (void)snprintf(parent, sizeof parent, "%s%s", mount,
                       own[0] == '/' && own[1] == '\0' ? "" : own);
        if (strlen(parent) + sizeof name >= BX_CG_PATH)
            continue;
        sweep(parent);
        if (!join(out, parent, name) || (mkdir(out, 0755) != 0 && errno != EEXIST))
            continue;
        if (has_file(out, "cgroup.procs") && (needed == NULL || has_file(out, needed)))
            return true;
        (void)rmdir(out);
    }
    out[0] = '\0';
    return false;
}

static void copy_path(char *to, const char *from)
{
    memcpy(to, from, BX_CG_PATH);
}

void bx_cgroup_open(bx_cgroup *g)
{
    memset(g, 0, sizeof *g);
    static char cgroups[TEXT_BYTES], mounts[4 * TEXT_BYTES];
    if (!read_text("/proc/self/cgroup", cgroups, sizeof cgroups) ||
        !read_text("/proc/self/mountinfo", mounts, sizeof mounts))
        return;
    char dir[BX_CG_PATH];
    if (make_in(dir, "", "memory.max", cgroups, mounts)) {
        g->version = 2;
        copy_path(g->memory, dir);
        copy_path(g->cpu, dir);
        if (has_file(dir, "pids.max"))
            copy_path(g->pids, dir);
        return;
    }
    (void)make_in(g->memory, "memory", "memory.limit_in_bytes", cgroups, mounts);
    (void)make_in(g->cpu, "cpuacct", "cpuacct.usage", cgroups, mounts);
    (void)make_in(g->pids, "pids", "pids.max", cgroups, mounts);
    if (g->memory[0] != '\0' || g->cpu[0] != '\0' || g->pids[0] != '\0') {
        g->version = 1;
        return;
    }
    if (make_in(dir, "", NULL, cgroups, mounts)) {
        g->version = 2;
        copy_path(g->cpu, dir);
    }
}

/* And those of helpers that were killed, so that the last to end leaves nothing. */
static bool remove_dir(const char *dir)
{
    if (dir[0] == '\0')
        return true;
    for (int i = 0; i < REMOVE_TRIES; i++) {
        if (rmdir(dir) == 0 || errno == ENOENT) {
            char parent[BX_CG_PATH];
            (void)snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(dir, '/') - dir), dir);
            sweep(parent);
            return true;
        }
        const struct timespec pause = {.tv_nsec = 2000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

bool bx_cgroup_close(bx_cgroup *g)
{
    bool is_gone = remove_dir(g->memory);
    is_gone = remove_dir(g->cpu) && is_gone;
    is_gone = remove_dir(g->pids) && is_gone;
    memset(g, 0, sizeof *g);
    return is_gone;
}

bool bx_cgroup_limit(const bx_cgroup *g, uint64_t memory_bytes, uint32_t tasks)
{
    bool is_fine = true;
    if (g->memory[0] != '\0') {
        if (g->version == 2) {
            is_fine = put_number(g->memory, "memory.max", memory_bytes);
            (void)put(g->memory, "memory.swap.max", "0");
            (void)put(g->memory, "memory.oom.group", "0");
        } else {
            (void)put(g->memory, "memory.force_empty", "0"); /* what an earlier box left */
            is_fine = put_number(g->memory, "memory.limit_in_bytes", memory_bytes);
            (void)put(g->memory, "memory.swappiness", "0");
        }
    }
    if (g->pids[0] != '\0')
        is_fine = put_number(g->pids, "pids.max", tasks) && is_fine;
    return is_fine;
}

bool bx_cgroup_enter(const bx_cgroup *g, pid_t pid)
{
    bool is_fine = true;
    const char *const dirs[] = {g->memory, g->cpu, g->pids};
    for (size_t i = 0; i < 3; i++)
        if (dirs[i][0] != '\0')
            is_fine = put_number(dirs[i], "cgroup.procs", (uint64_t)pid) && is_fine;
    return is_fine;
}

uint64_t bx_cgroup_cpu_us(const bx_cgroup *g)
{
    char text[4096];
    uint64_t v = 0;
    if (g->version == 2) {
        if (get(g->cpu, "cpu.stat", text, sizeof text))
            (void)bx_cgroup_field(text, "usage_usec", &v);
        return v;
    }
    return get(g->cpu, "cpuacct.usage", text, sizeof text) ? strtoull(text, NULL, 10) / 1000 : 0;
}

uint64_t bx_cgroup_oom_kills(const bx_cgroup *g)
{
    char text[4096];
    uint64_t v = 0;
    if (get(g->memory, g->version == 2 ? "memory.events" : "memory.oom_control", text, sizeof text))
        (void)bx_cgroup_field(text, "oom_kill", &v);
    return v;
}

uint64_t bx_cgroup_peak(const bx_cgroup *g)
{
    char text[64];
    return get(g->memory, g->version == 2 ? "memory.peak" : "memory.max_usage_in_bytes", text,
               sizeof text)
               ? strtoull(text, NULL, 10)
               : 0;
}

void bx_cgroup_reset_peak(const bx_cgroup *g)
{
    if (g->version == 1)
        (void)put(g->memory, "memory.max_usage_in_bytes", "0");
}
