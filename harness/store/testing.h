#ifndef STORE_TESTING_H
#define STORE_TESTING_H
/*
 * testing.h — switches for tests only: make the disk full, do not wait for other writers.
 *
 * Threads    right after db_open, from the thread that opened.
 */
#include "store/store.h"

/* From now on the file may not grow past so many pages. */
as_code db_testing_max_pages(db_store *db, int max_pages, as_err *err);
as_code db_testing_busy_ms(db_store *db, int busy_ms, as_err *err);

#endif
