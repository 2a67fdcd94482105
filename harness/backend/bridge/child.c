#define _GNU_SOURCE /* pipe2 */
#include "backend/bridge/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/time.h"

enum { READ_BYTES = 1 << 16, MAX_READS = 64, LOG_LINE = 400, GRACE_MS = 500 };

extern char **environ;

struct child {
    pid_t pid;           /* 0: reaped */
    int in, out, errors; /* our ends; -1 closed */
    int status;
    child_state state;
    const as_log *log;
    as_buf to, from;     /* not yet written, not yet taken as lines */
    size_t n_written;    /* of to */
    size_t n_scanned;    /* of from: no newline before it */
    size_t n_taken;      /* of from: lines that were handed out */
    char last[LOG_LINE]; /* line of standard error under way, then the last whole one */
    size_t n_last;
    char said[LOG_LINE];
    char obituary[LOG_LINE + 64];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static as_code make_pipes(int pipes[3][2], as_err *err)
{
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC) != 0) {
            const as_code c = as_fail_sys(err, "pipe");
            for (int k = 0; k < i; k++) {
                close_fd(&pipes[k][0]);
                close_fd(&pipes[k][1]);
            }
            return c;
        }
    return AS_OK;
}

static int spawn(pid_t *pid, const char *const *argv, int pipes[3][2])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t defaults;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attr) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)posix_spawnattr_setsigdefault(&attr, &defaults);
    (void)posix_spawnattr_setpgroup(&attr, 0);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn_file_actions_adddup2(&actions, pipes[0][0], STDIN_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, pipes[1][1], STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, pipes[2][1], STDERR_FILENO);
    if (rc == 0) {
        /* posix_spawnp takes char *const[] for historical reasons and does not write to it. */
        char *const *args = NULL;
        memcpy(&args, &argv, sizeof args);
        rc = posix_spawnp(pid, argv[0], &actions, &attr, args, environ);
    }
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

as_code child_start(child **out, const char *const *argv, const as_log *log, as_err *err)
{
    *out = NULL;
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    child *c = calloc(1, sizeof *c);
    if (c == NULL)
        return as_nomem(err);
    int pipes[3][2];
    as_code code = make_pipes(pipes, err);
    if (code != AS_OK) {
        free(c);
        return code;
    }
    const int rc = spawn(&c->pid, argv, pipes);
    close_fd(&pipes[0][0]);
    close_fd(&pipes[1][1]);
    close_fd(&pipes[2][1]);
    c->in = pipes[0][1];
    c->out = pipes[1][0];
    c->errors = pipes[2][0];
    c->log = log;
    as_buf_init(&c->to, 2 * (size_t)CHILD_MAX_LINE);
    as_buf_init(&c->from, (size_t)CHILD_MAX_LINE + READ_BYTES);
    const int fds[3] = {c->in, c->out, c->errors};
    for (int i = 0; i < 3; i++)
        (void)fcntl(fds[i], F_SETFL, O_NONBLOCK);
    if (rc != 0) {
        c->pid = 0;
        child_stop(c);
        errno = rc;
        return as_fail_sys(err, "cannot start %s", argv[0]);
    }
    *out = c;
    return AS_OK;
}

