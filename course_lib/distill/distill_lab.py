"""Experiments on distillation by name, each run again by one command, and their records.

`python -m course_lib distill-lab NAME --seeds 3 --out DIR` runs an experiment with several seeds
and writes `DIR/distill-NAME.json` after every row; give the command again and it goes on with the
seeds that are missing. The course's own records stand in `assets/recorded/`.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from course_lib import records
from course_lib.distill import soft_labels, trace_sft
from course_lib.distill.trace_sft import DistillConfig, Trace
from course_lib.errors import CourseError
from course_lib.model import checkpoints, models, pretrain
from course_lib.rl import zero
from course_lib.runtime import use_threads
from course_lib.task import puzzles, traces
from course_lib.task.puzzles import Puzzle

RECORDED = records.RECORDED
TEACHER = "mini-r1-zero"

SHORT = DistillConfig(steps=150, tokens=2048, traces=2000, warmup=10, evaluate_puzzles=512)
"""A comparison: half of the lesson's updates, in smaller batches."""

COUNTS = (50, 300, 1800)
"""How many right traces a student is given; the updates are as many for each."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Student:
    """The shape of a student."""

    family: str
    hidden: int
    layers: int


STUDENTS: dict[str, Student] = {
    "qwen2 96x3": Student("qwen2", 96, 3),
    "llama 64x3": Student("llama", 64, 3),
    "qwen2 48x2": Student("qwen2", 48, 2),
}
"""The students of `sizes` by family, width and layers; all have read the same."""

PRETRAINED = 2500
"""Updates of pretraining for each of them, so that a difference is one of size and not of reading.

