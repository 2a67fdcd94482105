/*
 * init.c — the first process of a box: builds the walls from inside, then serves or keeps the
 * interpreter that serves.
 *
 * Everything the program will see is made here, while nothing of it runs: a root of our own on a
 * small tmpfs, /usr from the host read-only, five devices, the program's files copied in (a bind
 * mount would show the host's path names in mountinfo). Nothing on a disk is ever written.
 */
#define _GNU_SOURCE /* mount_setattr's number, close_range, setresuid */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static bx_setup setup;
static int ctl = -1;

static _Noreturn void fail(bx_step step)
{
    (void)bx_tell_failed(ctl, step, errno);
    _exit(1);
}

static void need(bool is_fine, bx_step step)
{
    if (!is_fine)
        fail(step);
}

static void receive_setup(void)
{
    ssize_t n;
    do {
        n = recv(ctl, &setup, sizeof setup, 0);
    } while (n < 0 && errno == EINTR);
    if (n < (ssize_t)BX_SETUP_BYTES(0) || setup.n_filter > BX_FILTER_MAX ||
        n != (ssize_t)BX_SETUP_BYTES(setup.n_filter))
        _exit(1); /* the helper is gone */
}

static bool write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

static bool touch(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    close(fd);
    return true;
}

/* ---- ids ------------------------------------------------------------------------------------ */

static void take_ids(void)
{
    if (setup.has_userns && setup.has_two_ids)
        need(setgroups(0, NULL) == 0 &&
                 setresgid(setup.init_id, setup.init_id, setup.init_id) == 0 &&
                 setresuid(setup.init_id, setup.init_id, setup.init_id) == 0,
             BX_STEP_IDS);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* taking ids clears it */
}

/* Without a user namespace init would go on as the host's root: keep the capabilities that serving
 * needs and leave the id. */
static void leave_root(void)
{
    if (setup.has_userns || !setup.has_two_ids)
        return;
    need(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setgroups(0, NULL) == 0 &&
             setresgid(setup.init_id, setup.init_id, setup.init_id) == 0 &&
             setresuid(setup.init_id, setup.init_id, setup.init_id) == 0,
         BX_STEP_IDS);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* All permitted capabilities effective, inheritable and ambient: they are those of the box's user
 * namespace, and have to outlive the interpreter's exec. */
static void keep_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    need(syscall(SYS_capget, &head, caps) == 0, BX_STEP_CAPABILITIES);
    for (int i = 0; i < 2; i++)
        caps[i].effective = caps[i].inheritable = caps[i].permitted;
    need(syscall(SYS_capset, &head, caps) == 0, BX_STEP_CAPABILITIES);
    for (unsigned cap = 0; cap < 64; cap++)
        if ((caps[cap / 32].permitted >> (cap % 32) & 1u) != 0)
            (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
}

/* ---- mounts --------------------------------------------------------------------------------- */

#define ROOT "/tmp" /* where the new root grows; any folder that exists would do */

static const unsigned long quiet = MS_NOSUID | MS_NODEV;

static bool bind_read_only(const char *from, const char *to)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0)
        return false;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    if (syscall(SYS_mount_setattr, AT_FDCWD, to, AT_RECURSIVE, &attr, sizeof attr) == 0)
        return true;
    return errno == ENOSYS &&
           mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | quiet, NULL) == 0;
}

static void mount_root(void)
{
    need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, BX_STEP_MOUNT_PRIVATE);
    need(mount("tmpfs", ROOT, "tmpfs", quiet, "mode=755,size=256k,nr_inodes=96") == 0,
         BX_STEP_MOUNT_ROOT);
    static const char *const folders[] = {"usr", "dev", "dev/shm", "etc", "tmp", "proc", "box"};
    char path[64];
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        (void)snprintf(path, sizeof path, ROOT "/%s", folders[i]);
        need(mkdir(path, 0755) == 0, BX_STEP_MOUNT_ROOT);
    }
}

