"""Group relative policy optimisation (GRPO) as arithmetic: tensors in, tensors out, nothing kept.

The rules are those of DeepSeekMath (Shao et al., arXiv 2402.03300, section 4.1), which R1-Zero was
trained with, and of two later corrections: DAPO (arXiv 2503.14476) and Dr. GRPO (arXiv 2503.20783).

Three choices differ between papers and libraries, so they are named here: the standard deviation
of a group is that of the sample or of the population; it is divided by after `eps` has been added;
and the mean over tokens is taken in each completion first, or over all tokens at once.
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor

from course_lib.errors import real_number
from course_lib.rl import kl as estimates
from course_lib.rl.kl import Estimator, difference

Std = Literal["sample", "population", "none"]
Reduce = Literal["sequence", "token", "constant"]
Level = Literal["token", "sequence"]

_FURTHEST = 80.0  # a ratio's logarithm; from 88 on float32 has infinity, whose gradient is NaN
_CORRECTION = {"sample": 1, "population": 0}  # what is taken from the group's size under the root


def group_advantages(rewards: Tensor, *, std: Std = "sample", eps: float = 1e-4) -> Tensor:
    """How much better each completion did than its group: `(reward - mean) / (std + eps)`.

    `rewards` is (groups, size), one row for the completions of one prompt, and so is the result;
    lists and arrays are taken too.
    `std` is `"sample"` (divide by size - 1, as TRL does), `"population"` (by size, as numpy does)
    or `"none"`: only the mean is taken off, as Dr. GRPO does, and `eps` is not used. A group whose
    rewards are all equal gets exactly 0. Whole-number rewards are taken as float32.

    Raises ValueError for rewards that are not finite or not (groups, size), for a group of one, and
    for rewards so large that sums of them leave the range of their type.
    """
    rewards = torch.as_tensor(rewards)
    _check_rewards(rewards, std, eps)
    if not rewards.is_floating_point():
        rewards = rewards.float()
    equal = (rewards == rewards[:, :1]).all(1, keepdim=True)
    # The mean of equal floats may miss them by a rounding error, which the division would blow up.
    centred = (rewards - rewards.mean(1, keepdim=True)).masked_fill(equal, 0.0)
    if std == "none":
        return _within_range(centred)
    away = _within_range(rewards.std(1, correction=_CORRECTION[std], keepdim=True))
    return (_within_range(centred) / (away + eps)).masked_fill(equal, 0.0)


def _within_range(values: Tensor) -> Tensor:
    """Refuses what finite rewards may come to: an infinite deviation would make advantages 0."""
    if not bool(torch.isfinite(values).all()):
        raise ValueError(
            "rewards has values so large that a group's mean or deviation is not finite in "
            f"{values.dtype}; allowed are smaller ones (divide all of them by the same number)."
        )
    return values


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float | tuple[float, float] = (0.2, 0.2),
    ref_logp: Tensor | None = None,
    kl: float = 0.0,
    reduce: Reduce = "sequence",
    max_length: int | None = None,
    level: Level = "token",
    estimator: Estimator = "k3",
    weights: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The clipped surrogate of PPO with GRPO's advantages, plus `kl` times the distance to `ref`.

    `logp`, `old_logp`, `ref_logp` are log-probabilities (completions, tokens) of the sampled
    tokens under the policy being trained, the one that sampled, and the reference. `advantages` is
    (completions,). Only `logp` gets a gradient; the rest are constants, whatever graph they hang
    on. `mask` (completions, tokens) is 1 or True where a token counts, and what stands elsewhere is
    never looked at. `clip` is how far the ratio may go below and above 1 before its gradient stops:
    one number, or two. `level` says whose ratio: see `ratios`. `estimator` is `kl`'s.
    `reduce` says how tokens are averaged: see `token_weights`. `weights` (completions, tokens)
    multiply the surrogate: see `truncated_weights`.
    Returns the loss, a scalar (float32 at least), and `clip_fraction` (share of the tokens whose
    gradient the clip stops), `kl` (mean over tokens, 0.0 without `ref_logp`) and `ratio_max`.
    Raises ValueError for shapes that do not fit, a mask without tokens, or numbers not finite.
    """
    _check_policy(logp, old_logp, ref_logp, advantages, mask, weights)
    _check_options(kl, ref_logp, estimator)
    sides = (logp, old_logp, advantages[:, None], mask := mask.bool())
    surrogate, ratio, clipped = clipped_surrogate(*sides, clip, level)
    if weights is not None:
        surrogate = surrogate * weights.detach().masked_fill(~mask, 0.0)
    estimate = estimates.ESTIMATORS[estimator]
    divergence = torch.zeros_like(ratio) if ref_logp is None else estimate(logp, ref_logp, mask)
    per_token = kl * divergence - surrogate if kl else -surrogate
    shares = token_weights(mask, reduce, max_length).to(per_token.dtype)
    return (per_token * shares).sum(), _stats(ratio, clipped, divergence, mask)


