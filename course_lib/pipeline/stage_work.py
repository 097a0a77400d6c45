"""What the stages of the pipeline share: tasks, sampling, fine-tuning, and measuring a model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill.trace_sft import DistillConfig, Trace, finetune
from course_lib.model import models
from course_lib.pipeline import rejection_sampling
from course_lib.pipeline.rejection_sampling import Sample
from course_lib.pipeline.reward_model import RewardModel
from course_lib.rl import zero
from course_lib.task import chat, puzzles, rewards
from course_lib.task.chat import Chat
from course_lib.task.puzzles import Puzzle

# --- what a model is put to ---------------------------------------------------------------------


def task(
    rule: rewards.RuleReward, judge: RewardModel | None = None, chats: float = 0.0
) -> zero.Task:
    """Puzzles judged by rules and, for a share `chats` of the prompts, conversation by a model."""

    def draw(n: int, seed: int) -> list[Puzzle | Chat]:
        talk = round(n * chats)
        return [*puzzles.sample(n - talk, seed), *chat.sample(talk, seed)]

    def worth(item: Puzzle | Chat, completion: str) -> float:
        if isinstance(item, Puzzle):
            return rule(item, completion)
        return judge.score(item.prompt, completion) if judge else 0.0

    return zero.Task(draw, prompt_of, worth, _describe)


def judged_task(judge: RewardModel, chats: float = 0.25) -> zero.Task:
    """Puzzles and conversation, all judged by the reward model alone: how not to use one.

    Held-out puzzles are watched (see `watched`).
    """
    both = task(rewards.RuleReward(), judge, chats)
    return watched(replace(both, reward=lambda item, text: judge.score(prompt_of(item), text)))


def watched(task: zero.Task) -> zero.Task:
    """The task with held-out puzzles: its log says what becomes of right answers meanwhile."""
    return replace(task, held_out=partial(puzzles.sample, split="test"), right=puzzles.reward)


def prompt_of(item: Puzzle | Chat) -> str:
    """What the user says."""
    return puzzles.prompt(item) if isinstance(item, Puzzle) else item.prompt


def _describe(item: Puzzle | Chat, completion: str) -> dict[str, float]:
    if isinstance(item, Chat):
        return {"chat_right": float(chat.is_right(item, completion))}
    found = rewards.habits(item, completion)
    figures = {name: found[name] for name in ("format", "readability", "repeats")}
    return {"right": found["accuracy"], **figures}  # `accuracy` is that on held-out puzzles


def sample_answers(
    folder: str | Path, items: Sequence[Puzzle | Chat], seed: int, samples: int = 1
) -> list[str]:
    """`samples` completions of the model in `folder` for each item, next to each other."""
    model, tokenizer = models.load(folder)
    return [text for part in answer(model, tokenizer, items, seed, samples) for text in part.texts]


def sample_traces(folder: str | Path, n: int, seed: int, samples: int = 1) -> list[Sample]:
    """What the model in `folder` says to `n` puzzles drawn for training, `samples` times each."""
    items = puzzles.sample(n, seed)
    texts = sample_answers(folder, items, seed, samples)
    rows = [item for item in items for _ in range(samples)]
    return [Sample(item, text) for item, text in zip(rows, texts, strict=True)]


def as_pairs(samples: Sequence[Sample]) -> list[tuple[str, str]]:
    """Samples as prompts and completions, for `fine_tune`."""
    return [(puzzles.prompt(sample.puzzle), sample.completion) for sample in samples]


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Puzzle | Chat],
    seed: int,
    samples: int = 1,
    temperature: float = 1.0,
    batch: int = 512,
) -> Iterator[zero.Experience]:
    """Sample completions in batches; every one is worth 0, for nobody learns from them."""
    generator = torch.Generator().manual_seed(seed)
    config = zero.ZeroConfig(samples=samples, temperature=temperature)
    nothing = zero.Task(puzzles.sample, prompt_of, lambda item, text: 0.0)
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        yield zero.collect(model, tokenizer, nothing, part, config, generator)


# --- learning and measuring ------------------------------------------------------------------


def fine_tune(
    folder: str | Path,
    pairs: Sequence[tuple[str, str]],
    updates: int,
    seed: int,
    base: str | Path | None = None,
) -> Iterator[dict[str, float]]:
    """Fine-tune `base` on prompts and completions into `folder`; yields step and loss.

    The course's base and not the model before: in R1, too, both fine-tunings start from V3-Base.
    """
    model, tokenizer = models.load(base or models.shipped("mini-v3-base"))
    eos = tokenizer.eos_token_id
    data = [
        Trace(
            models.chat_ids(tokenizer, prompt),
            [*tokenizer.encode(text, add_special_tokens=False), eos],
        )
        for prompt, text in pairs
    ]
    settings = DistillConfig(seed=seed, steps=updates, tokens=3072, learning_rate=1e-3, warmup=5)
    for step, loss in finetune(model, data, settings, eos):
        yield {"step": step, "loss": loss}
    models.save(model, tokenizer, folder)


def measure(
    folder: str | Path,
    *,
    n: int = 512,
    chats: int = 148,
    seed: int = 0,
    temperature: float = 0.6,
    judge: RewardModel | None = None,
    shown: int = 6,
) -> dict[str, Any]:
    """One row of the table: `figures`, means over puzzles and chats, and sample `traces`.

    `n` held-out puzzles are drawn with `seed`, and `chats` prompts of the conversation are taken in
    order; these are not held out, for there are 74 in all.
    One answer to each is sampled, at the temperature at which DeepSeek evaluates R1.
    Shares are from 0 to 1. `consistency` and `wrong_steps` are means over answers with steps;
    `preference` is the reward model's mean score of the conversation, in its own deviations.
    """
    model, tokenizer = models.load(folder)
    items = puzzles.sample(n, seed, "test")
    parts = list(answer(model, tokenizer, items, seed, temperature=temperature))
    texts = [text for part in parts for text in part.texts]
    found = [rewards.habits(item, text) for item, text in zip(items, texts, strict=True)]
    figures = {name: _mean([f[name] for f in found if name in f]) for name in HABITS}
    lengths = [zero.thinking_tokens(part.rollout, tokenizer) * len(part.texts) for part in parts]
    figures["thinking_tokens"] = sum(lengths) / len(items)
    talk = list(islice(cycle(chat.prompts()), chats))
    parts = list(answer(model, tokenizer, talk, seed, temperature=temperature))
    said = [text for part in parts for text in part.texts]
    figures |= _conversation(list(zip(talk, said, strict=True)), judge)
    traces = [
        rejection_sampling.to_line(Sample(*pair))
        for pair in zip(items[:shown], texts, strict=False)
    ]
    return {"figures": figures, "traces": traces}


HABITS = ("accuracy", "format", "consistency", "readability", "attempts", "repeats", "wrong_steps")


def _conversation(
    said: Sequence[tuple[Chat, str]], judge: RewardModel | None
) -> dict[str, float | None]:
    figures = {
        "chat_right": _mean([float(chat.is_right(item, text)) for item, text in said]),
        "polite": _mean([float(text.endswith(chat.POLITE)) for _, text in said]),
    }
    if judge:
        figures["preference"] = _mean([judge.score(item.prompt, text) for item, text in said])
    return figures


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
