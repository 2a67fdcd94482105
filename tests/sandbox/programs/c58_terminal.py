# Types into a terminal.
import fcntl, os
hit = False
try:
    os.open("/dev/tty", os.O_RDWR)
    hit = True
except OSError:
    pass
try:
    fcntl.ioctl(0, 0x5412, b"x")
    hit = True
except OSError:
    pass
print("ESCAPED" if hit else 7)
