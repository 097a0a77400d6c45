"""A model's tensors, and the bytes of each in a format: exact, from the configuration alone.

`weight_tensors` names every tensor as a GGUF file does. Which of them get which format in a file of
type `q4_K_M` and its kin is data: `mixtures.toml`.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from course_lib.model.accounting import Config, count_parameters, has_ffn_bias, head_width

# Formats with the same number of bytes for every parameter, as in a safetensors file.
_PLAIN = {"f32": 4, "f16": 2, "bf16": 2, "fp8": 1}


@dataclass(frozen=True)
class Weight:
    """One tensor as a GGUF file names it: `copies` matrices of `rows` x `columns` (the row length).

    A vector (a norm, a bias) has one row and stays in F32 whatever the quantisation.
    """

    name: str
    rows: int
    columns: int
    layer: int = 0
    copies: int = 1

    @property
    def parameters(self) -> int:
        return self.copies * self.rows * self.columns


def _vectors(layer: int, **sizes: int) -> Iterator[Weight]:
    for name, size in sizes.items():
        yield Weight(name, 1, size, layer)


def _ffn(layer: int, suffix: str, width: int, inner: int, copies: int = 1) -> Iterator[Weight]:
    yield Weight(f"ffn_gate{suffix}", inner, width, layer, copies)
    yield Weight(f"ffn_up{suffix}", inner, width, layer, copies)
    yield Weight(f"ffn_down{suffix}", width, inner, layer, copies)


def _grouped_layer(config: Config, layer: int) -> Iterator[Weight]:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    size = head_width(config)
    queries, keys = heads * size, config["num_key_value_heads"] * size
    yield Weight("attn_q", queries, width, layer)
    yield Weight("attn_k", keys, width, layer)
    yield Weight("attn_v", keys, width, layer)
    yield Weight("attn_output", width, queries, layer)
    biased = bool(config.get("attention_bias"))
    if config["model_type"] == "qwen2" or biased:
        yield from _vectors(layer, attn_q_bias=queries, attn_k_bias=keys, attn_v_bias=keys)
    if config["model_type"] != "qwen2" and biased:
        yield from _vectors(layer, attn_output_bias=width)
    if config["model_type"] == "qwen3":
        yield from _vectors(layer, attn_q_norm=size, attn_k_norm=size)
    inner = config["intermediate_size"]
    yield from _ffn(layer, "", width, inner)
    if has_ffn_bias(config):
        yield from _vectors(layer, ffn_gate_bias=inner, ffn_up_bias=inner, ffn_down_bias=width)


def _latent_layer(config: Config, layer: int) -> Iterator[Weight]:
    width, heads = config["hidden_size"], config["num_attention_heads"]
    latent, rotary = config["kv_lora_rank"], config["qk_rope_head_dim"]
    plain, value, rank = config["qk_nope_head_dim"], config["v_head_dim"], config["q_lora_rank"]
    if rank is None:
        yield Weight("attn_q", heads * (plain + rotary), width, layer)
    else:
        yield Weight("attn_q_a", rank, width, layer)
        yield from _vectors(layer, attn_q_a_norm=rank)
        yield Weight("attn_q_b", heads * (plain + rotary), rank, layer)
    yield Weight("attn_kv_a_mqa", latent + rotary, width, layer)
    yield from _vectors(layer, attn_kv_a_norm=latent)
    yield Weight("attn_kv_b", heads * (plain + value), latent, layer)
    yield Weight("attn_output", width, heads * value, layer)
    if config.get("attention_bias"):
        down = {} if rank is None else {"attn_q_a_bias": rank}
        yield from _vectors(layer, **down, attn_kv_a_mqa_bias=latent + rotary)
        yield from _vectors(layer, attn_output_bias=width)
    if layer < config["first_k_dense_replace"]:
        yield from _ffn(layer, "", width, config["intermediate_size"])
        return
    experts, inner = config["n_routed_experts"], config["moe_intermediate_size"]
    yield Weight("ffn_gate_inp", experts, width, layer)
    yield from _vectors(layer, exp_probs_b=experts)
    yield from _ffn(layer, "_exps", width, inner, experts)
    if config["n_shared_experts"]:
        yield from _ffn(layer, "_shexp", width, inner * config["n_shared_experts"])


def weight_tensors(config: Config) -> Iterator[Weight]:
    """Every tensor of the model. Their parameters add up to `count_parameters(config).total`."""
    width, vocabulary = config["hidden_size"], config["vocab_size"]
    layer_of = _latent_layer if config["model_type"] == "deepseek_v3" else _grouped_layer
    yield Weight("token_embd", vocabulary, width)
    for layer in range(config["num_hidden_layers"]):
        yield from _vectors(layer, attn_norm=width, ffn_norm=width)
        yield from layer_of(config, layer)
    yield from _vectors(0, output_norm=width)
    if not config.get("tie_word_embeddings", False):
        yield Weight("output", vocabulary, width)


_Q = GGMLQuantizationType
# What llama.cpp falls back to where a row is no whole number of blocks; F16 for the rest.
_FALLBACK = {_Q.Q4_K: _Q.Q5_0, _Q.Q5_K: _Q.Q5_1, _Q.Q6_K: _Q.Q8_0} | dict.fromkeys(
    (_Q.Q2_K, _Q.Q3_K, _Q.IQ1_S, _Q.IQ1_M, _Q.IQ2_XXS, _Q.IQ2_XS, _Q.IQ2_S, _Q.IQ3_XXS, _Q.IQ3_S,
     _Q.IQ4_XS), _Q.IQ4_NL,
)  # fmt: skip
_LAYERS_OF_70B = 80  # whose values are small and shared: never below five bits


@cache
def mixtures() -> Mapping[str, Mapping[str, Any]]:
    """The rules of `mixtures.toml` by the type of file."""
    return tomllib.loads(Path(__file__).with_name("mixtures.toml").read_text(encoding="utf-8"))


QUANTISATIONS: tuple[str, ...] = (*_PLAIN, *mixtures())
"""What `weights_bytes` knows: plain formats, then the types of GGUF files."""


def _holds(condition: str, layer: int, config: Config) -> bool:
    """Whether a rule's condition holds in a layer; see `mixtures.toml` for the words."""
    layers = config["num_hidden_layers"]
    eighth = layers // 8
    middle = eighth <= layer < 7 * layers // 8
    if condition == "favoured":
        return not middle or (layer - eighth) % 3 == 2
    if condition == "shared":
        return bool(config["num_attention_heads"] // config["num_key_value_heads"] >= 4)
    if condition.startswith("first "):
        count, _, parts = condition.removeprefix("first ").partition("/")
        return layer < (layers // int(parts) if parts else int(count))
    return middle if condition == "middle" else condition == "all"


def format_of(weight: Weight, config: Config, kind: str) -> GGMLQuantizationType:
    """The format that llama.cpp gives a matrix in a file of type `kind`, a row of whole blocks."""
    rules = mixtures()[kind]
    tied = config.get("tie_word_embeddings", False)
    if weight.name == ("token_embd" if tied else "output"):
        named = rules.get("head", [["all", "Q6_K"]])
    else:
        part = weight.name.removesuffix("_exps").removesuffix("_shexp")
        named = rules.get(part, [])
    name = next((name for when, name in named if _holds(when, weight.layer, config)), rules["base"])
    if weight.name == "attn_v" and config["num_hidden_layers"] == _LAYERS_OF_70B:
        name = "Q5_K" if name in ("Q3_K", "Q4_K") else name
    found: Any = GGMLQuantizationType[name]
    if weight.columns % GGML_QUANT_SIZES[found][0]:
        found = _FALLBACK.get(found, _Q.F16)
    return _Q.F16 if weight.columns % GGML_QUANT_SIZES[found][0] else found


def stored_bytes(weight: Weight, config: Config, quantisation: str) -> int:
    """Bytes of one tensor. In a GGUF file vectors and the router's matrix stay in F32."""
    kind = quantisation.lower()
    if kind in _PLAIN:
        return weight.parameters * _PLAIN[kind]
    if weight.rows == 1 or weight.name == "ffn_gate_inp":
        return 4 * weight.parameters
    block, size = GGML_QUANT_SIZES[format_of(weight, config, kind)]
    return weight.parameters // block * size


def weights_bytes(config: Config, quantisation: str = "bf16") -> int:
    """Bytes of a model's weights. `quantisation` is one of `QUANTISATIONS`, in either case.

    The plain formats store every parameter alike. The types of GGUF files follow llama.cpp's own
    choice of a format for every tensor and leave out the file's header, a few MB. Raises
    ValueError for an unknown format or a configuration that `count_parameters` refuses.
    """
    parameters = count_parameters(config).total
    kind = str(quantisation).lower()
    if kind in _PLAIN:
        return parameters * _PLAIN[kind]
    if kind not in mixtures():
        allowed = ", ".join(QUANTISATIONS)
        raise ValueError(f"quantisation is {quantisation!r}; allowed are {allowed}.")
    return sum(stored_bytes(weight, config, kind) for weight in weight_tensors(config))
