"""The pictures of the mixture-of-experts lesson: each a figure and its twin in words."""

import textwrap
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from course_lib.model.accounting import (
    Config,
    bytes_read,
    count_parameters,
    flops_per_token,
    resident_bytes,
)
from course_lib.moe import comparison
from course_lib.moe.routes import distance
from course_lib.moe.training import Run
from course_lib.show.theme import DASHES, PALETTE, SYMBOLS

Figure = tuple[go.Figure, str]

_ROOMY = {"height": 480, "legend_y": -0.3}  # keeps the legend clear of the axis's title


def _lines(text: str) -> str:
    """Long lines broken between words; JupyterLab breaks them anywhere."""
    return "\n".join(textwrap.fill(line, 100) for line in text.splitlines())


def loads(runs: Sequence[Run], window: int = 10) -> Figure:
    """The load of every expert over training, one strip a run, the layers one above the other."""
    titles = [f"balancing: {run.name}" for run in runs]
    figure = make_subplots(
        len(runs), 1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.08
    )
    for row, run in enumerate(runs, start=1):
        steps = len(run.loads) // window * window
        shares = run.loads[:steps].flatten(1).unflatten(0, (-1, window)).mean(1)
        layers, experts = run.loads.shape[1:]
        figure.add_heatmap(
            x=list(range(window, steps + 1, window)),
            y=[f"{layer + 1}.{expert}" for layer in range(layers) for expert in range(experts)],
            z=shares.T.tolist(),
            zmin=0,
            zmax=4,
            colorscale="Cividis",
            colorbar={"title": "load,<br>1 = even"},
            showscale=row == 1,
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text="layer.expert", type="category", row=row, col=1)
    figure.update_xaxes(title_text="training step", row=len(runs), col=1)
    figure.update_layout(title="What each expert gets", height=240 * len(runs))
    return figure, _lines("\n".join(_load_words(run) for run in runs))


def _load_words(run: Run) -> str:
    final = run.final_load()
    return (
        f"Balancing '{run.name}': at the end the busiest expert gets {final.max():.2f} times an "
        f"even share and the idlest {final.min():.2f} times; {run.dead()} of {final.numel()} "
        "experts get less than a tenth of an even share."
    )


def losses(runs: Sequence[Run], title: str, window: int = 20) -> Figure:
    """The loss of each run, as a running mean over `window` steps."""
    figure = go.Figure()
    for i, run in enumerate(runs):
        steps = list(range(window, len(run.losses) + 1, 5))
        values = [sum(run.losses[t - window : t]) / window for t in steps]
        figure.add_scatter(x=steps, y=values, name=run.name, line_dash=DASHES[i % 6], mode="lines")
    figure.update_layout(title=title, **_ROOMY)
    figure.update_xaxes(title_text="training step")
    figure.update_yaxes(title_text="loss, nats per token")
    said = [f"{run.name} {run.final_loss():.3f}" for run in runs]
    return figure, f"Loss over the last 50 steps, in nats per token: {', '.join(said)}."


def race(record: Mapping[str, Any]) -> Figure:
    """The recorded race: every run's held-out loss at the end, a panel for each length of run."""
    lengths = {steps: runs for steps, runs in record["runs"].items() if comparison.SPARSE in runs}
    figure = make_subplots(1, len(lengths), subplot_titles=[f"{n} steps" for n in lengths])
    said = []
    for col, (steps, runs) in enumerate(lengths.items(), start=1):
        names = [name for name in (comparison.SPARSE, *comparison.RIVALS) if name in runs]
        for i, name in enumerate(names):
            losses = comparison.held_out(record, name, int(steps))
            marker = {"size": 11, "symbol": SYMBOLS[i], "color": list(PALETTE.values())[i]}
            figure.add_scatter(
                x=[name.replace(", ", ",<br>")] * len(losses), y=losses, name=name,
                mode="markers", marker=marker, showlegend=False, row=1, col=col,
            )  # fmt: skip
        said.append(_race_words(record, int(steps), names))
    figure.update_yaxes(title_text="held-out loss, nats per token", col=1)
    figure.update_layout(title="Sparse against dense: one mark a seed", height=460)
    return figure, _lines("\n".join(said))


def _race_words(record: Mapping[str, Any], steps: int, names: Sequence[str]) -> str:
    parts = []
    for name in names:
        losses = comparison.held_out(record, name, steps)
        parts.append(f"{name} {mean(losses):.3f} ({min(losses):.3f} to {max(losses):.3f})")
    ends = f"After {steps} steps, mean over seeds (least to most): {', '.join(parts)}."
    for rival in names[1:]:
        leads = comparison.leads(record, rival, steps)
        ends += (
            f" The sparse one is ahead of '{rival}' with {sum(x > 0 for x in leads)} of "
            f"{len(leads)} seeds, by {mean(leads):+.3f} on average ({min(leads):+.3f} to "
            f"{max(leads):+.3f})."
        )
    return ends


