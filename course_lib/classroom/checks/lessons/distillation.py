"""Lesson 05: what a student learns from its teacher, how big it is, and how its votes count."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case


def _log_softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    top = logits.max(axis=axis, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=axis, keepdims=True))


def _kl(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """KL(p || q) of log-probabilities, summed over the vocabulary."""
    return (np.exp(p) * (p - q)).sum(-1)


def _jsd(
    student_logits: np.ndarray, teacher_logits: np.ndarray, beta: float, *, kind: str = "right"
) -> float:
    axis = 0 if kind == "wrong axis" else -1
    student, teacher = _log_softmax(student_logits, axis), _log_softmax(teacher_logits, axis)
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
        middle = _log_softmax(beta * teacher_logits + (1 - beta) * student_logits)
    to_teacher, to_student = _kl(teacher, middle), _kl(student, middle)
    if kind == "reverse":
        to_teacher, to_student = _kl(middle, teacher), _kl(middle, student)
    if kind == "unweighted":
        return float((to_teacher + to_student).mean())
    if kind == "weights exchanged":
        return float(((1 - beta) * to_teacher + beta * to_student).mean())
    each = beta * to_teacher + (1 - beta) * to_student
    return float(total(each))


def _log(*rows: list[float]) -> np.ndarray:
    return np.log(np.array(rows))


def _fresh_logits(rng: np.random.Generator) -> Case:
    student, teacher = rng.normal(0, 1.5, (2, 3, 5))
    why = "beta KL(teacher || m) + (1 - beta) KL(student || m), m the mixture, mean over tokens"
    return case(why, student, teacher, round(float(rng.uniform(0.1, 0.9)), 2))


def _vote(
    answers: list[list[str | None]], truths: list[str], *, kind: str = "right"
) -> tuple[float, float]:
    shares, votes = [], []
    for given, truth in zip(answers, truths, strict=True):
        shares.append(sum(one == truth for one in given) / len(given))
        counted = given if kind == "count none" else [one for one in given if one is not None]
        if kind == "half":
            votes.append(shares[-1] > 0.5)
        elif kind == "any":
            votes.append(truth in counted)
        elif kind == "last tie":
            best = max(Counter(counted).values(), default=0)
            tied = [one for one in counted if counted.count(one) == best]
            votes.append(bool(tied) and tied[-1] == truth)
        else:
            votes.append(bool(counted) and Counter(counted).most_common(1)[0][0] == truth)
    if kind == "answered only":
        flat = [(a, t) for row, t in zip(answers, truths, strict=True) for a in row if a]
        return sum(a == t for a, t in flat) / max(len(flat), 1), float(np.mean(votes))
    if kind == "pooled":
        flat = [(a, t) for row, t in zip(answers, truths, strict=True) for a in row]
        return sum(a == t for a, t in flat) / len(flat), float(np.mean(votes))
    if kind == "exchanged":
        return float(np.mean(votes)), float(np.mean(shares))
    factor = 100 if kind == "percent" else 1
    return factor * float(np.mean(shares)), factor * float(np.mean(votes))


def _fresh_votes(rng: np.random.Generator) -> Case:
    truths = rng.choice(list("abc"), 5).tolist()
    answers = [
        [
            None if rng.random() < 0.2 else str(rng.choice(list("abc")))
            for _ in range(int(rng.integers(3, 9)))
        ]
        for _ in truths
    ]
    return case(
        "the mean share of right answers, and of right votes (first seen wins a tie)",
        answers,
        truths,
    )


_FIELDS = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "vocab_size",
)


def _dense(*sizes: int, bias: bool, tied: bool) -> dict:
    return dict(zip(_FIELDS, sizes, strict=True)) | {
        "qkv_bias": bias,
        "tie_word_embeddings": tied,
    }


def _count(config: dict, *, kind: str = "right") -> int:
    layers, width, heads, shared, size, inner, vocab = (config[name] for name in _FIELDS)
    if kind == "no groups":
        shared = heads
    if kind == "one kv":
        shared = 1
    qkv = (heads + 2 * shared) * size
    attention = width * qkv + heads * size * width
    attention += qkv if config["qkv_bias"] and kind != "no bias" else 0
    matrices = 2 if kind == "two matrices" else 3
    norms = 0 if kind == "no norms" else 2 * width
    final = width if kind not in ("no norms", "no last norm") else 0
    tables = 1 if config["tie_word_embeddings"] and kind != "untied" else 2
    if kind == "tied":
        tables = 1
    return layers * (attention + matrices * width * inner + norms) + final + tables * vocab * width


def _fresh_dense(rng: np.random.Generator) -> Case:
    sizes = rng.integers([2, 16, 4, 2, 4, 20, 50], [9, 90, 9, 4, 16, 200, 900]).tolist()
    bias, tied = (bool(flag) for flag in rng.integers(0, 2, 2))
    return case(
        "attention, three FFN matrices and two norms a layer; a last norm; the tables",
        _dense(*sizes, bias=bias, tied=tied),
    )


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
    logs = _log_softmax(logits)
    if shift == 2:  # rolled: the last logits are asked for the first token
        taken = np.take_along_axis(np.roll(logs, 1, axis=1), ids[..., None], -1)[..., 0]
        kept = mask
    elif shift == 0:
        taken = np.take_along_axis(logs, ids[..., None], -1)[..., 0]
        kept = mask
    elif shift == -1:
        taken = np.take_along_axis(logs[:, 1:], ids[:, :-1, None], -1)[..., 0]
        kept = mask[:, :-1]
    else:
        taken = np.take_along_axis(logs[:, :-1], ids[:, 1:, None], -1)[..., 0]
        kept = mask[:, :-1] if mask_at == "input" else mask[:, 1:]
    if mean == "padded":
        return float(sign * (taken * kept).mean())
    if mean == "unmasked":
        return float(sign * taken.mean())
    if mean == "rows":
        return float(sign * ((taken * kept).sum(1) / kept.sum(1)).mean())
    total = sign * (taken * kept).sum()
    below = mask.sum() if mask_at == "first below" else kept.sum()
    return float(total if mean == "sum" else total / below)


def _fresh_next(rng: np.random.Generator) -> Case:
    mask = np.array([[1.0, 0, 1, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]])
    why = "the logits at place t are about the token at t + 1; the mean is over masked-in tokens"
    return case(why, rng.normal(0, 2, (3, 5, 7)), rng.integers(0, 7, (3, 5)), mask)


_SURE = np.array([[[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]])

EXERCISES = (
    Exercise(
        name="distill.by_hand",
        symbol="kl_by_hand",
        title="Forward and reverse KL, by hand",
        what_for="The two directions punish different mistakes of a student.",
        difficulty=2,
        minutes=6,
        needs="natural logarithms, two decimals",
        hints=(
            "KL(p || q) is the sum of p * log(p / q).",
            "Forward: 0.5 * log(0.5 / 0.9) + 0.5 * log(0.5 / 0.1).",
            "Reverse: 0.9 * log(0.9 / 0.5) + 0.1 * log(0.1 / 0.5).",
        ),
        reference=lambda: (
            0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1),
            0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5),
        ),
        cases=(case("forward is KL(teacher || student), reverse KL(student || teacher)"),),
        mistakes=(
            Mistake(
                "Forward and reverse are exchanged: forward weighs by the teacher.",
                lambda: (0.3681, 0.5108),
            ),
            Mistake("These are in bits; use the natural logarithm.", lambda: (0.737, 0.531)),
            Mistake("The sign: KL is never negative.", lambda: (-0.5108, -0.3681)),
            Mistake("KL is not symmetric: the two directions differ.", lambda: (0.5108, 0.5108)),
            Mistake("KL is not symmetric: the two directions differ.", lambda: (0.3681, 0.3681)),
            Mistake("These are in base 10; use the natural logarithm.", lambda: (0.2218, 0.1599)),
        ),
        rtol=0.0,
        atol=0.0056,
    ),
    Exercise(
        name="distill.jsd",
        symbol="my_jsd",
        title="Between forward and reverse KL",
        what_for="Soft-label distillation with one dial; DeepSeek's distills did without it.",
        difficulty=4,
        minutes=18,
        needs="torch: log_softmax; logarithms of sums",
        hints=(
            "At beta 0 it is KL(teacher || student), at beta 1 KL(student || teacher).",
            "Between: m = beta * teacher + (1 - beta) * student, as probabilities, not as logits.",
            "beta * KL(teacher || m) + (1 - beta) * KL(student || m), summed over the vocabulary, "
            "mean over tokens.",
        ),
        reference=_jsd,
        cases=(
            case(
                "beta 0: KL(teacher || student) of (.5, .5) and (.9, .1)",
                _log([0.9, 0.1]),
                _log([0.5, 0.5]),
                0.0,
                expected=float(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(5)),
            ),
            case(
                "beta 1: KL(student || teacher)",
                _log([0.9, 0.1]),
                _log([0.5, 0.5]),
                1.0,
                expected=float(0.9 * np.log(1.8) + 0.1 * np.log(0.2)),
            ),
            case("equal distributions: 0", _log([0.3, 0.7]), _log([0.3, 0.7]), 0.5, expected=0.0),
            case(
                "beta 0.5: half of each KL to the middle (.7, .3)",
                _log([0.9, 0.1]),
                _log([0.5, 0.5]),
                0.5,
            ),
            case(
                "beta 0.25 leans towards forward KL",
                _log([0.9, 0.1], [0.2, 0.8]),
                _log([0.5, 0.5], [0.6, 0.4]),
                0.25,
            ),
            case(
                "logits need not be log-probabilities: softmax first",
                np.array([[2.0, 1.0, 0.0]]),
                np.array([[0.0, 3.0, 0.0]]),
                0.7,
            ),
            case(
                "beta 1 with unnormalised logits, two tokens",
                np.array([[2.0, 0.0], [1.0, 4.0]]),
                np.array([[3.0, 3.5], [0.0, 1.0]]),
                1.0,
            ),
            case(
                "beta 0 with unnormalised logits, two tokens",
                np.array([[2.0, 0.0], [1.0, 4.0]]),
                np.array([[3.0, 3.5], [0.0, 1.0]]),
                0.0,
            ),
        ),
        fresh=_fresh_logits,
        mistakes=(
            Mistake(
                "Student and teacher are exchanged, or beta: 0 is KL(teacher || student).",
                partial(_jsd, kind="beta turned round"),
            ),
            Mistake(
                "At beta 0 and 1 the formula gives 0; there it is plain forward or reverse KL.",
                partial(_jsd, kind="no ends"),
            ),
            Mistake(
                "The middle is always half and half; it must lean with beta.",
                partial(_jsd, kind="even mixture"),
            ),
            Mistake("You mix logits; mix probabilities.", partial(_jsd, kind="mixed logits")),
            Mistake(
                "KL goes from teacher and student to the middle, not back.",
                partial(_jsd, kind="reverse"),
            ),
            Mistake(
                "The two KLs are weighed by beta and 1 - beta.", partial(_jsd, kind="unweighted")
            ),
            Mistake(
                "The weights of the two KLs are exchanged: beta goes with the teacher.",
                partial(_jsd, kind="weights exchanged"),
            ),
            Mistake("You sum over tokens; take their mean.", partial(_jsd, kind="sum")),
            Mistake(
                "The softmax goes over the vocabulary, the last dimension.",
                partial(_jsd, kind="wrong axis"),
            ),
        ),
        tensors=True,
    ),
    Exercise(
        name="distill.majority_vote",
        symbol="pass_and_vote",
        title="pass@1 and the majority's vote",
        what_for="The 7B's vote of 64 beats the 14B's: two columns of the paper, one function.",
        difficulty=2,
        minutes=10,
        needs="collections.Counter",
        hints=(
            "pass@1 is the mean over problems of the share of right answers.",
            "None is an answer that could not be read: wrong for pass@1, no voice in the vote.",
            "Counter(voices).most_common(1)[0][0]; of a tie the answer seen first wins.",
        ),
        reference=_vote,
        cases=(
            case(
                "2 of 3 are right and win the vote", [["a", "a", "b"]], ["a"], expected=(2 / 3, 1.0)
            ),
            case("the majority is wrong", [["b", "a", "b", "b"]], ["a"], expected=(0.25, 0.0)),
            case(
                "most voices win, half of them are not needed",
                [["a", "b", "c", "a", "d"]],
                ["a"],
                expected=(0.4, 1.0),
            ),
            case(
                "None is wrong for pass@1 and has no voice",
                [[None, None, None, "a"]],
                ["a"],
                expected=(0.25, 1.0),
            ),
            case(
                "nobody could be read: the vote is lost", [[None, None]], ["a"], expected=(0.0, 0.0)
            ),
            case(
                "a tie goes to the answer seen first",
                [["a", "b"]],
                ["a"],
                expected=(0.5, 1.0),
            ),
            case(
                "the tie goes to b, which was seen first, though a comes first in the alphabet "
                "and is right",
                [["b", "a", None]],
                ["a"],
                expected=(1 / 3, 0.0),
            ),
            case(
                "one problem right, the other without a voice: one of two votes",
                [["a"], [None]],
                ["a", "a"],
                expected=(0.5, 0.5),
            ),
            case(
                "every problem weighs the same, however many answers it has",
                [["a"], ["b", "b", "b"]],
                ["a", "a"],
                expected=(0.5, 0.5),
            ),
        ),
        fresh=_fresh_votes,
        mistakes=(
            Mistake(
                "None is no answer and has no voice in the vote.", partial(_vote, kind="count none")
            ),
            Mistake("Most voices win; more than half is not needed.", partial(_vote, kind="half")),
            Mistake(
                "One right voice is not a majority: that would be pass@k.",
                partial(_vote, kind="any"),
            ),
            Mistake("Of a tie the answer seen first wins.", partial(_vote, kind="last tie")),
            Mistake(
                "None is wrong: it counts below the line of pass@1.",
                partial(_vote, kind="answered only"),
            ),
            Mistake(
                "Take each problem's share first, then the mean over problems.",
                partial(_vote, kind="pooled"),
            ),
            Mistake(
                "The two numbers are exchanged: pass@1 first.", partial(_vote, kind="exchanged")
            ),
            Mistake(
                "Give shares between 0 and 1, not percentages.", partial(_vote, kind="percent")
            ),
        ),
    ),
    Exercise(
        name="distill.count_dense",
        symbol="count_dense",
        title="How big is a distill, really?",
        what_for="The '1.5B' has 1.78B parameters; the count shows where they come from.",
        difficulty=3,
        minutes=15,
        needs="a config as a dictionary; grouped-query attention",
        hints=(
            "A layer: q, k, v and output projections, three FFN matrices, two norms.",
            "q has heads * head_dim outputs, k and v num_key_value_heads * head_dim each; "
            "qkv_bias adds one number per output.",
            "After the layers: one more norm, and the embedding table once (tied) or twice.",
        ),
        reference=_count,
        cases=(
            case(
                "Distill-Qwen-1.5B: untied tables make 1.54B into 1.78B",
                _dense(28, 1536, 12, 2, 128, 8960, 151936, bias=True, tied=False),
                expected=1_777_088_000,
            ),
            case(
                "its base, Qwen2.5-Math-1.5B, has the same body and one table",
                _dense(28, 1536, 12, 2, 128, 8960, 151936, bias=True, tied=True),
                expected=1_543_714_304,
            ),
            case(
                "Distill-Llama-8B has no biases",
                _dense(32, 4096, 32, 8, 128, 14336, 128256, bias=False, tied=False),
                expected=8_030_261_248,
            ),
            case(
                "head_dim need not be hidden_size over heads",
                _dense(1, 4, 2, 1, 3, 5, 7, bias=False, tied=True),
            ),
        ),
        fresh=_fresh_dense,
        mistakes=(
            Mistake(
                "Keys and values have num_key_value_heads heads, not all of them.",
                partial(_count, kind="no groups"),
            ),
            Mistake(
                "Keys and values have num_key_value_heads heads, not one.",
                partial(_count, kind="one kv"),
            ),
            Mistake("The biases of q, k and v are missing.", partial(_count, kind="no bias")),
            Mistake(
                "The FFN has three matrices: gate, up and down.",
                partial(_count, kind="two matrices"),
            ),
            Mistake(
                "The norms are missing: two a layer and one at the end.",
                partial(_count, kind="no norms"),
            ),
            Mistake(
                "The norm after the last layer is missing.", partial(_count, kind="no last norm")
            ),
            Mistake("Tied tables are one table.", partial(_count, kind="untied")),
            Mistake("Untied tables are two: embedding and head.", partial(_count, kind="tied")),
        ),
    ),
    Exercise(
        name="distill.find_the_bug",
        symbol="mended_next_loss",
        title="Find the bug: a loss that falls to nothing",
        what_for="The training loss looks wonderful and the student cannot speak.",
        difficulty=3,
        minutes=10,
        needs="`broken_next_loss` in the cell above the stub",
        hints=(
            "Which token are the logits at place t about?",
            "broken_next_loss asks the logits at t for the token at t, which the model has just "
            "read.",
            "Compare logits[:, :-1] with ids[:, 1:], and cut the mask as the ids are cut.",
        ),
        reference=_next_loss,
        cases=(
            case(
                "the logits at 0 and 1 are asked for the tokens at 1 and 2",
                _SURE,
                np.array([[2, 0, 1]]),
                np.array([[1.0, 1.0, 1.0]]),
            ),
            case(
                "only the last token is trained; its prediction stands one place before it",
                _SURE,
                np.array([[0, 1, 1]]),
                np.array([[0.0, 0.0, 1.0]]),
                expected=float(np.log(np.exp(4) + 2) - 4),
            ),
            case(
                "the first token has no prediction: it does not count, whatever its mask",
                np.array([[[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]]),
                np.array([[2, 0, 1]]),
                np.array([[1.0, 1.0, 1.0]]),
                expected=float(np.log(np.exp(4) + 2) - 4),
            ),
            case(
                "a token weighs the same in a long row and in a short one",
                np.concatenate([_SURE, _SURE]),
                np.array([[0, 1, 2], [0, 0, 1]]),
                np.array([[0.0, 1, 1], [0, 0, 1]]),
            ),
        ),
        fresh=_fresh_next,
        mistakes=(
            Mistake(
                "This still behaves like broken_next_loss: which token are the logits about?",
                partial(_next_loss, shift=0),
            ),
            Mistake(
                "Shifted the wrong way: the logits at t are about the token after it.",
                partial(_next_loss, shift=-1),
            ),
            Mistake(
                "The mask belongs to the target tokens: cut it as the ids are cut.",
                partial(_next_loss, mask_at="input"),
            ),
            Mistake(
                "Masked tokens are counted below the line.", partial(_next_loss, mean="padded")
            ),
            Mistake("The mask is not used.", partial(_next_loss, mean="unmasked")),
            Mistake(
                "A row's first token has no prediction: leave it out above and below the line.",
                partial(_next_loss, mask_at="first below"),
            ),
            Mistake(
                "A row's first token has no prediction: the last logits are not about it.",
                partial(_next_loss, shift=2),
            ),
            Mistake(
                "The mean goes over all trained tokens at once, not row by row.",
                partial(_next_loss, mean="rows"),
            ),
            Mistake("You sum over tokens; take their mean.", partial(_next_loss, mean="sum")),
            Mistake(
                "The sign: a loss is minus the log-probability.", partial(_next_loss, sign=1.0)
            ),
        ),
        tensors=True,
    ),
)
