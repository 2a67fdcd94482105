#!/usr/bin/env python3
"""A tiny random Llama as ONNX with a KV cache, and its tokenizer, for transformers.js in tests.

    python3 make_tiny_onnx.py FOLDER [--expect FILE.json]

Needs PyPI's onnx and numpy, no torch: the graph is written operator by operator. FOLDER gets
config.json, generation_config.json, tokenizer.json, tokenizer_config.json, onnx/model.onnx.
--expect computes greedy continuations and log-probabilities of the same weights with numpy in
float64, independently of any ONNX runtime, and writes them for tests to compare with.
"""
import argparse
import json
import os

import numpy as np

LAYERS, WIDTH, HEADS, KV, HEAD, FF, CTX, EPS, THETA = 2, 32, 2, 1, 16, 64, 1024, 1e-5, 10000.0
SPECIAL = ["<pad>", "</s>", "<s>", "<unk>", "<|turn>", "<turn|>", "<|channel>", "<channel|>"]
PAD, EOS, BOS, UNK = 0, 1, 2, 3
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|turn>{{ m['role'] }} {{ m['content'] }}<turn|>{% endfor %}"
    "{% if add_generation_prompt %}<|turn>model {% endif %}"
)


def byte_letters():
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 0
    for b in range(256):
        if b in plain:
            letters[b] = chr(b)
        else:
            letters[b] = chr(256 + extra)
            extra += 1
    return [letters[b] for b in range(256)]


VOCAB = SPECIAL + byte_letters() + ["th", "he", "in", "an", "er"]
MERGES = ["t h", "h e", "i n", "a n", "e r"]
V = len(VOCAB)


def make_weights(seed=7):
    rng = np.random.default_rng(seed)
    w = lambda *shape: (rng.standard_normal(shape) * 0.25).astype(np.float32)
    p = {"embed": w(V, WIDTH), "head": w(WIDTH, V), "norm": 1 + w(WIDTH)}
    for i in range(LAYERS):
        p[f"{i}.norm1"], p[f"{i}.norm2"] = 1 + w(WIDTH), 1 + w(WIDTH)
        p[f"{i}.q"], p[f"{i}.o"] = w(WIDTH, HEADS * HEAD), w(HEADS * HEAD, WIDTH)
        p[f"{i}.k"], p[f"{i}.v"] = w(WIDTH, KV * HEAD), w(WIDTH, KV * HEAD)
        p[f"{i}.gate"], p[f"{i}.up"], p[f"{i}.down"] = w(WIDTH, FF), w(WIDTH, FF), w(FF, WIDTH)
    return p


def rotary():
    angle = np.arange(CTX)[:, None] * THETA ** (-np.arange(0, HEAD, 2) / HEAD)[None]
    angle = np.concatenate([angle, angle], 1)
    return np.cos(angle), np.sin(angle)  # [CTX, HEAD]


