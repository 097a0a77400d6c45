"""The configurations of the R1 family, as far as they decide size and cost.

The fields and their names are those of the models' own `config.json` on the Hugging Face hub;
DeepSeek-R1 and R1-Zero have V3's. The six distills are dense: Qwen2 and Llama.
"""

from __future__ import annotations

from types import MappingProxyType

from course_lib.accounting import Config

DEEPSEEK_V3: Config = MappingProxyType(
    {
        "model_type": "deepseek_v3",
        "vocab_size": 129_280,
        "hidden_size": 7_168,
        "num_hidden_layers": 61,
        "first_k_dense_replace": 3,
        "intermediate_size": 18_432,
        "moe_intermediate_size": 2_048,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "n_group": 8,
        "topk_group": 4,
        "routed_scaling_factor": 2.5,
        "num_attention_heads": 128,
        "q_lora_rank": 1_536,
        "kv_lora_rank": 512,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "tie_word_embeddings": False,
    }
)


def _dense(
    model_type: str, layers: int, width: int, heads: int, key_heads: int, inner: int, words: int
) -> Config:
    return MappingProxyType(
        {
            "model_type": model_type,
            "vocab_size": words,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "intermediate_size": inner,
            "num_attention_heads": heads,
            "num_key_value_heads": key_heads,
            "tie_word_embeddings": False,
        }
    )


DISTILLS: dict[str, Config] = {
    "DeepSeek-R1-Distill-Qwen-1.5B": _dense("qwen2", 28, 1_536, 12, 2, 8_960, 151_936),
    "DeepSeek-R1-Distill-Qwen-7B": _dense("qwen2", 28, 3_584, 28, 4, 18_944, 152_064),
    "DeepSeek-R1-Distill-Llama-8B": _dense("llama", 32, 4_096, 32, 8, 14_336, 128_256),
    "DeepSeek-R1-Distill-Qwen-14B": _dense("qwen2", 48, 5_120, 40, 8, 13_824, 152_064),
    "DeepSeek-R1-Distill-Qwen-32B": _dense("qwen2", 64, 5_120, 40, 8, 27_648, 152_064),
    "DeepSeek-R1-Distill-Llama-70B": _dense("llama", 80, 8_192, 64, 8, 28_672, 128_256),
}

MODELS: dict[str, Config] = {"DeepSeek-R1": DEEPSEEK_V3, **DISTILLS}
"""R1 itself and its six distills, by name."""
