// Endless loop; catches every signal that can be caught.
#include <csignal>
int main() {
    for (int s = 1; s < 65; s++) std::signal(s, SIG_IGN);
    for (volatile unsigned x = 1;; x = x * 48271) {}
}
