#define _GNU_SOURCE /* memfd_create, CLONE_* */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* clang-format off */
static const int killed[] = {
    /* other processes' memory and descriptors */
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
    /* mounts, roots, namespaces */
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(open_tree), SCMP_SYS(move_mount),
    SCMP_SYS(mount_setattr), SCMP_SYS(unshare), SCMP_SYS(setns),
    /* ways round the filter and into the kernel */
    SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(seccomp),
    SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(name_to_handle_at),
    /* the machine */
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
    SCMP_SYS(quotactl), SCMP_SYS(quotactl_fd), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname), SCMP_SYS(syslog), SCMP_SYS(personality), SCMP_SYS(modify_ldt),
    /* who one is */
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
};

static const int allowed[] = {
    /* files */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat),
    SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(lseek),
    SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(preadv),
    SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(access), SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(sendfile),
    SCMP_SYS(copy_file_range), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(truncate),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64), SCMP_SYS(readahead),
    SCMP_SYS(getdents), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(chdir), SCMP_SYS(fchdir),
    SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdir), SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
    SCMP_SYS(symlink), SCMP_SYS(symlinkat), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(chmod),
    SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(chown), SCMP_SYS(fchown), SCMP_SYS(lchown),
    SCMP_SYS(fchownat), SCMP_SYS(umask), SCMP_SYS(utime), SCMP_SYS(utimes), SCMP_SYS(futimesat),
    SCMP_SYS(utimensat), SCMP_SYS(pipe), SCMP_SYS(pipe2),
    /* waiting for files */
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd), SCMP_SYS(signalfd4),
    /* local sockets, for event loops; socket and socketpair by argument */
    SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(listen),
    SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
    /* memory */
    SCMP_SYS(mmap), SCMP_SYS(mprotect), SCMP_SYS(munmap), SCMP_SYS(brk), SCMP_SYS(mremap),
    SCMP_SYS(msync), SCMP_SYS(mincore), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(mlock2),
    SCMP_SYS(munlock), SCMP_SYS(mlockall), SCMP_SYS(munlockall), SCMP_SYS(membarrier),
    SCMP_SYS(pkey_alloc), SCMP_SYS(pkey_free), SCMP_SYS(pkey_mprotect),
    /* time */
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times), SCMP_SYS(alarm), SCMP_SYS(getitimer),
    SCMP_SYS(setitimer), SCMP_SYS(timer_create), SCMP_SYS(timer_settime), SCMP_SYS(timer_gettime),
    SCMP_SYS(timer_getoverrun), SCMP_SYS(timer_delete),
    /* signals */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(rt_tgsigqueueinfo),
    SCMP_SYS(rt_sigsuspend), SCMP_SYS(sigaltstack), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(tgkill),
    SCMP_SYS(pause), SCMP_SYS(restart_syscall),
    /* threads and the process itself */
    SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list),
    SCMP_SYS(set_tid_address), SCMP_SYS(gettid), SCMP_SYS(rseq), SCMP_SYS(arch_prctl),
    SCMP_SYS(set_thread_area), SCMP_SYS(get_thread_area), SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_setparam),
    SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_setscheduler), SCMP_SYS(sched_getattr),
    SCMP_SYS(sched_get_priority_max), SCMP_SYS(sched_get_priority_min), SCMP_SYS(sched_rr_get_interval),
    SCMP_SYS(getpriority), SCMP_SYS(setpriority), SCMP_SYS(getcpu), SCMP_SYS(execve), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(getpid), SCMP_SYS(getppid),
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getgroups),
    SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getpgid), SCMP_SYS(getpgrp), SCMP_SYS(setpgid),
    SCMP_SYS(getsid), SCMP_SYS(setsid), SCMP_SYS(capget), SCMP_SYS(getrlimit), SCMP_SYS(setrlimit),
    SCMP_SYS(getrusage), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrandom),
};

static const int not_permitted[] = {SCMP_SYS(mknod), SCMP_SYS(mknodat)};
static const int makes_processes[] = {SCMP_SYS(fork), SCMP_SYS(vfork)};
static const int by_argument[] = {SCMP_SYS(clone), SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(ioctl),
    SCMP_SYS(fcntl), SCMP_SYS(prctl), SCMP_SYS(prlimit64), SCMP_SYS(sched_setaffinity)};

