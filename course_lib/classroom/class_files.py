"""What a class hands in for the teacher's desk: progress files, forms and a table of paper.

Each is data of somebody else's making: read as JSON or CSV and nothing more, bounded in size and
number, and left out with a sentence where it is not what it should be.
"""

import codecs
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course_lib import records
from course_lib.checklist import progress
from course_lib.checklist.progress import Sections
from course_lib.checklist.quiz import Outcome as Answered
from course_lib.classroom import form
from course_lib.classroom.checks.judge import Outcome
from course_lib.classroom.checks.values import readable
from course_lib.classroom.grade_files import alike, below
from course_lib.errors import CourseError

MOST_FILES = 5_000
LONGEST_NAME = 80
_DEEPEST = 3  # folders below the one given
_MOST_ENTRIES = 100_000  # files and folders that are looked at
_MOST_OF_ONE = 20  # files in a folder that was handed in
_MOST_ROWS = 500  # of a table of paper
_MOST_SAID = 20  # sentences on one file
_PASSED_OVER = re.compile(r"\.|__(MACOSX|pycache__)$")
_MISNAMED = (".json.txt", ".csv.txt")

Found = list[tuple[str, Sections]]


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
    if not os.path.isdir(folder):
        raise CourseError(f"{folder} is no folder; name the one with what was handed in.")
    people: dict[str, Person] = {}
    left: list[str] = []
    for path in _files(folder, left):
        shown = readable(path.relative_to(folder).as_posix(), 200)
        try:
            found, odd = _contents(path)
            for name, sections in found:
                told = _plain(name) or _by_file(path)
                person = people.setdefault(alike(told), Person(told))
                if again := person.sections.keys() & sections.keys() & {*form.PHASES}:
                    left.append(
                        f"{shown} has answers {' and '.join(sorted(again))} of {person.name}, as "
                        f"{person.files[-1]} has: see whether both are theirs."
                    )
                _add(person, sections)
                person.files.append(shown)
            left += [f"{shown} {readable(one, 200)}." for one in odd[:_MOST_SAID]]
            if len(odd) > _MOST_SAID:
                left.append(f"{shown} has {len(odd) - _MOST_SAID} more of these.")
        except (OSError, ValueError, RecursionError, csv.Error) as error:
            reason = readable(getattr(error, "strerror", None) or str(error), 200)
            left.append(f"{shown} was left out: {reason}.")
    if not people:
        raise CourseError(
            f"{folder} holds nothing that could be read: no progress (python -m course_lib "
            "progress --export FILE), no form, no table of paper. " + " ".join(left[:3])
        )
    return sorted(people.values(), key=lambda one: alike(one.name)), left


def _files(folder: Path, left: list[str]) -> Iterator[Path]:
    """Files to read, sorted. Links are not followed, hidden ones never count, the rest is said.

    Nobody's files keep another's from being read: of one folder handed in only so many are.
    """
    often: Counter[str] = Counter()  # by what of `folder` they lie in
    for path, reason in sorted(below(folder, _PASSED_OVER.match, _DEEPEST, _MOST_ENTRIES)):
        inside = path.relative_to(folder)
        shown, whose = readable(inside.as_posix(), 200), inside.parts[0] if inside.parts else ""
        if reason or path.is_symlink():
            left.append(f"{shown} was left out: {reason or 'a link, which is not followed'}.")
        elif path.name.lower().endswith(_MISNAMED):
            left.append(f"{shown} was left out: rename it to end in .json or .csv.")
        elif path.suffix.lower() in (".json", ".csv") and path.is_file():
            often[whose] += 1
            if often[whose] == _MOST_OF_ONE + 1:
                left.append(f"Of {readable(whose, 200)} only the first {_MOST_OF_ONE} were read.")
            if often[whose] <= _MOST_OF_ONE and sum(often.values()) <= MOST_FILES:
                yield path
        else:
            often.setdefault(whose, 0)
    for whose in (one for one, count in often.items() if not count):
        if any(often[Path(whose).stem + kind] for kind in (".json", ".csv")):
            continue  # its progress lies beside it
        left.append(
            f"{readable(whose, 200)} was left out: no .json or .csv in it (unpack archives)."
        )
    if sum(often.values()) > MOST_FILES:
        left.append(f"Only the first {MOST_FILES} files were read.")


