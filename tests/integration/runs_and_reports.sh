#!/usr/bin/env bash
# A whole run as a user sees it: limits, repeats, retries, dry runs, listings, reports.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

run_json() { assay run -q --format json "$@" 2>"$work/err"; }

run_json -m null: -t smoke_choice >"$work/a.json" || fail "smoke: $(cat "$work/err")"
[ "$(number "$work/a.json" n)" = 24 ] || fail "smoke_choice has $(number "$work/a.json" n) answers, want 24"
run_json -m null: -t smoke_choice -L 5 >"$work/b.json" && [ "$(number "$work/b.json" n)" = 5 ] || fail "--limit 5"
run_json -m null: -t smoke_choice -L 0.25 >"$work/b.json" && [ "$(number "$work/b.json" n)" = 6 ] || fail "--limit 0.25"
run_json -m null: -t smoke_choice -L 3-4 -k 3 >"$work/b.json" && [ "$(number "$work/b.json" n)" = 6 ] || fail "--limit 3-4 -k 3"
run_json -m null: -t smoke_choice --sample_id c02,c03 >"$work/b.json" && [ "$(number "$work/b.json" n)" = 2 ] || fail "--sample_id"
printf '{"model":"null:","tasks":["smoke_choice"],"limit":"5","seed":3,"quiet":true}' >"$work/config.json"
assay run --config "$work/config.json" --limit 4 --format json >"$work/b.json" 2>"$work/err" &&
  [ "$(number "$work/b.json" n)" = 4 ] || fail "--config: $(cat "$work/err")"

# Answers do not depend on how many are in flight; they do on the seed of the script.
run_json -m null: -t smoke_choice -j 1 --new-run >"$work/c.json" || fail "-j 1"
[ "$(number "$work/a.json" score)" = "$(number "$work/c.json" score)" ] || fail "-j changes the score"
[ "$(number "$work/a.json" run)" != "$(number "$work/c.json" run)" ] || fail "--new-run made no new run"

# The engine's answers neither: shared prefixes, batches and threads are its own business.
model=$(ls "$AS_FIXTURES"/engine/*/model.gguf 2>/dev/null | head -1)
if [ -n "$model" ]; then
  for j in 1 5; do
    assay run -q -m "$model" -t smoke_choice -L 8 --max-tokens 16 --temperature 1 -j $j --threads $(((j + 1) / 3 + 1)) --db "$work/j$j.db" \
      >/dev/null 2>"$work/err" || fail "engine -j $j: $(cat "$work/err")"
    assay show last --samples --text --db "$work/j$j.db" | sed -E 's/"seconds":[^,}]*//' >"$work/j$j.jsonl"
  done
  [ "$(wc -l <"$work/j1.jsonl")" -eq 8 ] || fail "engine: $(wc -l <"$work/j1.jsonl") answers, want 8"
  cmp -s "$work/j1.jsonl" "$work/j5.jsonl" || fail "the engine's answers depend on -j"
else
  skip "the engine's answers for several -j: no tiny model among the fixtures"
fi

# Passing faults are retried, lasting ones are errors and not wrong answers.
printf '{"default":{"text":"The answer is (A).","error":"rate","fail_tries":2,"retry_after_ms":1}}' >"$work/s.json"
run_json -m "null:$work/s.json" -t smoke_choice --retry-ms 1 >"$work/d.json" || fail "retries: $(cat "$work/err")"
[ "$(number "$work/d.json" error)" = 0 ] || fail "retried requests count as errors"
printf '{"default":{"text":"The answer is (A)."},"items":{"c01":{"error":"request"},"c02":{"text":""},"c03":{"text":"Hm","finish":"length"},
  "c04":{"text":"","finish":"length"},"c05":{"finish":"blocked","text":""},"c06":{"text":"no idea"}}}' >"$work/s.json"
run_json -m "null:$work/s.json" -t smoke_choice >"$work/e.json"
[ $? -eq 3 ] || fail "a run with failed requests must exit 3"
for want in 'error":1' 'empty":1' 'truncated":2' 'refused":1' 'unparsed":1'; do
  grep -o '"anatomy":{[^}]*}' "$work/e.json" | grep -q "$want" || fail "anatomy: no $want in $(grep -o '"anatomy":{[^}]*}' "$work/e.json")"
done
run_json -m "null:$work/s.json" -t smoke_choice --fail-on-error 0.1 >/dev/null || fail "--fail-on-error 0.1 with 1 of 24"

# Nothing is asked by a dry run.
assay run -m null: -t smoke --dry-run --db "$work/dry.db" >"$work/out" 2>"$work/err" || fail "--dry-run: $(cat "$work/err")"
grep -q 'requests *34' "$work/out" || fail "--dry-run: $(head -3 "$work/out")"
[ ! -e "$work/dry.db" ] || fail "--dry-run made a database"

# Listings and reports.
assay ls >"$work/out" || fail "ls"
[ "$(grep -c null "$work/out")" -ge 8 ] || fail "ls shows $(grep -c null "$work/out") runs"
assay ls suites | grep -q 'mmlu_pro:official' || fail "ls suites"
assay show last c01 >"$work/out" || fail "show last c01"
assay show "$(number "$work/a.json" run)" c02 | grep -q 'The answer is' || fail "show RUN c02 shows no answer"
assay report last "$(number "$work/a.json" run)" -o "$work/report" >"$work/files" 2>"$work/err" || fail "report: $(cat "$work/err")"
while read -r file; do [ -s "$file" ] || fail "report: $file is missing or empty"; done <"$work/files"
grep -q 'report.md' "$work/files" || fail "report: no report.md"
if command -v gnuplot >/dev/null; then
  grep -q '\.png$' "$work/files" && grep -q '\.svg$' "$work/files" || fail "report: no pictures"
else
  skip "pictures: gnuplot is not here"
fi
assay db check >"$work/out" || fail "db check: $(cat "$work/out")"
finish
