#ifndef TESTS_UNIT_BUSY_H
#define TESTS_UNIT_BUSY_H
/* Loops that keep every processor busy, as a loaded machine would: four a processor, each in a session
 * of its own, so that a scheduler that is fair to sessions counts each. End with the test. */
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUSY_MAX = 64 };

static pid_t busy_pids[BUSY_MAX];
static size_t n_busy;

static inline void busy_begin(void)
{
    const long n = 4 * sysconf(_SC_NPROCESSORS_ONLN);
    for (n_busy = 0; n_busy < BUSY_MAX && (long)n_busy < n; n_busy++) {
        busy_pids[n_busy] = fork();
        if (busy_pids[n_busy] != 0)
            continue;
        (void)setsid();
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void)alarm(120); /* in any case */
        for (volatile unsigned spin = 0;; spin++)
            continue;
    }
}

static inline void busy_end(void)
{
    for (size_t i = 0; i < n_busy; i++)
        if (busy_pids[i] > 0) {
            (void)kill(busy_pids[i], SIGKILL);
            (void)waitpid(busy_pids[i], NULL, 0);
        }
    n_busy = 0;
}

#endif
