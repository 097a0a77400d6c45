"""The shapes of the R1 family: what the models' own `config.json` files say, as far as it counts.

Parameters, memory and speed all follow from these few numbers. Sources: `inference/configs` of
DeepSeek-V3's repository for R1, and the distills' repositories on the Hugging Face hub.
"""

from types import MappingProxyType
from typing import Any

_R1 = {
    "model_type": "deepseek_v3",
    "vocab_size": 129_280,
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "intermediate_size": 18_432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "n_group": 8,
    "topk_group": 4,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "max_position_embeddings": 163_840,
    "tie_word_embeddings": False,
}


def _dense(
    kind: str, layers: int, hidden: int, heads: int, kv_heads: int, inner: int, vocabulary: int
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "max_position_embeddings": 131_072,
        "tie_word_embeddings": False,
    }


CONFIGS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "R1-Distill-Qwen-1.5B": _dense("qwen2", 28, 1536, 12, 2, 8960, 151_936),
        "R1-Distill-Qwen-7B": _dense("qwen2", 28, 3584, 28, 4, 18_944, 152_064),
        "R1-Distill-Llama-8B": _dense("llama", 32, 4096, 32, 8, 14_336, 128_256),
        "R1-Distill-Qwen-14B": _dense("qwen2", 48, 5120, 40, 8, 13_824, 152_064),
        "R1-Distill-Qwen-32B": _dense("qwen2", 64, 5120, 40, 8, 27_648, 152_064),
        "R1-Distill-Llama-70B": _dense("llama", 80, 8192, 64, 8, 28_672, 128_256),
        "R1-0528-Qwen3-8B": _dense("qwen3", 36, 4096, 32, 8, 12_288, 151_936) | {"head_dim": 128},
        "R1": _R1,
    }
)

DISTILLS = tuple(name for name in CONFIGS if "Distill" in name)
"""The six distills, smallest first."""

OLLAMA_TAGS: MappingProxyType[str, str] = MappingProxyType(
    {
        "deepseek-r1:1.5b": "R1-Distill-Qwen-1.5B",
        "deepseek-r1:7b": "R1-Distill-Qwen-7B",
        "deepseek-r1:8b": "R1-0528-Qwen3-8B",
        "deepseek-r1:8b-llama-distill-q4_K_M": "R1-Distill-Llama-8B",
        "deepseek-r1:14b": "R1-Distill-Qwen-14B",
        "deepseek-r1:32b": "R1-Distill-Qwen-32B",
        "deepseek-r1:70b": "R1-Distill-Llama-70B",
        "deepseek-r1:671b": "R1",
    }
)
"""Ollama's tags, all of them Q4_K_M files, and the model behind each."""
