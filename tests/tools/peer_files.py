#!/usr/bin/env python3
"""Files that assay writes, read by llama.cpp (PyPI: xllamacpp, numpy).

    peer_files.py ASSAY [MODEL.gguf]

Takes the five folders of golden/text (under AS_SHARED): their model.gguf, what assay converts the folder
to, and that in every recipe; with MODEL also that model in every recipe. llama.cpp's server loads each
file, and the log-probabilities of the next token behind a few prompts are compared with assay's.

llama.cpp gets F32 caches and no flash attention, else its half-precision keys and values alone move
random models by up to 0.1, and routers with them.

Limits     0.1, because llama.cpp takes GELU from a half-precision table: seen is up to 0.06, and an engine that does
           the same comes within 0.015 of it. In products with other formats than F32 and F16 it also
           rounds what enters them: to BF16, to 8 bits per 32 elements, to 8 bits per 256 before K
           formats, and random weights pass that on undamped. So of each such file two things are asked:
           that it loads and differs by less than SHARE of the spread of the log-probabilities (rms, the
           median prompt; uncorrelated numbers give 1.4), and that the same numbers widened to F32,
           where nothing but the weights is rounded, give llama.cpp within 0.1 what assay makes of the
           packed file.
Routers    in "moe" the choice of experts tips over between two nearly equal ones, from the noise of GELU
           alone. TIPPED prompts of a file may; they are named.
Exit code 1 if a file does not load or differs.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np

RECIPES = ("F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S "
           "Q5_K_M Q6_K IQ4_NL").split()
GOLDEN = "dense moe e2b e4b gemma3".split()
EXACT = "F32 F16".split()
SHARE = 0.4
TIPPED = 2
PORT = 18471

SERVE = """
import sys, time, xllamacpp as x
p = x.CommonParams()
p.model.path = sys.argv[1]; p.n_ctx = 512; p.n_parallel = 1; p.n_gpu_layers = 0
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 2
p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
p.hostnames = ["127.0.0.1"]; p.port = int(sys.argv[2]); p.use_jinja = False
s = x.Server(p); print("ready", flush=True)
while True: time.sleep(3600)
"""


def peer_logprobs(path, prompts, n_vocab):
    """[len(prompts)] dictionaries of id to log-probability, or None if the file does not load."""
    server = subprocess.Popen([sys.executable, "-c", SERVE, path, str(PORT)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        if server.stdout.readline().strip() != "ready":
            return None
        out = []
        for ids in prompts:
            body = {"prompt": ids, "n_predict": 1, "n_probs": n_vocab, "temperature": 0.0,
                    "cache_prompt": False}
            request = urllib.request.Request(f"http://127.0.0.1:{PORT}/completion",
                                             json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            reply = json.load(urllib.request.urlopen(request, timeout=120))
            # nothing is told of a prompt that the peer ends at once
            told = reply.get("completion_probabilities") or [{"top_logprobs": []}]
            out.append({t["id"]: t["logprob"] for t in told[0]["top_logprobs"]})
        return out
    finally:
        server.kill()
        server.wait()
        time.sleep(0.2)


def our_logprobs(assay, path, prompts, folder):
    out = []
    for ids in prompts:
        with open(f"{folder}/ids.json", "w") as f:
            json.dump(ids, f)
        subprocess.run([assay, "model", "logits", path, "--ids", f"{folder}/ids.json", "--out",
                        f"{folder}/out.f32", "--precision", "f32"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        last = np.fromfile(f"{folder}/out.f32", dtype="<f4").reshape(len(ids), -1)[-1].astype(float)
        out.append(last - last.max() - np.log(np.exp(last - last.max()).sum()))
    return out


def compare(assay, path, prompts, folder, limit, share=None, has_routers=False, packed=None):
    """Compares what either side finds likely: differences of very unlikely ids say little. packed: the
    file that assay reads, with the same numbers as path."""
    theirs = peer_logprobs(path, prompts, 512)
    if theirs is None:
        print(f"{os.path.basename(path):24} llama.cpp does not load it")
        return False
    worst, parts = [], []
    for t, o in zip(theirs, our_logprobs(assay, packed or path, prompts, folder)):
        likely = [i for i in t if o[i] > -10]
        if len(likely) < 2:
            continue  # nothing is told of a prompt that the peer ends at once
        d = np.array([t[i] - o[i] for i in likely])
        worst.append(np.abs(d).max())
        parts.append(np.sqrt(np.mean(d * d)) / np.std([o[i] for i in likely]))
    far = [n for n, w in enumerate(worst) if limit is not None and w > limit]
    good = len(worst) > 0 and len(far) <= (TIPPED if has_routers else 0)
    good &= share is None or np.median(parts) <= share
    tipped = f", tipped over: prompts {far}" if far and good else "" if good else "   TOO FAR"
    print(f"{os.path.basename(path):16} {len(worst):2} prompts, largest difference {max(worst):.4f} "
          f"(median {np.median(worst):.4f}), rms of the spread {max(parts):.4f} "
          f"(median {np.median(parts):.4f}){tipped}", flush=True)
    return good


def golden(assay, source, folder):
    cases = json.load(open(f"{source}/cases.json"))
    prompts = [c["ids"][:n] for c in cases[:4] for n in (9, 40, 100)
               if c.get("first_position", 0) == 0]
    name = os.path.basename(source)
    print(f"-- {name}", flush=True)
    moe = name == "moe"
    good = compare(assay, f"{source}/model.gguf", prompts, folder, 0.1, has_routers=moe)
    whole = f"{folder}/{name}.gguf"
    subprocess.run([assay, "model", "convert", source, whole], check=True,
                   stdout=subprocess.DEVNULL)
    good &= compare(assay, whole, prompts, folder, 0.1, has_routers=moe)
    for recipe in RECIPES:
        out, wide = f"{folder}/{recipe}.gguf", f"{folder}/{recipe}-wide.gguf"
        for source, made, to in ((whole, out, recipe), (out, wide, "F32")):
            subprocess.run([assay, "model", "quantize", source, made, to], check=True,
                           stdout=subprocess.DEVNULL)
        if recipe in EXACT:
            good &= compare(assay, out, prompts, folder, 0.1, has_routers=moe)
        else:
            good &= compare(assay, out, prompts, folder, None, 2 * SHARE if moe else SHARE)
            good &= compare(assay, wide, prompts, folder, 0.1, has_routers=moe, packed=out)
        os.unlink(out)
        os.unlink(wide)
    return good


def main():
    assay = os.path.abspath(sys.argv[1])
    shared = os.environ.get("AS_SHARED")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name in GOLDEN if shared else []:
            good &= golden(assay, f"{shared}/golden/text/{name}", folder)
        if len(sys.argv) > 2:
            prompts = [[2, 818, 5279, 529, 7001, 563], [2, 9259, 1902], [2, 236743, 236812, 47041]]
            for recipe in RECIPES:
                out = f"{folder}/{recipe}.gguf"
                subprocess.run([assay, "model", "quantize", sys.argv[2], out, recipe], check=True,
                               stdout=subprocess.DEVNULL)
                good &= compare(assay, out, prompts, folder, None)
                os.unlink(out)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
