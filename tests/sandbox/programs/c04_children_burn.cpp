// Children burn CPU time while SIGCHLD is ignored, so that nobody waits for them.
#include <csignal>
#include <cstdio>
#include <ctime>
#include <unistd.h>
int main() {
    std::signal(SIGCHLD, SIG_IGN);
    int n = 0;
    for (int i = 0; i < 4; i++) {
        pid_t p = fork();
        if (p == 0) { while (std::clock() < 3 * CLOCKS_PER_SEC) {} _exit(0); }
        if (p > 0) n++;
    }
    for (int i = 0; i < (n ? 60 : 0); i++) usleep(100000);
    std::puts(n ? "ESCAPED: 12 s of CPU time" : "7");
}
