// Templates that never end.
template <int N, int M> struct T { enum { v = T<N - 1, M>::v + T<N - 1, M + 1>::v }; };
template <int M> struct T<0, M> { enum { v = M }; };
int main() { return T<800, 0>::v; }
