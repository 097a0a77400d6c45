"""Figures of the first lesson; what they show in words is returned or printed beside them."""

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
        figure.update_yaxes(
            type="log", title=f"{axes[1]} (each step is ten times the last)", dtick=1
        )
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


SINCE = {
    "r1_launch": "R1",
    "v3_1": "V3.1",
    "v3_2": "V3.2",
    "v4_flash": "V4-Flash",
    "v4_flash_august": "V4-Flash, off-peak",
    "v4_1_flash": "V4.1-Flash, off-peak",
}
"""What DeepSeek's reasoning endpoint served, in order; the keys are `api.NAME.output`."""


def timeline() -> tuple[go.Figure, str]:
    """The price of output of DeepSeek's own API since R1, with o1's beside it, and its twin."""
    found = [(name, facts.fact(f"api.{key}.output")) for key, name in SINCE.items()]
    o1 = float(facts.value("api.o1.output"))
    days = [_day(fact.date) for _, fact in found]
    prices = [float(fact.value) for _, fact in found]
    figure = go.Figure()
    figure.add_scatter(
        x=days, y=prices, text=[name for name, _ in found], name="DeepSeek's API",
        mode="lines+markers+text", line_shape="hv",
        textposition=[*["top right"] * (len(found) - 2), "bottom left", "bottom left"],
    )  # fmt: skip
    figure.add_scatter(
        x=[days[0], days[-1]], y=[o1, o1], name="o1 in January 2025", mode="lines", line_dash="dot"
    )
    ticks = [0.5, 1, 2, 5, 10, 20, 50]
    figure.update_yaxes(type="log", title="USD per million tokens of output", tickvals=ticks)
    figure.update_layout(title="The cost reset as a time line", height=420)
    said = [f"{name} ${fact.value} ({fact.date})" for name, fact in found]
    return figure, f"A million tokens of output: {'; '.join(said)}; o1 ${o1:g}."


def _day(date: str) -> str:
    """An ISO date as a day: a month is its first."""
    return date if len(date) == 10 else f"{date}-20" if date == "2025-01" else f"{date}-01"
