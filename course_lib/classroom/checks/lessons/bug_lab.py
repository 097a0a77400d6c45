"""Lesson 03d: means over micro-batches, groups in their order, ratios, and what a log tells."""

import numpy as np

from course_lib.classroom.checks.cards import exercise
from course_lib.classroom.checks.draws import array, assume, masks, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case


def _mean(parts: list[list[float]], *, kind: str = "") -> float:
    every = [x for part in parts for x in part]
    means = [sum(part) / len(part) for part in parts if part]
    wrong = {
        "of means": sum(means) / len(means),
        "last": means[-1],
        "twice": sum(every) / len(every) / len(parts),
        "by parts": sum(every) / len(parts),
        "sum": sum(every),
    }
    return wrong.get(kind, sum(every) / len(every))


def _advantages(rewards: np.ndarray, groups: int, *, kind: str = "") -> np.ndarray:
    table = rewards.reshape(-1, groups)  # (samples, groups)
    if kind == "mixed":
        table = rewards.reshape(groups, -1)
        return (table - table.mean(1, keepdims=True)).ravel()
    if kind == "all":
        return rewards - rewards.mean()
    away = table - table.mean(1 if kind == "across" else 0, keepdims=True)
    if kind == "std":
        away = away / (table.std(0, keepdims=True) + 1e-4)
    return (away.T if kind == "turned" else away).ravel()


def _ratio(logp: np.ndarray, old: np.ndarray, mask: np.ndarray, *, kind: str = "") -> np.ndarray:
    away = old - logp if kind == "turned" else logp - old
    length = np.full(len(mask), mask.shape[1]) if kind == "padded" else mask.sum(1)
    if kind == "product":
        return np.exp((away * mask).sum(1))
    if kind == "arithmetic":
        return (np.exp(away) * mask).sum(1) / length
    if kind == "unmasked":
        return np.exp(away.mean(1))
    mean = (away * mask).sum(1) / length
    return mean if kind == "log" else np.exp(mean)


def _tell(right: dict[str, list[float]], broken: dict[str, list[float]], *, kind: str = "") -> str:
    if right == broken and kind != "loss":
        return "nothing"
    if all(x == 0 for x in broken["grad_norm"]) and kind != "no gradient":
        return "never learns"
    if kind == "loss" and right["loss"] == broken["loss"]:
        return "nothing"
    asked = {"reward": ("reward",), "norm": ("grad_norm",)}.get(kind, ("reward", "grad_norm"))
    if kind == "last":
        same = all(right[name][-1] == broken[name][-1] for name in asked)
    else:
        same = all(right[name] == broken[name] for name in asked)
    return "only the log" if same else "the training"


_FEW = st.lists(real(-4, 4), min_size=0, max_size=5)


def _some_parts(draw: Draw) -> Case:
    parts = draw(st.lists(_FEW, min_size=1, max_size=4))
    assume(any(parts))
    return case("all values together, over how many there are", parts)


def _some_rewards(draw: Draw) -> Case:
    groups, samples = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    rewards = array(draw, st.sampled_from([0.0, 1.0]) | real(-2, 2, 8), groups * samples)
    return case("completion i answers prompt i % groups", rewards, groups)


def _some_logp(draw: Draw) -> Case:
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    logp, old = (array(draw, real(-4, 0, 16), *shape) for _ in range(2))
    mask = masks(draw, *shape)
    mask[:, 0] = 1.0
    return case("the exponential of the mean log-ratio of what counts", logp, old, mask)


_NAMES = ("reward", "grad_norm", "loss", "entropy")


def _two_logs(draw: Draw) -> Case:
    """Small numbers, so that logs may differ in order alone, and a gradient may be 0."""
    steps = draw(st.integers(1, 4))
    log = st.lists(st.integers(0, 2), min_size=steps, max_size=steps)
    right = {n: draw(log) for n in _NAMES}
    broken = {n: list(draw(st.just(v) | st.permutations(v) | log)) for n, v in right.items()}
    if not draw(st.integers(0, 4)):
        broken["grad_norm"] = [0] * steps
    return case("no gradient, then rewards and gradients, then the rest", right, broken)


EXERCISES = (
    exercise("lab.step_mean", _mean, _some_parts),
    exercise("lab.advantages_in_order", _advantages, _some_rewards),
    exercise("lab.sequence_ratio", _ratio, _some_logp),
    exercise("lab.tell", _tell, _two_logs),
)
