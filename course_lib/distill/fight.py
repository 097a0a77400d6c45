"""Distillation or GRPO for one student, with equal updates and sampled tokens, each at its best.

Each side has the learning rate that did best in a small search (`rates`), on seeds that the fight
itself does not use. What the teacher's own training cost is in neither side's tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from course_lib.distill import trace_sft
from course_lib.distill.bench import SHIPPED, Answer, Bench, Row
from course_lib.model import checkpoints, models
from course_lib.rl import zero

FIGHT = zero.ZeroConfig(steps=40, puzzles=8, evaluate_every=10)
"""GRPO in the fair fight: 128 completions a step."""

RATES: dict[str, tuple[float, ...]] = {
    "GRPO from its base": (3e-4, 6e-4, 8e-4, 1e-3),
    "distillation": (1e-3, 2e-3, 4e-3, 8e-3),
    "GRPO after distillation": (1e-4, 3e-4, 6e-4),
}
"""The learning rates that were tried for each side."""

BEST: dict[str, float] = {
    "GRPO from its base": 6e-4,
    "distillation": 4e-3,
    "GRPO after distillation": 1e-4,
}
"""The rate of each side that was right most often at the end, as the record `fight-rates` says."""


_PILOT = 200  # answers that show how long the teacher's are


def rates(bench: Bench, config: zero.ZeroConfig = FIGHT) -> Iterator[Row]:
    """The search: every side at each of its rates, measured at its end alone."""
    plan = replace(config, seed=bench.seed, evaluate_every=config.steps)
    folder = bench.out / f"fight-rates-{bench.seed}"
    base, spent = bench.base(SHIPPED), 0
    alone, second, after = RATES
    for rate in RATES[alone]:
        found = _reinforce(folder / f"grpo-{rate:g}", base, replace(plan, learning_rate=rate))
        spent = max(spent, found["sampled"][-1])
        yield _end(alone, rate, found)
    bought = _buy(bench, spent)
    for rate in RATES[second]:
        yield _end(second, rate, _distil(bench, bought, plan, rate, folder / f"distilled-{rate:g}"))
    base = folder / f"distilled-{BEST[second]:g}"
    for rate in RATES[after]:
        found = _reinforce(folder / f"after-{rate:g}", base, replace(plan, learning_rate=rate))
        yield _end(after, rate, found)


def _end(side: str, rate: float, curve: Row) -> Row:
    """The last point of a curve, as a row of the search."""
    return {"data": side, "rate": rate, **{k: v[-1] for k, v in curve.items()}}


def fight(bench: Bench, config: zero.ZeroConfig = FIGHT) -> Iterator[Row]:
    """GRPO, then distillation with as many updates and sampled tokens."""
    alone, second, _ = BEST
    found = _alone(bench, config)
    yield {"data": alone, "rate": BEST[alone], **found}
    bought = _buy(bench, found["sampled"][-1])
    plan = replace(config, seed=bench.seed)
    found = _distil(bench, bought, plan, BEST[second], _folder(bench) / "distilled")
    yield {"data": second, "rate": BEST[second], "traces": len(bought), **found}


def second_budget(bench: Bench, config: zero.ZeroConfig = FIGHT) -> Iterator[Row]:
    """What to do with as much again: GRPO from the distilled student, or twice the distillation.

    Makes what `fight` made with the same seed first, where it is not there yet.
    """
    _, second, after = BEST
    folder, plan = _folder(bench), replace(config, seed=bench.seed)
    if not (folder / "distilled").is_dir():
        list(fight(bench, config))
    bought = _buy(bench, 2 * _alone(bench, config)["sampled"][-1])
    longer = replace(plan, steps=2 * plan.steps)
    found = _distil(bench, bought, longer, BEST[second], folder / "twice")
    yield {"data": "twice the distillation", "rate": BEST[second], "traces": len(bought), **found}
    goes_on = replace(plan, learning_rate=BEST[after])
    found = _reinforce(folder / "after", folder / "distilled", goes_on)
    yield {"data": after, "rate": BEST[after], **found}


def _folder(bench: Bench) -> Path:
    return bench.out / f"fight-{bench.seed}"


def _alone(bench: Bench, config: zero.ZeroConfig) -> Row:
    """GRPO from the base at its best rate; a run that is finished gives its curve again."""
    plan = replace(config, seed=bench.seed, learning_rate=next(iter(BEST.values())))
    return _reinforce(_folder(bench) / "grpo", bench.base(SHIPPED), plan)


def _curve(points: Sequence[tuple[float, ...]]) -> Row:
    """Points of a curve as columns: figures at some updates, and the tokens used until then.

    `sampled` counts every token that was written, `trained` those that a loss was taken of.
    """
    names = ("updates", "sampled", "trained", "accuracy", "thinking")
    return {n: list(values) for n, values in zip(names, zip(*points, strict=True), strict=True)}


class Counting(zero.Learner):
    """GRPO's learner, which also logs how many tokens were sampled and how many taught."""

    def update(self, experience: zero.Experience) -> dict[str, float]:
        lengths = experience.rollout.lengths.view(experience.rewards.shape)  # (groups, samples)
        taught = (experience.rewards != experience.rewards[:, :1]).any(1)  # (groups,)
        counts = {"sampled": int(lengths.sum()), "trained": int(lengths[taught].sum())}
        return super().update(experience) | counts


