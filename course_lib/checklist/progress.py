"""What a learner has done, kept in one small JSON file on their own machine and nowhere else.

The file maps a section ("exercises", "before", "after") to names, and a name to its entry: the
outcome, when, how many tries, and what else the caller gives. It is written to a temporary name
and renamed, under a lock, so that two notebooks may write. `python -m course_lib progress` shows
it; `export` copies it; `delete` removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError

VERSION = 1
LARGEST = 5_000_000
"""Bytes; a larger file is not ours and is not read."""

Sections = dict[str, dict[str, dict[str, Any]]]


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


def home() -> Path:
    """The folder of the learner's own data: `INSIDE_R1_HOME`, or the system's usual place."""
    named = os.environ.get("INSIDE_R1_HOME")
    if named:
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "inside-r1"


def file() -> Path:
    """Where the progress is kept; it need not exist yet."""
    return home() / "progress.json"


def load() -> Progress:
    """What is recorded; nothing if there is no file yet.

    A file that cannot be read as progress is moved aside, never overwritten, and `notice` says
    where to.
    """
    path = file()
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("the file is too large")
        return Progress(_sections(json.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return Progress()
    except (ValueError, RecursionError) as error:
        return Progress(notice=_set_aside(path, error))
    except OSError as error:
        return Progress(notice=f"Your progress in {path} could not be read: {error.strerror}.")


def record(name: str, outcome: str, section: str = "exercises", **details: Any) -> str:
    """Keep the outcome of an exercise or a question, with `details` that JSON can hold.

    Counts tries and keeps the time (UTC). Returns "" or, where nothing can be kept (a full or
    read-only disk, a damaged file), a sentence that says so: a lesson goes on without it.
    """
    try:
        with _lock():
            progress = load()
            tries = progress.entry(section, name).get("tries", 0) + 1
            now = datetime.now(UTC).isoformat(timespec="seconds")
            entry = {**details, "outcome": outcome, "when": now, "tries": tries}
            progress.sections.setdefault(section, {})[name] = entry
            _write(progress.sections)
    except OSError as error:
        return f"Your progress could not be kept in {file()}: {error.strerror or error}."
    return progress.notice


def export(target: Path) -> Path:
    """Copy the progress to `target`. Raises CourseError if there is none or it will not go."""
    if not file().exists():
        raise CourseError(
            "There is no progress to export yet: answer a question or do an exercise."
        )
    try:
        shutil.copyfile(file(), target)
    except OSError as error:
        raise CourseError(f"The progress could not be copied to {target}: {error}.") from error
    return target


def delete() -> bool:
    """Remove the learner's progress; True if there was any. Raises CourseError if it stays."""
    try:
        file().unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CourseError(f"{file()} could not be deleted: {error.strerror}.") from error
    return True


def _sections(data: object) -> Sections:
    """The sections of a file's content. Raises ValueError if it is not what we write."""
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ValueError(f"it is not progress of version {VERSION}")
    sections = data.get("sections")
    if not isinstance(sections, dict):
        raise ValueError("it has no sections")
    for entries in sections.values():
        if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
            raise ValueError("an entry has no outcome")
    return sections


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, Mapping)
        and isinstance(entry.get("outcome"), str)
        and isinstance(entry.get("tries", 0), int)
    )


def _set_aside(path: Path, error: Exception) -> str:
    kept = path.with_name(f"progress-damaged-{time.time_ns()}.json")
    try:
        path.rename(kept)
    except OSError:
        return f"Your progress in {path} is damaged ({error}) and could not be moved aside."
    return f"Your progress was damaged ({error}); it is kept as {kept} and a new one begins."


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
    """Hold the lock file; after `patience` seconds its owner is taken to be dead."""
    home().mkdir(parents=True, exist_ok=True)
    path = home() / "progress.lock"
    end = time.monotonic() + patience
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
