"""Pictures of R1-Zero's runs and of experiments with it: each a figure and its twin in words."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from course_lib.show.theme import DASHES, PALETTE, SYMBOLS

Figure = tuple[go.Figure, str]
Lines = Sequence[Mapping[str, Any]]  # a run's log: one dict a step

PANELS: dict[str, str] = {
    "reward": "Reward of the step's completions",
    "accuracy": "Accuracy on held-out puzzles",
    "thinking_tokens": "Thinking tokens in a training completion",
    "attempts": "Attempts in a training completion",
    "entropy": "Entropy of a token, in nats",
    "informative": "Groups that taught something",
}
"""What the pictures of a run show, by the log's names."""

_COLOURS = tuple(PALETTE.values())


def trained(lines: Lines) -> list[Mapping[str, Any]]:
    """The lines of steps that were taken: neither the base's own line nor skipped steps."""
    return [line for line in lines if "reward" in line or "loss" in line]


def skipped(lines: Lines) -> list[int]:
    """The steps that were skipped because a reward or the loss failed."""
    return [line["step"] for line in lines if "skipped" in line]


def values(lines: Lines, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one figure of a log, wherever it was measured.

    The base's line (step 0) has the habits of held-out completions only; they start the curve.
    """
    found = [(x["step"], x.get(name, x.get(f"test_{name}"))) for x in lines if "skipped" not in x]
    kept = [(step, value) for step, value in found if value is not None]
    return [step for step, _ in kept], [value for _, value in kept]


def smooth(numbers: Sequence[float], window: int = 5) -> list[float]:
    """The mean of each value and those before it, at most `window` of them."""
    return [mean(numbers[max(0, i + 1 - window) : i + 1]) for i in range(len(numbers))]


def growth_words(lines: Lines) -> str:
    """What a run did to the figures of `PANELS`, first and last, and what was skipped."""
    said = []
    for name, title in PANELS.items():
        steps, numbers = values(lines, name)
        if numbers:
            said.append(f"{title}: {numbers[0]:.3g} at step {steps[0]}, {numbers[-1]:.3g} at "
                        f"step {steps[-1]}.")  # fmt: skip
    lost = skipped(lines)
    if lost:
        said.append(f"{len(lost)} steps were skipped: {', '.join(map(str, lost))}.")
    return " ".join(said)


MORE: dict[str, str] = {
    "loss": "Loss",
    "grad_norm": "Length of the gradient",
    "finished": "Completions that ended",
    "clip_fraction": "Tokens whose gradient the clip stops",
    "micro_batches": "Micro-batches a step",
    "tokens": "Tokens of a completion",
    "lean": "A prompt's mean advantage, away from 0",
}
"""What other pictures show, by the log's names."""


def against(runs: Mapping[str, Lines], watch: Sequence[str], title: str, window: int = 1) -> Figure:
    """Some figures of some runs over their steps, a panel each, as means over `window` steps."""
    titles = [(PANELS | MORE)[name] for name in watch]
    figure = make_subplots(
        len(watch), 1, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.1
    )
    said = []
    for row, key in enumerate(watch, start=1):
        told = []
        for i, (name, lines) in enumerate(runs.items()):
            numbers = [line[key] for line in trained(lines)]
            figure.add_scatter(
                x=[line["step"] for line in trained(lines)], y=smooth(numbers, window), name=name,
                showlegend=row == 1, row=row, col=1, mode="lines",
                line={"dash": DASHES[(i + i // 6) % 6], "color": _COLOURS[i % 6]},
            )  # fmt: skip
            told.append(f"{name} {numbers[0]:.3g} to {numbers[-1]:.3g}, mean {mean(numbers):.3g}")
        said.append(f"{titles[row - 1]}, first to last step: {'; '.join(told)}.")
    figure.update_xaxes(title_text="step", row=len(watch), col=1)
    figure.update_layout(title=title, height=120 + 190 * len(watch))
    return figure, "\n".join(said)


def loss_and_reward(runs: Mapping[str, Lines]) -> Figure:
    """The loss and the reward of some runs over their steps: one says something, one nothing."""
    return against(runs, ("loss", "reward"), "The loss does not tell how a run goes", window=5)


def informative_groups(lines: Lines) -> Figure:
    """The share of groups that taught something, and of those all right and all wrong."""
    steps = [line["step"] for line in trained(lines)]
    shares = [line["informative"] for line in trained(lines)]
    figure = go.Figure()
    figure.add_scatter(x=steps, y=smooth(shares), mode="lines", name="taught something")
    figure.add_scatter(
        x=steps,
        y=smooth([line["reward"] for line in trained(lines)]),
        mode="lines",
        name="reward",
        line={"dash": DASHES[1], "color": _COLOURS[1]},
    )
    figure.update_layout(title="Groups that taught something", height=380)
    figure.update_xaxes(title_text="step")
    figure.update_yaxes(title_text="share", range=[0, 1.02])
    tenth = max(1, len(shares) // 10)
    return figure, (
        f"Of the groups in the first {tenth} steps {mean(shares[:tenth]):.0%} taught something, "
        f"of those in the last {tenth} {mean(shares[-tenth:]):.0%}; over the run "
        f"{1 - mean(shares):.0%} taught nothing."
    )


# --- experiments with several seeds ---------------------------------------------------------------


def over_seeds(record: Mapping[str, Any], name: str) -> tuple[list[int], list[list[float]]]:
    """Steps and, for each, the values of every seed, of one column of a record."""
    runs = list(record["runs"].values())
    steps = runs[0]["step" if name in ("reward", "thinking_tokens", "attempts") else "tried"]
    return steps, [list(at) for at in zip(*(run[name] for run in runs), strict=True)]


def spread(records: Mapping[str, Mapping[str, Any]], name: str, axis: str, title: str) -> Figure:
    """One line for each record, the mean over its seeds, with bars from least to most."""
    figure, said = go.Figure(), []
    for i, (label, record) in enumerate(records.items()):
        steps, seeds = over_seeds(record, name)
        middle = [mean(at) for at in seeds]
        bars = {
            "type": "data",
            "symmetric": False,
            "array": [max(at) - m for at, m in zip(seeds, middle, strict=True)],
            "arrayminus": [m - min(at) for at, m in zip(seeds, middle, strict=True)],
        }
        style = {"dash": DASHES[i % 6], "color": _COLOURS[i % 6]}
        marker = {"symbol": SYMBOLS[i % 6]}
        figure.add_scatter(x=steps, y=middle, error_y=bars, name=label, line=style, marker=marker)
        last = seeds[-1]
        apart = f"{min(last):.3g} to {max(last):.3g} over {len(last)} seeds"
        apart = apart if len(last) > 1 else "one seed"
        said.append(f"{label} {middle[0]:.3g} to {middle[-1]:.3g} ({apart})")
    figure.update_layout(title=title, height=480)
    figure.update_xaxes(title_text="step")
    figure.update_yaxes(title_text=axis, rangemode="tozero")
    return figure, f"{axis}, first to last step: {'; '.join(said)}."


def beside(record: Mapping[str, Any], lines: Lines, changed: str, name: str = "reward") -> Figure:
    """One column of your own run, with something changed, beside a recorded experiment's seeds."""
    figure, _ = spread({"recorded": record}, name, name.replace("_", " "), changed)
    steps, numbers = values(lines, name)
    look = {"color": _COLOURS[1], "dash": DASHES[1]}
    figure.add_scatter(x=steps, y=numbers, name=f"yours: {changed}", line=look, mode="lines")
    at = {step: seeds for step, seeds in zip(*over_seeds(record, name), strict=True)}
    last = at[steps[-1]]
    return figure, (
        f"At step {steps[-1]}: yours {numbers[-1]:.3g}, recorded {min(last):.3g} to "
        f"{max(last):.3g} over {len(last)} seeds."
    )


def stacked_time(parts: Mapping[str, float], title: str = "Where a step's time goes") -> Figure:
    """A bar of the seconds of each part of a step, and the same in words."""
    total = sum(parts.values())
    figure = go.Figure(
        go.Bar(x=list(parts.values()), y=list(parts), orientation="h", marker_color=_COLOURS[0])
    )
    figure.update_layout(title=title, xaxis_title="seconds", height=120 + 40 * len(parts))
    figure.update_yaxes(autorange="reversed")
    said = [f"{name} {value:.2f} s ({value / total:.0%})" for name, value in parts.items()]
    return figure, f"{title}: {', '.join(said)}."


def curves_of_k(
    ks: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    title: str,
    axis: str = "k (samples)",
) -> Figure:
    """Lines over k, or over a budget, on a scale where each step doubles."""
    figure = go.Figure()
    for i, (name, numbers) in enumerate(curves.items()):
        style = {"dash": DASHES[i % 6], "color": _COLOURS[i % 6]}
        figure.add_scatter(x=list(ks), y=list(numbers), name=name, line=style)
    figure.update_xaxes(type="log", title_text=axis, tickvals=list(ks))
    figure.update_yaxes(title_text="share of puzzles", range=[0, 1.02])
    figure.update_layout(title=title, height=480)
    said = [
        f"{name} {numbers[0]:.1%} at {ks[0]}, {numbers[-1]:.1%} at {ks[-1]}"
        for name, numbers in curves.items()
    ]
    return figure, f"{title}, by {axis}: {'; '.join(said)}."
