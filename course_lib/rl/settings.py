"""What decides a run of R1-Zero: its settings, its task, and what an answer is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from course_lib.task import puzzles, traces


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


def judge(task: Task, item: Any, text: str) -> float:
    """The reward of one completion, checked to be a finite number."""
    try:
        value = task.reward(item, text)
    except Exception as error:
        raise RewardError(f"The reward of {task.prompt(item)!r} failed: {error!r}.") from error
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise RewardError(f"The reward of {task.prompt(item)!r} is {value!r}, not a finite number.")
    return float(value)
