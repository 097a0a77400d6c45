"""The judgement: from what a learner's answer gives on many inputs to one of five outcomes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from course_lib.classroom.checks.callers import ERROR, NOT_ATTEMPTED, TIME_UP, Caller, Failure
from course_lib.classroom.checks.exercise import Case, Exercise
from course_lib.classroom.checks.values import difference, show

FRESH = 5  # random inputs beside the fixed ones


class Outcome(StrEnum):
    """How a check can end."""

    NOT_ATTEMPTED = "not attempted"
    WRONG = "wrong"
    MISTAKE = "known mistake"
    ERROR = "error in your code"
    RIGHT = "right"


@dataclass(frozen=True)
class Verdict:
    """A check's outcome, its one sentence, and the lines that show it."""

    exercise: str
    outcome: Outcome
    headline: str
    details: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """All of it as plain text."""
        first = f"{self.exercise}: {self.outcome}. {self.headline}"
        return "\n".join((first, *(f"  {line}" for line in self.details)))


@dataclass(frozen=True)
class _Trial:
    case: Case
    got: Any  # a value, or the Failure that came instead
    expected: Any
    wrong: str | None


def judge(exercise: Exercise, call: Caller, seed: int | None = None) -> Verdict:
    """Try an answer on the fixed inputs and on fresh ones (from `seed`), and say how it did."""
    rng = np.random.default_rng(seed)
    fresh = [exercise.fresh(rng) for _ in range(FRESH)] if exercise.fresh else []
    trials = []
    for one in (*exercise.cases, *fresh):
        trial = _try(exercise, call, one)
        if isinstance(trial.got, Failure) and trial.got.kind == NOT_ATTEMPTED:
            return _not_attempted(exercise)
        trials.append(trial)
        if isinstance(trial.got, Failure) and trial.got.kind == TIME_UP:
            return _time_up(exercise, trial)
    wrong = [trial for trial in trials if trial.wrong]
    if not wrong:
        return _right(exercise, len(exercise.cases), len(fresh))
    if all(trial.got is None for trial in trials):
        return _nothing_returned(exercise, call, wrong[0])
    return _mistaken(exercise, trials, wrong) or _plainly_wrong(exercise, wrong[0])


def _try(exercise: Exercise, call: Caller, one: Case) -> _Trial:
    expected = exercise.expected(one)
    try:
        got = call(one)
    except Failure as failure:
        return _Trial(one, failure, expected, failure.error)
    return _Trial(one, got, expected, difference(got, expected, exercise.rtol, exercise.atol))


def _right(exercise: Exercise, fixed: int, fresh: int) -> Verdict:
    tried = f"{fixed} fixed and {fresh} fresh inputs tried." if fresh else "That is the value."
    return Verdict(exercise.name, Outcome.RIGHT, tried)


def _not_attempted(exercise: Exercise) -> Verdict:
    what = f"Give {exercise.symbol} a value" if exercise.is_value else f"Write {exercise.symbol}"
    headline = f'{what}, then run this cell again; hint("{exercise.name}", 1) gives a first hint.'
    return Verdict(exercise.name, Outcome.NOT_ATTEMPTED, headline)


def _nothing_returned(exercise: Exercise, call: Caller, trial: _Trial) -> Verdict:
    if call.is_empty:
        return _not_attempted(exercise)
    headline = f"{exercise.symbol} gives back None: is a `return` missing?"
    return Verdict(exercise.name, Outcome.MISTAKE, headline, _lines(exercise, trial))


def _time_up(exercise: Exercise, trial: _Trial) -> Verdict:
    headline = f"It was stopped after {exercise.seconds:g} seconds; a loop may never end."
    return Verdict(exercise.name, Outcome.ERROR, headline, _lines(exercise, trial))


def _mistaken(exercise: Exercise, trials: list[_Trial], wrong: list[_Trial]) -> Verdict | None:
    for mistake in exercise.mistakes:
        if all(_makes(exercise, mistake.variant, trial) for trial in trials):
            lines = _lines(exercise, wrong[0])
            return Verdict(exercise.name, Outcome.MISTAKE, mistake.sentence, lines)
    return None


def _makes(exercise: Exercise, variant: Any, trial: _Trial) -> bool:
    """Whether the mistake gives what the learner's answer gave, an error of the same name too."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            made = variant(*trial.case.args, **trial.case.kwargs)
    except Exception as error:
        return isinstance(trial.got, Failure) and trial.got.error == type(error).__name__
    if isinstance(trial.got, Failure):
        return False
    return difference(trial.got, made, exercise.rtol, exercise.atol) is None


def _plainly_wrong(exercise: Exercise, trial: _Trial) -> Verdict:
    lines = _lines(exercise, trial)
    if isinstance(trial.got, Failure):
        error = f"{trial.got.error}: {trial.got.text}".rstrip(": ")
        if not trial.got.line:
            error += f" (it is called as {_call(exercise, trial.case)})"
        return Verdict(exercise.name, Outcome.ERROR, error, lines)
    headline = "That is not it yet." if exercise.is_value else f"Not as expected: {trial.wrong}."
    return Verdict(exercise.name, Outcome.WRONG, headline, lines)


def _lines(exercise: Exercise, trial: _Trial) -> tuple[str, ...]:
    """What went in, what came out, what was expected and why. Values are not given away."""
    failed = isinstance(trial.got, Failure)
    lines = [] if exercise.is_value else [f"input:     {_call(exercise, trial.case)}"]
    if failed and trial.got.line:
        lines.append(f"your code: {trial.got.line}")
    if not failed:
        lines.append(f"came out:  {show(trial.got)}")
    if not exercise.is_value:
        lines.append(f"expected:  {show(trial.expected)}")
    return (*lines, f"why:       {trial.case.why}")


def _call(exercise: Exercise, one: Case) -> str:
    named = [
        f"{name}={show(value)}" for name, value in zip(exercise.parameters, one.args, strict=False)
    ]
    named += [f"{name}={show(value)}" for name, value in one.kwargs.items()]
    return f"{exercise.symbol}({', '.join(named)})"


__all__ = ["ERROR", "FRESH", "Outcome", "Verdict", "judge"]
