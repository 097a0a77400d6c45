"""The grader's side of a submission's process: starting it, asking it, bounding it, ending it.

Nothing that comes from it is believed. Every wait has an end that no reply moves, every reply and
all replies together have a longest size, and what is not the reply that is due is counted.
"""

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib import runtime
from course_lib.classroom.checks import wire
from course_lib.classroom.checks.callers import ERROR, TIME_UP, Failure
from course_lib.classroom.checks.exercise import Case, Exercise
from course_lib.classroom.checks.sandbox import TRUSTED, Sandbox, environment
from course_lib.classroom.checks.use import MOST_FILES, MOST_PROCESSES, use
from course_lib.classroom.checks.values import readable

_GRACE = 5.0  # seconds beyond a limit that the process keeps itself, before it is killed
_MOST_WAITING = 4 * wire.LONGEST  # bytes that it sent and that nobody has asked for
_MOST_JUNK = 200_000  # bytes of lines that are no reply
_MOST_NOTES, _LONGEST_NOTE = 30, 500
_MOST_KEPT = 8 * wire.LONGEST  # characters of all replies to one exercise: the judge keeps them
_TOO_MANY = f"it started more than {MOST_PROCESSES} processes"
_FILES = f"it made more than {MOST_FILES:,} files"
_MOST_HIDDEN = 6  # looks in a row at which a sandbox that was seen from within is not
_LAST = 1.0  # seconds in which an idle process may end by itself
_LOOK = 0.1  # seconds between two looks at what it uses
_RUN = "from course_lib.classroom.checks.worker import main; main()"


def memory_for(jobs: int) -> int:
    """Bytes for each of so many submissions at a time: all of them leave this machine some."""
    return max(2**30, min(3 * 2**30, int(0.8 * runtime.memory()[0] / jobs)))


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Times in seconds, sizes in bytes.

    An exercise's own limit on its function is `Exercise.seconds`, or `check` where that is less.
    """

    cell: float = 60.0
    check: float = 60.0
    total: float = 300.0
    start: float = 60.0
    memory: int = memory_for(2)
    file_size: int = 20 * 2**20
    restarts: int = 4


class _Cores:
    """Gives every process the core that fewest others have."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {None}
        self.taken: dict[int | None, int] = dict.fromkeys(allowed, 0)  # None: the system chooses

    def take(self) -> int | None:
        with self.lock:
            core = min(self.taken, key=self.taken.__getitem__)
            self.taken[core] += 1
            return core

    def give_back(self, core: int | None) -> None:
        with self.lock:
            self.taken[core] -= 1


_CORES = _Cores()


class Dead(Exception):
    """The process has ended or does not answer; the text says how."""


class Stopped(BaseException):
    """Grading was interrupted: no verdict comes of this."""


