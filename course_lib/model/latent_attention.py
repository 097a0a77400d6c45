"""Multi-head latent attention as DeepSeek-V3 and R1 have it, plain and absorbed.

After the DeepSeek-V2 and V3 reports (arXiv 2405.04434, section 2.1; 2412.19437, section 2.1.1) and
transformers' `DeepseekV3Attention`. One text at a time, no batch dimension, float32. Positions turn
by plain rotary angles: R1 also stretches these, and with them the scale of the scores, for its
context of 128K (YaRN, arXiv 2309.00071), which is left out here.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import CourseError

THETA = 10_000.0
"""The base of the rotary angles."""


class LatentWeights(NamedTuple):
    """One attention part's matrices, each (out, in) as `nn.Linear` keeps them, and its norms."""

    query: Tensor  # (heads * (plain + rotary), d), or from the query's own latent
    down: Tensor  # (latent + rotary, d): what is kept of a token
    norm: Tensor  # (latent,)
    up: Tensor  # (heads * (plain + value), latent): every head's keys and values
    out: Tensor  # (d, heads * value)
    query_down: Tensor | None = None  # (query latent, d); the mini-V3 has none
    query_norm: Tensor | None = None


def weights_of(module: nn.Module) -> LatentWeights:
    """The weights of a `DeepseekV3Attention` of transformers.

    Raises CourseError for one that would compute other numbers here: with biases, with positions
    that are not plain rotary ones, or in half precision.
    """
    _require_plain(module)
    of = {name.removesuffix(".weight"): p for name, p in module.named_parameters()}
    return LatentWeights(
        of["q_b_proj"] if "q_b_proj" in of else of["q_proj"],
        of["kv_a_proj_with_mqa"],
        of["kv_a_layernorm"],
        of["kv_b_proj"],
        of["o_proj"],
        of.get("q_a_proj"),
        of.get("q_a_layernorm"),
    )


def _require_plain(module: Any) -> None:
    config, dtype = module.config, module.o_proj.weight.dtype
    rotary, wanted = config.rope_parameters, {"rope_type": "default", "rope_theta": THETA}
    others = {name: rotary.get(name) for name in wanted if rotary.get(name) != wanted[name]}
    told = {"attention_bias": False, "rope_interleave": True}
    has = {name: getattr(config, name, None) for name in told}  # other attention may lack them
    others |= {name: has[name] for name in told if has[name] != told[name]}
    if dtype.itemsize < 4:
        others["dtype"] = dtype
    if others:
        raise CourseError(
            f"This model's attention has {', '.join(f'{k} {v!r}' for k, v in others.items())}; "
            f"written out here is the one with rope_type 'default', rope_theta {THETA:g}, "
            "rope_interleave, without a bias, in float32 or wider. `rollout.generate` runs any."
        )


def latent_attention(
    x: Tensor,
    w: LatentWeights,
    heads: int,
    cache: Tensor | None = None,
    absorbed: bool = False,
    theta: float = THETA,
) -> tuple[Tensor, Tensor]:
    """`x`, (new tokens, d), looks back at itself and at `cache`: (new tokens, d), and a new cache.

    The cache, (all tokens, latent + rotary), holds one normed latent and one rotated key for each
    token, shared by all heads. Plain: every head unfolds its keys and values from it. Absorbed: the
    query goes down to the latent instead, and values are unfolded after the sum; the same numbers.
    """
    latent, value = len(w.norm), w.out.shape[1] // heads
    start, rotary = 0 if cache is None else len(cache), len(w.down) - latent
    narrow = x
    if w.query_down is not None and w.query_norm is not None:
        narrow = normed(F.linear(x, w.query_down), w.query_norm)
    query = F.linear(narrow, w.query).unflatten(-1, (heads, -1)).transpose(0, 1)
    turned = rotate(query[..., -rotary:], start, theta)  # (heads, new, rotary)
    kept = F.linear(x, w.down)
    kept = torch.cat([normed(kept[:, :latent], w.norm), rotate(kept[:, latent:], start, theta)], -1)
    cache = kept if cache is None else torch.cat([cache, kept])
    memory, position_key = cache.split([latent, rotary], -1)
    up_key, up_value = w.up.unflatten(0, (heads, -1)).tensor_split([-value], dim=1)
    if absorbed:
        scores = query[..., :-rotary] @ up_key @ memory.T
    else:
        scores = query[..., :-rotary] @ (memory @ up_key.mT).mT
    scores = (scores + turned @ position_key.T) / math.sqrt(query.shape[-1])
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(start + 1)
    looks = scores.masked_fill(future, -math.inf).softmax(-1)  # (heads, new, all)
    mixed = looks @ memory @ up_value.mT if absorbed else looks @ (memory @ up_value.mT)
    return F.linear(mixed.transpose(0, 1).flatten(1), w.out), cache


def normed(x: Tensor, weight: Tensor, epsilon: float = 1e-6) -> Tensor:
    """The root-mean-square norm over the last dimension, times `weight`."""
    return x * (x.square().mean(-1, keepdim=True) + epsilon).rsqrt() * weight


def rotate(x: Tensor, start: int, theta: float = THETA) -> Tensor:
    """Turn the pairs of `x`, (..., tokens, size), by their token's position, from `start` on."""
    tokens, size = x.shape[-2:]
    speeds = theta ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(start, start + tokens)[:, None] * speeds
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([even * cos - odd * sin, odd * cos + even * sin], -1)
