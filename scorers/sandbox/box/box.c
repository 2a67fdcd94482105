/*
 * box.c — the helper's half that makes and ends boxes.
 */
#define _GNU_SOURCE /* clone flags, memfd_create, SCM_CREDENTIALS */
#include "boxd.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Host ids of boxes: just above what systemd hands to its containers, two for each helper. */
enum { ID_BASE = 0x70000000, ID_RANGE = 0x00800000 };
enum { INSIDE_INIT = 0, INSIDE_PROGRAM = 1000 };
enum { OPEN_MS = 30000, LEAVE_MS = 100, OWN_TASKS = 4, OWN_MEMORY = 48 << 20 };

/* fork.so, put into the helper by the build. */
extern const uint8_t bx_fork_so[], bx_fork_so_end[];
__asm__(".section .rodata\n.balign 16\n.global bx_fork_so\n.global bx_fork_so_end\n"
        "bx_fork_so:\n.incbin \"" BX_FORK_SO "\"\nbx_fork_so_end:\n.byte 0\n.previous\n");

uint64_t bx_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

int bx_memfd(const void *p, size_t n)
{
    const int fd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const uint8_t *at = p;
    for (size_t left = n; fd >= 0 && left != 0;) {
        const ssize_t put = write(fd, at, left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            close(fd);
            return -1;
        }
        at += put;
        left -= (size_t)put;
    }
    if (fd >= 0)
        (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

/* ---- notes ---------------------------------------------------------------------------------- */

static void take_ancillary(struct msghdr *m, pid_t *sender, int *fd)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred cred;
            memcpy(&cred, CMSG_DATA(c), sizeof cred);
            *sender = cred.pid;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            if (*fd >= 0)
                close(*fd);
            memcpy(fd, CMSG_DATA(c), sizeof *fd);
        }
    }
}

int bx_receive_note(int ctl, bx_note *note, pid_t *sender, int *fd, bool want_wait)
{
    struct iovec io = {.iov_base = note, .iov_len = sizeof *note};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *fd = -1;
    *sender = 0;
    ssize_t n;
    do {
        n = recvmsg(ctl, &m, MSG_CMSG_CLOEXEC | (want_wait ? 0 : MSG_DONTWAIT));
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (n > 0)
        take_ancillary(&m, sender, fd);
    return n == (ssize_t)sizeof *note ? 1 : -1;
}

/* ---- making a box --------------------------------------------------------------------------- */

static void failed(bx_boxd *d, bx_step step, int error)
{
    d->status.step = step;
    d->status.error = (uint32_t)error;
}

static bool write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t n = write(fd, text, strlen(text));
    const int error = errno;
    close(fd);
    errno = error;
    return n == (ssize_t)strlen(text);
}

static uint32_t host_id(void)
{
    return (uint32_t)ID_BASE + 2 * ((uint32_t)getpid() % (ID_RANGE / 2));
}

bool bx_has_two_ids(void)
{
    char text[4096] = "";
    const int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (geteuid() != 0 || n <= 0)
        return geteuid() == 0;
    bool is_host_root = false;
    for (char *at = text; *at != '\0';) { /* lines of: inside, outside, count */
        const unsigned long long inside = strtoull(at, &at, 10);
        const unsigned long long outside = strtoull(at, &at, 10);
        const unsigned long long count = strtoull(at, &at, 10);
        if (inside <= ID_BASE && inside + count >= (unsigned long long)ID_BASE + ID_RANGE)
            return true;
        if (inside == 0 && outside == 0 && count != 0)
            is_host_root = true;
        while (*at == '\n' || *at == ' ')
            at++;
        if (count == 0)
            break;
    }
    return is_host_root; /* never give a box the host's root for lack of other ids: fail instead */
}

static bool map_ids(const bx_boxd *d)
{
    char text[128];
    if (d->is_root) {
        const uint32_t id = host_id();
        (void)snprintf(text, sizeof text, "%d %u 1\n%d %u 1\n", INSIDE_INIT, id, INSIDE_PROGRAM,
                       id + 1);
        return write_proc(d->init, "uid_map", text) && write_proc(d->init, "gid_map", text);
    }
    (void)snprintf(text, sizeof text, "%d %u 1\n", INSIDE_PROGRAM, (unsigned)geteuid());
    if (!write_proc(d->init, "setgroups", "deny") || !write_proc(d->init, "uid_map", text))
        return false;
    (void)snprintf(text, sizeof text, "%d %u 1\n", INSIDE_PROGRAM, (unsigned)getegid());
    return write_proc(d->init, "gid_map", text);
}

