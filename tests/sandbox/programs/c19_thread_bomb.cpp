// Threads with tiny stacks without end, at most 5000.
#include <cstdio>
#include <pthread.h>
#include <unistd.h>
static void *wait(void *) { sleep(5); return nullptr; }
int main() {
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 16384);
    int n = 0;
    pthread_t t;
    while (n < 5000 && pthread_create(&t, &a, wait, nullptr) == 0) n++;
    std::puts(n > 200 ? "ESCAPED threads" : "7");
    std::fflush(stdout);
    _exit(0);
}
