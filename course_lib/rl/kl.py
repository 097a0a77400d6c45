"""How far a policy has moved from a reference: three estimates of the KL divergence, and itself.

A token is sampled from the policy, and the estimates look at its two probabilities alone (Schulman,
2020, "Approximating KL divergence"). All three have the value of KL(policy || reference) on average
or nearly so; as terms of a loss they have three different gradients: that of k3 is the gradient of
KL(reference || policy), and that of k2 the one of KL(policy || reference). That is said of each
token with the text before it held as it is: what an early token does to later ones is in none.
"""

from typing import Literal

import torch
from torch import Tensor

from course_lib.model.logprobs import kl_divergence

Estimator = Literal["k1", "k2", "k3"]


def k1(logp: Tensor, ref_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """`log p - log q`: right on average, often below 0. (completions, tokens), 0 outside `mask`.

    In a loss its gradient is 0 on average, so it holds nothing, where every token weighs the same
    whatever the length (`reduce="constant"`). A mean over each completion makes it push on lengths.
    """
    return difference(logp, ref_logp.detach(), mask)


def k2(logp: Tensor, ref_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """`(log p - log q) ** 2 / 2`: never below 0, a little off on average.

    In a loss its gradient is, on average, that of KL(policy || reference).
    """
    return difference(logp, ref_logp.detach(), mask).square() / 2


def k3(logp: Tensor, ref_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """`q / p - log(q / p) - 1`: right on average, never below 0.

    Near the reference it is steadier than `k1`; far from it `q / p` can be huge, and is not. It
    estimates KL(policy || reference), and is what GRPO puts into its loss. There its gradient is,
    on average, that of the *other* divergence, KL(reference || policy): `1 - q / p` times the
    gradient of log p, and the part with the 1 is 0 on average.
    """
    log_r = difference(ref_logp.detach(), logp, mask)
    return log_r.expm1() - log_r  # near 0, `exp() - 1` would leave nothing but rounding


ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
WAYS = ("policy||reference", "reference||policy")


def require_known(estimator: str) -> None:
    """Raises ValueError for a name that is not one of the three."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator is {estimator!r}; allowed are 'k1', 'k2' and 'k3'.")


def slope(name: Estimator, logp: Tensor, ref_logp: Tensor, mask: Tensor | None = None) -> Tensor:
    """The derivative of an estimate by the token's log-probability, as it acts in a loss."""
    require_known(name)
    gap = difference(logp, ref_logp, mask)
    one = torch.ones_like(gap) if mask is None else mask.to(gap.dtype)
    return {"k1": one, "k2": gap, "k3": 1 - (-gap).exp()}[name]


def exact(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(policy || reference) in nats over the whole vocabulary: (..., vocabulary) to (...)."""
    _require_one_shape(logits, ref_logits)
    kind = torch.promote_types(logits.dtype, torch.float32)  # or a small one is lost in rounding
    return kl_divergence(logits.to(kind).log_softmax(-1), ref_logits.to(kind).log_softmax(-1))


@torch.enable_grad()
def gradient(logits: Tensor, ref_logits: Tensor, way: str = "policy||reference") -> Tensor:
    """The gradient of a divergence by the policy's logits, both (..., vocabulary).

    `way` is "policy||reference" or "reference||policy"; raises ValueError for another.
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}; allowed are {WAYS[0]!r} and {WAYS[1]!r}.")
    leaf = logits.detach().clone().requires_grad_()
    pair = (leaf, ref_logits.detach())
    value = exact(*pair) if way == WAYS[0] else exact(pair[1], pair[0])
    return torch.autograd.grad(value.sum(), leaf)[0]


def difference(a: Tensor, b: Tensor, mask: Tensor | None) -> Tensor:
    """`a - b` where `mask` is true and 0 elsewhere, even where the padding holds infinities.

    In float32 at least: what is made of it would be lost in half precision's rounding. Raises
    ValueError for two shapes, of which torch would spread one over the other.
    """
    _require_one_shape(a, b)
    apart = a.to(torch.promote_types(a.dtype, torch.float32)) - b
    return apart if mask is None else apart.masked_fill(~mask.bool(), 0.0)


def _require_one_shape(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"log-probabilities have the shapes {tuple(a.shape)} and {tuple(b.shape)}; allowed is "
            "one shape for both."
        )
