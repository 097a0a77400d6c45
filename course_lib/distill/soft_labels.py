"""Soft-label distillation: bring the student's next-token distributions to the teacher's.

The divergence and the two loops are those of GKD (Agarwal et al., arXiv 2306.13649): off the policy
the tokens are the teacher's traces; on the policy the student writes, and the teacher says of each
token what it would have expected there. DeepSeek did *not* do this for the R1 distills: they
fine-tuned on sampled traces (`trace_sft`), which needs the teacher's text alone. GKD needs both
models to have one vocabulary; ULD (arXiv 2402.12030) and TRL's GOLD do without.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.distill import trace_sft
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.errors import real_number, whole_number
from course_lib.model import models
from course_lib.model.logprobs import kl_divergence
from course_lib.model.pretrain import Batch
from course_lib.rl.grpo import require_tensors
from course_lib.task import puzzles


def generalized_jsd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    beta: float,
    temperature: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """The generalised Jensen-Shannon divergence of GKD, mean over tokens, in nats.

    Both logits are (..., vocabulary) and for the same tokens; `mask` (...) is 1 where a token
    counts, and None counts all. With teacher P, student Q and the mixture M = beta P + (1 - beta) Q
    it is `beta KL(P || M) + (1 - beta) KL(Q || M)`. That goes to 0 at both ends of `beta`, so at
    the ends, as in the paper and in TRL, it is the divergence it goes to 0 in proportion to: at 0
    forward KL(P || Q), which covers all that the teacher does, and at 1 reverse KL(Q || P), which
    seeks what it does most. `temperature` divides both logits, and no temperature squared
    multiplies the result. Half precision is computed in float32.

    Only the student gets a gradient. A token ruled out by both (a logit of minus infinity) adds
    nothing. Raises ValueError for shapes that do not fit (as with different vocabularies), a beta
    outside 0 to 1, a temperature not above 0, or a mask without tokens.
    """
    _check(student_logits, teacher_logits, beta, temperature, mask)
    if mask is not None:
        counted = mask.bool()
        student_logits, teacher_logits = student_logits[counted], teacher_logits[counted]
    pair = (student_logits, teacher_logits.detach())
    kind = torch.promote_types(torch.promote_types(pair[0].dtype, pair[1].dtype), torch.float32)
    student, teacher = ((one.to(kind) / temperature).log_softmax(-1) for one in pair)
    # Finite where both rule a token out, because the mixture has no gradient at minus infinity.
    neither = (student == -math.inf) & (teacher == -math.inf)
    lowest = torch.finfo(student.dtype).min
    student, teacher = student.masked_fill(neither, lowest), teacher.masked_fill(neither, lowest)
    if beta == 0:
        return kl_divergence(teacher, student).mean()
    if beta == 1:
        return kl_divergence(student, teacher).mean()
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    parts = beta * kl_divergence(teacher, mixture) + (1 - beta) * kl_divergence(student, mixture)
    return parts.mean()


def _check(
    student: Tensor, teacher: Tensor, beta: float, temperature: float, mask: Tensor | None
) -> None:
    require_tensors(student_logits=student, teacher_logits=teacher, mask=mask)
    if student.ndim and teacher.ndim and student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            f"teacher_logits has a vocabulary of {teacher.shape[-1]} and student_logits one of "
            f"{student.shape[-1]}; allowed is the same vocabulary, or distil from sampled text."
        )
    if student.ndim < 1 or student.shape != teacher.shape:
        raise ValueError(
            f"teacher_logits has shape {tuple(teacher.shape)}; allowed is student_logits', "
            f"{tuple(student.shape)}."
        )
    if not 0 <= real_number("beta", beta) <= 1:
        raise ValueError(f"beta is {beta}; allowed is 0 (forward KL) to 1 (reverse KL).")
    if not 0 < real_number("temperature", temperature) < math.inf:
        raise ValueError(f"temperature is {temperature}; allowed is a finite number above 0.")
    if mask is not None and mask.shape != student.shape[:-1]:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; allowed is {tuple(student.shape[:-1])}."
        )
    if not (student.shape[:-1].numel() if mask is None else bool(mask.any())):
        raise ValueError("No token counts; allowed is a mask with at least one 1.")


def divergence(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: Batch, beta: float
) -> Tensor:
    """`generalized_jsd` of two models on the completions of a batch, in nats per token."""
    ids, weights = batch.ids.to(student.device), batch.weights.to(student.device)
    with torch.no_grad():
        wanted = teacher(ids, use_cache=False).logits[:, :-1]  # (documents, tokens, vocabulary)
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
    whole_number("samples", samples)

    def loss(step: int) -> Tensor:
        # 1. The student writes; no gradient goes through the sampling.
        seed = config.seed * 1_000_003 + step
        written, _ = trace_sft.gather(
            student,
            tokenizer,
            puzzles.sample(samples, seed),
            seed=seed,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
        )
        # 2. The teacher says what it would have expected at each of these tokens.
        return divergence(student, teacher, whole_batch(written, tokenizer), beta)

    yield from trace_sft.descend(student, config, loss)


def whole_batch(traces: Sequence[Trace], tokenizer: PreTrainedTokenizerBase) -> Batch:
    """All traces as one batch, whatever its size."""
    longest = max(map(len, traces))
    pad = models.token_ids(tokenizer)[models.EOS]
    return next(trace_sft.batches(traces, len(traces) * longest, 0, pad))
