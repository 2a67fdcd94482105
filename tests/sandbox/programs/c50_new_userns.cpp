// A new user namespace by clone.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    long p = syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0);
    if (p == 0) _exit(0);
    hit = p > 0;
    std::puts(hit ? "ESCAPED" : "7");
}
