"""What a class hands in for the teacher's desk: progress files, forms and a table of paper.

Each is data of somebody else's making: read as JSON or CSV and nothing more, bounded in size and
number, and left out with a sentence where it is not what it should be.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib.checklist import progress
from course_lib.checklist.progress import Sections
from course_lib.classroom import form
from course_lib.classroom.checks.judge import Outcome
from course_lib.classroom.checks.values import readable
from course_lib.errors import CourseError

MOST_FILES = 5_000
LONGEST_NAME = 80
_DEEPEST = 4  # folders below the one given
_PASSED_OVER = ("__MACOSX", "__pycache__")


@dataclass
class Person:
    """Somebody of the class, under the name they chose: their sections as in their progress."""

    name: str
    sections: Sections = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def outcome(self, exercise: str) -> str:
        """How an exercise stands."""
        entry = self.sections.get("exercises", {}).get(exercise, {})
        return str(entry.get("outcome", Outcome.NOT_ATTEMPTED))

    def tries(self, exercise: str) -> int:
        """How many times it was checked."""
        return int(self.sections.get("exercises", {}).get(exercise, {}).get("tries", 0))


def read(folder: Path) -> tuple[list[Person], list[str]]:
    """Everybody in `folder`, by name, and a sentence for each file that is left out.

    Files of one name are put together. Raises CourseError where there is no folder, or nobody.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is no folder; name the one with what was handed in.")
    people: dict[str, Person] = {}
    left: list[str] = []
    for path in _files(folder, left):
        shown = readable(path.relative_to(folder).as_posix(), 200)
        try:
            for name, sections in _contents(path):
                told = _plain(name) or _by_file(path)
                person = people.setdefault(told.casefold(), Person(told))
                _add(person, sections)
                person.files.append(shown)
        except (OSError, ValueError, RecursionError, csv.Error) as error:
            reason = readable(getattr(error, "strerror", None) or str(error), 200)
            left.append(f"{shown} was left out: {reason}.")
    if not people:
        raise CourseError(
            f"{folder} holds nothing that could be read: no progress (python -m course_lib "
            "progress --export FILE), no form, no table of paper. " + " ".join(left[:3])
        )
    return sorted(people.values(), key=lambda one: one.name.casefold()), left


def _files(folder: Path, left: list[str]) -> Iterator[Path]:
    """Files to read, sorted; links are not followed, hidden ones never count."""
    found = 0
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if any(part.startswith(".") or part in _PASSED_OVER for part in inside):
            continue
        if path.is_symlink() or len(inside) > _DEEPEST or not path.is_file():
            continue
        if path.suffix.lower() not in (".json", ".csv"):
            continue
        found += 1
        if found > MOST_FILES:
            left.append(f"Only the first {MOST_FILES} files were read.")
            return
        yield path


def _contents(path: Path) -> list[tuple[str, Sections]]:
    """(name, sections) of everybody in a file. Raises ValueError for what is none of ours."""
    if path.stat().st_size > progress.LARGEST:
        raise ValueError("it is too large")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".csv":
        return list(_paper(text))
    data = json.loads(text)
    if isinstance(data, dict) and "answers" in data:
        phase, answers = data.get("phase"), data["answers"]
        if phase not in form.PHASES or not isinstance(answers, dict):
            raise ValueError("it is no form of this course")
        return [(_text(data.get("name")), {phase: form.judged(phase, answers)})]
    sections, _ = progress.parse(data)
    return [(_text(sections.get("words", {}).get("name", {}).get("text")), sections)]


def _paper(text: str) -> Iterator[tuple[str, Sections]]:
    """A table that somebody typed from paper: name, phase, and a column for each question."""
    head = text.split("\n", 1)[0]
    comma = ";" if head.count(";") > head.count(",") else ","
    rows = csv.DictReader(io.StringIO(text), delimiter=comma)
    if not {"name", "phase"} <= set(rows.fieldnames or ()):
        raise ValueError("a table of paper has the columns name and phase, and one a question")
    for row in rows:
        phase = _text(row.pop("phase", "")).strip().lower()
        if phase not in form.PHASES:
            raise ValueError(f"line {rows.line_num}: the phase is {' or '.join(form.PHASES)}")
        name = _text(row.pop("name", "")).strip() or f"paper, line {rows.line_num}"
        answers = {key: value for key, value in row.items() if key and _text(value).strip()}
        yield name, {phase: form.judged(phase, form.from_paper(phase, answers))}


def _add(person: Person, sections: Sections) -> None:
    """Put what another file holds to what is there: the first answer before, else the better."""
    for section, entries in sections.items():
        known = person.sections.setdefault(section, {})
        for name, entry in entries.items():
            better = _worth(entry) > _worth(known.get(name, {}))
            if name not in known or (better and (section != "before" or not _worth(known[name]))):
                known[name] = entry


def _worth(entry: Mapping[str, Any]) -> int:
    return {"right": 3, "blank": 0, "not attempted": 0, "close": 2}.get(
        entry.get("outcome", "blank"), 1
    )


def _by_file(path: Path) -> str:
    """A name for who gave none: that of their file, or of the folder it is in."""
    own = path.stem if path.stem.lower() not in ("progress", "my_answers") else path.parent.name
    return _plain(own) or "somebody"


def _plain(name: str) -> str:
    """A name on one line, without signs that are not seen or turn the line around."""
    seen = "".join(sign for sign in " ".join(name.split()) if sign.isprintable())
    return readable(seen, LONGEST_NAME)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
