#ifndef SCORERS_SANDBOX_BOX_BOXD_H
#define SCORERS_SANDBOX_BOX_BOXD_H
/*
 * boxd.h — the helper's own state, shared by its two halves: box.c makes and ends boxes, run.c
 * supervises one test. One thread, one box, one test at a time.
 */
#include "cgroup.h"
#include "inner.h"

typedef struct bx_boxd {
    int harness; /* socket to the harness */
    bx_cgroup cgroup;
    bool is_root; /* and may use the ids of boxes: two for each */
    /* the box, when there is one */
    bool is_open;
    int ctl;   /* socket into it */
    int pidfd; /* of init */
    pid_t init;
    char folder[64];  /* BX_UNSAFE: stands in for /box; empty: none */
    int userns_error; /* why there is no user namespace, or 0 */
    bx_open spec;     /* what it was asked to be; files point nowhere any more */
    bx_status status;
} bx_boxd;

/* Root of the host, or of a container that has our ids; else boxes get the caller's one id. */
bool bx_has_two_ids(void);
/* Makes a box as o says; d->status tells how it went. */
void bx_box_open(bx_boxd *d, const bx_open *o);
/* Ends everything in it and waits for that; false if something could not be ended. */
bool bx_box_close(bx_boxd *d);

/* One test. output: [output cap = limits.output_bytes], malloc'ed by the caller's bx_result. */
typedef struct bx_result {
    bx_record record;
    uint8_t *output; /* malloc'ed, [n_output] */
    size_t n_output, output_room;
    uint8_t errors[BX_STDERR_HEAD];
    size_t n_errors;
} bx_result;

/* Completes and sends a frame, and frees it; false when the harness is gone. */
bool bx_send_frame(int fd, bx_out *o);
bool bx_read_all(int fd, uint8_t *p, size_t n);

void bx_run_test(bx_boxd *d, const bx_limits *limits, const uint8_t *input, size_t n_input,
                 const uint8_t *program, size_t n_program, bx_result *out);

/* One note from the box, with the sender's pid as seen here and a descriptor (-1: none). 1, 0 when
 * nothing is there, -1 when the box is gone or talks nonsense. */
int bx_receive_note(int ctl, bx_note *note, pid_t *sender, int *fd, bool want_wait);
int bx_memfd(const void *p, size_t n); /* filled and at its start, or -1 */
uint64_t bx_now_us(void);

#endif
