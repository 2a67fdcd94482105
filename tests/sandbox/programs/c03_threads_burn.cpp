// Eight threads burn CPU time in little wall time.
#include <thread>
#include <vector>
int main() {
    std::vector<std::thread> t;
    for (int i = 0; i < 8; i++) t.emplace_back([] { for (volatile unsigned x = 1;; x = x * 3) {} });
    for (auto &x : t) x.join();
}
