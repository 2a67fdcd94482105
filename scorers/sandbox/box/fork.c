/*
 * fork.c — loaded into the interpreter that serves: its getppid() becomes a loop of orders.
 *
 * The interpreter imports its modules and calls os.getppid() once. The call returns in a fresh
 * process for every test; in the interpreter itself it never returns. What runs before it has seen
 * no byte of the program. It is not os.fork() that is taken over, because what that does afterwards
 * in the child (new locks, new thread tables, hooks in Python) costs as much as the fork: nothing of
 * it is needed for a process that had one thread.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <unistd.h>

#include "inner.h"

static bx_setup setup;
static bool is_program; /* the server has been left: getppid is getppid again */

__attribute__((visibility("default"))) pid_t getppid(void)
{
    if (is_program)
        return (pid_t)syscall(SYS_getppid);
    const ssize_t n = pread(BX_SETUP_FD, &setup, sizeof setup, 0);
    if (n < (ssize_t)BX_SETUP_BYTES(0) || setup.n_filter > BX_FILTER_MAX ||
        n < (ssize_t)BX_SETUP_BYTES(setup.n_filter))
        _exit(1);
    close(BX_SETUP_FD);
    bx_serve(BX_CTL_FD, &setup, NULL);
    is_program = true;
    return 0;
}
