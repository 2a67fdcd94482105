#!/usr/bin/env python3
"""Makes the seeds of tests/fuzz/corpus/fuzz_model and fuzz_adapter.

    make_model_seeds.py CORPUS        (tests/fuzz/corpus; needs tests/fixtures beside it)

Tiny models of width 4 that are right, the same with one lie each, config.json in its three spellings
and with keys missing or against each other, and adapters that fit the fixtures' models or do not.
"""
import json
import os
import struct
import sys

F32, U32, I32, STR, BOOL = 6, 4, 5, 8, 7


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def value(kind, v):
    if kind == STR:
        return text(v)
    return struct.pack({F32: "<f", U32: "<I", I32: "<i", BOOL: "<?"}[kind], v)


def gguf(values, tensors, is_overlapping=False):
    """values: [(key, kind, value or list)], tensors: [(name, ne)], all F32 of 0.5."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, kind, v in values:
        out += text(key)
        if isinstance(v, list):
            out += struct.pack("<IIQ", 9, kind, len(v)) + b"".join(value(kind, x) for x in v)
        else:
            out += struct.pack("<I", kind) + value(kind, v)
    offset, data = 0, b""
    for name, ne in tensors:
        n = 1
        for d in ne:
            n *= d
        out += text(name) + struct.pack("<I", len(ne)) + b"".join(struct.pack("<Q", d) for d in ne)
        out += struct.pack("<IQ", 0, offset)
        if is_overlapping:
            data = max(data, struct.pack("<f", 0.5) * n, key=len)
            continue
        data += struct.pack("<f", 0.5) * n
        data += b"\0" * (-len(data) % 32)
        offset = len(data)
    return out + b"\0" * (-len(out) % 32) + data


def model(arch="gemma4", layers=2, experts=0, ple=2, shared=0, k_is_v=False, lie=None, without=None, F=4,
          is_overlapping=False):
    D, H, KV, Dh, V = 4, 2, 1, 2, 3
    kv = {f"{arch}.block_count": (U32, layers), f"{arch}.embedding_length": (U32, D),
          f"{arch}.context_length": (U32, 64), f"{arch}.attention.sliding_window": (U32, 8),
          f"{arch}.attention.head_count": (U32, H), f"{arch}.feed_forward_length": (U32, [F] * layers),
          f"{arch}.attention.head_count_kv": (U32, [KV] * layers),
          f"{arch}.attention.key_length": (U32, Dh)}
    if arch == "gemma4":
        kv[f"{arch}.attention.sliding_window_pattern"] = (BOOL, [i + 1 < layers for i in range(layers)])
        kv[f"{arch}.embedding_length_per_layer_input"] = (U32, ple)
        kv[f"{arch}.attention.shared_kv_layers"] = (U32, shared)
        if experts:
            kv[f"{arch}.expert_count"] = (U32, experts)
            kv[f"{arch}.expert_used_count"] = (U32, 1)
            kv[f"{arch}.expert_feed_forward_length"] = (U32, 2)
    for key, v in (lie or {}).items():
        kv[f"{arch}.{key}"] = v
    t = [("token_embd.weight", [D, V]), ("output_norm.weight", [D])]
    if arch == "gemma4" and ple:
        t += [("per_layer_token_embd.weight", [layers * ple, V]),
              ("per_layer_model_proj.weight", [D, layers * ple]), ("per_layer_proj_norm.weight", [ple])]
    for i in range(layers):
        names = [("attn_norm", [D]), ("attn_q_norm", [Dh]), ("attn_k_norm", [Dh]),
                 ("post_attention_norm", [D]), ("ffn_norm", [D]), ("post_ffw_norm", [D]),
                 ("attn_output", [H * Dh, D]), ("ffn_gate", [D, F]), ("ffn_up", [D, F]),
                 ("ffn_down", [F, D]), ("attn_q", [D, H * Dh]), ("attn_k", [D, KV * Dh])]
        if not (k_is_v and i + 1 == layers):
            names.append(("attn_v", [D, KV * Dh]))
        if arch == "gemma4":
            names.append(("layer_output_scale", [1]))
        if arch == "gemma4" and ple:
            names += [("inp_gate", [D, ple]), ("proj", [ple, D]), ("post_norm", [D])]
        if experts:
            names += [("post_ffw_norm_1", [D]), ("pre_ffw_norm_2", [D]), ("post_ffw_norm_2", [D]),
                      ("ffn_gate_inp", [D, experts]), ("ffn_down_exps", [2, D, experts]),
                      ("ffn_gate_up_exps", [D, 4, experts])]
            t += [(f"blk.{i}.ffn_gate_inp.scale", [D]), (f"blk.{i}.ffn_down_exps.scale", [experts])]
        t += [(f"blk.{i}.{n}.weight", ne) for n, ne in names]
    values = [("general.architecture", STR, arch)] + [(k, kind, v) for k, (kind, v) in kv.items()]
    return gguf(values, [x for x in t if x[0] != without], is_overlapping)


def models():
    yield "right_gemma3", model("gemma3", layers=7)
    yield "right_gemma4", model()
    yield "right_shared", model(layers=4, shared=1, lie={
        "attention.sliding_window_pattern": (BOOL, [True, False, True, False])})
    yield "right_k_is_v", model(ple=0, k_is_v=True)
    yield "right_experts", model(ple=0, experts=3)
    lies = {
        "no_layers": {"block_count": (U32, 0)}, "many_layers": {"block_count": (U32, 1000)},
        "layers_per_layer": {"block_count": (U32, [2, 2])},
        "no_heads": {"attention.head_count": (U32, 0)},
        "huge_heads": {"attention.head_count": (U32, 0xFFFFFFFF)},
        "heads_differ": {"attention.head_count": (U32, [2, 4])},
        "kv_beyond_heads": {"attention.head_count_kv": (U32, [1, 3])},
        "kv_none": {"attention.head_count_kv": (U32, [1, 0])},
        "kv_too_few": {"attention.head_count_kv": (U32, [1])},
        "window_none": {"attention.sliding_window": (U32, 0)},
        "window_huge": {"attention.sliding_window": (U32, 0xFFFFFFFF)},
        "pattern_short": {"attention.sliding_window_pattern": (BOOL, [True])},
        "pattern_numbers": {"attention.sliding_window_pattern": (U32, [7, 9])},
        "all_shared": {"attention.shared_kv_layers": (U32, 2)},
        "shared_of_no_kind": {"attention.shared_kv_layers": (U32, 1)},
        "odd_key": {"attention.key_length": (U32, 3)},
        "value_differs": {"attention.value_length": (U32, 4)},
        "experts_none_used": {"expert_count": (U32, 4), "expert_used_count": (U32, 0)},
        "experts_huge": {"expert_count": (U32, 1 << 30)},
        "experts_beyond": {"expert_count": (U32, 2), "expert_used_count": (U32, 3)},
        "ple_huge": {"embedding_length_per_layer_input": (U32, 1 << 31)},
        "negative_width": {"embedding_length": (I32, -4)},
        "eps_nan": {"attention.layer_norm_rms_epsilon": (F32, float("nan"))},
        "scaling_unknown": {"rope.scaling.type": (STR, "yarn")},
    }
    for name, lie in lies.items():
        yield name, model(lie=lie)
    yield "overlapping", model(F=512, is_overlapping=True)
    yield "layers_beyond_tensors", model(ple=0, lie={
        "block_count": (U32, 500), "attention.sliding_window_pattern": (BOOL, [False] * 500),
        "feed_forward_length": (U32, 4), "attention.head_count_kv": (U32, 1)})
    yield "no_embedding", model(without="token_embd.weight")
    yield "no_query", model(without="blk.1.attn_q.weight")
    yield "width_differs", model(lie={"embedding_length": (U32, 8)})


def configs(fixtures):
    right = json.load(open(f"{fixtures}/engine/folder/config.json"))
    yield "config_right", right
    yield "config_nested", {"model_type": "gemma4", "text_config": right}
    newer = {k: v for k, v in right.items() if k != "global_head_dim"}
    newer["per_layer_config"] = {"1": {"head_dim": 32, "num_key_value_heads": 1}}
    yield "config_newer", newer
    yield "config_gemma3", {
        "model_type": "gemma3_text", "num_hidden_layers": 2, "hidden_size": 32, "head_dim": 32,
        "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 256,
        "sliding_window": 8, "vocab_size": 300, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window_pattern": 2}
    for key in ("num_hidden_layers", "hidden_size", "head_dim", "layer_types", "rope_parameters",
                "model_type"):
        yield f"config_without_{key}", {k: v for k, v in right.items() if k != key}
    for name, change in (("layers", {"num_hidden_layers": 1000000}), ("shared", {"num_kv_shared_layers": 2}),
                         ("types", {"layer_types": ["full_attention"] * 3}),
                         ("width", {"hidden_size": 64}), ("vocabulary", {"vocab_size": 9}),
                         ("experts", {"enable_moe_block": True, "num_experts": 128}),
                         ("kind", {"hidden_size": "32"}), ("none", {"hidden_size": None})):
        yield f"config_other_{name}", {**right, **change}


def safetensors(tensors):
    header, data = {}, b""
    for name, shape in tensors:
        n = 1
        for d in shape:
            n *= d
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
        data += struct.pack("<f", 0.25) * n
    head = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(head)) + head + data


def peft(which, config, tensors):
    text_ = json.dumps(config, separators=(",", ":")).encode()
    return bytes([2 | which]) + struct.pack("<H", len(text_)) + text_ + safetensors(tensors)


def adapter(which, tensors, alpha=4.0, arch="gemma4", kind="lora"):
    values = [("general.type", STR, "adapter"), ("general.architecture", STR, arch),
              ("adapter.type", STR, kind), ("adapter.lora.alpha", F32, alpha)]
    return bytes([which]) + gguf(values, tensors)


def adapters():
    q = "blk.0.attn_q.weight.lora_"
    right = [(q + "a", [32, 2]), (q + "b", [2, 64])]
    yield "gguf_right", adapter(0, right)
    yield "gguf_other_model", adapter(1, right)
    yield "gguf_gemma3", adapter(0, right, arch="gemma3")
    yield "gguf_alora", adapter(0, right, kind="alora")
    yield "gguf_alone", adapter(0, right[:1])
    yield "gguf_far_layer", adapter(0, [(n.replace("blk.0", "blk.77"), s) for n, s in right])
    yield "gguf_wrong_shape", adapter(0, [(q + "a", [32, 2]), (q + "b", [2, 63])])
    yield "gguf_ranks_differ", adapter(0, [(q + "a", [32, 2]), (q + "b", [3, 64])])
    yield "gguf_huge_rank", adapter(0, [(q + "a", [1, 5000]), (q + "b", [5000, 1])])
    yield "gguf_norm", adapter(0, [("blk.0.attn_norm.weight.lora_a", [32, 1]),
                                   ("blk.0.attn_norm.weight.lora_b", [1, 32])])
    yield "gguf_embedding", adapter(0, [("token_embd.weight.lora_a", [2, 300]),
                                        ("token_embd.weight.lora_b", [2, 32])])
    yield "gguf_embedding_untransposed", adapter(0, [("token_embd.weight.lora_a", [300, 2]),
                                                     ("token_embd.weight.lora_b", [2, 32])])
    base = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    t = [(base + "A.weight", [2, 32]), (base + "B.weight", [64, 2])]
    yield "peft_right", peft(0, config, t)
    yield "peft_other_model", peft(1, config, t)
    for name, change in (("rank_none", {"r": 0}), ("rank_huge", {"r": 10**9}), ("rank_half", {"r": 1.5}),
                         ("rank_text", {"r": "2"}), ("dora", {"use_dora": True}),
                         ("ia3", {"peft_type": "IA3"}), ("rslora", {"use_rslora": True}),
                         ("pattern", {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q.*": 1}}),
                         ("pattern_bad", {"rank_pattern": {"(": 2}}), ("alpha", {"lora_alpha": 1e300})):
        yield f"peft_{name}", peft(0, {**config, **change}, t)
    yield "peft_wrong_shape", peft(0, config, [t[0], (base + "B.weight", [32, 2])])
    yield "peft_alone", peft(0, config, t[1:])
    yield "peft_no_module", peft(0, config, [(n.replace("q_proj", "z_proj"), s) for n, s in t])
    e = "base_model.model.model.embed_tokens.lora_embedding_"
    t = [(e + "A", [2, 300]), (e + "B", [32, 2])]
    yield "peft_embedding", peft(0, {**config, "peft_version": "0.19.1"}, t)
    yield "peft_embedding_of_no_version", peft(0, config, t)
    linear = [(n.replace("embedding_", "") + ".weight", s) for n, s in t]
    yield "peft_embedding_as_matrix", peft(0, config, linear)
    matrix = [(n.replace("embed_tokens", "layers.0.self_attn.q_proj"), s) for n, s in t]
    yield "peft_matrix_as_embedding", peft(0, config, matrix)
    x = "base_model.model.model.layers.0.experts."
    yield "peft_experts", peft(1, {**config, "r": 1}, [(x + "lora_A.weight", [16, 24]),
                                                      (x + "lora_B.weight", [64, 16])])


def main():
    corpus = sys.argv[1]
    fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
    for name, data in models():
        open(f"{corpus}/fuzz_model/{name}", "wb").write(data)
    for name, tree in configs(fixtures):
        open(f"{corpus}/fuzz_model/{name}", "w").write(json.dumps(tree))
    for name, data in adapters():
        open(f"{corpus}/fuzz_adapter/{name}", "wb").write(data)


if __name__ == "__main__":
    main()
