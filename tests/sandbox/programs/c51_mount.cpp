// mount.
#include <sys/mount.h>
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit = mount("tmpfs", "/tmp", "tmpfs", 0, nullptr) == 0;
    std::puts(hit ? "ESCAPED" : "7");
}
