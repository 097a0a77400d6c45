"""What an exercise is: its card, its contract, the inputs it is tried on, the mistakes it knows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
Function = Callable[..., Any]
NOTHING = object()


@dataclass(frozen=True)
class Case:
    """One input: positional and keyword arguments, and in words why the result is what it is.

    `expected` is worked out by hand where it is given; otherwise the exercise's reference gives it.
    """

    why: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    expected: Any = NOTHING


def case(why: str, *args: Any, expected: Any = NOTHING, **kwargs: Any) -> Case:
    """A `Case` written like the call it makes."""
    return Case(why, args, kwargs, expected)


def draw(make: Callable[[], T], fits: Callable[[T], bool]) -> T:
    """The first of what `make` makes that `fits`: inputs that rounding could tip are left out."""
    made = make()
    while not fits(made):
        made = make()
    return made


@dataclass(frozen=True)
class Mistake:
    """A mistake people make, as a function that makes it, and the sentence it deserves.

    A submission has made it when it gives what `variant` gives on every input tried.
    """

    sentence: str
    variant: Function


@dataclass(frozen=True)
class Exercise:
    """One exercise. `symbol` is what the learner defines: a function, or a variable with a value.

    `reference` computes what is expected, written apart from the library and from the solution.
    `fresh(rng)` makes a new random input. `tensors` tells that arrays are given as torch tensors.
    """

    name: str
    symbol: str
    title: str
    what_for: str
    difficulty: int
    minutes: int
    needs: str
    hints: tuple[str, str, str]
    reference: Function
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...] = ()
    fresh: Callable[[np.random.Generator], Case] | None = None
    tensors: bool = False
    rtol: float = 2e-5
    atol: float = 1e-6
    seconds: float = 10.0

    @property
    def is_value(self) -> bool:
        """Whether the answer is a value worked out by hand rather than a function."""
        return self.fresh is None

    @property
    def parameters(self) -> list[str]:
        """The names of the function's parameters, as the reference has them."""
        return list(inspect.signature(self.reference).parameters)

    def expected(self, one: Case) -> Any:
        """What a right answer gives for `one`."""
        return self.reference(*one.args, **one.kwargs) if one.expected is NOTHING else one.expected
