"""The one source of a lesson's exercises: `solutions/<lesson>.py`, in jupytext's percent format.

What stands between `### BEGIN SOLUTION` and `### END SOLUTION` is the solution (nbgrader's
markers). `<!-- card: NAME -->` in a text cell stands for the card of the exercise.
"""

import ast
import hashlib
import re
from collections import Counter
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from course_lib.classroom.checks.catalogue import get, lesson_of
from course_lib.classroom.checks.exercise import Exercise
from course_lib.errors import CourseError
from course_lib.runtime import ROOT

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

_REGION = re.compile(rf"^([ ]*){BEGIN}\n(.*?)^[ ]*{END}\n?", re.DOTALL | re.MULTILINE)
_CARD = re.compile(r"<!-- card: (\S+) -->")
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def cells(lesson: str) -> list[NotebookNode]:
    """The cells of a lesson's source, solutions and markers still in them, cards filled in."""
    path = ROOT / "solutions" / f"{lesson}.py"
    if not path.is_file():
        raise CourseError(
            f"{path.name} is not here; solutions and generated notebooks need the whole course, "
            "not the installed library alone."
        )
    found = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent").cells
    for cell in found:
        if cell.cell_type == "markdown":
            cell.source = _CARD.sub(lambda match: card_text(get(match[1])), cell.source)
    return found


def notebook(lesson: str, *, solved: bool) -> NotebookNode:
    """A lesson's notebook, with solutions or with stubs; the same source gives the same bytes."""
    made = nbformat.v4.new_notebook(metadata={"kernelspec": _KERNEL})
    made.metadata["language_info"] = {"name": "python"}
    seen = Counter[str]()
    for cell in cells(lesson):
        code = cell.cell_type == "code"
        source = (with_solution if solved else with_stub)(cell.source) if code else cell.source
        new = nbformat.v4.new_code_cell if code else nbformat.v4.new_markdown_cell
        seen[cell.source] += 1
        mark = f"{lesson}\n{seen[cell.source]}\n{cell.source}"
        made.cells.append(new(source, id=hashlib.sha256(mark.encode()).hexdigest()[:12]))
    return made


def for_nbgrader(lesson: str) -> NotebookNode:
    """A lesson's notebook as nbgrader's `source` folder wants it: solutions between the markers,
    a solution cell and a grading cell of one point for every exercise, marked in the metadata."""
    made = notebook(lesson, solved=True)
    for cell, source in zip(made.cells, cells(lesson), strict=True):
        marked: dict[str, Any] = {"schema_version": 3, "grade_id": f"cell-{cell.id}", "task": False}
        if BEGIN in source.source:
            cell.source = source.source
            kind: dict[str, Any] = {"solution": True, "grade": False, "locked": False}
        elif source.source.startswith("check("):
            kind = {"solution": False, "grade": True, "locked": True, "points": 1}
        else:
            continue
        cell.metadata["nbgrader"] = marked | kind | {"cell_type": cell.cell_type}
    return made


def with_solution(source: str) -> str:
    """The cell as the solutions have it: the markers go, what stands between them stays."""
    return _REGION.sub(lambda match: match[2], source).rstrip("\n")


def with_stub(source: str) -> str:
    """The cell as a learner gets it: in a function the solution becomes NotImplementedError, and
    at the top level every name that it gives a value gets `...`."""
    return _REGION.sub(_stub, source).rstrip("\n")


def _stub(match: re.Match[str]) -> str:
    if match[1]:
        return f'{match[1]}raise NotImplementedError("your turn")\n'
    assigned = [node for node in ast.parse(match[2]).body if isinstance(node, ast.Assign)]
    return "".join(f"{ast.unparse(node.targets[0])} = ...\n" for node in assigned)


def solution_of(exercise: Exercise) -> str:
    """The solution of one exercise as code."""
    defines = re.compile(rf"^(def )?{exercise.symbol}\b", re.MULTILINE)
    for cell in cells(lesson_of(exercise.name)):
        if cell.cell_type == "code" and BEGIN in cell.source and defines.search(cell.source):
            return with_solution(cell.source)
    raise CourseError(f"The solutions have no {exercise.symbol}.")


def card_text(exercise: Exercise) -> str:
    """The exercise's card as Markdown: what for, how hard, how long, what it takes."""
    rows = {
        "what for": exercise.what_for,
        "difficulty": f"{exercise.difficulty} of 5",
        "time": f"about {exercise.minutes} minutes",
        "you need": exercise.needs,
        "inputs": exercise.contract,
        "stuck?": f'`hint("{exercise.name}", 1)`, then 2, then 3; `solution("{exercise.name}")`',
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value)
    mark = "" if exercise.title.endswith("?") else ":"
    return f"### {exercise.title}{mark} `{exercise.name}`\n\n| | |\n|---|---|\n{table}"
