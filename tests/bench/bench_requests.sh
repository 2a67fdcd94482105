#!/usr/bin/env bash
# What a whole run costs for each request of a server: plan, HTTP, scoring, a row in SQLite.
#
#   bench_requests.sh [N]      about N requests of 1 KB (default 20,000), not streamed, three times; then
#                              3 N and 6 N once, for the memory that grows with them
#
# `assay mock` answers at once on one core, `assay run` has the other to itself (taskset). Beside it, in
# the same run, lm-eval's client asks the same mock for 3,000 prompts of 1 KB, where AS_LMEVAL names its
# program; its cost is that of the whole process less that of a run over 10 prompts.
set -eu
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
assay=${AS_PROGRAM:-$top/build/release/assay}
n=${1:-20000}
work=$(mktemp -d)
trap 'kill $server 2>/dev/null || true; rm -rf "$work"' EXIT
export ASSAY_HOME=$work/home

taskset -c 1 "$assay" mock "$top/tests/fixtures/mock/plain.json" --port 0 >"$work/url" &
server=$!
for _ in $(seq 100); do [ -s "$work/url" ] && break; sleep 0.1; done
url=$(head -1 "$work/url")

TIMEFORMAT='%R %U %S'
ask() { # N NAME: about N requests; $t is what they took, $rows how many, $peak the most memory
  t=$({ time taskset -c 0 "$assay" run -q -m openai:m --base-url "$url" -M stream=off -t smoke_choice -f 3 \
        -k $(($1 / 24 + 1)) -j 64 --preflight off --db "$work/$2.db" --format json >"$work/out"; } 2>&1 | tail -1)
  rows=$(sqlite3 "$work/$2.db" 'SELECT count(*) FROM attempt')
  peak=$(grep -o '"peak_bytes":[0-9]*' "$work/out" | cut -d: -f2)
  rm -f "$work/$2.db"*
}
for round in 1 2 3; do
  ask "$n" $round
  awk -v r="$rows" -v t="$t" -v p="$peak" 'BEGIN { split(t, a, " ");
    printf "assay    %6d requests with a row each: %6.0f requests/s, %5.1f us of CPU each (whole process), peak %.1f MB\n",
      r, r / a[1], (a[2] + a[3]) / r * 1e6, p / 1e6 }'
done
# The store's caches are full by then (10 MB): what is left is what a request costs as such.
ask $((3 * n)) some
few=$rows:$peak
ask $((6 * n)) more
awk -v a="$few" -v r="$rows" -v p="$peak" 'BEGIN { split(a, f, ":");
  printf "assay    memory: %.1f MB at %d requests, %.1f MB at %d: %.0f bytes a request\n", f[2] / 1e6, f[1], p / 1e6, r, (p - f[2]) / (r - f[1]) }'
[ -n "${AS_LMEVAL:-}" ] || { echo "lm-eval  skipped: AS_LMEVAL does not name its program"; exit 0; }

python3 - "$work" <<'P'
import json, sys
w = sys.argv[1]
for name, n in (("few", 10), ("many", 3000)):
    with open(f"{w}/{name}.jsonl", "w") as f:
        for i in range(n):
            f.write(json.dumps({"question": f"{i} " + "word " * 200, "answer": "The answer is (B)."}) + "\n")
    with open(f"{w}/{name}.yaml", "w") as f:
        f.write(f"""task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {w}/{name}.jsonl}}}}
output_type: generate_until
test_split: test
num_fewshot: 0
doc_to_text: "Q: {{{{question}}}}\\nA:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 32, do_sample: false, temperature: 0.0}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
""")
P
export HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_HOME=$work/hf
cpu() {
  local t
  t=$({ time taskset -c 0 "$AS_LMEVAL" run --model local-completions \
        --model_args "model=m,base_url=$url/v1/completions,tokenizer_backend=none,tokenized_requests=False,num_concurrent=64,max_retries=1" \
        --tasks "$1" --include_path "$work" --output_path "$work/out-$1" --log_samples >"$work/log-$1" 2>&1; } 2>&1 | tail -1)
  awk -v t="$t" 'BEGIN { split(t, a, " "); print a[2] + a[3] }'
}
few=$(cpu few) many=$(cpu many)
awk -v f="$few" -v m="$many" 'BEGIN { printf "lm-eval    3000 requests: %7.1f us of CPU each beyond its start (start and end: %.1f s)\n", (m - f) / 2990 * 1e6, f }'
