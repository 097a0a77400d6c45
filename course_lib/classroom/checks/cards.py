"""Reading cards: `lessons/cards/<name>.toml` and a reference together are an exercise."""

import ast
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.classroom.checks.exercise import NOTHING, Case, Draw, Exercise, Function, Mistake

FOLDER = Path(__file__).parent / "lessons" / "cards"
_FUNCTIONS: dict[str, Function] = {"log": np.log, "logit": lambda p: np.log(p) - np.log1p(-p)}


def exercise(name: str, reference: Function, make: Callable[[Draw], Case]) -> Exercise:
    """The exercise `name`, in which a function is asked for.

    A card says `like = "another"` where it has that one's inputs and mistakes too. What stands
    beside a mistake's sentence are keyword arguments with which `reference` makes that mistake.
    """
    card = _read(name)
    arrays = bool(card.get("tensors"))
    cases = tuple(_case(one, arrays) for one in card.pop("cases"))
    mistakes = tuple(
        Mistake(one["says"], partial(reference, **_knobs(one))) for one in card.pop("mistakes")
    )
    return Exercise(name, reference=reference, cases=cases, mistakes=mistakes, make=make, **card)


def value(name: str) -> Exercise:
    """The exercise `name`, in which a value is asked for."""
    card = _read(name)
    answer = _value(card.pop("value"), arrays=False)
    mistakes = [
        Mistake(one["says"], partial(_value, one["value"], arrays=False))
        for one in card.pop("mistakes")
    ]
    right = (Case(card.pop("why"), expected=answer),)
    return Exercise(name, reference=lambda: answer, cases=right, mistakes=tuple(mistakes), **card)


def _read(name: str) -> dict[str, Any]:
    card = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    if "like" in card:
        other = _read(card.pop("like"))
        own = [_knobs(one) for one in card.get("mistakes", ())]
        others = [one for one in other["mistakes"] if _knobs(one) not in own]
        card["mistakes"] = [*card.get("mistakes", ()), *others]
        card["cases"] = [*card.get("cases", ()), *other["cases"]]
        card = {"tensors": other.get("tensors", False), **card}
    card["hints"] = tuple(card["hints"])
    return card


def _knobs(mistake: dict[str, Any]) -> dict[str, Any]:
    return {name: knob for name, knob in mistake.items() if name != "says"}


def _case(one: dict[str, str], arrays: bool) -> Case:
    """An input, whose call is written as `1, [2, 3], scale=2.5`; data only."""
    call = ast.parse(f"f({one['call']})", mode="eval").body
    assert isinstance(call, ast.Call)
    args = tuple(_data(node, arrays) for node in call.args)
    kwargs = {str(named.arg): _data(named.value, arrays) for named in call.keywords}
    gives = _value(one["gives"], arrays) if "gives" in one else NOTHING
    return Case(one["why"], args, kwargs, gives)


def _value(text: str, arrays: bool) -> Any:
    return _data(ast.parse(text, mode="eval").body, arrays)


def _data(node: ast.expr, arrays: bool) -> Any:
    """The value of an expression: Python's literals, and `log` or `logit` of a list.

    With `arrays` a list is an array.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _FUNCTIONS[node.func.id](np.array(ast.literal_eval(node.args[0])))
    if isinstance(node, ast.Tuple):
        return tuple(_data(item, arrays) for item in node.elts)
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key]
        return dict(zip(keys, (_data(item, arrays) for item in node.values), strict=True))
    found = ast.literal_eval(node)
    return np.array(found) if arrays and isinstance(found, list) else found
