// fork, vfork, clone and clone3 called directly.
#include <cstdio>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    int n = 0;
    long p = syscall(SYS_fork);
    if (p == 0) _exit(0);
    n += p > 0;
    p = syscall(SYS_clone, 17, 0, 0, 0, 0);
    if (p == 0) _exit(0);
    n += p > 0;
    unsigned long long args[11] = {0};
    args[4] = 17;
    p = syscall(435, args, sizeof args);
    if (p == 0) _exit(0);
    n += p > 0;
    std::puts(n ? "ESCAPED clone" : "7");
}
