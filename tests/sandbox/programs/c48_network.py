# TCP, UDP, loopback, names.
import socket
ok = []
for family, kind, where in ((socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)), (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 22)), (socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.1", 53)), (socket.AF_INET6, socket.SOCK_STREAM, ("::1", 22))):
    try:
        s = socket.socket(family, kind)
        s.settimeout(0.5)
        s.connect(where)
        ok.append(where)
    except OSError:
        pass
try:
    socket.getaddrinfo("example.invalid", 80)
    ok.append("name")
except OSError:
    pass
print("ESCAPED %s" % ok if ok else 7)
