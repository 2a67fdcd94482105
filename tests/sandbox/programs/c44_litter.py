# Leaves links, pipes and odd names behind.
import os
for call in (lambda: os.symlink("/etc/shadow", "/tmp/a"), lambda: os.symlink("/tmp/b", "/tmp/b"), lambda: os.mkfifo("/tmp/c"), lambda: open("/tmp/\n\xff;rm -rf", "w").close(), lambda: os.link("/tmp/a", "/tmp/d"), lambda: os.makedirs("/tmp/" + "e/" * 400)):
    try:
        call()
    except OSError:
        pass
print(7)
