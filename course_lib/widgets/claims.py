"""The page, claim by claim: what it says, what is so, and where to read or recompute it."""

from __future__ import annotations

from collections import Counter

import ipywidgets as ipw

from course_lib import facts
from course_lib.look import TEXT_COLOUR, escape
from course_lib.widgets.base import Widget, choice

ALL = "all"
_MARKS = {"confirmed": "✓", "imprecise": "≈", "wrong": "✗", "outdated": "↻", "unverifiable": "?"}
_HEADS = ("no.", "the page says", "verdict", "what is so", "for a learner", "source", "lesson")


def chosen(verdict: str = ALL, lesson: str = ALL, most_important: bool = False) -> list[facts.Fact]:
    """The claims with this verdict and lesson, in the page's order or the most important first.

    Raises ValueError for a verdict that does not exist.
    """
    if verdict not in (ALL, *facts.VERDICTS):
        raise ValueError(f"no verdict {verdict!r:.40}; there are {', '.join(facts.VERDICTS)}.")
    found = [
        claim
        for claim in facts.claims()
        if verdict in (ALL, claim.verdict) and lesson in (ALL, claim.notebook)
    ]
    if most_important:
        found.sort(key=lambda claim: claim.rank or len(found) + 12)
    return found


def as_text(claims: list[facts.Fact]) -> str:
    """The claims as plain lines, for a terminal or a screen reader."""
    return "\n".join(
        f"{_number(claim)}: the page says “{claim.claim}”. {claim.verdict.capitalize()}: "
        f"{_value(claim)}. {claim.note} {facts.cite(claim.key)}; recompute in {claim.notebook}."
        for claim in claims
    )


def as_html(claims: list[facts.Fact]) -> str:
    """The claims as an HTML table that needs no kernel; lessons are links to the notebooks."""
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADS)
    rows = "".join(_row(claim) for claim in claims)
    return (
        f'<table style="color:{TEXT_COLOUR};text-align:left"><caption>The page, claim by claim'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def page() -> str:
    """Every claim as a whole HTML document, to be opened by itself next to the notebooks."""
    counts = Counter(claim.verdict for claim in facts.claims())
    said = ", ".join(f"{verdict} {counts[verdict]}" for verdict in facts.VERDICTS)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<title>The page, claim by claim</title></head><body><h1>The page, claim by claim</h1>"
        f"<p>{sum(counts.values())} claims: {said}.</p>{as_html(facts.claims())}</body></html>"
    )


class ClaimsBrowser(Widget):
    """All claims of the page in a table; a filter by verdict and by lesson."""

    title = "The page, claim by claim"

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """Verdict, lesson and order."""
        lessons = sorted({claim.notebook for claim in facts.claims()})
        return {
            "verdict": choice("Verdict", [ALL, *facts.VERDICTS]),
            "lesson": choice("Lesson", [ALL, *lessons]),
            "order": choice("Order", ["as on the page", "what matters most first"]),
        }

    def chosen(self) -> list[facts.Fact]:
        """The claims that the controls ask for."""
        ranked = self.state["order"] == "what matters most first"
        return chosen(self.state["verdict"], self.state["lesson"], ranked)

    def picture(self) -> str:
        """The table."""
        found = self.chosen()
        return as_html(found) if found else "<p>No claim is both.</p>"

    def text(self) -> str:
        """How many claims are shown, by verdict."""
        counts = Counter(claim.verdict for claim in self.chosen())
        said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in facts.VERDICTS)
        return f"{sum(counts.values())} of {len(facts.claims())} claims: {said}."


def _number(claim: facts.Fact) -> str:
    return claim.key.removeprefix("page.").upper()


def _value(claim: facts.Fact) -> str:
    return f"{claim.value} {claim.unit}".strip()


def _row(claim: facts.Fact) -> str:
    cells = [
        escape(claim.claim),
        f'<span aria-hidden="true">{_MARKS[claim.verdict]}</span> {claim.verdict}',
        escape(_value(claim)),
        escape(claim.note),
        _source(claim),
        f'<a href="{escape(claim.notebook)}">{escape(claim.notebook.removesuffix(".ipynb"))}</a>',
    ]
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{_number(claim)}</th>{inner}</tr>'


def _source(claim: facts.Fact) -> str:
    title, where = escape(claim.source.title), escape(claim.where)
    if claim.source.address:
        title = f'<a href="{escape(claim.source.address)}">{title}</a>'
    return f"{title}{', ' + where if where else ''} ({claim.read})"
