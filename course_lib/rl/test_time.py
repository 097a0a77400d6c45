"""More tokens at the time of the answer: best of n, and thoughts cut short or drawn out.

Best of n needs somebody to pick: the exact verifier (then it is pass@n), or a reward model that was
trained to tell right completions from wrong ones (Cobbe et al., arXiv 2110.14168). Budget forcing
(Muennighoff et al., arXiv 2501.19393) writes `</think>` for the model when its tokens are spent, or
takes `</think>` away and goes on. All of it is measured as accuracy against tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.model import models, rollout
from course_lib.rl import grpo
from course_lib.rl.experience import Experience, collect, prompt_ids
from course_lib.rl.learner import chunks
from course_lib.rl.ppo import ValueModel, completion_values
from course_lib.rl.settings import PUZZLES, Task, ZeroConfig

Row = dict[str, Any]
Scorer = Callable[[Experience], torch.Tensor]
"""Scores (completions,) of an experience's completions; the highest of a group is picked."""

_ANSWER = 12  # tokens that an answer may take after its thought
_AGAIN = " no"  # what is written for the model where its `</think>` is taken away


def by_verifier(experience: Experience) -> torch.Tensor:
    """The exact verifier as a scorer: the best that any scorer can do."""
    return experience.rewards.flatten()


def by_length(experience: Experience) -> torch.Tensor:
    """The longest completion: a scorer that is easily had."""
    return experience.rollout.lengths.float()


def best_of_n(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Any],
    ns: Sequence[int],
    scorers: Mapping[str, Scorer],
    *,
    seed: int = 0,
    max_new_tokens: int = 96,
    task: Task = PUZZLES,
) -> list[Row]:
    """How often the completion that a scorer picks of the first n is right, and what the n cost.

    One row for each of `ns` and `scorers`: scorer, n, accuracy, tokens (an item, all n together).
    The same completions serve all rows.
    """
    config = ZeroConfig(samples=max(ns), max_new_tokens=max_new_tokens)
    generator = torch.Generator().manual_seed(seed)
    found = collect(model, tokenizer, task, items, config, generator)
    shape = found.rewards.shape  # (items, samples)
    lengths = found.rollout.lengths.view(shape).float()
    rows = []
    for name, scorer in scorers.items():
        scores = scorer(found).view(shape)
        for n in ns:
            picked = scores[:, :n].argmax(1, keepdim=True)
            right = found.rewards.gather(1, picked).mean()
            tokens = lengths[:, :n].sum(1).mean()
            rows.append({"scorer": name, "n": n, "accuracy": float(right), "tokens": float(tokens)})
    return rows


def train_scorer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Any],
    *,
    samples: int = 8,
    passes: int = 2,
    rate: float = 1e-3,
    seed: int = 0,
    max_new_tokens: int = 96,
    task: Task = PUZZLES,
) -> Scorer:
    """A reward model: the policy's trunk with one number at the last token, taught what is right.

    It sees the model's own completions of `items` (not those it will be tried on), each `passes`
    times, and its loss is the cross-entropy of "this is right".
    """
    torch.manual_seed(seed)
    config = ZeroConfig(samples=samples, max_new_tokens=max_new_tokens)
    seen = collect(
        model, tokenizer, task, items, config, torch.Generator().manual_seed(seed + 1_000_000)
    )
    judge, eos = ValueModel.like(model), tokenizer.eos_token_id
    optimizer = torch.optim.AdamW(judge.parameters(), lr=rate, weight_decay=0.0)
    right = seen.rewards.flatten()
    judge.train()
    for _ in range(passes):
        for batch in torch.randperm(len(right)).split(64):
            loss = F.binary_cross_entropy_with_logits(
                _judged(judge, seen, batch, eos), right[batch]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    judge.eval()
    return lambda experience: _all_judged(judge, experience, eos)


@torch.no_grad()
def _all_judged(judge: ValueModel, experience: Experience, eos: int) -> torch.Tensor:
    scores = torch.zeros(len(experience.texts))
    for chunk in chunks(experience.rollout, torch.arange(len(scores))):
        scores[chunk] = _judged(judge, experience, chunk, eos)
    return scores


def _judged(
    judge: ValueModel, experience: Experience, rows: torch.Tensor, eos: int
) -> torch.Tensor:
    """The judge's number at each completion's last token: (rows,)."""
    part = experience.rollout.take(rows)
    mask = grpo.completion_mask(part.ids, eos)
    values = completion_values(judge, part, mask)  # (rows, tokens)
    return values.gather(1, mask.sum(1, keepdim=True) - 1).squeeze(1)


def budget_forcing(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Any],
    budgets: Sequence[int],
    *,
    seed: int = 0,
    task: Task = PUZZLES,
) -> list[Row]:
    """Accuracy where thoughts end after so many tokens at most: `</think>` is written for them.

    One row for each of `budgets`: budget, accuracy, tokens (answer and all) and forced (the
    share of thoughts that were cut). A budget of 0 is an answer without a thought.
    """
    rows = []
    for budget in budgets:
        prompts = _opened(tokenizer, items, task)
        thoughts, forced = _think(model, tokenizer, prompts, budget, seed)
        found = _answer(model, tokenizer, items, prompts, thoughts, seed, task)
        rows.append({"budget": budget, **found, "forced": mean(forced)})
    return rows