About a third of what the shipped base has read: three bases must not take longer than the rest.
"""

SHIPPED = "qwen2 96x3, shipped base"
"""The student of the other experiments: it has the base that comes with the course."""


# --- what every experiment needs ------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """One answer of the teacher: the puzzle, its trace in tokens and whether it is right."""

    puzzle: Puzzle
    trace: Trace
    right: bool


@dataclass
class Bench:
    """A teacher, a folder for bases and runs, and a seed."""

    teacher: Path
    out: Path
    seed: int = 0
    config: DistillConfig = SHORT

    @cached_property
    def expert(self) -> PreTrainedModel:
        return self._loaded[0]

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return models.load(self.teacher)

    @cached_property
    def answers(self) -> list[Answer]:
        """The teacher's answers to `config.traces` training puzzles, drawn with the seed."""
        return self.ask(self.config.traces)

    def ask(self, n: int) -> list[Answer]:
        """The teacher's answers to `n` training puzzles."""
        items = puzzles.sample(n, self.seed)
        found, right = trace_sft.gather(
            self.expert,
            self.tokenizer,
            items,
            seed=self.seed,
            max_new_tokens=self.config.max_new_tokens,
        )
        return [Answer(*three) for three in zip(items, found, right, strict=True)]

    def base(self, name: str) -> Path:
        """The folder of a student's base: the shipped one, or one pretrained here (once)."""
        if name == SHIPPED:
            return models.shipped("qwen2-base")
        student = STUDENTS[name]
        folder = self.out / "bases" / name.replace(" ", "-")
        shape = models.student_config(
            self.tokenizer, student.family, hidden=student.hidden, layers=student.layers
        )
        for _ in pretrain.run(folder, pretrain.PretrainConfig(steps=PRETRAINED), shape):
            pass
        return folder / "checkpoint"

    def taught(self, name: str, learnt: Sequence[Trace]) -> PreTrainedModel:
        """A student fine-tuned on traces, from its base."""
        student, tokenizer = models.load(self.base(name))
        trace_sft.require_same_vocabulary(self.tokenizer, tokenizer)
        config = replace(self.config, seed=self.seed)
        for _ in trace_sft.finetune(student, learnt, config, tokenizer.eos_token_id):
            pass
        return student

    def row(self, model: PreTrainedModel, **about: Any) -> Row:
        """A row of a record: what is said of a model, and everything measured on it."""
        return {
            **about,
            "parameters": models.parameters(model),
            "bytes": sum(p.numel() * p.element_size() for p in model.parameters()),
            **measure(model, self.tokenizer, self.config.evaluate_puzzles, self.seed),
        }


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int, seed: int
) -> dict[str, Any]:
    """Accuracy, habits, speed and examples on `n` held-out puzzles; fewer of other lengths.

    `tokens_per_second` counts the processor's seconds (one thread, many answers at once), so that
    other programs do not spoil it. `lucky` is the share of right answers with wrong working, and
    `step_errors` the share of all steps of working that are wrong.
    """
    items = puzzles.sample(n, seed, "test")
    began = time.process_time()
    found = _answers(model, tokenizer, items, 96, seed)
    spent = time.process_time() - began
    shown = puzzles.sample(3, 7, "test")
    examples = _answers(model, tokenizer, shown, 96, 1)
    return {
        "accuracy": float(found.rewards.mean()),
        **zero.summarise(found, zero.PUZZLES, tokenizer),
        "lucky": lucky(items, found.texts),
        "step_errors": step_errors(items, found.texts),
        **other_lengths(model, tokenizer, n // 2, seed),
        "tokens_per_second": round(int(found.rollout.lengths.sum()) / spent),
        "examples": dict(zip(map(str, shown), examples.texts, strict=True)),
    }


def other_lengths(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, n: int, seed: int
) -> dict[str, float]:
    """The share right of `n` puzzles with three and with five digits, and what those look like.

    No teacher here was rewarded for either. `five_digits_signs` is the share of answers with as
    many signs as there are gaps, four, whether right or not.
    """
    shorter = puzzles.sample(n, seed, "test", size=3)
    longer = puzzles.sample(n, seed, "test", size=5)
    three = _answers(model, tokenizer, shorter, 96, seed)
    five = _answers(model, tokenizer, longer, 192, seed)
    signs = [len(puzzles.answer(text) or ()) for text in five.texts]
    return {
        "three_digits": float(three.rewards.mean()),
        "five_digits": float(five.rewards.mean()),
        "five_digits_signs": signs.count(4) / len(signs),
        "five_digits_step_errors": step_errors(longer, five.texts),
    }


def _answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Puzzle],
    most: int,
    seed: int,
) -> zero.Experience:
    config = zero.ZeroConfig(samples=1, max_new_tokens=most)
    generator = torch.Generator().manual_seed(seed)
    return zero.collect(model, tokenizer, zero.PUZZLES, items, config, generator)


def lucky(items: Sequence[Puzzle], texts: Sequence[str]) -> float:
    """The share of right answers whose thought has a wrong step or a wrong verdict, or no thought.

    0.0 where no answer is right.
    """
    right = [pair for pair in zip(items, texts, strict=True) if puzzles.reward(*pair) == 1.0]
    counts = [traces.count(text, puzzle) for puzzle, text in right]
    wrong = [c.wrong_steps > 0 or c.wrong_verdicts > 0 or not c.copied for c in counts]
    return sum(wrong) / len(wrong) if wrong else 0.0


def step_errors(items: Sequence[Puzzle], texts: Sequence[str]) -> float:
    """The share of steps of working that are wrong, 0.0 where there are none.

    Wrong is a digit that is not the puzzle's next, or a total that does not follow.
    """
    counts = [traces.count(text, puzzle) for puzzle, text in zip(items, texts, strict=True)]
    steps = sum(c.steps for c in counts)
    return sum(c.wrong_steps for c in counts) / steps if steps else 0.0


# --- the experiments ------------------------------------------------------------------------------


def sizes(bench: Bench) -> Iterator[Row]:
    """The teacher, then each student after each number of right traces, updates being equal."""
    yield bench.row(bench.expert, student="teacher", data="rewards", traces=0)
    right = [a.trace for a in bench.answers if a.right]
    for name in STUDENTS:
        base, _ = models.load(bench.base(name))
        yield bench.row(base, student=name, data="nothing yet", traces=0)
        for count in COUNTS:
            taught = bench.taught(name, right[:count])
            yield bench.row(taught, student=name, data="right", traces=min(count, len(right)))


