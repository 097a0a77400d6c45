"""The pictures of the pipeline's lesson: each a figure and its twin in words."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from course_lib import facts
from course_lib.pipeline.stage_records import FIGURES, NAMES, spread
from course_lib.show.theme import DASHES, PALETTE, SYMBOLS

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
            orientation="h",  # names stand on lines of their own, on a phone as well
            y=labels,
            x=[total, *steps, counts["kept"]],
            measure=["absolute", *["relative"] * len(steps), "total"],
            text=[f"{n:,}" for n in (total, *counts["rejected"].values(), counts["kept"])],
            textposition="outside",
            totals={"marker": {"color": PALETTE["teal"]}},
            decreasing={"marker": {"color": PALETTE["brown"]}},
        )
    )
    figure.update_layout(title=title, showlegend=False)
    figure.update_xaxes(title_text="answers", range=[0, total * 1.25])
    figure.update_yaxes(autorange="reversed")
    reasons = ", ".join(f"{name} {n:,}" for name, n in counts["rejected"].items() if n)
    share = counts["kept"] / total if total else 0.0
    return figure, (
        f"Of {total:,} answers {counts['kept']:,} are kept ({share:.0%}). Thrown away, by the "
        f"first reason that holds: {reasons or 'none'}."
    )


PANELS = ("accuracy", "consistency", "readability", "thinking_tokens")


def stages(record: Mapping[str, Any]) -> Figure:
    """A panel a figure over the stages, mean of the recorded seeds with the deviation as bars."""
    figure = make_subplots(2, 2, subplot_titles=[FIGURES[panel][0] for panel in PANELS])
    words = []
    for i, panel in enumerate(PANELS):
        place = {"row": i // 2 + 1, "col": i % 2 + 1}
        found = {NAMES[name]: spread(record, name, panel) for name in NAMES}
        known = {name: value for name, value in found.items() if value}
        figure.add_scatter(
            x=list(known),
            y=[value.mean for value in known.values()],
            error_y={"type": "data", "array": [value.deviation for value in known.values()]},
            mode="lines+markers",
            marker={"size": 9, "symbol": SYMBOLS[0]},
            showlegend=False,
            **place,
        )
        figure.update_yaxes(rangemode="tozero", **place)
        said = ", ".join(f"{name} {value}" for name, value in known.items())
        words.append(f"{FIGURES[panel][0]}: {said}.")
    figure.update_layout(title="Stage by stage (mini-V3, recorded)", height=680)
    return figure, "\n".join(words)


def beside_paper(record: Mapping[str, Any]) -> Figure:
    """Our accuracy on held-out puzzles and the paper's AIME 2024 over the same five stages."""
    ours = {name: spread(record, name, "accuracy") for name in NAMES if name != "base"}
    means = [value.mean for value in ours.values() if value]
    shown = [NAMES[name] for name in ours]
    keys = ["r1_zero" if name == "zero" else name for name in ours]
    paper = [float(facts.value(f"{key}.aime_2024.pass_at_1")) for key in keys]
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


PLEASING = ("preference", "polite", "chat_right")
LONG = {"r1": "R1", "rules_for_long": "rules, for long", "overuse": "reward model, for long"}


def hacked(record: Mapping[str, Any]) -> Figure:
    """What R1 says in conversation, and what two long runs make of it: a line a seed.

    A panel each for the reward model's score, the polite replies and the right ones. Raises
    ValueError where the runs are missing.
    """
    if not all(name in record["runs"][0]["figures"] for name in LONG):
        raise ValueError("the record has no long runs: make them with pipeline --variants")
    figure = make_subplots(1, len(PLEASING), subplot_titles=[FIGURES[name][0] for name in PLEASING])
    words = []
    for column, name in enumerate(PLEASING, 1):
        factor = FIGURES[name][1]
        for i, run in enumerate(record["runs"]):
            figure.add_scatter(
                x=list(LONG.values()), y=[factor * run["figures"][model][name] for model in LONG],
                name=f"seed {run['seed']}", showlegend=column == 1, mode="lines+markers",
                line={"dash": DASHES[i % len(DASHES)]},
                marker={"size": 9, "symbol": SYMBOLS[i % len(SYMBOLS)]}, row=1, col=column,
            )  # fmt: skip
        said = (f"{label} {spread(record, model, name)}" for model, label in LONG.items())
        words.append(f"{FIGURES[name][0]}: {', '.join(said)}.")
    figure.update_layout(title="The conversation, after a long run (recorded)", height=420)
    return figure, "\n".join(words)
