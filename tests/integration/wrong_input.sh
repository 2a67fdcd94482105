#!/usr/bin/env bash
# Wrong input of every kind: one sentence naming thing, place and remedy, the right exit code, no
# crash, nothing lost.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tiny=$(ls "$AS_FIXTURES"/engine/*/model.gguf 2>/dev/null | head -1)

# ---- usage -----------------------------------------------------------------------------------------
expect 2 'no command "frobnicate"' assay frobnicate
expect 2 'unknown flag --frob' assay run --frob
expect 2 '--limit x' assay run -m null: -t smoke --limit x
expect 2 'usage' assay run -m null: -t ,
expect 2 'key_env=NAME' assay run -m openai:x -t smoke --base-url http://user:secret@127.0.0.1:1
expect 2 'key_env=NAME' assay run -m openai:x -t smoke --base-url 'http://127.0.0.1:1/?key=secret'
expect 2 'want http://' assay run -m openai:x -t smoke --base-url 127.0.0.1:1
expect 2 '--base-url' assay run -m openai:x -t smoke
expect 2 'there are: openai' assay run -m openai:x -t smoke -M profile=x --base-url http://127.0.0.1:1
expect 2 'unknown option' assay run -m openai:x -t smoke -M nonsense=1 --base-url http://127.0.0.1:1
expect 2 'want on or off' assay run -m openai:x -t smoke -M stream=maybe --base-url http://127.0.0.1:1
expect 5 '127.0.0.1:1' assay run -m openai:x -t smoke --base-url http://127.0.0.1:1
expect 5 '127.0.0.1:1' assay doctor --backend llamacpp --base-url http://127.0.0.1:1
expect 2 'smoke_choice' assay run -m null: -t nosuchsuite
expect 2 'nosuchprotocol' assay run -m null: -t smoke_choice:nosuchprotocol
expect 2 '--repeats 0' assay run -m null: -t smoke --repeats 0
expect 2 '--temperature hot' assay run -m null: -t smoke --temperature hot
expect 2 'wants a value' assay run -m
expect 2 '-M nonsense' assay run -m null: -t smoke -M nonsense
expect 2 'unknown option' assay run -m null: -t smoke -M colour=red
expect 2 'no such item' assay run -m null: -t smoke_choice --sample-id nowhere
expect 2 '--format yaml' assay run -m null: -t smoke --format yaml
expect 2 'no such file' assay run -m nosuchmodel -t smoke
expect 2 'twice' assay run -m null: -t smoke_choice,smoke_choice

# ---- models that are no models ------------------------------------------------------------------------
printf '<html><body>404</body></html>\n' >"$work/page.gguf"
expect 2 'GGUF' assay run -m "$work/page.gguf" -t smoke
: >"$work/empty.gguf"
expect 2 'empty.gguf' assay run -m "$work/empty.gguf" -t smoke
mkdir "$work/folder.gguf"
expect 2 'folder.gguf' assay run -m "$work/folder.gguf" -t smoke
if [ -n "$tiny" ]; then
  head -c 1000 "$tiny" >"$work/cut.gguf"
  expect 2 'cut.gguf' assay run -m "$work/cut.gguf" -t smoke
  size=$(stat -c %s "$tiny")
  head -c $((size - 100)) "$tiny" >"$work/short.gguf"
  expect 2 'short.gguf' assay run -m "$work/short.gguf" -t smoke
  echo '[2]' >"$work/ids.json"
  expect 2 'short.gguf' assay model logits "$work/short.gguf" --ids "$work/ids.json" --out "$work/o"
else
  skip "no tiny model among the fixtures"
fi

# ---- recordings and scripts ---------------------------------------------------------------------------
for i in 1 2 3 4 5 6; do printf '{"id":"c%02d","response":"The answer is (A)."}\n' $i; done >"$work/bad.jsonl"
printf '{"id":"c-07","response":\n' >>"$work/bad.jsonl"
expect 2 'line 7' assay run -m "replay:$work/bad.jsonl" -t smoke_choice
printf '{"response":"x"}\n' >"$work/noid.jsonl"
expect 2 'no item id' assay run -m "replay:$work/noid.jsonl" -t smoke_choice
printf '{"id":"zzz","response":"x"}\n' >"$work/other.jsonl"
expect 2 'another suite' assay run -m "replay:$work/other.jsonl" -t smoke_choice
expect 2 'No such file' assay run -m "replay:$work/none.jsonl" -t smoke_choice
printf '{"default":{"error":"sideways"}}' >"$work/script.json"
expect 2 'sideways' assay run -m "null:$work/script.json" -t smoke
printf '{"default":' >"$work/script.json"
expect 2 'script.json' assay run -m "null:$work/script.json" -t smoke

# ---- datasets -----------------------------------------------------------------------------------------
expect 2 'data import' assay run -m null: -t mmlu_pro
expect 2 'no importer' assay data import nosuch "$work/bad.jsonl"
expect 2 'line 1' assay data import mmlu_pro "$work/bad.jsonl"
[ -z "$(ls -A "$ASSAY_HOME/datasets" 2>/dev/null)" ] || fail "a failed import left something behind"

# ---- databases ----------------------------------------------------------------------------------------
expect 2 '/proc/no' assay run -q -m null: -t smoke --db /proc/no/such/x.db
printf 'this is no database, but a text long enough to be looked at as one................' >"$work/text.db"
expect 2 'text.db' assay run -q -m null: -t smoke --db "$work/text.db"
expect 2 'no database' assay ls
expect 2 'none.db' assay show last --db "$work/none.db"
assay run -q -m null: -t smoke --db "$work/good.db" >/dev/null 2>&1 || fail "a good run failed"
expect 2 'nosuchrun' assay show nosuchrun --db "$work/good.db"
expect 2 'nosuchitem' assay show last nosuchitem --db "$work/good.db"
if [ "$(id -u)" -ne 0 ]; then
  chmod 500 "$work"
  expect 2 'ermission' assay run -q -m null: -t smoke --db "$work/new.db"
  chmod 700 "$work"
else
  mkdir "$work/full"
  if mount -t tmpfs -o size=200k none "$work/full" 2>/dev/null; then
    "$AS_PROGRAM" run -q -m null: -t smoke -k 200 --db "$work/full/x.db" >"$work/out" 2>"$work/err"
    code=$?
    [ $code -eq 5 ] || fail "full disk: exit $code, want 5 ($(head -1 "$work/err"))"
    [ "$(wc -l <"$work/err")" -eq 1 ] || fail "full disk: $(wc -l <"$work/err") lines: $(head -3 "$work/err")"
    grep -q 'full' "$work/err" || fail "full disk: $(head -1 "$work/err")"
    cp "$work/full/"x.db* "$work/" && assay db check --db "$work/x.db" >/dev/null || fail "full disk: the database is damaged"
    umount "$work/full"
  else
    skip "full disk: no tmpfs can be mounted here"
  fi
fi

# ---- nothing is lost ------------------------------------------------------------------------------------
assay db check --db "$work/good.db" >/dev/null || fail "the good database is damaged"
finish
