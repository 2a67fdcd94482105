// Takes host files into the program.
__asm__(".incbin \"/etc/passwd\"");
int main() {}
