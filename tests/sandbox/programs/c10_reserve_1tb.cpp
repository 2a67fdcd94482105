// Reserves 1 TB without touching it.
#include <cstdio>
#include <sys/mman.h>
int main() {
    void *p = mmap(nullptr, 1ull << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    std::puts(p == MAP_FAILED ? "no" : "7");
}
