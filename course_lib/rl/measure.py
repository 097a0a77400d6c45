"""Measurements on a policy beside its accuracy: a step's time, many samples, what traces hold."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib.model import models, rollout
from course_lib.rl import grpo
from course_lib.rl.experience import Experience, collect, prompt_ids
from course_lib.rl.learner import Learner, chunks, completion_logprobs, tokens_at_once
from course_lib.rl.settings import PUZZLES, ZeroConfig
from course_lib.task import puzzles, traces
from course_lib.task.puzzles import Puzzle

_ROWS = 1024  # completions sampled at once: their keys and values take some 400 MB


def profile_step(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: ZeroConfig | None = None,
    *,
    seed: int = 0,
) -> dict[str, float]:
    """Seconds of each part of one step on puzzles: sampling, rewards, forward, backward, update.

    The model is not changed: the optimiser's rate is 0.
    """
    config = config or ZeroConfig()
    items = puzzles.sample(config.puzzles, seed)
    clock = [time.perf_counter()]
    prompts = [prompt_ids(tokenizer, puzzles.prompt(item)) for item in items]
    sampled = rollout.generate(
        model, prompts, samples=config.samples, max_new_tokens=config.max_new_tokens,
        eos=tokenizer.eos_token_id, generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    clock.append(time.perf_counter())
    texts = models.decode(tokenizer, sampled.ids.tolist())
    rows = [item for item in items for _ in range(config.samples)]
    rewards = torch.tensor([puzzles.reward(p, t) for p, t in zip(rows, texts, strict=True)])
    experience = Experience(sampled, rows, texts, rewards.view(len(items), -1))
    clock.append(time.perf_counter())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, fused=True)
    learner = Learner(model, optimizer, config, tokenizer.eos_token_id)
    passes = _time_passes(learner, experience)
    names = ("sampling", "reading the answers and rewarding them")
    seconds = [b - a for a, b in itertools.pairwise(clock)]
    return dict(zip(names, seconds, strict=True)) | passes


def _time_passes(learner: Learner, experience: Experience) -> dict[str, float]:
    """Seconds of the forward passes, the backward passes and the optimiser, as an update does."""
    seconds = {"forward passes": 0.0, "backward passes": 0.0}
    advantages = grpo.group_advantages(experience.rewards, std=learner.config.std).flatten()
    rows = (advantages != 0).nonzero().squeeze(1)
    for chunk in chunks(experience.rollout, rows, tokens_at_once(learner.model)):
        began = time.perf_counter()
        part = experience.rollout.take(chunk)
        mask = grpo.completion_mask(part.ids, learner.eos)
        logp, _ = completion_logprobs(learner.model, part, mask, 1.0)
        loss, _ = grpo.policy_loss(logp, logp.detach(), advantages[chunk], mask)
        between = time.perf_counter()
        loss.backward()
        seconds["forward passes"] += between - began
        seconds["backward passes"] += time.perf_counter() - between
    began = time.perf_counter()
    learner.optimizer.step()
    learner.optimizer.zero_grad()
    return seconds | {"optimiser": time.perf_counter() - began}


@dataclass(frozen=True)
class Samples:
    """Many completions of each problem: one row a problem, in order."""

    problems: list[Puzzle]
    texts: list[list[str]]
    rewards: list[list[float]]
    tokens: list[list[int]]  # EOS included, so at least 1


def sample_many(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    problems: Sequence[Puzzle],
    samples: int,
    *,
    seed: int = 0,
    max_new_tokens: int = 96,
) -> Samples:
    """`samples` completions of every problem at temperature 1, a few problems at a time."""
    config = ZeroConfig(samples=samples, max_new_tokens=max_new_tokens)
    generator = torch.Generator().manual_seed(seed)
    out = Samples(list(problems), [], [], [])
    at_once = max(1, _ROWS // samples)
    for i in range(0, len(problems), at_once):
        found = collect(model, tokenizer, PUZZLES, problems[i : i + at_once], config, generator)
        out.rewards.extend(found.rewards.tolist())
        out.tokens.extend(found.rollout.lengths.view(-1, samples).tolist())
        out.texts.extend(found.texts[j : j + samples] for j in range(0, len(found.texts), samples))
    return out


def trace_shares(pairs: Sequence[tuple[Puzzle, str]]) -> dict[str, float]:
    """How far traces can be believed, as shares; `pairs` are puzzles and completions.

    `steps right` and `verdicts right` are of all steps and verdicts; `answer from the thought` is
    of completions with an attempt found right; `attempts made before` of all attempts; `notations
    mixed` of those `with steps`. A share of nothing is left out. Raises ValueError without pairs.
    """
    if not pairs:
        raise ValueError("There are no completions; give at least one.")
    counts = [traces.count(text, puzzle) for puzzle, text in pairs]
    attempts = sum(c.attempts for c in counts)
    steps = sum(c.steps for c in counts)
    copied = [c.copied for c in counts if c.copied is not None]
    thoughts = [c for c in counts if c.steps]
    parts = {
        "with steps": (len(thoughts), len(counts)),
        "steps right": (steps - sum(c.wrong_steps for c in counts), steps),
        "attempts with a right verdict": (
            attempts - sum(c.wrong_verdicts for c in counts), attempts
        ),
        "answer from the thought": (sum(copied), len(copied)),
        "attempts made before": (sum(c.repeats for c in counts), attempts),
        "notations mixed": (sum(c.mixing for c in thoughts), len(thoughts)),
    }  # fmt: skip
    return {name: part / whole for name, (part, whole) in parts.items() if whole}


def step_accuracy(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, n: int = 2000, seed: int = 0
) -> dict[str, float]:
    """Shares of steps and verdicts that are right, when a model is made to think on `n` puzzles.

    A base that seldom thinks is given the opening `<think>` and goes on from there, at temperature
    1; steps (running totals) and verdicts (` yes`, ` no`) are read by `course_lib.task.traces`.

    Returns accuracy, attempts (a puzzle), steps_right and verdicts_right (0 to 1; 0 where there are
    none), with the numbers of steps and verdicts they are shares of. Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; ask for 1 puzzle or more.")
    drawn = puzzles.sample(n, seed, "test")
    texts = _thoughts(model, tokenizer, drawn, seed)
    counts = [traces.count(text, puzzle) for text, puzzle in zip(texts, drawn, strict=True)]
    right = [puzzles.reward(p, text) for p, text in zip(drawn, texts, strict=True)]
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
    think = tokenizer.encode(models.THINK, add_special_tokens=False)
    generator = torch.Generator().manual_seed(seed)
    texts: list[str] = []
    rows = min(512, rollout.rows_at_once(model, 96))
    for start in range(0, len(drawn), rows):
        part = drawn[start : start + rows]
        found = rollout.generate(
            model,
            [[*models.chat_ids(tokenizer, puzzles.prompt(p)), *think] for p in part],
            max_new_tokens=96,
            eos=tokenizer.eos_token_id,
            generator=generator,
        )
        texts += [models.THINK + text for text in models.decode(tokenizer, found.ids.tolist())]
    return texts
