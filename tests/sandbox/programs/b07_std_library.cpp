// Benign: all of the standard library.
#include <bits/stdc++.h>
using namespace std;
int main() { vector<int> v{3, 4}; cout << accumulate(v.begin(), v.end(), 0) << endl; }
