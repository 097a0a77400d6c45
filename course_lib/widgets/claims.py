"""The page, claim by claim: what it says, what is so, and where to read or recompute it.

`python -m course_lib.widgets.claims notebooks/claims.html` writes the table as a page of its own.
"""

import argparse
from collections import Counter
from pathlib import Path

import ipywidgets as ipw

from course_lib import facts
from course_lib.show.theme import TEXT_COLOUR, escape
from course_lib.widgets.base import Widget, choice

ALL = "all"
_MARKS = {"confirmed": "✓", "imprecise": "≈", "wrong": "✗", "outdated": "↻", "unverifiable": "?"}
_HEADS = ("no.", "the page says", "verdict", "what is so", "for a learner", "source", "lesson")


_HIDING = "".join(
    f"body:has(#show-{verdict}:checked) tr[data-verdict]:not([data-verdict={verdict}]),"
    for verdict in facts.VERDICTS
)
_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font-family:system-ui,sans-serif;margin:2em;line-height:1.4}"
    "table{border-collapse:collapse}td,th{padding:.3em .6em;vertical-align:top;"
    "border-bottom:1px solid #797979}label{margin-right:1.2em}fieldset{margin:1em 0}"
    f"{_HIDING.rstrip(',')}{{display:none}}"
)


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


def as_html(claims: list[facts.Fact]) -> str:
    """The claims as an HTML table that needs no kernel; lessons are links to the notebooks."""
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADS)
    rows = "".join(_row(claim) for claim in claims)
    return (
        f'<table style="color:{TEXT_COLOUR};text-align:left"><caption>The page, claim by claim'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def page() -> str:
    """Every claim as a whole HTML document with a filter by verdict, and not a line of script.

    It belongs next to the notebooks, because its links to them are relative.
    """
    counts = Counter(claim.verdict for claim in facts.claims())
    buttons = "".join(_button(verdict, counts[verdict]) for verdict in facts.VERDICTS)
    every = _button(ALL, sum(counts.values()), checked=True)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>The page, claim by claim</title><style>{_STYLE}</style></head><body>"
        f"<h1>The page, claim by claim</h1><fieldset><legend>Verdict</legend>{every}{buttons}"
        f"</fieldset>{as_html(facts.claims())}</body></html>\n"
    )


def main(arguments: list[str] | None = None) -> None:
    """Write the page to the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write the claims as a page of its own.")
    parser.add_argument("file", type=Path, help="where to, for instance notebooks/claims.html")
    parser.parse_args(arguments).file.write_text(page(), encoding="utf-8")


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


def _button(verdict: str, count: int, checked: bool = False) -> str:
    mark = " checked" if checked else ""
    return (
        f'<label><input type="radio" name="verdict" id="show-{verdict}"{mark}> '
        f"{verdict} ({count})</label>"
    )


def _number(claim: facts.Fact) -> str:
    return claim.key.removeprefix("page.").upper()


def _value(claim: facts.Fact) -> str:
    return f"{claim.value} {claim.unit}".strip()


def _row(claim: facts.Fact) -> str:
    cells = [
        escape(claim.claim),
        f'<span style="white-space:nowrap"><span aria-hidden="true">{_MARKS[claim.verdict]}</span> '
        f"{claim.verdict}</span>",
        escape(_value(claim)),
        escape(claim.note),
        _source(claim),
        f'<a href="{escape(claim.notebook)}">{escape(claim.notebook.removesuffix(".ipynb"))}</a>',
    ]
    inner = "".join(f"<td>{cell}</td>" for cell in cells)
    number = f'<th scope="row">{_number(claim)}</th>'
    return f'<tr data-verdict="{claim.verdict}">{number}{inner}</tr>'


def _source(claim: facts.Fact) -> str:
    title, where = escape(claim.source.title), escape(claim.where)
    if claim.source.address:
        title = f'<a href="{escape(claim.source.address)}">{title}</a>'
    return f"{title}{', ' + where if where else ''} ({claim.read})"


if __name__ == "__main__":
    main()