static const uint64_t namespace_flags[] = {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
    CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET};

/* TIOCSTI and TIOCLINUX type into terminals; what is in neither list is ENOSYS. */
static const uint32_t ioctl_allowed[] = {TCGETS, TIOCGWINSZ, TIOCGPGRP, TIOCOUTQ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};
static const uint32_t ioctl_killed[] = {TIOCSTI, TIOCLINUX};
/* No locks, leases or bigger pipes: locks on files of /usr would reach other boxes. */
static const uint32_t fcntl_allowed[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL,
    F_GETPIPE_SZ, F_GETOWN, F_SETOWN, F_GETSIG, F_SETSIG, F_GET_SEALS, F_ADD_SEALS};
/* clang-format on */

enum { N_FAMILIES = 46 }; /* address families that a kernel knows today */

#define N_OF(list) (sizeof(list) / sizeof((list)[0]))
#define LOW_HALF   0xFFFFFFFFu

static bool is_in(int number, const int *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == number)
            return true;
    return false;
}

bx_decision bx_filter_table(int number, uint32_t bits)
{
    if (number < 0)
        return BX_KILL;
    if (is_in(number, killed, N_OF(killed)))
        return BX_KILL;
    if (is_in(number, allowed, N_OF(allowed)))
        return BX_ALLOW;
    if (is_in(number, not_permitted, N_OF(not_permitted)))
        return BX_ERRNO_PERM;
    if (is_in(number, makes_processes, N_OF(makes_processes)))
        return (bits & BX_FILTER_FORK) != 0 ? BX_ALLOW : BX_ERRNO_AGAIN;
    if (is_in(number, by_argument, N_OF(by_argument)))
        return BX_BY_ARGUMENT;
    return BX_ERRNO_NOSYS;
}

/* Collects rules; the first failure sticks. */
typedef struct builder {
    scmp_filter_ctx ctx;
    int error;
} builder;

static void rule(builder *b, uint32_t action, int number)
{
    if (b->error == 0 && number >= 0)
        b->error = seccomp_rule_add(b->ctx, action, number, 0);
}

/* action where all 64 bits of the argument compare to the value so. */
static void rule_compared(builder *b, uint32_t action, int number, unsigned arg,
                          enum scmp_compare how, uint64_t value)
{
    const struct scmp_arg_cmp cmp = {.arg = arg, .op = how, .datum_a = value};
    if (b->error == 0 && number >= 0)
        b->error = seccomp_rule_add_array(b->ctx, action, number, 1, &cmp);
}

