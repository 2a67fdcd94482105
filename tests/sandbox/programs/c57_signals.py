# Signals to everybody.
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for pid in (1, 0, -1, os.getppid()):
    for s in (signal.SIGTERM, signal.SIGKILL):
        if pid == 0 and s == signal.SIGKILL:
            continue
        try:
            os.kill(pid, s)
        except OSError:
            pass
print(7)
