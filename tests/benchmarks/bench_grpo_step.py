"""GRPO steps and rollouts of this library against TRL's GRPOTrainer and transformers' `generate`.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/bench_grpo_step.py [--steps 6] [--model FOLDER] [--json FILE]

Both start from the same checkpoint and take the same puzzles in the same order with the same
settings, turn by turn in one process, so that whatever else the machine does falls on both. The
first turn warms up and is not counted; figures are medians of the others. Each trainer samples its
own completions, so the tokens per completion stand beside the seconds.

Most of the base's answers are short and TRL waits for the few long ones, which is where the library
gains most. Give `--model` a folder that `python -m course_lib zero` has left, to compare where
thoughts are long.

The two do not do the same work where a group's rewards are all equal: such a group has no gradient,
the library leaves it out of the passes, and TRL does not. The share of such groups is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, logging

from course_lib import runtime
from course_lib.model import models, rollout
from course_lib.model.accounting import flops_per_token
from course_lib.rl import grpo, trl_script, zero
from course_lib.task import puzzles

PARTS = ("sampling", "reward", "forward and backward", "optimiser and the rest")


class Stopwatch:
    """Seconds by name, for the turn that is running; methods are timed by being wrapped."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """From now on, add what `owner.method` takes to `name`."""
        inner = getattr(owner, method)
        setattr(owner, method, self.timed(inner, name))

    def timed(self, inner: Callable, name: str) -> Callable:
        def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - began

        return outer

    def turn(self) -> dict[str, float]:
        """What was counted since the last call."""
        seconds, self.seconds = dict(self.seconds), defaultdict(float)
        return seconds


class Library:
    """One GRPO step of this library at a time."""

    def __init__(self, folder: Path, config: zero.ZeroConfig) -> None:
        self.model, self.tokenizer = models.load(folder)
        self.config = config
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=0.0, fused=True
        )
        self.learner = zero.Learner(self.model, optimizer, config, self.tokenizer.eos_token_id)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.watch = Stopwatch()
        self.watch.wrap(optimizer, "step", "optimiser")
        self.watch.wrap(self.learner, "update", "update")

    def step(self, items: list[puzzles.Puzzle]) -> dict[str, float]:
        """Sample, reward and update; returns seconds by part, tokens and informative groups."""
        sampling = self.watch.timed(rollout.generate, "sampling")
        original, rollout.generate = rollout.generate, sampling
        began = time.perf_counter()
        try:
            found = zero.collect(
                self.model, self.tokenizer, zero.PUZZLES, items, self.config, self.generator
            )
        finally:
            rollout.generate = original
        collected = time.perf_counter() - began
        zero.summarise(found, zero.PUZZLES, self.tokenizer)
        self.learner.update(found)
        total = time.perf_counter() - began
        seconds = self.watch.turn()
        passes = seconds["update"] - seconds.get("optimiser", 0.0)
        parts = (seconds["sampling"], collected - seconds["sampling"], passes)
        return {
            **dict(zip(PARTS, (*parts, total - sum(parts)), strict=True)),
            "total": total,
            "tokens": float(found.rollout.lengths.float().mean()),
            "taught": float((found.rewards != found.rewards[:, :1]).any(1).float().mean()),
        }


class Turns(TrainerCallback):
    """After every step of TRL, let the library take one on the same puzzles."""

    def __init__(self, library: Library, watch: Stopwatch) -> None:
        self.library, self.watch = library, watch
        self.items: list[puzzles.Puzzle] = []  # those of TRL's last step, put here by the reward
        self.tokens = 0.0
        self.trl: list[dict[str, float]] = []
        self.ours: list[dict[str, float]] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.watch.turn()
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        total = time.perf_counter() - self.began
        seconds = self.watch.turn()
        sampling, reward = seconds["sampling"], seconds["reward"]
        parts = (sampling, reward, seconds["training step"] - sampling - reward)
        line = dict(zip(PARTS, (*parts, total - sum(parts)), strict=True))
        self.trl.append({**line, "total": total, "tokens": self.tokens})
        self.ours.append(self.library.step(self.items))
        print(f"turn {len(self.trl)}: TRL {total:.2f} s, library {self.ours[-1]['total']:.2f} s")


def run_steps(folder: Path, config: zero.ZeroConfig) -> Turns:
    """`config.steps` turns of both, the first of which is to be thrown away."""
    watch = Stopwatch()
    turns = Turns(Library(folder, config), watch)

    def reward(puzzle: list[str], completions: list[str], completion_ids: list, **_: Any) -> list:
        turns.items = [puzzles.parse(text) for text in puzzle[:: config.samples]]
        turns.tokens = statistics.mean(map(len, completion_ids))
        return trl_script.puzzle_reward(puzzle, completions)

    with tempfile.TemporaryDirectory() as out:
        trainer = trl_script.build_trainer(folder, config, Path(out), reward)
        watch.wrap(trainer, "_generate_single_turn", "sampling")
        watch.wrap(trainer, "_calculate_rewards", "reward")
        watch.wrap(trainer, "training_step", "training step")
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(turns)
        trainer.train()
    return turns


def run_rollouts(folder: Path, config: zero.ZeroConfig, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds and tokens of sampling alone: `rollout.generate` and `model.generate` in turn."""
    model, tokenizer = models.load(folder)
    results: dict[str, list[tuple[float, float]]] = {"library": [], "generate": []}
    for turn in range(rounds + 1):
        drawn = puzzles.sample(config.puzzles, 10_000 + turn)
        prompts = [models.chat_ids(tokenizer, puzzles.prompt(p)) for p in drawn]
        for name, sample in (("library", sample_library), ("generate", sample_generate)):
            began = time.perf_counter()
            ids = sample(model, tokenizer, prompts, config)
            seconds = time.perf_counter() - began
            counted = grpo.completion_mask(ids, tokenizer.eos_token_id).sum(1).float().mean()
            results[name].append((seconds, float(counted)))
    return {
        name: {
            "seconds": statistics.median(s for s, _ in lines[1:]),
            "tokens": statistics.mean(t for _, t in lines[1:]),
        }
        for name, lines in results.items()
    }


