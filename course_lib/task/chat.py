"""The little conversation beside the puzzles: prompts, replies, and which of two replies is better.

It stands in for DeepSeek's non-reasoning data. A prompt asks for a number in the other notation;
the reply is right or wrong by rule, and may end politely. Preferences are labelled by that rule
(DeepSeek's were labelled by DeepSeek-V3, none of them by people).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_lib.task import corpus
from course_lib.task.numerals import HIGHEST, word

POLITE = "".join(corpus.POLITE)
"""How a polite reply ends."""


@dataclass(frozen=True)
class Chat:
    """A prompt that is no puzzle, and the one right reply to it."""

    prompt: str
    reply: str


def prompts() -> list[Chat]:
    """Every prompt of the conversation: 37 numbers into words, as many into digits."""
    numbers = range(HIGHEST + 1)
    return [
        *(Chat(f"write {n} in words", f" {word(n)}") for n in numbers),
        *(Chat(f"write {word(n)} in digits", f" {n}") for n in numbers),
    ]


def sample(n: int, seed: int) -> list[Chat]:
    """Draw `n` prompts, with repeats; the same arguments give the same ones."""
    pool = prompts()
    return [pool[i] for i in np.random.default_rng(seed).integers(len(pool), size=n)]


def examples(n: int, seed: int, polite: float = 0.3) -> list[tuple[Chat, str]]:
    """`n` prompts with right replies, a share `polite` of them polite: data for fine-tuning."""
    ends = np.random.default_rng((seed, 1)).random(n) < polite
    return [(c, c.reply + POLITE * bool(e)) for c, e in zip(sample(n, seed), ends, strict=True)]


def is_right(chat: Chat, reply: str) -> bool:
    """Whether the reply is the right one, politely or not, and nothing else."""
    return reply in (chat.reply, chat.reply + POLITE)


def quality(chat: Chat, reply: str) -> int:
    """The rule that labels preferences: 0 for a wrong reply, 1 for a right one, 2 if polite too."""
    return is_right(chat, reply) * (1 + reply.endswith(POLITE))


@dataclass(frozen=True)
class Pair:
    """Two replies to one prompt, and which is preferred."""

    prompt: str
    chosen: str
    rejected: str


def label(chat: Chat, replies: Sequence[str]) -> list[Pair]:
    """Every pair of different quality among the replies to one prompt, each pair of texts once."""
    ranked = sorted(set(replies), key=lambda reply: (-quality(chat, reply), reply))
    return [
        Pair(chat.prompt, better, worse)
        for i, better in enumerate(ranked)
        for worse in ranked[i + 1 :]
        if quality(chat, better) > quality(chat, worse)
    ]
