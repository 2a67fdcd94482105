#ifndef UNIT_STORE_CASES_H
#define UNIT_STORE_CASES_H
/*
 * store_cases.h — a small made-up run that the tests of the store and of the reports share.
 *
 * Everything about an answer is a function of its position and repeat, so that two stores filled in
 * different orders must agree.
 */
#include "store/query.h"
#include "store/store.h"

enum { CASE_ITEMS = 150, CASE_REPEATS = 2 };

/* A path inside a new folder; case_clean removes both. */
typedef struct case_dir {
    char dir[64];
    char db[96];
} case_dir;

void case_dir_make(case_dir *d);
void case_dir_clean(const case_dir *d);

typedef struct case_task {
    as_arena arena;
    db_run_spec run;
    db_task_spec task;
} case_task;

void case_init(case_task *c, size_t n_items, int repeats);
void case_release(case_task *c);

/* A new folder, the case, and an empty store for it; aborts if there is none to be had. */
db_store *case_open(case_dir *d, case_task *c, size_t n_items, int repeats);
/* Closes the store, removes the folder. */
void case_close(const case_dir *d, case_task *c, db_store *db);

/* The record of a position and repeat; texts live in the case's arena until the next call. */
db_record case_record(case_task *c, int64_t task_id, size_t position, int repeat);
/* The whole export without times; the caller releases the buffer. */
as_code case_export(db_store *db, as_buf *out, as_err *err);

#endif
