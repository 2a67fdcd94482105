#!/usr/bin/env bash
# 2,000 boxes, one for each run (--fresh-interpreter: nothing is shared): no process, mount, cgroup, file or descriptor more
# at the end than at the start, and none more in the middle than soon after the start.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
runs=${AS_SANDBOX_RUNS:-2000}
. "$(dirname "${BASH_SOURCE[0]}")/sandbox_lib.sh"
need_sandbox
left() { leftovers "$(realpath "$(dirname "$AS_PROGRAM")/assay-box")"; }

descriptors() { # of the program and its helpers: the largest number each has
  local pid
  for pid in "$1" $(pgrep -x assay-box -P "$1"); do ls "/proc/$pid/fd" 2>/dev/null | wc -l; done | sort -n | tail -1
}

echo 'import os; n = int(input()); open("/tmp/mark-of-many", "w").write("x"); print(n + 1)' >"$work/p.py"
echo "{\"programs\": [{\"id\": \"t\", \"file\": \"p.py\", \"language\": \"python\", \"stdin\": \"1\n\", \"expected_stdout\": \"2\", \"repeat\": $runs}]}" |
  sed 's/1$/1\\n/' | tr -d '\n' >"$work/m.json"
before=$(left)
"$AS_PROGRAM" exec --fresh-interpreter --manifest "$work/m.json" >"$work/out" 2>"$work/err" &
pid=$!
# The least of each time: what a box opens for a moment does not count, what leaks stays.
early=999 late=999
while kill -0 $pid 2>/dev/null; do
  sleep 0.2
  done_runs=$(wc -l <"$work/out")
  now=$(descriptors $pid)
  [ "${now:-0}" -gt 0 ] || continue
  [ "$done_runs" -gt $((runs / 40)) ] && [ "$done_runs" -lt $((runs / 4)) ] && [ "$now" -lt "$early" ] && early=$now
  [ "$done_runs" -gt $((runs / 2)) ] && [ "$done_runs" -lt $((runs * 19 / 20)) ] && [ "$now" -lt "$late" ] && late=$now
done
wait $pid || fail "exit $?: $(head -1 "$work/err")"
[ "$(grep -c '"verdict":"accepted"' "$work/out")" -eq "$runs" ] || fail "$(grep -vc '"verdict":"accepted"' "$work/out") of $runs not accepted: $(grep -v '"verdict":"accepted"' "$work/out" | head -2)"
[ "$early" -lt 999 ] && [ "$late" -lt 999 ] || fail "descriptors were never counted: $early, later $late"
[ "$late" -le $((early + 2)) ] || fail "descriptors grow: $early, later $late"
[ "$(left)" = "$before" ] || fail "left behind: $(diff <(echo "$before") <(left))"
finish
