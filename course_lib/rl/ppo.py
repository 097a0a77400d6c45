"""PPO with a learned value model: what GRPO does without, to be compared with it.

GRPO judges a completion by its group; PPO (Schulman et al., arXiv 1707.06347) learns a second model
that guesses, at every token, the reward still to come, and judges each token by how much better
things went (generalised advantage estimation, arXiv 1506.02438). The price is that model: its
parameters, its optimiser and its passes. The clipped surrogate is the one in `course_lib.rl.grpo`,
and the loop, rollouts and rewards are those of R1-Zero: `zero.run(..., method=PPOLearner)`.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from course_lib.errors import CourseError, real_number
from course_lib.model.rollout import Rollout
from course_lib.rl import grpo
from course_lib.rl.contract import Nature
from course_lib.rl.experience import Experience
from course_lib.rl.learner import Learner, all_but_last, chunks


def outcome_rewards(rewards: Tensor, mask: Tensor) -> Tensor:
    """Each completion's reward (completions,) on its last token, 0 elsewhere: like `mask`.

    `mask` (completions, tokens) is 1 from the first token to the last (see `completion_mask`).
    """
    grpo.require_tensors(rewards=rewards, mask=mask)
    if rewards.shape != mask.shape[:1] or mask.ndim != 2:
        raise ValueError(
            f"rewards has shape {tuple(rewards.shape)} and mask {tuple(mask.shape)}; allowed are "
            "(completions,) and (completions, tokens)."
        )
    last = mask.bool().sum(1, keepdim=True) - 1  # half precision counts to 256 or 2,048 only
    return rewards[:, None] * (torch.arange(mask.shape[1], device=mask.device) == last)


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation: advantages and returns, both (completions, tokens).

    `rewards` and `values` are (completions, tokens): what each token earned, and the guess before
    it was chosen. `mask` is 1 from a completion's first token to its last, after which nothing is
    to come. Each step's surprise is `reward + gamma * next value - value`, and the advantage is the
    sum of surprises from here on, each later one times another `gamma * lam`. With `lam` 1 that is
    all that was earned minus the guess; with 0 it is the next surprise alone. Returns are
    `advantages + values`. Values and rewards are constants here, whole numbers and half precision
    are taken as float32, and what stands outside the mask is never looked at: both results are 0
    there.

    Raises ValueError for shapes that do not fit, a mask with gaps, or gamma or lam outside 0 to 1.
    """
    _check_gae(rewards, values, mask, gamma, lam)
    values = _single(values)
    mask = mask.to(values.dtype)
    values, rewards = (one.detach().masked_fill(mask == 0, 0) for one in (values, rewards))
    advantages = torch.zeros_like(values)
    next_value = next_advantage = values.new_zeros(len(values))
    for t in range(values.shape[1] - 1, -1, -1):
        surprise = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = (surprise + gamma * lam * next_advantage) * mask[:, t]
        advantages[:, t], next_value = next_advantage, values[:, t]
    return advantages, advantages + values


