"""The report on a class: one CSV for a spreadsheet and one HTML page to read."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.classroom.checks.judge import Outcome
from course_lib.errors import CourseError

if TYPE_CHECKING:
    from course_lib.classroom.grade import Grade

_SIGNS = {
    Outcome.RIGHT: "✓ right",
    Outcome.WRONG: "✗ wrong",
    Outcome.MISTAKE: "✗ known mistake",
    Outcome.ERROR: "! error",
    Outcome.NOT_ATTEMPTED: "– not attempted",
}
_STYLE = """
body { font-family: system-ui, sans-serif; line-height: 1.4; margin: 2em; max-width: 90em; }
table { border-collapse: collapse; } td, th { border: 1px solid #797979; padding: 0.3em 0.6em;
text-align: left; vertical-align: top; } pre { white-space: pre-wrap; margin: 0; }
"""


def write_report(grades: Sequence[Grade], folder: Path) -> tuple[Path, Path]:
    """Write `grades.csv` and `report.html` into `folder`; returns their paths."""
    table, page = folder / "grades.csv", folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with table.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows(_rows(grades))
        page.write_text(_page(grades), encoding="utf-8")
    except OSError as error:
        raise CourseError(f"The report could not be written to {folder}: {error}.") from error
    return table, page


def common_mistakes(grades: Sequence[Grade]) -> list[tuple[int, str, str]]:
    """(students, exercise, sentence) of everything that was not right, most frequent first."""
    told = (Outcome.MISTAKE, Outcome.WRONG, Outcome.ERROR)
    found = Counter(
        (verdict.exercise, verdict.headline)
        for grade in grades
        for verdict in grade.verdicts
        if verdict.outcome in told
    )
    return [(count, name, sentence) for (name, sentence), count in found.most_common()]


def _rows(grades: Sequence[Grade]) -> list[list[str]]:
    rows = [["student", "exercise", "outcome", "message"]]
    for grade in grades:
        for verdict in grade.verdicts:
            row = [grade.student, verdict.exercise, str(verdict.outcome), verdict.message]
            rows.append([_as_text(cell) for cell in row])
        rows += [[_as_text(grade.student), "", "note", _as_text(note)] for note in grade.notes]
    return rows


def _as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell


def _page(grades: Sequence[Grade]) -> str:
    names = [verdict.exercise for verdict in grades[0].verdicts]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join(_student(grade) for grade in grades)
    mistakes = "".join(
        f"<li>{count} x <code>{escape(name)}</code>: {escape(sentence)}</li>"
        for count, name, sentence in common_mistakes(grades)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Grades</title>'
        f"<style>{_STYLE}</style></head><body><h1>Grades</h1>"
        f"<h2>What went wrong most often</h2><ul>{mistakes}</ul><h2>Students</h2>"
        f'<table><tr><th scope="col">student</th><th scope="col">right</th>{head}</tr>{body}'
        f"</table></body></html>\n"
    )


def _student(grade: Grade) -> str:
    cells = "".join(
        f"<td><details><summary>{_SIGNS[verdict.outcome]}</summary>"
        f"<pre>{escape(verdict.message)}</pre></details></td>"
        for verdict in grade.verdicts
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in grade.notes)
    return (
        f'<tr><th scope="row">{escape(grade.student)}{notes}</th>'
        f"<td>{grade.right} of {len(grade.verdicts)}</td>{cells}</tr>"
    )
