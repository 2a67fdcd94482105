"""serve_scores.py URL GOLD PROGRAM MODEL - echoed log-probabilities: the golden ones', the engine's own."""
import json, subprocess, sys
from http_raw import *

url, gold, program, model = sys.argv[1:5]
items = [json.loads(line) for line in open(gold)]
lines = [json.dumps({"ids": d["context_ids"], "continuation_ids": o["ids"]})
         for d in items for o in d["options"]]
out = subprocess.run([program, "loglikelihood", "-m", model, "-M", "precision=f32"], input="\n".join(lines),
                     text=True, capture_output=True, check=True).stdout
own = [json.loads(x) for x in out.splitlines()]
n, worst_gold, worst_own = 0, 0.0, 0.0
for d in items:
    ctx = d["context_ids"]
    r = get_json(url, "/v1/completions", {"prompt": [ctx + o["ids"] for o in d["options"]], "echo": True,
                                          "logprobs": 1, "max_tokens": 1, "temperature": 0})
    for o, c in zip(d["options"], r["choices"]):
        total = sum(c["logprobs"]["token_logprobs"][len(ctx):-1])
        worst_gold = max(worst_gold, abs(total - o["f32"]["sum"]))
        mine = own[n]["sum"]
        worst_own = max(worst_own, abs(total - mine))
        n += 1
print(f"{n} options: from the golden sums {worst_gold:.2e}, from the engine's own {worst_own:.2e}")
check(n > 10 and worst_gold < 5e-4, "golden sums")
check(worst_own < 1e-6, "the engine's own sums")
finish()
