#!/usr/bin/env python3
"""Makes tests/fixtures/mmlu_pro from recorded MMLU-Pro answers.

Usage: tests/tools/make_mmlu_fixture.py REPLAY-FOLDER OUT-FOLDER

Takes about 400 answers of two models, spread over all subjects and over the rules of the official
extraction, shortens none of them, and writes the letters that the official expressions read. The
sums are computed here with CPython's random, independently of the C code: compute_accuracy.py's
random letters, and evaluate_from_local.py's save_res.
"""
import gzip
import json
import pathlib
import random
import sys

replay, out = map(pathlib.Path, sys.argv[1:3])
MODELS = {"gemma-7b": 7, "qwen1.5-7b-chat": 8}  # answers per subject and model, at least
MAX_CHARS = 700


def read(name):
    with gzip.open(replay / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def choose(model, n_each):
    rows = []
    for answer, letters in zip(read(f"mmlu_pro_responses_{model}.jsonl.gz"),
                               read(f"mmlu_pro_letters_{model}.jsonl.gz")):
        assert answer["question_id"] == letters["question_id"]
        if len(answer["response"]) <= MAX_CHARS:
            rows.append({
                "id": f"{model}-{answer['question_id']}", "category": answer["category"],
                "answer": answer["answer"], "n_options": answer["n_options"],
                "response": answer["response"], "level1": letters["level1"],
                "level2": letters["level2"], "rule": letters["rule"]})
    rng = random.Random(7)
    picked = set()
    for subject in sorted({r["category"] for r in rows}):
        for rule in (0, 1, 2, 3):
            at = [i for i, r in enumerate(rows) if r["category"] == subject and r["rule"] == rule]
            picked.update(rng.sample(at, min(len(at), n_each if rule == 1 else 3)))
    return [rows[i] for i in sorted(picked)]


def sums(rows):
    def share(right):
        return right / len(rows)

    rng = random.Random(12345)
    result = {"n": len(rows)}
    for level in ("level1", "level2"):
        right = guessed = 0
        for r in rows:
            right += r[level] == r["answer"]
            guessed += (r[level] or rng.choice("ABCDEFGHIJ")) == r["answer"]
        result[level] = share(right)
        result[level + "_random"] = share(guessed)
    rng = random.Random(12345)
    total, groups = 0, {}
    for subject in sorted({r["category"] for r in rows}):
        mine = [r for r in rows if r["category"] == subject]
        for _ in range(2):
            right = 0
            for r in mine:
                if r["level2"] is None:
                    right += rng.randint(0, r["n_options"] - 1) == ord(r["answer"]) - ord("A")
                else:
                    right += r["level2"] == r["answer"]
        total += right
        groups[subject] = {"n": len(mine), "save_res_right": right,
                           "level2_right": sum(r["level2"] == r["answer"] for r in mine)}
    result["save_res_right"] = total
    result["groups"] = groups
    return result


answers = [row for model, n in MODELS.items() for row in choose(model, n)]
out.mkdir(parents=True, exist_ok=True)
body = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in answers)
with open(out / "answers.jsonl.gz", "wb") as raw, \
        gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
    packed.write(body.encode("utf-8"))
(out / "expected.json").write_text(json.dumps(sums(answers), indent=1) + "\n")
counts = {rule: sum(r["rule"] == rule for r in answers) for rule in (0, 1, 2, 3)}
print(len(answers), "answers; by rule:", counts)
