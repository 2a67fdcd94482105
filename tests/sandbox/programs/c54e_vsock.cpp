// A socket to the hypervisor.
#include <sys/socket.h>
#define _GNU_SOURCE
#include <cstdio>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
int main() {
    bool hit = false;
    hit |= socket(40, SOCK_STREAM, 0) >= 0;
    std::puts(hit ? "ESCAPED" : "7");
}
