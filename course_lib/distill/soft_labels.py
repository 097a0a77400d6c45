"""Soft-label distillation in two loops: on the teacher's text, and on the student's own.

Both bring the student's next-token distributions to the teacher's (`distill.generalized_jsd`). Off
the policy the tokens are the teacher's traces; on the policy the student writes and the teacher
says of each token what it would have expected there (GKD, Agarwal et al., arXiv 2306.13649). No
gradient goes through the sampling.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill import trace_sft
from course_lib.distill.distill import generalized_jsd
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.model import models
from course_lib.model.pretrain import Batch
from course_lib.task import puzzles


def divergence(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: Batch, beta: float
) -> Tensor:
    """`generalized_jsd` of two models on the completions of a batch, in nats per token."""
    ids, weights = batch.ids.to(student.device), batch.weights.to(student.device)
    with torch.no_grad():
        wanted = teacher(ids, use_cache=False).logits[:, :-1]
    guessed = student(ids, use_cache=False).logits[:, :-1]
    return generalized_jsd(guessed, wanted, beta=beta, mask=weights[:, 1:] > 0)


def off_policy(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    traces: Sequence[Trace],
    config: DistillConfig,
    pad: int,
    *,
    beta: float,
) -> Iterator[tuple[int, float]]:
    """Soft labels on the teacher's traces, in the batches of `trace_sft.finetune`: step, loss.

    Raises CourseError for traces that the student cannot hold, as `trace_sft.fitting`.
    """
    context = student.config.max_position_embeddings
    kept = trace_sft.fitting(traces, context, drop=config.drop_long)
    read = trace_sft.batches(kept, config.tokens, config.seed, pad)
    yield from trace_sft.descend(
        student, config, lambda _: divergence(student, teacher, next(read), beta)
    )


def on_policy(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: DistillConfig,
    *,
    beta: float,
    samples: int = 64,
) -> Iterator[tuple[int, float]]:
    """Soft labels on what the student writes itself, `samples` completions a step: step, loss."""

    def loss(step: int) -> Tensor:
        seed = config.seed * 1_000_003 + step
        written, _ = trace_sft.gather(
            student,
            tokenizer,
            puzzles.sample(samples, seed),
            seed=seed,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
        )
        return divergence(student, teacher, whole_batch(written, tokenizer), beta)

    yield from trace_sft.descend(student, config, loss)


def whole_batch(traces: Sequence[Trace], tokenizer: PreTrainedTokenizerBase) -> Batch:
    """All traces as one batch, whatever its size."""
    longest = max(map(len, traces))
    pad = models.token_ids(tokenizer)[models.EOS]
    return next(trace_sft.batches(traces, len(traces) * longest, 0, pad))
