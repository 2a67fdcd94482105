"""serve_logprobs.py URL - a stream's log-probabilities come with their pieces, and are those of the whole reply."""
import json, sys
from http_raw import call, check, events, finish

url = sys.argv[1]
ask = {"prompt": "some words", "max_tokens": 24, "temperature": 100, "seed": 1, "ignore_eos": True, "logprobs": 2}
whole = json.loads(call(url, "/v1/completions", ask)[2])["choices"][0]
got = {k: [] for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
text, n_with = "", 0
for e in events(call(url, "/v1/completions", ask | {"stream": True})[2])[:-1]:
    c = json.loads(e)["choices"][0]
    text += c["text"]
    n_with += c["logprobs"] is not None
    check(c["text"] == "" or c["logprobs"] is not None, f"a piece without: {c}")
    for k in got:
        got[k] += (c["logprobs"] or {}).get(k, [])
check(text == whole["text"], f"text {text!r}, whole {whole['text']!r}")
check(len(got["tokens"]) == 24 and n_with > 3, f"{len(got['tokens'])} tokens in {n_with} pieces")
for k in got:
    check(got[k] == whole["logprobs"][k], f"{k}: {got[k]}, whole {whole['logprobs'][k]}")
finish()
