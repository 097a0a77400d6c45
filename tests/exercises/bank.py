"""The form of the bank of submissions, wrong ones and right ones, beside every exercise.

A wrong submission is a fragment of the message that it must get, and either the whole code or
edits, pairs (old, new), to the solution. A right one is the whole code, or edits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from course_lib.classroom.checks import catalogue, sources
from course_lib.classroom.checks.callers import LocalCaller
from course_lib.classroom.checks.judge import Verdict, judge

Edit = tuple[str, str]
Submission = str | Edit | tuple[Edit, ...]


@dataclass(frozen=True)
class Bank:
    wrong: Sequence[tuple[str, Submission]]
    right: Sequence[Submission]
    also_right: Sequence[Any] = field(default_factory=tuple)  # values


@cache
def solution(name: str) -> str:
    return sources.solution_of(catalogue.get(name))


@cache
def lesson_names(lesson: str) -> dict[str, Any]:
    """What the notebook of a lesson has defined before its exercises: imports and given code."""
    names: dict[str, Any] = {"math": math}
    for cell in sources.cells(lesson):
        given = sources.BEGIN not in cell.source and not cell.source.startswith("check(")
        if cell.cell_type == "code" and given:
            exec(compile(cell.source, f"<given in {lesson}>", "exec"), names)
    return names


@cache
def solved_names(lesson: str) -> dict[str, Any]:
    """What the official solutions of a lesson define: some exercises use what others ask for."""
    names = dict(lesson_names(lesson))
    for exercise in catalogue.of_lesson(lesson):
        exec(compile(solution(exercise.name), f"<solution of {exercise.name}>", "exec"), names)
    return names


def code(name: str, submission: Submission) -> str:
    if isinstance(submission, str):
        return submission
    edits = (submission,) if isinstance(submission[0], str) else submission
    docstring, end, text = solution(name).rpartition('"""\n')
    for old, new in edits:
        assert old in text, f"{name}: {old!r} is not in the solution"
        text = text.replace(old, new, 1)
    return docstring + end + text


@cache
def verdict(name: str, submission: Submission, seed: int = 0) -> Verdict:
    """The judgement of a submission; `seed` is that of the drawn inputs."""
    exercise = catalogue.get(name)
    names = dict(solved_names(catalogue.lesson_of(name)))
    names.pop(exercise.symbol)
    exec(compile(code(name, submission), f"<submission to {name}>", "exec"), names)
    call = LocalCaller(names[exercise.symbol], seconds=exercise.seconds, tensors=exercise.tensors)
    return judge(exercise, call, seed)
