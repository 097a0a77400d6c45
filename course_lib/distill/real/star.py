"""The circle on words: the model's own right answers are its next lesson (STaR, expert iteration).

Zelikman et al., 2022, "STaR: Bootstrapping Reasoning With Reasoning" (arXiv 2203.14465): sample
answers with their working, keep what is right, teach the *first* model all that was kept so far,
and go round again. Nobody shows it a solution but the worked examples in the first round's prompt.
(The original also shows the answer to what went wrong; that half is left out here.)

`python -m course_lib star --out DIR` runs it and goes on when it was stopped.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.distill import trace_sft
from course_lib.distill.real import language_model, stories
from course_lib.distill.real.stories import Story
from course_lib.distill.trace_sft import DistillConfig
from course_lib.errors import CourseError
from course_lib.model import checkpoints, models
from course_lib.model.lora import Lora
from course_lib.rl import zero
from course_lib.runtime import use_threads

RECORD = "real-star"


@dataclass(frozen=True)
class StarConfig:
    """Everything that decides a run."""

    seed: int = 0
    rounds: int = 3
    stories: int = 96  # put to the model a round, new ones each time
    samples: int = 4  # answers to each
    temperature: float = 0.7
    max_new_tokens: int = 40
    shots: int = 2  # worked examples in the prompt of the first round; none later
    keep: Literal["right", "answered"] = "right"  # what is learnt; "answered" is the control
    most: int = 2  # different answers kept to one story
    rank: int = 8
    steps: int = 40  # updates a round, always from the first model
    tokens: int = 768  # a batch
    learning_rate: float = 5e-4
    held_out: int = 128

    def __post_init__(self) -> None:
        for name in ("rounds", "stories", "samples", "max_new_tokens", "most", "steps", "held_out"):
            if getattr(self, name) < 1:
                raise CourseError(f"{name} is {getattr(self, name)}; allowed is 1 or more.")
        if self.keep not in ("right", "answered"):
            raise CourseError(f"keep is {self.keep!r}; allowed are 'right' and 'answered'.")


@dataclass(frozen=True)
class Answer:
    """What the model said to a story, and what the verifier says to it."""

    story: Story
    text: str

    @property
    def right(self) -> bool:
        return stories.reward(self.story, self.text) == 1.0


def sample(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: StarConfig, number: int
) -> list[Answer]:
    """The answers of round `number` (from 1 on) to stories of its own; the first with examples."""
    task = stories.task(config.shots if number == 1 else 0)
    items = task.draw(config.stories, 1000 * config.seed + number)
    how = zero.ZeroConfig(
        samples=config.samples,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
    )
    generator = torch.Generator().manual_seed(1000 * config.seed + number)
    found = zero.collect(model, tokenizer, task, items, how, generator)
    return [Answer(item, text) for item, text in zip(found.items, found.texts, strict=True)]


def keep(answers: Sequence[Answer], config: StarConfig) -> list[Answer]:
    """What is learnt of the answers: the right ones, each text once, at most `config.most` a story.

    With `keep="answered"` whatever ends in an answer is kept, right or wrong, and as many of them as
    there are right ones: the control, which costs and writes the same and leaves out the verifier.
    """
    right = _first(answers, config.most, lambda one: one.right)
    if config.keep == "right":
        return right
    said = _first(answers, config.most, lambda one: stories.answer(one.text) is not None)
    rng = torch.Generator().manual_seed(config.seed)
    chosen = torch.randperm(len(said), generator=rng)[: len(right)].tolist()
    return [said[i] for i in sorted(chosen)]


def _first(answers: Sequence[Answer], most: int, wanted: Any) -> list[Answer]:
    kept: dict[Answer, None] = {}
    of_story: dict[Story, int] = {}
    for one in answers:
        if wanted(one) and one not in kept and of_story.get(one.story, 0) < most:
            kept[one] = None
            of_story[one.story] = of_story.get(one.story, 0) + 1
    return list(kept)


def teach(
    folder: Path, kept: Sequence[Answer], config: StarConfig
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The first model, taught what was kept, without examples in the prompt; saved in `folder`.

    `folder` holds a fresh adapter. Raises CourseError for nothing to learn from.
    """
    if not kept:
        raise CourseError(
            "Not one answer was right, so there is nothing to learn from: the circle stops here. "
            "Give more stories, more samples or more worked examples."
        )
    model, tokenizer = models.load(folder)
    traces = [
        trace_sft.in_tokens_of(tokenizer, stories.prompt(one.story), one.text) for one in kept
    ]
    how = DistillConfig(
        seed=config.seed,
        steps=config.steps,
        tokens=config.tokens,
        learning_rate=config.learning_rate,
        warmup=5,
    )
    for _ in trace_sft.finetune(model, traces, how, tokenizer.eos_token_id):
        pass
    models.save(model, tokenizer, folder)
    return model, tokenizer


def run(
    out: str | Path,
    config: StarConfig | None = None,
    *,
    model: str | Path | None = None,
    yes: bool = False,
) -> Iterator[dict[str, Any]]:
    """The circle in the folder `out`: yields a line for the first model and one for each round.

    Every line has the held-out figures; a round's also has what was asked, right and kept. Round n
    leaves its adapter in `out/round-n`. Stop it whenever you like: the same call gives the lines so
    far and begins again with the round that was not ended. Raises CourseError for a model that is
    not there, for a folder with another run, and where nothing was right.
    """
    config, out = config or StarConfig(), Path(out)
    use_threads()
    with checkpoints.alone(out):
        base = language_model.folder(model, yes=yes)
        checkpoints.claim(out, {**asdict(config), "base": checkpoints.fingerprint(base)})
        log = checkpoints.Log(out / "metrics.jsonl", keep=config.rounds)
        yield from list(log.lines)
        kept = _read(out / "kept.json", len(log.lines) - 1)
        for number in range(len(log.lines), config.rounds + 1):
            yield _round(out, base, config, log, kept, number)


def _round(
    out: Path, base: Path, config: StarConfig, log: checkpoints.Log, kept: list[Answer], number: int
) -> dict[str, Any]:
    """One time round, or, as number 0, only a look at the first model."""
    began = time.process_time()
    taught, tokenizer = models.load(out / f"round-{number - 1}" if number > 1 else base)
    line: dict[str, Any] = {"step": number}
    if number == 0:
        shown = measure(taught, tokenizer, config, config.shots)
        line |= {f"{name}_with_examples": value for name, value in shown.items()}
    else:
        # 1. Sample, by the newest model. 2. Keep what is right. 3. Teach the first model.
        answers = sample(taught, tokenizer, config, number)
        new = keep(answers, config)
        kept += new
        right = [one for one in answers if one.right]
        line |= {
            "asked": len(answers),
            "right": len(right) / len(answers),
            "solved": len({one.story for one in right}) / config.stories,
            "new": len(new),
            "kept": len(kept),
        }
        folder = language_model.start(
            out / f"round-{number}", base, Lora(config.rank, 2.0 * config.rank), seed=config.seed
        )
        taught, tokenizer = teach(folder, kept, config)
        _write(out / "kept.json", kept)
    # 4. Measure, on stories of which no name, thing or sentence was seen.
    line |= measure(taught, tokenizer, config) | {"cpu_seconds": time.process_time() - began}
    log.write(line)
    return line


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: StarConfig, shots: int = 0
) -> dict[str, float]:
    """Accuracy, answers, steps and wrong steps on held-out stories, one sampled answer each."""
    return zero.evaluate(
        model,
        tokenizer,
        n=config.held_out,
        seed=config.seed,
        task=stories.task(shots),
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
    )
