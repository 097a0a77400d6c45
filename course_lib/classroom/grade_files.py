"""Whose file is it? From a folder of what was handed in to one `Submission` for every student.

Notebooks are chosen first, then what lies beside them. Hidden files and those of operating systems
never count; whatever else is left out is said.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from course_lib.classroom.checks.exercise import Exercise
from course_lib.classroom.checks.values import cut
from course_lib.errors import CourseError

_LARGEST = 20_000_000  # bytes of one file
_ALL = 60_000_000  # bytes of all files beside the notebooks
_MOST_FILES, _MOST_NOTEBOOKS, _MOST_SEEN = 50, 20, 5_000
_MOST_CODE = 2_000_000  # characters in the code cells of one notebook
_MOST_CELLS = 2_000
_SYSTEM = re.compile(
    r"\.|~\$|__(MACOSX|pycache__)$|(Thumbs\.db|desktop\.ini|@eaDir|lost\+found|node_modules"
    r"|System Volume Information|\$RECYCLE\.BIN|Icon\r?)$",
    re.IGNORECASE,
)
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_TARGETS = r"[\w \t,:.*|\[\]]*"  # of an assignment, or what its annotation is made of
_ODD = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines
_TURNING = set("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Submission:
    """What a student handed in: where the notebooks are, and the files beside them.

    Both are names relative to the student's folder -> path. `problem` says in a sentence why there
    is nothing to grade; `notes` say what was left out.
    """

    student: str
    notebooks: dict[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    problem: str = ""
    notes: tuple[str, ...] = ()

    def read(self) -> tuple[dict[str, list[str] | str], dict[str, bytes]]:
        """Code cells by notebook, or a sentence instead of them; the other files' content."""
        cells: dict[str, list[str] | str] = {}
        for name, path in self.notebooks.items():
            try:
                cells[name] = code_cells(path.read_bytes())
            except (ValueError, RecursionError, OSError) as error:
                cells[name] = f"{shown(name)} cannot be read: {shown(str(error))[:200]}."
        beside = {}
        for name, path in self.files.items():
            with open(path, "rb") as file:
                beside[name] = file.read(_LARGEST)
        return cells, beside

    def digest(self, *also: str) -> str:
        """A name for what was handed in, of 64 letters; the same only for the same."""
        found = hashlib.sha256("\0".join((self.student, self.problem, *self.notes, *also)).encode())
        for name, path in (self.notebooks | self.files).items():
            found.update(hashlib.sha256(os.fsencode(name)).digest())
            found.update(hashlib.sha256(path.read_bytes()).digest())
        return found.hexdigest()


def shown(name: str) -> str:
    """A name as it can be shown anywhere: in one line, of whole characters, in its own order."""
    undecoded = any("\udc80" <= one <= "\udcff" for one in name)
    text = os.fsencode(name).decode("utf-8", "backslashreplace") if undecoded else name
    odd = {c for c in text if unicodedata.category(c) in _ODD} | (_TURNING & set(text))
    for one in odd:
        text = text.replace(one, one.encode("unicode_escape").decode("ascii"))
    return cut(text, 200)


def alike(name: str) -> str:
    """What is equal for two writings of one name: in capitals, or with its accents apart."""
    return unicodedata.normalize("NFC", name).casefold()


def collect(folder: Path, without: Sequence[Path] = ()) -> list[Submission]:
    """What every student handed in. `without`: paths in the folder that are no student's.

    Raises CourseError if the folder is not there or nobody handed anything in.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder; give the folder with the submissions.")
    read = [(entry, _submission(entry)) for entry in _entries(folder)]
    ours = {path.resolve() for path in without}
    found = [(e, one) for e, one in read if one is not None and Path(e).resolve() not in ours]
    if not found:
        raise CourseError(f"{folder} has no notebooks and no folders with notebooks in it.")
    return _told_apart(found)


def left_over(folder: Path) -> list[str]:
    """A sentence on each file among the submissions that is nobody's."""
    return [
        f"{shown(entry.name)} is not a notebook and was left out."
        for entry in _entries(folder)
        if _submission(entry) is None
    ]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    found = [entry for entry in os.scandir(folder) if not _SYSTEM.match(entry.name)]
    return sorted(found, key=lambda entry: entry.name)


def _submission(entry: os.DirEntry[str]) -> Submission | None:
    name, path = shown(entry.name), Path(entry.path)
    stem = shown(path.stem)
    if entry.is_symlink():
        return Submission(stem, problem=f"{name} is a link, which is not followed.")
    if entry.is_dir(follow_symlinks=False):
        return _folder(path)
    if path.suffix.lower() in _ARCHIVES:
        return Submission(stem, problem=f"{name} is an archive: unpack it and grade again.")
    if path.suffix.lower() != ".ipynb":
        return None
    reason = _unfit(path)
    if reason:
        return Submission(stem, problem=f"{name} was left out: {reason}.")
    return Submission(stem, {entry.name: path})


