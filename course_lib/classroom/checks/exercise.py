"""What an exercise is: its card, its contract, the inputs it is tried on, the mistakes it knows.

What can be read as text stands in `lessons/cards/<name>.toml`: the card, the contract's range,
inputs worked out by hand, the sentences for known mistakes. What computes stands in `lessons/`: a
reference, whose keyword-only parameters make the known mistakes, and a function that draws inputs
from the contract's whole range.
"""

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

Function = Callable[..., Any]
Draw = Callable[[Any], Any]
NOTHING = object()
SLOPES = 40  # inputs for which gradients are judged

_ONE_AT_A_TIME = threading.Lock()  # the grader judges in several threads


@dataclass(frozen=True)
class Case:
    """One input: positional and keyword arguments, and in words why the result is what it is.

    `expected` is worked out by hand where it is given; otherwise the exercise's reference gives it.
    """

    why: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: Any = NOTHING


def case(why: str, *args: Any, **kwargs: Any) -> Case:
    """A `Case` written like the call it makes."""
    return Case(why, args, kwargs)


@dataclass(frozen=True)
class Mistake:
    """A mistake people make, as a function that makes it, and the sentence it deserves."""

    sentence: str
    variant: Function


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise. `symbol` is what the learner defines: a function, or a variable with a value.

    `contract` says which inputs there are. `reference` computes what is expected, written apart
    from the library and from the solution. `make(draw)` draws an input as a hypothesis composite
    does. `tensors`: whether arrays are given as torch tensors, or the positions of those arguments
    for which the loss must have a gradient. `truth`: 1.0 and 0.0 may come as True and False.
    """

    name: str
    symbol: str
    title: str
    what_for: str
    difficulty: int
    minutes: int
    needs: str
    hints: tuple[str, ...]
    reference: Function
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...] = ()
    make: Callable[[Draw], Case] | None = None
    contract: str = ""
    tensors: bool | list[int] = False
    truth: bool = False
    drawn: int = 120  # inputs beside those worked out by hand
    rtol: float = 2e-5
    atol: float = 1e-6
    seconds: float = 10.0

    @property
    def is_value(self) -> bool:
        """Whether the answer is a value worked out by hand rather than a function."""
        return self.make is None

    @property
    def gradients(self) -> list[int]:
        """The positions of the arguments for which the loss must have a gradient."""
        return [] if isinstance(self.tensors, bool) else self.tensors

    @property
    def parameters(self) -> list[str]:
        """The names of the function's parameters, as the reference has them."""
        return list(inspect.signature(self.reference).parameters)

    def expected(self, one: Case) -> Any:
        """What a right answer gives for `one`."""
        return self.reference(*one.args, **one.kwargs) if one.expected is NOTHING else one.expected


@cache
def inputs(exercise: Exercise, seed: int = 0) -> tuple[Case, ...]:
    """The inputs an answer is tried on: those by hand and those drawn; `expected` is filled in."""
    drawn = _drawn(exercise.make, exercise.drawn, seed) if exercise.make else []
    with np.errstate(all="ignore"):
        every = (*exercise.cases, *drawn)
        return tuple(replace(one, expected=exercise.expected(one)) for one in every)


def _drawn(make: Callable[[Draw], Case], most: int, seed: int) -> list[Case]:
    """What hypothesis draws: the same for the same seed, simple and extreme ones among them."""
    from unittest import mock

    import hypothesis as hy
    from hypothesis import strategies as st
    from hypothesis.internal.conjecture import providers

    found: list[Case] = []

    @hy.seed(seed)
    @hy.settings(
        max_examples=most, database=None, deadline=None, phases=[hy.Phase.generate],
        suppress_health_check=list(hy.HealthCheck),
    )  # fmt: skip
    @hy.given(st.composite(make)())
    def collect(one: Case) -> None:
        found.append(one)

    # It would draw constants of the modules that are loaded, which differ from kernel to kernel.
    kept = type(providers.CONSTANTS_CACHE)(1024)
    none: dict[str, Any] = {"_get_local_constants": providers.Constants, "CONSTANTS_CACHE": kept}
    with _ONE_AT_A_TIME, mock.patch.multiple(providers, **none):
        collect()
    return found


@cache
def expected_gradients(exercise: Exercise, seed: int = 0) -> tuple[list[Any], ...]:
    """For the first inputs the gradients of the loss's sum: lowest and highest slope each.

    Taken from the reference by differences to both sides, so that either is right at a kink.
    """
    return tuple(
        [_slopes(exercise.reference, one, place) for place in exercise.gradients]
        for one in inputs(exercise, seed)[:SLOPES]
    )


def _slopes(loss: Function, one: Case, place: int) -> tuple[np.ndarray, np.ndarray]:
    def total(moved: np.ndarray) -> float:
        args = (*one.args[:place], moved, *one.args[place + 1 :])
        return np.sum(loss(*args, **one.kwargs))

    at = np.asarray(one.args[place], np.float64)
    middle, step = total(at), 1e-6
    moves = step * np.eye(at.size).reshape(-1, *at.shape)
    sides = [[middle - total(at - by), total(at + by) - middle] for by in moves]
    low, high = np.sort(sides).T.reshape(2, *at.shape) / step
    return low, high
