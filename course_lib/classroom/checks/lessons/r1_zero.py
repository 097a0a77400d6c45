"""Lesson 03: GRPO's arithmetic, what pass@k asks, and a verifier that can be cheated."""

from itertools import product
from math import comb

import numpy as np
from scipy.special import softmax

from course_lib.classroom.checks.cards import exercise, value
from course_lib.classroom.checks.draws import array, masks, real, st
from course_lib.classroom.checks.exercise import Case, Draw, Function, case


def _advantages(
    rewards: np.ndarray,
    eps: float = 1e-4,
    *,
    ddof: int = 1,
    sign: float = 1.0,
    scope: str = "group",
    divide: str = "std",
    use_eps: str = "outside",
) -> np.ndarray:
    if scope == "no keepdim":
        if len(rewards) not in (1, rewards.shape[1]):
            raise RuntimeError("the shapes do not fit")  # as torch says
        return (rewards - rewards.mean(1)) / (rewards.std(1, ddof=1) + eps)
    axis = {"group": 1, "batch": None, "column": 0}[scope]
    centred = sign * (rewards - rewards.mean(axis=axis, keepdims=True))
    if divide == "nothing":
        return centred
    spread = rewards.var(axis=axis, ddof=ddof, keepdims=True)
    if divide == "std":
        inner = eps if use_eps == "inside" else 0.0
        spread = np.sqrt(spread + inner)
    with np.errstate(invalid="ignore", divide="ignore"):
        return centred / (spread + (eps if use_eps == "outside" else 0.0))


def _mask(ids: np.ndarray, eos: int, *, kind: str = "right") -> np.ndarray:
    ends = ids == eos
    before = np.cumsum(ends, axis=1) - ends  # how many ends stand before each place
    kept, ended = before == 0, ends.any(axis=1, keepdims=True)
    wrong = {
        "by id": ~ends,
        "without end": kept & ~ends,
        "last": (np.cumsum(ends[:, ::-1], axis=1)[:, ::-1] > 0) | ~ended,
        "one more": np.pad(before[:, :-1], ((0, 0), (1, 0))) == 0,
        "needs end": kept & ended,
        "turned round": ~kept,
    }
    return wrong.get(kind, kept).astype(float)


def _loss(
    logp: np.ndarray,
    old_logp: np.ndarray,
    advantages: np.ndarray,
    mask: np.ndarray,
    clip: float = 0.2,
    *,
    sign: float = -1.0,
    pick: str = "min",
    mean: str = "sequence",
    ratio: str = "right",
) -> float:
    gap = logp - old_logp if ratio != "turned round" else old_logp - logp
    r = gap if ratio == "log" else np.exp(gap)
    a = advantages[:, None]
    plain, clipped = r * a, np.clip(r, 1 - clip, 1 + clip) * a
    choices: dict[str, Function] = {
        "min": np.minimum,
        "max": np.maximum,
        "clipped": lambda _, c: c,
        "plain": lambda p, _: p,
        "from below": lambda p, _: np.minimum(p, np.maximum(r, 1 - clip) * a),
        "from above": lambda p, _: np.minimum(p, np.minimum(r, 1 + clip) * a),
        "ratio first": lambda p, c: np.where(a < 0, np.maximum(p, c), np.minimum(p, c)),
    }
    gain = sign * choices[pick](plain, clipped)
    counted, tokens = gain * mask, mask.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong = {
            "padded": counted.mean(),
            "unmasked": gain.mean(),
            "token": counted.sum() / tokens.sum(),
            "sum": counted.sum(1).mean(),
            "no guard": (counted.sum(1) / tokens).mean(),
            "left out": (counted.sum(1) / tokens)[tokens > 0].sum() / max((tokens > 0).sum(), 1),
        }
    return float(wrong.get(mean, (counted.sum(1) / np.maximum(tokens, 1)).mean()))


def _kl(logp: np.ndarray, ref_logp: np.ndarray, *, kind: str = "k3") -> np.ndarray:
    d = ref_logp - logp
    return {
        "k3": np.exp(d) - d - 1,
        "k1": -d,
        "turned round": np.exp(-d) + d - 1,
        "k2": d**2 / 2,
        "no one": np.exp(d) - d,
        "plus": np.exp(d) + d - 1,
        "half": np.exp(d) - 1,
        "minus": -(np.exp(d) - d - 1),
    }[kind]


