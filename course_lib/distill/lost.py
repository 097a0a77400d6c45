"""What distillation takes away: what the base could do before, measured before and after.

The control of every figure is the base. A student is taught from the teacher's right traces alone,
or with conversation mixed in, as DeepSeek mixed 200,000 other samples into its 800,000.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill.bench import COUNTS, SHIPPED, Bench, Row, other_lengths
from course_lib.distill.trace_sft import Trace
from course_lib.model import models, pretrain
from course_lib.model.sft import sft_loss
from course_lib.rl import zero
from course_lib.task import chat, corpus, puzzles

CHAT_SHARE = 0.25  # of the samples, as DeepSeek's 200,000 of 800,000


def lost(bench: Bench) -> Iterator[Row]:
    """The base, the student taught from traces alone, and the one that saw conversation too."""
    right = [a.trace for a in bench.answers if a.right][: max(COUNTS)]
    talk = round(len(right) * CHAT_SHARE / (1 - CHAT_SHARE))
    base, _ = models.load(bench.base(SHIPPED))
    yield {"data": "nothing yet", **known(bench, base)}
    yield {"data": "traces", **known(bench, bench.taught(SHIPPED, right))}
    mixed = right + conversation(bench.tokenizer, talk, bench.seed)
    yield {"data": "traces and conversation", **known(bench, bench.taught(SHIPPED, mixed))}


def conversation(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> list[Trace]:
    """`n` prompts of the conversation with right replies, in tokens."""
    return [
        Trace(
            models.chat_ids(tokenizer, item.prompt),
            [*tokenizer.encode(reply, add_special_tokens=False), tokenizer.eos_token_id],
        )
        for item, reply in chat.examples(n, seed)
    ]


def known(bench: Bench, model: PreTrainedModel) -> Row:
    """All that is measured of a model: puzzles of each length, conversation, and its reading."""
    n, tokenizer = bench.config.evaluate_puzzles, bench.tokenizer
    found = zero.evaluate(model, tokenizer, n=n, seed=bench.seed)
    return {
        "accuracy": found["accuracy"],
        **other_lengths(model, tokenizer, n // 2, bench.seed),
        "chat_right": chat_right(model, tokenizer, n // 4, bench.seed),
        **{f"loss, {kind}": read_loss(bench, model, kind) for kind in KINDS},
    }


def chat_right(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int, seed: int
) -> float:
    """The share right of `n` prompts of the conversation, all in turn, one reply to each."""
    items = list(islice(cycle(chat.prompts()), n))
    task = zero.Task(
        chat.sample, lambda item: item.prompt, lambda item, text: float(chat.is_right(item, text))
    )
    return zero.evaluate(model, tokenizer, seed=seed, task=task, items=items)["accuracy"]


def _worked(words: float) -> Callable[[np.random.Generator, puzzles.Puzzle], corpus.Document]:
    habits = replace(corpus.CAREFUL, words=words, switch=0.0, sloppy=0.0)
    return lambda rng, puzzle: _document(puzzle, corpus.worked(rng, puzzle, habits))


def _document(puzzle: puzzles.Puzzle, completion: list[str]) -> corpus.Document:
    return corpus.Document(corpus.prompt_pieces(puzzle), completion, [1.0] * len(completion))


def _talk(rng: np.random.Generator, _: puzzles.Puzzle) -> corpus.Document:
    prompt, completion = corpus.chat(rng)
    return corpus.Document(prompt, completion, [1.0] * len(completion))


KINDS: dict[str, Callable[[np.random.Generator, puzzles.Puzzle], corpus.Document]] = {
    "worked in digits": _worked(0.0),
    "worked in words": _worked(1.0),
    "bare guesses": lambda rng, puzzle: _document(puzzle, corpus.bare(rng, puzzle)),
    "easy sums": lambda rng, _: _document(*corpus.drill(rng)),
    "conversation": _talk,
}
"""The kinds of text that the base has read, each a document on a puzzle that nobody was taught."""


@torch.no_grad()
def read_loss(bench: Bench, model: PreTrainedModel, kind: str) -> float:
    """The loss on new documents of a kind, in nats per token of their completions."""
    ids = pretrain.piece_ids(bench.tokenizer)
    rng = np.random.default_rng(bench.seed)
    items = puzzles.sample(bench.config.evaluate_puzzles // 2, bench.seed, "test")
    rows = [pretrain.encode(KINDS[kind](rng, puzzle), ids) for puzzle in items]
    batch = pretrain.collate(rows, ids[models.EOS])
    return float(sft_loss(model(batch.ids, use_cache=False).logits, batch.ids, batch.weights))
