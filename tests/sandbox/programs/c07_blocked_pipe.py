# Waits for a pipe nobody writes to.
import os
r, w = os.pipe()
os.read(0, 100)
os.read(r, 1)
