"""R1-Zero on a laptop: GRPO on the base, with the outcome as the only reward.

One step is: puzzles -> rollouts -> rewards -> advantages -> one update or a few. The arithmetic of
the advantages and of the loss is in `course_lib.rl.grpo`; here is the loop around it, which works
for any causal language model, any tokenizer and any reward (see `Task`). Deviations from DeepSeek's
settings are fields of `ZeroConfig` and stand there with their reasons.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.errors import CourseError
from course_lib.model import checkpoints, models
from course_lib.rl.experience import (
    Experience,
    banned_ids,
    collect,
    evaluate,
    prompt_ids,
    summarise,
    thinking_tokens,
)
from course_lib.rl.learner import Learner, chunks, completion_logprobs
from course_lib.rl.settings import PUZZLES, RewardError, Task, ZeroConfig, judge
from course_lib.runtime import use_threads

__all__ = [
    "PUZZLES",
    "Experience",
    "Learner",
    "RewardError",
    "Task",
    "ZeroConfig",
    "banned_ids",
    "chunks",
    "collect",
    "completion_logprobs",
    "evaluate",
    "judge",
    "prompt_ids",
    "run",
    "summarise",
    "thinking_tokens",
]

_SKIPS = 5  # steps in a row that may be lost to a failing reward


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
