"""R1-Zero on a laptop: GRPO on the base, with the outcome as the only reward.

One step is: puzzles -> rollouts -> rewards -> advantages -> one update or a few. The arithmetic of
the advantages and of the loss is in `course_lib.rl.grpo`; here is the loop around it, which works
for any causal language model, any tokenizer and any reward (see `Task`). Deviations from DeepSeek's
settings are fields of `ZeroConfig` and stand there with their reasons.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.errors import CourseError
from course_lib.model import checkpoints, logprobs, models, rollout
from course_lib.model.rollout import Rollout
from course_lib.rl import grpo
from course_lib.runtime import use_threads
from course_lib.task import puzzles, traces

_SKIPS = 5  # steps in a row that may be lost to a failing reward


@dataclass(frozen=True)
class ZeroConfig:
    """Everything that decides a run; two equal configurations give equal runs on one machine."""

    seed: int = 0
    steps: int = 150
    puzzles: int = 16  # groups a step; R1-Zero: 32
    samples: int = 16  # completions a group, as R1-Zero
    max_new_tokens: int = 96
    temperature: float = 1.0
    learning_rate: float = 3e-4  # a thousand times R1-Zero's: the model is a million times smaller
    betas: tuple[float, float] = (0.9, 0.98)
    std: str = "none"  # Dr. GRPO's advantages: rare successes are not blown up
    reduce: str = "constant"  # Dr. GRPO's mean: a long completion counts token for token
    clip: tuple[float, float] = (0.2, 0.2)
    updates: int = 1  # per rollout; with one the ratio is 1 and nothing is ever clipped
    kl: float = 0.0  # R1-Zero: 0.001; the run is short and nothing drifts far
    gradient_norm: float = 1.0
    banned: tuple[str, ...] = ()  # tokens that are never written, such as `<think>`
    evaluate_every: int = 20
    evaluate_puzzles: int = 512
    checkpoint_every: int = 10


@dataclass(frozen=True)
class Task:
    """What the model is trained on: items, how each is put to it, and what its answer is worth.

    `draw(n, seed)` gives n items; `prompt(item)` the user's words; `reward(item, completion)` a
    finite number. `describe(item, completion)` may add figures to the log, such as `attempts`.
    `held_out(n, seed)` gives items that no training touches; without it no accuracy is measured.
    Accuracy is the mean of `right`, which is the reward unless something else is rewarded.
    """

    draw: Callable[[int, int], Sequence[Any]]
    prompt: Callable[[Any], str]
    reward: Callable[[Any, str], float]
    describe: Callable[[Any, str], dict[str, float]] = field(default=lambda item, completion: {})
    held_out: Callable[[int, int], Sequence[Any]] | None = None
    right: Callable[[Any, str], float] | None = None


def describe_trace(puzzle: puzzles.Puzzle, completion: str) -> dict[str, float]:
    """What a completion does besides being right: attempts, rejections, repeats, wrong steps."""
    counts = traces.count(completion, puzzle)
    return {
        "attempts": counts.attempts,
        "rejections": counts.rejections,
        "repeats": counts.repeats,
        "wrong_steps": counts.wrong_steps,
        "mixing": float(counts.mixing),
    }


PUZZLES = Task(
    puzzles.sample,
    puzzles.prompt,
    puzzles.reward,
    describe_trace,
    held_out=partial(puzzles.sample, split="test"),
    right=puzzles.reward,
)


class RewardError(ValueError):
    """A reward function failed or gave something that is not a finite number."""


@dataclass
class Experience:
    """One step's rollouts: `groups * samples` rows, the samples of a group next to each other."""

    rollout: Rollout
    items: list[Any]  # one a row
    texts: list[str]
    rewards: torch.Tensor  # (groups, samples)


def collect(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    items: Sequence[Any],
    config: ZeroConfig,
    generator: torch.Generator,
) -> Experience:
    """Sample `config.samples` completions for every item and reward each.

    Raises RewardError, naming the prompt, where a reward is not a finite number.
    """
    prompts = [prompt_ids(tokenizer, task.prompt(item)) for item in items]
    sampled = rollout.generate(
        model,
        prompts,
        samples=config.samples,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        eos=tokenizer.eos_token_id,
        banned=banned_ids(tokenizer, config.banned),
        generator=generator,
    )
    texts = models.decode(tokenizer, sampled.ids.tolist())
    rows = [item for item in items for _ in range(config.samples)]
    rewards = [judge(task, item, text) for item, text in zip(rows, texts, strict=True)]
    return Experience(sampled, rows, texts, torch.tensor(rewards).view(len(items), -1))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a prompt: a turn of conversation where the tokenizer has a chat template."""
    if tokenizer.chat_template is None:
        return tokenizer.encode(text)
    return models.chat_ids(tokenizer, text)


def banned_ids(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    """The ids of tokens given by their text. Raises ValueError for what is not one token."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in tokens}
    unknown = [token for token, i in ids.items() if i in (None, tokenizer.unk_token_id)]
    if unknown:
        raise ValueError(f"{unknown} are no tokens of this tokenizer; ban single tokens only.")
    return list(ids.values())


