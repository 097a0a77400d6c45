"""Short runs that a prediction is held against: they happen here, on the learner's own model.

Each takes a folder with a distilled student and some seconds, and changes nothing. It raises
CourseError for a folder that holds no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.task import puzzles

if TYPE_CHECKING:
    from course_lib.limits.dataflow import Recording
    from course_lib.local.engines import Summary

PUZZLES = 128
ANSWERS = 8


def accuracy(folder: Path, n: int = PUZZLES) -> float:
    """The share of `n` held-out puzzles that the model in `folder` gets right, one answer each."""
    from course_lib.model import models
    from course_lib.rl import zero

    return zero.evaluate(*models.load(folder), n=n)["accuracy"]


def speed(folder: Path, n: int = ANSWERS) -> Summary:
    """Tokens and seconds of `n` answers by the model in `folder`, in turn: the best of two."""
    from course_lib.local import local_lab
    from course_lib.local.engines.with_transformers import TransformersEngine

    questions = [puzzles.prompt(puzzle) for puzzle in puzzles.sample(n, 3)]
    engine = TransformersEngine(folder)
    tried = [local_lab.speed(engine, questions) for _ in range(2)]
    return max(tried, key=lambda summary: summary.speed)


def audit(folder: Path) -> Recording:
    """What is asked of the network while the model in `folder` is loaded and answers once."""
    from course_lib.limits import dataflow
    from course_lib.local.engines.with_transformers import TransformersEngine

    asked = [{"role": "user", "content": puzzles.prompt(puzzles.sample(1, 3)[0])}]
    with dataflow.record() as flow:
        "".join(TransformersEngine(folder).stream(asked, max_tokens=96, seed=0))
    return flow