class Process:
    """The process of one notebook. It starts when first asked, and again after it was ended.

    A cell that ended it is left out the next time. `notes` says in plain sentences what happened.
    `files`: name -> content; `folder`: where among them the notebook lies. Once `stop` is set it
    ends, and it is not started again then, nor after `ends` on the monotonic clock.
    """

    def __init__(
        self,
        cells: Sequence[str],
        files: Mapping[str, bytes],
        limits: Limits,
        sandbox: Sandbox,
        stop: threading.Event | None = None,
        folder: str = "",
    ) -> None:
        self.cells, self.files, self.limits = list(cells), files, limits
        self.folder = folder
        self.handed: Mapping[str, Any] = {}  # by exercise how many answers went to `check`
        self.sandbox, self.stop = sandbox, stop or threading.Event()
        self.notes: list[str] = []
        self.skip: set[int] = set()
        self.starts = 0
        self.pipe: _Pipe | None = None
        self.ends = time.monotonic() + limits.total

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to a request. Raises Dead."""
        pipe = self._ready()
        self._in_time()
        token = secrets.token_hex(8)
        pipe.write(request | {"id": token})
        until = min(time.monotonic() + seconds, self.ends) + _GRACE
        while True:
            reply = pipe.next(until, "a function did not come back")
            if reply.get("id") == token:
                return reply
            pipe.count_junk()

    def close(self) -> None:
        """End the process with everything that it has started."""
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None

    def _ready(self) -> "_Pipe":
        """A process that has run the cells; one that a cell ends is started without it."""
        while self.pipe is None:
            self._in_time()
            if self.starts > self.limits.restarts:
                raise Dead("the submission ended its process too often")
            self.pipe = self._start()
            try:
                self._run_cells(self.pipe)
            except Dead as error:
                self.close()
                place = f"Cell {self.cell} was left out" if self.cell else "It did not start"
                self._tell(f"{place}: {error}.")
                self.skip.add(self.cell)
        return self.pipe

    def _in_time(self) -> None:
        """Raises Dead once the submission's time is over."""
        if time.monotonic() > self.ends:
            raise Dead(self.used_up())

    def used_up(self) -> str:
        """In words that the submission's time is over; a note where nothing of it was run."""
        why = f"the submission's {self.limits.total:g} seconds are used up"
        if not self.starts:
            self._tell(f"It was not run: {why}.")
        return why

    def _start(self) -> "_Pipe":
        if self.stop.is_set():
            raise Stopped
        self.starts += 1
        limits, sandbox = self.limits, self.sandbox
        pipe = _Pipe(sandbox, limits, self.stop)
        bounds = {"memory": limits.memory, "file_size": limits.file_size, "seconds": limits.total}
        self.cell = 0
        pipe.write({
            "cells": self.cells, "skip": sorted(self.skip), "seconds": limits.cell,
            "limits": bounds | {"drop": sandbox.root, "alone": sandbox.alone, "core": pipe.core},
            "folder": self.folder, "apart": sandbox is not TRUSTED,
            "files": {n: base64.b64encode(d).decode("ascii") for n, d in self.files.items()},
        })  # fmt: skip
        return pipe

    def _run_cells(self, pipe: "_Pipe") -> None:
        notes: dict[int, str] = {}
        patience = time.monotonic() + self.limits.start
        while True:
            reply = pipe.next(min(patience, self.ends) + _GRACE, "it did not end in its time")
            number = reply.get("cell")
            if type(number) is int and self.cell < number <= len(self.cells):
                self.cell, patience = number, time.monotonic() + self.limits.cell
            elif "note" in reply and self.cell and self.cell not in notes:
                notes[self.cell] = str(reply["note"])[:400] if len(notes) < _MOST_NOTES else ""
            elif "full" in reply:
                raise Dead(pipe.too_much)
            elif "many" in reply:
                raise Dead(_TOO_MANY)
            elif "files" in reply:
                raise Dead(_FILES)
            elif "ready" in reply:
                self.handed = found if isinstance(found := reply.get("handed"), dict) else {}
                for note in notes.values():
                    self._tell(note)
                return
            else:
                pipe.count_junk()

    def _tell(self, note: str) -> None:
        note = readable(note, _LONGEST_NOTE)
        if note and note not in self.notes and len(self.notes) < _MOST_NOTES:
            self.notes.append(note)


