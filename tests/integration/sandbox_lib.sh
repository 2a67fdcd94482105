# sandbox_lib.sh — sourced by the sandbox tests: what a run may leave behind. Helpers of other tests that
# run at the same time, and what is below them, do not count.

# leftovers HELPER: helpers running that program, box processes without a living helper above them,
# cgroups of dead helpers, mounts seen here, files that programs of the catalogue would leave.
leftovers() {
  local pid up dir
  for pid in $(pgrep -x assay-box); do
    [ "$(readlink "/proc/$pid/exe")" = "$1" ] && echo "helper $pid"
  done
  for pid in $(pgrep -f '/box/(p|server.py)'); do
    up=$pid
    while [ -n "$up" ] && [ "$up" -gt 1 ] && [ "$(cat "/proc/$up/comm" 2>/dev/null)" != assay-box ]; do
      up=$(awk '/^PPid:/ { print $2 }' "/proc/$up/status" 2>/dev/null)
    done
    [ -n "$up" ] && [ "$up" -le 1 ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q '^/box/p\|python3 .*/box/server.py' && echo "orphan $pid"
  done
  for dir in $(find /sys/fs/cgroup -maxdepth 6 -name 'assay-box-*' 2>/dev/null); do
    [ -d "/proc/${dir##*-}" ] || echo "cgroup $dir"
  done
  echo "mounts $(wc -l </proc/self/mountinfo)"
  find /tmp /dev/shm /var/tmp -maxdepth 1 \( -name '*assay-mark*' -o -name fill -o -name big -o -name 'mark-of-many*' \) 2>/dev/null
}

need_sandbox() {
  assay doctor 2>/dev/null | grep '^sandbox *none' || return 0
  skip "no sandbox here"
  exit 77
}
