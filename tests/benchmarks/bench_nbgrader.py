"""An honest class graded by this library and by nbgrader, turn by turn, from the same files.

    pip install -r tests/benchmarks/requirements.txt
    python tests/benchmarks/bench_nbgrader.py [SUBMISSIONS]

nbgrader gets what `course_lib.classroom.checks.build --nbgrader` writes, so both ask the course's
checks. It runs a notebook in a kernel, without a sandbox (so nobody is hostile here), `check`
beside the answers; it puts changed check cells right, and keeps points in a database and the
notebook with its outputs, where the check names a mistake. This library runs a notebook in a
sandbox made for it, judges in a process that runs no answer, finds answers in cells that were moved
or renamed, and keeps verdicts with the mistake's name, and a report. One submission at a time.
The hidden inputs and right answers are made once for a class by this library, in its first
submission, which is counted; by `check` in every kernel anew, which is no fault of nbgrader's.
"""

import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from bench_grade import Processors

from course_lib.classroom.checks import build, catalogue, sandbox, sources
from course_lib.classroom.checks.remote import Limits, memory_for
from course_lib.classroom.grade import Book, grade_one
from course_lib.classroom.grade_files import Submission, collect

LESSON = "03_r1_zero"
ALL = {one.name for one in catalogue.of_lesson(LESSON)}
# What honest students have written: a text in the solution, what they have instead, what is wrong.
CLASS = [
    ("", "", set()),
    ("keepdim=True) + eps", "keepdim=True, correction=0) + eps",
     {"grpo.advantages", "grpo.train_a_policy"}),
    ("comb(n, k)", "comb(k, n)", {"grpo.pass_at_k"}),  # it divides by zero
    ("[1.5, -0.5, -0.5, -0.5]", "[1.73, -0.58, -0.58, -0.58]", {"grpo.by_hand"}),
    ("", "", ALL),  # nothing: the exercises as they were given out
]  # fmt: skip


def write(root: Path, size: int) -> dict[str, set[str]]:
    """nbgrader's folders `source` and `submitted`; for each student what is right."""
    build.write_for_nbgrader(LESSON, root / "source")
    right = {}
    for number in range(size):
        old, new, wrong = CLASS[number % len(CLASS)]
        made, student = sources.for_nbgrader(LESSON), f"s{number:03d}"
        answers = sources.notebook(LESSON, solved=wrong != ALL)
        for cell, answer in zip(made.cells, answers.cells, strict=True):
            cell.source = answer.source.replace(old, new)
        path = root / "submitted" / student / LESSON / f"{LESSON}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(made, path)
        right[student] = ALL - wrong
    return right


def ours(root: Path) -> Callable[[Submission], set[str]]:
    """This library's way from a submission to the names of the exercises that are right."""
    exercises, limits = catalogue.of_lesson(LESSON), Limits(memory=memory_for(1))
    inside, book = sandbox.find((root, Path.home())), Book(root / "report")
    handed_in = collect(root / "submitted")
    book.begin(handed_in, {one.student: exercises for one in handed_in})

    def grade(one: Submission) -> set[str]:
        found = grade_one(one, exercises, limits, inside=inside)
        book.add(one, found)
        return {verdict.exercise for verdict in found.verdicts if verdict.outcome == "right"}

    return grade


def done(what: dict[str, Any]) -> None:
    """What nbgrader says of a step: it must have gone well."""
    if not what["success"]:
        raise SystemExit(f"nbgrader failed: {what.get('log', '')}\n{what.get('error', '')}")


def theirs(root: Path) -> Callable[[Submission], set[str]]:
    """The same of nbgrader's; the assignment is generated here, before any clock runs."""
    try:
        from nbgrader.apps import NbGraderAPI
        from traitlets.config import Config
    except ModuleNotFoundError as error:
        needed = "pip install -r tests/benchmarks/requirements.txt"
        raise SystemExit(f"{error.name} is not installed; {needed}") from None
    own = str(Path(sys.executable).parent)  # nbgrader calls `alembic`, wherever PATH has it
    os.environ["PATH"] = os.pathsep.join((own, os.environ.get("PATH", os.defpath)))
    api = NbGraderAPI(config=Config({"CourseDirectory": {"root": str(root)}}))
    done(api.generate_assignment(LESSON))
    checks = {}
    for cell in sources.for_nbgrader(LESSON).cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            checks[cell.metadata.nbgrader.grade_id] = cell.source.split('"')[1]

    def grade(one: Submission) -> set[str]:
        done(api.autograde(LESSON, one.student))
        with api.gradebook as book:
            grades = book.find_submission_notebook(LESSON, LESSON, one.student).grades
            return {checks[each.name] for each in grades if each.auto_score == 1}

    return grade


def main(size: str = "10") -> None:
    warnings.filterwarnings("ignore")  # SQLAlchemy's, of nbgrader's tables
    with tempfile.TemporaryDirectory() as name:
        os.environ["INSIDE_R1_HOME"] = f"{name}/home"  # where a kernel's checks keep progress
        right = write(Path(name), int(size))
        sides = {"nbgrader": theirs(Path(name)), "library": ours(Path(name))}
        clock: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
        good, processors = dict.fromkeys(sides, 0), Processors(0.2)
        time.sleep(1)  # so that what came before is in the first look
        for turn, one in enumerate(collect(Path(name) / "submitted")):
            for side in list(sides)[:: 1 if turn % 2 else -1]:
                began, before = time.perf_counter(), processors.total()
                found = sides[side](one)
                seconds = time.perf_counter() - began
                clock[side].append((seconds, processors.total() - before))
                good[side] += sum((e in found) == (e in right[one.student]) for e in ALL)
                print(f"{one.student} {side}: {seconds:.1f} s, {len(found)} right", flush=True)
    processors.done.set()
    for side, times in clock.items():
        wall, cpu = (statistics.mean(column) for column in zip(*times, strict=True))
        others = statistics.median(seconds for seconds, _ in times[1:])
        print(f"{side}: {wall:.2f} s a submission (the first {times[0][0]:.1f} s, then a median of "
              f"{others:.2f} s), {cpu:.2f} s of processors, "
              f"{good[side]} of {len(right) * len(ALL)} verdicts right")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
