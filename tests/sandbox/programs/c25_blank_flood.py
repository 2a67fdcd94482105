# The right answer, then megabytes of blank lines.
import sys
print(7)
for i in range(64):
    sys.stdout.write('\n' * (1 << 20))