/* action where (argument & mask) == value. */
static void rule_masked(builder *b, uint32_t action, int number, unsigned arg, uint64_t mask,
                        uint64_t value)
{
    const struct scmp_arg_cmp cmp = {
        .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
    if (b->error == 0 && number >= 0)
        b->error = seccomp_rule_add_array(b->ctx, action, number, 1, &cmp);
}

static void rules(builder *b, uint32_t action, const int *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rule(b, action, numbers[i]);
}

/* Threads yes, processes only with the bit, namespaces never. The conditions exclude each other, so
 * that their order does not matter. */
static void clone_rules(builder *b, uint32_t bits)
{
    uint64_t all = 0;
    for (size_t i = 0; i < N_OF(namespace_flags); i++) {
        all |= namespace_flags[i];
        rule_masked(b, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 0, namespace_flags[i],
                    namespace_flags[i]);
    }
    rule_masked(b, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0, all | CLONE_THREAD, CLONE_THREAD);
    const uint32_t process =
        (bits & BX_FILTER_FORK) != 0 ? SCMP_ACT_ALLOW : (uint32_t)SCMP_ACT_ERRNO(EAGAIN);
    rule_masked(b, process, SCMP_SYS(clone), 0, all | CLONE_THREAD, 0);
}

/* The kernel translates the filter for every test: few rules, so runs of numbers as one each. */
static void socket_rules(builder *b)
{
    for (uint32_t family = 0, n = 1; family < N_FAMILIES; family += n, n = 1) {
        uint32_t action = SCMP_ACT_ERRNO(EACCES);
        if (family == AF_UNIX)
            action = SCMP_ACT_ALLOW;
        else if (family == AF_VSOCK)
            action = SCMP_ACT_KILL_PROCESS;
        else /* the longest aligned run without the two */
            while (family % (2 * n) == 0 && family + 2 * n <= N_FAMILIES &&
                   (AF_UNIX < family || AF_UNIX >= family + 2 * n) &&
                   (AF_VSOCK < family || AF_VSOCK >= family + 2 * n))
                n *= 2;
        rule_masked(b, action, SCMP_SYS(socket), 0, LOW_HALF & ~(n - 1), family);
    }
    rule_masked(b, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 0, LOW_HALF, AF_UNIX);
}

static void command_rules(builder *b)
{
    for (size_t i = 0; i < N_OF(ioctl_allowed); i++)
        rule_masked(b, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, LOW_HALF, ioctl_allowed[i]);
    for (size_t i = 0; i < N_OF(ioctl_killed); i++)
        rule_masked(b, SCMP_ACT_KILL_PROCESS, SCMP_SYS(ioctl), 1, LOW_HALF, ioctl_killed[i]);
    for (size_t i = 0; i < N_OF(fcntl_allowed); i++)
        rule_masked(b, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, LOW_HALF, fcntl_allowed[i]);
}

/* A 32-bit number that is not `value` differs from it in some bit: one rule a bit. */
static void rule_unless(builder *b, uint32_t action, int number, unsigned arg, uint32_t value)
{
    for (unsigned i = 0; i < 32; i++)
        rule_masked(b, action, number, arg, 1u << i, ~value & (1u << i));
}

static void self_rules(builder *b)
{
    rule_masked(b, SCMP_ACT_KILL_PROCESS, SCMP_SYS(prctl), 0, LOW_HALF, PR_SET_SECCOMP);
    rule_unless(b, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 0, PR_SET_SECCOMP);
    const int on_processes[] = {SCMP_SYS(prlimit64), SCMP_SYS(sched_setaffinity)};
    for (size_t i = 0; i < N_OF(on_processes); i++) { /* pid 0, all 64 bits of it: oneself */
        rule_compared(b, SCMP_ACT_ALLOW, on_processes[i], 0, SCMP_CMP_EQ, 0);
        rule_compared(b, SCMP_ACT_ERRNO(EPERM), on_processes[i], 0, SCMP_CMP_NE, 0);
    }
}

static void add_all(builder *b, uint32_t bits)
{
    rules(b, SCMP_ACT_KILL_PROCESS, killed, N_OF(killed));
    rules(b, SCMP_ACT_ALLOW, allowed, N_OF(allowed));
    rules(b, SCMP_ACT_ERRNO(EPERM), not_permitted, N_OF(not_permitted));
    rules(b, (bits & BX_FILTER_FORK) != 0 ? SCMP_ACT_ALLOW : (uint32_t)SCMP_ACT_ERRNO(EAGAIN),
          makes_processes, N_OF(makes_processes));
    clone_rules(b, bits);
    socket_rules(b);
    command_rules(b);
    self_rules(b);
}

/* libseccomp 2.5 writes its programs to descriptors only. */
static int export_to(scmp_filter_ctx ctx, struct sock_filter *out, size_t cap, size_t *n)
{
    const int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = -seccomp_export_bpf(ctx, fd);
    if (error == 0) {
        const ssize_t got = pread(fd, out, cap * sizeof *out, 0);
        const off_t all = lseek(fd, 0, SEEK_END);
        if (got <= 0 || (off_t)got != all || (size_t)got % sizeof *out != 0)
            error = E2BIG;
        else
            *n = (size_t)got / sizeof *out;
    }
    close(fd);
    return error;
}

int bx_filter_build(uint32_t bits, struct sock_filter *out, size_t cap, size_t *n)
{
    *n = 0;
    builder b = {.ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS))};
    if (b.ctx == NULL)
        return ENOMEM;
    b.error = seccomp_attr_set(b.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (b.error == 0) /* a binary tree over the numbers instead of a list */
        b.error = seccomp_attr_set(b.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    add_all(&b, bits);
    const int error = b.error != 0 ? -b.error : export_to(b.ctx, out, cap, n);
    seccomp_release(b.ctx);
    return error;
}
