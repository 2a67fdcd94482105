# Benign: all ways to read.
import sys, os
a = sys.stdin.readline().strip()
b = sys.stdin.readline().strip()
c = next(sys.stdin).strip()
d = next(sys.stdin).strip()
e = sys.stdin.read().split()
print(a, b, c, d, *e)
