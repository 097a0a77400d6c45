"""Lesson 09: a trace in other tokens, a detour, what was lost, and which answers are learnt."""

from typing import Any

import numpy as np

from course_lib.classroom.checks.cards import exercise
from course_lib.classroom.checks.draws import array, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _lora(
    x: np.ndarray, W: np.ndarray, A: np.ndarray, B: np.ndarray, alpha: float, *, kind: str = "right"
) -> np.ndarray:
    rank = A.shape[0]
    wrong_scales = {
        "no rank": alpha, "no alpha": 1 / rank, "no scale": 1.0, "turned": rank / alpha,
        "width": alpha / A.shape[1], "square root": alpha / rank**0.5,
    }  # fmt: skip
    scale = wrong_scales.get(kind, alpha / rank)
    base = {"detour alone": 0.0, "all scaled": scale, "base twice": 2.0}.get(kind, 1.0)
    detour = -scale if kind == "taken off" else scale
    return base * (x @ W.T) + detour * (x @ A.T @ B.T)


def _keep(
    answers: list[list[str]], truths: list[int], most: int, *, kind: str = "right"
) -> list[Any]:
    kept: list[tuple[int, str]] = []
    for question, (texts, truth) in enumerate(zip(answers, truths, strict=True)):
        own = 0
        for text in texts[:most] if kind == "first ones" else texts:
            said = {
                "anywhere": f"Answer: {truth}" in text,
                "number": text.endswith(str(truth)),
                "any answer": "Answer: " in text,
            }.get(kind, text.endswith(f"Answer: {truth}"))
            once = text.count("Answer:") == 1 or kind in ("said twice", "number")
            old = text in [one for at, one in kept if at == question or kind == "across"]
            room = (len(kept) if kind == "in all" else own) < most or kind == "no limit"
            if said and once and room and (not old or kind == "copies"):
                kept.append((question, text))
                own += 1
    return [text for _, text in kept] if kind == "texts" else kept


def _cross(
    ids: list[int], teacher: list[str], student: list[str], eos: int, *, kind: str = "right"
) -> list[Any] | None:
    if kind == "same ids":
        return [*ids, eos]
    joined = (" " if kind == "spaces" else "").join(teacher[i] for i in ids)
    texts = [teacher[i] for i in ids] if kind == "one by one" else [joined]
    found: list[int] = []
    for text in texts:
        while text:
            fits = [i for i, piece in enumerate(student) if text.startswith(piece)]
            if not fits and kind == "skip":
                text = text[1:]
                continue
            if not fits and kind != "stop":
                return None
            if not fits:
                break
            chosen = {"first": fits[0], "shortest": min(fits, key=lambda i: len(student[i]))}.get(
                kind, max(fits, key=lambda i: len(student[i]))
            )
            found.append(chosen)
            text = text[len(student[chosen]) :]
    if kind == "pieces":
        return [student[i] for i in found] + [student[eos]]
    return found if kind == "no end" else [*found, eos]


def _perplexity(logits: np.ndarray, ids: np.ndarray, *, kind: str = "right") -> float:
    logp = logits - np.log(np.exp(logits).sum(0 if kind == "columns" else -1, keepdims=True))
    logp = logits if kind == "raw" else logp
    wrong_pairs = {"same place": (logp, ids), "one back": (logp[1:], ids[:-1])}
    guesses, next_ones = wrong_pairs.get(kind, (logp[:-1], ids[1:]))
    said = guesses[np.arange(len(next_ones)), next_ones]
    loss = -said.sum() / {"all counted": len(ids), "sum": 1}.get(kind, len(said))
    wrong_ends = {
        "mean of inverses": np.exp(-said).mean(), "inverse of mean": 1 / np.exp(said).mean(),
        "loss": loss, "bits": 2**loss, "sign": np.exp(-loss),
    }  # fmt: skip
    return float(wrong_ends.get(kind, np.exp(loss)))


def _a_layer(draw: Draw) -> Case:
    rows, inner, outer, rank = (draw(st.integers(1, most)) for most in (3, 4, 4, 3))
    parts = [array(draw, real(-2, 2), *shape) for shape in (
        (rows, inner), (outer, inner), (rank, inner), (outer, rank))]  # fmt: skip
    why = "x W^T and, alpha / r times as loud, x A^T B^T"
    return case(why, *parts, draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 8.0, 16.0])))


_SAID = st.sampled_from([
    "Answer: 1", "Answer: 2", "Answer: 11", "Answer: 21", "1 + 1 = 2. Answer: 2", "So Answer: 1",
    "It is 1", "2", "", "Answer: 2 Answer: 1", "Answer: 1 or so", "Answer: 11.", "answer: 1",
    "Answer:1", "Answer:  1", "Answer: 1 ", "Answer: 1\n", "Answer: 01", "Answer:2 Answer: 1",
    " Answer: 1", "so Answer: 1", "1 = 1\nAnswer: 1", "Answer: 2\nAnswer: 1",
])  # fmt: skip


def _some_answers(draw: Draw) -> Case:
    answers = draw(st.lists(st.lists(_SAID, max_size=7), max_size=4))
    truths = [draw(st.sampled_from([1, 2, 11])) for _ in answers]
    why = "ends in `Answer: ` and the number, says it once; each text once, at most so many"
    return case(why, answers, truths, draw(st.integers(1, 3)))


_PIECES = ("a", "b", "c", "ab", "bc", "abc", "aa", "ba", " ")


def _some_trace(draw: Draw) -> Case:
    lists = [draw(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6, unique=True))
             for _ in range(2)]  # fmt: skip
    teacher, student = lists[0], [*lists[1], "<end>"]
    if draw(st.integers(0, 3)):  # mostly a student that can write whatever it is given
        student = [*(one for one in "abc " if one not in student), *student]
    ids = draw(st.lists(st.integers(0, len(teacher) - 1), max_size=6))
    why = "the text, cut by the longest of the student's pieces each time, and its own end"
    return case(why, ids, teacher, student, len(student) - 1)


def _some_logits(draw: Draw) -> Case:
    tokens, vocabulary = draw(st.integers(2, 5)), draw(st.integers(2, 4))
    logits = array(draw, real(-4, 4), tokens, vocabulary)
    ids = array(draw, st.integers(0, vocabulary - 1), tokens)
    return case("e to the mean loss of every token but the first", logits, ids)


EXERCISES = (
    exercise("real.cross", _cross, _some_trace),
    exercise("real.lora", _lora, _a_layer),
    exercise("real.perplexity", _perplexity, _some_logits),
    exercise("real.keep_right", _keep, _some_answers),
)
