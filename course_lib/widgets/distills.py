"""The distill explorer: what a student of some size and data can do, beside its teacher."""

from collections.abc import Mapping, Sequence
from functools import cache
from statistics import mean
from typing import Any

import ipywidgets as ipw
from markupsafe import Markup

from course_lib.distill import distill_lab
from course_lib.distill.bench import COUNTS, SHIPPED
from course_lib.local import trace_html
from course_lib.show import svg, tables
from course_lib.task import puzzles
from course_lib.widgets.base import Widget, choice, slider

FIGURES: dict[str, tuple[str, str]] = {
    "accuracy": ("right", "{:.1%}"),
    "three_digits": ("right with three digits", "{:.1%}"),
    "five_digits": ("right with five digits", "{:.1%}"),
    "lucky": ("right answers with wrong working", "{:.1%}"),
    "thinking_tokens": ("thinking, tokens", "{:.1f}"),
    "attempts": ("attempts", "{:.2f}"),
    "parameters": ("parameters", "{:,.0f}"),
    "bytes": ("bytes of weights", "{:,.0f}"),
    "tokens_per_second": ("tokens/s, one core, many answers at once", "{:,.0f}"),
}
"""What is shown of a model: its heading, and how it is written."""


@cache
def _rows() -> tuple[Mapping[str, Any], ...]:
    """Every recorded student, and the teacher, of the experiments on sizes and on data."""
    names = ("sizes", "quality")
    return tuple(row for name in names for row in distill_lab.load_record(name)["rows"])


def find(student: str, data: str) -> list[Mapping[str, Any]]:
    """The recorded rows of a student with its data, one a seed; none if that was not run."""
    return [r for r in _rows() if r["student"] == student and _kind(r) == data]


def _kind(row: Mapping[str, Any]) -> str:
    """The data's name without the exact count, which differs from seed to seed."""
    if row["data"] != "right":
        return str(row["data"])
    at_most = min((c for c in COUNTS if c >= row["traces"]), default=max(COUNTS))
    return f"right, {at_most:,} traces"


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {name: mean(row[name] for row in rows) for name in FIGURES}


class DistillExplorer(Widget):
    """Choose a student and what it learnt from: its figures and words, beside the teacher's."""

    title = "Distill explorer"

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """The student with its size, its data, and the puzzle that both solve."""
        taught = [row for row in _rows() if row["student"] != "teacher"]
        sizes = {
            f"{row['student']}, {row['parameters']:,} parameters": row["student"] for row in taught
        }
        kinds = list(dict.fromkeys(_kind(row) for row in taught))
        most = _kind(max(taught, key=lambda row: (row["data"] == "right", row["traces"])))
        count = len(taught[0]["examples"])
        return {
            "student": choice("Student", sizes),
            "data": choice("Learnt from", kinds, most),
            "puzzle": slider("Puzzle shown", 1, count, 1),
        }

    def rows(self) -> dict[str, list[Mapping[str, Any]]]:
        """The recorded rows on show: the teacher's, and the student's where it was run."""
        teacher = [row for row in _rows() if row["student"] == "teacher"]
        return {"teacher": teacher, "student": find(self.state["student"], self.state["data"])}

    def picture(self) -> str:
        """Bars of accuracy, and a table: a column a model, a row a figure, their words below."""
        found = {name: rows for name, rows in self.rows().items() if rows}
        means = {name: _means(rows) for name, rows in found.items()}
        right = {name: 100 * of["accuracy"] for name, of in means.items()}
        bars = svg.bars("Right answers on held-out puzzles", right, "%", most=100)
        rows = [
            (heading, *(how.format(m[name]) for m in means.values()))
            for name, (heading, how) in FIGURES.items()
        ]
        words = (Markup(self._words(known)) for known in found.values())
        rows.append((f"what it makes of {self._prompt()}", *words))
        return bars + tables.html("", ("figure", *found), rows)

    def text(self) -> str:
        """The student's accuracy, size and speed against the teacher's, or that it was not run."""
        rows = self.rows()
        if not rows["student"]:
            known = [_kind(r) for r in _rows() if r["student"] == self.state["student"]]
            return (
                f"{self.state['student']} was not taught from: {self.state['data']}. It was taught "
                f"from: {'; '.join(dict.fromkeys(known))}."
            )
        one, other = (_means(rows[name]) for name in ("student", "teacher"))
        gap = 100 * (other["accuracy"] - one["accuracy"])
        where = f"{abs(gap):.1f} points {'behind' if gap >= 0 else 'ahead of'} its teacher"
        student, data = self.state["student"], self.state["data"]
        record = distill_lab.load_record("quality" if student == SHIPPED else "sizes")
        return (
            f"{student}, learnt from {data}: {one['accuracy']:.1%} right with {one['bytes']:,.0f} "
            f"bytes, {where}, which has {other['bytes']:,.0f}. {len(rows['student'])} seed(s). "
            f"{distill_lab.said(record)}"
        )

    def _prompt(self) -> str:
        return list(_rows()[0]["examples"])[self.state["puzzle"] - 1]

    def _words(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The recorded trace with its steps marked, and the verifier's verdict, as HTML."""
        puzzle, text = puzzles.parse(self._prompt()), rows[0]["examples"][self._prompt()]
        verdict = "right" if puzzles.reward(puzzle, text) == 1.0 else "not right"
        return f"{trace_html.render(text, puzzle)}<strong>{verdict}</strong>"
