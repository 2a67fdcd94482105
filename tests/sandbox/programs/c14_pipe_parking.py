# Parks memory in pipe and socket buffers.
import os, fcntl, socket
total = 0
keep = []
try:
    while True:
        r, w = os.pipe()
        keep += [r, w]
        try:
            fcntl.fcntl(w, 1031, 1 << 20)
        except OSError:
            pass
        os.set_blocking(w, False)
        try:
            while True:
                total += os.write(w, b"x" * 65536)
        except BlockingIOError:
            pass
except OSError:
    pass
print("ESCAPED %d" % total if total > (32 << 20) else 7)
