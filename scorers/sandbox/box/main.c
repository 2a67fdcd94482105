/*
 * main.c — assay-box, the helper program: reads orders from its socket, keeps one box.
 *
 * A program of its own because forking from a process with gigabytes resident is slow and would
 * make every child's peak memory that of its parent. The environment and the descriptors it was
 * started with are gone before anything else happens. End of file from the harness ends it.
 */
#define _GNU_SOURCE /* close_range */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "boxd.h"

bool bx_read_all(int fd, uint8_t *p, size_t n)
{
    while (n != 0) {
        const ssize_t got = read(fd, p, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        p += got;
        n -= (size_t)got;
    }
    return true;
}

bool bx_send_frame(int fd, bx_out *o)
{
    bool is_sent = bx_end(o);
    for (size_t at = 0; is_sent && at < o->n;) {
        const ssize_t n = send(fd, o->p + at, o->n - at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            is_sent = false;
        else
            at += (size_t)n;
    }
    bx_out_free(o);
    return is_sent;
}

static bool answer_status(bx_boxd *d, bx_type type)
{
    bx_out o;
    bx_begin(&o, type);
    bx_put_status(&o, &d->status);
    return bx_send_frame(d->harness, &o);
}

static bool do_open(bx_boxd *d, uint8_t **payload, size_t n)
{
    static bx_open o;
    if (d->is_open || !bx_get_open(&o, *payload, n))
        return false;
    bx_box_open(d, &o);
    return answer_status(d, BX_OPENED);
}

static bool do_test(bx_boxd *d, const uint8_t *payload, size_t n)
{
    bx_limits limits;
    const uint8_t *input, *program;
    size_t n_input, n_program;
    if (!bx_get_test(&limits, &input, &n_input, &program, &n_program, payload, n))
        return false;
    bx_result result = {.output = NULL};
    limits.flags = (limits.flags & ~(uint32_t)BX_UNSAFE) | (d->spec.limits.flags & BX_UNSAFE);
    if (d->is_open)
        bx_run_test(d, &limits, input, n_input, program, n_program, &result);
    else
        result.record = (bx_record){.step = BX_STEP_INTERPRETER, .error = ECHILD};
    bx_out o;
    bx_begin(&o, BX_RESULT);
    bx_put_record(&o, &result.record);
    bx_put_bytes(&o, result.output, result.n_output);
    bx_put_bytes(&o, result.errors, result.n_errors);
    free(result.output);
    return bx_send_frame(d->harness, &o);
}

static bool do_close(bx_boxd *d)
{
    d->status.step = BX_STEP_NONE;
    d->status.error = 0;
    if (!bx_box_close(d))
        d->status.step = BX_STEP_CLEAN_UP;
    return answer_status(d, BX_CLOSED);
}

/* One order; false when the harness is gone or does not make sense. */
static bool serve(bx_boxd *d)
{
    uint8_t head[BX_HEAD_BYTES];
    uint32_t n = 0;
    bx_type type;
    if (!bx_read_all(d->harness, head, sizeof head) || !bx_head(head, &n, &type))
        return false;
    uint8_t *payload = malloc(n + 1u);
    bool is_fine = payload != NULL && bx_read_all(d->harness, payload, n);
    if (is_fine && type == BX_OPEN)
        is_fine = do_open(d, &payload, n);
    else if (is_fine && type == BX_TEST)
        is_fine = do_test(d, payload, n);
    else if (is_fine && type == BX_CLOSE)
        is_fine = do_close(d);
    else
        is_fine = is_fine && type == BX_STOP; /* for a test that has ended by itself */
    free(payload);
    return is_fine;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc != 1 || send(BX_CTL_FD, "", 0, MSG_NOSIGNAL) < 0)
        return 2; /* not started by the harness: descriptor 3 is no socket */
    static bx_boxd d;
    d.harness = BX_CTL_FD;
    (void)close_range(BX_CTL_FD + 1, ~0u, 0);
    (void)setsid();
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGINT, &ignore, NULL);
    d.is_root = bx_has_two_ids();
    bx_cgroup_open(&d.cgroup);
    while (serve(&d))
        continue;
    (void)bx_box_close(&d);
    (void)bx_cgroup_close(&d.cgroup);
    return 0;
}
