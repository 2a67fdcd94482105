#!/usr/bin/env bash
# Where a cgroup v2 hierarchy has the memory controller, boxes are held by it: the limit ends a program
# that no look at its resident size would have caught in time, and children's CPU time counts.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$here/integration/sandbox_lib.sh"
need_sandbox
[ "$(id -u)" -eq 0 ] || { skip "cgroup v2 needs root or a delegated subtree"; exit 77; }

# The one that is mounted, or one of our own in a mount namespace: all mounts show one hierarchy.
found=
for dir in $(awk '$0 ~ / - cgroup2 / { print $5 }' /proc/self/mountinfo); do
  grep -qw memory "$dir/cgroup.controllers" 2>/dev/null && found=$dir
done
inside=()
if [ -z "$found" ]; then
  mkdir "$work/cgroup2"
  if unshare -m sh -c 'mount -t cgroup2 none "$1" && grep -qw memory "$1/cgroup.controllers"' sh "$work/cgroup2" 2>/dev/null; then
    found=$work/cgroup2
    inside=(unshare -m sh -c 'mount -t cgroup2 none "$1" && shift && exec "$@"' sh "$found")
  fi
fi
[ -n "$found" ] || { skip "no cgroup v2 hierarchy here has the memory controller (version 1 holds it)"; exit 77; }

cat >"$work/m.json" <<'J'
{"programs": [
 {"id": "hog", "file": "hog.py", "language": "python", "stdin": "", "expected_stdout": "7\n", "limits": {"cpu_ms": 9000, "wall_ms": 30000, "memory_mb": 128}},
 {"id": "small", "file": "small.py", "language": "python", "stdin": "", "expected_stdout": "7\n", "limits": {"cpu_ms": 9000, "wall_ms": 30000, "memory_mb": 128}},
 {"id": "family", "file": "family.py", "language": "python", "stdin": "", "expected_stdout": "7\n", "limits": {"cpu_ms": 500, "wall_ms": 30000, "memory_mb": 256, "fork": true}}]}
J
echo 'x = [bytearray(b"x" * (1 << 20)) for i in range(400)]; print(7)' >"$work/hog.py"
echo 'x = bytearray(b"x" * (40 << 20)); print(7)' >"$work/small.py"
cat >"$work/family.py" <<'P'
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for i in range(2):
    if os.fork() == 0:
        while time.process_time() < 1: pass
        os._exit(0)
time.sleep(8)
print(7)
P
"${inside[@]}" "$AS_PROGRAM" exec --manifest "$work/m.json" >"$work/out" 2>&1 || fail "exec: $(cat "$work/out")"
grep -q '"sandbox":"[^"]*cgroup2' "$work/out" || fail "cgroup v2 is there and not in use: $(head -1 "$work/out")"
grep '"id":"hog"' "$work/out" | grep -q '"verdict":"memory_limit"' || fail "hog: $(grep '"id":"hog"' "$work/out")"
grep '"id":"small"' "$work/out" | grep -q '"verdict":"accepted"' || fail "small: $(grep '"id":"small"' "$work/out")"
grep '"id":"family"' "$work/out" | grep -q '"verdict":"time_limit"' || fail "family: $(grep '"id":"family"' "$work/out")"
[ -z "$(find "$found" -maxdepth 5 -name 'assay-box-*' 2>/dev/null)" ] || fail "a cgroup is left"
finish
