"""What a learner has done, kept in one small JSON file on their own machine and nowhere else.

The file maps a section ("exercises", "before", "after") to names, and a name to its entry: the
outcome, when, how many tries, and what else the caller gives. It is written to a temporary name
and renamed, under a lock, so that two notebooks may write. `python -m course_lib progress` shows
it; `export` copies it; `delete` removes it.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from filelock import FileLock, Timeout

from course_lib import records
from course_lib.errors import CourseError
from course_lib.runtime import home, not_kept

VERSION = 1
RIGHT = "right"
LARGEST = 5_000_000
"""Bytes; a larger file is not ours and is not read."""

Sections = dict[str, dict[str, dict[str, Any]]]

_waiting: Sections = {}  # what could not be written: it lasts as long as this process
_said: set[str] = set()


@dataclass(frozen=True)
class Progress:
    """`sections`: section -> name -> entry; `notice`: a sentence if the file was damaged."""

    sections: Sections = field(default_factory=dict)
    notice: str = ""

    def entry(self, section: str, name: str) -> dict[str, Any]:
        """The entry of a name, {} if there is none."""
        return self.sections.get(section, {}).get(name, {})

    def outcomes(self, section: str = "exercises") -> dict[str, str]:
        """Name -> outcome for everything recorded in a section."""
        return {name: entry["outcome"] for name, entry in self.sections.get(section, {}).items()}


def file() -> Path:
    """Where the progress is kept; it need not exist yet."""
    return home() / "progress.json"


def load() -> Progress:
    """What is recorded; nothing if there is no file yet. With it, what could not be written.

    What cannot be read as progress is left out; the file as it was is then kept under another
    name, never overwritten, and `notice` says where.
    """
    found = _in_file()
    for section, entries in _waiting.items():
        found.sections.setdefault(section, {}).update(entries)
    return found


def _in_file() -> Progress:
    path = file()
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("the file is too large")
        sections, odd = parse(records.loaded(path))
        return Progress(sections, _set_aside(path, odd, sections) if odd else "")
    except FileNotFoundError:
        return Progress()
    except (ValueError, RecursionError) as error:
        return Progress(notice=_set_aside(path, str(error)))
    except OSError as error:
        return Progress(notice=f"Your progress in {path} could not be read: {error.strerror}.")


def record(name: str, outcome: str, section: str = "exercises", **details: Any) -> str:
    """Keep the outcome of an exercise or a question, with `details` that JSON can hold.

    Counts tries and keeps the time (UTC). Of an exercise the best outcome stays, with its time:
    what was right once is not lost by running an empty cell. Returns "" or, where nothing can be
    kept (no home, a full or read-only disk, a damaged file), a sentence that says so: a lesson goes
    on without it, and knows the outcome until its process ends.
    """
    try:
        with _lock():
            progress = _with(name, outcome, section, details)
            _write(progress.sections)
            _waiting.clear()
    except OSError as error:
        _waiting.update(_with(name, outcome, section, details).sections)
        return (
            f"Your progress could not be kept in {file()} ({error.strerror or error}); it lasts "
            "until this kernel ends."
        )
    except ValueError as error:
        return f"Your progress could not be kept in {file()}: {error}."
    return progress.notice or _once(not_kept())


def _once(sentence: str) -> str:
    """The sentence where it has not been said in this process, else ""."""
    new = sentence not in _said
    _said.add(sentence)
    return sentence if new else ""


def _with(name: str, outcome: str, section: str, details: Mapping[str, Any]) -> Progress:
    """The progress as it is once `name` has this outcome."""
    progress = load()
    before = progress.entry(section, name)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {**details, "outcome": outcome, "when": now}
    if section == "exercises" and before:
        kept = before["outcome"]
        if worth(kept) > worth(outcome) or kept == outcome == RIGHT:  # right since then
            entry = before
    tries = before.get("tries", 0) + 1
    progress.sections.setdefault(section, {})[name] = {**entry, "tries": tries}
    return progress


def worth(outcome: str) -> int:
    """How far an exercise is: the higher outcome is the one that counts."""
    return {RIGHT: 2, "not attempted": 0}.get(outcome, 1)


def export(target: str | Path) -> Path:
    """Copy the progress to `target`. Raises CourseError if there is none or it will not go."""
    if not file().exists():
        raise CourseError(
            "There is no progress to export yet: answer a question or do an exercise."
        )
    try:
        shutil.copyfile(file(), target)
    except OSError as error:
        raise CourseError(f"The progress could not be copied to {target}: {error}.") from error
    return Path(target)


def delete() -> bool:
    """Remove the learner's progress; True if there was any. Raises CourseError if it stays."""
    try:
        file().unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CourseError(f"{file()} could not be deleted: {error.strerror}.") from error
    return True


