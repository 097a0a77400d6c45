"""How far to trust a benchmark score: error bars from the number of problems, and comparisons."""

import math
from dataclasses import dataclass

from course_lib import facts
from course_lib.errors import real_number

TABLES = ("main", "r1_zero", "stages", "distills", "distill_or_rl")
"""The ledger's tables of scores that share their metrics."""

Z_95 = 1.959963984540054
"""How many standard errors hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Score:
    """A model's score on a metric, in per cent or points, with its 95 % interval where known."""

    model: str
    key: str
    value: float
    low: float | None
    high: float | None


def interval(percent: float, problems: int) -> tuple[float, float]:
    """The 95 % interval of a score in per cent, from the number of problems: Wilson's.

    It says how much the score would move with other problems of the same kind. Averaging many
    samples of each problem makes it somewhat narrower, never wider. Raises ValueError for a score
    outside 0 to 100 or fewer than one problem.
    """
    _check(problems, percent=percent)
    share, square = percent / 100, Z_95**2
    centre = (share + square / (2 * problems)) / (1 + square / problems)
    spread = math.sqrt(share * (1 - share) / problems + square / (4 * problems**2))
    half = Z_95 * spread / (1 + square / problems)
    return max(0.0, 100 * (centre - half)), min(100.0, 100 * (centre + half))


def _check(problems: int, **percents: float) -> None:
    for name, percent in percents.items():
        if not 0 <= real_number(name, percent) <= 100:
            raise ValueError(f"{name} is {percent}; give 0 to 100.")
    if not 1 <= real_number("problems", problems) < math.inf:
        raise ValueError(f"problems is {problems}; give at least 1.")


def problems_apart(first: float, second: float, problems: int) -> float:
    """The difference of two scores in per cent, counted in problems of the test.

    Raises ValueError as `interval` does.
    """
    _check(problems, first=first, second=second)
    return (first - second) * problems / 100


def problems_of(metric: str) -> int | None:
    """How many problems a metric such as "aime_2024.pass_at_1" rests on; None if not known."""
    key = f"problems.{metric.split('.')[0]}"
    known = {fact.key for fact in facts.all()}
    return int(facts.value(key)) if key in known else None


def metrics() -> list[str]:
    """Every metric of `TABLES`, in the order of the papers."""
    return [name for name in _sides() if "." in name]


def models() -> list[str]:
    """Every model of `TABLES`, by its name in keys."""
    return [name for name in _sides() if "." not in name]


def _sides() -> list[str]:
    """What names the rows and columns of `TABLES`."""
    layouts = [facts.table_layout(name) for name in TABLES]
    return list(dict.fromkeys(name for one in layouts for name in (*one.rows, *one.columns)))


def scores(metric: str, wanted: list[str] | tuple[str, ...] = ()) -> list[Score]:
    """The models' scores on a metric, best first; of the `wanted` models, or of all.

    Models of which the papers give no value are left out. Raises ValueError for an unknown metric.
    """
    if metric not in metrics():
        raise ValueError(f"no metric {metric!r:.60}; scores.metrics() lists them.")
    known = {fact.key: fact.value for fact in facts.all()}
    problems = problems_of(metric)
    found = []
    for model in wanted or models():
        key = f"{model}.{metric}"
        if key in known:
            value = float(known[key])
            ends = interval(value, problems) if problems else (None, None)
            found.append(Score(model, key, value, *ends))
    return sorted(found, key=lambda score: -score.value)
