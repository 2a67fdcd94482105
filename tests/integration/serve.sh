#!/usr/bin/env bash
# assay serve in front of the null driver and, where it is here, the real small model.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(dirname "${BASH_SOURCE[0]}")
for tool in python3 curl; do
  command -v "$tool" >/dev/null || { skip "serve: $tool is not here"; exit 77; }
done
export PYTHONDONTWRITEBYTECODE=1 SERVE_KEY=a-test-key-of-some-length

# ---- refused before a model is opened ---------------------------------------------------------------
expect 2 'give a key with --api-key-env' assay serve -m null: --host 0.0.0.0
expect 2 'give a key with --api-key-env' assay serve -m null: --host ::
expect 2 'no such variable' assay serve -m null: --api-key-env NO_SUCH_VARIABLE
expect 2 'fewer than 8' env SHORT=abc "$AS_PROGRAM" serve -m null: --api-key-env SHORT
expect 2 '--host localhost' assay serve -m null: --host localhost --api-key-env SERVE_KEY
expect 2 'no model' assay serve
expect 2 'no such file' assay serve -m nosuchmodel
expect 2 '--max-batch 0' assay serve -m null: --max-batch 0

# ---- the null driver ----------------------------------------------------------------------------------
echo '{"counts": true, "default": {"text": "The answer is (B).", "reasoning": "I think.", "token_ms": 30, "delay_ms": 100}}' >"$work/null.json"
server assay serve -m "null:$work/null.json" --port 0 --api-key-env SERVE_KEY --alias toy --max-batch 8 --max-queue 4 \
  --request-timeout 1 --max-body 1000000 || finish
timeout 120 python3 "$here/serve_client.py" "$url" "$SERVE_KEY" "$server" || fail "serve_client.py"
[ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url/health")" = 200 ] || fail "it is not well afterwards"
expect 2 'cannot listen' assay serve -m null: --port "${url##*:}"
grep -q "$SERVE_KEY" "$work/server.err" && fail "the key is in the log"
stop_server TERM

# ---- stopping: what runs may end, what takes too long is cancelled ---------------------------------------
echo '{"default": {"text": "late", "delay_ms": 700}}' >"$work/late.json"
server assay serve -m "null:$work/late.json" --port 0 || finish
curl -s -m 10 -d '{"prompt":"x"}' "$url/v1/completions" >"$work/reply" &
client=$!
sleep 0.3
stop_server INT
wait $client
grep -q '"text":"late"' "$work/reply" || fail "a request under way was not finished: $(cat "$work/reply")"
echo '{"default": {"text": "late", "delay_ms": 600000}}' >"$work/late.json"
server assay serve -m "null:$work/late.json" --port 0 --grace 1 || finish
curl -s -m 10 -d '{"prompt":"x"}' "$url/v1/completions" >"$work/reply" &
client=$!
sleep 0.3
stop_server TERM
wait $client
grep -q 'stopping' "$work/reply" || fail "a request past the grace time: $(cat "$work/reply")"

# ---- connections ---------------------------------------------------------------------------------------
server assay serve -m null: --port 0 --max-connections 2 || finish
python3 - "$here" "$url" <<'P' || fail "connections"
import sys
sys.path.insert(0, sys.argv[1])
from http_raw import *
url = sys.argv[2]
busy = [connect(url) for _ in range(2)]
for s in busy:
    s.sendall(b"GET /health HTTP/1.1\r\n")  # half a request: not idle
import time
time.sleep(0.2)
s = connect(url)
check(read_reply(s)[0] == 503, "one too many")
busy[0].sendall(b"\r\n")
check(read_reply(busy[0])[0] == 200, "the first goes on")
check(call(url, "/health")[0] == 200, "an idle one makes room")
finish()
P
stop_server TERM

# ---- adapters: "model" names the model by any name, or one of them ------------------------------------------
server assay serve -m "$AS_FIXTURES/engine/moe/model.gguf" -M loras="$AS_FIXTURES/engine/lora/moe-attention" --port 0 || finish
for name in model moe-attention none; do
  curl -s -m 20 -d "{\"model\":\"$name\",\"prompt\":\"some words\",\"max_tokens\":8,\"temperature\":0,\"logprobs\":1}" \
    "$url/v1/completions" | sed -E 's/.*"choices"//; s/"model":"[^"]*"//' >"$work/reply.$name"
done
cmp -s "$work/reply.model" "$work/reply.moe-attention" && fail "the adapter changes nothing"
grep -q 'no adapter named none' "$work/reply.none" || fail "an unknown adapter: $(cat "$work/reply.none")"
timeout 60 python3 "$here/serve_logprobs.py" "$url" || fail "log-probabilities in a stream"
stop_server TERM

# ---- the engine -------------------------------------------------------------------------------------------
if [ -n "${AS_SANITIZED:-}" ]; then
  skip "scores of the real model: a minute under sanitizers, the tiny one above is enough there"
elif [ -n "${AS_MODEL_GEMMA3:-}" ] && [ -n "${AS_SHARED:-}" ]; then
  gold=$AS_SHARED/golden/gemma3-270m/options.jsonl
  server assay serve -m "$AS_MODEL_GEMMA3" --port 0 -M precision=f32 || finish
  python3 "$here/serve_scores.py" "$url" "$gold" "$AS_PROGRAM" "$AS_MODEL_GEMMA3" || fail "scores"
  stop_server TERM
else
  skip "scores of the real model: AS_MODEL_GEMMA3 or AS_SHARED is not set"
fi
finish
