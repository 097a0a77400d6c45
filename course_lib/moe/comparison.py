"""Lesson 2's trainings with several seeds: what balancing buys, and sparse against dense.

Everybody runs at their own best: learning rate and strength of balancing are searched for each
contestant on seeds that are used for nothing else. `python -m course_lib moe-race --out DIR` makes
every run of the search and of the comparison and writes `DIR/moe_race.json`; a run that is finished
is not made again. The course's own record stands in `assets/recorded/`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from course_lib import records
from course_lib.errors import COUNT
from course_lib.model.accounting import count_parameters
from course_lib.moe.training import CONTESTANTS, compete
from course_lib.runtime import use_threads

RECORDED = records.RECORDED / "moe_race.json"
COMMAND = "python -m course_lib moe-race --out DIR"
SPARSE, RIVALS = "sparse", ("dense, same active", "dense, same total")
SHORT, LONG = 250, 1000
GOAL = 1.5
"""The imbalance below which a way of balancing counts as one."""

RATES = (2e-3, 4e-3, 8e-3)
STRENGTHS = {"none": (0.0,), "auxiliary": (0.01, 0.03, 0.1), "bias": (0.003, 0.01, 0.03)}
SEARCH_SEEDS = {SHORT: (100, 101), LONG: (100,)}
ENTRANTS = {SHORT: tuple(CONTESTANTS), LONG: (SPARSE, RIVALS[0])}

_POINTS = 25  # of a recorded curve

Figures = dict[str, Any]


def one(out: Path, name: str, seed: int, steps: int, rate: float, strength: float) -> Figures:
    """One run's figures: kept in `out` from before where it was finished then, else made now."""
    words = name.replace(", ", "-").replace(" ", "-")
    kept = out / "runs" / f"{words}-{steps}-{rate}-{strength}-{seed}.json"
    if not kept.is_file():
        run = compete(name, seed, steps, rate=rate, strength=strength)
        every = max(1, len(run.losses) // _POINTS)
        curve = [mean(run.losses[i : i + every]) for i in range(0, len(run.losses), every)]
        dense = run.loads.shape[1] == 0
        figures = {
            "held_out": round(run.held_out, 4),
            "imbalance": None if dense else [round(x, 3) for x in run.imbalance_by_layer()],
            "dead": None if dense else run.dead(),
            "seconds": round(run.seconds, 1),
            "losses": [round(loss, 4) for loss in curve],
        }
        records.write(kept, figures)
    return records.read(kept, f"the same command, once {kept} is deleted")


def search(out: Path, name: str, steps: int) -> list[Figures]:
    """The settings of a contestant that were tried on the seeds for searching, with their figures.

    First every rate, with the middle strength; then, at the best of them, the other strengths.
    """

    def trial(rate: float, strength: float) -> Figures:
        seeds = SEARCH_SEEDS[steps]
        made = {str(seed): one(out, name, seed, steps, rate, strength) for seed in seeds}
        return {"rate": rate, "strength": strength, "seeds": made}

    strengths = STRENGTHS[CONTESTANTS[name].balancing]
    middle = strengths[len(strengths) // 2]
    tried = [trial(rate, middle) for rate in RATES]
    rate, _ = best(tried)
    return tried + [trial(rate, strength) for strength in strengths if strength != middle]


def best(tried: Sequence[Figures]) -> tuple[float, float]:
    """The rate and strength with the lowest mean held-out loss on the seeds for searching.

    Where the strength of balancing was searched, only among the settings that balance: imbalance
    below `GOAL` in every layer with every seed. A cure that cures nothing costs nothing.
    """
    searched = len({trial["strength"] for trial in tried}) > 1
    cures = [trial for trial in tried if _worst(trial["seeds"].values()) < GOAL]
    chosen = min(
        cures if searched and cures else tried,
        key=lambda trial: mean(run["held_out"] for run in trial["seeds"].values()),
    )
    return chosen["rate"], chosen["strength"]


def _worst(runs: Any) -> float:
    return max((max(run["imbalance"]) for run in runs if run["imbalance"]), default=1.0)


def sizes(name: str) -> dict[str, int]:
    """A contestant's parameters, in all and as far as one token uses them."""
    count = count_parameters(CONTESTANTS[name].make(seed=0).config.to_dict())
    return {"total": count.total, "active": count.active}


def record(out: Path, seeds: int, machine: str) -> records.Record:
    """All that is kept: how, where and when it was made, the search, and every run's figures.

    `search` and `runs` are steps -> name -> a list of settings, or seed -> figures. Runs that are
    not in `out` yet are made.
    """
    tried = {
        steps: {name: search(out, name, steps) for name in names}
        for steps, names in ENTRANTS.items()
    }
    runs = {
        str(steps): {
            name: {
                str(s): one(out, name, s, steps, *best(tried[steps][name])) for s in range(seeds)
            }
            for name in names
        }
        for steps, names in ENTRANTS.items()
    }
    return {
        "what": "small models of lesson 2, trained from scratch on the course's worked puzzles; "
        "held_out is nats per completion token on 512 texts drawn with another seed; imbalance is "
        "largest over mean load of the real tokens of the last 50 steps, by layer",
        **records.stamp(machine, COMMAND if seeds == 5 else f"{COMMAND} --seeds {seeds}"),
        "settings": {"rates": RATES, "strengths": STRENGTHS, "goal": GOAL, "padding": "left out"},
        "sizes": {name: sizes(name) for name in CONTESTANTS},
        "search": {str(steps): by_name for steps, by_name in tried.items()},
        "runs": runs,
    }


def load_record(path: str | Path = RECORDED) -> records.Record:
    """A record. Raises CourseError, with the command that makes one, where it cannot be read."""

    def check(kept: records.Record) -> None:
        for steps, names in ENTRANTS.items():
            for name in names:
                held_out(kept, name, steps)
        for tried in kept["search"][str(SHORT)].values():
            best(tried)

    return records.read(path, COMMAND, check, "race")


def held_out(record: Mapping[str, Any], name: str, steps: int) -> list[float]:
    """A contestant's held-out losses at the end, seed by seed."""
    return [float(run["held_out"]) for run in record["runs"][str(steps)][name].values()]


def leads(record: Mapping[str, Any], over: str, steps: int, name: str = SPARSE) -> list[float]:
    """By how many nats per token `name` is ahead of `over`, seed by seed: the same puzzles."""
    pairs = zip(held_out(record, over, steps), held_out(record, name, steps), strict=True)
    return [theirs - ours for theirs, ours in pairs]


def balance_words(record: Mapping[str, Any]) -> str:
    """What balancing did with every seed: imbalance by layer, idle experts and held-out loss."""
    said = []
    for name, one in CONTESTANTS.items():
        if one.make is not CONTESTANTS[SPARSE].make:
            continue
        runs = record["runs"][str(SHORT)][name].values()
        layers = list(zip(*(run["imbalance"] for run in runs), strict=True))
        which = "by layer" if len(layers) > 1 else "of the worst layer"
        worst = ", ".join(f"{min(layer):.2f} to {max(layer):.2f}" for layer in layers)
        idle, losses = [run["dead"] for run in runs], held_out(record, name, SHORT)
        said.append(
            f"{one.balancing:10} imbalance {which} {worst}; dead experts {min(idle)} to "
            f"{max(idle)}; held-out loss {mean(losses):.3f} ({min(losses):.3f} to "
            f"{max(losses):.3f})"
        )
    return "\n".join(said)


def search_words(record: Mapping[str, Any], name: str, steps: int = SHORT) -> str:
    """Every setting that was tried for a contestant, a line each, the best one marked."""
    tried = record["search"][str(steps)][name]
    said = []
    for trial in tried:
        runs = trial["seeds"].values()
        loss, worst = mean(run["held_out"] for run in runs), _worst(runs)
        mark = " <- best" if (trial["rate"], trial["strength"]) == best(tried) else ""
        balance = f"  imbalance {worst:.2f}" if any(run["imbalance"] for run in runs) else ""
        said.append(
            f"{name:18} rate {trial['rate']:<6} strength {trial['strength']:<6} "
            f"held-out loss {loss:.3f}{balance}{mark}"
        )
    return "\n".join(said)


def provenance(record: Mapping[str, Any]) -> str:
    """Where, when and how the record was made, in words: to be printed beside what it shows."""
    return records.said(record, f", seeds {', '.join(record['runs'][str(SHORT)][SPARSE])}")


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m course_lib moe-race`: the search, then every contestant, length and seed."""
    parser = records.parser(
        "moe-race",
        "Train the small models of lesson 2 again, with several seeds.",
        "folder for runs and record",
    )
    parser.add_argument("--seeds", type=COUNT, default=5, help="how many seeds, from 0 (5)")
    args = parser.parse_args(argv)
    use_threads()
    made = args.out / RECORDED.name
    records.write(made, record(args.out, args.seeds, args.machine))
    print(f"The record is in {made}.")
    return 0
