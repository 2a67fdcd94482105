// Recursion until the stack ends.
#include <cstdio>
int f(volatile char *p, int n) { volatile char b[4096]; b[0] = *p; return n == -1 ? b[0] : f(b, n + 1) + b[n & 4095]; }
int main() { volatile char c = 1; std::printf("%d\n", f(&c, 0)); }
