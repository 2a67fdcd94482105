# Exits with 0 before anything.
import os
os._exit(0)
