# Zombies by the thousand.
import os
try:
    for i in range(1000):
        if os.fork() == 0:
            os._exit(0)
except OSError:
    pass
print(7)
