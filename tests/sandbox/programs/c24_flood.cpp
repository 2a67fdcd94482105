// 2 GB of output.
#include <unistd.h>
int main() { static char b[1 << 16]; for (int i = 0; i < 32768; i++) if (write(1, b, sizeof b) < 0) return 1; }
