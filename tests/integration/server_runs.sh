#!/usr/bin/env bash
# Runs on servers, here scripted ones: latencies, retries, stops, the checks before a run, and an
# endpoint that dies in the middle.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

servers=()
stop_servers() { for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done; servers=(); }
trap 'stop_servers; cleanup' EXIT

# serve NAME SCRIPT: a mock server; $url is where it listens.
serve() {
  printf '%s' "$2" >"$work/$1.json"
  "$AS_PROGRAM" mock "$work/$1.json" --port 0 >"$work/$1.out" 2>&1 &
  servers+=($!)
  url=
  for _ in $(seq 100); do
    url=$(grep -ohE 'http://[0-9.]+:[0-9]+' "$work/$1.out" | head -1)
    [ -n "$url" ] && return
    sleep 0.1
  done
  fail "the mock $1 did not start: $(cat "$work/$1.out")"
}
on_server() { assay run -m openai:mock --base-url "$url" --retry-ms 5 "$@" 2>"$work/err"; }
answer='"text":"The answer is (A)."'

# A good one: all answered, latencies in the JSON, nothing warned of by the checks.
serve good '{"n_ctx":32768,"default":{"reply":{'"$answer"'},"times":{"first_ms":5,"token_ms":1}}}'
on_server -q -t smoke_choice --db "$work/good.db" --format json >"$work/good.json" || fail "good: $(cat "$work/err")"
[ "$(number "$work/good.json" calls)" = 24 ] || fail "good: $(number "$work/good.json" calls) calls measured, want 24"
grep -qE '"ttft":\{"p50":0\.0[0-9]+' "$work/good.json" || fail "good: no time to the first token: $(grep -o '"ttft":{[^}]*}' "$work/good.json")"
grep -qE '"level":"warn","kind":"(think|seed|truncation|empty|template|context|dropped|failed)"' "$work/good.json" && fail "good: $(grep -o '"events".*' "$work/good.json")"
assay show last --db "$work/good.db" >"$work/out" && grep -q '^TTFT' "$work/out" && grep -q 'requests at once' "$work/out" || fail "show tells no latency"
assay db check --db "$work/good.db" >"$work/out" || fail "good: $(cat "$work/out")"

# The answers do not depend on how many are in flight.
on_server -q -t smoke_choice -j 1 --preflight off --db "$work/j1.db" >/dev/null || fail "-j 1: $(cat "$work/err")"
for db in good j1; do assay show last --samples --text --db "$work/$db.db" | sed -E 's/"seconds":[^,}]*//' >"$work/$db.jsonl"; done
cmp -s "$work/good.jsonl" "$work/j1.jsonl" || fail "answers depend on -j"
stop_servers

# One that thinks whatever it is told: a warning, stored with the run; --preflight-only prints it.
serve thinks '{"n_ctx":32768,"default":{"reply":{'"$answer"',"reasoning":"well, well"}}}'
on_server -q -t smoke_choice:chat --think off --db "$work/t.db" >"$work/out" || fail "thinks: $(cat "$work/err")"
grep -q -- '--think off, but' "$work/err" || fail "thinks: not warned: $(cat "$work/err")"
grep -q 'Warnings and events' "$work/out" && grep -q -- '--think off, but' "$work/out" || fail "thinks: the warning is not stored"
on_server -t smoke_choice:chat --think off --preflight-only --format json >"$work/out" && grep -q '"kind":"think"' "$work/out" || fail "--preflight-only: $(cat "$work/out" "$work/err")"
on_server -q -t smoke_choice:chat --think off --preflight off --db "$work/off.db" --format json >"$work/out"
grep -q '"kind":"think"' "$work/out" && fail "--preflight off checks all the same"
stop_servers

# A window too small for the plan is refused with the arithmetic, before anything is stored.
serve small '{"n_ctx":64,"server":"llamacpp","slots":1,"default":{"reply":{'"$answer"'}}}'
assay run -q -m llamacpp:mock --base-url "$url" -t smoke_choice --max-tokens 64 --db "$work/none.db" >"$work/out" 2>"$work/err"
[ $? -eq 2 ] && grep -q 'the window has 64' "$work/err" || fail "small window: $(cat "$work/err")"
[ ! -e "$work/none.db" ] || fail "small window: a database was made"
stop_servers

