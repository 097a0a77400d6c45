"""What several exercises draw alike: numbers with ties and edges, arrays, puzzles as text."""

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from course_lib.classroom.checks.exercise import Draw

__all__ = ["array", "assume", "configs", "masks", "real", "st"]


def real(low: float, high: float, grain: int = 64) -> st.SearchStrategy[float]:
    """Numbers of a grid that float32 holds exactly, so that ties and whole numbers do occur."""
    return st.integers(round(low * grain), round(high * grain)).map(lambda n: n / grain)


def array(draw: Draw, elements: st.SearchStrategy[Any], *shape: int) -> np.ndarray:
    """An array of independent elements."""
    size = int(np.prod(shape))
    return np.array(draw(st.lists(elements, min_size=size, max_size=size))).reshape(shape)


def masks(draw: Draw, *shape: int) -> np.ndarray:
    """Masks of 1.0 and 0.0: padding at the end, at the front, in the middle, everywhere."""
    return array(draw, st.sampled_from([1.0, 1.0, 0.0]), *shape)


def configs(draw: Draw, **ranges: tuple[int, int]) -> dict[str, int]:
    """A configuration with a whole number from its range under every name."""
    return {name: draw(st.integers(low, high)) for name, (low, high) in ranges.items()}
