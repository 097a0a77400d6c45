"""Calling the learner's function safely: copies go in, a clear report comes out.

The judge knows only the `Caller` interface, so that the same judgement is made in a notebook and
over a pipe when a class is graded.
"""

import contextlib
import copy
import dis
import inspect
import io
import linecache
import random
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType
from typing import Any, Protocol

import numpy as np

from course_lib.classroom.checks.exercise import Case
from course_lib.classroom.checks.limits import TimeUp, run_limited
from course_lib.classroom.checks.values import cut, mapped, plain, told
from course_lib.runtime import LIBRARY

NOT_ATTEMPTED, ERROR, TIME_UP = "not attempted", "error", "time up"

_MOST_PRINTED = 400  # characters of a call that are shown
_LIBRARIES = (str(LIBRARY), sysconfig.get_path("stdlib"), "<frozen")
_PACKAGES = ("site-packages", "dist-packages")


class Failure(Exception):
    """The learner's code gave no value. `kind` is one of NOT_ATTEMPTED, ERROR and TIME_UP.

    `error` is the exception's name, `line` the learner's own line as text, or "".
    """

    def __init__(self, kind: str, error: str = "", text: str = "", line: str = "") -> None:
        super().__init__(kind, error, text, line)
        self.kind, self.error, self.text, self.line = kind, error, text, line


class Caller(Protocol):
    """Something that has the learner's answer and gives its value for an input.

    `left`: seconds for all calls together; `printed`: what the last call printed.
    """

    left: float
    printed: str

    def __call__(self, one: Case) -> Any:
        """The value, without tensors; raises Failure."""

    @property
    def is_empty(self) -> bool:
        """Whether the answer is a function with nothing in it."""

    def go_on(self) -> None:
        """Asked between all steps; raises Failure (or what ends the grader) once all is over."""


