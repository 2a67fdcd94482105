# Executes set-user-ID programs.
import os
try:
    os.execv("/usr/bin/su", ["su", "-c", "echo ESCAPED"])
except OSError:
    print(7)
