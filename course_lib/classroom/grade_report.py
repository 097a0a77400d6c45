"""The report on a class: one CSV for a spreadsheet and one HTML page to read.

Both are replaced whole, so that whoever looks sees the last one that was finished.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from course_lib.classroom import pages
from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.judge import Outcome, Verdict
from course_lib.classroom.grade_results import Grade

_LONGEST = 4_000  # characters of a cell
_TOLD = 50  # lines on what went wrong most often
_SIGNS = {
    Outcome.RIGHT: "✓ right",
    Outcome.WRONG: "✗ wrong",
    Outcome.MISTAKE: "✗ known mistake",
    Outcome.ERROR: "! error",
    Outcome.NOT_ATTEMPTED: "– not attempted",
}


def write_report(
    grades: Sequence[Grade], folder: Path, left: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write `grades.csv` and `report.html` into `folder`; returns their paths.

    `left`: sentences on what was handed in by nobody. Raises CourseError where it cannot write.
    """
    rows = pages.table(_rows(grades), _LONGEST)
    page = pages.page(
        "report", _LONGEST, students=_side_by_side(grades), left=left, signs=_SIGNS,
        longest=_LONGEST, mistakes=common_mistakes(grades)[:_TOLD],
    )  # fmt: skip
    table, shown = pages.written({"grades.csv": pages.MARK + rows, "report.html": page}, folder)
    return table, shown


def common_mistakes(grades: Sequence[Grade]) -> list[tuple[int, str, str]]:
    """(students, exercise, sentence) of everything that was not right, most frequent first."""
    told = (Outcome.MISTAKE, Outcome.WRONG, Outcome.ERROR)
    wrong = [one for grade in grades for one in grade.verdicts if one.outcome in told]
    found = Counter((one.exercise, one.headline) for one in wrong)
    return [(count, name, sentence) for (name, sentence), count in found.most_common()]


def _side_by_side(grades: Sequence[Grade]) -> list[tuple[Grade, dict[str, Verdict | None]]]:
    """Every grade with its verdicts by exercise, for all the same exercises in the same order.

    None stands where an exercise is of a lesson that this student did not hand in.
    """
    found = [{one.exercise: one for one in grade.verdicts} for grade in grades]
    names = [name for name in catalogue.exercises() if any(name in one for one in found)]
    return [
        (grade, {name: one.get(name) for name in names})
        for grade, one in zip(grades, found, strict=True)
    ]


def _rows(grades: Sequence[Grade]) -> list[list[str]]:
    rows = [["student", "exercise", "outcome", "message"]]
    for grade in grades:
        for one in grade.verdicts:
            rows.append([grade.student, one.exercise, str(one.outcome), one.message])
        rows += [[grade.student, "", "note", note] for note in grade.notes]
    return rows
