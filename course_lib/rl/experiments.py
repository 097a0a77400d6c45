"""Experiments on R1-Zero: run with several seeds, recorded, found again and compared.

`python -m course_lib experiment NAME --seeds 5 --out DIR` runs one of `variants.EXPERIMENTS` on the
same puzzles and seeds as the others. What was recorded beforehand stands in
`assets/recorded/experiments/`, with machine, date and command; `record` made it.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from course_lib import records
from course_lib.errors import COUNT, WHOLE
from course_lib.model import checkpoints, models
from course_lib.rl.experience import groups
from course_lib.rl.ppo import PPOLearner, ValueModel
from course_lib.rl.rewards import coin, length, lenient, tidy
from course_lib.rl.variants import (
    CONTROLS,
    EXPERIMENTS,
    HACKS,
    SEARCH,
    SHORT,
    VARIANTS,
    Experiment,
    changed,
    find,
    rewarded,
    run,
    scramble_totals,
    settings,
)
from course_lib.runtime import processor_seconds
from course_lib.show import tables
from course_lib.show.tables import Table

__all__ = [
    "CONTROLS",
    "EXPERIMENTS",
    "HACKS",
    "SEARCH",
    "SHORT",
    "VARIANTS",
    "Experiment",
    "changed",
    "coin",
    "find",
    "groups",
    "length",
    "lenient",
    "rewarded",
    "run",
    "scramble_totals",
    "settings",
    "tidy",
]

RECORDED = records.RECORDED / "experiments"

_COLUMNS = (
    "reward", "thinking_tokens", "attempts", "clip_fraction", "informative", "entropy",
    "cpu_seconds", "kl", "mismatch",
)  # fmt: skip
_HELD_OUT = ("accuracy", "test_thinking_tokens", "test_attempts", "test_wrong_steps")


def columns(lines: list[dict[str, Any]], seconds: float) -> dict[str, list[float]]:
    """A run's log as columns: what was measured at every step, and (from `tried`) now and then.

    `step` goes with the figures of training, `tried` with those on held-out puzzles. `seconds` is
    the processor's time for the whole run and `cpu_seconds` for each step, trials apart: other
    programs on the machine change neither much.
    """
    trained = [line for line in lines if "reward" in line]
    tested = [line for line in lines if "accuracy" in line]
    out = {"step": [line["step"] for line in trained], "tried": [x["step"] for x in tested]}
    out |= {
        name: [round(x[name], 4) for x in trained if x.get(name) is not None] for name in _COLUMNS
    }
    out |= {name: [round(x[name], 4) for x in tested if name in x] for name in _HELD_OUT}
    return out | {"seconds": [round(seconds, 1)]}


def record(name: str, runs: Mapping[int, dict[str, Any]], machine: str) -> dict[str, Any]:
    """All that is kept of an experiment: where and when it was run, and each seed's columns."""
    count, first = len(runs), min(runs)
    steps = min(max(0, *run["step"], *run["tried"]) for run in runs.values())
    stopped = {"stopped_after": steps} if steps < find(name).config.steps else {}
    begin = f" --first {first}" if first else ""
    return {
        "name": name,
        "asks": find(name).asks,
        **records.stamp(
            machine, f"python -m course_lib experiment {name} --seeds {count}{begin} --out DIR"
        ),
        "steps": steps,
        "settings": settings(name) | stopped,
        "changed": changed(find(name).config),
        "runs": {str(seed): run for seed, run in runs.items()},
    }


def load_record(name: str, folder: str | Path = RECORDED) -> dict[str, Any]:
    """A record by name. Raises CourseError, with the command to make one, where there is none."""
    return records.read(Path(folder) / f"{name}.json", f"python -m course_lib experiment {name}")


def stale(record: Mapping[str, Any]) -> list[str]:
    """The settings in which a record differs from the experiment of its name as it is now."""
    now, then = settings(record["name"]), record.get("settings", {})
    return sorted(name for name in now if now[name] != then.get(name))


def is_recorded(name: str, folder: str | Path = RECORDED) -> bool:
    """Whether there is a record of that name."""
    return os.path.isfile(Path(folder) / f"{name}.json")


