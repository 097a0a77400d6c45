"""`python -m course_lib progress`: what is done, what is next, and how long it takes."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from course_lib.checklist import progress
from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.exercise import Exercise
from course_lib.classroom.checks.judge import Outcome


def text(outcomes: Mapping[str, str]) -> str:
    """The learner's map: a line for every lesson, what is next, and the minutes that are left.

    `outcomes`: exercise name -> outcome, as `progress.load().outcomes()` gives it.
    """
    lines = [_lesson_line(lesson, outcomes) for lesson in catalogue.LESSONS]
    left = [one for one in catalogue.exercises().values() if not _done(one, outcomes)]
    if not left:
        return "\n".join((*lines, "All exercises are done."))
    first = left[0]
    lines.append(
        f"Next: {first.name} ({first.title}), about {first.minutes} minutes, in "
        f"exercises/{catalogue.lesson_of(first.name)}.ipynb."
    )
    minutes = sum(one.minutes for one in left)
    lines.append(f"Left: {len(left)} exercises, about {minutes // 60} h {minutes % 60} min.")
    return "\n".join(lines)


def details(outcomes: Mapping[str, str]) -> str:
    """One line for every exercise: its outcome, name and minutes."""
    return "\n".join(
        f"{outcomes.get(name, str(Outcome.NOT_ATTEMPTED)):20} {name:32} {one.minutes:3d} min"
        for name, one in catalogue.exercises().items()
    )


def _lesson_line(lesson: str, outcomes: Mapping[str, str]) -> str:
    here = catalogue.of_lesson(lesson)
    done = sum(_done(one, outcomes) for one in here)
    minutes = sum(one.minutes for one in here if not _done(one, outcomes))
    rest = f"about {minutes} min left" if minutes else "done"
    return f"{lesson:28} {done} of {len(here)} right, {rest}"


def _done(exercise: Exercise, outcomes: Mapping[str, str]) -> bool:
    return outcomes.get(exercise.name) == Outcome.RIGHT


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Raises CourseError where an export or a deletion fails."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib progress", description="What you have done and what is next."
    )
    parser.add_argument("--all", action="store_true", help="a line for every exercise")
    parser.add_argument("--export", type=Path, metavar="FILE", help="copy your progress to FILE")
    parser.add_argument("--delete", action="store_true", help="delete your progress")
    arguments = parser.parse_args(argv)
    if arguments.all and (arguments.export or arguments.delete):
        parser.error("--all is shown without --export and --delete; give it alone")
    if arguments.export:
        print(f"Your progress is in {progress.export(arguments.export)}.")
    if arguments.delete:
        print("Deleted." if progress.delete() else "There was nothing to delete.")
    if arguments.export or arguments.delete:
        return 0
    found = progress.load()
    outcomes = found.outcomes()
    parts = (found.notice, details(outcomes) if arguments.all else "", text(outcomes))
    print("\n".join(filter(None, parts)))
    return 0
