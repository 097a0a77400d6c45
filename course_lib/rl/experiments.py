"""Controls and variants of R1-Zero by name: what makes the growth of reasoning believable.

Each experiment is the run of `course_lib.rl.zero` with one thing changed, on the same puzzles and
seeds: `python -m course_lib experiment NAME --seeds 5 --out DIR`. What was recorded beforehand
stands in `assets/recorded/experiments/`, with machine, date and command; `record` made it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import checkpoints, models
from course_lib.rl import zero
from course_lib.rl.ppo_run import PPOLearner
from course_lib.rl.zero import PUZZLES, Task, ZeroConfig
from course_lib.task import puzzles, traces
from course_lib.task.puzzles import Puzzle

RECORDED = records.RECORDED / "experiments"
_LONG = 40  # pieces of a thought that earn the whole reward for length

SHORT = ZeroConfig(steps=30, evaluate_every=10, evaluate_puzzles=256)
"""A control run: half a minute of computing; the spine's run is longer."""

IN_A_HURRY = replace(SHORT, steps=20, max_new_tokens=16, evaluate_every=5, evaluate_puzzles=128)
"""Few steps and a sixth of the tokens: room for two attempts at a small puzzle, and an answer."""


# --- rewards that are not the outcome -------------------------------------------------------------


def coin(puzzle: Puzzle, completion: str) -> float:
    """1.0 or 0.0 by chance: one toss for every puzzle and text, so that runs can be repeated."""
    # Not crc32: it is linear, so two puzzles would see the same tosses, or the opposite ones.
    return float(hashlib.blake2b(f"{puzzle}|{completion}".encode()).digest()[0] % 2)


def tidy(puzzle: Puzzle, completion: str) -> float:
    """1.0 for a closed thought and one answer of the right length, right or wrong."""
    trace, signs = traces.parse_trace(completion), puzzles.answer(completion)
    complete = signs is not None and len(signs) == len(puzzle.numbers) - 1
    return float(complete and trace.opened and trace.closed)


def length(puzzle: Puzzle, completion: str) -> float:
    """From 0.0 for no thought to 1.0 for one of 40 pieces or more, whatever it says."""
    return min(1.0, len(traces.parse_trace(completion).thinking.split()) / _LONG)


def sloppy(puzzle: Puzzle, completion: str) -> float:
    """1.0 where the right signs stand anywhere in the text, as `expected in output` would have it.

    It looks like a verifier, and on honest answers it is one. Nothing asks for *one* answer.
    """
    return float(any(puzzles.format_answer(s) in completion for s in puzzles.solutions(puzzle)))


def rewarded(reward: Callable[[Puzzle, str], float], task: Task = PUZZLES) -> Task:
    """The puzzles with another reward; accuracy is still by the exact verifier."""
    return replace(task, reward=reward)


SMALL = replace(
    PUZZLES,
    draw=partial(puzzles.sample, size=3),
    held_out=partial(puzzles.sample, split="test", size=3),
)
"""Puzzles of three digits: two signs, four choices. The base has mostly read of larger ones."""


# --- a base that cannot add -----------------------------------------------------------------------


