"""What students hand in: notebooks from a few cells, and attacks as they were tried."""

from __future__ import annotations

import json
from pathlib import Path

from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.remote import Limits
from course_lib.classroom.grade import grade_one
from course_lib.classroom.grade_files import collect
from course_lib.classroom.grade_results import Grade

LESSON = "01_cost_reset"
RATIO = "price_ratio = 60 / 2.19\n"
GAP = "def gap_in_problems(a, b, n):\n    return (a - b) / 100 * n\n"
STUB = 'def gap_in_problems(a, b, n):\n    raise NotImplementedError("your turn")\n'
ASKED = tuple(
    one for one in catalogue.of_lesson(LESSON) if one.symbol in ("price_ratio", "gap_in_problems")
)
QUICK = Limits(cell=3, check=2, total=40)


def notebook(*sources: object, **metadata: object) -> str:
    """A notebook with these code cells as the text of its file."""
    code = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [code | {"source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4})


def put(path: Path, *sources: object) -> Path:
    """Write a notebook, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook(*sources), encoding="utf-8")
    return path


def graded(folder: Path, *sources: object, limits: Limits = QUICK, **how: object) -> Grade:
    """The grade of one notebook with these cells, on the two quickest exercises of lesson 1."""
    put(folder / "mallory.ipynb", *sources)
    submission = next(one for one in collect(folder) if one.student == "mallory")
    return grade_one(submission, ASKED, limits, **how)


def seen(folder: Path, *expressions: str, **how: object) -> list[str]:
    """What expressions give inside the sandbox, as text; an error as its name."""
    begin = "import ctypes, os, socket, subprocess, sys\nlibc = ctypes.CDLL(None)\n"
    cells = [
        f"try:\n    found = {one}\nexcept BaseException as error:\n"
        '    found = type(error).__name__\nraise RuntimeError(f"<<{found}>>")\n'
        for one in expressions
    ]
    notes = graded(folder, begin + RATIO, *cells, **how).notes
    return [note.split("<<")[1].split(">>")[0] for note in notes]


def outcomes(grade: Grade) -> list[str]:
    """The outcomes of a grade in the order of the exercises."""
    return [str(one.outcome) for one in grade.verdicts]
