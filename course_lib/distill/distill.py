"""Soft-label distillation: bring the student's next-token distributions to the teacher's.

The divergence is that of GKD (Agarwal et al., arXiv 2306.13649). DeepSeek did *not* do this for the
R1 distills: they fine-tuned on sampled traces (`course_lib.model.sft`), which needs the teacher's
text and neither its logits nor its vocabulary.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
    multiplies the result.

    Only the student gets a gradient. A token ruled out by both (a logit of minus infinity) adds
    nothing. Raises ValueError for shapes that do not fit (as with different vocabularies), a beta
    outside 0 to 1, a temperature not above 0, or a mask without tokens.
    """
    _check(student_logits, teacher_logits, beta, temperature, mask)
    if mask is not None:
        counted = mask.bool()
        student_logits, teacher_logits = student_logits[counted], teacher_logits[counted]
    student = (student_logits / temperature).log_softmax(-1)
    teacher = (teacher_logits.detach() / temperature).log_softmax(-1)
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


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(P || Q) in nats from log-probabilities: (..., vocabulary) to (...)."""
    # Where P is 0 the term is 0, even where the difference of logarithms is not a finite number.
    impossible = p == -math.inf
    return (p.exp() * (p - q).masked_fill(impossible, 0.0)).sum(-1)


def _check(
    student: Tensor, teacher: Tensor, beta: float, temperature: float, mask: Tensor | None
) -> None:
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
    if not 0 <= beta <= 1:
        raise ValueError(f"beta is {beta}; allowed is 0 (forward KL) to 1 (reverse KL).")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; allowed is a finite number above 0.")
    if mask is not None and mask.shape != student.shape[:-1]:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}; allowed is {tuple(student.shape[:-1])}."
        )
    if not (student.shape[:-1].numel() if mask is None else bool(mask.any())):
        raise ValueError("No token counts; allowed is a mask with at least one 1.")
