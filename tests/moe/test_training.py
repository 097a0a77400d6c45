"""The small trainings and the recording of routes, on as few steps as show the point."""

import functools

import pytest
import torch

from course_lib.model import models, pretrain, router
from course_lib.moe import routes, training


@pytest.fixture(scope="module")
def tokenizer():
    return models.build_tokenizer()


@pytest.fixture(scope="module")
def model():
    return training.small_moe(seed=0)


def train(balancing, steps):
    return training.train(balancing, training.small_moe(0), steps=steps)


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
    batch = next(training.batches(1))
    texts = {tokenizer.decode([i]) for i in batch.ids[batch.weights > 0].tolist()}
    assert {routes.kind(text) for text in texts} == set(routes.KINDS) - {"other", "digit"}


def test_recording_sees_what_the_router_does_and_leaves_no_hook(model):
    ids = torch.arange(20)[None]
    with routes.recording(model) as seen:
        model(ids)
    assert list(seen) == [0, 1] and seen[0].experts.shape == (20, 2)
    _, experts = router.route(seen[1].logits.detach(), None, top_k=2)
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
    for nothing in ([], "7 + 3", ["7", ""]):  # the second would be read sign by sign
        with pytest.raises(ValueError, match="texts is empty"):
            routes.shares_by_kind(model, tokenizer, nothing)
    with pytest.raises(ValueError, match="without a DeepSeek-V3 router"):
        routes.shares_by_kind(training.small_dense(8), tokenizer, ["7"])


def test_what_moved_is_counted_token_by_token_and_is_no_less_than_the_distance(model, tokenizer):
    other, texts = training.small_moe(seed=1), training.worked_texts(4)
    assert routes.moved(model, model, tokenizer, texts) == 0
    moved = routes.moved(model, other, tokenizer, texts)
    (_, one), (_, two) = (routes.choices(m, tokenizer, texts[:1])[0] for m in (model, other))
    by_hand = [
        len(set(a.tolist()) - set(b.tolist()))
        for a, b in zip(one.flatten(0, 1), two.flatten(0, 1), strict=True)
    ]
    assert routes.moved(model, other, tokenizer, texts[:1]) == pytest.approx(
        sum(by_hand) / one.numel()
    )
    before, after = (routes.shares_by_kind(m, tokenizer, texts) for m in (model, other))
    assert moved > min(routes.distance(before[k], after[k]).mean() for k in before)


def test_touched_counts_different_experts_of_runs_of_tokens():
    experts = torch.tensor([[[0, 1], [1, 2], [3, 4], [3, 4], [9, 9]]])
    assert routes.touched(experts, 2) == 2.5 and routes.touched(experts, 4) == 5


def test_distance_is_the_part_of_choices_that_moved():
    assert routes.distance(torch.tensor([0.5, 0.5, 0]), torch.tensor([0.5, 0.25, 0.25])) == 0.25
    assert routes.distance(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == 1.0


def test_batches_are_the_same_for_a_seed_and_learn_only_completions(tokenizer):
    batch, again = next(training.batches(1, 0)), next(training.batches(1, 0))
    assert torch.equal(batch.ids, again.ids)
    learned = tokenizer.decode(batch.ids[0][batch.weights[0] > 0])
    assert "=" in learned and "?" not in learned and learned.endswith(models.EOS)


def test_training_learns_and_the_bias_evens_the_load():
    run = train("bias", 15)
    assert len(run.losses) == 15 and run.losses[-1] < run.losses[0] - 1
    assert run.loads.shape == (15, 2, 16)
    assert run.loads.mean(-1).flatten().tolist() == pytest.approx([1.0] * 30, abs=1e-5)
    free = train("none", 15)
    assert run.imbalance(5) < free.imbalance(5)
    assert free.losses[0] == run.losses[0]


def test_the_auxiliary_loss_changes_the_router_and_is_not_in_the_recorded_loss():
    with_loss, without = train("auxiliary", 2), train("none", 2)
    assert with_loss.losses[0] == without.losses[0]
    assert with_loss.losses[1] != without.losses[1]


def test_a_run_counts_imbalance_and_the_dead():
    loads = torch.tensor([[[4.0, 0, 0, 0]], [[2.0, 2.0, 0.1, 0]], [[2.0, 2.0, 0.1, 0]]])
    run = training.Run("x", [3.0, 1.0, 2.0], loads, 1.0)
    assert run.final_loss(2) == 1.5
    assert run.imbalance(2) == pytest.approx(2.0 / 1.025)
    assert run.dead(2) == 1


def test_a_model_made_from_a_seed_leaves_the_learners_draws_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = training.small_moe(0), training.small_moe(0)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one.lm_head.weight, two.lm_head.weight)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="balancing is 'luck'; allowed are 'none', 'auxiliary'"):
        train("luck", 1)
    with pytest.raises(ValueError, match="steps is 0"):
        train("none", 0)
    with pytest.raises(ValueError, match="name is 'luck'; allowed are 'no balance', 'aux"):
        training.compete("luck")


def test_padding_is_in_no_load(monkeypatch):
    """Rows of very unlike length: more than half of the batch is padding, and none is counted."""
    seen = {}
    monkeypatch.setattr(
        training, "_step", lambda *a, step=training._step: seen.setdefault("last", step(*a))
    )
    batch = next(training.batches(1, 3))
    train = training.train
    monkeypatch.setattr(training, "batches", lambda *_: iter([batch]))
    train("none", training.small_moe(0), steps=1)
    real = int(batch.real.sum())
    assert seen["last"][1].sum(-1).tolist() == [2 * real] * 2 and real < 0.8 * batch.ids.numel()


@pytest.mark.parametrize("balancing", ["auxiliary", "bias"])
def test_longer_padding_changes_nothing(balancing, monkeypatch):
    def runs(extra):
        wider = [pad(batch, extra) for batch in training.batches(3, 0)]
        with monkeypatch.context() as patched:
            patched.setattr(training, "batches", lambda *_: iter(wider))
            model = training.small_moe(0)
            run = training.train(balancing, model, steps=3)
        biases = [g.e_score_correction_bias for g in routes.routers(model).values()]
        return run, torch.stack(biases)

    (one, biases), (two, others) = runs(0), runs(40)
    assert one.losses == pytest.approx(two.losses, abs=1e-4)
    assert torch.equal(biases, others) and (one.loads - two.loads).abs().max() < 0.05


def pad(batch, extra):
    wider = functools.partial(torch.nn.functional.pad, pad=(0, extra))
    return pretrain.Batch(wider(batch.ids), wider(batch.weights))


def test_a_kept_run_is_the_one_that_was_made(monkeypatch, tmp_path):
    monkeypatch.setenv("INSIDE_R1_RUNS", str(tmp_path))
    first, second = (training.competed("sparse", steps=2) for _ in range(2))
    assert first.seconds == second.seconds and first.losses == second.losses
    assert torch.equal(first.loads, second.loads) and first.loads.shape == (2, 2, 16)
    assert training.competed("no balance", steps=2).losses != first.losses
