"""Comparing and showing what a learner's function gave back, whatever it is made of.

A right answer may come as a list, a tuple, a numpy array, a torch tensor or plain numbers, in any
precision. Nothing here imports torch: a tensor is told by what it can do.
"""

import math
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

_LONGEST = 300
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # C0 without tab and line feed, C1


def mapped(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """`value` with `leaf` of all that is in its tuples, lists and dictionaries, at any depth."""
    if isinstance(value, tuple):
        return tuple(mapped(item, leaf) for item in value)
    if isinstance(value, list):
        return [mapped(item, leaf) for item in value]
    if isinstance(value, dict):
        return {key: mapped(item, leaf) for key, item in value.items()}
    return leaf(value)


def plain(value: Any) -> Any:
    """`value` with tensors as numpy arrays, fractions as numbers, and arrays of text as lists;
    containers keep their kind."""
    return mapped(value, _plain)


def _plain(value: Any) -> Any:
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        tensor = value.detach().cpu()
        whole = not (tensor.is_floating_point() or tensor.is_complex())
        return tensor.numpy() if whole else tensor.double().numpy()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biufc":
        return plain(value.tolist())  # text, or whatever was put into it
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration's member its text
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    if isinstance(value, Decimal):
        return float(value)
    return value


def difference(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    """Where `got` first differs from `expected`, in a few words, or None where it agrees.

    `expected` says what is compared: numbers and arrays within `rtol` and `atol` (NaN agrees with
    NaN), everything else exactly. Lists and tuples may stand for each other and for arrays.
    """
    if isinstance(got, np.ndarray) and got.ndim == 0 and not isinstance(expected, np.ndarray):
        got = got.item()
    if isinstance(expected, np.ndarray):
        return _array_difference(got, expected, rtol, atol)
    if isinstance(expected, Mapping):
        return _mapping_difference(got, expected, rtol, atol)
    if isinstance(expected, list | tuple):
        return _sequence_difference(got, expected, rtol, atol)
    if isinstance(expected, bool) or expected is None or isinstance(expected, str | AbstractSet):
        same = type(got) in (type(expected), set, frozenset) and got == expected
        return None if same else f"{show(got)} is not {show(expected)}"
    return _number_difference(got, expected, rtol, atol)


def _number_difference(got: Any, expected: float, rtol: float, atol: float) -> str | None:
    if isinstance(got, np.ndarray) and got.size == 1:
        got = got.reshape(()).item()
    if isinstance(got, bool) or not isinstance(got, int | float):
        return f"a {type(got).__name__} came out where a number was expected"
    if got == expected or (math.isnan(expected) and got != got):
        return None
    exact = isinstance(expected, int)  # a count is right or wrong, however large it is
    if not exact and math.isfinite(expected) and _close(got, expected, atol + rtol * abs(expected)):
        return None
    return _is_not(got, expected)


def _close(got: float, expected: float, tolerance: float) -> bool:
    try:
        return abs(got - expected) <= tolerance
    except OverflowError:  # a whole number that is larger than any float
        return False


def _array_difference(got: Any, expected: np.ndarray, rtol: float, atol: float) -> str | None:
    try:
        if not is_numbers(got):  # numpy gives every string of a list the room of the longest
            raise TypeError
        array = np.asarray(got)
        found = array.astype(
            np.float64, casting="unsafe" if array.dtype.kind == "O" else "same_kind"
        )
    except Exception:  # a learner's object may raise anything
        return f"a {type(got).__name__} came out that is not an array of numbers"
    if found.shape != expected.shape:
        return f"the shape is {found.shape}, expected is {expected.shape}"
    wanted = expected.astype(np.float64)
    close = np.isclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~close)[0])
    at = f"at {list(place)}: " if place else ""
    return at + _is_not(found[place].item(), wanted[place].item())


def is_numbers(value: Any) -> bool:
    """Whether `value` is a number, an array of numbers, or lists and tuples of them."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, str | bytes) or one is None:
            return False
        elif hasattr(one, "__array__"):
            if getattr(getattr(one, "dtype", None), "kind", "f") in "USVO":
                return False
        elif not isinstance(one, int | float | range):
            return False
    return True


def readable(text: str, longest: int) -> str:
    """Text as it can stand anywhere: cut, with control characters but line ends and tabs as codes.

    So nothing that a submission gives can steer the console or the spreadsheet that shows it.
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", cut(text, longest))


def cut(text: str, longest: int) -> str:
    """The beginning of a text that is longer."""
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."


def told(error: BaseException) -> str:
    """The text of an exception, "" of one that fails to show itself: a learner's may."""
    try:
        return str(error).strip()
    except Exception:
        return ""


def _is_not(got: float, expected: float) -> str:
    """Both numbers, with as many digits as it takes to see that they differ."""
    short = show(got), show(expected)
    shown = short if short[0] != short[1] else (repr(got), repr(expected))
    return f"{shown[0]} is not {shown[1]}"


def _within(place: str, found: str) -> str:
    """A difference inside of the item at `place`: `at [0]` and `at [2, 1]: ...` are one path."""
    return f"at {place}{found[3:]}" if found.startswith("at [") else f"at {place}: {found}"


def _sequence_difference(got: Any, expected: Any, rtol: float, atol: float) -> str | None:
    if isinstance(got, np.ndarray) and got.ndim:
        got = got.tolist()
    if not isinstance(got, list | tuple):
        return f"a {type(got).__name__} came out where a {type(expected).__name__} was expected"
    if len(got) != len(expected):
        items = "1 item" if len(got) == 1 else f"{len(got)} items"
        return f"{items} came out, {len(expected)} were expected"
    for i, (one, other) in enumerate(zip(got, expected, strict=True)):
        found = difference(one, other, rtol, atol)
        if found:
            return _within(f"[{i}]", found)
    return None


def _mapping_difference(got: Any, expected: Mapping, rtol: float, atol: float) -> str | None:
    if not isinstance(got, Mapping):
        return f"a {type(got).__name__} came out where a dictionary was expected"
    odd = [*(key for key in expected if key not in got), *(k for k in got if k not in expected)]
    if odd:
        return f"the key {show(odd[0])} is {'missing' if odd[0] in expected else 'not asked for'}"
    for key, value in expected.items():
        found = difference(got[key], value, rtol, atol)
        if found:
            return _within(f"[{show(key)}]", found)
    return None


def show(value: Any) -> str:
    """`value` as short text: arrays as lists, numbers with six digits; never an exception."""
    try:
        text = _text(plain(value))
    except Exception:  # a learner's object may fail to show itself
        text = f"<{type(value).__name__}>"
    return cut(text, _LONGEST)


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return _text(value.tolist())
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        inner = ", ".join(map(_text, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value[:200]))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(k)}: {_text(v)}' for k, v in value.items())}}}"
    if value is Ellipsis:
        return "..."
    return repr(value)
