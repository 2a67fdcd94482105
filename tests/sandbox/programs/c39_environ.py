# Reads the environment of every process it can see.
import os
text = b""
for p in os.listdir("/proc"):
    for f in ("environ", "cmdline"):
        try:
            with open("/proc/%s/%s" % (p, f), "rb") as x:
                text += x.read()
        except OSError:
            pass
print("ESCAPED" if b"CANARY" in text or b"ASSAY" in text or b"/root" in text else 7)
