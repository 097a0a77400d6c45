"""What decides a run of R1-Zero: its settings, its task, and what an answer is worth."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

from course_lib.errors import COLDEST, CourseError, own_number, refuse_below
from course_lib.rl import grpo
from course_lib.task import puzzles, traces


@dataclass(frozen=True)
class ZeroConfig:
    """Everything that decides a run; two equal configurations give equal runs on one machine."""

    seed: int = 0
    steps: int = 150
    # 1 rollout
    puzzles: int = 16  # groups a step; R1-Zero: 32
    samples: int = 16  # completions a group, as R1-Zero
    max_new_tokens: int = 96
    temperature: float = 1.0
    banned: tuple[str, ...] = ()  # tokens that are never written, such as `<think>`
    sampler: Literal["same", "bfloat16"] = "same"  # the numbers that completions are sampled with
    # 2 reward
    overlong: int = 0  # DAPO's soft punishment: over so many last tokens; 0 is none
    # 3 advantage
    std: grpo.Std = "none"  # Dr. GRPO's advantages: rare successes are not blown up
    # 4 update
    learning_rate: float = 3e-4  # a hundred times R1-Zero's: the model is a million times smaller
    betas: tuple[float, float] = (0.9, 0.98)
    reduce: grpo.Reduce = "constant"  # Dr. GRPO's mean: a long completion counts token for token
    clip: tuple[float, float] = (0.2, 0.2)  # R1: 10, which only the upper end feels
    level: grpo.Level = "token"  # whose ratio is clipped; GSPO: the sequence's
    minibatches: int = 1  # optimiser steps that share a step's completions; R1: 16
    updates: int = 1  # times that each completion is used; with 1 and 1 nothing is ever clipped
    old_from: Literal["trainer", "sampler"] = "trainer"  # whose probabilities are the old ones
    truncate: float = 0.0  # truncated importance sampling: the weights' cap; 0 is none
    kl: float = 0.0  # R1-Zero: 0.001; 3c.7 tries a weight
    kl_estimator: grpo.Estimator = "k3"
    reference_every: int = 0  # steps after which the reference is the policy again; R1: 400
    gradient_norm: float = 1.0
    value_rate: float = 1e-3  # PPO's value model learns at; its head starts at 0, far from rewards
    # what is watched and kept
    evaluate_every: int = 20
    evaluate_puzzles: int = 512
    checkpoint_every: int = 10

    def __post_init__(self) -> None:
        for name in ("clip", "betas"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        least = {"seed": 0, "steps": 0, "puzzles": 1, "samples": 1, "max_new_tokens": 1,
                 "minibatches": 1, "updates": 1, "evaluate_every": 1,
                 "evaluate_puzzles": 0, "checkpoint_every": 1}  # fmt: skip
        least |= dict.fromkeys(("temperature", "overlong", "truncate", "kl", "reference_every",
                                "learning_rate", "value_rate", "gradient_norm"), 0)  # fmt: skip
        refuse_below(self, least, endless="gradient_norm")
        self._check_choices()
        for name in ("clip", "betas"):
            object.__setattr__(self, name, tuple(map(own_number, getattr(self, name))))

    def _check_choices(self) -> None:
        """Raises CourseError for a word that is no choice, and for what does not go together."""
        for name, kind in get_type_hints(type(self)).items():
            allowed = get_args(kind) if get_origin(kind) is Literal else ()
            if allowed and getattr(self, name) not in allowed:
                raise CourseError(
                    f"{name} is {getattr(self, name)!r}; allowed are "
                    f"{' and '.join(map(repr, allowed))}."
                )
        wrong = {}
        if not _is_pair(self.clip):
            wrong["clip"] = "are two numbers of at least 0: (below, above)"
        if not _is_pair(self.betas) or max(self.betas) >= 1:
            wrong["betas"] = "are two numbers from 0 to under 1"
        if isinstance(self.banned, str):
            wrong["banned"] = "are tokens in a list, such as ['<think>']"
        if 0 < self.temperature < COLDEST:
            wrong["temperature"] = f"are 0 (greedy) and {COLDEST:g} or more"
        if self.truncate > 0 and self.old_from == "sampler":
            wrong["truncate"] = (
                "is 0 where old_from is 'sampler', which leaves nothing to make up for"
            )
        if self.overlong > self.max_new_tokens:
            wrong["overlong"] = f"is up to max_new_tokens, {self.max_new_tokens}"
        for name, said in wrong.items():
            raise CourseError(f"{name} is {getattr(self, name)!r}; allowed {said}.")

    @property
    def needs_sampler_logp(self) -> bool:
        """Whether the sampler's own log-probabilities are used in the update."""
        return self.old_from == "sampler" or self.truncate > 0 or self.sampler != "same"


def _is_pair(given: Any) -> bool:
    """Whether these are two numbers of at least 0."""
    two = isinstance(given, tuple) and [isinstance(one, Real) for one in given] == [True, True]
    return two and all(one >= 0 for one in given)


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
    """The reward of one completion, checked to be a finite number (a NumPy number is one too)."""
    try:
        value: Any = task.reward(item, text)
    except Exception as error:
        raise RewardError(f"The reward of {task.prompt(item)!r} failed: {error!r}.") from error
    try:
        plain = value.item() if getattr(value, "ndim", None) == 0 else value
        if isinstance(plain, Real) and math.isfinite(plain):
            return float(plain)
        given = repr(value)[:200]
    except (OverflowError, ValueError):
        given = "too large a number"
    raise RewardError(f"The reward of {task.prompt(item)!r} is {given}, not a finite number.")
