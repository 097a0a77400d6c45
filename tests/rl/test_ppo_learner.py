"""PPO through R1-Zero's loop: it learns, and its critic learns what to expect."""

import sys

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.rl import grpo, ppo, zero
from course_lib.rl import learner as learner_module
from course_lib.rl.dapo import DynamicSampling
from course_lib.rl.identity import describe, digest
from course_lib.rl.ppo import PPOLearner
from course_lib.rl.zero import Task, ZeroConfig

WORDS = ("hello", "thanks", "what is 3 plus 4", "who are you")
TASK = Task(
    draw=lambda n, seed: [WORDS[(seed + i) % len(WORDS)] for i in range(n)],
    prompt=str,
    reward=lambda prompt, completion: min(1.0, completion.count(" +") / 4),
)


def test_ppo_learns_in_the_same_loop(tmp_path, base):
    config = ZeroConfig(steps=30, puzzles=4, samples=8, max_new_tokens=8, learning_rate=0.02)
    lines = list(zero.run(tmp_path, config, base=base, task=TASK, method=PPOLearner))
    trained = [line for line in lines if "reward" in line]
    early = sum(line["reward"] for line in trained[:5]) / 5
    late = sum(line["reward"] for line in trained[-5:]) / 5
    assert late > early + 0.2
    assert all(line["value_loss"] >= 0 for line in trained)
    assert (tmp_path / "checkpoint" / "config.json").is_file()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="each Python writes source its way")
@pytest.mark.parametrize(
    "part, known",
    [
        (zero.Learner, "914f1add4183516c"),
        (DynamicSampling, "8bfe29985c473f49"),
        (PPOLearner, "1ff61dbb2c1ea761"),
        (grpo.group_advantages, "a625313ca99925f5"),
        (grpo.policy_loss, "f3950426ea3e105f"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_run_that_an_earlier_version_began_goes_on(part, known):
    """A run is refused where these read otherwise: a new sum here for new arithmetic alone."""
    assert digest(describe(part)) == known


@pytest.mark.parametrize(
    "changes", [{"kl": 0.1}, {"level": "sequence"}, {"truncate": 2.0}, {"std": "sample"}],
    ids=lambda x: "".join(x),
)  # fmt: skip
def test_a_setting_that_ppo_does_not_heed_is_refused(base, changes):
    model, tokenizer = models.load(base)
    config = ZeroConfig(**changes)
    with pytest.raises(CourseError, match=f"{next(iter(changes))} is .* `.*PPOLearner`"):
        PPOLearner(model, torch.optim.SGD(model.parameters()), config, tokenizer.eos_token_id)


def test_ppo_takes_no_advantages_of_a_learners_own(base):
    model, tokenizer = models.load(base)
    given = (model, torch.optim.SGD(model.parameters()), ZeroConfig(), tokenizer.eos_token_id)
    with pytest.raises(CourseError, match="PPO has advantages of its own"):
        PPOLearner(*given, advantages=lambda rewards: rewards)


@pytest.fixture
def learner(base):
    model, tokenizer = models.load(base)
    config = ZeroConfig(puzzles=4, samples=8, max_new_tokens=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    made = PPOLearner(model, optimizer, config, tokenizer.eos_token_id)
    generator = torch.Generator().manual_seed(0)
    return made, zero.collect(model, tokenizer, TASK, WORDS, config, generator)


def test_the_value_model_is_as_large_as_the_policy_and_starts_knowing_nothing(learner):
    made, experience = learner
    assert isinstance(made.critic.model, ppo.ValueModel)
    backbone = models.parameters(made.model.model)
    assert models.parameters(made.critic.model) == backbone + made.model.config.hidden_size
    mask = grpo.completion_mask(experience.rollout.ids, made.eos)
    guesses = ppo.completion_values(made.critic.model, experience.rollout, mask)
    assert (guesses == 0).all()


def test_the_critic_comes_to_expect_what_it_sees(learner):
    made, experience = learner
    losses = [made.update(experience)["value_loss"] for _ in range(25)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_size_of_the_chunks_changes_no_policy_gradient(base, learner, monkeypatch):
    made, experience = learner
    mask = grpo.completion_mask(experience.rollout.ids, made.eos)
    advantages, _, _ = made.critic.judge(experience.rollout, mask, experience.rewards.flatten())
    found = []
    for tokens in (10_000, 60):
        monkeypatch.setattr(learner_module, "tokens_at_once", lambda _, n=tokens: n)
        monkeypatch.setattr(made, "_step", lambda loss: 0.0)
        made.learn(experience, advantages)
        found.append([p.grad.clone() for p in made.model.parameters()])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert max(float(g.abs().max()) for g in found[0]) > 1e-5