# Passing faults are tried again and counted; each answer is there once.
serve busy '{"rules":[{"nth":{"every":4},"reply":{"status":503,"error":"busy"}}],"default":{"reply":{'"$answer"'}}}'
on_server -q -t smoke_choice --preflight off -j 4 --db "$work/busy.db" --format json >"$work/busy.json" || fail "busy: $(cat "$work/err")"
[ "$(number "$work/busy.json" retries)" -ge 6 ] || fail "busy: $(number "$work/busy.json" retries) retries, want 6 or more"
[ "$(number "$work/busy.json" errors)" = 0 ] || fail "busy: errors"
stop_servers

# A wrong key stops at once: exit 2, one sentence.
serve locked '{"rules":[{"method":"POST","reply":{"status":401,"error":"no such key"}}],"default":{"reply":{'"$answer"'}}}'
on_server -q -t smoke_choice --preflight off --db "$work/locked.db" >"$work/out"
[ $? -eq 2 ] && grep -q 'no such key' "$work/err" || fail "401: $(cat "$work/err")"
stop_servers

# Two endpoints of two models are refused; two templates of one model are told with the run.
serve a '{"server":"llamacpp","model":"a","default":{"reply":{'"$answer"'}}}'
first=$url
serve b '{"server":"llamacpp","model":"b","default":{"reply":{'"$answer"'}}}'
two() { assay run -q -m "$1" --base-url "$first" --base-url "$url" -t smoke_choice "${@:2}" --db "$work/agree.db" >"$work/out" 2>"$work/err"; }
two llamacpp:
[ $? -eq 2 ] && grep -q 'serve different models' "$work/err" || fail "two models: $(cat "$work/err")"
two openai:a
[ $? -eq 2 ] && grep -q 'serve different models\|no such route' "$work/err" || fail "two models, one named: $(cat "$work/err")"
serve c '{"server":"llamacpp","model":"a","n_ctx":32768,"rules":[{"path":"/props","raw":{"json":{"total_slots":1,"chat_template":"{{ x }}",
  "default_generation_settings":{"n_ctx":16384}}}}],"default":{"reply":{'"$answer"'}}}'
first=$url
serve d '{"server":"llamacpp","model":"a","n_ctx":32768,"default":{"reply":{'"$answer"'}}}'
two llamacpp:a || fail "two templates: $(cat "$work/err")"
grep -q 'different chat templates' "$work/err" || fail "two templates: $(cat "$work/err")"
assay show last --db "$work/agree.db" >"$work/out" && grep -q 'different chat templates' "$work/out" || fail "two templates: not stored"
rm -f "$work/agree.db"
two llamacpp:a -M probe=off && ! grep -q 'different chat' "$work/err" || fail "probe=off compares: $(cat "$work/err")"
stop_servers

# Two endpoints, one dies in the middle: all items answered, each once, and it is told once.
slow='{"n_ctx":32768,"default":{"reply":{'"$answer"'},"times":{"first_ms":60}}}'
serve one "$slow"
first=$url
serve two "$slow"
"$AS_PROGRAM" run -q -m openai:mock --base-url "$first" --base-url "$url" --retry-ms 5 -t smoke_choice -k 6 -j 4 --preflight off \
  --db "$work/two.db" --format json >"$work/two.json" 2>"$work/err" &
pid=$!
for _ in $(seq 100); do [ -e "$work/two.db" ] && break; sleep 0.05; done
sleep 0.5
kill -9 "${servers[0]}" && wait "${servers[0]}" 2>/dev/null
wait $pid || fail "two endpoints: exit $? ($(cat "$work/err"))"
[ "$(number "$work/two.json" n)" = 144 ] || fail "two endpoints: $(number "$work/two.json" n) answers, want 144"
assay db check --db "$work/two.db" >"$work/out" || fail "two endpoints: $(cat "$work/out")"
grep -o '"kind":"endpoint"[^}]*' "$work/two.json" >"$work/out"
grep -c 'does not answer' "$work/out" | grep -qx 1 || fail "two endpoints: told $(cat "$work/out")"
finish
