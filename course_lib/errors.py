"""The one exception a learner meets: a sentence that says what is wrong and what to do."""

import math
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, SupportsFloat

# Control characters but tab and line feed, what is invisible or turns the line, halves of signs.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ud800-\udfff]"
)
_LARGEST = 2**40  # a run makes a million seeds of its own, and torch takes those below 2 ** 63

COLDEST = 1e-6
"""The lowest temperature above 0: logits divided by less leave float32's range."""


class CourseError(Exception):
    """Something the reader can put right: the message is one plain sentence, without traceback."""


def printable(text: str) -> str:
    """What a stranger wrote, a model or a server, without what would steer the display."""
    return _CONTROL.sub(" ", text)


def refuse_below(settings: object, least: Mapping[str, float], endless: str = "") -> None:
    """Raises CourseError where a setting, by name, is below its least number or is none.

    One that is a whole number by default stays one, and numpy's become Python's own. `endless` is
    the name of the one that may be infinite.
    """
    for name, low in least.items():
        given, whole = getattr(settings, name), isinstance(getattr(type(settings), name), int)
        number = isinstance(given, Integral if whole else Real)
        most = _LARGEST if whole else math.inf if name == endless else sys.float_info.max
        value = own_number(given) if number else math.nan
        if not low <= value <= most:
            said = f", a whole number up to {_LARGEST}" if whole else ""
            said = ", and finite" if not whole and given == math.inf else said
            raise CourseError(f"{name} is {given!r}; allowed is {low} or more{said}.")
        object.__setattr__(settings, name, value)


def own_number(number: Any) -> Any:
    """A number of numpy's as Python's own, which JSON and runs need; another one as it is."""
    if isinstance(number, (int, float)):
        return number
    return int(number) if isinstance(number, Integral) else float(number)


def whole_number(name: str, value: Any, lowest: int = 1) -> int:
    """`value` as Python's int. Raises ValueError for what is no whole number from `lowest` on."""
    if not isinstance(value, int) and getattr(value, "ndim", None) == 0:
        value = value.item()  # a number of numpy's or torch's
    # Most are Python's own, and asking for these first is quicker; numpy's would overflow.
    if isinstance(value, bool) or not isinstance(value, (int, Integral)) or value < lowest:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {lowest}.")
    return int(value)


def real_number(name: str, value: float) -> float:
    """`value` as it is. Raises ValueError for a text, None and whatever else is no number."""
    if not isinstance(value, SupportsFloat):  # numpy's and torch's are one
        raise ValueError(f"{name} is {value!r:.80}; it must be a number.")
    return value


def at_least(least: int) -> Callable[[str], int]:
    """What argparse reads an option by that is a whole number from `least` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= _LARGEST:
            allowed = f"a whole number from {least} on, up to {_LARGEST}"
            raise ArgumentTypeError(f"it takes {allowed}, not {text!r:.40}")
        return value

    return number


COUNT, WHOLE = at_least(1), at_least(0)  # how many of something; a seed, or as few as none
