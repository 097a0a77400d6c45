"""The pictures of the lesson on distillation: each a figure and its twin in words."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import plotly.graph_objects as go

from course_lib import facts
from course_lib.cost import scores
from course_lib.distill.distill_lab import over_seeds
from course_lib.show.theme import DASHES, MID_GREY, PALETTE, SYMBOLS

Figure = tuple[go.Figure, str]
Record = Mapping[str, Any]

DISTILLS = tuple(f"distill_{n}" for n in (
    "qwen_1_5b", "qwen_7b", "llama_8b", "qwen_14b", "qwen_32b", "llama_70b",
))  # fmt: skip
"""The six by their names in the ledger, smallest first."""

CLOSED = ("gpt_4o_0513", "o1_mini", "o1_1217", "r1")
"""What they are compared with; of the closed ones nobody outside knows the size."""


def real_distills(metric: str = "aime_2024.pass_at_1") -> Figure:
    """Score against true size for the six distills, with level lines for larger models."""
    figure, said = go.Figure(), []
    for i, family in enumerate(("qwen", "llama")):
        names = [name for name in DISTILLS if family in name]
        sizes = [float(facts.value(f"{name}.parameters")) / 1e9 for name in names]
        found = [facts.value(f"{name}.{metric}") for name in names]
        figure.add_scatter(
            x=sizes, y=found, name=family.capitalize(), mode="lines+markers",
            hovertext=[f"{size:.2f}B" for size in sizes],
            line={"dash": DASHES[i]}, marker={"size": 11, "symbol": SYMBOLS[i]},
        )  # fmt: skip
        pairs = zip(sizes, found, strict=True)
        said += [f"{family.capitalize()} {size:.2f}B {score:g}" for size, score in pairs]
    levels = scores.scores(metric, CLOSED)
    for score in levels:
        # On the left are no points; of two lines that nearly meet the lower one is named below.
        crowded = any(0 < other.value - score.value < 4 for other in levels)
        figure.add_hline(
            y=score.value, line={"dash": "dot", "color": MID_GREY},
            annotation_text=f"{facts.label(score.model)} {score.value:g}",
            annotation_position="bottom left" if crowded else "top left",
        )  # fmt: skip
        said.append(f"level line {facts.label(score.model)} {score.value:g}")
    figure.update_xaxes(type="log", title_text="parameters, billions", tickvals=[2, 5, 10, 20, 50])
    figure.update_yaxes(title_text="%", rangemode="tozero")
    figure.update_layout(title=facts.label(metric), height=480)
    return figure, f"{facts.label(metric)}: {', '.join(said)}."


def losses(lines: Sequence[Mapping[str, float]]) -> Figure:
    """The loss of a distillation run over its steps, from its log."""
    steps = [line["step"] for line in lines if "loss" in line]
    found = [line["loss"] for line in lines if "loss" in line]
    figure = go.Figure(go.Scatter(x=steps, y=found, mode="lines"))
    figure.update_xaxes(title_text="update")
    figure.update_yaxes(title_text="loss, nats per token", rangemode="tozero")
    figure.update_layout(title="The student learns to predict the teacher's traces", height=380)
    tenth = max(1, len(found) // 10)
    return figure, (
        f"The loss falls from {found[0]:.2f} to {mean(found[-tenth:]):.2f} nats per token "
        f"(mean of the last {tenth} updates)."
    )


def sizes(record: Record) -> Figure:
    """A line a student: share right, mean over seeds, against the traces that it learnt from."""
    found = _by_student_and_traces(record)
    parameters = _parameters(record)
    figure, said = go.Figure(), []
    for i, name in enumerate(n for n in parameters if n != "teacher"):
        points = {count: v for (student, count), v in found.items() if student == name}
        before = points.pop(0, None)
        figure.add_scatter(
            x=list(points), y=list(points.values()), name=f"{name}, {parameters[name]:,}",
            line={"dash": DASHES[i]}, marker={"symbol": SYMBOLS[i], "size": 10},
            mode="lines+markers",
        )  # fmt: skip
        values = ", ".join(f"{value:.1%} from {count:,}" for count, value in points.items())
        start = "" if before is None else f"{before:.1%} before, "
        said.append(f"{name} ({parameters[name]:,} parameters): {start}{values}")
    teacher = _teacher_line(figure, found, parameters)
    ticks = sorted({count for _, count in found if count})
    figure.update_xaxes(type="log", title_text="traces learnt from", tickvals=ticks)
    figure.update_layout(title="More traces (recorded)", height=440)
    return figure, f"Share right: {'; '.join(said)}; the teacher {teacher:.1%}."


def by_parameters(record: Record) -> Figure:
    """A line a number of traces: share right, mean over seeds, against the students' parameters."""
    found = _by_student_and_traces(record)
    parameters = _parameters(record)
    order = sorted((n for n in parameters if n != "teacher"), key=parameters.__getitem__)
    figure, said = go.Figure(), []
    for i, count in enumerate(sorted({count for name, count in found if name != "teacher"})):
        points = {name: found[name, count] for name in order if (name, count) in found}
        label = f"{count:,} traces" if count else "before"
        figure.add_scatter(
            x=[parameters[name] for name in points], y=list(points.values()), name=label,
            line={"dash": DASHES[i % len(DASHES)]}, marker={"symbol": SYMBOLS[i], "size": 10},
            mode="lines+markers",
        )  # fmt: skip
        said.append(f"{label}: " + ", ".join(f"{n} {v:.1%}" for n, v in points.items()))
    teacher = _teacher_line(figure, found, parameters)
    ticks = [parameters[name] for name in order]
    figure.update_xaxes(
        type="log", title_text="parameters", tickvals=ticks,
        ticktext=[f"{parameters[name]:,}<br>{name}" for name in order],
    )  # fmt: skip
    figure.update_layout(title="More parameters (recorded)", height=440)
    return figure, f"Share right, smallest first. {'; '.join(said)}; the teacher {teacher:.1%}."


