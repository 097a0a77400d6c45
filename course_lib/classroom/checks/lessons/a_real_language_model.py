"""Lesson 09: a detour beside a frozen weight, and which of its own answers a model learns from."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.classroom.checks.cards import exercise
from course_lib.classroom.checks.draws import array, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _lora(
    x: np.ndarray,
    weight: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    alpha: float,
    *,
    kind: str = "right",
) -> np.ndarray:
    rank = a.shape[0]
    wrong_scales = {
        "no rank": alpha, "no alpha": 1 / rank, "no scale": 1.0, "turned": rank / alpha,
        "width": alpha / a.shape[1], "square root": alpha / rank**0.5,
    }  # fmt: skip
    scale = wrong_scales.get(kind, alpha / rank)
    detour = scale * (x @ a.T @ b.T)
    if kind == "detour alone":
        return detour
    if kind == "all scaled":
        return scale * (x @ weight.T) + detour
    if kind == "base twice":
        return 2 * (x @ weight.T) + detour
    return x @ weight.T + (-detour if kind == "taken off" else detour)


def _keep(
    answers: list[list[str]], truths: list[int], most: int, *, kind: str = "right"
) -> list[Any]:
    kept: list[tuple[int, str]] = []
    for question, (texts, truth) in enumerate(zip(answers, truths, strict=True)):
        own = 0
        for text in texts[:most] if kind == "first ones" else texts:
            said = text.endswith(f"Answer: {truth}")
            if kind == "anywhere":
                said = f"Answer: {truth}" in text
            if kind == "number":
                said = text.endswith(str(truth))
            if kind == "any answer":
                said = "Answer: " in text
            once = text.count("Answer:") == 1 or kind in ("said twice", "number")
            old = text in [one for at, one in kept if at == question or kind == "across"]
            if kind == "copies":
                old = False
            room = (len(kept) if kind == "in all" else own) < most or kind == "no limit"
            if said and once and not old and room:
                kept.append((question, text))
                own += 1
    return [text for _, text in kept] if kind == "texts" else kept


def _a_layer(draw: Draw) -> Case:
    rows, inner, outer, rank = (draw(st.integers(1, most)) for most in (3, 4, 4, 3))
    parts = [array(draw, real(-2, 2), *shape) for shape in (
        (rows, inner), (outer, inner), (rank, inner), (outer, rank))]  # fmt: skip
    why = "x W^T and, alpha / r times as loud, x A^T B^T"
    return case(why, *parts, draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])))


_SAID = st.sampled_from([
    "Answer: 1", "Answer: 2", "Answer: 11", "Answer: 21", "1 + 1 = 2. Answer: 2", "So Answer: 1",
    "It is 1", "2", "", "Answer: 2 Answer: 1", "Answer: 1 or so", "Answer: 11.", "answer: 1",
])  # fmt: skip


def _some_answers(draw: Draw) -> Case:
    answers = draw(st.lists(st.lists(_SAID, max_size=7), max_size=4))
    truths = [draw(st.sampled_from([1, 2, 11])) for _ in answers]
    why = "ends in `Answer: ` and the number, says it once; each text once, at most so many"
    return case(why, answers, truths, draw(st.integers(1, 3)))


EXERCISES = (
    exercise("real.lora", _lora, _a_layer),
    exercise("real.keep_right", _keep, _some_answers),
)