/* /bin, /lib … are links into /usr on a merged system, folders on an old one. */
static void mount_usr(void)
{
    need(bind_read_only("/usr", ROOT "/usr"), BX_STEP_MOUNT_USR);
    static const char *const names[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char from[32], to[32], target[256];
        (void)snprintf(from, sizeof from, "/%s", names[i]);
        (void)snprintf(to, sizeof to, ROOT "/%s", names[i]);
        const ssize_t n = readlink(from, target, sizeof target - 1);
        if (n > 0) {
            target[n] = '\0';
            need(symlink(target, to) == 0, BX_STEP_MOUNT_USR);
        } else if (errno == EINVAL) {
            need(mkdir(to, 0755) == 0 && bind_read_only(from, to), BX_STEP_MOUNT_USR);
        }
    }
    if (access("/etc/ld.so.cache", R_OK) == 0)
        need(touch(ROOT "/etc/ld.so.cache") &&
                 bind_read_only("/etc/ld.so.cache", ROOT "/etc/ld.so.cache"),
             BX_STEP_MOUNT_USR);
    if (access("/etc/alternatives", R_OK) == 0)
        need(mkdir(ROOT "/etc/alternatives", 0755) == 0 &&
                 bind_read_only("/etc/alternatives", ROOT "/etc/alternatives"),
             BX_STEP_MOUNT_USR);
}

static void mount_dev(void)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom"};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        char from[32], to[32];
        (void)snprintf(from, sizeof from, "/dev/%s", nodes[i]);
        (void)snprintf(to, sizeof to, ROOT "/dev/%s", nodes[i]);
        need(touch(to) && mount(from, to, NULL, MS_BIND, NULL) == 0, BX_STEP_MOUNT_DEV);
    }
    need(symlink("/proc/self/fd", ROOT "/dev/fd") == 0 && symlink("fd/0", ROOT "/dev/stdin") == 0 &&
             symlink("fd/1", ROOT "/dev/stdout") == 0 && symlink("fd/2", ROOT "/dev/stderr") == 0,
         BX_STEP_MOUNT_DEV);
}

/* A container that masks its own /proc forbids a fresh one; programs can do without. */
static void mount_proc(void)
{
    setup.has_proc = mount("proc", ROOT "/proc", "proc", quiet | MS_NOEXEC, "subset=pid") == 0;
    need(setup.has_proc || errno == EPERM, BX_STEP_MOUNT_PROC);
}

static bool copy_in(const bx_plan *plan, const char *folder, uint32_t i)
{
    char path[BX_NAME_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, plan->names[i]);
    const int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)plan->modes[i]);
    if (to < 0)
        return false;
    off_t at = 0;
    ssize_t n;
    do {
        n = sendfile(to, plan->contents[i], &at, 1 << 24);
    } while (n > 0 || (n < 0 && errno == EINTR));
    const bool is_fine = n == 0 && fchmod(to, (mode_t)plan->modes[i]) == 0;
    close(to);
    close(plan->contents[i]);
    return is_fine;
}

static void mount_box(const bx_plan *plan)
{
    need(mount("tmpfs", ROOT "/box", "tmpfs", quiet, "mode=755,size=80m,nr_inodes=32") == 0,
         BX_STEP_FILES);
    for (uint32_t i = 0; i < plan->n_files; i++)
        need(copy_in(plan, ROOT "/box", i), BX_STEP_FILES);
}

static void change_root(void)
{
    need(chdir(ROOT) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
             umount2(".", MNT_DETACH) == 0 && chdir("/") == 0,
         BX_STEP_PIVOT);
    const unsigned long read_only = MS_REMOUNT | MS_BIND | MS_RDONLY | quiet;
    need(mount(NULL, "/", NULL, read_only, NULL) == 0 &&
             mount(NULL, "/box", NULL, read_only, NULL) == 0,
         BX_STEP_READ_ONLY);
}

static void build_walls(const bx_plan *plan)
{
    take_ids();
    /* Per user namespace: nothing in the box can make another one, whatever the filter misses. */
    if (setup.has_userns)
        need(write_file("/proc/sys/user/max_user_namespaces", "0"), BX_STEP_NO_MORE_NAMESPACES);
    mount_root();
    mount_usr();
    mount_dev();
    mount_proc();
    mount_box(plan);
    change_root();
    need(sethostname("box", 3) == 0, BX_STEP_HOST_NAME);
    leave_root();
    keep_capabilities();
}

