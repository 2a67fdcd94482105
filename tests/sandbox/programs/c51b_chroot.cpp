// chroot.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit = chroot("/tmp") == 0;
    std::puts(hit ? "ESCAPED" : "7");
}
