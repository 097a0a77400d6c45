"""From experience to a better policy: advantages, passes over the model, and updates."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from course_lib.errors import CourseError
from course_lib.model import logprobs
from course_lib.model.own_forward import kept_logits
from course_lib.model.rollout import Rollout
from course_lib.model.team import ALONE, Team
from course_lib.rl import contract, grpo
from course_lib.rl.experience import Experience
from course_lib.rl.identity import name_of
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
    the completions were sampled. The entropy carries no gradient, and is that of the model's own
    distribution, at temperature 1 whatever `temperature` is (TRL logs that of the tempered one).
    """
    ids, inputs = all_but_last(sampled)
    keep = mask.bool()
    before = nn.functional.pad(keep, (sampled.prompt_ids.shape[1] - 1, 0))  # (rows, all but one)
    begun = sampled.shared, sampled.prompt_ids.shape[1] - 1
    logits = kept_logits(model, ids, before, begun=begun, **inputs)
    if banned:
        logits = logits.index_fill(1, logits.new_tensor(banned, dtype=torch.long), -math.inf)
    logp = logits.new_zeros(mask.shape).masked_scatter(
        keep, logprobs.token_logprobs(logits, sampled.ids[keep], temperature)
    )
    with torch.no_grad():
        spread = torch.zeros_like(logp).masked_scatter(keep, logprobs.entropy(logits))
    return logp, spread