def newest(names: Iterable[str], own: str | Path) -> dict[str, dict[str, Any]]:
    """Records by name: the reader's in the folder `own` where there are any, else the course's.

    Experiments that nobody has recorded are left out, and so are records of runs that were stopped.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        kept = [load_record(name, f) for f in (own, RECORDED) if is_recorded(name, f)]
        whole = [record for record in kept if _whole(record)]
        if whole:
            found[name] = whole[0]
    return found


def _whole(record: Mapping[str, Any]) -> bool:
    return record.get("steps", 0) > 0 and "stopped_after" not in record.get("settings", {})


def provenance(kept: Mapping[str, dict[str, Any]]) -> str:
    """Where, when and how each record was made, in words: to be printed beside what it shows."""
    return "\n".join(records.said(r, f", seeds {', '.join(r['runs'])}") for r in kept.values())


def training_bytes(name: str, parameters: int, critic: int = 0) -> int:
    """Bytes that weights, gradients and Adam's two moments take in float32, activations aside.

    `parameters` is the policy's size. A KL term needs the reference's weights as well; PPO trains a
    value model of the size `critic`.
    """
    experiment = find(name)
    trained = parameters + (critic if experiment.method is PPOLearner else 0)
    return 4 * (4 * trained + (parameters if experiment.config.kl else 0))


def table(kept: Mapping[str, dict[str, Any]]) -> Table:
    """The ends of experiments, a row each: see `summary`, `training_bytes`.

    A run beside other work has no time: its processor's caches were not its own.
    """
    base = models.load(models.shipped("mini-v3-base"))[0]
    sizes = models.parameters(base), models.parameters(ValueModel.like(base))
    rows = []
    for name, record in kept.items():
        end, beside = summary(record), re.search("shared|busy", record["machine"])
        rows.append(
            {
                "run": name,
                **{figure: end[figure] for figure in ("accuracy", "least", "most")},
                "thinking": end["thinking_tokens"],
                "s/step": None if beside else end["seconds"] / record["steps"],
                "MB": training_bytes(name, *sizes) / 1e6,
                "seeds": end["seeds"],
            }
        )
    shares = dict.fromkeys(("accuracy", "least", "most"), "{:.1%}")
    caption = "The end of each run: mean, least and most over its seeds; –: not timed alone"
    return tables.table(
        caption, rows, shares | {"thinking": "{:.1f}", "s/step": "{:.2f}", "MB": "{:.1f}"}
    )


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
    parser = records.parser(
        "experiment",
        "Run a control or a variant of R1-Zero, with several seeds.",
        "folder for runs and record",
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seeds", type=COUNT, default=5, help="how many seeds (5)")
    parser.add_argument("--first", type=WHOLE, default=0, help="the first seed (0)")
    parser.add_argument("--steps", type=COUNT, help="stop after this many steps")
    args = parser.parse_args(argv)
    find(args.name)
    runs = {}
    for seed in range(args.first, args.first + args.seeds):
        runs[seed] = _one_seed(args.name, seed, args.out, args.steps)
        kept = record(args.name, runs, args.machine)
        path = args.out / f"{args.name}{'' if _whole(kept) else '-stopped'}.json"
        records.write(path, kept)
    if _whole(kept):
        print(json.dumps(summary(kept)))
    else:
        print(
            f"Stopped after step {kept['steps']} of {find(args.name).config.steps}; {path} holds "
            "what there is, and no table shows it. Without --steps the run goes on from there."
        )
    return 0


def _one_seed(name: str, seed: int, out: Path, steps: int | None) -> dict[str, Any]:
    """One seed's columns: kept from before where it was finished then, else run (on)."""
    kept = out / name / f"seed-{seed}" / "columns.json"
    if not kept.is_file():
        began = processor_seconds()
        for line in run(name, seed, out, steps=steps):
            if "accuracy" in line:
                print(f"seed {seed} step {line['step']}: accuracy {line['accuracy']:.3f}")
        lines = checkpoints.read_log(kept.with_name("metrics.jsonl"))
        found = columns(lines, processor_seconds() - began)
        if steps is not None and steps < find(name).config.steps:
            return found  # not the whole run: it can go on
        records.write(kept, found)
    return records.read(kept, f"the same command, once {kept.parent} is deleted")