def judge(task: Task, item: Any, text: str) -> float:
    """The reward of one completion, checked to be a finite number."""
    try:
        value = task.reward(item, text)
    except Exception as error:
        raise RewardError(f"The reward of {task.prompt(item)!r} failed: {error!r}.") from error
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise RewardError(f"The reward of {task.prompt(item)!r} is {value!r}, not a finite number.")
    return float(value)


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


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    n: int = 512,
    seed: int = 0,
    task: Task = PUZZLES,
    items: Sequence[Any] | None = None,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    banned: tuple[str, ...] = (),
) -> dict[str, float]:
    """Accuracy and habits on `n` held-out items (or on `items`), one sampled completion each.

    Accuracy is by `task.right`, whatever the task rewards. Raises ValueError without items.
    """
    if items is None:
        if task.held_out is None:
            raise ValueError("This task has no held_out items; give it some, or pass items.")
        items = task.held_out(n, seed)
    config = ZeroConfig(
        samples=1, max_new_tokens=max_new_tokens, temperature=temperature, banned=banned
    )
    generator = torch.Generator().manual_seed(seed)
    judged = replace(task, reward=task.right or task.reward)
    found = collect(model, tokenizer, judged, items, config, generator)
    return {"accuracy": float(found.rewards.mean()), **summarise(found, task, tokenizer)}


def summarise(
    experience: Experience, task: Task, tokenizer: PreTrainedTokenizerBase
) -> dict[str, float]:
    """Means over completions: thinking tokens (up to `</think>`) and the task's figures."""
    figures: dict[str, float] = {}
    pairs = list(zip(experience.items, experience.texts, strict=True))
    for item, text in pairs:
        for name, value in task.describe(item, text).items():
            figures[name] = figures.get(name, 0.0) + value / len(pairs)
    end = tokenizer.get_vocab().get(models.END_THINK, -1)  # no token is -1
    return {"thinking_tokens": thinking_tokens(experience.rollout, end), **figures}


def thinking_tokens(sampled: Rollout, end_think: int) -> float:
    """Mean tokens before the answer: up to the last `</think>`, or all of an unfinished thought."""
    closes = sampled.ids == end_think
    position = torch.arange(1, sampled.ids.shape[1] + 1, device=sampled.ids.device)
    last = (closes * position).max(1).values
    unfinished = ~closes.any(1) & ~sampled.finished
    return float(torch.where(unfinished, sampled.lengths, last).float().mean())


def run(
    out: str | Path,
    config: ZeroConfig | None = None,
    *,
    base: str | Path | None = None,
    task: Task = PUZZLES,
    method: type[Learner] | None = None,
) -> Iterator[dict[str, float]]:
    """Train the model in folder `base` (the shipped mini-V3) and yield one dict a step.

    Each has step, seconds, reward, thinking_tokens, attempts, entropy, grad_norm, loss and
    informative (the share of groups that taught anything), and `accuracy` where the held-out
    puzzles were tried. `out/checkpoint` is a Hugging Face folder and `out/metrics.jsonl` the log.
    Stop it whenever you like, even by force: the same call goes on from the last checkpoint.
    `method` is how rollouts become updates (GRPO's `Learner`).
    """
    config = config or ZeroConfig()
    use_threads()
    out = Path(out)
    learner, tokenizer, state = _start(out, config, base, method or Learner)
    log = checkpoints.Log(out / "metrics.jsonl", keep=state["step"] or -1)
    if state["step"] == 0:
        yield _record(log, _first_line(learner, tokenizer, config, task))
    began = time.perf_counter() - log.lines[-1]["seconds"]
    for step in range(state["step"] + 1, config.steps + 1):
        line = _train(learner, tokenizer, task, step)
        line["seconds"] = time.perf_counter() - began
        if step == config.steps or step % config.checkpoint_every == 0:
            state = {"step": step, "config": asdict(config)}
            checkpoints.save(out / "checkpoint", learner.model, tokenizer, learner.optimizer, state)
        yield _record(log, line)
        _stop_if_lost(log.lines)


