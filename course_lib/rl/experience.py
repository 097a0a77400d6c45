"""From items to experience: completions are sampled, rewarded and counted."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.model import models, rollout
from course_lib.model.rollout import Rollout
from course_lib.model.team import ALONE, Team
from course_lib.rl.rewards import overlong_punishment
from course_lib.rl.settings import PUZZLES, RewardError, Task, ZeroConfig, judge


@dataclass
class Experience:
    """One step's rollouts: `groups * samples` rows, the samples of a group next to each other."""

    rollout: Rollout
    items: list[Any]  # one a row
    texts: list[str]
    rewards: torch.Tensor  # (groups, samples)
    seed: int = 0  # of what is left to chance in the update
    outcome: torch.Tensor | None = None  # rewards before lengths were punished, where they were


def groups(experience: Experience, groups: list[int]) -> Experience:
    """Some groups of one step's experience, by their numbers."""
    size = experience.rewards.shape[1]
    rows = [group * size + i for group in groups for i in range(size)]
    device = experience.rollout.ids.device
    outcome = experience.outcome
    return Experience(
        experience.rollout.take(torch.tensor(rows, dtype=torch.long, device=device)),
        [experience.items[row] for row in rows],
        [experience.texts[row] for row in rows],
        experience.rewards[groups],
        experience.seed,
        None if outcome is None else outcome[groups],
    )


def collect(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    items: Sequence[Any],
    config: ZeroConfig,
    generator: torch.Generator,
    team: Team = ALONE,
) -> Experience:
    """Sample `config.samples` completions for every item and reward each; a `team` shares both.

    Raises RewardError, naming the prompt, where a reward is not a finite number.
    """
    # 1 rollout: (groups,) items to (groups * samples, tokens) ids
    prompts = [prompt_ids(tokenizer, task.prompt(item)) for item in items]
    team.refuse_unlike(repr(prompts), "what a task draws may depend on its seed alone")
    sampled = rollout.generate(
        model,
        prompts,
        samples=config.samples,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        eos=tokenizer.eos_token_id,
        banned=banned_ids(tokenizer, config.banned),
        generator=generator,
        keep_logp=config.needs_sampler_logp,
        team=team,
    )
    texts = models.decode(tokenizer, sampled.ids.tolist())
    rows = [item for item in items for _ in range(config.samples)]
    # 2 reward: one number a completion, (groups, samples)
    rewards = _judged(task, rows, texts, team).view(len(items), -1)
    found = Experience(sampled, rows, texts, rewards)
    if config.overlong:
        lengths = sampled.lengths.view(rewards.shape).to(rewards.device)
        found.outcome = rewards
        found.rewards = rewards + overlong_punishment(
            lengths, config.max_new_tokens, config.overlong
        )
    return found


def _judged(task: Task, rows: Sequence[Any], texts: Sequence[str], team: Team) -> torch.Tensor:
    """The rewards (completions,), each found by one process; one that fails is an error in all."""
    ours = slice(team.rank, None, team.size)
    pairs = zip(rows[ours], texts[ours], strict=True)
    failed = None
    try:
        judged = [judge(task, item, text) for item, text in pairs]
        found = torch.tensor(judged, dtype=torch.float32)
    except RewardError as error:
        if team.size == 1:
            raise
        failed, found = error, torch.full((len(rows[ours]),), torch.nan)
    rewards = team.whole(found, ours, len(rows))
    for row in rewards.isnan().nonzero().flatten().tolist():  # which of them it was, and why
        judge(task, rows[row], texts[row])
    if rewards.isnan().any():  # it failed once, and in one process
        raise failed or RewardError("A reward failed in another process, which says why.")
    return rewards


def prompt_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The tokens of a prompt: a turn of conversation where the tokenizer has a chat template."""
    if tokenizer.chat_template is None:
        return tokenizer.encode(text)
    return models.chat_ids(tokenizer, text)


def banned_ids(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> list[int]:
    """The ids of tokens given by their text. Raises ValueError for what is not one token."""
    if isinstance(tokens, str):
        raise ValueError(f"banned is {tokens!r}; give the tokens in a list: [{tokens!r}].")
    ids = models.ids_of(tokenizer, tokens)
    unknown = [token for token, i in ids.items() if i in (None, tokenizer.unk_token_id)]
    if unknown:
        raise ValueError(f"{unknown} are no tokens of this tokenizer; ban single tokens only.")
    return list(ids.values())


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    n: int = 512,
    seed: int = 0,
    task: Task = PUZZLES,
    items: Sequence[Any] | None = None,
    max_new_tokens: int = 96,
    temperature: float = 1.0,
    banned: tuple[str, ...] = (),
    team: Team = ALONE,
) -> dict[str, float]:
    """Accuracy and habits on `n` held-out items (or on `items`), one sampled completion each.

    They are sampled as many at once as a gigabyte of keys and values allows. Accuracy is by
    `task.right`, whatever the task rewards. Raises ValueError without items.
    """
    if items is None:
        if task.held_out is None:
            raise ValueError("This task has no held_out items; give it some, or pass items.")
        items = task.held_out(n, seed)
    config = ZeroConfig(
        samples=1, max_new_tokens=max_new_tokens, temperature=temperature, banned=banned
    )
    generator = torch.Generator().manual_seed(seed)
    judged = replace(task, reward=task.right or task.reward)
    rows = rollout.rows_at_once(model, max_new_tokens)
    total: dict[str, float] = {}
    for start in range(0, len(items), rows):
        part = items[start : start + rows]
        found = collect(model, tokenizer, judged, part, config, generator, team)
        told = {"accuracy": float(found.rewards.mean()), **summarise(found, task, tokenizer)}
        for name, value in told.items():
            total[name] = total.get(name, 0.0) + value * (len(part) / len(items))
    return total


def summarise(
    experience: Experience, task: Task, tokenizer: PreTrainedTokenizerBase
) -> dict[str, float]:
    """Means over completions: thinking tokens (up to `</think>`) and the task's figures."""
    figures: dict[str, float] = {}
    pairs = list(zip(experience.items, experience.texts, strict=True))
    for item, text in pairs:
        for name, value in task.describe(item, text).items():
            figures[name] = figures.get(name, 0.0) + float(value) / len(pairs)
    return {"thinking_tokens": thinking_tokens(experience.rollout, tokenizer), **figures}


def thinking_tokens(sampled: Rollout, tokenizer: PreTrainedTokenizerBase) -> float:
    """Mean tokens before the answer: up to the last `</think>`, or all of an unfinished thought."""
    end = tokenizer.get_vocab().get(models.END_THINK)
    if end is None:  # the tag is several tokens of this tokenizer
        last = torch.tensor([_spelt_end(row, tokenizer) for row in sampled.ids.tolist()])
        last = last.to(sampled.ids.device)
    else:
        position = torch.arange(1, sampled.ids.shape[1] + 1, device=sampled.ids.device)
        last = ((sampled.ids == end) * position).max(1).values
    unfinished = (last == 0) & ~sampled.finished
    return float(torch.where(unfinished, sampled.lengths, last).float().mean())


def _spelt_end(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens there are up to the end of the last `</think>` in a row; 0 without one."""
    pieces = tokenizer.batch_decode([[i] for i in ids])
    end = "".join(pieces).rfind(models.END_THINK)
    ends = itertools.accumulate(map(len, pieces))
    wanted = end + len(models.END_THINK)
    return 0 if end < 0 else 1 + next(n for n, at in enumerate(ends) if at >= wanted)
