"""The grader's side of a submission's process: starting it, asking it, ending it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.classroom.checks import wire
from course_lib.classroom.checks.callers import ERROR, TIME_UP, Failure
from course_lib.classroom.checks.exercise import Case, Exercise
from course_lib.runtime import LIBRARY

_GRACE = 5.0  # seconds beyond a limit that the process keeps itself, before it is killed
_LONGEST_LINE = 4 * wire.LONGEST
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
_RUN = "from course_lib.classroom.checks.worker import main; main()"


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Times in seconds, sizes in bytes."""

    cell: float = 20.0
    check: float = 10.0
    total: float = 120.0
    start: float = 60.0
    memory: int = 3 * 2**30
    file_size: int = 20 * 2**20
    restarts: int = 4


class Dead(Exception):
    """The process has ended or does not answer; the text says how."""


class Process:
    """A submission's process. It starts when first asked, and again after it was ended.

    A cell that ended it is left out the next time. `notes` says in plain sentences what happened.
    Paths that begin as one of `closed` are not for it to read.
    """

    def __init__(
        self,
        cells: list[str],
        files: dict[str, bytes],
        scratch: Path,
        limits: Limits,
        closed: Sequence[str] = (),
    ) -> None:
        self.cells, self.files, self.scratch, self.limits = cells, files, scratch, limits
        self.closed = list(closed)
        self.notes: list[str] = []
        self.skip: set[int] = set()
        self.starts = 0
        self.child: subprocess.Popen[str] | None = None
        self.ends = time.monotonic() + limits.total

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to a request. Raises Dead."""
        self._ensure()
        if time.monotonic() > self.ends:
            raise Dead(f"the submission's {self.limits.total:g} seconds are used up")
        token = secrets.token_hex(8)
        self._write(request | {"id": token})
        while True:
            reply = self._next(seconds + _GRACE, "a function did not come back")
            if reply.get("id") == token:
                return reply

    def close(self) -> None:
        """End the process with everything that it has started."""
        if self.child is None:
            return
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.child.pid, signal.SIGKILL)
            else:
                self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self.child = None

    def _ensure(self) -> None:
        """Have a process that has run the cells; one that a cell ends is started without it."""
        while self.child is None:
            if self.starts > self.limits.restarts:
                raise Dead("the submission ended its process too often")
            self._start()
            try:
                self._run_cells()
            except Dead as error:
                self.close()
                self._tell(f"Cell {self.cell} was left out: {error}.")
                self.skip.add(self.cell)

    def _start(self) -> None:
        self.starts += 1
        folder = self.scratch / f"run-{self.starts}"
        _lay_out(folder, self.files)
        self.child = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            cwd=folder, env=_environment(folder), text=True, encoding="utf-8", errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.replies: queue.Queue[str] = queue.Queue(maxsize=100)
        threading.Thread(target=_pump, args=(self.child.stdout, self.replies), daemon=True).start()
        limits = self.limits
        settings = {"cells": self.cells, "skip": sorted(self.skip), "seconds": limits.cell}
        settings |= {"memory": limits.memory, "file_size": limits.file_size, "closed": self.closed}
        self._write(settings)

    def _run_cells(self) -> None:
        self.cell, patience = 0, self.limits.start
        notes = []
        while True:
            reply = self._next(patience + _GRACE, "it did not end in its time")
            if isinstance(reply.get("cell"), int):
                self.cell, patience = reply["cell"], self.limits.cell
            elif "note" in reply:
                notes.append(str(reply["note"])[:600])
            elif "ready" in reply:
                for note in notes:
                    self._tell(note)
                return

    def _tell(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _write(self, message: dict[str, Any]) -> None:
        try:
            self.child.stdin.write(json.dumps(message) + "\n")
            self.child.stdin.flush()
        except OSError:
            raise Dead("it ended Python") from None

    def _next(self, seconds: float, late: str) -> dict[str, Any]:
        patience = min(seconds, max(self.ends - time.monotonic(), 0.1) + _GRACE)
        try:
            line = self.replies.get(timeout=patience)
        except queue.Empty:
            raise Dead(late) from None
        try:
            reply = json.loads(line) if line.endswith("\n") else None
        except (ValueError, RecursionError):
            reply = {}
        if reply is None:
            raise Dead("it ended Python" if not line else "it flooded the pipe")
        return reply if isinstance(reply, dict) else {}


class RemoteCaller:
    """A `Caller` whose answer lives in a submission's process."""

    def __init__(self, process: Process, exercise: Exercise) -> None:
        self.process, self.exercise = process, exercise
        self.left = process.limits.check
        self.is_empty = False
        self.ended: Failure | None = None  # once it has ended the process it is not asked again

    def __call__(self, one: Case) -> Any:
        if self.ended:
            raise self.ended
        exercise = self.exercise
        request = {
            "symbol": exercise.symbol, "value": exercise.is_value, "tensors": exercise.tensors,
            "seconds": max(self.left, 0.01), "input": wire.dumps((one.args, one.kwargs)),
        }  # fmt: skip
        started = time.monotonic()
        try:
            reply = self.process.ask(request, max(self.left, 0.01))
        except Dead as error:
            self.process.close()
            kind = TIME_UP if "come back" in str(error) else ERROR
            self.ended = Failure(kind, "Ended", f"{error}")
            raise self.ended from None
        self.left -= time.monotonic() - started
        return self._read(reply)

    def _read(self, reply: dict[str, Any]) -> Any:
        self.is_empty = reply.get("empty") is True
        failure = reply.get("failure")
        if isinstance(failure, list) and len(failure) == 4:
            raise Failure(*(str(part)[:300] for part in failure))
        try:
            return wire.loads(reply["got"])
        except (KeyError, TypeError, ValueError):
            raise Failure(ERROR, "Unreadable", "the value could not be read", "") from None


def _pump(stream: Any, replies: queue.Queue[str]) -> None:
    """Lines from the pipe into the queue: "" at its end, an unended line if it is too long."""
    with contextlib.suppress(OSError, ValueError):
        while line := stream.readline(_LONGEST_LINE):
            replies.put(line)
            if not line.endswith("\n"):
                return
    replies.put("")


def _lay_out(folder: Path, files: dict[str, bytes]) -> None:
    """The process's own folder: the student's files and a copy of the course's library."""
    copy = folder / ".library" / "course_lib"
    leave = shutil.ignore_patterns("__pycache__", "assets")
    shutil.copytree(LIBRARY, copy, ignore=leave)
    with contextlib.suppress(OSError):  # Windows asks for a privilege; exercises need no assets
        (copy / "assets").symlink_to(LIBRARY / "assets", target_is_directory=True)
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = str(folder)
    return kept | {
        "HOME": own, "USERPROFILE": own, "TMPDIR": own, "TEMP": own, "INSIDE_R1_HOME": own,
        "PYTHONPATH": str(folder / ".library"), "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg",
    }  # fmt: skip