def datasets(answers: Sequence[Answer], tokenizer: PreTrainedTokenizerBase) -> dict[str, list]:
    """The data of `quality` by name; `right, as few` has as many traces as `wrong answers`."""
    right = [a.trace for a in answers if a.right]
    wrong = [a.trace for a in answers if not a.right]
    return {
        "right": right[: max(COUNTS)],
        "unfiltered": [a.trace for a in answers[: max(COUNTS)]],
        "wrong answers": wrong,
        "right, as few": right[: len(wrong)],
        "answers only": [without_thinking(t, tokenizer) for t in right[: max(COUNTS)]],
    }


def without_thinking(trace: Trace, tokenizer: PreTrainedTokenizerBase) -> Trace:
    """The trace with its thought cut out, tags and all: what follows the last `</think>`."""
    end = tokenizer.convert_tokens_to_ids(models.END_THINK)
    ids = trace.completion
    start = len(ids) - ids[::-1].index(end) if end in ids else 0
    return Trace(trace.prompt, ids[start:])


def quality(bench: Bench) -> Iterator[Row]:
    """One student after each kind of data, updates being equal."""
    for name, learnt in datasets(bench.answers, bench.tokenizer).items():
        taught = bench.taught(SHIPPED, learnt)
        yield bench.row(taught, student=SHIPPED, data=name, traces=len(learnt))


SOFT: dict[str, tuple[str, float] | None] = {
    "traces, as DeepSeek": None,
    "forward KL, teacher's text": ("off", 0.0),
    "beta 0.5, teacher's text": ("off", 0.5),
    "reverse KL, student's text": ("on", 1.0),
}
"""How a student is taught in `soft`: on whose text (off or on the policy), and with which beta."""


