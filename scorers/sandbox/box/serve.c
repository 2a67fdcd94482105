/*
 * serve.c — one fresh process per test, inside a box that stands already.
 *
 *   server ── clone(VM, NEWPID, NEWNS) ──▶ first ── fork ──▶ program
 *
 * The server is init of the box, or an interpreter that has loaded its modules. `first` is process
 * 1 of the test's own pid namespace: it mounts a fresh /tmp, /dev/shm and /proc, forks the program,
 * reaps, and at the program's end kills whatever is left. It shares the server's memory (the server
 * sleeps in wait4 meanwhile), which saves copying the interpreter's page tables twice; so it must
 * not touch anything the server needs, and errno is all it shares in writing.
 *
 * The interpreter's fork has to return on the interpreter's stack. `first` runs on a stack of its
 * own, the program is a copy of it, and longjmp goes back to where the server's loop was entered:
 * that part of the memory was copied too.
 */
#define _GNU_SOURCE /* clone, _Fork, close_range */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *const bx_environment[] = {
    "PATH=/usr/bin:/bin",
    "HOME=/tmp",
    "TMPDIR=/tmp",
    "LANG=C.UTF-8",
    "TZ=UTC",
    "PYTHONHASHSEED=0",
    "PYTHONDONTWRITEBYTECODE=1",
    "PYTHONSAFEPATH=1",
    "OMP_NUM_THREADS=1",
    "OPENBLAS_NUM_THREADS=1",
    "MKL_NUM_THREADS=1",
    "MALLOC_ARENA_MAX=2",
    NULL,
};

/* What the processes of a test share; written by the server before it clones. */
static struct {
    int ctl;
    const bx_setup *setup;
    const char *const *argv;
    bx_order order;
    int fds[BX_TEST_FDS];
    jmp_buf back;
    _Alignas(64) char stack[64 << 10]; /* of `first` */
} server;

bool bx_tell(int ctl, const bx_note *note, int fd)
{
    bx_note sent = *note; /* sendmsg takes what it only reads as a plain pointer */
    struct iovec io = {.iov_base = &sent, .iov_len = sizeof sent};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = &control;
        m.msg_controllen = sizeof control.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do {
        n = sendmsg(ctl, &m, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *note;
}

bool bx_tell_failed(int ctl, bx_step step, int error)
{
    const bx_note note = {.kind = BX_NOTE_FAILED, .step = step, .error = (uint32_t)error};
    return bx_tell(ctl, &note, -1);
}

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* "ran waited times", the times in ns. */
uint64_t bx_waited_us(const char *path, uint64_t all_cpu_us)
{
    char name[80], text[96];
    if (strlen(path) + sizeof "/schedstat" > sizeof name)
        return 0;
    (void)stpcpy(stpcpy(name, path), "/schedstat");
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : 0;
    if (fd >= 0)
        close(fd);
    uint64_t ns[2] = {0};
    for (ssize_t i = 0, k = 0; i < n && k < 2; i++) {
        if (text[i] == ' ')
            k++;
        else if (text[i] >= '0' && text[i] <= '9')
            ns[k] = ns[k] * 10 + (uint64_t)(text[i] - '0');
    }
    const uint64_t ran = ns[0] / 1000, waited = ns[1] / 1000;
    const uint64_t by_others = all_cpu_us > ran ? all_cpu_us - ran : 0;
    return waited > by_others ? waited - by_others : 0;
}

static uint64_t cpu_us(const struct rusage *u)
{
    return (uint64_t)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000u +
           (uint64_t)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

/* ---- the program's process ------------------------------------------------------------------ */

static _Noreturn void give_up(bx_step step)
{
    (void)bx_tell_failed(server.ctl, step, errno);
    _exit(127);
}

static void limit(int what, uint64_t soft, uint64_t hard)
{
    const struct rlimit r = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit((__rlimit_resource_t)what, &r) != 0)
        give_up(BX_STEP_RLIMIT);
}

static void take_limits(void)
{
    const bx_limits *l = &server.order.limits;
    const uint64_t cpu_s = (l->cpu_ms + 999) / 1000 + 1;
    limit(RLIMIT_CPU, cpu_s, cpu_s + 1);
    limit(RLIMIT_STACK, l->stack_bytes, l->stack_bytes);
    limit(RLIMIT_NOFILE, l->files, l->files);
    limit(RLIMIT_FSIZE, l->file_bytes, l->file_bytes);
    limit(RLIMIT_NPROC, l->tasks + server.setup->extra_tasks, l->tasks + server.setup->extra_tasks);
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_MEMLOCK, 0, 0);
    limit(RLIMIT_MSGQUEUE, 0, 0);
    limit(RLIMIT_SIGPENDING, 256, 256);
    /* Address space is not memory: honest programs reserve far more than they touch. Only where the
     * program is a family of processes (a compiler) does it stand in for what cannot be polled. */
    if ((l->flags & BX_TRUSTED_FORK) != 0)
        limit(RLIMIT_AS, l->memory_bytes + (512u << 20), l->memory_bytes + (512u << 20));
}

static void drop_privilege(void)
{
    const bx_setup *s = server.setup;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno == EINVAL)
            break; /* the kernel knows no more of them */
    if (s->has_two_ids) {
        if (setgroups(0, NULL) != 0 ||
            setresgid(s->program_id, s->program_id, s->program_id) != 0 ||
            setresuid(s->program_id, s->program_id, s->program_id) != 0)
            give_up(BX_STEP_IDS);
    }
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &head, none) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        give_up(BX_STEP_CAPABILITIES);
}