def forward(p, ids):
    """Logits [T, V] in float64: the plain formulas, no cache."""
    q64 = {k: v.astype(np.float64) for k, v in p.items()}
    cos, sin = (a.astype(np.float32).astype(np.float64)[: len(ids)] for a in rotary())
    rms = lambda x, w: x / np.sqrt((x * x).mean(-1, keepdims=True) + EPS) * w
    half = lambda x: np.concatenate([-x[..., HEAD // 2 :], x[..., : HEAD // 2]], -1)
    x = q64["embed"][ids]
    T = len(ids)
    mask = np.triu(np.full((T, T), -np.inf), 1)
    for i in range(LAYERS):
        h = rms(x, q64[f"{i}.norm1"])
        q = (h @ q64[f"{i}.q"]).reshape(T, HEADS, HEAD).transpose(1, 0, 2)
        k = (h @ q64[f"{i}.k"]).reshape(T, KV, HEAD).transpose(1, 0, 2)
        v = (h @ q64[f"{i}.v"]).reshape(T, KV, HEAD).transpose(1, 0, 2)
        q, k = q * cos + half(q) * sin, k * cos + half(k) * sin
        k, v = k.repeat(HEADS // KV, 0), v.repeat(HEADS // KV, 0)
        s = q @ k.transpose(0, 2, 1) / np.sqrt(HEAD) + mask
        s = np.exp(s - s.max(-1, keepdims=True))
        s /= s.sum(-1, keepdims=True)
        x = x + (s @ v).transpose(1, 0, 2).reshape(T, HEADS * HEAD) @ q64[f"{i}.o"]
        h = rms(x, q64[f"{i}.norm2"])
        g = h @ q64[f"{i}.gate"]
        x = x + (g / (1 + np.exp(-g)) * (h @ q64[f"{i}.up"])) @ q64[f"{i}.down"]
    return rms(x, q64["norm"]) @ q64["head"]


class Graph:
    """Nodes one after another; node() returns the name of its result."""

    def __init__(self):
        self.nodes, self.consts, self.n = [], [], 0

    def const(self, value, dtype=None):
        from onnx import numpy_helper

        self.n += 1
        self.consts.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{self.n}"))
        return f"c{self.n}"

    def node(self, op, *inputs, out=None, **attributes):
        from onnx import helper

        self.n += 1
        out = out or f"t{self.n}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], **attributes))
        return out


def rms_nodes(g, x, w):
    mean = g.node("ReduceMean", g.node("Mul", x, x), axes=[-1], keepdims=1)
    return g.node("Mul", g.node("Div", x, g.node("Sqrt", g.node("Add", mean, g.const(EPS, np.float32)))), w)


def rotate_nodes(g, x, cos, sin):
    ints = lambda *v: g.const(v, np.int64)
    low = g.node("Slice", x, ints(0), ints(HEAD // 2), ints(-1))
    high = g.node("Slice", x, ints(HEAD // 2), ints(HEAD), ints(-1))
    turned = g.node("Concat", g.node("Neg", high), low, axis=-1)
    return g.node("Add", g.node("Mul", x, cos), g.node("Mul", turned, sin))


def mask_nodes(g):
    """[1, 1, S, T]: 0 where a query may look, -1e9 elsewhere."""
    total = g.node("Gather", g.node("Shape", "attention_mask"), g.const(1, np.int64), axis=0)
    keys = g.node("Range", g.const(0, np.int64), total, g.const(1, np.int64))
    last = g.node("Unsqueeze", "position_ids", g.const([1, 3], np.int64))
    sees = g.node("LessOrEqual", g.node("Unsqueeze", keys, g.const([0, 1, 2], np.int64)), last)
    return g.node("Where", sees, g.const(0, np.float32), g.const(-1e9, np.float32))


def layer_nodes(g, p, i, x, cos, sin, mask):
    w = lambda name: g.const(p[f"{i}.{name}"])
    heads = lambda y, n: g.node(
        "Transpose", g.node("Reshape", y, g.const([0, 0, n, HEAD], np.int64)), perm=[0, 2, 1, 3])
    h = rms_nodes(g, x, w("norm1"))
    q = rotate_nodes(g, heads(g.node("MatMul", h, w("q")), HEADS), cos, sin)
    k = rotate_nodes(g, heads(g.node("MatMul", h, w("k")), KV), cos, sin)
    v = heads(g.node("MatMul", h, w("v")), KV)
    k = g.node("Concat", f"past_key_values.{i}.key", k, axis=2, out=f"present.{i}.key")
    v = g.node("Concat", f"past_key_values.{i}.value", v, axis=2, out=f"present.{i}.value")
    # One key head serves all: the product broadcasts over heads.
    s = g.node("MatMul", q, g.node("Transpose", k, perm=[0, 1, 3, 2]))
    s = g.node("Add", g.node("Mul", s, g.const(HEAD**-0.5, np.float32)), mask)
    a = g.node("MatMul", g.node("Softmax", s, axis=-1), v)
    a = g.node("Reshape", g.node("Transpose", a, perm=[0, 2, 1, 3]), g.const([0, 0, HEADS * HEAD], np.int64))
    x = g.node("Add", x, g.node("MatMul", a, w("o")))
    h = rms_nodes(g, x, w("norm2"))
    gate = g.node("MatMul", h, w("gate"))
    gate = g.node("Mul", gate, g.node("Sigmoid", gate))
    return g.node("Add", x, g.node("MatMul", g.node("Mul", gate, g.node("MatMul", h, w("up"))), w("down")))


def make_model(p):
    from onnx import TensorProto, checker, helper

    g = Graph()
    cos, sin = (g.node("Unsqueeze", g.node("Gather", g.const(a.astype(np.float32)), "position_ids"),
                       g.const([1], np.int64)) for a in rotary())
    mask = mask_nodes(g)
    x = g.node("Gather", g.const(p["embed"]), "input_ids")
    for i in range(LAYERS):
        x = layer_nodes(g, p, i, x, cos, sin, mask)
    g.node("MatMul", rms_nodes(g, x, g.const(p["norm"])), g.const(p["head"]), out="logits")
    info = helper.make_tensor_value_info
    inputs = [info("input_ids", TensorProto.INT64, ["b", "s"]), info("attention_mask", TensorProto.INT64, ["b", "t"]),
              info("position_ids", TensorProto.INT64, ["b", "s"])]
    outputs = [info("logits", TensorProto.FLOAT, ["b", "s", V])]
    for i in range(LAYERS):
        for part in ("key", "value"):
            inputs.append(info(f"past_key_values.{i}.{part}", TensorProto.FLOAT, ["b", KV, "p", HEAD]))
            outputs.append(info(f"present.{i}.{part}", TensorProto.FLOAT, ["b", KV, "t", HEAD]))
    graph = helper.make_graph(g.nodes, "tiny-llama", inputs, outputs, g.consts)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model


def write_texts(folder):
    ids = {piece: i for i, piece in enumerate(VOCAB)}
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    part = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
        "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, s in enumerate(SPECIAL)],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, part("A")], "pair": [bos, part("A"), part("B")],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": ids, "merges": MERGES},
    }
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": V, "hidden_size": WIDTH,
              "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
              "num_key_value_heads": KV, "head_dim": HEAD, "max_position_embeddings": CTX, "rms_norm_eps": EPS,
              "rope_theta": THETA, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD,
              "tie_word_embeddings": False}
    files = {
        "tokenizer.json": tokenizer, "config.json": config,
        "generation_config.json": {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                                  "pad_token": "<pad>", "unk_token": "<unk>", "chat_template": TEMPLATE,
                                  "clean_up_tokenization_spaces": False},
    }
    for name, value in files.items():
        with open(os.path.join(folder, name), "w") as f:
            json.dump(value, f)


def expect(p):
    def logprobs(ids):
        x = forward(p, ids)
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    greedy, scores = [], []
    for prompt in ([2, 80, 81], [2, 40, 41, 42, 43], [2]):
        ids, lps = list(prompt), []
        for _ in range(12):
            row = logprobs(ids)[-1]
            lps.append(float(row.max()))
            ids.append(int(row.argmax()))
            if ids[-1] == EOS:
                break
        greedy.append({"prompt": prompt, "ids": ids[len(prompt):], "logprobs": lps})
    for ids, start in (([2, 80, 81, 82, 83, 84], 1), ([2, 9, 200, 264, 100], 3)):
        rows = logprobs(ids)
        scores.append({"ids": ids, "from": start,
                       "logprobs": [float(rows[i - 1][ids[i]]) for i in range(start, len(ids))]})
    return {"greedy": greedy, "scores": scores}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--expect")
    a = parser.parse_args()
    os.makedirs(os.path.join(a.folder, "onnx"), exist_ok=True)
    p = make_weights()
    import onnx

    onnx.save(make_model(p), os.path.join(a.folder, "onnx", "model.onnx"))
    write_texts(a.folder)
    if a.expect:
        with open(a.expect, "w") as f:
            json.dump(expect(p), f)


if __name__ == "__main__":
    main()
