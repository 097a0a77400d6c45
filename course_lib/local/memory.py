"""What a model needs in memory: weights, cache, overhead, and what that leaves.

All of it follows from a `config.json` in Hugging Face's style (Qwen2, Llama or DeepSeek-V3), the
quantisation and the context. Weights and cache are exact; the overhead is an estimate and says so.
GB are 10**9 bytes, as in the size of a download, and GiB 2**30, as in the memory of a machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from course_lib.local.gguf_header import GgufError, GgufHeader, GgufTensor, read_gguf_header
from course_lib.model.accounting import Config, bytes_read, count_parameters

__all__ = [
    "GB",
    "GIB",
    "QUANTISATIONS",
    "Estimate",
    "GgufError",
    "GgufHeader",
    "GgufTensor",
    "bits_per_weight",
    "ceiling_tokens_per_second",
    "estimate",
    "kv_cache_bytes",
    "longest_context",
    "read_gguf_header",
    "weights_bytes",
]

GB, GIB = 10**9, 2**30

# --- weights --------------------------------------------------------------------------------------

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
    size = config.get("head_dim") or width // heads
    queries, keys = heads * size, config["num_key_value_heads"] * size
    yield Weight("attn_q", queries, width, layer)
    yield Weight("attn_k", keys, width, layer)
    yield Weight("attn_v", keys, width, layer)
    yield Weight("attn_output", width, queries, layer)
    if config["model_type"] == "qwen2":
        yield from _vectors(layer, attn_q_bias=queries, attn_k_bias=keys, attn_v_bias=keys)
    yield from _ffn(layer, "", width, config["intermediate_size"])


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
_Choice = Callable[[Weight, Config], GGMLQuantizationType]
# What llama.cpp falls back to where a row is no whole number of blocks.
_FALLBACK = {_Q.Q4_K: _Q.Q5_0, _Q.Q6_K: _Q.Q8_0, _Q.Q5_K: _Q.Q5_1}


def _is_head(weight: Weight, config: Config) -> bool:
    tied = config.get("tie_word_embeddings", False)
    return weight.name == ("token_embd" if tied else "output")


def _mostly_q4_k(weight: Weight, config: Config) -> GGMLQuantizationType:
    """llama.cpp's Q4_K_M: 6 bits for the head and for half of the values and down projections."""
    if _is_head(weight, config):
        return _Q.Q6_K
    layers = config["num_hidden_layers"]
    eighth = layers // 8
    inside = eighth <= weight.layer < 7 * layers // 8
    favoured = not inside or (weight.layer - eighth) % 3 == 2
    if weight.name == "attn_v" and layers == 80:  # the 70B model, whose values are small and shared
        return _Q.Q5_K
    if weight.name == "attn_v" or weight.name.startswith("ffn_down"):
        return _Q.Q6_K if favoured else _Q.Q4_K
    return _Q.Q4_K


def _mostly_q4_0(weight: Weight, config: Config) -> GGMLQuantizationType:
    return _Q.Q6_K if _is_head(weight, config) else _Q.Q4_0


def _all_q8_0(weight: Weight, config: Config) -> GGMLQuantizationType:
    return _Q.Q8_0


_FILES: dict[str, _Choice] = {
    "q8_0": _all_q8_0,
    "q4_0": _mostly_q4_0,
    "q4_k_m": _mostly_q4_k,
}
QUANTISATIONS: tuple[str, ...] = (*_PLAIN, *_FILES)
"""What `weights_bytes` knows: plain formats, then the formats of GGUF files."""


def _stored_bytes(weight: Weight, config: Config, choice: _Choice) -> int:
    """Bytes of one tensor in a GGUF file; vectors and the router's matrix stay in F32."""
    if weight.rows == 1 or weight.name == "ffn_gate_inp":
        return 4 * weight.parameters
    kind = choice(weight, config)
    if weight.columns % GGML_QUANT_SIZES[kind][0]:
        kind = _FALLBACK.get(kind, _Q.F16)
    if weight.columns % GGML_QUANT_SIZES[kind][0]:
        kind = _Q.F16
    block, size = GGML_QUANT_SIZES[kind]
    return weight.parameters // block * size


def weights_bytes(config: Config, quantisation: str = "bf16") -> int:
    """Bytes of a model's weights. `quantisation` is one of `QUANTISATIONS`, in either case.

    The plain formats store every parameter alike. "q8_0", "q4_0" and "q4_K_M" follow llama.cpp's
    own choice of a format for every tensor and leave out the file's header, a few MB. Raises
    ValueError for an unknown format or a configuration that `count_parameters` refuses.
    """
    parameters = count_parameters(config).total
    kind = quantisation.lower()
    if kind in _PLAIN:
        return parameters * _PLAIN[kind]
    if kind not in _FILES:
        allowed = ", ".join(QUANTISATIONS)
        raise ValueError(f"quantisation is {quantisation!r}; allowed are {allowed}.")
    return sum(_stored_bytes(weight, config, _FILES[kind]) for weight in weight_tensors(config))


