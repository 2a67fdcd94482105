// Stops and continues itself all the time while it computes.
#include <csignal>
#include <thread>
#include <unistd.h>
int main() {
    std::thread t([] { for (;;) { kill(getpid(), SIGCONT); usleep(100); } });
    for (volatile unsigned x = 1;; x = x * 3)
        if ((x & 0xFFFFF) == 1) kill(getpid(), SIGSTOP);
}
