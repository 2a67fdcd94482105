#!/usr/bin/env bash
# assay model convert and quantize: a folder, a file, a smaller file, each with its logits; wrong input
# leaves nothing behind. With AS_SHARED and AS_XLLAMACPP_PYTHON (a Python with xllamacpp, numpy) also
# what llama.cpp makes of the files; with AS_LLAMA_LIB (see tests/tools/peer_quantize.py) whether its own
# quantiser writes the same.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$AS_FIXTURES/engine/folder
[ -f "$folder/config.json" ] || { skip "no tiny model folder among the fixtures"; exit 77; }
recipes=$(assay model quantize --help 2>&1 | tr ' .' '\n\n' | grep -E '^(F32|F16|BF16|I?Q[2-8]_[0-9A-Z_]+|IQ4_NL)$' | sort -u)
[ "$(printf '%s\n' "$recipes" | wc -l)" -eq 18 ] || fail "recipes of --help: $recipes"
echo '[2,10,20,30,40,50,60,270,288,281,17]' >"$work/ids.json"

logits() { # MODEL OUT
  assay model logits "$1" --ids "$work/ids.json" --precision f32 --out "$work/$2" 2>"$work/err" || fail "logits of $1: $(cat "$work/err")"
}
# distance A B: the largest difference of two files of floats, or "nan".
distance() {
  paste <(od -An -v -w4 -tf4 "$work/$1") <(od -An -v -w4 -tf4 "$work/$2") | awk '
    $1 !~ /^ *-?[0-9.e+-]+$/ || $2 !~ /^ *-?[0-9.e+-]+$/ { print "nan"; bad = 1; exit }
    { d = $1 - $2; d = d < 0 ? -d : d; if (d > most) most = d }
    END { if (!bad) print most + 0 }'
}
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a != "nan" && a <= b) }'; }

# ---- a folder becomes a file, the file smaller files ----------------------------------------------
assay model convert "$folder" "$work/whole.gguf" >"$work/out" 2>"$work/err" || fail "convert: $(cat "$work/err")"
grep -q '"quantization":"BF16"' "$work/out" || fail "convert says: $(cat "$work/out")"
logits "$folder" folder
logits "$work/whole.gguf" whole
cmp -s "$work/folder" "$work/whole" || fail "the file's logits are not the folder's"

# Limits: about one and a half times what is seen; the logits' own spread is about 10. Where BF16 fits a
# format whole, nothing may change.
limit() {
  case $1 in
    F32 | BF16 | F16) echo 0 ;; Q8_0 | Q6_K) echo 0.25 ;; *) echo 2 ;;
  esac
}
for recipe in $recipes; do
  small=$work/$recipe.gguf
  assay model quantize "$work/whole.gguf" "$small" "$recipe" >"$work/out" 2>"$work/err" || fail "$recipe: $(cat "$work/err")"
  grep -q "\"quantization\":\"$recipe\"" "$work/out" || fail "$recipe says: $(cat "$work/out")"
  assay model quantize "$folder" "$work/again.gguf" "$recipe" --threads 3 >/dev/null 2>"$work/err" || fail "$recipe of the folder: $(cat "$work/err")"
  cmp -s "$small" "$work/again.gguf" || fail "$recipe: the folder and its file give different files"
  rm -f "$work/again.gguf"
  logits "$small" "$recipe"
  d=$(distance whole "$recipe")
  printf '  %-7s largest difference of a logit %s\n' "$recipe" "$d"
  at_most "$d" "$(limit "$recipe")" || fail "$recipe: a logit differs by $d, at most $(limit "$recipe")"
done