def _pass_at_k(n: int, c: int, k: int, *, kind: str = "right") -> float:
    missed, every = comb(n - c, k) / comb(n, k), comb(c, k) / comb(n, k)
    wrong = {"share": c / n, "replaced": 1 - (1 - c / n) ** k, "all": every, "missed": missed}
    return wrong.get(kind, 1 - missed)


def _verify(numbers: list[int], target: int, text: str, *, kind: str = "right") -> float:
    needed, parts = len(numbers) - 1, text.split("</think>")
    answers = {"thought counts": text, "last tag": parts[-1], "between tags": parts[:2][-1]}
    words = answers.get(kind, text.split("</think>", 1)[-1]).split()
    choices = [list(choice) for choice in product("+-", repeat=needed)]
    solving = [choice for choice in choices if _sum(numbers, choice) == target]
    if kind == "anywhere":
        return float(any(" ".join(choice) in text for choice in solving))
    signs = {
        "no blanks": list("".join(words)),
        "end": words[-needed:],
        "beginning": words[:needed],
        "signs only": [word for word in words if word in ("+", "-")],
    }.get(kind, words)
    if kind == "one solution":
        return float(signs in solving[:1])
    if len(signs) != needed and kind != "any length":
        return 0.0
    reached = _sum(numbers, signs)
    good = {"form only": True, "size": abs(reached) == abs(target)}.get(kind, reached == target)
    return float(set(signs) <= {"+", "-"} and good)


def _sum(numbers: list[int], signs: list[str]) -> int:
    pairs = zip(signs, numbers[1:], strict=False)
    return numbers[0] + sum(n if sign == "+" else -n for sign, n in pairs)


def _rewards(draw: Draw) -> Case:
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 8))
    kinds = st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.5, 1.0]), real(-4, 4, 4)
    rewards = array(draw, draw(st.sampled_from(kinds)), *shape)
    if draw(st.booleans()):
        rewards[-1] = rewards[-1, 0]  # a group that is all the same
    given = draw(st.sampled_from([{}, {"eps": 1e-4}, {"eps": 1e-6}, {"eps": 0.5}]))
    return case("each row: (reward - its mean) / (its sample deviation + eps)", rewards, **given)


def _completions(draw: Draw) -> Case:
    eos = draw(st.sampled_from([0, 1, 2]))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    ids = array(draw, st.sampled_from([eos, 0, 3]) | st.integers(0, 99), *shape)
    return case("1 up to and including the first end, 0 after it", ids, eos)


_GAPS = st.sampled_from([0.0, 0.5, -0.5]) | real(-1, 1) | real(-12, 12)


def _tokens(draw: Draw) -> Case:
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    old = array(draw, real(-4, 0), *shape)
    gaps = array(draw, draw(st.sampled_from([real(-0.5, 0.5), _GAPS])), *shape)
    gains = array(draw, st.sampled_from([1.0, -1.0, 0.0]) | real(-3, 3), shape[0])
    given = draw(st.sampled_from([{}, {"clip": 0.2}, {"clip": 0.5}, {"clip": 0.1}]))
    why = "minus the mean over completions of each one's mean over its own tokens"
    return case(why, old + gaps, old, gains, masks(draw, *shape), **given)


def _two_policies(draw: Draw) -> Case:
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    logp = array(draw, real(-12, 0), *shape)
    near = array(draw, _GAPS, *shape)
    return case("exp(d) - d - 1 with d = ref_logp - logp", logp, np.minimum(logp + near, 0.0))