def bits_per_weight(config: Config, quantisation: str) -> float:
    """Bits a parameter takes on average, scales of the blocks included."""
    return 8 * weights_bytes(config, quantisation) / count_parameters(config).total


# --- the cache ------------------------------------------------------------------------------------


def kv_cache_bytes(
    config: Config, tokens: int, *, bytes_per_value: float = 2, compressed: bool = True
) -> int:
    """Bytes of keys and values kept for `tokens` tokens of one conversation, in BF16 or F16.

    DeepSeek-V3 keeps one latent and one rotary key per layer and token; `compressed=False` gives
    the plain keys and values per head instead, 71 times as much. Raises ValueError for a negative
    number of tokens or a configuration that `count_parameters` refuses.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        raise ValueError(f"tokens is {tokens!r}; it must be a whole number of at least 0.")
    if not 0 < bytes_per_value <= 8:
        raise ValueError(f"bytes_per_value is {bytes_per_value}; allowed is above 0 up to 8.")
    count_parameters(config)  # refuses what is no configuration
    return round(_cached_values(config, compressed) * bytes_per_value * tokens)


def _cached_values(config: Config, compressed: bool) -> int:
    """Numbers cached per token, over all layers."""
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    if config["model_type"] != "deepseek_v3":
        size = config.get("head_dim") or config["hidden_size"] // heads
        return layers * 2 * config["num_key_value_heads"] * size
    if compressed:
        return layers * (config["kv_lora_rank"] + config["qk_rope_head_dim"])
    key = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    return layers * heads * (key + config["v_head_dim"])


# --- the whole ------------------------------------------------------------------------------------

_RUNTIME = GIB // 2  # a runtime's own code and buffers: an estimate
_BATCH = 512  # llama.cpp reads a prompt in batches of this size


@dataclass(frozen=True)
class Estimate:
    """Bytes needed, by part, beside the `memory` there is (None: not given)."""

    weights: int
    cache: int
    overhead: int
    memory: int | None = None

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.overhead

    @property
    def left(self) -> int | None:
        """Bytes left over; below 0 if the model does not fit. None without a memory."""
        return None if self.memory is None else self.memory - self.total

    @property
    def fits(self) -> bool | None:
        """Whether all of it fits; None without a memory."""
        return None if self.left is None else self.left >= 0

    def text(self) -> str:
        """One line for each part, in GB and in GiB."""
        parts = {"weights": self.weights, "cache": self.cache, "overhead": self.overhead}
        parts["total"] = self.total
        if self.memory is not None and self.left is not None:
            parts |= {"memory": self.memory, "left": self.left}
        rows = (f"{name:9}{n / GB:8.2f} GB {n / GIB:8.2f} GiB" for name, n in parts.items())
        return "\n".join(rows)


def estimate(
    config: Config, quantisation: str, context: int, memory: int | None = None
) -> Estimate:
    """Weights, an F16 cache for `context` tokens, and overhead, beside `memory` bytes.

    The overhead is an estimate: half a GiB for the runtime and one batch of 512 tokens' scores
    over the vocabulary in F32. Raises ValueError as `weights_bytes` and `kv_cache_bytes` do.
    """
    return Estimate(
        weights=weights_bytes(config, quantisation),
        cache=kv_cache_bytes(config, context),
        overhead=_RUNTIME + _BATCH * config["vocab_size"] * 4,
        memory=memory,
    )


def longest_context(config: Config, quantisation: str, memory: int) -> int:
    """Tokens of context that fit into `memory` bytes, at most the model's own limit; 0 if none."""
    left = estimate(config, quantisation, 0, memory).left or 0
    limit = config.get("max_position_embeddings", left)
    return max(0, min(left // kv_cache_bytes(config, 1), limit))


def ceiling_tokens_per_second(
    config: Config, quantisation: str, context: int, bandwidth: float
) -> float:
    """The most tokens a second that a batch of one can have, at `bandwidth` bytes a second.

    For every token all weights it uses and the whole cache must come from memory once; the
    arithmetic is quicker than that. Real engines reach half of it or more.
    """
    if not bandwidth > 0:
        raise ValueError(f"bandwidth is {bandwidth}; it must be above 0 bytes a second.")
    per_parameter = weights_bytes(config, quantisation) / count_parameters(config).total
    return bandwidth / (bytes_read(config, 1, per_parameter) + kv_cache_bytes(config, context))
