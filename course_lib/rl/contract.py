"""What a learner's own advantages and loss must be, tried on small numbers before any step.

The contract is the lesson's: `group_advantages(rewards)` and `policy_loss(logp, old_logp,
advantages, mask)`. What breaks it is told in one sentence, by the function's name, with the shapes.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from course_lib.errors import CourseError
from course_lib.rl.identity import name_of

TOKENS = 6


@dataclass(frozen=True)
class Nature:
    """How a loss takes its mean, and whether completions without advantage may be left out.

    `mean` says how the losses of parts make the loss of all: weighed by completions ("sequence",
    "constant"), by tokens ("token"), or not at all, so that all must be given at once ("whole").
    """

    mean: Literal["sequence", "constant", "token", "whole"]
    skips: bool


def check_advantages(function: Callable[..., Any]) -> None:
    """Raises CourseError unless `function` makes finite (groups, samples) advantages of rewards."""
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    name = f"Your `{name_of(function)}`"
    given = f"for rewards of shape {tuple(rewards.shape)}"
    found = _called(function, name, given, rewards.clone())
    if not isinstance(found, Tensor):
        raise CourseError(f"{name} gives a {type(found).__name__} {given}, not a tensor.")
    if found.shape != rewards.shape:
        raise CourseError(
            f"{name} gives shape {tuple(found.shape)} {given}; it should be the same shape, one "
            "advantage for each completion."
        )
    bad = (~torch.isfinite(found)).any(1)
    if bool(bad[2]) and not bool(bad[:2].any()):
        raise CourseError(
            f"{name} gives {float(found[2, 0])} {given} where all of a group are equal (row 2): "
            "its standard deviation is 0, so add eps to what you divide by."
        )
    if bool(bad.any()):
        raise CourseError(f"{name} gives numbers that are not finite {given}.")
    # A baseline makes the run steadier and is not needed for it: plain REINFORCE has none.
    if not bool(found[0, [0, 3]].min() > found[0, [1, 2]].max() and found[1, 3] > found[1].min()):
        raise CourseError(
            f"{name} does not tell better from worse {given}: in a group the larger reward should "
            f"have the larger advantage, and rewards {rewards[0].tolist()} have "
            f"{[round(x, 4) for x in found[0].tolist()]}."
        )


def look_into(loss: Callable[..., Any]) -> Nature:
    """Try a loss on small numbers and see how it takes its mean. Raises CourseError: see module."""
    name = f"Your `{name_of(loss)}`"
    batch = _batch()
    whole, slope = _measured(loss, name, batch)
    if not bool(slope[batch[3]].any()):
        raise CourseError(
            f"{name} has a gradient of 0 everywhere for {_shapes(batch)}; nothing would be learnt."
        )
    _check_mask(loss, name, batch, whole, slope)
    _check_sign(loss, name, batch)
    return Nature(_mean(loss, name, batch, slope), _skips(loss, name, batch, slope))


def names_taken(function: Callable[..., Any]) -> set[str]:
    """The names of a function's arguments."""
    return set(inspect.signature(function).parameters)


def parts(found: Any) -> tuple[Tensor, dict[str, float]]:
    """A loss's result as a scalar and figures: it may be the scalar alone."""
    loss, stats = found if isinstance(found, tuple) else (found, {})
    return loss.squeeze(), stats


Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def _batch() -> Batch:
    """Log-probabilities of unequal completions, padded; one has no advantage."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([[6], [3], [2], [4]])
    mask = torch.arange(TOKENS) < lengths
    logp = -0.5 - torch.rand(len(mask), TOKENS, generator=generator)
    old = logp + 0.05 * torch.randn(len(mask), TOKENS, generator=generator)
    return (logp * mask, old * mask, torch.tensor([1.0, -0.5, 0.75, 0.0]), mask)


def _measured(loss: Callable[..., Any], name: str, batch: Batch) -> tuple[float, Tensor]:
    """A loss's value and its gradient by logp, (completions, tokens)."""
    logp, old, advantages, mask = batch
    leaf = logp.clone().requires_grad_()
    found = _called(loss, name, f"for {_shapes(batch)}", leaf, old, advantages, mask)
    value = found[0] if isinstance(found, tuple) and len(found) == 2 else found
    if value is not found:
        _check_stats(found[1], name)
    if not isinstance(value, Tensor):
        raise CourseError(
            f"{name} gives a {type(value).__name__} for {_shapes(batch)}; it should be a tensor, "
            "so that there is a gradient (no float(), .item() or NumPy on the way)."
        )
    if value.numel() != 1:
        raise CourseError(
            f"{name} gives shape {tuple(value.shape)} for {_shapes(batch)}; it should be one "
            "number, the mean."
        )
    if not bool(torch.isfinite(value).all()):
        raise CourseError(f"{name} gives {float(value.detach())} for {_shapes(batch)}.")
    if not value.requires_grad:
        raise CourseError(
            f"{name} gives a number without a gradient for {_shapes(batch)}: logp was detached, or "
            "computed under torch.no_grad()."
        )
    (slope,) = torch.autograd.grad(value.squeeze(), leaf, allow_unused=True)
    if slope is None:
        raise CourseError(f"{name} does not depend on logp for {_shapes(batch)}; no gradient.")
    if not bool(torch.isfinite(slope).all()):
        raise CourseError(f"{name} has a gradient that is not finite for {_shapes(batch)}.")
    return float(value.detach()), slope


