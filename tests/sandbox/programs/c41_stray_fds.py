# Uses descriptors that were left open.
import os
left = []
for fd in range(3, 1024):
    try:
        os.fstat(fd)
        left.append((fd, os.readlink("/proc/self/fd/%d" % fd)))
    except OSError:
        pass
print("ESCAPED %s" % left if left else 7)
