"""Multi-head latent attention against transformers, against itself absorbed, and token by token."""

import pytest
import torch
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import (
    DeepseekV3Attention,
    DeepseekV3RotaryEmbedding,
)

from course_lib.errors import CourseError
from course_lib.model.latent_attention import latent_attention, rotate, weights_of

HEADS, TOKENS, WIDTH = 4, 12, 32


@pytest.fixture(params=[None, 24], ids=["plain query", "query latent"])
def theirs(request):
    torch.manual_seed(0)
    config = DeepseekV3Config(
        hidden_size=WIDTH, num_attention_heads=HEADS, num_key_value_heads=HEADS,
        q_lora_rank=request.param, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=6,
        v_head_dim=10, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        attn_implementation="eager",
    )  # fmt: skip
    module = DeepseekV3Attention(config, 0).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.0 if parameter.ndim > 1 else 1.0, 0.3)
    return module


@torch.no_grad()
def expected(module, x):
    positions = DeepseekV3RotaryEmbedding(module.config)(x[None], torch.arange(len(x))[None])
    future = torch.full((len(x), len(x)), -torch.inf).triu(1)[None, None]
    return module(x[None], positions, future)[0][0]


@pytest.mark.parametrize("absorbed", [False, True])
@torch.no_grad()
def test_it_is_transformers_attention_plain_and_absorbed(theirs, absorbed):
    x = torch.randn(TOKENS, WIDTH)
    ours, cache = latent_attention(x, weights_of(theirs), HEADS, absorbed=absorbed)
    assert (ours - expected(theirs, x)).abs().max() < 1e-6 * max(1, ours.abs().max())
    assert cache.shape == (TOKENS, 16 + 6)


@pytest.mark.parametrize("absorbed", [False, True])
@torch.no_grad()
def test_token_by_token_with_the_cache_is_all_at_once(theirs, absorbed):
    x, w = torch.randn(TOKENS, WIDTH), weights_of(theirs)
    whole, kept = latent_attention(x, w, HEADS)
    out, cache = latent_attention(x[:5], w, HEADS, absorbed=absorbed)
    parts = [out]
    for token in x[5:]:
        out, cache = latent_attention(token[None], w, HEADS, cache, absorbed)
        parts.append(out)
    assert (torch.cat(parts) - whole).abs().max() < 1e-5 and (cache - kept).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10_000.0, "factor": 40.0}},
            "yarn",
        ),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, "rope_theta 1000000"),
        ({"attention_bias": True}, "attention_bias True"),
        ({"rope_interleave": False}, "rope_interleave False"),
    ],
)
def test_attention_that_would_give_other_numbers_is_refused(theirs, change, said):
    for name, value in change.items():
        setattr(theirs.config, name, value)
    with pytest.raises(CourseError, match=said):
        weights_of(theirs)


def test_attention_of_another_kind_is_refused(random_models):
    with pytest.raises(CourseError, match="attention_bias None"):
        weights_of(random_models["qwen2"].model.layers[0].self_attn)


def test_rotated_products_depend_on_the_distance_alone():
    query, key = torch.randn(1, 6), torch.randn(1, 6)
    near = rotate(query, 3) @ rotate(key, 1).T
    assert (rotate(query, 13) @ rotate(key, 11).T - near).abs() < 1e-5
    assert (rotate(query, 13) @ rotate(key, 1).T - near).abs() > 1e-3
