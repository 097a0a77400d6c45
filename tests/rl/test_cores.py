"""A run of R1-Zero is the same whoever works on it."""

import os
import sys
from dataclasses import replace

import pytest
import torch

from course_lib.model import models, workers
from course_lib.rl import grpo, learner, zero
from tests.rl.test_zero import TASK, TINY, log

CONFIG = replace(TINY, puzzles=8, samples=16, steps=3, max_new_tokens=8)


@pytest.fixture(autouse=True)
def copies(monkeypatch):
    monkeypatch.setenv("INSIDE_R1_COPIES", "1")


@pytest.fixture
def cores(monkeypatch):
    """(count) says how many are free, and gives the sizes of the teams that have worked since."""
    sizes, together = [], workers.together
    monkeypatch.setattr(learner, "tokens_at_once", lambda model: 400)
    monkeypatch.setattr(
        workers, "together", lambda n, work: (sizes.append(n), together(n, work))[1]
    )

    def free(count):
        monkeypatch.setattr(workers, "free_cores", lambda: count)
        sizes.clear()
        return sizes

    return free


@pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux")
@pytest.mark.parametrize("changes", [{}, {"updates": 2, "kl": 0.01}, {"minibatches": 2}])
def test_a_run_is_the_same_with_one_worker_or_three(tmp_path, base, cores, changes):
    ends, lines = [], []
    for count in (1, 3):
        sizes = cores(count)
        config = replace(CONFIG, **changes)
        list(zero.run(tmp_path / str(count), config, base=base, task=TASK))
        assert max(sizes) == count and sizes.count(count) >= 6  # 3 rollouts, 3 updates
        ends.append(models.load(tmp_path / str(count) / "checkpoint")[0].state_dict())
        lines.append(log(tmp_path / str(count)))
    assert lines[0] == lines[1]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_loss_of_ones_own_sees_every_pass_in_this_process(tmp_path, base, cores):
    sizes, seen = cores(3), []

    def noting(logp, old_logp, advantages, mask):
        seen.append((os.getpid(), len(logp)))
        return grpo.policy_loss(logp, old_logp, advantages, mask)[0]

    list(zero.run(tmp_path, replace(CONFIG, steps=1), base=base, task=TASK, loss=noting))
    assert {pid for pid, _ in seen} == {os.getpid()} and 1 in sizes