def all_but_last(sampled: Rollout) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Prompts and completions without their last token (rows, all but one), and where they are
    padded on the left what a model must be told of that."""
    ids = torch.cat([sampled.prompt_ids, sampled.ids], 1)[:, :-1]
    if bool(sampled.prompt_mask.all()):
        return ids, {}
    seen = torch.cat([sampled.prompt_mask, torch.ones_like(sampled.ids)], 1)[:, :-1]
    return ids, {"attention_mask": seen, "position_ids": (seen.cumsum(1) - 1).clamp(min=0)}


_MOST = 4096  # tokens in one pass
_PADDING = 256  # tokens of padding that cost more than another pass
_ROOM = 1e9  # bytes that a pass may keep for its gradient


def tokens_at_once(model: PreTrainedModel) -> int:
    """How many tokens may go through `model` in one pass whose gradient is wanted.

    A decoder block keeps some 16 numbers of its width for each token and 5 of its inner width; of
    the logits there are at most 5: themselves, their gradient, and what probabilities are made of.
    """
    config = model.config.get_text_config()
    block = 16 * config.hidden_size + 5 * getattr(config, "intermediate_size", 0)
    token = config.num_hidden_layers * block + 5 * config.vocab_size
    return max(256, min(_MOST, int(_ROOM // (4 * token))))


def chunks(
    sampled: Rollout, rows: torch.Tensor, tokens: int = _MOST, padding: int = sys.maxsize
) -> Iterator[torch.Tensor]:
    """Split `rows` into sets of like length, so that little of a forward pass is padding.

    A set of several rows has at most so many `tokens`, with prompts, and so many of `padding`.
    """
    prompt = sampled.prompt_ids.shape[1] - sampled.shared  # what all share is read once
    order = rows[sampled.lengths[rows].argsort()]
    current: list[int] = []
    written = 0  # tokens of the completions in `current`
    for row, length in zip(order.tolist(), sampled.lengths[order].tolist(), strict=True):
        count = len(current) + 1
        padded = len(current) * length - written
        if current and (count * (prompt + length) > tokens or padded > padding):
            yield torch.tensor(current, device=rows.device)
            current, written = [], 0
        current.append(row)
        written += length
    if current:
        yield torch.tensor(current, device=rows.device)


Advantages = Callable[[torch.Tensor], torch.Tensor]
Loss = Callable[..., Any]  # gives a scalar, or a scalar and a dict of figures


@dataclass
class _Old:
    """Log-probabilities (completions, tokens) of the policy that sampled; filled in when known."""

    logp: torch.Tensor
    known: bool


@dataclass
class Learner:
    """The policy and its optimiser, with the reference it may be held to.

    `advantages` makes (groups, samples) of rewards of that shape; `loss` a number of logp, old_logp
    (both (completions, tokens)), advantages (completions,) and mask. The library's own take the
    configuration's settings; others stand for themselves, and are asked for nothing but these.
    """

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    config: ZeroConfig
    eos: int
    reference: PreTrainedModel | None = None
    banned: Sequence[int] = ()
    advantages: Advantages = grpo.group_advantages
    loss: Loss = grpo.policy_loss
    chunk_tokens: int = 0  # of one forward pass, a micro-batch; 0 is what the model can take
    team: Team = ALONE  # the processes that share the passes
    nature: contract.Nature = field(init=False)

    def __post_init__(self) -> None:
        if self.config.samples < 2 and self.advantages is grpo.group_advantages:
            raise CourseError("samples is 1; to be trained by its group a completion needs 2.")
        self._refuse_idle_settings()
        self.nature = contract.Nature(self.config.reduce, skips=True)
        if self.loss is not grpo.policy_loss:
            self.nature = contract.look_into(self.loss)
        if self.config.kl and "ref_logp" not in contract.names_taken(self.loss):
            raise CourseError(
                f"kl is {self.config.kl}, and the loss `{name_of(self.loss)}` takes no ref_logp to "
                "be held to; set kl to 0, or add the arguments ref_logp and kl to it."
            )

    def _refuse_idle_settings(self) -> None:
        """A setting that nothing would listen to is no setting of the run. Raises CourseError."""
        if self.config.temperature == 0:
            raise CourseError("temperature is 0; a policy that is trained is sampled above 0.")
        idle = {} if self.advantages is grpo.group_advantages else {"std": self.advantages}
        if self.loss is not grpo.policy_loss:
            idle |= dict.fromkeys(("clip", "reduce", "level", "kl_estimator"), self.loss)
            if "weights" not in contract.names_taken(self.loss):
                idle["truncate"] = self.loss
        self._refuse(idle)

    def _refuse(self, idle: Mapping[str, Callable[..., Any]]) -> None:
        """Raises CourseError where one of these settings is not as it is by default."""
        for setting, function in idle.items():
            given, usual = getattr(self.config, setting), getattr(ZeroConfig, setting)
            if given != usual:
                raise CourseError(
                    f"{setting} is {given!r}, and `{name_of(function)}` is not asked to heed it; "
                    f"leave it at {usual!r}, or give the library's own function."
                )

    def update(self, experience: Experience) -> dict[str, float]:
        """Learn from one step's rollouts; returns loss, entropy, grad_norm and clip_fraction.

        Groups whose rewards are all equal have no advantage and, without a KL term, no gradient:
        they are left out of the passes, and the mean is still taken over all completions. The
        entropy and the clip_fraction are means over the tokens of the passes alone: without a KL
        term, those of completions with an advantage.
        """
        # 3 advantage: (groups, samples) rewards to one number for each completion, (completions,)
        advantages = self._advantages(experience.rewards)
        return self.learn(experience, advantages)

    def learn(self, experience: Experience, advantages: torch.Tensor) -> dict[str, float]:
        """Take the optimiser's steps of one rollout; the figures are means over the last pass.

        `advantages` is (completions,), or (completions, tokens) where each token has its own.
        """
        # 4 update: every completion is used `updates` times, in `minibatches` parts
        sampled, advantages = experience.rollout, self.team.as_lead(advantages)
        old = self._old_logprobs(sampled)
        for _ in range(self.config.updates):
            told = [
                self._one_update(sampled, advantages, part, old)
                for part in self._minibatches(experience, len(advantages))
                if self._kept(part, advantages).numel()
            ]
            old.known = True
        if not told:
            return {"loss": 0.0, "entropy": 0.0, "grad_norm": 0.0, "clip_fraction": 0.0}
        return {name: sum(x[name] for x in told) / len(told) for name in told[0]}

    def _advantages(self, rewards: torch.Tensor) -> torch.Tensor:
        rewards = rewards.to(self.model.device)
        if self.advantages is grpo.group_advantages:
            return grpo.group_advantages(rewards, std=self.config.std).flatten()
        return self.advantages(rewards).detach().flatten()

    def _minibatches(self, experience: Experience, count: int) -> Sequence[torch.Tensor]:
        """All completions' numbers, or shuffled parts of them of like size."""
        device = experience.rollout.ids.device
        if self.config.minibatches == 1:
            return [torch.arange(count, device=device)]
        shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(experience.seed))
        return shuffled.to(device).tensor_split(self.config.minibatches)

    def _kept(self, batch: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
        """Those of a batch that can have a gradient; of a loss that needs all at once, all or none.

        The lesser would be its whole: what it divides by would be another number.
        """
        if self.config.kl or not self.nature.skips or advantages.ndim == 2:
            return batch
        kept = batch[advantages[batch] != 0]
        return batch if self.nature.mean == "whole" and len(kept) else kept

    @torch.no_grad()
    def _old_logprobs(self, sampled: Rollout) -> _Old:
        """Where the old log-probabilities cannot be had from the first pass, they are got here."""
        if self.config.old_from == "sampler" and sampled.logp is not None:
            return _Old(sampled.logp, known=True)
        old = _Old(torch.zeros(sampled.ids.shape, device=sampled.ids.device), known=False)
        if self.config.minibatches > 1:
            everything = torch.arange(len(sampled.ids), device=sampled.ids.device)
            us = self.team.of(len(everything))
            ours = everything[us.rank :: us.size]
            for chunk in chunks(sampled, ours, tokens_at_once(self.model)):
                part = sampled.take(chunk)
                mask = grpo.completion_mask(part.ids, self.eos)
                old.logp[chunk, : mask.shape[1]] = self._logprobs(self.model, part, mask)[0]
            us.add(old.logp)
            old.known = True
        return old

    def _one_update(
        self, sampled: Rollout, advantages: torch.Tensor, batch: torch.Tensor, old: _Old
    ) -> dict[str, float]:
        """One optimiser step on the completions `batch`, a chunk of like lengths at a time."""
        rows = self._kept(batch, advantages)
        tokens, whole = int(sampled.lengths[rows].sum()), int(sampled.lengths[batch].sum())
        most, padding = self.chunk_tokens or tokens_at_once(self.model), sys.maxsize
        if self.nature.mean == "whole":
            most = sys.maxsize
        elif not self.chunk_tokens:  # a micro-batch that was asked for is not cut
            padding = _PADDING
        us = ALONE if self.nature.mean == "whole" else self.team.of(len(rows))
        ours = rows[us.rank :: us.size]

        def one_pass(chunk: torch.Tensor) -> dict[str, float]:
            part = sampled.take(chunk)
            mask = grpo.completion_mask(part.ids, self.eos)  # (chunk, tokens), boolean
            logp, spread = self._logprobs(self.model, part, mask)  # (chunk, tokens) both
            if not old.known:
                old.logp[chunk, : mask.shape[1]] = logp.detach()
            before = old.logp[chunk, : mask.shape[1]]  # (chunk, tokens), a constant
            gains = advantages[chunk]  # (chunk,), or (chunk, tokens)
            gains = gains if gains.ndim == 1 else gains[:, : mask.shape[1]]
            loss, stats = self._loss(logp, before, gains, mask, part)
            share = len(chunk) / len(batch)
            if self.nature.mean == "token":
                share = float(mask.sum() / whole)
            (loss * share).backward()
            weight = float(mask.sum()) / tokens
            figures = {name: float(value) * weight for name, value in stats.items()}
            loss_share = float(loss.detach()) * share
            return {"loss": loss_share, "entropy": float(spread.sum()) / tokens} | figures

        self.model.train()
        self.model.zero_grad()
        told = [one_pass(chunk) for chunk in chunks(sampled, ours, most, padding)]
        total = {name: sum(figures[name] for figures in told) for name in told[0]}
        total = us.add_figures(total)
        us.add_gradients(self.model.parameters())
        return total | {"grad_norm": self._step(total["loss"])}

    def _loss(
        self,
        logp: torch.Tensor,
        old: torch.Tensor,
        advantages: torch.Tensor,
        mask: torch.Tensor,
        part: Rollout,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of some completions, and what is to be logged of it."""
        options = self._options(part, mask)
        found: dict[str, float] = {}
        if part.logp is not None:
            sampler = part.logp
            trainer = logp.detach() if self.config.old_from == "sampler" else old
            found["mismatch"] = float((trainer - sampler)[mask].abs().mean())
            if self.config.truncate:
                cap = self.config.truncate
                options["weights"] = grpo.truncated_weights(old, sampler, mask, cap)
        taken = contract.names_taken(self.loss)
        options = {name: value for name, value in options.items() if name in taken}
        loss, stats = contract.parts(self.loss(logp, old, advantages, mask, **options))
        found["clip_fraction"] = stats.get("clip_fraction", 0.0)
        if self.reference is not None and "kl" in stats:
            found["kl"] = stats["kl"]
        return loss, found

    def _options(self, part: Rollout, mask: torch.Tensor) -> dict[str, Any]:
        """What the library's loss takes of the settings; of a learner's, the reference alone."""
        config = self.config
        held = {"ref_logp": self._reference_logprobs(part, mask), "kl": config.kl}
        if self.loss is not grpo.policy_loss:
            return held if config.kl else {}
        return held | {
            "clip": config.clip,
            "reduce": config.reduce,
            "max_length": config.max_new_tokens,
            "level": config.level,
            "estimator": config.kl_estimator,
        }

    def _step(self, loss: float) -> float:
        """Cut the gradient to its longest allowed and take it; returns how long it was."""
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_norm)
        # One bad number here would spoil every weight.
        if math.isfinite(norm) and math.isfinite(loss):
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

    def refresh(self, step: int) -> None:
        """Make the policy the reference after every so many steps, as R1's training did."""
        every = self.config.reference_every
        if self.reference is not None and every and step % every == 0:
            self.reference.load_state_dict(self.model.state_dict())

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a resumed run needs besides the policy and its optimiser."""
        if self.reference is None or not self.config.reference_every:
            return {}
        return {f"reference.{name}": t for name, t in self.reference.state_dict().items()}

    def take(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave."""
        if self.reference is not None and tensors:
            self.reference.load_state_dict(
                {name.removeprefix("reference."): t for name, t in tensors.items()}
            )
