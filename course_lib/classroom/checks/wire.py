"""Values as JSON and back, for the pipe between the grader and a submission's process.

Only data travels: numbers, text, containers and arrays. Anything else a submission gives arrives
as an object that shows the same text and equals nothing.
"""

import json
import math
from typing import Any

import numpy as np

from course_lib.classroom.checks.values import plain, show

LONGEST = 1_000_000
"""Characters of one message; a longer value is sent as its shortened text."""
_MOST_KEYS = 2_000  # of a set or dictionary: keys made to collide take time that grows squared
_MOST_ITEMS = 200_000  # of one message, at any depth; and elements of one array
_MOST_FOREIGN = 1_000  # each becomes a type of its own
_MOST_AXES = 8
_NUMBERS = {"bool", "float16", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


def dumps(value: Any) -> str:
    """`value` as one line of JSON."""
    try:
        text = json.dumps(_pack(plain(value)))
    except (RecursionError, ValueError, TypeError):
        text = ""
    return text if 0 < len(text) < LONGEST else json.dumps(_other(value))


def loads(text: str) -> Any:
    """The value that `dumps` wrote, no larger than its text. Raises ValueError for other text."""
    if not isinstance(text, str) or len(text) > LONGEST + 100:
        raise ValueError("not a value, or too long a one")
    try:
        value = json.loads(text)
        _count(value)
        return _unpack(value)
    except (RecursionError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"not a value: {error}") from None


def _pack(value: Any) -> Any:
    if isinstance(value, np.generic):  # a dictionary's key, or in a set
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": value.tolist(), "dtype": value.dtype.name, "shape": list(value.shape)}
    if type(value) in (list, tuple, set, frozenset):
        return {type(value).__name__: [_pack(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_pack(key), _pack(item)] for key, item in value.items()]}
    if isinstance(value, tuple):  # a named tuple
        return {"tuple": [_pack(item) for item in value]}
    return _other(value)


def _other(value: Any) -> dict[str, str]:
    return {"other": show(value), "type": type(value).__name__[:40]}


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        raise ValueError("a list that does not say what it is")
    if not isinstance(value, dict):
        return value
    if "array" in value:
        if value["dtype"] not in _NUMBERS:
            raise ValueError(f"no numbers: {value['dtype']!r:.40}")
        shape = _shape(value["shape"])
        return np.array(value["array"], dtype=value["dtype"]).reshape(shape)
    if "dict" in value:
        _bounded(value["dict"])
        return {_unpack(key): _unpack(item) for key, item in value["dict"]}
    if "other" in value:
        return _foreign(str(value["type"])[:40], str(value["other"])[:400])
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    ((name, items),) = value.items()
    if name in ("set", "frozenset"):
        _bounded(items)
    return kinds[name](_unpack(item) for item in items)


def _count(value: Any) -> None:
    """Raises ValueError for what has more items than an answer needs."""
    waiting, items, foreign = [value], 0, 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            foreign += "other" in one
            waiting += one.values()
        elif isinstance(one, list):
            items += len(one)
            waiting += one if items <= _MOST_ITEMS else ()
    if items > _MOST_ITEMS or foreign > _MOST_FOREIGN:
        raise ValueError(f"more than {_MOST_ITEMS:,} items or {_MOST_FOREIGN:,} that are no data")


def _shape(sizes: Any) -> list[int]:
    """An array's shape. An axis of 0 leaves no elements and yet as many lists as the others say."""
    if not isinstance(sizes, list) or len(sizes) > _MOST_AXES:
        raise ValueError(f"no shape: {sizes!r:.40}")
    if any(type(one) is not int or one < 0 for one in sizes):
        raise ValueError("sizes are whole numbers from 0 on")
    if math.prod(max(one, 1) for one in sizes) > _MOST_ITEMS:
        raise ValueError(f"more than {_MOST_ITEMS:,} elements")
    return sizes


def _bounded(items: list[Any]) -> None:
    if len(items) > _MOST_KEYS:
        raise ValueError(f"more than {_MOST_KEYS:,} keys")


def _foreign(name: str, text: str) -> Any:
    """An object of a type with that name, shown as that text."""
    return type(name, (), {"__repr__": lambda self: text})()
