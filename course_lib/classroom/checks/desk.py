"""What a learner calls in a notebook: `check`, `hint` and `solution`."""

import html
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from course_lib.checklist import progress
from course_lib.classroom.checks.callers import LocalCaller
from course_lib.classroom.checks.catalogue import get
from course_lib.classroom.checks.exercise import Exercise, inputs
from course_lib.classroom.checks.judge import Outcome, Verdict, judge, time_up
from course_lib.classroom.checks.limits import Ended, TimeUp, can_copy, in_copy, last_resort

_GRACE = 20.0  # seconds beyond the limit for what is ours; then the copy, or the kernel, is ended

_TITLES = {
    Outcome.RIGHT: "Right",
    Outcome.NOT_ATTEMPTED: "Not attempted yet",
    Outcome.WRONG: "Not yet",
    Outcome.MISTAKE: "Not yet: a known mistake",
    Outcome.ERROR: "Your code stopped with an error",
}


class CheckFailed(AssertionError):
    """An answer that is not right (or not there); its text is the whole message of the check."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict

    def _render_traceback_(self) -> Sequence[str]:
        """IPython shows this instead of a traceback through the checker."""
        return [str(self)]


def check(name: str, answer: Any = ...) -> None:
    """Check your answer to the exercise `name`: pass the function itself, or the value.

    Shows how it did, keeps it in your progress, and raises `CheckFailed` unless it is right.
    Your objects are copied before they are used. Raises CourseError for an unknown name.
    """
    exercise = get(name)
    verdict = _usage(exercise, answer) or _judged(exercise, answer)
    known = {"mistake": verdict.headline} if verdict.outcome is Outcome.MISTAKE else {}
    notice = progress.record(name, str(verdict.outcome), **known)
    if notice:
        print(notice)
    _show(exercise, verdict)
    if verdict.outcome is not Outcome.RIGHT:
        raise CheckFailed(verdict)


def hint(name: str, number: int = 1) -> None:
    """Print hint 1, 2 or 3 of an exercise; each says more than the one before."""
    hints = get(name).hints
    if number not in range(1, len(hints) + 1):
        print(f"{name} has hints 1 to {len(hints)}.")
        return
    print(f"{name}, hint {number:.0f} of {len(hints)}: {hints[int(number) - 1]}")


def solution(name: str) -> None:
    """Print the solution of an exercise: one way to write it, not the only one."""
    from course_lib.classroom.checks.sources import solution_of  # needs jupytext, the rest does not

    print(solution_of(get(name)))


def _judged(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict, from a copy of this process where there can be one (see `limits`)."""
    call = LocalCaller(answer, seconds=exercise.seconds, tensors=exercise.tensors)
    limit = exercise.seconds + _GRACE
    if not can_copy():
        with last_resort(limit):
            return judge(exercise, call)
    inputs(exercise)  # drawn here, once for all checks in this kernel
    try:
        kept = in_copy(lambda: json.dumps(asdict(judge(exercise, call))), limit)
    except TimeUp:
        where = "your code: a loop inside a built-in function, such as sum() of something endless"
        return time_up(exercise, (where,))
    except Ended:
        headline = "It ended Python: a crash, no memory left, or a call such as os._exit()."
        return Verdict(exercise.name, Outcome.ERROR, headline)
    return Verdict.read(json.loads(kept))


def _usage(exercise: Exercise, answer: Any) -> Verdict | None:
    """A verdict where what was passed cannot be judged at all."""
    if exercise.is_value or callable(answer) or answer is None or answer is Ellipsis:
        return None
    call = f'check("{exercise.name}", {exercise.symbol})'
    headline = f"Pass the function itself and not what it gives: {call}."
    return Verdict(exercise.name, Outcome.ERROR, headline)


def _show(exercise: Exercise, verdict: Verdict) -> None:
    if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
        if verdict.outcome is Outcome.RIGHT:
            print(verdict.message)
        return
    from IPython.display import display

    from course_lib.show import theme

    title = f"{_TITLES[verdict.outcome]}: {exercise.name}"
    shown = verdict.details if verdict.outcome is Outcome.RIGHT else ()  # else with the error
    body = f"<p>{html.escape(verdict.headline)}</p>"
    body += "".join(f"<pre>{html.escape(line)}</pre>" for line in shown)
    text = "\n".join((f"{title}. {verdict.headline}", *shown))
    bundle = {"text/html": theme.card("exercise", title, body), "text/plain": text}
    display(bundle, raw=True)
