#!/usr/bin/env bash
# kill -9 at 20 random moments of a run, then the same command again: the store must equal that of a
# run nobody killed, but for times. With a script that is slow and fails at times, with the engine,
# and with recorded answers.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
RANDOM=4711

# compare NAME DB1 DB2
same_store() {
  assay db export --without-times --db "$2" >"$work/a" 2>/dev/null || fail "$1: export of $2"
  assay db export --without-times --db "$3" >"$work/b" 2>/dev/null || fail "$1: export of $3"
  [ -s "$work/a" ] || fail "$1: the export is empty"
  cmp -s "$work/a" "$work/b" || fail "$1: the stores differ: $(diff "$work/a" "$work/b" | head -4)"
  assay db check --db "$3" >"$work/out" 2>&1 || fail "$1: $(cat "$work/out")"
}

# killed NAME program…: runs "command --db FILE" to its end, then again through 20 kills at random
# moments: fourteen within an eighth of that time each, six within a half, so that they fall all over
# the run.
killed() {
  local name=$1 i pid kills=0 start took
  shift # a program, not a function: a function would run in a shell that is killed in its place
  start=$(date +%s%N)
  "$@" -q --db "$work/$name.whole.db" >"$work/whole.out" 2>"$work/err"
  local whole=$?
  took=$((($(date +%s%N) - start) / 1000000))
  for i in $(seq 20); do
    "$@" -q --db "$work/$name.killed.db" >/dev/null 2>&1 &
    pid=$!
    sleep "$(awk -v r=$RANDOM -v t="$took" -v part=$((i <= 14 ? 8 : 2)) 'BEGIN { printf "%.3f", 0.005 + r / 32768 * t / part / 1000 }')"
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    wait $pid 2>/dev/null
  done
  "$@" -q --db "$work/$name.killed.db" >"$work/killed.out" 2>"$work/err"
  local code=$?
  [ $code -eq $whole ] || fail "$name: exit $code after the kills, $whole without ($(head -1 "$work/err"))"
  [ $kills -ge 10 ] || fail "$name: only $kills kills met a living process; the run is too short to prove anything"
  same_store "$name" "$work/$name.whole.db" "$work/$name.killed.db"
  printf '%s: %d kills of a run of %d ms\n' "$name" $kills "$took"
}

cat >"$work/script.json" <<'J'
{"seed": 7, "default": {"text": "The answer is ({letter}).", "delay_ms": 10, "jitter_ms": 20, "prompt_tokens": 100,
  "completion_tokens": 7, "error": "rate", "fail_share": 0.2, "fail_tries": 2, "retry_after_ms": 5}}
J
killed null "$AS_PROGRAM" run -m "null:$work/script.json" -t smoke -k 8 -j 8 --retry-ms 5

# Some items fail for good: exit 3, and the store still must not depend on the kills.
cat >"$work/broken.json" <<'J'
{"seed": 7, "default": {"text": "The answer is ({number}).", "delay_ms": 10, "jitter_ms": 20,
  "error": "request", "fail_share": 0.1}}
J
killed broken "$AS_PROGRAM" run -m "null:$work/broken.json" -t smoke -k 6 -j 8

model=$(ls "$AS_FIXTURES"/engine/*/model.gguf 2>/dev/null | head -1)
if [ -n "$model" ]; then
  # As many repeats as take about a second and a half, whatever the build.
  start=$(date +%s%N)
  "$AS_PROGRAM" run -q -m "$model" -t smoke_choice --max-tokens 24 --temperature 1 -L 6 --db "$work/trial.db" >/dev/null 2>&1
  took=$((($(date +%s%N) - start) / 1000000 + 1))
  repeats=$((1500 / took + 1))
  killed engine "$AS_PROGRAM" run -m "$model" -t smoke_choice --max-tokens 24 --temperature 1 -L 6 -k $repeats
else
  skip "engine: no tiny model among the fixtures"
fi

# Recorded answers: many, since they go fast. Half of the answers are for one item each.
awk 'BEGIN { for (k = 0; k < 1000; k++) for (i = 1; i <= 24; i++)
  printf "{\"id\":\"c%02d\",\"response\":\"So (%d). The answer is (%c).\"}\n", i, k, 65 + (i * 7 + k) % 10 }' >"$work/recorded.jsonl"
killed replay "$AS_PROGRAM" run -m "replay:$work/recorded.jsonl" -t smoke_choice

# SIGINT: exit 130, resumable, and the same end.
"$AS_PROGRAM" run -q -m "null:$work/script.json" -t smoke -k 8 -j 2 --retry-ms 5 --db "$work/int.db" >/dev/null 2>"$work/err" &
pid=$!
sleep 0.6
kill -INT $pid
wait $pid
code=$?
[ $code -eq 130 ] || fail "SIGINT: exit $code, want 130"
assay run -q -m "null:$work/script.json" -t smoke -k 8 -j 2 --retry-ms 5 --db "$work/int.db" >/dev/null 2>&1 || fail "SIGINT: continuing failed"
same_store interrupted "$work/null.whole.db" "$work/int.db"
finish
