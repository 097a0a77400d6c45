"""A route worked out line by line, with every number that leads to it: for people to read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from course_lib.model.router import load, route


@dataclass(frozen=True)
class Line:
    """One expert's way to its weight."""

    expert: int
    group: int
    logit: float
    score: float
    bias: float
    stays: bool  # whether its group does
    chosen: bool
    weight: float

    @property
    def biased(self) -> float:
        """The score that counts for choosing."""
        return self.score + self.bias


@dataclass(frozen=True)
class RouteTable:
    """One token's route: a line for each expert, each group's worth, and what weights share."""

    lines: tuple[Line, ...]
    worth: tuple[float, ...]
    scale: float

    @property
    def chosen(self) -> list[Line]:
        """The chosen experts, best biased score first."""
        return sorted((line for line in self.lines if line.chosen), key=lambda x: -x.biased)

    @property
    def total(self) -> float:
        """The sum of the chosen experts' unbiased scores."""
        return sum(line.score for line in self.chosen)


def tabulate(
    logits: Sequence[float],
    bias: Sequence[float],
    *,
    top_k: int,
    n_group: int = 1,
    topk_group: int = 1,
    scale: float = 1.0,
) -> RouteTable:
    """Route one token as `moe.route` does and keep the numbers on the way.

    Raises ValueError as `moe.route` does.
    """
    rows, offsets = torch.tensor([logits]), torch.tensor(bias)
    routing = {"n_group": n_group, "topk_group": topk_group}
    weights, experts = route(rows, offsets, top_k=top_k, scale=scale, **routing)
    weight_of = dict(zip(experts[0].tolist(), weights[0].tolist(), strict=True))
    scores = rows[0].sigmoid()
    size = len(logits) // n_group
    best = (scores + offsets).view(n_group, size).topk(min(2, size)).values
    # Every expert of a group that stays is in the route that takes as many as are left.
    _, left = route(rows, offsets, top_k=topk_group * size, **routing)
    stays = set(left[0].tolist())
    lines = tuple(
        Line(i, i // size, x, s, b, i in stays, i in weight_of, weight_of.get(i, 0.0))
        for i, (x, s, b) in enumerate(zip(logits, scores.tolist(), bias, strict=True))
    )
    return RouteTable(lines, tuple(best.sum(-1).tolist()), scale)


def words(table: RouteTable) -> str:
    """The route in words, with the arithmetic of its weights."""
    groups = len(table.worth)
    kept = sorted({line.group for line in table.lines if line.stays})
    parts = []
    if groups > 1:
        worth = ", ".join(f"group {g} {value:.2f}" for g, value in enumerate(table.worth))
        names = " and ".join(f"group {g}" for g in kept)
        verb = "stays" if len(kept) == 1 else "stay"
        parts.append(f"The {groups} groups are worth {worth}; {names} {verb}.")
    for line in table.chosen:
        parts.append(
            f"Expert {line.expert} is chosen by {line.score:.3f} {line.bias:+.2f} = "
            f"{line.biased:.3f} and weighs {table.scale:g} x {line.score:.3f} / "
            f"{table.total:.3f} = {line.weight:.3f}."
        )
    return " ".join(parts)


def fit(experts: int, top_k: int, n_group: int, topk_group: int) -> tuple[int, int, int]:
    """The nearest `(top_k, n_group, topk_group)` that `moe.route` takes; `n_group` is kept."""
    kept = min(topk_group, n_group)
    return min(top_k, kept * experts // n_group), n_group, kept


def batch_load(
    logits: Sequence[float], bias: Sequence[float], tokens: int = 512, seed: int = 0, **routing: int
) -> list[float]:
    """Each expert's load over the mean load, for tokens scattered around these logits.

    The tokens' logits differ from `logits` by normal noise of spread 1, the same for each `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(tokens, len(logits), generator=generator)
    _, experts = route(torch.tensor([logits]) + noise, torch.tensor(bias), **routing)
    counts = load(experts, len(logits)).double()
    return (counts / counts.mean()).tolist()
