"""`python -m course_lib class`: a class put together, from what learners hand in.

The page says how the six questions stood before and after, how the exercises went by person and by
mistake, and who is stuck. The tables are for a spreadsheet (`class.csv`) and for the gradebooks of
Moodle and Canvas (`moodle.csv`, `canvas.csv`, in the columns that their imports document).
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

from course_lib.checklist import report
from course_lib.checklist.progress import Progress
from course_lib.checklist.quiz import Outcome as Answered
from course_lib.classroom import class_files, form, pages
from course_lib.classroom.checks import catalogue
from course_lib.classroom.checks.judge import Outcome
from course_lib.classroom.checks.values import readable
from course_lib.classroom.class_files import Person
from course_lib.runtime import new_folder

STUCK = 4
"""So many checks of an exercise that is still not right: somebody should look."""

_LONGEST = 300  # characters of a cell


@dataclass(frozen=True)
class Member:
    """A person and how they answered each of the six questions."""

    person: Person
    parts: tuple[report.Part, ...]

    def right(self, phase: str) -> int:
        """How many of the six questions are right in a phase."""
        return sum(getattr(part, phase) is Answered.RIGHT for part in self.parts)

    def took(self, phase: str) -> bool:
        """Whether they answered anything in a phase."""
        return any(one is not Answered.BLANK for p in self.parts for one in p.outcomes(phase))

    @cached_property
    def done(self) -> int:
        """How many exercises are right."""
        return sum(self.person.outcome(name) == Outcome.RIGHT for name in catalogue.exercises())

    @cached_property
    def stuck(self) -> list[str]:
        """The exercises that were checked `STUCK` times or more and are not right."""
        often = [name for name in catalogue.exercises() if self.person.tries(name) >= STUCK]
        return [name for name in often if self.person.outcome(name) != Outcome.RIGHT]


@dataclass(frozen=True)
class Item:
    """An exercise in the class: how many tried, how many are right, their tries and mistakes."""

    name: str
    tried: int
    right: int
    tries: float
    mistakes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Asked:
    """A question in the class: who was right before and after, of those who took both."""

    title: str
    both: int
    before: int
    after: int
    misunderstood: int


def members(people: Sequence[Person]) -> list[Member]:
    """Everybody with their questions."""
    asked = form.comparable()
    return [
        Member(one, tuple(report.part(question, Progress(one.sections)) for question in asked))
        for one in people
    ]


def questions(group: Sequence[Member]) -> list[Asked]:
    """Each of the six questions over those who took part before and after."""
    both = [one for one in group if one.took("before") and one.took("after")]
    found = []
    for place, question in enumerate(form.comparable()):
        before = sum(one.parts[place].before is Answered.RIGHT for one in both)
        after = sum(one.parts[place].after is Answered.RIGHT for one in both)
        wrong = sum(one.parts[place].after is Answered.MISUNDERSTOOD for one in group)
        found.append(Asked(question.title, len(both), before, after, wrong))
    return found


def exercises(group: Sequence[Member]) -> list[Item]:
    """Each exercise that somebody has tried, in the order of the lessons."""
    found = []
    for name in catalogue.exercises():
        tried = [one.person for one in group if one.person.outcome(name) != Outcome.NOT_ATTEMPTED]
        if not tried:
            continue
        told = (person.sections["exercises"][name].get("mistake") for person in tried)
        mistakes = Counter(readable(" ".join(one.split()), _LONGEST) for one in told
                           if isinstance(one, str) and one.strip())  # fmt: skip
        right = sum(person.outcome(name) == Outcome.RIGHT for person in tried)
        tries = median(person.tries(name) for person in tried)
        found.append(Item(name, len(tried), right, tries, tuple(mistakes.most_common(3))))
    return found


def tables(group: Sequence[Member]) -> dict[str, list[list[str]]]:
    """The tables by file name, the first row their columns."""
    total = len(catalogue.exercises())
    long = [["name", "part", "item", "before", "after", "tries"]]
    for one in group:
        for part in one.parts:
            long.append([one.person.name, "question", part.title, part.before, part.after, ""])
        for name in catalogue.exercises():
            outcome, tries = one.person.outcome(name), str(one.person.tries(name))
            long.append([one.person.name, "exercise", name, "", outcome, tries])
    scores: list[tuple[str, ...]] = []
    for one in group:
        taken = [str(one.right(phase)) if one.took(phase) else "" for phase in form.PHASES]
        scores.append((one.person.name, *taken, str(one.done)))
    heads = ["Inside R1: before", "Inside R1: after", "Inside R1: exercises"]
    moodle = [["Username", *heads], *map(list, scores)]
    canvas = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *heads]]
    canvas.append(["    Points Possible", "", "", "", "", "6", "6", str(total)])
    canvas += [[n, "", "", n, "", *s] for n, *s in scores]
    return {"class.csv": long, "moodle.csv": moodle, "canvas.csv": canvas}


def write(people: Sequence[Person], left: Sequence[str], out: Path) -> list[Path]:
    """Write `class.html` and the tables into `out`. Raises CourseError where it cannot."""
    group = members(people)
    texts = {
        "class.html": pages.page(
            "class", group=group, questions=questions(group), exercises=exercises(group),
            left=left, stuck=[one for one in group if one.stuck], tries=STUCK,
            total=len(catalogue.exercises()), words=report.WORDS,
            titles=[question.title for question in form.comparable()],
        )
    }  # fmt: skip
    for name, rows in tables(group).items():
        mark = pages.MARK if name == "class.csv" else ""
        texts[name] = mark + pages.table(rows, _LONGEST)
    return pages.written(texts, out)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Raises CourseError for a folder with nothing to read."""
    parser = argparse.ArgumentParser(prog="python -m course_lib class", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="what was handed in")
    parser.add_argument("--out", type=new_folder, required=True, help="folder for page and tables")
    parser.add_argument("--form", action="store_true",
                        help="write the six questions as pages to hand out instead")  # fmt: skip
    args = parser.parse_args(argv)
    if args.form == (args.folder is not None):
        parser.error("name the FOLDER with what was handed in, or give --form, and not both")
    if args.form:
        forms = {f"questions_{phase}.html": form.page(phase) for phase in form.PHASES}
        made = pages.written(forms | {"paper.csv": _paper()}, args.out)
    else:
        made = write(*class_files.read(args.folder), args.out)
    print(f"Written: {', '.join(path.as_posix() for path in made)}.")
    return 0


def _paper() -> str:
    """An empty table to type paper into."""
    return pages.MARK + ",".join(("name", "phase", *form.asked("before"))) + "\n"
