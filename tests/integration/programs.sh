#!/usr/bin/env bash
# Programs that models wrote, judged: the sample problems with recorded answers that show every
# verdict, cases from files, ratings.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
samples=$(dirname "${BASH_SOURCE[0]}")/../../datasets/samples

# Ratings of given outcomes need no sandbox.
printf '%s' '[{"standings":[[10,0,1500],[5,0,1300],[0,0,1000]],"score":7,"penalty":0},{"difficulty":[800,1200],"solved":[1,0]},
  {"difficulty":[800],"solved":[1]},{"difficulty":[],"solved":[]},{"standings":[],"score":1,"penalty":0}]' >"$work/cf.json"
assay rate codeforces --cases "$work/cf.json" >"$work/out" 2>"$work/err" || fail "rate codeforces: $(cat "$work/err")"
[ "$(grep -o '"rank":1' "$work/out" | wc -l)" = 1 ] && grep -q '"ml":1000' "$work/out" && grep -q '"ml":null' "$work/out" && grep -q '"ml_open":"above"' "$work/out" &&
  [ "$(grep -o '"error"' "$work/out" | wc -l)" = 2 ] || fail "rate codeforces: $(cat "$work/out")"
printf '%s' '[{"models":["a","b"],"battles":[{"a":"a","b":"b","outcome":1,"count":3},{"a":"b","b":"a","outcome":1,"count":1}]},
  {"models":["a","b"],"battles":[{"a":"a","b":"b","outcome":1,"count":3}]}]' >"$work/arena.json"
assay rate arena --cases "$work/arena.json" >"$work/out" 2>"$work/err" || fail "rate arena: $(cat "$work/err")"
grep -q '"unweighted":{"rating":\[1095.424' "$work/out" && grep -q 'no finite rating: a and b' "$work/out" || fail "rate arena: $(cat "$work/out")"
expect 2 'usage: assay rate arena --cases' assay rate arena
expect 2 'no database' assay rate last

# Problems come in whole, by name of their file.
assay data import livecodebench "$samples/livecodebench-12.jsonl" >"$work/out" 2>"$work/err" || fail "import: $(cat "$work/err")"
assay data import codeforces "$samples/codeforces-9.problems.jsonl" "$samples/codeforces-9.contests.jsonl" >"$work/out" 2>"$work/err" ||
  fail "import: $(cat "$work/err")"
assay data verify >"$work/out" || fail "data verify"
expect 2 'v6 is not here: save https://huggingface.co' assay run -m null: -t livecodebench
expect 2 'has no protocol "v9"' assay run -m null: -t livecodebench:v9
assay run -m null: -t livecodebench:own,codeforces --dry-run >"$work/out" 2>"$work/err" || fail "--dry-run: $(cat "$work/err")"
grep -q 'requests *84' "$work/out" || fail "--dry-run: $(head -3 "$work/out")"

# What follows runs programs.
printf '{"text":"```py\\nx\\n```"}\n{"encoded":"eJxrYJnKxgABPUzRsVP0ABkLAyg="}\n{"encoded":"AAAA"}\n{"x":1}\nnonsense\n' >"$work/cases.jsonl"
assay grade livecodebench --cases "$work/cases.jsonl" >"$work/out" 2>"$work/err" || fail "grade: $(cat "$work/err")"
grep -q '"code":"x"' "$work/out" && grep -q '"n_tests":0' "$work/out" && [ "$(grep -c '"error"' "$work/out")" = 3 ] || fail "grade: $(cat "$work/out")"
assay grade livecodebench --cases "$AS_FIXTURES/programs/lcb_judge_cases.jsonl" >"$work/judged" 2>"$work/err"
code=$?
if [ $code -ne 0 ]; then
  grep -qiE 'sandbox|namespace' "$work/err" || fail "grade: exit $code, $(cat "$work/err")"
  skip "programs: $(cat "$work/err")"
  [ $failures -eq 0 ] && exit 77
  finish
fi
sed -E 's/.*"official_result": (\[[^]]*\]).*"passed": (true|false).*/\2 \1/; s/, /,/g' "$AS_FIXTURES/programs/lcb_judge_cases.jsonl" >"$work/want"
sed -E 's/.*"passed":(true|false),"results":(\[[^]]*\]).*/\1 \2/' "$work/judged" >"$work/got"
cmp -s "$work/want" "$work/got" || fail "grade: $(diff "$work/want" "$work/got" | head -5)"

assay run -q -m "replay:$samples/livecodebench-12.answers.jsonl" -t livecodebench:own --format json >"$work/a.json" 2>"$work/err" || fail "run: $(cat "$work/err")"
grep -o '"anatomy":{[^}]*}' "$work/a.json" | grep -q '"right":6,"wrong":5,"truncated":0,"empty":0,"unparsed":1,"refused":0,"error":0,"ungraded":0' ||
  fail "livecodebench: $(grep -o '"anatomy":{[^}]*}' "$work/a.json")"
[ "$(number "$work/a.json" 'pass@1')" = 0.5 ] || fail "pass@1 is $(number "$work/a.json" 'pass@1')"
grep -q '"2025-02":{"n":5' "$work/a.json" && grep -q '"hard":{"n":3' "$work/a.json" || fail "groups: $(cat "$work/a.json")"
assay show last --samples >"$work/samples" || fail "show"
for want in accepted wrong_answer time_limit runtime_error; do grep -q "\"prediction\":\"$want\"" "$work/samples" || fail "no answer is $want"; done
assay show last own_lamps | grep -q '"results":\[-3\]' || fail "no results of single tests: $(assay show last own_lamps | grep results)"
assay score last --format json >"$work/b.json" 2>"$work/err" || fail "score: $(cat "$work/err")"
grep -q '0 verdicts or predictions changed' "$work/err" || fail "score: $(cat "$work/err")"

assay run -q -m "replay:$samples/codeforces-9.answers.jsonl" -t codeforces --format json >"$work/c.json" 2>"$work/err" || fail "run: $(cat "$work/err")"
assay show last --samples >"$work/samples" || fail "show"
for want in accepted wrong_answer time_limit memory_limit runtime_error compile_error; do
  grep -q "\"prediction\":\"$want\"" "$work/samples" || fail "no answer is $want"
done
assay rate last --format json >"$work/rate" 2>"$work/err" || fail "rate last: $(cat "$work/err")"
[ "$(number "$work/rate" rating)" = 2440 ] && [ "$(number "$work/c.json" rating)" = 2389.5 ] || fail "rating: $(cat "$work/rate")"
assay rate 1 last >"$work/out" 2>"$work/err" && fail "two runs without a common item were rated"
assay run -q -m "replay:$samples/livecodebench-12.answers.jsonl" -t livecodebench:own-script >"$work/out" 2>"$work/err" || fail "script: $(cat "$work/err")"
assay rate 1 last --format json >"$work/out" 2>"$work/err" || fail "rate 1 last: $(cat "$work/err")"
grep -q '"unweighted":{"rating":\[1000,1000\]' "$work/out" || fail "two equal runs: $(cat "$work/out")"
finish
