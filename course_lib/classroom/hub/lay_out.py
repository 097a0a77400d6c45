"""A user's own copy of the notebooks and exercises, from a course that many share to read only."""

import hashlib
import json
import os
from pathlib import Path

from course_lib.runtime import ROOT

PARTS = ("notebooks", "exercises")
_GIVEN = ".course.json"
"""What was laid out: path -> sum of the file as it came."""


def lay_out(mine: Path, course: Path = ROOT) -> list[str]:
    """Give `mine` every file of the course that is missing there; returns the paths given.

    What somebody has changed stays theirs. A file that is as it was given, and that the course has
    changed since, is given anew. Raises OSError where it cannot be written.
    """
    before, given = _read(mine / _GIVEN), {}
    written: list[str] = []
    for source in _files(course):
        name = source.relative_to(course).as_posix()
        target = mine / name
        data = source.read_bytes()
        given[name] = _sum(data)
        there = _sum(target.read_bytes()) if target.is_file() else ""
        if there == given[name] or (there and there != before.get(name)):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.new")
        aside.write_bytes(data)
        os.replace(aside, target)
        written.append(name)
    if given != before:
        mine.mkdir(parents=True, exist_ok=True)
        (mine / _GIVEN).write_text(json.dumps(given), encoding="utf-8")
    return written


def _files(course: Path) -> list[Path]:
    found = [path for part in PARTS for path in sorted((course / part).rglob("*"))]
    hidden = [path for path in found if any(p[0] in "._" for p in path.relative_to(course).parts)]
    return [path for path in found if path.is_file() and path not in hidden]


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return kept if isinstance(kept, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


if __name__ == "__main__":
    given = lay_out(Path.home() / "inside-r1")
    print(f"{len(given)} files laid out in ~/inside-r1.")
