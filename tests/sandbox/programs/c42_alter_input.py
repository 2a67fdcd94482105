# Reopens its input for writing and alters it.
import os
hit = False
for how in (os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    try:
        fd = os.open("/proc/self/fd/0", how)
        os.write(fd, b"9")
        hit = True
    except OSError:
        pass
try:
    os.ftruncate(0, 0)
    hit = True
except OSError:
    pass
print("ESCAPED" if hit else input())