/* ---- without walls -------------------------------------------------------------------------- */

/* --unsafe-no-sandbox: files in a folder of their own, "/box/" in the arguments rewritten to it. */
static void use_folder(bx_plan *plan)
{
    static char args[BX_MAX_ARGS][512];
    for (uint32_t i = 0; i < plan->n_files; i++)
        need(copy_in(plan, plan->folder, i), BX_STEP_FILES);
    need(chdir(plan->folder) == 0, BX_STEP_FILES);
    for (size_t i = 0; plan->argv[i] != NULL; i++) {
        const char *box = strstr(plan->argv[i], "/box/");
        if (box == NULL)
            continue;
        (void)snprintf(args[i], sizeof args[i], "%.*s%s%s", (int)(box - plan->argv[i]),
                       plan->argv[i], plan->folder, box + strlen("/box"));
        plan->argv[i] = args[i];
    }
}

/* ---- the interpreter that serves ------------------------------------------------------------ */

static _Noreturn void exec_interpreter(const bx_plan *plan)
{
    const int copy = memfd_create("setup", 0);
    const size_t n = BX_SETUP_BYTES(setup.n_filter);
    need(copy >= 0 && write(copy, &setup, n) == (ssize_t)n, BX_STEP_INTERPRETER);
    /* 0 like a test's input, 1 and 2 like its pipes: the interpreter looks at their kinds. */
    const int input = memfd_create("input", 0);
    int output[2];
    need(input >= 0 && pipe(output) == 0, BX_STEP_DESCRIPTORS);
    /* above the fixed numbers first, so that no dup2 overwrites what a later one needs */
    const int high = fcntl(ctl, F_DUPFD, 16), high_copy = fcntl(copy, F_DUPFD, 16);
    need(dup2(input, 0) >= 0 && dup2(output[1], 1) >= 0 && dup2(output[1], 2) >= 0 &&
             dup2(high, BX_CTL_FD) >= 0 && dup2(high_copy, BX_SETUP_FD) >= 0,
         BX_STEP_DESCRIPTORS);
    ctl = BX_CTL_FD;
    (void)close_range(BX_SETUP_FD + 1, ~0u, 0);
    const struct rlimit stack = {plan->limits.stack_bytes, plan->limits.stack_bytes};
    const struct rlimit none = {0, 0};
    need(setrlimit(RLIMIT_STACK, &stack) == 0 && setrlimit(RLIMIT_CORE, &none) == 0,
         BX_STEP_RLIMIT);
    (void)personality(ADDR_NO_RANDOMIZE);
    const char *environment[24];
    size_t e = 0;
    for (; bx_environment[e] != NULL; e++)
        environment[e] = bx_environment[e];
    environment[e++] = "LD_PRELOAD=/box/fork.so";
    environment[e++] = "LD_BIND_NOW=1"; /* once here instead of in every test's process */
    environment[e] = NULL;
    bx_execve(plan->argv, environment);
    fail(BX_STEP_EXEC);
}

static _Noreturn void keep_interpreter(const bx_plan *plan)
{
    const pid_t pid = fork();
    need(pid >= 0, BX_STEP_FORK);
    if (pid == 0)
        exec_interpreter(plan);
    (void)close_range(0, ~0u, 0);
    int status = 0;
    for (pid_t got = 0; got != pid;) {
        got = wait4(-1, &status, __WALL, NULL);
        if (got < 0 && errno != EINTR)
            break;
    }
    _exit(0);
}

_Noreturn void bx_init_main(bx_plan *plan)
{
    ctl = plan->ctl;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    receive_setup();
    (void)setsid();
    if ((setup.flags & BX_UNSAFE) == 0)
        build_walls(plan);
    else
        use_folder(plan);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (plan->kind == BX_PYTHON)
        keep_interpreter(plan);
    bx_serve(ctl, &setup, plan->argv);
    _exit(1);
}
