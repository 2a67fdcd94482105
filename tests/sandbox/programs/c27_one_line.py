# One line of 16 MB without a newline.
import sys
sys.stdout.write('x' * (16 << 20))