def whiten(advantages: Tensor, mask: Tensor, eps: float = 1e-8) -> Tensor:
    """Advantages with mean 0 and (population) standard deviation 1 over all tokens that count.

    Both are (completions, tokens), and so is the result. Where all that count are equal, they are
    exactly 0. Raises ValueError for shapes that differ or a mask without tokens.
    """
    _check_like(mask, advantages=advantages)
    advantages = _single(advantages)
    told = advantages[mask.bool()]
    if bool((told == told[0]).all()):  # as in `grpo.group_advantages`: no rounding is blown up
        return torch.zeros_like(advantages)
    counted = mask.to(advantages.dtype)
    advantages = advantages.masked_fill(counted == 0, 0.0)
    mean = (advantages * counted).sum() / counted.sum()
    centred = (advantages - mean) * counted
    return centred / ((centred.square().sum() / counted.sum()).sqrt() + eps)


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float | tuple[float, float] = (0.2, 0.2),
) -> tuple[Tensor, dict[str, float]]:
    """The clipped surrogate with an advantage for every token, mean over all tokens.

    All are (completions, tokens), as in `grpo.policy_loss`; so is `clip_fraction` in the stats.
    Raises ValueError for shapes that differ or a mask without tokens.
    """
    _check_like(mask, logp=logp, old_logp=old_logp, advantages=advantages)
    mask = mask.bool()
    advantages = advantages.masked_fill(~mask, 0.0)
    surrogate, _, clipped = grpo.clipped_surrogate(logp, old_logp, advantages, mask, clip)
    tokens = mask.sum()
    return -surrogate.sum() / tokens, {"clip_fraction": int(clipped.sum()) / int(tokens)}


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float = 0.2
) -> Tensor:
    """Half the squared error of the guesses, mean over tokens, with PPO's clip.

    All are (completions, tokens). A guess may move by `clip` from `old_values`, the guess at
    sampling time, and the larger of the errors with and without that limit counts, so that one
    rollout cannot pull the value model far. Raises ValueError as `policy_loss` does.
    """
    _check_like(mask, values=values, old_values=old_values, returns=returns)
    real_number("clip", clip)
    values, mask = _single(values).masked_fill(mask == 0, 0.0), mask.bool()
    near = old_values.detach() + (values - old_values.detach()).clamp(-clip, clip)
    target = returns.detach()
    errors = torch.maximum((values - target).square(), (near - target).square())
    return 0.5 * errors.masked_fill(~mask, 0.0).sum() / mask.sum()


class ValueModel(nn.Module):
    """A transformer with one number a token in place of logits: the reward it expects from there.

    `backbone` is a model without its output layer. The head starts at 0, and so do all guesses.
    """

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.config.hidden_size, 1, bias=False)
        nn.init.zeros_(self.head.weight)

    @classmethod
    def like(cls, policy: PreTrainedModel) -> Self:
        """A value model that starts from a copy of the policy's own weights, as is usual."""
        return cls(copy.deepcopy(policy.model)).to(policy.device, policy.dtype)

    def forward(self, ids: Tensor, **inputs: Tensor) -> Tensor:
        """Guesses (sequences, tokens) after each of `ids`, (sequences, tokens)."""
        return self.head(self.backbone(ids, use_cache=False, **inputs)[0]).squeeze(-1)


def completion_values(model: ValueModel, sampled: Rollout, mask: Tensor) -> Tensor:
    """The guess *before* each completion token, (completions, tokens) like `mask`, 0 outside it.

    Those of a model in half precision come back as float32, for the sums that are made of them.
    """
    ids, inputs = all_but_last(sampled)
    before = model(ids, **inputs)[:, sampled.prompt_ids.shape[1] - 1 :]
    return _single(before).masked_fill(mask == 0, 0.0)


@dataclass
class Critic:
    """The value model, its optimiser, and how far ahead it looks."""

    model: ValueModel
    optimizer: torch.optim.Optimizer
    gamma: float = 1.0
    lam: float = 0.95
    clip: float = 0.2

    @torch.no_grad()
    def judge(self, sampled: Rollout, mask: Tensor, rewards: Tensor) -> tuple[Tensor, ...]:
        """Whitened advantages, returns and guesses, each (completions, tokens).

        `rewards` is (completions,), the outcome of each.
        """
        self.model.eval()
        values = completion_values(self.model, sampled, mask)
        earned = outcome_rewards(rewards.to(values.dtype), mask)
        advantages, returns = gae(earned, values, mask, gamma=self.gamma, lam=self.lam)
        return whiten(advantages, mask), returns, values

    def update(self, sampled: Rollout, mask: Tensor, returns: Tensor, values: Tensor) -> float:
        """One step of the value model towards `returns`; `values` are the guesses of `judge`."""
        self.model.train()
        self.optimizer.zero_grad()
        guesses = completion_values(self.model, sampled, mask)
        loss = value_loss(guesses, values, returns, mask, self.clip)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


