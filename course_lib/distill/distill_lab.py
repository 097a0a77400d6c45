"""Experiments on distillation by name, each run again by one command, and their records.

`python -m course_lib distill-lab NAME --seeds 5 --out DIR` runs an experiment with several seeds
and writes `DIR/distill-NAME.json` after every row; give the command again and it goes on with the
seeds that are missing. The course's own records stand in `assets/recorded/`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from course_lib import records
from course_lib.distill import experiments, fight, guesses, lost
from course_lib.distill.bench import PRETRAINED, Bench, Row
from course_lib.distill.real import arms, kept, recipe, star
from course_lib.errors import COUNT, WHOLE, CourseError
from course_lib.model import models
from course_lib.runtime import use_threads
from course_lib.show import tables
from course_lib.show.tables import Table

TEACHER = "mini-r1-zero"


@dataclass(frozen=True)
class Experiment:
    """What an experiment asks, the rows that answer it for one seed, and settings of its own.

    Its seeds are counted from `first`: searches have other seeds than what they are a search for.
    """

    asks: str
    rows: Callable[[Bench], Iterator[Row]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    first: int = 0


_REAL = {name: asdict(getattr(recipe, name)) for name in ("LORA", "DISTIL", "REINFORCE")}

EXPERIMENTS: dict[str, Experiment] = {
    "sizes": Experiment(
        "How large must a student be, and how many traces does it need?",
        experiments.sizes,
        {"pretrained": PRETRAINED},
    ),
    "quality": Experiment("What must be in the traces?", experiments.quality),
    "soft-rates": Experiment(
        "Which learning rate is best for each way of teaching?",
        experiments.soft_rates,
        {"rates": experiments.SOFT_RATES},
        first=10,
    ),
    "soft": Experiment(
        "Do the teacher's probabilities teach more than its text?",
        experiments.soft,
        {"rates": experiments.SOFT_BEST},
    ),
    "fight-rates": Experiment(
        "Which learning rate is best for each side?",
        fight.rates,
        {"grpo": asdict(fight.FIGHT), "rates": fight.RATES},
        first=10,
    ),
    "fight": Experiment(
        "Distillation or GRPO, for the same student and budget?",
        fight.fight,
        {"grpo": asdict(fight.FIGHT), "rates": fight.BEST},
    ),
    "second-budget": Experiment(
        "With as much budget again: GRPO after distillation, or more distillation?",
        fight.second_budget,
        {"grpo": asdict(fight.FIGHT), "rates": fight.BEST},
    ),
    "guesses": Experiment(
        "How much is to be had without any reasoning?",
        guesses.guesses,
        {"seen": guesses.SEEN, "tests": guesses.TESTS},
    ),
    "real-arms": Experiment(
        "Traces, rewards, or answers alone: what makes a real language model reason?",
        arms.arms,
        _REAL,
    ),
    "real-rl": Experiment("Does RL on top of distillation pay?", arms.on_top, _REAL),
    "lost": Experiment("What can the base do that its student cannot?", lost.lost),
    "real-kept": Experiment(
        "What does a real language model lose by it, by rank and data?",
        kept.experiment,
        {**_REAL, "runs": kept.RUNS, "puzzles": kept.PUZZLES},
    ),
    "real-star": Experiment(
        "Can it teach itself word problems from its own right answers?",
        star.experiment,
        {"star": asdict(star.StarConfig())},
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
    Raises CourseError where the record there was made with other settings.
    """
    experiment = find(name)
    use_threads()
    path = bench.out / f"distill-{name}.json"
    record = head = _head(name, bench, machine)
    if path.is_file():
        record = load_record(name, bench.out)
    if record["config"] != head["config"]:
        raise CourseError(f"{path} was made with other settings; give another --out, or delete it.")
    if bench.seed in record["seeds"]:
        return record
    if machine not in record["machine"]:
        record["machine"] += f"; from seed {bench.seed} on: {machine}"
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
        # As JSON has it, so that it can be compared with what is read back.
        "config": json.loads(json.dumps({**asdict(bench.config), **find(name).settings})),
        "seeds": [],
        "rows": [],
    }


def _rounded(row: Row) -> Row:
    """A row as JSON has it, its figures to four places."""
    return json.loads(json.dumps(row), parse_float=lambda text: round(float(text), 4))


def load_record(name: str, folder: str | Path = records.RECORDED) -> dict[str, Any]:
    """A record by name. Raises CourseError, with the command to make one, where there is none."""
    find(name)
    command = f"python -m course_lib distill-lab {name} --out DIR"
    return records.read(Path(folder) / f"distill-{name}.json", command)


def said(record: Mapping[str, Any]) -> str:
    """Where, when and how a record was made, in a sentence."""
    seeds = len(record["seeds"])
    told = "" if "--seeds" in record["command"] else f" --seeds {seeds}"
    whole = {**record, "command": record["command"] + told}
    return records.said(whole, f", {seeds} seed{'' if seeds == 1 else 's'}")


def over_seeds(record: Mapping[str, Any], figure: str, *keys: str) -> dict[tuple, list[float]]:
    """A figure's values, one a seed, by what the rows have under `keys`, in the record's order."""
    found: dict[tuple, list[float]] = {}
    for row in record["rows"]:
        found.setdefault(tuple(row[key] for key in keys), []).append(row[figure])
    return found


def table(record: Mapping[str, Any], keys: Sequence[str], figures: Mapping[str, str]) -> Table:
    """A record's means over seeds: a row for each `keys`, a column for each figure.

    `figures` is the figure's name -> how it is written, as in `{"accuracy": ".1%"}`.
    """
    columns = {figure: over_seeds(record, figure, *keys) for figure in figures}
    rows = [
        {", ".join(keys): ", ".join(map(str, name))}
        | {figure.replace("_", " "): mean(found[name]) for figure, found in columns.items()}
        for name in next(iter(columns.values()))
    ]
    formats = {figure.replace("_", " "): f"{{:{how}}}" for figure, how in figures.items()}
    return tables.table("Means over seeds", rows, formats)


def where(record: Mapping[str, Any], **wanted: Any) -> dict[str, Any]:
    """The record with only the rows that have these values, as in `where(record, traces=300)`."""
    rows = [r for r in record["rows"] if all(r.get(k) == v for k, v in wanted.items())]
    return {**record, "rows": rows}


def main(argv: list[str] | None = None) -> int:
    """`python -m course_lib distill-lab NAME`: every seed in turn, one record of them all."""
    about = "Run an experiment on distillation, with several seeds."
    parser = records.parser("distill-lab", about, "folder for bases, runs, record")
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seeds", type=COUNT, default=3, help="how many seeds (3)")
    parser.add_argument("--skip", type=WHOLE, default=0, help="leave out so many of the first (0)")
    parser.add_argument("--teacher", type=Path, help="model folder (the course's R1-Zero)")
    args = parser.parse_args(argv)
    first = find(args.name).first
    if args.skip >= args.seeds:
        raise CourseError(f"--skip {args.skip} leaves none of {args.seeds} seeds; skip fewer.")
    if args.teacher and (args.name == "guesses" or args.name.startswith("real-")):
        raise CourseError(f"{args.name} asks no teacher of yours; leave out --teacher.")
    teacher = args.teacher or models.shipped(TEACHER)
    for seed in range(first + args.skip, first + args.seeds):
        record = run(args.name, Bench(teacher, args.out, seed), args.machine)
        print(f"seed {seed}: {len(record['rows'])} rows in {args.out}/distill-{args.name}.json")
    return 0
