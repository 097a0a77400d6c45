"""What every experiment stands on: a teacher, its answers, students, data and measures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill import trace_sft
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.model import models, pretrain
from course_lib.rl import zero
from course_lib.runtime import processor_seconds
from course_lib.task import puzzles, traces

SHORT = DistillConfig(steps=150, tokens=2048, traces=2000, warmup=10, evaluate_puzzles=512)
"""A comparison: half of the lesson's updates, in smaller batches."""

COUNTS = (50, 300, 1800)
"""How many right traces a student is given; the updates are as many for each."""

Row = dict[str, Any]


STUDENTS: dict[str, dict[str, Any]] = {
    "qwen2 96x3": {"family": "qwen2", "hidden": 96, "layers": 3},
    "llama 64x3": {"family": "llama", "hidden": 64, "layers": 3},
    "qwen2 48x2": {"family": "qwen2", "hidden": 48, "layers": 2},
}
"""The students of `sizes` and their shapes; all have read the same."""

PRETRAINED = 2500
"""Updates of pretraining for each of them, so that a difference is one of size and not of reading.

About a third of what the shipped base has read: three bases must not take longer than the rest.
"""

SHIPPED = "qwen2 96x3, shipped base"
"""The student of the other experiments: it has the base that comes with the course."""


@dataclass(frozen=True)
class Answer:
    """One answer of the teacher: the puzzle, its trace in tokens and whether it is right."""

    puzzle: puzzles.Puzzle
    trace: Trace
    right: bool


@dataclass
class Bench:
    """A teacher, a folder for bases and runs, and a seed."""

    teacher: Path
    out: Path
    seed: int = 0
    config: DistillConfig = SHORT

    @cached_property
    def expert(self) -> PreTrainedModel:
        return self._loaded[0]

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return models.load(self.teacher)

    @cached_property
    def answers(self) -> list[Answer]:
        """The teacher's answers to `config.traces` training puzzles, drawn with the seed."""
        return self.ask(self.config.traces)

    def ask(self, n: int) -> list[Answer]:
        """The teacher's answers to `n` training puzzles."""
        items = puzzles.sample(n, self.seed)
        found, right = trace_sft.gather(
            self.expert,
            self.tokenizer,
            items,
            seed=self.seed,
            max_new_tokens=self.config.max_new_tokens,
        )
        return [Answer(*three) for three in zip(items, found, right, strict=True)]

    def base(self, name: str) -> Path:
        """The folder of a student's base: the shipped one, or one pretrained here (once)."""
        if name == SHIPPED:
            return models.shipped("qwen2-base")
        folder = self.out / "bases" / name.replace(" ", "-")
        shape = models.student_config(self.tokenizer, **STUDENTS[name])
        for _ in pretrain.run(folder, pretrain.PretrainConfig(steps=PRETRAINED), shape):
            pass
        return folder / "checkpoint"

    def taught(self, name: str, learnt: Sequence[Trace]) -> PreTrainedModel:
        """A student fine-tuned on traces, from its base."""
        student, tokenizer = models.load(self.base(name))
        trace_sft.require_same_vocabulary(self.tokenizer, tokenizer)
        config = replace(self.config, seed=self.seed)
        for _ in trace_sft.finetune(student, learnt, config, tokenizer.eos_token_id):
            pass
        return student

    def row(self, model: PreTrainedModel, **about: Any) -> Row:
        """A row of a record: what is said of a model, and everything measured on it."""
        return {
            **about,
            "parameters": models.parameters(model),
            "bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
            **measure(model, self.tokenizer, self.config.evaluate_puzzles, self.seed),
        }


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int, seed: int
) -> dict[str, Any]:
    """Accuracy, habits, speed and examples on `n` held-out puzzles; fewer of other lengths.

    `tokens_per_second` counts the processor's seconds (many answers at once), so that
    other programs do not spoil it. `lucky` is the share of right answers with wrong working, and
    `step_errors` the share of all steps of working that are wrong.
    """
    items = puzzles.sample(n, seed, "test")
    began = processor_seconds()
    found = answers(model, tokenizer, items, 96, seed)
    spent = processor_seconds() - began
    shown = puzzles.sample(3, 7, "test")
    examples = answers(model, tokenizer, shown, 96, 1)
    return {
        "accuracy": float(found.rewards.mean()),
        **zero.summarise(found, zero.PUZZLES, tokenizer),
        "lucky": lucky(items, found.texts),
        "step_errors": step_errors(items, found.texts),
        **other_lengths(model, tokenizer, n // 2, seed),
        "tokens_per_second": round(int(found.rollout.lengths.sum()) / spent),
        "examples": dict(zip(map(str, shown), examples.texts, strict=True)),
    }


def other_lengths(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int, seed: int
) -> dict[str, float]:
    """The share right of `n` puzzles with three and with five digits, and what those look like.

    No teacher here was rewarded for either. `five_digits_signs` is the share of answers with as
    many signs as there are gaps, four, whether right or not.
    """
    shorter = puzzles.sample(n, seed, "test", size=3)
    longer = puzzles.sample(n, seed, "test", size=5)
    three = answers(model, tokenizer, shorter, 96, seed)
    five = answers(model, tokenizer, longer, 192, seed)
    signs = [len(puzzles.answer(text) or ()) for text in five.texts]
    return {
        "three_digits": float(three.rewards.mean()),
        "five_digits": float(five.rewards.mean()),
        "five_digits_signs": signs.count(4) / len(signs),
        "five_digits_step_errors": step_errors(longer, five.texts),
    }


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[puzzles.Puzzle],
    most: int,
    seed: int,
    temperature: float = 1.0,
) -> zero.Experience:
    """One answer of at most `most` tokens to each puzzle, rewarded."""
    config = zero.ZeroConfig(samples=1, max_new_tokens=most, temperature=temperature)
    generator = torch.Generator().manual_seed(seed)
    return zero.collect(model, tokenizer, zero.PUZZLES, items, config, generator)


