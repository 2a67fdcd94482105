# Plants modules, preloads and compilers.
import os
hit = []
for path in ("/usr/lib/python3/dist-packages/sitecustomize.py", "/etc/ld.so.preload", "/usr/bin/g++", "/usr/local/bin/g++", "/box/json.py", "/lib/x.so", "/etc/alternatives/c++"):
    try:
        open(path, "w").write("x")
        hit.append(path)
    except OSError:
        pass
print("ESCAPED %s" % hit if hit else 7)
