# Reads and writes the memory of other processes.
import os
hit = []
for pid in [p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()]:
    for mode in (os.O_RDONLY, os.O_RDWR):
        try:
            fd = os.open("/proc/%s/mem" % pid, mode)
            hit.append((pid, mode))
        except OSError:
            pass
    for name in ("maps", "environ", "auxv"):
        try:
            if open("/proc/%s/%s" % (pid, name), "rb").read():
                hit.append((pid, name))
        except OSError:
            pass
print("ESCAPED %s" % hit if hit else 7)
