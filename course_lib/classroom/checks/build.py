"""Makes the exercise and solution notebooks from their one source.

`python -m course_lib.classroom.checks.build` writes `exercises/<lesson>.ipynb` (stubs, no outputs)
and `solutions/<lesson>.ipynb` (solved and executed). The same source gives the same exercise
notebook to the byte. `--exercises` leaves out the solutions, which take a kernel and some seconds
each; `--nbgrader DIR` writes `DIR/<lesson>/<lesson>.ipynb` for nbgrader's `source` folder and
nothing else; lesson names as arguments make only those.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from course_lib.classroom.checks.catalogue import LESSONS, of_lesson
from course_lib.classroom.checks.sources import ROOT, for_nbgrader, notebook


def exercise_text(lesson: str) -> str:
    """The exercise notebook of a lesson as the text of its file."""
    return nbformat.writes(notebook(lesson, solved=False)) + "\n"


def solved(lesson: str) -> NotebookNode:
    """The solution notebook of a lesson, executed in a fresh kernel, with outputs.

    The learner's own progress is not touched. Raises nbclient's CellExecutionError if a check of
    the solutions fails.
    """
    made = notebook(lesson, solved=True)
    with tempfile.TemporaryDirectory() as home:
        client = NotebookClient(
            made,
            timeout=600,
            startup_timeout=600,
            kernel_name="python3",
            store_widget_state=False,
            resources={"metadata": {"path": str(ROOT / "solutions")}},
        )
        client.execute(env=os.environ | {"INSIDE_R1_HOME": home})
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # times of this run, different every time
    made.metadata["language_info"] = {"name": "python"}
    return made


def write(lesson: str, *, exercises_only: bool = False) -> list[Path]:
    """Write a lesson's notebooks; returns the files written."""
    of_lesson(lesson)  # says which lessons there are
    exercise = ROOT / "exercises" / f"{lesson}.ipynb"
    exercise.write_text(exercise_text(lesson), encoding="utf-8")
    if exercises_only:
        return [exercise]
    solution = ROOT / "solutions" / f"{lesson}.ipynb"
    solution.write_text(nbformat.writes(solved(lesson)) + "\n", encoding="utf-8")
    return [exercise, solution]


def write_for_nbgrader(lesson: str, folder: Path) -> Path:
    """Write a lesson's notebook for nbgrader's instructor; returns the file written."""
    of_lesson(lesson)  # says which lessons there are
    path = folder / lesson / f"{lesson}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(for_nbgrader(lesson)) + "\n", encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.classroom.checks.build", description=__doc__
    )
    parser.add_argument("lessons", nargs="*", help="lessons to make (all of them by default)")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--exercises", action="store_true", help="no solution notebooks")
    either.add_argument("--nbgrader", type=Path, metavar="DIR", help="for nbgrader's source folder")
    arguments = parser.parse_args(argv)
    for lesson in arguments.lessons or LESSONS:
        if arguments.nbgrader:
            print(write_for_nbgrader(lesson, arguments.nbgrader))
            continue
        for path in write(lesson, exercises_only=arguments.exercises):
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
