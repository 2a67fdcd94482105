// The right answer, then abort.
#include <cstdio>
#include <cstdlib>
int main() { std::puts("7"); std::fflush(stdout); std::abort(); }
