"""The pictures of the pipeline's lesson: each a figure and its twin in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from course_lib import facts
from course_lib.pipeline.stage_records import FIGURES, NAMES, spread
from course_lib.show.theme import DASHES, SYMBOLS

Figure = tuple[go.Figure, str]


def sifted(counts: Mapping[str, Any], title: str) -> Figure:
    """What a filter threw away and why, in order, and what it kept.

    `counts` has `sampled`, `kept` and `rejected` (reason -> count), as a data stage leaves them.
    """
    total = counts["sampled"]
    labels = ["sampled", *counts["rejected"], "kept"]
    steps = [-n for n in counts["rejected"].values()]
    figure = go.Figure(
        go.Waterfall(
            x=labels,
            y=[total, *steps, counts["kept"]],
            measure=["absolute", *["relative"] * len(steps), "total"],
            text=[f"{n:,}" for n in (total, *counts["rejected"].values(), counts["kept"])],
            textposition="outside",
        )
    )
    figure.update_layout(title=title, showlegend=False)
    figure.update_yaxes(title_text="answers", rangemode="tozero", range=[0, total * 1.12])
    reasons = ", ".join(f"{name} {n:,}" for name, n in counts["rejected"].items() if n)
    share = counts["kept"] / total if total else 0.0
    return figure, (
        f"Of {total:,} answers {counts['kept']:,} are kept ({share:.0%}). Thrown away, by the "
        f"first reason that holds: {reasons or 'none'}."
    )


PANELS = ("accuracy", "consistency", "readability", "thinking_tokens")


def stages(record: Mapping[str, Any], panels: tuple[str, ...] = PANELS) -> Figure:
    """A panel a figure over the stages, mean of the recorded seeds with the deviation as bars."""
    columns = 2
    rows = (len(panels) + 1) // columns
    titles = [FIGURES[panel][0] for panel in panels]
    figure = make_subplots(rows, columns, subplot_titles=titles)
    words = []
    for i, panel in enumerate(panels):
        found = {NAMES[name]: spread(record, name, panel) for name in NAMES}
        known = {name: value for name, value in found.items() if value}
        figure.add_scatter(
            x=list(known),
            y=[value.mean for value in known.values()],
            error_y={"type": "data", "array": [value.deviation for value in known.values()]},
            mode="lines+markers",
            marker={"size": 9, "symbol": SYMBOLS[0]},
            showlegend=False,
            row=i // columns + 1,
            col=i % columns + 1,
        )
        figure.update_yaxes(rangemode="tozero", row=i // columns + 1, col=i % columns + 1)
        said = ", ".join(f"{name} {value}" for name, value in known.items())
        words.append(f"{FIGURES[panel][0]}: {said}.")
    figure.update_layout(title="Stage by stage (mini-V3, recorded)", height=300 * rows + 80)
    return figure, "\n".join(words)


def beside_paper(record: Mapping[str, Any]) -> Figure:
    """Our accuracy on held-out puzzles and the paper's AIME 2024 over the same five stages."""
    ours = {name: spread(record, name, "accuracy") for name in NAMES if name != "base"}
    means = [value.mean for value in ours.values() if value]
    shown = [NAMES[name] for name in ours]
    keys = ["r1_zero" if name == "zero" else name for name in ours]
    paper = [facts.value(f"{key}.aime_2024.pass_at_1") for key in keys]
    figure = go.Figure()
    series = {"mini-R1, held-out puzzles": means, "DeepSeek-R1, AIME 2024": paper}
    for i, (name, values) in enumerate(series.items()):
        figure.add_scatter(
            x=shown, y=values, name=name, mode="lines+markers",
            line={"dash": DASHES[i]}, marker={"size": 10, "symbol": SYMBOLS[i]},
        )  # fmt: skip
    figure.update_yaxes(title_text="right, %", range=[0, 104])
    figure.update_layout(title="The same five stages, ours and the paper's")
    said = "; ".join(
        f"{name} {', '.join(f'{stage} {v:.1f}' for stage, v in zip(shown, values, strict=True))}"
        for name, values in series.items()
    )
    return figure, f"Right answers in %: {said}. The tests differ; compare the shapes only."


def overuse(record: Mapping[str, Any], window: int = 3) -> Figure:
    """The reward model's mean score and the accuracy on held-out puzzles, of the first seed.

    Beside it, where it was run, the accuracy of the same run with rule rewards. Scores are running
    means over `window` steps. Raises ValueError where the run is missing.
    """
    curve, control = (record["runs"][0].get(name) for name in ("overuse", "rules_for_long"))
    if not curve["step"]:
        raise ValueError("the record has no run of that kind: make it with pipeline --variants")
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08)
    scores = [
        sum(curve["reward"][max(0, i - window + 1) : i + 1]) / min(window, i + 1)
        for i in range(len(curve["reward"]))
    ]
    top = {"name": "reward model's score", "mode": "lines"}
    figure.add_scatter(x=curve["step"], y=scores, **top, row=1, col=1)
    accuracies = {"accuracy on puzzles, %": curve, "accuracy with rule rewards, %": control or {}}
    for i, (name, run) in enumerate(accuracies.items(), 1):
        figure.add_scatter(
            x=run.get("tried", []),
            y=[100 * value for value in run.get("accuracy", [])],
            name=name,
            mode="lines+markers",
            line={"dash": DASHES[i]},
            marker={"symbol": SYMBOLS[i]},
            row=2,
            col=1,
        )
    figure.update_xaxes(title_text="step", row=2, col=1)
    figure.update_yaxes(title_text="score, deviations", row=1, col=1)
    figure.update_yaxes(title_text="accuracy, %", range=[0, 104], row=2, col=1)
    figure.update_layout(title="A reward model trusted for too long", height=520)
    first, last = curve["accuracy"][0], curve["accuracy"][-1]
    return figure, (
        f"In {curve['step'][-1]} steps the reward model's score goes from {scores[0]:.2f} to "
        f"{scores[-1]:.2f}, and the accuracy on held-out puzzles from {first:.0%} to {last:.0%}."
        + _controlled(control)
    )


def _controlled(control: Mapping[str, Any] | None) -> str:
    """How the same run with rule rewards ended, if there is one."""
    if not control or not control["accuracy"]:
        return ""
    ends = control["accuracy"][0], control["accuracy"][-1]
    return f" With rule rewards, all else equal, it goes from {ends[0]:.0%} to {ends[1]:.0%}."
