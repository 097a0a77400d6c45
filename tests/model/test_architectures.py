"""Every decoder family of transformers is sampled and scored as by itself, or refused by name."""

import warnings

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from course_lib.errors import CourseError
from course_lib.model import own_forward, rollout
from course_lib.rl.learner import completion_logprobs

pytestmark = pytest.mark.slow

SIZES = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
    initializer_range=0.5, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
WINDOW = {"sliding_window": 4}
LATENT = dict(
    kv_lora_rank=8, q_lora_rank=None, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=8,
    n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, moe_intermediate_size=16,
    first_k_dense_replace=1, num_key_value_heads=4,
)  # fmt: skip
SAMPLED = {
    "apertus": {},
    "arcee": {},
    "bitnet": {},
    "cohere": {"logit_scale": 0.0625},
    "cohere2": {"logit_scale": 0.0625, "head_dim": 8, **WINDOW},
    "deepseek_v3": LATENT,
    "doge": {},
    "ernie4_5": {},
    "exaone4": {"head_dim": 8},
    "gemma": {"head_dim": 8},
    "gemma2": {
        "head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0,
        "attn_logit_softcapping": 2.0, **WINDOW,
    },
    "gemma3_text": {"head_dim": 8, "final_logit_softcapping": 2.0, **WINDOW},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "gpt2": {"n_positions": 128},
    "gpt_neox": {},
    "gpt_oss": {
        "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, **WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "granite": {"logits_scaling": 8.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5},
    "granitemoe": {"logits_scaling": 8.0},
    "llama": {"head_dim": 16},
    "mistral": {"head_dim": 8, **WINDOW},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, **WINDOW},
    "olmo": {},
    "olmo2": {},
    "olmo3": {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "opt": {"word_embed_proj_dim": 32, "ffn_dim": 48},
    "phi": {},
    "phi3": {**WINDOW},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1, **WINDOW},
    "qwen3": {"head_dim": 8},
    "seed_oss": {"head_dim": 8},
    "smollm3": {},
    "starcoder2": {**WINDOW},
    "vaultgemma": {"head_dim": 8, "final_logit_softcapping": 2.0, **WINDOW},
}  # fmt: skip
REFUSED = [
    "bloom",
    "falcon_mamba",
    "llama4_text",
    "mamba",
    "nemotron",
    "openai-gpt",
    "rwkv",
    "xglm",
]
PROMPTS = [[5, 6, 7, 8, 9, 10, 11, 12], [9, 3, 4], [40, 41, 42, 43, 44]]


def tiny(kind, **settings):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = AutoConfig.for_model(kind, **{**SIZES, **settings})
        return AutoModelForCausalLM.from_config(config).eval()


def greedy(model, prompt, steps):
    """What the model's own forward pass, without any cache, would write."""
    ids = list(prompt)
    for _ in range(steps):
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


@torch.no_grad()
@pytest.mark.parametrize("kind", SAMPLED)
def test_a_family_is_sampled_and_scored_as_by_itself(kind):
    model = tiny(kind, **SAMPLED[kind])
    ours = rollout.generate(model, PROMPTS, max_new_tokens=10, eos=-1, temperature=0)
    for prompt, row in zip(PROMPTS, ours.ids.tolist(), strict=True):
        assert row == greedy(model, prompt, 10)
    logp, _ = completion_logprobs(model, ours, torch.ones_like(ours.ids), 0.7)
    for prompt, row, given in zip(PROMPTS, ours.ids.tolist(), logp, strict=True):
        logits = model(torch.tensor([prompt + row]), use_cache=False).logits[0, :-1] / 0.7
        wanted = logits.log_softmax(-1)[len(prompt) - 1 :, :].gather(1, torch.tensor(row)[:, None])
        assert torch.allclose(given, wanted[:, 0], atol=1e-4)
    many = torch.arange(len(PROMPTS)).repeat_interleave(6)  # now each prompt is read once
    again, _ = completion_logprobs(model, ours.take(many), torch.ones_like(ours.ids[many]), 0.7)
    assert torch.allclose(again, logp[many], atol=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_sampled_is_refused_by_name(kind):
    with pytest.raises(CourseError, match=rf"\({kind}\) cannot be sampled here: .+\. Use"):
        rollout.generate(tiny(kind), PROMPTS, max_new_tokens=4, eos=2)


def test_a_cap_and_a_window_that_are_forgotten_would_be_seen(monkeypatch):
    attention = own_forward.KVBuffer.mask
    monkeypatch.setattr(
        own_forward.KVBuffer, "mask", lambda self, new, total, window: attention(self, new, total)
    )
    with pytest.raises(CourseError, match="other probabilities"):
        own_forward.way(tiny("mistral", **SAMPLED["mistral"]))


def test_any_of_several_eos_ids_ends_a_completion():
    model = tiny("llama")
    free = rollout.generate(model, PROMPTS, max_new_tokens=12, eos=-1, temperature=0)
    ends = [int(free.ids[0, 2]), int(free.ids[1, 4])]
    ended = rollout.generate(model, PROMPTS, max_new_tokens=12, eos=ends, temperature=0)
    for row, whole, length in zip(
        ended.ids.tolist(), free.ids.tolist(), ended.lengths, strict=True
    ):
        first = next((i for i, token in enumerate(whole) if token in ends), len(whole) - 1)
        assert length == first + 1 and row[: first + 1] == whole[: first + 1]
    streamed = list(rollout.stream(model, PROMPTS[0], max_new_tokens=12, eos=ends, temperature=0))
    assert streamed == ended.ids[0, : ended.lengths[0]].tolist()
