// System V segments touched, detached, kept.
#include <cstdio>
#include <cstring>
#include <sys/ipc.h>
#include <sys/shm.h>
int main() {
    int n = 0;
    for (int i = 0; i < 32; i++) {
        int id = shmget(IPC_PRIVATE, 32 << 20, IPC_CREAT | 0600);
        if (id < 0) break;
        void *p = shmat(id, nullptr, 0);
        if (p == reinterpret_cast<void *>(-1)) break;
        std::memset(p, 1, 32 << 20);
        shmdt(p);
        n++;
    }
    std::puts(n > 16 ? "ESCAPED shm" : "7");
}
