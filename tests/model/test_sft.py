"""The SFT loss against a loop, transformers' own loss and finite differences; batches."""

import math

import pytest
import torch
from transformers.loss.loss_utils import ForCausalLMLoss

from course_lib.model.sft import collate, sft_loss


def batch(seed=0):
    torch.manual_seed(seed)
    logits = torch.randn(3, 6, 5, dtype=torch.float64)
    return logits, torch.randint(0, 5, (3, 6)), torch.rand(3, 6) < 0.6


def test_a_batch_marks_completions_and_nothing_else():
    ids, mask = collate([[7, 8], [7]], [[1], [1, 2, 3]], pad=9)
    assert ids.tolist() == [[7, 8, 1, 9], [7, 1, 2, 3]]
    assert mask.int().tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]


def test_bad_batches_are_refused():
    with pytest.raises(ValueError, match="1 prompts and 2 completions"):
        collate([[1]], [[1], [2]], pad=0)
    with pytest.raises(ValueError, match="0 prompts"):
        collate([], [], pad=0)
    with pytest.raises(ValueError, match="A prompt is empty"):
        collate([[1], []], [[1], [2]], pad=0)


def test_the_loss_is_that_of_a_loop_over_learnt_tokens():
    logits, ids, mask = batch()
    losses = [
        -math.log(logits[i, t - 1].softmax(-1)[ids[i, t]])
        for i in range(3)
        for t in range(1, 6)
        if mask[i, t]
    ]
    assert sft_loss(logits, ids, mask).item() == pytest.approx(sum(losses) / len(losses), abs=1e-12)


def test_the_loss_is_that_of_transformers_with_masked_labels():
    logits, ids, mask = batch()
    labels = ids.masked_fill(~mask, -100)
    expected = ForCausalLMLoss(logits.float(), labels, vocab_size=5)
    torch.testing.assert_close(sft_loss(logits.float(), ids, mask), expected)


def test_one_token_worked_by_hand():
    logits = torch.zeros(1, 3, 2, dtype=torch.float64)
    logits[0, 1] = torch.tensor([0.0, math.log(3.0)])  # what follows the second token
    loss = sft_loss(logits, torch.tensor([[0, 0, 1]]), torch.tensor([[0, 0, 1]]))
    assert loss.item() == pytest.approx(math.log(4 / 3), abs=1e-7)


def test_the_gradient_is_that_of_finite_differences_and_nothing_else_gets_any():
    logits, ids, mask = batch()
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: sft_loss(x, ids, mask), logits)
    sft_loss(logits, ids, mask).backward()
    taught = logits.grad.abs().sum(-1) > 0
    assert torch.equal(taught[:, :-1], mask[:, 1:]) and not taught[:, -1].any()


def test_weights_say_how_much_a_token_counts():
    logits, ids, _ = batch()
    weights = torch.randint(0, 4, (3, 6)).double() / 2
    weights[0, 2] = 3.0
    losses = -logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    expected = (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()
    torch.testing.assert_close(sft_loss(logits, ids, weights), expected)
    torch.testing.assert_close(sft_loss(logits, ids, 7 * weights), expected)


def test_prompts_and_padding_are_never_looked_at():
    logits, ids, mask = batch()
    loss = sft_loss(logits, ids, mask)
    unused = torch.ones_like(mask)
    unused[:, :-1] = ~mask[:, 1:]
    assert sft_loss(logits.masked_fill(unused[..., None], math.nan), ids, mask) == loss
    assert sft_loss(logits, ids.masked_fill(~mask, -100), mask) == loss


def test_bad_arguments_are_refused():
    logits, ids, mask = batch()
    with pytest.raises(ValueError, match=r"ids \(3, 5\)"):
        sft_loss(logits, ids[:, :5], mask)
    with pytest.raises(ValueError, match=r"weights \(3, 5\)"):
        sft_loss(logits, ids, mask[:, :5])
    with pytest.raises(ValueError, match="weights leaves no token to learn"):
        sft_loss(logits, ids, torch.arange(6).expand(3, 6) == 0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32_as_in_transformers(kind):
    logits, ids, _ = batch()
    logits = logits.to(kind)
    theirs = ForCausalLMLoss(logits, ids, vocab_size=5)
    torch.testing.assert_close(sft_loss(logits, ids, torch.ones(3, 6)), theirs, rtol=1e-6, atol=0)
