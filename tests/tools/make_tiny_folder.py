#!/usr/bin/env python3
"""Makes tests/fixtures/engine/folder: a Gemma 4 of random weights as Hugging Face stores models.

    make_tiny_folder.py OUT

Two layers (sliding, full), width 32, feed-forward 256 (so that the K formats have rows they can take),
per-layer embeddings of 32, 300 pieces, BF16, two shards. Needs nothing but Python; the numbers come
from a generator of our own, so the files are the same everywhere.
"""
import json
import struct
import sys

PIECES, WIDTH, HEAD, FF, LAYERS = 300, 32, 32, 256, 2


def tensors():
    yield "model.embed_tokens.weight", [PIECES, WIDTH]
    yield "model.norm.weight", [WIDTH]
    yield "model.embed_tokens_per_layer.weight", [PIECES, 32 * LAYERS]
    yield "model.per_layer_model_projection.weight", [32 * LAYERS, WIDTH]
    yield "model.per_layer_projection_norm.weight", [32]
    for i in range(LAYERS):
        for name, shape in (
                ("input_layernorm.weight", [WIDTH]), ("post_attention_layernorm.weight", [WIDTH]),
                ("pre_feedforward_layernorm.weight", [WIDTH]),
                ("post_feedforward_layernorm.weight", [WIDTH]),
                ("self_attn.q_proj.weight", [2 * HEAD, WIDTH]),
                ("self_attn.k_proj.weight", [HEAD, WIDTH]),
                ("self_attn.v_proj.weight", [HEAD, WIDTH]),
                ("self_attn.o_proj.weight", [WIDTH, 2 * HEAD]),
                ("self_attn.q_norm.weight", [HEAD]), ("self_attn.k_norm.weight", [HEAD]),
                ("mlp.gate_proj.weight", [FF, WIDTH]), ("mlp.up_proj.weight", [FF, WIDTH]),
                ("mlp.down_proj.weight", [WIDTH, FF]), ("layer_scalar", [1]),
                ("per_layer_input_gate.weight", [32, WIDTH]),
                ("per_layer_projection.weight", [WIDTH, 32]),
                ("post_per_layer_input_norm.weight", [WIDTH])):
            yield f"model.layers.{i}.{name}", shape


CONFIG = {
    "model_type": "gemma4_text", "num_hidden_layers": LAYERS, "hidden_size": WIDTH,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": HEAD, "global_head_dim": HEAD,
    "intermediate_size": FF, "sliding_window": 8, "max_position_embeddings": 1024,
    "vocab_size": PIECES, "rms_norm_eps": 1e-6, "final_logit_softcapping": 30.0,
    "hidden_size_per_layer_input": 32, "num_kv_shared_layers": 0, "bos_token_id": 2,
    "eos_token_id": [1, 4], "layer_types": ["sliding_attention", "full_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "proportional", "rope_theta": 1000000.0,
                           "partial_rotary_factor": 0.25},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}

SPACE = "\u2581"


def tokenizer():
    markup = ["<pad>", "<eos>", "<bos>", "<unk>", "<turn|>"]
    pieces = markup + [f"<0x{i:02X}>" for i in range(256)] + [chr(c) for c in range(97, 118)]
    pieces += [SPACE, "\n", "th", "the", SPACE + "th", SPACE + "the", "ab", "\n\n"]
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": m, "special": True} for i, m in enumerate(markup)],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True,
                  "vocab": {p: i for i, p in enumerate(pieces)},
                  "merges": [["\n", "\n"], ["t", "h"], ["th", "e"], [SPACE, "th"],
                             [SPACE + "th", "e"], [SPACE, "the"], ["a", "b"]]}}


def numbers(name, n, is_vector):
    state = 0xCBF29CE484222325
    for c in name.encode():
        state = (state ^ c) * 0x100000001B3 % 2**64
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        u = ((state >> 40) - 2**23) / 2**23
        yield 1 + 0.25 * u if is_vector else 0.25 * u


def write_shard(path, part):
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()
    for name, shape in part:
        n, begin = 1, len(data)
        for d in shape:
            n *= d
        for v in numbers(name, n, len(shape) == 1):
            data += struct.pack("<f", v)[2:]  # the upper half: cut, not rounded
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def main():
    out = sys.argv[1]
    every = list(tensors())
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    parts = [every[:20], every[20:]]
    for name, part in zip(files, parts):
        write_shard(f"{out}/{name}", part)
    where = {t[0]: f for f, part in zip(files, parts) for t in part}
    for name, tree in (("model.safetensors.index.json", {"metadata": {}, "weight_map": where}),
                       ("config.json", CONFIG), ("tokenizer.json", tokenizer())):
        with open(f"{out}/{name}", "w") as f:
            json.dump(tree, f, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    main()