def parse(data: object) -> tuple[Sections, str]:
    """What of a file's content is progress, and in words what is not. Raises ValueError if nothing
    is: then it is not ours."""
    if not isinstance(data, dict) or not isinstance(data.get("sections"), dict):
        raise ValueError("it has no sections")
    found: dict[str, Any] = data["sections"]
    sections: Sections = {}
    left_out = 0
    for section, entries in found.items():
        read = entries if isinstance(entries, dict) and _writable(section) else {"": None}
        good = {name: _cleaned(entry) for name, entry in read.items() if _is_entry(entry, name)}
        left_out += len(read) - len(good)
        if good or not read:
            sections[section] = good
    odd = [f"{left_out} of its entries are none"] if left_out else []
    if data.get("version") != VERSION:
        odd.insert(0, f"it is of version {data.get('version')!a:.20}, this is {VERSION}")
    return sections, "; ".join(odd)


def _is_entry(entry: object, name: str) -> TypeGuard[dict[str, Any]]:
    """Whether it has an outcome, and nothing that cannot be written again."""
    outcome = entry.get("outcome") if isinstance(entry, Mapping) else None
    return isinstance(outcome, str) and _writable([name, entry])


def _writable(value: object) -> bool:
    """Whether a value that was read can be written: JSON may hold halves of characters."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return False
    return True


def _cleaned(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry whose tries are a count and whose time is text, whatever somebody wrote there."""
    tries, when = entry.get("tries", 0), entry.get("when", "")
    odd = set() if type(tries) is int and 0 <= tries < 10**9 else {"tries"}
    odd |= set() if isinstance(when, str) else {"when"}
    return {name: kept for name, kept in entry.items() if name not in odd}


def _set_aside(path: Path, why: str, sections: Sections | None = None) -> str:
    """Keep a file under another name and go on with what could be read of it; says so."""
    kept = path.with_name(f"progress-damaged-{time.time_ns()}.json")
    try:
        path.rename(kept)
        if sections:
            _write(sections)
    except OSError:
        return f"Your progress in {path} is damaged ({why}) and could not be moved aside."
    read = sum(map(len, (sections or {}).values()))
    new = f"its {read} other entries go on" if read else "a new one begins"
    return f"Your progress was damaged ({why}); it is kept as {kept} and {new}."


def _write(sections: Sections) -> None:
    """Write to a temporary name in the same folder and rename, so that no half is ever left."""
    text = json.dumps({"version": VERSION, "sections": sections}, indent=1, ensure_ascii=False)
    handle, name = tempfile.mkstemp(dir=home(), prefix="progress-", suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(name, file())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def _lock(patience: float = 2.0) -> Iterator[None]:
    """Hold the lock for as long as the block lasts; after `patience` seconds, go on without."""
    home().mkdir(parents=True, exist_ok=True)
    lock = FileLock(home() / "progress.lock", timeout=patience)
    with contextlib.suppress(Timeout, NotImplementedError):  # a disk that knows no locks
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
