"""Lesson 04: what each of R1's four stages starts from, keeps, trains on and prefers."""

import re
from typing import Any

import numpy as np

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import array, assume, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _consistency(thinking: str, language: str, *, kind: str = "right") -> float:
    steps = [word for word in thinking.split() if word[0] in "+-" or kind == "verdicts"]
    if not steps and kind != "no guard":
        return {"empty is 0": 0.0, "per mille": 100.0}.get(kind, 1.0)
    own, other = (r"\d", "[a-z]") if language == "digits" else ("[a-z]", r"\d")
    if kind == "other":
        own, other = other, own
    having = [step for step in steps if re.search(own, step)]
    pure = [step for step in having if not re.search(other, step)]
    share = len(having if kind == "any" else pure) / len(steps)
    wrong = {"all or nothing": float(share == 1), "count": len(pure), "per mille": 100 * share}
    return wrong.get(kind, share)


_REASONS = ("unclosed", "wrong", "mixed", "duplicate")


def _keep(
    samples: list[dict[str, Any]],
    *,
    order: tuple[str, ...] = _REASONS,
    limit: float = 1.0,
    skip: str = "",
    every_reason: bool = False,
    kept_counts: bool = False,
) -> tuple[list[str], dict[str, int]]:
    kept: list[str] = []
    seen: set[str] = set()
    counts = dict.fromkeys(_REASONS, 0)
    for sample in samples:
        fails = {
            "unclosed": not sample["closed"],
            "wrong": not sample["right"],
            "mixed": sample["consistency"] < limit,
            "duplicate": sample["text"] in (seen if kept_counts else kept),
        }
        reasons = [name for name in order if fails[name] and name != skip]
        seen.add(sample["text"])
        for reason in reasons if every_reason else reasons[:1]:
            counts[reason] += 1
        kept += [] if reasons else [sample["text"]]
    return kept, counts


def _labels(
    prompt: list[int],
    completion: list[int],
    length: int,
    *,
    ignore: int = -100,
    shift: int = 0,
    pad: int | None = None,
    train: str = "completion",
    cut: bool = True,
) -> list[int]:
    wrong = {
        "all": prompt + completion,
        "prompt": prompt + [ignore] * len(completion),
        "only completion": completion,
    }
    row = wrong.get(train, [ignore] * (len(prompt) + shift) + completion[max(shift, 0) :])
    row = row[:length] if cut else row
    return row + [ignore if pad is None else pad] * (length - len(row))


def _preference(chosen: np.ndarray, rejected: np.ndarray, *, kind: str = "right") -> float:
    margin = rejected - chosen if kind == "turned round" else chosen - rejected
    losses = np.logaddexp(0, -margin)
    with np.errstate(over="ignore", divide="ignore"):
        chances = 1 / (1 + np.exp(-margin))
        wrong = {
            "margin": -margin.mean(),
            "hinge": np.maximum(0, 1 - margin).mean(),
            "probability": chances.mean(),
            "unstable": -np.log(chances).mean(),
            "log outside": -np.log(chances.mean()),
            "gain": -losses.mean(),
            "sum": losses.sum(),
        }
    return float(wrong.get(kind, losses.mean()))


_DIGITS = st.sampled_from(["0", "3", "9", "zero", "three", "nine"])
_TOTALS = st.sampled_from(
    ["0", "3", "10", "-2", "-17", "three", "ten", "twenty-one", "-two", "zero"]
)


def _a_thought(draw: Draw) -> Case:
    step = st.builds("{}{}={}".format, st.sampled_from("+-"), _DIGITS, _TOTALS)
    words = draw(st.lists(step | step | st.sampled_from(["no", "yes"]), max_size=8))
    text = " ".join(words)
    why = "steps wholly in the language over all steps; verdicts are no steps"
    return case(why, text, draw(st.sampled_from(["digits", "words"])))


def _some_samples(draw: Draw) -> Case:
    often = st.sampled_from([True, True, True, False])
    texts = st.sampled_from(["a", "b", "A", "a ", "", "a b"])
    shares = st.sampled_from([1.0, 1.0, 1.0, 0.99, 0.5, 0.0])
    sample = {"text": texts, "closed": often, "right": often, "consistency": shares}
    samples = draw(st.lists(st.fixed_dictionaries(sample), max_size=8))
    return case("the first reason counts; only texts already kept are duplicates", samples)


def _a_row(draw: Draw) -> Case:
    ids = st.lists(st.integers(0, 9) | st.integers(0, 129_279), max_size=5)
    prompt, completion = draw(ids), draw(ids)
    fit = len(prompt) + len(completion)
    length = draw(st.sampled_from([fit, fit + 1, max(fit - 1, 0)]) | st.integers(0, 12))
    return case("only the completion's tokens are trained", prompt, completion, length)


def _pairs(draw: Draw) -> Case:
    scores = real(-5, 5) | st.sampled_from([0.0, 800.0])
    pairs = draw(st.integers(1, 6))
    chosen, rejected = array(draw, scores, pairs), array(draw, scores, pairs)
    assume((np.minimum(chosen, rejected) < 800).all())  # float32's logsumexp is rough up there
    return case("the mean of -log(sigmoid(chosen - rejected))", chosen, rejected)


def _build_rows(
    samples: list[dict[str, Any]], prompt: list[int], length: int, *, kind: str = ""
) -> tuple[list[list[int]], float]:
    kept = [one["text"] for one in samples] if kind == "everything" else _keep(samples)[0]
    rows = [_labels(prompt, list(text.encode()), length) for text in kept]
    trained = sum(label != -100 for row in rows for label in row)
    if not rows:
        return rows, float(kind == "empty is 1")
    if kind == "of tokens":
        return rows, trained / max(sum(len(text.encode()) for text in kept), 1)
    share = trained / (len(rows) * length)
    return rows, 1 - share if kind == "masked" else share


def _samples_and_prompt(draw: Draw) -> Case:
    (samples,) = _some_samples(draw).args
    prompt = draw(st.lists(st.integers(0, 255), max_size=4))
    why = "keep, then label; the share of labels that are not -100"
    return case(why, samples[:6], prompt, draw(st.integers(1, 12)))


def _fit(
    better: np.ndarray, worse: np.ndarray, steps: int, lr: float, *, kind: str = ""
) -> np.ndarray:
    """By the gradient on paper: the mean of -sigmoid(-margin) times the features' difference."""
    gaps = worse - better if kind == "exchanged" else better - worse
    weight = np.full(better.shape[1], float(kind == "ones"))
    for _ in range(min(steps, 1) if kind == "one step" else steps):
        pushes = gaps / (1 + np.exp(gaps @ weight))[:, None]
        step = pushes.sum(0) if kind == "sum" else pushes.mean(0)
        weight = weight + (-lr if kind == "ascent" else lr) * step
    return weight


def _features(draw: Draw) -> Case:
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    features = array(draw, real(-2, 2), *shape), array(draw, real(-2, 2), *shape)
    steps, lr = draw(st.integers(0, 6)), draw(st.sampled_from([0.125, 0.5, 2.0]))
    return case("so many steps down the loss's gradient, from zeros", *features, steps, lr)


EXERCISES = (
    value("pipeline.starts_from"),
    exercise("pipeline.language_consistency", _consistency, _a_thought),
    exercise("pipeline.keep", _keep, _some_samples),
    exercise("pipeline.sft_labels", _labels, _a_row),
    exercise("pipeline.preference_loss", _preference, _pairs),
    exercise("pipeline.build_rows", _build_rows, _samples_and_prompt),
    exercise("pipeline.fit_reward_model", _fit, _features),
)
