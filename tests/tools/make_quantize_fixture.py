#!/usr/bin/env python3
"""Makes tests/fixtures/quantize: blocks of floats and what ggml_quantize_chunk makes of them.

    AS_LLAMA_LIB=FOLDER make_quantize_fixture.py OUT

FOLDER holds libggml-base.so (npm: @node-llama-cpp/linux-x64 3.22.1, bins/linux-x64; llama.cpp v0.5.0).
OUT/blocks.f32 are ROWS rows of 256 floats, OUT/TYPE.bin their bytes in each type, row after row, without
an importance matrix. Needs numpy. The rows are of many kinds, because a search differs where values
are tied, far apart, of one sign, or none.
"""
import ctypes
import os
import sys

import numpy as np

TYPES = {"q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_k": 10, "q3_k": 11, "q4_k": 12,
         "q5_k": 13, "q6_k": 14, "iq4_nl": 20}
WIDTH = 256


def rows():
    r = np.random.default_rng(20)
    n = WIDTH
    out = [r.normal(0, 0.02, n) for _ in range(4)]
    out.append(r.standard_t(3, n) * 0.01)                    # long tails
    out.append(r.laplace(0, 0.05, n))
    out.append(r.uniform(-1, 1, n))
    out.append(np.abs(r.normal(0, 0.3, n)))                  # all above zero
    out.append(-np.abs(r.normal(0, 0.3, n)) - 1)             # all below
    out.append(np.round(r.normal(0, 3, n)) / 8)              # many ties
    out.append(np.where(np.arange(n) % 16 < 8, 0, r.normal(0, 1, n)))   # half zeros
    spike = r.normal(0, 1e-3, n)
    spike[[7, 130]] = 4, -3
    out.append(spike)
    out.append(r.normal(0, 1, n) * 10.0 ** r.uniform(-4, 2, n))         # six decades
    out.append(np.repeat(r.normal(0, 1, n // 16), 16))       # constant sub-blocks
    out.append(np.where(np.arange(n) // 16 % 4 == 1, 0, r.normal(0, 1, n)))  # empty sub-blocks
    out.append(np.zeros(n))
    out.append(r.normal(0, 2e-7, n))                         # scales below the range of half floats
    out.append(r.normal(0, 9000, n).clip(-60000, 60000))
    return np.array(out, dtype="<f4")


def main():
    lib = ctypes.CDLL(os.environ["AS_LLAMA_LIB"] + "/libggml-base.so")
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                                        ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                                        ctypes.c_void_p]
    x = np.ascontiguousarray(rows())
    x.tofile(f"{sys.argv[1]}/blocks.f32")
    for name, number in TYPES.items():
        out = np.zeros(x.nbytes, dtype=np.uint8)
        n = lib.ggml_quantize_chunk(number, x.ctypes.data, out.ctypes.data, 0, len(x), WIDTH, None)
        out[:n].tofile(f"{sys.argv[1]}/{name}.bin")


if __name__ == "__main__":
    main()