def _samples(draw: Draw) -> Case:
    n = draw(st.integers(1, 12) | st.sampled_from([64, 256]))
    c = draw(st.sampled_from([0, 1, n]) | st.integers(0, n))
    k = draw(st.sampled_from([1, n, (n + 1) // 2]) | st.integers(1, n))
    return case("1 - C(n - c, k) / C(n, k)", n, min(c, n), k)


_BLANKS = st.sampled_from([" ", " ", "  ", "\n", " \t"])
_SPOILT = (
    " yes", ".", "-", " +", " - +", " or - +", "\n1", "</think>", "</think> +", "<think>", "x", "*",
)  # fmt: skip


def _a_reply(draw: Draw) -> Case:
    numbers = draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))
    needed = len(numbers) - 1
    signs = draw(st.lists(st.sampled_from("+-"), min_size=needed, max_size=needed))
    reached = _sum(numbers, signs)
    target = draw(st.sampled_from([reached, reached, reached, -reached, reached + 1]))
    gap = draw(_BLANKS | st.sampled_from(["", ", "]))
    thought = draw(st.sampled_from(["", "", "<think> so </think>", "- +</think>", "<think> "]))
    before = draw(st.just("") | st.just(" ") | st.sampled_from(_SPOILT))
    after = draw(st.just("") | st.just(" ") | st.sampled_from(_SPOILT))
    why = "1.0 for one answer that reaches the target, with or without a thought before it"
    return case(why, numbers, target, thought + before + gap.join(signs) + after)


def _train(
    logits: np.ndarray, sampled: np.ndarray, rewards: np.ndarray, lr: float, *, kind: str = ""
) -> np.ndarray:
    """By the gradient worked out on paper: at a ratio of 1 it is minus the mean of A * dlogp."""
    first = logits
    for group in sampled[:1].repeat(len(sampled), 0) if kind == "first group" else sampled:
        logits = first if kind == "restart" else logits
        gains = rewards[group] if kind == "rewards" else _advantages(rewards[group][None])[0]
        pushes = gains[:, None] * (np.eye(len(logits))[group] - softmax(logits))
        step = pushes.sum(0) if kind == "sum" else pushes.mean(0)
        logits = logits + (-lr if kind == "ascent" else lr) * step
    return logits if kind == "logits" else softmax(logits)


def _a_policy(draw: Draw) -> Case:
    answers, size = draw(st.integers(2, 5)), draw(st.integers(2, 6))
    sampled = array(draw, st.integers(0, answers - 1), draw(st.integers(1, 6)), size)
    rewards = array(draw, st.sampled_from([0.0, 1.0]) | real(-2, 2, 4), answers)
    logits, lr = array(draw, real(-2, 2), answers), draw(st.sampled_from([0.1, 0.5, 2.0]))
    why = "advantages of the group, the loss's gradient, a step down; then the next group"
    return case(why, logits, sampled, rewards, lr)


def _grade_groups(
    puzzles: list[tuple[list[int], int]], texts: list[list[str]], *, kind: str = ""
) -> tuple[list[list[float]], float, int]:
    pairs = zip(puzzles, texts, strict=True)
    rewards = [[_verify(*puzzle, text) for text in group] for puzzle, group in pairs]
    flat = [one for group in rewards for one in group]
    shares = [np.mean(one) for one in rewards] if kind == "by group" else flat
    share = float(np.mean(shares))
    same = [not any(one) if kind == "all wrong" else len(set(one)) == 1 for one in rewards]
    dead = len(same) - sum(same) if kind == "alive" else sum(same)
    return rewards, sum(flat) if kind == "count" else share, dead


def _some_groups(draw: Draw) -> Case:
    puzzles, texts = [], []
    for _ in range(draw(st.integers(1, 3))):
        replies = [_a_reply(draw).args for _ in range(draw(st.integers(1, 2)))]
        numbers, target, _ = replies[0]
        puzzles.append((numbers, target))
        more = draw(st.lists(st.sampled_from(["+", "-", "+ -", "- +", ""]), max_size=2))
        texts.append([text for *_, text in replies] + more)
    return case("every text by its own puzzle; groups of one reward only", puzzles, texts)


EXERCISES = (
    value("grpo.by_hand"),
    exercise("grpo.advantages", _advantages, _rewards),
    exercise("grpo.completion_mask", _mask, _completions),
    exercise("grpo.policy_loss", _loss, _tokens),
    exercise("grpo.kl", _kl, _two_policies),
    exercise("grpo.pass_at_k", _pass_at_k, _samples),
    exercise("grpo.find_the_bug", _loss, _tokens),
    exercise("grpo.mend_the_verifier", _verify, _a_reply),
    exercise("grpo.train_a_policy", _train, _a_policy),
    exercise("grpo.grade_groups", _grade_groups, _some_groups),
)
