"""Recorded pipelines: several seeds put together, read back, and set beside the paper's table.

`python -m course_lib.pipeline.stage_records runs/a runs/b --machine "..." --to FILE` writes the
record from folders that `python -m course_lib pipeline --variants` has filled; `--onto FILE` adds
them to the seeds of an earlier record.
"""

import argparse
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pandas as pd

from course_lib import facts, records
from course_lib.errors import CourseError
from course_lib.pipeline import rejection_sampling, stages
from course_lib.pipeline.rejection_sampling import Sample
from course_lib.pipeline.variants import FOLDER, VARIANTS, curve

RECORD = records.RECORDED / "pipeline.json"
COMMAND = "python -m course_lib pipeline --variants --seed SEED --out DIR"

FIGURES: dict[str, tuple[str, float]] = {
    "accuracy": ("accuracy, %", 100),
    "format": ("format, %", 100),
    "consistency": ("language consistency, %", 100),
    "readability": ("readable, %", 100),
    "thinking_tokens": ("thinking, tokens", 1),
    "attempts": ("attempts", 1),
    "wrong_steps": ("wrong steps, %", 100),
    "chat_right": ("conversation right, %", 100),
    "polite": ("conversation polite, %", 100),
    "preference": ("preference score", 1),
}
"""What the table shows: the figure's name -> its heading, and what it is multiplied by."""

NAMES = dict(base="base", zero="R1-Zero", dev1="Dev1", dev2="Dev2", dev3="Dev3", r1="R1")


@dataclass(frozen=True)
class Spread:
    """A figure over seeds: mean, sample standard deviation (0 for one seed), and how many."""

    mean: float
    deviation: float
    seeds: int

    def __str__(self) -> str:
        if self.seeds < 2:
            return f"{self.mean:.1f}"
        return f"{self.mean:.1f} ± {self.deviation:.1f}"


# --- what is recorded --------------------------------------------------------------------------


