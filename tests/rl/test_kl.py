"""KL's three estimates: values and gradients against the exact divergence, summed by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.rl import grpo, kl

logits = st.lists(st.floats(-3, 3), min_size=5, max_size=5).map(
    lambda x: torch.tensor(x, dtype=torch.float64)
)


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def expected_gradient(name, logits, ref_logits):
    """What an estimate in the loss does to the policy's logits on average: (vocabulary,), exact.

    Every token is put in with the chance that the policy gives it; that chance is a constant, as it
    is for tokens that were sampled.
    """
    leaf = logits.detach().clone().requires_grad_()
    logp, logq = leaf.log_softmax(-1), ref_logits.detach().log_softmax(-1)
    loss = (logp.detach().exp() * kl.ESTIMATORS[name](logp, logq)).sum()
    return torch.autograd.grad(loss, leaf)[0]


@given(logits, logits)
@settings(max_examples=60, deadline=None)
def test_k1_and_k3_are_right_on_average_and_never_below_0_but_k1(policy, reference):
    p, logp, logq = policy.softmax(-1), policy.log_softmax(-1), reference.log_softmax(-1)
    truth = kl.exact(policy, reference)
    near((p * kl.k1(logp, logq)).sum(), truth)
    near((p * kl.k3(logp, logq)).sum(), truth)
    assert bool((kl.k2(logp, logq) >= 0).all()) and bool((kl.k3(logp, logq) >= -1e-12).all())


@given(logits, logits)
@settings(max_examples=60, deadline=None)
def test_each_estimate_in_the_loss_has_the_gradient_of_another_divergence(policy, reference):
    near(expected_gradient("k1", policy, reference), torch.zeros(5, dtype=torch.float64))
    held = kl.gradient(policy, reference, "policy||reference")
    near(expected_gradient("k2", policy, reference), held)
    other = kl.gradient(policy, reference, "reference||policy")
    near(expected_gradient("k3", policy, reference), other)
    near(other, policy.softmax(-1) - reference.softmax(-1))  # the closed form


def test_k3_in_the_loss_is_not_the_gradient_of_the_divergence_it_estimates():
    policy = torch.tensor([2.0, 0.0, -1.0], dtype=torch.float64)
    reference = torch.tensor([-1.0, 0.5, 1.0], dtype=torch.float64)
    found = expected_gradient("k3", policy, reference)
    wrong = kl.gradient(policy, reference, "policy||reference")
    assert float((found - wrong).abs().max()) > 0.1


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_the_slope_is_what_autograd_says_and_padding_is_left_alone(name):
    logp = -torch.rand(3, 4, dtype=torch.float64)
    ref = -torch.rand(3, 4, dtype=torch.float64)
    mask = torch.arange(4) < torch.tensor([[4], [2], [1]])
    ref[~mask] = -torch.inf
    leaf = logp.clone().requires_grad_()
    value = kl.ESTIMATORS[name](leaf, ref, mask)
    assert not value[~mask].any()
    near(torch.autograd.grad(value.sum(), leaf)[0], kl.slope(name, logp, ref, mask))


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_near_the_reference_no_estimate_is_lost_in_rounding(name, dtype):
    logp = torch.linspace(-3, -0.1, 500).to(dtype)
    ref = (logp + 1e-4 * torch.linspace(-1, 1, 500)).to(dtype)
    exact = kl.ESTIMATORS[name](logp.double(), ref.double())
    found = kl.ESTIMATORS[name](logp, ref)
    assert found.dtype == torch.float32 and (name == "k1" or bool((found >= 0).all()))
    torch.testing.assert_close(found.double(), exact, rtol=1e-2, atol=1e-10)


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_the_loss_takes_each_of_them(name):
    logp = -torch.rand(3, 4, dtype=torch.float64)
    ref = -torch.rand(3, 4, dtype=torch.float64)
    mask = torch.ones(3, 4, dtype=torch.bool)
    given = (logp, logp, torch.zeros(3), mask)
    loss, stats = grpo.policy_loss(*given, ref_logp=ref, kl=0.5, estimator=name)
    near(loss, 0.5 * kl.ESTIMATORS[name](logp, ref).mean())
    assert stats["kl"] == pytest.approx(float(kl.ESTIMATORS[name](logp, ref).mean()))


def test_tokens_that_are_ruled_out_add_nothing():
    policy, reference = torch.tensor([0.0, 1.0, -torch.inf]), torch.tensor([1.0, 0.0, -torch.inf])
    for way in kl.WAYS:
        found = kl.gradient(policy, reference, way)
        near(found[:2], kl.gradient(policy[:2], reference[:2], way))
        assert found[2] == 0
    near(kl.exact(policy, reference), kl.exact(policy[:2], reference[:2]))


def test_a_direction_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="way is 'policy'; allowed are"):
        kl.gradient(torch.zeros(2), torch.zeros(2), "policy")


def test_several_places_have_a_gradient_each_also_where_gradients_are_off():
    policy, reference = torch.randn(2, 3, 5).double()
    for way in kl.WAYS:
        rows = [kl.gradient(p, q, way) for p, q in zip(policy, reference, strict=True)]
        with torch.no_grad():
            near(kl.gradient(policy, reference, way), torch.stack(rows))


@pytest.mark.parametrize("name", ["k1", "k2", "k3"])
def test_a_reference_of_another_shape_is_refused(name):
    for other in (torch.zeros(3), torch.zeros(3, 1), torch.zeros(2, 4)):
        with pytest.raises(ValueError, match="allowed is one shape for both"):
            kl.ESTIMATORS[name](torch.zeros(3, 4), other)
        with pytest.raises(ValueError, match="allowed is one shape for both"):
            kl.gradient(torch.zeros(3, 4), other)


def test_a_slope_of_no_estimate_is_refused():
    with pytest.raises(ValueError, match="estimator is 'k4'; allowed are"):
        kl.slope("k4", torch.zeros(1, 1), torch.zeros(1, 1))


def test_a_small_divergence_is_not_lost_in_half_precision():
    """In bfloat16 it came out several times too large, or below 0."""
    random = torch.Generator().manual_seed(0)
    ref = torch.randn(20, 500, generator=random).bfloat16()
    policy = (ref + 0.05 * torch.randn(20, 500, generator=random)).bfloat16()
    wide = kl.exact(policy.double(), ref.double())
    torch.testing.assert_close(kl.exact(policy, ref).double(), wide, rtol=1e-3, atol=1e-6)