def _contents(path: Path) -> tuple[Found, list[str]]:
    """(name, sections) of everybody in a file, and in words what of it was left out.

    Raises ValueError for what is none of ours.
    """
    if path.stat().st_size > progress.LARGEST:
        raise ValueError("it is too large")
    text = _decoded(path.read_bytes())
    if path.suffix.lower() == ".csv":
        return _paper(text)
    data = records.parsed(text)
    if isinstance(data, dict) and "answers" in data:
        phase, answers = data.get("phase"), data["answers"]
        if phase not in form.PHASES or not isinstance(answers, dict):
            raise ValueError("it is no form of this course")
        entries = form.judged(phase, answers)
        return [(_text(data.get("name")), {phase: entries})], _unread(phase, answers, entries)
    sections, _ = progress.parse(data)
    return [(_text(sections.get("words", {}).get("name", {}).get("text")), sections)], []


def _decoded(data: bytes) -> str:
    """Text of UTF-8, or of UTF-16 where its mark says so; nothing else can be told for sure."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8; save it as UTF-8 (Excel: “CSV UTF-8”)") from None


def _paper(text: str) -> tuple[Found, list[str]]:
    """A table that somebody typed from paper: name, phase, and a column for each question.

    Its cells end with commas, semicolons or tabs, as its first line does, or with Excel's `sep=`
    above that. Rows without text are passed over.
    """
    table = io.StringIO(text, newline=None)  # whatever its lines end with
    head, above = table.readline(), 1
    if head.lower().startswith("sep="):
        head, above = table.readline(), 2
    comma = max(",;\t", key=head.count)
    columns = [one.strip().lower() for one in next(csv.reader([head], delimiter=comma), [])]
    if not {"name", "phase"} <= set(columns):
        raise ValueError("a table of paper has the columns name and phase, and one a question")
    found: Found = []
    odd: list[str] = []
    rows = csv.DictReader(table, columns, delimiter=comma)
    for number, row in enumerate(rows):
        if number == _MOST_ROWS:
            odd.append(f"has more than {_MOST_ROWS} rows; the rest was not read")
            break
        beyond = "".join(row.pop(None, ())).strip()
        said = {name: _text(cell).strip() for name, cell in row.items()}
        place = f"line {rows.line_num + above}"
        if beyond:
            odd.append(f"({place}) was left out: it has more cells than there are columns")
        elif any(said.values()):
            _read_row(said, place, comma == ";", found, odd)
    return found, odd


def _read_row(
    said: Mapping[str, str], place: str, decimal_comma: bool, found: Found, odd: list[str]
) -> None:
    """Put who is in a row into `found`, and into `odd` what cannot be read of it."""
    phase = said["phase"].lower()
    if phase not in form.PHASES:
        allowed = " or ".join(form.PHASES)
        odd.append(f"({place}) was left out: the phase is {allowed}, not {said['phase'][:20]!r}")
        return
    answers = form.from_paper(phase, said, decimal_comma=decimal_comma)
    entries = form.judged(phase, answers)
    found.append((said["name"] or f"paper, {place}", {phase: entries}))
    odd += _unread(phase, said, entries, f"{place}, ")


def _unread(
    phase: str, said: Mapping[str, Any], entries: Mapping[str, Any], place: str = ""
) -> list[str]:
    """In words, each answer that is there and counts as none, since it cannot be read."""
    return [
        f"({place}{name}): {given[:20]!r} counts as not answered; it takes {form.takes(way)}"
        for name, way in form.asked(phase).items()
        if (given := _text(said.get(name)).strip()) and entries[name]["outcome"] == Answered.BLANK
    ]


def _add(person: Person, sections: Sections) -> None:
    """Put what another file holds to what is there: the first answer before, else the better."""
    for section, entries in sections.items():
        known = person.sections.setdefault(section, {})
        for name, entry in entries.items():
            better = _worth(entry) > _worth(known.get(name, {}))
            if name not in known or (better and (section != "before" or not _worth(known[name]))):
                known[name] = entry


def _worth(entry: Mapping[str, Any]) -> int:
    worth = {"right": 3, "close": 2, "blank": 0, "not attempted": 0}
    return worth.get(entry.get("outcome", "blank"), 1)


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
