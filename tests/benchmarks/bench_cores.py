"""A GRPO step by one thread and by two, and how its cost grows.

    python tests/benchmarks/bench_cores.py [--rounds 5] [--out DIR]

The two take the same step in turn, so that whatever else the machine does falls on both; figures
are medians over the rounds after the first. Then one thread samples and learns from more
completions, longer ones, and wider models; the slope is that of the straight line through the
logarithms (1: twice as much costs twice as much). With `--out` the growth is also drawn
(`growth.svg`).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from course_lib import runtime
from course_lib.model import models, rollout
from course_lib.rl import zero
from course_lib.rl.experience import prompt_ids
from course_lib.task import puzzles


def learner(model: Any, config: zero.ZeroConfig, tokenizer: Any) -> zero.Learner:
    """One whose optimiser stands still, so that every step has the same work."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, fused=True)
    return zero.Learner(model, optimizer, config, tokenizer.eos_token_id)


def step(model: Any, tokenizer: Any, config: zero.ZeroConfig) -> tuple[float, float]:
    """Seconds of sampling (with the rewards) and of the update."""
    clock = [time.perf_counter()]
    generator = torch.Generator().manual_seed(0)
    items = puzzles.sample(config.puzzles, 0)
    found = zero.collect(model, tokenizer, zero.PUZZLES, items, config, generator)
    clock.append(time.perf_counter())
    learner(model, config, tokenizer).update(found)
    clock.append(time.perf_counter())
    return clock[1] - clock[0], clock[2] - clock[1]


def cores(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Medians of seconds (sampling, update, whole step) by name."""
    model, tokenizer = models.load(folder)
    ways = {"two threads": 2, "one thread": 1}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, threads in ways.items():
            torch.set_num_threads(threads)
            taken[name].append(step(model, tokenizer, zero.ZeroConfig()))
    return {
        name: [*(statistics.median(x) for x in zip(*lines[1:], strict=True)),
               statistics.median(map(sum, lines[1:]))]
        for name, lines in taken.items()
    }  # fmt: skip


def cost(model: Any, tokenizer: Any, completions: int, tokens: int) -> float:
    """Processor seconds to sample so many completions of exactly so many tokens and learn them."""
    config = zero.ZeroConfig(puzzles=8, samples=completions // 8, max_new_tokens=tokens)
    prompts = [prompt_ids(tokenizer, puzzles.prompt(p)) for p in puzzles.sample(8, 0)]
    began = runtime.processor_seconds()
    sampled = rollout.generate(
        model, prompts, samples=config.samples, max_new_tokens=tokens, eos=-1,
        generator=torch.Generator().manual_seed(0))  # fmt: skip
    rewards = torch.arange(completions).float().view(8, -1)
    items = [None] * completions
    found = zero.Experience(sampled, items, [""] * completions, rewards)
    learner(model, config, tokenizer).update(found)
    return runtime.processor_seconds() - began


def growth(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(size, least processor seconds of some rounds) by what grows."""
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    wide = []
    for hidden in (64, 128, 256, 512):
        config = models.mini_v3_config(tokenizer, hidden_size=hidden, intermediate_size=2 * hidden,
                                       moe_intermediate_size=hidden // 2)  # fmt: skip
        wide.append(AutoModelForCausalLM.from_config(config))

    def least(*args: Any) -> float:
        return min(cost(*args) for _ in range(rounds))

    return {
        "completions": [(n, least(model, tokenizer, n, 32)) for n in (64, 128, 256, 512)],
        "tokens": [(n, least(model, tokenizer, 128, n)) for n in (16, 32, 64, 128)],
        "parameters": [(models.parameters(m), least(m, tokenizer, 128, 32)) for m in wide],
    }


def slope(points: list[tuple[float, float]]) -> float:
    """Of the least-squares line through the logarithms."""
    return statistics.linear_regression(*zip(*logs(points), strict=True)).slope


def logs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(math.log10(x), math.log10(y)) for x, y in points]


def drawn(found: dict[str, list[tuple[float, float]]]) -> str:
    """The points, and the fitted lines, as one SVG: both axes in powers of ten."""
    parts = []
    for i, (name, points) in enumerate(found.items()):
        fit = statistics.linear_regression(*zip(*logs(points), strict=True))
        x0 = logs(points)[0][0]
        top = max(y for _, y in logs(points))

        def at(x: float, y: float, i: int = i, x0: float = x0, top: float = top) -> str:
            return f"{40 + 230 * i + 100 * (x - x0):.1f},{60 + 100 * (top - y):.1f}"

        dots = [at(x, y).split(",") for x, y in logs(points)]
        line = " ".join(at(x, fit.slope * x + fit.intercept) for x, _ in logs(points))
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="#1f6feb"/>' for x, y in dots]
        parts.append(f'<polyline points="{line}" fill="none" stroke="#57606a"/>')
        said = f"{name} {points[0][0]:,} to {points[-1][0]:,}: slope {fit.slope:.2f}"
        parts.append(f'<text x="{40 + 230 * i}" y="30">{said}</text>')
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 740 260" '
            f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>\n')  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for name in ("mini-v3-base", "mini-r1-zero"):
        for way, seconds in cores(models.shipped(name), args.rounds).items():
            said = "sampling {:.3f} s, update {:.3f} s, step {:.3f} s".format(*seconds)
            print(f"{name}, {way}: {said}", flush=True)
    torch.set_num_threads(1)
    found = growth(max(1, args.rounds // 2))
    for name, points in found.items():
        told = ", ".join(f"{x:,} {y:.2f} s" for x, y in points)
        print(f"{name}: slope {slope(points):.2f} ({told})")
    if args.out:
        (args.out / "growth.svg").write_text(drawn(found))
        (args.out / "growth.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
