#ifndef SCORERS_SANDBOX_BOX_WIRE_H
#define SCORERS_SANDBOX_BOX_WIRE_H
/*
 * wire.h — what the harness and its helper program say to each other.
 *
 * Frames     u32 length of the payload, u8 type, payload; numbers little-endian; texts as u32
 *            length and bytes. At most BX_MAX_FRAME bytes. One order is in flight at a time.
 *
 *   harness            helper
 *   OPEN limits, kind, files, argv  →   makes a box; for BX_PYTHON starts the interpreter in it
 *                      ←   OPENED  status
 *   TEST limits, input, program →  one fresh process in the box
 *                      ←   RESULT  record, standard output, head of standard error
 *   CLOSE              →   ends the box and all in it
 *                      ←   CLOSED  status
 *
 * Trust      the harness takes the helper for fallible: every length is checked by bx_get_*, which
 *            never read outside and turn is_bad on; values are range-checked by the decoders.
 * Depends    on the C library only: the helper is linked without the rest of the project.
 * Threads    pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BX_MAX_FRAME =
        (64 << 20) + (1 << 20), /* the largest output or program, and room for the rest */
    BX_HEAD_BYTES = 5,
    BX_MAX_FILES = 8,
    BX_MAX_ARGS = 16,
    BX_STDERR_HEAD = 64 << 10,
    BX_NAME_BYTES = 32,
    BX_PATIENCE = 10, /* a wall limit grows by what the program waited, to so many times itself */
};

typedef enum bx_type {
    BX_OPEN = 1,
    BX_OPENED,
    BX_TEST,
    BX_RESULT,
    BX_CLOSE,
    BX_CLOSED,
} bx_type;

typedef enum bx_kind {
    BX_EXEC = 1, /* argv is executed afresh for each test */
    BX_PYTHON,   /* a loaded interpreter forks once for each test */
} bx_kind;

/* Bits of bx_limits.flags. */
enum {
    BX_FORK = 1,         /* the program may make processes (needs an accounting cgroup) */
    BX_EXEC_TMP = 2,     /* /tmp without noexec: compilers */
    BX_TRUSTED_FORK = 4, /* processes are allowed even where nothing counts them: compilers */
    BX_UNSAFE = 8,       /* no namespaces: what --unsafe-no-sandbox asks for */
};

typedef struct bx_limits {
    uint64_t cpu_ms; /* the program is ended when it has used this much */
    uint64_t wall_ms;
    uint64_t memory_bytes;
    uint64_t stack_bytes;
    uint64_t tmp_bytes;
    uint64_t output_bytes; /* standard output; standard error is counted to 64 MB */
    uint64_t file_bytes;
    uint32_t tasks; /* processes and threads */
    uint32_t files; /* open files */
    uint32_t flags;
} bx_limits;

/* Where a step failed. The order is that of box/steps.c's names. */
typedef enum bx_step {
    BX_STEP_NONE,
    BX_STEP_CLONE,
    BX_STEP_ID_MAP,
    BX_STEP_CGROUP,
    BX_STEP_IDS,
    BX_STEP_NO_MORE_NAMESPACES,
    BX_STEP_MOUNT_PRIVATE,
    BX_STEP_MOUNT_ROOT,
    BX_STEP_MOUNT_USR,
    BX_STEP_MOUNT_DEV,
    BX_STEP_MOUNT_PROC,
    BX_STEP_MOUNT_TMP,
    BX_STEP_FILES,
    BX_STEP_PIVOT,
    BX_STEP_READ_ONLY,
    BX_STEP_HOST_NAME,
    BX_STEP_FORK,
    BX_STEP_RLIMIT,
    BX_STEP_CAPABILITIES,
    BX_STEP_DESCRIPTORS,
    BX_STEP_FILTER,
    BX_STEP_EXEC,
    BX_STEP_INTERPRETER, /* the fork server did not come up, or went away */
    BX_STEP_PROTOCOL,
    BX_STEP_INPUT,
    BX_STEP_CLEAN_UP,
    BX_N_STEPS,
} bx_step;

const char *bx_step_name(bx_step step);