@dataclass
class PPOLearner(Learner):
    """A policy with a critic, which learns at the settings' `value_rate`.

    It looks ahead without discount (gamma 1), and its advantages are all that was earned minus the
    guess (GAE's lambda 1), which R1's authors found to be what PPO needs.
    """

    critic: Critic = field(init=False)

    def __post_init__(self) -> None:
        if self.loss not in (policy_loss, grpo.policy_loss):
            raise CourseError(
                "PPO has a loss of its own; give your loss to a run without `method`."
            )
        if self.advantages is not grpo.group_advantages:
            raise CourseError(
                "PPO has advantages of its own, by its value model; give yours to a run without "
                "`method`."
            )
        self.loss, self.nature = policy_loss, Nature("token", skips=False)
        settings = ("kl", "kl_estimator", "std", "reduce", "level", "truncate")
        self._refuse(dict.fromkeys(settings, type(self)))
        model = ValueModel.like(self.model)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=self.config.value_rate, betas=self.config.betas, weight_decay=0.0
        )
        self.critic = Critic(model, optimizer, lam=1.0)

    def update(self, experience: Experience) -> dict[str, float]:
        """Learn from one step's rollouts; as `Learner.update`, over every completion."""
        sampled = experience.rollout
        mask = grpo.completion_mask(sampled.ids, self.eos)
        rewards = experience.rewards.flatten().to(mask.device)
        # 3 advantage: (completions, tokens), by what the value model expected at each token
        advantages, returns, values = self.critic.judge(sampled, mask, rewards)
        # 4 update: of the policy as by GRPO, and of the value model
        stats = self.learn(experience, advantages)
        value_loss = self._learn_values(sampled, mask, returns, values)
        return stats | {"value_loss": value_loss}

    def _options(self, part: Rollout, mask: Tensor) -> dict[str, Any]:
        return {"clip": self.config.clip}

    def tensors(self) -> dict[str, Tensor]:
        """The value model and its optimiser's moments."""
        model, moments = self.critic.model, self.critic.optimizer.state_dict()["state"]
        kept = {f"value|{name}": t for name, t in model.state_dict().items()}
        return kept | {f"{i}|{key}": t for i, held in moments.items() for key, t in held.items()}

    def take(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        weights = {n[6:]: t for n, t in tensors.items() if n.startswith("value|")}
        if weights:
            self.critic.model.load_state_dict(weights)
        state: dict[int, dict[str, Tensor]] = {}
        for name, t in tensors.items():
            number, _, key = name.partition("|")
            if number.isdigit():
                state.setdefault(int(number), {})[key] = t.cpu() if key == "step" else t
        groups = self.critic.optimizer.state_dict()["param_groups"]
        self.critic.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def _learn_values(
        self,
        sampled: Rollout,
        mask: torch.Tensor,
        returns: torch.Tensor,
        values: torch.Tensor,
    ) -> float:
        """One pass of the value model over the rollouts, a step for each chunk; the mean loss."""
        losses = []
        for chunk in _chunks(sampled):
            part = sampled.take(chunk)
            width = part.ids.shape[1]
            cut = [x[chunk, :width] for x in (mask, returns, values)]
            losses.append(self.critic.update(part, *cut))
        return sum(losses) / len(losses)


def _chunks(sampled: Rollout) -> Iterator[Tensor]:
    return chunks(sampled, torch.arange(len(sampled.ids), device=sampled.ids.device))


def _single(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _check_like(mask: Tensor, **others: Tensor) -> None:
    """Of one shape, or torch would spread one over the other, and something to take a mean of."""
    grpo.require_tensors(mask=mask, **others)
    for name, tensor in others.items():
        if tensor.shape != mask.shape or mask.ndim != 2:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)} and mask {tuple(mask.shape)}; allowed is "
                "(completions, tokens) for both."
            )
    if not bool(mask.any()):
        raise ValueError(
            "mask is 0 everywhere; allowed is one with at least one token that counts."
        )


def _check_gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> None:
    grpo.require_tensors(rewards=rewards, values=values, mask=mask)
    if values.ndim != 2 or rewards.shape != values.shape or mask.shape != values.shape:
        raise ValueError(
            f"rewards has shape {tuple(rewards.shape)}, values {tuple(values.shape)} and mask "
            f"{tuple(mask.shape)}; allowed is (completions, tokens) for all three."
        )
    if bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise ValueError("mask has gaps; allowed are 1s from the first token on and then 0s.")
    for name, value in {"gamma": gamma, "lam": lam}.items():
        if not 0 <= real_number(name, value) <= 1:
            raise ValueError(f"{name} is {value}; allowed is 0 to 1.")
