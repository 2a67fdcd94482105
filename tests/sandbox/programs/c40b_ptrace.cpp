// Attaches to process 1.
#include <cstdio>
#include <sys/ptrace.h>
int main() { std::puts(ptrace(PTRACE_ATTACH, 1, nullptr, nullptr) == 0 ? "ESCAPED" : "7"); }
