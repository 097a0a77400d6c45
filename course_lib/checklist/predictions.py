"""What a learner expected of a run, beside what came of it: kept, and compared in a sentence.

Pure but for `keep`; `course_lib.widgets.predict` asks. A prediction is no test: that it was made
before the run is what counts, and that nobody forgets it afterwards.
"""

import math

from course_lib.checklist import progress
from course_lib.checklist.quiz import Outcome, Verdict, read_number
from course_lib.show.svg import number

SECTION = "predictions"
NONE = "You predicted nothing"
NEAR = 0.25
"""How far off (as a share of what came) a number may be to be called near."""


def compare(answer: str | None, came: float | str, unit: str = "", near: float = NEAR) -> Verdict:
    """What was predicted beside what came: a number in `unit`, or one of the options.

    A blank is no mistake, and neither is a text that is no number: both are said in the reply.
    """
    told = f"“{came}”" if isinstance(came, str) else f"{number(came, 3)} {unit}".strip()
    if answer is None or not answer.strip():
        return Verdict(Outcome.BLANK, f"{NONE}; it came to {told}.")
    if isinstance(came, str):
        outcome = Outcome.RIGHT if answer == came else Outcome.WRONG
        as_said = "as it came" if answer == came else f"and it came to “{came}”"
        return Verdict(outcome, f"You predicted “{answer}”, {as_said}.")
    try:
        given = read_number(answer, unit)
    except ValueError as error:
        reply = f"Your prediction cannot be read: {error}. It came to {told}."
        return Verdict(Outcome.BLANK, reply)
    assert given is not None
    said = f"You predicted {number(given, 3)} {unit}".strip()
    if not math.isfinite(came):
        return Verdict(Outcome.WRONG, f"{said}; it came to {told}.")
    if abs(given - came) <= near * abs(came) + 1e-12:
        return Verdict(Outcome.RIGHT, f"{said}; it came to {told}: near.")
    return Verdict(Outcome.WRONG, f"{said}; it came to {told}: {_apart(given, came)}.")


def keep(name: str, prompt: str, answer: str, verdict: Verdict | None = None) -> str:
    """Put a prediction into the progress; the first one that was compared stays as it is.

    Returns a sentence where it could not be kept, "" where it was.
    """
    if progress.load().entry(SECTION, name).get("reply"):
        return ""
    outcome = verdict.outcome if verdict else "predicted"
    reply = verdict.reply if verdict and verdict.outcome is not Outcome.BLANK else ""
    return progress.record(name, outcome, SECTION, prompt=prompt, answer=answer, reply=reply)


def kept(name: str) -> str:
    """The prediction of that name that is kept, "" if there is none."""
    answer = progress.load().entry(SECTION, name).get("answer", "")
    return answer if isinstance(answer, str) else ""


def _apart(given: float, came: float) -> str:
    """How far a guess was off, in words: times as much where that can be said."""
    side = "too high" if given > came else "too low"
    if given * came <= 0:
        return side
    times = max(given / came, came / given)
    return f"{times:.1f} times {side}" if times >= 1.5 else side
