#!/usr/bin/env bash
# Kinds of cache, the memory plan and its refusal, and a prompt's cache on disk, by the commands.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

model=$(ls "$AS_FIXTURES"/engine/*/model.gguf 2>/dev/null | head -1)
[ -n "$model" ] || { skip "no tiny model among the fixtures"; exit 77; }

# model info: bytes of weights by type, and of a session
assay model info "$model" --context 100000 --kv f16 --sequences 3 --format json >"$work/f16.json" || fail "info"
assay model info "$model" --context 100000 --kv f32 --sequences 3 --format json >"$work/f32.json" || fail "info"
for key in kv_full_bytes kv_sliding_bytes kv_bytes kv_bytes_per_token; do
  [ $((2 * $(number "$work/f16.json" $key))) -eq "$(number "$work/f32.json" $key)" ] || fail "$key: f16 is not half of f32"
done
sum=$(($(number "$work/f16.json" weights_bytes) + $(number "$work/f16.json" kv_full_bytes) + $(number "$work/f16.json" kv_sliding_bytes) + $(number "$work/f16.json" scratch_bytes)))
[ "$(number "$work/f16.json" total_bytes)" -eq "$sum" ] || fail "total_bytes is not the sum"
grep -q '"types":{"F32":{"tensors":[0-9]*,"elements":[0-9]*,"bytes":[0-9]*}' "$work/f16.json" || fail "types: $(cat "$work/f16.json")"
grep -q '"fits":true' "$work/f16.json" || fail "does not fit"
assay model info "$model" --context 100000 --memory 1000 --format json | grep -q '"fits":false' || fail "fits into 1,000 bytes"
assay model info "$model" | grep -q '^memory.kv_bytes  *[0-9]' || fail "info as text"

# the plan comes before the work, and is refused with the arithmetic and what would fit
ids=$(seq -s, 3 200)
echo "[2,$ids]" >"$work/ids.json"
assay model generate "$model" --ids "$work/ids.json" -n 8 --ignore-eos >"$work/plain.json" 2>"$work/err" || fail "generate: $(cat "$work/err")"
grep -q '^assay: memory: weights .* GB$' "$work/err" || fail "no plan: $(cat "$work/err")"
expect 2 'positions with kv f32, 200199 positions with kv f16' assay model generate "$model" --ids "$work/ids.json" -n 200000 --kv f32 --memory 40000000
expect 2 'no context at all' assay model generate "$model" --ids "$work/ids.json" --memory 1000
expect 2 'want f32, f16 or q8_0' assay model generate "$model" --ids "$work/ids.json" --kv q4
expect 2 'blocks of 32' assay model generate "$model" --ids "$work/ids.json" --kv q8_0
assay run --help | grep -q 'kv=f32|f16|q8_0' || fail "run --help does not name kv"
expect 2 'want f32, f16 or q8_0' assay run -m "$model" -M kv=q4 -t smoke_choice --db "$work/db"
expect 2 'would fit' assay run -m "$model" -M memory=1000 -t smoke_choice --db "$work/db"
assay run -m "$model" -M kv=f16 -t smoke_choice -L 2 --db "$work/db" >"$work/out" 2>"$work/err"
grep -q '^assay: memory: weights .* (f16, ' "$work/err" || fail "run: no plan: $(cat "$work/err")"

# a prompt's cache on disk: the same answer, whatever the kind
for kv in f32 f16; do
  assay model generate "$model" --ids "$work/ids.json" -n 8 --ignore-eos --kv $kv >"$work/a.json" 2>/dev/null || fail "generate $kv"
  assay model generate "$model" --ids "$work/ids.json" -n 8 --ignore-eos --kv $kv --save-state "$work/$kv.state" >"$work/b.json" 2>"$work/err" || fail "save: $(cat "$work/err")"
  assay model generate "$model" --ids "$work/ids.json" -n 8 --ignore-eos --kv $kv --load-state "$work/$kv.state" >"$work/c.json" 2>"$work/err" || fail "load: $(cat "$work/err")"
  cmp -s "$work/a.json" "$work/b.json" || fail "$kv: saving changes the answer"
  cmp -s "$work/a.json" "$work/c.json" || fail "$kv: loading changes the answer"
done
echo "[2,$ids,300,301,302]" >"$work/longer.json"
assay model generate "$model" --ids "$work/longer.json" -n 8 --ignore-eos >"$work/a.json" 2>/dev/null || fail "generate"
assay model generate "$model" --ids "$work/longer.json" -n 8 --ignore-eos --load-state "$work/f16.state" >"$work/c.json" 2>/dev/null || fail "load"
cmp -s "$work/a.json" "$work/c.json" || fail "a longer prompt goes on differently"

echo '[2,3,4,5,9,9,9]' >"$work/other.json"
expect 2 'shares the first 4' assay model generate "$model" --ids "$work/other.json" -n 200 --load-state "$work/f16.state"
expect 2 'open it with kv f32' assay model generate "$model" --ids "$work/ids.json" --load-state "$work/f32.state"
expect 2 'precision' assay model generate "$model" --ids "$work/ids.json" --kv f16 --precision f32 --load-state "$work/f16.state"
head -c 1000 "$work/f16.state" >"$work/cut.state"
expect 2 'cut.state: state of 1000 bytes' assay model generate "$model" --ids "$work/ids.json" --load-state "$work/cut.state"
expect 2 'none.state' assay model generate "$model" --ids "$work/ids.json" --load-state "$work/none.state"
expect 2 'no state' assay model generate "$model" --ids "$work/ids.json" --load-state "$model"
for other in "$AS_FIXTURES"/engine/*/model.gguf; do
  [ "$other" = "$model" ] || expect 2 'another model' assay model generate "$other" --ids "$work/ids.json" --load-state "$work/f16.state"
done
finish