class _Pipe:
    """A running process with the lines that it sends. All of its methods raise Dead at its end."""

    def __init__(self, sandbox: Sandbox, limits: Limits, stop: threading.Event) -> None:
        self.alone, self.core = sandbox is TRUSTED, _CORES.take()
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # where there is none
        self.child = subprocess.Popen(
            sandbox.command(_RUN), cwd=self.folder.name, env=environment(sandbox), bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.requests, self.replies = self.child.stdin, self.child.stdout
        self.too_much = f"it used more than {limits.memory / 2**30:.2g} GB of memory"
        self.limits, self.junk, self.last = limits, 0, 0
        self.why, self.stop = "", stop
        self.waiting, self.ended = bytearray(), False
        self.news = threading.Condition()
        for work in (self._read, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def write(self, message: dict[str, Any]) -> None:
        """Send a line; from a thread of its own, for a process may choose not to read."""
        data = memoryview(json.dumps(message).encode("ascii") + b"\n")
        threading.Thread(target=self._write, args=(data,), daemon=True).start()

    def _write(self, data: memoryview) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data and self.requests:
                data = data[self.requests.write(data) :]

    def next(self, until: float, late: str) -> dict[str, Any]:
        """The next line as a JSON object, or {} if it is none."""
        with self.news:
            found = self.news.wait_for(
                lambda: b"\n" in self.waiting or self.ended, max(until - time.monotonic(), 0)
            )
            end = self.waiting.find(b"\n") + 1
            line = bytes(self.waiting[:end])
            del self.waiting[:end]
        if not found:
            raise Dead(late)
        if not line:
            raise Dead(self.why or "it ended Python")
        self.last = len(line)
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return reply if isinstance(reply, dict) else {}

    def count_junk(self) -> None:
        """The last line was no reply that is due."""
        self.junk += self.last + 100
        if self.junk > _MOST_JUNK:
            raise Dead("it flooded the pipe")

    def close(self) -> None:
        """End all of it, at once unless it ends by itself now that nothing more is asked."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if self.requests and not self.why:
                self.requests.close()
                self.child.wait(_LAST)
        with contextlib.suppress(OSError):
            if self.alone and hasattr(os, "killpg"):
                os.killpg(self.child.pid, signal.SIGKILL)
            else:  # the sandbox ends what is in it
                self.child.kill()
        self.child.wait()
        for stream in filter(None, (self.requests, self.replies)):
            with contextlib.suppress(OSError, ValueError):
                stream.close()
        self.folder.cleanup()
        _CORES.give_back(self.core)

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while self.replies and (data := self.replies.read(2**16)):
                with self.news:
                    self.waiting += data
                    if len(self.waiting) > _MOST_WAITING:
                        self.why = self.why or "it flooded the pipe"
                        break
                    self.news.notify()
        with self.news:
            self.ended = True
            self.news.notify()

    def _watch(self) -> None:
        """End the process when all that it has started uses too much together."""
        hidden, shown = 0, False  # looks in a row that showed nothing inside; whether any ever did
        while self.child.poll() is None:
            used, processes, files = use(self.child.pid)
            hidden = hidden + 1 if files is None and processes > 1 else 0
            shown = shown or files is not None
            if self.stop.is_set():
                self.why = "grading was interrupted"
            elif used > self.limits.memory:
                self.why = self.too_much
            elif processes > MOST_PROCESSES:
                self.why = _TOO_MANY
            elif (files or 0) > MOST_FILES or (shown and hidden > _MOST_HIDDEN):
                self.why = _FILES
            if self.why:
                with contextlib.suppress(OSError):
                    self.child.kill()
                return
            time.sleep(_LOOK)


class RemoteCaller:
    """A `Caller` whose answer lives in a submission's process: `which` of those that it has.

    `printed` is what the last call printed.
    """

    def __init__(self, process: Process, exercise: Exercise, which: int = 0) -> None:
        self.process, self.exercise, self.which = process, exercise, which
        self.left = min(exercise.seconds, process.limits.check)
        self.is_empty, self.printed = False, ""
        self.kept = 0
        self.ended: Failure | None = None  # once it has ended the process it is not asked again

    def __call__(self, one: Case) -> Any:
        if self.ended:
            raise self.ended
        exercise = self.exercise
        request = {
            "name": exercise.name, "symbol": exercise.symbol, "which": self.which,
            "value": exercise.is_value, "tensors": exercise.tensors,
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

    @property
    def more(self) -> bool:
        """Once it was called, whether there may be another answer to the same exercise."""
        count = self.process.handed.get(self.exercise.name, 0)
        return isinstance(count, int) and self.which < count

    def go_on(self) -> None:
        """Raises Stopped once grading is interrupted, and Failure once the time is used up."""
        if self.process.stop.is_set():
            raise Stopped
        if time.monotonic() > self.process.ends + _GRACE:
            raise Failure(TIME_UP, "Ended", self.process.used_up())

    def _read(self, reply: dict[str, Any]) -> Any:
        self.is_empty = reply.get("empty") is True
        self.printed = str(reply.get("printed", ""))[:400]
        failure = reply.get("failure")
        if isinstance(failure, list) and len(failure) == 4:
            raise Failure(*(str(part)[:300] for part in failure))
        try:
            self.kept += len(reply["got"])
            if self.kept > _MOST_KEPT:
                raise ValueError("too much")
            return wire.loads(reply["got"])
        except (KeyError, TypeError, ValueError):
            raise Failure(ERROR, "Unreadable", "the value could not be read", "") from None