def _train(
    learner: Learner, tokenizer: PreTrainedTokenizerBase, task: Task, step: int
) -> dict[str, float]:
    """One step at its learning rate, with a trial on held-out items where one is due."""
    config = learner.config
    for group in learner.optimizer.param_groups:
        group["lr"] = config.learning_rate * (1 - (step - 1) / config.steps)
    line = {"step": step} | _one_step(learner, tokenizer, task, config, step)
    if step == config.steps or step % config.evaluate_every == 0:
        line |= _held_out(learner, tokenizer, config, task)
    return line


def _stop_if_lost(lines: Sequence[dict[str, Any]]) -> None:
    """A reward that always fails will not mend itself."""
    if len(lines) >= _SKIPS and all("skipped" in line for line in lines[-_SKIPS:]):
        raise CourseError(
            f"{_SKIPS} steps in a row were skipped. {lines[-1]['skipped']} Mend the reward; the "
            "run goes on from its last checkpoint."
        )


def _record(log: checkpoints.Log, line: dict[str, float]) -> dict[str, float]:
    log.write(line)
    return line


def _first_line(
    learner: Learner, tokenizer: PreTrainedTokenizerBase, config: ZeroConfig, task: Task
) -> dict[str, float]:
    """What the base does before any step."""
    began = time.perf_counter()
    held_out = _held_out(learner, tokenizer, config, task)
    return {"step": 0, **held_out, "seconds": time.perf_counter() - began}


def _held_out(
    learner: Learner, tokenizer: PreTrainedTokenizerBase, config: ZeroConfig, task: Task
) -> dict[str, float]:
    if task.held_out is None:
        return {}
    found = evaluate(
        learner.model,
        tokenizer,
        n=config.evaluate_puzzles,
        seed=config.seed,
        task=task,
        max_new_tokens=config.max_new_tokens,
        banned=config.banned,
    )
    return {name if name == "accuracy" else f"test_{name}": found[name] for name in found}


def _one_step(
    learner: Learner,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    config: ZeroConfig,
    step: int,
) -> dict[str, float]:
    """Rollouts, rewards and updates of one step; its randomness depends on seed and step alone."""
    seed = config.seed * 1_000_003 + step
    generator = torch.Generator().manual_seed(seed)
    try:
        found = collect(
            learner.model, tokenizer, task, task.draw(config.puzzles, seed), config, generator
        )
    except RewardError as error:
        return {"skipped": str(error)}
    informative = (found.rewards != found.rewards[:, :1]).any(1).float().mean()
    return {
        "reward": float(found.rewards.mean()),
        **summarise(found, task, tokenizer),
        "informative": float(informative),
        **learner.update(found),
    }


def _start(
    out: Path, config: ZeroConfig, base: str | Path | None, method: type[Learner]
) -> tuple[Learner, PreTrainedTokenizerBase, dict]:
    """The learner to begin with: from the base, or from the checkpoint in `out`."""
    folder = out / "checkpoint"
    resume = checkpoints.has_state(folder)
    base = Path(base or models.shipped("mini-v3-base"))
    model, tokenizer = models.load(folder if resume else base)
    _refuse_what_cannot_be_trained(base, model, tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=0.0,
        fused=True,
    )
    reference = models.load(base)[0].requires_grad_(False) if config.kl else None
    banned = banned_ids(tokenizer, config.banned)
    learner = method(model, optimizer, config, tokenizer.eos_token_id, reference, banned)
    if not resume:
        out.mkdir(parents=True, exist_ok=True)
        return learner, tokenizer, {"step": 0}
    state = checkpoints.load_state(folder, model, optimizer)
    _refuse_other_settings(folder, state, config)
    return learner, tokenizer, state


def _refuse_what_cannot_be_trained(
    base: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    if not hasattr(model, "model") or not hasattr(model, "lm_head"):
        raise CourseError(
            f"{base} holds a {type(model).__name__}; this trainer needs a decoder named `model` "
            "and an output layer named `lm_head`, as Llama, Qwen, Gemma and DeepSeek have."
        )
    if tokenizer.eos_token_id is None:
        raise CourseError(f"The tokenizer in {base} has no EOS token, so no completion could end.")


def _refuse_other_settings(folder: Path, state: dict, config: ZeroConfig) -> None:
    """A run goes on with the settings that it began with, or its curve would mean nothing."""
    ours = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    changed = sorted(k for k, v in state.get("config", {}).items() if ours.get(k) != v)
    if changed:
        raise CourseError(
            f"{folder} belongs to a run with other settings ({', '.join(changed)}); give another "
            "--out, or delete the folder to start again."
        )
