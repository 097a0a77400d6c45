"""From experience to a better policy: advantages, passes over the model, and updates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from course_lib.model import logprobs
from course_lib.model.rollout import Rollout
from course_lib.rl import grpo
from course_lib.rl.experience import Experience
from course_lib.rl.settings import ZeroConfig


def completion_logprobs(
    model: PreTrainedModel,
    sampled: Rollout,
    mask: torch.Tensor,
    temperature: float,
    banned: Sequence[int] = (),
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and entropy of every completion token under the model: both like `mask`.

    `mask` (completions, tokens) is 1 up to the first EOS; elsewhere the results are 0. Only the
    masked tokens go through the output layer, where `banned` tokens have no probability, as when
    the completions were sampled. The entropy carries no gradient.
    """
    ids = torch.cat([sampled.prompt_ids, sampled.ids], 1)
    padded = not bool(sampled.prompt_mask.all())
    extra: dict[str, torch.Tensor] = {}
    if padded:
        everything = torch.cat([sampled.prompt_mask, torch.ones_like(sampled.ids)], 1)
        extra["attention_mask"] = everything
        extra["position_ids"] = (everything.cumsum(1) - 1).clamp(min=0)
    hidden = model.model(ids[:, :-1], use_cache=False, **_cut_last(extra))[0]
    keep = mask.bool()
    logits = model.lm_head(hidden[:, sampled.prompt_ids.shape[1] - 1 :][keep])
    if banned:
        logits = logits.index_fill(1, logits.new_tensor(banned, dtype=torch.long), -math.inf)
    logp = torch.zeros(mask.shape, device=logits.device)
    logp = logp.masked_scatter(
        keep, logprobs.token_logprobs(logits, sampled.ids[keep], temperature)
    )
    with torch.no_grad():
        spread = torch.zeros_like(logp).masked_scatter(keep, logprobs.entropy(logits))
    return logp, spread


def _cut_last(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value[:, :-1] for name, value in inputs.items()}


def chunks(sampled: Rollout, rows: torch.Tensor, tokens: int = 6144) -> Iterator[torch.Tensor]:
    """Split `rows` into sets of like length, so that little of a forward pass is padding."""
    prompt = sampled.prompt_ids.shape[1]
    order = rows[sampled.lengths[rows].argsort()].tolist()
    current: list[int] = []
    for row in order:
        if current and (len(current) + 1) * (prompt + int(sampled.lengths[row])) > tokens:
            yield torch.tensor(current, device=rows.device)
            current = []
        current.append(row)
    if current:
        yield torch.tensor(current, device=rows.device)


@dataclass
class Learner:
    """The policy and its optimiser, with the reference it may be held to."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    config: ZeroConfig
    eos: int
    reference: PreTrainedModel | None = None
    banned: Sequence[int] = ()

    def update(self, experience: Experience) -> dict[str, float]:
        """Learn from one step's rollouts; returns loss, entropy, grad_norm and clip_fraction.

        Groups whose rewards are all equal have no advantage and, without a KL term, no gradient:
        they are left out of the passes, and the mean is still taken over all completions.
        """
        advantages = self._advantages(experience.rewards)
        rows = torch.arange(len(advantages), device=advantages.device)
        if not self.config.kl:
            rows = rows[advantages != 0]
        if not len(rows):
            return {"loss": 0.0, "entropy": 0.0, "grad_norm": 0.0, "clip_fraction": 0.0}
        old: dict[int, torch.Tensor] = {}
        for _ in range(self.config.updates):
            stats = self._one_update(experience.rollout, advantages, rows, old)
        return stats

    def _advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        grouped = grpo.group_advantages(rewards.to(self.model.device), std=self.config.std)
        return grouped.flatten()

    def _one_update(
        self,
        sampled: Rollout,
        advantages: torch.Tensor,
        rows: torch.Tensor,
        old: dict[int, torch.Tensor],
    ) -> dict[str, float]:
        """One optimiser step over `rows`; `old` keeps each chunk's first log-probabilities."""
        total = {"loss": 0.0, "entropy": 0.0, "clip_fraction": 0.0}
        tokens = int(sampled.lengths[rows].sum())
        self.optimizer.zero_grad()
        self.model.train()
        for i, chunk in enumerate(chunks(sampled, rows)):
            part = sampled.take(chunk)
            mask = grpo.completion_mask(part.ids, self.eos)
            logp, spread = self._logprobs(self.model, part, mask)
            share = len(chunk) / len(advantages)
            if self.config.reduce == "token":
                share = float(mask.sum() / sampled.lengths.sum())
            loss, stats = grpo.policy_loss(
                logp,
                old.setdefault(i, logp.detach()),
                advantages[chunk],
                mask,
                clip=self.config.clip,
                ref_logp=self._reference_logprobs(part, mask),
                kl=self.config.kl,
                reduce=self.config.reduce,
                max_length=self.config.max_new_tokens,
            )
            (loss * share).backward()
            total["loss"] += float(loss.detach()) * share
            total["entropy"] += float(spread.sum()) / tokens
            total["clip_fraction"] += float(stats["clip_fraction"]) * float(mask.sum()) / tokens
        return total | {"grad_norm": self._step()}

    def _step(self) -> float:
        """Cut the gradient to its longest allowed and take it; returns how long it was."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_norm)
        if math.isfinite(norm):  # one bad number here would spoil every weight
            self.optimizer.step()
        return float(norm)

    @torch.no_grad()
    def _reference_logprobs(self, part: Rollout, mask: torch.Tensor) -> torch.Tensor | None:
        if self.reference is None:
            return None
        return self._logprobs(self.reference, part, mask)[0]

    def _logprobs(
        self, model: PreTrainedModel, part: Rollout, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return completion_logprobs(model, part, mask, self.config.temperature, self.banned)
