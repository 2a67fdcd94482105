// A call through the 32-bit gate.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    long r = -1;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L));
    hit = r > 0;
    std::puts(hit ? "ESCAPED" : "7");
}
