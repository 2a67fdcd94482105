// Benign: near the expected numbers.
#include <cstdio>
int main() { std::printf("%.7f nan\n", 0.33333331); }
