"""The benchmark explorer: any models side by side on any metric, with error bars where known."""

import ipywidgets as ipw
from markupsafe import Markup

from course_lib import facts
from course_lib.cost import scores
from course_lib.show import tables
from course_lib.show.theme import MID_GREY, PALETTE
from course_lib.widgets.base import Widget, choice, tick

GROUPS = {
    "R1 and what it is compared with": ("r1", "o1_1217", "o1_mini", "v3", "gpt_4o_0513"),
    "R1-Zero and R1, stage by stage": ("r1_zero", "dev1", "dev2", "dev3", "r1"),
    "The distills": tuple(m for m in scores.models() if m.startswith("distill_")),
    "Everything": (),
}
"""Which models to show; the last is every one of which the papers give a value."""


class BenchmarkExplorer(Widget):
    """The published scores of some models on one metric, and how far apart two of them are."""

    title = "Benchmark explorer"
    beside = True

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """The metric, the group of models, two models to set against each other, error bars."""
        names = {facts.label(model): model for model in scores.models()}
        metrics = {facts.label(metric): metric for metric in scores.metrics()}
        return {
            "metric": choice("Metric", metrics, "aime_2024.pass_at_1"),
            "models": choice("Models", list(GROUPS)),
            "first": choice("Compare", names, "r1"),
            "second": choice("with", names, "o1_1217"),
            "errors": tick("95 % intervals from the number of problems", True),
        }

    def shown(self) -> list[scores.Score]:
        """The scores on show, best first, with the two that are compared."""
        group = GROUPS[self.state["models"]]
        pair = (self.state["first"], self.state["second"]) if group else ()
        return scores.scores(self.state["metric"], tuple(dict.fromkeys((*group, *pair))))

    def picture(self) -> str:
        """A row for each model: its name, its score on a scale, and its interval."""
        found = self.shown()
        if not found:
            return "<p>No model of this group has a published value.</p>"
        most = max(100.0, *(score.value for score in found))
        heads = ("model", "score", "95 % interval", "on a scale")
        rows = (_row(score, most, self.state["errors"]) for score in found)
        return tables.html(facts.label(self.state["metric"]), heads, rows)

    def text(self) -> str:
        """The two models' scores, their distance in problems, and where the figures stand."""
        metric = self.state["metric"]
        pair = scores.scores(metric, (self.state["first"], self.state["second"]))
        if len({score.model for score in pair}) < 2:
            return "The papers do not give both models' values here, or it is one model twice."
        said = ", ".join(f"{facts.label(score.model)} {score.value:g}" for score in pair)
        distance = _distance(pair[0], pair[1], scores.problems_of(metric))
        return f"{said}. {distance} {facts.cite(pair[0].key)}."


def _distance(better: scores.Score, worse: scores.Score, problems: int | None) -> str:
    gap = better.value - worse.value
    if problems is None or worse.high is None or better.low is None:
        return f"They are {gap:.1f} points apart; no number of problems, so no error bars."
    apart = scores.problems_apart(better.value, worse.value, problems)
    verdict = "overlap" if worse.high >= better.low else "do not overlap"
    return (
        f"They are {gap:.1f} points apart, which is {apart:.2f} of {problems} problems; "
        f"their 95 % intervals {verdict}. Intervals are about other problems; both had the same."
    )


def _row(score: scores.Score, most: float, errors: bool) -> tuple[str, ...]:
    known = errors and score.low is not None
    span = f"{score.low:.1f}\u00a0to\u00a0{score.high:.1f}" if known else "–"
    return facts.label(score.model), f"{score.value:g}", span, _whisker(score, most, known)


def _whisker(score: scores.Score, most: float, errors: bool) -> Markup:
    """A small picture of one score from 0 to `most`: a bar, and a line for the interval."""
    scale = 240 / most
    parts = [
        f'<rect x="0" y="5" width="{score.value * scale:.1f}" height="10" '
        f'fill="{PALETTE["teal"]}" stroke="{MID_GREY}" stroke-width="0.5"/>'
    ]
    if errors and score.low is not None and score.high is not None:
        low, high = score.low * scale, score.high * scale
        parts.append(
            f'<path d="M{low:.1f} 10H{high:.1f}M{low:.1f} 4V16M{high:.1f} 4V16" fill="none" '
            'stroke="currentColor" stroke-width="1.5"/>'
        )
    return Markup(f'<svg aria-hidden="true" width="245" height="20">{"".join(parts)}</svg>')
