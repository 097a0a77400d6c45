"""The lab's bugs: each shows its symptom, and without one the lab trains as the course does."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.rl import grpo, zero
from course_lib.rl.trainer_bugs import BUGS, LAB, run


@pytest.mark.parametrize("bug", BUGS.values(), ids=lambda bug: bug.name)
def test_a_bug_says_what_it_is_and_where_it_was_met(bug):
    assert bug.wrong and bug.right and bug.symptom and bug.reason and bug.test
    assert len(bug.links) >= 2 and all(x.startswith("https://github.com/") for x in bug.links)


def test_an_unknown_bug_is_refused():
    with pytest.raises(CourseError, match="no bug 'two seeds'"):
        run("two seeds")


@pytest.fixture(scope="module")
def right():
    return run(steps=2)


def test_without_a_bug_a_step_is_the_courses_own(right):
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LAB.learning_rate, betas=LAB.betas, weight_decay=0.0
    )
    learner = zero.Learner(model, optimizer, LAB, tokenizer.eos_token_id)
    line = zero._one_step(learner, tokenizer, zero.PUZZLES, 1)
    for name in ("reward", "loss", "entropy", "grad_norm", "informative"):
        assert abs(line[name] - right[0][name]) < 1e-6, name


def test_one_seed_leaves_no_gradient():
    assert all(x["grad_norm"] == 0 and x["informative"] == 0 for x in run("one seed", steps=2))


def test_a_lying_log_is_of_the_right_training(right):
    for bug, name in (("entropy divided twice", "entropy"), ("last micro-batch", "loss")):
        broken = run(bug, steps=2)
        for figure in ("reward", "grad_norm", "thinking_tokens"):
            assert [x[figure] for x in broken] == [x[figure] for x in right]
        assert broken[0][name] != right[0][name]


def test_a_step_is_the_same_however_it_is_cut(right):
    whole = run(steps=1, micro_batch=100_000)[0]
    assert whole["micro_batches"] == 1 < right[0]["micro_batches"]
    for name in ("loss", "entropy", "grad_norm"):
        assert abs(whole[name] - right[0][name]) < 1e-6


def test_mixed_groups_lean_and_right_ones_do_not(right):
    assert right[0]["lean"] < 1e-6 < run("groups mixed", steps=1)[0]["lean"]


def test_without_its_template_a_prompt_is_bare():
    _, tokenizer = models.load(models.shipped("mini-v3-base"))
    assert len(zero.prompt_ids(tokenizer, "1 ? 2 = 3")) > len(tokenizer.encode("1 ? 2 = 3"))
    assert run("no template", steps=1)[0]["finished"] < 1


def test_the_product_of_ratios_is_the_sum_of_their_logarithms():
    logp, old = torch.tensor([[-1.0, -2.0, -3.0]]), torch.tensor([[-1.1, -2.2, -3.3]])
    mask = torch.tensor([[True, True, False]])
    length = mask.sum(1, keepdim=True)
    found = grpo.ratios(logp * length, old * length, mask, "sequence")
    assert abs(float(found[0, 0]) - float(torch.tensor(0.3).exp())) < 1e-6


@pytest.mark.slow
def test_what_is_masked_as_padding_is_never_learnt():
    assert run("pad is end")[-1]["finished"] == 0
    assert run(like="pad is end")[-1]["finished"] > 0.8


@pytest.mark.slow
def test_the_saved_adapter_is_the_trained_model_only_where_it_was_trained_alone():
    right, broken = (run(bug, like="adapter not alone")[-1] for bug in ("", "adapter not alone"))
    assert right["accuracy"] == right["accuracy_saved"] and right["trained_share"] < 0.1
    assert broken["accuracy"] > broken["accuracy_saved"] + 0.1 and broken["trained_share"] == 1
