# A sparse file of 1 TB, then a huge fallocate.
import os
f = os.open("/tmp/big", os.O_RDWR | os.O_CREAT)
got = 0
for call in (lambda: os.ftruncate(f, 1 << 40), lambda: os.posix_fallocate(f, 0, 1 << 33)):
    try:
        call()
        got += 1
    except OSError:
        pass
print("ESCAPED" if got else 7)
