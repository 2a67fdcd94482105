#ifndef BASE_TIME_H
#define BASE_TIME_H
/*
 * time.h — clocks and dates.
 *
 * Units      ns since an arbitrary start (monotonic), ns since 1970 (wall), ns of CPU.
 * Threads    pure.
 */
#include <stdint.h>

int64_t as_now_ns(void);  /* monotonic */
int64_t as_wall_ns(void); /* UTC since 1970-01-01 */
int64_t as_process_cpu_ns(void);

enum { AS_ISO_TIME = 25 };
/* "2026-11-24T13:45:17.123Z" */
void as_iso_time(char z[AS_ISO_TIME], int64_t wall_ns);

void as_sleep_ns(int64_t ns);

#endif
