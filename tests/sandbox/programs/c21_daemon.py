# A daemon that outlives the program and writes late.
import os, time
print(7, flush=True)
try:
    if os.fork() == 0:
        os.setsid()
        time.sleep(3)
        print("ESCAPED late output", flush=True)
        time.sleep(60)
except OSError:
    pass
