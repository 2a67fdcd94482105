#!/usr/bin/env bash
# assay model …: what outside programs call. On a tiny model with random weights.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

model=$(ls "$AS_FIXTURES"/engine/*/model.gguf 2>/dev/null | head -1)
[ -n "$model" ] || { skip "no tiny model among the fixtures"; exit 77; }

assay model info "$model" --format json >"$work/info.json" 2>"$work/err" || fail "info: $(cat "$work/err")"
grep -q '"architecture":"gemma' "$work/info.json" || fail "info: $(cat "$work/info.json")"
vocabulary=$(number "$work/info.json" vocabulary)
width=$(number "$work/info.json" width)
layers=$(number "$work/info.json" layers)

printf '{"text":"a b"}\n{"text":""}\n{"text":"x\\u0000y\\n\\n"}\n' | assay model tokenize "$model" --bos >"$work/ids.jsonl" || fail "tokenize"
[ "$(wc -l <"$work/ids.jsonl")" -eq 3 ] || fail "tokenize: $(wc -l <"$work/ids.jsonl") lines"
[ "$(sed -n 2p "$work/ids.jsonl")" = '{"ids":[2]}' ] || fail "empty text with --bos: $(sed -n 2p "$work/ids.jsonl")"
assay model detokenize "$model" <"$work/ids.jsonl" >"$work/texts.jsonl" || fail "detokenize"
[ "$(sed -n 1p "$work/texts.jsonl")" = '{"text":"a b"}' ] || fail "round trip: $(sed -n 1p "$work/texts.jsonl")"
[ "$(sed -n 3p "$work/texts.jsonl")" = '{"text":"x\u0000y\n\n"}' ] || fail "round trip with NUL: $(sed -n 3p "$work/texts.jsonl")"

echo '[2,10,20,30,40,50]' >"$work/ids.json"
for precision in f32 auto; do
  assay model logits "$model" --ids "$work/ids.json" --precision $precision --out "$work/l.f32" --hidden "$work/h.f32" 2>"$work/err" || fail "logits: $(cat "$work/err")"
  [ "$(stat -c %s "$work/l.f32")" -eq $((6 * vocabulary * 4)) ] || fail "logits: $(stat -c %s "$work/l.f32") bytes"
  [ "$(stat -c %s "$work/h.f32")" -eq $(((layers + 1) * 6 * width * 4)) ] || fail "hidden: $(stat -c %s "$work/h.f32") bytes"
done
assay model logits "$model" --ids - --out "$work/far.f32" --first-position 131000 <"$work/ids.json" 2>"$work/err" || fail "first position: $(cat "$work/err")"
cmp -s "$work/far.f32" "$work/l.f32" && fail "the position makes no difference"

assay model generate "$model" --ids "$work/ids.json" -n 8 --ignore-eos >"$work/g.json" 2>"$work/err" || fail "generate: $(cat "$work/err")"
[ "$(grep -o '"ids":\[[^]]*\]' "$work/g.json" | tr ',' '\n' | wc -l)" -eq 8 ] || fail "generate: $(cat "$work/g.json")"
grep -q '"finish":"length"' "$work/g.json" || fail "generate: no finish"
for threads in 1 2; do
  assay model generate "$model" --ids "$work/ids.json" -n 20 --temperature 1 --seed 5 --ignore-eos --threads $threads >"$work/t$threads.json" 2>"$work/err" || fail "generate"
done
cmp -s "$work/t1.json" "$work/t2.json" || fail "the number of threads changes what is generated"

printf 'some words and some more words, again and again' >"$work/text"
assay model perplexity "$model" --text "$work/text" --precision f32 >"$work/p.json" 2>"$work/err" || fail "perplexity: $(cat "$work/err")"
for key in perplexity tokens nll; do grep -q "\"$key\":" "$work/p.json" || fail "perplexity: no $key"; done

# A file with a vocabulary alone is enough for text and ids, and for nothing else.
for vocabulary in "$AS_FIXTURES"/vocab/tiny-*.gguf; do
  printf '{"text":"a b"}\n' | assay model tokenize "$vocabulary" >"$work/v.jsonl" 2>"$work/err" || fail "vocabulary alone: $(cat "$work/err")"
  grep -q '"ids":\[' "$work/v.jsonl" || fail "vocabulary alone: $(cat "$work/v.jsonl")"
  expect 2 "$(basename "$vocabulary")" assay model generate "$vocabulary" --prompt x
done

expect 2 'either' assay model generate "$model"
expect 2 'token id' sh -c "echo '[1,\"x\"]' | '$AS_PROGRAM' model logits '$model' --ids - --out '$work/x'"
expect 2 '--precision' assay model perplexity "$model" --text "$work/text" --precision f64
echo '[2,99999999]' >"$work/far.json"
expect 2 '99999999' assay model logits "$model" --ids "$work/far.json" --out "$work/x"
expect 2 'line 1' sh -c "echo '{\"txt\":1}' | '$AS_PROGRAM' model tokenize '$model'"
finish
