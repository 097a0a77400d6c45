"""Values as JSON and back, for the pipe between the grader and a submission's process.

Only data travels: numbers, text, containers and arrays. Anything else a submission gives arrives
as an object that shows the same text and equals nothing.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from course_lib.classroom.checks.values import plain, show

LONGEST = 1_000_000
"""Characters of one message; a longer value is sent as its shortened text."""
_MOST_KEYS = 2_000  # of a set or dictionary: keys made to collide take time that grows squared
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
        return _unpack(json.loads(text))
    except (RecursionError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"not a value: {error}") from None


def _pack(value: Any) -> Any:
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
    if not isinstance(value, dict):
        return value
    if "array" in value:
        if value["dtype"] not in _NUMBERS:
            raise ValueError(f"no numbers: {value['dtype']!r:.40}")
        return np.array(value["array"], dtype=value["dtype"]).reshape(value["shape"])
    if "dict" in value:
        _bounded(value["dict"])
        return {_unpack(key): _unpack(item) for key, item in value["dict"]}
    if "other" in value:
        return _foreign(str(value["type"]), str(value["other"]))
    kinds = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
    ((name, items),) = value.items()
    if name in ("set", "frozenset"):
        _bounded(items)
    return kinds[name](_unpack(item) for item in items)


def _bounded(items: list[Any]) -> None:
    if len(items) > _MOST_KEYS:
        raise ValueError(f"more than {_MOST_KEYS:,} keys")


def _foreign(name: str, text: str) -> Any:
    """An object of a type with that name, shown as that text."""
    return type(name, (), {"__repr__": lambda self: text})()
