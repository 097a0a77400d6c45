"""Log-probabilities, entropy and divergence of next-token distributions: tensors in and out."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import real_number


def token_logprobs(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """The log-probability of each sampled token, at the temperature it was sampled with.

    `logits` is (..., vocabulary), `ids` (...), and so is the result, in nats and of the logits'
    type. Cross-entropy without reduction is the same number, and faster than a sum of exponentials
    of our own. Raises ValueError for shapes that do not fit, ids that are not in the vocabulary,
    or a temperature that is not above 0.
    """
    if logits.ndim != ids.ndim + 1 or logits.shape[:-1] != ids.shape:
        raise ValueError(
            f"logits has shape {tuple(logits.shape)} and ids {tuple(ids.shape)}; allowed are "
            "(..., vocabulary) and (...)."
        )
    if not real_number("temperature", temperature) > 0 or math.isinf(temperature):
        raise ValueError(f"temperature is {temperature}; allowed is a finite number above 0.")
    vocabulary = logits.shape[-1]
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        raise ValueError(
            f"ids runs from {int(ids.min())} to {int(ids.max())}; allowed is 0 to {vocabulary - 1}."
        )
    scaled = logits if temperature == 1.0 else logits / temperature
    return -F.cross_entropy(
        scaled.reshape(-1, vocabulary), ids.reshape(-1).long(), reduction="none"
    ).view(ids.shape)


def entropy(logits: Tensor) -> Tensor:
    """The entropy of each next-token distribution in nats: logits (..., vocabulary) to (...).

    A token that is ruled out (a logit of minus infinity) adds nothing.
    """
    logp = logits.log_softmax(-1)
    # 0 * -inf is NaN, so the logarithm of a probability of 0 is cut at the smallest float.
    return -(logp.exp() * logp.clamp(min=torch.finfo(logp.dtype).min)).sum(-1)


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(P || Q) in nats from log-probabilities: (..., vocabulary) to (...)."""
    # Where P is 0 the term is 0, even where the difference of logarithms is not a finite number.
    impossible = p == -math.inf
    return (p.exp() * (p - q).masked_fill(impossible, 0.0)).sum(-1)
