"""Grading a class: `python -m course_lib grade SUBMISSIONS --out report/`.

SUBMISSIONS is a folder with one notebook per student, or one folder per student. Every submission
runs in a process of its own, in its own process group and scratch folder, with limits on time,
memory, file size and output. Exercises are found by the names that they define, so cells may be
added, moved and renamed.

What is protected: verdicts are made in the grader's process, which runs no code of a student's and
takes nothing from a submission but values; all submissions are read before the first one runs, and
each process gets its own copy of the course and may not read what the others handed in. So no
submission can change its own verdict except by giving right values, or anyone else's. Files changed
in SUBMISSIONS during the run are reported and put back. What is not: the fence around a submission
(`course_lib.classroom.checks.guard`) stops Python code, not a determined attack through C; for
strangers' code, grade as a user or in a container that has nothing to lose. Nothing here hides the
solutions: a student may import the course's own functions.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.exercise import Exercise
from course_lib.classroom.checks.judge import Outcome, Verdict, judge
from course_lib.classroom.checks.remote import Limits, Process, RemoteCaller
from course_lib.classroom.grade_report import write_report
from course_lib.errors import CourseError

_LARGEST = 20_000_000  # bytes of one submitted file
_MOST_FILES = 50
_SCRATCH = "grade-"  # how the names of submissions' own folders begin


@dataclass(frozen=True)
class Submission:
    """A student's files, read into memory: path relative to the student's folder -> content."""

    student: str
    files: dict[str, bytes]
    paths: dict[Path, bytes]
    problem: str = ""
    closed: tuple[str, ...] = ()  # where the class's files are: not for this one to read

    @property
    def cells(self) -> list[str]:
        """The code cells of all notebooks, in the order of their names."""
        notebooks = [name for name in sorted(self.files) if name.endswith(".ipynb")]
        return [cell for name in notebooks for cell in _code_cells(self.files[name])]


@dataclass(frozen=True)
class Grade:
    """What came of one submission: a verdict for every exercise, and notes on how it ran."""

    student: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def right(self) -> int:
        """How many exercises are right."""
        return sum(verdict.outcome is Outcome.RIGHT for verdict in self.verdicts)


def collect(folder: Path) -> list[Submission]:
    """Read all submissions. Raises CourseError if the folder is not there or has none."""
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder; give the folder with the submissions.")
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    read = [_read(path) for path in entries if path.is_dir() or path.suffix == ".ipynb"]
    found = [replace(one, closed=tuple(str(path.resolve()) for path in entries)) for one in read]
    if not found:
        raise CourseError(f"{folder} has no notebooks and no folders with notebooks in it.")
    return found


def _read(path: Path) -> Submission:
    candidates = [path] if not path.is_dir() else sorted(path.rglob("*"))
    base = path.parent if not path.is_dir() else path
    files = [one for one in candidates if one.is_file() and not one.is_symlink()][:_MOST_FILES]
    small = [one for one in files if one.stat().st_size <= _LARGEST]
    content = {one: one.read_bytes() for one in small}
    named = {one.relative_to(base).as_posix(): data for one, data in content.items()}
    found = Submission(path.stem if not path.is_dir() else path.name, named, content)
    try:
        problem = "" if found.cells else "There is no notebook with code in it."
    except (ValueError, RecursionError) as error:
        problem = f"The notebook cannot be read: {error}."
    if len(small) < len(files):
        problem = f"A file is larger than {_LARGEST:,} bytes."
    return Submission(found.student, named, content, problem)


def _code_cells(data: bytes) -> list[str]:
    notebook = json.loads(data.decode("utf-8"))
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it has no list of cells")
    code = [one for one in cells if isinstance(one, dict) and one.get("cell_type") == "code"]
    sources = [one.get("source", "") for one in code]
    return [one if isinstance(one, str) else "".join(map(str, one)) for one in sources]


def lessons_of(submissions: Sequence[Submission]) -> list[str]:
    """The lessons whose exercises any of the submissions mentions."""
    text = "\n".join(cell for one in submissions if not one.problem for cell in one.cells)
    words = set(re.findall(r"\w+", text))
    return [
        lesson
        for lesson in catalogue.LESSONS
        if any(exercise.symbol in words for exercise in catalogue.of_lesson(lesson))
    ]


def grade_one(
    submission: Submission, exercises: Sequence[Exercise], limits: Limits, seed: int | None = None
) -> Grade:
    """Run one submission and judge all exercises; never raises for what the submission does."""
    if submission.problem:
        verdicts = tuple(_unread(exercise, submission.problem) for exercise in exercises)
        return Grade(submission.student, verdicts, (submission.problem,))
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as scratch:
        closed = [os.path.join(tempfile.gettempdir(), _SCRATCH), *submission.closed]
        process = Process(submission.cells, submission.files, Path(scratch), limits, closed)
        try:
            verdicts = tuple(_judged(exercise, process, seed) for exercise in exercises)
        finally:
            process.close()
    return Grade(submission.student, verdicts, tuple(process.notes))


def _judged(exercise: Exercise, process: Process, seed: int | None) -> Verdict:
    """The verdict; one that cannot be reached must not take the rest of the class with it."""
    try:
        return judge(exercise, RemoteCaller(process, exercise), seed)
    except Exception as error:
        headline = f"The grader could not judge what came out ({type(error).__name__}: {error})."
        return Verdict(exercise.name, Outcome.ERROR, headline)


def _unread(exercise: Exercise, problem: str) -> Verdict:
    return Verdict(exercise.name, Outcome.NOT_ATTEMPTED, problem)


def grade_class(
    folder: Path, *, lessons: Sequence[str] = (), jobs: int = 0, limits: Limits | None = None
) -> list[Grade]:
    """Grade every submission in `folder`, `jobs` at a time (as many as there are cores by default).

    Raises CourseError if there is nothing to grade.
    """
    submissions = collect(folder)
    chosen = list(lessons) or lessons_of(submissions)
    if not chosen:
        raise CourseError("No submission defines anything that an exercise asks for.")
    exercises = [exercise for lesson in chosen for exercise in catalogue.of_lesson(lesson)]
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        run = [pool.submit(grade_one, one, exercises, limits or Limits()) for one in submissions]
        grades = [one.result() for one in run]
    changed = _restore(submissions)
    if changed:
        note = f"During the run these files were changed, and have been put back: {changed}."
        return [Grade(one.student, one.verdicts, (*one.notes, note)) for one in grades]
    return grades


def _restore(submissions: Sequence[Submission]) -> str:
    """Put back submitted files that are no longer as they were read; their names."""
    changed = []
    for path, data in ((p, d) for one in submissions for p, d in one.paths.items()):
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            changed.append(path.name)
    return ", ".join(changed)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: grade a class and write the report."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib grade", description="Grade a folder of submissions."
    )
    parser.add_argument("submissions", type=Path, help="a folder of notebooks or of folders")
    parser.add_argument("--out", type=Path, default=Path("report"), help="where the report goes")
    parser.add_argument("--lesson", action="append", default=[], help="only these lessons")
    parser.add_argument("--jobs", type=int, default=0, help="how many at a time (default: cores)")
    arguments = parser.parse_args(argv)
    grades = grade_class(arguments.submissions, lessons=arguments.lesson, jobs=arguments.jobs)
    for path in write_report(grades, arguments.out):
        print(path)
    total = len(grades[0].verdicts)
    for one in grades:
        print(f"{one.student}: {one.right} of {total} right")
    return 0
