/* The system-call filter: the BPF program, interpreted, against the table for every number and both
 * ABIs, and one test for each rule over arguments. */
#define _GNU_SOURCE /* CLONE_* */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "scorers/sandbox/box/filter.h"
#include "unit/cm.h"

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#else
#define NATIVE AUDIT_ARCH_AARCH64
#endif

enum { JUNK = 0x12345678 };

static struct sock_filter program[2][BX_FILTER_MAX];
static size_t length[2];

static int build(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 2; bits++)
        if (bx_filter_build(bits, program[bits], BX_FILTER_MAX, &length[bits]) != 0)
            return -1;
    return 0;
}

static uint32_t load(const struct seccomp_data *d, uint32_t at)
{
    uint32_t v = 0;
    assert_true(at % 4 == 0 && at + 4 <= sizeof *d);
    memcpy(&v, (const char *)d + at, 4);
    return v;
}

/* The few instructions that libseccomp writes; anything else fails the test. */
static uint32_t interpret(uint32_t bits, const struct seccomp_data *d)
{
    uint32_t a = 0;
    for (size_t pc = 0; pc < length[bits]; pc++) {
        const struct sock_filter *i = &program[bits][pc];
        bool is_true = false;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = load(d, i->k);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            is_true = a == i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            is_true = a > i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            is_true = a >= i->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            is_true = (a & i->k) != 0;
            break;
        default:
            fail_msg("instruction %zu: unknown code %#x", pc, (unsigned)i->code);
        }
        pc += is_true ? i->jt : i->jf;
    }
    fail_msg("the program runs off its end");
    return 0;
}

static bx_decision decide(uint32_t bits, uint32_t arch, int number, uint64_t a0, uint64_t a1)
{
    const struct seccomp_data d = {.nr = number, .arch = arch, .args = {a0, a1}};
    const uint32_t r = interpret(bits, &d);
    static const struct {
        uint32_t action;
        bx_decision decision;
    } rows[] = {
        {SECCOMP_RET_KILL_PROCESS, BX_KILL},          {SECCOMP_RET_ALLOW, BX_ALLOW},
        {SECCOMP_RET_ERRNO | EAGAIN, BX_ERRNO_AGAIN}, {SECCOMP_RET_ERRNO | EPERM, BX_ERRNO_PERM},
        {SECCOMP_RET_ERRNO | EACCES, BX_ERRNO_ACCES}, {SECCOMP_RET_ERRNO | ENOSYS, BX_ERRNO_NOSYS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].action == r)
            return rows[i].decision;
    fail_msg("call %d: action %#x", number, r);
    return BX_KILL;
}

static void every_number_as_the_table_says(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 2; bits++)
        for (int number = 0; number <= 600; number++) {
            const bx_decision want = bx_filter_table(number, bits);
            const bx_decision got = decide(bits, NATIVE, number, 0, 0);
            if (want != BX_BY_ARGUMENT && got != want)
                fail_msg("call %d, bits %u: %d, want %d", number, bits, (int)got, (int)want);
        }
}

static void other_doors_are_shut(void **state)
{
    (void)state;
    for (int number = 0; number <= 600; number++) {
        assert_int_equal(decide(0, AUDIT_ARCH_I386, number, 0, 0), BX_KILL);
        assert_int_equal(decide(1, AUDIT_ARCH_ARM, number, 0, 0), BX_KILL);
#if defined(__x86_64__)
        assert_int_equal(decide(0, NATIVE, 0x40000000 + number, 0, 0), BX_KILL);
#endif
    }
}

