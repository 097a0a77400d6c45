"""Learning from preferences: which of two answers is better, as a reward model or without one.

Both losses rest on the model of Bradley and Terry: the chance that an answer is preferred is the
sigmoid of the difference of two scores. A reward model (Ouyang et al., arXiv 2203.02155) learns the
scores; DPO (Rafailov et al., arXiv 2305.18290) reads them off the policy itself.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import real_number
from course_lib.rl.grpo import require_tensors
from course_lib.rl.kl import difference


def reward_model_loss(chosen: Tensor, rejected: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Bradley-Terry loss of a reward model: the mean of `-log sigmoid(chosen - rejected)`.

    `chosen` and `rejected` are (pairs,), the scores of the preferred and of the other answer.
    Returns the loss, a scalar in nats (log 2 for a model that cannot tell), and `accuracy`, the
    share of pairs scored in the right order (a tie is wrong), and `margin`, the mean difference.
    Raises ValueError for shapes that do not fit, no pairs, or scores that are not finite.
    """
    _check_pairs(chosen=chosen, rejected=rejected)
    return _bradley_terry(difference(chosen, rejected, None))


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    *,
    beta: float = 0.1,
) -> tuple[Tensor, dict[str, float]]:
    """Direct preference optimisation: Bradley-Terry on the rewards that the policy implies.

    All four are (pairs,): the log-probability of the whole answer, summed over its tokens, under
    the policy and under the reference, which is a constant. The implied reward of an answer is
    `beta * (logp - ref_logp)`; a small `beta` lets the policy go further.

    Returns the loss and the same `accuracy` and `margin` as `reward_model_loss`, of those rewards.
    Raises ValueError for shapes that do not fit, no pairs, numbers not finite, or beta not above 0.
    """
    if not 0 < real_number("beta", beta) < math.inf:
        raise ValueError(f"beta is {beta}; allowed is a finite number above 0.")
    _check_pairs(chosen=chosen, rejected=rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    better = difference(chosen, ref_chosen.detach(), None)
    worse = difference(rejected, ref_rejected.detach(), None)
    return _bradley_terry(beta * (better - worse))


def _bradley_terry(margin: Tensor) -> tuple[Tensor, dict[str, float]]:
    stats = {
        "accuracy": int((margin > 0).sum()) / len(margin),
        "margin": float(margin.detach().mean()),
    }
    return -F.logsigmoid(margin).mean(), stats


def _check_pairs(**tensors: Tensor) -> None:
    require_tensors(**tensors)
    pairs = len(tensors["chosen"]) if tensors["chosen"].ndim else 0
    for name, tensor in tensors.items():
        if not pairs or tensor.shape != (pairs,):
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; allowed is (pairs,), the same for all, "
                "with at least one pair."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} has values that are not finite; allowed are finite numbers.")