def _told_apart(found: list[tuple[os.DirEntry[str], Submission]]) -> list[Submission]:
    """The submissions, those of one name by the names of their files and with a note."""

    often = Counter(alike(one.student) for _, one in found)
    apart, taken = [], set[str]()
    for entry, one in found:
        label = one.student
        if often[alike(one.student)] > 1:
            label = shown(entry.name)
            same = (e for e, other in found if alike(other.student) == alike(one.student))
            names = ", ".join(shown(e.name) for e in same)
            note = f"Several hand-ins bear one name and were graded apart: {names}."
            one = replace(one, notes=(note, *one.notes))
        while label in taken:  # names that differ and cannot be shown to differ
            label += " (another)"
        taken.add(label)
        apart.append(replace(one, student=label))
    return apart


def _folder(base: Path) -> Submission:
    """A student's folder: its notebooks, however deep they lie, then the files beside them."""
    notebooks: dict[str, Path] = {}
    files: dict[str, Path] = {}
    left: dict[str, list[str]] = {}
    room = _ALL
    for path in _walk(base, left):
        name, notebook = path.relative_to(base).as_posix(), path.suffix.lower() == ".ipynb"
        reason = _unfit(path)
        if not reason and notebook and len(notebooks) == _MOST_NOTEBOOKS:
            reason = f"more than {_MOST_NOTEBOOKS} notebooks"
        if not reason and not notebook:
            room -= path.stat().st_size
            if len(files) == _MOST_FILES or room < 0:
                reason = f"more than {_MOST_FILES} files or {_ALL:,} bytes beside the notebooks"
        if reason:
            left.setdefault(reason, []).append(shown(name))
        else:
            (notebooks if notebook else files)[name] = path
    notes = tuple(_left(reason, names) for reason, names in left.items())
    problem = "" if notebooks else "There is no notebook in the folder."
    return Submission(shown(base.name), notebooks, files, problem, notes)


def _walk(base: Path, left: dict[str, list[str]]) -> list[Path]:
    """All files that are not the system's, notebooks first, then those that lie less deep."""
    found: list[Path] = []
    unread: list[str] = []
    for folder, folders, names in os.walk(base, onerror=lambda e: unread.append(str(e.filename))):
        folders[:] = sorted(name for name in folders if not _SYSTEM.match(name))
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        found += [Path(folder, name) for name in (*names, *links) if not _SYSTEM.match(name)]
        if len(found) > _MOST_SEEN:
            left[f"the folder has more than {_MOST_SEEN:,} files"] = ["the rest"]
            break
    if unread:
        left["it cannot be read"] = [shown(os.path.relpath(name, base)) for name in unread]
    return sorted(found, key=lambda p: (p.suffix.lower() != ".ipynb", len(p.parts), p.as_posix()))


def _left(reason: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"Left out ({reason}): {', '.join(names[:3])}{more}."


def _unfit(path: Path) -> str:
    """Why a file cannot be taken, or ""."""
    try:
        found = path.lstat()
    except OSError as error:
        return error.strerror or "it cannot be read"
    if stat.S_ISLNK(found.st_mode):
        return "a link, which is not followed"
    if not stat.S_ISREG(found.st_mode):
        return "no ordinary file"
    if found.st_size > _LARGEST:
        return f"larger than {_LARGEST:,} bytes"
    if not os.access(path, os.R_OK):
        return "it may not be read"
    return "an archive: unpack it" if path.suffix.lower() in _ARCHIVES else ""


def code_cells(data: bytes) -> list[str]:
    """The code cells of a notebook of any version of its format, one without text as "".

    Raises ValueError or RecursionError for what is no notebook.
    """
    notebook = json.loads(data.strip() or b"null")
    if not isinstance(notebook, dict):
        raise ValueError("it is no notebook")
    sheets = notebook.get("worksheets")  # version 3 and before
    more = [one for one in sheets if isinstance(one, dict)] if isinstance(sheets, list) else []
    lists = [part["cells"] for part in (notebook, *more) if isinstance(part.get("cells"), list)]
    if not lists:
        raise ValueError("it has no list of cells")
    cells = [one for cells in lists for one in cells if isinstance(one, dict)]
    sources = [_source(one) for one in cells if one.get("cell_type") == "code"]
    if not any(source.strip() for source in sources):
        raise ValueError("it has no code")
    if len(sources) > _MOST_CELLS:
        raise ValueError(f"it has more than {_MOST_CELLS:,} code cells")
    if sum(map(len, sources)) > _MOST_CODE:
        raise ValueError(f"it has more than {_MOST_CODE:,} characters of code")
    return sources


def _source(cell: dict[str, object]) -> str:
    source = cell.get("source", cell.get("input"))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return re.sub(r"\r\n?", "\n", source) if isinstance(source, str) else ""


def answered(cells: Iterable[str], exercises: Iterable[Exercise]) -> set[str]:
    """The names of the exercises that the cells define an answer to, or hand to `check`."""
    by_symbol = {one.symbol: one.name for one in exercises}
    symbols = "|".join(map(re.escape, by_symbol))
    names = "|".join(map(re.escape, by_symbol.values()))
    line = re.compile(
        rf"\s*(?:async\s+)?def\s+({symbols})\b|(?:{_TARGETS}=)*{_TARGETS}\b({symbols})\b{_TARGETS}=(?!=)"
        rf"|.*\bcheck\(\s*[\"']({names})[\"']"
    )
    lines = (one for cell in cells for one in cell.split("\n") if len(one) < 500)
    found = [match for one in lines if (match := line.match(one))]
    return {match[3] or by_symbol[match[1] or match[2]] for match in found}
