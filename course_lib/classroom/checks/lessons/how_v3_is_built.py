"""Lesson 02b: FP8 by hand, speculative decoding, and what a pipeline of stages leaves idle."""

import math

import numpy as np

from course_lib.classroom.checks.cards import exercise
from course_lib.classroom.checks.draws import array, assume, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case

LARGEST = 448.0


def _round(
    x: float, *, bits: int = 3, lowest: int = -6, how: str = "even", power: str = "floor"
) -> float:
    if x == 0:
        return 0.0
    at = math.log2(abs(x))
    exponent = max(math.floor(at) if power == "floor" else round(at), lowest)
    step = 2.0 ** (exponent - bits)
    if how == "cut":
        return math.trunc(x / step) * step
    if how == "away":
        return math.copysign(math.floor(abs(x) / step + 0.5), x) * step
    return round(x / step) * step


def _scales(x: np.ndarray, size: int, *, kind: str = "", largest: float = LARGEST) -> np.ndarray:
    blocks = x.reshape(len(x) // size, size, x.shape[1] // size, size)
    most = (blocks if kind == "signed" else np.abs(blocks)).max((1, 3))
    if kind == "whole":
        most = np.full_like(most, np.abs(x).max())
    if kind == "rows":
        most = np.repeat(most.max(1, keepdims=True), most.shape[1], 1)
    if kind == "mean":
        most = np.abs(blocks).mean((1, 3))
    if kind == "turned":
        return np.where(most > 0, largest / np.where(most > 0, most, 1), 1.0)
    return most / largest if kind == "zero" else np.where(most > 0, most / largest, 1.0)


def _accept(
    p: np.ndarray, q: np.ndarray, drafted: int, u: float, *, keep: str = "ratio", rest: str = ""
) -> tuple[bool, np.ndarray]:
    bounds = {"ratio": p[drafted] / q[drafted], "p": p[drafted], "q": q[drafted] / p[drafted]}
    bounds |= {"greedy": float(p.argmax() == drafted), "more": float(p[drafted] >= q[drafted])}
    without = np.where(np.arange(len(p)) == drafted, 0, p)
    wrong = {"apart": np.abs(p - q), "p": p, "without": without}
    more = wrong.get(rest, np.maximum(p - q, 0))
    total = 1.0 if rest == "raw" else more.sum()
    return bool(u < bounds[keep]), more / (total or 1.0)


def _bubble(stages: int, micro_batches: int, *, kind: str = "") -> float:
    idle, work = stages - 1, micro_batches
    return {
        "all": stages / (stages + work),
        "of work": idle / work,
        "busy": work / (work + idle),
        "twice": 2 * idle / (work + 2 * idle),
    }.get(kind, idle / (work + idle))


def _a_number(draw: Draw) -> Case:
    small = st.integers(-4096, 4096).map(lambda n: n / 2**14)
    x = draw(real(-448, 448) | small | real(-4, 4, 1024))
    return case("the step is a power of two: 8 steps from one power to the next", x)


def _a_matrix(draw: Draw) -> Case:
    size, down, across = (draw(st.integers(1, n)) for n in (4, 3, 3))
    x = array(draw, real(-8, 8) | st.sampled_from([0.0, 100.0, -448.0]), size * down, size * across)
    if draw(st.booleans()):
        x[:size, :size] = 0.0
    return case("the largest size in each block over 448; 1 where all is 0", x, size)


def _chances(draw: Draw, n: int) -> np.ndarray:
    weights = array(draw, st.integers(1, 20), n).astype(float)
    return weights / weights.sum()


def _a_guess(draw: Draw) -> Case:
    n = draw(st.integers(2, 6))
    p, q = _chances(draw, n), _chances(draw, n)
    drafted, u = draw(st.integers(0, n - 1)), draw(st.integers(0, 99)) / 100 + 0.003
    assume(abs(u - p[drafted] / q[drafted]) > 1e-3 and np.abs(p - q).max() > 1e-6)
    return case("kept with p / q; else drawn from what p has more than q", p, q, drafted, u)


def _a_pipeline(draw: Draw) -> Case:
    numbers = draw(st.integers(1, 64)), draw(st.integers(1, 512))
    return case("a device waits for stages - 1 micro-batches' time", *numbers)


EXERCISES = (
    exercise("v3.round_e4m3", _round, _a_number),
    exercise("v3.block_scales", _scales, _a_matrix),
    exercise("v3.accept", _accept, _a_guess),
    exercise("v3.bubble", _bubble, _a_pipeline),
)
