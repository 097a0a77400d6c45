"""What a function is, in words that can be compared: so that a run knows what it was made with.

Two functions are the same where their source, what they close over and what they use of their own
module are. Comments and layout do not count. What cannot be looked into (an object of some class)
counts by the name of its class, and its text says so.
"""

import ast
import hashlib
import inspect
import textwrap
import threading
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn

_DEEPEST = 5
_ONE_AT_A_TIME = threading.Lock()  # Python 3.11's parser counts its depth for all threads together
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...), range)


def describe(thing: Any, depth: int = 0) -> str:
    """A text, the same in any process for things that do the same as far as can be seen."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(thing, _PLAIN):
        return repr(thing)
    if isinstance(thing, partial):
        inside = [thing.func, thing.args, thing.keywords]
        return f"partial of {describe(inside, depth + 1)}"
    if isinstance(thing, MethodType):
        return f"method {describe([thing.__func__, thing.__self__], depth + 1)}"
    if isinstance(thing, FunctionType):
        return _function(thing, depth)
    if isinstance(thing, type):
        return _source(thing)
    return _value(thing, depth)


def digest(text: str) -> str:
    """A short sum of a text, to compare by."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_of(thing: Any) -> str:
    """What a function is called."""
    if isinstance(thing, partial):
        return name_of(thing.func)
    return getattr(thing, "__qualname__", type(thing).__qualname__).rpartition(".")[2]


def _value(thing: Any, depth: int) -> str:
    """Containers by what is in them, arrays and models by their numbers, other objects by class."""
    kind = type(thing).__qualname__
    if isinstance(thing, Mapping):
        return f"{kind}({_several((k, v) for k, v in thing.items())})"
    if isinstance(thing, set | frozenset):
        return f"{kind}({', '.join(sorted(describe(x, depth + 1) for x in thing))})"
    if isinstance(thing, list | tuple):
        return f"{kind}({_several(thing, depth + 1)})"
    if isinstance(thing, nn.Module):
        return f"{kind} {_several(sorted(thing.state_dict().items(), key=lambda kv: kv[0]))}"
    if isinstance(thing, Tensor):
        return describe(thing.detach().cpu().double().numpy(), depth)
    if isinstance(thing, np.ndarray | np.generic):
        content = np.ascontiguousarray(thing).tobytes()
        return f"{kind}{np.shape(thing)} {hashlib.sha256(content).hexdigest()[:16]}"
    if is_dataclass(thing):
        held = {f.name: getattr(thing, f.name) for f in fields(thing)}
        return f"{kind}({describe(held, depth + 1)})"
    if "__call__" in vars(type(thing)):
        return f"{_source(type(thing))} with {describe(vars(thing), depth + 1)}"
    return f"{kind} (not looked into)"


def _several(things: Iterable[Any], depth: int = 1) -> str:
    return ", ".join(describe(x, depth) for x in things)


def _function(function: FunctionType, depth: int) -> str:
    """Source or bytecode, then defaults, what is closed over, and what is used of its module."""
    uses = {name: function.__globals__.get(name) for name in _names(function.__code__)}
    own = {
        name: value
        for name, value in uses.items()
        if isinstance(value, (*_PLAIN, tuple, dict))  # a list may be a notebook's own log
        or getattr(value, "__module__", None) == function.__module__
    }
    own.pop(function.__name__, None)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    parts = {
        "defaults": [function.__defaults__, function.__kwdefaults__],
        "closes over": {name: _content(cell) for name, cell in cells},
        "uses": {name: own[name] for name in sorted(own) if own[name] is not None},
    }
    said = [f"{name}: {describe(part, depth + 1)}" for name, part in parts.items() if _any(part)]
    return "\n".join([_source(function), *said])


def _any(part: Any) -> bool:
    return any(part.values()) if isinstance(part, dict) else any(part)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that has no value yet
        return None


def _names(code: CodeType) -> set[str]:
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _source(thing: Any) -> str:
    """The source without comments and layout; of a lambda, or where there is none, the bytecode."""
    name = f"{thing.__module__}.{thing.__qualname__}"
    if getattr(thing, "__name__", "") != "<lambda>":
        try:
            with _ONE_AT_A_TIME:
                return ast.unparse(ast.parse(textwrap.dedent(inspect.getsource(thing))))
        except (OSError, TypeError, SyntaxError):
            pass
    code = getattr(thing, "__code__", None)
    return name if code is None else f"{name}: {_bytecode(code)}"


def _bytecode(code: CodeType) -> str:
    consts = [_bytecode(c) if isinstance(c, CodeType) else describe(c) for c in code.co_consts]
    return f"{digest(code.co_code.hex())} {code.co_names} {consts}"
