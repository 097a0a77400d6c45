"""Whose file is it? From a folder of what was handed in to one `Submission` for every student.

Notebooks are chosen first, then what lies beside them. Hidden files and those of operating systems
never count; whatever else is left out is said.
"""

import contextlib
import hashlib
import os
import re
import stat
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath

from course_lib import records
from course_lib.classroom.checks.exercise import Exercise
from course_lib.classroom.checks.values import cut
from course_lib.errors import CourseError
from course_lib.runtime import ROOT
from course_lib.show import course_map

_LARGEST = 20_000_000  # bytes of one file
_ALL = 60_000_000  # bytes of all files beside the notebooks
_MOST_FILES, _MOST_NOTEBOOKS, _MOST_SEEN = 50, 20, 5_000
_DEEPEST, _MOST_ENTRIES = 20, 100_000  # folders in one another; files and folders together
_MOST_CODE = 2_000_000  # characters in the code cells of one notebook
_MOST_CELLS = 2_000
_SYSTEM = re.compile(
    r"\.|~\$|__(MACOSX|pycache__)$|(Thumbs\.db|desktop\.ini|@eaDir|lost\+found|node_modules"
    r"|site-packages|pyvenv\.cfg|System Volume Information|\$RECYCLE\.BIN|Icon\r?)$",
    re.IGNORECASE,
)
_OF_PYTHON = {"bin", "etc", "include", "lib", "lib64", "scripts", "share"}  # beside a pyvenv.cfg
_MISNAMED = (".ipynb.txt", ".ipynb.json")  # by a browser that saved them, or by Windows
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
_COMMENT = re.compile(r"^([^\"'#\n]*)#.*", re.MULTILINE)  # after no quote, which may hold the sign
_TARGETS = r"[\w \t,:.*|\[\]]*"  # of an assignment, or what its annotation is made of
# Control characters, those without a shape, halves of characters, ends of lines, odd blanks.
_ODD = ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
# Where the system has them: no link is followed, and nothing waits for who writes to a pipe.
_AS_IT_LIES = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


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
                cells[name] = code_cells(_content(path))
            except (ValueError, OSError) as error:
                why = getattr(error, "strerror", None) or str(error)
                cells[name] = f"{shown(name)} cannot be read: {shown(why)}."
        return cells, {name: _content(path) for name, path in self.files.items()}

    def digest(self, *also: str) -> str:
        """A name for what was handed in, of 64 letters; the same only for the same."""
        found = hashlib.sha256("\0".join((self.student, self.problem, *self.notes, *also)).encode())
        for name, path in (self.notebooks | self.files).items():
            found.update(hashlib.sha256(os.fsencode(name)).digest())
            try:
                content = _content(path)
            except OSError as error:  # gone since it was collected: no reason to stop the class
                content = str(error.errno).encode()
            found.update(hashlib.sha256(content).digest())
        return found.hexdigest()


def _content(path: Path) -> bytes:
    """What is in a file, as far as it may be read. Raises OSError, for a link put there too."""
    with open(path, "rb", opener=lambda name, how: os.open(name, how | _AS_IT_LIES)) as file:
        return file.read(_LARGEST) or b""


def shown(name: str) -> str:
    """A name as it can be shown anywhere: in one line, of whole characters, in its own order."""
    undecoded = any("\udc80" <= one <= "\udcff" for one in name)
    text = os.fsencode(name).decode("utf-8", "backslashreplace") if undecoded else name
    for one in {c for c in text if unicodedata.category(c) in _ODD} - {" "}:
        text = text.replace(one, one.encode("unicode_escape").decode("ascii"))
    return cut(text, 200)


def alike(name: str) -> str:
    """A name by what is seen of it: case, blanks, and signs without a shape make no other name."""
    name = unicodedata.normalize("NFC", name).casefold()
    return " ".join("".join(c for c in name if unicodedata.category(c) != "Cf").split())


def collect(folder: Path, without: Sequence[Path] = ()) -> list[Submission]:
    """What every student handed in. `without`: paths in the folder that are no student's.

    Raises CourseError if the folder is not there or nobody handed anything in.
    """
    if not os.path.isdir(folder):
        raise CourseError(f"{folder} is not a folder; give the folder with the submissions.")
    ours = {os.path.realpath(path) for path in without}
    entries = [e for e in _entries(folder) if os.path.realpath(e.path) not in ours]
    found = [(entry, _taken(entry)) for entry in entries if not _nobodys(entry)]
    if not found:
        raise CourseError(f"{folder} has no notebooks and no folders with notebooks in it.")
    return _told_apart(found)


