"""The process in which a notebook runs: its cells as IPython runs them, then the grader's calls.

Requests come on standard input and replies go to standard output, one JSON object a line; what the
notebook itself prints goes nowhere. This process decides nothing: it gives what a function gave,
and the grader judges.
"""

import ast
import asyncio
import base64
import builtins
import contextlib
import copy
import importlib.util
import json
import math
import multiprocessing.process
import os
import re
import subprocess
import sys
import traceback
import warnings
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TextIO

from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import SingletonConfigurable

from course_lib.classroom import checks
from course_lib.classroom.checks import callers, desk, guard, wire
from course_lib.classroom.checks.callers import Failure, LocalCaller, own_line
from course_lib.classroom.checks.exercise import Case
from course_lib.classroom.checks.limits import TimeUp, run_limited
from course_lib.classroom.checks.use import MOST_FILES, MOST_PROCESSES, files_under
from course_lib.classroom.checks.values import plain, told

_WITH_CHILDREN = 5  # processes in a sandbox; a cell that started none leaves fewer
_FULL = (MemoryError, BlockingIOError)  # no more memory, no more processes
_KEPT = 3  # answers handed to `check`, for each exercise
# A library, a file, the network, somebody at the keys, a magic; a program that needs one of them.
_ABSENT = (ImportError, OSError, EOFError, UsageError, subprocess.SubprocessError)
_DEVICE = re.compile(r"\b(CUDA|NVIDIA|MPS|XPU|GPU)\b", re.IGNORECASE)  # in words that there is none
# Magics that run the cell below them, and there keep the place of an error, or all of it. That the
# output goes to a name is asked for seldom, and is left.
_AROUND = re.compile(r"\A(\s*%%(time\b.*|capture([ \t]+--\S+)*[ \t]*)$)+", re.MULTILINE)
_CAUSES = 9  # errors of which one came of the next
_SHELLS = {"_", "__", "___", "_i", "_ii", "_iii"}  # names that mean another thing after every cell

Names = dict[str, Any]


class Notebook:
    """A notebook's shell: its cells, its names, and what it handed to `check`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.cell, self.went_on = 0, False  # whether a cell was run on below what stopped it
        self.lacks = False  # whether anything that its student had was not to be had here
        self.stopped: dict[int, str] = {}  # cells that did not run to their end, by number
        self.handed: dict[str, list[tuple[Any, Names]]] = {}
        self.shell = InteractiveShell.instance()
        silent = ("showtraceback", "showsyntaxerror", "ask_exit", "_format_exception_for_storage")
        instead: dict[str, Any] = {"hint": _nothing, "solution": _nothing, "check": self.check}
        vars(self.shell).update(dict.fromkeys(silent, _nothing))
        vars(self.shell.compile)["get_code_name"] = lambda *_: f"<cell {self.cell}>"
        vars(checks).update(instead)
        vars(desk).update(instead)
        self.shell.set_hook("show_in_pager", _nothing, 0)

    def check(self, name: object = "", answer: Any = ..., *_: Any, **__: Any) -> None:
        """Stands for `check` in a cell: keeps the answer, and what every name means by then."""
        found, now = self.handed.setdefault(str(name), []), dict(self.shell.user_ns)
        old = [one for one in found if not (one[0] is answer and _mean_the_same(one[1], now))]
        found[:] = [(_frozen(answer), now), *old][:_KEPT]

    def run(self, number: int, source: str, seconds: float) -> BaseException | None:
        """Run a cell; what stopped it, if anything did."""
        self.cell, self.went_on = number, False
        try:
            return self.within(self._run(source), seconds)
        except BaseException as error:  # TimeUp may hit the shell itself
            self.lacks |= isinstance(error, TimeUp)
            return error

    async def _run(self, source: str) -> BaseException | None:
        try:
            cell = self.shell.transform_cell(_AROUND.sub("", source))
        except Exception as error:
            return error
        done = await self.shell.run_cell_async(source, store_history=True, transformed_cell=cell)
        stopped = done.error_before_exec or done.error_in_exec
        self.lacks |= isinstance(stopped, TimeUp) or _is_absent(stopped)
        goes_on = _is_absent(stopped) or (self.lacks and isinstance(stopped, NameError))
        return (stopped and goes_on and await self._rest(cell, stopped)) or stopped

    async def _rest(self, cell: str, error: BaseException) -> BaseException | None:
        """Run what stands below the line of a cell that needs what its student had.

        Each statement by itself, for some need it too. What ended all of it, if anything did.
        """
        name = f"<cell {self.cell}>"
        place = _place(error, name)
        for node in ast.parse(cell).body:
            if (node.lineno, node.col_offset) <= place:
                continue
            result = ExecutionResult(None)
            await self.shell.run_ast_nodes([node], name, "none", self.shell.compile, result)
            now, self.went_on = result.error_in_exec, True
            if isinstance(now, _FULL) or not isinstance(now, Exception | None):
                return now
        return None

    def within(self, running: Coroutine[Any, Any, Any], seconds: float) -> Any:
        """What a coroutine gives in the loop that all cells share, as in Jupyter's kernel."""
        task = self.loop.create_task(running)
        try:
            return run_limited(lambda: self.loop.run_until_complete(task), seconds)
        finally:
            task.cancel()

    def answers(self, name: str, symbol: str, value: bool) -> list[tuple[Any, Names]]:
        """What may answer an exercise: what bears its name at the end, then what went to `check`.

        Each with the names that it is to be called among: by the end its own name or a helper's may
        stand for something else, and that does not hide what went to `check`.
        """
        now, handed = self.shell.user_ns, self.handed.get(name, [])
        named = now.get(symbol, ...)
        if symbol not in now or (handed and not (value or callable(named))):
            return handed
        old = [one for one in handed if one[0] is not named or not _mean_the_same(one[1], now)]
        return [(named, now), *old]

    @contextlib.contextmanager
    def among(self, names: Names) -> Iterator[None]:
        """The notebook's names mean what they did at a check; what changes them is kept there."""
        space = self.shell.user_ns  # every function of a cell looks its names up here
        if names is space:
            yield
            return
        now = dict(space)
        _put(names, space)
        try:
            yield
        finally:
            _put(space, names)
            _put(now, space)


