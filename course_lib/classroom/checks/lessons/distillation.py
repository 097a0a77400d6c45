"""Lesson 05: what a student learns from its teacher, how big it is, and how its votes count."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import array, assume, configs, masks, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) of log-probabilities, summed over the vocabulary."""
    return (np.exp(p) * (p - q)).sum(-1)


def _jsd(
    student_logits: np.ndarray, teacher_logits: np.ndarray, beta: float, *, kind: str = "right"
) -> float:
    axis = 0 if kind == "wrong axis" else -1
    student, teacher = log_softmax(student_logits, axis), log_softmax(teacher_logits, axis)
    if kind == "beta turned round":
        beta = 1 - beta
    total = np.sum if kind == "sum" else np.mean
    if beta == 0 and kind != "no ends":
        return float(total(_kl(teacher, student)))
    if beta == 1 and kind != "no ends":
        return float(total(_kl(student, teacher)))
    weight = 0.5 if kind == "even mixture" else beta
    with np.errstate(divide="ignore"):
        middle = np.log(weight * np.exp(teacher) + (1 - weight) * np.exp(student))
    if kind == "mixed logits":
        middle = log_softmax(beta * teacher_logits + (1 - beta) * student_logits, -1)
    to_teacher, to_student = _kl(teacher, middle), _kl(student, middle)
    if kind == "reverse":
        to_teacher, to_student = _kl(middle, teacher), _kl(middle, student)
    wrong_weights = {"unweighted": (1, 1), "weights exchanged": (1 - beta, beta)}
    left, right = wrong_weights.get(kind, (beta, 1 - beta))
    return float(total(left * to_teacher + right * to_student))


def _vote(
    answers: list[list[Any]], truths: list[Any], *, kind: str = "right"
) -> tuple[float, float]:
    shares, votes = [], []
    for given, truth in zip(answers, truths, strict=True):
        shares.append(sum(one == truth for one in given) / len(given))
        counted = given if kind == "count none" else [one for one in given if one is not None]
        most = max(Counter(counted).values(), default=0)
        tied = [one for one in counted if counted.count(one) == most]
        won = tied[-1:] if kind == "last tie" else tied[:1]
        wrong = {"half": shares[-1] > 0.5, "any": truth in counted}
        votes.append(wrong.get(kind, won == [truth]))
    if kind in ("answered only", "pooled"):
        pairs = [(a, t) for given, t in zip(answers, truths, strict=True) for a in given]
        counts = [a == t for a, t in pairs if a or kind == "pooled"]
        return sum(counts) / max(len(counts), 1), float(np.mean(votes))
    if kind == "exchanged":
        return float(np.mean(votes)), float(np.mean(shares))
    factor = 100 if kind == "percent" else 1
    return factor * float(np.mean(shares)), factor * float(np.mean(votes))


_FIELDS = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "intermediate_size", "vocab_size",
)  # fmt: skip


def _count(config: dict, *, kind: str = "right") -> int:
    layers, width, heads, shared, size, inner, vocab = (config[name] for name in _FIELDS)
    shared = {"no groups": heads, "one kv": 1}.get(kind, shared)
    qkv = (heads + 2 * shared) * size
    attention = width * qkv + heads * size * width
    attention += qkv if config["qkv_bias"] and kind != "no bias" else 0
    matrices = 2 if kind == "two matrices" else 3
    norms = 0 if kind == "no norms" else 2 * width
    final = width if kind not in ("no norms", "no last norm") else 0
    tables = {"tied": 1, "untied": 2}.get(kind, 1 if config["tie_word_embeddings"] else 2)
    return layers * (attention + matrices * width * inner + norms) + final + tables * vocab * width


def _next_loss(
    logits: np.ndarray,
    ids: np.ndarray,
    mask: np.ndarray,
    *,
    shift: int = 1,
    mean: str = "masked",
    sign: float = -1.0,
    mask_at: str = "target",
) -> float:
    logs = log_softmax(logits, -1)
    at, asked, kept = {
        0: (logs, ids, mask),
        1: (logs[:, :-1], ids[:, 1:], mask[:, :-1] if mask_at == "input" else mask[:, 1:]),
        2: (np.roll(logs, 1, axis=1), ids, mask),  # the last logits are asked for the first token
        -1: (logs[:, 1:], ids[:, :-1], mask[:, :-1]),
    }[shift]
    taken = np.take_along_axis(at, asked[..., None], -1)[..., 0]
    if mean == "padded":
        return float(sign * (taken * kept).mean())
    if mean == "unmasked":
        return float(sign * taken.mean())
    if mean == "rows":
        return float(sign * ((taken * kept).sum(1) / kept.sum(1)).mean())
    total = sign * (taken * kept).sum()
    below = mask.sum() if mask_at == "first below" else kept.sum()
    return float(total if mean == "sum" else total / below)


