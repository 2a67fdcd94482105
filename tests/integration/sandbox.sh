#!/usr/bin/env bash
# assay exec on the attack catalogue (tests/sandbox) and, where it is, the shared samples: the same
# verdicts as root and as an ordinary user; nothing is left behind; errors are told in one line.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
repeats=${AS_SANDBOX_REPEATS:-50}

. "$here/integration/sandbox_lib.sh"
need_sandbox
canary=canary$RANDOM$RANDOM
export LMB_SAMPLE_CANARY=$canary ASSAY_TEST_SECRET=$canary

# Programs, fixtures and the program itself where any user can read them.
world=$(mktemp -d /tmp/assay-world.XXXXXX)
trap 'rm -rf "$world"; cleanup' EXIT
cp -r "$here/sandbox" "$world/"
cp "$AS_PROGRAM" "$(dirname "$AS_PROGRAM")/assay-box" "$world/"
[ -n "${AS_SHARED:-}" ] && [ -d "$AS_SHARED/sandbox-samples" ] && cp -r "$AS_SHARED/sandbox-samples" "$world/samples"
chmod -R u+rwX,go+rX "$world"

before=$(leftovers "$world/assay-box")
left() { leftovers "$world/assay-box"; }

judge() { # NAME MANIFEST command…
  local name=$1 manifest=$2
  shift 2
  "$@" exec --manifest "$manifest" >"$work/$name" 2>"$work/err" || fail "$name: exit $?: $(head -1 "$work/err")"
  [ -s "$work/err" ] && fail "$name: $(head -2 "$work/err")"
  python3 "$here/sandbox/check.py" "$manifest" "$work/$name" "$canary" >"$work/checked" || fail "$name: $(cat "$work/checked")"
}

# A source of 10 MB in one line, one with 100,000 functions, NUL and bytes that are not UTF-8.
python3 - "$world/sandbox" <<'PY' || fail "long programs"
import json, os, sys
d = sys.argv[1]
limits = json.load(open(d + "/manifest.json"))["programs"][0]["limits"]
limits.update(cpu_ms=20000, wall_ms=60000, memory_mb=2048)
cases = [("line", "python", b"x = '" + b"y" * 10000000 + b"'\nprint(7)\n", ["accepted"]),
         ("functions", "python", b"".join(b"def f%d(): pass\n" % i for i in range(20000)) + b"print(7)", ["accepted"]),
         ("nul", "python", b"print(7)\0", ["runtime_error"]),
         ("bytes", "python", b"print('\xff\xfe')", ["runtime_error"]),
         ("nul_cpp", "cpp", b"int main() {}\0\xff\xfe", ["compile_error", "wrong_answer"])]
programs = []
for name, language, text, verdicts in cases:
    open(os.path.join(d, name), "wb").write(text)
    programs.append(dict(id=name, file=name, language=language, stdin="", expected_stdout="7\n", limits=limits, expected_verdicts=verdicts, comparator="lines"))
json.dump({"programs": programs}, open(d + "/long.json", "w"))
trivial = dict(file="trivial.py", language="python", stdin="1\n", expected_stdout="2\n", comparator="lines", limits=limits, expected_verdicts=["accepted"])
open(d + "/trivial.py", "w").write("print(int(input()) + 1)\n")
json.dump({"programs": [dict(trivial, id="t", repeat=int(os.environ.get("AS_SANDBOX_REPEATS", "50")))]}, open(d + "/many.json", "w"))
PY

judge catalogue "$world/sandbox/manifest.json" "$world/assay"
fresh() { "$world/assay" "$1" --fresh-interpreter "${@:2}"; }
judge fresh "$world/sandbox/manifest.json" fresh
judge long "$world/sandbox/long.json" "$world/assay"
[ -d "$world/samples" ] && judge samples "$world/samples/manifest.json" "$world/assay"
judge many "$world/sandbox/many.json" "$world/assay"
[ "$(left)" = "$before" ] || fail "left behind: $(diff <(echo "$before") <(left))"

