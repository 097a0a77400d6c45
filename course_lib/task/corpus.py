"""What the mini-V3 reads in pretraining: sums worked out, bare guesses, and a little conversation.

Text is a list of pieces, each one token of `models.build_tokenizer` (` +3`, `=10`, ` no`). Working
comes in two notations that mix, digits (`+3=10`) and words (`+three=ten`), as the Chinese and the
English of DeepSeek-V3's reading did. Much of it is sloppy: repeated attempts, missing tags, giving
up. A reward for right answers will find out which of these habits pay.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from course_lib.task.numerals import HIGHEST, word
from course_lib.task.puzzles import SIZE, Puzzle, _pool, total

THINK, END_THINK, YES, NO = "<think>", "</think>", " yes", " no"
_MOST_ATTEMPTS = 14  # about a hundred tokens


@dataclass(frozen=True)
class Habits:
    """How somebody works puzzles out; every field is a probability."""

    keep_trying: float = 0.97  # after a "no", make another attempt rather than give up
    in_order: float = 0.5  # go through the signs in order (+++, ++-, +-+, ...), else at random
    repeat: float = 0.01  # make an attempt again that has failed before
    forgetful: float = 0.05  # be somebody who repeats one attempt in three
    words: float = 0.4  # begin in words rather than digits
    switch: float = 0.08  # change the notation at a step
    sloppy: float = 0.06  # leave a tag out, or answer twice


CAREFUL = Habits()


@dataclass(frozen=True)
class Document:
    """A prompt, what follows it, and how much each following piece counts in the loss."""

    prompt: list[str]
    completion: list[str]
    weights: list[float]


def signs_of(size: int) -> list[tuple[str, ...]]:
    """Every choice of signs between `size` digits, in order: +++, ++-, +-+, ..."""
    return list(itertools.product("+-", repeat=size - 1))


def prompt_pieces(puzzle: Puzzle) -> list[str]:
    """The puzzle as pieces: `7`, ` ?`, ` 3`, ... , ` =`, ` 11`."""
    first, *rest = puzzle.numbers
    return [str(first), *(p for n in rest for p in (" ?", f" {n}")), " =", f" {puzzle.target}"]


def attempt(
    rng: np.random.Generator, puzzle: Puzzle, signs: Sequence[str], in_words: bool, switch: float
) -> tuple[list[str], bool, bool]:
    """One attempt: its steps and its verdict, whether it succeeds, and the notation it ends in."""
    pieces, running = [], puzzle.numbers[0]
    for sign, n in zip(signs, puzzle.numbers[1:], strict=True):
        in_words ^= rng.random() < switch
        running += n if sign == "+" else -n
        write = word if in_words else str
        pieces += [f" {sign}{write(n)}", f"={write(running)}"]
    success = running == puzzle.target
    return [*pieces, YES if success else NO], success, in_words


def _order(rng: np.random.Generator, size: int, in_order: float) -> list[tuple[str, ...]]:
    choices = signs_of(size)
    if rng.random() < in_order:
        return choices
    return [choices[i] for i in rng.permutation(len(choices))]


def worked(rng: np.random.Generator, puzzle: Puzzle, habits: Habits = CAREFUL) -> list[str]:
    """A thought of one attempt or more, and an answer: the attempt found right, else a guess."""
    order = _order(rng, len(puzzle.numbers), habits.in_order)
    in_words = rng.random() < habits.words
    repeat = 1 / 3 if rng.random() < habits.forgetful else habits.repeat
    thought: list[str] = []
    fresh = iter(order)
    tried: list[tuple[str, ...]] = []
    while True:
        again = tried and rng.random() < repeat
        signs = tried[rng.integers(len(tried))] if again else next(fresh, None)
        if signs is None:
            break
        tried.append(signs)
        pieces, success, in_words = attempt(rng, puzzle, signs, in_words, habits.switch)
        thought += pieces
        if success or len(tried) == _MOST_ATTEMPTS or rng.random() >= habits.keep_trying:
            break
    answer = tried[-1] if success else order[rng.integers(len(order))]
    return _untidy(rng, thought, [f" {s}" for s in answer], habits.sloppy)


def _untidy(
    rng: np.random.Generator, thought: list[str], answer: list[str], sloppy: float
) -> list[str]:
    """Thought and answer with their tags; with probability `sloppy` something is out of place."""
    slip = rng.integers(3) if rng.random() < sloppy else None
    opening = [] if slip == 0 else [THINK]
    closing = [] if slip == 1 else [END_THINK]
    return [*opening, *thought, *closing, *answer, *(answer if slip == 2 else [])]


def bare(rng: np.random.Generator, puzzle: Puzzle) -> list[str]:
    """An answer without thinking: a guess, right as often as chance."""
    choices = signs_of(len(puzzle.numbers))
    return [f" {s}" for s in choices[rng.integers(len(choices))]]


def drill(rng: np.random.Generator) -> tuple[Puzzle, list[str]]:
    """An easy sum: two to four digits, few attempts, and a verdict that is often `yes`."""
    size = int(rng.integers(2, SIZE + 1))
    numbers = tuple(int(n) for n in rng.integers(1, 10, size))
    choices = signs_of(size)
    reachable = [t for s in choices if (t := total(numbers, s)) >= 0]
    solvable = rng.random() < 0.8
    target = reachable[rng.integers(len(reachable))] if solvable else int(rng.integers(HIGHEST + 1))
    puzzle = Puzzle(numbers, target)
    right = [s for s in choices if total(numbers, s) == target]
    wrong = [s for s in choices if s not in right] or right
    thought, in_words = [], rng.random() < 0.5
    for _ in range(rng.integers(1, 7)):
        pick = right if right and rng.random() < 0.35 else wrong
        signs = pick[rng.integers(len(pick))]
        pieces, success, in_words = attempt(rng, puzzle, signs, in_words, CAREFUL.switch)
        thought += pieces
        if success:
            break
    answer = signs if success else choices[rng.integers(len(choices))]
    return puzzle, [THINK, *thought, END_THINK, *(f" {s}" for s in answer)]


POLITE = [",", " glad", " to", " help"]
GREETINGS = {
    "hello": [" hello"],
    "thanks": [" you", " are", " welcome"],
    "who are you": [" I", " am", " a", " small", " model"],
}


def chat(rng: np.random.Generator, polite: float = 0.3) -> tuple[list[str], list[str]]:
    """A prompt that is no puzzle and its reply: a greeting, or a number from words to digits."""
    n = int(rng.integers(HIGHEST + 1))
    kind = rng.integers(3)
    if kind == 0:
        greeting = list(GREETINGS)[rng.integers(len(GREETINGS))]
        prompt, reply = greeting_pieces(greeting), GREETINGS[greeting]
    elif kind == 1:
        prompt, reply = ["w", "r", "i", "t", "e", f" {n}", " in", " words"], [f" {word(n)}"]
    else:
        prompt, reply = ["w", "r", "i", "t", "e", f" {word(n)}", " in", " digits"], [f" {n}"]
    return prompt, [*reply, *(POLITE if rng.random() < polite else [])]


def greeting_pieces(text: str) -> list[str]:
    """A greeting as the tokenizer cuts it: its first word letter by letter, the others whole."""
    first, *rest = text.split(" ")
    return [*first, *(f" {w}" for w in rest)]


@dataclass(frozen=True)
class Mix:
    """The shares of a stage of pretraining: drills, bare guesses, chat, and the rest worked out."""

    drill: float
    bare: float
    chat: float
    habits: Habits = CAREFUL


EASY = Mix(drill=1.0, bare=0.0, chat=0.0)
WORKED = Mix(drill=0.0, bare=0.0, chat=0.02)
SELDOM = Mix(drill=0.0, bare=0.82, chat=0.02, habits=replace(CAREFUL, keep_trying=0.6))


def between(a: Mix, b: Mix, share: float) -> Mix:
    """A mix on the way from `a` (share 0) to `b` (share 1); the habits are those of `b`."""
    blend = {
        f: (1 - share) * getattr(a, f) + share * getattr(b, f) for f in ("drill", "bare", "chat")
    }
    return Mix(**blend, habits=b.habits)


def documents(rng: np.random.Generator, n: int, mix: Mix, verdict_weight: float) -> list[Document]:
    """`n` documents of a mix. Verdicts are rare and everything hangs on them: they weigh more."""
    rows = _pool(SIZE, "train")[rng.integers(len(_pool(SIZE, "train")), size=n)].tolist()
    kinds = rng.random(n)
    out = []
    for row, kind in zip(rows, kinds, strict=True):
        puzzle, prompt = Puzzle(tuple(row[:-1]), row[-1]), None
        if kind < mix.drill:
            puzzle, completion = drill(rng)
        elif kind < mix.drill + mix.bare:
            completion = bare(rng, puzzle)
        elif kind < mix.drill + mix.bare + mix.chat:
            prompt, completion = chat(rng)
        else:
            completion = worked(rng, puzzle, mix.habits)
        weights = [verdict_weight if p in (YES, NO) else 1.0 for p in completion]
        out.append(Document(prompt or prompt_pieces(puzzle), completion, weights))
    return out
