"""Lesson 02: DeepSeek-V3's router, its balance, and the count that gives 671B and 37B."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from course_lib.classroom.checks.exercise import Case, Exercise, Mistake, case, draw

EPSILON = 1e-20


def _scores(logits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


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
    score: Any = _scores,
    worth: str = "two",
    mask: float = -math.inf,
    weigh: str = "unbiased",
    epsilon: float = EPSILON,
    use_bias: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    scores = score(logits)
    biased = scores + bias if use_bias else scores
    left = (
        biased
        if worth == "no groups"
        else _without_losers(scores, biased, n_group, topk_group, worth, mask)
    )
    experts = np.argsort(-left, axis=-1, kind="stable")[:, :top_k]
    chosen = np.take_along_axis(biased if weigh == "biased" else scores, experts, -1)
    if weigh == "raw":
        return scale * chosen, experts
    with np.errstate(invalid="ignore", divide="ignore"):
        return scale * chosen / (chosen.sum(-1, keepdims=True) + epsilon), experts


def _logit(*scores: float) -> np.ndarray:
    p = np.array(scores)
    return np.log(p / (1 - p))[None]


_NONE4 = np.zeros(4)
_ROUTE_CASES = (
    case(
        "sigmoid scores 0.8 and 0.4 are the two best; over their sum they are 2/3 and 1/3",
        _logit(0.8, 0.4, 0.3, 0.2),
        _NONE4,
        2,
        1,
        1,
        1.0,
        expected=(np.array([[2 / 3, 1 / 3]]), np.array([[0, 1]])),
    ),
    case(
        "the bias lifts expert 1 to the front; weights are the scores without it, 0.4 and 0.8",
        _logit(0.8, 0.4, 0.3, 0.2),
        np.array([0.0, 0.5, 0.0, 0.0]),
        2,
        1,
        1,
        1.0,
        expected=(np.array([[1 / 3, 2 / 3]]), np.array([[1, 0]])),
    ),
    case(
        "group 0 has 0.9 + 0.1 = 1.0, group 1 has 0.6 + 0.55 = 1.15, so group 1 stays",
        _logit(0.9, 0.1, 0.6, 0.55),
        _NONE4,
        2,
        2,
        1,
        1.0,
        expected=(np.array([[0.6 / 1.15, 0.55 / 1.15]]), np.array([[2, 3]])),
    ),
    case(
        "all biased scores are below 0, and group 1 has lost: a loser at 0 would look best",
        np.array([[2.0, 0.0, -1.0, -2.0]]),
        -np.ones(4),
        1,
        2,
        1,
        1.0,
        expected=(np.array([[1.0]]), np.array([[0]])),
    ),
    case(
        "0.51 + 0.5 beats 0.45 + 0.44; a third expert does not count for its group",
        _logit(0.51, 0.5, 0.05, 0.45, 0.44, 0.43),
        np.zeros(6),
        2,
        2,
        1,
        1.0,
    ),
    case(
        "every chosen score underflows to 0: the weights are finite, 0 over (0 + 1e-20)",
        np.full((1, 2), -800.0),
        np.array([0.4, 0.3]),
        2,
        1,
        1,
        1.0,
        expected=(np.zeros((1, 2)), np.array([[0, 1]])),
    ),
    case(
        "weights sum to the scale, 2.5 in V3",
        _logit(0.8, 0.4, 0.3, 0.2),
        _NONE4,
        2,
        1,
        1,
        2.5,
        expected=(np.array([[5 / 3, 5 / 6]]), np.array([[0, 1]])),
    ),
    case(
        "tiny scores are still divided by their sum",
        np.array([[-30.0, -30.5, -33.0, -33.5]]),
        _NONE4,
        2,
        1,
        1,
        1.0,
    ),
    case(
        "all biased scores are below -999; a loser at any finite height would look best",
        np.array([[2.0, 0.0, -1.0, -2.0]]),
        -1000 * np.ones(4),
        1,
        2,
        1,
        1.0,
        expected=(np.array([[1.0]]), np.array([[0]])),
    ),
    case(
        "the bias counts for the groups too: group 1 has 0.6 + 0.5 + two times 0.28, more than 1.5",
        _logit(0.8, 0.7, 0.6, 0.5),
        np.array([0.0, 0.0, 0.28, 0.28]),
        2,
        2,
        1,
        2.5,
        expected=(np.array([[1.5 / 1.1, 1.25 / 1.1]]), np.array([[2, 3]])),
    ),
    case(
        "called without groups and scale: one group, and weights that sum to 1",
        _logit(0.8, 0.4, 0.3, 0.2),
        np.array([0.0, 0.0, 0.2, 0.0]),
        2,
        expected=(np.array([[0.8 / 1.1, 0.3 / 1.1]]), np.array([[0, 2]])),
    ),
    case(
        "two tokens, each with its own route",
        np.array([[1.0, 2, 3, -4], [4, -3, 2, 1]]),
        _NONE4,
        2,
        2,
        1,
        1.0,
    ),
)


def _fresh_route(rng: np.random.Generator) -> Case:
    n_group = int(rng.choice([1, 2, 4]))
    topk_group = int(rng.integers(1, n_group + 1))

    def make() -> tuple[np.ndarray, np.ndarray]:
        logits, bias = rng.normal(0, 2, (3, 12)), rng.uniform(-0.6, 0.3, 12)
        return logits.astype(np.float32).astype(float), bias.astype(np.float32).astype(float)

    def clear(made: tuple[np.ndarray, np.ndarray]) -> bool:
        biased = np.sort(_scores(made[0]) + made[1])
        groups = (_scores(made[0]) + made[1]).reshape(3, n_group, -1)
        worth = np.sort(np.sort(groups)[..., -2:].sum(-1))
        return min(np.diff(biased).min(), np.diff(worth).min(initial=1.0)) > 1e-4

    top_k = int(rng.integers(2, 12 // n_group * topk_group + 1))
    why = "the best biased scores in the groups that stay, weighed by their unbiased scores"
    scale = float(rng.choice([1.0, 2.5]))
    return case(why, *draw(make, clear), top_k, n_group, topk_group, scale)


_ROUTE_MISTAKES = (
    Mistake(
        "You use a softmax; V3's scores are sigmoids, one expert at a time.",
        partial(_route, score=_softmax),
    ),
    Mistake(
        "Losing groups are masked with 0; with negative biased scores 0 looks best. "
        "Use minus infinity.",
        partial(_route, mask=0.0),
    ),
    Mistake(
        "The weights come from the biased scores; the bias counts for choosing only.",
        partial(_route, weigh="biased"),
    ),
    Mistake(
        "A group is judged by its single best expert; V3 takes the sum of the two best.",
        partial(_route, worth="max"),
    ),
    Mistake(
        "A group is judged by all its experts; V3 takes the sum of the two best.",
        partial(_route, worth="all"),
    ),
    Mistake(
        "The groups are judged without the bias; it counts for choosing groups as well.",
        partial(_route, worth="unbiased"),
    ),
    Mistake(
        "There is no epsilon in the sum: when every chosen score underflows the weights are 0/0.",
        partial(_route, epsilon=0.0),
    ),
    Mistake("The bias is not used; it must count for choosing.", partial(_route, use_bias=False)),
    Mistake("The weights are not divided by their sum.", partial(_route, weigh="raw")),
    Mistake(
        "The groups are left out: a group that loses takes its experts out for good.",
        partial(_route, worth="no groups"),
    ),
)


def _balance(
    bias: np.ndarray, load: np.ndarray, step: float, *, sign: float = 1.0, by: str = "sign"
) -> np.ndarray:
    away = load.mean() - load
    if by == "median":
        away = np.median(load) - load
    if by == "whole mean":
        away = np.floor(load.mean()) - load
    moved = away if by == "size" else np.sign(away)
    if by == "up or down":
        moved = np.where(load > load.mean(), -1.0, 1.0)
    if by == "over only":
        moved = np.minimum(moved, 0.0)
    if by == "share":
        moved = away / load.sum()
    return (0 if by == "no bias" else bias) + sign * step * moved


def _fresh_load(rng: np.random.Generator) -> Case:
    counts = rng.integers(0, 60, 8)
    bias = rng.normal(0, 0.05, 8).astype(np.float32).astype(np.float64)
    why = "one step down above the mean load, one step up below it, none at it"
    return case(why, bias, counts, float(rng.choice([0.001, 0.01, 0.05])))


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
    common = (config["n_shared_experts"] * one if shared else 0) + (
        experts * width * gate + experts * (gate and gate_bias)
    )
    chosen = {"chosen": config["num_experts_per_tok"], "one": 1, "all": experts}[active_experts]
    return experts * one + common, chosen * one + common


def _config(*sizes: int) -> dict[str, int]:
    names = (
        "hidden_size",
        "moe_intermediate_size",
        "n_routed_experts",
        "n_shared_experts",
        "num_experts_per_tok",
        "intermediate_size",
    )
    return dict(zip(names, sizes, strict=True))


_V3 = _config(7168, 2048, 256, 1, 8, 18432)


def _fresh_config(rng: np.random.Generator) -> Case:
    sizes = rng.integers([8, 4, 9, 1, 2, 40], [512, 300, 64, 4, 8, 90]).tolist()
    return case(
        "every expert is three matrices; the router has a row and a bias for each", _config(*sizes)
    )


def _touched(experts: int, top_k: int, tokens: int, *, kind: str = "right") -> float:
    if kind == "capped":
        return float(min(experts, top_k * tokens))
    if kind == "missed":
        return experts * (1 - top_k / experts) ** tokens
    if kind == "share":
        return 1 - (1 - top_k / experts) ** tokens
    draws = top_k * tokens if kind == "one by one" else tokens
    miss = 1 / experts if kind in ("one by one", "top-1") else top_k / experts
    return experts * (1 - (1 - miss) ** draws)


EXERCISES = (
    Exercise(
        name="moe.by_hand",
        symbol="route_by_hand",
        title="One token's route, by hand",
        what_for="The route is six lines of arithmetic; do them once without a computer.",
        difficulty=2,
        minutes=6,
        needs="the router's rule from the lesson; four scores and two groups",
        hints=(
            "Add the bias to the scores first, and compare the groups.",
            "Group 0 is worth 0.9 + 0.2, group 1 is worth 0.75 + 0.6. Which one stays?",
            "Group 1 stays: its experts have the unbiased scores 0.65 and 0.6. Divide by the sum.",
        ),
        reference=lambda: {2: 0.65 / 1.25, 3: 0.6 / 1.25},
        cases=(case("choose by biased scores (groups by their two best), weigh by unbiased ones"),),
        mistakes=(
            Mistake(
                "Group 0 has the best expert, but a group counts by the sum of its two best.",
                lambda: {0: 0.9 / 1.1, 1: 0.2 / 1.1},
            ),
            Mistake(
                "These weights are from the biased scores; the bias is for choosing only.",
                lambda: {2: 0.75 / 1.35, 3: 0.6 / 1.35},
            ),
            Mistake(
                "These are the best two of all four; the losing group is out for good.",
                lambda: {0: 0.9 / 1.55, 2: 0.65 / 1.55},
            ),
            Mistake("The weights must sum to 1: divide by their sum.", lambda: {2: 0.65, 3: 0.6}),
            Mistake("Experts are numbered from 0.", lambda: {3: 0.65 / 1.25, 4: 0.6 / 1.25}),
            Mistake("The two weights are exchanged.", lambda: {2: 0.6 / 1.25, 3: 0.65 / 1.25}),
        ),
        rtol=0.0,
        atol=0.0051,
    ),
    Exercise(
        name="moe.route",
        symbol="my_route",
        title="DeepSeek-V3's router",
        what_for="The function that decides which 8 of 256 experts a token goes to.",
        difficulty=4,
        minutes=25,
        needs="torch: sigmoid, topk or sort, gather, masked_fill",
        hints=(
            "Two arrays: scores (sigmoids) for weighting, scores + bias for choosing.",
            "reshape(tokens, n_group, -1); a group's worth is topk(2).values.sum(-1); put "
            "-inf into the groups that lost.",
            "experts = the top_k of what is left; chosen = scores.gather(-1, experts); "
            "weights = scale * chosen / (chosen.sum(-1, keepdim=True) + 1e-20).",
        ),
        reference=_route,
        cases=_ROUTE_CASES,
        fresh=_fresh_route,
        mistakes=_ROUTE_MISTAKES,
        tensors=True,
    ),
    Exercise(
        name="moe.balance_bias",
        symbol="my_balance_bias",
        title="Balance without an auxiliary loss",
        what_for="V3 keeps its experts busy by nudging a bias, with no gradient at all.",
        difficulty=2,
        minutes=8,
        needs="torch: mean and sign",
        hints=(
            "Who has more than the mean load goes down, who has less goes up.",
            "Only the sign of the distance counts, not its size; exactly at the mean is 0.",
            "bias + step * torch.sign(load.float().mean() - load).",
        ),
        reference=_balance,
        cases=(
            case(
                "the mean load is 2: expert 0 has 5, expert 2 has 2, the others have less",
                np.zeros(4),
                np.array([5, 0, 2, 1]),
                0.01,
                expected=np.array([-0.01, 0.01, 0.0, 0.01]),
            ),
            case(
                "one step from where the bias was",
                np.array([0.2, -0.1, 0.0]),
                np.array([9, 0, 0]),
                0.1,
                expected=np.array([0.1, 0.0, 0.1]),
            ),
            case(
                "perfect balance: nobody moves",
                np.array([0.3, -0.3]),
                np.array([4, 4]),
                0.5,
                expected=np.array([0.3, -0.3]),
            ),
            case(
                "loads far apart and close by make the same step",
                np.zeros(3),
                np.array([1000, 2, 1]),
                0.001,
                expected=np.array([-0.001, 0.001, 0.001]),
            ),
            case(
                "the mean load is 1.75: who has 2 is above it, however little",
                np.array([0.0, 0.0, -3.0, 3.0]),
                np.array([2, 2, 2, 1]),
                0.01,
                expected=np.array([-0.01, -0.01, -3.01, 3.01]),
            ),
            case(
                "the mean load is 0.25: who has 0 is below it, however little",
                np.zeros(4),
                np.array([0, 1, 0, 0]),
                0.01,
                expected=np.array([0.01, -0.01, 0.01, 0.01]),
            ),
        ),
        fresh=_fresh_load,
        mistakes=(
            Mistake(
                "The sign is turned round: the busy experts must go down.",
                partial(_balance, sign=-1.0),
            ),
            Mistake(
                "The step follows the size of the overload; V3 uses only its sign.",
                partial(_balance, by="size"),
            ),
            Mistake(
                "The step follows the size of the overload; V3 uses only its sign.",
                partial(_balance, by="share"),
            ),
            Mistake(
                "The old bias is lost: the step is added to it.", partial(_balance, by="no bias")
            ),
            Mistake(
                "The mean load is cut to a whole number; compare with 1.75 and not with 1.",
                partial(_balance, by="whole mean"),
            ),
            Mistake(
                "You compare with the median; the rule compares with the mean load.",
                partial(_balance, by="median"),
            ),
            Mistake(
                "An expert exactly at the mean must keep its bias.",
                partial(_balance, by="up or down"),
            ),
            Mistake(
                "Only the busy experts move; the idle ones must go up as well.",
                partial(_balance, by="over only"),
            ),
        ),
        tensors=True,
        atol=1e-7,
    ),
    Exercise(
        name="moe.count_parameters",
        symbol="count_moe_layer",
        title="What one MoE layer holds and what a token uses",
        what_for="This count, 58 times, is most of 671B; its second number is most of 37B.",
        difficulty=3,
        minutes=12,
        needs="a config as a dictionary; an expert is gate, up and down projection",
        hints=(
            "One expert: three matrices between hidden_size and moe_intermediate_size.",
            "The router has a row of hidden_size and one bias for each routed expert.",
            "total = (routed + shared) * expert + router; active = (chosen + shared) * expert + "
            "router.",
        ),
        reference=_moe_count,
        cases=(
            case(
                "257 experts of 44,040,192 and a router of 1,835,264; a token uses 9 of them",
                _V3,
                expected=(11_320_164_608, 398_196_992),
            ),
            case(
                "an expert has 3 x 2 x 3 = 18; 4 routed + 1 shared is 90, the router 4 x 2 + 4",
                _config(2, 3, 4, 1, 2, 99),
                expected=(102, 66),
            ),
            case("two shared experts are used by every token", _config(4, 5, 6, 2, 3, 77)),
        ),
        fresh=_fresh_config,
        mistakes=(
            Mistake(
                "A token uses num_experts_per_tok experts, not one.",
                partial(_moe_count, active_experts="one"),
            ),
            Mistake(
                "A token uses only the experts that it is routed to.",
                partial(_moe_count, active_experts="all"),
            ),
            Mistake(
                "The shared experts are missing; every token goes through them.",
                partial(_moe_count, shared=False),
            ),
            Mistake(
                "The router is missing: a row and a bias for each routed expert.",
                partial(_moe_count, gate=False),
            ),
            Mistake(
                "The router's bias is missing: one number for each routed expert.",
                partial(_moe_count, gate_bias=False),
            ),
            Mistake(
                "An expert has three matrices (gate, up, down), not two.",
                partial(_moe_count, matrices=2),
            ),
            Mistake(
                "intermediate_size is the dense layers'; experts have moe_intermediate_size.",
                partial(_moe_count, inner="dense"),
            ),
        ),
    ),
    Exercise(
        name="moe.experts_touched",
        symbol="experts_touched",
        title="How many experts does a batch touch?",
        what_for="It decides how many bytes are read: at a batch of one 8 experts, at a thousand "
        "tokens nearly all.",
        difficulty=3,
        minutes=8,
        needs="the probability that something happens at least once",
        hints=(
            "Ask for one expert: how likely does a token not choose it?",
            "A token misses it with 1 - top_k / experts; all tokens miss it with that to the "
            "power of tokens.",
            "experts * (1 - (1 - top_k / experts) ** tokens).",
        ),
        reference=_touched,
        cases=(
            case("one token touches exactly its top_k experts", 256, 8, 1, expected=8.0),
            case(
                "each of 4 experts is missed by both tokens with 0.5 x 0.5", 4, 2, 2, expected=3.0
            ),
            case("no tokens, no experts", 16, 2, 0, expected=0.0),
            case("every token takes every expert", 8, 8, 3, expected=8.0),
            case("1 - (1 - 1/32) ** 256 of 256 experts", 256, 8, 256),
        ),
        fresh=lambda rng: case(
            "an expert is missed with (1 - top_k / experts) ** tokens",
            int(rng.integers(16, 300)),
            int(rng.integers(2, 9)),
            int(rng.integers(2, 200)),
        ),
        mistakes=(
            Mistake(
                "Tokens often choose the same expert: top_k times tokens counts it again.",
                partial(_touched, kind="capped"),
            ),
            Mistake(
                "Those are the experts that nobody touches; take the others.",
                partial(_touched, kind="missed"),
            ),
            Mistake(
                "That is a share; multiply by the number of experts.",
                partial(_touched, kind="share"),
            ),
            Mistake(
                "A token's top_k experts are all different: one draw of top_k, not top_k "
                "draws of one.",
                partial(_touched, kind="one by one"),
            ),
            Mistake("A token chooses top_k experts, not one.", partial(_touched, kind="top-1")),
        ),
        atol=1e-6,
    ),
    Exercise(
        name="moe.find_the_bug",
        symbol="mended_route",
        title="Find the bug: a router that picks a loser",
        what_for="This bug stood in a widely used library: nothing crashes, the route is wrong.",
        difficulty=3,
        minutes=12,
        needs="your router or the lesson's; `broken_route` in the cell above the stub",
        hints=(
            "Try broken_route with all biases at -1 and two groups, one kept.",
            "What is the biased score of an expert when its sigmoid is 0.3 and its bias -1? What "
            "do the losing groups get?",
            "A losing group must never win: fill it with minus infinity instead of 0.",
        ),
        reference=_route,
        cases=_ROUTE_CASES,
        fresh=_fresh_route,
        mistakes=(
            Mistake(
                "This still behaves like broken_route: look at what losing groups get.",
                partial(_route, mask=0.0),
            ),
            Mistake(
                "-1 is not low enough: biases can be lower. Use minus infinity.",
                partial(_route, mask=-1.0),
            ),
            *(mistake for mistake in _ROUTE_MISTAKES if "masked" not in mistake.sentence),
        ),
        tensors=True,
    ),
)
