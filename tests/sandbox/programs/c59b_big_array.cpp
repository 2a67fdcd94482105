// An initialised array of 3 GB.
int a[800000000] = {1};
int main() { return a[5]; }
