"""Word problems with a whole number for an answer, and their verifier: the task in words.

"Mia has 7 stamps. Mia finds 6 more. Then Mia gives 2 to Tom. How many stamps does Mia have now?"
has the answer 11, in two steps. `stories.toml` holds the names, the things and the stories; those
of the held-out split are others. The verifier is exact and strict: a completion must end with
`Answer: 11`.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.task.puzzles import SPLITS

HIGHEST = 10  # no number and no total on the way is above: what a model of this size can add

_EXAMPLES = 2  # the seed of the worked examples
_FILE = Path(__file__).with_suffix(".toml")
_MARK = "Answer:"
_ANSWER = re.compile(r" ?(0|[1-9][0-9]{0,5})\.?\s*")
_STEP = re.compile(r"(?<![\d.])(\d{1,6}) ?([+-]) ?(\d{1,6}) ?= ?(-?\d{1,6})(?!\.?\d)", re.ASCII)
_MAX_CHARACTERS = 20_000


@dataclass(frozen=True)
class Story:
    """A word problem: its words, the numbers in the order told, and the signs between them."""

    text: str
    numbers: tuple[int, ...]
    signs: str

    @property
    def totals(self) -> list[int]:
        """The first number, and the total after each step; the last one is the answer."""
        found = [self.numbers[0]]
        for sign, number in zip(self.signs, self.numbers[1:], strict=True):
            found.append(found[-1] + number if sign == "+" else found[-1] - number)
        return found

    def __str__(self) -> str:
        return self.text


@cache
def _told(split: str) -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))[split]


def sample(n: int, seed: int, split: str = "train", highest: int = HIGHEST) -> list[Story]:
    """Draw `n` stories; the same arguments give the same ones. Totals go from 1 to `highest`.

    No name, no thing and no story is in both splits. Raises ValueError for an unknown split, n < 0
    or a `highest` that is not from 4 to 1000.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed are {' and '.join(map(repr, SPLITS))}.")
    if n < 0:
        raise ValueError(f"n is {n}; ask for 0 stories or more.")
    if not 4 <= highest <= 1000:
        raise ValueError(f"highest is {highest}; allowed is 4 to 1000.")
    rng = np.random.default_rng((seed, SPLITS.index(split)))
    return [_draw(rng, _told(split), highest) for _ in range(n)]


def _draw(rng: np.random.Generator, told: dict[str, Any], highest: int) -> Story:
    words, signs = told["stories"][rng.integers(len(told["stories"]))]
    one, other = rng.choice(told["names"], 2, replace=False)
    things = rng.choice(told["things"])
    while True:
        numbers = tuple(map(int, rng.integers(2, highest, len(signs) + 1)))
        values = dict(zip("abcd", numbers, strict=False))
        story = Story(words.format(A=one, B=other, things=things, **values), numbers, signs)
        if min(story.totals) > 0 and max(story.totals) <= highest:
            return story


def worked(story: Story) -> str:
    """A story's working as the examples have it: `7 + 6 = 13. 13 - 2 = 11. Answer: 11`."""
    steps = zip(pairwise(story.totals), story.signs, story.numbers[1:], strict=True)
    lines = [f"{before} {sign} {number} = {after}." for (before, after), sign, number in steps]
    return " ".join([*lines, f"{_MARK} {story.totals[-1]}"])


def turns(story: Story, shots: int = 0) -> list[dict[str, str]]:
    """The story as a user's turn, after `shots` worked examples of the training split as turns."""
    said = []
    for one in sample(shots, seed=_EXAMPLES):
        said += [_turn("user", str(one)), _turn("assistant", worked(one))]
    return [*said, _turn("user", str(story))]


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def answer(completion: str) -> int | None:
    """The number that a completion answers with, or None where it is not exactly one answer.

    It ends with `Answer:` and a whole number of at most six digits, with or without a full stop,
    and says `Answer:` nowhere else.
    """
    behind = completion.partition(_MARK)[2]
    if completion.count(_MARK) != 1 or len(behind) > _MAX_CHARACTERS:
        return None
    match = _ANSWER.fullmatch(behind)
    return int(match[1]) if match else None


def reward(story: Story, completion: str) -> float:
    """1.0 if the completion answers with the story's number, else 0.0, whatever its working."""
    return float(answer(completion) == story.totals[-1])


def steps(completion: str) -> tuple[int, int]:
    """How many steps like `7 + 6 = 13` a completion writes, and how many of them are wrong."""
    found = _STEP.findall(completion[:_MAX_CHARACTERS])
    wrong = sum(int(a) + int(b) * (1 if sign == "+" else -1) != int(c) for a, sign, b, c in found)
    return len(found), wrong


def describe(story: Story, completion: str) -> dict[str, float]:
    """What a completion does besides being right: answers, steps, wrong steps, and soundness.

    `sound` is 1 for a right answer whose steps are all right and as many as the story has.
    """
    written, wrong = steps(completion)
    sound = reward(story, completion) == 1 and written >= len(story.signs) and not wrong
    return {
        "answers": float(answer(completion) is not None),
        "steps": written,
        "wrong_steps": wrong,
        "sound": float(sound),
    }