def _is_absent(error: BaseException | None) -> bool:
    """Whether an error, or one that it came of, says that something is not here."""
    if not isinstance(error, Exception):  # the end of the time, or of Python, whatever came before
        return False
    for _ in range(_CAUSES):
        device = isinstance(error, AssertionError | RuntimeError) and _DEVICE.search(told(error))
        # Jupyter's shell and application have more, such as a `kernel`.
        kernel = isinstance(error, AttributeError) and isinstance(error.obj, SingletonConfigurable)
        if device or kernel or isinstance(error, _ABSENT) or _is_no_variable(error):
            return True
        error = getattr(error, "__cause__", None) or getattr(error, "__context__", None)
    return False


def _is_no_variable(error: BaseException | None) -> bool:
    """Whether a variable is missing that a student's environment may have, such as a token."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)] if error else []
    asked = bool(frames) and frames[-1].f_code is type(os.environ).__getitem__.__code__
    return asked and isinstance(error, KeyError)


def _place(error: BaseException, name: str) -> tuple[float, int]:
    """The line and column at which an error went through the code called `name`, its outermost;
    beyond all lines where it did not."""
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == name:
            return frame.lineno or 0, frame.colno or 0
    return math.inf, 0


def _put(names: Names, space: Names) -> None:
    space.clear()
    space.update(names)


def _mean_the_same(then: Names, now: Names) -> bool:
    """Whether all that had a meaning has it still, Python's own names among it."""
    if any((one in then) != (one in now) for one in vars(builtins)):
        return False
    kept = (now.get(name, _nothing) is one for name, one in then.items() if name not in _SHELLS)
    return all(kept)


def _frozen(answer: Any) -> Any:
    """A value as it is now, whatever later cells make of it; a function, or what cannot be copied,
    as it came."""
    with contextlib.suppress(Exception):
        return answer if callable(answer) else copy.deepcopy(plain(answer))
    return answer


def _too_many(error: BaseException | None) -> bool:
    """Whether a cell met the limit on processes: so many live, or a fork was refused.

    A refusal looks like a socket that is not ready; but who was refused has children, dead or not.
    """
    refused = isinstance(error, BlockingIOError) and guard.processes() >= _WITH_CHILDREN
    return refused or guard.processes() > MOST_PROCESSES


def _nothing(*_: object, **__: object) -> None:
    """Stands for what shows something to a reader."""


def probe() -> None:
    """Say whether a submission could run in this sandbox: limits, libraries, room for files."""
    guard.close(2**30, 2**20, 60, drop="root" in sys.argv, alone=False)
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("json.tool") is None:
        raise SystemExit("libraries cannot be read")
    Path("probe").write_text("written", encoding="utf-8")
    print("ready")


