"""The losses of reward models and DPO against closed forms, hand-worked pairs and differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.pipeline.preference import dpo_loss, reward_model_loss


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_a_model_that_cannot_tell_pays_log_two():
    loss, stats = reward_model_loss(f64(3.0, -1.0), f64(3.0, -1.0))
    assert loss.item() == pytest.approx(math.log(2), abs=1e-15)
    assert stats == {"accuracy": 0.0, "margin": 0.0}


def test_reward_model_loss_worked_by_hand():
    # Differences of log 3 and -log 3: chances of 3/4 and 1/4.
    loss, stats = reward_model_loss(f64(math.log(3), 0.0), f64(0.0, math.log(3)))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-15)
    assert stats["accuracy"] == 0.5 and stats["margin"] == pytest.approx(0)


def test_scores_far_apart_neither_overflow_nor_lose_their_gradient():
    rejected = f64(1e4).requires_grad_()
    loss, _ = reward_model_loss(f64(0.0), rejected)
    loss.backward()
    assert loss.item() == 1e4 and rejected.grad.item() == 1.0


def test_dpo_starts_at_log_two_whatever_the_answers():
    logp = f64(-3.0, -40.0)
    loss, stats = dpo_loss(logp, logp - 5, logp, logp - 5, beta=0.7)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-15)
    assert stats == {"accuracy": 0.0, "margin": 0.0}


def test_dpo_worked_by_hand():
    # The better answer gained 2 nats and the worse lost 1: a margin of 3 beta.
    loss, stats = dpo_loss(f64(-5.0), f64(-9.0), f64(-7.0), f64(-8.0), beta=0.5)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1.5)), abs=1e-15)
    assert stats == {"accuracy": 1.0, "margin": 1.5}
    assert dpo_loss(f64(-5.0), f64(-9.0), f64(-7.0), f64(-8.0))[1]["margin"] == pytest.approx(0.3)


def test_gradients_are_those_of_finite_differences_and_the_reference_gets_none():
    torch.manual_seed(1)
    four = [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(4)]
    assert torch.autograd.gradcheck(lambda a, b: reward_model_loss(a, b)[0], four[:2])
    constants = [t.detach() for t in four[2:]]
    assert torch.autograd.gradcheck(lambda a, b: dpo_loss(a, b, *constants, beta=0.3)[0], four[:2])
    dpo_loss(*four)[0].backward()
    assert four[0].grad.lt(0).all() and four[1].grad.gt(0).all()
    assert four[2].grad is None and four[3].grad is None


numbers = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


@given(numbers, st.floats(-20, 20))
@settings(max_examples=40)
def test_only_differences_count(values, shift):
    chosen, rejected = f64(*values), f64(*reversed(values)) + 0.5
    loss = reward_model_loss(chosen, rejected)[0]
    assert reward_model_loss(chosen + shift, rejected + shift)[0] == pytest.approx(loss.item())
    zero = torch.zeros_like(chosen)
    assert dpo_loss(chosen, rejected, zero, zero, beta=1.0)[0] == pytest.approx(loss.item())


@pytest.mark.parametrize(
    ("chosen", "rejected", "said"),
    [
        (f64(1.0, 2.0), f64(1.0), r"rejected has shape \(1,\); allowed is \(pairs,\)"),
        (f64(), f64(), r"chosen has shape \(0,\)"),
        (torch.tensor(1.0), torch.tensor(1.0), r"chosen has shape \(\)"),
        (f64(1.0)[None], f64(1.0)[None], r"chosen has shape \(1, 1\)"),
        (f64(math.nan), f64(1.0), "chosen has values that are not finite"),
    ],
)
def test_bad_pairs_are_refused_by_name(chosen, rejected, said):
    with pytest.raises(ValueError, match=said):
        reward_model_loss(chosen, rejected)


def test_dpo_refuses_a_bad_beta_and_a_bad_reference():
    one = f64(1.0)
    for beta in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="beta is"):
            dpo_loss(one, one, one, one, beta=beta)
    with pytest.raises(ValueError, match="ref_rejected has values that are not finite"):
        dpo_loss(one, one, one, f64(math.inf))


def test_half_precision_is_computed_in_single():
    random = torch.Generator().manual_seed(0)
    four = [(torch.randn(8, generator=random) * 20 - 100).bfloat16() for _ in range(4)]
    wide = [one.double() for one in four]
    assert float(dpo_loss(*four)[0]) == pytest.approx(float(dpo_loss(*wide)[0]), rel=1e-5)
    ours, exact = reward_model_loss(*four[:2]), reward_model_loss(*wide[:2])
    assert float(ours[0]) == pytest.approx(float(exact[0]), rel=1e-5)


def test_lists_are_refused_by_name():
    with pytest.raises(ValueError, match="chosen is a list; allowed is a tensor"):
        reward_model_loss([1.0], [0.0])
    with pytest.raises(ValueError, match="ref_rejected is a list"):
        dpo_loss(f64(1.0), f64(0.0), f64(1.0), [0.0])
