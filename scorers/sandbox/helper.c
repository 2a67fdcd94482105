#define _GNU_SOURCE /* posix_spawn_file_actions_addclosefrom_np */
#include "scorers/sandbox/helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/time.h"

/* The helper gives up on a box that does not come up after 30 s and on a test that does not die 3 s
 * after it was killed; we give up on the helper a little later. */
enum { OPEN_MS = 40000, OVERRUN_MS = 45000, CLOSE_MS = 20000, HELPER_FD = 3 };

void sb_helper_init(sb_helper *h)
{
    memset(h, 0, sizeof *h);
    atomic_init(&h->fd, -1);
    as_buf_init(&h->in, BX_MAX_FRAME + 1);
}

as_code sb_helper_start(sb_helper *h, const char *path, as_err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return as_fail_sys(err, "sandbox: socketpair");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attr);
    sigset_t none;
    (void)sigemptyset(&none);
    int rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", 0, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, pair[1], HELPER_FD);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, HELPER_FD + 1);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(&attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    char name[] = "assay-box";
    char *argv[] = {name, NULL};
    char *environment[] = {NULL}; /* nothing of ours: it may hold keys */
    if (rc == 0)
        rc = posix_spawn(&h->pid, path, &actions, &attr, argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attr);
    close(pair[1]);
    if (rc != 0) {
        close(pair[0]);
        errno = rc;
        return as_fail_sys(err, "sandbox: cannot start the helper %s", path);
    }
    h->has_box = false;
    atomic_store(&h->fd, pair[0]);
    return AS_OK;
}

void sb_helper_stop(sb_helper *h)
{
    const int fd = atomic_exchange(&h->fd, -1);
    if (fd >= 0) {
        close(fd); /* end of file ends the helper, which ends its box first */
        const int64_t deadline = as_now_ns() + CLOSE_MS * INT64_C(1000000);
        int status = 0;
        pid_t got;
        while ((got = waitpid(h->pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
            if (as_now_ns() > deadline)
                (void)kill(h->pid, SIGKILL);
            as_sleep_ns(500000);
        }
    }
    h->has_box = false;
    as_buf_release(&h->in);
}

void sb_helper_kick(sb_helper *h)
{
    const int fd = atomic_load(&h->fd);
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
}

/* ---- frames --------------------------------------------------------------------------------- */

static as_code send_frame(sb_helper *h, bx_out *o, as_err *err)
{
    as_code c = AS_OK;
    const int fd = atomic_load(&h->fd);
    if (!bx_end(o))
        c = as_fail(err, AS_RANGE, "sandbox: a job of more than %d bytes", BX_MAX_FRAME);
    for (size_t at = 0; c == AS_OK && at < o->n;) {
        const ssize_t n = send(fd, o->p + at, o->n - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            c = as_fail_sys(err, "sandbox: the helper takes no orders");
        else
            at += (size_t)n;
    }
    bx_out_free(o);
    return c;
}

static as_code read_all(int fd, uint8_t *p, size_t n, int64_t deadline_ns, as_err *err)
{
    while (n != 0) {
        const int64_t left_ms = (deadline_ns - as_now_ns()) / 1000000;
        if (left_ms <= 0)
            return as_fail(err, AS_TIMEOUT, "sandbox: the helper hangs");
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        const int ready = poll(&pfd, 1, left_ms > 10000 ? 10000 : (int)left_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        const ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return as_fail(err, AS_IO, "sandbox: the helper ended");
        p += got;
        n -= (size_t)got;
    }
    return AS_OK;
}

static as_code receive(sb_helper *h, bx_type want, int64_t within_ms, as_err *err)
{
    const int fd = atomic_load(&h->fd);
    const int64_t deadline = as_now_ns() + within_ms * 1000000;
    uint8_t head[BX_HEAD_BYTES];
    uint32_t length = 0;
    bx_type type;
    AS_TRY(read_all(fd, head, sizeof head, deadline, err));
    if (!bx_head(head, &length, &type) || type != want)
        return as_fail(err, AS_INTEGRITY, "sandbox: the helper answers with nonsense");
    as_buf_reset(&h->in);
    char *to = as_buf_reserve(&h->in, length);
    if (to == NULL)
        return as_nomem(err);
    AS_TRY(read_all(fd, (uint8_t *)to, length, deadline, err));
    h->in.n = length;
    return AS_OK;
}

static const uint8_t *payload(const sb_helper *h)
{
    return (const uint8_t *)h->in.p;
}

/* ---- orders --------------------------------------------------------------------------------- */

as_code sb_helper_open(sb_helper *h, const sb_box_spec *spec, as_err *err)
{
    bx_out o;
    bx_begin(&o, BX_OPEN);
    bx_put_u32(&o, spec->kind);
    bx_put_limits(&o, &spec->limits);
    size_t n_args = 0;
    while (spec->argv[n_args] != NULL)
        n_args++;
    bx_put_u32(&o, (uint32_t)spec->n_files);
    bx_put_u32(&o, (uint32_t)n_args);
    for (size_t i = 0; i < spec->n_files; i++) {
        bx_put_bytes(&o, spec->files[i].name, strlen(spec->files[i].name));
        bx_put_u32(&o, spec->files[i].mode);
        bx_put_bytes(&o, spec->files[i].bytes.p, spec->files[i].bytes.n);
    }
    for (size_t i = 0; i < n_args; i++)
        bx_put_bytes(&o, spec->argv[i], strlen(spec->argv[i]));
    AS_TRY(send_frame(h, &o, err));
    AS_TRY(receive(h, BX_OPENED, OPEN_MS, err));
    if (!bx_get_status(&h->status, payload(h), h->in.n))
        return as_fail(err, AS_INTEGRITY, "sandbox: the helper answers with nonsense");
    h->has_box = h->status.step == BX_STEP_NONE;
    return AS_OK;
}

as_code sb_helper_test(sb_helper *h, const bx_limits *limits, as_str input, as_str program,
                       bx_record *record, as_str *output, as_str *errors, as_err *err)
{
    bx_out o;
    bx_begin(&o, BX_TEST);
    bx_put_limits(&o, limits);
    bx_put_bytes(&o, input.p, input.n);
    bx_put_bytes(&o, program.p, program.n);
    AS_TRY(send_frame(h, &o, err));
    AS_TRY(receive(h, BX_RESULT, BX_PATIENCE * (int64_t)limits->wall_ms + OVERRUN_MS, err));
    const uint8_t *out = NULL, *errs = NULL;
    if (!bx_get_result(record, &out, &output->n, &errs, &errors->n, payload(h), h->in.n))
        return as_fail(err, AS_INTEGRITY, "sandbox: the helper answers with nonsense");
    output->p = (const char *)out;
    errors->p = (const char *)errs;
    return AS_OK;
}

as_code sb_helper_close_box(sb_helper *h, as_err *err)
{
    if (!h->has_box)
        return AS_OK;
    h->has_box = false;
    bx_out o;
    bx_begin(&o, BX_CLOSE);
    AS_TRY(send_frame(h, &o, err));
    AS_TRY(receive(h, BX_CLOSED, CLOSE_MS, err));
    bx_status status;
    if (!bx_get_status(&status, payload(h), h->in.n))
        return as_fail(err, AS_INTEGRITY, "sandbox: the helper answers with nonsense");
    if (status.step != BX_STEP_NONE)
        return as_fail(err, AS_IO, "sandbox: a box could not be ended");
    return AS_OK;
}
