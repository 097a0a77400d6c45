"""Figures of the first lesson; what they show in words is returned or printed beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from course_lib import facts
from course_lib.cost.scores import Score


def curves(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    axes: tuple[str, str],
    log: bool = False,
) -> go.Figure:
    """Lines over a common `x`: name -> values, each as long as `x`; `axes` names x and y.

    `log` draws y on a scale where each step is ten times the last. Raises ValueError for lengths
    that differ.
    """
    figure = go.Figure()
    for name, values in series.items():
        if len(values) != len(x):
            raise ValueError(
                f"{name!r} has {len(values)} values for {len(x)} places on the x axis."
            )
        figure.add_scatter(x=list(x), y=list(values), name=name, mode="lines")
    figure.update_layout(title=title, xaxis_title=axes[0], yaxis_title=axes[1])
    if log:
        figure.update_yaxes(type="log", title=f"{axes[1]} (each step is ten times the last)")
    return figure


def intervals(title: str, shown: Sequence[Score]) -> go.Figure:
    """A point for each score, best first from the top, with its 95 % interval where known."""
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [(s.value if s.high is None else s.high) - s.value for s in shown],
        "arrayminus": [s.value - (s.value if s.low is None else s.low) for s in shown],
    }
    names = [facts.label(score.model) for score in shown]
    values = [score.value for score in shown]
    figure = go.Figure(go.Scatter(x=values, y=names, mode="markers", error_x=bars))
    figure.update_layout(title=title, xaxis_title="%", height=120 + 40 * len(names))
    figure.update_yaxes(autorange="reversed")
    return figure


def interval_words(shown: Sequence[Score]) -> str:
    """The text twin of `intervals`: every model's score and interval, best first."""
    said = [
        f"{facts.label(s.model)} {s.value:g}"
        + ("" if s.low is None else f" ({s.low:.0f} to {s.high:.0f})")
        for s in shown
    ]
    return "From the top: " + "; ".join(said) + "."