def _stats(ratio: Tensor, clipped: Tensor, divergence: Tensor, mask: Tensor) -> dict[str, float]:
    """What `policy_loss` says of a step besides the loss."""
    tokens = mask.sum()
    return {
        "clip_fraction": int(clipped.sum()) / int(tokens),
        "kl": float(divergence.detach().sum() / tokens),
        "ratio_max": float(ratio.detach().masked_fill(~mask, -math.inf).max()),
    }


def clipped_surrogate(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float | tuple[float, float],
    level: Level = "token",
) -> tuple[Tensor, Tensor, Tensor]:
    """`min(ratio * A, clip(ratio) * A)`, the ratio, and where the clip stops the gradient.

    All are (completions, tokens), and so are `advantages`, or (completions, 1) where a completion
    has one for all its tokens. Outside the boolean `mask` the three are 0, 1 and False.
    """
    ratio = ratios(logp, old_logp, mask, level)
    advantages = advantages.detach() * mask
    below, above = _two(clip)
    low, high = 1 - below, 1 + above
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
    clipped = ((ratio > high) & (advantages > 0)) | ((ratio < low) & (advantages < 0))
    return surrogate, ratio, clipped


def ratios(logp: Tensor, old_logp: Tensor, mask: Tensor, level: Level = "token") -> Tensor:
    """New probability over old, (completions, tokens), 1 outside the boolean `mask`.

    In float32 at least, and at most e ** 80.
    At `level` "token" each token has its own. At "sequence" all tokens of a completion have the
    completion's, the geometric mean of theirs: GSPO (Zheng et al., arXiv 2507.18071, equation 7),
    whose loss is that with `reduce="sequence"`.
    """
    if level not in ("token", "sequence"):
        raise ValueError(f"level is {level!r}; allowed are 'token' and 'sequence'.")
    log_ratio = difference(logp, old_logp.detach(), mask)
    if level == "sequence":
        mean = log_ratio.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        log_ratio = mean * mask
    return log_ratio.clamp(max=_FURTHEST).exp()


def truncated_weights(
    trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor, cap: float = 2.0
) -> Tensor:
    """Truncated importance sampling: `min(trainer's probability / sampler's, cap)` for each token.

    Where the program that samples and the one that trains disagree about a policy's probabilities,
    the surrogate times this is right again on average, but for what the cap cuts off and for the
    text before a token, which the sampler wrote too (Yao et al., 2025, "Your efficient RL framework
    secretly brings you off-policy RL training"). Both are (completions, tokens) of the *old*
    policy; the result has no gradient and is 1 outside `mask`.
    """
    return ratios(trainer_logp.detach(), sampler_logp, mask.bool()).clamp(
        max=real_number("cap", cap)
    )


def token_weights(mask: Tensor, reduce: Reduce, max_length: int | None = None) -> Tensor:
    """What each token counts for in the loss: (completions, tokens), float64, 0 outside `mask`.

    The loss is the sum of its tokens' values times these. `reduce` is `"sequence"` (mean over each
    completion's tokens, then over completions: DeepSeekMath), `"token"` (mean over all tokens:
    DAPO) or `"constant"` (sum over completions * `max_length`: Dr. GRPO). A completion without
    tokens counts as 0.
    """
    counted = mask.double()
    if reduce == "sequence":
        return counted / (len(mask) * counted.sum(1, keepdim=True).clamp(min=1))
    if reduce == "token":
        return counted / counted.sum().clamp(min=1)
    if reduce != "constant":
        raise ValueError(f"reduce is {reduce!r}; allowed are 'sequence', 'token' and 'constant'.")
    if max_length is None or not 1 <= real_number("max_length", max_length) < math.inf:
        raise ValueError(f"max_length is {max_length}; reduce='constant' needs at least 1 token.")
    return counted / (len(mask) * max_length)


