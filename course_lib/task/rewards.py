"""The rule rewards of R1's pipeline: accuracy, format, language consistency, and readability.

R1-Zero adds a format reward to accuracy; R1's first RL stage adds the share of the thought that is
in the target language (DeepSeek-R1, section 2.3.2: "words in the target language over all words").
Here a language is a notation: `+3=10` is in digits, `+three=ten` in words, and a puzzle that is put
in digits is to be worked out in digits. Every rule is a pure function of a puzzle and a text: no
model judges, and nothing raises for what a model wrote.
"""

import re
from dataclasses import dataclass

from course_lib.errors import real_number
from course_lib.task import puzzles, traces
from course_lib.task.puzzles import Puzzle

NOTATIONS = ("digits", "words")

accuracy = puzzles.reward
"""1.0 where the answer reaches the target; the thought is not judged."""

# Each step can be read in one way only: with two, a thought of n steps would take 2 ** n tries.
_WORK = re.compile(r"(?: [+-][a-z0-9]+=[a-z0-9-]+)+ (?:yes|no)")


def format_reward(puzzle: Puzzle, completion: str) -> float:
    """1.0 for one opened and closed thought whose last verdict is `yes`, and then the answer.

    The answer must have a sign for every gap; whether it is right is the accuracy reward's matter,
    and whether the working is right is nobody's: R1's format reward looks at tags only.
    """
    trace = traces.parse_trace(completion)
    signs = puzzles.answer(completion)
    whole = trace.opened and trace.closed and trace.thinking.endswith(" yes")
    return float(whole and signs is not None and len(signs) == len(puzzle.numbers) - 1)


def language_consistency(puzzle: Puzzle, completion: str, notation: str = "digits") -> float:
    """The share of the thought's steps that are wholly in `notation`, from 0.0 to 1.0.

    A step that mixes (`+3=ten`) is not in it; verdicts and the answer are in every notation. A
    thought without steps scores 1.0, since nothing in it is out of place: it is the format reward
    that asks for a thought. Raises ValueError for another notation.
    """
    require_notation(notation)
    counts = traces.count(completion, puzzle)
    wanted = counts.digit_steps if notation == "digits" else counts.word_steps
    return wanted / counts.steps if counts.steps else 1.0


def require_notation(notation: str) -> None:
    """Raises ValueError for what is none."""
    if notation not in NOTATIONS:
        raise ValueError(f"notation is {notation!r}; allowed are {' and '.join(NOTATIONS)}.")


def is_tidy(puzzle: Puzzle, completion: str) -> bool:
    """Whether the thought is whole attempts and nothing else, each with one verdict.

    All verdicts but the last are `no`: a thought that goes on after a `yes`, breaks an attempt off,
    or has any other text in it is untidy.
    """
    trace = traces.parse_trace(completion)
    runs = traces.read_attempts(completion, puzzle)
    return (
        trace.closed
        and _whole_attempts(trace.thinking) == len(runs) > 0
        and all(run.finished and run.verdict for run in runs)
        and all(run.verdict == "no" for run in runs[:-1])
    )


def _whole_attempts(thinking: str) -> int:
    """How many attempts a thought is made of; 0 where anything else stands in it."""
    at = number = 0
    while found := _WORK.match(thinking, at):  # one after another: linear, as a search is not
        at, number = found.end(), number + 1
    return number if at == len(thinking) else 0


def readability(puzzle: Puzzle, completion: str) -> float:
    """1.0 for a thought that reads easily: tidy, no attempt made twice, no step in two notations.

    Which notation does not matter, nor whether the working is right. An answer without a thought
    scores 0.0: there is nothing to read.
    """
    counts = traces.count(completion, puzzle)
    easy = is_tidy(puzzle, completion) and not counts.repeats and not counts.mixed_steps
    return float(easy)


@dataclass(frozen=True)
class RuleReward:
    """A weighted sum of the rule rewards; `reward(puzzle, completion)` is its value.

    Weights are 1 as in the paper, which adds its rewards up; 0 leaves one out.
    """

    accuracy: float = 1.0
    format: float = 1.0
    language: float = 1.0
    notation: str = "digits"

    def __post_init__(self) -> None:
        for name in ("accuracy", "format", "language"):
            real_number(name, getattr(self, name))

    def __call__(self, puzzle: Puzzle, completion: str) -> float:
        total = self.accuracy * accuracy(puzzle, completion)
        total += self.format * format_reward(puzzle, completion)
        if self.language:
            total += self.language * language_consistency(puzzle, completion, self.notation)
        return total


def habits(puzzle: Puzzle, completion: str) -> dict[str, float]:
    """Every rule's value for one completion, by name, and what the exact reader counts.

    `consistency` is missing where there is no step, so that a mean over completions is one over
    those that worked something out.
    """
    counts = traces.count(completion, puzzle)
    found = {
        "accuracy": accuracy(puzzle, completion),
        "format": format_reward(puzzle, completion),
        "readability": readability(puzzle, completion),
        "attempts": float(counts.attempts),
        "repeats": float(counts.repeats),
        "mixed_thoughts": float(counts.mixing),
    }
    if counts.steps:
        found["consistency"] = language_consistency(puzzle, completion)
        found["wrong_steps"] = counts.wrong_steps / counts.steps
    return found
