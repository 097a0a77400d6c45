"""The report on a class: one CSV for a spreadsheet and one HTML page to read.

Both are replaced whole, so that whoever looks sees the last one that was finished.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment

from course_lib.classroom.checks.judge import Outcome
from course_lib.classroom.checks.values import readable
from course_lib.classroom.grade_results import Grade
from course_lib.errors import CourseError
from course_lib.runtime import ASSETS

_LONGEST = 4_000  # characters of a cell
_TOLD = 50  # lines on what went wrong most often
_SIGNS = {
    Outcome.RIGHT: "✓ right",
    Outcome.WRONG: "✗ wrong",
    Outcome.MISTAKE: "✗ known mistake",
    Outcome.ERROR: "! error",
    Outcome.NOT_ATTEMPTED: "– not attempted",
}
# Where a spreadsheet may begin a cell, blanks and quotes, and what then begins a formula.
_FORMULA = re.compile(r"(^|[;\t\r\n])([\s\"'\x00-\x1f]*)(?=[=+\-@|＝＋－＠])")


def write_report(
    grades: Sequence[Grade], folder: Path, left: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write `grades.csv` and `report.html` into `folder`; returns their paths.

    `left`: sentences on what was handed in by nobody. Raises CourseError where it cannot write.
    """
    table, page = folder / "grades.csv", folder / "report.html"
    rows = io.StringIO(newline="")
    csv.writer(rows).writerows(_rows(grades))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace(table, "\ufeff" + rows.getvalue())  # the mark by which spreadsheets know UTF-8
        replace(page, _page(grades, left))
    except OSError as error:
        raise CourseError(f"The report could not be written to {folder}: {error}.") from error
    return table, page


def replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(text.encode("utf-8", "backslashreplace"))
    os.replace(new, path)


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
        for one in grade.verdicts:
            rows.append([grade.student, one.exercise, str(one.outcome), one.message])
        rows += [[grade.student, "", "note", note] for note in grade.notes]
    return [[as_text(readable(cell, _LONGEST)) for cell in row] for row in rows]


def as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, however it splits the line."""
    return _FORMULA.sub(r"\1\2'", cell)


def _page(grades: Sequence[Grade], left: Sequence[str]) -> str:
    """The page, from a template that escapes whatever is put into it."""
    template = (ASSETS / "classroom" / "report.html").read_text(encoding="utf-8")
    made = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda one: readable(one, _LONGEST) if isinstance(one, str) else one,
    )  # fmt: skip
    return made.from_string(template).render(
        grades=grades, left=left, signs=_SIGNS, longest=_LONGEST,
        mistakes=common_mistakes(grades)[:_TOLD],
    )  # fmt: skip
