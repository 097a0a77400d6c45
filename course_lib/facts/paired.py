"""What pairs of runs show: the mean difference, its interval, and an exact test.

Two runs make a pair if they share their seed, so that puzzles, data and start are the same and the
one thing that was changed is what differs (a puzzle that two models tried makes a pair as well).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH = 5
"""Pairs that a finding takes to be *shown*: with fewer, no exact test of signs reaches 1 in 20."""

LEVEL = 0.95
RESAMPLES = 9999
RELATIONS = ("greater", "less", "equal")


@dataclass(frozen=True)
class Statistic:
    """How `first` compares with `second`, pair by pair: by differences, or quotients if `ratio`.

    `value` is their mean (for quotients the geometric one). `interval` is Student's where there are
    five pairs or more (a bootstrap of five misses three times as often as it says), else from the
    least to the most pair, and None for one pair. `p` is that of the exact one-sided test. `wins`
    pairs are on the claimed side of the margin; `on_the_side` says whether the whole interval is.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    ratio: bool
    value: float
    interval: tuple[float, float] | None
    p: float
    wins: int
    on_the_side: bool

    @property
    def means(self) -> tuple[float, float]:
        """Both sides' means."""
        return sum(self.first) / len(self.first), sum(self.second) / len(self.second)

    def __str__(self) -> str:
        """How the number comes about, in words."""
        pairs, kind = len(self.first), "quotient" if self.ratio else "difference"
        if pairs == 1:
            return f"one pair: its {kind}"
        what = f"{'geometric ' if self.ratio else ''}mean of the {kind}s of {pairs} pairs"
        if pairs < ENOUGH:
            return f"{what}, and from the least to the most pair"
        return (
            f"{what}; {LEVEL:.0%} interval by Student's t; exact one-sided test by turning "
            f"signs: p = {self.p:.2g}"
        )


def compare(
    first: Sequence[float],
    second: Sequence[float],
    relation: str,
    margin: float | None = None,
    ratio: bool = False,
) -> Statistic:
    """The statistic of the pairs `(first[i], second[i])`.

    `greater` and `less` mean by more than `margin`, `equal` means by less than it. A margin is a
    difference (0 if none is given) or a quotient (1): of 1.5, `less` means by more than a third.
    Raises ValueError where they are no pairs, a number is not finite, or a quotient has no
    logarithm.
    """
    if relation not in RELATIONS or len(first) != len(second) or not first:
        raise ValueError(f"pairs and one of the relations {', '.join(RELATIONS)} are needed")
    if not all(map(math.isfinite, (*first, *second, margin or 0.0))):
        raise ValueError("figures and margin must be finite numbers, not nan or inf")
    if ratio and min(*first, *second) <= 0:
        raise ValueError("a quotient needs figures above 0")
    gaps = [math.log(a / b) if ratio else a - b for a, b in zip(first, second, strict=True)]
    edge = math.log(margin or 1.0) if ratio else margin or 0.0
    tests = _tested(gaps, relation, edge)
    ends = _interval(gaps)
    unlog = math.exp if ratio else float
    return Statistic(
        first=tuple(first),
        second=tuple(second),
        ratio=ratio,
        value=unlog(sum(gaps) / len(gaps)),
        interval=None if ends is None else (unlog(ends[0]), unlog(ends[1])),
        p=max(_p(test) for test in tests),
        wins=sum(all(test[i] > 0 for test in tests) for i in range(len(gaps))),
        on_the_side=all(
            g > 0 for end in ends or gaps for t in _tested([end], relation, edge) for g in t
        ),
    )


def _tested(gaps: Sequence[float], relation: str, edge: float) -> list[list[float]]:
    """What must all be above 0 if the relation is there; `equal` makes two such demands."""
    above, below = [g - edge for g in gaps], [-g - edge for g in gaps]
    near = [[edge - g for g in gaps], [edge + g for g in gaps]]
    return {"greater": [above], "less": [below], "equal": near}[relation]


def _interval(gaps: list[float]) -> tuple[float, float] | None:
    if len(gaps) == 1:
        return None
    if len(gaps) < ENOUGH or max(gaps) == min(gaps):
        return min(gaps), max(gaps)
    from scipy import stats

    found = stats.ttest_1samp(gaps, 0.0).confidence_interval(LEVEL)
    return float(found.low), float(found.high)


def _p(gaps: list[float]) -> float:
    """Fisher's exact test: the share of all ways to turn the signs with a sum as large."""
    from scipy import stats

    if len(gaps) == 1:
        return 1.0
    found = stats.permutation_test(
        (np.array(gaps),),
        lambda x, axis: x.sum(axis),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
