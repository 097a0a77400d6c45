"""Pages and tables for a teacher: from the templates that come with the course, written whole."""

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from course_lib.classroom.checks.values import readable
from course_lib.errors import CourseError
from course_lib.runtime import ASSETS

MARK = "\ufeff"
"""By which spreadsheets know UTF-8; a gradebook takes it for a part of a column's name."""

# Where a spreadsheet may begin a cell, blanks and quotes, and what then begins a formula.
_FORMULA = re.compile(r"(^|[;\t\r\n])([\s\"'\x00-\x1f]*)(?=[=+\-@|＝＋－＠])")


@cache
def _templates() -> Environment:
    folder = ASSETS / "classroom"
    return Environment(
        loader=FileSystemLoader([folder, folder / "teaching"], encoding="utf-8"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def page(name: str, cut: int | None = None, **values: Any) -> str:
    """The page `name`: whatever is put into it is escaped, and cut at `cut` signs."""
    made = _templates()
    if cut is not None:
        made = made.overlay(
            finalize=lambda one: readable(one, cut) if isinstance(one, str) else one
        )
    return made.get_template(f"{name}.html").render(**values)


def table(rows: Iterable[Sequence[str]], longest: int) -> str:
    """A CSV of cells that are cut at `longest` and that no spreadsheet takes for formulas."""
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows([as_text(readable(cell, longest)) for cell in row] for row in rows)
    return lines.getvalue()


def as_text(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula, however it splits the line."""
    return _FORMULA.sub(r"\1\2'", cell)


def written(texts: Mapping[str, str], out: Path) -> list[Path]:
    """Write each text, whole, into the folder `out`. Raises CourseError where it cannot."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            new = out / f".{name}.new"
            new.write_bytes(text.encode("utf-8", "backslashreplace"))
            os.replace(new, out / name)
    except OSError as error:
        raise CourseError(f"Nothing could be written to {out}: {error.strerror}.") from error
    return [out / name for name in texts]
