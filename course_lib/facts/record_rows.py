"""Every recorded experiment as rows, so that a finding can say which figures it compares.

A row is one run: a dict with `seed`, with what tells it from the other runs of its record (`data`,
`model`, `steps`, `name` ...), and with its figures, each a number or a list of them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from statistics import mean
from typing import Any

import numpy as np

from course_lib.records import Record

Row = dict[str, Any]


def _experiment(record: Record) -> Iterator[Row]:
    """`experiments/*.json`: one row a seed, with the columns of `rl.experiments`."""
    for seed, columns in record["runs"].items():
        yield {"seed": int(seed), **columns}


def _moe_race(record: Record) -> Iterator[Row]:
    """`moe_race.json`: one row a length (`steps`), contestant (`name`) and seed."""
    for steps, contestants in record["runs"].items():
        for name, seeds in contestants.items():
            for seed, figures in seeds.items():
                yield {"seed": int(seed), "steps": int(steps), "name": name, **figures}


def _pipeline(record: Record) -> Iterator[Row]:
    """`pipeline.json`: one row a seed and `model`; what else a run holds is a row with its `part`.

    `figures.zero` is the row `model = "zero"`, `rejection` the row `part = "rejection"`.
    """
    for run in record["runs"]:
        for model, figures in run["figures"].items():
            yield {"seed": run["seed"], "model": model, **figures}
        for part, figures in run.items():
            if part != "figures" and isinstance(figures, dict):
                yield {"seed": run["seed"], "part": part, **figures}


def _tries(record: Record) -> Iterator[Row]:
    """`many-tries.json`: one row a `model` and puzzle (`puzzle`, its place), all of one seed."""
    for model, columns in record["models"].items():
        for puzzle, right in enumerate(columns["right"]):
            worked = columns["worked_out"][puzzle]
            whose = {"seed": record["seed"], "model": model, "puzzle": puzzle}
            yield {**whose, "right": right, "worked_out": worked, "samples": record["samples"]}


def _followed(record: Record) -> Iterator[Row]:
    """`answers.json`: one row a looked-at `step` of its one run, the answers as `answers`."""
    for moment in record["moments"]:
        yield {"seed": record["seed"], **moment}


def rows(record: Record) -> list[Row]:
    """A record's rows. Raises LookupError, TypeError or ValueError for one of no known kind."""
    return list(_reader(record)(record))


def _reader(record: Record) -> Callable[[Record], Iterable[Row]]:
    if "rows" in record:  # `distill-*.json`, and what else lists its rows, each with a `seed`
        return itemgetter("rows")
    if "models" in record:
        return _tries
    if "moments" in record:
        return _followed
    runs = record["runs"]
    if isinstance(runs, list):
        return _pipeline
    if not runs:
        raise LookupError("it has no runs")
    figures = next(iter(runs.values()))
    return _experiment if all(isinstance(v, list) for v in figures.values()) else _moe_race


_SETTINGS = ("settings", "name", "config", "changed", "steps", "samples", "puzzles", "sizes")


def settings(record: Record) -> Mapping[str, Any]:
    """What of a record says how its runs were made; a field `settings` says all of it."""
    if "settings" in record:
        return {"settings": record["settings"]}
    return {key: record[key] for key in _SETTINGS if key in record}


def version(record: Record) -> str:
    """A record's settings in eight signs: other settings, other signs."""
    text = json.dumps(settings(record), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def tested_on(record: Record) -> int | None:
    """On how many held-out puzzles a record's runs were tested; None where it does not say."""
    parts = [part for part in settings(record).values() if isinstance(part, Mapping)]
    return next((part["evaluate_puzzles"] for part in parts if "evaluate_puzzles" in part), None)


@dataclass(frozen=True)
class Pick:
    """Which figure of which rows: `column` of the rows of `record` that have all of `where`.

    `at` picks from a column that is a list: a place (-1 is the last), a pair of places (the mean
    from the first to before the second), or `max`, `min`, `mean`, `sum`. `after` picks from the
    trials of an experiment instead: the figure when training had taken so many processor seconds,
    on the line from the trial before to the one after. `per` is a column of the same row that the
    figure is divided by. A name inside a figure stands after a slash.
    """

    record: str
    column: str
    where: Mapping[str, Any] = field(default_factory=dict)
    at: int | str | tuple[int, int] | None = None
    per: str = ""
    after: float | None = None


_OVER: dict[str, Callable[[list[float]], float]] = dict(max=max, min=min, mean=mean, sum=sum)


def figures(record: Record, pick: Pick, pair: str = "seed") -> dict[Any, float]:
    """The picked figure by `pair`: a seed, as a rule, or a puzzle.

    Raises LookupError, TypeError or ValueError where the record does not have it, or has it twice.
    """
    found: dict[Any, float] = {}
    for row in rows(record):
        if all(row.get(key) == value for key, value in pick.where.items()):
            if row[pair] in found:
                raise ValueError(f"two rows with {pair} {row[pair]}; `where` must part them")
            found[row[pair]] = _figure(row, pick)
    if not found:
        raise LookupError(f"no row has {dict(pick.where)}")
    return found


def _figure(row: Row, pick: Pick) -> float:
    value = _reach(row, pick.column)
    if pick.after is not None:
        value = _after(row, value, pick.after)
    elif isinstance(value, list):
        match pick.at:
            case str(name):
                value = _OVER[name](value)
            case int(place):
                value = value[place]
            case (first, before):
                value = mean(value[first:before])
    return float(value) / float(_reach(row, pick.per)) if pick.per else float(value)


def _after(row: Row, tried: list[float], seconds: float) -> float:
    """A column of trials when training had taken `seconds`: runs cost unlike much for a step."""
    spent = [0.0, *accumulate(row["cpu_seconds"])]
    when = [spent[step] for step in row["tried"]]
    if not when[0] <= seconds <= when[-1]:
        raise ValueError(f"it trained for {when[-1]:.1f} s, and {seconds:g} s are asked for")
    return float(np.interp(seconds, when, tried))


def _reach(row: Row, path: str) -> Any:
    value: Any = row
    for name in path.split("/"):
        value = value[name]
    return value
