#!/usr/bin/env python3
"""CPU of grading a LiveCodeBench sample of 15 trivial tests: assay against upstream's own checker.

    bench_livecodebench.py ASSAY [SAMPLES]     with LCB=<a checkout of LiveCodeBench/LiveCodeBench> in the
                                               environment, numpy and tqdm installed; without LCB ours alone

All processes are counted, assay's start and its interpreter's included. Three rounds, taken in turn.
"""
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

TESTS = 15
assay = sys.argv[1]
samples = int(sys.argv[2]) if len(sys.argv) > 2 else 300


def case(i):
    ins = [f"{i * t} {t}\n" for t in range(1, TESTS + 1)]
    outs = [f"{i * t + t}\n" for t in range(1, TESTS + 1)]
    code = f"a, b = map(int, input().split())\nprint(a + b)\n# {i}\n"
    return {"name": f"c{i}", "code": code, "inputs": ins, "outputs": outs, "fn_name": None, "timeout": 6}


def cpu():
    a, b = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return a.ru_utime + a.ru_stime + b.ru_utime + b.ru_stime


def ours(cases, path):
    out = subprocess.run([assay, "grade", "livecodebench", "--cases", path], capture_output=True, text=True, check=True)
    return sum(json.loads(line)["passed"] for line in out.stdout.splitlines())


def theirs(cases, path):
    from lcb_runner.evaluation.compute_code_generation_metrics import check_correctness
    n = 0
    for c in cases:
        io = json.dumps({"inputs": c["inputs"], "outputs": c["outputs"], "fn_name": None})
        results, _ = check_correctness({"input_output": io}, c["code"], 6, debug=False)
        n += all(r is True or r == 1 for r in results)
    return n


cases = [case(i) for i in range(samples)]
graders = [("assay", ours)]
if os.environ.get("LCB"):
    sys.path.insert(0, os.environ["LCB"])
    graders.append(("upstream", theirs))
with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
    f.write("".join(json.dumps(c) + "\n" for c in cases))
    f.flush()
    for _ in range(3):
        for name, grade in graders:
            before, begun = cpu(), time.time()
            right = grade(cases, f.name)
            print(f"{name:9} {right} of {samples} right, {(cpu() - before) / samples * 1e3:6.2f} ms of CPU a sample, "
                  f"{(time.time() - begun) / samples * 1e3:6.2f} ms of time")
