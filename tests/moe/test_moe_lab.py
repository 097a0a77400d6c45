"""The small trainings and the recording of routes, on as few steps as show the point."""

import pytest
import torch

from course_lib.model import models, router
from course_lib.moe import moe_lab, routes


@pytest.fixture(scope="module")
def tokenizer():
    return models.build_tokenizer()


@pytest.fixture(scope="module")
def model():
    return moe_lab.small_moe(seed=0)


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (" yes", "verdict"),
        (" no", "verdict"),
        (" not", "other"),
        (" +3", "step in digits"),
        (" -three", "step in words"),
        ("=-10", "total in digits"),
        ("=-twenty-one", "total in words"),
        (" =", "other"),
        (" ?", "other"),
        (" +", "sign"),
        (" 13", "digit"),
        ("7", "digit"),
        ("<think>", "tag"),
        ("</think>", "tag"),
        (models.EOS, "tag"),
        ("", "other"),
    ],
)
def test_kinds_of_token(token, kind):
    assert routes.kind(token) == kind and kind in routes.KINDS


def test_every_token_of_a_worked_puzzle_but_its_frame_has_a_kind(tokenizer):
    batch = next(moe_lab.batches(1))
    texts = {tokenizer.decode([i]) for i in batch.ids[batch.weights > 0].tolist()}
    assert {routes.kind(text) for text in texts} == set(routes.KINDS) - {"other", "digit"}


def test_recording_sees_what_the_router_does_and_leaves_no_hook(model):
    ids = torch.arange(20)[None]
    with routes.recording(model) as seen:
        model(ids)
    assert list(seen) == [0, 1] and seen[0].experts.shape == (20, 2)
    _, experts = router.route(seen[1].logits.detach(), top_k=2)
    assert torch.equal(experts.sort().values, seen[1].experts.sort().values)
    assert not any(gate._forward_hooks for gate in routes.routers(model).values())


def test_shares_by_kind_count_every_choice_once(model, tokenizer):
    text = f"{models.BOS}{models.USER}7 ? 3 = 4{models.ASSISTANT}<think> -3=4 yes</think> -"
    shares = routes.shares_by_kind(model, tokenizer, [text, text])
    assert set(shares) == set(routes.KINDS) - {"step in words", "total in words"}
    for share in shares.values():
        assert share.shape == (2, 16)
        assert share.sum(-1).tolist() == pytest.approx([1.0, 1.0])
    # The verdict is one token of two texts: two experts, half of the choices each.
    assert sorted(shares["verdict"][0].tolist())[-2:] == [0.5, 0.5]


def test_shares_by_kind_refuses_nothing_to_read_and_dense_models(model, tokenizer):
    with pytest.raises(ValueError, match="texts is empty"):
        routes.shares_by_kind(model, tokenizer, [])
    with pytest.raises(ValueError, match="without a DeepSeek-V3 router"):
        routes.shares_by_kind(moe_lab.small_dense(8), tokenizer, ["7"])


def test_distance_is_the_part_of_choices_that_moved():
    assert routes.distance(torch.tensor([0.5, 0.5, 0]), torch.tensor([0.5, 0.25, 0.25])) == 0.25
    assert routes.distance(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == 1.0


def test_batches_are_the_same_for_a_seed_and_learn_only_completions(tokenizer):
    batch, again = next(moe_lab.batches(1, 0)), next(moe_lab.batches(1, 0))
    assert torch.equal(batch.ids, again.ids)
    learned = tokenizer.decode(batch.ids[0][batch.weights[0] > 0])
    assert "=" in learned and "?" not in learned and learned.endswith(models.EOS)


def test_training_learns_and_the_bias_evens_the_load():
    run = moe_lab.train("bias", steps=15)
    assert len(run.losses) == 15 and run.losses[-1] < run.losses[0] - 1
    assert run.loads.shape == (15, 2, 16)
    assert run.loads.mean(-1).flatten().tolist() == pytest.approx([1.0] * 30, abs=1e-5)
    free = moe_lab.train("none", steps=15)
    assert run.imbalance(5) < free.imbalance(5)
    assert free.losses[0] == run.losses[0]


def test_the_auxiliary_loss_changes_the_router_and_is_not_in_the_recorded_loss():
    with_loss, without = moe_lab.train("auxiliary", steps=2), moe_lab.train("none", steps=2)
    assert with_loss.losses[0] == without.losses[0]
    assert with_loss.losses[1] != without.losses[1]


def test_a_run_counts_imbalance_and_the_dead():
    loads = torch.tensor([[[4.0, 0, 0, 0]], [[2.0, 2.0, 0.1, 0]], [[2.0, 2.0, 0.1, 0]]])
    run = moe_lab.Run("x", [3.0, 1.0, 2.0], loads, 1.0)
    assert run.final_loss(2) == 1.5
    assert run.imbalance(2) == pytest.approx(2.0 / 1.025)
    assert run.dead(2) == 1


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="balancing is 'luck'; allowed are 'none', 'auxiliary'"):
        moe_lab.train("luck")
    with pytest.raises(ValueError, match="steps is 0"):
        moe_lab.train(steps=0)
