# The answer comes from an exit handler after an exception.
import atexit
atexit.register(print, 7)
raise ValueError('no')
