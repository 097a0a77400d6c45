"""Five ways in which real projects got DeepSeek-V3's router wrong, each with an input to try.

The bugs are kept out of `course_lib.model.router.route`: here is the same rule once more with a
switch for each of them. Every case is small enough for a pocket calculator, asks for a prediction
first, and names the public report or fix in which the bug can be read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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
    links: tuple[str, ...]
    logits: tuple[float, ...]
    bias: tuple[float, ...]
    routing: dict[str, int] = field(default_factory=dict)

    def inputs(self) -> tuple[Tensor, Tensor]:
        """The case as tensors: logits (1, experts) and bias (experts,)."""
        return torch.tensor([self.logits]), torch.tensor(self.bias)


def _logits(*scores: float) -> tuple[float, ...]:
    """The logits whose sigmoids are these scores, so that a case can be read as scores."""
    return tuple(math.log(s / (1 - s)) for s in scores)


BUGS: dict[str, Bug] = {
    bug.name: bug
    for bug in (
        Bug(
            name="zero mask",
            wrong="losing groups get the score 0",
            right="losing groups get minus infinity",
            question="Scores .88 .50 .27 .12, every bias -1, groups {0, 1} and {2, 3}, one group "
            "stays, one expert is chosen. Which expert does each router choose?",
            reason="With the bias all scores are negative, so the 0 of a group that has lost is "
            "the best score in sight. Right: expert 0. Zero mask: expert 2, from the lost group.",
            links=(
                "https://github.com/huggingface/transformers/issues/45440",
                "https://github.com/huggingface/transformers/pull/45441",
                "https://github.com/vllm-project/vllm/pull/13474",
                "https://github.com/deepseek-ai/DeepSeek-V3/issues/741",
            ),
            logits=(2.0, 0.0, -1.0, -2.0),
            bias=(-1.0, -1.0, -1.0, -1.0),
            routing={"top_k": 1, "n_group": 2, "topk_group": 1},
        ),
        Bug(
            name="biased weights",
            wrong="weights come from the biased scores",
            right="weights come from the scores without bias",
            question="Scores .8 .4 .3 .2, bias 0 .5 0 0, two experts are chosen. "
            "Which expert gets the larger weight?",
            reason="The bias lifts expert 1 to .9, so it is chosen first, but it still answers "
            "with .4: weights .33 and .67. Biased: .53 and .47, the other way round.",
            links=(
                "https://github.com/huggingface/transformers/pull/41647",
                "https://github.com/vllm-project/vllm/pull/12002",
            ),
            logits=_logits(0.8, 0.4, 0.3, 0.2),
            bias=(0.0, 0.5, 0.0, 0.0),
            routing={"top_k": 2},
        ),
        Bug(
            name="group maximum",
            wrong="a group is worth its best score",
            right="a group is worth the sum of its two best",
            question="Scores .9 .1 | .6 .55 in two groups, every bias 0, one group stays, two "
            "experts are chosen. Which two?",
            reason="The sums are 1.00 and 1.15, so the second group stays: experts 2 and 3. By the "
            "maximum the first stays, and the token gets expert 1, the worst of all. The maximum "
            "is no slip of its own: DeepSeek's own inference/model.py takes it where a model has "
            "no bias. V3 and R1 have one.",
            links=(
                "https://github.com/vllm-project/vllm/pull/13474",
                "https://github.com/deepseek-ai/DeepSeek-V3/blob/main/inference/model.py",
            ),
            logits=_logits(0.9, 0.1, 0.6, 0.55),
            bias=(0.0, 0.0, 0.0, 0.0),
            routing={"top_k": 2, "n_group": 2, "topk_group": 1},
        ),
        Bug(
            name="no epsilon",
            wrong="weights are divided by the bare sum",
            right="a tiny epsilon is added to the sum, as in transformers",
            question="Logits -200 -200 -150 -300, bias 0 .5 .2 0, two experts are chosen. "
            "In 32-bit numbers every one of these sigmoids is exactly 0. What are the weights?",
            reason="Chosen are experts 1 and 2, by their bias alone. Right: weights 0 and 0, and "
            "the shared expert still answers. Without epsilon 0/0 is NaN, and the token is lost. "
            "DeepSeek's own inference/model.py has no epsilon either: it needs sigmoids that all "
            "underflow, at logits of about -89 and lower, and V3 is not known to have met them.",
            links=(
                "https://github.com/deepseek-ai/DeepSeek-V3/blob/main/inference/model.py",
                "https://github.com/flashinfer-ai/flashinfer/pull/3803",
                "https://github.com/sgl-project/sglang/pull/31017",
            ),
            logits=(-200.0, -200.0, -150.0, -300.0),
            bias=(0.0, 0.5, 0.2, 0.0),
            routing={"top_k": 2},
        ),
        Bug(
            name="softmax",
            wrong="scores are a softmax over the experts",
            right="every score is a sigmoid of its own",
            question="Logits 4 2 0 0, bias 0 0 .3 0, two experts are chosen. "
            "Which two, by sigmoid (.98 .88 .50 .50) and by softmax (.85 .12 .02 .02)?",
            reason="By sigmoid the bias lifts expert 2 to .80, not past expert 1. By softmax it "
            "lifts it to .32, far past .12: a bias learned for one scale is wrong on the other.",
            links=(
                "https://github.com/ggml-org/llama.cpp/pull/18980",
                "https://github.com/NVIDIA/TensorRT-Model-Connect/pull/669",
            ),
            logits=(4.0, 2.0, 0.0, 0.0),
            bias=(0.0, 0.0, 0.3, 0.0),
            routing={"top_k": 2},
        ),
    )
}


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
    if bug not in BUGS:
        raise ValueError(f"bug is {bug!r}; allowed are {', '.join(map(repr, BUGS))}.")
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
    """The case of `bug` routed by the right rule and by the broken one, as text."""
    logits, bias = BUGS[bug].inputs()
    routing = BUGS[bug].routing
    right = route(logits, bias, **routing)
    return describe(*right), describe(*broken_route(bug, logits, bias, **routing))
