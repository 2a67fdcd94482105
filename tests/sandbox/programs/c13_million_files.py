# Creates a million empty files.
n = 0
try:
    for i in range(1000000):
        open("/tmp/f%d" % i, "w").close()
        n += 1
except OSError:
    pass
print("ESCAPED files" if n > 10000 else 7)
