"""The puzzle: put `+` or `-` between digits so that the sum is the target, and its verifier.

`7 ? 3 ? 5 ? 2 = 11` has the solution `- + +`, because 7 - 3 + 5 + 2 = 11. Every puzzle drawn here
has exactly one solution among `2 ** (size - 1)` choices, so with four digits a bare guess is right
one time in eight. The verifier is exact and needs no model: the reward is *verifiable*.
"""

import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SIZE = 4
SPLITS = ("train", "test")
_TEST_SHARE = 10  # one set of digits in ten is held out
_MAX_CHARACTERS = 20_000  # of an answer; a thought may be as long as it likes

_PUZZLE = re.compile(r"\s*([1-9](?:\s*\?\s*[1-9]){1,7})\s*=\s*(\d{1,2})\s*", re.ASCII)
_ANSWER = re.compile(r"[ \t\r\n]*([+-](?:[ \n]*[+-])*)[ \t\r\n]*")
_WIDE = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | dict.fromkeys(
    (0xA0, *range(0x2000, 0x200C), 0x202F, 0x205F, 0x3000, 0xFEFF), " "
)
_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Puzzle:
    """Digits 1-9 and the target that their signed sum must reach (the first digit is positive)."""

    numbers: tuple[int, ...]
    target: int

    def __str__(self) -> str:
        return f"{' ? '.join(map(str, self.numbers))} = {self.target}"


def total(numbers: Sequence[int], signs: Sequence[str]) -> int:
    """The sum of `numbers` with `signs` between them; `len(signs) == len(numbers) - 1`."""
    pairs = zip(signs, numbers[1:], strict=True)
    return numbers[0] + sum(n if sign == "+" else -n for sign, n in pairs)


def solutions(puzzle: Puzzle) -> list[tuple[str, ...]]:
    """Every choice of signs that reaches the target."""
    choices = itertools.product("+-", repeat=len(puzzle.numbers) - 1)
    return [signs for signs in choices if total(puzzle.numbers, signs) == puzzle.target]


def is_test(numbers: Sequence[int]) -> bool:
    """Whether puzzles with these digits belong to the held-out split, whatever their target."""
    return zlib.crc32(bytes(numbers)) % _TEST_SHARE == 0


@lru_cache
def _pool(size: int, split: str) -> np.ndarray:
    """All puzzles of a split, one a row: the digits, then the target."""
    digits = np.array(list(itertools.product(range(1, 10), repeat=size)))
    signs = np.array(list(itertools.product((1, -1), repeat=size - 1)))
    totals = digits[:, :1] + digits[:, 1:] @ signs.T
    unique = (totals[:, :, None] == totals[:, None, :]).sum(-1) == 1
    held_out = np.fromiter((is_test(row.tolist()) for row in digits), bool, len(digits))
    wanted = held_out if split == "test" else ~held_out
    rows, columns = np.nonzero(unique & (totals >= 0) & wanted[:, None])
    return np.column_stack([digits[rows], totals[rows, columns]])


def sample(n: int, seed: int, split: str = "train", *, size: int = SIZE) -> list[Puzzle]:
    """Draw `n` puzzles of `size` digits; the same arguments give the same puzzles.

    No set of digits is in both splits. Puzzles differ from each other as long as the split has
    enough of them. Raises ValueError for an unknown split, n < 0 or a size outside 2 to 5.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed are {' and '.join(map(repr, SPLITS))}.")
    if n < 0:
        raise ValueError(f"n is {n}; ask for 0 puzzles or more.")
    if not 2 <= size <= 5:
        raise ValueError(f"size is {size}; puzzles are drawn with 2 to 5 digits.")
    pool = _pool(size, split)
    rng = np.random.default_rng(seed)
    rows = pool[rng.choice(len(pool), n, replace=n > len(pool))].tolist()
    return [Puzzle(tuple(row[:-1]), row[-1]) for row in rows]


def plain(text: str) -> str:
    """`text` with the wide signs of an Asian keyboard, and a web page's blanks, in ASCII."""
    return text.translate(_WIDE)


def parse(text: str) -> Puzzle:
    """Read a puzzle written like `7 ? 3 ? 5 ? 2 = 11`; spaces and wide characters do not matter.

    It need not have a solution (`solutions` tells). Raises ValueError for anything else.
    """
    match = _PUZZLE.fullmatch(plain(text)) if len(text) < 200 else None
    if match is None:
        shown = text if len(text) < 60 else text[:57] + "..."
        raise ValueError(
            f"{shown!r} is not a puzzle; write digits 1 to 9 with ? between them and a target "
            "from 0 to 99, like '7 ? 3 ? 5 ? 2 = 11'."
        )
    return Puzzle(tuple(map(int, re.findall(r"[1-9]", match[1]))), int(match[2]))


def prompt(puzzle: Puzzle) -> str:
    """What the user says to the model; the chat template adds the rest."""
    return str(puzzle)


def format_answer(signs: Sequence[str]) -> str:
    """The answer as the models write it: ` + - +`."""
    return "".join(f" {sign}" for sign in signs)


def written(puzzle: Puzzle, signs: Sequence[str]) -> str:
    """The sum that an answer makes of a puzzle's numbers: `7 + 3 - 5`."""
    rest = zip(signs, puzzle.numbers[1:], strict=True)
    return f"{puzzle.numbers[0]}{''.join(f' {sign} {number}' for sign, number in rest)}"


def answer(completion: str) -> tuple[str, ...] | None:
    """The signs a completion answers with, or None where it is not exactly one answer.

    A completion is an answer alone, or one closed thought and then the answer. The opening tag may
    be missing, because chat templates often put it into the prompt. Spaces, tabs and line ends may
    stand around the answer, and spaces and line feeds between its signs.
    """
    if completion.count(_CLOSE) > 1:
        return None
    thought, _, rest = completion.rpartition(_CLOSE)
    if len(rest) > _MAX_CHARACTERS or _OPEN in rest:
        return None
    if thought.count(_OPEN) > thought.lstrip().startswith(_OPEN):
        return None
    match = _ANSWER.fullmatch(rest)
    return tuple(re.findall(r"[+-]", match[1])) if match else None


def reward(puzzle: Puzzle, completion: str) -> float:
    """1.0 if the completion's answer reaches the target, else 0.0; its thinking is not judged."""
    signs = answer(completion)
    if signs is None or len(signs) != len(puzzle.numbers) - 1:
        return 0.0
    return float(total(puzzle.numbers, signs) == puzzle.target)