static void load_filter(void)
{
    const struct sock_filter *filter = server.setup->filter; /* the call takes it without const */
    struct sock_fprog program = {.len = (unsigned short)server.setup->n_filter};
    memcpy(&program.filter, &filter, sizeof filter);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) !=
        0)
        give_up(BX_STEP_FILTER);
}

/* A memory cgroup should end the program, not the server it came from. */
static void offer_to_oom(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "1000", 4);
        close(fd);
    }
}

static void default_signals(void)
{
    const struct sigaction plain = {.sa_handler = SIG_DFL};
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &plain, NULL);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_program(void)
{
    (void)setsid();
    for (int i = 0; i < 3; i++)
        if (dup2(server.fds[i], i) < 0)
            give_up(BX_STEP_DESCRIPTORS);
    if (server.order.want_oom_first)
        offer_to_oom();
    take_limits();
    if ((server.setup->flags & BX_UNSAFE) == 0 && chdir("/tmp") != 0)
        give_up(BX_STEP_DESCRIPTORS);
    drop_privilege();
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    (void)umask(022);
    const bx_note running = {.kind = BX_NOTE_RUNNING};
    if (!bx_tell(server.ctl, &running, -1))
        _exit(127);
    if (server.argv == NULL) {
        load_filter();
        if (dup2(server.fds[3], BX_PROGRAM_FD) < 0 || close_range(BX_PROGRAM_FD + 1, ~0u, 0) != 0)
            _exit(127);
        longjmp(server.back, 1);
    }
    (void)personality(ADDR_NO_RANDOMIZE);
    default_signals();
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) != 0)
        give_up(BX_STEP_DESCRIPTORS);
    load_filter();
    bx_execve(server.argv, bx_environment);
    give_up(BX_STEP_EXEC);
}

/* ---- process 1 of the test's namespace ------------------------------------------------------ */

/* text and a number, by hand: this code must not call what might allocate. */
static void join(char *out, const char *text, uint64_t v, const char *after)
{
    char digits[24];
    int n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    while (*text != '\0')
        *out++ = *text++;
    while (n > 0)
        *out++ = digits[--n];
    while (*after != '\0')
        *out++ = *after++;
    *out = '\0';
}

static bool mount_fresh(void)
{
    const unsigned long plain = MS_NOSUID | MS_NODEV;
    char options[96];
    const bx_limits *l = &server.order.limits;
    join(options, "mode=1777,nr_inodes=4096,size=", l->tmp_bytes >> 10, "k");
    const unsigned long no_exec = (l->flags & BX_EXEC_TMP) != 0 ? 0 : MS_NOEXEC;
    if (mount("tmpfs", "/tmp", "tmpfs", plain | no_exec, options) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", plain | MS_NOEXEC, "mode=1777,nr_inodes=64,size=1m") !=
            0) {
        (void)bx_tell_failed(server.ctl, BX_STEP_MOUNT_TMP, errno);
        return false;
    }
    if (server.setup->has_proc &&
        mount("proc", "/proc", "proc", plain | MS_NOEXEC, "subset=pid") != 0) {
        (void)bx_tell_failed(server.ctl, BX_STEP_MOUNT_PROC, errno);
        return false;
    }
    return true;
}

