#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np, pipe2 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"

extern char **environ;

static as_code start(const char *const *argv, const char *dir, int pipes[2][2], pid_t *pid,
                     as_err *err)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return as_fail(err, AS_NOMEM, "%s: out of memory", argv[0]);
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, pipes[0][1], STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, pipes[1][1], STDERR_FILENO);
    if (rc == 0 && dir != NULL)
        rc = posix_spawn_file_actions_addchdir_np(&actions, dir);
    if (rc == 0) {
        /* posix_spawnp takes char *const[] for historical reasons and does not write to it. */
        char *const *args = NULL;
        memcpy(&args, &argv, sizeof args);
        rc = posix_spawnp(pid, argv[0], &actions, NULL, args, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        errno = rc;
        return as_fail_sys(err, "cannot start %s", argv[0]);
    }
    return AS_OK;
}

/* Reads what is there; false at the end of the stream. */
static bool drain(int fd, as_buf *to)
{
    char piece[4096];
    const ssize_t n = read(fd, piece, sizeof piece);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN;
    if (n > 0 && to != NULL)
        (void)as_buf_add(to, (as_str){piece, (size_t)n});
    return n > 0;
}

static bool collect(const int fds[2], as_buf *bufs[2], int64_t deadline_ns)
{
    bool is_open[2] = {true, true};
    while (is_open[0] || is_open[1]) {
        const int64_t left_ms = (deadline_ns - as_now_ns()) / 1000000;
        if (left_ms <= 0)
            return false;
        struct pollfd p[2];
        for (int i = 0; i < 2; i++)
            p[i] = (struct pollfd){.fd = is_open[i] ? fds[i] : -1, .events = POLLIN};
        const int wait_ms = left_ms > 1000 ? 1000 : (int)left_ms;
        if (poll(p, 2, wait_ms) < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < 2; i++)
            if (is_open[i] && (p[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
                is_open[i] = drain(fds[i], bufs[i]);
    }
    return true;
}

/* The child closed its pipes but may still run: wait for it, but not beyond the deadline. */
static bool reap(pid_t pid, int *status, int64_t deadline_ns)
{
    for (;;) {
        const pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid)
            return true;
        if (got < 0 && errno != EINTR)
            return true;
        if (as_now_ns() >= deadline_ns)
            return false;
        as_sleep_ns(1000000);
    }
}

as_code as_proc_run(const char *const *argv, const char *dir, int64_t deadline_ms, as_buf *out,
                    as_buf *errors, as_proc_result *result, as_err *err)
{
    *result = (as_proc_result){.exit_code = -1};
    int pipes[2][2];
    if (pipe2(pipes[0], O_CLOEXEC) != 0)
        return as_fail_sys(err, "pipe");
    if (pipe2(pipes[1], O_CLOEXEC) != 0) {
        close(pipes[0][0]);
        close(pipes[0][1]);
        return as_fail_sys(err, "pipe");
    }
    pid_t pid = 0;
    as_code c = start(argv, dir, pipes, &pid, err);
    close(pipes[0][1]);
    close(pipes[1][1]);
    if (c == AS_OK) {
        const int64_t deadline_ns = as_now_ns() + deadline_ms * 1000000;
        const int fds[2] = {pipes[0][0], pipes[1][0]};
        as_buf *bufs[2] = {out, errors};
        int status = 0;
        const bool is_done = collect(fds, bufs, deadline_ns) && reap(pid, &status, deadline_ns);
        if (!is_done) {
            (void)kill(pid, SIGKILL);
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
            c = as_fail(err, AS_TIMEOUT, "%s: still running after %lld ms, ended", argv[0],
                        (long long)deadline_ms);
        }
        if (WIFEXITED(status))
            result->exit_code = WEXITSTATUS(status);
        else if (WIFSIGNALED(status))
            result->term_signal = WTERMSIG(status);
    }
    close(pipes[0][0]);
    close(pipes[1][0]);
    return c;
}
