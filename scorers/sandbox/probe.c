/*
 * probe.c — what this machine can do: one box that runs `true` proves it; the step that failed and
 * its errno tell why not, and what to do.
 */
#define _GNU_SOURCE /* CLONE_NEW… */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "scorers/sandbox/pool_impl.h"
#include "scorers/sandbox/verdict.h"

as_code sb_find_helper(char path[SB_PATH_BYTES], const char *given, as_err *err)
{
    char self[SB_PATH_BYTES];
    int n = 0;
    if (given != NULL) {
        n = snprintf(path, SB_PATH_BYTES, "%s", given);
    } else {
        const ssize_t got = readlink("/proc/self/exe", self, sizeof self - 1);
        self[got > 0 ? got : 0] = '\0';
        char *slash = strrchr(self, '/');
        if (slash == NULL)
            return as_fail(err, AS_UNSUPPORTED,
                           "sandbox: no /proc here, so the helper assay-box "
                           "cannot be found; mount /proc");
        *slash = '\0';
        n = snprintf(path, SB_PATH_BYTES, "%s/assay-box", self);
    }
    if (n < 0 || n >= SB_PATH_BYTES || access(path, X_OK) != 0)
        return as_fail(err, AS_UNSUPPORTED,
                       "sandbox: no helper program at %.300s; it is built and installed beside "
                       "assay and has to stay there",
                       path);
    return AS_OK;
}

static const char *remedy(uint32_t step, uint32_t error)
{
    if (step == BX_STEP_CLONE && error == ENOSPC)
        return "user.max_user_namespaces is 0 or used up; raise it: sysctl -w "
               "user.max_user_namespaces=10000";
    if (step == BX_STEP_CLONE && error == ENOSYS)
        return "a container's filter hides clone3; start the container with --security-opt "
               "seccomp=unconfined";
    if (step == BX_STEP_MOUNT_PROC)
        return "the container masks /proc; start it with --security-opt systempaths=unconfined";
    if (step == BX_STEP_CLONE || step == BX_STEP_ID_MAP || step == BX_STEP_MOUNT_PRIVATE ||
        step == BX_STEP_MOUNT_ROOT || step == BX_STEP_NO_MORE_NAMESPACES)
        return "user namespaces are restricted here; allow them (sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=0 or "
               "kernel.unprivileged_userns_clone=1), or start the container with --security-opt "
               "seccomp=unconfined or --privileged";
    return "see `assay doctor`";
}

static as_code refuse(uint32_t step, uint32_t error, as_err *err)
{
    char why[128];
    return as_fail(err, AS_UNSUPPORTED,
                   "sandbox: model-written code is not run without a sandbox, and none can be had "
                   "here: %s: %s; %s",
                   bx_step_name((bx_step)step), strerror_r((int)error, why, sizeof why),
                   remedy(step, error));
}

static void name_sandbox(sb_pool *pool, const bx_status *s)
{
    if (pool->is_unsafe)
        (void)snprintf(pool->sandbox, sizeof pool->sandbox, "none");
    else
        (void)snprintf(pool->sandbox, sizeof pool->sandbox, "namespaces%s%s%s",
                       (s->clone_flags & CLONE_NEWUSER) != 0 ? "" : "-without-user",
                       s->cgroup == 0   ? ""
                       : s->cgroup == 1 ? "+cgroup1"
                                        : "+cgroup2",
                       s->cgroup != 0 && !s->can_limit_memory ? "(cpu)" : "");
}

