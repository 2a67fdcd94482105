#ifndef SCORERS_SANDBOX_BOX_INNER_H
#define SCORERS_SANDBOX_BOX_INNER_H
/*
 * inner.h — what the helper and the trusted processes inside a box say to each other, over one
 * SOCK_SEQPACKET socket that is closed before a byte of the program runs.
 *
 *   helper                       in the box
 *   bx_setup                 →   init waits for it, then builds the box
 *                            ←   READY, or FAILED step
 *   bx_order + 4 descriptors →   the server starts one process
 *                            ←   STARTED + pidfd of the test's first process (from the server)
 *                            ←   RUNNING (from the program's process; its pid comes with it)
 *                            ←   ENDED   (from the test's first process, unless it was killed)
 *                            ←   DONE    (from the server, always)
 *
 * The processes run the same build of the same code, so structs travel as they lie in memory.
 */
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "filter.h"
#include "wire.h"

typedef struct bx_setup {
    uint32_t flags;       /* BX_UNSAFE */
    uint32_t has_userns;  /* the box has a user namespace of its own */
    uint32_t has_two_ids; /* init and program have different ids */
    uint32_t init_id;     /* user and group id of init inside */
    uint32_t program_id;  /* and of the program */
    uint32_t extra_tasks; /* processes of ours that count against RLIMIT_NPROC */
    uint32_t has_proc;    /* filled by init: /proc can be mounted */
    uint32_t n_filter;
    struct sock_filter filter[BX_FILTER_MAX]; /* [n_filter]; only these are sent */
} bx_setup;

#define BX_SETUP_BYTES(n) (offsetof(bx_setup, filter) + (n) * sizeof(struct sock_filter))

typedef struct bx_order {
    bx_limits limits;
    uint32_t want_oom_first; /* the program, not the server, is what a memory cgroup should kill */
} bx_order;

typedef enum bx_note_kind {
    BX_NOTE_READY = 1,
    BX_NOTE_FAILED,
    BX_NOTE_STARTED,
    BX_NOTE_RUNNING,
    BX_NOTE_ENDED,
    BX_NOTE_DONE,
} bx_note_kind;

typedef struct bx_note {
    uint32_t kind;        /* bx_note_kind */
    uint32_t step, error; /* FAILED */
    uint32_t status;      /* ENDED: the program's, as wait() has it */
    uint64_t cpu_us;      /* ENDED, DONE: of the program and all descendants that were waited for */
    uint64_t wall_us;     /* ENDED */
    uint64_t waited_us;   /* ENDED: as in bx_record, of the program's first thread */
    uint64_t peak_bytes;  /* ENDED, DONE: the largest resident size of any of them */
} bx_note;

enum { BX_CTL_FD = 3, BX_SETUP_FD = 4 }; /* in the interpreter that serves */
/* Of a test: standard input, output, error, and the program for an interpreter, which finds it at
 * descriptor 3. */
enum { BX_TEST_FDS = 4, BX_PROGRAM_FD = 3 };

/* One note; false when the helper is gone. fd -1: no descriptor with it. */
bool bx_tell(int ctl, const bx_note *note, int fd);
bool bx_tell_failed(int ctl, bx_step step, int error);

/*
 * Time that a thread was ready to run while others had the processors; 0 where the kernel does not
 * count it. path: of its folder in /proc, at most 64 bytes. all_cpu_us: of the program: what its
 * other threads used may have been what this one waited for, and is no excuse. Allocates nothing.
 */
uint64_t bx_waited_us(const char *path, uint64_t all_cpu_us);

/*
 * Serves orders until the helper closes its end, then ends the process.
 *
 * argv NULL (the interpreter): returns in a fresh process each time an order comes, with standard
 * input and outputs in place, limits and filter on, no privilege left; never in the caller.
 * Else argv is executed in that process, and the call never returns.
 * Must be called single-threaded, with CAP_SYS_ADMIN over the box's user namespace.
 */
void bx_serve(int ctl, const bx_setup *setup, const char *const argv[]);

/* What init needs; descriptors are open in the caller. */
typedef struct bx_plan {
    int ctl;
    uint32_t kind; /* bx_kind */
    bx_limits limits;
    uint32_t n_files;
    char names[BX_MAX_FILES + 1][BX_NAME_BYTES];
    uint32_t modes[BX_MAX_FILES + 1];
    int contents[BX_MAX_FILES + 1]; /* memfds */
    const char *argv[BX_MAX_ARGS + 1];
    const char *folder; /* BX_UNSAFE: what stands in for /box, made and removed by the helper */
} bx_plan;

/* The first process of the box. Never returns. */
_Noreturn void bx_init_main(bx_plan *plan);

extern const char *const bx_environment[]; /* of every program, NULL-terminated */

/* execve, which takes as char *const * what it only reads. Returns if it fails. */
static inline void bx_execve(const char *const argv[], const char *const environment[])
{
    char *const *args = NULL;
    char *const *variables = NULL;
    memcpy(&args, &argv, sizeof args);
    memcpy(&variables, &environment, sizeof variables);
    (void)execve(argv[0], args, variables);
}

#endif
