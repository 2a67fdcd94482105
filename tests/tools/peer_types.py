#!/usr/bin/env python3
"""Types that recipes choose in the shapes of the released models, beside llama.cpp's own quantiser.

    peer_types.py ASSAY [--only NAME] [--recipes "Q4_K_M …"] [--table FILE]

The rules ask for the number and place of layers, value projections, query heads to a key head, experts,
and the length of rows, never for width. So models of random weights with the true layers and heads,
but narrow rows, answer for the large ones. Types and bytes of every tensor are compared as in peer_quantize.py
(AS_LLAMA_LIB and packages as there). --table writes llama.cpp's types, one line per model, recipe and kind
of tensor with a character per layer (F f32, H f16, B bf16, else the code in CODES): the
fixture of test_quantize, tests/fixtures/quantize/types.txt.
Exit code 1 if a type or a byte differs, 77 without the library.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np

import make_tiny_folder
import peer_quantize

PIECES, WIDTH = 300, 256
CODES = {"F32": "F", "F16": "H", "BF16": "B", "Q4_0": "a", "Q4_1": "b", "Q5_0": "c", "Q5_1": "d",
         "Q8_0": "8", "Q2_K": "2", "Q3_K": "3", "Q4_K": "4", "Q5_K": "5", "Q6_K": "6", "IQ4_NL": "n"}

# layers, one full layer in so many, query heads, key heads (sliding, full), and what else is special
SHAPES = {
    "gemma3-1b": (26, 6, 4, 1, 1, {"gemma3": True}),
    "gemma3-4b": (34, 6, 8, 4, 4, {"gemma3": True}),
    "gemma3-12b": (48, 6, 16, 8, 8, {"gemma3": True}),
    "gemma3-27b": (62, 6, 32, 16, 16, {"gemma3": True}),
    "e2b": (35, 5, 8, 1, 1, {"ple": 256, "shared": 20}),
    "e2b-dead": (35, 5, 8, 1, 1, {"ple": 256, "shared": 20, "dead": True}),
    "e4b": (42, 6, 8, 2, 2, {"ple": 256, "shared": 18}),
    "12b": (48, 6, 16, 8, 1, {"k_eq_v": True}),
    "31b": (60, 6, 32, 16, 4, {"k_eq_v": True}),
    "26b-a4b": (30, 6, 16, 8, 2, {"k_eq_v": True, "experts": 128, "expert_ff": 32}),
    "8-experts": (12, 6, 16, 8, 2, {"k_eq_v": True, "experts": 8, "expert_ff": 256}),
}


def config(shape):
    layers, period, heads, kv, kv_full, more = shape
    head = max(8, WIDTH // heads)
    kinds = ["full_attention" if (i + 1) % period == 0 else "sliding_attention"
             for i in range(layers)]
    if not more.get("gemma3"):
        kinds[-1] = "full_attention"
    c = dict(make_tiny_folder.CONFIG, num_hidden_layers=layers, hidden_size=WIDTH,
             num_attention_heads=heads, num_key_value_heads=kv, head_dim=head,
             global_head_dim=2 * head, intermediate_size=WIDTH, vocab_size=PIECES,
             layer_types=kinds, hidden_size_per_layer_input=more.get("ple", 0),
             num_kv_shared_layers=more.get("shared", 0))
    if more.get("gemma3"):
        c.update(model_type="gemma3_text", global_head_dim=head, final_logit_softcapping=None,
                 query_pre_attn_scalar=head, rope_parameters={
                     "full_attention": {"rope_type": "default", "rope_theta": 1e6},
                     "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}})
    if more.get("k_eq_v"):
        c.update(attention_k_eq_v=True, num_global_key_value_heads=kv_full)
    if more.get("experts"):
        c.update(enable_moe_block=True, num_experts=more["experts"], top_k_experts=2,
                 moe_intermediate_size=more["expert_ff"])
    return c


def layer_tensors(c, i, more):
    heads = c["num_attention_heads"]
    full = c["layer_types"][i] == "full_attention"
    dim = c["global_head_dim"] if full else c["head_dim"]
    k_eq_v = full and c.get("attention_k_eq_v", False)
    kv = c["num_global_key_value_heads"] if k_eq_v else c["num_key_value_heads"]
    yield "self_attn.q_proj.weight", [heads * dim, WIDTH]
    yield "self_attn.o_proj.weight", [WIDTH, heads * dim]
    yield "self_attn.q_norm.weight", [dim]
    if more.get("dead") or i < c["num_hidden_layers"] - c["num_kv_shared_layers"]:
        yield "self_attn.k_proj.weight", [kv * dim, WIDTH]
        yield "self_attn.k_norm.weight", [dim]
        if not k_eq_v:
            yield "self_attn.v_proj.weight", [kv * dim, WIDTH]
    for name in ("gate_proj", "up_proj", "down_proj"):
        yield f"mlp.{name}.weight", [WIDTH, WIDTH]
    for name in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
        yield f"{name}_layernorm.weight", [WIDTH]
    if not more.get("gemma3"):
        yield "layer_scalar", [1]
    if c["hidden_size_per_layer_input"]:
        ple = c["hidden_size_per_layer_input"]
        yield "per_layer_input_gate.weight", [ple, WIDTH]
        yield "per_layer_projection.weight", [WIDTH, ple]
        yield "post_per_layer_input_norm.weight", [WIDTH]
    if more.get("experts"):
        n, ff = more["experts"], more["expert_ff"]
        yield "experts.gate_up_proj", [n, 2 * ff, WIDTH]
        yield "experts.down_proj", [n, WIDTH, ff]
        yield "router.proj.weight", [n, WIDTH]
        yield "router.scale", [WIDTH]
        yield "router.per_expert_scale", [n]
        for name in ("post_feedforward_layernorm_1", "post_feedforward_layernorm_2",
                     "pre_feedforward_layernorm_2"):
            yield f"{name}.weight", [WIDTH]


def tensors(c, more):
    layers, ple = c["num_hidden_layers"], c["hidden_size_per_layer_input"]
    yield "model.embed_tokens.weight", [PIECES, WIDTH]
    yield "model.norm.weight", [WIDTH]
    if ple:
        yield "model.embed_tokens_per_layer.weight", [PIECES, ple * layers]
        yield "model.per_layer_model_projection.weight", [ple * layers, WIDTH]
        yield "model.per_layer_projection_norm.weight", [ple]
    for i in range(layers):
        for name, shape in layer_tensors(c, i, more):
            yield f"model.layers.{i}.{name}", shape


def write_folder(folder, shape):
    c = config(shape)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, dims in tensors(c, shape[5]):
        n = 4 * int(np.prod(dims))
        header[name] = {"dtype": "F32", "shape": dims, "data_offsets": [at, at + n]}
        at += n
    text = json.dumps(header).encode()
    random = np.random.default_rng(1)
    with open(f"{folder}/model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name, dims in tensors(c, shape[5]):
            f.write(random.standard_normal(dims, dtype=np.float32).tobytes())
    for name, tree in (("config.json", c), ("tokenizer.json", make_tiny_folder.tokenizer())):
        with open(f"{folder}/{name}", "w") as f:
            json.dump(tree, f)


def table_of(name, recipe, path):
    """One line per kind of tensor: its types layer by layer, "-" where a layer has none."""
    kinds, layers = {}, SHAPES[name][0]
    for tensor, (kind, _) in peer_quantize.tensors_of(path).items():
        parts = tensor.split(".")
        where, i = (".".join(["blk", *parts[2:]]), int(parts[1])) if parts[0] == "blk" else (tensor, 0)
        row = kinds.setdefault(where, ["-"] * (layers if parts[0] == "blk" else 1))
        row[i] = CODES[kind]
    return [f"{name} {recipe} {where} {''.join(row)}\n" for where, row in sorted(kinds.items())
            if set(row) - {"F", "-"}]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("assay")
    args.add_argument("--only")
    args.add_argument("--recipes", default=" ".join(peer_quantize.FILE_TYPES))
    args.add_argument("--table")
    a = args.parse_args()
    assay, lib, good, table = os.path.abspath(a.assay), peer_quantize.open_library(), True, []
    for name, shape in SHAPES.items():
        if a.only and name != a.only:
            continue
        print(f"-- {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            write_folder(folder, shape)
            source, ours, theirs = (f"{folder}/{x}.gguf" for x in ("source", "ours", "theirs"))
            subprocess.run([assay, "model", "quantize", folder, source, "F32"], check=True,
                           stdout=subprocess.DEVNULL)
            for recipe in a.recipes.split():
                subprocess.run([assay, "model", "quantize", source, ours, recipe], check=True,
                               stdout=subprocess.DEVNULL)
                peer_quantize.quantize_theirs(lib, source, theirs, recipe)
                good &= peer_quantize.compare(assay, ours, theirs, [], recipe, True)
                table += table_of(name, recipe, theirs)
                os.unlink(ours)
                os.unlink(theirs)
    if a.table:
        with open(a.table, "w") as f:
            f.writelines(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
