"""Distillation as DeepSeek did it: a dense student, fine-tuned on its teacher's correct traces.

The student starts from a base of its own, as Qwen2.5 was one: it has read the same kinds of text
as the mini-V3, mostly bare guesses. It sees no reward and no logits of the teacher, only text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.errors import CourseError
from course_lib.model import models, pretrain, rollout
from course_lib.model.sft import sft_loss
from course_lib.rl import zero
from course_lib.task import puzzles


@dataclass(frozen=True)
class DistillConfig:
    """Everything that decides a distillation run."""

    seed: int = 0
    traces: int = 2000  # puzzles put to the teacher; DeepSeek kept about 800,000 samples
    steps: int = 300
    tokens: int = 3072  # a batch
    learning_rate: float = 2e-3
    warmup: int = 20
    temperature: float = 1.0
    max_new_tokens: int = 96
    evaluate_puzzles: int = 512
    drop_long: bool = False  # leave out traces that the student cannot hold, instead of stopping


@dataclass(frozen=True)
class Trace:
    """A prompt and a completion in token ids; the completion ends with the EOS."""

    prompt: list[int]
    completion: list[int]

    def __len__(self) -> int:
        """Tokens of prompt and completion together."""
        return len(self.prompt) + len(self.completion)


def require_same_vocabulary(
    teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase
) -> None:
    """Raise CourseError where two tokenizers differ: a trace's ids would be other words."""
    ours, theirs = teacher.get_vocab(), student.get_vocab()
    if ours == theirs:
        return
    apart = len(ours.items() ^ theirs.items())
    raise CourseError(
        f"Teacher and student have different vocabularies ({len(ours):,} and {len(theirs):,} "
        f"tokens, {apart:,} entries in one only); make the student's base with the teacher's "
        "tokenizer."
    )


def fitting(traces: Sequence[Trace], context: int, *, drop: bool = False) -> list[Trace]:
    """The traces that a student with a context of `context` tokens can hold.

    Raises CourseError for no traces, where none fits, and, unless they may be dropped, where some
    do not; it says how many.
    """
    if not traces:
        raise CourseError("There is not one trace to learn from; train the teacher longer.")
    short = [trace for trace in traces if len(trace) <= context]
    lost, longest = len(traces) - len(short), max(map(len, traces))
    if lost and (not drop or not short):
        raise CourseError(
            f"{lost:,} of {len(traces):,} traces are longer than the student's context of "
            f"{context} tokens (the longest has {longest}) and would be dropped; give the student "
            f"a context of {longest}, ask for shorter traces, or set drop_long if losing them is "
            "meant."
        )
    return short


def gather(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[puzzles.Puzzle],
    *,
    seed: int,
    temperature: float = 1.0,
    max_new_tokens: int = 96,
    batch: int = 512,
) -> tuple[list[Trace], list[bool]]:
    """One sampled trace for each puzzle, and whether the verifier finds it right."""
    generator = torch.Generator().manual_seed(seed)
    config = zero.ZeroConfig(samples=1, temperature=temperature, max_new_tokens=max_new_tokens)
    traces, right = [], []
    for start in range(0, len(items), batch):
        part = items[start : start + batch]
        found = zero.collect(teacher, tokenizer, zero.PUZZLES, part, config, generator)
        ids = found.rollout.ids.tolist()
        for row, puzzle in enumerate(part):
            length = int(found.rollout.lengths[row])
            prompt = models.chat_ids(tokenizer, puzzles.prompt(puzzle))
            traces.append(Trace(prompt, ids[row][:length]))
        right += [reward == 1.0 for reward in found.rewards.flatten().tolist()]
    return traces, right


def batches(traces: Sequence[Trace], tokens: int, seed: int, pad: int) -> Iterator[pretrain.Batch]:
    """Endless shuffled epochs over the traces, in batches of about `tokens` tokens."""
    rng = np.random.default_rng(seed)
    while True:
        noise = rng.random(len(traces)) * 8  # like lengths together, but not always the same ones
        order = np.argsort([len(t.completion) + n for t, n in zip(traces, noise, strict=True)])
        rows = [_row(traces[i]) for i in order]
        rows.sort(key=lambda row: len(row[0]))
        epoch = pretrain.cut(rows, tokens, pad)
        for i in rng.permutation(len(epoch)):
            yield epoch[i]


def _row(trace: Trace) -> tuple[list[int], list[float]]:
    weights = [0.0] * len(trace.prompt) + [1.0] * len(trace.completion)
    return trace.prompt + trace.completion, weights


def finetune(
    model: PreTrainedModel,
    traces: Sequence[Trace],
    config: DistillConfig,
    pad: int,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
) -> Iterator[tuple[int, float]]:
    """Supervised fine-tuning on `traces`, prompts masked: yields step and loss (nats per token).

    Goes on after `start` updates with the `optimizer` that made them. Raises CourseError as
    `fitting` does, before the first step.
    """
    kept = fitting(traces, model.config.max_position_embeddings, drop=config.drop_long)
    read = islice(batches(kept, config.tokens, config.seed, pad), start, None)

    def loss(_: int) -> Tensor:
        batch = next(read)  # ids and weights: (documents, tokens)
        ids, weights = batch.ids.to(model.device), batch.weights.to(model.device)
        logits = model(ids, use_cache=False).logits  # (documents, tokens, vocabulary)
        return sft_loss(logits, ids, weights)

    yield from descend(model, config, loss, optimizer=optimizer, start=start)


def descend(
    model: PreTrainedModel,
    config: DistillConfig,
    loss: Callable[[int], Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    start: int = 0,
) -> Iterator[tuple[int, float]]:
    """`config.steps` updates of AdamW on `loss(step)`, warmed up, then falling to 0: step, loss."""
    optimizer = optimizer or pretrain.make_optimizer(model, config.learning_rate, decay=0.0)
    model.train()
    for step in range(start + 1, config.steps + 1):
        # 1. How far to go: the learning rate rises for `warmup` steps and then falls to 0.
        rise, fall = min(1.0, step / config.warmup), 1 - (step - 1) / config.steps
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * rise * fall
        # 2. How wrong: the loss of one batch, in nats per token.
        value = loss(step)
        # 3. Which way: the gradient, cut to a length of at most 1.
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        # 4. One update of every weight.
        optimizer.step()
        yield step, float(value.detach())
    model.eval()


def stream(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    temperature: float = 0.6,
    max_new_tokens: int = 128,
    seed: int = 0,
) -> Iterator[str]:
    """The pieces of a model's answer to `text`, as they come."""
    tokens = rollout.stream(
        model,
        models.chat_ids(tokenizer, text),
        max_new_tokens=max_new_tokens,
        eos=tokenizer.eos_token_id,
        temperature=temperature,
        generator=torch.Generator().manual_seed(seed),
    )
    ids: list[int] = []
    shown = ""
    for token in tokens:
        if token == tokenizer.eos_token_id:
            return
        ids.append(token)
        whole = models.decode(tokenizer, [ids])[0]
        yield whole[len(shown) :]
        shown = whole
