"""Sampler against trainer, and what a run does about it; minibatches; refreshed references."""

import math
from dataclasses import replace

import pytest
import torch

from course_lib.model import checkpoints
from course_lib.rl import grpo, zero
from course_lib.rl.dapo import DynamicSampling
from course_lib.rl.ppo import PPOLearner
from course_lib.rl.rewards import overlong_punishment
from course_lib.rl.zero import ZeroConfig
from tests.rl.lettered import TASK

TINY = ZeroConfig(
    steps=4, puzzles=3, samples=4, max_new_tokens=6, evaluate_every=9, evaluate_puzzles=4,
    checkpoint_every=2, learning_rate=0.01,
)  # fmt: skip


def test_ratios_by_hand():
    logp = torch.tensor([[0.1, 0.3, 9.0], [0.2, 9.0, 9.0]], dtype=torch.float64)
    old = torch.zeros(2, 3, dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    tokens, sequence = grpo.ratios(logp, old, mask), grpo.ratios(logp, old, mask, "sequence")
    e = math.exp
    near = dict(rtol=1e-12, atol=1e-12)
    expected = torch.tensor([[e(0.1), e(0.3), 1], [e(0.2), 1, 1]], dtype=torch.float64)
    torch.testing.assert_close(tokens, expected, **near)
    expected = torch.tensor([[e(0.2), e(0.2), 1], [e(0.2), 1, 1]], dtype=torch.float64)
    torch.testing.assert_close(sequence, expected, **near)


def test_weights_are_cut_above_and_make_the_surrogate_right_below_the_cap():
    """Over a vocabulary summed whole: with the weights, the sampler's mean is the trainer's."""
    trainer = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).log_softmax(0)
    sampler = torch.tensor([0.8, 0.3, -1.2], dtype=torch.float64).log_softmax(0)
    gains = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    mask = torch.ones(3, 1, dtype=torch.bool)
    weights = grpo.truncated_weights(trainer[:, None], sampler[:, None], mask, 5.0)[:, 0]
    torch.testing.assert_close(
        (sampler.exp() * weights * gains).sum(), (trainer.exp() * gains).sum()
    )
    assert float(grpo.truncated_weights(trainer[:, None], sampler[:, None], mask, 1.1).max()) == 1.1


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler": "bfloat16"},
        {"sampler": "bfloat16", "truncate": 1.0},
        {"sampler": "bfloat16", "old_from": "sampler"},
        {"minibatches": 3},
        {"minibatches": 2, "updates": 2, "level": "sequence", "reduce": "sequence"},
        {"kl": 0.1, "kl_estimator": "k2", "reference_every": 1},
        {"overlong": 3},
    ],
    ids=lambda x: "-".join(x),
)
@pytest.mark.parametrize("method", [None, DynamicSampling, PPOLearner])
def test_a_run_of_each_kind_goes_on_to_the_same_end(tmp_path, base, changes, method):
    config = replace(TINY, **changes)
    if method is PPOLearner and {"kl", "level", "truncate"} & changes.keys():
        pytest.skip("PPO here refuses what it does not heed")
    given = {"base": base, "task": TASK, "method": method}
    list(zero.run(tmp_path / "whole", config, **given))
    run = zero.run(tmp_path / "cut", config, **given)
    while next(run)["step"] < 3:
        pass
    run.close()
    list(zero.run(tmp_path / "cut", config, **given))
    ends = [
        [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]
        for lines in (
            checkpoints.read_log(tmp_path / n / "metrics.jsonl") for n in ("whole", "cut")
        )
    ]
    assert ends[0] == ends[1]
    if config.needs_sampler_logp:
        assert all(line["mismatch"] > 0 for line in ends[0][1:])


def test_minibatches_make_the_clip_act(tmp_path, base):
    clipped = []
    for parts in (1, 4):
        config = replace(TINY, minibatches=parts, clip=(0.001, 0.001), steps=3)
        lines = list(zero.run(tmp_path / str(parts), config, base=base, task=TASK))
        clipped.append(max(line["clip_fraction"] for line in lines[1:]))
    assert clipped[0] == 0 < clipped[1]


def test_the_overlong_punishment_by_hand():
    lengths = torch.tensor([10, 64, 65, 80, 96])
    found = overlong_punishment(lengths, 96, 32)
    torch.testing.assert_close(found, torch.tensor([0, 0, -1 / 32, -0.5, -1.0]))
    with pytest.raises(ValueError, match="cache is 0"):
        overlong_punishment(lengths, 96, 0)
