"""The judgement: from what a learner's answer gives on many inputs to one of five outcomes.

Inputs are the same every time, so that an answer that was right stays right."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any, Self

import numpy as np

from course_lib.classroom.checks.callers import NOT_ATTEMPTED, TIME_UP, Caller, Failure
from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, expected_gradients, inputs
from course_lib.classroom.checks.values import difference, is_numbers, mapped, readable, show


class Outcome(StrEnum):
    """How a check can end."""

    NOT_ATTEMPTED = "not attempted"
    WRONG = "wrong"
    MISTAKE = "known mistake"
    ERROR = "error in your code"
    RIGHT = "right"


_LEAST_DRAWN = 20  # inputs, before what is slow may be right
_LONGEST, _MOST_LINES = 2_000, 12  # characters of a line of a verdict, and its lines


@dataclass(frozen=True)
class Verdict:
    """A check's outcome, its one sentence, and the lines that show it."""

    exercise: str
    outcome: Outcome
    headline: str
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Whatever came of an answer, a verdict is short and holds nothing that steers a screen."""
        details = tuple(readable(line, _LONGEST) for line in self.details[:_MOST_LINES])
        object.__setattr__(self, "headline", readable(self.headline, _LONGEST))
        object.__setattr__(self, "details", details)

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Self:
        """The verdict that `asdict` and JSON kept. Raises KeyError, TypeError or ValueError."""
        outcome, details = Outcome(kept["outcome"]), tuple(kept["details"])
        return cls(kept["exercise"], outcome, kept["headline"], details)

    @property
    def message(self) -> str:
        """All of it as plain text."""
        first = f"{self.exercise}: {self.outcome}. {self.headline}"
        return "\n".join((first, *(f"  {line}" for line in self.details)))


@dataclass(frozen=True)
class _Trial:
    case: Case
    got: Any  # a value, or the Failure that came instead
    wrong: str | None
    printed: str = ""
    gradients: Any = None  # what came of them, where a loss is judged


def judge(exercise: Exercise, call: Caller, seed: int = 0) -> Verdict:
    """Try an answer on the inputs worked out by hand and on drawn ones, and say how it did."""
    try:
        return _judged(exercise, call, seed)
    except Failure as over:
        return Verdict(exercise.name, Outcome.ERROR, f"It was not judged: {over.text}.")


def _judged(exercise: Exercise, call: Caller, seed: int) -> Verdict:
    trials: list[_Trial] = []
    enough = call.left / 2  # seconds
    least = len(exercise.cases) + _LEAST_DRAWN  # those by hand could be a table of their results
    for one in inputs(exercise, seed):
        if len(trials) >= least and call.left < enough:
            break  # what is slow and right so far is right; a slow machine changes no verdict
        call.go_on()
        trial = _try(exercise, call, one)
        kind = trial.got.kind if isinstance(trial.got, Failure) else ""
        if kind == NOT_ATTEMPTED:
            return _not_attempted(exercise)
        if kind == TIME_UP and len(trials) >= len(exercise.cases) and any(t.wrong for t in trials):
            break  # what is wrong on inputs worked out by hand is wrong, however slow
        trials.append(trial)
        if kind == TIME_UP:
            return time_up(exercise, _lines(exercise, trial), len(trials) - 1)
    wrong = _wrong(exercise, trials)
    if not wrong:
        return _about_gradients(exercise, trials, seed) or _right(exercise, trials)
    if all(trial.got is None for trial in trials):
        return _nothing_returned(exercise, call, wrong[0])
    return _mistaken(exercise, call, trials, wrong) or _plainly_wrong(exercise, wrong[0])


def _try(exercise: Exercise, call: Caller, one: Case) -> _Trial:
    gradients = None
    try:
        got = call(one)
    except Failure as failure:
        return _Trial(one, failure, failure.error or failure.kind, call.printed)
    if exercise.gradients and isinstance(got, tuple) and len(got) == 2:
        got, gradients = got
    if exercise.truth:
        got = mapped(got, _as_number)
    wrong = difference(got, one.expected, exercise.rtol, exercise.atol)
    return _Trial(one, got, wrong, call.printed, gradients)


def _as_number(value: Any) -> Any:
    """True and False, a tensor's too, as 1.0 and 0.0; all else as it is."""
    if isinstance(value, bool):
        return float(value)
    is_truth = isinstance(value, np.ndarray) and value.dtype == bool
    return value.astype(float) if is_truth else value


def _wrong(exercise: Exercise, trials: list[_Trial]) -> list[_Trial]:
    """By hand in their order, then drawn by length: what is easy to follow comes first."""
    by_hand = [trial for trial in trials[: len(exercise.cases)] if trial.wrong]
    drawn = [trial for trial in trials[len(exercise.cases) :] if trial.wrong]
    return by_hand + sorted(drawn, key=lambda trial: len(_call(exercise, trial.case)))


def _about_gradients(exercise: Exercise, trials: list[_Trial], seed: int) -> Verdict | None:
    """What is wrong with the gradients of a loss whose values are right; None if nothing is."""
    if not exercise.gradients:
        return None
    for trial, slopes in zip(trials, expected_gradients(exercise, seed), strict=False):
        got = trial.gradients  # "no tensor" does where there is no slope
        if not isinstance(got, list) or len(got) != len(slopes):
            got = [None] * len(slopes)
        for place, found, (low, high) in zip(exercise.gradients, got, slopes, strict=True):
            name = exercise.parameters[place]
            if found is None and (low * high != 0).any():
                what = f"nothing of it reaches `{name}` any more: it would train nothing"
                if isinstance(trial.gradients, str):
                    what = "it is no tensor of torch's: nothing can train on it"
                headline = f"The value is right, but {what}. {_KEEP}"
                return Verdict(exercise.name, Outcome.MISTAKE, headline)
            if found is not None and not _between(found, low, high):
                return _wrong_gradient(exercise, trial, name, found, (low + high) / 2)
    return None


