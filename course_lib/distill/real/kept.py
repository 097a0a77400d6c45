"""What a language model loses when it is taught puzzles, and keeps: measured before and after.

Two measures, both with the adapter on and off: the perplexity of a text written for the course, and
a dozen ordinary requests, answered at temperature 0. The text and the requests are in `kept.toml`.
"""

import math
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill import distill
from course_lib.distill.bench import Bench, Row
from course_lib.distill.real import arms, recipe, run
from course_lib.errors import CourseError
from course_lib.model import lora, models, rollout

RUNS = ((recipe.LORA.rank, recipe.DISTIL.steps), (8, 120), (8, 40), (2, 120), (32, 120))
"""Rank and updates of the runs of `experiment`: the lesson's own, by data, and by rank."""

PUZZLES = 128  # held-out puzzles of the shorter runs

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


def replies(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The model's replies to the requests, the likeliest token each time."""
    prompts = [models.chat_ids(tokenizer, asked) for asked, _ in requests()]
    eos = tokenizer.eos_token_id
    sampled = rollout.generate(model, prompts, max_new_tokens=32, eos=eos, temperature=0.0)
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


def experiment(bench: Bench) -> Iterator[Row]:
    """What is learnt and what is lost, by rank and by updates: a row for each of `RUNS`.

    The first of them is the run of `arms`, which is not done again where it is in `out`; the others
    read the first of the same traces, each on a schedule of its own. Before it stands the untaught
    model, and after it the same model with the adapter switched off.
    """
    first = {"rank": RUNS[0][0], "updates": 0, "adapter": "fresh"}
    yield {**first, **measure(*models.load(arms.begin(bench)[1]))}
    for rank, steps in RUNS:
        folder, told = _taught(bench, rank, steps)
        model, tokenizer = models.load(folder)
        name = {"rank": rank, "updates": steps}
        yield {**name, "adapter": "on", **told, **measure(model, tokenizer)}
        if (rank, steps) == RUNS[0]:
            with lora.off(model):
                yield {**name, "adapter": "off", **measure(model, tokenizer)}


def _taught(bench: Bench, rank: int, steps: int) -> tuple[Path, Row]:
    """The folder of a model taught so, and on how many puzzles it has which accuracy."""
    folder, start, config, _ = arms.begin(bench)
    if (rank, steps) != RUNS[0]:
        traces = folder / "distil" / distill.TRACES
        shorter = replace(config, steps=steps, evaluate_puzzles=PUZZLES)
        plan = run.Plan(bench.seed, lora.Lora(rank, 2.0 * rank), shorter)
        folder, start, config, _ = arms.begin(bench, plan, f"kept-{rank}-{steps}")
        (folder / "distil").mkdir(exist_ok=True)
        shutil.copyfile(traces, folder / "distil" / distill.TRACES)
    *_, last = distill.run(models.shipped(run.TEACHER), folder / "distil", config, base=start)
    told = {"accuracy": last["accuracy"], "puzzles": config.evaluate_puzzles}
    return folder / "distil" / "model", told