as_code sb_prove(sb_slot *slot, as_err *err)
{
    sb_pool *pool = slot->pool;
    static const char *const argv[] = {"/bin/true", NULL};
    sb_limits l;
    AS_TRY(sb_limits_fill(&l, &(sb_limits){0}, 1, err));
    const sb_box_spec spec = {
        .kind = BX_EXEC, .limits = sb_limits_wire(&l, pool->is_unsafe), .argv = argv};
    sb_helper *h = &slot->checker;
    AS_TRY(sb_slot_helper(slot, h, err));
    AS_TRY(sb_helper_open(h, &spec, err));
    if (!h->has_box)
        return refuse(h->status.step, h->status.error, err);
    bx_record r = {0};
    as_str output, errors;
    AS_TRY(sb_helper_test(h, &spec.limits, (as_str){0}, (as_str){0}, &r, &output, &errors, err));
    if (r.step != BX_STEP_NONE)
        return refuse(r.step, r.error, err);
    if (r.act != BX_ACT_NONE || r.status != 0)
        return as_fail(err, AS_UNSUPPORTED, "sandbox: /bin/true does not end well in a box");
    name_sandbox(pool, &h->status);
    return sb_helper_close_box(h, err);
}

/* "what: first line", or empty. */
static void version_of(char *out, size_t cap, const char *path, const char *behind)
{
    as_buf b;
    as_buf_init(&b, 8192);
    const char *const argv[] = {path, "--version", NULL};
    as_proc_result r;
    out[0] = '\0';
    if (access(path, X_OK) == 0 && as_proc_run(argv, "/", 20000, &b, NULL, &r, NULL) == AS_OK &&
        r.exit_code == 0) {
        as_str line, rest;
        (void)as_str_cut(as_buf_str(&b), '\n', &line, &rest);
        (void)snprintf(out, cap, "%.*s%s", AS_ARG(as_str_sub(line, 0, 80)), behind);
    }
    as_buf_release(&b);
}

void sb_find_tools(sb_pool *pool)
{
    version_of(pool->python, sizeof pool->python, SB_PYTHON_PATH, "");
    version_of(pool->cpp, sizeof pool->cpp, SB_CXX_PATH, " " SB_CXX_FLAGS);
}

static as_str flags_text(uint32_t flags, as_arena *keep)
{
    static const struct {
        uint32_t flag;
        const char *name;
    } rows[] = {{CLONE_NEWUSER, "user"},    {CLONE_NEWPID, "pid"}, {CLONE_NEWNS, "mount"},
                {CLONE_NEWNET, "net"},      {CLONE_NEWIPC, "ipc"}, {CLONE_NEWUTS, "uts"},
                {CLONE_NEWCGROUP, "cgroup"}};
    char text[96] = "";
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if ((flags & rows[i].flag) != 0)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n != 0 ? " " : "",
                                  rows[i].name);
    return as_arena_str(keep, as_str_of(n != 0 ? text : "none"));
}

void sb_probe(sb_machine *out, const sb_pool_options *options, as_arena *keep)
{
    *out = (sb_machine){.namespaces = AS_STR("unknown"),
                        .cgroups = AS_STR("unknown"),
                        .id_maps = AS_STR("unknown")};
    sb_pool_options one = *options;
    one.n_slots = 1;
    sb_pool *pool = NULL;
    as_err err = {0};
    if (sb_pool_open(&pool, &one, &err) != AS_OK) {
        out->sandbox = as_arena_str(keep, as_str_of(err.text));
        return;
    }
    const bx_status *s = &pool->slots[0].checker.status;
    out->can_box = true;
    out->sandbox = as_arena_str(keep, as_str_of(pool->sandbox));
    out->namespaces = flags_text(s->clone_flags, keep);
    out->cgroups = s->cgroup == 0 ? AS_STR("none usable: memory is polled, programs may not fork")
                                  : as_arena_printf(keep, "v%u: %s%s", (unsigned)s->cgroup,
                                                    s->can_limit_memory ? "memory " : "",
                                                    s->can_count_cpu ? "CPU" : "");
    out->id_maps = s->is_root != 0
                       ? AS_STR("two ids of a range of their own, never the host's root")
                       : AS_STR("one id, the user's own");
    out->python = as_arena_str(
        keep, as_str_of(pool->python[0] != '\0' ? pool->python : "missing: install python3"));
    out->cpp =
        as_arena_str(keep, as_str_of(pool->cpp[0] != '\0' ? pool->cpp : "missing: install g++"));
    sb_pool_close(pool);
}
