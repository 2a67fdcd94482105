# Endless standard error, 512 MB at most.
import sys
for i in range(512):
    sys.stderr.write('x' * (1 << 20))
print(7)
