"""Pictures of `parallel`: who talks to whom, and a pipeline's schedule; each with its twin."""

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from course_lib.moe.parallel import Schedule
from course_lib.show.theme import MID_GREY, PALETTE

Figure = tuple[go.Figure, str]

_KINDS = {"F": "forward", "B": "backward", "W": "backward, weights"}


def traffic(tables: Mapping[str, Tensor]) -> Figure:
    """Tokens sent from each node (row) to each other (column), a panel for each way to route."""
    figure = make_subplots(1, len(tables), subplot_titles=list(tables), shared_yaxes=True)
    most, said = max(float(table.max()) for table in tables.values()), []
    for column, (name, table) in enumerate(tables.items(), start=1):
        figure.add_heatmap(
            z=table.tolist(), zmin=0, zmax=most, colorscale="Cividis", showscale=column == 1,
            colorbar={"title": "tokens"}, row=1, col=column,
        )  # fmt: skip
        figure.update_xaxes(title_text="to node", dtick=1, row=1, col=column)
        pairs = table.numel() - len(table)
        said.append(
            f"{name}: {table.sum():,.0f} tokens sent, {table.sum() / pairs:,.0f} from a node to "
            "another on average"
        )
    figure.update_yaxes(title_text="from node", dtick=1, autorange="reversed", col=1)
    figure.update_layout(title="Who talks to whom", height=420)
    return figure, "; ".join(said) + "."


def timetable(plans: Mapping[str, Schedule]) -> Figure:
    """A pipeline's devices over time, a panel for each schedule; what is empty is idle."""
    figure = make_subplots(
        len(plans), 1, shared_xaxes=True, subplot_titles=list(plans), vertical_spacing=0.08
    )
    colours = dict(zip(_KINDS, PALETTE.values(), strict=False))
    said, shown = [], set[str]()
    for row, (name, plan) in enumerate(plans.items(), start=1):
        for kind, label in _KINDS.items():
            cells = [
                (time, device, task)
                for time, tasks in enumerate(plan.rows)
                for device, task in enumerate(tasks)
                if task is not None and task.kind == kind
            ]
            figure.add_bar(
                x=[1] * len(cells), base=[time for time, _, _ in cells],
                y=[f"device {device}" for _, device, _ in cells], orientation="h", name=label,
                marker={"color": colours[kind], "line": {"color": MID_GREY, "width": 0.5}},
                text=[f"{kind}{task.batch}" + "'" * task.way for _, _, task in cells],
                textposition="inside", insidetextanchor="middle", textangle=0,
                showlegend=bool(cells) and kind not in shown, row=row, col=1,
            )  # fmt: skip
            shown |= {kind} if cells else set()
        said.append(
            f"{name}: {len(plan.rows)} units of time, {plan.idle / plan.devices:g} of them idle on "
            f"each device ({plan.bubble:.0%})"
        )
    devices = [f"device {n}" for n in range(max(plan.devices for plan in plans.values()))]
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=devices)
    figure.update_xaxes(title_text="time", row=len(plans), col=1)
    figure.update_layout(title="Who works when", barmode="overlay", height=110 + 180 * len(plans))
    return figure, "; ".join(said) + "."