static bool reap(child *c)
{
    if (c->pid == 0)
        return true;
    const pid_t got = waitpid(c->pid, &c->status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    c->pid = 0;
    return true;
}

void child_stop(child *c)
{
    if (c == NULL)
        return;
    close_fd(&c->in);
    for (int ms = 0; ms < GRACE_MS && !reap(c); ms += 5)
        as_sleep_ns(5000000);
    if (c->pid != 0) {
        (void)kill(-c->pid, SIGKILL);
        while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
            continue;
    }
    close_fd(&c->out);
    close_fd(&c->errors);
    as_buf_release(&c->to);
    as_buf_release(&c->from);
    free(c);
}

as_code child_send(child *c, as_str line, as_err *err)
{
    if (line.n > CHILD_MAX_LINE || c->to.n + line.n + 1 > c->to.max_bytes)
        return as_fail(err, AS_RANGE, "a line of %zu bytes for the child, which takes %d at most",
                       line.n, (int)CHILD_MAX_LINE);
    (void)as_buf_add(&c->to, line);
    (void)as_buf_add_byte(&c->to, '\n');
    return as_buf_ok(&c->to, err);
}

static void write_some(child *c)
{
    const ssize_t n = write(c->in, c->to.p + c->n_written, c->to.n - c->n_written);
    if (n > 0) {
        c->n_written += (size_t)n;
        if (c->n_written == c->to.n) { /* not piece by piece: each would move the rest */
            as_buf_reset(&c->to);
            c->n_written = 0;
        }
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        close_fd(&c->in); /* it reads no more; its output tells how it ended */
}

static void read_some(child *c)
{
    for (int i = 0; i < MAX_READS && c->state == CHILD_RUNS; i++) {
        char *room = as_buf_reserve(&c->from, READ_BYTES);
        if (room == NULL) {
            c->state = CHILD_TOO_LONG;
            return;
        }
        const ssize_t n = read(c->out, room, READ_BYTES);
        if (n == 0)
            c->state = CHILD_GONE;
        if (n <= 0)
            return;
        c->from.n += (size_t)n;
        if (memchr(room, '\n', (size_t)n) == NULL && c->from.n > CHILD_MAX_LINE) {
            c->state = CHILD_TOO_LONG;
            return;
        }
        if (n < READ_BYTES)
            return;
    }
}

static void log_some(child *c)
{
    char piece[4096];
    const ssize_t n = read(c->errors, piece, sizeof piece);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_fd(&c->errors);
    for (ssize_t i = 0; i < n; i++) {
        if (piece[i] != '\n') {
            if (c->n_last + 1 < sizeof c->last)
                c->last[c->n_last++] = piece[i];
            continue;
        }
        c->last[c->n_last] = '\0';
        if (c->n_last != 0) {
            as_log_line(c->log, AS_LOG_INFO, "bridge: %s", c->last);
            memcpy(c->said, c->last, c->n_last + 1);
        }
        c->n_last = 0;
    }
}

/* Lines already handed out make room. */
static void forget_taken(child *c)
{
    as_buf_drop(&c->from, c->n_taken);
    c->n_scanned -= c->n_taken;
    c->n_taken = 0;
}

child_state child_pump(child *c, int wait_ms)
{
    if (c->state != CHILD_RUNS)
        return c->state;
    forget_taken(c);
    struct pollfd p[3] = {
        {.fd = c->out, .events = POLLIN},
        {.fd = c->errors, .events = POLLIN},
        {.fd = c->to.n != 0 ? c->in : -1, .events = POLLOUT},
    };
    if (poll(p, 3, wait_ms) < 0)
        return c->state;
    if (p[2].revents != 0)
        write_some(c);
    if (p[1].revents != 0)
        log_some(c);
    if (p[0].revents != 0)
        read_some(c);
    if (c->state == CHILD_GONE && c->errors >= 0)
        log_some(c);
    return c->state;
}

bool child_line(child *c, as_str *line)
{
    const size_t from = c->n_scanned > c->n_taken ? c->n_scanned : c->n_taken;
    const char *end = c->from.n > from ? memchr(c->from.p + from, '\n', c->from.n - from) : NULL;
    if (end == NULL) {
        c->n_scanned = c->from.n;
        return false;
    }
    const size_t at = (size_t)(end - c->from.p);
    *line = as_str_sub(as_buf_str(&c->from), c->n_taken, at);
    c->n_taken = c->n_scanned = at + 1;
    return true;
}

const char *child_obituary(child *c)
{
    for (int ms = 0; ms < GRACE_MS && !reap(c); ms += 5)
        as_sleep_ns(5000000);
    const char *colon = c->said[0] != '\0' ? ": " : "";
    if (c->pid != 0)
        (void)snprintf(c->obituary, sizeof c->obituary, "closed its output%s%s", colon, c->said);
    else if (WIFSIGNALED(c->status))
        (void)snprintf(c->obituary, sizeof c->obituary, "signal %d%s%s", WTERMSIG(c->status), colon,
                       c->said);
    else
        (void)snprintf(c->obituary, sizeof c->obituary, "exit code %d%s%s", WEXITSTATUS(c->status),
                       colon, c->said);
    return c->obituary;
}
