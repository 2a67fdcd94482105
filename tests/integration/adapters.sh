#!/usr/bin/env bash
# --lora ADAPTER[:SCALE] of assay model … and -M lora= of assay run. On a tiny model of random weights.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

model=$AS_FIXTURES/engine/moe/model.gguf
lora=$AS_FIXTURES/engine/lora
[ -f "$model" ] && [ -d "$lora" ] || { skip "no tiny model with adapters among the fixtures"; exit 77; }
echo '[2,10,20,30,40,50]' >"$work/ids.json"
printf 'some words and some more words, again and again' >"$work/text"

logits() { # OUT flags…
  local out=$1
  shift
  assay model logits "$model" --ids "$work/ids.json" --precision f32 --out "$work/$out" "$@" 2>"$work/err" || fail "logits $*: $(cat "$work/err")"
}
logits base
logits peft --lora "$lora/moe-attention"
logits gguf --lora "$lora/moe-attention/adapter.gguf"
logits one --lora "$lora/moe-attention:1"
logits half --lora "$lora/moe-attention:0.5"
logits none --lora "$lora/moe-attention:0"
logits experts --lora "$lora/moe-experts"
cmp -s "$work/peft" "$work/gguf" || fail "the PEFT folder and the GGUF file differ"
cmp -s "$work/peft" "$work/one" || fail "scale 1 is not the default"
cmp -s "$work/base" "$work/none" || fail "scale 0 changes something"
for other in base half experts; do cmp -s "$work/peft" "$work/$other" && fail "the adapter's logits are those of: $other"; done

for flags in "" "--lora $lora/moe-experts" "--lora $lora/moe-experts:-1"; do
  assay model perplexity "$model" --text "$work/text" --precision f32 $flags 2>"$work/err" | number /dev/stdin nll >>"$work/nll"
  assay model generate "$model" --ids "$work/ids.json" -n 12 --ignore-eos $flags 2>"$work/err" >>"$work/generated"
done
[ "$(sort -u "$work/nll" | wc -l)" -eq 3 ] || fail "perplexities: $(tr '\n' ' ' <"$work/nll")"
[ "$(sort -u "$work/generated" | wc -l)" -eq 3 ] || fail "generated: $(cat "$work/generated")"

# A run with an adapter is another model's run: its own hash and name, and its own answers.
for flags in "" "-M lora=$lora/moe-experts" "-M lora=$lora/moe-experts:0.5" "-M lora=$lora/moe-attention"; do
  assay run -q -m "$model" -t smoke_choice -L 6 --max-tokens 12 -j 3 --format json $flags >"$work/run.json" 2>"$work/err" || fail "run $flags: $(cat "$work/err")"
  number "$work/run.json" run >>"$work/runs"
  assay show last --samples --text | grep -o '"answer":"[^"]*"' | sha256sum >>"$work/answers"
done
[ "$(sort -u "$work/runs" | wc -l)" -eq 4 ] || fail "runs with and without adapters are taken for one: $(tr '\n' ' ' <"$work/runs")"
[ "$(sort -u "$work/answers" | wc -l)" -eq 4 ] || fail "the adapter does not change the answers"
assay show last --format json >"$work/show.json" 2>"$work/err" || fail "show: $(cat "$work/err")"
grep -q 'moe-attention' "$work/show.json" || fail "the run does not tell of its adapter"
expect 2 'no-such' assay run -q -m "$model" -M "lora=$work/no-such" -t smoke_choice

# A conversation takes one too.
for flags in "" "--lora $lora/moe-experts" "--lora $lora/moe-experts:0"; do
  echo hello | assay model chat "$model" -n 12 --temperature 0 $flags 2>"$work/err" | sha256sum >>"$work/chats" || fail "chat $flags: $(cat "$work/err")"
done
[ "$(sort -u "$work/chats" | wc -l)" -eq 2 ] && [ "$(sed -n 1p "$work/chats")" = "$(sed -n 3p "$work/chats")" ] || fail "chats: $(tr '\n' ' ' <"$work/chats")"

expect 2 'no-such' assay model logits "$model" --ids "$work/ids.json" --out "$work/x" --lora "$work/no-such:2"
expect 2 'general.type' assay model logits "$model" --ids "$work/ids.json" --out "$work/x" --lora "$model"
expect 2 'another model' assay model logits "$AS_FIXTURES/engine/e2b/model.gguf" --ids "$work/ids.json" --out "$work/x" --lora "$lora/moe-attention"
finish
