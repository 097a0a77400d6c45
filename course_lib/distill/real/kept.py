"""What a language model loses when it is taught puzzles, and keeps: measured before and after.

Two measures, both with the adapter on and off: the perplexity of a text written for the course, and
a dozen ordinary requests, answered at temperature 0. The text and the requests are in `kept.toml`.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill import distill, trace_sft
from course_lib.distill.bench import Bench, Row
from course_lib.distill.real import language_model, recipe
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.errors import CourseError
from course_lib.model import lora, models, rollout
from course_lib.task import puzzles

RANKS = (8, 2, 32)
EVERY = 50
"""Ranks, and updates from one look to the next, of `experiment`."""

_FILE = Path(__file__).with_suffix(".toml")
_LONGEST = 256  # tokens of a text that are read: as many as the smallest model here can hold
_PUZZLED = re.compile(r"</?think>|[-+]\s*\d+\s*=|^\s*[-+](\s*[-+])*\s*$")


@cache
def _shipped() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


def passages() -> list[str]:
    """The paragraphs of the shipped text."""
    return [" ".join(part.split()) for part in _shipped()["text"].strip().split("\n\n")]


def requests() -> list[tuple[str, list[str]]]:
    """A dozen ordinary requests, each with the words of which a right reply holds one."""
    return [(asked, list(words)) for asked, words in _shipped()["requests"]]


@torch.no_grad()
def perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str] | None = None
) -> float:
    """e to the mean loss (nats per token) over `texts`, the shipped ones by default.

    It is the number of equally likely next tokens between which the model would be as unsure.
    Each text is read by itself; its first token is not counted. Raises CourseError for no text of
    two tokens or more.
    """
    loss, counted = 0.0, 0
    for text in passages() if texts is None else texts:
        encoded = tokenizer.encode(text, add_special_tokens=False)[:_LONGEST]
        ids = torch.tensor([encoded], device=model.device)
        if ids.shape[1] < 2:
            continue
        logits = model(ids, use_cache=False).logits[0, :-1]  # (tokens - 1, vocabulary)
        loss += float(cross_entropy(logits.float(), ids[0, 1:], reduction="sum"))
        counted += ids.shape[1] - 1
    if not counted:
        raise CourseError("There is no text of two tokens or more to read; give one.")
    return math.exp(loss / counted)


def replies(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int = 32
) -> list[str]:
    """The model's replies to the requests, the likeliest token each time."""
    sampled = rollout.generate(
        model,
        [models.chat_ids(tokenizer, asked) for asked, _ in requests()],
        max_new_tokens=max_new_tokens,
        eos=tokenizer.eos_token_id,
        temperature=0.0,
    )
    return models.decode(tokenizer, sampled.ids.tolist())


def is_right(words: Sequence[str], reply: str) -> bool:
    """Whether a reply holds one of the words, whole, in small or capital letters."""
    return any(re.search(rf"(?i)\b{re.escape(word)}\b", reply) for word in words)


def is_puzzled(reply: str) -> bool:
    """Whether a reply is what a puzzle would get: a thought in tags, a step, or bare signs."""
    return _PUZZLED.search(reply) is not None


def measure(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Row:
    """Perplexity on the shipped text; the shares of requests answered rightly, or as puzzles.

    `said` are the first four replies.
    """
    said = replies(model, tokenizer)
    right = [is_right(words, reply) for (_, words), reply in zip(requests(), said, strict=True)]
    return {
        "perplexity": perplexity(model, tokenizer),
        "requests_right": sum(right) / len(right),
        "requests_puzzled": sum(map(is_puzzled, said)) / len(said),
        "said": said[:4],
    }


# --- rank and data against both -------------------------------------------------------------------


def course(
    rank: int,
    config: DistillConfig,
    every: int,
) -> Iterator[Row]:
    """SmolLM2's distillation at one rank, looked at every `every` updates: what is learnt and lost.

    Yields a row before the first update and at each look; at the end one with the share of puzzles
    solved, and one with the adapter switched off.
    """
    taught, tokenizer = language_model.load(yes=language_model.here())
    lora.add(taught, lora.Lora(rank, 2.0 * rank), config.seed)
    traces = _traces(tokenizer, config)
    yield {"updates": 0, "adapter": "fresh", **measure(taught, tokenizer)}
    for step, loss in trace_sft.finetune(taught, traces, config, tokenizer.eos_token_id):
        if step % every == 0 and step < config.steps:
            yield {"updates": step, "adapter": "on", "loss": loss, **measure(taught, tokenizer)}
    solved = distill.measure(taught, tokenizer, config)["accuracy"]
    last = {"updates": config.steps, "adapter": "on", "loss": loss, "accuracy": solved}
    yield {**last, **measure(taught, tokenizer)}
    with lora.off(taught):
        yield {"updates": config.steps, "adapter": "off", **measure(taught, tokenizer)}


def _traces(tokenizer: PreTrainedTokenizerBase, config: DistillConfig) -> list[Trace]:
    """Right traces of mini-R1-Zero, carried over as text."""
    teacher, own = models.load(models.shipped("mini-r1-zero"))
    found = trace_sft.right_ones(teacher, own, config)
    texts = models.decode(own, [trace.completion for _, trace in found])
    return [
        trace_sft.in_tokens_of(tokenizer, puzzles.prompt(puzzle), text)
        for (puzzle, _), text in zip(found, texts, strict=True)
    ]


def experiment(bench: Bench) -> Iterator[Row]:
    """The course of every rank with the bench's seed, after the lesson's settings."""
    for rank in RANKS:
        for row in course(rank, replace(recipe.DISTIL, seed=bench.seed), EVERY):
            yield {"rank": rank, **row}