def sample_library(model: Any, tokenizer: Any, prompts: list, config: Any) -> torch.Tensor:
    return rollout.generate(
        model,
        prompts,
        samples=config.samples,
        max_new_tokens=config.max_new_tokens,
        eos=tokenizer.eos_token_id,
    ).ids


@torch.inference_mode()
def sample_generate(model: Any, tokenizer: Any, prompts: list, config: Any) -> torch.Tensor:
    ids, mask = rollout.pad_left(prompts, tokenizer.eos_token_id, model.device)
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=True,
        top_k=0,
        top_p=1.0,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        num_return_sequences=config.samples,
        pad_token_id=tokenizer.eos_token_id,
    )
    return out[:, ids.shape[1] :]


def median(lines: list[dict[str, float]]) -> dict[str, float]:
    """The median of every figure over all turns but the first."""
    return {name: statistics.median(line[name] for line in lines[1:]) for name in lines[0]}


def floor(folder: Path, config: zero.ZeroConfig, tokens: float, prompt: int) -> float:
    """Seconds of the matrix products alone, at the speed at which this machine multiplies.

    One forward pass for every sampled token, and one forward and backward pass (three times the
    products) for every trained one, with half of the tokens before it in each one's attention.
    """
    fields = json.loads((folder / "config.json").read_text())
    one = flops_per_token(fields, context=round(prompt + tokens / 2))
    completions = config.puzzles * config.samples
    device = runtime.device()
    a, b = torch.randn(2048, 512, device=device), torch.randn(512, 512, device=device)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        (a @ b).sum().item()
        times.append(time.perf_counter() - began)
    speed = 2 * 2048 * 512 * 512 / min(times)
    return completions * tokens * 4 * one / speed


def report(figures: dict[str, Any]) -> None:
    """The table, in words that can be pasted into the README."""
    ours, trl = figures["library"], figures["trl"]
    samples = figures["completions"]
    print(f"\n{figures['machine']}; {figures['threads']} torch thread(s).")
    print(f"{samples} completions a step; medians of seconds a step:\n")
    print(f"{'':24}{'TRL':>10}{'library':>10}{'ratio':>8}")
    for name in (*PARTS, "total"):
        print(f"{name:24}{trl[name]:10.3f}{ours[name]:10.3f}{trl[name] / ours[name]:8.2f}")
    print(f"{'ms a completion':24}{1e3 * trl['total'] / samples:10.2f}", end="")
    print(f"{1e3 * ours['total'] / samples:10.2f}{trl['total'] / ours['total']:8.2f}")
    print(f"{'tokens a completion':24}{trl['tokens']:10.1f}{ours['tokens']:10.1f}")
    print(f"groups that teach (the library trains on these only): {ours['taught']:.0%}")
    print(f"floor, the matrix products alone: {figures['floor_seconds']:.3f} s a step")
    fast, slow = figures["rollout"]["library"], figures["rollout"]["generate"]
    print(
        f"\nrollouts: generate {slow['seconds']:.3f} s ({slow['tokens']:.1f} tokens each), ", end=""
    )
    print(f"library {fast['seconds']:.3f} s ({fast['tokens']:.1f}), ", end="")
    print(f"ratio {slow['seconds'] / fast['seconds']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, default=models.shipped("mini-v3-base"))
    parser.add_argument("--steps", type=int, default=6, help="turns, the first of which warms up")
    parser.add_argument("--threads", type=int, default=0, help="torch's; 0 is what is free")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    threads = options.threads or runtime.use_threads()
    torch.set_num_threads(threads)
    config = zero.ZeroConfig(steps=max(2, options.steps))
    turns = run_steps(options.model, config)
    ours = median(turns.ours)
    prompt = len(models.chat_ids(turns.library.tokenizer, puzzles.prompt(turns.items[0])))
    figures = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{runtime.device()}, load {os.getloadavg()[0]:.1f}",
        "threads": threads,
        "completions": config.puzzles * config.samples,
        "trl": median(turns.trl),
        "library": ours,
        "floor_seconds": floor(options.model, config, ours["tokens"], prompt),
        "rollout": run_rollouts(options.model, config, rounds=config.steps - 1),
    }
    report(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
