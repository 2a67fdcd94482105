#!/usr/bin/env bash
# ollama:, lmstudio: and gemini: over HTTP against the mock's forms of those servers: whole runs, scores
# of first tokens, and the ends that only these servers have.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v curl >/dev/null || { skip "native_servers: curl is not here"; exit 77; }

task=smoke_choice:chat
run_one() { # MODEL option…
  assay run -q -m "$1" --base-url "$url" -t $task -L 4 --format json --new-run --retry-ms 1 "${@:2}" >"$work/run.json" 2>"$work/err"
}
anatomy() { # WORD: how many of the four answers
  grep -o '"anatomy":{[^}]*}' "$work/run.json" | grep -oE "\"$1\":[0-9]+" | cut -d: -f2
}

# ---- whole runs, probes included ---------------------------------------------------------------------------
printf '{"keep_requests":256,"default":{"reply":{"text":"The answer is (B)."}}}' >"$work/plain.json"
server assay mock "$work/plain.json" --port 0
for model in ollama: ollama:mock lmstudio: lmstudio:mock gemini:mock; do
  for stream in on off; do
    run_one $model -M stream=$stream || fail "$model, stream=$stream: $(cat "$work/err" | head -3)"
    [ "$(number "$work/run.json" n)" = 4 ] || fail "$model, stream=$stream: $(number "$work/run.json" n) answers, want 4"
    for bad in error empty unparsed; do
      [ "$(anatomy $bad)" = 0 ] || fail "$model, stream=$stream: $(anatomy $bad) $bad"
    done
    assay show last --samples --text >"$work/samples" 2>"$work/err"
    [ "$(grep -c 'The answer is (B).' "$work/samples")" -ge 4 ] || fail "$model, stream=$stream: $(head -c 400 "$work/samples")"
  done
done

for model in ollama: lmstudio:; do # plain texts, without the servers' template
  task=smoke_choice:5shot run_one $model && [ "$(anatomy error)" = 0 ] || fail "$model, plain: $(head -3 "$work/err")"
done
expect 2 'plain completion' assay run -q -m gemini:mock --base-url "$url" -t smoke_choice:5shot -L 1

# What was really sent: by the servers' own routes; the window, nothing cut, thinking off, the filters at their least.
curl -sS -m 10 "$url/_mock/requests" >"$work/requests"
for sent in 'POST /api/chat\n' 'POST /api/generate\n' 'POST /api/v0/completions\n' 'POST /api/v0/chat/completions\n' \
            'POST /v1beta/models/mock:generateContent\n' 'POST /v1beta/models/mock:streamGenerateContent?alt=sse\n' '\"num_ctx\":' '\"truncate\":false' '\"shift\":false' \
            '\"think\":false' '\"reasoning_effort\":\"none\"' '\"threshold\":\"BLOCK_NONE\"'; do
  grep -qF -- "$sent" "$work/requests" || fail "no $sent was sent"
done

# ---- scores of first tokens: exact for what is told, a bound for the rest ----------------------------------------
printf '{"context":"Q","continuation":"T"}\n{"context":"Q","continuation":"zzz"}\n' |
  assay loglikelihood -m ollama:mock --base-url "$url" >"$work/scores" 2>"$work/err" || fail "scores: $(cat "$work/err")"
[ "$(grep -c '"sum":-' "$work/scores")" = 2 ] || fail "scores: $(cat "$work/scores")"
sed -n 2p "$work/scores" | grep -q '"bound":true' || fail "a continuation that is not told has no mark: $(cat "$work/scores")"
for model in lmstudio:mock gemini:mock; do
  expect 2 'log-probabilities' assay loglikelihood -m $model --base-url "$url"
done

# ---- models that are not opened ---------------------------------------------------------------------------------
expect 2 'cloud=on' assay run -q -m ollama:big:cloud --base-url "$url" -t smoke_choice:chat -L 1
expect 2 'want a model' assay run -q -m 'gemini:a/b' --base-url "$url" -t smoke_choice:chat -L 1
expect 2 'no such model' assay run -q -m lmstudio:none --base-url "$url" -t smoke_choice:chat -L 1
env -u GEMINI_API_KEY -u GOOGLE_API_KEY "$AS_PROGRAM" run -q -m gemini:gemma-4-31b-it -t smoke_choice:chat -L 1 >"$work/out" 2>"$work/err"
[ $? -eq 2 ] && grep -q GEMINI_API_KEY "$work/err" || fail "without a key: $(cat "$work/err")"
stop_server TERM

# ---- group 8: Ollama's lines ------------------------------------------------------------------------------------
server assay mock "$AS_FIXTURES/mock/08_ndjson.json" --port 0
for row in no_newline:0 no_counts:0 blank_lines:0 byte:0 thinking:0 length:0 no_done:4 error_line:4 bad_json:4; do
  run_one "ollama:${row%:*}" -M probe=off --max-tries 1
  [ "$(anatomy error)" = "${row#*:}" ] || fail "group 8, ${row%:*}: $(anatomy error) errors, want ${row#*:} ($(head -3 "$work/err"))"
done
stop_server TERM

# ---- group 9: Gemini's candidates --------------------------------------------------------------------------------
server assay mock "$AS_FIXTURES/mock/09_gemini.json" --port 0
for row in both:error:0 noparts:empty:4 nocontent:truncated:4 thoughts:truncated:4 blocked:refused:4 safety:refused:4 none:error:4; do
  IFS=: read -r name word n <<<"$row"
  run_one "gemini:$name" -M probe=off --max-tries 1
  [ "$(anatomy "$word")" = "$n" ] || fail "group 9, $name: $(anatomy "$word") $word, want $n ($(head -3 "$work/err"))"
done
stop_server TERM
finish
