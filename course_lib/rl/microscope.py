"""The token microscope: a GRPO loss taken apart into what every token adds to it.

The parts sum to the loss, and the gradient of each token's logit is written out by hand, so that
its sign and size can be read beside reward, advantage, ratio, clip and KL.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.rl import grpo
from course_lib.rl import kl as estimates


@dataclass(frozen=True)
class Anatomy:
    """What each token is and does: all (completions, tokens) and 0 or False outside the mask.

    `weight` is the token's share in the mean, `part` what it adds to `loss`, `slope` the derivative
    of the loss by its log-probability, and `gradient` that by the logit it was chosen by. A descent
    step raises the logit where the gradient is below 0.
    """

    loss: float
    logp: Tensor
    ratio: Tensor
    clipped: Tensor
    kl: Tensor
    weight: Tensor
    part: Tensor
    slope: Tensor
    gradient: Tensor


def dissect(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: tuple[float, float] = (0.2, 0.2),
    ref_logp: Tensor | None = None,
    kl: float = 0.0,
    reduce: grpo.Reduce = "sequence",
    max_length: int | None = None,
    level: grpo.Level = "token",
    estimator: estimates.Estimator = "k3",
    temperature: float = 1.0,
) -> Anatomy:
    """Take `grpo.policy_loss` apart; arguments (but `clip` is two numbers) and errors are its own.

    `temperature` is that of the log-probabilities (see `logprobs.token_logprobs`). The chosen
    logit's gradient is the slope times (1 - p) / temperature: a token that was certain cannot be
    taught. At `level` "sequence" all tokens of a completion move the one ratio that they share,
    each as much as the others. A ratio capped at e ** 80 has its uncapped slope here.
    """
    logp, mask = logp.detach(), mask.bool()
    loss, _ = grpo.policy_loss(
        logp, old_logp, advantages, mask,
        clip=clip, ref_logp=ref_logp, kl=kl, reduce=reduce, max_length=max_length,
        level=level, estimator=estimator,
    )  # fmt: skip
    per_token = advantages.detach()[:, None]
    surrogate, ratio, clipped = grpo.clipped_surrogate(logp, old_logp, per_token, mask, clip, level)
    divergence, pull = _held_to(ref_logp, logp, mask, estimator)
    weight = grpo.token_weights(mask, reduce, max_length).to(ratio.dtype)
    push = weight * (per_token * ratio).masked_fill(clipped, 0.0)
    if level == "sequence":  # the ratio is the mean's: each token has an even share of all pushes
        push = mask * push.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    slope = kl * weight * pull - push
    logp = logp.masked_fill(~mask, 0.0)
    part, gradient = weight * (kl * divergence - surrogate), slope * (1 - logp.exp()) / temperature
    ratio = ratio.masked_fill(~mask, 0.0)
    return Anatomy(float(loss), logp, ratio, clipped, divergence, weight, part, slope, gradient)


def _held_to(
    ref_logp: Tensor | None, logp: Tensor, mask: Tensor, name: estimates.Estimator
) -> tuple[Tensor, Tensor]:
    """The estimated divergence from the reference and its derivative by `logp`; zeros without."""
    if ref_logp is None:
        return torch.zeros_like(logp), torch.zeros_like(logp)
    divergence = estimates.ESTIMATORS[name](logp, ref_logp, mask)
    return divergence, estimates.slope(name, logp, ref_logp, mask)


@dataclass(frozen=True)
class TokenLine:
    """One token under the microscope, in plain numbers."""

    position: int
    token: str
    reward: float
    advantage: float
    probability: float
    ratio: float
    clipped: bool
    kl: float
    part: float
    gradient: float

    @property
    def direction(self) -> str:
        """What a descent step does to the token's logit: `up`, `down` or `still`."""
        return "still" if self.gradient == 0 else "up" if self.gradient < 0 else "down"


def token_lines(
    anatomy: Anatomy, row: int, tokens: Sequence[str], reward: float, advantage: float
) -> list[TokenLine]:
    """The lines of completion `row`, one for each of its `tokens`, which are texts.

    Raises ValueError where there are more or fewer texts than tokens that count.
    """
    places = anatomy.weight[row].nonzero().squeeze(1).tolist()
    if len(places) != len(tokens):
        raise ValueError(
            f"tokens has {len(tokens)} texts; completion {row} has {len(places)} tokens that count."
        )
    return [
        TokenLine(
            position=number,
            token=text,
            reward=reward,
            advantage=advantage,
            probability=float(anatomy.logp[row, t].exp()),
            ratio=float(anatomy.ratio[row, t]),
            clipped=bool(anatomy.clipped[row, t]),
            kl=float(anatomy.kl[row, t]),
            part=float(anatomy.part[row, t]),
            gradient=float(anatomy.gradient[row, t]),
        )
        for number, (t, text) in enumerate(zip(places, tokens, strict=True), 1)
    ]


def explain(line: TokenLine) -> str:
    """One token's line as a sentence or two."""
    name = f"Token {line.position}, {line.token!r}, had a chance of {line.probability:.3g}"
    numbers = (
        f"reward {line.reward:g}, advantage {line.advantage:+.3g}, ratio {line.ratio:.3g}, "
        f"KL {line.kl:.2g}; it adds {line.part:+.3g} to the loss"
    )
    if line.clipped:
        end = "The ratio has left the clip's range, so the reward no longer moves it"
        if line.gradient:
            end += f"; the KL term moves its logit {line.direction}"
    elif line.direction == "still":
        end = "Its logit stays as it is: there is nothing to learn from it"
    else:
        end = f"The gradient on its logit is {line.gradient:+.2e}: a step moves it {line.direction}"
    return f"{name} ({numbers}). {end}."
