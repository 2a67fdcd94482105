# Becomes somebody else.
import os
hit = os.getuid() == 0
for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        call()
        hit = True
    except OSError:
        pass
print("ESCAPED" if hit else 7)
