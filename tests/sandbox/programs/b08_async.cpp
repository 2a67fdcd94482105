// Benign: std::async, an exception, a big stack.
#include <cstdio>
#include <future>
#include <stdexcept>
int deep(int n) { volatile char b[1000]; b[0] = 1; return n == 0 ? 0 : deep(n - 1) + b[0]; }
int main() {
    auto f = std::async(std::launch::async, [] { return deep(100000); });
    try { throw std::runtime_error("x"); } catch (const std::exception &) { std::printf("%d\n", f.get() == 100000 ? 7 : 0); }
}
