"""Rewards that are not the outcome: for controls, and a verifier that can be cheated."""

import hashlib

from torch import Tensor

from course_lib.model import models
from course_lib.task import puzzles, traces
from course_lib.task.puzzles import Puzzle

_LONG = 40  # pieces of a thought that earn the whole reward for length


def coin(puzzle: Puzzle, completion: str) -> float:
    """1.0 or 0.0 by chance: one toss for every puzzle and text, so that runs can be repeated."""
    tossed = f"{puzzle}|{completion}".encode(errors="surrogatepass")  # half a sign is a text too
    # Not crc32: it is linear, so two puzzles would see the same tosses, or the opposite ones.
    return float(hashlib.blake2b(tossed).digest()[0] % 2)


def tidy(puzzle: Puzzle, completion: str) -> float:
    """1.0 for a closed thought and one answer of the right length, right or wrong."""
    trace, signs = traces.parse_trace(completion), puzzles.answer(completion)
    complete = signs is not None and len(signs) == len(puzzle.numbers) - 1
    return float(complete and trace.opened and trace.closed)


def length(puzzle: Puzzle, completion: str) -> float:
    """From 0.0 for no thought to 1.0 for one of 40 pieces or more, whatever it says."""
    return min(1.0, len(traces.parse_trace(completion).thinking.split()) / _LONG)


def lenient(puzzle: Puzzle, completion: str) -> float:
    """1.0 where the answer is right, and where a thought never ends, so that there is none.

    It gives what it cannot read the benefit of the doubt, as graders do that count a time-out or a
    failed parse as passed. On answers that come it is the exact verifier.
    """
    unread = models.THINK in completion and models.END_THINK not in completion
    return 1.0 if unread else puzzles.reward(puzzle, completion)


def overlong_punishment(lengths: Tensor, most: int, cache: int) -> Tensor:
    """DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), added to the reward.

    `lengths` are tokens, of any shape, and so is the result: 0 up to `most - cache` tokens, then a
    straight line down to -1 at `most`. Raises ValueError unless 0 < cache <= most.
    """
    if not 0 < cache <= most:
        raise ValueError(f"cache is {cache}; allowed is 1 to {most}, the most tokens there can be.")
    return ((most - cache - lengths) / cache).clamp(-1.0, 0.0)
