#!/usr/bin/env bash
# Judging beside asking: several programs at once, the same results whatever their number, and runs that
# are interrupted or killed while programs run end like any other, without asking twice.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$(dirname "${BASH_SOURCE[0]}")/sandbox_lib.sh"
need_sandbox
samples=$(dirname "${BASH_SOURCE[0]}")/../../datasets/samples
assay data import livecodebench "$samples/livecodebench-12.jsonl" >/dev/null 2>"$work/err" || fail "import: $(cat "$work/err")"

# What every item is answered with: a program that sleeps, so that judging takes much longer than asking.
script() { # FILE PROGRAM DELAY
  printf '{"default": {"text": "```python\\n%s\\n```", "delay_ms": %d}}' "$2" "$3" >"$1"
}
script "$work/slow.json" 'import time\ntime.sleep(0.1)\nprint(input())' 30
script "$work/long.json" 'import time\ntime.sleep(60)' 1

export_of() { assay db export --without-times --db "$1" >"$2" 2>"$work/err" || fail "export of $1: $(cat "$work/err")"; }
same_store() { # NAME DB1 DB2
  export_of "$2" "$work/a"
  export_of "$3" "$work/b"
  [ -s "$work/a" ] && cmp -s "$work/a" "$work/b" || fail "$1: the stores differ: $(diff "$work/a" "$work/b" | head -4)"
  assay db check --db "$3" >"$work/out" 2>&1 || fail "$1: $(cat "$work/out")"
}
ungraded() { assay show last --samples --db "$1" 2>/dev/null | grep -c '"anatomy":"ungraded"'; }
# Programs, not functions: a function would run in a shell that gets the signals in their place.
slow=("$AS_PROGRAM" run -q -m "null:$work/slow.json" -t livecodebench:own -j 2)
long=("$AS_PROGRAM" run -q -m "null:$work/long.json" -t livecodebench:own -j 2)
# Until the store holds N answers without a verdict; a minute at most.
wait_for() { # DB N
  for _ in $(seq 600); do
    [ "$(ungraded "$1")" -ge "$2" ] && return 0
    sleep 0.1
  done
  fail "there were never $2 answers to judge"
}

"${slow[@]}" --db "$work/one.db" --max-sandboxes 1 >"$work/out" 2>"$work/err" || fail "one: exit $?, $(cat "$work/err")"
"${slow[@]}" --db "$work/four.db" --max-sandboxes 4 --format json >"$work/four.json" 2>"$work/err" || fail "four: exit $?, $(cat "$work/err")"
same_store "one and four" "$work/one.db" "$work/four.db"
told=$(grep -o '[0-9]* answers judged by 6 threads, up to [0-9]* at once, up to [0-9]* in hand; [0-9]* requests' "$work/four.json")
set -- $(printf '%s' "$told" | grep -o '[0-9]*')
[ "${1:-0}" = 12 ] && [ "$3" -ge 3 ] && [ "$4" -ge 4 ] && [ "$5" -ge 4 ] || fail "no judging beside asking: \"$told\""

# A row a process, with what it cost and ran in; shown; the same when scored again.
[ "$(grep -c '"table":"exec"' "$work/b")" = 12 ] || fail "$(grep -c '"table":"exec"' "$work/b") exec rows, want 12"
grep -q '"kind":"run","first_test":1,"n_tests":6,"codes":"\[-2\]","verdict":"wrong_answer"' "$work/b" || fail "exec: $(grep -m1 '"table":"exec"' "$work/b")"
grep -q '"table":"box".*"sandbox":"namespaces.*"tool_sha256":"[0-9a-f]\{64\}"' "$work/b" || fail "box: $(grep '"table":"box"' "$work/b")"
assay show last own_lamps --db "$work/four.db" >"$work/out" || fail "show"
grep -q '^1-6 *wrong_answer *stopped ' "$work/out" && grep -q '^sandbox namespaces.*Python 3' "$work/out" || fail "show: $(tail -5 "$work/out")"
cp "$work/b" "$work/before"
assay score last --db "$work/four.db" >"$work/out" 2>"$work/err" || fail "score: $(cat "$work/err")"
grep -q ' 0 verdicts or predictions changed' "$work/err" || fail "score: $(cat "$work/err")"
export_of "$work/four.db" "$work/after"
cmp -s "$work/before" "$work/after" || fail "score: $(diff "$work/before" "$work/after" | head -4)"

# An answer that cannot be judged today keeps its verdict, and the command says that it could not.
grep -v own_lamps "$samples/livecodebench-12.jsonl" >"$work/fewer.jsonl"
assay data import livecodebench "$work/fewer.jsonl" >/dev/null 2>"$work/err" || fail "import: $(cat "$work/err")"
assay score last --db "$work/four.db" >"$work/out" 2>"$work/err"
code=$?
[ $code -eq 3 ] && grep -q '1 answers could not be judged; 1 of them keep' "$work/err" || fail "score: exit $code, $(cat "$work/err")"
export_of "$work/four.db" "$work/after" # but for its group's count of answers, which is of the data set
for table in attempt score exec; do
  [ "$(grep "\"table\":\"$table\"" "$work/before")" = "$(grep "\"table\":\"$table\"" "$work/after")" ] || fail "score without a problem: rows of $table differ"
