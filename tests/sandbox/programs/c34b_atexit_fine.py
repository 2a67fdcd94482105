# The answer comes from an exit handler, a destructor and a thread.
import atexit, threading, time
class Last:
    def __del__(self):
        print(3)
last = Last()
atexit.register(print, 2)
threading.Thread(target=lambda: (time.sleep(0.2), print(1))).start()