def _two_models(draw: Draw) -> Case:
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 5))
    logits = draw(st.sampled_from([real(-3, 3), real(-3, 3), real(-40, 40)]))
    beta = draw(st.sampled_from([0, 1, 0.0, 1.0, 0.5, 0.25]) | real(0.0625, 0.9375))
    why = "beta KL(teacher || m) + (1 - beta) KL(student || m), m the mixture, mean over tokens"
    return case(why, array(draw, logits, *shape), array(draw, logits, *shape), beta)


def _some_votes(draw: Draw) -> Case:
    voices = draw(st.sampled_from([["a", "b", "c"], [0, 1, 9], ["", "7", "A", "a"]]))
    given = st.lists(st.sampled_from([*voices, None]), min_size=1, max_size=7)
    answers = draw(st.lists(given, min_size=1, max_size=5))
    truths = [draw(st.sampled_from(voices)) for _ in answers]
    why = "the mean share of right answers, and of right votes (first seen wins a tie)"
    return case(why, answers, truths)


def _a_dense_model(draw: Draw) -> Case:
    config: dict[str, int] = configs(
        draw,
        num_hidden_layers=(1, 80), hidden_size=(1, 8192), num_attention_heads=(1, 64),
        num_key_value_heads=(1, 8), head_dim=(1, 256), intermediate_size=(1, 30000),
        vocab_size=(1, 152_064),
    )  # fmt: skip
    config |= {"qkv_bias": draw(st.booleans()), "tie_word_embeddings": draw(st.booleans())}
    why = "attention, three FFN matrices and two norms a layer; a last norm; the tables"
    return case(why, config)


def _next_tokens(draw: Draw) -> Case:
    rows, tokens, vocabulary = (draw(st.integers(*span)) for span in ((1, 3), (2, 5), (2, 6)))
    logits = array(draw, real(-5, 5) | real(-30, 30), rows, tokens, vocabulary)
    ids = array(draw, st.integers(0, vocabulary - 1), rows, tokens)
    mask = masks(draw, rows, tokens)
    assume(mask[:, 1:].any())
    why = "the logits at place t are about the token at t + 1; the mean is over masked-in tokens"
    return case(why, logits, ids, mask)


def _teach(
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    beta: float,
    steps: int,
    lr: float,
    *,
    kind: str = "",
) -> np.ndarray:
    student, teacher = student_logits, teacher_logits
    for _ in range(min(steps, 1) if kind == "one step" else steps):
        place = teacher if kind == "teacher" else student
        slope = _slope(place, lambda at: _jsd(at, teacher, beta))
        student = student + (lr if kind == "ascent" else -lr) * slope
    return student if kind == "logits" else softmax(student, -1)


def _slope(at: np.ndarray, loss: Callable[[np.ndarray], float]) -> np.ndarray:
    """The gradient by differences to both sides."""
    steps = 1e-5 * np.eye(at.size).reshape(-1, *at.shape)
    return np.array([(loss(at + by) - loss(at - by)) / 2e-5 for by in steps]).reshape(at.shape)


def _a_lesson(draw: Draw) -> Case:
    shape = draw(st.integers(1, 2)), draw(st.integers(2, 4))
    logits = array(draw, real(-3, 3), *shape), array(draw, real(-3, 3), *shape)
    beta = draw(st.sampled_from([0.0, 1.0, 0.5, 0.25]))
    numbers = beta, draw(st.integers(0, 4)), draw(st.sampled_from([0.25, 1.0, 2.0]))
    return case("so many steps down the divergence's gradient", *logits, *numbers)


EXERCISES = (
    value("distill.by_hand"),
    exercise("distill.jsd", _jsd, _two_models),
    exercise("distill.majority_vote", _vote, _some_votes),
    exercise("distill.count_dense", _count, _a_dense_model),
    exercise("distill.find_the_bug", _next_loss, _next_tokens),
    exercise("distill.teach", _teach, _a_lesson),
)