static void the_table_says_what_the_design_says(void **state)
{
    (void)state;
    static const struct {
        int number;
        bx_decision want;
    } rows[] = {
        {SYS_ptrace, BX_KILL},         {SYS_unshare, BX_KILL},
        {SYS_mount, BX_KILL},          {SYS_bpf, BX_KILL},
        {SYS_io_uring_setup, BX_KILL}, {SYS_setuid, BX_KILL},
        {SYS_seccomp, BX_KILL},        {SYS_open_by_handle_at, BX_KILL},
        {SYS_clone3, BX_ERRNO_NOSYS},  {SYS_memfd_create, BX_ERRNO_NOSYS},
        {SYS_shmget, BX_ERRNO_NOSYS},  {SYS_mq_open, BX_ERRNO_NOSYS},
        {SYS_flock, BX_ERRNO_NOSYS},   {SYS_mknodat, BX_ERRNO_PERM},
        {SYS_read, BX_ALLOW},          {SYS_execve, BX_ALLOW},
        {SYS_futex, BX_ALLOW},         {SYS_clone, BX_BY_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (bx_filter_table(rows[i].number, 0) != rows[i].want)
            fail_msg("call %d", rows[i].number);
#if defined(__x86_64__)
    assert_int_equal(bx_filter_table(SYS_fork, 0), BX_ERRNO_AGAIN);
    assert_int_equal(bx_filter_table(SYS_vfork, 0), BX_ERRNO_AGAIN);
    assert_int_equal(bx_filter_table(SYS_fork, BX_FILTER_FORK), BX_ALLOW);
#endif
}

/* What the argument rules decide; the number is compared as the kernel reads it. */
static const struct {
    const char *why;
    int number;
    uint64_t a0, a1;
    bx_decision want, want_forking;
} arguments[] = {
    {"a thread", SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, BX_ALLOW, BX_ALLOW},
    {"a process", SYS_clone, SIGCHLD, 0, BX_ERRNO_AGAIN, BX_ALLOW},
    {"a vfork", SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, BX_ERRNO_AGAIN, BX_ALLOW},
    {"a user namespace", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, BX_KILL, BX_KILL},
    {"a namespace with a thread", SYS_clone, CLONE_THREAD | CLONE_NEWNET, 0, BX_KILL, BX_KILL},
    {"a pid namespace", SYS_clone, CLONE_NEWPID, 0, BX_KILL, BX_KILL},
    {"a UNIX socket", SYS_socket, AF_UNIX, 0, BX_ALLOW, BX_ALLOW},
    {"an internet socket", SYS_socket, AF_INET, 0, BX_ERRNO_ACCES, BX_ERRNO_ACCES},
    {"netlink", SYS_socket, AF_NETLINK, 0, BX_ERRNO_ACCES, BX_ERRNO_ACCES},
    {"the hypervisor", SYS_socket, AF_VSOCK, 0, BX_KILL, BX_KILL},
    {"the hypervisor with junk above", SYS_socket, ((uint64_t)JUNK << 32) | AF_VSOCK, 0, BX_KILL,
     BX_KILL},
    {"internet with junk above", SYS_socket, ((uint64_t)JUNK << 32) | AF_INET, 0, BX_ERRNO_ACCES,
     BX_ERRNO_ACCES},
    {"an unknown family", SYS_socket, 999, 0, BX_ERRNO_NOSYS, BX_ERRNO_NOSYS},
    {"a pair of UNIX sockets", SYS_socketpair, AF_UNIX, 0, BX_ALLOW, BX_ALLOW},
    {"a pair of others", SYS_socketpair, AF_TIPC, 0, BX_ERRNO_NOSYS, BX_ERRNO_NOSYS},
    {"is it a terminal", SYS_ioctl, 0, TCGETS, BX_ALLOW, BX_ALLOW},
    {"typing into a terminal", SYS_ioctl, 0, TIOCSTI, BX_KILL, BX_KILL},
    {"typing with junk above", SYS_ioctl, 0, ((uint64_t)JUNK << 32) | TIOCSTI, BX_KILL, BX_KILL},
    {"the console", SYS_ioctl, 0, TIOCLINUX, BX_KILL, BX_KILL},
    {"an unknown command", SYS_ioctl, 0, 0xABCD, BX_ERRNO_NOSYS, BX_ERRNO_NOSYS},
    {"descriptor flags", SYS_fcntl, 0, F_SETFD, BX_ALLOW, BX_ALLOW},
    {"a lock", SYS_fcntl, 0, F_SETLK, BX_ERRNO_NOSYS, BX_ERRNO_NOSYS},
    {"a lock of the other kind", SYS_fcntl, 0, 37, BX_ERRNO_NOSYS, BX_ERRNO_NOSYS},
    {"a bigger pipe", SYS_fcntl, 0, F_SETPIPE_SZ, BX_ERRNO_NOSYS, BX_ERRNO_NOSYS},
    {"a thread's name", SYS_prctl, PR_SET_NAME, 0, BX_ALLOW, BX_ALLOW},
    {"a filter of its own", SYS_prctl, PR_SET_SECCOMP, 0, BX_KILL, BX_KILL},
    {"a filter with junk above", SYS_prctl, ((uint64_t)JUNK << 32) | PR_SET_SECCOMP, 0, BX_KILL,
     BX_KILL},
    {"its own limits", SYS_prlimit64, 0, 0, BX_ALLOW, BX_ALLOW},
    {"process 1's limits", SYS_prlimit64, 1, 0, BX_ERRNO_PERM, BX_ERRNO_PERM},
    {"limits of a high pid", SYS_prlimit64, 0x80000000u, 0, BX_ERRNO_PERM, BX_ERRNO_PERM},
    {"its own processors", SYS_sched_setaffinity, 0, 0, BX_ALLOW, BX_ALLOW},
    {"another's processors", SYS_sched_setaffinity, 7, 0, BX_ERRNO_PERM, BX_ERRNO_PERM},
};

static void arguments_decide(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof arguments / sizeof arguments[0]; i++)
        for (uint32_t bits = 0; bits < 2; bits++) {
            const bx_decision want = bits == 0 ? arguments[i].want : arguments[i].want_forking;
            const bx_decision got =
                decide(bits, NATIVE, arguments[i].number, arguments[i].a0, arguments[i].a1);
            if (got != want)
                fail_msg("%s, bits %u: %d, want %d", arguments[i].why, bits, (int)got, (int)want);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_as_the_table_says),
        cmocka_unit_test(other_doors_are_shut),
        cmocka_unit_test(the_table_says_what_the_design_says),
        cmocka_unit_test(arguments_decide),
    };
    return cmocka_run_group_tests(tests, build, NULL);
}
