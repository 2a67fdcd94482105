#!/usr/bin/env python3
"""Runs llama.cpp's server out of the PyPI package xllamacpp, for tests.

Usage: serve_llamacpp.py MODEL.gguf PORT CONTEXT [KEY]

Prints "ready ADDRESS" when the model is loaded; health answers 503 before. Ends when its standard
input does.
"""
import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[2])
params.n_ctx = int(sys.argv[3])
if len(sys.argv) > 4:
    params.api_keys = [sys.argv[4]]
params.n_parallel = 1
params.n_gpu_layers = 0
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more spin against whatever else runs
params.endpoint_metrics = params.endpoint_slots = True
params.use_jinja = True
server = xllamacpp.Server(params)
print("ready", server.listening_address, flush=True)
sys.stdin.read()
