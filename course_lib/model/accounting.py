"""How big a model is and what a token costs, from nothing but its `config.json`.

Works on plain dictionaries in Hugging Face's style for DeepSeek-V3 (and R1), Qwen2, Qwen3 and
Llama, the four architectures of the R1 family. No torch: whole numbers only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from course_lib.errors import real_number, whole_number

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Count:
    """A model's parameters, by part, in total and as far as one token uses them.

    Both mappings have the same keys and give numbers of parameters. With tied embeddings the one
    table counts as `embedding`, and `head` is 0.
    """

    parts: Mapping[str, int]
    active_parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """All parameters, the router's bias included (transformers keeps that as a buffer)."""
        return sum(self.parts.values())

    @property
    def active(self) -> int:
        """Parameters that one token goes through, embedding and head counted whole."""
        return sum(self.active_parts.values())

    @property
    def active_without_embedding(self) -> int:
        """`active` less the input embedding, of which a token looks up a single row."""
        return self.active - self.active_parts["embedding"]


def count_parameters(config: Config) -> Count:
    """Count the parameters of a model from its configuration.

    `config` is a dictionary as in `config.json` with `model_type` "deepseek_v3", "qwen2", "qwen3"
    or "llama". V3's extra module that predicts a second token is not part of the count. Raises
    ValueError for another type, a missing field, or a size that is not a whole number above 0.
    """
    reader = _Fields(config)
    kind = reader.require("model_type")
    if kind not in _ATTENTION:
        allowed = ", ".join(map(repr, _ATTENTION))
        raise ValueError(f"config has model_type {kind!r}; allowed are {allowed}.")
    layers, width = reader.size("num_hidden_layers"), reader.size("hidden_size")
    table = reader.size("vocab_size") * width
    parts = {
        "embedding": table,
        "attention": layers * _ATTENTION[kind](reader, width),
        "norms": (2 * layers + 1) * width,
        "head": 0 if config.get("tie_word_embeddings", False) else table,
    }
    ffn, active_ffn = (_moe_ffn if kind == "deepseek_v3" else _dense_ffn)(reader, layers, width)
    return Count(MappingProxyType(parts | ffn), MappingProxyType(parts | active_ffn))


class _Fields:
    """Reads a configuration and says in one sentence what is wrong with it."""

    def __init__(self, config: Config) -> None:
        if not isinstance(config, Mapping):
            raise ValueError(
                f"config is a {type(config).__name__}; give a dictionary such as json.load makes "
                "of a config.json."
            )
        self.config = config

    def require(self, name: str) -> Any:
        if name not in self.config:
            raise ValueError(f"config has no field {name!r}; the count needs it.")
        return self.config[name]

    def size(self, name: str, lowest: int = 1) -> int:
        return whole_number(f"config field {name!r}", self.require(name), lowest)

    def flag(self, name: str) -> bool:
        return bool(self.config.get(name, False))


def head_width(config: Config) -> int:
    """The width of one head's key where a head has keys of its own (Qwen2, Qwen3, Llama).

    A config that is silent about it means the width over the heads, and a Qwen3's 128: what
    transformers builds from it. Raises ValueError as `count_parameters` does.
    """
    fields = _Fields(config)
    if config.get("head_dim") is not None:
        return fields.size("head_dim")
    if config.get("model_type") == "qwen3":
        return 128
    return fields.size("hidden_size") // fields.size("num_attention_heads")


def _grouped_attention(fields: _Fields, width: int) -> int:
    """Qwen2 always has biases, but none behind its output; Qwen3's queries and keys have norms."""
    heads, shared = fields.size("num_attention_heads"), fields.size("num_key_value_heads")
    size, kind = head_width(fields.config), fields.config["model_type"]
    out_of_qkv = (heads + 2 * shared) * size
    biased = fields.flag("attention_bias")
    biases = out_of_qkv if kind == "qwen2" else biased * (out_of_qkv + width)
    norms = 2 * size if kind == "qwen3" else 0
    return width * out_of_qkv + heads * size * width + biases + norms


def _latent_attention(fields: _Fields, width: int) -> int:
    """Multi-head latent attention: queries and keys/values each go through a narrow latent."""
    heads, latent = fields.size("num_attention_heads"), fields.size("kv_lora_rank")
    plain, rotary = fields.size("qk_nope_head_dim"), fields.size("qk_rope_head_dim")
    value = fields.size("v_head_dim")
    queries = heads * (plain + rotary)
    biased = fields.flag("attention_bias")
    if fields.require("q_lora_rank") is None:
        query = width * queries
    else:
        rank = fields.size("q_lora_rank")
        query = width * rank + biased * rank + rank + rank * queries  # down, norm, up
    compress = (width + biased) * (latent + rotary) + latent  # down with the rotary key, norm
    expand = latent * heads * (plain + value)
    return query + compress + expand + heads * value * width + biased * width


_ATTENTION: dict[str, Callable[[_Fields, int], int]] = {
    "deepseek_v3": _latent_attention,
    "qwen2": _grouped_attention,
    "qwen3": _grouped_attention,
    "llama": _grouped_attention,
}


