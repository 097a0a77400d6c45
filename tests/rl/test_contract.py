"""What a learner's own functions must be: the lesson's pass, and every way to go wrong is told."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.rl import contract, grpo, zero


def group_advantages(rewards, std="sample", eps=1e-4):
    centred = rewards - rewards.mean(1, keepdim=True)
    if std == "none":
        return centred
    return centred / (rewards.std(1, correction=1 if std == "sample" else 0, keepdim=True) + eps)


def policy_loss(logp, old_logp, advantages, mask, clip=0.2, mean="sequence"):
    ratio = (logp - old_logp).exp()
    gain = advantages[:, None]
    surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain)
    if mean == "token":
        return -(surrogate * mask).sum() / mask.sum()
    if mean == "constant":
        return -(surrogate * mask).sum() / (len(mask) * 96)
    per_completion = (surrogate * mask).sum(1) / mask.sum(1)
    return -per_completion.mean()


@pytest.mark.parametrize("std", ["sample", "population", "none"])
def test_the_lessons_advantages_pass(std):
    contract.check_advantages(partial(group_advantages, std=std))
    contract.check_advantages(partial(grpo.group_advantages, std=std))


@pytest.mark.parametrize(
    ("mean", "found"), [("sequence", "sequence"), ("token", "token"), ("constant", "sequence")]
)
def test_the_lessons_loss_passes_and_its_mean_is_seen(mean, found):
    assert contract.look_into(partial(policy_loss, mean=mean)) == contract.Nature(found, skips=True)
    library = partial(grpo.policy_loss, reduce=mean, max_length=96)
    assert contract.look_into(library) == contract.Nature(found, skips=True)


def test_a_loss_that_looks_at_the_whole_batch_is_given_the_whole_batch():
    def whitened(logp, old_logp, advantages, mask):
        return policy_loss(logp, old_logp, advantages / advantages.std(), mask)

    def with_entropy(logp, old_logp, advantages, mask):
        return policy_loss(logp, old_logp, advantages, mask) + 0.1 * (logp * mask).mean(1).mean()

    assert contract.look_into(whitened).mean == "whole"
    with pytest.raises(CourseError, match="counts padding"):
        contract.look_into(with_entropy)  # its mean is over the width


LOSSES = {
    "not a tensor": lambda *g: float(policy_loss(*g)),
    "no gradient": lambda *g: policy_loss(*g).detach(),
    "NumPy on the way": lambda p, o, a, m: policy_loss(p.detach(), o, a, m).numpy(),
    "one for each completion": lambda p, o, a, m: ((p - o).exp() * a[:, None] * m).sum(1),
    "NaN": lambda *g: policy_loss(*g) * math.nan,
    "the mask is forgotten": lambda p, o, a, m: -((p - o).exp() * a[:, None]).mean(),
    "the mask is in the sum alone": lambda p, o, a, m: -((p - o).exp() * a[:, None] * m).mean(),
    "the width is in it": lambda p, o, a, m: -((p - o).exp() * a[:, None] * m).mean(1).mean(),
    "fails": lambda p, o, a, m: (p - o).exp() * a,
    "takes too few": lambda p, o: (p - o).mean(),
    "does not look at logp": lambda p, o, a, m: a.mean() * torch.ones(1, requires_grad=True),
    "learns nothing": lambda p, o, a, m: 0 * policy_loss(p, o, a, m),
    "None": lambda *g: None,
    "the sign is wrong": lambda *g: -policy_loss(*g),
    "the advantages' sign is wrong": lambda p, o, a, m: policy_loss(p, o, -a, m),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_that_cannot_train_is_told_before_any_step(tmp_path, kind):
    def my_loss(*given):
        return LOSSES[kind](*given)

    with pytest.raises(CourseError) as told:
        next(zero.run(tmp_path, loss=my_loss))
    said = str(told.value)
    assert "`my_loss`" in said and "logp (4, " in said and "\n" not in said
    assert not list(tmp_path.iterdir())


ADVANTAGES = {
    "a list": lambda r: r.tolist(),
    "one for each group": lambda r: r.mean(1),
    "flat": lambda r: group_advantages(r).flatten(),
    "no eps": lambda r: (r - r.mean(1, keepdim=True)) / r.std(1, keepdim=True),
    "NaN": lambda r: r * math.nan,
    "upside down": lambda r: -group_advantages(r),
    "nothing": lambda r: 0 * r,
    "fails": lambda r: r @ r,
}


@pytest.mark.parametrize("kind", ADVANTAGES)
def test_advantages_that_cannot_train_are_told(kind):
    def mine(rewards):
        return ADVANTAGES[kind](rewards)

    with pytest.raises(CourseError, match=r"`mine` .*\(3, 4\)"):
        zero.check_functions(mine, grpo.policy_loss)


def test_plain_reinforce_is_a_run_of_its_own_and_passes():
    contract.check_advantages(lambda rewards: rewards)
    contract.check_advantages(lambda rewards: rewards - 0.5)


def bonus(logp, old_logp, advantages, mask):
    return policy_loss(logp, old_logp, advantages, mask) + 3 * (logp * mask).sum() / mask.sum()


def good_ones_alone(logp, old_logp, advantages, mask):
    return policy_loss(logp, old_logp, advantages.clamp(min=0), mask)


@pytest.mark.parametrize("loss", [bonus, good_ones_alone])
def test_the_sign_is_that_of_what_the_advantages_do(loss):
    contract.look_into(loss)


@pytest.mark.parametrize(
    "stats", [None, [0.1], {"clip_fraction": "x"}, {"kl": math.nan}, {"kl": torch.ones(2)}, 0.5]
)
def test_figures_that_cannot_be_logged_are_told_before_any_step(tmp_path, stats):
    def my_loss(*given):
        return policy_loss(*given), stats

    with pytest.raises(CourseError, match=r"`my_loss` gives a loss and .* should be a dict"):
        next(zero.run(tmp_path, loss=my_loss))
    assert not list(tmp_path.iterdir())


def test_figures_of_other_names_are_left_alone():
    contract.look_into(lambda *g: (policy_loss(*g), {"ratios": [1, 2], "kl": torch.ones(1)}))


@given(st.floats(0.05, 0.5), st.sampled_from(["sequence", "token", "constant"]))
@settings(max_examples=30, deadline=None)
def test_whatever_the_clip_the_mean_is_seen(clip, mean):
    found = contract.look_into(partial(policy_loss, clip=clip, mean=mean))
    assert found.mean == ("token" if mean == "token" else "sequence")
