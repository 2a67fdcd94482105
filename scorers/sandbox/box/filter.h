#ifndef SCORERS_SANDBOX_BOX_FILTER_H
#define SCORERS_SANDBOX_BOX_FILTER_H
/*
 * filter.h — which system calls the program in the box may make, as a BPF program.
 *
 * Table      one row a call. Kill: what no honest solution does (the verdict is
 *            security_violation). Allow: what solutions, the interpreter and the C++ library need.
 *            Refuse: an errno. Not in the table: ENOSYS, so that a newer libc degrades. Rows of
 *            BX_BY_ARGUMENT are decided by rules over their arguments (filter.c says them).
 * Doors      another architecture than the native one, and x32 numbers: kill.
 * Arguments  the kernel takes many of them for 32 bits wide. Rules that allow compare the low half,
 *            or demand that the high half be zero; junk there never opens a door.
 * Tests      test_box_filter interprets the program for every number and architecture.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>

enum {
    BX_FILTER_FORK = 1, /* bit: the program may make processes, a cgroup counts them */
    BX_FILTER_MAX = 2048,
};

typedef enum bx_decision {
    BX_KILL,
    BX_ALLOW,
    BX_ERRNO_AGAIN,
    BX_ERRNO_PERM,
    BX_ERRNO_ACCES,
    BX_ERRNO_NOSYS,
    BX_BY_ARGUMENT,
} bx_decision;

/* 0, or an errno. out: [cap], cap at most BX_FILTER_MAX. */
int bx_filter_build(uint32_t bits, struct sock_filter *out, size_t cap, size_t *n);

/* The table's word on a native call number. */
bx_decision bx_filter_table(int number, uint32_t bits);

#endif
