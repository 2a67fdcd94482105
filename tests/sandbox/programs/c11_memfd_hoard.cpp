// Hoards memory in memfds that are never mapped.
#define _GNU_SOURCE
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>
int main() {
    static char block[1 << 20];
    long total = 0;
    for (int i = 0; i < 8; i++) {
        int fd = memfd_create("x", 0);
        if (fd < 0) break;
        for (int k = 0; k < 256 && write(fd, block, sizeof block) > 0; k++) total++;
    }
    std::puts(total > 700 ? "ESCAPED memfd" : "7");
}
