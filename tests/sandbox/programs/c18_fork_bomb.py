# Fork bomb with double forks and new sessions, at most 200 processes.
import os
n = 0
for i in range(200):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        os.setsid()
        try:
            os.fork()
        except OSError:
            pass
        import time
        time.sleep(30)
        os._exit(0)
    n += 1
print("ESCAPED forks" if n > 60 else 7)