/* 0 in the new process, its pid here, or -1. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes there */
static pid_t clone_init(uint64_t flags, int *pidfd)
{
    struct clone_args args = {.flags = flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                              .pidfd = (uint64_t)(uintptr_t)pidfd,
                              .exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static bool copy_files(bx_plan *plan, const bx_open *o)
{
    plan->n_files = o->n_files;
    for (uint32_t i = 0; i < o->n_files; i++) {
        memcpy(plan->names[i], o->files[i].name, BX_NAME_BYTES);
        plan->modes[i] = o->files[i].mode;
        plan->contents[i] = bx_memfd(o->files[i].p, o->files[i].n);
    }
    if (o->kind == BX_PYTHON) {
        const uint32_t i = plan->n_files++;
        (void)snprintf(plan->names[i], BX_NAME_BYTES, "fork.so");
        plan->modes[i] = 0555;
        plan->contents[i] = bx_memfd(bx_fork_so, (size_t)(bx_fork_so_end - bx_fork_so));
    }
    for (uint32_t i = 0; i < plan->n_files; i++)
        if (plan->contents[i] < 0)
            return false;
    return true;
}

static void close_files(const bx_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_files; i++)
        if (plan->contents[i] >= 0)
            close(plan->contents[i]);
}

static bool send_setup(bx_boxd *d, const bx_limits *l, bool has_userns)
{
    static bx_setup setup;
    memset(&setup, 0, sizeof setup);
    const bool may_fork =
        (l->flags & BX_TRUSTED_FORK) != 0 || ((l->flags & BX_FORK) != 0 && d->status.can_count_cpu);
    setup.flags = l->flags & BX_UNSAFE;
    setup.has_userns = has_userns;
    setup.has_two_ids = d->is_root && (l->flags & BX_UNSAFE) == 0;
    setup.init_id = has_userns ? INSIDE_INIT : host_id();
    setup.program_id = has_userns ? INSIDE_PROGRAM : host_id() + 1;
    /* as an ordinary user all of the box's processes have one id */
    setup.extra_tasks = setup.has_two_ids ? 0 : OWN_TASKS;
    if ((l->flags & BX_UNSAFE) != 0)
        setup.extra_tasks = 4096; /* counted with everything else the user runs */
    size_t n = 0;
    const int error =
        bx_filter_build(may_fork ? BX_FILTER_FORK : 0, setup.filter, BX_FILTER_MAX, &n);
    if (error != 0) {
        failed(d, BX_STEP_FILTER, error);
        return false;
    }
    setup.n_filter = (uint32_t)n;
    const size_t bytes = BX_SETUP_BYTES(n);
    if (send(d->ctl, &setup, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
        failed(d, BX_STEP_PROTOCOL, errno);
        return false;
    }
    return true;
}

static bool wait_ready(bx_boxd *d)
{
    const uint64_t deadline = bx_now_us() + OPEN_MS * 1000ull;
    for (;;) {
        const uint64_t now = bx_now_us();
        struct pollfd p[2] = {{.fd = d->ctl, .events = POLLIN}, {.fd = d->pidfd, .events = POLLIN}};
        if (now >= deadline) {
            failed(d, BX_STEP_PROTOCOL, ETIMEDOUT);
            return false;
        }
        if (poll(p, 2, (int)((deadline - now) / 1000) + 1) <= 0)
            continue;
        bx_note note;
        pid_t sender;
        int fd;
        const int got = bx_receive_note(d->ctl, &note, &sender, &fd, false);
        if (fd >= 0)
            close(fd);
        if (got == 1 && note.kind == BX_NOTE_READY) {
            d->status.has_proc = note.status != 0;
            return true;
        }
        if (got == 1 && note.kind == BX_NOTE_FAILED) {
            failed(d, note.step < BX_N_STEPS ? (bx_step)note.step : BX_STEP_PROTOCOL,
                   (int)(note.error & 4095));
            return false;
        }
        if (got != 0 || (p[1].revents & POLLIN) != 0) {
            failed(d, d->spec.kind == BX_PYTHON ? BX_STEP_INTERPRETER : BX_STEP_PROTOCOL, ECHILD);
            return false;
        }
    }
}

static pid_t start_init(bx_boxd *d, bx_plan *plan, int inside, bool *has_userns)
{
    const bool is_unsafe = (plan->limits.flags & BX_UNSAFE) != 0;
    const uint64_t spaces =
        CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    *has_userns = !is_unsafe;
    pid_t pid = clone_init(is_unsafe ? 0 : spaces | CLONE_NEWUSER, &d->pidfd);
    if (pid < 0 && d->is_root && !is_unsafe) { /* no user namespaces here: root can do without */
        *has_userns = false;
        d->userns_error = errno;
        pid = clone_init(spaces, &d->pidfd);
    }
    if (pid == 0) {
        close(d->harness);
        close(d->ctl);
        plan->ctl = inside;
        bx_init_main(plan);
    }
    if (pid > 0)
        d->status.clone_flags =
            (uint32_t)(is_unsafe ? 0 : spaces | (*has_userns ? CLONE_NEWUSER : 0));
    return pid;
}

static bool place_and_release(bx_boxd *d, const bx_open *o, bool has_userns)
{
    if (has_userns && !map_ids(d)) {
        failed(d, BX_STEP_ID_MAP, errno);
        return false;
    }
    const bx_cgroup *g = &d->cgroup;
    if (!bx_cgroup_limit(g, o->limits.memory_bytes + OWN_MEMORY, o->limits.tasks + OWN_TASKS) ||
        !bx_cgroup_enter(g, d->init)) {
        failed(d, BX_STEP_CGROUP, errno);
        return false;
    }
    return send_setup(d, &o->limits, has_userns);
}

static bool make_folder(bx_boxd *d, uint32_t flags)
{
    d->folder[0] = '\0';
    if ((flags & BX_UNSAFE) == 0)
        return true;
    (void)snprintf(d->folder, sizeof d->folder, "/tmp/assay-unsafe-%ld", (long)getpid());
    if (mkdir(d->folder, 0700) == 0)
        return true;
    d->folder[0] = '\0';
    return false;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* Follows no links. */
static bool remove_folder(bx_boxd *d)
{
    const bool is_gone =
        d->folder[0] == '\0' || nftw(d->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0;
    d->folder[0] = '\0';
    return is_gone;
}

void bx_box_open(bx_boxd *d, const bx_open *o)
{
    d->status = (bx_status){.cgroup = d->cgroup.version,
                            .can_limit_memory = d->cgroup.memory[0] != '\0',
                            .can_count_cpu = d->cgroup.cpu[0] != '\0',
                            .is_root = d->is_root};
    d->spec = *o;
    static bx_plan plan;
    memset(&plan, 0, sizeof plan);
    plan.kind = o->kind;
    plan.limits = o->limits;
    for (uint32_t i = 0; i < o->n_args; i++)
        plan.argv[i] = d->spec.args[i];
    int pair[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        failed(d, BX_STEP_DESCRIPTORS, errno);
        return;
    }
    const int on = 1;
    (void)setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    d->ctl = pair[0];
    bool has_userns = false;
    plan.folder = d->folder;
    if (!make_folder(d, o->limits.flags) || !copy_files(&plan, o)) {
        failed(d, BX_STEP_FILES, errno);
    } else if ((d->init = start_init(d, &plan, pair[1], &has_userns)) < 0) {
        failed(d, BX_STEP_CLONE, errno);
    } else {
        d->is_open = true;
    }
    close_files(&plan);
    close(pair[1]);
    if (!d->is_open) {
        close(d->ctl);
        (void)remove_folder(d);
        return;
    }
    if (!place_and_release(d, o, has_userns) || !wait_ready(d)) {
        (void)bx_box_close(d);
        if (d->userns_error != 0) /* the reason behind the reason */
            failed(d, BX_STEP_CLONE, d->userns_error);
    }
}

bool bx_box_close(bx_boxd *d)
{
    if (!d->is_open)
        return true;
    d->is_open = false;
    /* The closed socket ends a server that is between tests, and then init waits for it. A killed init
     * would do without, and the CPU time of what it did not wait for would be in nobody's account. */
    close(d->ctl);
    struct pollfd end = {.fd = d->pidfd, .events = POLLIN};
    (void)poll(&end, 1, LEAVE_MS);
    (void)syscall(SYS_pidfd_send_signal, d->pidfd, SIGKILL, NULL, 0);
    int status = 0;
    pid_t got;
    do {
        got = waitpid(d->init, &status, __WALL);
    } while (got < 0 && errno == EINTR);
    close(d->pidfd);
    while (waitpid(-1, &status, WNOHANG | __WALL) > 0)
        continue; /* unsafe: what came to us as subreaper */
    return remove_folder(d) && got == d->init;
}
