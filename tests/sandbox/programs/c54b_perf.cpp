// perf_event_open.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit |= syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0) >= 0;
    std::puts(hit ? "ESCAPED" : "7");
}
