# UNIX sockets of the host, netlink, packet sockets.
import socket
ok = []
for path in ("/run/systemd/private", "/run/dbus/system_bus_socket", "/var/run/docker.sock", "/tmp/.X11-unix/X0", "\0/tmp/.X11-unix/X0"):
    try:
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        ok.append(path)
    except OSError:
        pass
for family in (socket.AF_NETLINK, socket.AF_PACKET):
    try:
        socket.socket(family, socket.SOCK_RAW)
        ok.append(family)
    except OSError:
        pass
print("ESCAPED %s" % ok if ok else 7)
