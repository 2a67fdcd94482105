# NUL, invalid UTF-8 and escape sequences.
import sys
sys.stdout.buffer.write(b'7\0\xff\xfe\x1b[2J\n')