def spread(models: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """Where each kind of token goes: model name -> `routes.shares_by_kind`, one panel a layer.

    A cell is the share of a kind's choices in a layer that an expert gets.
    """
    first = next(iter(models.values()))
    layers = next(iter(first.values())).shape[0]
    titles = [f"{name}, MoE layer {i + 1}" for name in models for i in range(layers)]
    figure = make_subplots(len(models), layers, shared_yaxes=True, subplot_titles=titles)
    for row, shares in enumerate(models.values(), start=1):
        for layer in range(layers):
            cells = [share[layer].tolist() for share in shares.values()]
            figure.add_heatmap(
                z=cells,
                y=list(shares),
                zmin=0,
                zmax=0.5,
                colorscale="Cividis",
                showscale=row == layer + 1 == 1,
                colorbar={"title": "share"},
                row=row,
                col=layer + 1,
            )
            figure.update_xaxes(title_text="expert", dtick=1, row=row, col=layer + 1)
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(title="Where tokens go", height=120 + 330 * len(models))
    return figure, _lines(_spread_words(models))


def _spread_words(models: Mapping[str, Mapping[str, Tensor]]) -> str:
    parts = []
    for name, shares in models.items():
        said = []
        for kind, share in shares.items():
            best = share.max(-1)
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            said.append(f"{kind} to " + ", ".join(f"expert {e} ({v:.0%})" for e, v in pairs))
        parts.append(f"{name}, most frequent expert by MoE layer: {'; '.join(said)}.")
    if len(models) == 2:
        before, after = models.values()
        moved = [
            f"{kind} {distance(before[kind], after[kind]).mean():.0%}"
            for kind in before
            if kind in after
        ]
        parts.append(f"Choices that moved from the first to the second: {', '.join(moved)}.")
    return "\n".join(parts)


def hold_against_compute(configs: Mapping[str, Config]) -> Figure:
    """Memory to hold against arithmetic per token: dense models lie on one line, R1 far below."""
    hold = {name: resident_bytes(config, 1) / 1e9 for name, config in configs.items()}
    work = {name: flops_per_token(config) / 1e9 for name, config in configs.items()}
    ends = [min(hold.values()), max(hold.values())]
    figure = go.Figure()
    figure.add_scatter(
        x=ends, y=[2 * x for x in ends], mode="lines", name="dense: 2 operations a parameter"
    )
    for i, (name, config) in enumerate(configs.items()):
        sparse = "n_routed_experts" in config
        symbol = "hexagram" if sparse else SYMBOLS[i % len(SYMBOLS)]
        figure.add_scatter(
            x=[hold[name]],
            y=[work[name]],
            mode="markers",
            marker={"size": 20 if sparse else 12, "symbol": symbol},
            name=name,
        )
    figure.update_xaxes(type="log", title_text="memory to hold, GB (a byte a parameter)", dtick=1)
    figure.update_yaxes(type="log", title_text="compute per token, GFLOP", dtick=1)
    figure.update_layout(title="Memory to hold is not compute per token", height=520)
    said = [f"{name} {hold[name]:.1f} GB and {work[name]:.1f} GFLOP" for name in configs]
    return figure, _lines(f"To hold, and per token: {'; '.join(said)}.")


def reads_by_batch(config: Config, tokens: Sequence[int]) -> Figure:
    """GB of weights one pass reads as its number of tokens grows: sparse against two dense."""
    count = count_parameters(config)
    sparse = [bytes_read(config, n, 1) / 1e9 for n in tokens]
    series = {
        "mixture of experts": sparse,
        "dense, same total": [count.total / 1e9] * len(tokens),
        "dense, same active": [count.active / 1e9] * len(tokens),
    }
    figure = go.Figure()
    for i, (name, values) in enumerate(series.items()):
        figure.add_scatter(x=list(tokens), y=values, name=name, line_dash=DASHES[i], mode="lines")
    figure.update_xaxes(type="log", title_text="tokens in one forward pass")
    figure.update_yaxes(title_text="GB of weights read", rangemode="tozero")
    figure.update_layout(title="With enough tokens every expert is touched", **_ROOMY)
    said = [f"{value:.0f} GB for {n}" for n, value in zip(tokens, sparse, strict=True)]
    total, active = count.total / 1e9, count.active / 1e9
    return figure, _lines(
        f"Weights the mixture of experts reads in a pass, by tokens: {', '.join(said)}. "
        f"Dense: {total:.0f} GB at the same total, {active:.0f} GB at the same active size."
    )
