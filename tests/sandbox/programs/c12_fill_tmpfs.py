# Fills every place that can be written to.
import os
block = b"x" * (1 << 20)
total = 0
for d in ("/tmp", "/dev/shm", "/", "/dev", "/box", "/proc", "/etc"):
    try:
        with open(d + "/fill", "wb", 0) as f:
            for i in range(2048):
                n = f.write(block)
                total += n
                if n < len(block):
                    break
    except OSError:
        pass
print("ESCAPED %d" % total if total > (80 << 20) else 7)