def left_over(folder: Path) -> list[str]:
    """A sentence on each file among the submissions that is nobody's."""
    names = [shown(entry.name) for entry in _entries(folder) if _nobodys(entry)]
    return [f"{name} is not a notebook and was left out." for name in names]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    found = [entry for entry in os.scandir(folder) if not _SYSTEM.match(entry.name)]
    return sorted(found, key=lambda entry: entry.name)


def _nobodys(entry: os.DirEntry[str]) -> bool:
    plain = not entry.is_symlink() and not entry.is_dir(follow_symlinks=False)
    return plain and not entry.name.lower().endswith((".ipynb", *_MISNAMED, *_ARCHIVES))


def _student(entry: os.DirEntry[str]) -> str:
    if entry.is_dir(follow_symlinks=False):
        return entry.name
    stem = Path(entry.name).stem
    return stem[:-6] if stem.lower().endswith(".ipynb") else stem


def _taken(entry: os.DirEntry[str]) -> Submission:
    """What one student handed in. Whatever goes wrong with it is theirs and stops nobody else."""
    try:
        one = _submission(entry)
        return replace(one, notes=(*one.notes, *_copied(one.notebooks)))
    except Exception as error:
        problem = f"{shown(entry.name)} cannot be read ({type(error).__name__})."
        return Submission(shown(_student(entry)), problem=problem)


def _submission(entry: os.DirEntry[str]) -> Submission:
    name, path, student = shown(entry.name), Path(entry.path), shown(_student(entry))
    if entry.is_symlink():
        return Submission(student, problem=f"{name} is a link, which is not followed.")
    if entry.is_dir(follow_symlinks=False):
        return _folder(path)
    if path.suffix.lower() in _ARCHIVES:
        return Submission(student, problem=f"{name} is an archive: unpack it and grade again.")
    reason = _unfit(path)
    if reason:
        return Submission(student, problem=f"{name} was left out: {reason}.")
    return Submission(student, {entry.name: path})


def _told_apart(found: list[tuple[os.DirEntry[str], Submission]]) -> list[Submission]:
    """The submissions, those of one name by the names of their files and with a note."""
    bearing = defaultdict(list)
    for entry, _ in found:
        bearing[alike(_student(entry))].append(shown(entry.name))
    apart: dict[str, Submission] = {}
    for entry, one in found:
        label, names = one.student, bearing[alike(_student(entry))]
        if len(names) > 1:
            label = shown(entry.name)
            note = f"Several hand-ins bear one name and were graded apart: {', '.join(names)}."
            one = replace(one, notes=(note, *one.notes))
        while label in apart:  # names that differ and cannot be shown to differ
            label += " (another)"
        apart[label] = replace(one, student=label)
    return list(apart.values())


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
    problem = "There is no notebook in the folder."
    if left:
        problem = "No notebook could be taken from the folder; see what was left out."
    problem = "" if notebooks else problem
    return Submission(shown(base.name), _typed(notebooks), _typed(files), problem, notes)


def _typed(files: dict[str, Path]) -> dict[str, Path]:
    """Files by names as code has them, unless both are there: a Mac's have accents split off."""
    return {
        name if (typed := unicodedata.normalize("NFC", name)) in files else typed: path
        for name, path in files.items()
    }


def _walk(base: Path, left: dict[str, list[str]]) -> list[Path]:
    """All files that are not the system's, notebooks first, the course's own the last of these."""
    notebooks: list[Path] = []
    others: list[Path] = []
    for path, reason in below(base, _SYSTEM.match, _DEEPEST, _MOST_ENTRIES):
        if path.suffix.lower() == ".ipynb" and not reason:
            notebooks.append(path)
        elif reason:
            left.setdefault(reason, []).append(shown(os.path.relpath(path, base)))
        elif len(others) < _MOST_SEEN:
            others.append(path)
        else:
            left[f"more than {_MOST_SEEN:,} files beside the notebooks"] = ["the rest"]
    last = ("notebooks", "solutions")  # who hands in the whole course may have worked elsewhere
    return [*sorted(notebooks, key=lambda path: path.parent.name in last), *others]


