"""The TRL twin: its reward, its settings, its errors, and a run with two processes."""

import os
import subprocess
import sys

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.model import models
from course_lib.rl import trl_script
from course_lib.rl.zero import ZeroConfig
from course_lib.task import puzzles

BASE = models.shipped("mini-v3-base")


def test_the_reward_is_the_courses():
    texts = ["7 ? 3 ? 5 ? 2 = 11"] * 2
    given = trl_script.puzzle_reward(puzzle=texts, completions=[" - + +", " + + +"], prompts=[])
    assert given == [1.0, 0.0]


def test_the_settings_are_the_courses_by_trls_names(tmp_path):
    pytest.importorskip("trl", reason="needs TRL: pip install -r tests/requirements.txt")
    config = ZeroConfig(
        steps=2, puzzles=2, samples=4, max_new_tokens=7, clip=(0.1, 0.3), level="sequence"
    )
    trainer = trl_script.build_trainer(BASE, config, tmp_path)
    assert (trainer.epsilon_low, trainer.epsilon_high, trainer.beta) == (0.1, 0.3, config.kl)
    assert (trainer.loss_type, trainer.scale_rewards) == ("dr_grpo", "none")
    assert (trainer.num_generations, trainer.max_completion_length) == (4, 7)
    assert trainer.importance_sampling_level == "sequence"
    assert trainer.args.learning_rate == config.learning_rate
    prompt = trainer.train_dataset[0]["prompt"]
    puzzle = puzzles.parse(trainer.train_dataset[0]["puzzle"])
    ids = trainer.processing_class.encode(prompt, add_special_tokens=False)
    assert ids == models.chat_ids(trainer.processing_class, puzzles.prompt(puzzle))


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch, tmp_path):
    pytest.importorskip("trl", reason="needs TRL: pip install -r tests/requirements.txt")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(CourseError, match="8 completions a step cannot be shared by 3 processes"):
        trl_script.build_trainer(BASE, ZeroConfig(puzzles=2, samples=4), tmp_path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("minibatches", 4),
        ("kl_estimator", "k2"),
        ("truncate", 2.0),
        ("sampler", "bfloat16"),
        ("std", "population"),
    ],
)
def test_what_trl_is_not_told_is_refused(tmp_path, setting, value):
    pytest.importorskip("trl", reason="needs TRL: pip install -r tests/requirements.txt")
    config = ZeroConfig(puzzles=2, samples=4, **{setting: value})
    with pytest.raises(CourseError, match=f"TRL is not told {setting} here"):
        trl_script.build_trainer(BASE, config, tmp_path)


def test_without_trl_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CourseError, match="is not installed; pip install trl"):
        trl_script.build_trainer(BASE, ZeroConfig(), tmp_path)


@pytest.mark.slow
def test_two_processes_train_one_model_and_leave_a_folder(tmp_path):
    pytest.importorskip("trl", reason="needs TRL: pip install -r tests/requirements.txt")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    fixed = ["--num_processes", "2", "--num_machines", "1"]
    plain = ["--mixed_precision", "no", "--dynamo_backend", "no"]
    ours = ["-m", "course_lib.rl.trl_script", "--out", str(tmp_path), "--steps", "2"]
    small = ["--puzzles", "2", "--samples", "4", "--max-new-tokens", "16"]
    done = subprocess.run(
        [*launch, *fixed, *plain, *ours, *small],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "2 process(es), 2 steps" in done.stdout
    trained, tokenizer = models.load(tmp_path / "checkpoint")
    base, _ = models.load(BASE)
    assert len(tokenizer) == trained.config.vocab_size
    changed = [
        not torch.equal(a, b) for a, b in zip(trained.parameters(), base.parameters(), strict=True)
    ]
    assert any(changed)
