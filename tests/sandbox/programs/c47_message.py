# Leaves a message for the next run wherever it can, and looks for one.
import os, fcntl, socket
hit = []
for d in ("/tmp", "/dev/shm", "/var/tmp", "/box", "/usr", "/etc", "/proc", "/dev"):
    if os.path.exists(d + "/assay-mark"):
        hit.append(d)
    try:
        open(d + "/assay-mark", "w").write("x")
    except OSError:
        pass
try:
    s = socket.socket(socket.AF_UNIX)
    s.bind("\0assay-mark")
    s.listen()
except OSError:
    hit.append("abstract socket")
try:
    f = open("/usr/bin/env", "rb")
    fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    hit.append("flock on a file of the host")
except OSError:
    pass
try:
    fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    hit.append("lock on a file of the host")
except OSError:
    pass
print("ESCAPED %s" % hit if hit else 7)