/* Waits for the program, reaping whatever else ends, then ends the rest. */
static void reap(pid_t program, bx_note *ended, uint64_t began_us)
{
    int status = 0;
    for (;;) {
        siginfo_t gone = {0}; /* not reaped yet: what it waited can still be read */
        const int bad = waitid(P_ALL, 0, &gone, WEXITED | WNOWAIT | __WALL);
        if (bad != 0 && errno != EINTR)
            return;
        if (bad == 0 && gone.si_pid == program)
            break;
        if (bad == 0)
            (void)wait4(gone.si_pid, &status, __WALL, NULL);
    }
    ended->wall_us = now_us() - began_us;
    if (ended->wall_us > server.order.limits.wall_ms * 1000) {
        char path[64];
        siginfo_t same;
        struct rusage usage = {0};
        join(path, "/proc/", (uint64_t)program, "");
        /* the system call tells what the process used, the library's function does not */
        (void)syscall(SYS_waitid, P_PID, program, &same, WEXITED | WNOWAIT | __WALL, &usage);
        ended->waited_us = bx_waited_us(path, cpu_us(&usage));
    }
    if (wait4(program, &status, __WALL, NULL) != program)
        return;
    ended->status = (uint32_t)status;
    if ((server.setup->flags & BX_UNSAFE) != 0)
        (void)kill(-program, SIGKILL);
    else
        (void)kill(-1, SIGKILL);
    int other = 0;
    while (wait4(-1, &other, __WALL, NULL) > 0 || errno == EINTR)
        continue;
    struct rusage all;
    if (getrusage(RUSAGE_CHILDREN, &all) == 0) {
        ended->cpu_us = cpu_us(&all);
        ended->peak_bytes = (uint64_t)all.ru_maxrss << 10;
    }
}

static int first(void *unused)
{
    (void)unused;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    const bool is_unsafe = (server.setup->flags & BX_UNSAFE) != 0;
    if (is_unsafe)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    else if (!mount_fresh())
        _exit(1);
    const uint64_t began_us = now_us();
    const pid_t program = _Fork();
    if (program == 0)
        become_program();
    if (program < 0) {
        (void)bx_tell_failed(server.ctl, BX_STEP_FORK, errno);
        _exit(1);
    }
    for (int i = 0; i < BX_TEST_FDS; i++)
        close(server.fds[i]);
    bx_note ended = {.kind = BX_NOTE_ENDED};
    reap(program, &ended, began_us);
    (void)bx_tell(server.ctl, &ended, -1);
    _exit(0);
}

/* ---- the server ----------------------------------------------------------------------------- */

static bool receive_order(void)
{
    struct iovec io = {.iov_base = &server.order, .iov_len = sizeof server.order};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(BX_TEST_FDS * sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.room};
    ssize_t n;
    do {
        n = recvmsg(server.ctl, &m, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    const struct cmsghdr *c = n == (ssize_t)sizeof server.order ? CMSG_FIRSTHDR(&m) : NULL;
    if (c == NULL || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(BX_TEST_FDS * sizeof(int)))
        return false;
    memcpy(server.fds, CMSG_DATA(c), sizeof server.fds);
    return true;
}

static void close_test_fds(void)
{
    for (int i = 0; i < BX_TEST_FDS; i++)
        close(server.fds[i]);
}

static void run_one(void)
{
    int pidfd = -1;
    const bool is_unsafe = (server.setup->flags & BX_UNSAFE) != 0;
    const int spaces = is_unsafe ? 0 : CLONE_NEWPID | CLONE_NEWNS;
    const pid_t pid = clone(first, server.stack + sizeof server.stack,
                            CLONE_VM | CLONE_PIDFD | spaces | SIGCHLD, NULL, &pidfd);
    const int error = errno;
    if (pid < 0) {
        close_test_fds();
        (void)bx_tell_failed(server.ctl, BX_STEP_CLONE, error);
        return;
    }
    const bx_note started = {.kind = BX_NOTE_STARTED};
    (void)bx_tell(server.ctl, &started, pidfd);
    close(pidfd);
    close_test_fds();
    struct rusage usage;
    int status = 0;
    while (wait4(pid, &status, __WALL, &usage) < 0 && errno == EINTR)
        continue;
    const bx_note done = {.kind = BX_NOTE_DONE,
                          .cpu_us = cpu_us(&usage),
                          .peak_bytes = (uint64_t)usage.ru_maxrss << 10};
    (void)bx_tell(server.ctl, &done, -1);
}

void bx_serve(int ctl, const bx_setup *setup, const char *const argv[])
{
    server.ctl = ctl;
    server.setup = setup;
    server.argv = argv;
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (setjmp(server.back) != 0)
        return;
    const bx_note ready = {.kind = BX_NOTE_READY, .status = setup->has_proc};
    if (!bx_tell(ctl, &ready, -1))
        _exit(1);
    while (receive_order())
        run_one();
    _exit(0);
}
