// A call by its x32 number.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit = syscall(0x40000000 + 39) > 0;
    std::puts(hit ? "ESCAPED" : "7");
}