def lucky(items: Sequence[puzzles.Puzzle], texts: Sequence[str]) -> float:
    """The share of right answers whose thought has a wrong step or a wrong verdict, or no thought.

    0.0 where no answer is right.
    """
    right = [pair for pair in zip(items, texts, strict=True) if puzzles.reward(*pair) == 1.0]
    counts = [traces.count(text, puzzle) for puzzle, text in right]
    wrong = [c.wrong_steps > 0 or c.wrong_verdicts > 0 or not c.copied for c in counts]
    return sum(wrong) / len(wrong) if wrong else 0.0


def step_errors(items: Sequence[puzzles.Puzzle], texts: Sequence[str]) -> float:
    """The share of steps of working that are wrong, 0.0 where there are none.

    Wrong is a digit that is not the puzzle's next, or a total that does not follow.
    """
    counts = [traces.count(text, puzzle) for puzzle, text in zip(items, texts, strict=True)]
    steps = sum(c.steps for c in counts)
    return sum(c.wrong_steps for c in counts) / steps if steps else 0.0


# --- what is learnt from --------------------------------------------------------------------------


def datasets(answers: Sequence[Answer], tokenizer: PreTrainedTokenizerBase) -> dict[str, list]:
    """The data of `quality` by name; `right, as few` has as many traces as `wrong answers`."""
    right = [a.trace for a in answers if a.right]
    wrong = [a.trace for a in answers if not a.right]
    return {
        "right": right[: max(COUNTS)],
        "unfiltered": [a.trace for a in answers[: max(COUNTS)]],
        "wrong answers": wrong,
        "right, as few": right[: len(wrong)],
        "answers only": [without_thinking(t, tokenizer) for t in right[: max(COUNTS)]],
    }


def without_thinking(trace: Trace, tokenizer: PreTrainedTokenizerBase) -> Trace:
    """The trace with its thought cut out, tags and all: what follows the last `</think>`."""
    end = tokenizer.get_vocab()[models.END_THINK]
    ids = trace.completion
    start = len(ids) - ids[::-1].index(end) if end in ids else 0
    return Trace(trace.prompt, ids[start:])
