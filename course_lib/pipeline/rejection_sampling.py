"""Choosing and rewriting traces: the data of the cold start and of rejection sampling.

DeepSeek kept R1-Zero's right and readable answers, had them rewritten by people and models, and
later sampled many answers of the better model and kept the right ones that read well. Here all of
it is rules, so that it can be counted: who is thrown away, and for which first reason.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from course_lib.errors import CourseError
from course_lib.task import numerals, puzzles, rewards, traces
from course_lib.task.puzzles import Puzzle

COLD_START = ("wrong answer", "format", "untidy", "wrong working")
REJECTION = (*COLD_START, "mixed notation", "repeats", "duplicate")
"""Reasons to throw a trace away, in the order in which they are looked for."""


@dataclass(frozen=True)
class Sample:
    """A puzzle and what a model said to it."""

    puzzle: Puzzle
    completion: str


@dataclass(frozen=True)
class Sifted:
    """What was kept, and how many were thrown away for each first reason."""

    kept: list[Sample]
    rejected: dict[str, int]

    @property
    def total(self) -> int:
        return len(self.kept) + sum(self.rejected.values())

    def words(self) -> str:
        """The counts in a sentence."""
        reasons = ", ".join(f"{name} {n}" for name, n in self.rejected.items())
        return f"{len(self.kept)} of {self.total} kept; thrown away: {reasons or 'none'}."


def faults(sample: Sample) -> list[str]:
    """Every reason of `REJECTION` but `duplicate` that holds for one sample, in order."""
    puzzle, text = sample.puzzle, sample.completion
    counts = traces.count(text, puzzle)
    found = {
        "wrong answer": rewards.accuracy(puzzle, text) < 1,
        "format": rewards.format_reward(puzzle, text) < 1,
        "untidy": not rewards.is_tidy(puzzle, text),
        "wrong working": counts.wrong_steps > 0 or counts.wrong_verdicts > 0,
        "mixed notation": rewards.language_consistency(puzzle, text) < 1,
        "repeats": counts.repeats > 0,
    }
    return [name for name, holds in found.items() if holds]


def sift(samples: Sequence[Sample], reasons: Sequence[str] = REJECTION) -> Sifted:
    """Throw away every sample that one of `reasons` holds for; its first reason is counted.

    `duplicate` is a completion that was kept before for the same puzzle. Raises CourseError where
    nothing is kept (of something), with the counts, and ValueError for a reason that is none.
    """
    if not set(reasons) <= set(REJECTION):
        raise ValueError(f"reasons is {reasons!r}; allowed are some of {', '.join(REJECTION)}.")
    kept: dict[Sample, None] = {}
    counts: Counter[str] = Counter()
    for sample in samples:
        held = set(faults(sample)) | ({"duplicate"} if sample in kept else set())
        first = next((reason for reason in reasons if reason in held), None)
        if first is None:
            kept[sample] = None
        else:
            counts[first] += 1
    found = Sifted(list(kept), {name: counts[name] for name in reasons})
    if samples and not kept:
        raise CourseError(
            f"The filter kept nothing. {found.words()} Train the model before this stage longer, "
            "or sample more puzzles."
        )
    return found


def rewrite(sample: Sample, notation: str = "digits") -> Sample:
    """The same thought in one notation, without the attempts that had been made before.

    This stands in for DeepSeek's rewriting by people and models. The sample should be free of the
    faults of `COLD_START`; the answer is left as it is. Raises ValueError for another notation.
    """
    rewards.require_notation(notation)
    write = numerals.word if notation == "words" else str
    thought = ""
    for run in traces.read_attempts(sample.completion, sample.puzzle):
        if not run.repeated:
            thought += "".join(f" {s.sign}{write(s.digit)}={write(s.total)}" for s in run.steps)
            thought += f" {run.verdict}" if run.verdict else ""
    answer = puzzles.answer(sample.completion) or ()
    text = f"{traces.OPEN}{thought}{traces.CLOSE}{puzzles.format_answer(answer)}"
    return Sample(sample.puzzle, text)


def to_line(sample: Sample) -> dict[str, str]:
    """A sample as an object for a JSON-lines file."""
    return {"prompt": puzzles.prompt(sample.puzzle), "completion": sample.completion}


def from_line(line: Mapping[str, str]) -> Sample:
    """The inverse of `to_line`. Raises ValueError for a line that is not one."""
    try:
        return Sample(puzzles.parse(line["prompt"]), line["completion"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{line!r:.80} is not a sample; it needs a prompt and a completion, both text."
        ) from error