def main() -> None:
    """Serve the grader until it closes the pipe."""
    requests, replies = os.fdopen(os.dup(0), encoding="utf-8"), _private_output()
    settings = json.loads(requests.readline())
    guard.close(**settings["limits"])
    _lay_out(settings["files"], settings["folder"])
    warnings.simplefilter("ignore")
    notebook, own = Notebook(), os.getpid()
    notebook.lacks = bool(settings["skip"])
    notebook.stopped = dict(enumerate(settings["cells"], start=1))
    sys.path.insert(0, "")
    for number, source in enumerate(settings["cells"], start=1):
        if number in settings["skip"] or not source.strip():
            continue
        _send(replies, {"cell": number})
        error = notebook.run(number, source, settings["seconds"])
        if os.getpid() != own:  # a fork that came back out of its cell
            os._exit(0)
        if settings["limits"]["alone"] and _too_many(error):
            _send(replies, {"many": True})  # by this cell, though they live on through the next
            os._exit(1)
        if settings["apart"] and files_under("") > MOST_FILES:
            _send(replies, {"files": True})  # a cell may end before anybody has looked
            os._exit(1)
        if error is None:
            del notebook.stopped[number]
            continue
        if isinstance(error, MemoryError) and guard.in_use() > 0.8 * settings["limits"]["memory"]:
            _send(replies, {"full": True})
            os._exit(1)
        _send(replies, {"note": _told(number, error, settings["seconds"], notebook.went_on)})
    handed = {name: len(found) for name, found in notebook.handed.items()}
    _send(replies, {"ready": True, "handed": handed})
    for line in requests:
        request = json.loads(line)
        _send(replies, {"id": request["id"], **_answer(request, notebook)})
    os._exit(0)  # threads and exit handlers of the notebook have no say


def _private_output() -> TextIO:
    """The pipe to the grader, with the usual descriptors pointed away from it."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return replies


def _lay_out(files: dict[str, str], folder: str) -> None:
    """Make the folders to work in, with what came with the notebook, and go where that lies: to
    `folder` among the files, as Jupyter does."""
    home, work = Path.cwd() / "home", Path.cwd() / "work"
    for place in (home, work / folder):
        place.mkdir(parents=True)
    for name, data in files.items():
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(data))
    own = ("HOME", "USERPROFILE", "INSIDE_R1_HOME", "XDG_CACHE_HOME", "IPYTHONDIR")
    os.environ.update(dict.fromkeys(own, str(home)))
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(home.parent)))
    os.chdir(work / folder)
    # Where processes that are no forks look for modules; it was noted before.
    vars(multiprocessing.process)["ORIGINAL_DIR"] = os.getcwd()


def _told(number: int, error: BaseException, seconds: float, went_on: bool) -> str:
    place = f" ({line})" if (line := own_line(error)) else ""
    if isinstance(error, TimeUp):
        return f"Cell {number} was stopped after {seconds:g} seconds{place}."
    if isinstance(error, SystemExit):
        return f"Cell {number} tried to end Python."
    if isinstance(error, SyntaxError):
        return f"Cell {number} cannot be read as Python: {error.msg}, line {error.lineno}."
    text = " ".join(told(error).split())[:200]
    below = " The statements below it were run all the same." if went_on else ""
    return f"Cell {number} failed: {type(error).__name__}: {text}{place}.{below}"


def _answer(request: dict[str, Any], notebook: Notebook) -> dict[str, Any]:
    """What one of the submission's answers gives for the grader's input."""
    value, which = request["value"], request["which"]
    found = notebook.answers(request["name"], request["symbol"], value)[which:]
    if not found:
        stopped = {} if which else notebook.stopped  # an answer before this one was there
        return {"failure": _no_answer(request["symbol"], stopped), "empty": False}
    answer, names = found[0]
    call = LocalCaller(answer, seconds=request["seconds"], tensors=request["tensors"])
    if not (value or callable(call.answer) or call.answer in (None, ...)):
        kind = type(call.answer).__name__
        return {"failure": [callers.ERROR, "TypeError", f"a {kind} and no function", ""]}
    args, kwargs = wire.loads(request["input"])
    reply: dict[str, Any]
    try:
        with notebook.among(names):
            reply = {"got": wire.dumps(call(Case("", args, kwargs)))}
    except Failure as failure:
        reply = {"failure": [failure.kind, failure.error, failure.text, failure.line]}
    return reply | {"empty": call.is_empty, "printed": call.printed}


def _no_answer(symbol: str, stopped: dict[int, str]) -> list[str]:
    """Why there is no answer: a cell that was to give it stopped before, or nothing gives it."""
    gives = re.compile(rf"^\s*(def\s+{symbol}\b|{symbol}\s*(:.*)?=[^=])", re.MULTILINE)
    for number in (one for one, source in stopped.items() if gives.search(source)):
        why = f"cell {number} has it and did not run to its end; see the notes"
        return [callers.ERROR, "NameError", f"name {symbol!r} is not defined", why]
    return [callers.NOT_ATTEMPTED, "", "", ""]


def _send(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()
