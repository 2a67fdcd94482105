# Searches all files it can read outside /usr for the expected output.
import os
needle = ("8675" + "309042").encode()
hit = False
for root, dirs, files in os.walk("/"):
    if root == "/":
        dirs.remove("usr")
    for name in files:
        try:
            with open(os.path.join(root, name), "rb") as f:
                if os.path.join(root, name) != "/dev/zero" and not root.startswith("/dev"):
                    hit = hit or needle in f.read(1 << 22)
        except OSError:
            pass
print("ESCAPED" if hit else 7)
