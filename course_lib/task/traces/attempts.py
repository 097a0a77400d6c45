"""The course's working (` +3=10 -5=5 +2=7 no`), read exactly.

Of every step and every verdict it is known whether it is right.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.task import numerals, puzzles
from course_lib.task.puzzles import Puzzle
from course_lib.task.traces.reader import CLOSE

_WORDS = "|".join(sorted((w.lstrip("-") for w in numerals.NUMBERS), key=len, reverse=True))
_WORKING = re.compile(
    rf"([+-])([1-9]|{_WORDS})=(-?(?:[0-9]{{1,3}}|{_WORDS}))(?![\w=])"  # a step
    r"|\b(yes|no)\b"  # a verdict
    r"|[^\s]+"  # anything else ends an attempt
)


@dataclass(frozen=True, slots=True)
class WorkStep:
    """One step of the working: `text[start:end]` says that `sign` `digit` makes `total`."""

    sign: str
    digit: int
    total: int
    notation: str  # "digits", "words", or "mixed" within the step
    right: bool  # the puzzle's next digit, and a total that follows from the one before
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run of steps and its verdict; `finished` if it has a step for every sign of the puzzle."""

    steps: tuple[WorkStep, ...]
    finished: bool
    verdict: str  # "yes", "no" or ""
    verdict_right: bool  # the verdict agrees with the total as written; True without a verdict
    repeated: bool  # the same signs were tried before
    start: int
    end: int  # of the steps
    verdict_end: int

    @property
    def signs(self) -> tuple[str, ...]:
        return tuple(step.sign for step in self.steps)


def read_attempts(completion: str, puzzle: Puzzle) -> list[Attempt]:
    """Every run of steps in the thought of `completion`, in order, finished or not.

    A run ends with a verdict, with as many steps as the puzzle has signs, or where something else
    stands. A step is judged against the total written before it, so that one slip counts once.
    """
    thought = completion.partition(CLOSE)[0]
    size = len(puzzle.numbers) - 1
    attempts: list[Attempt] = []
    tried: set[tuple[str, ...]] = set()
    steps: list[WorkStep] = []
    for match in _WORKING.finditer(thought):
        if match[1] and len(steps) < size:
            steps.append(_read_step(match, puzzle, steps))
            continue
        if steps:
            attempts.append(_close_attempt(steps, match, puzzle, tried))
            steps = []
        if match[1]:
            steps = [_read_step(match, puzzle, [])]
    if steps:
        attempts.append(_close_attempt(steps, None, puzzle, tried))
    return attempts


def _read_number(text: str) -> int:
    known = numerals.NUMBERS.get(text)
    if known is not None:
        return known
    return int(text) if text[-1].isdigit() else -numerals.NUMBERS[text[1:]]


def _read_step(match: re.Match[str], puzzle: Puzzle, before: Sequence[WorkStep]) -> WorkStep:
    sign, digit, total = match[1], _read_number(match[2]), _read_number(match[3])
    base = before[-1].total if before else puzzle.numbers[0]
    follows = total == (base + digit if sign == "+" else base - digit)
    right = follows and digit == puzzle.numbers[len(before) + 1]
    kinds = {match[2][-1].isdigit(), match[3][-1].isdigit()}
    notation = "mixed" if len(kinds) == 2 else ("digits" if True in kinds else "words")
    return WorkStep(sign, digit, total, notation, right, match.start(), match.end())


def _close_attempt(
    steps: list[WorkStep], after: re.Match[str] | None, puzzle: Puzzle, tried: set[tuple[str, ...]]
) -> Attempt:
    finished = len(steps) == len(puzzle.numbers) - 1
    verdict = (after[4] or "") if after else ""
    reached = finished and steps[-1].total == puzzle.target
    signs = tuple(step.sign for step in steps)
    repeated = finished and signs in tried
    if finished:
        tried.add(signs)
    end = steps[-1].end
    return Attempt(
        steps=tuple(steps),
        finished=finished,
        verdict=verdict,
        verdict_right=not verdict or (verdict == "yes") == reached,
        repeated=repeated,
        start=steps[0].start,
        end=end,
        verdict_end=after.end() if verdict and after else end,
    )


@dataclass(frozen=True, slots=True)
class TraceCounts:
    """What a trace of the course does, counted.

    `attempts` are runs of steps that are finished or have a verdict; `rejections` end in `no`;
    `repeats` try signs that were tried before. Steps and verdicts are right or wrong as in
    `WorkStep` and `Attempt`. `copied` says whether the answer has the signs of the first attempt
    found right (`yes`); it is None where there is no such attempt or no answer.
    """

    attempts: int
    rejections: int
    repeats: int
    steps: int
    wrong_steps: int
    wrong_verdicts: int
    digit_steps: int
    word_steps: int
    mixed_steps: int
    copied: bool | None

    @property
    def mixing(self) -> bool:
        """Whether the thought mixes the notations, in one step or from step to step."""
        return self.mixed_steps > 0 or (self.digit_steps > 0 and self.word_steps > 0)


def count(completion: str, puzzle: Puzzle) -> TraceCounts:
    """Count what the thought of `completion` does; the answer is only compared with it."""
    runs = read_attempts(completion, puzzle)
    steps = [step for run in runs for step in run.steps]
    notations = Counter(step.notation for step in steps)
    return TraceCounts(
        attempts=sum(1 for run in runs if run.finished or run.verdict),
        rejections=sum(1 for run in runs if run.verdict == "no"),
        repeats=sum(1 for run in runs if run.repeated),
        steps=len(steps),
        wrong_steps=sum(1 for step in steps if not step.right),
        wrong_verdicts=sum(1 for run in runs if not run.verdict_right),
        digit_steps=notations["digits"],
        word_steps=notations["words"],
        mixed_steps=notations["mixed"],
        copied=_copied(runs, puzzles.answer(completion)),
    )


def _copied(runs: Sequence[Attempt], answer: tuple[str, ...] | None) -> bool | None:
    found = next((run.signs for run in runs if run.verdict == "yes"), None)
    return None if found is None or answer is None else found == answer
