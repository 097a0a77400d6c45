"""Five ways in which real projects got DeepSeek-V3's router wrong, each with an input to try.

The bugs are kept out of `course_lib.model.router.route`: here is the same rule once more with a
switch for each of them. The cases stand in `router_bugs.toml`: each is small enough for a pocket
calculator, asks for a prediction first, and names the public report or fix of the bug.
"""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.model.router import EPSILON, check_route, route, top


@dataclass(frozen=True)
class Bug:
    """One bug: what went wrong and where, and a one-token input on which it shows."""

    name: str
    wrong: str
    right: str
    question: str
    reason: str
    links: list[str]
    logits: list[float]
    bias: list[float]
    routing: dict[str, int]

    def inputs(self) -> tuple[Tensor, Tensor]:
        """The case as tensors: logits (1, experts) and bias (experts,)."""
        return torch.tensor([self.logits]), torch.tensor(self.bias)


def _bug(case: dict[str, Any]) -> Bug:
    """A case of `router_bugs.toml`: sigmoid scores become the logits that have them."""
    if "scores" in case:
        case["logits"] = [math.log(score / (1 - score)) for score in case.pop("scores")]
    texts = {name: " ".join(case[name].split()) for name in ("question", "reason")}
    return Bug(**{**case, **texts})


_CASES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["bug"]
BUGS: dict[str, Bug] = {case["name"]: _bug(case) for case in _CASES}


def _named(bug: str) -> Bug:
    if bug not in BUGS:
        raise ValueError(f"bug is {bug!r}; allowed are {', '.join(map(repr, BUGS))}.")
    return BUGS[bug]


def broken_route(
    bug: str,
    logits: Tensor,
    bias: Tensor | None,
    top_k: int,
    n_group: int = 1,
    topk_group: int = 1,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """`moe.route` with the named bug of `BUGS` in it: the same arguments and results.

    Raises ValueError for an unknown name and for whatever `moe.route` refuses.
    """
    _named(bug)
    check_route(logits, bias, top_k, n_group, topk_group, scale)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scores = logits.softmax(-1) if bug == "softmax" else logits.sigmoid()
    biased = scores if bias is None else scores + bias
    if n_group > 1:
        groups = biased.unflatten(-1, (n_group, -1))
        best = groups.topk(1 if bug == "group maximum" else 2, dim=-1).values.sum(-1)
        lost = torch.ones_like(best, dtype=torch.bool).scatter(-1, top(best, topk_group), False)
        out = 0.0 if bug == "zero mask" else -math.inf
        biased = groups.masked_fill(lost[..., None], out).flatten(-2)
    experts = top(biased, top_k)
    chosen = (biased if bug == "biased weights" else scores).gather(-1, experts)
    epsilon = 0.0 if bug == "no epsilon" else EPSILON
    return scale * chosen / (chosen.sum(-1, keepdim=True) + epsilon), experts


def describe(weights: Tensor, experts: Tensor) -> str:
    """One token's route, both (1, top_k), as text: `expert 2 x 0.522 + expert 3 x 0.478`."""
    pairs = zip(experts[0].tolist(), weights[0].tolist(), strict=True)
    return " + ".join(f"expert {expert} x {weight:.3f}" for expert, weight in pairs)


def compare(bug: str) -> tuple[str, str]:
    """The case of `bug` routed by the right rule and by the broken one, as text.

    Raises ValueError for an unknown name.
    """
    logits, bias = _named(bug).inputs()
    routing = BUGS[bug].routing
    right = route(logits, bias, **routing)
    return describe(*right), describe(*broken_route(bug, logits, bias, **routing))
