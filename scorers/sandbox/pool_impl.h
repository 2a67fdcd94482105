#ifndef SCORERS_SANDBOX_POOL_IMPL_H
#define SCORERS_SANDBOX_POOL_IMPL_H
/*
 * pool_impl.h — what the files of the pool share: pool.c hands out work, judge.c does one test,
 * compile.c makes programs, probe.c proves the machine.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/hash.h"
#include "scorers/sandbox/helper.h"
#include "scorers/sandbox/program.h"
#include "scorers/sandbox/sandbox.h"

enum { SB_PATH_BYTES = 4096, SB_BINARIES = 32, SB_ERRORS_KEPT = 1024, SB_COMPILER_TEXT = 4096 };

/* A compiled program that is kept; at most SB_BINARIES, the oldest goes first. */
typedef struct sb_binary {
    as_sha256 key;
    char *p; /* malloc'ed; NULL: free place */
    size_t n;
    int n_users;
    uint64_t used_at;
} sb_binary;

typedef struct sb_slot {
    sb_pool *pool;
    pthread_t thread;
    bool has_thread;
    sb_helper helper;  /* for programs */
    sb_helper checker; /* for compilers and checkers: the program's box can stay */
    as_arena scratch;  /* one test */
    /* The box that the helper has: whose it is, or what programs must share to follow in it. */
    const sb_ticket *box_owner;
    bool is_shared;
    as_sha256 box_key;
    int n_box_uses;
} sb_slot;

struct sb_ticket {
    sb_pool *pool;
    sb_job job;
    sb_limits limits; /* filled and scaled */
    sb_ticket *next;
    /* guarded by the pool's lock */
    bool is_preparing, is_prepared, is_done;
    int n_workers;
    size_t next_test, fail_at; /* tests from fail_at on need not run */
    as_code code;
    as_err err;
    as_arena keep; /* texts of the results */
    sb_result result;
    /* written while preparing, read-only then */
    sb_binary *binary, *checker;
    as_str program; /* of an interpreter that forks */
    as_sha256 key;
};

struct sb_pool {
    pthread_mutex_t lock; /* guards everything down to the next blank line, and tickets */
    pthread_cond_t has_work, has_room, has_done;
    sb_ticket *first; /* queue, oldest first */
    size_t n_queued;
    bool is_closing;
    sb_binary binaries[SB_BINARIES];
    uint64_t clock; /* counts uses of binaries */

    /* Tests hold it for reading; what must run alone, for writing. */
    pthread_rwlock_t alone;
    atomic_bool is_cancelled;
    int n_slots;
    sb_slot slots[SB_MAX_SLOTS];
    double time_factor;
    bool is_unsafe;
    char helper_path[SB_PATH_BYTES], compile_dir[SB_PATH_BYTES], verdict_dir[SB_PATH_BYTES];
    char python[160], cpp[160]; /* versions */
    char sandbox[64];
    const as_log *log;
};

/* judge.c: runs test i of the ticket on the slot; the result's texts are in slot->scratch. */
as_code sb_judge_test(sb_slot *slot, sb_ticket *t, size_t i, sb_test_result *out, as_err *err);
/* Ends the slot's box, if any and if no other program may use it. A helper that does not obey is replaced. */
void sb_slot_end_box(sb_slot *slot);
/* The helper, started if it is not running. */
as_code sb_slot_helper(sb_slot *slot, sb_helper *h, as_err *err);
/* Opens a box and runs one test in it, on a fresh helper if the first try failed for reasons of
 * ours. Texts are in h->in. */
as_code sb_slot_once(sb_slot *slot, sb_helper *h, const sb_box_spec *spec, as_str input,
                     bx_record *record, as_str *output, as_str *errors, as_err *err);

/* compile.c: the program of the code, from a cache or a compile box. *out NULL: it does not
 * compile, and t->result says why. */
as_code sb_compile_program(sb_slot *slot, sb_ticket *t, as_str code, sb_binary **out, as_err *err);
void sb_binary_release(sb_pool *pool, sb_binary *b);

/* probe.c */
as_code sb_find_helper(char path[SB_PATH_BYTES], const char *given, as_err *err);
as_code sb_prove(sb_slot *slot, as_err *err);
void sb_find_tools(sb_pool *pool);

/* cache.c: removes the oldest files of a folder until it holds at most so many bytes. */
void sb_cache_bound(const char *dir, int64_t max_bytes);
/* Results by key; both do nothing without a folder. */
void sb_verdict_key(sb_ticket *t);
bool sb_verdict_load(sb_ticket *t);
void sb_verdict_save(const sb_ticket *t);

#endif
