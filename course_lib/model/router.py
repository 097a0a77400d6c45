"""Mixture of experts as DeepSeek-V3 and R1 do it: the router, the layer, and keeping it in balance.

The rules are those of the DeepSeek-V3 technical report (arXiv 2412.19437, sections 2.1.2 and 4.2)
and of the code published with it. Only arithmetic stands here: tensors in, tensors out. Sizes and
costs are in `course_lib.model.accounting`.
"""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import real_number, whole_number

EPSILON = 1e-20
"""Added to the sum that weights are divided by: when every chosen score underflows to 0 the weights
are 0 and not 0/0. As in the modelling code that DeepSeek published with V3's weights and in
transformers; DeepSeek's own `inference/model.py` divides by the bare sum."""


def route(
    logits: Tensor,
    bias: Tensor | None,
    top_k: int,
    n_group: int = 1,
    topk_group: int = 1,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Choose `top_k` experts for every token and weigh them, by DeepSeek-V3's rule.

    `logits` is (tokens, experts); `bias`, (experts,), counts for choosing and never for weighting.
    Experts stand in `n_group` equal groups, of which the `topk_group` best stay: a group is worth
    the sum of its two best biased scores, and the others are out for good. The weights are the
    chosen experts' sigmoid scores divided by their sum plus `EPSILON`, times `scale`.

    Returns `(weights, experts)`, both (tokens, top_k), best biased score first; ties go to the
    lower number. The sums are done in float32 at least. Raises ValueError for arguments that do
    not fit, and for logits or bias that are not finite.
    """
    check_route(logits, bias, top_k, n_group, topk_group, scale)
    scores = logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()
    biased = scores if bias is None else scores + bias
    if n_group > 1:
        groups = biased.unflatten(-1, (n_group, -1))  # (tokens, groups, experts of the group)
        worth = groups.topk(2, dim=-1).values.sum(-1)
        lost = torch.ones_like(worth, dtype=torch.bool).scatter(-1, top(worth, topk_group), False)
        biased = groups.masked_fill(lost[..., None], -math.inf).flatten(-2)
    experts = top(biased, top_k)
    chosen = scores.gather(-1, experts)
    return scale * chosen / (chosen.sum(-1, keepdim=True) + EPSILON), experts


def top(values: Tensor, k: int) -> Tensor:
    """Where the `k` largest of the last dimension are, largest first, ties to the lower index.

    `torch.topk` leaves ties to chance, and a route worked out by hand has ties.
    """
    return values.sort(dim=-1, descending=True, stable=True).indices[..., :k]


def check_route(
    logits: Tensor, bias: Tensor | None, top_k: int, n_group: int, topk_group: int, scale: float
) -> None:
    """Raise ValueError, naming the argument, unless `route` can work with these."""
    _check_logits(logits)
    experts = logits.shape[1]
    if bias is not None:
        if not isinstance(bias, Tensor) or bias.is_complex() or tuple(bias.shape) != (experts,):
            raise ValueError(f"bias must be a tensor of the shape ({experts},), not {_kind(bias)}.")
        _check_finite("bias", bias)
    for name, value in (("top_k", top_k), ("n_group", n_group), ("topk_group", topk_group)):
        whole_number(name, value)
    if experts % n_group:
        raise ValueError(f"n_group is {n_group}; it must divide the {experts} experts of logits.")
    size = experts // n_group
    if n_group > 1 and size < 2:
        raise ValueError(
            f"n_group is {n_group} with {experts} experts; a group needs two experts or more, "
            "because it is judged by its two best."
        )
    if topk_group > n_group:
        raise ValueError(f"topk_group is {topk_group}; allowed are 1 to n_group, {n_group}.")
    if top_k > topk_group * size:
        raise ValueError(
            f"top_k is {top_k}; at most {topk_group * size} experts are left in "
            f"{topk_group} of {n_group} groups."
        )
    if not 0 < real_number("scale", scale) < math.inf:
        raise ValueError(f"scale is {scale}; it must be a finite number above 0.")


def _check_logits(logits: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.is_complex() or logits.dtype == torch.bool:
        raise ValueError(f"logits must be a tensor of real numbers, not {_kind(logits)}.")
    if logits.ndim != 2 or logits.shape[1] < 1:
        shape = tuple(logits.shape)
        raise ValueError(f"logits has the shape {shape}; it must be (tokens, experts).")
    _check_finite("logits", logits)


def _check_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} has NaN or infinite values; all must be finite.")


def _kind(value: object) -> str:
    if isinstance(value, Tensor):
        return f"one of {value.dtype} with the shape {tuple(value.shape)}"
    return type(value).__name__


def balance_bias(bias: Tensor, load: Tensor, step: float) -> Tensor:
    """The router's bias after one batch: `step` down for the overloaded, `step` up for the idle.

    This is the V3 report's balancing without an auxiliary loss: no gradient, only the sign of each
    expert's distance from the mean. `load` is what each expert got in the batch, as counts or
    shares; both are (..., experts), one row per layer if there are several. `step` is the report's
    bias update speed gamma: 0.001 for most of V3's pretraining and 0 at its end. An expert exactly
    at the mean keeps its bias. Returns a new tensor; raises ValueError if the shapes differ, a load
    is negative, something is not finite, or `step` is below 0.
    """
    if bias.shape != load.shape or bias.ndim < 1:
        raise ValueError(
            f"bias and load must both be (..., experts); they are {tuple(bias.shape)} "
            f"and {tuple(load.shape)}."
        )
    _check_finite("bias", bias)
    if not torch.isfinite(load).all() or (load < 0).any():
        raise ValueError(
            "load has values that are negative, NaN or infinite; give counts or shares."
        )
    if not 0 <= real_number("step", step) < math.inf:
        raise ValueError(f"step is {step}; it must be a finite number of at least 0.")
    # Doubles, so that counts are compared with their mean exactly.
    counts = load.double()
    away = counts.mean(-1, keepdim=True) - counts
    return bias + step * away.sign().to(bias.dtype)


def load(experts: Tensor, n: int) -> Tensor:
    """How many times each of `n` experts is named in `experts` (any shape): (n,), int64.

    Raises ValueError for numbers outside 0 to n - 1.
    """
    whole_number("n", n)
    whole = isinstance(experts, Tensor) and not experts.is_floating_point()
    if not whole or experts.dtype == torch.bool:
        raise ValueError(f"experts must hold whole numbers, not {_kind(experts)}.")
    if experts.numel() and not (int(experts.min()) >= 0 and int(experts.max()) < n):
        raise ValueError(
            f"experts names {int(experts.min())} to {int(experts.max())}; allowed are 0 to {n - 1}."
        )
    return torch.bincount(experts.flatten(), minlength=n)


def imbalance(load: Tensor) -> Tensor:
    """Largest load over the mean load, along the last dimension: 1 is perfect balance."""
    return load.amax(-1) / load.double().mean(-1)


def auxiliary_loss(logits: Tensor, experts: Tensor) -> Tensor:
    """The classic balancing loss, n * sum(share_i * affinity_i): a scalar, 1 at perfect balance.

    `logits` is (tokens, n) and `experts`, (tokens, top_k), the route taken. `share_i` is expert i's
    part of all choices and has no gradient; `affinity_i` is the batch's mean of its sigmoid score
    divided by the sum of the token's scores. Shares and affinities each sum to 1. Switch
    Transformer (arXiv 2101.03961, eq. 4) has the same formula with a softmax for the affinity;
    V3's small sequence-wise loss (eq. 17 to 20) has these sigmoids, one sequence at a time; it
    counts the top_k of the bare scores, which differ from the route where a bias or groups change
    the choice. Half precision is computed in float32.
    """
    _check_logits(logits)
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    if experts.ndim != 2 or len(experts) != len(logits) or experts.numel() == 0:
        raise ValueError(
            f"experts has the shape {tuple(experts.shape)}; it must be ({len(logits)}, top_k), "
            "one row for every row of logits, and not empty."
        )
    n = logits.shape[1]
    share = load(experts, n).to(logits.dtype) / experts.numel()
    scores = logits.sigmoid()
    affinity = (scores / (scores.sum(-1, keepdim=True) + EPSILON)).mean(0)
    return n * (share * affinity).sum()


class Experts(NamedTuple):
    """SwiGLU experts of width I over hidden states of width d, stacked as transformers does."""

    gate_up: Tensor  # (experts, 2 * I, d): the gate's rows, then the up projection's
    down: Tensor  # (experts, d, I)

    def run(self, expert: int, x: Tensor) -> Tensor:
        """One expert on `x`, (tokens, d): down(silu(gate(x)) * up(x)), (tokens, d)."""
        gate, up = F.linear(x, self.gate_up[expert]).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self.down[expert])


def moe_layer(
    x: Tensor,
    router: Tensor,
    experts: Experts,
    shared: Experts | None = None,
    bias: Tensor | None = None,
    **routing: Any,
) -> Tensor:
    """A mixture-of-experts layer: each token through its chosen experts and all shared ones.

    `x` is (tokens, d), `router` (experts, d); `routing` goes to `route`. An expert sees only the
    tokens that chose it, so the work grows with `top_k` and not with the number of experts. Shared
    experts take every token with weight 1. Returns (tokens, d), without the residual connection.
    """
    kind = torch.promote_types(x.dtype, torch.float32)  # in half precision experts would tie
    weights, chosen = route(F.linear(x.to(kind), router.to(kind)), bias, **routing)
    out = torch.zeros_like(x)
    for expert in chosen.unique().tolist():
        token, place = torch.where(chosen == expert)
        part = experts.run(expert, x[token]) * weights[token, place, None]
        out = out.index_add(0, token, part.to(out.dtype))
    if shared is not None:
        for expert in range(len(shared.down)):
            out = out + shared.run(expert, x)
    return out
