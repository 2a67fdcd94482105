// The right answer, then exit status 3.
#include <cstdio>
int main() { std::puts("7"); return 3; }