def below(
    base: Path, passed_over: Callable[[str], object], deepest: int, most: int
) -> Iterator[tuple[Path, str]]:
    """The files in a folder that may be anybody's, those less deep first, each with "".

    A folder that is not entered comes with the reason, and so does the one in which the first
    `most` files and folders end. A link is a file here, wherever it leads. `passed_over` tells
    names that do not count.
    """
    waiting, seen = deque([(base, 0)]), 0
    while waiting:
        folder, depth = waiting.popleft()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            yield folder, "it cannot be read"
            continue
        python = any(entry.name == "pyvenv.cfg" for entry in entries)  # a virtual environment
        for entry in entries:
            path, inner = Path(entry.path), entry.is_dir(follow_symlinks=False)
            if passed_over(entry.name) or (python and entry.name.lower() in _OF_PYTHON):
                continue
            seen += 1
            if seen > most:
                yield folder, f"after the first {most:,} files and folders"
                return
            if not inner:
                yield path, ""
            elif depth < deepest:
                waiting.append((path, depth + 1))
            else:
                yield path, f"deeper than {deepest} folders"


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
    if path.name.lower().endswith(_MISNAMED):
        return "a notebook by another name: rename it to .ipynb"
    return "an archive: unpack it" if path.suffix.lower() in _ARCHIVES else ""


def _copied(notebooks: dict[str, Path]) -> Iterator[str]:
    """A note on each notebook that has all code cells of one of the course's own solutions."""
    for name, path in notebooks.items():
        with contextlib.suppress(ValueError, OSError):
            cells = set(map(str.strip, code_cells(_content(path))))
            for lesson, solved in _course("solutions").items():
                if solved <= cells:
                    yield f"{shown(name)} has every code cell of the course's solutions/{lesson}."


@cache
def _course(folder: str) -> dict[str, set[str]]:
    """The code cells of the course's own notebooks in a folder, where it runs from a checkout.

    What else lies there, such as a teacher's own notebook, is none of them.
    """
    found = {}
    for name in (f"{one.file}.ipynb" for one in course_map.LESSONS):
        with contextlib.suppress(ValueError, OSError):
            found[name] = set(map(str.strip, code_cells(_content(ROOT / folder / name))))
    return found


def code_cells(data: bytes) -> list[str]:
    """The code cells of a notebook of any version of its format, one without text as "".

    Raises ValueError for what is no notebook.
    """
    if not data.strip():
        raise ValueError("it is empty")
    notebook = records.parsed(data)
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


def written(cells: Iterable[str], files: Mapping[str, bytes]) -> list[str]:
    """What a student wrote, without comments: code cells, and the Python files that these name.

    Cells that are a lesson's own as they stand are left out: lessons use exercises' names as well.
    """
    lessons = set[str]().union(*_course("notebooks").values())
    code = [_COMMENT.sub(r"\1", one) for one in cells if one.strip() not in lessons]
    left = {PurePosixPath(name): data for name, data in files.items() if name.endswith(".py")}
    room, new = _MOST_CODE, code
    while new:  # a file may name others
        text = "\n".join(new)
        words, new = set(re.findall(r"\w+", text)), []
        for path in [one for one in left if words >= _words(one) or one.name in text]:
            data = left.pop(path)
            new.append(_COMMENT.sub(r"\1", data[:room].decode("utf-8", "replace")))
            room = max(room - len(data), 0)
        code += new
    return code


def _words(path: PurePosixPath) -> set[str]:
    """What a module's name is made of: %run and importlib take one with a dash as well."""
    return set(re.findall(r"\w+", path.parent.name if path.stem == "__init__" else path.stem))


def answered(cells: Iterable[str], exercises: Iterable[Exercise]) -> set[str]:
    """The exercises that cells define an answer to, or quote the name of as for `check`."""
    by_symbol = {one.symbol: one.name for one in exercises}
    if not by_symbol:
        return set()
    symbols = "|".join(map(re.escape, by_symbol))
    names = "|".join(map(re.escape, by_symbol.values()))
    line = re.compile(
        rf"\s*(?:async\s+)?def\s+({symbols})\b|(?:{_TARGETS}=)*{_TARGETS}\b({symbols})\b{_TARGETS}=(?!=)"
        rf"|.*[\"']({names})[\"']"
    )
    lines = (one for cell in cells for one in cell.split("\n") if len(one) < 500)
    found = [match for one in lines if (match := line.match(one))]
    return {match[3] or by_symbol[match[1] or match[2]] for match in found}