def collect(
    folders: Sequence[str | Path], machine: str, onto: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """One record of several finished pipelines, each with its variants where it has them.

    Sample traces and R1-Zero's raw answers are those of the first folder, or of the record `onto`,
    whose seeds stay in front. Raises CourseError for a folder without a table, for a seed that
    `onto` has already, or for pipelines whose settings differ in more than the seed.
    """
    tables = [_read_table(Path(folder)) for folder in folders]
    settings = [{**table["config"], "seed": None} for table in (*([onto] if onto else []), *tables)]
    if any(other != settings[0] for other in settings):
        raise CourseError("The pipelines have different settings; record them apart.")
    runs = [_run(Path(f), t) for f, t in zip(folders, tables, strict=True)]
    if onto is None:
        return {**_head(Path(folders[0]), tables[0], machine), "runs": runs}
    twice = {run["seed"] for run in onto["runs"]} & {run["seed"] for run in runs}
    if twice:
        raise CourseError(f"The record has seed {min(twice)} already; give other folders.")
    where = f"{onto['machine']}; from seed {runs[0]['seed']} on: {machine}"
    stamped = records.stamp(where, COMMAND) if machine not in onto["machine"] else {}
    return {**onto, **stamped, "runs": [*onto["runs"], *runs]}


def _head(first: Path, table: Mapping[str, Any], machine: str) -> dict[str, Any]:
    """What a record has once: its stamp, its settings, and what the models said."""
    return {
        **records.stamp(machine, COMMAND),
        "config": table["config"],
        "traces": {name: row["traces"] for name, row in _rows(first, table).items()},
        "answers": [
            rejection_sampling.to_line(sample)
            for sample in stages.read_samples(first / "cold_start/answers.jsonl")
        ],
    }


def _read_table(folder: Path) -> dict[str, Any]:
    path = folder / "table.json"
    if not path.is_file():
        raise CourseError(
            f"{folder} has no table.json; `python -m course_lib pipeline --out "
            f"{shlex.quote(str(folder))}` makes it."
        )
    return stages.read(path)


def _rows(folder: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """The stages' rows and those of the variants that were run."""
    paths = {name: folder / FOLDER / name / "row.json" for name in VARIANTS}
    extra = {name: stages.read(path) for name, path in paths.items() if path.is_file()}
    return {**table["rows"], **extra}


def _run(folder: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    figures = {
        name: {k: None if v is None else round(v, 4) for k, v in row["figures"].items()}
        for name, row in _rows(folder, table).items()
    }
    return {
        "seed": table["config"]["seed"],
        "figures": figures,
        "cold_start": table["cold_start"],
        "rejection": table["rejection"],
        "overuse": curve(folder, "overuse"),
        "rules_for_long": curve(folder, "rules_for_long"),
    }


def load(path: str | Path = RECORD) -> dict[str, Any]:
    """The course's own record, or another one. Raises CourseError if it is missing or damaged."""
    return records.read(path, COMMAND, lambda record: record["runs"][0]["figures"])


def answers(record: Mapping[str, Any]) -> list[Sample]:
    """R1-Zero's raw answers to the cold start's puzzles, as recorded."""
    return [rejection_sampling.from_line(line) for line in record["answers"]]


def spread(record: Mapping[str, Any], model: str, figure: str) -> Spread | None:
    """A figure of a stage or variant over the seeds that have it; None where none has.

    Shares are in per cent, as in `FIGURES`.
    """
    found = [run["figures"].get(model, {}).get(figure) for run in record["runs"]]
    values = [value * FIGURES[figure][1] for value in found if value is not None]
    if not values:
        return None
    return Spread(mean(values), stdev(values) if len(values) > 1 else 0.0, len(values))


def table(record: Mapping[str, Any], names: Mapping[str, str] = NAMES) -> pd.DataFrame:
    """The per-stage table: a row for each figure, a column for each model, mean ± deviation."""
    columns = {
        shown: [str(spread(record, name, figure) or "–") for figure in FIGURES]
        for name, shown in names.items()
    }
    return pd.DataFrame(columns, index=[heading for heading, _ in FIGURES.values()])


def differences(record: Mapping[str, Any], model: str, other: str) -> pd.DataFrame:
    """`model` minus `other`, figure by figure: a column a seed, since pairs share their luck."""
    columns = {
        f"seed {run['seed']}": [
            factor * (run["figures"][model][name] - run["figures"][other][name])
            for name, (_, factor) in FIGURES.items()
        ]
        for run in record["runs"]
    }
    return pd.DataFrame(columns, index=[heading for heading, _ in FIGURES.values()])


PAPER = (
    "aime_2024.pass_at_1",
    "math_500.pass_at_1",
    "livecodebench.pass_at_1",
    "codeforces.rating",
    "if_eval.prompt_strict",
    "alpacaeval_2.lc_win_rate",
)
"""Rows of the paper's own per-stage table that are set beside ours."""


def paper_table() -> pd.DataFrame:
    """The paper's figures for the same stages from the facts ledger: a row a metric."""
    names = NAMES | {"r1_zero": NAMES["zero"]}
    rows = facts.table("stages", labels=False).loc[list(PAPER)]
    return rows.rename(index=facts.label, columns=names)


def said(record: Mapping[str, Any]) -> str:
    """Where the record comes from, in a sentence."""
    seeds = len(record["runs"])
    return records.said(record, f", {seeds} seed{'s' if seeds > 1 else ''}")


# --- recipes: which stages a recorded model went through ------------------------------------------

REWARDS = ("none", "accuracy", "accuracy + format", "accuracy + format + language")
PREFERENCES = ("none", "last part", "alone and long")


@dataclass(frozen=True)
class Recipe:
    """The stages between the base and a model.

    `reward` is that of the reasoning RL, `preference` how the reward model was used at the end.
    """

    cold_start: bool
    reward: str
    sft: bool
    preference: str = "none"

    def words(self) -> str:
        """The recipe as a chain: base -> cold start -> ..."""
        steps = ["base"]
        steps += ["cold start"] if self.cold_start else []
        if not self.cold_start and self.reward in (_NO_LANGUAGE, _ALL):
            steps.append(f"RL ({_ACCURACY})")  # those runs go on from R1-Zero
        steps += [f"RL ({self.reward})"] if self.reward != "none" else []
        steps += ["rejection sampling and SFT of the base"] if self.sft else []
        if self.preference == "last part":
            steps.append("RL with preferences in its last part")
        elif self.preference != "none":
            steps.append("RL with the reward model alone, for long")
        return " → ".join(steps)


_ACCURACY, _NO_LANGUAGE, _ALL = REWARDS[1:]

RECIPES: dict[str, Recipe] = {
    "base": Recipe(False, "none", False),
    "zero": Recipe(False, _ACCURACY, False),
    "zero_no_language": Recipe(False, _NO_LANGUAGE, False),
    "zero_rules": Recipe(False, _ALL, False),
    "zero_sft": Recipe(False, _ACCURACY, True),
    "dev1": Recipe(True, "none", False),
    "dev2_no_language": Recipe(True, _NO_LANGUAGE, False),
    "dev2": Recipe(True, _ALL, False),
    "dev2_preference": Recipe(True, _ALL, False, "last part"),
    "dev3": Recipe(True, _ALL, True),
    "r1": Recipe(True, _ALL, True, "last part"),
    "overuse": Recipe(True, _ALL, True, "alone and long"),
}
"""The pipeline's models and its variants, by name."""


def find(recipe: Recipe, recorded: Iterable[str]) -> str | None:
    """The name of the recorded model made by this recipe, or None if nobody ran it."""
    return next((name for name in recorded if RECIPES.get(name) == recipe), None)


def nearest(recipe: Recipe, recorded: Iterable[str]) -> str:
    """The recorded model whose recipe differs in the fewest switches; of equals the first.

    Raises ValueError where nothing known is recorded.
    """
    wanted = asdict(recipe)
    known = [name for name in recorded if name in RECIPES]
    if not known:
        raise ValueError("nothing is recorded: give the names of models that were run")
    return min(
        known, key=lambda name: sum(wanted[k] != v for k, v in asdict(RECIPES[name]).items())
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write one record of finished pipelines."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of finished pipelines")
    parser.add_argument("--machine", required=True, help="said in the record")
    parser.add_argument("--to", type=Path, default=RECORD, help="the file to write")
    parser.add_argument("--onto", type=Path, help="a record that has other seeds already")
    args = parser.parse_args(argv)
    onto = load(args.onto) if args.onto else None
    records.write(args.to, collect(args.folders, args.machine, onto))


if __name__ == "__main__":
    main()
