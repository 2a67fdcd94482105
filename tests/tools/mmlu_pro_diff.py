#!/usr/bin/env python3
"""Compares sc_mmlu_pro_find with Python's re, which the official programs use.

Usage, from the top folder:
    cc -shared -fPIC -O2 -D_DEFAULT_SOURCE -I. -Iharness -o /tmp/mmlu.so scorers/choice/*.c \
        scorers/think.c harness/base/str.c harness/base/utf8.c harness/base/arena.c harness/base/err.c
    python3 tests/tools/mmlu_pro_diff.py /tmp/mmlu.so [seconds] [responses.jsonl.gz ...]

Random texts are short, made of pieces that provoke each rule; recorded ones are cut and spliced too.
Prints the number of texts compared; stops at the first difference.
"""
import ctypes
import gzip
import json
import random
import re
import sys
import time


class Str(ctypes.Structure):
    _fields_ = [("p", ctypes.c_void_p), ("n", ctypes.c_size_t)]


class Letter(ctypes.Structure):
    _fields_ = [("rule", ctypes.c_int), ("text", Str)]


lib = ctypes.CDLL(sys.argv[1])
lib.sc_mmlu_pro_find.restype = Letter
lib.sc_mmlu_pro_find.argtypes = [Str]


def ours(data):
    buf = ctypes.create_string_buffer(data, len(data) + 1)
    found = lib.sc_mmlu_pro_find(Str(ctypes.addressof(buf), len(data)))
    return found.rule, chr(data[found.text.p - ctypes.addressof(buf)]) if found.rule else None


def official(text):
    # The three expressions define the protocol: TIGER-AI-Lab/MMLU-Pro, Apache-2.0.
    if m := re.search(r"answer is \(?([A-J])\)?", text):
        return 1, m.group(1)
    if m := re.search(r".*[aA]nswer:\s*([A-J])", text):
        return 2, m.group(1)
    if m := re.search(r"\b[A-J]\b(?!.*\b[A-J]\b)", text, re.DOTALL):
        return 3, m.group(0)
    return 0, None


PIECES = ["answer is ", "answer is (", "nswer:", "Answer:", "answer:", "aAnswer: ", "\n", "\r", " ",
          "\u00a0", "\x1c", "\x85", "\u2028", "\u3000", "\u200b", "A", "B", "I", "J", "K", "(C)", ")",
          "é", "中", "_", "7", "²", "①", "\u0301", "ⅷ", "½", "𝐀", "٣", "\x00", ".", "-", "answer is",
          "🙂", "D.", "E\n", "\u0e31", "\u05d0", "\ufffd"]


def check(data):
    want = official(data.decode("utf-8", "replace"))
    got = ours(data)
    if got != want:
        sys.exit(f"difference: {data!r}: ours {got}, re {want}")


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    recorded = []
    for path in sys.argv[3:]:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            recorded += [json.loads(line)["response"] for line in lines]
    n = 0
    for text in recorded:
        if len(text) < 4000:  # the originals are quadratic
            check(text.encode("utf-8", "surrogatepass"))
            n += 1
    rng = random.Random(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 14))).encode()
        if recorded and n % 4 == 0:
            text = rng.choice(recorded)[:1500]
            a = rng.randrange(len(text) + 1)
            data = text[a:a + 120].encode("utf-8", "surrogatepass") + data
        if n % 5 == 0 and data:
            i = rng.randrange(len(data))
            data = data[:i] + bytes([rng.randrange(256)]) + data[i + rng.randrange(2):]
        check(data)
        n += 1
    print(f"{n} texts, no difference")


main()
