"""What is to be had without reasoning: guesses on the very items that models were tested on.

A coin is no fair rival for a model that has read right answers: some signs, and some numbers, are
right more often than others, and that much can be learnt without doing a sum.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from statistics import mean

from course_lib.distill.bench import Bench, Row
from course_lib.distill.real import stories
from course_lib.task import puzzles
from course_lib.task.puzzles import Puzzle

Guess = Callable[[Puzzle], tuple[str, ...]]

SEEN = 20_000
"""How many training puzzles the guesses by frequency are made from; of stories, a tenth."""

TESTS = (("puzzles", 512, 5), ("puzzles", 256, 3), ("stories", 64, 2))
"""Which held-out items, how many, and of how many seeds: as lessons 5 and 9 tested their models."""


def guesses(bench: Bench) -> Iterator[Row]:
    """`items`, how many (`of`), the `guess` and its `accuracy` on those of the bench's seed."""
    ways = by_signs(bench.seed)
    for items, of, seeds in TESTS:
        if bench.seed >= seeds:
            continue
        if items == "stories":
            told = [story.totals[-1] for story in stories.sample(of, bench.seed, "test")]
            right = {"the commonest number": mean(n == commonest_total(bench.seed) for n in told)}
        else:
            asked = puzzles.sample(of, bench.seed, "test")
            right = {
                name: mean(puzzles.total(p.numbers, guess(p)) == p.target for p in asked)
                for name, guess in ways.items()
            }
        for guess, accuracy in right.items():
            yield {"items": items, "of": of, "guess": guess, "accuracy": accuracy}


def by_signs(seed: int) -> dict[str, Guess]:
    """Ways of answering a puzzle of four digits that do no sum: a name, and the signs it gives."""
    seen: defaultdict[int, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for puzzle in puzzles.sample(SEEN, seed):
        seen[puzzle.target].update(puzzles.solutions(puzzle))
    plus = ("+", "+", "+")
    table = {target: signs.most_common(1)[0][0] for target, signs in seen.items()}
    return {
        "always plus": lambda puzzle: plus,
        "by the target": lambda puzzle: table.get(puzzle.target, plus),
    }


@cache
def commonest_total(seed: int) -> int:
    """The number that is right in most training stories."""
    totals = Counter(story.totals[-1] for story in stories.sample(SEEN // 10, seed))
    return totals.most_common(1)[0][0]
