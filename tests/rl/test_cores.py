"""A run of R1-Zero is the same, but for rounding, however many threads it has."""

from dataclasses import replace

import pytest

from course_lib.rl import zero
from tests.rl.test_zero import TASK, TINY, log

CONFIG = replace(TINY, puzzles=8, samples=16, steps=3, max_new_tokens=8)


@pytest.mark.parametrize("changes", [{}, {"updates": 2, "kl": 0.01}, {"minibatches": 2}])
def test_threads_change_rounding_alone(tmp_path, base, monkeypatch, changes):
    lines = []
    for count in (1, 3):
        monkeypatch.setenv("INSIDE_R1_THREADS", str(count))
        config = replace(CONFIG, **changes)
        list(zero.run(tmp_path / str(count), config, base=base, task=TASK))
        lines.append(log(tmp_path / str(count)))
    for one, three in zip(*lines, strict=True):
        assert three == pytest.approx(one, rel=1e-3)
