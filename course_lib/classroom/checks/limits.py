"""Stopping a learner's code that does not end, in a notebook, in pytest and on Windows.

On Linux a check runs in a copy of the kernel's process (`in_copy`), which the system ends when its
time is up: that stops everything, loops inside C such as `sum(itertools.count())` too, and the
kernel goes on. Inside of it, and elsewhere, `run_limited` stops Python code: in the main thread of
a POSIX process an alarm raises `TimeUp` in the running code, again and again until it is out, so
that an `except:` in an endless loop does not save it; in other threads and on Windows the exception
is thrown into a thread. On macOS and Windows, and beside a GPU that a copy may not use, a loop
inside C cannot be stopped from within: there `last_resort` ends the kernel, with a traceback that
says where it stood, because a kernel that hangs for good is worse.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

_AGAIN = 0.05  # seconds between alarms once the time is up


class TimeUp(BaseException):
    """The time is up. Not an Exception, so that `except Exception` lets it through."""


class Ended(Exception):
    """The copy of the process ended by itself: a crash, no memory, `os._exit`."""


def can_copy() -> bool:
    """Whether a check can run in a copy of this process (see the module's docstring)."""
    torch = sys.modules.get("torch")
    here = threading.current_thread() is threading.main_thread()
    return sys.platform == "linux" and here and not (torch and torch.cuda.is_available())


def in_copy(work: Callable[[], str], seconds: float) -> str:
    """The text that `work()` gives in a copy of this process, which ends with it.

    Raises TimeUp after `seconds`, and Ended if no text comes.
    """
    reader, writer = Pipe(duplex=False)
    with warnings.catch_warnings(action="ignore"):  # threads are not copied, and are not needed
        child = os.fork()
    if child == 0:
        reader.close()
        _work_and_end(work, writer)
    writer.close()
    try:
        with reader:
            if not reader.poll(seconds):
                raise TimeUp
            return reader.recv_bytes().decode("utf-8")
    except (EOFError, OSError):
        raise Ended from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work_and_end(work: Callable[[], str], writer: Connection) -> NoReturn:
    try:
        os.environ["INSIDE_R1_THREADS"] = "1"
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # the pool's threads were not copied
        writer.send_bytes(work().encode("utf-8", errors="replace"))
    finally:
        os._exit(0)  # no cleaning up: all of this belongs to the notebook's process


def run_limited(function: Callable[[], T], seconds: float) -> T:
    """What `function()` gives; raises `TimeUp` if that takes longer than `seconds`."""
    main = threading.current_thread() is threading.main_thread()
    if main and hasattr(signal, "setitimer"):
        with _alarm(seconds):
            return function()
    return _in_thread(function, seconds)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(_: int, frame: FrameType | None) -> None:
        _raise_at_next_lines(frame)
        raise TimeUp

    started, tracer = time.monotonic(), sys.gettrace()
    handler = signal.signal(signal.SIGALRM, ring)
    pending, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        _restore(handler, pending, interval, started, tracer)


def _raise_at_next_lines(frame: FrameType | None) -> None:
    """Raise in the interrupted code once more at its next line, should it catch what the alarm
    raises: by then it is in its `except` block, from which the second one gets out."""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "line":
            raise TimeUp
        return None

    while frame is not None and frame.f_code is not run_limited.__code__:
        if frame.f_code.co_filename != __file__:
            frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)


def _restore(handler: Any, pending: float, interval: float, started: float, tracer: Any) -> None:
    """Put an alarm that was running before (pytest-timeout's, say) back, less the time spent."""
    while True:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            sys.settrace(tracer)
            break
        except TimeUp:  # the alarm rang once more while it was being turned off
            continue
    if pending:
        left = max(pending - (time.monotonic() - started), 0.001)
        signal.setitimer(signal.ITIMER_REAL, left, interval)


def _in_thread(function: Callable[[], T], seconds: float) -> T:
    result: list[T] = []
    error: list[BaseException] = []

    def work() -> None:
        try:
            result.append(function())
        except BaseException as caught:
            error.append(caught)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    for _ in range(40):  # two seconds of throwing; code that swallows all of it is left behind
        if not thread.is_alive():
            break
        name = ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(name, ctypes.py_object(TimeUp))
        thread.join(_AGAIN)
    if error:
        raise error[0]
    if not result:
        raise TimeUp
    return result[0]


@contextmanager
def last_resort(seconds: float) -> Iterator[None]:
    """End the process, with a traceback on standard error, if the block takes that long."""
    with contextlib.ExitStack() as after:
        if sys.__stderr__ is not None:
            with contextlib.suppress(ValueError, OSError, RuntimeError):  # no file is behind it
                faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
                after.callback(faulthandler.cancel_dump_traceback_later)
        yield