/* What the supervisor acted on first. */
typedef enum bx_act {
    BX_ACT_NONE,
    BX_ACT_CPU,
    BX_ACT_WALL,
    BX_ACT_MEMORY,
    BX_ACT_OUTPUT,
    BX_ACT_STDERR,
    BX_N_ACTS,
} bx_act;

/* How a test ended. */
typedef struct bx_record {
    uint32_t act;    /* bx_act */
    uint32_t step;   /* bx_step; not NONE: the sandbox failed */
    uint32_t error;  /* errno of that step */
    uint32_t status; /* as wait() has it; meaningless if act or step says the program was ended */
    uint64_t cpu_us; /* user and system, all descendants that anything here can count */
    uint64_t wall_us;
    uint64_t
        waited_us; /* of that: ready to run, but without a processor. 0 unless wall_us is long */
    uint64_t peak_bytes;
    uint64_t output_bytes; /* written before the end, also what was dropped */
    uint64_t error_bytes;
    uint32_t is_oom; /* the memory cgroup killed something */
} bx_record;

/* How long a program may take that had to wait for a processor: a busy machine is not its fault. */
uint64_t bx_wall_allowed_us(uint64_t wall_ms, uint64_t waited_us);

/* What BX_OPENED and BX_CLOSED say. */
typedef struct bx_status {
    uint32_t step, error;
    uint32_t clone_flags;       /* CLONE_NEW… in use */
    uint32_t cgroup;            /* 0 none, 1 v1, 2 v2 */
    uint32_t can_limit_memory;  /* a memory cgroup holds the box */
    uint32_t can_count_cpu;     /* a cgroup counts the box's CPU time */
    uint32_t is_root, has_proc; /* two ids mapped; /proc in the box */
} bx_status;

typedef struct bx_file {
    char name[BX_NAME_BYTES]; /* in /box; letters, digits, dot, dash, underscore */
    uint32_t mode;
    const uint8_t *p; /* into the frame */
    size_t n;
} bx_file;

typedef struct bx_open {
    uint32_t kind; /* bx_kind */
    bx_limits limits;
    uint32_t n_files, n_args;
    bx_file files[BX_MAX_FILES];
    char args[BX_MAX_ARGS][256]; /* NUL-terminated */
} bx_open;

/* ---- writing ------------------------------------------------------------------------------ */

typedef struct bx_out {
    uint8_t *p; /* malloc'ed; NULL after a failed allocation */
    size_t n, cap;
    bool is_bad;
} bx_out;

/* Begins a frame; bx_end fills in the length. False when memory or the maximum was reached. */
void bx_begin(bx_out *o, bx_type type);
bool bx_end(bx_out *o);
void bx_out_free(bx_out *o);
void bx_put_u32(bx_out *o, uint32_t v);
void bx_put_u64(bx_out *o, uint64_t v);
void bx_put_bytes(bx_out *o, const void *p, size_t n);
void bx_put_limits(bx_out *o, const bx_limits *l);
void bx_put_record(bx_out *o, const bx_record *r);
void bx_put_status(bx_out *o, const bx_status *s);

/* ---- reading ------------------------------------------------------------------------------ */

typedef struct bx_in {
    const uint8_t *p;
    size_t n, at;
    bool is_bad; /* something was missing or out of range; all later reads give 0 */
} bx_in;

uint32_t bx_get_u32(bx_in *in);
uint64_t bx_get_u64(bx_in *in);
/* Borrowed from the frame. */
const uint8_t *bx_get_bytes(bx_in *in, size_t *n);

/* The head of a frame: false when the length is above the maximum or the type unknown. */
bool bx_head(const uint8_t head[BX_HEAD_BYTES], uint32_t *length, bx_type *type);
/* All three: false if anything is missing, out of range, or left over. Borrow from the payload. */
bool bx_get_open(bx_open *o, const uint8_t *p, size_t n);
bool bx_get_test(bx_limits *l, const uint8_t **input, size_t *n_input, const uint8_t **program,
                 size_t *n_program, const uint8_t *p, size_t n);
bool bx_get_result(bx_record *r, const uint8_t **output, size_t *n_output, const uint8_t **errors,
                   size_t *n_errors, const uint8_t *p, size_t n);
bool bx_get_status(bx_status *s, const uint8_t *p, size_t n);

#endif
