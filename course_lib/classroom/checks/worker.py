"""The process in which one submission runs: its cells first, then calls from the grader.

Started by `course_lib.classroom.grade` with requests on standard input and replies on standard
output, one JSON object a line; what the submission itself prints goes nowhere. This process decides
nothing: it gives what a function gave, and the grader judges.
"""

from __future__ import annotations

import io
import json
import linecache
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any, TextIO

from course_lib.classroom.checks import callers, wire
from course_lib.classroom.checks.callers import Failure, LocalCaller, own_line
from course_lib.classroom.checks.exercise import Case
from course_lib.classroom.checks.guard import fence, limit_resources
from course_lib.classroom.checks.limits import TimeUp, run_limited

_MOST_PRINTED = 1_000_000  # characters
_MAGIC = re.compile(r"^(\s*)[%!?].*$", re.MULTILINE)


class _Counted(io.TextIOBase):
    """Swallows text, and refuses when there is too much of it."""

    left = _MOST_PRINTED

    def write(self, text: str) -> int:
        self.left -= len(text)
        if self.left < 0:
            raise RuntimeError(f"more than {_MOST_PRINTED:,} characters printed")
        return len(text)


def main() -> None:
    """Serve the grader until it closes the pipe."""
    requests, replies = os.fdopen(os.dup(0), encoding="utf-8"), _private_output()
    settings = json.loads(requests.readline())
    limit_resources(settings["memory"], settings["file_size"])
    cells: list[str] = settings["cells"]
    _prepare(cells)
    fence(Path.cwd(), settings["closed"])
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, source in enumerate(cells, start=1):
        if number not in settings["skip"]:
            _send(replies, {"cell": number})
            note = _run_cell(number, source, names, settings["seconds"])
            if note:
                _send(replies, {"note": note})
    _send(replies, {"ready": True})
    for line in requests:
        request = json.loads(line)
        _send(replies, {"id": request["id"], **_answer(request, names)})


def _private_output() -> TextIO:
    """The pipe to the grader, with the usual descriptors pointed away from it."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = _Counted()  # type: ignore[assignment]
    return replies


def _prepare(cells: list[str]) -> None:
    """Import what loads C libraries before the fence goes up, and make `check` do nothing."""
    import course_lib.classroom.checks as checks

    checks.check = lambda *_, **__: None  # the grader judges; a second judgement takes time
    warnings.simplefilter("ignore")
    if any("torch" in source for source in cells):
        import torch  # noqa: F401


def _run_cell(number: int, source: str, names: dict[str, Any], seconds: float) -> str:
    """Run a cell; what to tell about it, or ""."""
    name = f"<cell {number}>"
    source = _MAGIC.sub(r"\1pass", source)
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        code = compile(source, name, "exec")
        run_limited(lambda: exec(code, names), seconds)
    except TimeUp as error:
        return f"Cell {number} was stopped after {seconds:g} seconds ({own_line(error)})."
    except SystemExit:
        return f"Cell {number} tried to end Python."
    except SyntaxError as error:
        return f"Cell {number} cannot be read as Python: {error.msg}, line {error.lineno}."
    except BaseException as error:
        text = " ".join(str(error).split())[:200]
        return f"Cell {number} failed: {type(error).__name__}: {text} ({own_line(error)})."
    return ""


def _answer(request: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """What the submission's function gives for the grader's input."""
    if request["symbol"] not in names:
        return {"failure": [callers.NOT_ATTEMPTED, "", "", ""], "empty": False}
    call = LocalCaller(
        names[request["symbol"]], seconds=request["seconds"], tensors=request["tensors"]
    )
    if not (request["value"] or callable(call.answer) or call.answer in (None, ...)):
        kind = type(call.answer).__name__
        return {"failure": [callers.ERROR, "TypeError", f"a {kind} and no function", ""]}
    args, kwargs = wire.loads(request["input"])
    try:
        return {"got": wire.dumps(call(Case("", args, kwargs))), "empty": call.is_empty}
    except Failure as failure:
        found = [failure.kind, failure.error, failure.text, failure.line]
        return {"failure": found, "empty": call.is_empty}


def _send(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
