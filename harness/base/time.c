#include "base/time.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t as_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t as_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t as_process_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void as_iso_time(char z[AS_ISO_TIME], int64_t wall_ns)
{
    const time_t s = (time_t)(wall_ns / 1000000000);
    const int ms = (int)(wall_ns / 1000000 % 1000);
    struct tm tm = {0};
    (void)gmtime_r(&s, &tm);
    (void)snprintf(z, AS_ISO_TIME, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)(tm.tm_year + 1900) % 10000u, (unsigned)(tm.tm_mon + 1) % 100u,
                   (unsigned)tm.tm_mday % 100u, (unsigned)tm.tm_hour % 100u,
                   (unsigned)tm.tm_min % 100u, (unsigned)tm.tm_sec % 100u, (unsigned)ms % 1000u);
}

void as_sleep_ns(int64_t ns)
{
    if (ns <= 0)
        return;
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}