def soft(bench: Bench) -> Iterator[Row]:
    """One student by traces alone and by soft labels, with half of the updates for each."""
    config = replace(bench.config, seed=bench.seed, steps=max(1, bench.config.steps // 2))
    right = [a.trace for a in bench.answers if a.right]
    pad = bench.tokenizer.eos_token_id
    for name, how in SOFT.items():
        student, _ = models.load(bench.base(SHIPPED))
        began = time.process_time()
        if how is None:
            run = trace_sft.finetune(student, right, config, pad)
        elif how[0] == "off":
            run = soft_labels.off_policy(student, bench.expert, right, config, pad, beta=how[1])
        else:
            run = soft_labels.on_policy(student, bench.expert, bench.tokenizer, config, beta=how[1])
        steps = len(list(run))
        spent = time.process_time() - began
        yield bench.row(student, student=SHIPPED, data=name, updates=steps, cpu_seconds=spent)


class _Counting(zero.Learner):
    """GRPO's learner, which also logs how many tokens were sampled."""

    def update(self, experience: zero.Experience) -> dict[str, float]:
        sampled = int(experience.rollout.lengths.sum())
        return super().update(experience) | {"sampled": sampled}


FIGHT = zero.ZeroConfig(steps=40, puzzles=8, evaluate_every=10, evaluate_puzzles=256)
"""GRPO in the fair fight: 128 completions a step."""


def fight(bench: Bench, config: zero.ZeroConfig = FIGHT) -> Iterator[Row]:
    """GRPO, distillation with as many updates and sampled tokens, and GRPO after distillation."""
    config = replace(config, seed=bench.seed)
    folder = bench.out / f"fight-{bench.seed}"
    alone = _reinforce(folder / "grpo", bench.base(SHIPPED), config)
    tokens = int(alone["sampled"][-1])
    yield {"data": "GRPO from its base", **alone}
    distilled = _distil_for(bench, tokens, config, folder / "distilled")
    yield {"data": "distillation", **distilled}
    after = _reinforce(folder / "after", folder / "distilled", config)
    yield {"data": "GRPO after distillation", **after}


def _curve(points: Sequence[tuple[float, ...]]) -> Row:
    """Points of a curve as columns: figures at some updates, and the tokens sampled until then."""
    names = ("updates", "sampled", "accuracy", "thinking")
    return {n: list(values) for n, values in zip(names, zip(*points, strict=True), strict=True)}


def _reinforce(folder: Path, base: Path, config: zero.ZeroConfig) -> Row:
    """GRPO's curve, from the log of a run that goes on if it was stopped."""
    for _ in zero.run(folder, config, base=base, method=_Counting):
        pass
    points, sampled = [], 0
    for line in checkpoints.read_log(folder / "metrics.jsonl"):
        sampled += line.get("sampled", 0)
        if "accuracy" in line:
            points.append((line["step"], sampled, line["accuracy"], line["test_thinking_tokens"]))
    return _curve(points)


def _distil_for(bench: Bench, tokens: int, config: zero.ZeroConfig, out: Path) -> Row:
    """Distillation's curve: traces of `tokens` sampled tokens, read once in `config.steps`."""
    bought = _buy(bench, tokens)
    paid = sum(len(a.trace.completion) for a in bought)
    right = [a.trace for a in bought if a.right]
    each = -(-sum(map(len, right)) // config.steps)
    plan = replace(bench.config, seed=bench.seed, steps=config.steps, tokens=each)
    student, tokenizer = models.load(bench.base(SHIPPED))

    def point(step: int) -> tuple[float, ...]:
        found = zero.evaluate(student, tokenizer, n=config.evaluate_puzzles, seed=bench.seed)
        spent = paid * step // config.steps
        return step, spent, found["accuracy"], found["thinking_tokens"]

    points = [point(0)]
    for step, _ in trace_sft.finetune(student, right, plan, tokenizer.eos_token_id):
        if step % config.evaluate_every == 0 or step == config.steps:
            points.append(point(step))
    models.save(student, tokenizer, out)
    return {**_curve(points), "traces": len(right)}


def _buy(bench: Bench, tokens: int) -> list[Answer]:
    """As many answers of the teacher as `tokens` sampled tokens pay for."""
    paid, bought = 0, []
    for answer in bench.answers:
        paid += len(answer.trace.completion)
        if paid > tokens:
            return bought
        bought.append(answer)
    more = replace(bench, config=replace(bench.config, traces=2 * bench.config.traces))
    return _buy(more, tokens)


@dataclass(frozen=True)
class Experiment:
    """What an experiment asks, the rows that answer it for one seed, and settings of its own."""

    asks: str
    rows: Callable[[Bench], Iterator[Row]]
    settings: Mapping[str, Any] = field(default_factory=dict)


EXPERIMENTS: dict[str, Experiment] = {
    "sizes": Experiment(
        "How large must a student be, how many traces does it need, and what is lost?",
        sizes,
        {"pretrained": PRETRAINED},
    ),
    "quality": Experiment("What must be in the traces?", quality),
    "soft": Experiment("Do the teacher's probabilities teach more than its text?", soft),
    "fight": Experiment(
        "Distillation or GRPO, for the same student and budget?", fight, {"grpo": asdict(FIGHT)}
    ),
}


# --- running and recording ------------------------------------------------------------------------


def find(name: str) -> Experiment:
    """The experiment of that name. Raises CourseError, with the list, for another name."""
    if name not in EXPERIMENTS:
        raise CourseError(f"There is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


def run(name: str, bench: Bench, machine: str) -> dict[str, Any]:
    """Run an experiment with the bench's seed and add its rows to `out/distill-NAME.json`.

    A seed that the record has whole is not run again, and one that it has in part is run anew.
    """
    experiment = find(name)
    use_threads()
    bench.out.mkdir(parents=True, exist_ok=True)
    path = bench.out / f"distill-{name}.json"
    record = json.loads(path.read_text()) if path.is_file() else _head(name, bench, machine)
    if bench.seed in record["seeds"]:
        return record
    record["rows"] = [row for row in record["rows"] if row["seed"] != bench.seed]
    for row in experiment.rows(bench):
        record["rows"].append(_rounded({"seed": bench.seed, **row}))
        records.write(path, record)
    record["seeds"].append(bench.seed)
    records.write(path, record)
    return record


def _head(name: str, bench: Bench, machine: str) -> dict[str, Any]:
    return {
        "name": name,
        "asks": find(name).asks,
        **records.stamp(machine, f"python -m course_lib distill-lab {name} --out DIR"),
        "config": {**asdict(bench.config), **find(name).settings},
        "seeds": [],
        "rows": [],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


def load_record(name: str, folder: str | Path = RECORDED) -> dict[str, Any]:
    """A record by name. Raises CourseError, with the command to make one, where there is none."""
    find(name)
    command = f"python -m course_lib distill-lab {name} --out DIR"
    return records.read(Path(folder) / f"distill-{name}.json", command)


def said(record: Mapping[str, Any]) -> str:
    """Where, when and how a record was made, in a sentence."""
    seeds = len(record["seeds"])
    whole = {**record, "command": f"{record['command']} --seeds {seeds}"}
    return records.said(whole, f", {seeds} seed{'' if seeds == 1 else 's'}")


def over_seeds(record: Mapping[str, Any], figure: str, *keys: str) -> dict[tuple, list[float]]:
    """A figure's values, one a seed, by what the rows have under `keys`, in the record's order."""
    found: dict[tuple, list[float]] = {}
    for row in record["rows"]:
        found.setdefault(tuple(row[key] for key in keys), []).append(row[figure])
    return found


def table(record: Mapping[str, Any], keys: Sequence[str], figures: Mapping[str, str]) -> str:
    """A record's means over seeds as plain text: a line for each `keys`, a column for each figure.

    `figures` is the figure's name -> how it is written, as in `{"accuracy": ".1%"}`.
    """
    columns = {figure: over_seeds(record, figure, *keys) for figure in figures}
    names = list(next(iter(columns.values())))
    width = max(len(", ".join(map(str, name))) for name in names)
    lines = [" " * width + "".join(f"{f.replace('_', ' '):>18}" for f in figures)]
    for name in names:
        cells = [f"{mean(columns[f][name]):{how}}" for f, how in figures.items()]
        label = ", ".join(map(str, name))
        lines.append(f"{label:{width}}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def at_the_end(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the last point of each curve in the place of the curve."""
    rows = [{k: v[-1] if isinstance(v, list) else v for k, v in r.items()} for r in record["rows"]]
    return {**record, "rows": rows}


def where(record: Mapping[str, Any], **wanted: Any) -> dict[str, Any]:
    """The record with only the rows that have these values, as in `where(record, traces=300)`."""
    rows = [r for r in record["rows"] if all(r.get(k) == v for k, v in wanted.items())]
    return {**record, "rows": rows}


def main(argv: list[str] | None = None) -> int:
    """`python -m course_lib distill-lab NAME`: every seed in turn, one record of them all."""
    args = _parser().parse_args(argv)
    find(args.name)
    if args.seeds < 1:
        raise CourseError(f"--seeds is {args.seeds}; it takes at least 1 seed to learn anything.")
    teacher = args.teacher or models.shipped(TEACHER)
    for seed in range(args.seeds):
        record = run(args.name, Bench(teacher, args.out, seed), args.machine)
        print(f"seed {seed}: {len(record['rows'])} rows in {args.out}/distill-{args.name}.json")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib distill-lab",
        description="Run an experiment on distillation, with several seeds.",
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 (3)")
    parser.add_argument("--teacher", type=Path, help="model folder (the course's R1-Zero)")
    parser.add_argument("--out", type=Path, required=True, help="folder for bases, runs, record")
    parser.add_argument(
        "--machine", default=platform.processor() or platform.machine(), help="said in the record"
    )
    return parser
