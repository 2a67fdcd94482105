#!/usr/bin/env bash
# The mock's scripts: each loads; what it promises is on the wire; wrong scripts get a sentence.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(dirname "${BASH_SOURCE[0]}")
for tool in python3 curl; do
  command -v "$tool" >/dev/null || { skip "mock: $tool is not here"; exit 77; }
done
export PYTHONDONTWRITEBYTECODE=1

# ---- every group's script, and a client that looks closely ---------------------------------------------
for script in "$AS_FIXTURES"/mock/[0-9]*.json; do
  group=$(basename "$script" | cut -c1-2)
  server assay mock "$script" --port 0 || continue
  case $group in
    01 | 02 | 05 | 06 | 07 | 10 | 11 | 12 | 13)
      timeout 30 python3 "$here/mock_client.py" "$group" "$url" || fail "group $group" ;;
  esac
  stop_server TERM
done

# ---- every route answers in its own form -------------------------------------------------------------------
server assay mock "$AS_FIXTURES/mock/plain.json"
answers() { # PATH BODY TEXT
  local out
  out=$(curl -sS -m 10 ${2:+-d "$2"} "$url$1") || fail "curl $1"
  case $out in *"$3"*) ;; *) fail "$1: no $3 in $(printf %.300s "$out")" ;; esac
}
said='The answer is (B).'
answers /v1/chat/completions '{"messages":[]}' "\"content\":\"$said\""
answers /v1/completions '{"prompt":"x"}' "\"text\":\"$said\""
answers /api/chat '{"messages":[],"stream":false}' "\"content\":\"$said\"},\"done\":true"
answers /api/chat '{"messages":[]}' '"done_reason":"stop"'
answers /api/generate '{"prompt":"x","stream":false}' "\"response\":\"$said\""
answers /api/show '{}' model_info
answers /v1beta/models/m:generateContent '{"contents":[]}' "\"parts\":[{\"text\":\"$said\"}]"
answers '/v1beta/models/m:streamGenerateContent?alt=sse' '{"contents":[]}' 'data: {"candidates"'
answers /v1beta/models/m:streamGenerateContent '{"contents":[]}' '[{"candidates"'
answers /v1beta/models/m:countTokens '{"contents":[{"parts":[{"text":"abc"}]}]}' totalTokens
answers /completion '{"prompt":"x"}' "\"content\":\"$said\""
answers /completion '{"prompt":"x","stream":true}' '"stop":true'
answers /apply-template '{"messages":[{"role":"user","content":"hi"}]}' 'hi'
answers /tokenize '{"content":"hi"}' '"tokens":[104,105]'
answers /tokenize '{"prompt":"hi"}' '"tokens":[256,104,105]'
answers /api/v0/chat/completions '{"messages":[]}' time_to_first_token
answers /api/v1/chat '{"input":"x"}' "\"content\":\"$said\""
answers /api/v1/chat '{"input":"x","stream":true}' 'event: message.delta'
for path in /v1/models /health /props /slots /metrics /version /api/tags /api/ps /api/version /v1beta/models \
            /v1beta/models/m /api/v0/models /api/v1/models; do
  answers $path '' ''
  [ "$(curl -s -o "$work/out" -w '%{http_code}' "$url$path")" = 200 ] || fail "$path: $(head -c 200 "$work/out")"
  case $path in /metrics) ;; *) python3 -c 'import json,sys; json.load(open(sys.argv[1]))' "$work/out" || fail "$path is no JSON" ;; esac
done
stop_server INT

# ---- wrong scripts ------------------------------------------------------------------------------------------
wrong() { # SCRIPT TEXT
  printf '%s' "$1" >"$work/s.json"
  expect 2 "$2" assay mock "$work/s.json"
}
wrong '{"rules":[{"pth":"/x"}]}' 'unknown key "pth"'
wrong '{"rules":[{"reply":{"txt":"x"}}]}' 'unknown key "txt"'
wrong '{"rules":[{"fault":{"reset_after":"soon"}}]}' '"reset_after": want a number of bytes'
wrong '{"rules":[{"match":"("}]}' '"match"'
wrong '{"rules":[{"nth":0}]}' '"nth": want'
wrong '{"rules":[{"chunk":0}]}' '"chunk": want'
wrong '{"rules":{}}' '"rules": want an array'
wrong '{"rules":[{"reply":{},"raw":{}}]}' 'not both'
wrong '{"server":"apache"}' 'none of openai'
wrong '{"seed":' 's.json'
wrong '[]' 'want an object'
expect 2 'nosuch.json' assay mock "$work/nosuch.json"
expect 2 '--host nowhere' assay mock "$AS_FIXTURES/mock/plain.json" --host nowhere
finish
