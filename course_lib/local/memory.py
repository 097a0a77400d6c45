"""What a model needs in memory: weights, cache, overhead, and what that leaves.

All of it follows from a `config.json` in Hugging Face's style (Qwen2, Qwen3, Llama or DeepSeek-V3),
the quantisation and the context. Weights and cache are exact; llama.cpp's compute buffers follow
its graph, and a test holds them to what it prints. Where each part goes on a machine: `placement`.
GB are 10**9 bytes, as in the size of a download, and GiB 2**30, as in the memory of a machine.
"""

from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from course_lib.errors import real_number, whole_number
from course_lib.local.gguf_header import read_gguf_header as read_gguf_header
from course_lib.local.weights import QUANTISATIONS as QUANTISATIONS
from course_lib.local.weights import weights_bytes
from course_lib.model.accounting import Config, bytes_read, count_parameters, head_width

GB, GIB = 10**9, 2**30
BATCH = 512  # llama.cpp reads a prompt in pieces of this many tokens
CUDA_CONTEXT = 457 << 20  # what Ollama sets aside on a card for CUDA itself (ml/device.go)
METAL_CONTEXT = 512 << 20  # and for Metal
_CELLS = 256  # the cache comes in multiples of so many tokens

_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")
CACHE_TYPES: dict[str, float] = {
    name.lower(): size / block
    for name in _TYPES
    for block, size in [GGML_QUANT_SIZES[GGMLQuantizationType[name]]]
}
"""Bytes of a cached value in each type that llama.cpp's `--cache-type-k` takes; F16 is its own."""


def kv_cache_bytes(
    config: Config, tokens: int, *, bytes_per_value: float = 2, compressed: bool = True
) -> int:
    """Bytes of keys and values kept for `tokens` tokens of one conversation, in BF16 or F16.

    `CACHE_TYPES` has the bytes of a value for quantised caches. DeepSeek-V3 keeps one latent and
    one rotary key per layer and token; `compressed=False` gives the plain keys and values per head
    instead, 71 times as much: GGUF files made before April 2025 are run like that. Raises
    ValueError for a negative number of tokens or a configuration that `count_parameters` refuses.
    """
    tokens = whole_number("tokens", tokens, lowest=0)
    if not 0 < real_number("bytes_per_value", bytes_per_value) <= 8:
        raise ValueError(f"bytes_per_value is {bytes_per_value}; allowed is above 0 up to 8.")
    count_parameters(config)  # refuses what is no configuration
    return round(_cached_values(config, compressed) * bytes_per_value * tokens)


def _cached_values(config: Config, compressed: bool) -> int:
    """Numbers cached per token, over all layers."""
    layers = config["num_hidden_layers"]
    if config["model_type"] != "deepseek_v3":
        return layers * 2 * _key_width(config)
    if compressed:
        return layers * (config["kv_lora_rank"] + config["qk_rope_head_dim"])
    key = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
    return layers * config["num_attention_heads"] * (key + config["v_head_dim"])


def _key_width(config: Config) -> int:
    return config["num_key_value_heads"] * head_width(config)


def compute_bytes(
    config: Config, context: int, *, flash: bool = True, every_score: bool = True, copies: int = 1
) -> int:
    """Bytes of llama.cpp's compute buffer on a device that runs all layers, for one batch.

    The buffer holds whatever is largest: the states inside a layer with the mask, without flash
    attention (`flash=False`) every head's scores of the whole context, or the scores over the
    vocabulary, of every token of a batch in versions until 2026 (`every_score`) and of one a slot
    since. Several cards take turns with `copies` of the mask. Found by fitting what llama.cpp
    prints, and exact to a few KB for dense models; for R1 it is no more than an estimate.
    """
    width, heads = config["hidden_size"], config["num_attention_heads"]
    # the widest feed-forward step that one token goes through
    chosen = config.get("num_experts_per_tok", 0) + (config.get("n_shared_experts") or 0)
    widest = max(config["intermediate_size"], chosen * config.get("moe_intermediate_size", 0))
    inside = 3 * widest + 5 * width
    mask = copies * (context / 2 if flash else context)  # 16 bits a place, or 32
    attention = 0 if flash else heads * context + 6 * width + 2 * _key_width(config)
    scores = config["vocab_size"] + width if every_score else 0
    return round(4 * min(BATCH, context) * max(inside + mask, attention + mask, scores))


def cells(context: int) -> int:
    """The tokens that llama.cpp keeps room for where `context` are asked for.

    Raises ValueError for a context that is no whole number of at least 0.
    """
    return -(-whole_number("context", context, lowest=0) // _CELLS) * _CELLS


@dataclass(frozen=True)
class Estimate:
    """Bytes needed, by part."""

    weights: int
    cache: int
    overhead: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.overhead

    def text(self) -> str:
        """One line for each part, in GB and in GiB."""
        parts = {**vars(self), "total": self.total}
        rows = (f"{name:9}{n / GB:8.2f} GB {n / GIB:8.2f} GiB" for name, n in parts.items())
        return "\n".join(rows)


def estimate(config: Config, quantisation: str, context: int) -> Estimate:
    """Weights, an F16 cache for `context` tokens, and overhead.

    As if all of it lay in one piece of memory that is wholly free: what a machine really lends, and
    how a model is spread over cards, is `placement.plan`. The overhead is the compute buffer and
    what CUDA takes for itself. Raises ValueError as `weights_bytes` and `kv_cache_bytes` do.
    """
    return Estimate(
        weights=weights_bytes(config, quantisation),
        cache=kv_cache_bytes(config, context),
        overhead=compute_bytes(config, max(context, BATCH)) + CUDA_CONTEXT,
    )


def ceiling_tokens_per_second(
    config: Config, quantisation: str, context: int, bandwidth: float
) -> float:
    """The most tokens a second that a batch of one can have, at `bandwidth` bytes a second.

    For every token all weights it uses and the whole cache must come from memory once; the
    arithmetic is quicker than that. Real engines reach half of it or more.
    """
    if not real_number("bandwidth", bandwidth) > 0:
        raise ValueError(f"bandwidth is {bandwidth}; it must be above 0 bytes a second.")
    per_parameter = weights_bytes(config, quantisation) / count_parameters(config).total
    return bandwidth / (bytes_read(config, 1, per_parameter) + kv_cache_bytes(config, context))
