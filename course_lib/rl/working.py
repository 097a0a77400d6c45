"""How right a model's working is when it is made to think: what decides whether reasoning pays.

A base that seldom thinks is given the opening `<think>` and goes on from there. Counted are its
steps (running totals) and its verdicts (` yes` or ` no`), by the exact reader of
`course_lib.task.traces`.
"""

from __future__ import annotations

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.model import models, rollout
from course_lib.rl import zero
from course_lib.task import puzzles, traces


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, n: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Shares of steps and verdicts that are right, on `n` held-out puzzles at temperature 1.

    Returns accuracy, attempts (a puzzle), steps_right and verdicts_right (0 to 1; 0 where there are
    none), with the numbers of steps and verdicts they are shares of. Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; ask for 1 puzzle or more.")
    drawn = puzzles.sample(n, seed, "test")
    texts = _thoughts(model, tokenizer, drawn, seed)
    counts = [traces.count(text, puzzle) for text, puzzle in zip(texts, drawn, strict=True)]
    right = [zero.PUZZLES.reward(p, text) for p, text in zip(drawn, texts, strict=True)]
    steps, verdicts = sum(c.steps for c in counts), sum(c.attempts for c in counts)
    return {
        "accuracy": sum(right) / n,
        "attempts": verdicts / n,
        "steps_right": 1 - sum(c.wrong_steps for c in counts) / steps if steps else 0.0,
        "verdicts_right": (
            1 - sum(c.wrong_verdicts for c in counts) / verdicts if verdicts else 0.0
        ),
        "steps": steps,
        "verdicts": verdicts,
    }


def _thoughts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    drawn: list[puzzles.Puzzle],
    seed: int,
) -> list[str]:
    """One completion for each puzzle, all of them begun with `<think>`."""
    think = tokenizer.convert_tokens_to_ids(models.THINK)
    generator = torch.Generator().manual_seed(seed)
    texts: list[str] = []
    for start in range(0, len(drawn), 512):
        part = drawn[start : start + 512]
        found = rollout.generate(
            model,
            [[*models.chat_ids(tokenizer, puzzles.prompt(p)), think] for p in part],
            max_new_tokens=96,
            eos=tokenizer.eos_token_id,
            generator=generator,
        )
        texts += [models.THINK + text for text in models.decode(tokenizer, found.ids.tolist())]
    return texts