# ---- wrong input: one sentence, exit code 2, nothing left -----------------------------------------
cp -r "$folder" "$work/cut"
truncate -s -100 "$work/cut/model-00002-of-00002.safetensors"
cp -r "$folder" "$work/lone"
rm "$work/lone/model-00001-of-00002.safetensors"
truncate -s 150000 "$work/whole.gguf" && cp "$work/whole.gguf" "$work/short.gguf"
echo 'somebody’s' >"$work/taken.gguf"
sum=$(sha256sum <"$work/taken.gguf")
expect 2 'no recipe "Q9_K"' assay model quantize "$work/F32.gguf" "$work/new.gguf" Q9_K
expect 2 'no-such' assay model convert "$work/no-such" "$work/new.gguf"
expect 2 'no-such' assay model quantize "$work/no-such" "$work/new.gguf" Q8_0
expect 2 'model-00002-of-00002' assay model convert "$work/cut" "$work/new.gguf"
expect 2 'model-00002-of-00002' assay model quantize "$work/cut" "$work/new.gguf" Q8_0
expect 2 'model-00001-of-00002' assay model convert "$work/lone" "$work/new.gguf"
expect 2 'short.gguf' assay model quantize "$work/short.gguf" "$work/new.gguf" Q8_0
expect 2 'tokenizer.ggml.model' assay model quantize "$AS_FIXTURES/../fuzz/corpus/fuzz_model/right_gemma4" "$work/new.gguf" Q8_0
expect 2 'blk.1.attn_q.weight' assay model quantize "$AS_FIXTURES/../fuzz/corpus/fuzz_model/no_query" "$work/new.gguf" Q8_0
expect 2 'exists already' assay model convert "$folder" "$work/taken.gguf"
expect 2 'exists already' assay model quantize "$work/F32.gguf" "$work/taken.gguf" Q8_0
expect 2 'exists already' assay model quantize "$work/F32.gguf" "$work/F32.gguf" Q8_0
expect 2 'exists already' assay model convert "$folder" "$work"
expect 2 'no-folder/new.gguf' assay model convert "$folder" "$work/no-folder/new.gguf"
[ "$(sha256sum <"$work/taken.gguf")" = "$sum" ] || fail "somebody's file was changed"
left=$(find "$work" -name 'new.gguf*' -o -name '*.part')
[ -z "$left" ] || fail "left behind: $left"

# A full disk: a small one of its own, where root may mount it.
mkdir "$work/disk"
if mount -t tmpfs -o size=64k tmpfs "$work/disk" 2>/dev/null; then
  expect 5 'the disk has' assay model convert "$folder" "$work/disk/new.gguf"
  expect 5 'the disk has' assay model quantize "$folder" "$work/disk/new.gguf" F16
  [ -z "$(ls "$work/disk")" ] || fail "left on the full disk: $(ls "$work/disk")"
  umount "$work/disk"
else
  skip "a full disk: this user may not mount one"
fi

# ---- llama.cpp ------------------------------------------------------------------------------------
if [ -n "${AS_XLLAMACPP_PYTHON:-}" ] && [ -n "${AS_SHARED:-}" ]; then
  "$AS_XLLAMACPP_PYTHON" "$(dirname "${BASH_SOURCE[0]}")/../tools/peer_files.py" "$AS_PROGRAM" >"$work/peer" 2>&1 || fail "llama.cpp: $(cat "$work/peer")"
  cat "$work/peer"
else
  skip "llama.cpp: set AS_XLLAMACPP_PYTHON to a Python with xllamacpp, and AS_SHARED"
fi
# The same bytes as its quantiser's: of the tiny model every recipe, of the real one the mixed ones.
if [ -n "${AS_XLLAMACPP_PYTHON:-}" ] && [ -n "${AS_LLAMA_LIB:-}" ]; then
  peer=$(dirname "${BASH_SOURCE[0]}")/../tools/peer_quantize.py
  "$AS_XLLAMACPP_PYTHON" "$peer" "$AS_PROGRAM" "$work/F32.gguf" --bytes >"$work/peer" 2>&1 || fail "llama.cpp's quantiser: $(cat "$work/peer")"
  if [ -n "${AS_MODEL_GEMMA3:-}" ]; then
    "$AS_XLLAMACPP_PYTHON" "$peer" "$AS_PROGRAM" "$AS_MODEL_GEMMA3" --bytes --recipes "Q2_K Q3_K_M Q4_K_S Q5_K_M" >>"$work/peer" 2>&1 || fail "llama.cpp's quantiser: $(cat "$work/peer")"
  fi
  "$AS_XLLAMACPP_PYTHON" "$(dirname "$peer")/peer_types.py" "$AS_PROGRAM" --recipes "Q2_K Q3_K_M Q3_K_L Q4_K_M IQ4_NL" >>"$work/peer" 2>&1 || fail "llama.cpp's quantiser: $(cat "$work/peer")"
  cat "$work/peer"
else
  skip "llama.cpp's quantiser: set AS_LLAMA_LIB to the folder of libllama.so, and AS_XLLAMACPP_PYTHON"
fi
# ---- transformers ---------------------------------------------------------------------------------
if [ -n "${AS_TRANSFORMERS_PYTHON:-}" ]; then
  "$AS_TRANSFORMERS_PYTHON" "$(dirname "${BASH_SOURCE[0]}")/../tools/peer_transformers.py" "$AS_PROGRAM" >"$work/peer" 2>&1 || fail "transformers: $(cat "$work/peer")"
  cat "$work/peer"
else
  skip "transformers: set AS_TRANSFORMERS_PYTHON to a Python with torch and transformers"
fi
finish
