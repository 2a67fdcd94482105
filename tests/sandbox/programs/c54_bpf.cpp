// bpf.
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit |= syscall(SYS_bpf, 0, nullptr, 0) >= 0;
    std::puts(hit ? "ESCAPED" : "7");
}
