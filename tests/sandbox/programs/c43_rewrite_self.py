# Rewrites its source and whatever lies beside it.
import os
hit = False
for name in os.listdir("/box") + ["new.py"]:
    for call in (lambda: open("/box/" + name, "a").write("print('ESCAPED')"), lambda: os.unlink("/box/" + name), lambda: os.chmod("/box/" + name, 0o777), lambda: os.rename("/tmp/x", "/box/" + name)):
        try:
            call()
            hit = True
        except OSError:
            pass
print("ESCAPED" if hit else 7)
