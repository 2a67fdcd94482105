#!/usr/bin/env bash
# Recorded answers through the whole program: import, replay, score, JSON. With the shared reference
# material (AS_SHARED), the official numbers of four recorded models to the last digit.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
samples=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../datasets/samples" && pwd)

assay data import mmlu_pro "$samples/mmlu_pro-20.jsonl" >"$work/out" 2>&1 || fail "import: $(cat "$work/out")"
assay data verify >"$work/out" 2>&1 || fail "verify: $(cat "$work/out")"
assay run -q -m "replay:$samples/mmlu_pro-20.gemma-7b.jsonl" -t mmlu_pro:official --format json >"$work/run.json" 2>"$work/err" ||
  fail "replay: $(cat "$work/err")"
[ "$(number "$work/run.json" n)" = 20 ] || fail "n is $(number "$work/run.json" n), want 20"
for key in run db model suites suite protocol score stderr interval anatomy right wrong truncated empty unparsed refused \
           error ungraded groups metrics level1 level2 level1_random level2_random save_res macro tokens prompt completion \
           seconds peak_bytes; do
  grep -q "\"$key\":" "$work/run.json" || fail "the JSON of a run has no \"$key\""
done

# The same command asks nothing again; a second scoring changes nothing.
assay run -q -m "replay:$samples/mmlu_pro-20.gemma-7b.jsonl" -t mmlu_pro:official --format json >"$work/again.json" 2>/dev/null
[ "$(number "$work/run.json" run)" = "$(number "$work/again.json" run)" ] || fail "the same command made another run"
assay score last --diff >"$work/diff" 2>"$work/err" || fail "score: $(cat "$work/err")"
[ -s "$work/diff" ] && fail "scoring again changed: $(head -1 "$work/diff")"
assay score last --format json >"$work/scored.json" 2>/dev/null
[ "$(grep -o '"metrics":{[^}]*}' "$work/run.json" | tail -1)" = "$(grep -o '"metrics":{[^}]*}' "$work/scored.json" | tail -1)" ] ||
  fail "score prints other metrics than run"

assay show last --samples --text --format jsonl >"$work/samples.jsonl" || fail "show --samples"
[ "$(wc -l <"$work/samples.jsonl")" -eq 20 ] || fail "$(wc -l <"$work/samples.jsonl") samples, want 20"
for key in item repeat suite prediction target score anatomy finish prompt_tokens completion_tokens seconds prompt reasoning answer; do
  grep -q "\"$key\":" "$work/samples.jsonl" || fail "a sample has no \"$key\""
done
# What the program shows, it reads again.
assay run -q -m "replay:$work/samples.jsonl" -t mmlu_pro:official --format json >"$work/own.json" 2>"$work/err" || fail "own form: $(cat "$work/err")"
[ "$(number "$work/own.json" score)" = "$(number "$work/run.json" score)" ] || fail "answers shown and read again score differently"

if [ -z "${AS_SHARED:-}" ]; then
  skip "the official numbers of four models: AS_SHARED is not set"
else
  assay data import mmlu_pro "$AS_SHARED/replay/mmlu_pro_questions.jsonl.gz" >/dev/null 2>&1 || fail "import of all questions"
  official() { # MODEL LEVEL1_RANDOM LEVEL2_RANDOM LEVEL1_RIGHT LEVEL2_RIGHT SAVE_RES_RIGHT
    local out=$work/$1.json values
    assay run -q -m "replay:$AS_SHARED/replay/mmlu_pro_responses_$1.jsonl.gz" -t mmlu_pro:official --format json >"$out" 2>"$work/err" ||
      fail "$1: $(cat "$work/err")"
    # The task's own metrics are the last ones; the groups' stand before.
    grep -o '"metrics":{[^}]*}' "$out" | tail -1 >"$work/metrics"
    values="$(for k in level1_random level2_random level1_right level2_right save_res_right; do number "$work/metrics" $k; done | tr '\n' ' ')"
    shift
    [ "$values" = "$* " ] || fail "official numbers: got $values, want $*"
  }
  # benchmarks of TIGER-AI-Lab/MMLU-Pro as its compute_accuracy.py and evaluate_from_local.py print them
  official gemini-1.5-pro-002 0.7024126455906822 0.7024958402662229 8441 8444 8444
  official llama-3.1-8b-instruct 0.4409906914893617 0.4424035904255319 5217 5244 5302
  official gemma-7b 0.336186835106383 0.3375166223404255 3893 3945 4046
  official qwen1.5-7b-chat 0.2884807180851064 0.30851063829787234 3181 3652 3711
fi
finish
