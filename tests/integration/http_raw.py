"""http_raw.py - sockets and just enough HTTP for the tests: what really is on the wire."""
import json, socket, struct, sys, time
from urllib.parse import urlparse

failures = 0


def check(ok, what):
    global failures
    if not ok:
        failures += 1
        print("FAILED:", what)


def address(url):
    u = urlparse(url)
    return u.hostname, u.port


def connect(url, timeout=10):
    s = socket.create_connection(address(url), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def request(path, body=None, headers="", method=None):
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    method = method or ("GET" if body is None else "POST")
    head = f"{method} {path} HTTP/1.1\r\nHost: t\r\n{headers}"
    if body is not None:
        head += f"Content-Length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


def read_all(s, limit=1 << 28):
    """Bytes until the end, and how it ended: close, reset, timeout."""
    got = b""
    try:
        while len(got) < limit:
            piece = s.recv(65536)
            if not piece:
                return got, "close"
            got += piece
        return got, "limit"
    except ConnectionResetError:
        return got, "reset"
    except (TimeoutError, socket.timeout):
        return got, "timeout"


def read_reply(s):
    """One reply off a connection that stays open: status, headers, body (chunks joined)."""
    f = s.makefile("rb")
    line = f.readline()
    if not line:
        return 0, {}, b""
    status = int(line.split()[1])
    headers = {}
    while True:
        line = f.readline().strip()
        if not line:
            break
        k, v = line.decode().split(":", 1)
        headers[k.lower()] = v.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            n = int(f.readline(), 16)
            body += f.read(n)
            f.readline()
            if n == 0:
                return status, headers, body
    return status, headers, f.read(int(headers.get("content-length", 0)))


def call(url, path, body=None, headers="", method=None, timeout=20):
    with connect(url, timeout) as s:
        s.sendall(request(path, body, headers, method))
        return read_reply(s)


def get_json(url, path, body=None, headers=""):
    return json.loads(call(url, path, body, headers)[2])


def events(body):
    """The data of each event of a stream."""
    return [e[6:] for e in body.decode(errors="replace").split("\n\n") if e.startswith("data: ")]


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    check(False, what)


def finish():
    sys.exit(1 if failures else 0)
