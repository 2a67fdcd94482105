// Keyrings.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit |= syscall(SYS_keyctl, 0, -3, 1) >= 0;
    std::puts(hit ? "ESCAPED" : "7");
}
