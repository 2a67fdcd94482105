#!/usr/bin/env python3
"""Quantised files beside llama.cpp's own: the same source, every recipe, both quantisers.

    peer_quantize.py ASSAY SOURCE.gguf [--recipes "Q4_K_S …"] [--text FILE --text FILE …] [--keep FOLDER]
                     [--bytes]

AS_LLAMA_LIB names the folder with libllama*.so and libggml*.so (npm: @node-llama-cpp/linux-x64 3.22.1,
bins/linux-x64; llama.cpp v0.5.0). Needs the PyPI package gguf. SOURCE should be of F32, F16 or BF16;
another one is first taken to F32 by assay, and both sides start from that file. No importance matrix
on either side.

Of each recipe: tensors of equal type, tensors of equal bytes, and whether assay at float32 (--precision
f32) makes the same logits of both files; where bytes differ instead the perplexity of both on each text.
Exit code 1 if a type differs, or the logits of equal tensors, or if the perplexity of ours is more than
0.2 % above theirs on a text, or with --bytes if any byte of a tensor differs; 77 without the library.
"""
import argparse
import ctypes
import glob
import json
import os
import subprocess
import sys
import tempfile

FILE_TYPES = {"F16": 1, "BF16": 32, "Q8_0": 7, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9,
              "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15,
              "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25}


class Params(ctypes.Structure):
    """llama_model_quantize_params of llama.cpp v0.5.0."""
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output", ctypes.c_int),
                ("embedding", ctypes.c_int), ("allow_requantize", ctypes.c_bool),
                ("quantize_output", ctypes.c_bool), ("only_copy", ctypes.c_bool),
                ("pure", ctypes.c_bool), ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool),
                ("imatrix", ctypes.c_void_p), ("kv_overrides", ctypes.c_void_p),
                ("tt_overrides", ctypes.c_void_p), ("prune_layers", ctypes.c_void_p),
                ("max_buf_size", ctypes.c_size_t)]


def open_library():
    folder = os.environ.get("AS_LLAMA_LIB", "")
    found = sorted(glob.glob(f"{folder}/libllama.*so*")) if folder else []
    if not found:
        print("skipped: AS_LLAMA_LIB names no folder with libllama.so")
        sys.exit(77)
    lib = ctypes.CDLL(found[0])
    lib.llama_model_quantize_default_params.restype = Params
    lib.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
    quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
        lambda level, text, user: None)
    lib.llama_log_set(quiet, None)
    lib.keep = quiet
    lib.llama_backend_init()
    return lib


def quantize_theirs(lib, source, out, recipe):
    p = lib.llama_model_quantize_default_params()
    p.ftype = FILE_TYPES[recipe]
    p.nthread = 2
    if lib.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(p)) != 0:
        raise SystemExit(f"llama_model_quantize fails for {recipe}")


def tensors_of(path):
    """{name: (type, bytes)} by the gguf package."""
    from gguf import GGUFReader
    return {t.name: (t.tensor_type.name, t.data.tobytes()) for t in GGUFReader(path).tensors}


def perplexity(assay, path, text):
    done = subprocess.run([assay, "model", "perplexity", path, "--text", text, "--precision", "f32"],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def logits(assay, path):
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/ids.json", "w") as f:
            f.write("[2, 10, 20, 30, 40, 50, 60, 270, 288, 281, 17]")
        subprocess.run([assay, "model", "logits", path, "--ids", f"{folder}/ids.json", "--out",
                        f"{folder}/out.f32", "--precision", "f32"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(f"{folder}/out.f32", "rb") as f:
            return f.read()


def compare(assay, ours, theirs, texts, recipe, must_be_equal):
    a, b = tensors_of(ours), tensors_of(theirs)
    if set(a) != set(b):
        print(f"{recipe:7} tensors differ: {sorted(set(a) ^ set(b))[:5]}")
        return False
    types = [(n, a[n][0], b[n][0]) for n in a if a[n][0] != b[n][0]]
    differ = [n for n in a if a[n] != b[n]]
    line = f"{recipe:7} {len(a)} tensors, {len(types)} of other type, {len(differ)} of other bytes"
    good = not types and not (must_be_equal and differ)
    for n, mine, other in types[:4]:
        line += f"\n        {n}: {mine}, theirs {other}"
    if not differ and logits(assay, ours) != logits(assay, theirs):
        good, line = False, line + ", other logits"
    if differ:
        kinds = sorted({a[n][0] for n in differ})
        line += f" ({', '.join(kinds)})"
        for text in texts:
            mine, other = (perplexity(assay, p, text) for p in (ours, theirs))
            ratio = mine["perplexity"] / other["perplexity"]
            good &= ratio <= 1.002
            line += (f"\n        {os.path.basename(text)}: {mine['perplexity']:.4f}, theirs "
                     f"{other['perplexity']:.4f}, ratio {ratio:.5f}")
    print(line, flush=True)
    return good


def main():
    args = argparse.ArgumentParser()
    args.add_argument("assay")
    args.add_argument("source")
    args.add_argument("--recipes", default=" ".join(FILE_TYPES))
    args.add_argument("--text", action="append", default=[])
    args.add_argument("--keep")
    args.add_argument("--bytes", action="store_true")
    a = args.parse_args()
    assay = os.path.abspath(a.assay)
    lib = open_library()
    good = True
    with tempfile.TemporaryDirectory() as made:
        folder = a.keep or made
        source = f"{folder}/source-f32.gguf"
        if not os.path.exists(source):
            subprocess.run([assay, "model", "quantize", a.source, source, "F32"], check=True,
                           stdout=subprocess.DEVNULL)
        for recipe in a.recipes.split():
            ours, theirs = f"{folder}/{recipe}.ours.gguf", f"{folder}/{recipe}.theirs.gguf"
            if os.path.exists(ours):
                os.unlink(ours)
            subprocess.run([assay, "model", "quantize", source, ours, recipe], check=True,
                           stdout=subprocess.DEVNULL)
            if not os.path.exists(theirs):
                quantize_theirs(lib, source, theirs, recipe)
            good &= compare(assay, ours, theirs, a.text, recipe, a.bytes)
            if not a.keep:
                os.unlink(ours)
                os.unlink(theirs)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
