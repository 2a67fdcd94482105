#ifndef SCORERS_SANDBOX_BOX_CGROUP_H
#define SCORERS_SANDBOX_BOX_CGROUP_H
/*
 * cgroup.h — memory, CPU and process counts of a box, where the machine lets us have them.
 *
 * Backends   v2 (one directory), v1 (one in each of memory, cpuacct, pids), none. A v2 directory
 *            without controllers still counts CPU time. Every call is fine on "none".
 * Places     below the caller's own cgroup, else beside it, else at the root: the first where a
 *            directory can be made. Named assay-box-<pid>; those of dead pids are removed at open.
 * Units      bytes, µs.
 * Threads    one cgroup, one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { BX_CG_PATH = 512 };

typedef struct bx_cgroup {
    uint32_t version;        /* 0 none, 1, 2 */
    char memory[BX_CG_PATH]; /* directories; empty: not to be had */
    char cpu[BX_CG_PATH];
    char pids[BX_CG_PATH];
} bx_cgroup;

void bx_cgroup_open(bx_cgroup *g);
/* Removes the directories; false if one stays (something still runs in it). */
bool bx_cgroup_close(bx_cgroup *g);
bool bx_cgroup_limit(const bx_cgroup *g, uint64_t memory_bytes, uint32_t tasks);
bool bx_cgroup_enter(const bx_cgroup *g, pid_t pid);
uint64_t bx_cgroup_cpu_us(const bx_cgroup *g);
uint64_t bx_cgroup_oom_kills(const bx_cgroup *g);
/* The highest use since the last reset, 0 if unknown. */
uint64_t bx_cgroup_peak(const bx_cgroup *g);
void bx_cgroup_reset_peak(const bx_cgroup *g);

/* Pure parts, for tests. The path of this process below the hierarchy of `controller` ("" for v2)
 * in the text of /proc/self/cgroup; false if there is none or it does not fit. */
bool bx_cgroup_own_path(const char *text, const char *controller, char *out, size_t cap);
/* The mount point of that hierarchy in the text of /proc/self/mountinfo. */
bool bx_cgroup_mount(const char *text, const char *controller, char *out, size_t cap);
/* The number behind "key " at the start of a line; false if there is none. */
bool bx_cgroup_field(const char *text, const char *key, uint64_t *out);

#endif