def completion_mask(ids: Tensor, eos: int | Sequence[int]) -> Tensor:
    """Which tokens belong to each completion: all up to and including the first `eos`.

    `ids` is (completions, tokens); the result is boolean and of the same shape. What follows the
    first `eos` is out by its position, so padding may be `eos` itself; a completion that was cut
    off before any `eos` is in as a whole. `eos` is one id, or several of which any ends it.
    """
    require_tensors(ids=ids)
    if ids.ndim != 2:
        raise ValueError(f"ids has shape {tuple(ids.shape)}; allowed is (completions, tokens).")
    ended = torch.isin(ids, torch.as_tensor(eos, device=ids.device))
    return ended.cumsum(1) - ended.long() == 0


def _check_rewards(rewards: Tensor, std: str, eps: float) -> None:
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"rewards has shape {tuple(rewards.shape)}; allowed is (groups, size) with at "
            "least 2 in a group, because a group of one has nothing to be compared with."
        )
    if std not in ("sample", "population", "none"):
        raise ValueError(f"std is {std!r}; allowed are 'sample', 'population' and 'none'.")
    if not 0 <= real_number("eps", eps) < math.inf:
        raise ValueError(f"eps is {eps}; allowed is a finite number of at least 0.")
    bad = (~torch.isfinite(rewards)).nonzero()
    if len(bad):
        group, place = bad[0].tolist()
        given = float(rewards[group, place])
        raise ValueError(f"rewards[{group}, {place}] is {given}; allowed are finite numbers.")


def require_tensors(**given: Tensor | None) -> None:
    """Raises ValueError, by name, for a list or an array; None is left out."""
    for name, value in given.items():
        if not isinstance(value, Tensor | None):
            kind = type(value).__name__
            raise ValueError(f"{name} is a {kind}; allowed is a tensor, as torch.tensor makes.")


def _check_policy(
    logp: Tensor,
    old_logp: Tensor,
    ref_logp: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    weights: Tensor | None,
) -> None:
    require_tensors(logp=logp, old_logp=old_logp, advantages=advantages, mask=mask)
    require_tensors(ref_logp=ref_logp, weights=weights)
    if logp.ndim != 2:
        raise ValueError(f"logp has shape {tuple(logp.shape)}; allowed is (completions, tokens).")
    others = {
        "old_logp": old_logp,
        "mask": mask,
        "ref_logp": logp if ref_logp is None else ref_logp,
        "weights": logp if weights is None else weights,
    }
    for name, tensor in others.items():
        if tensor.shape != logp.shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; allowed is logp's, {tuple(logp.shape)}."
            )
    if advantages.shape != logp.shape[:1]:
        raise ValueError(
            f"advantages has shape {tuple(advantages.shape)}; allowed is ({len(logp)},), one for "
            "each completion."
        )
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ValueError("mask has values other than 0 and 1; allowed are 0, 1, False and True.")
    if not bool(mask.any()):
        raise ValueError(
            "mask is 0 everywhere; allowed is one with at least one token that counts."
        )
    _check_finite("advantages", advantages)
    for name, tensor in {"logp": logp, **others}.items():
        _check_finite(name, tensor.detach().masked_fill(mask == 0, 0))


def _check_finite(name: str, tensor: Tensor) -> None:
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise ValueError(
            f"{name} has {bad} values that are not finite; allowed are finite numbers."
        )


def _two(clip: float | tuple[float, float]) -> tuple[float, float]:
    pair: Any = (clip, clip) if isinstance(clip, Real) else clip
    try:
        below, above = map(float, pair)
    except (TypeError, ValueError):
        below = above = -1
    if not (below >= 0 and above >= 0):
        raise ValueError(f"clip is {clip}; allowed are two numbers of at least 0: (below, above).")
    return below, above


def _check_options(kl: float, ref_logp: Tensor | None, estimator: str) -> None:
    if not 0 <= real_number("kl", kl) < math.inf:
        raise ValueError(f"kl is {kl}; allowed is a finite number of at least 0.")
    estimates.require_known(estimator)
    if kl and ref_logp is None:
        raise ValueError(f"kl is {kl} and ref_logp is missing; allowed is kl=0 or both.")
