/*
 * run.c — the helper's half that supervises one test: hands over the input, collects the output,
 * watches CPU time, wall time and memory, ends the test when a limit is passed, and accounts.
 *
 * Wall time is a backstop for what sleeps: it grows by the time that the program stood in the queue
 * for a processor (BX_PATIENCE). CPU time cannot pass its limit sooner than (limit - used) / processors from now, so that is how
 * long the next look may wait; memory without a cgroup is looked at every 5 ms. What decides in the
 * end is the accounting after the end, not what the looks saw.
 */
#define _GNU_SOURCE /* pipe2, F_ADD_SEALS, pidfd */
#include "boxd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    LOOK_MS = 5,
    SHOW_MS = 200,
    START_MS = 30000,
    END_MS = 3000,
    ERROR_CAP = 64 << 20,
    PIECE = 64 << 10
};

typedef struct watch {
    bx_boxd *d;
    const bx_limits *limits;
    bx_result *out;
    int pipes[2];                          /* read ends: output, errors; -1 at their end */
    int pidfd;                             /* of the test's first process; -1 until it is told */
    pid_t program;                         /* host pid; 0 until it runs */
    uint64_t sent_us, began_us, killed_us; /* 0: not yet */
    uint64_t cgroup_cpu_us;                /* at the start */
    uint64_t oom_kills;                    /* at the start */
    bool is_done, has_ended;
    size_t n_shown; /* bytes of the output that the harness has */
    uint64_t shown_us;
    long n_cpus;
} watch;

/* ---- looking -------------------------------------------------------------------------------- */

static uint64_t program_cpu_us(pid_t pid)
{
    struct timespec t;
    const clockid_t clock = (clockid_t)((~(unsigned)pid << 3) | 2u); /* CPUCLOCK_SCHED of a pid */
    if (pid <= 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t cpu_now(const watch *w)
{
    if ((w->limits->flags & (BX_FORK | BX_TRUSTED_FORK)) != 0 && w->d->status.can_count_cpu) {
        const uint64_t now = bx_cgroup_cpu_us(&w->d->cgroup);
        return now > w->cgroup_cpu_us ? now - w->cgroup_cpu_us : 0;
    }
    return program_cpu_us(w->program);
}

static uint64_t resident_now(pid_t pid)
{
    char path[64], text[128];
    (void)snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *second = strchr(text, ' ');
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The most it ever had. */
static uint64_t peak_now(pid_t pid)
{
    char path[64], text[4096];
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *kb = strstr(text, "VmHWM:");
    return kb != NULL ? strtoull(kb + strlen("VmHWM:"), NULL, 10) << 10 : 0;
}

/* The largest of the program's threads: the others may only have waited for that one. */
static uint64_t waited_now(pid_t pid, uint64_t cpu_us)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *d = opendir(path);
    uint64_t most = 0;
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        const long tid = strtol(e->d_name, NULL, 10);
        (void)snprintf(path, sizeof path, "/proc/%ld/task/%ld", (long)pid, tid);
        const uint64_t us = tid > 0 ? bx_waited_us(path, cpu_us) : 0;
        most = us > most ? us : most;
    }
    if (d != NULL)
        (void)closedir(d);
    return most;
}

/* ---- acting --------------------------------------------------------------------------------- */

static void end_test(watch *w)
{
    if (w->killed_us != 0)
        return;
    w->killed_us = bx_now_us();
    if ((w->d->spec.limits.flags & BX_UNSAFE) != 0 && w->program > 0)
        (void)kill(-w->program,
                   SIGKILL); /* its session's group; it cannot have been reaped by us */
    else if (w->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0);
    else
        (void)syscall(SYS_pidfd_send_signal, w->d->pidfd, SIGKILL, NULL, 0);
}

static void act(watch *w, bx_act what)
{
    if (w->out->record.act == BX_ACT_NONE && w->out->record.step == BX_STEP_NONE) {
        w->out->record.act = what;
        w->out->record.cpu_us = cpu_now(w);
        if (w->program > 0) {
            const uint64_t peak = peak_now(w->program);
            if (peak > w->out->record.peak_bytes)
                w->out->record.peak_bytes = peak;
        }
    }
    end_test(w);
}

static void fault(watch *w, bx_step step, int error)
{
    if (w->out->record.step == BX_STEP_NONE) {
        w->out->record.step = step;
        w->out->record.error = (uint32_t)error & 4095u;
    }
    end_test(w);
}

/* ---- what comes from the box ---------------------------------------------------------------- */

static bool keep_output(bx_result *out, const uint8_t *p, size_t n, uint64_t cap)
{
    if (out->n_output + n > cap)
        n = (size_t)cap - out->n_output;
    if (out->n_output + n > out->output_room) {
        size_t room = out->output_room * 2 + PIECE;
        if (room < out->n_output + n)
            room = out->n_output + n;
        uint8_t *grown = realloc(out->output, room);
        if (grown == NULL)
            return false;
        out->output = grown;
        out->output_room = room;
    }
    if (n != 0)
        memcpy(out->output + out->n_output, p, n);
    out->n_output += n;
    return true;
}

static void drain(watch *w, int i)
{
    static uint8_t piece[PIECE];
    const ssize_t n = read(w->pipes[i], piece, sizeof piece);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        close(w->pipes[i]);
        w->pipes[i] = -1;
        return;
    }
    bx_result *out = w->out;
    if (i == 0) {
        out->record.output_bytes += (uint64_t)n;
        if (!keep_output(out, piece, (size_t)n, w->limits->output_bytes))
            fault(w, BX_STEP_INPUT, ENOMEM);
        if (out->record.output_bytes > w->limits->output_bytes)
            act(w, BX_ACT_OUTPUT);
        return;
    }
    out->record.error_bytes += (uint64_t)n;
    size_t keep = BX_STDERR_HEAD - out->n_errors;
    if (keep > (size_t)n)
        keep = (size_t)n;
    memcpy(out->errors + out->n_errors, piece, keep);
    out->n_errors += keep;
    if (out->record.error_bytes > ERROR_CAP)
        act(w, BX_ACT_STDERR);
}