def _reinforce(folder: Path, base: Path, config: zero.ZeroConfig) -> Row:
    """GRPO's curve, from the log of a run that goes on if it was stopped."""
    for _ in zero.run(folder, config, base=base, method=Counting):
        pass
    points, sampled, trained = [], 0, 0
    for line in checkpoints.read_log(folder / "metrics.jsonl"):
        sampled += line.get("sampled", 0)
        trained += line.get("trained", 0)
        if "accuracy" in line:
            thought = line["test_thinking_tokens"]
            points.append((line["step"], sampled, trained, line["accuracy"], thought))
    return _curve(points)


def _distil(
    bench: Bench, bought: Sequence[Answer], config: zero.ZeroConfig, rate: float, out: Path
) -> Row:
    """Distillation's curve: the right ones of the answers bought, read once in `config.steps`."""
    paid = sum(len(a.trace.completion) for a in bought)
    right = [a.trace for a in bought if a.right]
    learnt = sum(len(trace.completion) for trace in right)
    each = -(-sum(map(len, right)) // config.steps)
    plan = replace(
        bench.config, seed=bench.seed, steps=config.steps, tokens=each, learning_rate=rate
    )
    student, tokenizer = models.load(bench.base(SHIPPED))

    def point(step: int) -> tuple[float, ...]:
        found = zero.evaluate(student, tokenizer, n=config.evaluate_puzzles, seed=bench.seed)
        so_far = (paid * step // config.steps, learnt * step // config.steps)
        return step, *so_far, found["accuracy"], found["thinking_tokens"]

    points = [point(0)]
    for step, _ in trace_sft.finetune(student, right, plan, tokenizer.eos_token_id):
        if step % config.evaluate_every == 0 or step == config.steps:
            points.append(point(step))
    models.save(student, tokenizer, out)
    return _curve(points)


def _buy(bench: Bench, tokens: int) -> list[Answer]:
    """As many answers of the teacher as `tokens` sampled tokens pay for."""
    answers = bench.ask(min(_PILOT, bench.config.traces))
    while (paid := sum(len(a.trace.completion) for a in answers)) <= tokens:
        answers = bench.ask(1 + int(1.1 * len(answers) * max(1.0, tokens / paid)))
    return _worth(answers, tokens)


def _worth(answers: Sequence[Answer], tokens: int) -> list[Answer]:
    """The first of the answers, as far as `tokens` go."""
    spent = accumulate(len(a.trace.completion) for a in answers)
    return [a for a, paid in zip(answers, spent, strict=True) if paid <= tokens]
