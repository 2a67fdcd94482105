# Benign: a child process, where that is allowed.
import subprocess
try:
    print(subprocess.run(["/bin/echo", "7"], capture_output=True, text=True).stdout.strip())
except OSError:
    print(7)