done
assay data import livecodebench "$samples/livecodebench-12.jsonl" >/dev/null 2>"$work/err" || fail "import: $(cat "$work/err")"

# Ctrl-C with programs that would sleep for long: prompt, nothing left over, and nothing lost.
"${long[@]}" --db "$work/int.db" >"$work/out" 2>"$work/err" &
pid=$!
wait_for "$work/int.db" 12
helpers=$(pgrep -P $pid)
[ -n "$helpers" ] || fail "SIGINT: no helper runs"
start=$(date +%s%N)
kill -INT $pid
wait $pid
code=$?
took=$((($(date +%s%N) - start) / 1000000))
[ $code -eq 130 ] || fail "SIGINT: exit $code, want 130: $(cat "$work/err")"
[ $took -lt 4000 ] || fail "SIGINT: it took $took ms to end"
[ "$(ungraded "$work/int.db")" = 12 ] || fail "SIGINT: $(ungraded "$work/int.db") answers without a verdict, want 12"
assay show last own_lamps --db "$work/int.db" | grep -q 'its judging was interrupted' || fail "SIGINT: the answers do not say so"
for p in $helpers; do
  for _ in $(seq 50); do kill -0 "$p" 2>/dev/null && sleep 0.1; done
  kill -0 "$p" 2>/dev/null && fail "SIGINT: helper $p is left"
done

# Ctrl-C, then kill -9 and kill -9, each in the middle of judging; what is stored is not asked again.
"${slow[@]}" --db "$work/hit.db" --max-sandboxes 1 >/dev/null 2>&1 &
pid=$!
wait_for "$work/hit.db" 4
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "SIGTERM: exit $code, want 130"
n=$(assay show last --samples --db "$work/hit.db" | wc -l)
for _ in 1 2; do
  "${slow[@]}" --db "$work/hit.db" --max-sandboxes 1 >/dev/null 2>&1 &
  pid=$!
  sleep 0.7
  kill -9 $pid
  wait $pid 2>/dev/null
done
"${slow[@]}" --db "$work/hit.db" >"$work/out" 2>"$work/err" || fail "continued: exit $?, $(cat "$work/err")"
same_store "interrupted and killed" "$work/one.db" "$work/hit.db"
assay db export --db "$work/hit.db" 2>/dev/null | grep '"table":"attempt"' | grep -o '"session":[0-9]*' | sort | uniq -c >"$work/sessions"
[ "$(awk '$2 == "\"session\":0" { print $1 }' "$work/sessions")" = "$n" ] || fail "asked again: $n answers of the first session, then $(cat "$work/sessions")"

# Without a sandbox: refused for root; for others a warning, and the stamp wherever the score stands.
if [ "$(id -u)" -eq 0 ]; then
  expect 2 'refused for root' "${slow[@]}" --db "$work/root.db" --unsafe-no-sandbox
fi
world=$(mktemp -d /tmp/assay-world.XXXXXX)
trap 'rm -rf "$world"; cleanup' EXIT
cp "$AS_PROGRAM" "$(dirname "$AS_PROGRAM")/assay-box" "$work/slow.json" "$world/"
chmod -R go+rwX "$world"
chmod 1777 "$world"
user=(env HOME="$world" ASSAY_HOME="$world/home")
[ "$(id -u)" -eq 0 ] && user=(setpriv --reuid=65534 --regid=65534 --clear-groups "${user[@]}")
mkdir "$world/data" && cp "$samples/livecodebench-12.jsonl" "$world/data/" && chmod -R go+rX "$world/data"
"${user[@]}" "$world/assay" data import livecodebench "$world/data/livecodebench-12.jsonl" >/dev/null 2>"$work/err" || fail "user: import: $(cat "$work/err")"
"${user[@]}" "$world/assay" run -q -m "null:$world/slow.json" -t livecodebench:own -L 2 --unsafe-no-sandbox >"$work/out" 2>"$work/err" ||
  fail "unsafe: exit $?, $(cat "$work/err")"
grep -q 'warning: no sandbox' "$work/err" || fail "unsafe: no warning"
head -1 "$work/out" | grep -q '^sandbox=none: ' || fail "unsafe: the run does not say so: $(head -2 "$work/out")"
"${user[@]}" "$world/assay" report last --out "$world/home/report" >/dev/null 2>"$work/err" || fail "unsafe: report: $(cat "$work/err")"
head -12 "$world/home/report/report.md" | grep -q 'sandbox=none' || fail "unsafe: the report does not say so"
[ "$("${user[@]}" "$world/assay" db export | grep -c '"sandbox":"none"')" = 1 ] || fail "unsafe: no stamp in the store"
finish
