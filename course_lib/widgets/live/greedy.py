"""What models answer when they always take their likeliest token: the still beside the explorer."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from course_lib.model import models, rollout
from course_lib.rl.settings import ZeroConfig
from course_lib.task import puzzles
from course_lib.task.puzzles import Puzzle


class Greedy(NamedTuple):
    """One model's answer: its label, the text, how many tokens it took, and the verdict."""

    label: str
    text: str
    tokens: int
    right: bool

    @property
    def verdict(self) -> str:
        """Whether it is right, in a word."""
        return "right" if self.right else "wrong"


def answers(folders: Mapping[str, Path], puzzle: Puzzle) -> list[Greedy]:
    """Each model's likeliest answer to `puzzle`; `folders` is label -> model folder."""
    found = []
    for label, folder in folders.items():
        model, tokenizer = models.load(folder)
        ids = models.chat_ids(tokenizer, puzzles.prompt(puzzle))
        eos, most = tokenizer.eos_token_id, ZeroConfig.max_new_tokens
        sampled = rollout.generate(model, [ids], max_new_tokens=most, eos=eos, temperature=0)
        (text,) = models.decode(tokenizer, sampled.ids.tolist())
        right = bool(puzzles.reward(puzzle, text))
        found.append(Greedy(label, text, int(sampled.lengths[0]), right))
    return found