def _by_student_and_traces(record: Record) -> dict[tuple[str, int], float]:
    return {k: mean(v) for k, v in over_seeds(record, "accuracy", "student", "traces").items()}


def _parameters(record: Record) -> dict[str, int]:
    return {name: int(v[0]) for (name,), v in over_seeds(record, "parameters", "student").items()}


def _teacher_line(
    figure: go.Figure, found: Mapping[tuple[str, int], float], parameters: Mapping[str, int]
) -> float:
    """Draw the teacher as a level line, set the axis of shares, and return the teacher's share."""
    teacher = found["teacher", 0]
    figure.add_hline(
        y=teacher, line={"dash": "dot", "color": MID_GREY},
        annotation_text=f"teacher, {parameters['teacher']:,}: {teacher:.1%}",
        annotation_position="bottom left",
    )  # fmt: skip
    figure.update_yaxes(title_text="right", tickformat=".0%", range=[0, 1.1], dtick=0.2)
    return teacher


def bars(record: Record, key: str, figure_of: str, title: str) -> Figure:
    """A bar for each `key`, the mean over seeds, with a whisker from the least to the most."""
    found = {name: values for (name,), values in over_seeds(record, figure_of, key).items()}
    middle = [mean(values) for values in found.values()]
    whisker = _whisker(list(found.values()))
    figure = go.Figure(
        go.Bar(
            x=middle, y=list(found), orientation="h", error_x=whisker, marker_color=PALETTE["teal"]
        )
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(title=title, height=140 + 44 * len(found))
    said = [f"{name} {mean(v):.1%}{_range(v)}" for name, v in found.items()]
    return figure, f"{title}: {'; '.join(said)}."


def _whisker(values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """A bar of error from the least to the most of each point's values, around their mean."""
    up = [max(v) - mean(v) for v in values]
    down = [mean(v) - min(v) for v in values]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


def _range(values: Sequence[float]) -> str:
    """The least and the most in words; nothing for one seed, which has no range."""
    return f" ({min(values):.1%} to {max(values):.1%})" if len(values) > 1 else ""


def fight(record: Record) -> Figure:
    """Accuracy over updates for each side: the mean of the seeds, from the least to the most."""
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for row in record["rows"]:
        curves.setdefault(row["data"], []).append(row)
    figure, said = go.Figure(), []
    for i, (name, rows) in enumerate(curves.items()):
        at = [list(values) for values in zip(*(row["accuracy"] for row in rows), strict=True)]
        middle = [mean(values) for values in at]
        figure.add_scatter(
            x=rows[0]["updates"], y=middle, name=name, error_y=_whisker(at),
            mode="lines+markers", line={"dash": DASHES[i]}, marker={"symbol": SYMBOLS[i]},
        )  # fmt: skip
        tokens = mean(row["sampled"][-1] for row in rows)
        said.append(
            f"{name} {middle[0]:.1%} to {middle[-1]:.1%} ({min(at[-1]):.1%} to {max(at[-1]):.1%} "
            f"over {len(rows)} seeds) with {tokens:,.0f} sampled tokens"
        )
    figure.update_xaxes(title_text="updates")
    figure.update_yaxes(title_text="right", tickformat=".0%", range=[0, 1.02])
    figure.update_layout(title="The fair fight (recorded)", height=440)
    return figure, f"Accuracy on held-out puzzles: {'; '.join(said)}."