static void take_usage(watch *w, const bx_note *note)
{
    bx_record *r = &w->out->record;
    if (note->cpu_us > r->cpu_us)
        r->cpu_us = note->cpu_us;
    if (note->peak_bytes > r->peak_bytes)
        r->peak_bytes = note->peak_bytes;
    if (note->waited_us > r->waited_us)
        r->waited_us = note->waited_us;
}

static void hear(watch *w)
{
    bx_note note;
    pid_t sender;
    int fd;
    const int got = bx_receive_note(w->d->ctl, &note, &sender, &fd, false);
    if (got == 0)
        return;
    if (got < 0) { /* the server is gone; whatever it kept goes with it */
        if (w->out->record.act == BX_ACT_NONE)
            fault(w, BX_STEP_INTERPRETER, ECHILD);
        end_test(w);
        w->is_done = true;
        return;
    }
    switch (note.kind) {
    case BX_NOTE_STARTED:
        w->pidfd = fd;
        fd = -1;
        break;
    case BX_NOTE_RUNNING:
        w->program = sender;
        w->began_us = bx_now_us();
        w->cgroup_cpu_us = bx_cgroup_cpu_us(&w->d->cgroup);
        break;
    case BX_NOTE_ENDED:
        w->has_ended = true;
        w->out->record.status = note.status;
        w->out->record.wall_us = note.wall_us;
        take_usage(w, &note);
        break;
    case BX_NOTE_FAILED:
        fault(w, note.step < BX_N_STEPS ? (bx_step)note.step : BX_STEP_PROTOCOL, (int)note.error);
        if (note.step == BX_STEP_CLONE)
            w->is_done = true; /* nothing was started, no DONE will come */
        break;
    case BX_NOTE_DONE:
        take_usage(w, &note);
        w->is_done = true;
        break;
    default:
        fault(w, BX_STEP_PROTOCOL, EPROTO);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Checks the limits; ms until the next look. */
static int look(watch *w)
{
    const uint64_t now = bx_now_us();
    if (w->killed_us != 0) {
        if (now > w->killed_us + END_MS * 1000ull) { /* it does not die: give up the box */
            fault(w, BX_STEP_CLEAN_UP, ETIMEDOUT);
            (void)syscall(SYS_pidfd_send_signal, w->d->pidfd, SIGKILL, NULL, 0);
            w->is_done = true;
        }
        return 100;
    }
    if (w->program == 0) {
        if (now > w->sent_us + START_MS * 1000ull)
            fault(w, BX_STEP_PROTOCOL, ETIMEDOUT);
        return 100;
    }
    if (w->has_ended)
        return 100;
    const uint64_t wall = now - w->began_us;
    const uint64_t cpu = cpu_now(w);
    const bx_limits *l = w->limits;
    bx_record *r = &w->out->record;
    if (wall > bx_wall_allowed_us(l->wall_ms, r->waited_us))
        r->waited_us = waited_now(w->program, cpu);
    const uint64_t allowed = bx_wall_allowed_us(l->wall_ms, r->waited_us);
    if (cpu > l->cpu_ms * 1000)
        act(w, BX_ACT_CPU);
    else if (wall > allowed)
        act(w, BX_ACT_WALL);
    uint64_t wait_ms = (allowed - (wall > allowed ? allowed : wall)) / 1000 + 1;
    const uint64_t cpu_left = l->cpu_ms * 1000 > cpu ? l->cpu_ms * 1000 - cpu : 0;
    const uint64_t cpu_ms = cpu_left / 1000 / (uint64_t)w->n_cpus + 1;
    if (cpu_ms < wait_ms)
        wait_ms = cpu_ms;
    if (!w->d->status.can_limit_memory) {
        const uint64_t resident = resident_now(w->program);
        if (resident > w->out->record.peak_bytes)
            w->out->record.peak_bytes = resident;
        if (resident > l->memory_bytes && (l->flags & BX_TRUSTED_FORK) == 0)
            act(w, BX_ACT_MEMORY);
        if (wait_ms > LOOK_MS)
            wait_ms = LOOK_MS;
    }
    return wait_ms > 1000 ? 1000 : (int)wait_ms;
}

/* During a test the harness says STOP or nothing: anything else is its end. */
static bool harness_is_gone(watch *w, short revents)
{
    if ((revents & (POLLIN | POLLHUP | POLLERR)) == 0)
        return false;
    uint8_t head[BX_HEAD_BYTES];
    uint32_t length = 0;
    bx_type type;
    if (!bx_read_all(w->d->harness, head, sizeof head) || !bx_head(head, &length, &type) ||
        type != BX_STOP || length != 0)
        return true;
    if (!w->has_ended)
        act(w, BX_ACT_STOP);
    return false;
}

/* Shows new output, not more often than every SHOW_MS: short tests have none of the cost. ms until
 * the next time. */
static int show(watch *w, int wait_ms)
{
    const bx_result *out = w->out;
    if ((w->limits->flags & BX_STREAM) == 0 || w->killed_us != 0 || out->n_output == w->n_shown)
        return wait_ms;
    const uint64_t now = bx_now_us();
    if (now < w->shown_us + SHOW_MS * 1000ull)
        return wait_ms < SHOW_MS ? wait_ms : SHOW_MS;
    bx_out o;
    bx_begin(&o, BX_PART);
    bx_put_bytes(&o, out->output + w->n_shown, out->n_output - w->n_shown);
    (void)bx_send_frame(w->d->harness, &o); /* if it is gone, the next poll says so */
    w->n_shown = out->n_output;
    w->shown_us = now;
    return wait_ms;
}

static void supervise(watch *w)
{
    while (!w->is_done || w->pipes[0] >= 0 || w->pipes[1] >= 0) {
        const int wait_ms = w->is_done ? 100 : show(w, look(w));
        struct pollfd p[4] = {{.fd = w->is_done ? -1 : w->d->ctl, .events = POLLIN},
                              {.fd = w->pipes[0], .events = POLLIN},
                              {.fd = w->pipes[1], .events = POLLIN},
                              {.fd = w->d->harness, .events = POLLIN}};
        if (poll(p, 4, wait_ms) < 0 && errno != EINTR)
            break;
        if (harness_is_gone(w, p[3].revents)) {
            (void)bx_box_close(w->d);
            (void)bx_cgroup_close(&w->d->cgroup);
            _exit(0);
        }
        for (int i = 0; i < 2; i++)
            if (w->pipes[i] >= 0 && (p[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
                drain(w, i);
        if (!w->is_done && (p[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
            hear(w);
        if (w->is_done && w->killed_us != 0 && bx_now_us() > w->killed_us + 2000ull * END_MS)
            break; /* a pipe that nobody should hold any more */
    }
}

static bool send_order(watch *w, const int fds[BX_TEST_FDS])
{
    bx_order order = {.limits = *w->limits, .want_oom_first = w->d->status.can_limit_memory};
    struct iovec io = {.iov_base = &order, .iov_len = sizeof order};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(BX_TEST_FDS * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control.room};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(BX_TEST_FDS * sizeof(int));
    memcpy(CMSG_DATA(c), fds, BX_TEST_FDS * sizeof(int));
    return sendmsg(w->d->ctl, &m, MSG_NOSIGNAL) == (ssize_t)sizeof order;
}

/* Sealed, and open for reading only: nothing can change it for the next test. */
static int sealed_fd(const uint8_t *input, size_t n)
{
    const int fd = bx_memfd(input, n);
    if (fd < 0)
        return -1;
    (void)fchmod(fd, 0444);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int out = -1;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        out = open(path, O_RDONLY | O_CLOEXEC);
    close(fd);
    return out;
}

static void account(watch *w)
{
    bx_record *r = &w->out->record;
    const bx_cgroup *g = &w->d->cgroup;
    if ((w->limits->flags & (BX_FORK | BX_TRUSTED_FORK)) != 0 && w->began_us != 0) {
        const uint64_t cpu = bx_cgroup_cpu_us(g);
        if (cpu > w->cgroup_cpu_us && cpu - w->cgroup_cpu_us > r->cpu_us)
            r->cpu_us = cpu - w->cgroup_cpu_us;
    }
    if (bx_cgroup_oom_kills(g) > w->oom_kills) {
        r->is_oom = 1;
        if (r->act == BX_ACT_NONE)
            r->act = BX_ACT_MEMORY;
        r->step = BX_STEP_NONE; /* if the server went too, that is why */
        const uint64_t peak = bx_cgroup_peak(g);
        if (peak > r->peak_bytes)
            r->peak_bytes = peak;
    }
    if (r->wall_us == 0 && w->began_us != 0)
        r->wall_us = bx_now_us() - w->began_us;
    if (r->act == BX_ACT_NONE && r->step == BX_STEP_NONE && !w->has_ended) {
        r->step = BX_STEP_PROTOCOL;
        r->error = EPROTO;
    }
}

void bx_run_test(bx_boxd *d, const bx_limits *limits, const uint8_t *input, size_t n_input,
                 const uint8_t *program, size_t n_program, bx_result *out)
{
    watch w = {.d = d,
               .limits = limits,
               .out = out,
               .pipes = {-1, -1},
               .pidfd = -1,
               .sent_us = bx_now_us(),
               .shown_us = bx_now_us(),
               .n_cpus = sysconf(_SC_NPROCESSORS_ONLN)};
    if (w.n_cpus < 1)
        w.n_cpus = 1;
    int outs[2] = {-1, -1}, errs[2] = {-1, -1};
    const int in = sealed_fd(input, n_input);
    const int code = sealed_fd(program, n_program);
    if (in < 0 || code < 0 || pipe2(outs, O_CLOEXEC) != 0 || pipe2(errs, O_CLOEXEC) != 0) {
        fault(&w, BX_STEP_INPUT, errno);
    } else {
        bx_cgroup_reset_peak(&d->cgroup);
        w.oom_kills = bx_cgroup_oom_kills(&d->cgroup);
        /* /dev/stdout can be opened for writing whoever owns the pipe; reading it would only wait */
        (void)fchmod(outs[1], 0222);
        (void)fchmod(errs[1], 0222);
        const int fds[BX_TEST_FDS] = {in, outs[1], errs[1], code};
        if (!send_order(&w, fds))
            fault(&w, BX_STEP_INTERPRETER, errno);
        w.pipes[0] = outs[0];
        w.pipes[1] = errs[0];
    }
    if (in >= 0)
        close(in);
    if (code >= 0)
        close(code);
    if (outs[1] >= 0)
        close(outs[1]);
    if (errs[1] >= 0)
        close(errs[1]);
    if (out->record.step == BX_STEP_NONE)
        supervise(&w);
    for (int i = 0; i < 2; i++)
        if (w.pipes[i] >= 0)
            close(w.pipes[i]);
    account(&w);
    if (w.pidfd >= 0)
        close(w.pidfd);
}
