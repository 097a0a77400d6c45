"""The page, claim by claim: what it says, what is so, and where to read or recompute it.

`python -m course_lib.widgets.claims notebooks/claims.html` writes the table as a page of its own.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import ipywidgets as ipw

from course_lib import facts
from course_lib.show.pages import render
from course_lib.show.theme import TEXT_COLOUR
from course_lib.widgets.base import Widget, choice

ALL = "all"
_MARKS = {"confirmed": "✓", "imprecise": "≈", "wrong": "✗", "outdated": "↻", "unverifiable": "?"}
_HERE = Path(__file__).parent


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
    return render(_HERE / "claims_table.html.j2", **_values(claims))


def page() -> str:
    """Every claim as a whole HTML document with a filter by verdict, and not a line of script.

    It belongs next to the notebooks, because its links to them are relative.
    """
    known = facts.claims()
    counts = Counter(claim.verdict for claim in known)
    shown = {ALL: len(known)} | {verdict: counts[verdict] for verdict in facts.VERDICTS}
    values = {"shown": shown, "verdicts": facts.VERDICTS, **_values(known)}
    return render(_HERE / "claims.html.j2", **values) + "\n"


def _values(claims: list[facts.Fact]) -> dict[str, Any]:
    return {"claims": claims, "marks": _MARKS, "colour": TEXT_COLOUR}


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


if __name__ == "__main__":
    main()
