"""R1-Zero by PPO: the same loop, rollouts and rewards, with a value model in place of the group.

A `zero.Learner` whose advantages come from `course_lib.rl.ppo`. The value model is as large as the
policy; `zero.run(..., method=PPOLearner)` trains both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from course_lib.model.rollout import Rollout
from course_lib.rl import grpo, ppo, zero
from course_lib.rl.ppo import Critic, ValueModel

_VALUE_RATE = 1e-3  # the head starts at 0 and has to find the level of the rewards first


@dataclass
class PPOLearner(zero.Learner):
    """A policy with a critic. The critic is not saved: a resumed run begins it anew.

    It looks ahead without discount (lambda 1), which R1's authors found to be what PPO needs.
    """

    critic: Critic = field(init=False)

    def __post_init__(self) -> None:
        model = ValueModel.like(self.model)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=_VALUE_RATE, betas=self.config.betas, weight_decay=0.0
        )
        self.critic = Critic(model, optimizer, lam=1.0)

    def update(self, experience: zero.Experience) -> dict[str, float]:
        """Learn from one step's rollouts; as `Learner.update`, over every completion."""
        sampled = experience.rollout
        mask = grpo.completion_mask(sampled.ids, self.eos)
        rewards = experience.rewards.flatten().to(mask.device)
        advantages, returns, values = self.critic.judge(sampled, mask, rewards)
        old: dict[int, torch.Tensor] = {}
        for _ in range(self.config.updates):
            stats = self._ppo_update(sampled, advantages, old)
        value_loss = self._learn_values(sampled, mask, returns, values)
        return stats | {"value_loss": value_loss}

    def _ppo_update(
        self, sampled: Rollout, advantages: torch.Tensor, old: dict[int, torch.Tensor]
    ) -> dict[str, float]:
        """One optimiser step of the policy; `old` keeps each chunk's first log-probabilities."""
        total = {"loss": 0.0, "entropy": 0.0, "clip_fraction": 0.0}
        self.optimizer.zero_grad()
        self.model.train()
        for i, chunk in enumerate(_chunks(sampled)):
            part = sampled.take(chunk)
            mask = grpo.completion_mask(part.ids, self.eos)
            logp, spread = self._logprobs(self.model, part, mask)
            first = old.setdefault(i, logp.detach())
            gains = advantages[chunk, : mask.shape[1]]
            loss, stats = ppo.policy_loss(logp, first, gains, mask, self.config.clip)
            share = float(mask.sum() / sampled.lengths.sum())
            (loss * share).backward()
            total["loss"] += float(loss.detach()) * share
            total["entropy"] += float(spread.sum() / sampled.lengths.sum())
            total["clip_fraction"] += stats["clip_fraction"] * share
        return total | {"grad_norm": self._step()}

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


def _chunks(sampled: Rollout) -> list[torch.Tensor]:
    rows = torch.arange(len(sampled.ids), device=sampled.ids.device)
    return list(zero.chunks(sampled, rows))