def scramble_totals(folder: Path) -> Path:
    """Save the shipped base with its adder broken, and return `folder`.

    The rows of the output layer that write totals (`=10`, `=ten`) change places: where the base
    means one total it writes another, always the same. All else, thinking included, is as before.
    """
    model, tokenizer = models.load(models.shipped("mini-v3-base"))
    totals = [i for piece, i in models.token_ids(tokenizer).items() if piece.startswith("=")]
    order = torch.randperm(len(totals), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        rows = model.lm_head.weight[totals]
        model.lm_head.weight[totals] = rows[order]
    models.save(model, tokenizer, folder)
    return folder


# --- a policy that has cheated --------------------------------------------------------------------


def hack(folder: Path) -> Path:
    """Train the shipped base on the sloppy verifier, and return the folder of the hacked policy."""
    work = folder.with_name("hacking")
    for _ in zero.run(work, IN_A_HURRY, task=rewarded(sloppy, SMALL)):
        pass
    return (work / "checkpoint").rename(folder)


# --- groups that teach ----------------------------------------------------------------------------


@dataclass
class DynamicSampling(zero.Learner):
    """GRPO on groups that teach only: DAPO's dynamic sampling (arXiv 2503.14476, section 3.2).

    More puzzles are put than are learnt from. Groups with all rewards equal are dropped, and others
    stand in their place, so that every update is a mean over as many groups as `SHORT` has. (DAPO
    samples on until there are enough; here a step whose spare groups run out has fewer.)
    """

    def update(self, experience: zero.Experience) -> dict[str, float]:
        """Learn from the first groups that teach; as `Learner.update`."""
        teaching = (experience.rewards != experience.rewards[:, :1]).any(1).nonzero().squeeze(1)
        if len(teaching):
            experience = groups(experience, teaching[: SHORT.puzzles].tolist())
        return super().update(experience)


def groups(experience: zero.Experience, groups: list[int]) -> zero.Experience:
    """Some groups of one step's experience."""
    size = experience.rewards.shape[1]
    rows = [group * size + i for group in groups for i in range(size)]
    device = experience.rollout.ids.device
    return zero.Experience(
        experience.rollout.take(torch.tensor(rows, dtype=torch.long, device=device)),
        [experience.items[row] for row in rows],
        [experience.texts[row] for row in rows],
        experience.rewards[groups],
    )


# --- the list -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Experiment:
    """One thing changed: what it asks, what is run, on which base (None: the shipped one), how."""

    asks: str
    config: ZeroConfig = SHORT
    task: Task = PUZZLES
    base: Callable[[Path], Path] | None = None
    method: type[zero.Learner] = zero.Learner


CONTROLS: dict[str, Experiment] = {
    "outcome": Experiment("The run itself: right answers are rewarded and nothing else."),
    "no-thinking": Experiment(
        "Is it the thinking that raises accuracy? `<think>` and totals cannot be written.",
        replace(SHORT, banned=("<think>", *(p for p in models.vocabulary() if p[:1] == "="))),
    ),
    "random-reward": Experiment(
        "Does any reward do? A coin is tossed for each completion.", task=rewarded(coin)
    ),
    "format-only": Experiment(
        "Is it the format? A tidy thought and one answer are rewarded, right or wrong.",
        task=rewarded(tidy),
    ),
    "length-only": Experiment(
        "Is it the length? Long thoughts are rewarded, whatever they say.", task=rewarded(length)
    ),
    "cannot-add": Experiment(
        "Does the base matter? The same run on a base that writes wrong totals.",
        base=scramble_totals,
    ),
}

VARIANTS: dict[str, Experiment] = {
    "divide-by-std": Experiment(
        "Advantages divided by the group's standard deviation.", replace(SHORT, std="sample")
    ),
    "sequence-mean": Experiment(
        "Each completion's tokens share its weight.", replace(SHORT, reduce="sequence")
    ),
    "as-published": Experiment(
        "GRPO as first published: divided by the standard deviation, and the sequence mean.",
        replace(SHORT, std="sample", reduce="sequence"),
    ),
    "token-mean": Experiment(
        "DAPO's mean: over all tokens of the step.", replace(SHORT, reduce="token")
    ),
    "kl": Experiment("Held to the base by a KL term of 0.02.", replace(SHORT, kl=0.02)),
    "two-updates": Experiment("Two updates a rollout, clipped.", replace(SHORT, updates=2)),
    "four-updates": Experiment("Four updates a rollout, clipped.", replace(SHORT, updates=4)),
    "clip-higher": Experiment(
        "Four updates, and DAPO's wider clip upwards.",
        replace(SHORT, updates=4, clip=(0.2, 0.28)),
    ),
    "dynamic-sampling": Experiment(
        "DAPO's dynamic sampling: half as many puzzles again are put, and groups that teach kept.",
        replace(SHORT, puzzles=SHORT.puzzles * 3 // 2),
        method=DynamicSampling,
    ),
    "ppo": Experiment(
        "PPO: a value model as large as the policy says what was to be expected.",
        method=PPOLearner,
    ),
}

HACKS: dict[str, Experiment] = {
    "hacked": Experiment(
        "What does a sloppy verifier teach? The right signs count wherever they stand.",
        IN_A_HURRY,
        task=rewarded(sloppy, SMALL),
    ),
    "mended": Experiment("The same run with the exact verifier.", IN_A_HURRY, task=SMALL),
    "mended-with-room": Experiment("The exact verifier, and room and time to think.", task=SMALL),
    "mended-too-late": Experiment(
        "Can the hacked policy be saved? It goes on with the exact verifier.",
        IN_A_HURRY,
        task=SMALL,
        base=hack,
    ),
}

EXPERIMENTS: dict[str, Experiment] = {**CONTROLS, **VARIANTS, **HACKS}


def find(name: str) -> Experiment:
    """The experiment of that name. Raises CourseError, with the list, for another name."""
    if name not in EXPERIMENTS:
        raise CourseError(f"There is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


# --- running and recording ------------------------------------------------------------------------


def run(
    name: str, seed: int, out: str | Path, *, steps: int | None = None
) -> Iterator[dict[str, float]]:
    """Run an experiment with one seed in `out/NAME/seed-N`; yields a dict a step, as `zero.run`.

    A run that was stopped goes on from its checkpoint. Raises CourseError for an unknown name.
    """
    experiment = find(name)
    folder = Path(out) / name
    base = None
    if experiment.base is not None:
        base = folder / "base"
        if not (base / "config.json").is_file():
            experiment.base(base)
    config = replace(experiment.config, seed=seed)
    if steps is not None:
        config = replace(config, steps=steps)
    yield from zero.run(
        folder / f"seed-{seed}",
        config,
        base=base,
        task=experiment.task,
        method=experiment.method,
    )


_COLUMNS = ("reward", "thinking_tokens", "attempts", "clip_fraction", "informative")
_HELD_OUT = ("accuracy", "test_thinking_tokens", "test_attempts", "test_wrong_steps")


def columns(lines: list[dict[str, Any]], seconds: float) -> dict[str, list[float]]:
    """A run's log as columns: what was measured at every step, and (from `tried`) now and then.

    `step` goes with the figures of training, `tried` with those on held-out puzzles. `seconds` is
    the processor's time for the whole run, which other programs on the machine do not change much.
    """
    trained = [line for line in lines if "reward" in line]
    tested = [line for line in lines if "accuracy" in line]
    out = {"step": [line["step"] for line in trained], "tried": [x["step"] for x in tested]}
    out |= {name: [round(x[name], 4) for x in trained if name in x] for name in _COLUMNS}
    out |= {name: [round(x[name], 4) for x in tested if name in x] for name in _HELD_OUT}
    return out | {"seconds": [round(seconds, 1)]}


def record(name: str, runs: Mapping[int, dict[str, Any]], machine: str) -> dict[str, Any]:
    """All that is kept of an experiment: where and when it was run, and each seed's columns."""
    count = len(runs)
    return {
        "name": name,
        "asks": find(name).asks,
        **records.stamp(
            machine, f"python -m course_lib experiment {name} --seeds {count} --out DIR"
        ),
        "steps": find(name).config.steps,
        "changed": changed(find(name).config),
        "runs": {str(seed): run for seed, run in runs.items()},
    }


def changed(config: ZeroConfig) -> dict[str, Any]:
    """The fields in which `config` differs from `SHORT`; a long list of tokens is only counted."""
    ours, plain = asdict(config), asdict(SHORT)
    differs = {key: value for key, value in ours.items() if value != plain[key]}
    if "banned" in differs:
        differs["banned"] = f"{len(differs['banned'])} tokens"
    return differs


def load_record(name: str, folder: str | Path = RECORDED) -> dict[str, Any]:
    """A record by name. Raises CourseError, with the command to make one, where there is none."""
    return records.read(Path(folder) / f"{name}.json", f"python -m course_lib experiment {name}")


def is_recorded(name: str, folder: str | Path = RECORDED) -> bool:
    """Whether there is a record of that name."""
    return (Path(folder) / f"{name}.json").is_file()


def newest(names: Iterable[str], own: str | Path) -> dict[str, dict[str, Any]]:
    """Records by name: the reader's in the folder `own` where there are any, else the course's.

    Experiments that nobody has recorded are left out.
    """
    folders = {n: own if is_recorded(n, own) else RECORDED for n in names}
    return {n: load_record(n, folder) for n, folder in folders.items() if is_recorded(n, folder)}


def provenance(kept: Mapping[str, dict[str, Any]]) -> str:
    """Where, when and how each record was made, in words: to be printed beside what it shows."""
    return "\n".join(records.said(r, f", seeds {', '.join(r['runs'])}") for r in kept.values())


def training_bytes(name: str, parameters: int) -> int:
    """Bytes that weights, gradients and Adam's two moments take in float32, activations aside.

    `parameters` is the policy's size. A KL term needs the reference's weights as well; PPO trains a
    value model, taken to be as large as the policy.
    """
    experiment = find(name)
    trained = 2 if experiment.method is PPOLearner else 1
    return parameters * 4 * (4 * trained + bool(experiment.config.kl))


def table(kept: Mapping[str, dict[str, Any]]) -> str:
    """The ends of experiments in plain text, one line each: see `summary`, `training_bytes`."""
    size = models.parameters(models.load(models.shipped("mini-v3-base"))[0])
    head = ("accuracy (least to most)", "thinking", "s/step", "MB", "seeds")
    lines = [" " * 17 + "".join(f"{h:>{w}}" for h, w in zip(head, (27, 10, 9, 7, 7), strict=True))]
    for name, record in kept.items():
        end = summary(record)
        spread = f"{end['accuracy']:.1%} ({end['least']:.1%} to {end['most']:.1%})"
        lines.append(
            f"{name:17}{spread:>27}{end['thinking_tokens']:10.1f}"
            f"{end['seconds'] / record['steps']:9.2f}"
            f"{training_bytes(name, size) / 1e6:7.1f}{end['seeds']:7}"
        )
    return "\n".join(lines)


def summary(record: dict[str, Any]) -> dict[str, float]:
    """The end of an experiment over its seeds: mean, least and most accuracy, mean thinking."""
    ends = [run["accuracy"][-1] for run in record["runs"].values()]
    return {
        "seeds": len(ends),
        "accuracy": mean(ends),
        "least": min(ends),
        "most": max(ends),
        "reward": mean(mean(run["reward"][-5:]) for run in record["runs"].values()),
        "thinking_tokens": mean(run["test_thinking_tokens"][-1] for run in record["runs"].values()),
        "seconds": mean(run["seconds"][0] for run in record["runs"].values()),
    }


def main(argv: list[str] | None = None) -> int:
    """`python -m course_lib experiment NAME`: every seed in turn, then one record of them all."""
    args = _parser().parse_args(argv)
    find(args.name)
    if args.seeds < 1:
        raise CourseError(f"--seeds is {args.seeds}; it takes at least 1 seed to learn anything.")
    runs = {}
    for seed in range(args.seeds):
        runs[seed] = _one_seed(args.name, seed, args.out, args.steps)
        kept = record(args.name, runs, args.machine)
        records.write(args.out / f"{args.name}.json", kept)
    print(json.dumps(summary(kept)))
    return 0


def _one_seed(name: str, seed: int, out: Path, steps: int | None) -> dict[str, Any]:
    """One seed's columns: kept from before where it was finished then, else run (on)."""
    kept = out / name / f"seed-{seed}" / "columns.json"
    if not kept.is_file():
        began = time.process_time()
        for line in run(name, seed, out, steps=steps):
            if "accuracy" in line:
                print(f"seed {seed} step {line['step']}: accuracy {line['accuracy']:.3f}")
        lines = checkpoints.read_log(kept.with_name("metrics.jsonl"))
        kept.write_text(json.dumps(columns(lines, time.process_time() - began)))
    return json.loads(kept.read_text())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib experiment",
        description="Run a control or a variant of R1-Zero, with several seeds.",
    )
    names = ", ".join(EXPERIMENTS)
    parser.add_argument("name", metavar="NAME", help=f"one of {names}")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0 (5)")
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and record")
    parser.add_argument(
        "--machine", default=platform.processor() or platform.machine(), help="said in the record"
    )
    return parser