def _check_stats(stats: Any, name: str) -> None:
    """Of a learner's figures the run logs two; they must be numbers."""
    said = "it should be a dict, with numbers for `clip_fraction` and `kl` where it has them."
    if not isinstance(stats, Mapping):
        raise CourseError(f"{name} gives a loss and a {type(stats).__name__}; {said}")
    for key in {"clip_fraction", "kl"} & set(stats):
        value = stats[key]
        one = isinstance(value, Real) or (isinstance(value, Tensor) and value.numel() == 1)
        if not one or not math.isfinite(value):
            raise CourseError(f"{name} gives a loss and {key} {value!r}; {said}")


def _check_sign(loss: Callable[..., Any], name: str, batch: Batch) -> None:
    """Where the ratio is 1, a step down the loss must make the better completion likelier."""
    logp, _, advantages, mask = batch
    slopes = [_measured(loss, name, (logp, logp, a, mask))[1] for a in (advantages, -advantages)]
    # what the advantages themselves do: a term that does not look at them is in both
    pull = (slopes[0] - slopes[1])[advantages == 1].sum()
    if float(pull) > 0:
        raise CourseError(
            f"{name} has the wrong sign for {_shapes(batch)}: its gradient makes completions with "
            "advantage 1 less likely; the optimiser goes down, so a gain is taken with a minus."
        )


def _check_mask(
    loss: Callable[..., Any], name: str, batch: Batch, value: float, slope: Tensor
) -> None:
    """Neither what stands in the padding nor how much of it there is may count."""
    logp, old, advantages, mask = batch
    filled = (logp.masked_fill(~mask, -3.0), old.masked_fill(~mask, -2.9), advantages, mask)
    wide = (pad(logp, (0, 3)), pad(old, (0, 3)), advantages, pad(mask, (0, 3)))
    for what, other in {"other numbers stand in": filled, "there is more of": wide}.items():
        again, steps = _measured(loss, name, other)
        same = torch.allclose(steps[:, :TOKENS], slope, rtol=1e-4, atol=1e-6)
        if abs(again - value) > 1e-5 + 1e-4 * abs(value) or not same:
            raise CourseError(
                f"{name} counts padding: for {_shapes(batch)} it gives {value:.4f}, and "
                f"{again:.4f} where {what} the padding; only tokens where the mask is True count."
            )


def _mean(
    loss: Callable[..., Any], name: str, batch: Batch, slope: Tensor
) -> Literal["sequence", "token", "whole"]:
    """How the gradients of two halves make the gradient of the whole."""
    mask = batch[3]
    halves = [torch.tensor([0, 3]), torch.tensor([1, 2])]
    found = torch.zeros_like(slope)
    for half in halves:
        cut = (batch[0][half], batch[1][half], batch[2][half], mask[half])
        found[half] = _measured(loss, name, cut)[1]
    shares = {
        "sequence": [len(half) / len(mask) for half in halves],
        "token": [float(mask[half].sum() / mask.sum()) for half in halves],
    }
    for kind, weights in shares.items():
        made = found.clone()
        for half, weight in zip(halves, weights, strict=True):
            made[half] *= weight
        if torch.allclose(made, slope, rtol=1e-4, atol=1e-7):
            return "sequence" if kind == "sequence" else "token"
    return "whole"


def _skips(loss: Callable[..., Any], name: str, batch: Batch, slope: Tensor) -> bool:
    """Whether a completion without advantage moves nothing, itself or the others."""
    logp, old, advantages, mask = batch
    dull = advantages == 0
    other = (logp.masked_fill(dull[:, None] & mask, -2.0), old, advantages, mask)
    again = _measured(loss, name, other)[1]
    alone = not bool(slope[dull].any()) and not bool(again[dull].any())
    return alone and torch.allclose(again[~dull], slope[~dull], rtol=1e-4, atol=1e-7)


def _called(function: Callable[..., Any], name: str, given: str, *values: Tensor) -> Any:
    try:
        return function(*values)
    except Exception as error:
        raise CourseError(f"{name} fails {given}: {type(error).__name__}: {error}") from error


def _shapes(batch: Batch) -> str:
    names = ("logp", "old_logp", "advantages", "mask")
    said = (f"{name} {tuple(t.shape)}" for name, t in zip(names, batch, strict=True))
    return ", ".join(said)
