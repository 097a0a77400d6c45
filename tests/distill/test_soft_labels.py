"""The generalised JSD against its definition, its ends, laws and finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.distill.soft_labels import generalized_jsd, on_policy
from course_lib.model.logprobs import kl_divergence


def pair(seed=0, shape=(2, 3, 5)):
    torch.manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64), torch.randn(*shape, dtype=torch.float64)


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)


def by_definition(student, teacher, beta):
    q, p = student.softmax(-1).tolist(), teacher.softmax(-1).tolist()
    if beta in (0, 1):
        return kl(p, q) if beta == 0 else kl(q, p)
    mixture = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * kl(p, mixture) + (1 - beta) * kl(q, mixture)


@pytest.mark.parametrize("beta", [0, 0.1, 0.5, 0.9, 1])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
def test_the_divergence_is_its_definition_token_by_token(beta, temperature):
    student, teacher = pair(shape=(4, 5))
    expected = [
        by_definition(s / temperature, t / temperature, beta)
        for s, t in zip(student, teacher, strict=True)
    ]
    actual = generalized_jsd(student, teacher, beta=beta, temperature=temperature)
    assert actual.item() == pytest.approx(sum(expected) / 4, abs=1e-12)


@pytest.mark.parametrize("beta", [0, 0.5, 1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(beta, dtype):
    student, teacher = (one.to(dtype) for one in pair())
    exact = generalized_jsd(student.double(), teacher.double(), beta=beta, temperature=0.7)
    found = generalized_jsd(student, teacher, beta=beta, temperature=0.7)
    assert found.dtype == torch.float32 and found.item() == pytest.approx(exact.item(), rel=1e-5)


def test_worked_by_hand():
    # The teacher is sure of the first of two tokens, the student says half and half.
    teacher = torch.tensor([[0.0, -math.inf]], dtype=torch.float64)
    student = torch.zeros(1, 2, dtype=torch.float64)
    assert generalized_jsd(student, teacher, beta=0).item() == pytest.approx(math.log(2))
    assert generalized_jsd(student, teacher, beta=1).item() == math.inf
    half = 0.5 * math.log(4 / 3) + 0.5 * (0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert generalized_jsd(student, teacher, beta=0.5).item() == pytest.approx(half, abs=1e-12)


@pytest.mark.parametrize("end", [0, 1])
def test_near_its_ends_it_vanishes_in_proportion_to_the_kl_that_stands_there(end):
    student, teacher = pair()
    tiny = 1e-6
    near = generalized_jsd(student, teacher, beta=abs(end - tiny))
    at = generalized_jsd(student, teacher, beta=end)
    assert near.item() / tiny == pytest.approx(at.item(), rel=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_finite_differences_and_the_teacher_gets_none(beta):
    student, teacher = pair()
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: generalized_jsd(s, teacher, beta=beta, temperature=1.5), student
    )
    teacher.requires_grad_()
    generalized_jsd(student, teacher, beta=beta).backward()
    assert teacher.grad is None


@given(st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_never_below_nought_nought_for_equals_and_at_most_the_entropy_of_beta(beta, seed):
    student, teacher = pair(seed)
    value = generalized_jsd(student * 5, teacher * 5, beta=beta).item()
    assert value >= -1e-12
    if 1e-3 < beta < 1 - 1e-3:
        assert value <= -beta * math.log(beta) - (1 - beta) * math.log(1 - beta) + 1e-12
        swapped = generalized_jsd(teacher * 5, student * 5, beta=1 - beta).item()
        assert swapped == pytest.approx(value, abs=1e-9)
    assert generalized_jsd(student, student + 3, beta=beta).item() == pytest.approx(0, abs=1e-9)


def test_the_mask_picks_tokens_and_the_rest_is_never_looked_at():
    student, teacher = pair()
    mask = torch.tensor([[1, 0, 1], [0, 0, 1]])
    picked = mask.bool()
    expected = generalized_jsd(student[picked], teacher[picked], beta=0.5)
    dirty = student.masked_fill(~picked[..., None], math.nan)
    assert generalized_jsd(dirty, teacher, beta=0.5, mask=mask) == expected


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_tokens_that_both_rule_out_add_nothing_also_to_the_gradient(beta):
    student, teacher = pair(shape=(2, 4))
    expected = generalized_jsd(student, teacher, beta=beta)
    barred = torch.full((2, 1), -math.inf, dtype=torch.float64)
    student = torch.cat([student, barred], 1).requires_grad_()
    value = generalized_jsd(student, torch.cat([teacher, barred], 1), beta=beta)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), abs=1e-12)
    assert student.grad.isfinite().all() and student.grad[:, -1].eq(0).all()


def test_the_float_type_is_kept():
    student, teacher = pair()
    assert generalized_jsd(student.float(), teacher.float(), beta=0.5).dtype == torch.float32


def test_kl_of_two_coins():
    p, q = torch.tensor([[0.5, 0.5], [0.25, 0.75]], dtype=torch.float64).log()
    assert kl_divergence(p, q).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


def test_bad_arguments_are_refused_by_name():
    student, teacher = pair()
    jsd = generalized_jsd
    with pytest.raises(ValueError, match="vocabulary of 4 and student_logits one of 5"):
        jsd(student, teacher[..., :4], beta=0.5)
    with pytest.raises(ValueError, match=r"teacher_logits has shape \(1, 3, 5\)"):
        jsd(student, teacher[:1], beta=0.5)
    for beta in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="beta is"):
            jsd(student, teacher, beta=beta)
    with pytest.raises(ValueError, match=r"temperature is 0.0"):
        jsd(student, teacher, beta=0.5, temperature=0.0)
    with pytest.raises(ValueError, match=r"mask has shape \(3,\); allowed is \(2, 3\)"):
        jsd(student, teacher, beta=0.5, mask=torch.ones(3))
    with pytest.raises(ValueError, match="No token counts"):
        jsd(student, teacher, beta=0.5, mask=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="samples is 0; it must be a whole number"):
        next(on_policy(None, None, None, None, beta=0.5, samples=0))


def test_lists_are_refused_by_name():
    student, teacher = pair()
    with pytest.raises(ValueError, match="teacher_logits is a list; allowed is a tensor"):
        generalized_jsd(student, teacher.tolist(), beta=0.5)