def wait(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Any],
    times: int,
    *,
    seed: int = 0,
    room: int = 96,
    task: Task = PUZZLES,
) -> list[Row]:
    """Accuracy where `</think>` is taken away 0, 1 ... `times` times and ` no` is written instead.

    That is this model's "wait": it says that the last attempt was wrong, right or not, and the
    thought goes on. One row a time: waits, accuracy, tokens. `room` is for each part of a thought.
    """
    prompts = _opened(tokenizer, items, task)
    again = tokenizer.encode(_AGAIN, add_special_tokens=False)
    thoughts: list[list[int]] = [[] for _ in items]
    rows = []
    for number in range(times + 1):
        if number:
            thoughts = [[*thought, *again] for thought in thoughts]
        starts = [[*p, *t] for p, t in zip(prompts, thoughts, strict=True)]
        more, _ = _think(model, tokenizer, starts, room, seed + number)
        thoughts = [[*t, *m] for t, m in zip(thoughts, more, strict=True)]
        found = _answer(model, tokenizer, items, prompts, thoughts, seed, task)
        rows.append({"waits": number, **found})
    return rows


def _opened(
    tokenizer: PreTrainedTokenizerBase, items: Sequence[Any], task: Task
) -> list[list[int]]:
    """Prompts with `<think>` after them."""
    think = models.ids_of(tokenizer, [models.THINK])[models.THINK]
    return [[*prompt_ids(tokenizer, task.prompt(item)), think] for item in items]


def _think(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    most: int,
    seed: int,
) -> tuple[list[list[int]], list[bool]]:
    """Thoughts of at most `most` tokens, without their `</think>`; and which had to be cut."""
    if most == 0:
        return [[] for _ in prompts], [True] * len(prompts)
    end = models.ids_of(tokenizer, [models.END_THINK])[models.END_THINK]
    found = rollout.generate(
        model,
        prompts,
        max_new_tokens=most,
        eos=end,
        banned=[tokenizer.eos_token_id],
        generator=torch.Generator().manual_seed(seed),
    )
    ids, done = found.ids.tolist(), found.finished.tolist()
    lengths = found.lengths.tolist()
    cut = [
        row[: n - 1] if over else row[:n] for row, n, over in zip(ids, lengths, done, strict=True)
    ]
    return cut, [not over for over in done]


def _answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Any],
    prompts: Sequence[Sequence[int]],
    thoughts: Sequence[Sequence[int]],
    seed: int,
    task: Task,
) -> Row:
    """Close the thoughts, let the model answer, and see how many are right and what they cost."""
    end = models.ids_of(tokenizer, [models.END_THINK])[models.END_THINK]
    found = rollout.generate(
        model,
        [[*p, *t, end] for p, t in zip(prompts, thoughts, strict=True)],
        max_new_tokens=_ANSWER,
        eos=tokenizer.eos_token_id,
        generator=torch.Generator().manual_seed(seed),
    )
    texts = models.decode(tokenizer, found.ids.tolist())
    right = [
        (task.right or task.reward)(item, f"{models.THINK}{models.END_THINK}{text}")
        for item, text in zip(items, texts, strict=True)
    ]
    spent = [2 + len(t) + n for t, n in zip(thoughts, found.lengths.tolist(), strict=True)]
    return {"accuracy": mean(right), "tokens": mean(spent)}
