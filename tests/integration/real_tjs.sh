#!/usr/bin/env bash
# transformers.js for real, on a tiny random model: ids and log-probabilities as by numpy, runs that
# repeat, a killed program that leaves no child behind, the HTTP form.
#
# Needs Node and the packages that tools/get-bridge installs; AS_PEERS=1 lets it install them.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
models=$AS_FIXTURES/tiny-onnx
installed=${AS_BRIDGE:-${XDG_CACHE_HOME:-$HOME/.cache}/assay/bridge}

expect 5 'tools/get-bridge' assay run -m tjs:tiny-llama -M "path=$models" -M "bridge=$work" -t smoke
expect 2 'nothing is fetched' assay run -m tjs:nobody -M "path=$models" -t smoke

command -v node >/dev/null || { skip "no node"; [ $failures -eq 0 ] && exit 77; exit 1; }
node "$here/bridge_markup.mjs" || fail "markup"
if [ ! -d "$installed/node_modules/@huggingface/transformers" ]; then
  if [ "${AS_PEERS:-0}" != 1 ]; then
    skip "no transformers.js in $installed; tools/get-bridge installs it (470 MB), or AS_PEERS=1"
    [ $failures -eq 0 ] && exit 77
    exit 1
  fi
  (unset ASSAY_HOME; bash "$here/../../tools/get-bridge" "$installed") >"$work/log" 2>&1 || fail "tools/get-bridge: $(tail -2 "$work/log")"
fi
# The packages that are installed, the bridge of this checkout.
bridge=$work/bridge
mkdir -p "$bridge"
cp "$here"/../../harness/backend/bridge/*.mjs "$here"/../../harness/backend/bridge/package.json "$bridge"
ln -s "$installed/node_modules" "$bridge/node_modules"

node "$here/real_tjs.mjs" "$bridge" "$models" "$models/expect.json" || fail "the bridge by itself"

tjs() { local verb=$1; shift; assay "$verb" -m tjs:tiny-llama -M "path=$models" -M "bridge=$bridge" "$@"; }
expect 5 'exit code 1' tjs run -t smoke -M node=false
expect 5 'install Node' tjs run -t smoke -M node=no-such-program
expect 2 'dtype=q4' tjs run -t smoke -M dtype=q4

printf '%s\n' '{"ids":[2],"continuation_ids":[80,81,82,83,84]}' '{"ids":[2,9,200],"continuation_ids":[264,100]}' \
  '{"context":"abc","continuation":" def"}' | tjs loglikelihood >"$work/scores" 2>"$work/err" || fail "loglikelihood: $(tail -1 "$work/err")"
node -e '
  const fs = require("fs"), [scores, expect] = process.argv.slice(1);
  const want = JSON.parse(fs.readFileSync(expect)).scores;
  const got = fs.readFileSync(scores, "utf8").trim().split("\n").map(JSON.parse);
  let worst = 0;
  want.forEach((w, i) => w.logprobs.forEach((x, k) => (worst = Math.max(worst, Math.abs(x - got[i].tokens[k].logprob)))));
  const isGood = got.length === 3 && worst < 1e-4 && got[2].n === 4;
  console.log(`assay loglikelihood: within ${worst.toExponential(1)} of numpy`);
  process.exit(isGood ? 0 : 1);' "$work/scores" "$models/expect.json" || fail "assay loglikelihood differs from numpy"

for n in 1 2; do
  tjs run -t smoke_choice:chat --max-tokens 16 -L 6 --db "$work/$n.db" -q >/dev/null 2>"$work/err" || fail "a run: $(tail -1 "$work/err")"
  assay db export --db "$work/$n.db" 2>/dev/null | grep -o '"text":"[^"]*"' >"$work/texts.$n"
done
[ -s "$work/texts.1" ] || fail "the run's export holds no texts"
tjs run -t smoke_choice:chat --max-tokens 16 -L 6 --db "$work/1.db" >/dev/null 2>"$work/err" || fail "the run again: $(tail -1 "$work/err")"
[ "$(assay db export --db "$work/1.db" | grep -c '"table":"run"')" = 1 ] || fail "the same command began another run"
cmp -s "$work/texts.1" "$work/texts.2" || fail "two runs of the same questions differ"

# A killed program takes its child along, whatever the child was doing.
"$AS_PROGRAM" run -m tjs:tiny-llama -M "path=$models" -M "bridge=$bridge" -t smoke_choice:chat --max-tokens 700 \
  --db "$work/kill.db" -q >/dev/null 2>&1 & # not through a function: $! must be the program itself
pid=$!
child=
for _ in $(seq 100); do
  child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null | tr -d ' ')
  [ -n "$child" ] && break
  sleep 0.1
done
sleep 1
kill -9 $pid
wait $pid 2>/dev/null
for _ in $(seq 50); do [ -d "/proc/$child" ] || break; sleep 0.1; done
[ -n "$child" ] || fail "the run started no child"
[ ! -d "/proc/$child" ] || fail "the bridge outlived the program"

# ---- over HTTP -----------------------------------------------------------------------------------------
port=$((20000 + RANDOM % 20000))
node "$bridge/bridge.mjs" --http $port --path "$models" --model tiny-llama 2>"$work/http.err" &
server=$!
for _ in $(seq 100); do grep -q listening "$work/http.err" && break; sleep 0.1; done
node -e '
  const assert = require("assert"), base = process.argv[1];
  const post = (route, o) => fetch(base + route, { method: "POST", body: JSON.stringify(o) });
  (async () => {
    assert.equal((await (await fetch(base + "/health")).json()).status, "ok");
    assert.equal((await (await fetch(base + "/v1/models")).json()).data[0].id, "tiny-llama");
    const ask = { messages: [{ role: "user", content: "hi" }], max_tokens: 8 };
    const whole = await (await post("/v1/chat/completions", ask)).json();
    assert.equal(whole.usage.completion_tokens, 8);
    const sse = await (await post("/v1/chat/completions", { ...ask, stream: true })).text();
    const events = sse.split("\n\n").filter(Boolean).map((e) => e.replace(/^data: /, ""));
    assert.equal(events.pop(), "[DONE]");
    const text = events.map((e) => JSON.parse(e).choices[0].delta.content ?? "").join("");
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual((await (await post("/tokenize", { text: "the", add_special: true })).json()).tokens[0], 2);
    assert.equal((await (await post("/score", { tokens: [2, 80, 81], from: 1 })).json()).logprobs.length, 2);
    assert.equal((await post("/v1/chat/completions", { messages: [{ role: "user", content: "x".repeat(2000) }] })).status, 400);
    assert.equal((await fetch(base + "/nowhere")).status, 404);
    console.log("over HTTP as expected");
  })().catch((e) => { console.error(e.message); process.exit(1); });' "http://127.0.0.1:$port" || fail "the HTTP form"
kill $server 2>/dev/null
wait $server 2>/dev/null
finish
