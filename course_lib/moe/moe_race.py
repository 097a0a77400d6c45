"""Lesson 2's trainings with several seeds: what balancing buys, and sparse against dense.

`python -m course_lib moe-race --seeds 5 --out DIR` trains every contestant of `moe_lab` with every
seed and writes `DIR/moe_race.json`; a run that is finished is not made again. The course's own
record stands in `assets/recorded/`.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from course_lib import records
from course_lib.errors import CourseError
from course_lib.model import models, router
from course_lib.moe.moe_lab import CONTESTANTS, compete
from course_lib.runtime import use_threads

RECORDED = models.shipped("recorded") / "moe_race.json"
SPARSE, RIVALS = "sparse", ("dense, same active", "dense, same total")
SHORT, LONG = 250, 1000
RATES = (2e-3, 4e-3, 8e-3)
"""Learning rates tried with seed 0, for a race in which everybody runs at their best."""

_POINTS = 25  # of a recorded curve


def one(
    out: Path, name: str, seed: int, steps: int = SHORT, rate: float | None = None
) -> dict[str, Any]:
    """One run's figures: kept in `out` from before where it was finished then, else made now."""
    rate = CONTESTANTS[name].rate if rate is None else rate
    kept = out / "runs" / f"{name.replace(', ', '-').replace(' ', '-')}-{steps}-{rate}-{seed}.json"
    if not kept.is_file():
        run = compete(name, seed, steps, rate)
        every = max(1, len(run.losses) // _POINTS)
        dense = run.loads.shape[1] == 0
        figures = {
            "held_out": round(run.held_out, 4),
            "imbalance": None if dense else round(run.imbalance(), 3),
            "dead": None if dense else run.dead(),
            "seconds": round(run.seconds, 1),
            "losses": [
                round(mean(run.losses[i : i + every]), 4) for i in range(0, len(run.losses), every)
            ],
        }
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    return json.loads(kept.read_text(encoding="utf-8"))


def sizes(name: str) -> dict[str, int]:
    """A contestant's parameters, in all and as far as one token uses them."""
    count = router.count_parameters(CONTESTANTS[name][0](seed=0).config.to_dict())
    return {"total": count.total, "active": count.active}


def record(out: Path, seeds: int, long_seeds: int, machine: str) -> dict[str, Any]:
    """All that is kept: how, where and when it was made, and every run's figures.

    `runs` is steps -> name -> seed, `rates` name -> learning rate; runs that are not in `out` yet
    are made.
    """
    plan = {SHORT: (seeds, tuple(CONTESTANTS)), LONG: (long_seeds, (SPARSE, RIVALS[0]))}
    return {
        "what": "small models of lesson 2, trained from scratch on the course's worked puzzles; "
        "held_out is nats per completion token on 512 puzzles that no run trains on",
        **records.stamp(
            machine,
            f"python -m course_lib moe-race --seeds {seeds} --long-seeds {long_seeds} --out DIR",
        ),
        "sizes": {name: sizes(name) for name in CONTESTANTS},
        "runs": {
            str(steps): {n: {str(s): one(out, n, s, steps) for s in range(count)} for n in names}
            for steps, (count, names) in plan.items()
        },
        "rates": {
            name: {str(rate): one(out, name, 0, rate=rate) for rate in RATES}
            for name in (SPARSE, RIVALS[0])
        },
    }


def load_record(path: str | Path = RECORDED) -> dict[str, Any]:
    """A record. Raises CourseError, with the command that makes one, where it cannot be read."""

    def check(kept: dict[str, Any]) -> None:
        for name in CONTESTANTS:
            held_out(kept, name, SHORT)
        leads(kept, RIVALS[0], LONG)

    return records.read(path, "python -m course_lib moe-race --out DIR", check, "race")


def held_out(record: Mapping[str, Any], name: str, steps: int) -> list[float]:
    """A contestant's held-out losses at the end, seed by seed."""
    return [float(run["held_out"]) for run in record["runs"][str(steps)][name].values()]


def leads(record: Mapping[str, Any], over: str, steps: int, name: str = SPARSE) -> list[float]:
    """By how many nats per token `name` is ahead of `over`, seed by seed: the same puzzles."""
    pairs = zip(held_out(record, over, steps), held_out(record, name, steps), strict=True)
    return [theirs - ours for theirs, ours in pairs]


def balance_words(record: Mapping[str, Any]) -> str:
    """What balancing did with every seed: imbalance, idle experts and held-out loss."""
    said = []
    for name in (name for name, one in CONTESTANTS.items() if one.make is CONTESTANTS[SPARSE].make):
        runs = record["runs"][str(SHORT)].get(name, {}).values()
        if runs:
            worst, idle = [r["imbalance"] for r in runs], [r["dead"] for r in runs]
            losses = held_out(record, name, SHORT)
            said.append(
                f"{CONTESTANTS[name].balancing:10} imbalance {min(worst):.2f} to {max(worst):.2f}, "
                f"dead experts {min(idle)} to {max(idle)}, held-out loss {mean(losses):.3f} "
                f"({min(losses):.3f} to {max(losses):.3f})"
            )
    return "\n".join(said)


def rate_words(record: Mapping[str, Any]) -> str:
    """The held-out loss of both kinds of model at each learning rate that was tried."""
    said = []
    for name, tried in record["rates"].items():
        losses = ", ".join(f"{rate}: {run['held_out']:.3f}" for rate, run in tried.items())
        said.append(f"{name:20} {losses}")
    return "\n".join(said)


def provenance(record: Mapping[str, Any]) -> str:
    """Where, when and how the record was made, in words: to be printed beside what it shows."""
    return records.said(record, f", seeds {', '.join(record['runs'][str(SHORT)][SPARSE])}")


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m course_lib moe-race`: every contestant, length and seed in turn, then a record."""
    args = _parser().parse_args(argv)
    if min(args.seeds, args.long_seeds) < 1:
        raise CourseError("--seeds and --long-seeds must be at least 1: there is nothing to show.")
    use_threads()
    made = args.out / RECORDED.name
    kept = record(args.out, args.seeds, args.long_seeds, args.machine)
    made.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"The record is in {made}.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m course_lib moe-race",
        description="Train the small models of lesson 2 again, with several seeds.",
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 0 (5)")
    parser.add_argument("--long-seeds", type=int, default=3, help="of them, for long runs (3)")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and record")
    parser.add_argument(
        "--machine", default=platform.processor() or platform.machine(), help="said in the record"
    )
    return parser