def has_ffn_bias(config: Config) -> bool:
    """Whether a dense layer's products have biases: Llama alone asks its config for that."""
    return config.get("model_type") == "llama" and bool(config.get("mlp_bias", False))


def _dense_ffn(fields: _Fields, layers: int, width: int) -> tuple[dict[str, int], dict[str, int]]:
    inner = fields.size("intermediate_size")
    biased = has_ffn_bias(fields.config)
    one = 3 * width * inner + biased * (2 * inner + width)
    parts = {"dense ffn": layers * one}
    return parts, parts


def _moe_ffn(fields: _Fields, layers: int, width: int) -> tuple[dict[str, int], dict[str, int]]:
    dense = min(fields.size("first_k_dense_replace", lowest=0), layers)
    sparse, experts = layers - dense, fields.size("n_routed_experts")
    chosen = fields.size("num_experts_per_tok")
    if chosen > experts:
        raise ValueError(
            f"config field 'num_experts_per_tok' is {chosen}; allowed are 1 to "
            f"'n_routed_experts', {experts}."
        )
    expert = expert_parameters(fields.config)
    parts = {
        "dense ffn": dense * 3 * width * fields.size("intermediate_size"),
        "shared experts": sparse * fields.size("n_shared_experts", lowest=0) * expert,
        "router": sparse * experts * width,
        "router bias": sparse * experts,
        "routed experts": sparse * experts * expert,
    }
    return parts, parts | {"routed experts": sparse * chosen * expert}


def expert_parameters(config: Config) -> int:
    """Parameters of one routed expert of a DeepSeek-V3 style `config`: gate, up and down."""
    fields = _Fields(config)
    return 3 * fields.size("hidden_size") * fields.size("moe_intermediate_size")


def flops_per_token(config: Config, context: int = 0) -> int:
    """Floating-point operations of one token's forward pass, a multiply and an add for a weight.

    2 for each active weight, without the input embedding (a lookup) but with the head; plus, for
    every one of `context` earlier tokens, the attention's scores and sums in the plain form of one
    key and one value per head. Norms, activations and the softmax are left out: under 1 %.
    """
    count, fields = count_parameters(config), _Fields(config)
    context = whole_number("context", context, lowest=0)
    head = 0 if count.parts["head"] else count.parts["embedding"]
    heads = fields.size("num_attention_heads")
    if config["model_type"] == "deepseek_v3":
        key = fields.size("qk_nope_head_dim") + fields.size("qk_rope_head_dim")
        per_head = key + fields.size("v_head_dim")
    else:
        per_head = 2 * head_width(config)
    attention = 2 * context * fields.size("num_hidden_layers") * heads * per_head
    return 2 * (count.active_without_embedding + head) + attention


def resident_bytes(config: Config, bytes_per_parameter: float = 2.0) -> int:
    """Bytes of memory that must hold the weights before the first token: all of them.

    2 bytes a parameter is BF16, 1 is FP8, 0.5 is 4 bits without the scales of their blocks.
    """
    return round(count_parameters(config).total * _positive_bytes(bytes_per_parameter))


def bytes_read(config: Config, tokens: int = 1, bytes_per_parameter: float = 2.0) -> int:
    """Bytes of weights that one forward pass over `tokens` tokens reads from memory.

    Everything but the experts is read once, whatever the number of tokens, and of the embedding one
    row per token. Of the routed experts those that some token chose are read, in expectation for
    even and independent routes.
    """
    tokens = whole_number("tokens", tokens, lowest=1)
    size = _positive_bytes(bytes_per_parameter)
    count, fields = count_parameters(config), _Fields(config)
    table = count.parts["embedding"]
    tied = not count.parts["head"]
    weights: float = count.total - table - count.parts.get("routed experts", 0)
    weights += table if tied else min(tokens * fields.size("hidden_size"), table)
    if "routed experts" in count.parts:
        n, chosen = fields.size("n_routed_experts"), fields.size("num_experts_per_tok")
        layers = count.parts["routed experts"] // (n * expert_parameters(config))
        touched = expected_experts_touched(n, chosen, tokens)
        weights += layers * touched * expert_parameters(config)
    return round(weights * size)


def _positive_bytes(value: float) -> float:
    if not 0 < real_number("bytes_per_parameter", value) <= 8:
        raise ValueError(f"bytes_per_parameter is {value}; it must be above 0 and at most 8.")
    return value


def expected_experts_touched(n: int, top_k: int, tokens: int) -> float:
    """How many of a layer's `n` experts at least one of `tokens` tokens chooses, in expectation.

    n * (1 - (1 - top_k / n) ** tokens): a token misses an expert with probability 1 - top_k / n,
    and tokens route independently and evenly. Raises ValueError for numbers that do not fit.
    """
    n, top_k = whole_number("n", n, lowest=1), whole_number("top_k", top_k, lowest=1)
    tokens = whole_number("tokens", tokens, lowest=0)
    if top_k > n:
        raise ValueError(f"top_k is {top_k}; allowed are 1 to n, {n}.")
    return n * (1 - (1 - top_k / n) ** tokens)