class LocalCaller:
    """Calls a function (or hands out a value) that lives in this process.

    `tensors` as in `Exercise`: with positions of arguments the value comes back as a pair, the
    loss and its gradients for them (see `_with_gradients`).
    """

    def __init__(
        self, answer: Any, *, seconds: float, tensors: bool | Sequence[int] = False
    ) -> None:
        self.answer, self.tensors = answer, tensors
        self.left = seconds
        self.printed = ""

    @property
    def is_empty(self) -> bool:
        code = getattr(self.answer, "__code__", None)
        return isinstance(code, CodeType) and _does_nothing(code)

    def go_on(self) -> None:
        """Nothing but its own time ends it."""

    def __call__(self, one: Case) -> Any:
        if not callable(self.answer):
            if self.answer is None or self.answer is Ellipsis:
                raise Failure(NOT_ATTEMPTED)
            return self._copied()
        args, kwargs = copy.deepcopy((one.args, one.kwargs))
        if self.tensors:
            args, kwargs = as_tensors(args), as_tensors(kwargs)
        output = _Output()
        try:
            with contextlib.redirect_stdout(output), _same_randomness():
                value = self._limited(args, kwargs)
        finally:
            self.printed = output.text.rstrip()
        if self.left <= 0:  # it caught the stop and gave back what nobody waited for
            raise Failure(TIME_UP)
        if value is Ellipsis:  # a stub of one line
            raise Failure(NOT_ATTEMPTED)
        return value

    def _copied(self) -> Any:
        """The value that is the answer, apart from the notebook's; Failure if there is no copy."""
        try:
            return copy.deepcopy(plain(self.answer))  # a tensor with a history has a copy only so
        except Exception as error:
            text = cut(told(error).split("\n", 1)[0], 200)
            why = f"{text} (a check needs a copy: give numbers, or a list of them)"
            raise Failure(ERROR, type(error).__name__, why) from None

    def _limited(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        started = time.monotonic()
        try:
            return run_limited(lambda: self._value(args, kwargs), max(self.left, 0.01))
        except TimeUp as error:
            raise Failure(TIME_UP, line=own_line(error)) from None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # SystemExit too: the learner's code may do anything
            if isinstance(error, NotImplementedError) and _raised_by_hand(error):
                raise Failure(NOT_ATTEMPTED) from None
            text = cut(told(error).split("\n", 1)[0], 200)
            raise Failure(ERROR, type(error).__name__, text, own_line(error)) from None
        finally:
            self.left -= time.monotonic() - started

    def _value(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(self.tensors, bool):
            args, kwargs = _bound(self.answer, args, kwargs)
            return plain(self.answer(*args, **kwargs))
        return _with_gradients(self.answer, args, kwargs, self.tensors)


def _with_gradients(
    loss: Any, args: tuple[Any, ...], kwargs: dict[str, Any], places: Sequence[int]
) -> Any:
    """The loss and its gradients: "no tensor", or for each place an array or None (no path)."""
    leaves = {place: args[place].requires_grad_() for place in places}
    # clones, so that a function may change its arguments in place
    given = [leaves[i].clone() if i in leaves else arg for i, arg in enumerate(args)]
    bound, named = _bound(loss, tuple(given), kwargs)
    value = loss(*bound, **named)
    if value is None or value is Ellipsis:
        return value
    tensors = list(_tensors(value))
    if not tensors:
        return plain(value), "no tensor"
    trained = [one.sum() for one in tensors if one.requires_grad]
    if trained:
        sum(trained[1:], trained[0]).backward()
    return plain(value), [plain(leaf.grad) for leaf in leaves.values()]


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors that a value is, or is made of."""
    if hasattr(value, "requires_grad") and hasattr(value, "backward"):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _bound(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the function's own signature takes them.

    What is too many by position goes to keyword-only parameters in their order; a name that the
    function does not know goes by position.
    """
    try:
        known = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return args, kwargs
    if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in known):
        return args, kwargs
    by_name = [one.name for one in known if one.kind is one.KEYWORD_ONLY]
    room, free = len(known) - len(by_name), [name for name in by_name if name not in kwargs]
    if room < len(args) <= room + len(free):
        return args[:room], {**dict(zip(free, args[room:], strict=False)), **kwargs}
    if set(kwargs) - {one.name for one in known if one.kind is not one.POSITIONAL_ONLY}:
        return (*args, *kwargs.values()), {}
    return args, kwargs


def _is_own(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return not name.startswith(_LIBRARIES) and not any(part in name for part in _PACKAGES)


def _raised_by_hand(error: BaseException) -> bool:
    """Whether a `raise` in the learner's own code threw it, and no library beneath that."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or not _is_own(trace.tb_frame):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def own_line(error: BaseException) -> str:
    """The last line of the learner's own code that `error` went through: `line 3: x = 1 / 0`."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = frame.f_code.co_filename
        if _is_own(frame):
            text = linecache.getline(name, number, frame.f_globals).strip()
            cell = f"{name[1:-1]}, " if name.startswith("<cell ") else ""
            return f"{cell}line {number}: {text}" if text else f"{cell}line {number}"
    return ""


def _does_nothing(code: CodeType) -> bool:
    """Whether a function's body is no more than a docstring, `pass`, `...` or `return`."""
    constants = set(code.co_consts[1:])
    return not code.co_names and constants <= {None, Ellipsis} and len(code.co_code) <= 8


def as_tensors(value: Any) -> Any:
    """`value` with its numpy arrays as torch tensors: float32 for numbers, int64, bool."""
    return mapped(value, lambda one: _tensor(one) if isinstance(one, np.ndarray) else one)


def _tensor(array: np.ndarray) -> Any:
    import torch

    kind = torch.float32 if array.dtype.kind == "f" else None
    return torch.tensor(array.tolist(), dtype=kind).reshape(array.shape)


class _Output(io.TextIOBase):
    """Keeps the beginning of what is printed: a check may call a function a hundred times."""

    text = ""

    def write(self, text: str) -> int:
        self.text += text[: max(_MOST_PRINTED - len(self.text), 0)]
        return len(text)


@contextlib.contextmanager
def _same_randomness() -> Iterator[None]:
    """Leaves the random numbers of the notebook as they were."""
    torch = sys.modules.get("torch")
    state, numpy_state = random.getstate(), np.random.get_state()
    torch_state = torch.get_rng_state() if torch else None
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)
        if torch is not None and torch_state is not None:
            torch.set_rng_state(torch_state)