_KEEP = "Keep to torch's operations, without detach, item, numpy, float or no_grad."


def _between(found: Any, low: Any, high: Any) -> bool:
    if not (isinstance(found, np.ndarray) and is_numbers(found)):
        return False
    room = 2e-3 * np.maximum(np.abs(low), np.abs(high)) + 2e-4
    return bool(
        np.shape(found) == np.shape(low) and ((found >= low - room) & (found <= high + room)).all()
    )


def _wrong_gradient(
    exercise: Exercise, trial: _Trial, name: str, found: Any, expected: Any
) -> Verdict:
    headline = f"The value is right, but its gradient for `{name}` is not; training follows that."
    lines = (
        f"input:     {_call(exercise, trial.case)}",
        f"gradient:  {show(found)}",
        f"expected:  {show(expected)}",
    )
    return Verdict(exercise.name, Outcome.MISTAKE, headline, lines)


def _right(exercise: Exercise, trials: list[_Trial]) -> Verdict:
    tried = "That is the value." if exercise.is_value else f"{len(trials)} inputs tried."
    printed = trials[0].printed
    lines = (f"printed:   {printed}",) if printed else ()
    return Verdict(exercise.name, Outcome.RIGHT, tried, lines)


def _not_attempted(exercise: Exercise) -> Verdict:
    what = f"Give {exercise.symbol} a value" if exercise.is_value else f"Write {exercise.symbol}"
    headline = f'{what}, then run this cell again; hint("{exercise.name}", 1) gives a first hint.'
    return Verdict(exercise.name, Outcome.NOT_ATTEMPTED, headline)


def _nothing_returned(exercise: Exercise, call: Caller, trial: _Trial) -> Verdict:
    if call.is_empty:
        return _not_attempted(exercise)
    headline = (
        f"{exercise.symbol} gives back None for every input; end it with `return` and a value."
    )
    return Verdict(exercise.name, Outcome.MISTAKE, headline, _lines(exercise, trial))


def time_up(exercise: Exercise, lines: tuple[str, ...] = (), tried: int = 0) -> Verdict:
    """The verdict on an answer that does not come to an end, or not on enough inputs."""
    headline = f"It was stopped after {exercise.seconds:g} seconds; a loop may never end."
    if tried:
        headline += f" It is too slow to be tried on enough inputs: {tried} were done by then."
    return Verdict(exercise.name, Outcome.ERROR, headline, lines)


def _mistaken(
    exercise: Exercise, call: Caller, trials: list[_Trial], wrong: list[_Trial]
) -> Verdict | None:
    """The known mistake that explains what came out, the one that does best."""
    found = [(_agreement(exercise, call, one, trials), one) for one in exercise.mistakes]
    best, mistake = max(found, key=lambda pair: pair[0], default=(0.0, None))
    if mistake is None or best == 0.0:
        return None
    return Verdict(exercise.name, Outcome.MISTAKE, mistake.sentence, _lines(exercise, wrong[0]))


def _agreement(exercise: Exercise, call: Caller, mistake: Mistake, trials: list[_Trial]) -> float:
    """The share of results that the mistake gives too; 0.0 where it does not explain them.

    It must give all that came out by hand and nearly all that was wrong. With tensors a few may
    differ, and drawn ones count less: what a mistake does with ties depends on how it is written.
    Most mistakes do not explain what came out by hand, and are tried on nothing else.
    """

    def made(some: list[_Trial]) -> Iterator[bool]:
        for trial in some:
            call.go_on()
            yield _makes(exercise, mistake.variant, trial)

    by_hand, drawn = trials[: len(exercise.cases)], trials[len(exercise.cases) :]
    needed, of_wrong = (0.85, 0.6) if exercise.tensors else (1.0, 0.9)
    same = [*made(by_hand)]
    if fmean(same) < needed:
        return 0.0
    same += made(drawn)
    counted = by_hand if exercise.tensors else trials
    of_those = [one for one, trial in zip(same, counted, strict=False) if trial.wrong]
    explains = min(fmean(same), fmean(of_those or [0])) >= of_wrong
    return fmean(same) if explains else 0.0


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
        if not (trial.got.line or exercise.is_value):
            error += f" (it is called as {_call(exercise, trial.case)})"
        return Verdict(exercise.name, Outcome.ERROR, error, lines)
    headline = f"Not as expected: {trial.wrong}."
    if exercise.is_value:  # its kind may be told, what it is may not
        told = f": {trial.wrong}" if "came out" in str(trial.wrong) else ""
        headline = f"That is not it yet{told}."
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
        lines.append(f"expected:  {show(trial.case.expected)}")
    if trial.printed:
        lines.append(f"printed:   {trial.printed}")
    return (*lines, f"why:       {trial.case.why}")


def _call(exercise: Exercise, one: Case) -> str:
    named = [
        f"{name}={show(value)}" for name, value in zip(exercise.parameters, one.args, strict=False)
    ]
    named += [f"{name}={show(value)}" for name, value in one.kwargs.items()]
    return f"{exercise.symbol}({', '.join(named)})"
