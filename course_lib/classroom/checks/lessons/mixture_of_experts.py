"""Lesson 02: DeepSeek-V3's router, its balance, and the count that gives 671B and 37B."""

import math
from functools import cache
from typing import Any

import numpy as np
from safetensors import safe_open
from scipy.special import expit, softmax

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import array, assume, configs, real, st
from course_lib.classroom.checks.exercise import Case, Draw, case
from course_lib.runtime import ASSETS


def _without_losers(
    scores: np.ndarray, biased: np.ndarray, n_group: int, topk_group: int, worth: str, mask: float
) -> np.ndarray:
    groups = biased.reshape(len(biased), n_group, -1)
    judged = scores.reshape(groups.shape) if worth == "unbiased" else groups
    best = np.sort(judged, axis=-1)[..., ::-1]
    two = best[..., :2].sum(-1)
    value = {"max": best[..., 0], "all": best.sum(-1)}.get(worth, two)
    order = np.argsort(-value, axis=-1, kind="stable")
    lost = np.ones_like(value, dtype=bool)
    np.put_along_axis(lost, order[:, :topk_group], False, axis=-1)
    return np.where(lost[..., None], mask, groups).reshape(biased.shape)


def _route(
    logits: np.ndarray,
    bias: np.ndarray,
    top_k: int,
    n_group: int = 1,
    topk_group: int = 1,
    scale: float = 1.0,
    *,
    score: str = "sigmoid",
    worth: str = "two",
    mask: float = -math.inf,
    weigh: str = "unbiased",
    epsilon: float = 1e-20,
    use_bias: bool = True,
    extra: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    scores = expit(logits) if score == "sigmoid" else softmax(logits, axis=-1)
    biased = scores + bias if use_bias else scores
    topk_group = min(max(topk_group + extra, 1), n_group)
    left = biased
    if worth != "no groups":
        left = _without_losers(scores, biased, n_group, topk_group, worth, mask)
    experts = np.argsort(-left, axis=-1, kind="stable")[:, :top_k]
    chosen = np.take_along_axis(biased if weigh == "biased" else scores, experts, -1)
    chosen = np.where(abs(chosen) < 1e-38, 0.0, chosen)  # as float32 does, torch's
    if weigh == "raw":
        return scale * chosen, experts
    with np.errstate(invalid="ignore", divide="ignore"):
        return scale * chosen / (chosen.sum(-1, keepdims=True) + epsilon), experts


def _balance(
    bias: np.ndarray, load: np.ndarray, step: float, *, sign: float = 1.0, by: str = "sign"
) -> np.ndarray:
    middles = {"median": np.median(load), "whole mean": np.floor(load.mean())}
    away = middles.get(by, load.mean()) - load
    moved = away if by == "size" else np.sign(away)
    if by == "up or down":
        moved = np.where(load > load.mean(), -1.0, 1.0)
    if by == "over only":
        moved = np.minimum(moved, 0.0)
    if by == "share":
        moved = away / load.sum()
    return (0 if by == "no bias" else bias) + sign * step * moved


def _moe_count(
    config: dict[str, int],
    *,
    active_experts: str = "chosen",
    shared: bool = True,
    gate: bool = True,
    gate_bias: bool = True,
    matrices: int = 3,
    inner: str = "moe",
) -> tuple[int, int]:
    width, experts = config["hidden_size"], config["n_routed_experts"]
    size = config["moe_intermediate_size" if inner == "moe" else "intermediate_size"]
    one = matrices * width * size
    common = config["n_shared_experts"] * one * shared + experts * (width + gate_bias) * gate
    chosen = {"chosen": config["num_experts_per_tok"], "one": 1, "all": experts}[active_experts]
    return experts * one + common, chosen * one + common


def _touched(experts: int, top_k: int, tokens: int, *, kind: str = "right") -> float:
    if kind == "capped":
        return float(min(experts, top_k * tokens))
    draws = top_k * tokens if kind == "one by one" else tokens
    hit = 1 / experts if kind in ("one by one", "top-1") else top_k / experts
    missed = (1 - hit) ** draws
    return {"missed": experts * missed, "share": 1 - missed}.get(kind, experts * (1 - missed))


_BIASES = st.sampled_from([0.0, -0.5, -1.0, 0.5]) | real(-2, 2) | st.sampled_from([-100.0, 100.0])


def _a_route(draw: Draw) -> Case:
    groups, of_each = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    kept = draw(st.integers(1, groups))
    logits = array(draw, real(-6, 6), draw(st.integers(1, 3)), groups * of_each)
    one = draw(st.none() | _BIASES)  # the same for every expert, or each its own
    bias = array(draw, _BIASES if one is None else st.just(one), groups * of_each)
    _assume_no_ties(logits, bias, groups)
    top_k = draw(st.integers(1, kept * of_each))
    numbers = {"n_group": groups, "topk_group": kept, "scale": draw(st.sampled_from([1.0, 2.5]))}
    why = "choose by biased scores in the best groups, weigh by unbiased ones"
    return case(why, logits, bias, top_k, **numbers)


def _assume_no_ties(logits: np.ndarray, bias: np.ndarray, n_group: int) -> None:
    """Leave out inputs in which rounding would decide which expert or which group is better."""
    biased = expit(logits) + bias
    worth = np.sort(biased.reshape(len(biased), n_group, -1), axis=-1)[..., -2:].sum(-1)
    for each in (biased, worth):
        assume((np.diff(np.sort(each, axis=-1), axis=-1) > 1e-5).all())


def _a_load(draw: Draw) -> Case:
    experts = draw(st.integers(1, 8))
    load = array(draw, st.integers(0, 6) | st.integers(0, 2000), experts).astype(float)
    if experts > 1 and draw(st.booleans()):
        load[-1] += -load[1:].sum() % (experts - 1)
        load[0] = load[1:].mean()  # one that has exactly the mean, of all as of the others
    bias = array(draw, real(-1, 1, 128), experts)
    why = "one step down above the mean load, one step up below it, none at it"
    return case(why, bias, load, draw(st.sampled_from([0.001, 0.01, 0.125, 1.0])))


def _a_config(draw: Draw) -> Case:
    config = configs(
        draw,
        hidden_size=(1, 8000), moe_intermediate_size=(1, 3000), n_routed_experts=(1, 300),
        n_shared_experts=(0, 3), num_experts_per_tok=(1, 9), intermediate_size=(1, 20000),
    )  # fmt: skip
    config["num_experts_per_tok"] = min(config["num_experts_per_tok"], config["n_routed_experts"])
    why = "every expert is three matrices; the router has a row and a bias for each"
    return case(why, config)


def _a_batch(draw: Draw) -> Case:
    experts = draw(st.integers(1, 300))
    numbers = draw(st.integers(1, experts)), draw(st.integers(0, 1000))
    return case("an expert is missed with (1 - top_k / experts) ** tokens", experts, *numbers)


def _balance_router(
    logits: np.ndarray, bias: np.ndarray, top_k: int, step: float, rounds: int, *, kind: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    first, total = bias, np.zeros(len(bias))
    for _ in range(rounds + (kind == "after")):
        before = bias
        used = {"unused": np.zeros(len(bias)), "frozen": first}.get(kind, bias)
        load = np.bincount(_route(logits, used, top_k)[1].ravel(), minlength=len(bias)) * 1.0
        bias = _balance(first if kind == "one step" else bias, load, step)
        total += load
    moved = {"frozen": first, "after": before}.get(kind, bias)
    return moved, total if kind == "summed" else load


def _a_crowd(draw: Draw) -> Case:
    experts = draw(st.integers(2, 6))
    logits = array(draw, real(-4, 4), draw(st.integers(1, 8)), experts)
    bias = array(draw, st.sampled_from([0.0]) | real(-1, 1, 128), experts)
    step, top_k = draw(st.sampled_from([0.01, 0.0625, 0.3])), draw(st.integers(1, experts))
    rounds = draw(st.integers(1, 6))
    for made in range(rounds):
        moved = _balance_router(logits, bias, top_k, step, made)[0] if made else bias
        _assume_no_ties(logits, moved, 1)
    return case("route, count, move the bias; then again", logits, bias, top_k, step, rounds)


def _route_layer(
    hidden: np.ndarray, gate: dict[str, np.ndarray], config: dict[str, Any], *, kind: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    logits, bias = hidden @ gate["weight"].T, gate["bias"]
    if kind == "bias on logits":
        logits, bias = logits + bias, np.zeros(len(bias))
    bias = np.zeros(len(bias)) if kind == "no bias" else bias
    groups = (1, 1) if kind == "no groups" else (config["n_group"], config["topk_group"])
    scale = 1.0 if kind == "no scale" else config["routed_scaling_factor"]
    chosen = max(config["num_experts_per_tok"] - (kind == "one less"), 1)
    return _route(logits, bias, chosen, groups[0], groups[1], scale)


@cache
def _shipped_gate() -> dict[str, np.ndarray]:
    """The gate of a layer of the model that comes with the course."""
    with safe_open(ASSETS / "mini-v3-base" / "model.safetensors", "np") as file:
        name = "model.layers.1.mlp.gate."
        weight, bias = (file.get_tensor(name + end) for end in _GATE)
    return {"weight": weight.astype(float), "bias": bias.astype(float)}


_GATE = ("weight", "e_score_correction_bias")


def _a_layer(draw: Draw) -> Case:
    groups, kept, of_each, width = 1, 1, 8, 128
    if draw(st.integers(0, 3)):
        groups, of_each = draw(st.sampled_from([(1, 4), (2, 3), (3, 2)]))
        kept, width = draw(st.integers(1, groups)), draw(st.integers(1, 4))
    experts = groups * of_each
    gate = _shipped_gate()
    if width < 128:
        gate = {"weight": array(draw, real(-2, 2), experts, width)}
        gate["bias"] = array(draw, real(-1, 1), experts)
    hidden = array(draw, real(-2, 2), draw(st.integers(1, 3)), width)
    _assume_no_ties(hidden @ gate["weight"].T, gate["bias"], groups)
    config = {"num_experts_per_tok": draw(st.integers(1, kept * of_each)), "n_group": groups}
    config |= {"topk_group": kept, "routed_scaling_factor": draw(st.sampled_from([1.0, 2.5]))}
    return case("logits of every expert's row, then your router", hidden, gate, config)


EXERCISES = (
    value("moe.by_hand"),
    exercise("moe.route", _route, _a_route),
    exercise("moe.balance_bias", _balance, _a_load),
    exercise("moe.count_parameters", _moe_count, _a_config),
    exercise("moe.experts_touched", _touched, _a_batch),
    exercise("moe.find_the_bug", _route, _a_route),
    exercise("moe.balance_a_router", _balance_router, _a_crowd),
    exercise("moe.route_a_layer", _route_layer, _a_layer),
)
