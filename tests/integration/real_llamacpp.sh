#!/usr/bin/env bash
# real_llamacpp.sh — the driver llamacpp: against llama.cpp's own server, out of a PyPI package: with
# the Gemma 3 270M, and with tiny Gemma 4 files where the reference material is there. The engine's
# logits for the same ids are what the server's scores are held against.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${AS_PEER_PROGRAM:?set AS_PEER_PROGRAM to the built peer_llamacpp}"

if [ -z "${AS_MODEL_GEMMA3:-}" ]; then
  skip "llama.cpp's server: AS_MODEL_GEMMA3 is not set"
  exit 77
fi
# The environment is shared by all tests: not in this test's own folder.
if ! python=$(env -u ASSAY_HOME "$top/tools/get-peer" llamacpp 2>"$work/peer.log"); then
  skip "llama.cpp's server: $(tail -1 "$work/peer.log")"
  exit 77
fi

server=
stop() { # ends the server by its standard input
  [ -n "$server" ] || return 0
  exec 9>&-
  wait "$server" 2>/dev/null
  server=
}
trap 'stop; cleanup' EXIT
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start() { # MODEL CONTEXT [KEY]: url is where it listens, maybe before the model is loaded
  port=$(free_port)
  url=http://127.0.0.1:$port
  mkfifo "$work/stdin.$port"
  "$python" "$top/tests/tools/serve_llamacpp.py" "$1" "$port" "$2" ${3:+"$3"} <"$work/stdin.$port" >"$work/server.log" 2>&1 &
  server=$!
  exec 9>"$work/stdin.$port"
  for _ in $(seq 300); do
    "$python" - "$port" <<'PY' && return 0
import socket, sys
sys.exit(socket.socket().connect_ex(("127.0.0.1", int(sys.argv[1]))))
PY
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "the server did not start: $(tail -2 "$work/server.log")"
  return 1
}

check() { # MODEL IDS-FILE: the driver's checks against the server at $url
  assay model logits "$1" --ids "$2" --precision f32 --out "$work/logits.f32" >/dev/null 2>"$work/err" ||
    fail "logits of $1: $(head -1 "$work/err")"
  AS_PEER_URL=$url AS_PEER_IDS=$2 AS_PEER_LOGITS=$work/logits.f32 "$AS_PEER_PROGRAM" >"$work/checks" 2>&1 ||
    { fail "checks against $1"; grep -vE ' OK |RUN ' "$work/checks"; }
  grep -E '^ +[0-9s]' "$work/checks"
}

# ---- Gemma 3 270M ---------------------------------------------------------------------------------
"$python" - "$AS_FIXTURES/gemma3-270m/perplexity.json" >"$work/ids.json" <<'PY'
import json, sys
print(json.load(open(sys.argv[1]))["ids"][:200])
PY
start "$AS_MODEL_GEMMA3" 1024 || finish
# Asked before the model is loaded, the program waits for it.
assay run -q -m llamacpp: --base-url "$url" -t smoke_number -L 2 --max-tokens 4 --num-fewshot 0 --format json \
  >"$work/run.json" 2>"$work/err" || fail "a run: $(head -2 "$work/err")"
grep -q '"n":2' "$work/run.json" || fail "a run's two answers: $(cat "$work/run.json")"
AS_PEER_GEMMA3=1 check "$AS_MODEL_GEMMA3" "$work/ids.json"
stop

# ---- a key ----------------------------------------------------------------------------------------
start "$AS_MODEL_GEMMA3" 512 sesame || finish
run_one() { assay run -q -m llamacpp: --base-url "$url" -t smoke_number -L 1 --max-tokens 2 --num-fewshot 0 --new-run "$@"; }
run_one >/dev/null 2>"$work/err" </dev/null
[ $? -eq 2 ] || fail "without a key: want exit code 2: $(cat "$work/err")"
grep -q 'LLAMA_API_KEY' "$work/err" || fail "without a key: the variable is not named: $(cat "$work/err")"
LLAMA_API_KEY=sesame run_one >/dev/null 2>"$work/err" || fail "with the key: $(head -2 "$work/err")"
MINE=sesame run_one -M key_env=MINE >/dev/null 2>"$work/err" || fail "with another variable: $(head -2 "$work/err")"
! grep -rqa sesame "$ASSAY_HOME" || fail "the key was stored"
stop

# ---- tiny Gemma 4 ---------------------------------------------------------------------------------
if [ -z "${AS_SHARED:-}" ]; then
  skip "Gemma 4 files: AS_SHARED is not set"
else
  for kind in dense moe e2b; do
    model=$AS_SHARED/golden/text/$kind/model.gguf
    start "$model" 512 || continue
    assay doctor --backend llamacpp --base-url "$url" >"$work/doctor" 2>"$work/err" ||
      fail "$kind: doctor: $(head -2 "$work/err")"
    grep -qE '^can .*chat.* score .*tokenize render' "$work/doctor" || fail "$kind: $(cat "$work/doctor")"
    grep -q 'first token after' "$work/doctor" || fail "$kind: $(cat "$work/doctor")"
    stop
  done
fi
finish