if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
  user=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent ASSAY_HOME="$world/nobody" "$world/assay")
  judge user "$world/sandbox/manifest.json" "${user[@]}"
  [ -d "$world/samples" ] && judge user_samples "$world/samples/manifest.json" "${user[@]}"
  judge user_many "$world/sandbox/many.json" "${user[@]}"
  # Without a sandbox: a warning, the stamp on every result, nothing left in /tmp.
  "${user[@]}" exec --unsafe-no-sandbox --manifest "$world/sandbox/long.json" >"$work/unsafe" 2>"$work/err" || fail "unsafe: $(cat "$work/err")"
  grep -q 'warning: no sandbox' "$work/err" || fail "unsafe: no warning"
  [ "$(grep -c '"sandbox":"none"' "$work/unsafe")" -eq "$(wc -l <"$work/unsafe")" ] || fail "unsafe: a result without its stamp"
  grep -q '"id":"line","run":0,"verdict":"accepted"' "$work/unsafe" || fail "unsafe: $(cut -c1-200 "$work/unsafe")"
  ls -d /tmp/assay-unsafe-* 2>/dev/null && fail "unsafe: a folder is left"
  [ "$(left)" = "$before" ] || fail "left behind by a user: $(diff <(echo "$before") <(left))"
else
  skip "as an ordinary user too: not root"
fi

# kill -9 in the middle: everything ends.
for i in 1 2 3; do
  echo '{"programs": [{"id": "s", "file": "s.py", "language": "python", "stdin": "", "expected_stdout": "", "limits": {"wall_ms": 30000}, "repeat": 8}]}' >"$world/sandbox/sleep.json"
  echo 'import time; time.sleep(25)' >"$world/sandbox/s.py"
  "$world/assay" exec --manifest "$world/sandbox/sleep.json" >/dev/null 2>&1 &
  pid=$!
  sleep 0.$((i * 3))
  kill -9 $pid
  wait $pid 2>/dev/null
done
for i in $(seq 100); do [ "$(left)" = "$before" ] && break; sleep 0.1; done
[ "$(left)" = "$before" ] || fail "left behind after kill -9: $(diff <(echo "$before") <(left))"

# Interrupted while the list is read, before a program was handed over: says so and ends.
mkfifo "$world/sandbox/late.json"
"$world/assay" exec --manifest "$world/sandbox/late.json" >/dev/null 2>"$work/err" &
pid=$!
exec 9>"$world/sandbox/late.json" # waits until it is opened there
kill -TERM $pid
sleep 0.2
cat "$world/sandbox/sleep.json" >&9
exec 9>&-
wait $pid
code=$?
[ $code = 130 ] || fail "interrupted before the first program: exit $code: $(head -1 "$work/err")"

# One program.
echo 'print(int(input()) * 2)' >"$work/p.py"
echo '{"tests": [{"input": "2\n", "output": "4"}, {"input": "3\n", "output": "7"}, {"input": "1\n", "output": "2"}]}' >"$work/t.json"
assay exec --language python --tests "$work/t.json" "$work/p.py" >"$work/one" 2>&1 || fail "one program: $(cat "$work/one")"
grep -q '"verdict":"wrong_answer".*"passed":1' "$work/one" || fail "one program: $(cat "$work/one")"
assay exec --language python --all-tests --tests "$work/t.json" "$work/p.py" | grep -q '"passed":2' || fail "--all-tests"
expect 2 'python or cpp' assay exec --language perl --tests "$work/t.json" "$work/p.py"
expect 2 'no-such' assay exec --language python --tests "$work/no-such.json" "$work/p.py"
expect 2 'no-such' assay exec --language python --tests "$work/t.json" "$work/no-such.py"
echo '{"tests": []}' >"$work/empty.json"
expect 2 'want 1 to' assay exec --language python --tests "$work/empty.json" "$work/p.py"
echo '{"programs": [{"id": "x", "file": "p.py", "language": "cobol"}]}' >"$work/m.json"
expect 2 'program 0' assay exec --manifest "$work/m.json"
# No namespaces left to make: refused with the cause and the remedy, never run without.
if unshare -Ur true 2>/dev/null; then
  none() { unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' sh "$AS_PROGRAM" "$@"; }
  expect 5 'max_user_namespaces' none exec --language python --tests "$work/t.json" "$work/p.py"
fi
if [ "$(id -u)" -eq 0 ]; then
  expect 2 'refused for root' assay exec --unsafe-no-sandbox --language python --tests "$work/t.json" "$work/p.py"
fi
finish
